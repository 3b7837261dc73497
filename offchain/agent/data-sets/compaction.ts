/**
 * Compaction of a data set: objects of small runs of slices are read from the provider and tagged again at new indices,
 * and the state that adds the new segment takes the old slices out. A segment made for this is marked in the journal.
 * Until a state has it, the earlier segments hold its objects as before: one that a crash has left is finished by the
 * next commit, or dropped, and nothing depends on it.
 */

import type { SliceRange } from "../../core/audit/challenge.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import { decodeManifest } from "../../core/audit/manifest.ts";
import { joinRanges, MAXIMUM_RANGES, subtractRanges } from "../../core/data-set/ranges.ts";
import type { DataSetTerms } from "../../core/data-set/terms.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import type { AgentContext } from "../context.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import { isDamage } from "../read/damage.ts";
import type { ObjectSource } from "../read/object-source.ts";
import { type CompactionLimits, type CompactionPlan, planCompaction } from "./compaction-plan.ts";
import type { JournaledDataSet, JournaledSegment, SegmentObject } from "./journal.ts";
import type { DataSetKeys } from "./keys.ts";
import {
  type Gone,
  goneIds,
  neededRuns,
  objectsInRuns,
  objectsOf,
  retirableSlices,
  unknownSlices,
} from "./needed-slices.ts";
import { RANGES_AFTER_RETIRING, retireRuns, sumOf } from "./next-state.ts";
import { dropSegments, SegmentTagger } from "./segment-tagger.ts";

/** What a commit moves by itself: a removal must not turn into hours. */
export const COMPACTION_BYTES = 128 * 1024 * 1024;
/** Objects being read while another one is tagged. */
const OBJECTS_AHEAD = 8;

/** Limits for a command that was not asked to compact. */
export const BY_ITSELF: CompactionLimits = { bytes: COMPACTION_BYTES, isThorough: false };

/** A data set that the next state is made for. */
export interface SurveySubject {
  readonly set: JournaledDataSet;
  /** Live ranges on chain, less what a state under way takes out. */
  readonly live: readonly SliceRange[];
  /** Segments that the next state adds. */
  readonly added: readonly JournaledSegment[];
  /** Content ids that are not needed any more. */
  readonly released: readonly string[];
  readonly prices: Pick<DataSetTerms, "feePerSlice" | "feePerIndex">;
  readonly maximumIndex: number;
}

/** What a compaction has done. */
export interface Compaction {
  /** Absent when nobody returned an object. */
  readonly segment?: JournaledSegment;
  readonly objects: number;
  readonly bytes: number;
  /** Those that the provider does not return whole. They stay where they are. */
  readonly lostObjects: readonly string[];
  readonly isCutShort: boolean;
}

/**
 * Whether there may be something to move: the list has become too long, dead slices had to stay in it, or an earlier
 * commit was cut short. Looks only into the segments that the released objects lie in.
 */
export async function needsCompaction(context: AgentContext, subject: SurveySubject): Promise<boolean> {
  const { set, live, added, released } = subject;
  const { dataSets } = context.platform;
  if (set.left?.isCompactionDue === true || (set.left !== undefined && released.length > 0)) return true;
  const gone = await goneIds(dataSets, set, goneOf(subject));
  const retirable = await retirableSlices(dataSets, set, live, gone, false);
  const all = joinRanges(live, added.map(rangeOf));
  const ranges = retireRuns(all, retirable);
  const keptDead = sumOf(ranges) - (sumOf(all) - sumOf(retirable));
  return ranges.length > MAXIMUM_RANGES || (ranges.length >= RANGES_AFTER_RETIRING && keptDead > 0);
}

/** Reads the journal as far as the set is live, and plans. Nothing is changed. */
export async function surveyCompaction(
  { platform: { dataSets } }: AgentContext,
  subject: SurveySubject,
  limits: CompactionLimits,
): Promise<CompactionPlan> {
  const { set, live, added, prices, maximumIndex } = subject;
  const gone = await goneIds(dataSets, set, goneOf(subject));
  const needed = await neededRuns(dataSets, set, live, gone);
  const unknown = (await unknownSlices(dataSets, set, live)).map((range) => ({ ...range, bytes: 0 }));
  // Two commands may have taken indices since the set was read.
  const { nextIndex } = (await dataSets.set(set.salt)) ?? set;
  return planCompaction(
    {
      live,
      added: added.map(rangeOf),
      needed: [...needed, ...unknown].sort((a, b) => a.firstIndex - b.firstIndex),
      nextIndex,
      maximumIndex,
      sliceBytes: sliceBytes(set.sliceElements),
      prices,
    },
    limits,
  );
}

