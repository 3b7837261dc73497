/**
 * Which slices of a data set are to be tagged again at new indices, so that the list of its live ranges stays short and
 * dead slices can be taken out of it. The smallest runs go first. It is bounded work, and pays: no more bytes are moved
 * than dead ones go out, and the fee falls, except for what the escrow's limit of the list forces.
 */

import type { SliceRange } from "../../core/audit/challenge.ts";
import { joinRanges, lastIndexOf, MAXIMUM_RANGES } from "../../core/data-set/ranges.ts";
import type { DataSetTerms } from "../../core/data-set/terms.ts";
import type { NeededRun } from "./needed-slices.ts";
import { RANGES_AFTER_RETIRING, retireRuns, sumOf } from "./next-state.ts";

/** A data set before a compaction. */
export interface CompactionSubject {
  /** Live ranges on chain, less what a state under way takes out. */
  readonly live: readonly SliceRange[];
  /** Slices that the next state adds anyway, above the live ones. They are not moved. */
  readonly added: readonly SliceRange[];
  /** Of the live slices. Those without bytes stay where they are. */
  readonly needed: readonly NeededRun[];
  /** The first index that nothing has yet. */
  readonly nextIndex: number;
  /** The highest one that the provider takes. */
  readonly maximumIndex: number;
  readonly sliceBytes: number;
  readonly prices: Pick<DataSetTerms, "feePerSlice" | "feePerIndex">;
}

export interface CompactionLimits {
  /** Bytes that are moved at most, unless the list is too long for the escrow otherwise. */
  readonly bytes: number;
  /** Whether all dead slices shall go, also where more bytes are moved for them. The fee falls all the same. */
  readonly isThorough: boolean;
}

export interface CompactionPlan {
  /** By index. Empty: nothing is worth to be moved. */
  readonly moved: readonly NeededRun[];
  /** Of the objects in them. */
  readonly movedBytes: number;
  /** New ones, for the objects that are moved. */
  readonly newSlices: number;
  /** Live slices without an object that is needed. */
  readonly deadSlices: number;
  /** Live ranges afterwards. */
  readonly ranges: readonly SliceRange[];
  /** Dead slices that stay in them. */
  readonly keptDeadSlices: number;
  /** More would be moved if the bytes were not bounded. */
  readonly isCutShort: boolean;
}

/** What some moves lead to. */
interface Outcome {
  readonly moved: readonly NeededRun[];
  readonly movedBytes: number;
  readonly newSlices: number;
  readonly ranges: readonly SliceRange[];
  readonly slices: number;
}

/** @returns a plan whose list is too long for the escrow only when nothing is left to move */
export function planCompaction(subject: CompactionSubject, limits: CompactionLimits): CompactionPlan {
  const { live, needed } = subject;
  const runs = needed.filter(({ bytes }) => bytes > 0).sort((a, b) => a.bytes - b.bytes || a.firstIndex - b.firstIndex);
  const forced = forcedMoves(subject, runs, limits.bytes);
  const base = outcomeOf(subject, runs.slice(0, forced));
  const sparse = new Set(runs.filter((run) => isSparse(subject, run)));
  /** With the smallest ones, and with those that hold little for the slices that they take. */
  const moves = (count: number, most: number): NeededRun[] => {
    const always = runs.slice(0, forced);
    let bytes = sumBytes(always);
    const others = [...runs.slice(forced).filter((run) => sparse.has(run)), ...runs.slice(forced, count)];
    const more = [...new Set(others)].filter((run) => {
      if (bytes + run.bytes > most) return false;
      bytes += run.bytes;
      return true;
    });
    return [...always, ...more];
  };
  /** Fewer and fewer, until they pay. */
  const chosenWithin = (most: number): Outcome => {
    const keepsDead = (count: number) => keptDead(subject, outcomeOf(subject, moves(count, most))) > 0;
    for (let count = leastWithout(keepsDead, forced, runs.length); ; count = Math.floor((forced + count * 7) / 8)) {
      const outcome = outcomeOf(subject, moves(count, most));
      if (pays(subject, limits, base, outcome)) return outcome;
      if (count <= forced) return base;
    }
  };
  const unbounded = chosenWithin(Number.POSITIVE_INFINITY);
  const chosen = unbounded.movedBytes <= limits.bytes ? unbounded : chosenWithin(limits.bytes);
  return {
    moved: [...chosen.moved].sort((a, b) => a.firstIndex - b.firstIndex),
    movedBytes: chosen.movedBytes,
    newSlices: chosen.newSlices,
    deadSlices: sumOf(live) - sumOf(needed),
    ranges: chosen.ranges,
    keptDeadSlices: keptDead(subject, chosen),
    isCutShort: unbounded.moved.length > chosen.moved.length,
  };
}

