/** A data set as it stands on chain, and what the journal learns from that. */

import { scheduleOf } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import {
  type DataSetBooks,
  readBooks,
  readEndEpoch,
  readEscrowClock,
  readSchedule,
  readUserAccount,
} from "../../chain/escrow.ts";
import { readOpened } from "../../chain/escrow-events.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { readBlockHash } from "../../chain/logs.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import { type AccruedAccount, accrue } from "../../core/data-set/balance.ts";
import { NO_CONTENT } from "../../core/data-set/content.ts";
import { epochOf } from "../../core/data-set/epochs.ts";
import { decodeLiveRanges, lastIndexOf, subtractRanges } from "../../core/data-set/ranges.ts";
import { lastLevel, type Schedule } from "../../core/data-set/schedule.ts";
import type { DataSetTerms } from "../../core/data-set/terms.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import type {
  DataSetJournal,
  JournaledDataSet,
  JournaledSegment,
  KnownSchedule,
  ObjectsOfSegment,
  SegmentChanges,
  SignedByDevice,
} from "./journal.ts";
import { objectsOf } from "./needed-slices.ts";

/** A reserved segment that no state has after so long is not wanted any more: the data has changed since. */
export const ABANDONED_SECONDS = 7 * 86_400;
/** Attempts to note what was seen, while another command does the same. */
const ATTEMPTS = 5;

/** Brought up to date. */
export interface DataSetOnChain {
  readonly books: DataSetBooks;
  readonly scheduled: KnownSchedule;
  readonly schedule: Schedule;
  /** Of its user, in its token, as of the next block. */
  readonly account: AccruedAccount;
  /** Number of the latest block. */
  readonly head: number;
  /** Epoch of the next block. */
  readonly epoch: number;
  /** Last epoch of the set, once it is known. */
  readonly lastEpoch?: number;
}

/** Reads all at one block. @returns undefined when the chain has no such set */
export async function readOnChain(
  chain: ChainReader,
  { id, terms }: { readonly id: string; readonly terms: DataSetTerms },
  known?: KnownSchedule,
): Promise<DataSetOnChain | undefined> {
  const { token, user } = terms;
  const [{ epochBlocks }, head] = await Promise.all([readEscrowClock(chain), readHeadNumber(chain)]);
  const [books, touched] = await Promise.all([readBooks(chain, id, head), readUserAccount(chain, token, user, head)]);
  if (books === undefined) return undefined;
  const scheduled = await readSchedule(chain, id, known, undefined, head);
  if (scheduled === undefined) return undefined;
  const epoch = epochOf(epochBlocks, head + 1);
  const account = accrue(touched, epoch);
  const { schedule, ranges, blockNumber, blockHash } = scheduled;
  const common = { books, scheduled: { schedule, ranges, blockNumber, blockHash }, schedule: scheduleOf(scheduled) };
  const lastEpoch = books.noticedEnd ?? (await exhaustedAfter(chain, terms, books, touched.generation, account, head));
  return { ...common, account, head, epoch, ...(lastEpoch === undefined ? {} : { lastEpoch }) };
}

/** Last epoch that the balance paid for; undefined while it goes on. */
async function exhaustedAfter(
  chain: ChainReader,
  { token, user }: DataSetTerms,
  { generation }: DataSetBooks,
  touchedGeneration: number,
  { endEpoch }: AccruedAccount,
  head: number,
): Promise<number | undefined> {
  if (generation === touchedGeneration) return endEpoch === undefined ? undefined : endEpoch - 1;
  const end = await readEndEpoch(chain, token, user, generation, head);
  return end === undefined ? undefined : end - 1;
}

/** Whether nothing can be added to it any more. */
export function hasEnded({ books, lastEpoch }: DataSetOnChain): boolean {
  return books.status !== "running" || lastEpoch !== undefined;
}

/** What is known of a set. */
export interface FollowedDataSet {
  readonly set: JournaledDataSet;
  /** Absent while it is not on chain. */
  readonly onChain?: DataSetOnChain;
}

/**
 * Reads how a set stands on chain and notes it in the journal: segments that are included, objects whose slices are
 * retired, and that it has ended. A set with a state that this device did not sign is not its own any more: there is a
 * copy of its journal, and both would give the same indices to different data.
 *
 * A set whose opening a reorganisation has removed goes back to where it was before: its state is sent again by the
 * next put, or another one is signed.
 *
 * @throws TallystickError CHAIN_UNAVAILABLE when the chain does not show a set that it has shown before, although the
 *   block that had it was not replaced
 */
