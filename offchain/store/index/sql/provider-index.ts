/** A provider's index on SQLite or PostgreSQL: the parts, which share one database, and table `meta`. */
import { type Leases, SoleLeases } from "../leases.ts";
import type { MetaIndex, ProviderIndex } from "../provider-index.ts";
import { SqlAgreementIndex } from "./agreements.ts";
import { SqlChunkIndex } from "./chunks.ts";
import { SqlClaimIndex } from "./claims.ts";
import { SqlHeadIndex } from "./heads.ts";
import { type LeaseOptions, SqlLeases } from "./leases.ts";
import { SqlPreparationIndex } from "./preparations.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

export interface ProviderIndexOptions extends LeaseOptions {
  /** Since when chunks are unused that the end of a manifest leaves without need; unix seconds. */
  readonly unixSeconds?: () => number;
}

export class SqlMetaIndex implements MetaIndex {
  readonly #database: SqlDatabase<ProviderTables>;

  constructor(database: SqlDatabase<ProviderTables>) {
    this.#database = database;
  }

  async get(name: string): Promise<string | undefined> {
    const row = await this.#database.run((database) =>
      database.selectFrom("meta").select("value").where("name", "=", name).executeTakeFirst(),
    );
    return row?.value;
  }

  async setOnce(name: string, value: string): Promise<string> {
    return this.#database.write(
      async (transaction) => {
        await transaction
          .insertInto("meta")
          .values({ name, value })
          .onConflict((conflict) => conflict.column("name").doNothing())
          .execute();
        const query = transaction.selectFrom("meta").select("value").where("name", "=", name);
        return (await query.executeTakeFirstOrThrow()).value;
      },
      { repeatable: true },
    );
  }
}

export class SqlProviderIndex implements ProviderIndex {
  readonly location: string;
  readonly meta: SqlMetaIndex;
  readonly leases: Leases;
  readonly chunks: SqlChunkIndex;
  readonly claims: SqlClaimIndex;
  readonly preparations: SqlPreparationIndex;
  readonly agreements: SqlAgreementIndex;
  readonly heads: SqlHeadIndex;
  readonly #database: SqlDatabase<ProviderTables>;

  private constructor(database: SqlDatabase<ProviderTables>, leases: Leases, unixSeconds: () => number) {
    this.#database = database;
    this.location = database.location;
    this.leases = leases;
    this.meta = new SqlMetaIndex(database);
    this.chunks = new SqlChunkIndex(database);
    this.claims = new SqlClaimIndex(database);
    this.preparations = new SqlPreparationIndex(database, leases, unixSeconds);
    this.agreements = new SqlAgreementIndex(database);
    this.heads = new SqlHeadIndex(database.part());
  }

  /** @param database with the tables of `provider-tables.ts`; whoever opened it closes it, after the index */
  static async open(
    database: SqlDatabase<ProviderTables>,
    options: ProviderIndexOptions = {},
  ): Promise<SqlProviderIndex> {
    const isAlone = database.engine === "sqlite";
    const leases = isAlone ? new SoleLeases() : await SqlLeases.open(database, options);
    return new SqlProviderIndex(database, leases, options.unixSeconds ?? (() => Math.floor(Date.now() / 1000)));
  }

  async ping(): Promise<void> {
    await this.#database.ping();
  }

  /** Releases what this process holds. */
  async close(): Promise<void> {
    await this.leases.close();
  }
}
