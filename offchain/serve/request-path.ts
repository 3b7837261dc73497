/**
 * Paths in request targets (RFC 9112, section 3.2), and back. A target is taken apart before it is decoded, so that an
 * encoded slash is never a separator. Nothing is normalized: what a client should have resolved itself, such as `..`,
 * is refused, because two programs that normalize in different ways do not mean the same file.
 */

import { pathFromBytes, pathToBytes } from "../core/recipe/path-name.ts";

export interface RequestPath {
  /** Components, decoded, in the string form of core/recipe/path-name.ts. */
  readonly components: readonly string[];
  /** Whether the path ends with a slash, as that of a folder. */
  readonly hasSlash: boolean;
}

const SLASH = 0x2f;

/**
 * @param target in origin form; the query is ignored.
 * @returns undefined for a target that names no path: not absolute, badly encoded, with an empty, `.` or `..`
 * component,
 *   or with an encoded slash or NUL
 */
export function parseRequestPath(target: string): RequestPath | undefined {
  const path = target.split(/[?#]/, 1)[0] ?? "";
  if (!path.startsWith("/")) return undefined;
  const encoded = path.slice(1).split("/");
  const hasSlash = encoded.at(-1) === "";
  if (hasSlash) encoded.pop();
  const components: string[] = [];
  for (const component of encoded) {
    const bytes = percentDecode(component);
    if (bytes === undefined || bytes.length === 0 || bytes.includes(SLASH) || bytes.includes(0)) return undefined;
    const name = pathFromBytes(bytes);
    if (name === "." || name === "..") return undefined;
    components.push(name);
  }
  return { components, hasSlash };
}

/** Bytes of a component; undefined when an escape is incomplete. Bytes that should be escaped stand for themselves. */
function percentDecode(text: string): Uint8Array | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  const pieces = text.split(/(%[0-9A-Fa-f]{2})/).map((piece) => {
    if (/^%[0-9A-Fa-f]{2}$/.test(piece)) return Buffer.from(piece.slice(1), "hex");
    // Node gives the bytes of a target as characters up to U+00FF.
    return Buffer.from(piece, "latin1");
  });
  return Buffer.concat(pieces);
}

/** What `encodeURIComponent` leaves alone beyond the unreserved characters. */
const ESCAPED_TOO: Readonly<Record<string, string>> = { "!": "%21", "'": "%27", "(": "%28", ")": "%29", "*": "%2A" };

/** The characters that RFC 3986 calls unreserved. */
const UNRESERVED = /[A-Za-z0-9\-._~]/;

/** One component of a target: every byte but unreserved characters is escaped. */
export function encodeComponent(name: string): string {
  // The platform's own function is much faster, but knows no names that are not Unicode.
  if (name.isWellFormed()) return encodeURIComponent(name).replace(/[!'()*]/g, (one) => ESCAPED_TOO[one] ?? one);
  return Array.from(pathToBytes(name), (byte) => {
    const character = String.fromCharCode(byte);
    return UNRESERVED.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}
