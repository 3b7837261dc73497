/**
 * Sealed objects fetched before, up to a number of bytes. A player that reads a chunk in small ranges fetches it once;
 * so does a file manager that opens the small files of one object one after the other. What is kept is ciphertext.
 */

import type { ObjectSource } from "./object-source.ts";

export class CachedSource implements ObjectSource {
  readonly #source: ObjectSource;
  readonly #maximumBytes: number;
  /** In order of use, the oldest first. */
  readonly #objects = new Map<string, Uint8Array>();
  readonly #underWay = new Map<string, Promise<Uint8Array>>();
  #bytes = 0;

  constructor(source: ObjectSource, maximumBytes: number) {
    this.#source = source;
    this.#maximumBytes = maximumBytes;
  }

  /** @throws whatever the source throws; the signal's reason */
  async fetch(id: string, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const known = this.#objects.get(id);
    if (known !== undefined) {
      this.#objects.delete(id);
      this.#objects.set(id, known);
      return known;
    }
    return await orAborted(this.#join(id), signal);
  }

  /** One fetch for all who want the object now. It goes on when one of them stops waiting. */
  #join(id: string): Promise<Uint8Array> {
    const underWay = this.#underWay.get(id);
    if (underWay !== undefined) return underWay;
    const fetching = this.#source.fetch(id).then((sealed) => {
      this.#keep(id, sealed);
      return sealed;
    });
    this.#underWay.set(id, fetching);
    const forget = () => this.#underWay.delete(id);
    fetching.then(forget, forget);
    return fetching;
  }

  #keep(id: string, sealed: Uint8Array): void {
    if (sealed.length > this.#maximumBytes) return;
    this.#objects.set(id, sealed);
    this.#bytes += sealed.length;
    for (const [oldest, { length }] of this.#objects) {
      if (this.#bytes <= this.#maximumBytes) return;
      this.#objects.delete(oldest);
      this.#bytes -= length;
    }
  }
}

/** Stops waiting when the signal is aborted. */
async function orAborted<Result>(work: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (signal === undefined) return await work;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
