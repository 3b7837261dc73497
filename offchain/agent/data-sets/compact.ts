/** The compaction that a user asks for: all that lowers the fee, in rounds. */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { feeOf } from "../../core/data-set/fee.ts";
import { decodeLiveRanges } from "../../core/data-set/ranges.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetProgress, ProgressListener } from "../progress.ts";
import { surveyCompaction } from "./compaction.ts";
import { type FollowedDataSet, follow } from "./following.ts";
import { openDataSetLane } from "./lane.ts";
import type { DataSetReport } from "./lane-report.ts";
import { sumOf } from "./next-state.ts";
import { type SuccessorOffer, successorOf } from "./successor.ts";
import type { LaneWishes } from "./wishes.ts";

/** Objects that are moved before the set is brought on chain: a run after an interruption repeats so much at most. */
const ROUND_BYTES = 2 ** 30;

export interface CompactOptions extends Pick<LaneWishes, "runwayEpochs" | "maximumFeePerEpoch" | "mayWait"> {
  /** Bytes of objects after which the set is brought on chain; default 1 GiB. */
  readonly roundBytes?: number;
  readonly onProgress?: ProgressListener<DataSetProgress> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a compaction would come to. */
export interface CompactionEstimate {
  readonly id: string;
  readonly provider: string;
  readonly rangesBefore: number;
  readonly rangesAfter: number;
  /** Live ones. */
  readonly slicesBefore: number;
  readonly slicesAfter: number;
  /** Live slices without an object that is needed. */
  readonly deadSlices: number;
  /** Of these, those that would stay. */
  readonly keptDeadSlices: number;
  /** Of objects, to be read from the provider and tagged again. */
  readonly movedBytes: number;
  readonly newSlices: number;
  readonly token: string;
  /** Of an epoch. */
  readonly feeBefore: bigint;
  readonly feeAfter: bigint;
  /** Present when a successor of the set would cost so much less that moving is worth it. */
  readonly successor?: SuccessorOffer;
}

export interface CompactReport {
  readonly id: string;
  readonly rangesBefore: number;
  readonly feeBefore: bigint;
  readonly objects: number;
  readonly bytes: number;
  readonly lostObjects: number;
  readonly retiredSlices: number;
  /** After the last round. */
  readonly dataSet: DataSetReport;
}

/**
 * What `compactDataSet` would move and save. Nothing is sent.
 * @throws TallystickError NOT_FOUND for a set that this device does not append to; CHAIN_UNAVAILABLE
 */
export async function estimateCompaction(context: AgentContext, opened: OpenedDataSet): Promise<CompactionEstimate> {
  const { id, terms } = opened;
  const { set, onChain } = await ownSet(context, opened);
  const provider = context.providers().byAccount(terms.provider);
  const { maximumIndex } = await provider.dataSetOffer();
  const level = lastLevel(onChain.schedule);
  const live = decodeLiveRanges(onChain.scheduled.ranges);
  const subject = { set, live, added: [], released: [], prices: terms, maximumIndex };
  const plan = await surveyCompaction(context, subject, { bytes: Number.MAX_SAFE_INTEGER, isThorough: true });
  const slicesAfter = sumOf(plan.ranges);
  const highestAfter = Math.max(level.highestIndex, plan.newSlices === 0 ? 0 : set.nextIndex + plan.newSlices - 1);
  const feeAfter = feeOf(terms, slicesAfter, highestAfter);
  const after = { sliceCount: slicesAfter, highestIndex: highestAfter, fee: feeAfter };
  const successor = successorOf(terms, after, maximumIndex);
  return {
    id,
    provider: terms.provider,
    rangesBefore: live.length,
    rangesAfter: plan.ranges.length,
    slicesBefore: sumOf(live),
    slicesAfter,
    deadSlices: plan.deadSlices,
    keptDeadSlices: plan.keptDeadSlices,
    movedBytes: plan.movedBytes,
    newSlices: plan.newSlices,
    token: terms.token,
    feeBefore: level.fee,
    feeAfter,
    ...(successor === undefined ? {} : { successor }),
  };
}

/**
 * Takes all dead slices out of a set as far as the fee falls by it, and moves objects for that, as `DataSetLane` does
 * by itself when the list of ranges is long. May be repeated: it goes on where an earlier run was interrupted.
 * @throws TallystickError as `DataSetLane.commit`; NOT_FOUND for a set that this device does not append to
 */
export async function compactDataSet(
  context: AgentContext,
  opened: OpenedDataSet,
  { roundBytes = ROUND_BYTES, onProgress, signal, ...wishes }: CompactOptions = {},
): Promise<CompactReport> {
  const { onChain } = await ownSet(context, opened);
  const provider = context.providers().byAccount(opened.terms.provider);
  const totals = { objects: 0, bytes: 0, lostObjects: 0, retiredSlices: 0 };
  const common = {
    id: opened.id,
    rangesBefore: decodeLiveRanges(onChain.scheduled.ranges).length,
    feeBefore: lastLevel(onChain.schedule).fee,
  };
  for (;;) {
    const compaction = { bytes: roundBytes, isThorough: true };
    const lane = await openDataSetLane(context, provider, { ...wishes, compaction });
    const dataSet = await context.exclusive(() => lane.commit(onProgress, signal), signal);
    totals.objects += dataSet.compaction?.objects ?? 0;
    totals.bytes += dataSet.compaction?.bytes ?? 0;
    totals.lostObjects += dataSet.compaction?.lostObjects ?? 0;
    totals.retiredSlices += dataSet.retiredSlices;
    const goesOn = dataSet.left?.isCompactionDue === true && (dataSet.compaction?.objects ?? 0) > 0;
    if (!goesOn) return { ...common, ...totals, dataSet };
  }
}

/** The set in the journal, if puts of this device append to it. */
async function ownSet(context: AgentContext, { id, audit }: OpenedDataSet): Promise<Required<FollowedDataSet>> {
  const journaled = await context.platform.dataSets.set(audit.salt);
  const followed = journaled?.agreed?.id === id ? await follow(context, journaled) : undefined;
  if (followed?.onChain !== undefined && followed.set.isOwn && followed.set.state === "running") {
    return { set: followed.set, onChain: followed.onChain };
  }
  const common = {
    code: "NOT_FOUND",
    party: "you",
    check: "running data set of this device",
    details: { id },
  } as const;
  const expected = "one that puts of this device append to";
  if (followed?.set.isOwn !== true) {
    throw new TallystickError("the data set belongs to another device: only that one knows what it holds", {
      ...common,
      expected,
      received: "one of another device",
      hint:
        "run the command there; if that device is lost, `tallystick data-set compact --successor` moves what your " +
        "snapshots need into a data set of this one",
    });
  }
  const { state } = followed.set;
  throw new TallystickError("the data set cannot be compacted: nothing is added to it any more", {
    ...common,
    expected,
    received: state === "ended" ? "one that has ended, or will" : `one that is ${state}`,
    hint: state === "ended" ? "`tallystick data-set show` tells when it ends" : "put something into it first",
  });
}
