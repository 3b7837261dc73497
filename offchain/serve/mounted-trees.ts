/** Trees side by side under names of their own, as one tree. */

import type { ByteRange } from "../agent/read/byte-range.ts";
import type { ReadableTree, TreeEntry, TreePath } from "../agent/read/readable-tree.ts";
import { notThere } from "../agent/read/stored-trees.ts";

export interface MountedTree {
  /** One component. */
  readonly name: string;
  readonly tree: ReadableTree;
  readonly modifiedMillis?: number | undefined;
}

/** The trees that there are now, in the order in which they are listed. */
export type TreeNames = () => Promise<readonly MountedTree[]> | readonly MountedTree[];

/** Mounted trees are listed without being opened: each may need keys and a listing from far away. */
export class MountedTrees implements ReadableTree {
  readonly #names: TreeNames;

  constructor(names: TreeNames) {
    this.#names = names;
  }

  async stat(path: TreePath, signal?: AbortSignal): Promise<TreeEntry | undefined> {
    if (path === "") return { type: "directory", name: "" };
    const { mounted, rest } = await this.#find(path);
    if (mounted === undefined) return undefined;
    return rest === "" ? folderOf(mounted) : await mounted.tree.stat(rest, signal);
  }

  async *list(path: TreePath, signal?: AbortSignal): AsyncGenerator<TreeEntry, void, undefined> {
    if (path === "") {
      yield* (await this.#names()).map(folderOf);
      return;
    }
    const { mounted, rest } = await this.#find(path);
    if (mounted === undefined) throw notThere("folder", path);
    yield* mounted.tree.list(rest, signal);
  }

  async open(path: TreePath, range?: Partial<ByteRange>, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { mounted, rest } = await this.#find(path);
    if (mounted === undefined) throw notThere("file", path);
    return await mounted.tree.open(rest, range, signal);
  }

  async #find(path: TreePath): Promise<{ readonly mounted: MountedTree | undefined; readonly rest: TreePath }> {
    const slash = path.indexOf("/");
    const name = slash === -1 ? path : path.slice(0, slash);
    const mounted = (await this.#names()).find((one) => one.name === name);
    return { mounted, rest: slash === -1 ? "" : path.slice(slash + 1) };
  }
}

function folderOf({ name, modifiedMillis }: MountedTree): TreeEntry {
  return { type: "directory", name, modifiedMillis };
}
