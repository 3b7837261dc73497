/**
 * The stages of puts and gets on worker threads. Chunks are framed, sealed and opened in place, small files framed in groups. Memory
 * moves to the thread and back, so no byte is copied between threads, and no thread sees what another one writes; that
 * of chunks is used again. It is not a SharedArrayBuffer, because copies into shared memory go word by word: they
 * took four times as long, 0.4 s of processor time per GiB in all, and requests of some platforms refuse such memory.
 *
 * Piscina, a kept pool library, is not used: it starts a file of its own by path, which a program that was joined into
 * one file has not; and its tasks are queued without regard to the memory that they hold.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { CHUNK_OVERHEAD_BYTES } from "../../core/crypto/encryption.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { type ErrorCode, IntegrityError, TallystickError } from "../../core/errors.ts";
import { FRAME_HEAD_BYTES, MAX_FRAME_BYTES } from "../../core/recipe/frame.ts";
import type { ChunkRef } from "../../core/recipe/recipe.ts";
import { type DataStages, type Framed, localStages, type OpenOutcome } from "../pipeline/data-stages.ts";

const WORKERS = Math.min(availableParallelism(), 8);
/** A frame of the largest size, and the tag. */
const SLOT_BYTES = MAX_FRAME_BYTES + CHUNK_OVERHEAD_BYTES;
/** Slots that are kept for use again. */
const KEPT_SLOTS = 64;
/** A frame that compressed below this leaves its slot, so that batches of such frames do not hold many slots. */
const SHORT_FRAME_BYTES = SLOT_BYTES / 4;
/** Most frames of small files in one message. */
const GROUP_FRAMES = 64;
/** Shorter objects are opened sooner than they are sent. */
const SHORT_OBJECT_BYTES = 64 * 1024;

interface StoredFrame {
  readonly memory: ArrayBuffer;
  readonly lengthBytes: number;
}

export type StageCall =
  | { readonly step: "frame"; readonly call: number; readonly stored: readonly StoredFrame[] }
  | {
      readonly step: "seal";
      readonly call: number;
      readonly memory: ArrayBuffer;
      readonly frameBytes: number;
      readonly key: Uint8Array;
    }
  | OpenCall;

export interface OpenCall {
  readonly step: "open";
  readonly call: number;
  readonly memory: ArrayBuffer;
  readonly sealedBytes: number;
  readonly ref: ChunkRef;
  readonly macKey: Uint8Array | undefined;
}

export interface StageResult {
  readonly lengthBytes: number;
  readonly digest: Uint8Array;
  readonly mac?: Uint8Array;
  /** Why a chunk does not open: an error, which cannot be sent as such. */
  readonly failure?: ChunkFailure;
}

export interface ChunkFailure {
  readonly message: string;
  readonly code: ErrorCode;
  readonly check: string | undefined;
  readonly expected: string | undefined;
  readonly received: string | undefined;
  readonly hint: string | undefined;
}

export interface StageAnswer {
  readonly call: number;
  readonly results: readonly StageResult[];
  /** What the results are in, in the same order. */
  readonly memory: readonly ArrayBuffer[];
  readonly failure?: string;
}

type StageWork =
  | Omit<Extract<StageCall, { step: "frame" }>, "call">
  | Omit<Extract<StageCall, { step: "seal" }>, "call">
  | Omit<OpenCall, "call">;

interface Pending {
  resolve(answer: StageAnswer): void;
  reject(error: unknown): void;
}

interface Thread {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

interface WaitingFrame {
  readonly stored: Uint8Array;
  resolve(framed: Framed): void;
  reject(error: unknown): void;
}

/** @param workers threads, which start when they are first needed */
export function openWorkerStages(workers: number = WORKERS): DataStages {
  return new WorkerStages(workers);
}

class WorkerStages implements DataStages {
  readonly #limit: number;
  readonly #threads: Thread[] = [];
  readonly #free: ArrayBuffer[] = [];
  /** Frames of small files that go out together once this turn of the event loop has ended. */
  #waiting: WaitingFrame[] = [];
  #calls = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  readonly allocate = (): Uint8Array => {
    return new Uint8Array(this.#free.pop() ?? new ArrayBuffer(SLOT_BYTES), 0, MAX_FRAME_BYTES);
  };

