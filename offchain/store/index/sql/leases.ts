/**
 * Leases in table `leases`. Times are the database's, so that the clocks of the machines need not agree.
 *
 * Each process has a lease that stands for its life. One that has lapsed may come back, as long as nobody has relied on
 * its end: whoever does removes the row first, and the row is what transactions of that process require
 * (`requireLife`). A process without its row registers anew, which it may do when nobody relies on being alone.
 */
import { type RawBuilder, sql, type Transaction } from "kysely";
import { randomBytes } from "#primitives";
import { toHex } from "../../../core/encoding/hex.ts";
import { TallystickError } from "../../../core/errors.ts";
import { type Leases, RECONCILIATION } from "../leases.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** How long a lease outlives its holder. */
export const LEASE_MILLISECONDS = 20_000;
const RENEWALS_PER_LEASE = 4;
/** The lease of a process has this name and a number of its own. */
const PROCESS = "process ";
/** Names the lock under which processes are counted and registered. */
const COUNT = "processes of the provider";

interface Held {
  readonly lost: AbortController;
  until: Deadline;
}

/**
 * On this process's clocks, from before the database was asked: never later than the database's time. The monotonic
 * clock stands still while the machine is suspended, and the wall clock may be set back: whichever comes first counts.
 */
interface Deadline {
  readonly monotonic: number;
  readonly wall: number;
}

export interface LeaseOptions {
  readonly leaseMilliseconds?: number;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
  /** Milliseconds that pass in suspension too. */
  readonly wallClock?: () => number;
}

export class SqlLeases implements Leases {
  readonly holder = toHex(randomBytes(16));
  readonly #database: SqlDatabase<ProviderTables>;
  readonly #leaseMilliseconds: number;
  readonly #now: () => number;
  readonly #wallClock: () => number;
  readonly #held = new Map<string, Held>();
  #life = newLife();
  readonly #renewal: NodeJS.Timeout;
  #renewing: Promise<void> = Promise.resolve();

