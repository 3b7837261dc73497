import { expect } from "chai";
import fc from "fast-check";
import { detectionProbability, drawsFor } from "../../../offchain/core/audit/sampling.ts";

describe("audit sampling", () => {
  it("draws 460 slices of a large data set, and finds 1 % damage with 99 %", () => {
    for (const slices of [100, 1_000, 8_660_000]) {
      expect(drawsFor(slices)).to.equal(460);
      expect(detectionProbability(slices, 460)).to.be.at.least(0.99);
    }
  });

  it("draws the only slice once, which finds any damage", () => {
    expect(drawsFor(1)).to.equal(1);
    expect(detectionProbability(1, 1)).to.equal(1);
  });

  it("finds one damaged slice of a small data set with 99 %, and with one draw less it would not", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 99 }), (slices) => {
        const draws = drawsFor(slices);
        expect(detectionProbability(slices, draws)).to.be.at.least(0.99);
        expect(detectionProbability(slices, draws - 1)).to.be.below(0.99);
        expect(draws).to.be.at.most(460);
      }),
    );
  });
});
