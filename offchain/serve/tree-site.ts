/** What a server of a tree answers to each request. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { ReadableTree, TreeEntry } from "../agent/read/readable-tree.ts";
import { streamPieces } from "../agent/read/stream-pieces.ts";
import { InvalidInputError } from "../core/errors.ts";
import { hasPassword, isAddressedHere, isToken } from "./access.ts";
import { type Answer, CONFINED, textAnswer } from "./answer.ts";
import type { BodySlots } from "./body-slots.ts";
import { MULTISTATUS_END, MULTISTATUS_START, type Resource, responseOf } from "./dav/multistatus.ts";
import { type PropfindRequest, parseDepth, parsePropfind } from "./dav/propfind-request.ts";
import { type ContentType, fileAnswer } from "./file-answer.ts";
import { htmlListing } from "./html-listing.ts";
import { LENGTH_CHECK, readBody } from "./request-body.ts";
import { encodeComponent, parseRequestPath } from "./request-path.ts";
import { inBlocks } from "./send-answer.ts";

/** Longest body of PROPFIND. */
const PROPFIND_BYTES = 65_536;

const READING = ["OPTIONS", "GET", "HEAD"] as const;
/** Methods that this server knows and does not allow. */
const WRITING: ReadonlySet<string> = new Set([
  ...["PUT", "DELETE", "MKCOL", "MOVE", "COPY", "PROPPATCH", "LOCK", "UNLOCK", "POST", "PATCH"],
  ...["ACL", "MKCALENDAR", "REPORT", "SEARCH"],
]);

export interface SiteOptions {
  readonly tree: ReadableTree;
  readonly webdav: boolean;
  readonly token: string;
  /** Texts of the Host header that mean this server. */
  readonly hosts: ReadonlySet<string>;
  readonly slots: BodySlots;
  readonly contentType: ContentType | undefined;
}

/** A request that may be answered, and what it is about. */
interface Place {
  /** Encoded path of the root on this server; empty, or `/` and the token. */
  readonly base: string;
  /** Path in the tree. */
  readonly path: string;
  readonly components: readonly string[];
  readonly hasSlash: boolean;
  readonly signal: AbortSignal;
}

export class TreeSite {
  readonly #options: SiteOptions;
  readonly #allow: string;

  constructor(options: SiteOptions) {
    this.#options = options;
    this.#allow = [...READING, ...(options.webdav ? ["PROPFIND"] : [])].join(", ");
  }

