/**
 * What the chain should be told: that an epoch was missed, that a dispute was not answered, that an abandoned set is
 * over. Each is a duty of the whole group; see group.ts for whose turn it is.
 */

import type { Deployment } from "../chain/deployment.ts";
import { closeDataSetCall, reportDataSetMissCall, upholdDisputeCall } from "../chain/escrow-calls.ts";
import { epochOf, windowsOf } from "../core/data-set/epochs.ts";
import { decodeSchedule, levelAt } from "../core/data-set/schedule.ts";
import { dueBlock, rankOf } from "./group.ts";
import { worthOf } from "./profit.ts";
import type { SetRecord, SetRecords } from "./set-records.ts";
import type { Errand, Transactions } from "./transactions.ts";

export interface DutiesOptions {
  readonly deployment: Deployment;
  readonly records: SetRecords;
  readonly transactions: Transactions;
  /** Account of this verifier. */
  readonly operator: string;
  readonly epochBlocks: number;
  /** Of the escrow: `readAbandonedEpochs`. */
  readonly abandonedEpochs: number;
  readonly members: readonly string[];
  readonly self: string;
  readonly takeoverBlocks: number;
  readonly minimumProfitWei: bigint;
  readonly unitsPerEther: ReadonlyMap<string, bigint>;
  readonly upholdBudgetWei: bigint;
  /** Unix seconds. */
  readonly now?: () => number;
}

const DAY_SECONDS = 86_400;
/** Epochs behind the last one of a set until all of them can be settled. */
const SETTLED_EPOCHS = 2;

export class Duties {
  readonly #options: DutiesOptions;
  readonly #now: () => number;

  constructor(options: DutiesOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  /**
   * Starts what is this verifier's turn.
   * @param head last block whose events are known
   * @returns whether there was room for all of it
   * @throws TallystickError when the chain does not answer
   */
  async round(head: number): Promise<boolean> {
    const next = head + 1;
    const epoch = epochOf(this.#options.epochBlocks, next);
    for (const reported of [epoch - 1, epoch]) await this.#reportMisses(reported, head);
    await this.#upholdDisputes(head);
    await this.#closeAbandoned(epoch, head);
    return this.#options.transactions.hasRoom;
  }

  async #reportMisses(epoch: number, head: number): Promise<void> {
    const { records, deployment, epochBlocks } = this.#options;
    if (epoch < 0) return;
    for (const set of records.unproven(epoch, head)) {
      const { graceEnd, reportEnd } = windowsOf({ epochBlocks, ...set.audit }, epoch);
      if (head + 1 > reportEnd || !this.#isTurn("miss", set, epoch, graceEnd, head)) continue;
      const fee = levelAt(decodeSchedule(set.schedule), epoch)?.fee ?? 0n;
      await this.#start(head, {
        kind: "miss",
        dataSet: set.id,
        epoch,
        call: reportDataSetMissCall(deployment, set, epoch),
        worth: this.#worth((fee * BigInt(set.terms.bountyPercent)) / 100n, set),
        minimumProfit: this.#options.minimumProfitWei,
      });
    }
  }

  async #upholdDisputes(head: number): Promise<void> {
    const { records, deployment, epochBlocks, operator, minimumProfitWei, transactions } = this.#options;
    for (const set of records.unanswered(head)) {
      if (set.dispute === undefined) continue;
      const { challengeBlock, disputer, bond } = set.dispute;
      const epoch = epochOf(epochBlocks, challengeBlock);
      const lastBlock = challengeBlock + set.audit.windowBlocks + set.audit.graceBlocks;
      const isOwn = disputer.toLowerCase() === operator.toLowerCase();
      // One after the other, so that each knows what is left of the budget.
      if (!isOwn && transactions.isSending("dispute")) continue;
      // The author of a dispute need not wait for its turn.
      if (!this.#isTurn("dispute", set, epoch, isOwn ? 0 : lastBlock, head)) continue;
      const fee = levelAt(decodeSchedule(set.schedule), epoch)?.fee ?? 0n;
      const reward = this.#worth((fee * BigInt(set.terms.bountyPercent)) / 100n + bond, set);
      const day = Math.floor(this.#now() / DAY_SECONDS);
      await this.#start(head, {
        kind: "dispute",
        dataSet: set.id,
        epoch,
        call: upholdDisputeCall(deployment, set),
        worth: isOwn ? reward : 0n,
        minimumProfit: isOwn ? minimumProfitWei : records.spentOn(day) - this.#options.upholdBudgetWei,
        ...(isOwn ? {} : { onMined: (cost) => records.setSpent(day, records.spentOn(day) + cost) }),
      });
    }
  }

  async #closeAbandoned(epoch: number, head: number): Promise<void> {
    const { records, deployment, epochBlocks, abandonedEpochs } = this.#options;
    const rest = SETTLED_EPOCHS + abandonedEpochs;
    for (const set of records.endedBefore(epoch - rest)) {
      if (set.lastEpoch === undefined || set.dispute !== undefined) continue;
      const from = (set.lastEpoch + rest + 1) * epochBlocks;
      if (!this.#isTurn("close", set, set.lastEpoch, from, head)) continue;
      const highest = decodeSchedule(set.schedule).levels.reduce((most, { fee }) => (fee > most ? fee : most), 0n);
      await this.#start(head, {
        kind: "close",
        dataSet: set.id,
        epoch: set.lastEpoch,
        call: closeDataSetCall(deployment, set),
        worth: this.#worth((highest * BigInt(set.terms.bountyPercent)) / 100n, set),
        minimumProfit: this.#options.minimumProfitWei,
      });
    }
  }

  /** @param from the block after which anybody may do it */
  #isTurn(kind: Errand["kind"], set: SetRecord, epoch: number, from: number, head: number): boolean {
    const { members, self, takeoverBlocks, transactions } = this.#options;
    const rank = rankOf(members, self, { dataSet: set.id, epoch });
    return (
      head >= dueBlock(from, rank, takeoverBlocks) && transactions.mayStart({ kind, dataSet: set.id, epoch }, head)
    );
  }

  async #start(head: number, errand: Errand): Promise<void> {
    await this.#options.transactions.start(errand, head);
  }

  #worth(amount: bigint, { terms }: SetRecord): bigint {
    return worthOf(amount, terms.token, this.#options.unitsPerEther);
  }
}
