/**
 * Worker threads of puts and gets, and the calls that they answer (`stage-worker.ts`).
 *
 * Piscina, a kept pool library, is not used: it starts a file of its own by path, which a program that was joined into
 * one file has not; its tasks are queued without regard to the memory that they hold, and none can be sent to the
 * thread that has the state of an earlier one.
 */
import { Worker } from "node:worker_threads";
import { type ErrorCode, TallystickError } from "../../core/errors.ts";
import type { ChunkRef } from "../../core/recipe/recipe.ts";
import type { OprfAnswer, OprfCall } from "./oprf-messages.ts";

export interface StoredFrame {
  readonly memory: ArrayBuffer;
  readonly lengthBytes: number;
}

/** Frames, seals and opens in the memory that comes with the call. */
export type DataCall =
  | { readonly step: "frame"; readonly stored: readonly StoredFrame[] }
  | { readonly step: "seal"; readonly memory: ArrayBuffer; readonly frameBytes: number; readonly key: Uint8Array }
  | { readonly step: "pack"; readonly memory: ArrayBuffer; readonly frameBytes: number; readonly key: Uint8Array }
  | {
      readonly step: "seal bundle";
      readonly memory: ArrayBuffer;
      /** Of each frame; together with their tags `bundleBytes`. */
      readonly frameBytes: readonly number[];
      readonly bundleBytes: number;
      readonly key: Uint8Array;
    }
  | OpenCall;

export interface OpenCall {
  readonly step: "open";
  readonly memory: ArrayBuffer;
  readonly sealedBytes: number;
  readonly ref: ChunkRef;
  readonly macKey: Uint8Array | undefined;
}

export interface DataResult {
  readonly lengthBytes: number;
  /** Of the frame, or of the sealed object. */
  readonly digest: Uint8Array;
  readonly mac?: Uint8Array;
  /** Of a package. */
  readonly stub?: Uint8Array;
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

export interface DataAnswer {
  readonly results: readonly DataResult[];
  /** What the results are in, in the same order. */
  readonly memory: readonly ArrayBuffer[];
}

export interface CallMessage {
  readonly call: number;
  readonly work: DataCall | OprfCall;
}

export interface AnswerMessage {
  readonly call: number;
  /** Absent after a failure. */
  readonly answer?: DataAnswer | OprfAnswer;
  readonly failure?: string;
}

interface Pending {
  resolve(answer: never): void;
  reject(error: unknown): void;
}

export interface Thread {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

export class WorkerPool {
  /** Most threads. They start when they are first needed. */
  readonly limit: number;
  readonly #threads: Thread[] = [];
  #calls = 0;
  #isClosed = false;

  constructor(limit: number) {
    this.limit = limit;
  }

  perform(work: DataCall, thread: Thread, moved: ArrayBuffer[]): Promise<DataAnswer>;
  perform(work: OprfCall, thread: Thread): Promise<OprfAnswer>;
  /** @throws TallystickError INTERNAL when the work or the thread fails */
  perform(
    work: DataCall | OprfCall,
    { worker, pending }: Thread,
    moved: ArrayBuffer[] = [],
  ): Promise<DataAnswer | OprfAnswer> {
    const call = this.#calls++;
    return new Promise((resolve, reject) => {
      if (worker.threadId < 0) return reject(ended("it has ended"));
      // A thread keeps the process alive only while something is expected of it.
      worker.ref();
      pending.set(call, { resolve, reject });
      worker.postMessage({ call, work } satisfies CallMessage, moved);
    });
  }

  /**
   * @param among the number of threads to choose from, the oldest first
   * @throws TallystickError INTERNAL after `close`
   */
  leastBusy(among: number = this.limit): Thread {
    if (this.#isClosed) throw ended("it has ended");
    const threads = this.#threads.slice(0, among);
    let best = threads.find(({ pending }) => pending.size === 0);
    if (best === undefined && threads.length < among) best = this.#start();
    for (const thread of threads) if (best === undefined || thread.pending.size < best.pending.size) best = thread;
    if (best === undefined) throw new TallystickError("there is no worker thread", { code: "INTERNAL" });
    return best;
  }

  /** Starts all threads, which do not keep the process alive. */
  start(): void {
    while (this.#threads.length < this.limit) this.#start().worker.unref();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
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
    worker.on("message", ({ call, answer, failure }: AnswerMessage) => {
      const waiting = pending.get(call);
      pending.delete(call);
      if (pending.size === 0) worker.unref();
      if (answer === undefined) waiting?.reject(ended(failure));
      else waiting?.resolve(answer as never);
    });
    return thread;
  }
}

function ended(cause: unknown): TallystickError {
  return new TallystickError("a worker thread has failed", { code: "INTERNAL", cause });
}