export async function follow(context: AgentContext, journaled: JournaledDataSet): Promise<FollowedDataSet> {
  let set = journaled;
  for (let attempt = 1; ; attempt += 1) {
    const { agreed } = set;
    if (agreed === undefined) return { set };
    const onChain = await readOnChain(await context.chain(), agreed, set.scheduled);
    if (onChain === undefined) {
      if (set.state === "opening" || set.state === "ended") return { set };
      if (!(await isOpeningUndone(await context.chain(), agreed.id, set.scheduled))) throw notShown(agreed.id);
    }
    try {
      if (onChain === undefined) return { set: await noteUndone(context, set) };
      return { set: await note(context, set, onChain), onChain };
    } catch (error) {
      const isOvertaken = error instanceof TallystickError && error.code === "CONFLICT" && error.retryable;
      if (!isOvertaken || attempt === ATTEMPTS) throw error;
      set = (await context.platform.dataSets.set(set.salt)) ?? set;
    }
  }
}

async function note(context: AgentContext, set: JournaledDataSet, onChain: DataSetOnChain): Promise<JournaledDataSet> {
  const { dataSets: journal, preparations, clock } = context.platform;
  const ended = hasEnded(onChain);
  const { scheduled, schedule } = onChain;
  const level = lastLevel(schedule);
  const isOwn = set.isOwn && !isOfCopy(set, onChain);
  if (isOwn !== set.isOwn) {
    context.logger.warn({ id: set.agreed?.id }, "another copy of this home has changed a data set; a new one is begun");
  }
  const seen: JournaledDataSet = {
    ...set,
    isOwn,
    state: ended ? "ended" : "running",
    scheduled,
    contentHash: ended ? set.contentHash : schedule.contentHash,
  };
  const segments = await journal.segments(set.salt);
  const isOn = (id: string) => set.signed?.version === schedule.version && set.signed.segments.includes(id);
  const shown = segments.filter(({ id, state }) => state === "reserved" && isOn(id));
  const included = shown.map(({ id }) => id);
  const before = Math.floor(clock.now() / 1000) - ABANDONED_SECONDS;
  const isDead = ({ id, state, firstIndex, createdAt }: JournaledSegment) =>
    state === "reserved" &&
    set.signed?.segments.includes(id) !== true &&
    (ended || firstIndex <= level.highestIndex || createdAt < before);
  const dropped = segments.filter(isDead).map(({ id }) => id);
  const left = ended
    ? []
    : [
        ...(await objectsOfRetired(journal, set, segments, scheduled, level.highestIndex)),
        ...(await objectsTaggedAgain(journal, set, segments, shown)),
      ];
  const isUnchanged =
    isOwn === set.isOwn &&
    seen.state === set.state &&
    seen.contentHash === set.contentHash &&
    set.scheduled !== undefined &&
    isSameSchedule(set.scheduled, scheduled) &&
    included.length + dropped.length + left.length === 0;
  if (isUnchanged) return set;
  const changes: SegmentChanges = { included, dropped, left };
  const saved = await journal.save(seen, changes);
  for (const id of [...included, ...dropped]) await preparations.remove(id);
  return saved;
}

/**
 * Whether the chain has dropped the opening of a set, and is not merely behind: another block stands where the newest
 * event of the set stood, and no log has the opening.
 */
async function isOpeningUndone(chain: ChainReader, id: string, known: KnownSchedule | undefined): Promise<boolean> {
  if (known === undefined) return false;
  const now = await readBlockHash(chain, known.blockNumber);
  if (now === undefined || now === known.blockHash) return false;
  return (await readOpened(chain, id)) === undefined;
}

async function noteUndone(context: AgentContext, set: JournaledDataSet): Promise<JournaledDataSet> {
  const { scheduled: _, ...unseen } = set;
  const id = set.agreed?.id;
  context.logger.warn({ id }, "a reorganisation of the chain has removed the opening of a data set");
  // What another device has opened is for that device to open again.
  const state = set.isOwn ? "opening" : "ended";
  return await context.platform.dataSets.save({ ...unseen, state, contentHash: NO_CONTENT });
}

function isSameSchedule(a: KnownSchedule, b: KnownSchedule): boolean {
  return a.blockHash === b.blockHash && isEqual(a.schedule, b.schedule);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, position) => byte === b[position]);
}

