/**
 * A database behind kysely, on SQLite or PostgreSQL: one set of queries for both. Services call `run` for single
 * statements and reads, and `write` for transactions.
 *
 * On PostgreSQL a call is repeated, a few times and with random pauses, when the server refused to serialise it or the
 * connection broke before it was committed: then nothing of it happened. A connection that breaks during the commit
 * leaves the outcome unknown, so only calls that may happen twice are repeated then. SQLite waits for locks by itself.
 */
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { type Kysely, type RawBuilder, sql, type Transaction } from "kysely";
import { TallystickError } from "../../../core/errors.ts";
import type { Database } from "../sqlite.ts";
import type { SqlEngine } from "./column-types.ts";

/** Why a call failed, as far as repeating it is concerned. Undefined: for a reason of its own. */
export type PassingFailure = "conflict" | "unavailable" | undefined;

/** What `SqlDatabase` needs of an engine. */
export interface EngineParts<Tables> {
  readonly engine: SqlEngine;
  /** A path, or `postgresql://host:port/name`; never a user or a password. */
  readonly location: string;
  readonly kysely: Kysely<Tables>;
  /** The handle of an SQLite database. */
  readonly sqlite?: Database;
  readonly passingFailure: (error: unknown) => PassingFailure;
  /** The error that callers see. @param unknownOutcome the call may have been committed */
  readonly asTyped: (error: unknown, unknownOutcome: boolean) => unknown;
  readonly close: () => Promise<void>;
}

export interface WriteOptions {
  /** True when the call leaves the same state if it happens twice. */
  readonly repeatable?: boolean;
  /** False: durable with the next durable transaction, so that this one does not wait for the disk. */
  readonly durable?: boolean;
}

/** How long calls to SQLite may follow one another before other events of the process have their turn. */
const BUSY_MILLISECONDS = 10;
const MAXIMUM_ATTEMPTS = 6;
const FIRST_PAUSE_MILLISECONDS = 50;
const LONGEST_PAUSE_MILLISECONDS = 1500;
/** No attempt begins later than this after the first. */
const GIVE_UP_MILLISECONDS = 12_000;

/** How far an attempt has come. */
interface Phase {
  committing: boolean;
}

type Connection<Tables> = Pick<Kysely<Tables>, "transaction">;

export class SqlDatabase<Tables> {
  readonly engine: SqlEngine;
  readonly location: string;
  readonly #parts: EngineParts<Tables>;
  /** On SQLite: ends when the calls before the next one have. */
  #turn: Promise<unknown> = Promise.resolve();
  #breathedAt = 0;

  constructor(parts: EngineParts<Tables>) {
    this.engine = parts.engine;
    this.location = parts.location;
    this.#parts = parts;
  }

  /**
   * Runs single statements, each its own transaction. All of it may be repeated after a broken connection, unless
   * `repeatable` is false.
   * @throws TallystickError DATABASE_UNAVAILABLE, DISK_FULL, DISK_FAILED
   */
  run<T>(work: (database: Kysely<Tables>) => Promise<T>, { repeatable = true } = {}): Promise<T> {
    return this.#persist(repeatable, () => work(this.#parts.kysely));
  }

