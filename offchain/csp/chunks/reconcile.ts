/**
 * After a start: are the index and the object store of one mind? Bytes without a row were never acknowledged and go. A row whose
 * bytes are missing or of another length stops claiming them, so that they are asked for again; agreements that need them
 * are found out by their next proof. Content is not hashed here: that is what audits and reads do.
 */
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { InvalidInputError } from "../../core/errors.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { ObjectStore } from "../../store/object/object-store.ts";
import type { ChunkIndex, ChunkRow } from "./chunk-index.ts";
import type { ChunkService } from "./chunk-service.ts";

/** Look-ups at once. */
const CONCURRENCY = 64;

export interface Reconciliation {
  /** Objects removed because no row names them. */
  removed: number;
  /** Rows that no longer claim their bytes. */
  lost: number;
  /** Rows noted as lost whose bytes are there after all. */
  found: number;
}

/** Brings index and store together. Run before anything is served. */
export async function reconcileChunks(
  store: ObjectStore,
  index: ChunkIndex,
  chunks: ChunkService,
  logger: Logger,
): Promise<Reconciliation> {
  const outcome = { removed: 0, lost: 0, found: 0 };
  for await (const id of store.list()) {
    if (isIndexed(index, id)) continue;
    await store.delete(id);
    outcome.removed += 1;
  }
  const check = async (row: ChunkRow): Promise<void> => {
    const id = contentIdFromDigest(row.digest);
    const sizeBytes = await store.size(id);
    if (row.stored && sizeBytes !== row.sizeBytes) {
      logger.error({ chunk: id, expectedBytes: row.sizeBytes, foundBytes: sizeBytes ?? 0 }, "STORED CHUNK IS LOST");
      index.markLost(row.digest);
      outcome.lost += 1;
    } else if (!row.stored && sizeBytes === row.sizeBytes && (await chunks.readIntact(id, row.digest)) !== undefined) {
      index.markStored(row.digest);
      outcome.found += 1;
    }
  };
  let batch: Promise<void>[] = [];
  for (const row of index.all()) {
    batch.push(check(row));
    if (batch.length < CONCURRENCY) continue;
    await Promise.all(batch);
    batch = [];
  }
  await Promise.all(batch);
  return outcome;
}

function isIndexed(index: ChunkIndex, id: string): boolean {
  try {
    return index.find(digestOf(id)) !== undefined;
  } catch (error) {
    // Not a name this provider gives: some other file, to be removed like any leftover.
    if (error instanceof InvalidInputError) return false;
    throw error;
  }
}
