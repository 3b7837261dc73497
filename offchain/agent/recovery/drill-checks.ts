/**
 * What a drill has looked at. A check has three outcomes, because a party that does not answer shows neither that the
 * recovery works nor that it does not.
 */

import type { ErrorCode } from "../../core/error-codes.ts";
import { TallystickError } from "../../core/errors.ts";

export type DrillOutcome = "passed" | "failed" | "unchecked";

/** One thing that a recovery needs. */
export interface DrillCheck {
  /** Who would fail: a node, the chain, the author, the wallet, a guardian, or you. */
  readonly party: string;
  readonly check: string;
  readonly outcome: DrillOutcome;
  readonly detail: string;
  /** What to do about it; absent when the check passed. */
  readonly remedy?: string;
  /** False for one of several parties that can stand in for one another: a check of them all decides. */
  readonly decides: boolean;
}

/** Errors of parties that were not there, or could not look. */
const UNCHECKED: ReadonlySet<ErrorCode> = new Set([
  "UNREACHABLE",
  "TIMED_OUT",
  "RATE_LIMITED",
  "STORAGE_UNAVAILABLE",
  "PARTY_FAILED",
  "SHARES_MISSING",
  "QUORUM_FAILED",
  "FUNDS",
]);

const AGAIN = "rehearse it again when it answers; if it stays so, ask its operator";

/** Whether an error leaves open what was to be checked. */
export function leavesOpen({ code }: TallystickError): boolean {
  return UNCHECKED.has(code);
}

export function remedyFor({ hint }: TallystickError): string {
  return hint ?? AGAIN;
}

export type DrillFacts = Pick<DrillCheck, "party" | "check" | "detail"> & { readonly decides?: boolean };

export class DrillChecks {
  readonly list: DrillCheck[] = [];

  /** Failed when a check that decides has; otherwise unchecked when one of them is. */
  get outcome(): DrillOutcome {
    const outcomes = new Set(this.list.filter(({ decides }) => decides).map(({ outcome }) => outcome));
    return outcomes.has("failed") ? "failed" : outcomes.has("unchecked") ? "unchecked" : "passed";
  }

  passed({ decides = true, ...facts }: DrillFacts): void {
    this.list.push({ ...facts, outcome: "passed", decides });
  }

  failed({ decides = true, ...facts }: DrillFacts, remedy: string): void {
    this.list.push({ ...facts, outcome: "failed", remedy, decides });
  }

  unchecked({ decides = true, ...facts }: DrillFacts, remedy: string): void {
    this.list.push({ ...facts, outcome: "unchecked", remedy, decides });
  }

  /** Of an error, by its code. */
  erred(facts: Omit<DrillFacts, "detail">, error: TallystickError): void {
    const told = { ...facts, party: error.party ?? facts.party, detail: `${error.code}: ${error.message}` };
    if (leavesOpen(error)) this.unchecked(told, remedyFor(error));
    else this.failed(told, remedyFor(error));
  }

  /**
   * Runs a check that decides.
   * @returns undefined when it does not pass
   * @throws ChainUnavailableError
   */
  async run<Value>(
    party: string,
    check: string,
    look: () => Promise<readonly [Value, string]>,
  ): Promise<Value | undefined> {
    try {
      const [value, detail] = await look();
      this.passed({ party, check, detail });
      return value;
    } catch (error) {
      if (!(error instanceof TallystickError) || error.code === "CHAIN_UNAVAILABLE") throw error;
      this.erred({ party, check }, error);
      return undefined;
    }
  }
}