/** Whether the chain has a state that this device did not sign. */
function isOfCopy({ signed, scheduled, nextIndex }: JournaledDataSet, onChain: DataSetOnChain): boolean {
  const { version, contentHash } = onChain.schedule;
  const level = lastLevel(onChain.schedule);
  const seen = scheduled === undefined ? 0n : scheduleOf(scheduled).version;
  const own = signed === undefined || signed.version < seen ? seen : signed.version;
  if (version > own || level.highestIndex >= nextIndex) return true;
  return signed?.version === version && !hasEnded(onChain) && contentHash !== signed.contentHash;
}

/**
 * Objects in slices that were taken out. Indices above the highest one on chain were not taken out: a reorganisation
 * has undone the state that added them, and the next one adds them again.
 */
async function objectsOfRetired(
  journal: DataSetJournal,
  set: JournaledDataSet,
  segments: readonly JournaledSegment[],
  scheduled: KnownSchedule,
  highestIndex: number,
): Promise<ObjectsOfSegment[]> {
  if (set.scheduled === undefined || isEqual(set.scheduled.ranges, scheduled.ranges)) return [];
  const undone = { firstIndex: highestIndex + 1, count: Math.max(1, set.nextIndex - highestIndex) };
  const before = subtractRanges(decodeLiveRanges(set.scheduled.ranges), [undone]);
  const retired = subtractRanges(before, decodeLiveRanges(scheduled.ranges));
  return await objectsInSlices(journal, set.sliceElements, segments, retired);
}

/** Objects that a compaction on chain holds: earlier segments are not relied on for them any more. */
async function objectsTaggedAgain(
  journal: DataSetJournal,
  set: JournaledDataSet,
  segments: readonly JournaledSegment[],
  shown: readonly JournaledSegment[],
): Promise<ObjectsOfSegment[]> {
  const firstIndices = new Map(segments.map(({ id, firstIndex }) => [id, firstIndex]));
  const earlier = new Map<string, string[]>();
  for (const compaction of shown.filter(({ isCompaction }) => isCompaction === true)) {
    for await (const { id } of objectsOf(journal, set, compaction)) {
      for (const holder of (await journal.holders(set.salt, [id])).get(id) ?? []) {
        if ((firstIndices.get(holder) ?? Number.POSITIVE_INFINITY) >= compaction.firstIndex) continue;
        const objects = earlier.get(holder) ?? [];
        objects.push(id);
        earlier.set(holder, objects);
      }
    }
  }
  return [...earlier].map(([segment, objects]) => ({ segment, objects }));
}

/** The objects with bytes in slices of some indices, by segment. */
async function objectsInSlices(
  journal: DataSetJournal,
  sliceElements: number,
  segments: readonly JournaledSegment[],
  ranges: readonly SliceRange[],
): Promise<ObjectsOfSegment[]> {
  const bytes = sliceBytes(sliceElements);
  const found: ObjectsOfSegment[] = [];
  for (const { id, firstIndex, sliceCount } of segments) {
    const objects = new Set<string>();
    for (const range of ranges) {
      const from = Math.max(range.firstIndex, firstIndex) - firstIndex;
      const to = Math.min(lastIndexOf(range), firstIndex + sliceCount - 1) + 1 - firstIndex;
      if (from >= to) continue;
      for (const object of await journal.objectsIn(id, from * bytes, to * bytes)) objects.add(object.id);
    }
    if (objects.size > 0) found.push({ segment: id, objects: [...objects] });
  }
  return found;
}

/** Whether a signed state can still come on chain. */
export function isPending(signed: SignedByDevice, onChain: DataSetOnChain | undefined, head: number): boolean {
  if (BigInt(head) >= signed.deadlineBlock || signed.isRefused === true) return false;
  if (onChain === undefined) return signed.retirements === 0;
  return signed.version > onChain.schedule.version && signed.retirements === onChain.schedule.retirements;
}

/** The same at the newest block, for a set that may not be on chain yet. @throws ChainUnavailableError */
export async function isPendingNow(
  context: AgentContext,
  { onChain }: Pick<FollowedDataSet, "onChain">,
  signed: SignedByDevice,
): Promise<boolean> {
  return isPending(signed, onChain, onChain?.head ?? (await readHeadNumber(await context.chain())));
}

function notShown(id: string): TallystickError {
  return new TallystickError(`the chain does not show data set ${id}, which it has shown before`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "data set",
    expected: id,
    received: "none with this id",
    hint: "repeat when the endpoint is in sync; for a development chain that was started anew, use another home folder",
    retryable: true,
  });
}
