/**
 * Chunks in and chunks out. In: every id is recomputed, bytes are in the object store before the index row, and the row
 * before the answer; a body is kept whole or not at all. Out: to owners only, and never bytes that do not match their
 * id.
 */
import PQueue from "p-queue";
import { equalBytes, sha256 } from "#primitives";
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { Logger } from "../../daemon/logger.ts";
import { type ChunkFrame, readChunkFrames } from "../../http/chunk-frames.ts";
import type { ChunkIndex, ChunkRow, RecordedChunk } from "../../store/index/chunk-index.ts";
import { type ObjectStore, UnreadableObjectError } from "../../store/object/object-store.ts";
import { ObjectLostError } from "./object-lost.ts";
import type { OwnershipChallenges } from "./ownership-challenges.ts";

/** Chunks of one request that are written at the same time. */
const WRITES_AT_ONCE = 4;
/** One look-up in the index is made for so many chunks, or bytes, of a request. Two batches are in memory at a time. */
const BATCH_CHUNKS = 64;
const BATCH_BYTES = 4 * 1024 * 1024;

/** @throws IntegrityError when the bytes are not what the id names */
function requireNamed({ id, digest, bytes }: ChunkFrame, position: number): void {
  const received = sha256(bytes);
  if (equalBytes(received, digest)) return;
  throw new IntegrityError(`the bytes of frame ${position} are not what their id names`, {
    party: "client",
    check: "content id",
    expected: id,
    received: contentIdFromDigest(received),
  });
}

