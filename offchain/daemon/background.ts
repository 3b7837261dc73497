/**
 * A daemon's background work: one round after the other, at a steady pace. A round that fails is logged when its reason changes and
 * is tried again; the daemon goes on serving from what it has.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "./logger.ts";

export interface BackgroundPart {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** Logs a recurring failure once per reason, and once when it is over. */
export class FailureLog {
  readonly #logger: Logger;
  readonly #last = new Map<string, string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  failed(part: string, cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause);
    if (this.#last.get(part) !== reason) this.#logger.error({ part, err: cause }, "background work failed");
    this.#last.set(part, reason);
  }

  succeeded(part: string): void {
    if (this.#last.delete(part)) this.#logger.info({ part }, "background work goes on");
  }
}

export class Background {
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(
    parts: readonly BackgroundPart[],
    options: { pollMilliseconds: number; failures: FailureLog; onFailure?: (part: string) => void },
  ) {
    this.#done = this.#loop(parts, options);
  }

  /** Ends after the round under way. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #loop(
    parts: readonly BackgroundPart[],
    options: { pollMilliseconds: number; failures: FailureLog; onFailure?: (part: string) => void },
  ): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      for (const { name, run } of parts) {
        if (signal.aborted) return;
        try {
          await run();
          options.failures.succeeded(name);
        } catch (cause) {
          options.onFailure?.(name);
          options.failures.failed(name, cause);
        }
      }
      // Aborting the wait is how it ends early.
      await delay(options.pollMilliseconds, undefined, { signal }).catch(() => undefined);
    }
  }
}
