/** Brings a data set's books up to date: what anybody may show, report, uphold, settle and close. */

import type { ContractCall } from "../../chain/contract-call.ts";
import { showDoubleSigningCall } from "../../chain/double-signing.ts";
import {
  closeDataSetCall,
  reportDataSetMissCall,
  settleDataSetCall,
  upholdDisputeCall,
} from "../../chain/escrow-calls.ts";
import { ChainRevertedError } from "../../chain/revert.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetView } from "./data-set-view.ts";
import { isUnanswered, readDisputeView } from "./disputing.ts";
import { reportableEpochs } from "./epochs.ts";
import { type FoundSet, followFound, requireSet, viewOfFound } from "./found-set.ts";
import { providerEvidence } from "./provider-evidence.ts";
import { type SendOptions, type SentTransaction, sendWithin } from "./sending.ts";

export interface DataSetSettlement {
  readonly id: string;
  /** Epochs reported as missed now. */
  readonly reported: readonly number[];
  /** Whether an open dispute was decided now. */
  readonly upheld: boolean;
  /** Whether the provider was shown to have signed two states under one version: the set has ended with that. */
  readonly doubleSigned: boolean;
  readonly settled: boolean;
  readonly closed: boolean;
  readonly transactions: readonly SentTransaction[];
  readonly set: DataSetView;
}

/** @see DataSets.settle */
export async function settleSet(context: AgentContext, id: string, options: SendOptions): Promise<DataSetSettlement> {
  return await context.exclusive(async () => {
    const { deployment } = context;
    const transactions: SentTransaction[] = [];
    const send = async (call: ContractCall): Promise<boolean> => {
      const sent = await unlessOvertaken(sendWithin(context, call, options));
      if (sent !== undefined) transactions.push(sent);
      return sent !== undefined;
    };
    let found = await requireSet(context, id);
    const { terms, audit } = found.opened;
    const words = () => ({ terms, audit, schedule: found.onChain.scheduled.schedule });
    const isRunning = found.onChain.books.status === "running";
    const shown = isRunning ? await providerEvidence(context, found.opened, found.onChain) : undefined;
    const doubleSigned =
      shown !== undefined && (await send(showDoubleSigningCall(deployment, words(), shown.signer, shown.evidence)));
    if (doubleSigned) found = await requireSet(context, id);
    const reported: number[] = [];
    for (const epoch of await reportableEpochs(context, found)) {
      if (await send(reportDataSetMissCall(deployment, words(), epoch))) reported.push(epoch);
    }
    const upheld = (await waitsForVerdict(context, found)) && (await send(upholdDisputeCall(deployment, words())));
    // A miss is a sign of lost data.
    if (reported.length > 0 || upheld) context.noticeLoss();
    found = await requireSet(context, id);
    const { books, epoch, lastEpoch } = found.onChain;
    const isOver = lastEpoch !== undefined && epoch >= lastEpoch + 2;
    let [settled, closed] = [false, false];
    if (books.status === "running" && isOver && !books.disputed) {
      closed = await send(closeDataSetCall(deployment, words()));
    } else if (books.status === "running" && Math.min(epoch - 2, lastEpoch ?? epoch) > books.settledThrough) {
      settled = await send(settleDataSetCall(deployment, words()));
    }
    await followFound(context, found);
    const set = await viewOfFound(context, await requireSet(context, id));
    return { id, reported, upheld, doubleSigned, settled, closed, transactions, set };
  }, undefined);
}

/** Whether a dispute was not answered in time. */
async function waitsForVerdict(context: AgentContext, found: FoundSet): Promise<boolean> {
  const dispute = await readDisputeView(await context.chain(), found);
  return dispute !== undefined && isUnanswered(dispute, found.onChain);
}

/** Reverts of calls that somebody else has made first, or that have come too late. */
const OVERTAKEN: ReadonlySet<string> = new Set(["EpochSettled", "WrongStatus", "NotReportable", "NoDispute"]);

/** Anybody may report, settle and close, so what was refused may have been done already. @returns undefined then */
async function unlessOvertaken(sent: Promise<SentTransaction>): Promise<SentTransaction | undefined> {
  try {
    return await sent;
  } catch (error) {
    if (error instanceof ChainRevertedError && OVERTAKEN.has(error.revert.name)) return undefined;
    throw error;
  }
}
