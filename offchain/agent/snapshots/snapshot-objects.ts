/** The objects that a snapshot needs: those of its data, and those of its metadata. */

import type { ManifestChunk } from "../../core/audit/manifest.ts";
import type { SnapshotKeys } from "../../core/snapshot/snapshot-keys.ts";
import { objectOrder } from "../read/object-order.ts";
import { readMetadataRoot } from "./read-metadata.ts";
import type { SnapshotTree } from "./snapshot-tree.ts";

/**
 * Each distinct object once, the metadata last.
 * @throws IntegrityError, InvalidInputError when recipe or metadata root are damaged; what the source throws
 */
export async function* snapshotObjects(
  keys: SnapshotKeys,
  tree: Omit<SnapshotTree, "metadata">,
  signal?: AbortSignal,
): AsyncGenerator<ManifestChunk, void, undefined> {
  const { dataId, root, rootBytes, source, snapshot } = tree;
  yield* objectOrder(dataId, root, rootBytes, source, signal);
  if (snapshot !== undefined) yield* metadataObjects(keys, snapshot.metadataId, tree, signal);
}

/** Objects of the metadata: the pieces, each once, then the root. */
export async function* metadataObjects(
  keys: SnapshotKeys,
  metadataId: string,
  { source }: Pick<SnapshotTree, "source">,
  signal?: AbortSignal,
): AsyncGenerator<ManifestChunk, void, undefined> {
  const sealed = await source.fetch(metadataId, signal);
  const { root } = await readMetadataRoot(keys, metadataId, { fetch: async () => sealed }, signal);
  const seen = new Set<string>();
  for (const { id, sealedBytes } of root.pieces) {
    if (!seen.has(id)) yield { id, sizeBytes: sealedBytes };
    seen.add(id);
  }
  yield { id: metadataId, sizeBytes: sealed.length };
}
