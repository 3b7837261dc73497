/** A put in memory, shown by a real server on loopback. */

import type { PutInput } from "../../offchain/agent/put/source.ts";
import type { ReadableTree } from "../../offchain/agent/read/readable-tree.ts";
import { StoredTrees, type TreeLimits } from "../../offchain/agent/read/stored-trees.ts";
import { openRoot } from "../../offchain/core/recipe/tree.ts";
import { startTreeServer, type TreeServer, type TreeServerOptions } from "../../offchain/serve/tree-server.ts";
import { MemoryProvider } from "./memory-data-plane.ts";
import { storeInMemory } from "./memory-put.ts";
import { streamed } from "./promises.ts";

export interface ServedTree extends TreeServer {
  readonly provider: MemoryProvider;
  readonly dataId: string;
  /** Errors of requests that failed. */
  readonly failures: unknown[];
}

export async function serveInputs(
  inputs: readonly PutInput[],
  options: Partial<TreeServerOptions> & {
    readonly limits?: Partial<TreeLimits>;
    /** Puts the tree of the inputs into another one. */
    readonly mount?: (tree: ReadableTree) => ReadableTree;
  } = {},
): Promise<ServedTree> {
  const { limits, mount = (tree) => tree, ...rest } = options;
  const provider = new MemoryProvider();
  const { dataId, fileKey, metadata } = await storeInMemory(provider, inputs);
  const open = async (id: string) => ({ root: openRoot(fileKey, id, await provider.fetch(id)) });
  const failures: unknown[] = [];
  const server = await startTreeServer({
    tree: mount(new StoredTrees(open, provider, limits, () => streamed(metadata)).tree(dataId, "metadata")),
    webdav: true,
    onFailure: (error) => failures.push(error),
    ...rest,
  });
  return { ...server, provider, dataId, failures };
}
