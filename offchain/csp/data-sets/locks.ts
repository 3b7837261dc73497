/** Work that one request, of one process, may do at a time: on streams and states of a data set. */
import { setTimeout as pause } from "node:timers/promises";
import { TallystickError } from "../../core/errors.ts";
import { type Leases, withLease } from "../../store/index/leases.ts";

const POLL_MILLISECONDS = 20;

export class Locks {
  readonly #leases: Leases;
  readonly #busy = new Set<string>();

  constructor(leases: Leases) {
    this.#leases = leases;
  }

  isBusy(name: string): boolean {
    return this.#busy.has(name);
  }

  /**
   * Runs work when nobody else does the work of this name.
   * @param waitSeconds how long others are waited for
   * @throws TallystickError CONFLICT, retryable, when they take longer; whatever the work throws
   */
  async exclusively<T>(name: string, waitSeconds: number, work: () => Promise<T>): Promise<T> {
    const end = performance.now() + waitSeconds * 1000;
    while (this.#busy.has(name)) {
      if (performance.now() >= end) {
        throw new TallystickError("another request is at the same work", {
          code: "CONFLICT",
          party: "client",
          check: `one request at a time: ${name}`,
          retryable: true,
          retryAfterSeconds: 1,
        });
      }
      await pause(POLL_MILLISECONDS);
    }
    this.#busy.add(name);
    try {
      return await withLease(this.#leases, name, Math.max(0, (end - performance.now()) / 1000), work);
    } finally {
      this.#busy.delete(name);
    }
  }
}
