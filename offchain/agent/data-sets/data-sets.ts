/** Operations on an account's data sets and on the balance that pays for them. */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { noticeCall } from "../../chain/escrow-calls.ts";
import { dataSetsOpened } from "../../chain/escrow-events.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { DataSetStatus as ProviderView } from "../../core/wire/data-sets.ts";
import type { AgentContext } from "../context.ts";
import type { Damaged } from "../migration/inventory.ts";
import { estimateMigration, type MigrateOptions, type MigrationReport, migrateDataSet } from "../migration/migrate.ts";
import type { MigrationPlan } from "../migration/plan.ts";
import { type AddOptions, addStored } from "./add-stored.ts";
import { auditDataSet, type DataSetAuditOptions, type DataSetAuditReport } from "./audit.ts";
import {
  type CompactionEstimate,
  type CompactOptions,
  type CompactReport,
  compactDataSet,
  estimateCompaction,
} from "./compact.ts";
import type { DataSetView } from "./data-set-view.ts";
import { type DisputeQuote, type DisputeReceipt, openDispute, quoteDispute } from "./disputing.ts";
import { type DataSetEpoch, epochsOf } from "./epochs.ts";
import { followFound, notFound, notShown, readFound, requireOwnSet, requireSet, viewOfFound } from "./found-set.ts";
import type { DataSetReport } from "./lane-report.ts";
import { recoverDataSets } from "./recovery.ts";
import { type Retirement, retireSlices } from "./retirement.ts";
import { type SendOptions, type SentTransaction, sendWithin } from "./sending.ts";
import { type DataSetSettlement, settleSet } from "./settle.ts";
import {
  type BalanceWithdrawal,
  readBalance,
  type TopUp,
  topUpBalance,
  type UserBalance,
  withdrawBalance,
} from "./user-balance.ts";
import { findVerdict, type VerdictOptions, type VerdictReport } from "./verdict.ts";

/** 0x and 64 digits. */
const ID_LENGTH = 66;

export interface DataSetDetails extends DataSetView {
  readonly headBlock: number;
  /** The newest ones, oldest first. */
  readonly epochs: readonly DataSetEpoch[];
  /** The provider's own report; absent when it does not answer. */
  readonly providerView?: ProviderView;
}

export interface Notice extends SentTransaction {
  readonly id: string;
  /** Last epoch that is paid. */
  readonly lastEpoch: number;
}

