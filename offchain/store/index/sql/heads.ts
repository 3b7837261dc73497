/** The heads of snapshot lists: table `heads`. */
import type { Transaction } from "kysely";
import { sql } from "kysely";
import type { ExpectedHead, HeadIndex, StoredHead } from "../head-index.ts";
import { canonicalAddress } from "./accounts.ts";
import type { TableDefinitions } from "./column-types.ts";
import type { SqlDatabase } from "./sql-database.ts";

export interface HeadTables {
  heads: { account: string; version: number; sealed: Uint8Array; releases: number };
}

/**
 * Part of the provider's first migration. releases: see `HeadIndex.releasesOf`. Version 0 is no head: the row counts
 * what was released without one.
 */
export const HEAD_TABLES: TableDefinitions = ({ bytes, integer, clustered }) => [
  `CREATE TABLE heads (
    account TEXT NOT NULL PRIMARY KEY,
    version ${integer} NOT NULL CHECK (version >= 0),
    sealed ${bytes} NOT NULL,
    releases ${integer} NOT NULL
  ) ${clustered}`,
];

export class SqlHeadIndex implements HeadIndex {
  readonly #database: SqlDatabase<HeadTables>;
  readonly #countedFrom: number;

  /** @param countedFrom the count of releases of accounts that have none */
  constructor(database: SqlDatabase<HeadTables>, countedFrom: number) {
    this.#database = database;
    this.#countedFrom = countedFrom;
  }

  async find(account: string): Promise<StoredHead | undefined> {
    const owner = canonicalAddress(account);
    return this.#database.run((database) =>
      database
        .selectFrom("heads")
        .select(["version", "sealed"])
        .where("account", "=", owner)
        .where("version", ">", 0)
        .executeTakeFirst(),
    );
  }

  /** Not repeated after a broken connection: the second time, the caller's own head would be the one in place. */
  async replace(account: string, expected: ExpectedHead, { version, sealed }: StoredHead): Promise<boolean> {
    const owner = canonicalAddress(account);
    return this.#database.write(async (transaction) => {
      if (expected.version === 0 && expected.releases === this.#countedFrom) {
        const inserted = await transaction
          .insertInto("heads")
          .values({ account: owner, version, sealed, releases: expected.releases })
          // A row of version 0 was locked, or counts releases from where they begin.
          .onConflict((conflict) =>
            conflict
              .column("account")
              .doUpdateSet({ version, sealed })
              .where("heads.version", "=", 0)
              .where("heads.releases", "=", expected.releases),
          )
          .returning("version")
          .execute();
        return inserted.length > 0;
      }
      const { numUpdatedRows } = await transaction
        .updateTable("heads")
        .set({ version, sealed })
        .where("account", "=", owner)
        .where("version", "=", expected.version)
        .where("releases", "=", expected.releases)
        .executeTakeFirstOrThrow();
      return numUpdatedRows > 0n;
    });
  }

  async releasesOf(account: string): Promise<number> {
    const owner = canonicalAddress(account);
    const row = await this.#database.run((database) =>
      database.selectFrom("heads").select("releases").where("account", "=", owner).executeTakeFirst(),
    );
    return row?.releases ?? this.#countedFrom;
  }

  async bytesOf(account: string): Promise<number> {
    const owner = canonicalAddress(account);
    const row = await this.#database.run((database) =>
      database
        .selectFrom("heads")
        .select(sql<number>`CAST(length(sealed) AS BIGINT)`.as("bytes"))
        .where("account", "=", owner)
        .executeTakeFirst(),
    );
    return row?.bytes ?? 0;
  }
}

/** Of an account whose head has the version. @returns whether there is one, whose row is locked then */
async function addReleases(
  transaction: Pick<Transaction<HeadTables>, "updateTable">,
  account: string,
  version: number,
  count: 0 | 1,
): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable("heads")
    .set({ releases: sql`releases + ${count}` })
    .where("account", "=", account)
    .where("version", "=", version)
    .where("version", ">", 0)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}

/**
 * Counts a release by an account; part of the transaction that carries it out. The row stays locked until that ends, so
 * that a head is replaced either before the release or by somebody who knows of it.
 * @param version of the head that must be in place
 * @returns whether it is
 */
export async function countRelease(
  transaction: Pick<Transaction<HeadTables>, "updateTable">,
  account: string,
  version: number,
): Promise<boolean> {
  return await addReleases(transaction, account, version, 1);
}

/**
 * How often an account has released objects; part of a transaction that counts on it. The row is locked until that
 * ends, whether the account has a head or not, so that nothing is released meanwhile.
 */
export async function lockReleases(
  transaction: Pick<Transaction<HeadTables>, "insertInto" | "updateTable">,
  account: string,
  countedFrom: number,
): Promise<number> {
  await transaction
    .insertInto("heads")
    .values({ account, version: 0, sealed: new Uint8Array(0), releases: countedFrom })
    .onConflict((conflict) => conflict.column("account").doNothing())
    .execute();
  const { releases } = await transaction
    .updateTable("heads")
    .set({ releases: sql`releases` })
    .where("account", "=", account)
    .returning("releases")
    .executeTakeFirstOrThrow();
  return releases;
}

/**
 * As `lockReleases`, of an account with this head alone: others leave no row behind.
 * @returns whether it is in place
 */
export async function lockHead(
  transaction: Pick<Transaction<HeadTables>, "updateTable">,
  account: string,
  version: number,
): Promise<boolean> {
  return await addReleases(transaction, account, version, 0);
}

/** As `countRelease`, of what is released without the account, whether it has a head or not. */
export async function countForcedRelease(
  transaction: Pick<Transaction<HeadTables>, "insertInto">,
  account: string,
  countedFrom: number,
): Promise<void> {
  await transaction
    .insertInto("heads")
    .values({ account, version: 0, sealed: new Uint8Array(0), releases: countedFrom + 1 })
    .onConflict((conflict) => conflict.column("account").doUpdateSet({ releases: sql`heads.releases + 1` }))
    .execute();
}
