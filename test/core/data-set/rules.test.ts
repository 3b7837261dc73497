/** Ranges, fees and balances against simple models: sets of indices, and one step for each epoch. */

import { expect } from "chai";
import fc from "fast-check";
import type { SliceRange } from "../../../offchain/core/audit/challenge.ts";
import { accrue, runwayEpochs } from "../../../offchain/core/data-set/balance.ts";
import { windowsOf } from "../../../offchain/core/data-set/epochs.ts";
import { feeOf, lockedCollateral, securedFee } from "../../../offchain/core/data-set/fee.ts";
import {
  decodeLiveRanges,
  encodeLiveRanges,
  joinRanges,
  requireFollows,
  subtractRanges,
} from "../../../offchain/core/data-set/ranges.ts";
import { feesBetween, levelAt } from "../../../offchain/core/data-set/schedule.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const HASH = `0x${"11".repeat(32)}`;

function rangesOf(indices: Iterable<number>): SliceRange[] {
  return joinRanges(
    [...new Set(indices)].map((firstIndex) => ({ firstIndex, count: 1 })),
    [],
  );
}

function indicesOf(ranges: readonly SliceRange[]): number[] {
  return ranges.flatMap(({ firstIndex, count }) => Array.from({ length: count }, (_, k) => firstIndex + k));
}

const indexSets = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 });

describe("live ranges", () => {
  it("join and subtract as sets do", () => {
    fc.assert(
      fc.property(indexSets, indexSets, (left, right) => {
        const sorted = (values: Iterable<number>) => [...new Set(values)].sort((a, b) => a - b);
        expect(indicesOf(rangesOf(left))).to.deep.equal(sorted(left));
        expect(indicesOf(joinRanges(rangesOf(left), rangesOf(right)))).to.deep.equal(sorted([...left, ...right]));
        const without = sorted(left).filter((index) => !right.includes(index));
        expect(indicesOf(subtractRanges(rangesOf(left), rangesOf(right)))).to.deep.equal(without);
      }),
    );
  });

  it("have one encoding", () => {
    fc.assert(
      fc.property(indexSets, (indices) => {
        const ranges = rangesOf(indices);
        expect(decodeLiveRanges(encodeLiveRanges(ranges))).to.deep.equal(ranges);
      }),
    );
  });

  it("are refused unless they ascend without touching", () => {
    const refused = (...ranges: SliceRange[]) =>
      expectRejection(() => encodeLiveRanges(ranges), "INVALID_INPUT", /malformed/);
    refused({ firstIndex: 0, count: 1 });
    refused({ firstIndex: 1, count: 0 });
    refused({ firstIndex: 1, count: 5 }, { firstIndex: 6, count: 1 });
    refused({ firstIndex: 1, count: 5 }, { firstIndex: 3, count: 9 });
    refused({ firstIndex: 9, count: 1 }, { firstIndex: 1, count: 1 });
    refused({ firstIndex: 1, count: 2 ** 48 - 1 });
    refused({ firstIndex: 1.5, count: 1 });
    refused(...Array.from({ length: 33 }, (_, k) => ({ firstIndex: 1 + 2 * k, count: 1 })));
    expectRejection(() => decodeLiveRanges(new Uint8Array(11)), "INVALID_INPUT", /malformed/);
    expectRejection(() => decodeLiveRanges(new Uint8Array(12)), "INVALID_INPUT", /malformed/);
  });

  it("follow a list exactly when no index up to the high-water mark is revived", () => {
    fc.assert(
      fc.property(indexSets, indexSets, fc.integer({ min: 0, max: 70 }), (before, after, highest) => {
        const follows = after.every((index) => index > highest || before.includes(index));
        const check = () => requireFollows(rangesOf(after), rangesOf(before), highest);
        if (follows) check();
        else expectRejection(check, "INVALID_INPUT", /revives/);
      }),
    );
  });
});

describe("fees and balances of data sets", () => {
  it("sum the fees of epochs one by one", () => {
    const gaps = fc.array(fc.record({ gap: fc.integer({ min: 1, max: 5 }), fee: fc.bigInt(0n, 1000n) }), {
      minLength: 1,
      maxLength: 6,
    });
    const span = fc.integer({ min: 0, max: 40 });
    fc.assert(
      fc.property(gaps, span, span, (steps, after, through) => {
        let fromEpoch = 0;
        const levels = steps.map(({ gap, fee }) => {
          fromEpoch += gap;
          return { fromEpoch, fee, sliceCount: 1, highestIndex: 1, rangesHash: HASH };
        });
        const schedule = { levels };
        let sum = 0n;
        for (let epoch = after + 1; epoch <= through; epoch++) sum += levelAt(schedule, epoch)?.fee ?? 0n;
        expect(feesBetween(schedule, after, through)).to.equal(sum);
      }),
    );
  });

  it("pay each epoch until the balance is used up", () => {
    const amounts = fc.tuple(fc.bigInt(0n, 1000n), fc.bigInt(0n, 50n), fc.integer({ min: 0, max: 60 }));
    fc.assert(
      fc.property(amounts, ([available, rate, epochs]) => {
        const account = { available, rate, paidThrough: 100, generation: 3 };
        let left = available;
        let endEpoch: number | undefined;
        for (let epoch = 101; epoch <= 100 + epochs && endEpoch === undefined; epoch++) {
          if (left < rate) endEpoch = epoch;
          else left -= rate;
        }
        const accrued = accrue(account, 100 + epochs);
        expect(accrued.available).to.equal(left);
        expect(accrued.endEpoch).to.equal(endEpoch);
        expect(accrued.generation).to.equal(endEpoch === undefined ? 3 : 4);
        expect(accrued.rate).to.equal(endEpoch === undefined ? rate : 0n);
        const runway = runwayEpochs(account);
        expect(endEpoch === undefined || endEpoch === 101 + runway).to.equal(true);
      }),
    );
  });

  it("are secured by the next number that has four significant bits", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 80n), (fee) => {
        const secured = securedFee(fee);
        expect(secured >= fee && 8n * (secured - fee) <= fee).to.equal(true);
        expect(/^[01]{1,4}0*$/.test(secured.toString(2))).to.equal(true);
        expect(securedFee(secured)).to.equal(secured);
      }),
    );
    expect([0n, 15n, 17n, 1000n, 1025n].map(securedFee)).to.deep.equal([0n, 15n, 18n, 1024n, 1152n]);
    const terms = { collateralPercent: 300, compensationPercent: 60, bountyPercent: 20 };
    expect([0, 1, 3].map((missed) => lockedCollateral(terms, 1000n, missed))).to.deep.equal([3072n, 2252n, 614n]);
  });

  it("have a floor, a cap, and no price for an empty set", () => {
    const prices = { feeFloor: 100n, feePerSlice: 10n, feePerIndex: 1n, feeCap: 500n };
    expect(feeOf(prices, 0, 1000)).to.equal(0n);
    expect(feeOf(prices, 1, 1)).to.equal(100n);
    expect(feeOf(prices, 20, 50)).to.equal(250n);
    expectRejection(() => feeOf(prices, 46, 46), "INVALID_INPUT", /cap/);
  });

  it("have their windows within an epoch", () => {
    const terms = { epochBlocks: 7200, phase: 100, windowBlocks: 300, graceBlocks: 150 };
    expect(windowsOf(terms, 10)).to.deep.equal({
      epoch: 10,
      challengeBlock: 72_100,
      windowEnd: 72_400,
      graceEnd: 72_550,
      reportEnd: 86_399,
    });
  });
});
