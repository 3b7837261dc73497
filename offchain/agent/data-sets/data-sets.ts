/** Operations on an account's data sets and on the balance that pays for them. */

import { escrowAbi } from "../../chain/abis.ts";
import type { ContractCall } from "../../chain/contract-call.ts";
import { type OpenedDataSet, requireTermsOfId, type SignedState } from "../../chain/data-set-words.ts";
import { showDoubleSigningCall } from "../../chain/double-signing.ts";
import { readEscrowClock, readUserAccount } from "../../chain/escrow.ts";
import {
  closeDataSetCall,
  noticeCall,
  reportDataSetMissCall,
  retireCall,
  settleDataSetCall,
  upholdDisputeCall,
  withdrawBalanceCall,
} from "../../chain/escrow-calls.ts";
import { type DataSetEvent, dataSetsOpened, parseDataSetLog, readOpened } from "../../chain/escrow-events.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { chainLogs } from "../../chain/logs.ts";
import { ChainRevertedError } from "../../chain/revert.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { accrue, runwayEpochs, withdrawable } from "../../core/data-set/balance.ts";
import { epochOf, windowsOf } from "../../core/data-set/epochs.ts";
import { decodeLiveRanges, encodeLiveRanges, joinRanges, subtractRanges } from "../../core/data-set/ranges.ts";
import { lastLevel, levelAt } from "../../core/data-set/schedule.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { formatAmount } from "../../core/encoding/amounts.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { DataSetStatus as ProviderView } from "../../core/wire/data-sets.ts";
import type { AgentContext } from "../context.ts";
import type { Damaged } from "../migration/inventory.ts";
import { estimateMigration, type MigrateOptions, type MigrationReport, migrateDataSet } from "../migration/migrate.ts";
import type { MigrationPlan } from "../migration/plan.ts";
import { type AddOptions, addStored } from "./add-stored.ts";
import { auditDataSet, type DataSetAuditOptions, type DataSetAuditReport } from "./audit.ts";
import { signedState } from "./co-signing.ts";
import {
  type CompactionEstimate,
  type CompactOptions,
  type CompactReport,
  compactDataSet,
  estimateCompaction,
} from "./compact.ts";
import { type DataSetView, outcomeOf, viewOf } from "./data-set-view.ts";
import {
  type DisputeQuote,
  type DisputeReceipt,
  isUnanswered,
  openDispute,
  quoteDispute,
  readDisputeView,
} from "./disputing.ts";
import { type DataSetOnChain, follow, isPending, readOnChain } from "./following.ts";
import { depositCalls } from "./funding.ts";
import type { DataSetReport } from "./lane-report.ts";
import { sumOf } from "./next-state.ts";
import { providerEvidence } from "./provider-evidence.ts";
import { recoverDataSets } from "./recovery.ts";
import { type SendOptions, type SentTransaction, sendWithin } from "./sending.ts";
import { findVerdict, type VerdictOptions, type VerdictReport } from "./verdict.ts";
import { changeWaits, waitingChange } from "./waiting-change.ts";
import { tokenOf } from "./wishes.ts";

/** 0x and 64 digits. */
const ID_LENGTH = 66;
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

export interface DataSetDetails extends DataSetView {
  readonly headBlock: number;
  /** The newest ones, oldest first. */
  readonly epochs: readonly DataSetEpoch[];
  /** The provider's own report; absent when it does not answer. */
  readonly providerView?: ProviderView;
}

/** The account's balance in one token, for all its data sets. */
export interface UserBalance {
  readonly token: string;
  readonly available: bigint;
  /** What all sets cost in an epoch. */
  readonly rate: bigint;
  /** Epochs that it covers; infinite when nothing runs. */
  readonly runwayEpochs: number;
  /** First block that it does not pay for; absent when nothing runs. */
  readonly endsAtBlock?: number;
  /** What can be withdrawn: all but the notice period and one epoch, in which the withdrawal may be mined. */
  readonly withdrawable: bigint;
}

export interface TopUp {
  readonly token: string;
  readonly amount: bigint;
  /** Approvals of an ERC-20 token, if there had to be any, and the deposit. */
  readonly transactions: readonly SentTransaction[];
  readonly balance: UserBalance;
}

