import { expect } from "chai";
import { BARS, judge } from "../../scripts/bench/gas.ts";

const within = {
  proofs: [
    { name: "PdpVerifier, 30 samples of 1 TiB, check", gas: 320_000 },
    { name: "PdpVerifier, 460 samples of 1 TiB, check", gas: 500_000 },
    { name: "PdpVerifier, 460 samples of 1 TiB, transaction", gas: 900_000 },
  ],
  records: [{ name: "record, 800-byte payload", gas: 90_000 }],
  randomness: [
    { name: "record, prevrandao, first block of a slot", gas: 80_000 },
    { name: "record, drand, first block of a slot", gas: 350_000 },
  ],
};

describe("bars of gas", () => {
  it("are those that were promised", () => {
    expect(BARS.map(({ limit }) => limit)).to.deep.equal([320_000, 500_000, 90_000, 80_000, 350_000]);
  });

  it("hold for figures up to and with the limit, and for no others", () => {
    const figures = judge(within);
    expect(figures.every(({ pass }) => pass)).to.equal(true);
    expect(figures.map(({ limit }) => limit)).to.deep.equal([320_000, 500_000, undefined, 90_000, 80_000, 350_000]);
    const over = { ...within, records: [{ name: "record, 800-byte payload", gas: 90_001 }] };
    expect(judge(over).map(({ pass }) => pass)).to.deep.equal([true, true, true, false, true, true]);
  });

  it("are not passed by measuring nothing", () => {
    expect(() => judge({ proofs: within.proofs })).to.throw("nothing was measured for the bar");
  });
});