/** As for a migration; the successor is at the provider of the old set. */
export type SucceedOptions = Omit<MigrateOptions, "to" | "isSuccessor">;

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
      views.push(await viewOfFound(this.#context, await readFound(this.#context, opened)));
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
    const found = await requireSet(this.#context, id);
    const view = await viewOfFound(this.#context, found);
    const providerView = await this.#providerView(found.opened);
    return {
      ...view,
      headBlock: found.onChain.head,
      epochs: await epochsOf(this.#context, found),
      ...(providerView === undefined ? {} : { providerView }),
    };
  }

  /**
   * Audits a set: privately, or with `public` the newest proof on chain.
   * @throws as `auditDataSet`; TallystickError NOT_FOUND
   */
  async audit(id: string, options: DataSetAuditOptions = {}): Promise<DataSetAuditReport> {
    const { opened, onChain } = await requireSet(this.#context, id);
    const provider = () => this.#context.providers().byAccount(opened.terms.provider);
    return await auditDataSet(this.#context, opened, onChain, provider, options);
  }

  /**
   * Finds out who is at fault for one challenge, with evidence that anybody can check.
   * @throws as `findVerdict`; TallystickError NOT_FOUND
   */
  async verdict(id: string, options: VerdictOptions = {}): Promise<VerdictReport> {
    const { opened, onChain } = await requireSet(this.#context, id);
    const provider = this.#context.providers().byAccount(opened.terms.provider);
    return await findVerdict(this.#context, opened, onChain, provider, options);
  }

  /** Adopts sets that another device has made, for audits. @returns how many */
  async recover(): Promise<number> {
    return await recoverDataSets(this.#context);
  }

  /** @param token default the chain's coin */
  async balance(token?: string): Promise<UserBalance> {
    return await readBalance(this.#context, token);
  }

  /**
   * Adds money to the account's balance.
   * @param amount in the token's smallest unit
   * @param token default the chain's coin
   * @throws as `topUpBalance`
   */
  async topUp(amount: bigint, token?: string, options: SendOptions = {}): Promise<TopUp> {
    return await topUpBalance(this.#context, amount, token, options);
  }

  /**
   * Withdraws from the balance what the notice period of the sets does not need.
   * @param amount default all of it
   * @param to default the account itself
   * @throws as `withdrawBalance`
   */
  async withdraw(token?: string, amount?: bigint, to?: string, options: SendOptions = {}): Promise<BalanceWithdrawal> {
    return await withdrawBalance(this.#context, token, amount, to, options);
  }

  /**
   * Ends a set after the notice period. The next put to its provider begins another one.
   * @throws TallystickError NOT_FOUND, NOT_OWNER; CONFLICT when its end is known already
   */
  async giveNotice(id: string, options: SendOptions = {}): Promise<Notice> {
    return await this.#context.exclusive(async () => {
      const found = await requireOwnSet(this.#context, id);
      const { terms } = found.opened;
      if (found.onChain.lastEpoch !== undefined) throw endKnown(id, found.onChain.lastEpoch);
      const call = noticeCall(this.#context.deployment, { terms, ...found.onChain.scheduled });
      const sent = await sendWithin(this.#context, call, options);
      const { lastEpoch } = await followFound(this.#context, found);
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
    return await migrateDataSet(this.#context, { ...(await requireOwnSet(this.#context, id)), giveNotice }, options);
  }

  /** What `migrate` would move and cost. Sends nothing. */
  async planMigration(
    id: string,
    options: MigrateOptions,
  ): Promise<MigrationPlan & { readonly damaged: readonly Damaged[] }> {
    return await estimateMigration(this.#context, await requireOwnSet(this.#context, id), options);
  }

  /**
   * Moves objects of small runs of slices to new ones, so that dead slices can go and the list of ranges is short.
   * @throws as `compactDataSet`; TallystickError NOT_FOUND, NOT_OWNER
   */
  async compact(id: string, options: CompactOptions = {}): Promise<CompactReport> {
    return await compactDataSet(this.#context, (await requireOwnSet(this.#context, id)).opened, options);
  }

  /** What `compact` would move and save. Sends nothing. */
  async planCompaction(id: string): Promise<CompactionEstimate> {
    return await estimateCompaction(this.#context, (await requireOwnSet(this.#context, id)).opened);
  }

  /**
   * Moves what a set keeps into a new one at the same provider, without sending it again, and gives notice to the old
   * one. May be repeated.
   * @throws as `migrate`
   */
  async succeed(id: string, options: SucceedOptions = {}): Promise<MigrationReport> {
    const { provider } = (await requireOwnSet(this.#context, id)).opened.terms;
    return await this.migrate(id, { ...options, to: provider, isSuccessor: true });
  }

  /** What `succeed` would move and cost. Sends nothing. */
  async planSuccessor(
    id: string,
    options: SucceedOptions = {},
  ): Promise<MigrationPlan & { readonly damaged: readonly Damaged[] }> {
    const { provider } = (await requireOwnSet(this.#context, id)).opened.terms;
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
    return await retireSlices(this.#context, id, ranges, options);
  }

  /**
   * What a dispute of a set would cost now. Also of another account's set.
   * @throws as `dispute`
   */
  async quoteDispute(id: string): Promise<DisputeQuote> {
    return await quoteDispute(this.#context, await requireSet(this.#context, id));
  }

  /**
   * Asks for a proof of a set in mode `on-demand`, with a bond from this account's balance. The provider gets the bond
   * when it answers in time. When it does not, `settle` decides the dispute: the bond comes back with a bounty. Also of
   * another account's set.
   * @throws as `openDispute`; TallystickError NOT_FOUND
   */
  async dispute(id: string, options: SendOptions = {}): Promise<DisputeReceipt> {
    return await this.#context.exclusive(
      async () => await openDispute(this.#context, await requireSet(this.#context, id), options),
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
    return await settleSet(this.#context, id, options);
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
