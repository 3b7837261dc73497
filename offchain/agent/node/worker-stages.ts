/**
 * The stages of puts and gets on worker threads. Chunks are framed, sealed and opened in place, small files framed in
 * groups. Memory moves to the thread and back, so no byte is copied between threads, and no thread sees what another
 * one writes; that of chunks is used again. It is not a SharedArrayBuffer, because copies into shared memory go word by
 * word: they took four times as long, 0.4 s of processor time per GiB in all, and requests of some platforms refuse
 * such memory.
 */
import { availableParallelism } from "node:os";
import { CHUNK_OVERHEAD_BYTES } from "../../core/crypto/encryption.ts";
import { layOutBundle } from "../../core/crypto/segments.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import { FRAME_HEAD_BYTES, MAX_FRAME_BYTES } from "../../core/recipe/frame.ts";
import type { ChunkRef } from "../../core/recipe/recipe.ts";
import {
  type DataStages,
  type Framed,
  localStages,
  type OpenOutcome,
  type PackedObject,
} from "../pipeline/data-stages.ts";
import { WorkerOprf } from "./worker-oprf.ts";
import { type ChunkFailure, type DataAnswer, type DataCall, type DataResult, WorkerPool } from "./worker-pool.ts";

const WORKERS = Math.min(availableParallelism(), 8);
/** A frame of the largest size, and the tag. */
const SLOT_BYTES = MAX_FRAME_BYTES + CHUNK_OVERHEAD_BYTES;
/** Three of four chunks fit this, so that slots are a third larger than chunks on average, and not twice as large. */
const SHORT_SLOT_BYTES = 1_310_720;
const SLOT_SIZES: ReadonlySet<number> = new Set([SHORT_SLOT_BYTES, SLOT_BYTES]);
/** Slots of one size that are kept for use again. */
const KEPT_SLOTS = 64;
/** A frame that compressed below this leaves its slot, so that batches of such frames do not hold many slots. */
const SHORT_FRAME_BYTES = SLOT_BYTES / 4;
/** Most frames of small files in one message. */
const GROUP_FRAMES = 64;
/** Frames that are fewer bytes together are framed sooner than a thread has started. */
const SHORT_GROUP_BYTES = 64 * 1024;
/** Shorter objects are opened sooner than they are sent. */
const SHORT_OBJECT_BYTES = 64 * 1024;

interface WaitingFrame {
  readonly stored: Uint8Array;
  resolve(framed: Framed | Promise<Framed>): void;
  reject(error: unknown): void;
}

/** @param workers threads, which start when they are first needed */
export function openWorkerStages(workers: number = WORKERS): DataStages {
  return new WorkerStages(workers);
}

/** As `openWorkerStages`, with threads that start at once: for a caller that has to wait for something else first. */
export function startWorkerStages(workers: number = WORKERS): DataStages {
  const stages = new WorkerStages(workers);
  stages.start();
  return stages;
}

class WorkerStages implements DataStages {
  readonly oprf: WorkerOprf;
  readonly #pool: WorkerPool;
  readonly #free = new Map<number, ArrayBuffer[]>([...SLOT_SIZES].map((sizeBytes) => [sizeBytes, []]));
  /** Frames of small files that go out together once this turn of the event loop has ended. */
  #waiting: WaitingFrame[] = [];

