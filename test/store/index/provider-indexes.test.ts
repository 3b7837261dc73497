/** The suite for a provider's index, run against each engine; against a PostgreSQL server in test/long. */
import { openSqliteDatabase } from "../../../offchain/store/index/sql/open-sqlite.ts";
import { emptyTables, INDEX_MIGRATIONS, placeOn, sqliteOnDisk, Wasm } from "./places.ts";
import { describeProviderIndex } from "./provider-index-suite.ts";

describeProviderIndex("SQLite on disk", async () => sqliteOnDisk(), { survivesReopening: true });

describeProviderIndex(
  "SQLite in memory",
  async () =>
    placeOn(
      () => openSqliteDatabase(":memory:", INDEX_MIGRATIONS),
      () => undefined,
    ),
  { survivesReopening: false },
);

describe("PostgreSQL in WebAssembly", () => {
  const wasm = new Wasm();
  after(() => wasm.end());
  describeProviderIndex(
    "PGlite",
    async () => {
      await emptyTables(await wasm.database());
      return placeOn(
        () => wasm.database(),
        () => undefined,
      );
    },
    { survivesReopening: true },
  );
});
