import { expect } from "chai";
import {
  amountsFromOffer,
  BelowOfferError,
  type OfferedTerms,
  requireTermsKeepOffer,
} from "../../../offchain/core/agreement/offer.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type { Offer } from "../../../offchain/core/wire/csp.ts";
import vectors from "../../vectors/provider.json" with { type: "json" };

const NATIVE = `0x${"00".repeat(20)}`;
const TOKEN = `0x${"aB".repeat(20)}`;
const SOURCE = `0x${"5e".repeat(20)}`;
const HEAD = 1000n;

const offer: Offer = {
  version: 1,
  account: `0x${"c5".repeat(20)}`,
  chainId: 1,
  escrow: `0x${"e5".repeat(20)}`,
  randomness: [SOURCE],
  prices: [{ token: NATIVE, pricePerGibEpoch: "1000000000", minimumFeePerEpoch: "5000" }],
  compensationPercent: 150,
  bountyPercent: 10,
  breachLimit: 3,
  epochBlocks: 100,
  windowBlocks: 50,
  sampleCount: 460,
  maximumEpochs: 365,
  maximumSlices: 10_000,
  minimumLeadBlocks: 2,
  maximumLeadBlocks: 500,
};

const good: OfferedTerms = {
  token: NATIVE,
  ...amountsFromOffer(offer, NATIVE, 100n),
  startBlock: 1010n,
  epochBlocks: 100,
  windowBlocks: 50,
  epochs: 10,
  sampleCount: 460,
  breachLimit: 3,
  sliceCount: 100n,
  randomness: SOURCE,
};

describe("offer", () => {
  for (const vector of vectors.offerAmounts) {
    it(`gives the amounts of the vector: ${vector.sliceCount} slices at ${vector.pricePerGibEpoch} per GiB`, () => {
      const { pricePerGibEpoch, minimumFeePerEpoch, compensationPercent, bountyPercent, breachLimit } = vector;
      const prices = [{ token: NATIVE, pricePerGibEpoch, minimumFeePerEpoch }];
      const amounts = amountsFromOffer(
        { ...offer, prices, compensationPercent, bountyPercent, breachLimit },
        NATIVE,
        BigInt(vector.sliceCount),
      );
      expect(amounts).to.deep.equal({
        feePerEpoch: BigInt(vector.feePerEpoch),
        compensationPerMiss: BigInt(vector.compensationPerMiss),
        bountyPerMiss: BigInt(vector.bountyPerMiss),
        collateral: BigInt(vector.collateral),
      });
    });
  }

  it("accepts its own amounts, more fee, more window, fewer samples, and the edges of the start", () => {
    for (const over of [
      {},
      { feePerEpoch: good.feePerEpoch * 2n },
      { compensationPerMiss: 0n, bountyPerMiss: 0n, collateral: 0n },
      { windowBlocks: 100 },
      { sampleCount: 1 },
      { epochs: 365 },
      { startBlock: HEAD + 2n },
      { startBlock: HEAD + 500n },
      { randomness: SOURCE.toUpperCase().replace("0X", "0x") },
    ]) {
      requireTermsKeepOffer(offer, { ...good, ...over }, HEAD);
    }
  });

  const refusals: [string, Partial<OfferedTerms>][] = [
    ["fee per epoch", { feePerEpoch: good.feePerEpoch - 1n }],
    ["fee per epoch", { feePerEpoch: 0n }],
    ["compensation per miss", { compensationPerMiss: good.compensationPerMiss + 1n }],
    ["bounty per miss", { bountyPerMiss: good.bountyPerMiss + 1n }],
    ["collateral", { collateral: good.collateral + 1n }],
    ["breach limit", { breachLimit: 2 }],
    ["breach limit", { breachLimit: 4 }],
    ["epoch length in blocks", { epochBlocks: 101 }],
    ["epoch length in blocks", { epochBlocks: 99 }],
    ["window in blocks", { windowBlocks: 49 }],
    ["epochs", { epochs: 0 }],
    ["epochs", { epochs: 366 }],
    ["slice count", { sliceCount: 0n }],
    ["sample count", { sampleCount: 0 }],
    ["sample count", { sampleCount: 461 }],
    ["start block", { startBlock: HEAD + 1n }],
    ["start block", { startBlock: 1n }],
    ["start block", { startBlock: HEAD + 501n }],
    ["randomness source", { randomness: TOKEN }],
    ["token", { token: TOKEN }],
  ];
  for (const [check, over] of refusals) {
    const shown = JSON.stringify(over, (_, value) => (typeof value === "bigint" ? `${value}` : value));
    it(`refuses terms by their ${check}: ${shown}`, () => {
      try {
        requireTermsKeepOffer(offer, { ...good, ...over }, HEAD);
      } catch (error) {
        expect(error).to.be.instanceOf(BelowOfferError).and.instanceOf(TallystickError);
        expect((error as BelowOfferError).check).to.equal(check);
        return;
      }
      expect.fail("they were accepted");
    });
  }

  it("refuses more slices than one agreement may have, whatever is paid for them", () => {
    const sliceCount = 10_001n;
    const terms = { ...good, ...amountsFromOffer(offer, NATIVE, sliceCount), sliceCount };
    expect(() => requireTermsKeepOffer(offer, terms, HEAD)).to.throw(BelowOfferError, "slice count");
  });
});
