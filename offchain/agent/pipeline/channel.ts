/**
 * A queue between stages that push and a stage that pulls, bounded by weight: `push` resolves once there is room.
 * Any number of producers, one consumer.
 */
export class Channel<Item> implements AsyncIterable<Item> {
  readonly #maximumWeight: number;
  readonly #weigh: (item: Item) => number;
  readonly #items: Item[] = [];
  #weight = 0;
  #closed = false;
  #abandoned = false;
  #failure: { error: unknown } | undefined;
  #wake: (() => void)[] = [];

  /** @param maximumWeight what may wait in the channel; an item heavier than this passes alone. */
  constructor(maximumWeight: number, weigh: (item: Item) => number) {
    this.#maximumWeight = maximumWeight;
    this.#weigh = weigh;
  }

  /** True once the consumer has stopped reading: pushing on is of no use. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  /** Adds an item; resolves when the channel has room for the next one, or when nobody reads any more. */
  async push(item: Item): Promise<void> {
    if (this.#closed) throw new Error("push into a closed channel");
    this.#items.push(item);
    this.#weight += this.#weigh(item);
    this.#notify();
    while (this.#weight > this.#maximumWeight && !this.#abandoned) await this.#change();
  }

  /** No item follows. */
  close(): void {
    this.#closed = true;
    this.#notify();
  }

  /** The consumer gets this error after the items that came before it. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    try {
      for (;;) {
        const item = this.#items.shift();
        if (item !== undefined) {
          this.#weight -= this.#weigh(item);
          this.#notify();
          yield item;
        } else if (this.#failure !== undefined) {
          throw this.#failure.error;
        } else if (this.#closed) {
          return;
        } else {
          await this.#change();
        }
      }
    } finally {
      this.#abandoned = true;
      this.#notify();
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const resolve of wake) resolve();
  }
}
