/**
 * Collateral for states that are signed and not on chain yet. The provider deposits it before it signs. It is not
 * locked until the state is mined, which may take until the end of the epoch, or until the user sends the state;
 * meanwhile it must not be paid out, or the state would be refused at the cost of whoever sends it.
 */
import { feeOf, lockedCollateral } from "../../core/data-set/fee.ts";
import { decodeLiveRanges } from "../../core/data-set/ranges.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import type { CosignedState, DataSetIndex, DataSetRow } from "../../store/index/data-set-index.ts";
import { beforeOf, extentOf } from "./state-checks.ts";

/** What the states of a provider in a token will lock beside what its sets lock. @param sets all that may get states */
export async function promisedCollateral(
  index: Pick<DataSetIndex, "statesOf">,
  sets: readonly DataSetRow[],
  token: string,
  headBlock: number,
): Promise<bigint> {
  let sum = 0n;
  for (const row of sets) {
    if (row.agreed === undefined || !isAddressEqual(row.agreed.terms.token, token)) continue;
    sum += promisedOf(row, row.agreed, await index.statesOf(row.id), headBlock);
  }
  return sum;
}

/** As if no epoch had been missed: misses lower what is locked. */
function promisedOf(
  { scheduled }: DataSetRow,
  { terms }: NonNullable<DataSetRow["agreed"]>,
  states: readonly CosignedState[],
  headBlock: number,
): bigint {
  const { schedule, retirements, highestIndex } = beforeOf(scheduled);
  const sendable = states.filter(
    (state) =>
      state.version > (schedule?.version ?? 0n) && state.retirements === retirements && state.deadlineBlock > headBlock,
  );
  const fees = sendable.map(({ ranges }) => {
    const extent = extentOf(decodeLiveRanges(ranges), highestIndex);
    return feeOf(terms, extent.sliceCount, extent.highestIndex);
  });
  const highest = highestOf((schedule?.levels ?? []).map(({ fee }) => fee));
  const promised = highestOf([highest, ...fees]);
  return lockedCollateral(terms, promised, 0) - lockedCollateral(terms, highest, 0);
}

function highestOf(fees: readonly bigint[]): bigint {
  return fees.reduce((highest, fee) => (fee > highest ? fee : highest), 0n);
}
