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

  it("are not taken again by a renewal that is under way while they are released", async () => {
    const database = await openSqliteDatabase<ProviderTables>(":memory:", INDEX_MIGRATIONS);
    const run = database.run.bind(database);
    const leases = await SqlLeases.open(database, { leaseMilliseconds: 300 });
    expect(await leases.hold("job")).to.equal(true);
    const renewing = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const renewed = Promise.withResolvers<void>();
    let statements = 0;
    database.run = async (work) => {
      statements += 1;
      // A renewal prolongs the life of the process, and then each lease.
      if (statements !== 2) return await run(work);
      renewing.resolve();
      await released.promise;
      return await run(work).finally(renewed.resolve);
    };
    await renewing.promise;
    await leases.release("job");
    released.resolve();
    await renewed.promise;
    const rows = await run((tables) => tables.selectFrom("leases").select("name").where("name", "=", "job").execute());
    expect(rows).to.deep.equal([]);
    await leases.close();
    await database.close();
  });
});
