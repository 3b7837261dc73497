/**
 * Chunks in and chunks out. In: every id is recomputed, bytes are in the object store before the index row, and the row
 * before the answer; a body is kept whole or not at all. Out: to owners only, and never bytes that do not match their
 * id.
 */
import { equalBytes, sha256 } from "#primitives";
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { ChunkFrame } from "../../http/chunk-frames.ts";
import type { ChunkIndex, ChunkRow, IndexedChunk, RecordedChunk } from "../../store/index/chunk-index.ts";
import type { Leases } from "../../store/index/leases.ts";
import {
  type Allocate,
  type MayRemove,
  type ObjectStore,
  requireMayRemove,
  UnreadableObjectError,
} from "../../store/object/object-store.ts";
import { CheckedObjects } from "./checked-objects.ts";
import { ObjectLostError } from "./object-lost.ts";
import type { OwnershipChallenges } from "./ownership-challenges.ts";
import { BATCH_BYTES, BATCH_CHUNKS, UploadMemory } from "./upload-memory.ts";

/**
 * Reads the frames of a body as they arrive.
 * @param allocate gives memory for them; all of it is overwritten
 */
export type ReadFrames = (allocate: Allocate) => AsyncIterable<ChunkFrame>;

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

/**
 * Groups the frames of a body; their bytes are checked against their ids as they arrive. A batch is valid until the
 * next one is asked for.
 */
