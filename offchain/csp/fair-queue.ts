/**
 * A queue that serves accounts in turn: one account with many tasks delays another's next task by one task at most.
 * What may wait is bounded, for each account and in all.
 */
import { TallystickError } from "../core/errors.ts";

export interface FairQueueOptions {
  /** Names the work in refusals. */
  readonly what: string;
  /** Tasks that run at the same time. */
  readonly concurrency: number;
  /** Most tasks of one account that wait or run. */
  readonly perAccount: number;
  /** Most tasks that wait or run. */
  readonly inAll: number;
}

export class FairQueue {
  readonly #options: FairQueueOptions;
  /** Waiting tasks, by account. Accounts are in the order in which they are served. */
  readonly #waiting = new Map<string, (() => void)[]>();
  /** Tasks waiting or running, by account. */
  readonly #counts = new Map<string, number>();
  #total = 0;
  #running = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  /** Tasks that wait. */
  get waiting(): number {
    return this.#total - this.#running;
  }

  /**
   * Runs a task when it is the account's turn.
   * @throws TallystickError RATE_LIMITED at once when too many wait; whatever the task throws
   */
  async run<T>(account: string, task: () => Promise<T>): Promise<T> {
    const { perAccount, inAll } = this.#options;
    const count = this.#counts.get(account) ?? 0;
    if (count >= perAccount) throw this.#refusal("for one account", perAccount);
    if (this.#total >= inAll) throw this.#refusal("in all", inAll);
    this.#counts.set(account, count + 1);
    this.#total += 1;
    try {
      if (this.#running >= this.#options.concurrency) await this.#turn(account);
      else this.#running += 1;
      try {
        return await task();
      } finally {
        this.#next();
      }
    } finally {
      const left = (this.#counts.get(account) ?? 1) - 1;
      if (left === 0) this.#counts.delete(account);
      else this.#counts.set(account, left);
      this.#total -= 1;
    }
  }

  #turn(account: string): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.set(account, [...(this.#waiting.get(account) ?? []), resolve]);
    });
  }

  /** Hands the place of a task that has ended to the account that has waited longest since its last turn. */
  #next(): void {
    const first = this.#waiting.entries().next();
    if (first.done === true) {
      this.#running -= 1;
      return;
    }
    const [account, [begin, ...rest]] = first.value;
    this.#waiting.delete(account);
    if (rest.length > 0) this.#waiting.set(account, rest);
    begin?.();
  }

  #refusal(scope: string, limit: number): TallystickError {
    return new TallystickError(`too much ${this.#options.what} is waiting`, {
      code: "RATE_LIMITED",
      party: "provider",
      check: `${this.#options.what} waiting ${scope}`,
      expected: `at most ${limit}`,
      retryable: true,
      retryAfterSeconds: 2,
    });
  }
}
