/** Tells each cause of failures once per period, however often it comes, and when it is over. Memory is bounded. */

import { TallystickError } from "../../core/errors.ts";
import type { Failure } from "./watch-events.ts";

/** Causes that are told apart; further ones are told each time they come first again. */
const MOST_CAUSES = 200;

interface Cause {
  readonly error: TallystickError;
  toldAtMillis: number;
  /** Failures that were not told. */
  count: number;
}

export class RepeatedFailures {
  readonly #periodMillis: number;
  readonly #causes = new Map<string, Cause>();

  constructor(periodMillis: number) {
    this.#periodMillis = periodMillis;
  }

  /**
   * @param what was tried; one that works again is told under the same name
   * @returns undefined when it was told within the period
   * @throws what is no typed failure: a defect
   */
  failed(what: string, error: unknown, nowMillis: number): Failure | undefined {
    if (!(error instanceof TallystickError)) throw error;
    const known = this.#causes.get(what);
    const isSame = known?.error.code === error.code;
    const count = (isSame ? known.count : 0) + 1;
    if (isSame && nowMillis - known.toldAtMillis < this.#periodMillis) {
      known.count = count;
      return undefined;
    }
    if (known === undefined && this.#causes.size >= MOST_CAUSES)
      this.#causes.delete(String(this.#causes.keys().next().value));
    this.#causes.set(what, { error, toldAtMillis: nowMillis, count: 0 });
    return failure("failed", "warning", what, error, count, nowMillis);
  }

  /** @returns undefined when it had not failed */
  worked(what: string, nowMillis: number): Failure | undefined {
    const known = this.#causes.get(what);
    this.#causes.delete(what);
    if (known === undefined) return undefined;
    return failure("works-again", "info", what, known.error, known.count, nowMillis);
  }
}

function failure(
  kind: Failure["kind"],
  severity: Failure["severity"],
  what: string,
  { code, message, party = what }: TallystickError,
  count: number,
  nowMillis: number,
): Failure {
  return { kind, severity, at: Math.floor(nowMillis / 1000), party, code, message, count };
}
