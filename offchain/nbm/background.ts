/**
 * The node's background work: one round after the other, at a steady pace. A round that fails is logged when its reason changes and
 * is tried again; the node goes on serving from what it has.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../daemon/logger.ts";

export interface BackgroundPart {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** How long an end waits for the step under way. */
const GRACE_MILLISECONDS = 3000;

export class Background {
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(
    parts: readonly BackgroundPart[],
    options: { pollMilliseconds: number; logger: Logger; onFailure: (part: string) => void },
  ) {
    this.#done = this.#loop(parts, options);
  }

  /** Ends after the step under way, or soon without it: every step may be cut off at any point and taken again. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.race([this.#done, delay(GRACE_MILLISECONDS)]);
  }

  async #loop(
    parts: readonly BackgroundPart[],
    options: { pollMilliseconds: number; logger: Logger; onFailure: (part: string) => void },
  ): Promise<void> {
    const lastFailure = new Map<string, string>();
    while (!this.#stop.signal.aborted) {
      for (const { name, run } of parts) {
        if (this.#stop.signal.aborted) return;
        try {
          await run();
          if (lastFailure.delete(name)) options.logger.info({ part: name }, "background work goes on");
        } catch (cause) {
          options.onFailure(name);
          const reason = cause instanceof Error ? cause.message : String(cause);
          if (lastFailure.get(name) !== reason)
            options.logger.error({ part: name, err: cause }, "background work failed");
          lastFailure.set(name, reason);
        }
      }
      // Aborting the wait is how it ends early.
      await delay(options.pollMilliseconds, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }
}
