/**
 * Durable token buckets in the form of the generic cell rate algorithm: one number per bucket, the time at which it will be full
 * again. A bucket holds `capacity` tokens and fills at `capacity` per `periodSeconds`, so over any span of t seconds at most
 * capacity · (1 + t / period) tokens are granted.
 *
 * The budget of a committee: an OPRF output takes k evaluations at k different nodes. With every one of n nodes granting
 * ⌊B·k/n⌋ evaluations, all of them together grant at most B·k, hence at most B outputs, whichever quorums are asked.
 */

import type { DatabaseSync } from "node:sqlite";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";

export interface BudgetLimit {
  /** Names the bucket's purpose; buckets of different scopes are independent. */
  readonly scope: string;
  readonly capacity: number;
  readonly periodSeconds: number;
}

/** A node's part of a committee's budget: ⌊B·k/n⌋, exact for B·k below 2^53. */
export function nodeShareOfBudget(evaluations: number, threshold: number, size: number): number {
  return Math.floor((evaluations * threshold) / size);
}

export class Budgets {
  readonly #database: DatabaseSync;
  readonly #now: () => number;

  /** @param now unix milliseconds; the system's clock unless told. */
  constructor(database: DatabaseSync, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * Takes tokens from an account's bucket. Call it inside the transaction that the tokens pay for: they are spent when that commits.
   *
   * @throws InvalidInputError when the bucket could never hold that many; TallystickError RATE_LIMITED with the time to wait.
   */
  take(limit: BudgetLimit, account: string, tokens: number): void {
    if (tokens > limit.capacity) {
      throw new InvalidInputError(`${tokens} at once are more than the whole budget`, {
        check: `${limit.scope} budget`,
        expected: `at most ${limit.capacity}`,
        received: String(tokens),
        hint: "split the request",
        details: { capacity: limit.capacity, periodSeconds: limit.periodSeconds },
      });
    }
    const now = this.#now();
    const row = this.#database
      .prepare("SELECT full_at FROM budgets WHERE scope = ? AND account = ?")
      .get(limit.scope, account);
    const periodMilliseconds = limit.periodSeconds * 1000;
    const fullAt = Math.max(now, Number(row?.full_at ?? now)) + (tokens * periodMilliseconds) / limit.capacity;
    const waitMilliseconds = fullAt - now - periodMilliseconds;
    // The tolerance absorbs the rounding of capacity · (period / capacity).
    if (waitMilliseconds > 0.001) {
      throw new TallystickError("the account's budget is used up", {
        code: "RATE_LIMITED",
        party: `account ${account}`,
        check: `${limit.scope} budget`,
        expected: `${limit.capacity} per ${limit.periodSeconds} s`,
        retryable: true,
        retryAfterSeconds: waitMilliseconds / 1000,
        details: { capacity: limit.capacity, periodSeconds: limit.periodSeconds },
      });
    }
    this.#database
      .prepare(
        "INSERT INTO budgets (scope, account, full_at) VALUES (?, ?, ?) ON CONFLICT (scope, account) DO UPDATE SET full_at = excluded.full_at",
      )
      .run(limit.scope, account, fullAt);
  }

  /** Forgets buckets that are full again. */
  prune(): void {
    this.#database.prepare("DELETE FROM budgets WHERE full_at <= ?").run(this.#now());
  }
}
