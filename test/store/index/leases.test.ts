/** Leases on the clocks of one process; what several do with them is in test/long/postgresql-index.test.ts. */
import { expect } from "chai";
import { SqlLeases } from "../../../offchain/store/index/sql/leases.ts";
import { openSqliteDatabase } from "../../../offchain/store/index/sql/open-sqlite.ts";
import type { ProviderTables } from "../../../offchain/store/index/sql/provider-tables.ts";
import { INDEX_MIGRATIONS } from "./places.ts";

describe("leases", () => {
  it("lapse on whichever clock is ahead: one stands still in suspension, the other may be set back", async () => {
    const database = await openSqliteDatabase<ProviderTables>(":memory:", INDEX_MIGRATIONS);
    let monotonic = 1000;
    let wall = 5_000_000;
    const leases = await SqlLeases.open(database, { now: () => monotonic, wallClock: () => wall });
    expect(await leases.hold("job")).to.equal(true);
    expect(leases.holds("job")).to.equal(true);
    monotonic += 19_000;
    wall += 19_000;
    expect(leases.holds("job")).to.equal(true);
    wall += 2000;
    expect(leases.holds("job"), "after suspension").to.equal(false);
    const lost = leases.lost("job");
    expect(await leases.hold("job")).to.equal(true);
    expect(lost.aborted).to.equal(true);
    wall -= 1_000_000;
    monotonic += 21_000;
    expect(leases.holds("job"), "after the clock was set back").to.equal(false);
    await leases.close();
    await database.close();
  });
});
