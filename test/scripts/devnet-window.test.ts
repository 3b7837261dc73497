import { expect } from "chai";
import { provingMilliseconds } from "../../offchain/csp/data-sets/capacity.ts";
import { proofWindowBlocks } from "../../scripts/devnet/proof-window.ts";

/** Of the time of a window, the part that a provider promises. */
const USABLE_PART = 0.5;

describe("window of a devnet", () => {
  it("has time for a set of long slices whose draws are of as many objects, in an epoch of the default length", () => {
    const set = { sliceElements: 32_768, sliceCount: 460, highestIndex: 460, sampleCount: 460 };
    const segments = [{ pieces: { pieces: 460, squares: 460, most: 1 } }];
    const needed = provingMilliseconds({ ...set, segments });
    expect(needed)
      .to.be.greaterThan(5000)
      .and.at.most(proofWindowBlocks(30) * 1000 * USABLE_PART);
  });

  it("leaves room for late proofs in an epoch of any length, and is a third of a long one", () => {
    for (let epochBlocks = 2; epochBlocks < 200; epochBlocks += 1) {
      const window = proofWindowBlocks(epochBlocks);
      expect(window + Math.floor(window / 2), String(epochBlocks)).to.be.at.most(epochBlocks - 1);
    }
    expect(proofWindowBlocks(300)).to.equal(100);
  });
});