  /** @throws whatever the tree throws */
  async answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<Answer> {
    const { method = "" } = request;
    const place = this.#placeOf(request, signal);
    if ("status" in place) return place;
    if (method === "GET" || method === "HEAD") return await this.#read(request, method, place);
    if (method === "OPTIONS") return this.#describe();
    if (method === "PROPFIND" && this.#options.webdav) return await this.#propfind(request, response, place);
    if (method === "MKCOL" && (await this.#options.tree.stat(place.path, signal)) === undefined) {
      // RFC 4918, section 9.3.1: 405 would tell the client that the folder is there.
      return textAnswer(403, "this server only reads");
    }
    if (method === "PROPFIND" || WRITING.has(method)) {
      return textAnswer(405, "this server only reads", { allow: this.#allow });
    }
    return textAnswer(501, "this method is not known");
  }

  /** Whether the client may ask, and about what. */
  #placeOf(request: IncomingMessage, signal: AbortSignal): Place | Answer {
    const { token, hosts } = this.#options;
    if (!isAddressedHere(request, hosts)) return textAnswer(421, "this server has another name");
    const target = originForm(request.url ?? "", hosts);
    const parsed = target === undefined ? undefined : parseRequestPath(target);
    // A token has no character that would be escaped.
    const inPath = isToken(/^\/([^/?#]*)/.exec(target ?? "")?.[1] ?? "", token);
    if (!inPath && !hasPassword(request, token)) {
      return textAnswer(401, "the token is missing or wrong", {
        "www-authenticate": 'Basic realm="tallystick", charset="UTF-8"',
      });
    }
    if (parsed === undefined) return textAnswer(400, "the path of the request is malformed");
    const components = inPath ? parsed.components.slice(1) : parsed.components;
    const base = inPath ? `/${token}` : "";
    return { base, components, path: components.join("/"), hasSlash: parsed.hasSlash, signal };
  }

  #describe(): Answer {
    const dav: Record<string, string> = this.#options.webdav ? { dav: "1", "ms-author-via": "DAV" } : {};
    return { status: 200, headers: { ...CONFINED, allow: this.#allow, ...dav, "content-length": "0" } };
  }

  async #read(request: IncomingMessage, method: "GET" | "HEAD", place: Place): Promise<Answer> {
    const { tree, slots, contentType } = this.#options;
    const { path, components, hasSlash, base, signal } = place;
    const entry = await tree.stat(path, signal);
    if (entry?.type === "directory") {
      // Links on the page are relative to a path with a slash at its end.
      if (!hasSlash) return textAnswer(301, "this is a folder", { location: hrefOf(base, components, true) });
      const headers = { ...CONFINED, "content-type": "text/html; charset=utf-8", "cache-control": "private, no-cache" };
      const listed = tree.list(path, signal);
      return { status: 200, headers, body: inBlocks(htmlListing(path, components.length > 0, listed)) };
    }
    if (entry?.type !== "file" || hasSlash) return textAnswer(404, "there is no such file");
    const { headers } = request;
    const open = async (range: { readonly start: number; readonly end: number }) =>
      slots.through(async () => streamPieces(await tree.open(path, range, signal)), signal);
    return fileAnswer({ method, headers }, { file: entry, open, contentType });
  }

  async #propfind(request: IncomingMessage, response: ServerResponse, place: Place): Promise<Answer> {
    let asked: PropfindRequest;
    try {
      asked = parsePropfind(await readBody(request, response, PROPFIND_BYTES));
    } catch (error) {
      if (!(error instanceof InvalidInputError)) throw error;
      const isTooLong = error.check === LENGTH_CHECK;
      return textAnswer(isTooLong ? 413 : 400, error.message);
    }
    const depth = parseDepth(request.headers.depth?.toString());
    if (depth === undefined) return textAnswer(400, "the depth is 0, 1 or infinity");
    if (depth === "infinity") return infiniteDepth();
    const entry = await this.#options.tree.stat(place.path, place.signal);
    if (entry === undefined || entry.type === "symlink" || (entry.type === "file" && place.hasSlash)) {
      return textAnswer(404, "there is no such resource");
    }
    return {
      status: 207,
      headers: { ...CONFINED, "content-type": "application/xml; charset=utf-8", "cache-control": "private, no-cache" },
      body: inBlocks(this.#multistatus(asked, entry, depth, place)),
    };
  }

  async *#multistatus(
    asked: PropfindRequest,
    entry: TreeEntry,
    depth: 0 | 1,
    { base, path, components, signal }: Place,
  ): AsyncGenerator<string, void, undefined> {
    const { tree, contentType } = this.#options;
    const say = (resource: Resource) => responseOf(resource, asked, contentType);
    const isFolder = entry.type === "directory";
    yield MULTISTATUS_START;
    const href = hrefOf(base, components, isFolder);
    yield say({ entry, href });
    if (depth === 1 && isFolder) {
      for await (const child of tree.list(path, signal)) {
        // WebDAV has no links; what they point to may be outside of the tree.
        if (child.type === "symlink") continue;
        const slash = child.type === "directory" ? "/" : "";
        yield say({ entry: child, href: `${href}${encodeComponent(child.name)}${slash}` });
      }
    }
    yield MULTISTATUS_END;
  }
}

function hrefOf(base: string, components: readonly string[], isFolder: boolean): string {
  const path = components.map((name) => `/${encodeComponent(name)}`).join("");
  return `${base}${path}${isFolder ? "/" : ""}`;
}

/** RFC 9112, section 3.2: a server has to take the absolute form as well. @returns undefined for other forms */
function originForm(target: string, hosts: ReadonlySet<string>): string | undefined {
  if (target === "*") return "/";
  const [, host, path] = /^http:\/\/([^/?#]*)(.*)$/i.exec(target) ?? [];
  if (host === undefined) return target;
  return hosts.has(host.toLowerCase()) ? path || "/" : undefined;
}

/** RFC 4918, section 9.1: a server may refuse to list everything that there is. */
function infiniteDepth(): Answer {
  return {
    status: 403,
    headers: { ...CONFINED, "content-type": "application/xml; charset=utf-8", "cache-control": "no-store" },
    body: '<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>\n',
  };
}
