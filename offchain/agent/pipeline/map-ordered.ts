/**
 * The concurrent stage of a pipeline: applies an asynchronous function to the items of an async iterable, several at a
 * time, and yields the results in the order of the items.
 *
 * Back-pressure is explicit. Items that were taken from the source and whose results have not been yielded yet count
 * against two limits: a number of items and a weight (bytes, as a rule). The source is asked for the next item only
 * while both hold, so what a stage keeps in memory is known before it starts. A stage is a plain function from
 * AsyncIterable to AsyncIterable: what runs inside `transform` can move to a worker thread without a change to other
 * stages.
 */

/** How much a stage may hold at once. */
export interface StageLimits<Item> {
  /** Items in work or waiting to be yielded. At least 1. */
  readonly concurrency: number;
  /** What an item weighs, in the unit of `maximumWeight`. Default: nothing. */
  readonly weigh?: (item: Item) => number;
  /**
   * Weight of the items in work or waiting to be yielded. An item heavier than this passes alone. Default: no limit.
   */
  readonly maximumWeight?: number;
}

interface Slot<Result> {
  readonly result: Promise<Result>;
  readonly weight: number;
}

/** Slots in source order, with one producer waiting for room and one consumer waiting for a slot. */
class SlotQueue<Result> {
  readonly #slots: Slot<Result>[] = [];
  readonly #concurrency: number;
  readonly #maximumWeight: number;
  #weight = 0;
  #ended = false;
  #stopped = false;
  #wake: (() => void)[] = [];

  constructor(concurrency: number, maximumWeight: number) {
    this.#concurrency = concurrency;
    this.#maximumWeight = maximumWeight;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Waits until an item of this weight fits. Returns at once when the consumer has stopped. */
  async room(weight: number): Promise<void> {
    while (!this.#stopped && this.#slots.length > 0 && !this.#fits(weight)) await this.#change();
  }

  /** Waits until there is a free place at all, so that the source is not asked for an item that has no room. */
  async place(): Promise<void> {
    await this.room(1);
  }

  push(slot: Slot<Result>): void {
    this.#slots.push(slot);
    this.#weight += slot.weight;
    this.#notify();
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  stop(): void {
    this.#stopped = true;
    this.#notify();
  }

  /** The oldest slot, left in place; undefined after the last one. */
  async head(): Promise<Slot<Result> | undefined> {
    while (this.#slots.length === 0 && !this.#ended) await this.#change();
    return this.#slots[0];
  }

  release(): void {
    const slot = this.#slots.shift();
    this.#weight -= slot?.weight ?? 0;
    this.#notify();
  }

  async settle(): Promise<void> {
    await Promise.allSettled(this.#slots.map((slot) => slot.result));
  }

  #fits(weight: number): boolean {
    return this.#slots.length < this.#concurrency && this.#weight + weight <= this.#maximumWeight;
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

/**
 * Maps items concurrently and yields results in order.
 *
 * The first failure in item order ends the stream with that error, after everything already started has settled: no
 * work continues after the error. A consumer that stops early ends the source as well.
 *
 * @throws whatever the source or `transform` throws.
 */
export async function* mapOrdered<Item, Result>(
  source: AsyncIterable<Item>,
  transform: (item: Item) => Promise<Result>,
  limits: StageLimits<Item>,
): AsyncGenerator<Result, void, undefined> {
  const queue = new SlotQueue<Result>(limits.concurrency, limits.maximumWeight ?? Number.POSITIVE_INFINITY);
  const weigh = limits.weigh ?? (() => 0);

  const enqueue = (result: Promise<Result>, weight: number): void => {
    // The consumer awaits every result in order; without this, one that fails early would be reported as unhandled
    // until then.
    result.catch(() => undefined);
    queue.push({ result, weight });
  };
  const pump = async (): Promise<void> => {
    try {
      const iterator = source[Symbol.asyncIterator]();
      for (;;) {
        await queue.place();
        if (queue.stopped) {
          await iterator.return?.();
          return;
        }
        const next = await iterator.next();
        if (next.done === true) break;
        const weight = weigh(next.value);
        await queue.room(weight);
        if (queue.stopped) {
          await iterator.return?.();
          return;
        }
        enqueue(transform(next.value), weight);
      }
    } catch (error) {
      enqueue(Promise.reject(error), 0);
    }
    queue.end();
  };

  const pumping = pump();
  try {
    for (let slot = await queue.head(); slot !== undefined; slot = await queue.head()) {
      const result = await slot.result;
      queue.release();
      yield result;
    }
  } finally {
    queue.stop();
    await pumping;
    await queue.settle();
  }
}