export interface BalanceWithdrawal extends SentTransaction {
  readonly token: string;
  readonly amount: bigint;
  readonly to: string;
}

export interface Notice extends SentTransaction {
  readonly id: string;
  /** Last epoch that is paid. */
  readonly lastEpoch: number;
}

export interface Retirement extends SentTransaction {
  readonly id: string;
  readonly retiredSlices: number;
  readonly remaining: readonly SliceRange[];
  /** Version of the co-signed state that was carried out with it. */
  readonly carriedVersion?: bigint;
}

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

/** As for a migration; the successor is at the provider of the old set. */
export type SucceedOptions = Omit<MigrateOptions, "to" | "isSuccessor">;

interface Found {
  readonly opened: OpenedDataSet;
  readonly onChain: DataSetOnChain;
}

export class DataSets {
  readonly #context: AgentContext;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  /** This account's data sets, from the chain, oldest first. */
  async list(): Promise<DataSetView[]> {
    const chain = await this.#context.chain();
    const views: DataSetView[] = [];
    for await (const opened of dataSetsOpened(chain, { user: this.#context.account.address })) {
      requireTermsOfId(chain.deployment, opened);
      const onChain = await this.#read(opened);
      views.push(await this.#viewOf({ opened, onChain }));
    }
    return views;
  }

  /**
   * Adds what is stored under a data id to this device's set at each provider that has it.
   * @see addStored
   */
  async add(dataId: string, options: AddOptions = {}): Promise<DataSetReport[]> {
    return await addStored(this.#context, dataId, options);
  }

  /**
   * The set that an id or the beginning of one names.
   * @throws TallystickError NOT_FOUND for none of this account; InvalidInputError when several begin so
   */
  async resolve(text: string): Promise<string> {
    const wanted = text.toLowerCase();
    if (wanted.length === ID_LENGTH) return wanted;
    const chain = await this.#context.chain();
    const found: string[] = [];
    for await (const { id } of dataSetsOpened(chain, { user: this.#context.account.address })) {
      if (id.startsWith(wanted)) found.push(id);
    }
    const [only, ...others] = found;
    if (only === undefined) throw notFound(text);
    if (others.length === 0) return only;
    throw new InvalidInputError(`several data sets begin with ${text}`, {
      party: "you",
      check: "id of the data set",
      expected: "the beginning of one id",
      received: found.join(", "),
    });
  }

  /** Ids of the sets that providers have to prove. @throws TallystickError NOT_FOUND when there are none */
  async audited(): Promise<string[]> {
    const isKept = ({ status, slices }: DataSetView) => slices > 0 && (status === "running" || status === "ending");
    const kept = (await this.list()).filter(isKept);
    if (kept.length > 0) return kept.map(({ id }) => id);
    throw new TallystickError("this account has no data set that a provider keeps", {
      code: "NOT_FOUND",
      party: "you",
      check: "running data set",
      hint: "`tallystick put` begins one; `tallystick data-set add` adds what was stored without one",
    });
  }

  /** @throws TallystickError NOT_FOUND */
  async show(id: string): Promise<DataSetDetails> {
    const found = await this.#require(id);
    const view = await this.#viewOf(found);
    const providerView = await this.#providerView(found.opened);
    return {
      ...view,
      headBlock: found.onChain.head,
      epochs: await this.#epochsOf(found),
      ...(providerView === undefined ? {} : { providerView }),
    };
  }

  /**
   * Audits a set: privately, or with `public` the newest proof on chain.
   * @throws as `auditDataSet`; TallystickError NOT_FOUND
   */
  async audit(id: string, options: DataSetAuditOptions = {}): Promise<DataSetAuditReport> {
    const { opened, onChain } = await this.#require(id);
    const provider = () => this.#context.providers().byAccount(opened.terms.provider);
    return await auditDataSet(this.#context, opened, onChain, provider, options);
  }

  /**
   * Finds out who is at fault for one challenge, with evidence that anybody can check.
   * @throws as `findVerdict`; TallystickError NOT_FOUND
   */
  async verdict(id: string, options: VerdictOptions = {}): Promise<VerdictReport> {
    const { opened, onChain } = await this.#require(id);
    const provider = this.#context.providers().byAccount(opened.terms.provider);
    return await findVerdict(this.#context, opened, onChain, provider, options);
  }

  /** Adopts sets that another device has made, for audits. @returns how many */
  async recover(): Promise<number> {
    return await recoverDataSets(this.#context);
  }

  /** @param token default the chain's coin */
  async balance(token?: string): Promise<UserBalance> {
    const address = tokenOf(token === undefined ? {} : { token });
    const chain = await this.#context.chain();
    const [{ epochBlocks, noticeEpochs }, head, touched] = await Promise.all([
      readEscrowClock(chain),
      readHeadNumber(chain),
      readUserAccount(chain, address, this.#context.account.address),
    ]);
    const account = accrue(touched, epochOf(epochBlocks, head + 1));
    const { available, rate, paidThrough } = account;
    const runway = runwayEpochs(account);
    return {
      token: address,
      available,
      rate,
      runwayEpochs: runway,
      ...(rate === 0n ? {} : { endsAtBlock: (paidThrough + runway + 1) * epochBlocks }),
      withdrawable: withdrawable(account, noticeEpochs),
    };
  }

  /**
   * Adds money to the account's balance.
   * @param amount in the token's smallest unit
   * @param token default the chain's coin
   * @throws TallystickError FUNDS, CHAIN_REVERTED; InvalidInputError for an amount that is not positive
   */
  async topUp(amount: bigint, token?: string, options: SendOptions = {}): Promise<TopUp> {
    const address = tokenOf(token === undefined ? {} : { token });
    requirePositive(amount);
    const context = this.#context;
    return await context.exclusive(async () => {
      const transactions: SentTransaction[] = [];
      for (const call of await depositCalls(context, address, amount)) {
        transactions.push(await sendWithin(context, call, options));
      }
      return { token: address, amount, transactions, balance: await this.balance(address) };
    }, undefined);
  }

  /**
   * Withdraws from the balance what the notice period of the sets does not need.
   * @param amount default all of it
   * @param to default the account itself
   * @throws TallystickError FUNDS when there is not so much; CHAIN_REVERTED
   */
  async withdraw(
    token?: string,
    amount?: bigint,
    to: string = this.#context.account.address,
    options: SendOptions = {},
  ): Promise<BalanceWithdrawal> {
    const { token: address, withdrawable } = await this.balance(token);
    const wanted = amount ?? withdrawable;
    if (amount !== undefined) requirePositive(amount);
    if (wanted > withdrawable || wanted === 0n)
      throw notWithdrawable(this.#context.account.address, address, wanted, withdrawable);
    const call = withdrawBalanceCall(this.#context.deployment, address, to, wanted);
    return { ...(await sendWithin(this.#context, call, options)), token: address, amount: wanted, to };
  }

  /**
   * Ends a set after the notice period. The next put to its provider begins another one.
   * @throws TallystickError NOT_FOUND, NOT_OWNER; CONFLICT when its end is known already
   */
  async giveNotice(id: string, options: SendOptions = {}): Promise<Notice> {
    return await this.#context.exclusive(async () => {
      const found = await this.#requireOwned(id);
      const { terms } = found.opened;
      if (found.onChain.lastEpoch !== undefined) throw endKnown(id, found.onChain.lastEpoch);
      const call = noticeCall(this.#context.deployment, { terms, ...found.onChain.scheduled });
      const sent = await sendWithin(this.#context, call, options);
      const { lastEpoch } = await this.#follow(found);
      if (lastEpoch === undefined) throw notShown(id, "its last epoch");
      return { ...sent, id, lastEpoch };
    }, undefined);
  }

  /**
   * Moves what a set keeps to another provider, and gives notice to the old one. May be repeated.
   * @throws as `migrateDataSet`; TallystickError NOT_FOUND, NOT_OWNER
   */
  async migrate(id: string, options: MigrateOptions): Promise<MigrationReport> {
    const { maximumFee } = options;
    const giveNotice = () => this.giveNotice(id, maximumFee === undefined ? {} : { maximumFee });
    return await migrateDataSet(this.#context, { ...(await this.#requireOwned(id)), giveNotice }, options);
  }

  /** What `migrate` would move and cost. Sends nothing. */
  async planMigration(
    id: string,
    options: MigrateOptions,
  ): Promise<MigrationPlan & { readonly damaged: readonly Damaged[] }> {
    return await estimateMigration(this.#context, await this.#requireOwned(id), options);
  }

  /**
   * Moves objects of small runs of slices to new ones, so that dead slices can go and the list of ranges is short.
   * @throws as `compactDataSet`; TallystickError NOT_FOUND, NOT_OWNER
   */
  async compact(id: string, options: CompactOptions = {}): Promise<CompactReport> {
    return await compactDataSet(this.#context, (await this.#requireOwned(id)).opened, options);
  }

  /** What `compact` would move and save. Sends nothing. */
  async planCompaction(id: string): Promise<CompactionEstimate> {
    return await estimateCompaction(this.#context, (await this.#requireOwned(id)).opened);
  }

  /**
   * Moves what a set keeps into a new one at the same provider, without sending it again, and gives notice to the old
   * one. May be repeated.
   * @throws as `migrate`
   */
  async succeed(id: string, options: SucceedOptions = {}): Promise<MigrationReport> {
    const { provider } = (await this.#requireOwned(id)).opened.terms;
    return await this.migrate(id, { ...options, to: provider, isSuccessor: true });
  }

  /** What `succeed` would move and cost. Sends nothing. */
  async planSuccessor(
    id: string,
    options: SucceedOptions = {},
  ): Promise<MigrationPlan & { readonly damaged: readonly Damaged[] }> {
    const { provider } = (await this.#requireOwned(id)).opened.terms;
    return await this.planMigration(id, { ...options, to: provider, isSuccessor: true });
  }

  /**
   * Takes slices out of a set, without the provider. A state that both have signed and nobody has sent is carried out
   * with it. It counts from the epoch after the next one on, and can be done once per epoch.
   *
   * @param ranges of slices to take out
   * @throws InvalidInputError when none of them is live, or none would remain; TallystickError NOT_FOUND, NOT_OWNER,
   *   CHAIN_REVERTED; CONFLICT (retryable) while a change waits that makes it impossible
   */
  async retire(id: string, ranges: readonly SliceRange[], options: SendOptions = {}): Promise<Retirement> {
    const context = this.#context;
    return await context.exclusive(async () => {
      const found = await this.#requireOwned(id);
      const { terms } = found.opened;
      const carried = await this.#carried(found);
      await this.#requireRetirable(found, carried);
      const live = decodeLiveRanges(carried?.ranges ?? found.onChain.scheduled.ranges);
      const remaining = subtractRanges(live, joinRanges(ranges, []));
      const retiredSlices = sumOf(live) - sumOf(remaining);
      requireSomeRetired(retiredSlices, remaining);
      const words = { terms, ...found.onChain.scheduled };
      const call = retireCall(context.deployment, words, carried, encodeLiveRanges(remaining));
      const sent = await sendWithin(context, call, options);
      await this.#follow(found);
      const version = carried === undefined ? {} : { carriedVersion: carried.version };
      return { ...sent, id, retiredSlices, remaining, ...version };
    }, undefined);
  }

  /**
   * What a dispute of a set would cost now. Also of another account's set.
   * @throws as `dispute`
   */
  async quoteDispute(id: string): Promise<DisputeQuote> {
    return await quoteDispute(this.#context, await this.#require(id));
  }

  /**
   * Asks for a proof of a set in mode `on-demand`, with a bond from this account's balance. The provider gets the bond
   * when it answers in time. When it does not, `settle` decides the dispute: the bond comes back with a bounty. Also of
   * another account's set.
   * @throws as `openDispute`; TallystickError NOT_FOUND
   */
  async dispute(id: string, options: SendOptions = {}): Promise<DisputeReceipt> {
    return await this.#context.exclusive(
      async () => await openDispute(this.#context, await this.#require(id), options),
      undefined,
    );
  }

  /**
   * Shows that the provider has signed two states under one version, if it has; else reports the misses that can be
   * reported, decides a dispute that was not answered, settles, and closes a set that is over. What somebody else has
   * done first is no failure.
   * @throws TallystickError NOT_FOUND, FUNDS, CHAIN_REVERTED
   */
  async settle(id: string, options: SendOptions = {}): Promise<DataSetSettlement> {
    const context = this.#context;
    return await context.exclusive(async () => {
      const { deployment } = context;
      const transactions: SentTransaction[] = [];
      const send = async (call: ContractCall): Promise<boolean> => {
        const sent = await unlessOvertaken(sendWithin(context, call, options));
        if (sent !== undefined) transactions.push(sent);
        return sent !== undefined;
      };
      let found = await this.#require(id);
      const { terms, audit } = found.opened;
      const words = () => ({ terms, audit, schedule: found.onChain.scheduled.schedule });
      const isRunning = found.onChain.books.status === "running";
      const shown = isRunning ? await providerEvidence(context, found.opened, found.onChain) : undefined;
      const doubleSigned =
        shown !== undefined && (await send(showDoubleSigningCall(deployment, words(), shown.signer, shown.evidence)));
      if (doubleSigned) found = await this.#require(id);
      const reported: number[] = [];
      for (const epoch of await this.#reportable(found)) {
        if (await send(reportDataSetMissCall(deployment, words(), epoch))) reported.push(epoch);
      }
      const upheld = (await this.#isUnanswered(found)) && (await send(upholdDisputeCall(deployment, words())));
      // A miss is a sign of lost data.
      if (reported.length > 0 || upheld) context.noticeLoss();
      found = await this.#require(id);
      const { books, epoch, lastEpoch } = found.onChain;
      const isOver = lastEpoch !== undefined && epoch >= lastEpoch + 2;
      let [settled, closed] = [false, false];
      if (books.status === "running" && isOver && !books.disputed) {
        closed = await send(closeDataSetCall(deployment, words()));
      } else if (books.status === "running" && Math.min(epoch - 2, lastEpoch ?? epoch) > books.settledThrough) {
        settled = await send(settleDataSetCall(deployment, words()));
      }
      await this.#follow(found);
      const set = await this.#viewOf(await this.#require(id));
      return { id, reported, upheld, doubleSigned, settled, closed, transactions, set };
    }, undefined);
  }

  async #read({ id, terms }: OpenedDataSet): Promise<DataSetOnChain> {
    const onChain = await readOnChain(await this.#context.chain(), { id, terms });
    if (onChain === undefined) throw notShown(id, "the set of an event");
    return onChain;
  }

  async #require(id: string): Promise<Found> {
    const chain = await this.#context.chain();
    const opened = await readOpened(chain, id);
    if (opened === undefined) throw notFound(id);
    requireTermsOfId(chain.deployment, opened);
    return { opened, onChain: await this.#read(opened) };
  }

  async #requireOwned(id: string): Promise<Found> {
    const found = await this.#require(id);
    const { address } = this.#context.account;
    if (isAddressEqual(found.opened.terms.user, address)) return found;
    throw new TallystickError(`data set ${id} belongs to another account`, {
      code: "NOT_OWNER",
      party: "you",
      check: "user of the data set",
      expected: found.opened.terms.user,
      received: address,
    });
  }

  async #viewOf({ opened, onChain }: Found): Promise<DataSetView> {
    const journaled = await this.#context.platform.dataSets.set(opened.audit.salt);
    const { epochBlocks } = await readEscrowClock(await this.#context.chain());
    const own = journaled?.agreed?.id === opened.id ? journaled : undefined;
    const dispute = await readDisputeView(await this.#context.chain(), { opened, onChain });
    return viewOf(opened, onChain, epochBlocks, own, dispute);
  }

  /** Notes in the journal how a set stands now. */
  async #follow({ opened }: Found): Promise<DataSetOnChain> {
    const journaled = await this.#context.platform.dataSets.set(opened.audit.salt);
    if (journaled?.agreed?.id === opened.id) await follow(this.#context, journaled);
    return await this.#read(opened);
  }

  /** The newest state that both have signed and the chain does not have yet. */
  async #carried({ opened, onChain }: Found): Promise<SignedState | undefined> {
    const journaled = await this.#context.platform.dataSets.set(opened.audit.salt);
    const signed = journaled?.agreed?.id === opened.id ? journaled.signed : undefined;
    if (signed?.providerSignature === undefined || !isPending(signed, onChain, onChain.head)) return undefined;
    return signedState(signed, signed.providerSignature);
  }

  /**
   * While a change waits, no state is carried along, and without it the retirement would make its signatures void.
   * Without a state, only another retirement is in the way.
   */
  async #requireRetirable({ opened, onChain }: Found, carried: SignedState | undefined): Promise<void> {
    const waiting = await waitingChange(this.#context, onChain);
    if (waiting === undefined || (carried === undefined && waiting.fromEpoch <= onChain.epoch + 1)) return;
    throw changeWaits(opened.id, waiting);
  }

  /** The provider's own account of a set; undefined when it cannot be had. */
  async #providerView({ id, terms, audit }: OpenedDataSet): Promise<ProviderView | undefined> {
    try {
      return await this.#context.providers().find(terms.provider)?.dataSet(audit.salt);
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      this.#context.logger.debug({ dataSet: id, code: error.code }, error.message);
      return undefined;
    }
  }

  async #epochsOf({ opened, onChain }: Found): Promise<DataSetEpoch[]> {
    const { id, terms, audit, blockNumber } = opened;
    const { books, schedule, head, lastEpoch } = onChain;
    const chain = await this.#context.chain();
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
  async #reportable({ opened, onChain }: Found): Promise<number[]> {
    const { books, schedule, epoch: current, head, lastEpoch = Number.POSITIVE_INFINITY } = onChain;
    const { terms, audit } = opened;
    if (terms.mode !== "every-epoch" || books.status !== "running") return [];
    const { epochBlocks } = await readEscrowClock(await this.#context.chain());
    const first = schedule.levels[0]?.fromEpoch ?? Number.POSITIVE_INFINITY;
    return [current - 1, current].filter((epoch) => {
      const { graceEnd, reportEnd } = windowsOf({ ...audit, epochBlocks }, epoch);
      const isPart = epoch >= first && epoch <= lastEpoch && (levelAt(schedule, epoch)?.sliceCount ?? 0) > 0;
      return isPart && outcomeOf(books, epoch) === "unsettled" && head >= graceEnd && head < reportEnd;
    });
  }

  /** Whether a dispute was not answered in time. */
  async #isUnanswered(found: Found): Promise<boolean> {
    const dispute = await readDisputeView(await this.#context.chain(), found);
    return dispute !== undefined && isUnanswered(dispute, found.onChain);
  }
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

function requirePositive(amount: bigint): void {
  if (amount > 0n) return;
  throw new InvalidInputError("the amount is not positive", {
    party: "you",
    check: "amount",
    expected: "at least 1",
    received: String(amount),
  });
}

function requireSomeRetired(retiredSlices: number, remaining: readonly SliceRange[]): void {
  if (retiredSlices > 0 && remaining.length > 0) return;
  throw new InvalidInputError("a retirement takes out some slices of a data set, and leaves some", {
    party: "you",
    check: "slices to retire",
    expected: "some that are live, and not all of them",
    received: retiredSlices === 0 ? "none that is live" : "all of them",
    hint: "to end the data set, give notice to it",
  });
}

function notWithdrawable(account: string, token: string, amount: bigint, withdrawable: bigint): TallystickError {
  const what = `the balance of ${account} in the escrow`;
  return new TallystickError(`${what} does not have so much beyond the notice period of the data sets`, {
    code: "FUNDS",
    party: "you",
    check: "balance of data sets",
    expected: withdrawable === 0n ? "something to withdraw" : `at most ${formatAmount(withdrawable, token)}`,
    received: formatAmount(amount, token),
    hint: "give notice to data sets first: what they do not use up is paid back",
  });
}

function endKnown(id: string, lastEpoch: number): TallystickError {
  return new TallystickError(`data set ${id} ends after epoch ${lastEpoch} already`, {
    code: "CONFLICT",
    party: "you",
    check: "end of the data set",
    expected: "a data set that runs on",
    received: `its last epoch is ${lastEpoch}`,
    hint: "`tallystick data-set settle` closes it afterwards",
  });
}

function notFound(id: string): TallystickError {
  return new TallystickError(`there is no data set ${id}`, {
    code: "NOT_FOUND",
    party: "chain",
    check: "id of the data set",
    received: id,
    hint: "`tallystick data-set ls` lists yours; of another account's, give the whole id",
  });
}

function notShown(id: string, what: string): TallystickError {
  return new TallystickError(`the chain does not show ${what}, of data set ${id}`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "data set",
    expected: id,
    received: "nothing",
    hint: "repeat when the endpoint is in sync",
    retryable: true,
  });
}
