/**
 * Whether a data set should be left for a fresh one at the same provider. The fee counts the highest index that was
 * ever in a set, since proving does, and an index is never used twice; a set that churns costs more and more for what
 * it keeps. A fresh one begins with the index 1.
 */

import { feeOf } from "../../core/data-set/fee.ts";
import type { Level } from "../../core/data-set/schedule.ts";
import type { DataSetTerms } from "../../core/data-set/terms.ts";

/** Highest index, in live slices, above which a successor is looked at. */
const MOST_INDICES_PER_SLICE = 8;
/** Below it, an index costs too little to open a set for. */
const LEAST_INDEX = 4096;
/** Part of the provider's highest index above which a set that has churned will soon be full. */
const FULL = 0.75;

/** What a successor would be. */
export interface SuccessorOffer {
  /** Of the successor, on the terms of the set. */
  readonly feePerEpoch: bigint;
  /** `fee`: it costs so much less. `indices`: the provider will soon take no higher index in this one. */
  readonly reason: "fee" | "indices";
}

/**
 * A successor is worth it when its fee saves in the notice period of the old set, in which both are paid, more than it
 * costs: less than half of the fee. Or when indices run out.
 * @returns undefined while the set should go on
 */
export function successorOf(
  terms: Pick<DataSetTerms, "feeFloor" | "feePerSlice" | "feePerIndex" | "feeCap">,
  { sliceCount, highestIndex, fee }: Pick<Level, "sliceCount" | "highestIndex" | "fee">,
  maximumIndex: number,
): SuccessorOffer | undefined {
  const isChurned = highestIndex >= LEAST_INDEX && highestIndex > MOST_INDICES_PER_SLICE * sliceCount;
  if (!isChurned || sliceCount === 0) return undefined;
  const feePerEpoch = feeOf(terms, sliceCount, sliceCount);
  if (fee - feePerEpoch > feePerEpoch) return { feePerEpoch, reason: "fee" };
  return highestIndex > FULL * maximumIndex ? { feePerEpoch, reason: "indices" } : undefined;
}
