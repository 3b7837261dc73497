/** The suite for a provider's index, run against each implementation. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteProviderIndex } from "../../../offchain/store/index/sqlite/provider-index.ts";
import { PROVIDER_INDEX_TABLES } from "../../../offchain/store/index/sqlite/provider-tables.ts";
import { type Database, openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { describeProviderIndex, type IndexPlace } from "./provider-index-suite.ts";

function sqlitePlace(path: string, remove: () => void): IndexPlace {
  let database: Database | undefined;
  return {
    open: async () => {
      database = openDatabase(path, { migrations: [PROVIDER_INDEX_TABLES] });
      return new SqliteProviderIndex(database);
    },
    close: async () => database?.close(),
    remove: async () => remove(),
  };
}

describeProviderIndex(
  "SQLite on disk",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-index-"));
    return sqlitePlace(join(folder, "index.db"), () => rmSync(folder, { recursive: true, force: true }));
  },
  { survivesReopening: true },
);

describeProviderIndex("SQLite in memory", async () => sqlitePlace(":memory:", () => undefined), {
  survivesReopening: false,
});
