/**
 * What is to be done once objects are durable: objects are counted as they leave the assembler and as groups of them
 * are confirmed, which happens in the same order. Memory: the calls between the two, which is what the stages hold.
 */
import type { SealedObject } from "../../core/recipe/tree.ts";

interface Waiting {
  /** Objects that were counted when the call came. */
  readonly objects: number;
  readonly call: () => void;
}

export class AfterDurable {
  #counted = 0;
  #confirmed = 0;
  readonly #waiting: Waiting[] = [];
  readonly #sequence: Waiting[] = [];

  /** Passes objects on and counts them. */
  async *counting(objects: AsyncIterable<SealedObject>): AsyncGenerator<SealedObject, void, undefined> {
    for await (const object of objects) {
      this.#counted += 1;
      yield object;
    }
  }

  /** Calls when all objects that were counted so far are confirmed. */
  defer(call: () => void): void {
    if (this.#isConfirmed) call();
    else this.#waiting.push({ objects: this.#counted, call });
  }

  /**
   * Calls in the order in which it is called, and not before what `defer` would wait for.
   * @param needsObjects of the call; without, it waits for the calls before it only, so that a long row of such calls
   *   is not held until the next group is full
   */
  inOrder(call: () => void, { needsObjects }: { needsObjects: boolean }): void {
    if (this.#sequence.length === 0 && (!needsObjects || this.#isConfirmed)) call();
    else this.#sequence.push({ objects: needsObjects ? this.#counted : 0, call });
  }

  /** @param objects confirmed now */
  confirm(objects: number): void {
    this.#confirmed += objects;
    for (const calls of [this.#waiting, this.#sequence]) {
      const end = calls.findIndex((each) => each.objects > this.#confirmed);
      for (const { call } of calls.splice(0, end === -1 ? calls.length : end)) call();
    }
  }

  get #isConfirmed(): boolean {
    return this.#confirmed >= this.#counted;
  }
}
