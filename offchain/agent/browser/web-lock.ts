/**
 * The lock of a store by the Web Locks API: one tab or worker of the origin at a time, where two would record a key or
 * deposit fees for the same data twice. The browser releases it when the page goes away.
 */

import { InvalidInputError } from "../../core/errors.ts";
import type { ExclusiveOptions, HomeLock } from "../platform.ts";

export class WebLock implements HomeLock {
  readonly #name: string;
  readonly #locks: LockManager;

  /**
   * @param name of the lock, in the origin
   * @throws InvalidInputError where the API is missing: browsers have it in secure contexts only
   */
  constructor(name: string) {
    this.#name = name;
    this.#locks = requireLocks();
  }

  async exclusive<Result>(work: () => Promise<Result>, options: ExclusiveOptions = {}): Promise<Result> {
    const { signal, onWait } = options;
    signal?.throwIfAborted();
    const atOnce = await this.#locks.request(this.#name, { ifAvailable: true }, async (lock) =>
      lock === null ? undefined : { result: await work() },
    );
    if (atOnce !== undefined) return atOnce.result;
    onWait?.();
    return await this.#locks.request(this.#name, signal === undefined ? {} : { signal }, () => work());
  }
}

function requireLocks(): LockManager {
  // The type promises it; a page that came over plain HTTP does not have it.
  const locks: LockManager | undefined = globalThis.navigator?.locks;
  if (locks !== undefined) return locks;
  throw new InvalidInputError("this page may not use locks", {
    party: "this page",
    check: "secure context",
    expected: "navigator.locks",
    hint: "serve the page over https, or from localhost while developing",
  });
}
