/**
 * Which live slices of a data set hold objects that are still needed, by the journal of this device. The others are
 * dead: they are proven and paid until a state takes them out. Read in windows, so that memory does not grow with the
 * number of objects, only with the number of runs.
 */

import type { SliceRange } from "../../core/audit/challenge.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import { lastIndexOf, subtractRanges } from "../../core/data-set/ranges.ts";
import type { DataSetJournal, JournaledDataSet, JournaledSegment, SegmentObject } from "./journal.ts";

/** Slices of a segment whose objects are read at once. */
const WINDOW_SLICES = 1024;

/** Slices that follow each other. */
export interface NeededRun extends SliceRange {
  /** Of the objects in them. */
  readonly bytes: number;
}

type Laid = Pick<JournaledDataSet, "salt" | "sliceElements">;

/** The objects of a data set that are not needed where they lie. */
export interface Gone {
  /** Content ids of objects that are released. */
  readonly released: readonly string[];
  /** Segments that hold objects of earlier ones again. */
  readonly compactions: readonly JournaledSegment[];
}

/** The ids of all of them. */
export async function goneIds(
  journal: DataSetJournal,
  set: Laid,
  { released, compactions }: Gone,
): Promise<ReadonlySet<string>> {
  const gone = new Set(released);
  for (const segment of compactions) {
    for await (const { id } of objectsOf(journal, set, segment)) gone.add(id);
  }
  return gone;
}

/**
 * Live slices with objects that are needed, as runs that do not touch, ascending.
 * @param only look into these segments; default: all
 */
export async function neededRuns(
  journal: DataSetJournal,
  set: Laid,
  live: readonly SliceRange[],
  gone: ReadonlySet<string>,
  only?: ReadonlySet<string>,
): Promise<NeededRun[]> {
  const bytes = sliceBytes(set.sliceElements);
  const runs: NeededRun[] = [];
  for (const segment of await liveSegments(journal, set, live, only)) {
    for await (const { id, startByte, sizeBytes } of objectsOf(journal, set, segment)) {
      if (gone.has(id)) continue;
      const first = segment.firstIndex + Math.floor(startByte / bytes);
      const last = segment.firstIndex + Math.floor((startByte + sizeBytes - 1) / bytes);
      const before = runs.at(-1);
      if (before === undefined || first > lastIndexOf(before) + 1) {
        runs.push({ firstIndex: first, count: last + 1 - first, bytes: sizeBytes });
        continue;
      }
      const { firstIndex } = before;
      runs[runs.length - 1] = { firstIndex, count: last + 1 - firstIndex, bytes: before.bytes + sizeBytes };
    }
  }
  return runs.flatMap((run) => within(run, live));
}

/**
 * Live slices with nothing in them but objects that are gone, and others that were forgotten before.
 * @param searchesAll whether to look into all segments, and not only into those that hold the objects
 */
export async function retirableSlices(
  journal: DataSetJournal,
  set: Laid,
  live: readonly SliceRange[],
  gone: ReadonlySet<string>,
  searchesAll: boolean,
): Promise<SliceRange[]> {
  if (gone.size === 0 && !searchesAll) return [];
  const holders = searchesAll ? undefined : await journal.holders(set.salt, [...gone]);
  const affected = holders === undefined ? undefined : new Set([...holders.values()].flat());
  const needed = await neededRuns(journal, set, live, gone, affected);
  const segments = await liveSegments(journal, set, live, affected);
  const whole = segments.flatMap(({ firstIndex, sliceCount: count }) => within({ firstIndex, count, bytes: 0 }, live));
  return subtractAscending(whole, needed);
}

/** Live slices of no segment in the journal. They stay: nobody here knows what is in them. */
export async function unknownSlices(
  journal: DataSetJournal,
  set: Laid,
  live: readonly SliceRange[],
): Promise<SliceRange[]> {
  const segments = await liveSegments(journal, set, live);
  return subtractAscending(
    live,
    segments.map(({ firstIndex, sliceCount: count }) => ({ firstIndex, count })),
  );
}

/** The needed objects of some runs, in the order of their indices. */
export async function* objectsInRuns(
  journal: DataSetJournal,
  set: Laid,
  runs: readonly SliceRange[],
  gone: ReadonlySet<string>,
): AsyncGenerator<SegmentObject, void, undefined> {
  const segments = await liveSegments(journal, set, runs);
  for (const run of runs) {
    for (const segment of segments) {
      const { firstIndex, sliceCount } = segment;
      const from = Math.max(run.firstIndex, firstIndex) - firstIndex;
      const to = Math.min(lastIndexOf(run), firstIndex + sliceCount - 1) + 1 - firstIndex;
      if (from >= to) continue;
      for await (const object of objectsOf(journal, set, segment, from, to)) if (!gone.has(object.id)) yield object;
    }
  }
}

/** Segments with slices in a list, by index. */
async function liveSegments(
  journal: DataSetJournal,
  { salt }: Laid,
  live: readonly SliceRange[],
  only?: ReadonlySet<string>,
): Promise<JournaledSegment[]> {
  const segments = await journal.segments(salt);
  return segments.filter(({ id, firstIndex, sliceCount: count }) => {
    const isAsked = only === undefined || only.has(id);
    return isAsked && within({ firstIndex, count, bytes: 0 }, live).length > 0;
  });
}

/** Objects with bytes in some slices of a segment, each once, in order. */
export async function* objectsOf(
  journal: DataSetJournal,
  { sliceElements }: Pick<JournaledDataSet, "sliceElements">,
  { id, sliceCount }: Pick<JournaledSegment, "id" | "sliceCount">,
  fromSlice = 0,
  toSlice = sliceCount,
): AsyncGenerator<SegmentObject, void, undefined> {
  const bytes = sliceBytes(sliceElements);
  for (let from = fromSlice; from < toSlice; from += WINDOW_SLICES) {
    const to = Math.min(from + WINDOW_SLICES, toSlice);
    for (const object of await journal.objectsIn(id, from * bytes, to * bytes)) {
      // One that begins before came with the window before.
      if (from === fromSlice || object.startByte >= from * bytes) yield object;
    }
  }
}

/** The parts of a run that are in a list. */
function within(run: NeededRun, list: readonly SliceRange[]): NeededRun[] {
  return list.flatMap((range) => {
    const firstIndex = Math.max(run.firstIndex, range.firstIndex);
    const count = Math.min(lastIndexOf(run), lastIndexOf(range)) + 1 - firstIndex;
    if (count <= 0) return [];
    const bytes = count === run.count ? run.bytes : Math.ceil((run.bytes * count) / run.count);
    return [{ firstIndex, count, bytes }];
  });
}

/** As `subtractRanges`, in time that is linear in both lists, which ascend and do not overlap. */
function subtractAscending(from: readonly SliceRange[], taken: readonly SliceRange[]): SliceRange[] {
  const left: SliceRange[] = [];
  let at = 0;
  for (const range of from) {
    while (at < taken.length && lastIndexOf(taken[at] ?? range) < range.firstIndex) at += 1;
    const holes: SliceRange[] = [];
    for (let next = at; next < taken.length; next += 1) {
      const hole = taken[next];
      if (hole === undefined || hole.firstIndex > lastIndexOf(range)) break;
      holes.push(hole);
    }
    left.push(...subtractRanges([range], holes));
  }
  return left;
}
