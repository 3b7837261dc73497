/**
 * Reconciles the index with the object store after a start. Bytes without a row were never acknowledged and are
 * removed, unless another process of the provider may be about to write the row. A row whose bytes are missing or of
 * another length is noted as lost, so that they are asked for again;
 * data sets that need them are found by their next proof. Content is not hashed here: audits, claims and reads do
 * that.
 */
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { InvalidInputError } from "../../core/errors.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { ChunkIndex, ChunkRow } from "../../store/index/chunk-index.ts";
import { type MayRemove, type ObjectStore, RemovalStoppedError } from "../../store/object/object-store.ts";
import type { ChunkService } from "./chunk-service.ts";

/** Objects looked up in the index, or in the store, at once. */
const BATCH = 256;

export interface Reconciliation {
  /** Objects removed because no row names them. */
  removed: number;
  /** Rows noted as lost. */
  lost: number;
  /** Rows noted as lost whose bytes are back. */
  found: number;
}

interface Parts {
  readonly store: ObjectStore;
  readonly index: ChunkIndex;
  readonly chunks: ChunkService;
  readonly logger: Logger;
}

/**
 * Brings index and store together. Run before anything is served.
 * @param isAlone asked before each removal: whether no other process may have put bytes whose row is still to come
 */
export async function reconcileChunks(
  store: ObjectStore,
  index: ChunkIndex,
  chunks: ChunkService,
  logger: Logger,
  { isAlone }: { isAlone: MayRemove },
): Promise<Reconciliation> {
  const parts = { store, index, chunks, logger };
  const removed = await removeUnindexed(parts, isAlone);
  const outcome = { removed, lost: 0, found: 0 };
  for await (const page of index.pages()) {
    for (let first = 0; first < page.length; first += BATCH) {
      const { lost, found } = await compareRows(parts, page.slice(first, first + BATCH));
      outcome.lost += lost;
      outcome.found += found;
    }
  }
  return outcome;
}

async function removeUnindexed({ store, index }: Parts, isAlone: MayRemove): Promise<number> {
  if (!isAlone()) return 0;
  let removed = 0;
  let batch: string[] = [];
  const removeFromBatch = async (): Promise<void> => {
    const digests = batch.map(digestIfNamed);
    const named = digests.filter((digest) => digest !== undefined);
    const rows = await index.find(named);
    const indexed = new Set(rows.filter((row) => row !== undefined).map(({ digest }) => contentIdFromDigest(digest)));
    removed += await store.deleteMany(
      batch.filter((id) => !indexed.has(id)),
      isAlone,
    );
    batch = [];
  };
  try {
    for await (const id of store.list()) {
      batch.push(id);
      if (batch.length === BATCH) await removeFromBatch();
      if (!isAlone()) return removed;
    }
    await removeFromBatch();
  } catch (error) {
    // What is left waits for the next process that starts alone.
    if (!(error instanceof RemovalStoppedError)) throw error;
  }
  return removed;
}

async function compareRows(
  { store, index, chunks, logger }: Parts,
  rows: readonly ChunkRow[],
): Promise<{ lost: number; found: number }> {
  const sizes = await Promise.all(rows.map(({ digest }) => store.size(contentIdFromDigest(digest))));
  const lost: Uint8Array[] = [];
  const found: Uint8Array[] = [];
  for (const [k, row] of rows.entries()) {
    const id = contentIdFromDigest(row.digest);
    const foundBytes = sizes[k];
    if (row.stored && foundBytes !== row.sizeBytes) {
      logger.error({ chunk: id, expectedBytes: row.sizeBytes, foundBytes: foundBytes ?? 0 }, "STORED CHUNK IS LOST");
      lost.push(row.digest);
    } else if (!row.stored && foundBytes === row.sizeBytes && (await chunks.readIntact(id, row.digest)) !== undefined) {
      found.push(row.digest);
    }
  }
  await index.markLost(lost);
  await index.markStored(found);
  return { lost: lost.length, found: found.length };
}

/** Undefined for a name that this provider does not give: some other file, to be removed like any leftover. */
function digestIfNamed(id: string): Uint8Array | undefined {
  try {
    return digestOf(id);
  } catch (error) {
    if (error instanceof InvalidInputError) return undefined;
    throw error;
  }
}
