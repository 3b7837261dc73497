/** The fee of a data set for an epoch, and the collateral that it takes, as `StorageEscrow` computes them. */

import { InvalidInputError } from "../errors.ts";
import type { DataSetTerms } from "./terms.ts";

type Prices = Pick<DataSetTerms, "feeFloor" | "feePerSlice" | "feePerIndex" | "feeCap">;

/**
 * @param sliceCount live slices; an empty set costs nothing
 * @param highestIndex highest index that was ever in the set: what proving costs grows with it
 * @throws InvalidInputError when the fee would exceed the user's cap
 */
export function feeOf(prices: Prices, sliceCount: number, highestIndex: number): bigint {
  if (sliceCount === 0) return 0n;
  const priced = prices.feePerSlice * BigInt(sliceCount) + prices.feePerIndex * BigInt(highestIndex);
  const fee = priced > prices.feeFloor ? priced : prices.feeFloor;
  if (fee > prices.feeCap) {
    throw new InvalidInputError("the fee of the data set would exceed its cap", {
      check: "fee cap",
      expected: `at most ${prices.feeCap}`,
      received: String(fee),
      hint: "open another data set with a higher cap",
    });
  }
  return fee;
}

type CollateralTerms = Pick<DataSetTerms, "collateralPercent" | "compensationPercent" | "bountyPercent">;

/** A fee rounded up to four significant bits. Collateral is a percentage of it, so that it seldom changes. */
export function securedFee(fee: bigint): bigint {
  const spareBits = BigInt(Math.max(0, fee.toString(2).length - 4));
  const step = 1n << spareBits;
  return ((fee + step - 1n) / step) * step;
}

/**
 * What a provider locks for a set.
 * @param highestFee of all levels of its schedule
 * @param missed epochs that were missed: each has cost its part
 */
export function lockedCollateral(terms: CollateralTerms, highestFee: bigint, missed = 0): bigint {
  const spentPercent = missed * (terms.compensationPercent + terms.bountyPercent);
  return (securedFee(highestFee) * BigInt(terms.collateralPercent - spentPercent)) / 100n;
}