  constructor(limit: number) {
    this.#pool = new WorkerPool(limit);
    this.oprf = new WorkerOprf(this.#pool);
  }

  start(): void {
    this.#pool.start();
  }

  readonly allocate = (neededBytes: number, outgrown?: Uint8Array): Uint8Array => {
    const isShort = neededBytes + CHUNK_OVERHEAD_BYTES <= SHORT_SLOT_BYTES;
    const slot = this.#slot(isShort ? SHORT_SLOT_BYTES : SLOT_BYTES).subarray(0, -CHUNK_OVERHEAD_BYTES);
    if (outgrown !== undefined) {
      slot.set(outgrown);
      this.release(outgrown);
    }
    return slot;
  };

  readonly allocateSealed = (): Uint8Array => this.#slot(SLOT_BYTES);

  #slot(sizeBytes: number): Uint8Array {
    return new Uint8Array(this.#free.get(sizeBytes)?.pop() ?? new ArrayBuffer(sizeBytes));
  }

  async frame(stored: Uint8Array): Promise<Framed> {
    const slot = slotOf(stored);
    if (slot === undefined) return await this.#frameInGroup(stored);
    const answer = await this.#perform({ step: "frame", stored: [{ memory: slot, lengthBytes: stored.length }] });
    const { bytes: frame, digest } = resultOf(answer, 0);
    if (frame.length >= SHORT_FRAME_BYTES) return { frame, digest };
    const copy = frame.slice();
    this.release(frame);
    return { frame: copy, digest };
  }

  async seal(frame: Uint8Array, key: Uint8Array): Promise<{ id: string; sealed: Uint8Array }> {
    const memory = slotOf(frame);
    // Short ones are sealed sooner than they are copied and sent.
    if (memory === undefined) return await localStages.seal(frame, key);
    const answer = await this.#perform({ step: "seal", memory, frameBytes: frame.length, key });
    const { bytes: sealed, digest } = resultOf(answer, 0);
    return { id: contentIdFromDigest(digest), sealed };
  }

  async pack(frame: Uint8Array, key: Uint8Array): Promise<PackedObject> {
    const memory = slotOf(frame);
    if (memory === undefined) return await localStages.pack(frame, key);
    const answer = await this.#perform({ step: "pack", memory, frameBytes: frame.length, key });
    const { bytes: sealed, digest, stub } = resultOf(answer, 0);
    if (stub === undefined) throw new TallystickError("a worker thread gave no stub", { code: "INTERNAL" });
    return { id: contentIdFromDigest(digest), sealed, stub };
  }

  async sealBundle(frames: readonly Uint8Array[], key: Uint8Array): Promise<{ id: string; sealed: Uint8Array }> {
    const frameBytes = frames.map(({ length }) => length);
    if (frameBytes.reduce((sum, length) => sum + length, 0) < SHORT_GROUP_BYTES)
      return await localStages.sealBundle(frames, key);
    const { buffer: memory, length: bundleBytes } = layOutBundle(frames, this.allocateSealed());
    const work = { step: "seal bundle", memory: memory as ArrayBuffer, frameBytes, bundleBytes, key } as const;
    const { bytes: sealed, digest } = resultOf(await this.#perform(work), 0);
    return { id: contentIdFromDigest(digest), sealed };
  }

  async open(sealed: Uint8Array, ref: ChunkRef, macKey?: Uint8Array): Promise<OpenOutcome> {
    if (sealed.length < SHORT_OBJECT_BYTES || sealed.length > SLOT_BYTES) {
      const outcome = await localStages.open(sealed, ref, macKey);
      this.release(sealed);
      return outcome;
    }
    // The plaintext may be longer than what is sealed.
    const slot = slotOf(sealed);
    const isLong = slot?.byteLength === SLOT_BYTES;
    const memory = isLong ? slot : slotWith(this.allocateSealed(), sealed);
    if (!isLong) this.release(sealed);
    const { id, key } = ref;
    const own = { ...ref, key: key.slice() };
    const answer = await this.#perform({ step: "open", memory, sealedBytes: sealed.length, ref: own, macKey });
    const { bytes, digest, mac, failure } = resultOf(answer, 0, FRAME_HEAD_BYTES);
    const received = contentIdFromDigest(digest);
    if (received === id && failure === undefined) {
      return { id, opened: mac === undefined ? { plaintext: bytes } : { plaintext: bytes, mac } };
    }
    this.release(bytes);
    return failure === undefined ? { id: received } : { id, failure: errorOf(failure) };
  }

  release(bytes: Uint8Array): void {
    const { buffer } = bytes;
    const free = buffer instanceof ArrayBuffer ? this.#free.get(buffer.byteLength) : undefined;
    if (free === undefined) return;
    // Memory that is given back twice would be in use twice.
    if (free.length < KEPT_SLOTS && !free.includes(buffer as ArrayBuffer)) free.push(buffer as ArrayBuffer);
  }

  async close(): Promise<void> {
    await this.oprf.settle();
    await this.#pool.close();
  }

  #frameInGroup(stored: Uint8Array): Promise<Framed> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ stored, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => this.#sendGroups());
    });
  }

  #sendGroups(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.reduce((sum, { stored }) => sum + stored.length, 0) < SHORT_GROUP_BYTES) {
      for (const { stored, resolve } of waiting) resolve(localStages.frame(stored));
      return;
    }
    const size = Math.min(GROUP_FRAMES, Math.ceil(waiting.length / this.#pool.limit));
    for (let start = 0; start < waiting.length; start += size) void this.#sendGroup(waiting.slice(start, start + size));
  }

  async #sendGroup(group: readonly WaitingFrame[]): Promise<void> {
    try {
      const stored = group.map(({ stored: frame }) => ({ memory: movable(frame), lengthBytes: frame.length }));
      const answer = await this.#perform({ step: "frame", stored });
      for (const [index, { resolve }] of group.entries()) {
        const { bytes: frame, digest } = resultOf(answer, index);
        // A short frame does not hold on to the memory of the file it came from.
        resolve({ frame: 2 * frame.length < frame.buffer.byteLength ? frame.slice() : frame, digest });
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  #perform(work: DataCall): Promise<DataAnswer> {
    const moved = work.step === "frame" ? work.stored.map(({ memory }) => memory) : [work.memory];
    return this.#pool.perform(work, this.#pool.leastBusy(), moved);
  }
}

/** Memory that holds nothing but the frame, from its first byte on. */
function movable(frame: Uint8Array): ArrayBuffer {
  const { buffer } = frame;
  return buffer instanceof ArrayBuffer && frame.byteOffset === 0 ? buffer : Uint8Array.from(frame).buffer;
}

/** Memory that `allocate` gave; undefined for any other. */
function slotOf({ buffer, byteOffset }: Uint8Array): ArrayBuffer | undefined {
  return buffer instanceof ArrayBuffer && SLOT_SIZES.has(buffer.byteLength) && byteOffset === 0 ? buffer : undefined;
}

function slotWith(slot: Uint8Array, content: Uint8Array): ArrayBuffer {
  slot.set(content);
  return slot.buffer as ArrayBuffer;
}

/** @param start where the bytes begin in the memory */
function resultOf({ results, memory }: DataAnswer, index: number, start = 0): DataResult & { bytes: Uint8Array } {
  const [result, held] = [results[index], memory[index]];
  if (result !== undefined && held !== undefined) {
    return { ...result, bytes: new Uint8Array(held, start, result.lengthBytes) };
  }
  throw new TallystickError("a worker thread gave no result", { code: "INTERNAL" });
}

/** The error that the worker met. */
function errorOf({ message, code, ...facts }: ChunkFailure): TallystickError {
  const known = Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
  return code === "INTEGRITY" ? new IntegrityError(message, known) : new TallystickError(message, { code, ...known });
}
