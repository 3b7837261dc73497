/** A provider's offer, held against the deployment, and a user's wishes, held against the offer and a set that runs. */

import { expect } from "chai";
import {
  fittingOffer,
  type LaneWishes,
  newTerms,
  requireAffordable,
  requireIndexAllowed,
  requireWishesMatch,
  runwayOf,
} from "../../../offchain/agent/data-sets/wishes.ts";
import type { DataSetKeeper } from "../../../offchain/agent/providers/storage-provider.ts";
import type { Deployment } from "../../../offchain/chain/deployment.ts";
import type { DataSetOffer } from "../../../offchain/core/wire/data-sets.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const address = (digits: string) => `0x${digits.repeat(20)}`;
const HASH = `0x${"44".repeat(32)}`;
const [ACCOUNT, ESCROW, VERIFIER, RANDOMNESS] = [address("11"), address("22"), address("33"), address("55")];
const COIN = address("00");

const offer: DataSetOffer = {
  version: 1,
  account: ACCOUNT,
  chainId: 31_337,
  escrow: ESCROW,
  verifiers: [VERIFIER],
  randomness: [RANDOMNESS],
  prices: [
    {
      token: COIN,
      pricePerGibEpoch: "1000000",
      minimumFeePerEpoch: "500",
      pricePerIndexEpoch: "1",
      disputeBond: "7",
    },
  ],
  modes: ["every-epoch"],
  compensationPercent: 100,
  bountyPercent: 10,
  latePercent: 50,
  breachLimit: 3,
  windowBlocks: 10,
  graceBlocks: 5,
  sampleCount: 460,
  sliceElements: [4096],
  maximumIndex: 1000,
  challengeKey: `0x${"22".repeat(32)}`,
  challengeKeySignature: `0x${"33".repeat(65)}`,
};
const deployment: Deployment = {
  version: 1,
  chainId: 31_337,
  rpcUrl: "http://127.0.0.1:1",
  contracts: {
    nodeRegistry: ESCROW,
    keyLedger: ESCROW,
    storageEscrow: ESCROW,
    possessionVerifier: VERIFIER,
    randomness: RANDOMNESS,
    ownersPolicy: VERIFIER,
    recoveryPolicy: VERIFIER,
    accountDirectory: VERIFIER,
  },
  deployedAtBlock: 0,
  committeeId: "1",
  providers: [],
};
const provider = { account: ACCOUNT, name: "provider http://fake" } as DataSetKeeper;
const fresh = { user: address("77"), salt: HASH, sliceElements: 4096, keyHash: HASH, phase: 3 };

describe("an offer of data sets", () => {
  const fitting = (changed: Partial<DataSetOffer>) => fittingOffer(deployment, provider, { ...offer, ...changed });

  for (const [what, changed, check] of [
    ["another account", { account: ESCROW }, "account of the provider"],
    ["another escrow", { escrow: ACCOUNT }, "escrow contract"],
    ["another chain", { chainId: 1 }, "chain id"],
    ["a verifier that the deployment does not name", { verifiers: [ESCROW] }, "verifier"],
    ["a randomness that the deployment does not name", { randomness: [ESCROW] }, "source of randomness"],
  ] as [string, Partial<DataSetOffer>, string][]) {
    it(`is refused when it is for ${what}`, () => {
      const error = expectRejection(() => fitting(changed), "BAD_RESPONSE");
      expect(error).to.include({ party: provider.name, check });
    });
  }

  it("is taken with the verifier and the randomness of the deployment, whatever it prefers", () => {
    const taken = fitting({ verifiers: [ESCROW, VERIFIER], randomness: [ESCROW, RANDOMNESS] });
    const { audit } = newTerms(taken, {}, fresh);
    expect([audit.verifier, audit.randomness]).to.deep.equal([VERIFIER, RANDOMNESS]);
  });

  it("becomes terms, with what the user wishes within it", () => {
    const { terms, audit } = newTerms(offer, {}, fresh);
    // 31 bytes an element; a part of the smallest unit is rounded up.
    expect(terms).to.include({ mode: "every-epoch", feeFloor: 500n, feePerSlice: 119n, feePerIndex: 1n, token: COIN });
    expect(terms).to.include({ collateralPercent: 330, compensationPercent: 100, bountyPercent: 10, breachLimit: 3 });
    expect(terms.feeCap).to.equal(120_000n);
    expect(audit).to.include({ sampleCount: 460, windowBlocks: 10, graceBlocks: 5, disputeBond: 7n, phase: 3 });
    const wished = newTerms(offer, { sampleCount: 20, feeCap: 9000n }, fresh);
    expect([wished.audit.sampleCount, wished.terms.feeCap]).to.deep.equal([20, 9000n]);
    expect(wished.terms.auditHash).to.not.equal(terms.auditHash);
  });

  for (const [what, changed, wishes, check] of [
    ["no price in the user's token", {}, { token: ACCOUNT }, "token"],
    ["fewer draws than the user wishes", {}, { sampleCount: 461 }, "sample count"],
    ["another mode than the user wishes", {}, { mode: "on-demand" }, "mode"],
    ["slices of another size", { sliceElements: [2048] }, {}, "slice size"],
    ["a floor above the user's highest fee", {}, { feeCap: 499n }, "fee cap"],
  ] as [string, Partial<DataSetOffer>, LaneWishes, string][]) {
    it(`is refused when it has ${what}`, () => {
      const error = expectRejection(() => newTerms({ ...offer, ...changed }, wishes, fresh), "INVALID_INPUT");
      expect(error.check).to.equal(check);
    });
  }

  it("is refused when a single slice costs more than the user allows", () => {
    const { terms } = newTerms(offer, {}, fresh);
    const error = expectRejection(
      () => requireAffordable("it", terms, undefined, { maximumFeePerEpoch: 499n }),
      "INVALID_INPUT",
    );
    expect(error).to.include({ party: "it", check: "fee per epoch", expected: "at most 499", received: "500" });
    expect(error.hint).to.contain("`--max-fee`").and.to.contain("`--no-data-set`");
    requireAffordable("it", terms, undefined, { maximumFeePerEpoch: 500n });
  });

  it("limits the highest index", () => {
    requireIndexAllowed("it", 1000, offer);
    const error = expectRejection(() => requireIndexAllowed("it", 1001, offer), "INVALID_INPUT");
    expect(error).to.include({ party: "it", check: "highest index", received: "1001" });
  });
});

