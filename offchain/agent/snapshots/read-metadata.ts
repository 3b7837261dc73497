/** The metadata of a snapshot as a stream, from the objects of a provider. */

import type { EntryMetadata } from "../../core/snapshot/entry-metadata.ts";
import { type MetadataRoot, openMetadataPiece, openMetadataRootOf } from "../../core/snapshot/metadata-objects.ts";
import { decodeMetadataStream } from "../../core/snapshot/metadata-stream.ts";
import type { SnapshotKeys } from "../../core/snapshot/snapshot-keys.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { ObjectSource } from "../read/object-source.ts";

/** Pieces that are fetched ahead: 4 MiB. */
const PIECES_AHEAD = 2;

/**
 * @returns the root, and the keys under which its pieces open
 * @throws IntegrityError when the root is damaged; what the source throws
 */
export async function readMetadataRoot(
  keys: SnapshotKeys,
  metadataId: string,
  source: ObjectSource,
  signal?: AbortSignal,
): Promise<{ readonly root: MetadataRoot; readonly keys: SnapshotKeys }> {
  return openMetadataRootOf(keys, metadataId, await source.fetch(metadataId, signal));
}

/** One item for each entry of the put, in listing order. @throws as `readMetadataRoot`, when it is read */
export async function* readMetadata(
  keys: SnapshotKeys,
  metadataId: string,
  source: ObjectSource,
  signal?: AbortSignal,
): AsyncGenerator<EntryMetadata, void, undefined> {
  const { root, keys: sealedWith } = await readMetadataRoot(keys, metadataId, source, signal);
  async function* refs() {
    yield* root.pieces;
  }
  const pieces = mapOrdered(
    refs(),
    async (piece) => await openMetadataPiece(sealedWith, piece, await source.fetch(piece.id, signal)),
    { concurrency: PIECES_AHEAD },
  );
  yield* decodeMetadataStream(pieces, root);
}
