/**
 * Token buckets in the form of the generic cell rate algorithm: one number per bucket, the time at which it will be
 * full again. A bucket holds `capacity` tokens and fills at `capacity` per `periodSeconds`, so over any span of t
 * seconds at most capacity · (1 + t / period) tokens are granted.
 *
 * `Budgets` and `SharedBudgets` keep their buckets in the database, for what must not start anew with the process: the
 * first inside the transactions of a node's SQLite database, the second for several processes on one database. `Rates`
 * keeps them in memory, for what a restart may forget.
 */

import type { DatabaseSync } from "node:sqlite";
import { sql } from "kysely";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import type { TableDefinitions } from "../store/index/sql/column-types.ts";
import type { SqlDatabase } from "../store/index/sql/sql-database.ts";

export interface BudgetTables {
  budgets: { scope: string; account: string; full_at: number };
}

/** When each bucket will be full again, in unix milliseconds. No row: it is full. */
export const BUDGET_TABLES: TableDefinitions = ({ real, clustered }) => [
  `CREATE TABLE budgets (
    scope TEXT NOT NULL,
    account TEXT NOT NULL,
    full_at ${real} NOT NULL,
    PRIMARY KEY (scope, account)
  ) ${clustered}`,
  "CREATE INDEX budgets_by_time ON budgets (full_at)",
];

export interface BudgetLimit {
  /** Names the bucket's purpose; buckets of different scopes are independent. */
  readonly scope: string;
  readonly capacity: number;
  readonly periodSeconds: number;
}

/**
 * When a bucket will be full again, now or later. An empty one takes one period, so a time more than two periods ahead
 * was stored before the clock was set back by more than a period. The bucket counts as full then, as it would after
 * the clock was set forward by as much: otherwise nobody could take from it until the stored time. After a smaller step
 * nobody waits for more than one period.
 */
function fullAgainAt({ periodSeconds }: BudgetLimit, fullAt: number, now: number): number {
  return fullAt > now + 2 * periodSeconds * 1000 ? now : Math.max(now, fullAt);
}

/**
 * @param fullAt when the bucket will be full again.
 * @param holder whose bucket it is, for the error.
 * @returns when it will be full again after the tokens were taken.
 * @throws InvalidInputError when it could never hold that many; TallystickError RATE_LIMITED with the time to wait.
 */
function takeFrom(limit: BudgetLimit, holder: string, fullAt: number, now: number, tokens: number): number {
  const details = { capacity: limit.capacity, periodSeconds: limit.periodSeconds };
  if (tokens > limit.capacity) {
    throw new InvalidInputError(`${tokens} at once are more than the whole budget`, {
      check: `${limit.scope} budget`,
      expected: `at most ${limit.capacity}`,
      received: String(tokens),
      hint: "split the request",
      details,
    });
  }
  const periodMilliseconds = limit.periodSeconds * 1000;
  const newFullAt = fullAgainAt(limit, fullAt, now) + (tokens * periodMilliseconds) / limit.capacity;
  const waitMilliseconds = newFullAt - now - periodMilliseconds;
  // The tolerance absorbs the rounding of capacity · (period / capacity).
  if (waitMilliseconds > 0.001) {
    throw new TallystickError(`the budget of ${holder} is used up`, {
      code: "RATE_LIMITED",
      party: holder,
      check: `${limit.scope} budget`,
      expected: `${limit.capacity} per ${limit.periodSeconds} s`,
      retryable: true,
      retryAfterSeconds: waitMilliseconds / 1000,
      details,
    });
  }
  return newFullAt;
}

function missingTokens(limit: BudgetLimit, fullAt: number, now: number): number {
  const untilFull = fullAgainAt(limit, fullAt, now) - now;
  return Math.min(limit.capacity, (untilFull * limit.capacity) / (limit.periodSeconds * 1000));
}

/** Durable buckets of one process. */
export class Budgets {
  readonly #database: DatabaseSync;
  readonly #now: () => number;