/** Groups the frames of a body; their bytes are checked against their ids as they arrive. */
async function* checkedBatches(body: AsyncIterable<Uint8Array>): AsyncGenerator<ChunkFrame[], void, undefined> {
  let batch: ChunkFrame[] = [];
  let batchBytes = 0;
  let position = 0;
  for await (const frame of readChunkFrames(body)) {
    requireNamed(frame, position++);
    batch.push(frame);
    batchBytes += frame.bytes.length;
    if (batch.length < BATCH_CHUNKS && batchBytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    batchBytes = 0;
  }
  if (batch.length > 0) yield batch;
}

export class ChunkService {
  readonly #store: ObjectStore;
  readonly #index: ChunkIndex;
  readonly #logger: Logger;
  readonly #now: () => number;
  /** Objects written by requests that have not committed yet, and by how many of them. */
  readonly #uncommitted = new Map<string, number>();
  /** Removals in progress: a request that writes the same object waits for them. */
  readonly #removals = new Map<string, Promise<void>>();
  readonly #challenges: OwnershipChallenges;
  #onUpload: (account: string, madeUp: number) => Promise<void> = async () => undefined;

  constructor(
    store: ObjectStore,
    index: ChunkIndex,
    challenges: OwnershipChallenges,
    logger: Logger,
    now: () => number,
  ) {
    this.#store = store;
    this.#challenges = challenges;
    this.#index = index;
    this.#logger = logger;
    this.#now = now;
  }

  /**
   * Stores the chunks of a body and makes the account their owner.
   * @param body - frames, see `http/chunk-frames.ts`
   * @returns the ids, in the order of the frames; all durable
   * @throws InvalidInputError for malformed frames, IntegrityError for bytes that are not what their id names,
   *   TallystickError DISK_FULL or DISK_FAILED; in each case nothing of the body is kept
   */
  async store(account: string, body: AsyncIterable<Uint8Array>): Promise<string[]> {
    const ids: string[] = [];
    const written: string[] = [];
    const chunks: RecordedChunk[] = [];
    let writing: Promise<RecordedChunk[]> = Promise.resolve([]);
    let committed = false;
    try {
      for await (const batch of checkedBatches(body)) {
        // One batch is written while the next is received.
        chunks.push(...(await writing));
        ids.push(...batch.map(({ id }) => id));
        writing = this.#writeBatch(batch, written);
        writing.catch(() => undefined); // Seen when it is waited for; until then it must not count as unhandled.
      }
      chunks.push(...(await writing));
      const madeUp = await this.#index.record(account, chunks, this.#now());
      committed = true;
      if (madeUp > 0) await this.#onUpload(account, madeUp);
    } finally {
      await Promise.allSettled([writing]);
      await this.#release(written, committed);
    }
    return ids;
  }

  /**
   * Settles when all writes of the batch have, so that none is under way when a failed request removes what it wrote.
   */
  async #writeBatch(batch: readonly ChunkFrame[], written: string[]): Promise<RecordedChunk[]> {
    const rows = await this.#index.find(batch.map(({ digest }) => digest));
    const queue = new PQueue({ concurrency: WRITES_AT_ONCE });
    const outcomes = await Promise.allSettled(
      batch.map((frame, k) => queue.add(() => this.#write(frame, rows[k], written))),
    );
    return outcomes.map((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    });
  }

  /**
   * Puts a chunk into the object store unless the right bytes are there. They are read to find out: a file of the right
   * name may be damaged, and this upload is the occasion to repair it.
   * @param written - gets the id of what has been put there
   */
  async #write(
    { id, digest, bytes }: ChunkFrame,
    row: ChunkRow | undefined,
    written: string[],
  ): Promise<RecordedChunk> {
    const challenges = this.#challenges.prepare(digest, bytes);
    const chunk = { digest, sizeBytes: bytes.length, challenges };
    if (row?.stored && (await this.readIntact(id, digest)) !== undefined) return chunk;
    this.#uncommitted.set(id, (this.#uncommitted.get(id) ?? 0) + 1);
    written.push(id);
    await this.#removals.get(id);
    await this.#store.put(id, bytes);
    return chunk;
  }

  /** Ends a request's hold on what it wrote, and removes what no request and no row needs. */
  async #release(written: readonly string[], committed: boolean): Promise<void> {
    const unneeded: string[] = [];
    for (const id of written) {
      const holders = (this.#uncommitted.get(id) ?? 1) - 1;
      if (holders > 0) {
        this.#uncommitted.set(id, holders);
        continue;
      }
      this.#uncommitted.delete(id);
      if (!committed) unneeded.push(id);
    }
    if (unneeded.length === 0) return;
    // Registered before anything is waited for: a request that writes one of these from here on waits for the removal.
    const removal = this.#removeUnindexed(unneeded);
    for (const id of unneeded) this.#removals.set(id, removal);
    await removal;
    for (const id of unneeded) if (this.#removals.get(id) === removal) this.#removals.delete(id);
  }

  async #removeUnindexed(ids: readonly string[]): Promise<void> {
    try {
      const rows = await this.#index.find(ids.map(digestOf));
      for (const [k, id] of ids.entries()) if (rows[k] === undefined) await this.#store.delete(id);
    } catch (cause) {
      // The refusal that led here matters more to the client; the next start removes the files.
      this.#logger.warn({ err: cause, chunks: ids.length }, "chunks that were not accepted could not be removed");
    }
  }

  /**
   * @returns the ciphertext
   * @throws TallystickError NOT_OWNER, the same whether or not the chunk exists; ObjectLostError
   */
  async serve(account: string, id: string): Promise<Uint8Array> {
    const digest = digestOf(id);
    const [isOwner] = await this.#index.owns(account, [digest]);
    if (!isOwner) {
      throw new TallystickError("the chunk does not belong to the account", {
        code: "NOT_OWNER",
        party: "client",
        check: "ownership",
        hint: "upload the chunk, or claim it and prove that you have it",
      });
    }
    const bytes = await this.readIntact(id, digest);
    if (bytes === undefined) throw new ObjectLostError(id);
    return bytes;
  }

  /** Calls back with the number of failed claims for which an upload of the account makes up. */
  onUpload(notify: (account: string, madeUp: number) => Promise<void>): void {
    this.#onUpload = notify;
  }

  /**
   * Reads a stored chunk, checks it, and prepares new ownership challenges. A chunk that is not intact counts as lost
   * from now on.
   */
  async inspect(digest: Uint8Array): Promise<void> {
    const bytes = await this.readIntact(contentIdFromDigest(digest), digest);
    if (bytes !== undefined) await this.#index.setChallenges(digest, this.#challenges.prepare(digest, bytes));
  }

  /** The bytes of a chunk if they are what the id names. Else undefined, and the chunk counts as lost from now on. */
  async readIntact(id: string, digest: Uint8Array): Promise<Uint8Array | undefined> {
    const bytes = await this.#readable(id);
    if (bytes !== undefined && equalBytes(sha256(bytes), digest)) return bytes;
    const [row] = await this.#index.find([digest]);
    if (row?.stored) {
      this.#logger.error(
        { chunk: id, found: bytes === undefined ? "nothing readable" : "other bytes" },
        "STORED CHUNK IS DAMAGED",
      );
      await this.#index.markLost([digest]);
    }
    return undefined;
  }

  /**
   * Undefined when there are no bytes, or the medium does not return them. Other failures say nothing about the bytes.
   */
  async #readable(id: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#store.get(id);
    } catch (error) {
      if (!(error instanceof UnreadableObjectError)) throw error;
      this.#logger.error({ err: error, chunk: id }, "a stored chunk cannot be read");
      return undefined;
    }
  }
}
