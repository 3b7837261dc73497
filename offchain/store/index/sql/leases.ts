/** Leases in table `leases`. Times are the database's, so that the clocks of the machines need not agree. */
import { sql } from "kysely";
import { randomBytes } from "#primitives";
import { toHex } from "../../../core/encoding/hex.ts";
import type { Leases } from "../leases.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** How long a lease outlives its holder. */
export const LEASE_MILLISECONDS = 20_000;
const RENEWALS_PER_LEASE = 4;
/** Every process has a lease of this name and its own identity. */
const PROCESS = "process ";

interface Held {
  readonly lost: AbortController;
  /** On this process's clock, from before the database was asked: never later than the database's time. */
  until: number;
}

export interface LeaseOptions {
  readonly leaseMilliseconds?: number;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

export class SqlLeases implements Leases {
  readonly holder = toHex(randomBytes(16));
  readonly #database: SqlDatabase<ProviderTables>;
  readonly #leaseMilliseconds: number;
  readonly #now: () => number;
  readonly #held = new Map<string, Held>();
  readonly #renewal: NodeJS.Timeout;
  #renewing: Promise<void> = Promise.resolve();

  private constructor(database: SqlDatabase<ProviderTables>, options: LeaseOptions) {
    this.#database = database;
    this.#leaseMilliseconds = options.leaseMilliseconds ?? LEASE_MILLISECONDS;
    this.#now = options.now ?? (() => performance.now());
    this.#renewal = setInterval(() => {
      this.#renewing = this.#renewing.then(() => this.#renew());
    }, this.#leaseMilliseconds / RENEWALS_PER_LEASE).unref();
  }

  /** Registers this process. */
  static async open(database: SqlDatabase<ProviderTables>, options: LeaseOptions = {}): Promise<SqlLeases> {
    const leases = new SqlLeases(database, options);
    await leases.hold(PROCESS + leases.holder);
    return leases;
  }

  async hold(name: string): Promise<boolean> {
    const known = this.#held.get(name);
    if (known !== undefined && known.until > this.#now()) return true;
    known?.lost.abort();
    this.#held.delete(name);
    const until = this.#now() + this.#leaseMilliseconds;
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
          expires_at: sql<number>`${clock} + ${sql.lit(this.#leaseMilliseconds)}`,
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
    // Those of the process first: it stands for everything the process is doing.
    for (const [name, held] of [...this.#held].sort(([a], [b]) => Number(isProcess(b)) - Number(isProcess(a)))) {
      const until = this.#now() + this.#leaseMilliseconds;
      try {
        if (this.#held.get(name) !== held) continue;
        if (await this.#take(name)) held.until = until;
        else this.#lose(name, held);
      } catch {
        // The database does not answer: the lease is kept for as long as nobody else can have it.
        if (held.until <= this.#now()) this.#lose(name, held);
      }
    }
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

  async close(): Promise<void> {
    clearInterval(this.#renewal);
    await this.#renewing;
    for (const [name, held] of this.#held) this.#lose(name, held);
    await this.#database.run((database) => database.deleteFrom("leases").where("holder", "=", this.holder).execute());
  }
}

const isProcess = (name: string): boolean => name.startsWith(PROCESS);
