/** The epochs of a data set: what became of each, and which misses can be reported. */

import { escrowAbi } from "../../chain/abis.ts";
import { readEscrowClock } from "../../chain/escrow.ts";
import { type DataSetEvent, parseDataSetLog } from "../../chain/escrow-events.ts";
import { chainLogs } from "../../chain/logs.ts";
import { epochOf, windowsOf } from "../../core/data-set/epochs.ts";
import { lastLevel, levelAt } from "../../core/data-set/schedule.ts";
import type { AgentContext } from "../context.ts";
import { outcomeOf } from "./data-set-view.ts";
import type { FoundSet } from "./found-set.ts";

/** Epochs that `show` tells of. */
const SHOWN_EPOCHS = 10;

/** One epoch that has begun. */
export interface DataSetEpoch {
  readonly epoch: number;
  /**
   * `proven`, `late` and `missed` are on chain. `due`: a proof still counts. `overdue`: a miss can be reported.
   * `unreported`: nobody proved it, or reported the miss in time. `undisputed`: in mode `on-demand`, which earns
   * without proofs.
   */
  readonly status: "proven" | "late" | "missed" | "due" | "overdue" | "unreported" | "undisputed";
  readonly fee: bigint;
  readonly transactionHash?: string;
}

/** The newest epochs of a set, oldest first. */
export async function epochsOf(context: AgentContext, { opened, onChain }: FoundSet): Promise<DataSetEpoch[]> {
  const { id, terms, audit, blockNumber } = opened;
  const { books, schedule, head, lastEpoch } = onChain;
  const chain = await context.chain();
  const { epochBlocks } = await readEscrowClock(chain);
  const last = Math.min(epochOf(epochBlocks, head), lastEpoch ?? Number.POSITIVE_INFINITY);
  const first = Math.max(epochOf(epochBlocks, blockNumber) + 1, last + 1 - SHOWN_EPOCHS);
  if (first > last) return [];
  const events = new Map<number, DataSetEvent & { kind: "EpochProven" | "EpochMissed" }>();
  const topics = [(["EpochProven", "EpochMissed"] as const).map((name) => escrowAbi().getEvent(name).topicHash), id];
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, Math.max(blockNumber, first * epochBlocks), head)) {
    const event = parseDataSetLog(log);
    if (event?.kind === "EpochProven" || event?.kind === "EpochMissed") events.set(event.epoch, event);
  }
  const epochs: DataSetEpoch[] = [];
  for (let epoch = first; epoch <= last; epoch += 1) {
    const event = events.get(epoch);
    const known = levelAt(schedule, epoch)?.fee ?? lastLevel(schedule).fee;
    if (event?.kind === "EpochProven") {
      const { fee, late, transactionHash } = event;
      epochs.push({ epoch, status: late ? "late" : "proven", fee, transactionHash });
    } else if (event?.kind === "EpochMissed") {
      epochs.push({ epoch, status: "missed", fee: event.fee, transactionHash: event.transactionHash });
    } else if (terms.mode === "on-demand") {
      epochs.push({ epoch, status: "undisputed", fee: known });
    } else {
      const { graceEnd } = windowsOf({ ...audit, epochBlocks }, epoch);
      const isSettled = outcomeOf(books, epoch) === "settled";
      epochs.push({ epoch, status: isSettled ? "unreported" : head < graceEnd ? "due" : "overdue", fee: known });
    }
  }
  return epochs;
}

/** Epochs whose miss can be reported in the next block. */
export async function reportableEpochs(context: AgentContext, { opened, onChain }: FoundSet): Promise<number[]> {
  const { books, schedule, epoch: current, head, lastEpoch = Number.POSITIVE_INFINITY } = onChain;
  const { terms, audit } = opened;
  if (terms.mode !== "every-epoch" || books.status !== "running") return [];
  const { epochBlocks } = await readEscrowClock(await context.chain());
  const first = schedule.levels[0]?.fromEpoch ?? Number.POSITIVE_INFINITY;
  return [current - 1, current].filter((epoch) => {
    const { graceEnd, reportEnd } = windowsOf({ ...audit, epochBlocks }, epoch);
    const isPart = epoch >= first && epoch <= lastEpoch && (levelAt(schedule, epoch)?.sliceCount ?? 0) > 0;
    return isPart && outcomeOf(books, epoch) === "unsettled" && head >= graceEnd && head < reportEnd;
  });
}
