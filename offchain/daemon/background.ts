/**
 * A daemon's background work: each part goes round by itself at a steady pace, so that one that waits (for a block, for a peer) does
 * not hold up the others. A round that fails is logged when its reason changes and is tried again; the daemon goes on serving
 * from what it has.
 */

import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "./logger.ts";

export interface BackgroundPart {
  readonly name: string;
  readonly run: () => Promise<void>;
}

export interface BackgroundOptions {
  readonly pollMilliseconds: number;
  readonly failures: FailureLog;
  readonly onFailure?: (part: string) => void;
}

/** How long an end waits for the steps under way. */
const GRACE_MILLISECONDS = 3000;

/** Logs a recurring failure once per reason, and once when it is over. */
export class FailureLog {
  readonly #logger: Logger;
  readonly #reasons = new Map<string, string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  failed(part: string, cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    if (this.#reasons.get(part) !== reason) this.#logger.error({ part, err: cause }, "background work failed");
    this.#reasons.set(part, reason);
  }

  succeeded(part: string): void {
    if (this.#reasons.delete(part)) this.#logger.info({ part }, "background work goes on");
  }
}

export class Background {
  readonly #stop = new AbortController();
  readonly #options: BackgroundOptions;
  readonly #done: Promise<unknown>;

  constructor(parts: readonly BackgroundPart[], options: BackgroundOptions) {
    this.#options = options;
    this.#done = Promise.all(parts.map((part) => this.#loop(part)));
  }

  /** Ends after the steps under way, or soon without them: every step may be cut off at any point and taken again. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.race([this.#done, delay(GRACE_MILLISECONDS)]);
  }

  async #loop({ name, run }: BackgroundPart): Promise<void> {
    const { failures, onFailure, pollMilliseconds } = this.#options;
    while (!this.#stop.signal.aborted) {
      try {
        await run();
        failures.succeeded(name);
      } catch (cause) {
        onFailure?.(name);
        failures.failed(name, cause);
      }
      // Aborting the wait is how it ends early.
      await delay(pollMilliseconds, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }
}
