/** Answers to PROPFIND: RFC 4918, sections 13, 14 and 15. */

import type { TreeEntry } from "../../agent/read/readable-tree.ts";
import type { ContentType } from "../file-answer.ts";
import { escapeText } from "../markup.ts";
import { DAV, type PropertyName, type PropfindRequest } from "./propfind-request.ts";

/** An entry and its path on this server, encoded. That of a folder ends with a slash. */
export interface Resource {
  readonly entry: TreeEntry;
  readonly href: string;
}

export const MULTISTATUS_START = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n';
export const MULTISTATUS_END = "</D:multistatus>\n";

/** What is said about one resource. */
export function responseOf({ entry, href }: Resource, request: PropfindRequest, contentType?: ContentType): string {
  const properties = propertiesOf(entry, contentType);
  const present = (value: string) => propstat(value, "200 OK");
  if (request.kind === "all") return response(href, present([...properties.values()].join("")));
  if (request.kind === "names") {
    return response(href, present([...properties.keys()].map((name) => `<D:${name}/>`).join("")));
  }
  const elementOf = ({ namespace, name }: PropertyName) => (namespace === DAV ? properties.get(name) : undefined);
  const found = request.properties.map(elementOf).filter((value) => value !== undefined);
  const missing = request.properties.filter((name) => elementOf(name) === undefined).map(emptyElement);
  return response(
    href,
    (found.length > 0 || missing.length === 0 ? present(found.join("")) : "") +
      (missing.length > 0 ? propstat(missing.join(""), "404 Not Found") : ""),
  );
}

/** Elements by local name. All of them are live properties of namespace DAV: there are no others. */
function propertiesOf(entry: TreeEntry, contentType: ContentType | undefined): ReadonlyMap<string, string> {
  const values: [name: string, value: string | undefined][] = [
    ["displayname", escapeText(entry.name)],
    ["resourcetype", entry.type === "directory" ? "<D:collection/>" : ""],
    ["getlastmodified", entry.modifiedMillis === undefined ? undefined : new Date(entry.modifiedMillis).toUTCString()],
  ];
  if (entry.type === "file") {
    values.push(
      ["getcontentlength", String(entry.sizeBytes)],
      ["getcontenttype", escapeText(contentType?.(entry.name) ?? "application/octet-stream")],
      ["getetag", escapeText(`"${entry.tag}"`)],
    );
  }
  return new Map(
    values.flatMap(([name, value]) =>
      value === undefined ? [] : [[name, `<D:${name}>${value}</D:${name}>`] as const],
    ),
  );
}

function emptyElement({ namespace, name }: PropertyName): string {
  return namespace === DAV ? `<D:${name}/>` : `<${name} xmlns="${escapeText(namespace)}"/>`;
}

function propstat(properties: string, status: string): string {
  return `<D:propstat><D:prop>${properties}</D:prop><D:status>HTTP/1.1 ${status}</D:status></D:propstat>`;
}

function response(href: string, propstats: string): string {
  return `<D:response><D:href>${escapeText(href)}</D:href>${propstats}</D:response>\n`;
}
