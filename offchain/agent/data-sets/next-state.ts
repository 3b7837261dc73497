/** What the next state of a data set holds: the segments that are added, less the slices that are retired. */

import type { SliceRange } from "../../core/audit/challenge.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import { extendContent, type SegmentContent } from "../../core/data-set/content.ts";
import { joinRanges, lastIndexOf, MAXIMUM_RANGES, subtractRanges } from "../../core/data-set/ranges.ts";
import { TallystickError } from "../../core/errors.ts";
import type { DataSetJournal, JournaledDataSet, JournaledSegment } from "./journal.ts";

/** Retiring leaves room in the list of ranges for segments that come later and do not touch the ones before. */
const RANGES_AFTER_RETIRING = 24;

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
 * @param live ranges as scheduled last
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
  let ranges = joinRanges(live, additions);
  const longestFirst = [...retirable].sort((a, b) => b.count - a.count);
  let retiredSlices = 0;
  for (const whole of longestFirst) {
    const run = sparingTheLast(ranges, whole);
    const without = subtractRanges(ranges, [run]);
    if (run.count === 0 || without.length > Math.max(RANGES_AFTER_RETIRING, ranges.length)) continue;
    ranges = without;
    retiredSlices += run.count;
  }
  if (ranges.length > MAXIMUM_RANGES) throw tooManyRanges(ranges.length);
  return {
    ranges,
    contentHash: added.map(contentOf).reduce(extendContent, contentHash),
    highestIndex: additions.reduce((highest, range) => Math.max(highest, lastIndexOf(range)), highestIndex),
    slices: sumOf(ranges),
    addedSlices: sumOf(additions),
    retiredSlices,
  };
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

/**
 * Live slices with nothing in them but some objects, and others that were forgotten before.
 * @param searchesAll whether to look into all segments, and not only into those that hold the objects
 */
export async function retirableSlices(
  journal: DataSetJournal,
  { salt, sliceElements }: JournaledDataSet,
  live: readonly SliceRange[],
  forgotten: readonly string[],
  searchesAll: boolean,
): Promise<SliceRange[]> {
  if (forgotten.length === 0 && !searchesAll) return [];
  const bytes = sliceBytes(sliceElements);
  const holders = await journal.holders(salt, forgotten);
  const affected = new Set([...holders.values()].flat());
  const gone = new Set(forgotten);
  const free: SliceRange[] = [];
  for (const { id, state, firstIndex, sliceCount } of await journal.segments(salt)) {
    if (!(searchesAll || affected.has(id)) || state !== "included") continue;
    const needed: SliceRange[] = [];
    for (const object of await journal.objectsIn(id, 0, sliceCount * bytes)) {
      if (gone.has(object.id)) continue;
      const first = Math.floor(object.startByte / bytes);
      const last = Math.floor((object.startByte + object.sizeBytes - 1) / bytes);
      needed.push({ firstIndex: firstIndex + first, count: last + 1 - first });
    }
    free.push(...subtractRanges([{ firstIndex, count: sliceCount }], joinRanges(needed, [])));
  }
  const notLive = subtractRanges(free, live);
  return subtractRanges(free, notLive);
}

function tooManyRanges(count: number): TallystickError {
  return new TallystickError("the slices of the data set lie in too many pieces to add more", {
    code: "CONFLICT",
    party: "you",
    check: "ranges of live slices",
    expected: `at most ${MAXIMUM_RANGES}`,
    received: String(count),
    hint: "give notice to this data set: the next put begins another one",
  });
}
