/** What `npm run bench:revoke` measures, on a small scale, and its verdicts. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  judgeRevocations,
  measurePackages,
  measureRevocations,
  REVOCATION_BARS,
  type RevocationFigure,
} from "../../scripts/bench/revoke-figures.ts";

const figure: RevocationFigure = {
  owners: 1000,
  chunks: 1024,
  milliseconds: 1000,
  ownerMilliseconds: 1,
  messages: 19,
  rekeyBytes: 1000,
  rewrittenBytes: 102_400,
  leaks: 0,
  runs: 1,
};

describe("figures of bench:revoke", () => {
  it("count what a revocation writes and tells, and find that the former owner gets nothing", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tallystick-revoke-"));
    try {
      const measured = await measureRevocations(folder, 9, { chunks: 3, runs: 4 });
      expect(measured).to.include({ owners: 9, chunks: 3, leaks: 0, runs: 4 });
      expect(measured.messages).to.be.within(1, 6);
      // The message, and at least one row.
      expect(measured.rewrittenBytes).to.be.within(measured.rekeyBytes + 38, 2000);
      expect(readdirSync(folder)).to.include("csp.db");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("tell packages from sealed chunks", () => {
    const [sealed, packed] = measurePackages(2, 1);
    expect(sealed).to.include({ what: "sealed chunk", overheadBytesPerGib: 16_384, ownerBytesPerGib: 0 });
    expect(packed).to.include({ what: "package", overheadBytesPerGib: 16_384, ownerBytesPerGib: 65_593 });
    for (const one of [sealed, packed]) {
      expect(one?.sealSecondsPerGib).to.be.greaterThan(0);
      expect(one?.openSecondsPerGib).to.be.greaterThan(0);
    }
  });

  it("hold the bars that were promised, up to and with the limit", () => {
    expect(REVOCATION_BARS.map(({ limit }) => limit)).to.deep.equal([1000, 102_400, 2 * Math.log2(1000), 0]);
    expect(judgeRevocations([figure]).map(({ met }) => met)).to.deep.equal([true, true, true, true]);
    const over = { ...figure, milliseconds: 1000.1, rewrittenBytes: 102_401, messages: 20, leaks: 1 };
    expect(judgeRevocations([over]).map(({ met }) => met)).to.deep.equal([false, false, false, false]);
    for (const other of [[], [{ ...figure, owners: 10 }], [{ ...figure, chunks: 1 }]]) {
      expect(judgeRevocations(other).every(({ met, measured }) => !met && measured === undefined)).to.equal(true);
    }
  });
});
