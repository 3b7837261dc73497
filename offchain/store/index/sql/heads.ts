/** The heads of snapshot lists: table `heads`. */
import type { Generated, Transaction } from "kysely";
import { sql } from "kysely";
import type { ExpectedHead, HeadIndex, StoredHead } from "../head-index.ts";
import { canonicalAddress } from "./accounts.ts";
import type { TableDefinitions } from "./column-types.ts";
import type { SqlDatabase } from "./sql-database.ts";

export interface HeadTables {
  heads: { account: string; version: number; sealed: Uint8Array; releases: Generated<number> };
}

/** Part of the provider's first migration. releases: how often the account has released objects, from 1. */
export const HEAD_TABLES: TableDefinitions = ({ bytes, integer, clustered }) => [
  `CREATE TABLE heads (
    account TEXT NOT NULL PRIMARY KEY,
    version ${integer} NOT NULL CHECK (version > 0),
    sealed ${bytes} NOT NULL,
    releases ${integer} NOT NULL DEFAULT 1
  ) ${clustered}`,
];

export class SqlHeadIndex implements HeadIndex {
  readonly #database: SqlDatabase<HeadTables>;

  constructor(database: SqlDatabase<HeadTables>) {
    this.#database = database;
  }

  async find(account: string): Promise<StoredHead | undefined> {
    const owner = canonicalAddress(account);
    return this.#database.run((database) =>
      database.selectFrom("heads").select(["version", "sealed"]).where("account", "=", owner).executeTakeFirst(),
    );
  }

  /** Not repeated after a broken connection: the second time, the caller's own head would be the one in place. */
  async replace(account: string, expected: ExpectedHead, { version, sealed }: StoredHead): Promise<boolean> {
    const owner = canonicalAddress(account);
    return this.#database.write(async (transaction) => {
      if (expected.version === 0) {
        if (expected.releases !== 0) return false;
        const inserted = await transaction
          .insertInto("heads")
          .values({ account: owner, version, sealed })
          .onConflict((conflict) => conflict.column("account").doNothing())
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
    return row?.releases ?? 0;
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

/**
 * Counts a release; part of the transaction that carries it out. The row stays locked until that ends, so that a head
 * is replaced either before the release or by somebody who knows of it.
 * @param version of the head that must be in place; absent for any
 * @returns whether it is
 */
export async function countRelease(
  transaction: Pick<Transaction<HeadTables>, "updateTable">,
  account: string,
  version?: number,
): Promise<boolean> {
  let update = transaction.updateTable("heads").set({ releases: sql`releases + 1` }).where("account", "=", account);
  if (version !== undefined) update = update.where("version", "=", version);
  return (await update.executeTakeFirstOrThrow()).numUpdatedRows > 0n;
}
