/**
 * Worker threads for verifications: pairings and multi-scalar multiplications take seconds, and the thread that serves
 * requests must not wait for them. A verification has two threads, since its user waits for it. A thread is started
 * when it is needed first and ends with the provider.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type ErrorCode, InvalidPointError, InvalidProofError, TallystickError } from "../../core/errors.ts";
import { FairQueue } from "../fair-queue.ts";
import type { StepAnswer, StepCall } from "./verification-steps.ts";

/** Verifications at a time. The thread that serves has its share of a core beside them. */
const CONCURRENCY = Math.max(1, Math.min(2, Math.floor(availableParallelism() / 2)));
/** Heap of a thread for what is short-lived: bigints and views, of which little is alive at a time. */
const YOUNG_MEBIBYTES = 4;
/** Verifications that may wait or run. */
const PER_ACCOUNT = 4;
const IN_ALL = 64;

/**
 * Performs one step in a thread, which has one at a time.
 * @returns the memory of the slices, of the step that has them
 * @throws the TallystickError of the step
 */
export type Perform = (call: StepCall) => Promise<ArrayBuffer | undefined>;

/** The threads of one verification. */
export type Threads = readonly [Perform, Perform];

export class VerificationWorkers {
  readonly #queue: FairQueue;
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();

  /** @param concurrency verifications at a time; unless given, what the machine has cores for */
  constructor(concurrency = CONCURRENCY) {
    this.#queue = new FairQueue({ what: "verification", concurrency, perAccount: PER_ACCOUNT, inAll: IN_ALL });
  }

  /**
   * Runs a verification in threads of its own, when it is the account's turn.
   * @param deadlineSeconds after which the threads are ended
   * @param work has no step under way when it ends
   * @throws TallystickError RATE_LIMITED when too many wait, or when the deadline has passed; whatever the work throws
   */
  run<T>(account: string, deadlineSeconds: number, work: (threads: Threads) => Promise<T>): Promise<T> {
    return this.#queue.run(account, async () => {
      const workers = [this.#take(), this.#take()] as const;
      let timer: NodeJS.Timeout | undefined;
      const deadline = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(tooSlow(deadlineSeconds));
          for (const worker of workers) {
            this.#all.delete(worker);
            void worker.terminate();
          }
        }, deadlineSeconds * 1000);
      });
      const [first, second] = workers;
      try {
        return await Promise.race([
          work([(call) => performIn(first, call), (call) => performIn(second, call)]),
          deadline,
        ]);
      } finally {
        clearTimeout(timer);
        for (const worker of workers) {
          worker.unref();
          if (this.#all.has(worker)) this.#idle.push(worker);
        }
      }
    });
  }

  #take(): Worker {
    const worker = this.#idle.pop() ?? this.#start();
    // One that waits does not keep the process alive.
    worker.ref();
    return worker;
  }

  #start(): Worker {
    const worker = new Worker(new URL("./verification-worker.ts", import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEBIBYTES },
    });
    this.#all.add(worker);
    const forget = (): void => {
      this.#all.delete(worker);
      const position = this.#idle.indexOf(worker);
      if (position >= 0) this.#idle.splice(position, 1);
    };
    worker.on("error", forget);
    worker.on("exit", forget);
    return worker;
  }

  /** Ends the workers; verifications under way fail. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }
}

function performIn(worker: Worker, call: StepCall): Promise<ArrayBuffer | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      worker.off("message", onMessage);
      worker.off("error", onError);
      worker.off("exit", onExit);
      end();
    };
    const onMessage = ({ refused, memory }: StepAnswer): void =>
      settle(() => (refused === undefined ? resolve(memory) : reject(restored(refused))));
    const onError = (error: unknown): void => settle(() => reject(error));
    const onExit = (): void => settle(() => reject(new Error("the verification worker has ended")));
    worker.on("message", onMessage);
    worker.on("error", onError);
    worker.on("exit", onExit);
    // The slices are large: their memory is handed over, and comes back for others, instead of being copied.
    worker.postMessage(call, call.step === "addTags" ? [call.slices.buffer] : []);
  });
}

/** An error of the worker, with its class: what crosses between threads keeps fields only. */
function restored({ message, facts }: { message: string; facts: Record<string, unknown> }): TallystickError {
  const { code, message: _, ...rest } = facts;
  if (code === "INVALID_PROOF") return new InvalidProofError(message, rest);
  if (code === "INVALID_POINT") return new InvalidPointError(message, rest);
  return new TallystickError(message, { ...rest, code: code as ErrorCode });
}

function tooSlow(deadlineSeconds: number): TallystickError {
  return new TallystickError("the verification took too long", {
    code: "RATE_LIMITED",
    party: "provider",
    check: "time of a verification",
    expected: `at most ${deadlineSeconds} s`,
    hint: "the provider is overloaded: ask again later",
    retryable: true,
    retryAfterSeconds: 60,
  });
}
