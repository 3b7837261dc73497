/**
 * Chunks in and chunks out. In: every id is recomputed, bytes are on disk before the index row, the row before the answer; a body
 * is kept whole or not at all. Out: to owners only, and never bytes that do not match their id.
 */
import { equalBytes, sha256 } from "#primitives";
import { merkleRoot } from "../../core/crypto/merkle.ts";
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { Logger } from "../../daemon/logger.ts";
import { type ChunkFrame, readChunkFrames } from "../../http/chunk-frames.ts";
import { DiskFailedError } from "../../store/disk/disk-errors.ts";
import type { ObjectStore } from "../../store/object/object-store.ts";
import type { ChunkIndex, IndexedChunk } from "./chunk-index.ts";

/** Chunks of one request that are being written at the same time; bounds its memory to this many chunks and one more. */
const WRITES_AT_ONCE = 4;

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

export class ChunkService {
  readonly #store: ObjectStore;
  readonly #index: ChunkIndex;
  readonly #logger: Logger;
  readonly #now: () => number;
  /** Objects written by requests that have not committed yet, and by how many of them. */
  readonly #uncommitted = new Map<string, number>();
  /** Removals in progress: a request that wants to write the same object waits for them. */
  readonly #removals = new Map<string, Promise<void>>();

  constructor(store: ObjectStore, index: ChunkIndex, logger: Logger, now: () => number) {
    this.#store = store;
    this.#index = index;
    this.#logger = logger;
    this.#now = now;
  }

  /**
   * Stores the chunks of a body and makes the account their owner.
   * @param body - frames, see `frames.ts`
   * @returns the ids, in the order of the frames; all durable
   * @throws InvalidInputError for malformed frames, IntegrityError for bytes that are not what their id names, TallystickError
   *   DISK_FULL or DISK_FAILED; in each case nothing of the body is kept
   */
  async store(account: string, body: AsyncIterable<Uint8Array>): Promise<string[]> {
    const ids: string[] = [];
    const written: string[] = [];
    const writes: Promise<IndexedChunk>[] = [];
    let committed = false;
    try {
      for await (const frame of readChunkFrames(body)) {
        requireNamed(frame, ids.length);
        ids.push(frame.id);
        // While some chunks are being synced, the next ones are received and hashed.
        await writes.at(-WRITES_AT_ONCE);
        const write = this.#write(frame, written);
        write.catch(() => undefined); // Seen when it is waited for; until then it must not count as unhandled.
        writes.push(write);
      }
      this.#index.record(account, await Promise.all(writes), this.#now());
      committed = true;
    } finally {
      await Promise.allSettled(writes);
      await this.#release(written, committed);
    }
    return ids;
  }

  /** Puts a chunk on disk unless it is there. @param written - gets the id of what has been put there */
  async #write({ id, digest, bytes }: ChunkFrame, written: string[]): Promise<IndexedChunk> {
    const row = this.#index.find(digest);
    if (row?.stored && (await this.#store.has(id))) return row;
    this.#uncommitted.set(id, (this.#uncommitted.get(id) ?? 0) + 1);
    written.push(id);
    await this.#removals.get(id);
    await this.#store.put(id, bytes);
    return { digest, sizeBytes: bytes.length, merkleRoot: row?.merkleRoot ?? merkleRoot(bytes) };
  }

  /** Ends a request's hold on what it wrote, and removes what no request and no row needs. */
  async #release(written: readonly string[], committed: boolean): Promise<void> {
    for (const id of written) {
      const holders = (this.#uncommitted.get(id) ?? 1) - 1;
      if (holders > 0) {
        this.#uncommitted.set(id, holders);
        continue;
      }
      this.#uncommitted.delete(id);
      if (committed || this.#index.find(digestOf(id)) !== undefined) continue;
      const removal = this.#remove(id).finally(() => this.#removals.delete(id));
      this.#removals.set(id, removal);
      await removal;
    }
  }

  async #remove(id: string): Promise<void> {
    try {
      await this.#store.delete(id);
    } catch (cause) {
      // The refusal that led here matters more to the client; the next start removes the file.
      this.#logger.warn({ err: cause, chunk: id }, "a chunk that was not accepted could not be removed");
    }
  }

  /**
   * @returns the ciphertext
   * @throws TallystickError NOT_OWNER, the same whether or not the chunk exists; NOT_FOUND when this provider has lost it
   */
  async serve(account: string, id: string): Promise<Uint8Array> {
    const digest = digestOf(id);
    if (!this.#index.owns(account, digest)) {
      throw new TallystickError("the chunk is not one of the account's", {
        code: "NOT_OWNER",
        party: "client",
        check: "ownership",
        hint: "upload the chunk, or claim it and prove that you have it",
      });
    }
    const bytes = await this.readIntact(id, digest);
    if (bytes === undefined) {
      throw new TallystickError("the provider has lost this chunk", {
        code: "NOT_FOUND",
        party: "provider",
        check: "stored bytes",
        expected: id,
        received: "missing or damaged bytes",
      });
    }
    return bytes;
  }

  /** The bytes of a chunk if they are what the id names. Else undefined, and the chunk counts as lost from now on. */
  async readIntact(id: string, digest: Uint8Array): Promise<Uint8Array | undefined> {
    const bytes = await this.#readable(id);
    if (bytes !== undefined && equalBytes(sha256(bytes), digest)) return bytes;
    const row = this.#index.find(digest);
    if (row?.stored) {
      this.#logger.error(
        { chunk: id, found: bytes === undefined ? "nothing readable" : "other bytes" },
        "STORED CHUNK IS DAMAGED",
      );
      this.#index.markLost(digest);
    }
    return undefined;
  }

  /** Undefined when there are no bytes, or the medium does not give them back (EIO). Other failures say nothing of the bytes. */
  async #readable(id: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#store.get(id);
    } catch (error) {
      if (!(error instanceof DiskFailedError && error.received === "EIO")) throw error;
      this.#logger.error({ err: error, chunk: id }, "a stored chunk cannot be read");
      return undefined;
    }
  }
}
