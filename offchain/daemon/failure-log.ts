/**
 * Recurring failures in the log: one line per cause and period, one line when it is over, and every one of them in a
 * metric.
 */

import type { Counter } from "prom-client";
import { redactUrlsIn } from "../core/encoding/redact-url.ts";
import type { Logger } from "./logger.ts";

/** How long a cause that goes on is not logged again. */
const PERIOD_MILLISECONDS = 15 * 60 * 1000;
/** Causes remembered per part. A part that fails in more ways than this logs the oldest again. */
const MAXIMUM_CAUSES = 16;

interface Cause {
  loggedAt: number;
  /** Failures since the last line. */
  unlogged: number;
}

export class FailureLog {
  readonly #logger: Logger;
  readonly #counter: Counter<"part"> | undefined;
  readonly #now: () => number;
  readonly #parts = new Map<string, Map<string, Cause>>();

  /** @param counter counts every failure by its part. @param now milliseconds */
  constructor(logger: Logger, counter?: Counter<"part">, now: () => number = () => performance.now()) {
    this.#logger = logger;
    this.#counter = counter;
    this.#now = now;
  }

  /**
   * @param part what failed, for example `archive` or `data set 12`; the metric leaves the number, or a hash, out, and
   *   what may be a key in an address, since anybody may read it.
   * @param message of the log line.
   */
  failed(part: string, cause: unknown, message = "background work failed"): void {
    this.#counter?.inc({ part: redactUrlsIn(part).replace(/\s+(?:0x[0-9a-f]+|\d+)$/i, "") });
    const causes = this.#parts.get(part) ?? new Map<string, Cause>();
    this.#parts.set(part, causes);
    const key = causeOf(cause);
    const known = causes.get(key);
    const now = this.#now();
    if (known !== undefined && now - known.loggedAt < PERIOD_MILLISECONDS) {
      known.unlogged += 1;
      return;
    }
    const repeated = known?.unlogged ?? 0;
    this.#logger.error({ part, err: cause, ...(repeated === 0 ? {} : { repeated }) }, message);
    causes.delete(key);
    causes.set(key, { loggedAt: now, unlogged: 0 });
    for (const oldest of causes.keys()) {
      if (causes.size <= MAXIMUM_CAUSES) break;
      causes.delete(oldest);
    }
  }

  succeeded(part: string): void {
    if (this.#parts.delete(part)) this.#logger.info({ part }, "works again");
  }
}

/**
 * What identifies a cause: the error's code and its message without what changes from one occurrence to the next,
 * such as block numbers, hashes and addresses.
 */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return withoutValues(String(error));
  const code = "code" in error ? String(error.code) : error.name;
  return `${code} ${withoutValues(error.message)}`;
}

function withoutValues(message: string): string {
  return message
    .slice(0, 2000)
    .replace(/\bhttps?:\/\/\S+/g, "<url>")
    .replace(/\b0x[0-9a-fA-F]+/g, "<hex>")
    .replace(/\d+(?:[.,]\d+)*/g, "<number>");
}