  readonly allocateSealed = (): Uint8Array => {
    return new Uint8Array(this.#free.pop() ?? new ArrayBuffer(SLOT_BYTES));
  };

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

  async sealBundle(frames: readonly Uint8Array[], key: Uint8Array): Promise<{ id: string; sealed: Uint8Array }> {
    return await localStages.sealBundle(frames, key);
  }

  async open(sealed: Uint8Array, ref: ChunkRef, macKey?: Uint8Array): Promise<OpenOutcome> {
    if (sealed.length < SHORT_OBJECT_BYTES || sealed.length > SLOT_BYTES) {
      const outcome = await localStages.open(sealed, ref, macKey);
      this.release(sealed);
      return outcome;
    }
    const memory = slotOf(sealed) ?? slotWith(this.allocateSealed(), sealed);
    const { id, key, sizeBytes, sealedBytes } = ref;
    const own = { id, key: key.slice(), sizeBytes, sealedBytes };
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
    if (!(buffer instanceof ArrayBuffer) || buffer.byteLength !== SLOT_BYTES) return;
    // Memory that is given back twice would be in use twice.
    if (this.#free.length < KEPT_SLOTS && !this.#free.includes(buffer)) this.#free.push(buffer);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
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
    const size = Math.min(GROUP_FRAMES, Math.ceil(waiting.length / this.#limit));
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

  #perform(work: StageWork): Promise<StageAnswer> {
    const thread = this.#leastBusy();
    const call = this.#calls++;
    return new Promise((resolve, reject) => {
      // A thread keeps the process alive only while something is expected of it.
      thread.worker.ref();
      thread.pending.set(call, { resolve, reject });
      const moved = work.step === "frame" ? work.stored.map(({ memory }) => memory) : [work.memory];
      thread.worker.postMessage({ ...work, call }, moved);
    });
  }

  #leastBusy(): Thread {
    let best = this.#threads.find(({ pending }) => pending.size === 0);
    if (best === undefined && this.#threads.length < this.#limit) best = this.#start();
    for (const thread of this.#threads)
      if (best === undefined || thread.pending.size < best.pending.size) best = thread;
    if (best === undefined) throw new TallystickError("there is no worker thread", { code: "INTERNAL" });
    return best;
  }

  #start(): Thread {
    const worker = new Worker(new URL("./stage-worker.ts", import.meta.url));
    const pending = new Map<number, Pending>();
    const thread = { worker, pending };
    this.#threads.push(thread);
    const fail = (cause: unknown): void => {
      const position = this.#threads.indexOf(thread);
      if (position >= 0) this.#threads.splice(position, 1);
      for (const { reject } of pending.values()) reject(ended(cause));
      pending.clear();
    };
    worker.on("error", fail);
    worker.on("exit", fail);
    worker.on("message", (answer: StageAnswer) => {
      const waiting = pending.get(answer.call);
      pending.delete(answer.call);
      if (pending.size === 0) worker.unref();
      if (answer.failure === undefined) waiting?.resolve(answer);
      else waiting?.reject(ended(answer.failure));
    });
    return thread;
  }
}

/** Memory that holds nothing but the frame, from its first byte on. */
function movable(frame: Uint8Array): ArrayBuffer {
  const { buffer } = frame;
  return buffer instanceof ArrayBuffer && frame.byteOffset === 0 ? buffer : Uint8Array.from(frame).buffer;
}

/** Memory that `allocate` gave; undefined for any other. */
function slotOf({ buffer, byteOffset }: Uint8Array): ArrayBuffer | undefined {
  return buffer instanceof ArrayBuffer && buffer.byteLength === SLOT_BYTES && byteOffset === 0 ? buffer : undefined;
}

function slotWith(slot: Uint8Array, content: Uint8Array): ArrayBuffer {
  slot.set(content);
  return slot.buffer as ArrayBuffer;
}

/** @param start where the bytes begin in the memory */
function resultOf({ results, memory }: StageAnswer, index: number, start = 0): StageResult & { bytes: Uint8Array } {
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

function ended(cause: unknown): TallystickError {
  return new TallystickError("a worker thread has failed", { code: "INTERNAL", cause });
}
