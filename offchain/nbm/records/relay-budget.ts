/**
 * Who may have how many transactions relayed. The node pays for each, so the total per period is fixed, and accounts
 * are free, so no fixed limit per account keeps many of them from using the total up. Two rules leave a part for
 * everybody else:
 *
 * - Half of the total is for accounts new to this node, half for established ones, which own a record that this node
 *   archived at least one period ago. Neither group can use up the other's half.
 * - An account may use at most a 20th of what is left of its group's half (dynamic thresholds: Choudhury and Hahne,
 *   1998). m accounts that ask without end then use at most m / (m + 20) of it, and the next account still gets a 20th
 *   of the rest.
 */

import { TallystickError } from "../../core/errors.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { Budgets } from "../oprf/budget.ts";

export interface RelayLimits {
  readonly perAccount: number;
  readonly total: number;
  readonly periodSeconds: number;
}

export interface RelayBudgetOptions {
  readonly database: Database;
  readonly budgets: Budgets;
  readonly limits: RelayLimits;
  /** Whether the account has owned a record for so many seconds. */
  readonly isEstablished: (account: string, seconds: number) => boolean;
}

/** An account's part of what is left of its group's half. */
const FRACTION = 1 / 20;

export class RelayBudget {
  readonly #options: RelayBudgetOptions;

  constructor(options: RelayBudgetOptions) {
    this.#options = options;
  }

  /** Takes one transaction from the account's budget and from the total. @throws TallystickError RATE_LIMITED */
  take(account: string): void {
    const { database, budgets, limits, isEstablished } = this.#options;
    const { perAccount, total, periodSeconds } = limits;
    const ofAccount = { scope: "relay", capacity: perAccount, periodSeconds };
    database.transaction(() => {
      const group = isEstablished(account, periodSeconds) ? "established accounts" : "new accounts";
      const capacity = group === "new accounts" ? Math.ceil(total / 2) : Math.floor(total / 2);
      const ofGroup = { scope: "relay total", capacity, periodSeconds };
      const left = capacity - budgets.used(ofGroup, group);
      const fairShare = Math.max(1, left * FRACTION);
      if (left < 1 || budgets.used(ofAccount, account) + 1 > fairShare + TOLERANCE) {
        throw exhausted(account, Math.floor(Math.min(fairShare, Math.max(0, left))), limits);
      }
      budgets.take(ofAccount, account, 1);
      budgets.take(ofGroup, group, 1);
    });
  }
}

/** Rounding of token counts that are kept as times. */
const TOLERANCE = 1e-6;

function exhausted(account: string, share: number, { perAccount, periodSeconds }: RelayLimits): TallystickError {
  return new TallystickError("the account has used its part of this node's relay budget", {
    code: "RATE_LIMITED",
    party: `account ${account}`,
    check: "relay budget",
    expected: `${share} per ${periodSeconds} s at present`,
    hint: "ask another node of the committee, or wait",
    retryable: true,
    // One token of the account's own bucket; the total may free up earlier.
    retryAfterSeconds: Math.ceil(periodSeconds / perAccount),
    details: { share, periodSeconds },
  });
}
