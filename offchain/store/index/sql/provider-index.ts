/** A provider's index on SQLite or PostgreSQL: the parts, which share one database, and table `meta`. */
import { randomBytes } from "#primitives";
import { type Leases, SoleLeases } from "../leases.ts";
import type { MetaIndex, ProviderIndex } from "../provider-index.ts";
import { SqlChunkIndex } from "./chunks.ts";
import { SqlClaimIndex } from "./claims.ts";
import { SqlDataSetIndex } from "./data-sets.ts";
import { SqlDelegateIndex } from "./delegates.ts";
import { SqlDeviceSnapshotIndex } from "./device-snapshots.ts";
import { SqlHeadIndex } from "./heads.ts";
import { type LeaseOptions, SqlLeases } from "./leases.ts";
import { SqlOwnerGroupIndex } from "./owner-groups.ts";
import type { ProviderTables } from "./provider-tables.ts";
import { SqlSegmentIndex } from "./segments.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { SqlStubFileIndex } from "./stub-files.ts";
import { SqlSuccessionIndex } from "./successions.ts";

/** Name of the number from which releases are counted. */
const RELEASES_FROM = "releases counted from";

/** 1 to 2^31. */
function randomCount(): number {
  return (new DataView(randomBytes(4).buffer).getUint32(0) >>> 1) + 1;
}

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
  readonly dataSets: SqlDataSetIndex;
  readonly segments: SqlSegmentIndex;
  readonly heads: SqlHeadIndex;
  readonly stubFiles: SqlStubFileIndex;
  readonly ownerGroups: SqlOwnerGroupIndex;
  readonly successions: SqlSuccessionIndex;
  readonly delegates: SqlDelegateIndex;
  readonly deviceSnapshots: SqlDeviceSnapshotIndex;
  readonly #database: SqlDatabase<ProviderTables>;

  private constructor(
    database: SqlDatabase<ProviderTables>,
    parts: { leases: Leases; meta: SqlMetaIndex; releasesFrom: number; unixSeconds: () => number },
  ) {
    const { leases, meta, releasesFrom, unixSeconds } = parts;
    this.#database = database;
    this.location = database.location;
    this.leases = leases;
    this.meta = meta;
    this.chunks = new SqlChunkIndex(database, releasesFrom);
    this.claims = new SqlClaimIndex(database);
    this.dataSets = new SqlDataSetIndex(database);
    this.segments = new SqlSegmentIndex(database, leases, unixSeconds);
    this.heads = new SqlHeadIndex(database.part(), releasesFrom);
    this.stubFiles = new SqlStubFileIndex(database.part());
    this.ownerGroups = new SqlOwnerGroupIndex(database.part());
    this.successions = new SqlSuccessionIndex(database);
    this.delegates = new SqlDelegateIndex(database.part());
    this.deviceSnapshots = new SqlDeviceSnapshotIndex(database.part(), releasesFrom);
  }

  /** @param database with the tables of `provider-tables.ts`; whoever opened it closes it, after the index */
  static async open(
    database: SqlDatabase<ProviderTables>,
    options: ProviderIndexOptions = {},
  ): Promise<SqlProviderIndex> {
    const isAlone = database.engine === "sqlite";
    const meta = new SqlMetaIndex(database);
    const releasesFrom = Number(await meta.setOnce(RELEASES_FROM, String(randomCount())));
    const leases = isAlone ? new SoleLeases() : await SqlLeases.open(database, options);
    const { unixSeconds = () => Math.floor(Date.now() / 1000) } = options;
    return new SqlProviderIndex(database, { leases, meta, releasesFrom, unixSeconds });
  }

  async ping(): Promise<void> {
    await this.#database.ping();
  }

  /** Releases what this process holds. */
  async close(): Promise<void> {
    await this.leases.close();
  }
}