  /** @param now unix milliseconds; the system's clock unless told. */
  constructor(database: DatabaseSync, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * Takes tokens from an account's bucket. Call it inside the transaction that the tokens pay for: they are spent
   * when that commits.
   *
   * @throws InvalidInputError when the bucket could never hold that many; TallystickError RATE_LIMITED with the time
   *   to wait.
   */
  take(limit: BudgetLimit, account: string, tokens: number): void {
    const now = this.#now();
    const row = this.#database
      .prepare("SELECT full_at FROM budgets WHERE scope = ? AND account = ?")
      .get(limit.scope, account);
    const fullAt = takeFrom(limit, `account ${account}`, Number(row?.full_at ?? now), now, tokens);
    this.#database
      .prepare(
        `INSERT INTO budgets (scope, account, full_at) VALUES (?, ?, ?)
         ON CONFLICT (scope, account) DO UPDATE SET full_at = excluded.full_at`,
      )
      .run(limit.scope, account, fullAt);
  }

  /** Puts tokens back that were taken. The bucket is never more than full. */
  giveBack(limit: BudgetLimit, account: string, tokens: number): void {
    this.#database
      .prepare("UPDATE budgets SET full_at = full_at - ? WHERE scope = ? AND account = ?")
      .run((tokens * limit.periodSeconds * 1000) / limit.capacity, limit.scope, account);
  }

  /** Tokens that are missing from an account's bucket now. */
  used(limit: BudgetLimit, account: string): number {
    const row = this.#database
      .prepare("SELECT full_at FROM budgets WHERE scope = ? AND account = ?")
      .get(limit.scope, account);
    const now = this.#now();
    return missingTokens(limit, Number(row?.full_at ?? now), now);
  }

  /** Forgets buckets that are full again. */
  prune(): void {
    this.#database.prepare("DELETE FROM budgets WHERE full_at <= ?").run(this.#now());
  }
}

/** Durable buckets of all processes on a database. */
export class SharedBudgets {
  readonly #database: SqlDatabase<BudgetTables>;
  readonly #now: () => number;

  /** @param now unix milliseconds; the system's clock unless told. */
  constructor(database: SqlDatabase<BudgetTables>, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * Takes tokens from an account's bucket. If the connection to the database breaks meanwhile, they may be taken twice;
   * a power loss may put the last ones back.
   * @throws InvalidInputError when the bucket could never hold that many; TallystickError RATE_LIMITED with the time
   *   to wait.
   */
  async take(limit: BudgetLimit, account: string, tokens: number): Promise<void> {
    const now = this.#now();
    const { scope } = limit;
    await this.#database.write(
      async (transaction) => {
        // An update that changes nothing locks a row that is there: of two transactions, the second counts what the
        // first has taken, and nobody removes the row meanwhile.
        const row = await transaction
          .insertInto("budgets")
          .values({ scope, account, full_at: now })
          .onConflict((conflict) =>
            conflict.columns(["scope", "account"]).doUpdateSet({ full_at: sql`budgets.full_at` }),
          )
          .returning("full_at")
          .executeTakeFirstOrThrow();
        const full_at = takeFrom(limit, `account ${account}`, row.full_at, now, tokens);
        const update = transaction.updateTable("budgets").set({ full_at }).where("scope", "=", scope);
        await update.where("account", "=", account).execute();
      },
      { repeatable: true, durable: false },
    );
  }

  /** Puts tokens back that were taken. The bucket is never more than full. */
  async giveBack(limit: BudgetLimit, account: string, tokens: number): Promise<void> {
    if (tokens === 0) return;
    const milliseconds = (tokens * limit.periodSeconds * 1000) / limit.capacity;
    await this.#database.write(
      (transaction) =>
        transaction
          .updateTable("budgets")
          .set({ full_at: sql`full_at - ${sql.lit(milliseconds)}` })
          .where("scope", "=", limit.scope)
          .where("account", "=", account)
          .execute(),
      { durable: false },
    );
  }

  /** Tokens that are missing from an account's bucket now. */
  async used(limit: BudgetLimit, account: string): Promise<number> {
    const now = this.#now();
    const row = await this.#database.run((database) =>
      database
        .selectFrom("budgets")
        .select("full_at")
        .where("scope", "=", limit.scope)
        .where("account", "=", account)
        .executeTakeFirst(),
    );
    return missingTokens(limit, row?.full_at ?? now, now);
  }

  /** Forgets buckets that are full again. */
  async prune(): Promise<void> {
    const now = this.#now();
    await this.#database.run((database) => database.deleteFrom("budgets").where("full_at", "<=", now).execute());
  }
}

