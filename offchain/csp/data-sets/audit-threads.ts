/**
 * Threads for what takes seconds: pairings, multi-scalar multiplications and slices. The thread that serves requests
 * must not wait for them. A thread is started when it is needed first, and is used again; it ends with the provider.
 */
import { Worker } from "node:worker_threads";

/** Heap of a thread for what is short-lived: bigints and views, of which little is alive at a time. */
const YOUNG_MEBIBYTES = 4;

export class AuditThreads {
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();

  /** A thread that has nothing to do. */
  take(): Worker {
    const worker = this.#idle.pop() ?? this.#start();
    // One that waits does not keep the process alive.
    worker.ref();
    return worker;
  }

  /** Returns a thread that was taken, if it still lives; its task has ended. */
  giveBack(worker: Worker): void {
    worker.unref();
    if (this.#all.has(worker)) this.#idle.push(worker);
  }

  /** Ends a thread in the middle of its task. */
  end(worker: Worker): void {
    this.#all.delete(worker);
    void worker.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL("./audit-thread.ts", import.meta.url), {
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

  /** Ends all threads; what they do fails. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }
}

/**
 * Runs a task that talks with a thread.
 * @param begin sends the first message
 * @param onMessage is called with each answer, and settles the task
 * @throws what `onMessage` rejects with; an Error when the thread ends before
 */
export function talkWith<Answer, Result>(
  worker: Worker,
  begin: () => void,
  onMessage: (answer: Answer, settle: { resolve(result: Result): void; reject(cause: unknown): void }) => void,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      worker.off("message", onAnswer);
      worker.off("error", onError);
      worker.off("exit", onExit);
    };
    const settle = {
      resolve(result: Result): void {
        stop();
        resolve(result);
      },
      reject(cause: unknown): void {
        stop();
        reject(cause);
      },
    };
    const onAnswer = (answer: Answer): void => onMessage(answer, settle);
    const onError = (error: unknown): void => settle.reject(error);
    const onExit = (): void => settle.reject(new Error("the audit thread has ended"));
    worker.on("message", onAnswer);
    worker.on("error", onError);
    worker.on("exit", onExit);
    begin();
  });
}
