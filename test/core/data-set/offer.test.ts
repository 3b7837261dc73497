/** Terms that a provider's offer leads to, and which ones it takes. */

import { expect } from "chai";
import { sliceBytes } from "../../../offchain/core/audit/field.ts";
import { feeOf } from "../../../offchain/core/data-set/fee.ts";
import {
  type AgreedTerms,
  BelowDataSetOfferError,
  type DataSetWishes,
  requireTermsKeepDataSetOffer,
  termsFromOffer,
} from "../../../offchain/core/data-set/offer.ts";
import { auditTermsHash, type DataSetAuditTerms, type DataSetTerms } from "../../../offchain/core/data-set/terms.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type { DataSetOffer } from "../../../offchain/core/wire/data-sets.ts";

const NATIVE = `0x${"00".repeat(20)}`;
const TOKEN = `0x${"aB".repeat(20)}`;
const SOURCE = `0x${"5e".repeat(20)}`;
const VERIFIER = `0x${"7e".repeat(20)}`;
const WORD = `0x${"44".repeat(32)}`;
const PHASE = 9;
const GIB = 1n << 30n;

const offer: DataSetOffer = {
  version: 1,
  account: `0x${"c5".repeat(20)}`,
  chainId: 1,
  escrow: `0x${"e5".repeat(20)}`,
  verifiers: [VERIFIER],
  randomness: [SOURCE],
  prices: [
    {
      token: NATIVE,
      pricePerGibEpoch: "1000000000",
      minimumFeePerEpoch: "5000",
      pricePerIndexEpoch: "3",
      disputeBond: "70",
    },
  ],
  modes: ["every-epoch"],
  compensationPercent: 150,
  bountyPercent: 10,
  latePercent: 40,
  breachLimit: 3,
  windowBlocks: 50,
  graceBlocks: 25,
  sampleCount: 460,
  sliceElements: [2048, 4096],
  maximumIndex: 10_000,
  challengeKey: `0x${"22".repeat(32)}`,
  challengeKeySignature: `0x${"33".repeat(65)}`,
};
const wishes: DataSetWishes = {
  user: `0x${"11".repeat(20)}`,
  token: NATIVE,
  sliceElements: 4096,
  keyHash: WORD,
  phase: PHASE,
  salt: WORD,
};
const good = termsFromOffer(offer, wishes);

/** Terms that differ, with the hash of their own audit terms. */
function changed(terms: Partial<DataSetTerms>, audit: Partial<DataSetAuditTerms>): AgreedTerms {
  const differing = { ...good.audit, ...audit };
  return { audit: differing, terms: { ...good.terms, auditHash: auditTermsHash(differing), ...terms } };
}

describe("offer of data sets", () => {
  it("never gives a GiB for less than its price, and charges the highest index", () => {
    const { terms } = good;
    const perSlice = 1_000_000_000n * BigInt(sliceBytes(4096));
    expect(terms.feePerSlice * GIB >= perSlice && (terms.feePerSlice - 1n) * GIB < perSlice).to.equal(true);
    expect(feeOf(terms, 1, 1)).to.equal(terms.feePerSlice + 3n);
    expect(feeOf({ ...terms, feeFloor: 10n ** 6n }, 1, 1)).to.equal(10n ** 6n);
    expect(feeOf(terms, 10, 100)).to.equal(10n * terms.feePerSlice + 300n);
    // The largest set that the provider takes can be reached, and no larger one.
    expect(feeOf(terms, 10_000, 10_000)).to.equal(terms.feeCap);
    expect(() => feeOf(terms, 10_001, 10_001)).to.throw(TallystickError, "cap");
  });

  it("has collateral for all misses that end a set", () => {
    expect(good.terms).to.include({ collateralPercent: 3 * 160, compensationPercent: 150, bountyPercent: 10 });
  });

  it("takes its own terms, and those that are better for the provider", () => {
    for (const [terms, audit] of [
      [{}, {}],
      [{ feePerSlice: good.terms.feePerSlice * 2n }, {}],
      [{ feeFloor: 6000n, feePerIndex: 4n, feeCap: 6000n }, {}],
      [{ compensationPercent: 0, bountyPercent: 0, collateralPercent: 0 }, {}],
      [{ latePercent: 100 }, {}],
      [{}, { windowBlocks: 100, graceBlocks: 100 }],
      [{}, { sampleCount: 1 }],
      [{}, { disputeBond: 71n }],
      [{}, { randomness: SOURCE.toUpperCase().replace("0X", "0x") }],
    ] as [Partial<DataSetTerms>, Partial<DataSetAuditTerms>][]) {
      requireTermsKeepDataSetOffer(offer, changed(terms, audit), PHASE);
    }
  });

  for (const [check, terms, audit] of [
    ["provider", { provider: TOKEN }, {}],
    ["token", { token: TOKEN }, {}],
    ["mode", { mode: "on-demand" }, {}],
    ["fee floor", { feeFloor: 4999n }, {}],
    ["fee per slice", { feePerSlice: good.terms.feePerSlice - 1n }, {}],
    ["fee per index", { feePerIndex: 2n }, {}],
    ["fee cap", { feeCap: 4999n }, {}],
    ["compensation", { compensationPercent: 151 }, {}],
    ["bounty", { bountyPercent: 11 }, {}],
    ["collateral", { collateralPercent: 481 }, {}],
    ["pay of a late proof", { latePercent: 39 }, {}],
    ["breach limit", { breachLimit: 2 }, {}],
    ["breach limit", { breachLimit: 4 }, {}],
    ["hash of the audit terms", { auditHash: WORD }, {}],
    ["slice size", {}, { sliceElements: 1024 }],
    ["window in blocks", {}, { windowBlocks: 49 }],
    ["grace window in blocks", {}, { graceBlocks: 24 }],
    ["sample count", {}, { sampleCount: 0 }],
    ["sample count", {}, { sampleCount: 461 }],
    ["dispute bond", {}, { disputeBond: 69n }],
    ["phase", {}, { phase: PHASE + 1 }],
    ["randomness source", {}, { randomness: TOKEN }],
    ["verifier", {}, { verifier: TOKEN }],
  ] as [string, Partial<DataSetTerms>, Partial<DataSetAuditTerms>][]) {
    const shown = JSON.stringify({ ...terms, ...audit }, (_, value) =>
      typeof value === "bigint" ? `${value}` : value,
    );
    it(`refuses terms by their ${check}: ${shown}`, () => {
      expect(() => requireTermsKeepDataSetOffer(offer, changed(terms, audit), PHASE))
        .to.throw(BelowDataSetOfferError)
        .that.includes({ code: "INVALID_INPUT", check });
    });
  }

  it("of a provider that stores for nothing is refused: a fee of zero is none", () => {
    const [price] = offer.prices;
    if (price === undefined) throw new Error("no price");
    const free = { ...offer, prices: [{ ...price, pricePerGibEpoch: "0", minimumFeePerEpoch: "0" }] };
    expect(() => termsFromOffer(free, wishes)).to.throw(BelowDataSetOfferError, "fee floor");
  });
});
