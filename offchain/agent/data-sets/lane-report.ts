/** What a commit to a data set leaves, and what is told while it is under way. */

import type { SliceRange } from "../../core/audit/challenge.ts";
import { runwayEpochs as runwayOfBalance } from "../../core/data-set/balance.ts";
import { decodeLiveRanges } from "../../core/data-set/ranges.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import type { DataSetPlan, DataSetProgress } from "../progress.ts";
import type { Compaction } from "./compaction.ts";
import { type FollowedDataSet, hasEnded } from "./following.ts";
import type { LeftSlices } from "./journal.ts";
import { type SuccessorOffer, successorOf } from "./successor.ts";

/** Told of each step. */
export type DataSetListener = ((progress: DataSetProgress) => void) | undefined;

export function tell(onProgress: DataSetListener, phase: DataSetProgress["phase"], plan?: DataSetPlan): void {
  const event = { operation: "data-set", phase, doneBytes: 0, totalBytes: 0 } as const;
  onProgress?.(plan === undefined ? event : { ...event, plan });
}

/** A data set as a commit leaves it. */
export interface DataSetReport {
  /** 32 bytes, 0x hex. Absent when there is none, because nothing was put yet. */
  readonly id?: string;
  readonly provider: string;
  /** Of the newest state on chain; 0 without one. */
  readonly version: bigint;
  /** Live. */
  readonly slices: number;
  /** That was ever in the set. */
  readonly highestIndex: number;
  readonly liveRanges: readonly SliceRange[];
  readonly feePerEpoch: bigint;
  readonly token: string;
  /** Epochs that the account's balance covers, for all its sets in the token; infinite when nothing runs. */
  readonly runwayEpochs: number;
  /** Whether this commit opened it. */
  readonly isNew: boolean;
  /** Of new objects. */
  readonly addedSlices: number;
  /** That are neither proven nor paid any more. */
  readonly retiredSlices: number;
  /** Present when objects were moved to new slices, so that the list of ranges stays short and dead slices can go. */
  readonly compaction?: CompactionReport;
  /** What the state had to leave; absent when nothing. */
  readonly left?: LeftSlices;
  /** Present when a successor of the set would cost so much less that moving is worth it. */
  readonly successor?: SuccessorOffer;
  /** What this commit, or the delivery before it, sent to the provider beside the objects. */
  readonly sentBytes: number;
  /** What this commit deposited into the balance. */
  readonly deposited: bigint;
  /** Hashes, in order: those of this account, and the provider's that brought the state on chain. */
  readonly transactions: readonly string[];
  /**
   * Absent when the chain has the newest state. Otherwise the provider has signed it, and sends it by this block: it
   * sends so many states of a set in an epoch, and those that follow together, before the epoch ends. What is said of
   * slices and fee is then of the state on chain.
   */
  readonly waitsUntilBlock?: number;
}

/** Objects that were tagged again at new indices. */
export interface CompactionReport {
  readonly objects: number;
  readonly bytes: number;
  readonly newSlices: number;
  /** Objects that the provider did not return whole. Their slices stay where they are. */
  readonly lostObjects: number;
}

/** What a commit did, beside what the chain says of the set. */
export interface CommitFacts
  extends Pick<
    DataSetReport,
    "isNew" | "addedSlices" | "retiredSlices" | "deposited" | "transactions" | "sentBytes" | "waitsUntilBlock"
  > {
  readonly compaction: Compaction | undefined;
  /** The provider takes no index above it. */
  readonly maximumIndex: number;
}

/** @param provider its account */
export function reportOf(
  { set, onChain }: FollowedDataSet,
  provider: string,
  { compaction, maximumIndex, ...done }: CommitFacts,
): DataSetReport {
  const common = {
    provider,
    token: set.token,
    ...done,
    ...compactionReport(compaction),
    ...(set.left === undefined ? {} : { left: set.left }),
  };
  if (set.agreed === undefined || onChain === undefined) {
    const nothing = { slices: 0, highestIndex: 0, liveRanges: [], feePerEpoch: 0n };
    return { ...common, ...nothing, version: 0n, runwayEpochs: Number.POSITIVE_INFINITY };
  }
  const level = lastLevel(onChain.schedule);
  const { sliceCount: slices, highestIndex, fee: feePerEpoch } = level;
  const successor = hasEnded(onChain) ? undefined : successorOf(set.agreed.terms, level, maximumIndex);
  return {
    ...common,
    id: set.agreed.id,
    version: onChain.schedule.version,
    slices,
    highestIndex,
    liveRanges: hasEnded(onChain) ? [] : decodeLiveRanges(onChain.scheduled.ranges),
    feePerEpoch,
    runwayEpochs: runwayOfBalance(onChain.account),
    ...(successor === undefined ? {} : { successor }),
  };
}

function compactionReport(compaction: Compaction | undefined): Pick<DataSetReport, "compaction"> {
  if (compaction === undefined) return {};
  const { objects, bytes, segment, lostObjects } = compaction;
  if (objects === 0 && lostObjects.length === 0) return {};
  return { compaction: { objects, bytes, newSlices: segment?.sliceCount ?? 0, lostObjects: lostObjects.length } };
}
