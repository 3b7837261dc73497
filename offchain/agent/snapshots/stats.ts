/**
 * Sizes: of each snapshot as it would be restored, and of the objects that hold it. Objects that several snapshots
 * share are counted once in all, and for each snapshot it is told what only it needs.
 */

import type { SnapshotTree } from "./snapshot-tree.ts";

export interface SnapshotSizes {
  readonly snapshotId?: string;
  readonly dataId: string;
  readonly entries: number;
  /** Plaintext bytes of all files. */
  readonly bytes: number;
  /** Distinct objects, and their bytes. */
  readonly objects: number;
  readonly storedBytes: number;
  /** Of these, the objects that no other of the given snapshots has. */
  readonly uniqueObjects: number;
  readonly uniqueBytes: number;
}

export interface StatsReport {
  readonly snapshots: readonly SnapshotSizes[];
  readonly total: {
    readonly snapshots: number;
    /** Plaintext bytes of all snapshots, each counted in full. */
    readonly bytes: number;
    /** Distinct objects of all of them. */
    readonly objects: number;
    readonly storedBytes: number;
  };
}

interface Holder {
  readonly sizeBytes: number;
  /** Position of the only tree that has it; -1 when several have. */
  only: number;
}

/**
 * Memory: what is kept for each distinct object.
 * @param trees of distinct snapshots
 * @param objectsOf distinct objects of a tree
 */
export async function measureTrees(
  trees: AsyncIterable<SnapshotTree>,
  objectsOf: (tree: SnapshotTree) => AsyncIterable<{ readonly id: string; readonly sizeBytes: number }>,
  signal?: AbortSignal,
): Promise<StatsReport> {
  const holders = new Map<string, Holder>();
  const sizes: Omit<SnapshotSizes, "uniqueObjects" | "uniqueBytes">[] = [];
  for await (const tree of trees) {
    const position = sizes.length;
    let [objects, storedBytes] = [0, 0];
    for await (const { id, sizeBytes } of objectsOf(tree)) {
      signal?.throwIfAborted();
      objects += 1;
      storedBytes += sizeBytes;
      const holder = holders.get(id);
      if (holder === undefined) holders.set(id, { sizeBytes, only: position });
      else if (holder.only !== position) holder.only = -1;
    }
    const { dataId, snapshot, root } = tree;
    const named = snapshot === undefined ? {} : { snapshotId: snapshot.id };
    sizes.push({ ...named, dataId, entries: root.entryCount, bytes: root.totalBytes, objects, storedBytes });
  }
  const unique = sizes.map(() => ({ uniqueObjects: 0, uniqueBytes: 0 }));
  for (const { sizeBytes, only } of holders.values()) {
    const own = unique[only];
    if (own === undefined) continue;
    own.uniqueObjects += 1;
    own.uniqueBytes += sizeBytes;
  }
  return {
    snapshots: sizes.map((size, k) => ({ ...size, ...(unique[k] ?? { uniqueObjects: 0, uniqueBytes: 0 }) })),
    total: {
      snapshots: sizes.length,
      bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0),
      objects: holders.size,
      storedBytes: [...holders.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    },
  };
}