describe("wishes for a data set that runs", () => {
  const agreed = newTerms(offer, { sampleCount: 20, feeCap: 9000n }, fresh);

  it("may be left out, or repeated", () => {
    requireWishesMatch(agreed, {});
    requireWishesMatch(agreed, { sampleCount: 20, feeCap: 9000n, mode: "every-epoch", token: COIN });
  });

  for (const [check, wishes] of [
    ["token", { token: ACCOUNT }],
    ["mode", { mode: "on-demand" }],
    ["fee cap", { feeCap: 9001n }],
    ["sample count", { sampleCount: 21 }],
  ] as [string, LaneWishes][]) {
    it(`are refused when they are for another ${check}`, () => {
      expect(expectRejection(() => requireWishesMatch(agreed, wishes), "INVALID_INPUT")).to.include({
        party: "you",
        check,
      });
    });
  }

  it("have a runway of whole epochs, none at all included", () => {
    expect([runwayOf({}), runwayOf({ runwayEpochs: 0 })]).to.deep.equal([30, 0]);
    for (const runwayEpochs of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expectRejection(() => runwayOf({ runwayEpochs }), "INVALID_INPUT");
    }
  });

  it("take the mode that proves more unless the other one is named, and never one that is not offered", () => {
    const both: DataSetOffer = { ...offer, modes: ["on-demand", "every-epoch"] };
    expect(newTerms(both, {}, fresh).terms.mode).to.equal("every-epoch");
    expect(newTerms(both, { mode: "on-demand" }, fresh).terms.mode).to.equal("on-demand");
    const error = expectRejection(() => newTerms({ ...offer, modes: ["on-demand"] }, {}, fresh), "INVALID_INPUT");
    expect(error).to.include({ check: "mode", expected: "on-demand", received: "every-epoch" });
    expect(error.hint).to.contain("--mode");
  });

  it("bound what a dispute may cost, by default 1000 times the least fee, and in mode on-demand only", () => {
    const asking = (
      disputeBond: string,
      modes: DataSetOffer["modes"] = ["every-epoch", "on-demand"],
    ): DataSetOffer => ({
      ...offer,
      modes,
      prices: offer.prices.map((price) => ({ ...price, disputeBond })),
    });
    const onDemand: LaneWishes = { mode: "on-demand" };
    expect(newTerms(asking("500000"), onDemand, fresh).audit.disputeBond).to.equal(500_000n);
    const error = expectRejection(() => newTerms(asking("500001"), onDemand, fresh), "INVALID_INPUT");
    expect(error).to.include({ check: "dispute bond", expected: "at most 500000", received: "500001" });
    expect(error.party).to.contain(ACCOUNT);
    expect(error.hint).to.contain("--max-bond");
    const allowing = { ...onDemand, maximumDisputeBond: 500_001n };
    const agreed = newTerms(asking("500001"), allowing, fresh);
    // A set that runs is refused only for a limit that was named.
    requireWishesMatch(agreed, onDemand);
    requireWishesMatch(agreed, allowing);
    expectRejection(() => requireWishesMatch(agreed, { maximumDisputeBond: 500_000n }), "INVALID_INPUT");
    expect(newTerms(asking("500001"), {}, fresh).terms.mode).to.equal("every-epoch");
  });
});
