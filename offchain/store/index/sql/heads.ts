/** The heads of snapshot lists: table `heads`. */
import { sql } from "kysely";
import type { HeadIndex, StoredHead } from "../head-index.ts";
import { canonicalAddress } from "./accounts.ts";
import type { TableDefinitions } from "./column-types.ts";
import type { SqlDatabase } from "./sql-database.ts";

export interface HeadTables {
  heads: { account: string; version: number; sealed: Uint8Array };
}

/** Part of the provider's first migration. */
export const HEAD_TABLES: TableDefinitions = ({ bytes, integer, clustered }) => [
  `CREATE TABLE heads (
    account TEXT NOT NULL PRIMARY KEY,
    version ${integer} NOT NULL CHECK (version > 0),
    sealed ${bytes} NOT NULL
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
  async replace(account: string, expectedVersion: number, { version, sealed }: StoredHead): Promise<boolean> {
    const owner = canonicalAddress(account);
    return this.#database.write(async (transaction) => {
      if (expectedVersion === 0) {
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
        .where("version", "=", expectedVersion)
        .executeTakeFirstOrThrow();
      return numUpdatedRows > 0n;
    });
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
