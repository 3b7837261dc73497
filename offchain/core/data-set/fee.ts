/** The fee of a data set for an epoch, as `DataSetEscrow` computes it. */

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
