/** What `npm run bench:revoke` measures over HTTP, on a small scale. */
import { expect } from "chai";
import { measureRevocationsOverHttp } from "../../scripts/bench/revoke-http.ts";

describe("figures of bench:revoke over HTTP", function () {
  this.timeout(300_000);

  it("count what revocations by a real provider write and tell, and find that former owners get nothing", async () => {
    const sizes = { owners: 20, mib: 3, runs: 2, commandRuns: 1 };
    const measured = await measureRevocationsOverHttp(sizes);
    expect(measured).to.include({ owners: 20, mib: 3, runs: 2, leaks: 0 });
    expect(measured.chunks).to.be.within(1, 64);
    expect(measured.messages).to.be.within(1, Math.floor(2 * Math.log2(22)));
    expect(measured.rewrittenBytes).to.be.within(measured.rekeyBytes + 38, 4000);
    expect(measured.slowestMilliseconds).to.be.at.least(measured.milliseconds);
    expect(measured.commandMilliseconds).to.be.greaterThan(0);
  });
});