  private constructor(database: SqlDatabase<ProviderTables>, options: LeaseOptions) {
    this.#database = database;
    this.#leaseMilliseconds = options.leaseMilliseconds ?? LEASE_MILLISECONDS;
    this.#now = options.now ?? (() => performance.now());
    this.#wallClock = options.wallClock ?? (() => Date.now());
    this.#renewal = setInterval(() => {
      this.#renewing = this.#renewing.then(() => this.#renew());
    }, this.#leaseMilliseconds / RENEWALS_PER_LEASE).unref();
  }

  /** Registers this process. */
  static async open(database: SqlDatabase<ProviderTables>, options: LeaseOptions = {}): Promise<SqlLeases> {
    const leases = new SqlLeases(database, options);
    await leases.#take(leases.life);
    return leases;
  }

  get life(): string {
    return this.#life;
  }

  holds(name: string): boolean {
    const held = this.#held.get(name);
    return held !== undefined && !this.#hasLapsed(held);
  }

  #hasLapsed({ until }: Held): boolean {
    return until.monotonic <= this.#now() || until.wall <= this.#wallClock();
  }

  /** When a lease ends for which the database is asked now. */
  #deadline(): Deadline {
    return { monotonic: this.#now() + this.#leaseMilliseconds, wall: this.#wallClock() + this.#leaseMilliseconds };
  }

  async hold(name: string): Promise<boolean> {
    if (this.holds(name)) return true;
    this.#held.get(name)?.lost.abort();
    this.#held.delete(name);
    const until = this.#deadline();
    if (!(await this.#take(name))) return false;
    this.#held.set(name, { lost: new AbortController(), until });
    return true;
  }

  /** One statement, so that of two processes one has the lease. */
  async #take(name: string): Promise<boolean> {
    const clock = this.#database.clock();
    const rows = await this.#database.run((database) =>
      database
        .insertInto("leases")
        .values(({ val }) => ({
          name: val(name),
          holder: val(this.holder),
          expires_at: this.#fromNow(),
        }))
        .onConflict((conflict) =>
          conflict
            .column("name")
            .doUpdateSet(({ ref }) => ({ holder: ref("excluded.holder"), expires_at: ref("excluded.expires_at") }))
            .where((is) => is.or([is("leases.holder", "=", this.holder), is("leases.expires_at", "<=", clock)])),
        )
        .returning("holder")
        .execute(),
    );
    return rows.length > 0;
  }

  async #renew(): Promise<void> {
    // First that of the process, which stands for everything the process is doing.
    try {
      // A life that was ended is not begun again.
      if (!(await this.#prolong(this.#life))) await this.#register();
    } catch {
      // The database does not answer: the next renewal finds out whether others have given this process up.
    }
    for (const [name, held] of this.#held) {
      const until = this.#deadline();
      try {
        if (this.#held.get(name) !== held) continue;
        // Another process may have had the lease since it lapsed, and done what it is for.
        if (!this.#hasLapsed(held) && (await this.#prolong(name))) held.until = until;
        else this.#lose(name, held);
      } catch {
        // The database does not answer: the lease is kept for as long as nobody else can have it.
        if (this.#hasLapsed(held)) this.#lose(name, held);
      }
    }
  }

  /** @returns false when it is another's, or was released meanwhile: neither is taken again */
  async #prolong(name: string): Promise<boolean> {
    const { numUpdatedRows } = await this.#database.run((database) =>
      database
        .updateTable("leases")
        .set({ expires_at: this.#fromNow() })
        .where("name", "=", name)
        .where("holder", "=", this.holder)
        .executeTakeFirstOrThrow(),
    );
    return numUpdatedRows > 0n;
  }

  /** Begins another life, unless another process removes what those that it has counted know nothing of. */
  async #register(): Promise<void> {
    const life = newLife();
    const isRegistered = await this.#database.write(
      async (transaction) => {
        await this.#database.lockName(transaction, COUNT);
        const removal = await transaction
          .selectFrom("leases")
          .select("name")
          .where("name", "=", RECONCILIATION)
          .where("expires_at", ">", this.#database.clock())
          .executeTakeFirst();
        if (removal !== undefined) return false;
        await transaction
          .insertInto("leases")
          .values({ name: life, holder: this.holder, expires_at: this.#fromNow() })
          .onConflict((conflict) => conflict.column("name").doNothing())
          .execute();
        return true;
      },
      { repeatable: true },
    );
    if (isRegistered) this.#life = life;
  }

  #fromNow(): RawBuilder<number> {
    return sql<number>`${this.#database.clock()} + ${sql.lit(this.#leaseMilliseconds)}`;
  }

  #lose(name: string, held: Held): void {
    held.lost.abort();
    if (this.#held.get(name) === held) this.#held.delete(name);
  }

  lost(name: string): AbortSignal {
    return this.#held.get(name)?.lost.signal ?? AbortSignal.abort();
  }

  async release(name: string): Promise<void> {
    const held = this.#held.get(name);
    if (held === undefined) return;
    this.#lose(name, held);
    await this.#database.run((database) =>
      database.deleteFrom("leases").where("name", "=", name).where("holder", "=", this.holder).execute(),
    );
  }

  async processes(): Promise<ReadonlySet<string>> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("leases")
        .select("holder")
        .where("name", "like", `${PROCESS}%`)
        .where("expires_at", ">", this.#database.clock())
        .execute(),
    );
    return new Set([this.holder, ...rows.map(({ holder }) => holder)]);
  }

  async endLapsed(lapsedForSeconds: number): Promise<number> {
    return this.#database.write(
      async (transaction) => {
        // Whoever registers after this finds the lease of whoever asks here for the sake of a removal.
        await this.#database.lockName(transaction, COUNT);
        const others = transaction
          .selectFrom("leases")
          .select("name")
          .where("name", "like", `${PROCESS}%`)
          .where("holder", "<>", this.holder);
        const before = sql<number>`${this.#database.clock()} - ${sql.lit(lapsedForSeconds * 1000)}`;
        // Rows that are locked belong to transactions that are not over: these processes count as alive.
        const lapsed = await others.where("expires_at", "<=", before).forUpdate().skipLocked().execute();
        const names = lapsed.map(({ name }) => name);
        if (names.length > 0) await transaction.deleteFrom("leases").where("name", "in", names).execute();
        return (await others.execute()).length;
      },
      { repeatable: true },
    );
  }

  async close(): Promise<void> {
    clearInterval(this.#renewal);
    await this.#renewing;
    for (const [name, held] of this.#held) this.#lose(name, held);
    await this.#database.run((database) => database.deleteFrom("leases").where("holder", "=", this.holder).execute());
  }
}

const newLife = (): string => PROCESS + toHex(randomBytes(16));

/**
 * Lets a transaction commit only if nobody has ended this life of the process, and nobody end it before that.
 * @throws TallystickError CONFLICT, retryable
 */
export async function requireLife(
  database: SqlDatabase<ProviderTables>,
  transaction: Transaction<ProviderTables>,
  life: string,
): Promise<void> {
  const query = transaction.selectFrom("leases").select("name").where("name", "=", life);
  // The renewal of the lease does not wait for a lock of this strength, and its removal does.
  if ((await database.locking(query, "key share").executeTakeFirst()) !== undefined) return;
  throw new TallystickError("the provider gave up this process while the request arrived", {
    code: "CONFLICT",
    party: "provider",
    check: "lease of the process",
    hint: "repeat the request; nothing of it was kept",
    retryable: true,
    retryAfterSeconds: 5,
  });
}