  /**
   * Runs work in one transaction: all of it is durable when this resolves, none of it is done when this rejects; but
   * see `details.outcome` of DATABASE_UNAVAILABLE.
   * @param work uses nothing but the transaction, because it may be run again
   * @throws TallystickError DATABASE_UNAVAILABLE, DISK_FULL, DISK_FAILED
   */
  write<T>(work: (transaction: Transaction<Tables>) => Promise<T>, options: WriteOptions = {}): Promise<T> {
    const { repeatable = false, durable = true } = options;
    return this.#persist(repeatable, (phase) =>
      this.#withDurability(durable, (connection) =>
        connection.transaction().execute(async (transaction) => {
          phase.committing = false;
          if (!durable && this.engine === "postgresql") {
            await sql`SET LOCAL synchronous_commit = off`.execute(transaction);
          }
          const result = await work(transaction);
          phase.committing = true;
          return result;
        }),
      ),
    );
  }

  /** On SQLite durability is a setting of the connection, and there is one connection. */
  async #withDurability<T>(durable: boolean, work: (connection: Connection<Tables>) => Promise<T>): Promise<T> {
    const { sqlite, kysely } = this.#parts;
    if (durable || sqlite === undefined) return work(kysely);
    return kysely.connection().execute(async (connection) => {
      sqlite.exec("PRAGMA synchronous = NORMAL");
      try {
        return await work(connection);
      } finally {
        sqlite.exec("PRAGMA synchronous = FULL");
      }
    });
  }

  /**
   * On SQLite calls take their turns on the one connection. kysely would let them wait too, but a caller that asks
   * again
   * at once would overtake those that wait.
   */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.engine === "postgresql") return work();
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined).then(() => this.#breathe());
    return result;
  }

  /** SQLite answers without waiting, so that a queue of calls would keep the process from everything else. */
  async #breathe(): Promise<void> {
    if (performance.now() - this.#breathedAt < BUSY_MILLISECONDS) return;
    await nextTurn();
    this.#breathedAt = performance.now();
  }

  #persist<T>(repeatable: boolean, attempt: (phase: Phase) => Promise<T>): Promise<T> {
    return this.#inTurn(() => this.#repeat(repeatable, attempt));
  }

  async #repeat<T>(repeatable: boolean, attempt: (phase: Phase) => Promise<T>): Promise<T> {
    const start = performance.now();
    for (let count = 1; ; count++) {
      // A single statement commits while it runs.
      const phase: Phase = { committing: true };
      try {
        return await attempt(phase);
      } catch (error) {
        const failure = this.#parts.passingFailure(error);
        const unknownOutcome = failure === "unavailable" && phase.committing && !repeatable;
        const isOver = count === MAXIMUM_ATTEMPTS || performance.now() - start > GIVE_UP_MILLISECONDS;
        if (failure === undefined || unknownOutcome || isOver) throw this.#parts.asTyped(error, unknownOutcome);
        const longest = Math.min(LONGEST_PAUSE_MILLISECONDS, FIRST_PAUSE_MILLISECONDS * 2 ** count);
        await pause(longest * (0.5 + Math.random() / 2));
      }
    }
  }

  /**
   * Adds `FOR UPDATE` to a query, or another clause of PostgreSQL that locks rows. SQLite has one writer, which holds
   * the lock on everything since its transaction began.
   */
  locking<Query extends { forUpdate(): Query; forKeyShare(): Query }>(
    query: Query,
    strength: "update" | "key share" = "update",
  ): Query {
    if (this.engine === "sqlite") return query;
    return strength === "update" ? query.forUpdate() : query.forKeyShare();
  }

  /** Lets one transaction at a time go on from here. SQLite has one writer anyway. */
  async lockName(transaction: Transaction<Tables>, name: string): Promise<void> {
    if (this.engine === "sqlite") return;
    await sql`SELECT pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(transaction);
  }

  /** The database's clock in unix milliseconds: the same for all processes. */
  clock(): RawBuilder<number> {
    return this.engine === "sqlite"
      ? sql<number>`CAST(unixepoch('subsec') * 1000 AS INTEGER)`
      : sql<number>`CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)`;
  }

  /**
   * Runs work that one process may do at a time, after whoever does it now; for as long as the connection lasts.
   * Callers
   * of one process keep each other apart themselves.
   * @throws TallystickError DATABASE_UNAVAILABLE, also when the others take too long
   */
  async exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (this.engine === "sqlite") return work();
    const lock = sql`hashtextextended(${name}, 0)`;
    let done: Promise<T> | undefined;
    await this.#persist(true, () =>
      this.#parts.kysely.connection().execute(async (connection) => {
        await sql`SELECT pg_advisory_lock(${lock})`.execute(connection);
        // From here on nothing fails, so that the work is not repeated. Its own failure is its caller's to judge.
        done = work();
        await done.catch(() => undefined);
        await sql`SELECT pg_advisory_unlock(${lock})`.execute(connection).catch(() => undefined);
      }),
    );
    if (done === undefined) throw new TallystickError("work without a lock", { code: "INTERNAL" });
    return done;
  }

  /** The same database for code that knows some of its tables. */
  part<Some extends { [Name in keyof Some]: Name extends keyof Tables ? Tables[Name] : never }>(): SqlDatabase<Some> {
    return this as unknown as SqlDatabase<Some>;
  }

  async ping(): Promise<void> {
    await this.run((database) => sql`SELECT 1`.execute(database));
  }

  close(): Promise<void> {
    return this.#parts.close();
  }
}
