/** Databases for tests of a provider's index. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { Kysely, PGliteDialect, sql } from "kysely";
import { definitionsFor } from "../../../offchain/store/index/sql/column-types.ts";
import { DELEGATE_TABLES } from "../../../offchain/store/index/sql/delegates.ts";
import { DEVICE_SNAPSHOT_TABLES } from "../../../offchain/store/index/sql/device-snapshots.ts";
import { type Migrations, migrate } from "../../../offchain/store/index/sql/migrate.ts";
import { parseInteger } from "../../../offchain/store/index/sql/open-postgresql.ts";
import { openSqliteDatabase } from "../../../offchain/store/index/sql/open-sqlite.ts";
import { OWNER_GROUP_TABLES } from "../../../offchain/store/index/sql/owner-group-tables.ts";
import { SqlProviderIndex } from "../../../offchain/store/index/sql/provider-index.ts";
import { PROVIDER_INDEX_TABLES, type ProviderTables } from "../../../offchain/store/index/sql/provider-tables.ts";
import { SqlDatabase } from "../../../offchain/store/index/sql/sql-database.ts";
import type { IndexPlace } from "./provider-index-suite.ts";

export const INDEX_MIGRATIONS: Migrations = {
  "0001 tables": PROVIDER_INDEX_TABLES,
  "0002 ownership groups": OWNER_GROUP_TABLES,
  "0003 delegates": DELEGATE_TABLES,
  "0004 snapshots of devices": DEVICE_SNAPSHOT_TABLES,
};

/** Names of the tables that the migrations make. */
const TABLES = Object.values(INDEX_MIGRATIONS).flatMap((definitions) =>
  definitionsFor("postgresql", definitions).flatMap((statement) => {
    const name = /^CREATE TABLE (\w+)/.exec(statement)?.[1];
    return name === undefined ? [] : [name];
  }),
);

/** Removes the rows of all tables of the index. */
export async function emptyTables(database: SqlDatabase<ProviderTables>): Promise<void> {
  await database.run((all) => sql.raw(`TRUNCATE ${TABLES.join(", ")} RESTART IDENTITY`).execute(all));
}

/** The time of indexes that `placeOn` opens. */
export const PLACE_SECONDS = 50;

/** A database that several indexes, one after the other, are opened on. */
export function placeOn(
  openDatabase: () => Promise<SqlDatabase<ProviderTables>>,
  remove: () => Promise<void> | void,
): IndexPlace {
  let opened: { database: SqlDatabase<ProviderTables>; index: SqlProviderIndex } | undefined;
  return {
    open: async () => {
      const database = await openDatabase();
      opened = { database, index: await SqlProviderIndex.open(database, { unixSeconds: () => PLACE_SECONDS }) };
      return opened.index;
    },
    close: async () => {
      await opened?.index.close();
      await opened?.database.close();
      opened = undefined;
    },
    remove: async () => remove(),
  };
}

export function sqliteOnDisk(): IndexPlace {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-index-"));
  return placeOn(
    () => openSqliteDatabase(join(folder, "index.db"), INDEX_MIGRATIONS),
    () => rmSync(folder, { recursive: true, force: true }),
  );
}

/** PostgreSQL in WebAssembly, one for all tests because its start takes a second. */
export class Wasm {
  #instance: PGlite | undefined;

  async database(migrations: Migrations = INDEX_MIGRATIONS): Promise<SqlDatabase<ProviderTables>> {
    const isNew = this.#instance === undefined;
    this.#instance ??= await PGlite.create({ parsers: { 20: parseInteger } });
    const kysely = new Kysely<ProviderTables>({ dialect: new PGliteDialect({ pglite: this.#instance }) });
    if (isNew) await migrate(kysely, "postgresql", migrations, "PGlite");
    return new SqlDatabase<ProviderTables>({
      engine: "postgresql",
      location: "PGlite",
      kysely,
      passingFailure: () => undefined,
      asTyped: (error) => error,
      close: async () => undefined,
    });
  }

  async end(): Promise<void> {
    await this.#instance?.close();
    this.#instance = undefined;
  }
}
