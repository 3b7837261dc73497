/**
 * What is to be done once objects are durable: objects are counted as they leave the assembler and as groups of them
 * are confirmed, which happens in the same order. Memory: the calls between the two, which is what the stages hold.
 */
import type { SealedObject } from "../../core/recipe/tree.ts";

export class AfterDurable {
  #counted = 0;
  #confirmed = 0;
  #waiting: { readonly objects: number; readonly call: () => void }[] = [];

  /** Passes objects on and counts them. */
  async *counting(objects: AsyncIterable<SealedObject>): AsyncGenerator<SealedObject, void, undefined> {
    for await (const object of objects) {
      this.#counted += 1;
      yield object;
    }
  }

  /** Calls when all objects that were counted so far are confirmed. Calls keep their order. */
  defer(call: () => void): void {
    this.#waiting.push({ objects: this.#counted, call });
    // Without anything new to confirm, nothing else would.
    if (this.#confirmed >= this.#counted) this.confirm(0);
  }

  /** @param objects confirmed now */
  confirm(objects: number): void {
    this.#confirmed += objects;
    const end = this.#waiting.findIndex((each) => each.objects > this.#confirmed);
    const ready = this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
    for (const { call } of ready) call();
  }
}
