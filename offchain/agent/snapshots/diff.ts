/** What changed between two snapshots: two listings in one order, read side by side. */

import { equalBytes } from "#primitives";
import { comparePaths, pathToBytes } from "../../core/recipe/path-name.ts";
import type { Content, FileEntry, RegularFileEntry } from "../../core/recipe/recipe.ts";
import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import { encodeMetadata } from "../../core/snapshot/metadata-item.ts";
import type { RestoreEntry } from "../platform.ts";
import { OpenedBundles } from "../read/opened-bundles.ts";
import { contentPieces, openedPiece } from "../read/read-content.ts";
import { type SnapshotTree, treeEntries } from "./snapshot-tree.ts";

/** `changed`: another content, type or link target. `metadata`: the same content with another time, mode or owner. */
export type ChangeKind = "added" | "removed" | "changed" | "metadata";

export interface TreeChange {
  readonly kind: ChangeKind;
  readonly path: string;
  readonly type: FileEntry["type"];
  /** Of a file, before and after. */
  readonly bytesBefore?: number;
  readonly bytesAfter?: number;
}

type Tree = Pick<SnapshotTree, "root" | "source" | "metadata">;
type Entry = RestoreEntry<FileEntry>;

/**
 * Changes from one tree to another, in listing order. Memory does not depend on the number of entries.
 */
export async function* diffTrees(
  before: Tree,
  after: Tree,
  signal?: AbortSignal,
): AsyncGenerator<TreeChange, void, undefined> {
  const bundles = { before: new OpenedBundles(before.source), after: new OpenedBundles(after.source) };
  const olds = treeEntries(before, undefined, signal);
  const news = treeEntries(after, undefined, signal);
  try {
    let [old, next] = [await take(olds), await take(news)];
    while (old !== undefined || next !== undefined) {
      const order = orderOf(old, next);
      if (old !== undefined && order < 0) {
        yield { kind: "removed", path: old.path, type: old.type, ...sizes(old, undefined) };
        old = await take(olds);
      } else if (next !== undefined && order > 0) {
        yield { kind: "added", path: next.path, type: next.type, ...sizes(undefined, next) };
        next = await take(news);
      } else if (old !== undefined && next !== undefined) {
        const isSame = await sameContent({ before, after }, bundles, old, next, signal);
        if (!isSame || !sameMetadata(old.metadata, next.metadata)) {
          yield { kind: isSame ? "metadata" : "changed", path: next.path, type: next.type, ...sizes(old, next) };
        }
        [old, next] = [await take(olds), await take(news)];
      }
    }
  } finally {
    await olds.return();
    await news.return();
  }
}

async function take(entries: AsyncGenerator<Entry, void, undefined>): Promise<Entry | undefined> {
  const next = await entries.next();
  return next.done === true ? undefined : next.value;
}

/** Negative when only the first tree has the lower path. */
function orderOf(old: Entry | undefined, next: Entry | undefined): number {
  if (old === undefined) return 1;
  if (next === undefined) return -1;
  return old.path === next.path ? 0 : comparePaths(pathToBytes(old.path), pathToBytes(next.path));
}

function sizes(old: Entry | undefined, next: Entry | undefined): Pick<TreeChange, "bytesBefore" | "bytesAfter"> {
  return {
    ...(old?.type === "file" ? { bytesBefore: old.sizeBytes } : {}),
    ...(next?.type === "file" ? { bytesAfter: next.sizeBytes } : {}),
  };
}

/** Where one of the trees has no metadata, nothing is said of it. */
function sameMetadata(old: EntryMetadata | undefined, next: EntryMetadata | undefined): boolean {
  if (old === undefined || next === undefined) return true;
  // A link group is a number within its own put.
  const { linkGroup: _one, ...before } = old;
  const { linkGroup: _other, ...after } = next;
  return equalBytes(encodeMetadata(before), encodeMetadata(after));
}

async function sameContent(
  trees: { readonly before: Tree; readonly after: Tree },
  bundles: { readonly before: OpenedBundles; readonly after: OpenedBundles },
  old: Entry,
  next: Entry,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (old.type === "symlink" && next.type === "symlink") return old.target === next.target;
  if (old.type !== "file" || next.type !== "file") return old.type === next.type;
  if (old.sizeBytes !== next.sizeBytes) return false;
  const told = sameReferences(old.content, next.content);
  if (told !== undefined) return told;
  // One content may lie in two bundles, which depend on its neighbours: only the bytes tell. Such files are small.
  const [one, other] = await Promise.all([
    bytesOf(old, trees.before, bundles.before, signal),
    bytesOf(next, trees.after, bundles.after, signal),
  ]);
  return equalBytes(one, other);
}

/** Whether references alone show that contents are equal, or are not; undefined when they do not tell. */
function sameReferences(old: Content, next: Content): boolean | undefined {
  if ("segment" in old && "segment" in next) {
    return old.segment.id === next.segment.id && old.segment.position === next.segment.position ? true : undefined;
  }
  if ("blob" in old && "blob" in next) return old.blob.id === next.blob.id;
  if ("chunks" in old && "chunks" in next) {
    return old.chunks.length === next.chunks.length && old.chunks.every(({ id }, k) => id === next.chunks[k]?.id);
  }
  // Of equal size, one alone and one in a bundle: the limit of bundles does not depend on the tree, but on a version.
  return undefined;
}

async function bytesOf(
  { content, sizeBytes }: RegularFileEntry,
  { source }: Tree,
  bundles: OpenedBundles,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  for await (const piece of contentPieces(content, source, 0, signal)) {
    bytes.set(await openedPiece(piece, source, bundles, signal), piece.offset);
  }
  return bytes;
}
