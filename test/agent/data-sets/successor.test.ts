/** When a data set should be left for a fresh one at the same provider. */

import { expect } from "chai";
import { successorOf } from "../../../offchain/agent/data-sets/successor.ts";
import { feeOf } from "../../../offchain/core/data-set/fee.ts";

const TERMS = { feeFloor: 10n, feePerSlice: 4n, feePerIndex: 1n, feeCap: 10n ** 12n };

describe("a successor of a data set", () => {
  const offered = (sliceCount: number, highestIndex: number, terms = TERMS, maximumIndex = 10 ** 9) =>
    successorOf(terms, { sliceCount, highestIndex, fee: feeOf(terms, sliceCount, highestIndex) }, maximumIndex);

  it("is offered when its fee saves more in the notice period than it costs", () => {
    // 4000 + 16,000 against 4000 + 1000.
    expect(offered(1000, 16_000)).to.deep.equal({ feePerEpoch: 5000n, reason: "fee" });
    const dearSlices = { ...TERMS, feePerSlice: 20n };
    // 20,000 + 16,000 against 20,000 + 1000.
    expect(offered(1000, 16_000, dearSlices)).to.equal(undefined);
    expect(offered(1000, 22_000, dearSlices)).to.equal(undefined);
    expect(offered(1000, 22_001, dearSlices)).to.deep.equal({ feePerEpoch: 21_000n, reason: "fee" });
  });

  it("is not offered to a set that has not churned, is small, or is empty", () => {
    expect(offered(1000, 8000)).to.equal(undefined);
    expect(offered(1000, 8001)).to.include({ reason: "fee" });
    expect(offered(1, 4095)).to.equal(undefined);
    expect(offered(1, 4096)).to.include({ reason: "fee" });
    expect(offered(0, 16_000)).to.equal(undefined);
  });

  it("is not offered for a fee that no index raises, unless indices run out", () => {
    const free = { ...TERMS, feePerIndex: 0n };
    expect(offered(1000, 16_000, free, 22_000)).to.equal(undefined);
    expect(offered(1000, 16_000, free, 21_000)).to.deep.equal({ feePerEpoch: 4000n, reason: "indices" });
    expect(offered(1000, 7900, free, 8000)).to.equal(undefined);
  });
});
