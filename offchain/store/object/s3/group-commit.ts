/**
 * Group commit: items that arrive while others are under way share one commit. Each caller waits for the commit that
 * has its item, and gets that commit's failure.
 */

export interface GroupCommitOptions<Item> {
  /** How long a commit waits for more items. */
  readonly waitMilliseconds: number;
  /** Weight, for example in bytes, at which a commit waits no longer. */
  readonly maximumWeight: number;
  /** Commits at a time; further items wait, and join the next one. */
  readonly commitsAtOnce: number;
  readonly weightOf: (item: Item) => number;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

export class GroupCommit<Item, Result> {
  readonly #options: GroupCommitOptions<Item>;
  readonly #commit: (items: readonly Item[]) => Promise<Result>;
  #waiting: Waiting<Item, Result>[] = [];
  #weight = 0;
  #running = 0;
  #timer: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];

  constructor(options: GroupCommitOptions<Item>, commit: (items: readonly Item[]) => Promise<Result>) {
    this.#options = options;
    this.#commit = commit;
  }

  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#weight += this.#options.weightOf(item);
      if (this.#weight >= this.#options.maximumWeight) this.#start();
      else this.#timer ??= setTimeout(() => this.#start(), this.#options.waitMilliseconds);
    });
  }

  /** Resolves when nothing waits and nothing is under way. */
  async drained(): Promise<void> {
    if (this.#running === 0 && this.#waiting.length === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length === 0 || this.#running >= this.#options.commitsAtOnce) return;
    const batch = this.#takeBatch();
    this.#running += 1;
    this.#commit(batch.map(({ item }) => item))
      .then(
        (result) => {
          for (const { resolve } of batch) resolve(result);
        },
        (reason: unknown) => {
          for (const { reject } of batch) reject(reason);
        },
      )
      .finally(() => {
        this.#running -= 1;
        this.#start();
        if (this.#running > 0) return;
        for (const resolve of this.#idle.splice(0)) resolve();
      });
    if (this.#waiting.length > 0) this.#start();
  }

  /** Items up to the maximum weight, at least one. */
  #takeBatch(): Waiting<Item, Result>[] {
    let weight = 0;
    let taken = 0;
    for (const { item } of this.#waiting) {
      weight += this.#options.weightOf(item);
      if (taken > 0 && weight > this.#options.maximumWeight) break;
      taken += 1;
    }
    const batch = this.#waiting.slice(0, taken);
    this.#waiting = this.#waiting.slice(taken);
    this.#weight = this.#waiting.reduce((sum, { item }) => sum + this.#options.weightOf(item), 0);
    return batch;
  }
}
