import { expect } from "chai";
import { provingMilliseconds } from "../../offchain/csp/data-sets/capacity.ts";
import { DEVNET_EPOCH_BLOCKS, proofWindowBlocks } from "../../scripts/devnet/epochs.ts";

/** Of the time of a window, the part that a provider promises. */
const USABLE_PART = 0.5;

describe("window of a devnet", () => {
  it("has time for a set of long slices whose draws are of as many objects, in an epoch of the default length", () => {
    const set = { sliceElements: 32_768, sliceCount: 460, highestIndex: 460, sampleCount: 460 };
    const segments = [{ pieces: { pieces: 460, squares: 460, most: 1 } }];
    const needed = provingMilliseconds({ ...set, segments });
    expect(needed)
      .to.be.greaterThan(5000)
      .and.at.most(proofWindowBlocks(DEVNET_EPOCH_BLOCKS) * 1000 * USABLE_PART);
  });
});
