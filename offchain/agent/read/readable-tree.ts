/**
 * A tree of files to read, wherever it comes from: one put, a snapshot, a folder of many. Servers show this to clients.
 */

import type { ByteRange } from "./byte-range.ts";

/**
 * Path of an entry: components separated by `/`, in the string form of core/recipe/path-name.ts. The root is the empty
 * string.
 */
export type TreePath = string;

interface TreeEntryCommon {
  /** Last component of the path; empty for the root. */
  readonly name: string;
  /** Milliseconds since 1970, where a time is known. */
  readonly modifiedMillis?: number | undefined;
}

export interface TreeFile extends TreeEntryCommon {
  readonly type: "file";
  readonly sizeBytes: number;
  /** Base64url. Files of equal tags are the same bytes; a strong validator in terms of HTTP. */
  readonly tag: string;
}

export type TreeEntry =
  | TreeFile
  | (TreeEntryCommon & { readonly type: "directory" })
  /** The target is shown, never followed. */
  | (TreeEntryCommon & { readonly type: "symlink"; readonly target: string });

export interface ReadableTree {
  /** @returns undefined when nothing has the path */
  stat(path: TreePath, signal?: AbortSignal): Promise<TreeEntry | undefined>;
  /** Entries of a folder, in byte order of their names. @throws TallystickError NOT_FOUND when the path is no folder */
  list(path: TreePath, signal?: AbortSignal): AsyncIterable<TreeEntry>;
  /**
   * Content of a file. Nothing is fetched before the first piece is read.
   * @throws TallystickError NOT_FOUND when the path is no file; IntegrityError as the error of the stream
   */
  open(path: TreePath, range?: Partial<ByteRange>, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}