/**
 * Tags the objects of a plan again. The segment has its indices when this resolves.
 * @throws TallystickError when the provider does not answer; DISK_FULL, DISK_FAILED
 */
export async function tagAgain(
  context: AgentContext,
  source: ObjectSource,
  subject: SurveySubject,
  keys: DataSetKeys,
  { moved, isCutShort }: CompactionPlan,
  onTagged: (doneBytes: number) => void,
  signal?: AbortSignal,
): Promise<Compaction> {
  const { platform, logger } = context;
  const { set } = subject;
  const gone = await goneIds(platform.dataSets, set, goneOf(subject));
  const tagger = new SegmentTagger(platform, set, keys, { isCompaction: true });
  const lostObjects: string[] = [];
  const read = async ({ id }: SegmentObject): Promise<SealedObject | undefined> => {
    try {
      return { id, sealed: await source.fetch(id, signal) };
    } catch (error) {
      signal?.throwIfAborted();
      if (!isDamage(error)) throw error;
      logger.warn({ id, code: error.code }, `an object of the data set cannot be moved: ${error.message}`);
      lostObjects.push(id);
      return undefined;
    }
  };
  let [objects, bytes] = [0, 0];
  try {
    const wanted = objectsInRuns(platform.dataSets, set, moved, gone);
    for await (const object of mapOrdered(wanted, read, { concurrency: OBJECTS_AHEAD })) {
      signal?.throwIfAborted();
      if (object === undefined) continue;
      await tagger.add(object);
      objects += 1;
      bytes += object.sealed.length;
      onTagged(bytes);
    }
    if (lostObjects.length > 0) context.noticeLoss();
    const segment = await tagger.finish();
    return { ...(segment === undefined ? {} : { segment }), objects, bytes, lostObjects, isCutShort };
  } catch (error) {
    await tagger.discard();
    throw error;
  }
}

/**
 * A segment that an interrupted compaction has left, if all of its objects are still needed. Another one is dropped.
 * What else there is to move, a later commit looks at.
 * @param highestIndex on chain
 */
export async function findInterrupted(
  { platform }: AgentContext,
  { set, released }: Pick<SurveySubject, "set" | "released">,
  highestIndex: number,
): Promise<{ readonly set: JournaledDataSet; readonly compaction?: Compaction }> {
  const left = (await platform.dataSets.segments(set.salt)).filter(
    ({ id, state, firstIndex, isCompaction }) =>
      isCompaction === true &&
      state === "reserved" &&
      firstIndex > highestIndex &&
      set.signed?.segments.includes(id) !== true,
  );
  const segment = left.at(-1);
  if (segment === undefined) return { set };
  const gone = new Set(released);
  const prepared = await platform.preparations.find(segment.id);
  let [objects, bytes, isNeeded] = [0, 0, prepared !== undefined];
  for await (const { id, sizeBytes } of objectsOf(platform.dataSets, set, segment)) {
    objects += 1;
    bytes += sizeBytes;
    if (gone.has(id)) isNeeded = false;
  }
  // Objects that were forgotten since are not in the journal any more.
  if (prepared === undefined || decodeManifest(prepared.manifest).chunks.length !== objects) isNeeded = false;
  const dropped = left.filter((one) => one !== segment || !isNeeded).map(({ id }) => id);
  const saved = await dropSegments(platform, set, dropped);
  return isNeeded
    ? { set: saved, compaction: { segment, objects, bytes, lostObjects: [], isCutShort: true } }
    : { set: saved };
}

/** What is not needed where it lies. */
export function goneOf({ released, added }: Pick<SurveySubject, "released" | "added">): Gone {
  return { released, compactions: added.filter(({ isCompaction }) => isCompaction === true) };
}

/** Slices of the first list that are in the second one as well. */
export function inBoth(list: readonly SliceRange[], other: readonly SliceRange[]): SliceRange[] {
  return subtractRanges(list, subtractRanges(list, other));
}

function rangeOf({ firstIndex, sliceCount: count }: JournaledSegment): SliceRange {
  return { firstIndex, count };
}
