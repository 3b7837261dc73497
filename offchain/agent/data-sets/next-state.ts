/** What the next state of a data set holds: the segments that are added, less the slices that are retired. */

import type { SliceRange } from "../../core/audit/challenge.ts";
import { extendContent, type SegmentContent } from "../../core/data-set/content.ts";
import { feeOf } from "../../core/data-set/fee.ts";
import {
  decodeLiveRanges,
  joinRanges,
  lastIndexOf,
  MAXIMUM_RANGES,
  subtractRanges,
} from "../../core/data-set/ranges.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import { TallystickError } from "../../core/errors.ts";
import type { FollowedDataSet } from "./following.ts";
import type { JournaledDataSet, JournaledSegment, SignedByDevice } from "./journal.ts";

/** Retiring leaves room in the list of ranges for segments that come later and do not touch the ones before. */
export const RANGES_AFTER_RETIRING = 24;

export interface NextState {
  readonly ranges: readonly SliceRange[];
  readonly contentHash: string;
  /** High-water mark. */
  readonly highestIndex: number;
  readonly slices: number;
  readonly addedSlices: number;
  /** Slices that are taken out. */
  readonly retiredSlices: number;
}

/**
 * @param live ranges as scheduled last, less those that a state under way takes out
 * @param highestIndex that was ever in the set
 * @param added by index, all of it above `highestIndex`
 * @param retirable slices that may be taken out; some may have to stay because the list of ranges is bounded
 * @throws TallystickError CONFLICT when the list of ranges would be too long
 */
export function nextState(
  { contentHash }: Pick<JournaledDataSet, "contentHash">,
  live: readonly SliceRange[],
  highestIndex: number,
  added: readonly JournaledSegment[],
  retirable: readonly SliceRange[],
): NextState {
  const additions = added.map(({ firstIndex, sliceCount }) => ({ firstIndex, count: sliceCount }));
  const all = joinRanges(live, additions);
  const ranges = retireRuns(all, retirable);
  if (ranges.length > MAXIMUM_RANGES) throw tooManyRanges(ranges.length);
  return {
    ranges,
    contentHash: added.map(contentOf).reduce(extendContent, contentHash),
    highestIndex: additions.reduce((highest, range) => Math.max(highest, lastIndexOf(range)), highestIndex),
    slices: sumOf(ranges),
    addedSlices: sumOf(additions),
    retiredSlices: sumOf(all) - sumOf(ranges),
  };
}

/**
 * Takes slices out of a list of ranges, as far as the list stays short: first what makes it no longer, then the longest
 * runs. One slice always stays.
 */
export function retireRuns(live: readonly SliceRange[], retirable: readonly SliceRange[]): SliceRange[] {
  const longestFirst = joinRanges(retirable, []).sort((a, b) => b.count - a.count);
  let ranges = [...live];
  for (const mayLengthen of [false, true]) {
    for (const whole of longestFirst) {
      const run = sparingTheLast(ranges, whole);
      if (run.count === 0) continue;
      const without = subtractRanges(ranges, [run]);
      const most = Math.max(mayLengthen ? RANGES_AFTER_RETIRING : 0, ranges.length);
      if (without.length <= most) ranges = without;
    }
  }
  return ranges;
}

/** @throws TallystickError INTERNAL for a segment that was not delivered */
export function contentOf({ firstIndex, sliceCount, manifestHash, commitmentsRoot }: JournaledSegment): SegmentContent {
  if (commitmentsRoot !== undefined) return { firstIndex, sliceCount, manifestHash, commitmentsRoot };
  throw new TallystickError("a segment without commitments is to be signed", { code: "INTERNAL" });
}

/** A state without slices would end the set at once, which takes a notice: one slice stays. */
function sparingTheLast(ranges: readonly SliceRange[], run: SliceRange): SliceRange {
  return subtractRanges(ranges, [run]).length > 0 ? run : { ...run, count: run.count - 1 };
}

export function sumOf(ranges: readonly SliceRange[]): number {
  return ranges.reduce((sum, { count }) => sum + count, 0);
}

function tooManyRanges(count: number): TallystickError {
  return new TallystickError("the slices of the data set lie in too many pieces to add more", {
    code: "CONFLICT",
    party: "you",
    check: "ranges of live slices",
    expected: `at most ${MAXIMUM_RANGES}`,
    received: String(count),
    hint:
      "they could not be moved together: `tallystick data-set compact --dry-run` shows what there is to move; " +
      "or give notice to this data set: the next put begins another one",
  });
}

/** What a state that was signed by an earlier run comes to. @param segments of the set, in the journal */
export function factsOfSigned(
  { set, onChain }: FollowedDataSet,
  segments: readonly JournaledSegment[],
  signed: SignedByDevice,
): { fee: bigint; slices: number; addedSlices: number; newSlices: number } {
  const added = segments.filter(({ id }) => signed.segments.includes(id));
  const before = onChain === undefined ? 0 : lastLevel(onChain.schedule).highestIndex;
  const highest = added.reduce((top, { firstIndex, sliceCount }) => Math.max(top, firstIndex + sliceCount - 1), before);
  const slices = sumOf(decodeLiveRanges(signed.ranges));
  const count = (of: readonly JournaledSegment[]) => of.reduce((sum, { sliceCount }) => sum + sliceCount, 0);
  const addedSlices = count(added.filter(({ isCompaction }) => isCompaction !== true));
  if (set.agreed === undefined) throw new TallystickError("a signed state without terms", { code: "INTERNAL" });
  return { fee: feeOf(set.agreed.terms, slices, highest), slices, addedSlices, newSlices: count(added) };
}