/**
 * How many of the smallest runs have to go so that the escrow takes the list; if bytes are left, so many that there is
 * room in it again.
 */
function forcedMoves(subject: CompactionSubject, runs: readonly NeededRun[], bytes: number): number {
  const isShort = (count: number, most: number) => outcomeOf(subject, runs.slice(0, count)).ranges.length <= most;
  let count = 0;
  while (count < runs.length && !isShort(count, MAXIMUM_RANGES)) count += 1;
  if (count === 0) return 0;
  while (
    count < runs.length &&
    !isShort(count, RANGES_AFTER_RETIRING) &&
    sumBytes(runs.slice(0, count + 1)) <= bytes &&
    fitsIndices(subject, outcomeOf(subject, runs.slice(0, count + 1)))
  ) {
    count += 1;
  }
  return count;
}

/** The smallest number up to `most` for which a check no longer holds that once fails for good; else `most`. */
function leastWithout(holds: (count: number) => boolean, from: number, most: number): number {
  let [low, high] = [from, most];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function outcomeOf(
  { live, added, needed, nextIndex, sliceBytes }: CompactionSubject,
  moved: readonly NeededRun[],
): Outcome {
  const movedBytes = sumBytes(moved);
  const newSlices = Math.ceil(movedBytes / sliceBytes);
  const left = new Set(moved);
  const kept = needed.filter((run) => !left.has(run));
  const fresh = newSlices === 0 ? [] : [{ firstIndex: nextIndex, count: newSlices }];
  const ranges = retireRuns(joinRanges(live, [...added, ...fresh]), gaps(live, kept));
  return { moved, movedBytes, newSlices, ranges, slices: sumOf(ranges) };
}

/** Slices of a list that are in none of some runs, which ascend. */
function gaps(live: readonly SliceRange[], kept: readonly SliceRange[]): SliceRange[] {
  const found: SliceRange[] = [];
  let at = 0;
  for (const range of live) {
    let first = range.firstIndex;
    for (let run = kept[at]; run !== undefined && run.firstIndex <= lastIndexOf(range); run = kept[at]) {
      if (run.firstIndex > first) found.push({ firstIndex: first, count: run.firstIndex - first });
      first = lastIndexOf(run) + 1;
      at += 1;
    }
    if (first <= lastIndexOf(range)) found.push({ firstIndex: first, count: lastIndexOf(range) + 1 - first });
  }
  return found;
}

function keptDead({ needed, added }: CompactionSubject, { moved, newSlices, slices }: Outcome): number {
  return slices - (sumOf(needed) + sumOf(added) - sumOf(moved) + newSlices);
}

function isSparse({ sliceBytes }: CompactionSubject, { count, bytes }: NeededRun): boolean {
  return bytes <= (count - Math.ceil(bytes / sliceBytes)) * sliceBytes;
}

function fitsIndices({ nextIndex, maximumIndex }: CompactionSubject, { newSlices }: Outcome): boolean {
  return nextIndex + newSlices - 1 <= maximumIndex;
}

function pays(subject: CompactionSubject, { isThorough }: CompactionLimits, base: Outcome, outcome: Outcome): boolean {
  const { feePerSlice, feePerIndex } = subject.prices;
  const gainedSlices = base.slices - outcome.slices;
  const more = { bytes: outcome.movedBytes - base.movedBytes, slices: outcome.newSlices - base.newSlices };
  // A higher index costs as long as the set runs.
  const isCheaper = feePerSlice * BigInt(gainedSlices) > feePerIndex * BigInt(more.slices);
  return isCheaper && fitsIndices(subject, outcome) && (isThorough || more.bytes <= gainedSlices * subject.sliceBytes);
}

function sumBytes(runs: readonly NeededRun[]): number {
  return runs.reduce((sum, { bytes }) => sum + bytes, 0);
}
