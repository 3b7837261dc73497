/**
 * Paths inside a put: what they look like, their order, and their bytes.
 *
 * A path is relative, its components separated by `/`. File systems name files by bytes, not by characters, so the
 * format holds bytes and forces neither an encoding nor a normalization. In memory a path is a string; bytes that are
 * not UTF-8 stand in it as unpaired surrogates U+DC80 to U+DCFF (Python's "surrogateescape", PEP 383), which makes the
 * way from bytes to string and back lossless for every byte string. Such a string must be turned into bytes again
 * before it is handed to a file system.
 */
import { InvalidInputError } from "../errors.ts";

/** Longest path in bytes. */
export const MAX_PATH_BYTES = 16_384;

/** Longest component in bytes. Linux allows 255; other systems count characters. */
export const MAX_COMPONENT_BYTES = 1024;

const SLASH = 0x2f;
const DOT = 0x2e;
/** U+DC00 plus the byte, for bytes 0x80 to 0xff. */
const ESCAPE_BASE = 0xdc00;
const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function refuse(message: string, check: string, received: string): InvalidInputError {
  return new InvalidInputError(message, { check, expected: "a relative path inside the put", received });
}

/**
 * The text of a path for error messages: unpaired surrogates and control characters escaped, cut to a readable length.
 */
export function showPath(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path);
}

/** Returns the string for the bytes of a name or path. Every byte string has one. */
export function pathFromBytes(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  let text = "";
  for (let start = 0; start < bytes.length; ) {
    const length = sequenceLength(bytes, start);
    text += length === 0 ? String.fromCharCode(ESCAPE_BASE + (bytes[start] ?? 0)) : decodeRange(bytes, start, length);
    start += Math.max(length, 1);
  }
  return text;
}

function decodeRange(bytes: Uint8Array, start: number, length: number): string {
  return strictDecoder.decode(bytes.subarray(start, start + length));
}

/** Length of the well-formed UTF-8 sequence at a position (Unicode, table 3-7), or 0 if there is none. */
function sequenceLength(bytes: Uint8Array, start: number): number {
  const first = bytes[start] ?? 0;
  if (first < 0x80) return 1;
  const length =
    first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) === 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (length === 0 || start + length > bytes.length) return 0;
  for (let index = start + 1; index < start + length; index++) {
    if (((bytes[index] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  const second = bytes[start + 1] ?? 0;
  const overlong = (first === 0xe0 && second < 0xa0) || (first === 0xf0 && second < 0x90);
  const surrogate = first === 0xed && second > 0x9f;
  const beyondUnicode = first === 0xf4 && second > 0x8f;
  return overlong || surrogate || beyondUnicode ? 0 : length;
}

/**
 * Returns the bytes of a name or path; the inverse of `pathFromBytes`.
 * @throws InvalidInputError if the string holds an unpaired surrogate that stands for no byte
 */
export function pathToBytes(path: string): Uint8Array {
  const ascii = asciiBytes(path);
  if (ascii !== undefined) return ascii;
  if (path.isWellFormed()) return encoder.encode(path);
  const bytes: number[] = [];
  // Iteration is by code point, so what is left in the surrogate range is unpaired.
  for (const character of path) {
    const codePoint = character.codePointAt(0) ?? 0;
    if (codePoint < 0xd800 || codePoint > 0xdfff) {
      bytes.push(...encoder.encode(character));
    } else if (codePoint >= ESCAPE_BASE + 0x80 && codePoint <= ESCAPE_BASE + 0xff) {
      bytes.push(codePoint - ESCAPE_BASE);
    } else {
      throw refuse("path holds an unpaired surrogate that stands for no byte", "path encoding", showPath(path));
    }
  }
  return Uint8Array.from(bytes);
}

/** Most paths are short and ASCII, and a call of the encoder takes longer than such a path. */
const SHORT_CHARACTERS = 256;

function asciiBytes(path: string): Uint8Array | undefined {
  if (path.length > SHORT_CHARACTERS) return undefined;
  const bytes = new Uint8Array(path.length);
  for (let index = 0; index < bytes.length; index++) {
    const code = path.charCodeAt(index);
    if (code >= 0x80) return undefined;
    bytes[index] = code;
  }
  return bytes;
}

/**
 * Checks the bytes of a path: not empty, not absolute, no NUL, no empty, `.` or `..` component, within
 * limits. Joined to a folder, such a path stays inside that folder, as long as no component is a link.
 * @throws InvalidInputError
 */
export function checkPath(bytes: Uint8Array): void {
  const received = () => showPath(pathFromBytes(bytes));
  if (bytes.length === 0) throw refuse("path is empty", "path", '""');
  if (bytes.length > MAX_PATH_BYTES) throw refuse("path is too long", "path length", `${bytes.length} bytes`);
  if (bytes.includes(0)) throw refuse("path holds a NUL byte", "path", received());
  for (let start = 0; start <= bytes.length; ) {
    const slash = bytes.indexOf(SLASH, start);
    const end = slash === -1 ? bytes.length : slash;
    const length = end - start;
    if (length === 0) throw refuse("path is absolute or has an empty component", "path component", received());
    if (length > MAX_COMPONENT_BYTES) throw refuse("path component is too long", "path component", received());
    if (length <= 2 && bytes.subarray(start, end).every((byte) => byte === DOT)) {
      throw refuse("path has a component that leads elsewhere", "path component", received());
    }
    start = end + 1;
  }
}

/**
 * Compares paths in listing order: component by component, each by its bytes. A folder comes right before what is in
 * it, and a walk that visits names in byte order meets paths in this order.
 * @returns negative, zero or positive
 */
export function comparePaths(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let index = 0; index < shorter; index++) {
    const left = a[index] as number;
    const right = b[index] as number;
    // A separator sorts below every byte a name can have: the shorter component comes first.
    if (left !== right) return (left === SLASH ? 0 : left) - (right === SLASH ? 0 : right);
  }
  return a.length - b.length;
}

/** Length in bytes of the path of the folder that holds a path, or -1 at the top. */
export function parentLength(path: Uint8Array): number {
  return path.lastIndexOf(SLASH);
}

/** Whether a path lies in a folder, at any depth. */
export function isBelow(path: Uint8Array, folder: Uint8Array): boolean {
  return (
    path.length > folder.length && path[folder.length] === SLASH && folder.every((byte, index) => byte === path[index])
  );
}