async function* checkedBatches(read: ReadFrames, memory: UploadMemory): AsyncGenerator<ChunkFrame[], void, undefined> {
  let batch: ChunkFrame[] = [];
  let batchBytes = 0;
  let position = 0;
  for await (const frame of read(memory.allocate)) {
    requireNamed(frame, position++);
    batch.push(frame);
    batchBytes += frame.bytes.length;
    if (batch.length < BATCH_CHUNKS && batchBytes < BATCH_BYTES) continue;
    yield batch;
    memory.reset();
    batch = [];
    batchBytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** Others rely on the row of an object coming no later than this after its bytes (`garbage.ts`). */
export const LONGEST_UPLOAD_SECONDS = 1200;

function tooLate(): TallystickError {
  return new TallystickError("storing the chunks took too long", {
    code: "CONFLICT",
    party: "provider",
    check: "duration of an upload",
    expected: `${LONGEST_UPLOAD_SECONDS} seconds at most`,
    hint: "repeat the request; nothing of it was kept",
    retryable: true,
    retryAfterSeconds: 1,
  });
}

function notOwner(): TallystickError {
  return new TallystickError("the chunk does not belong to the account", {
    code: "NOT_OWNER",
    party: "client",
    check: "ownership",
    hint: "upload the chunk, or claim it and prove that you have it",
  });
}

export class ChunkService {
  readonly #store: ObjectStore;
  readonly #index: ChunkIndex;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #shared: Pick<Leases, "life"> | undefined;
  /** Objects of requests that have not committed yet, and of how many of them. */
  readonly #held = new Map<string, number>();
  /** Removals in progress: a request with the same object waits for them. */
  readonly #removals = new Map<string, Promise<void>>();
  readonly #challenges: OwnershipChallenges;
  readonly #checked: CheckedObjects;
  #onUpload: (account: string, madeUp: number) => Promise<void> = async () => undefined;

  /**
   * @param shared of this process, where others put objects into the store too, and may be about to write the row of
   *   one: what a failed request has put there stays until the store is reconciled
   */
  constructor(
    store: ObjectStore,
    index: ChunkIndex,
    challenges: OwnershipChallenges,
    logger: Logger,
    now: () => number,
    { shared }: { shared?: Pick<Leases, "life"> } = {},
  ) {
    this.#store = store;
    this.#shared = shared;
    this.#challenges = challenges;
    this.#index = index;
    this.#logger = logger;
    this.#now = now;
    this.#checked = new CheckedObjects(now);
  }

  /**
   * Stores the chunks of a body and makes the account their owner.
   * @returns the ids, in the order of the frames; all durable
   * @throws InvalidInputError for malformed frames, IntegrityError for bytes that are not what their id names,
   *   TallystickError DISK_FULL or DISK_FAILED; CONFLICT, retryable, when what was put may have been removed meanwhile;
   *   in each case nothing of the body is kept
   */
  async store(account: string, read: ReadFrames): Promise<string[]> {
    const ids: string[] = [];
    const held: string[] = [];
    const chunks: RecordedChunk[] = [];
    const memory = new UploadMemory();
    let committed = false;
    const life = this.#shared?.life;
    const startedAt = performance.now();
    try {
      for await (const batch of checkedBatches(read, memory)) {
        ids.push(...batch.map(({ id }) => id));
        chunks.push(...(await this.#writeBatch(account, batch, held)));
      }
      if (performance.now() - startedAt > LONGEST_UPLOAD_SECONDS * 1000) throw tooLate();
      const madeUp = await this.#index.record(account, chunks, this.#now(), life);
      committed = true;
      if (madeUp > 0) await this.#onUpload(account, madeUp);
    } finally {
      memory.close();
      await this.#release(held, committed);
    }
    return ids;
  }

  /**
   * Puts the chunks of a batch into the object store, in one commit, unless the right bytes are there.
   * @param held - gets the ids that the request holds
   */
  async #writeBatch(account: string, batch: readonly ChunkFrame[], held: string[]): Promise<RecordedChunk[]> {
    const removals: Promise<void>[] = [];
    for (const id of new Set(batch.map((frame) => frame.id))) {
      // Held from before the look-up to the end of the request, written or not: nothing removes it in between.
      this.#held.set(id, (this.#held.get(id) ?? 0) + 1);
      held.push(id);
      const removal = this.#removals.get(id);
      if (removal !== undefined) removals.push(removal);
    }
    await Promise.all(removals);
    const rows = await this.#index.find(batch.map(({ digest }) => digest));
    const isStored = await this.#intactIn(account, batch, rows);
    const needed = new Map<string, ChunkFrame>();
    for (const [k, frame] of batch.entries()) if (!isStored[k]) needed.set(frame.id, frame);
    await this.#store.putMany([...needed.values()]);
    for (const { digest } of needed.values()) this.#checked.note(digest);
    return batch.map(({ digest, bytes }, k) => ({
      digest,
      sizeBytes: bytes.length,
      challenges: this.#challenges.prepareFew(digest, bytes),
      hadRow: rows[k] !== undefined,
    }));
  }

  /**
   * Which objects of a batch need not be written, because the store has the same bytes. They are read to find out,
   * unless they were checked lately: this upload is the occasion to repair what is damaged. An owner who uploads an
   * object again may have found it damaged, so that a recent check does not count.
   */
  async #intactIn(
    account: string,
    batch: readonly ChunkFrame[],
    rows: readonly (ChunkRow | undefined)[],
  ): Promise<boolean[]> {
    if (!rows.some((row) => row?.stored)) return batch.map(() => false);
    const owned = await this.#index.owns(
      account,
      batch.map(({ digest }) => digest),
    );
    const intact: boolean[] = [];
    for (const [k, { id, digest, bytes }] of batch.entries()) {
      if (!rows[k]?.stored) intact.push(false);
      else if (!owned[k] && this.#checked.isRecent(digest)) intact.push(true);
      else intact.push(await this.#holds(id, digest, bytes));
    }
    return intact;
  }

  /** Whether the store has these bytes, which have been checked, under the id. */
  async #holds(id: string, digest: Uint8Array, bytes: Uint8Array): Promise<boolean> {
    const found = await this.#readable(id);
    if (found !== undefined && Buffer.compare(found, bytes) === 0) {
      this.#checked.note(digest);
      return true;
    }
    await this.#noteDamage(id, digest, found);
    return false;
  }

  /** Ends a request's hold, and removes what no request and no row needs. */
  async #release(held: readonly string[], committed: boolean): Promise<void> {
    const unneeded: string[] = [];
    for (const id of held) {
      const holders = (this.#held.get(id) ?? 1) - 1;
      if (holders > 0) {
        this.#held.set(id, holders);
        continue;
      }
      this.#held.delete(id);
      if (!committed) unneeded.push(id);
    }
    if (unneeded.length === 0 || this.#shared !== undefined) return;
    await this.#whileRemoving(unneeded, () => this.#removeUnindexed(unneeded));
  }

  /** Registers a removal before anything is waited for: requests with one of these ids wait for it from here on. */
  async #whileRemoving(ids: readonly string[], remove: () => Promise<void>): Promise<void> {
    const removal = remove();
    // Whoever waits only needs to know that it is over.
    const over = removal.catch(() => undefined);
    for (const id of ids) this.#removals.set(id, over);
    try {
      await removal;
    } finally {
      for (const id of ids) if (this.#removals.get(id) === over) this.#removals.delete(id);
    }
  }

  /**
   * Removes chunks that have been unused since a time or longer, and their bytes. A claim, an upload or a manifest that
   * comes first keeps a chunk; one that comes later finds it missing. After a crash in between, the next call goes on.
   * @param mayRemove asked right before each step: whether no other process may have gone on with the removal, after
   *   which the same bytes may have come again
   * @returns those that were removed
   * @throws RemovalStoppedError, retryable: chunks whose removal has begun are refused until a later call ends it
   */
  async removeUnused(unused: readonly IndexedChunk[], since: number, mayRemove?: MayRemove): Promise<IndexedChunk[]> {
    const candidates = unused.filter(({ digest }) => {
      const id = contentIdFromDigest(digest);
      return !this.#held.has(id) && !this.#removals.has(id);
    });
    const ids = candidates.map(({ digest }) => contentIdFromDigest(digest));
    let removed: IndexedChunk[] = [];
    await this.#whileRemoving(ids, async () => {
      requireMayRemove(mayRemove);
      const begun = await this.#index.beginRemoval(
        candidates.map(({ digest }) => digest),
        since,
      );
      const begunIds = new Set(begun.map(contentIdFromDigest));
      for (const digest of begun) this.#checked.forget(digest);
      await this.#store.deleteMany([...begunIds], mayRemove);
      // The rows belong to whoever goes on with the removal: without them, the bytes could come again in the middle.
      requireMayRemove(mayRemove);
      await this.#index.endRemoval(begun);
      removed = candidates.filter((_, k) => begunIds.has(ids[k] ?? ""));
    });
    return removed;
  }

  async #removeUnindexed(ids: readonly string[]): Promise<void> {
    try {
      const rows = await this.#index.find(ids.map(digestOf));
      await this.#store.deleteMany(ids.filter((_, k) => rows[k] === undefined));
    } catch (cause) {
      // The refusal that led here matters more to the client; the next start removes the files.
      this.#logger.warn({ err: cause, chunks: ids.length }, "chunks that were not accepted could not be removed");
    }
  }

  /**
   * Returns an object. One that was checked lately is not hashed: its owner verifies it, and may tell.
   * @param allocate gives memory for it
   * @returns the ciphertext
   * @throws TallystickError NOT_OWNER, the same whether or not the chunk exists; ObjectLostError
   */
  async serve(account: string, id: string, allocate?: Allocate): Promise<Uint8Array> {
    const digest = digestOf(id);
    const [isOwner] = await this.#index.owns(account, [digest]);
    if (!isOwner) throw notOwner();
    const bytes = this.#checked.isRecent(digest)
      ? ((await this.#readable(id, allocate)) ?? (await this.readIntact(id, digest, allocate)))
      : await this.readIntact(id, digest, allocate);
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

  /**
   * Reads objects that their owner has found damaged.
   * @returns the ids of those that are: an upload of them is stored
   * @throws TallystickError NOT_OWNER, the same whether or not the chunk exists
   */
  async inspectFor(account: string, ids: readonly string[]): Promise<string[]> {
    const digests = ids.map(digestOf);
    const owned = await this.#index.owns(account, digests);
    if (!owned.every(Boolean)) throw notOwner();
    const lost: string[] = [];
    for (const [k, digest] of digests.entries()) {
      const id = ids[k] ?? "";
      if ((await this.readIntact(id, digest)) === undefined) lost.push(id);
    }
    return lost;
  }

  /** The bytes of a chunk if they are what the id names. Else undefined, and the chunk counts as lost from now on. */
  async readIntact(id: string, digest: Uint8Array, allocate?: Allocate): Promise<Uint8Array | undefined> {
    const bytes = await this.#readable(id, allocate);
    if (bytes !== undefined && equalBytes(sha256(bytes), digest)) {
      this.#checked.note(digest);
      return bytes;
    }
    await this.#noteDamage(id, digest, bytes);
    return undefined;
  }

  /** @param found what is there in place of the right bytes */
  async #noteDamage(id: string, digest: Uint8Array, found: Uint8Array | undefined): Promise<void> {
    this.#checked.forget(digest);
    const [row] = await this.#index.find([digest]);
    if (!row?.stored) return;
    const received = found === undefined ? "nothing readable" : "other bytes";
    this.#logger.error({ chunk: id, found: received }, "STORED CHUNK IS DAMAGED");
    await this.#index.markLost([digest]);
  }

  /**
   * Undefined when there are no bytes, or the medium does not return them. Other failures say nothing about the bytes.
   */
  async #readable(id: string, allocate?: Allocate): Promise<Uint8Array | undefined> {
    try {
      return await this.#store.get(id, allocate);
    } catch (error) {
      if (!(error instanceof UnreadableObjectError)) throw error;
      this.#logger.error({ err: error, chunk: id }, "a stored chunk cannot be read");
      return undefined;
    }
  }
}
