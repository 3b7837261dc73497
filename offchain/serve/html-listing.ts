/** A folder as a page, for browsers. */

import type { TreeEntry } from "../agent/read/readable-tree.ts";
import { escapeText } from "./markup.ts";
import { encodeComponent } from "./request-path.ts";

/** Characters that change the order in which text is shown, or that are not shown at all. */
const INVISIBLE = /[\u0080-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** @param path of the folder, shown as its title. @param hasParent whether a link leads up */
export async function* htmlListing(
  path: string,
  hasParent: boolean,
  entries: AsyncIterable<TreeEntry>,
): AsyncGenerator<string, void, undefined> {
  const title = shown(`/${path}`);
  yield "<!doctype html>\n";
  yield `<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head><body><h1>${title}</h1>\n<table>\n`;
  if (hasParent) yield '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n';
  for await (const entry of entries) yield row(entry);
  yield "</table></body></html>\n";
}

function row(entry: TreeEntry): string {
  const { name, modifiedMillis } = entry;
  const time = modifiedMillis === undefined ? "" : `${new Date(modifiedMillis).toISOString().slice(0, 19)}Z`;
  return `<tr><td>${label(entry)}</td><td>${entry.type === "file" ? entry.sizeBytes : ""}</td><td>${time}</td></tr>\n`;

  function label(of: TreeEntry): string {
    // With "./" in front, a name with a colon is not taken for a scheme.
    if (of.type === "directory") return `<a href="./${encodeComponent(name)}/">${shown(name)}/</a>`;
    if (of.type === "file") return `<a href="./${encodeComponent(name)}">${shown(name)}</a>`;
    return `${shown(name)} → ${shown(of.target)}`;
  }
}

function shown(text: string): string {
  return escapeText(text.replace(INVISIBLE, "\ufffd"));
}
