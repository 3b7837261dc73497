/**
 * Verifications in threads of their own, accounts in turn. A verification has two threads, since its user waits for it.
 */
import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import { TallystickError } from "../../core/errors.ts";
import { FairQueue } from "../fair-queue.ts";
import { type AuditThreads, talkWith } from "./audit-threads.ts";
import { restoredError } from "./thread-messages.ts";
import type { StepAnswer, StepCall } from "./verification-steps.ts";

/** Verifications at a time. The thread that serves has its share of a core beside them. */
const CONCURRENCY = Math.max(1, Math.min(2, Math.floor(availableParallelism() / 2)));
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
  readonly #threads: AuditThreads;
  readonly #queue: FairQueue;

  /** @param concurrency verifications at a time; unless given, what the machine has cores for */
  constructor(threads: AuditThreads, concurrency = CONCURRENCY) {
    this.#threads = threads;
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
      const workers = [this.#threads.take(), this.#threads.take()] as const;
      let timer: NodeJS.Timeout | undefined;
      const deadline = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(tooSlow(deadlineSeconds));
          for (const worker of workers) this.#threads.end(worker);
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
        for (const worker of workers) this.#threads.giveBack(worker);
      }
    });
  }
}

function performIn(worker: Worker, call: StepCall): Promise<ArrayBuffer | undefined> {
  // The slices are large: their memory is handed over, and comes back for others, instead of being copied.
  const handedOver = call.step === "addTags" ? [call.slices.buffer] : [];
  return talkWith<StepAnswer, ArrayBuffer | undefined>(
    worker,
    () => worker.postMessage(call, handedOver),
    ({ refused, memory }, settle) =>
      refused === undefined ? settle.resolve(memory) : settle.reject(restoredError(refused)),
  );
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