/** Buckets in memory that are remembered at the same time; beyond that, full ones are forgotten, then the oldest. */
const MAXIMUM_BUCKETS = 100_000;

/** Buckets of one limit, in memory. */
export class Rates {
  readonly #limit: BudgetLimit;
  readonly #now: () => number;
  readonly #fullAt = new Map<string, number>();

  /** @param now milliseconds that never go back. */
  constructor(limit: BudgetLimit, now: () => number = () => performance.now()) {
    this.#limit = limit;
    this.#now = now;
  }

  /** @param holder whose bucket it is. @throws TallystickError RATE_LIMITED with the time to wait */
  take(holder: string, tokens = 1): void {
    const now = this.#now();
    const fullAt = takeFrom(this.#limit, holder, this.#fullAt.get(holder) ?? now, now, tokens);
    // Deleted first, so that the map is in the order of the last use.
    this.#fullAt.delete(holder);
    this.#fullAt.set(holder, fullAt);
    if (this.#fullAt.size > MAXIMUM_BUCKETS) this.#prune(now);
  }

  /** Tokens that are missing from a bucket now. */
  used(holder: string): number {
    const untilFull = Math.max(0, (this.#fullAt.get(holder) ?? 0) - this.#now());
    return (untilFull * this.#limit.capacity) / (this.#limit.periodSeconds * 1000);
  }

  #prune(now: number): void {
    for (const [holder, fullAt] of this.#fullAt) if (fullAt <= now) this.#fullAt.delete(holder);
    for (const holder of this.#fullAt.keys()) {
      if (this.#fullAt.size <= MAXIMUM_BUCKETS / 2) break;
      this.#fullAt.delete(holder);
    }
  }
}

/** What a holder may use of what is left of the total. */
const FRACTION = 1 / 20;
/** Rounding of token counts that are kept as times. */
const TOLERANCE = 1e-6;
const EVERYBODY = "this daemon";

/**
 * Rates per holder and in all, in memory. Accounts are free, so that a limit per account and one in all would let a few
 * dozen accounts keep everybody else out. A holder may therefore use at most a 20th of what is left of the total, as
 * with relayed records (nbm/records/relay-budget.ts): m holders that ask without end use at most m / (m + 20) of it.
 */
export class SharedRates {
  readonly #each: BudgetLimit;
  readonly #total: BudgetLimit;
  readonly #ratesOfEach: Rates;
  readonly #rateOfAll: Rates;

  /** @param now milliseconds that never go back. */
  constructor(each: BudgetLimit, total: BudgetLimit, now?: () => number) {
    this.#each = each;
    this.#total = total;
    this.#ratesOfEach = new Rates(each, now);
    this.#rateOfAll = new Rates(total, now);
  }

  /** Takes one token from the holder's rate and from the total. @throws TallystickError RATE_LIMITED */
  take(holder: string): void {
    this.takeOwn(holder);
    this.takeTotal();
  }

  /** The first half of `take`, for callers that check something in between. */
  takeOwn(holder: string): void {
    const { scope, capacity, periodSeconds } = this.#total;
    const share = Math.max(1, (capacity - this.#rateOfAll.used(EVERYBODY)) * FRACTION);
    if (this.#ratesOfEach.used(holder) + 1 > share + TOLERANCE) {
      throw new TallystickError(`the budget of ${holder} is used up`, {
        code: "RATE_LIMITED",
        party: holder,
        check: `${scope} budget`,
        expected: `${Math.floor(share)} per ${periodSeconds} s at present`,
        retryable: true,
        // One token of the holder's own rate; the total may free up earlier.
        retryAfterSeconds: this.#each.periodSeconds / this.#each.capacity,
      });
    }
    this.#ratesOfEach.take(holder);
  }

  /** The second half of `take`. */
  takeTotal(): void {
    this.#rateOfAll.take(EVERYBODY);
  }
}
