/**
 * The background work of a daemon: each part runs in a loop of its own at a steady pace, so that a part that waits
 * (for a block, for a peer) does not delay the others. A round that fails is reported to the failure log and
 * repeated; the daemon keeps serving.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { FailureLog } from "./failure-log.ts";

export interface BackgroundPart {
  readonly name: string;
  readonly run: () => Promise<void>;
}

export interface BackgroundOptions {
  readonly pollMilliseconds: number;
  readonly failures: FailureLog;
}

/** How long `close` waits for the rounds under way. */
const GRACE_MILLISECONDS = 3000;

export class Background {
  readonly #stop = new AbortController();
  readonly #options: BackgroundOptions;
  readonly #done: Promise<unknown>;

  constructor(parts: readonly BackgroundPart[], options: BackgroundOptions) {
    this.#options = options;
    this.#done = Promise.all(parts.map((part) => this.#loop(part)));
  }

  /**
   * Ends after the rounds under way, or after a grace period without them: a round may be cut off anywhere and is
   * repeated.
   */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.race([this.#done, delay(GRACE_MILLISECONDS)]);
  }

  async #loop({ name, run }: BackgroundPart): Promise<void> {
    const { failures, pollMilliseconds } = this.#options;
    while (!this.#stop.signal.aborted) {
      try {
        await run();
        failures.succeeded(name);
      } catch (cause) {
        failures.failed(name, cause);
      }
      // Aborting the wait is how it ends early.
      await delay(pollMilliseconds, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }
}
