/** A data set as it is shown to people and programs. */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import type { DataSetBooks } from "../../chain/escrow.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { runwayEpochs } from "../../core/data-set/balance.ts";
import { type EpochWindows, windowsOf } from "../../core/data-set/epochs.ts";
import { decodeLiveRanges } from "../../core/data-set/ranges.ts";
import { lastLevel, levelAt } from "../../core/data-set/schedule.ts";
import { type DataSetAuditTerms, type DataSetTerms, NO_PREDECESSOR } from "../../core/data-set/terms.ts";
import type { DisputeView } from "./disputing.ts";
import { type DataSetOnChain, hasEnded } from "./following.ts";
import type { JournaledDataSet, MovedTo } from "./journal.ts";

/**
 * `ending`: its last epoch is known and not over. `over`: it is over, and not closed. `breached`: ended by misses, or
 * because a party signed two states. `closed`: everything is settled.
 */
export type DataSetPhase = "running" | "ending" | "over" | "breached" | "closed";

/** One data set of the account. */
export interface DataSetView {
  /** 32 bytes, 0x hex. */
  readonly id: string;
  readonly provider: string;
  readonly status: DataSetPhase;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
  /** `this`: puts of this device append to it. `other`: those of another device, or of one that was lost. */
  readonly device: "this" | "other";
  readonly version: bigint;
  /** As scheduled last; it may count from a later epoch on. */
  readonly feePerEpoch: bigint;
  readonly slices: number;
  readonly highestIndex: number;
  /** None once the end of the set is known. */
  readonly liveRanges: readonly SliceRange[];
  readonly provenEpochs: number;
  readonly missedEpochs: number;
  /** Where the provider has to prove next; absent when it has not to. */
  readonly nextWindow?: EpochWindows;
  /** The newest epoch without a proof whose miss can be reported now. */
  readonly overdueEpoch?: number;
  /** Open now, in mode `on-demand`. */
  readonly dispute?: DisputeView;
  /** Epochs behind the current one that the account's balance covers; infinite when nothing runs. */
  readonly runwayEpochs: number;
  readonly lastEpoch?: number;
  readonly openedAtBlock: number;
  /** The set whose content it took over, as its terms say. */
  readonly predecessor?: string;
  /** Where its content went, as far as this device knows. */
  readonly movedTo?: MovedTo;
}

export function viewOf(
  { id, terms, audit, blockNumber }: OpenedDataSet,
  onChain: DataSetOnChain,
  epochBlocks: number,
  journaled: Pick<JournaledDataSet, "isOwn" | "movedTo"> | undefined,
  dispute?: DisputeView,
): DataSetView {
  const { books, schedule, scheduled, account, lastEpoch } = onChain;
  const status = phaseOf(onChain);
  // The last level of a set that ends is empty; until then it keeps, and costs, what it did.
  const level = (status === "ending" ? levelAt(schedule, onChain.epoch) : undefined) ?? lastLevel(schedule);
  const times = { ...audit, epochBlocks };
  const next = nextWindow(terms, times, onChain);
  const overdue = overdueEpoch(terms, times, onChain);
  return {
    id,
    provider: terms.provider,
    status,
    terms,
    audit,
    device: journaled?.isOwn === true ? "this" : "other",
    version: schedule.version,
    feePerEpoch: level.fee,
    slices: level.sliceCount,
    highestIndex: level.highestIndex,
    liveRanges: decodeLiveRanges(scheduled.ranges),
    provenEpochs: books.proven,
    missedEpochs: books.missed,
    ...(next === undefined ? {} : { nextWindow: next }),
    ...(overdue === undefined ? {} : { overdueEpoch: overdue }),
    ...(dispute === undefined ? {} : { dispute }),
    runwayEpochs: runwayEpochs(account),
    ...(lastEpoch === undefined ? {} : { lastEpoch }),
    openedAtBlock: blockNumber,
    ...(audit.predecessor === NO_PREDECESSOR ? {} : { predecessor: audit.predecessor }),
    ...(journaled?.movedTo === undefined ? {} : { movedTo: journaled.movedTo }),
  };
}

function phaseOf(onChain: DataSetOnChain): DataSetPhase {
  const { books, epoch, lastEpoch } = onChain;
  if (books.status !== "running") return books.status;
  if (!hasEnded(onChain) || lastEpoch === undefined) return "running";
  return epoch <= lastEpoch ? "ending" : "over";
}

function nextWindow(
  { mode }: DataSetTerms,
  times: Parameters<typeof windowsOf>[0],
  { books, schedule, epoch, head, lastEpoch = Number.POSITIVE_INFINITY }: DataSetOnChain,
): EpochWindows | undefined {
  if (mode !== "every-epoch" || books.status !== "running") return undefined;
  const isDone = outcomeOf(books, epoch) !== "unsettled" || head >= windowsOf(times, epoch).graceEnd;
  const from = Math.max(isDone ? epoch + 1 : epoch, schedule.levels[0]?.fromEpoch ?? 0);
  const level = levelAt(schedule, from);
  return from > lastEpoch || level === undefined || level.sliceCount === 0 ? undefined : windowsOf(times, from);
}

/** The newest epoch whose miss can be reported in the next block. */
function overdueEpoch(
  { mode }: DataSetTerms,
  times: Parameters<typeof windowsOf>[0],
  { books, schedule, epoch: current, head, lastEpoch = Number.POSITIVE_INFINITY }: DataSetOnChain,
): number | undefined {
  if (mode !== "every-epoch" || books.status !== "running") return undefined;
  return [current, current - 1].find((epoch) => {
    const { graceEnd, reportEnd } = windowsOf(times, epoch);
    const isPart = epoch <= lastEpoch && (levelAt(schedule, epoch)?.sliceCount ?? 0) > 0;
    return isPart && outcomeOf(books, epoch) === "unsettled" && head >= graceEnd && head < reportEnd;
  });
}

/** What the books say of an epoch. */
export function outcomeOf(
  { settledThrough, outcomes }: DataSetBooks,
  epoch: number,
): "unsettled" | "proven" | "missed" | "settled" {
  if (epoch <= settledThrough) return "settled";
  return outcomes[epoch - settledThrough - 1] ?? "unsettled";
}
