/** What accounts that have nothing here can leave in the index: it is not charged to them, and nothing removes it. */
import { expect } from "chai";
import { openSqliteDatabase } from "../../../offchain/store/index/sql/open-sqlite.ts";
import { SqlProviderIndex } from "../../../offchain/store/index/sql/provider-index.ts";
import type { ProviderTables } from "../../../offchain/store/index/sql/provider-tables.ts";
import { INDEX_MIGRATIONS, PLACE_SECONDS } from "./places.ts";

describe("accounts that have nothing at a provider", () => {
  it("leave no row of a head by releasing objects, or by taking over what no device has left", async () => {
    const database = await openSqliteDatabase<ProviderTables>(":memory:", INDEX_MIGRATIONS);
    const index = await SqlProviderIndex.open(database, { unixSeconds: () => PLACE_SECONDS });
    const [stranger, device] = [`0x${"5a".repeat(20)}`, `0x${"de".repeat(20)}`];
    expect(await index.chunks.noteRelease(stranger, [new Uint8Array(32)], 1, 20)).to.equal(undefined);
    expect(await index.chunks.noteRelease(stranger, [new Uint8Array(32)], 0, 20)).to.equal(undefined);
    expect(await index.deviceSnapshots.take(stranger, device, 1)).to.equal(0);
    expect(await database.run((all) => all.selectFrom("heads").selectAll().execute())).to.deep.equal([]);
    await index.close();
    await database.close();
  });
});
