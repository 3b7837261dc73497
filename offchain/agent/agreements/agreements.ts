/** Operations on an account's agreements: open, list, show, settle, cancel, withdraw credit. */

import type { TransactionReceipt } from "ethers";
import {
  type Agreement,
  balanceOf,
  cancelCall,
  closeCall,
  type EpochStatus,
  NATIVE_TOKEN,
  readAgreement,
  readEpochStatus,
  reportMissCall,
  withdrawCall,
} from "../../chain/escrow.ts";
import { ChainRevertedError, readChain } from "../../chain/revert.ts";
import { epochsBegun, lastWindowEnd } from "../../core/agreement/epochs.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgreementStatus as ProviderView } from "../../core/wire/csp.ts";
import type { AgentContext } from "../context.ts";
import type { AgreementProgress, ProgressListener } from "../progress.ts";
import { objectOrder } from "../read/object-order.ts";
import { openStoredRoot } from "../read/open-root.ts";
import { adopt, providerViewOf } from "./adoption.ts";
import { beginTagging } from "./data-set-tagger.ts";
import { openPreparedAgreement, resumeAgreement, takeBack } from "./opening.ts";
import { agreementOf, isRunning, proposalsOf, rowOf } from "./proposals.ts";
import { type AgreementOptions, type AgreementReport, reportOf, requireWishesFit } from "./terms.ts";

export interface OpenOptions extends AgreementOptions {
  /** Account of a provider that has the data. Default: the first of the deployment. */
  readonly provider?: string;
  readonly onProgress?: ProgressListener<AgreementProgress> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One epoch that has begun. */
export interface EpochReport {
  readonly epoch: number;
  readonly status: EpochStatus;
}

export interface AgreementDetails extends AgreementReport {
  readonly headBlock: number;
  /** Epochs that have begun, oldest first. */
  readonly epochs: readonly EpochReport[];
  /** The provider's own report; absent when it does not answer. */
  readonly providerView?: ProviderView;
}

export interface Settlement {
  readonly agreementId: bigint;
  /** Epochs reported as missed now. */
  readonly reported: readonly number[];
  /** True when the agreement was wound up now. */
  readonly closed: boolean;
  readonly transactions: readonly string[];
  /** What the account can withdraw in the agreement's token. */
  readonly credit: bigint;
  readonly agreement: AgreementReport;
}

export interface Withdrawal {
  readonly token: string;
  readonly amount: bigint;
  readonly to: string;
  readonly transactionHash: string;
}

export class Agreements {
  readonly #context: AgentContext;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  /**
   * Makes an agreement with one provider for data that it already stores, tagging its own copy, every object verified
   * by its id. An agreement with it that runs, or was begun, is returned or finished instead.
   *
   * @throws TallystickError as `get` does while reading, and as `put` does while agreeing
   */
  async open(dataId: string, options: OpenOptions = {}): Promise<AgreementReport> {
    return await this.#context.exclusive(() => this.#open(dataId, options), options.signal);
  }

  async #open(dataId: string, options: OpenOptions): Promise<AgreementReport> {
    const context = this.#context;
    const { onProgress, signal } = options;
    const [provider] = context.providers().choose(options.provider === undefined ? undefined : [options.provider]);
    if (provider === undefined) throw new TallystickError("no provider was chosen", { code: "INTERNAL" });
    const earlier = await resumeAgreement(context, dataId, provider, options, onProgress, signal);
    if (earlier !== undefined) return earlier;
    const offer = await provider.offer();
    requireWishesFit(context.deployment, offer, provider, options);
    const { root, sealedBytes } = await openStoredRoot(context, dataId, signal);
    const tagger = await beginTagging(context);
    try {
      let doneBytes = 0;
      for await (const { id } of objectOrder(dataId, root, sealedBytes, provider, signal)) {
        const sealed = await provider.fetch(id, signal);
        await tagger.add({ id, sealed });
        doneBytes += sealed.length;
        onProgress?.({ operation: "agreement", phase: "tagging", doneBytes, totalBytes: root.totalBytes });
      }
      const opening = { ...options, mayRunElsewhere: true, offer };
      return await openPreparedAgreement(context, dataId, provider, tagger, opening, onProgress, signal);
    } catch (error) {
      await tagger.discard();
      throw error;
    }
  }

  /**
   * This account's agreements in the deployment's escrow, from the chain, oldest first. Unaccepted ones that were taken
   * back are left out.
   */
  async list(): Promise<AgreementReport[]> {
    const { account, deployment } = this.#context;
    const chain = await this.#context.chain();
    const reports: AgreementReport[] = [];
    for await (const agreement of proposalsOf(chain, account.address, deployment.deployedAtBlock)) {
      if (agreement.status !== "cancelled") reports.push(reportOf(agreement, await this.#dataIdOf(agreement), false));
    }
    return reports;
  }

  /** The agreements about some data that this device knows of and that still run. */
  async running(dataId: string): Promise<AgreementReport[]> {
    const escrow = this.#context.deployment.contracts.storageEscrow;
    const reports: AgreementReport[] = [];
    for (const row of await this.#context.catalogue.agreements(dataId)) {
      if (row.state !== "accepted" || !isAddressEqual(row.escrow, escrow)) continue;
      const agreement = await agreementOf(this.#context, row);
      if (agreement === undefined || !(await isRunning(this.#context, agreement))) continue;
      reports.push(reportOf(agreement, dataId, false));
    }
    return reports;
  }

  /** @throws TallystickError NOT_FOUND */
  async show(agreementId: bigint): Promise<AgreementDetails> {
    const chain = await this.#context.chain();
    const agreement = await this.#require(agreementId);
    const headBlock = await readChain("reading the block number", () => chain.provider.getBlockNumber());
    const epochs: EpochReport[] = [];
    for (let epoch = 0; epoch < epochsBegun(agreement.terms, headBlock); epoch += 1) {
      epochs.push({ epoch, status: await readEpochStatus(chain, agreementId, epoch) });
    }
    const report = reportOf(agreement, await this.#dataIdOf(agreement), false);
    const providerView = await providerViewOf(this.#context, agreement);
    return { ...report, headBlock, epochs, ...(providerView === undefined ? {} : { providerView }) };
  }

  /**
   * Reports every epoch whose window has passed without a proof, and winds the agreement up if it is over or breached.
   *
   * @throws TallystickError NOT_FOUND, FUNDS for the gas, CHAIN_REVERTED
   */
  async settle(agreementId: bigint): Promise<Settlement> {
    const chain = await this.#context.chain();
    const transactions: string[] = [];
    const reported: number[] = [];
    let agreement = await this.#require(agreementId);
    const head = await readChain("reading the block number", () => chain.provider.getBlockNumber());
    for (let epoch = 0; epoch < epochsBegun(agreement.terms, head) && agreement.status === "active"; epoch += 1) {
      if ((await readEpochStatus(chain, agreementId, epoch)) !== "overdue") continue;
      const receipt = await unlessOvertaken(this.#context.send(reportMissCall(chain.deployment, agreementId, epoch)));
      if (receipt !== undefined) {
        transactions.push(receipt.hash);
        reported.push(epoch);
      }
      agreement = await this.#require(agreementId);
    }
    // A miss is a sign of lost data.
    if (reported.length > 0) this.#context.noticeLoss();
    const isOver = head >= lastWindowEnd(agreement.terms);
    let closed = false;
    if (agreement.status === "breached" || (agreement.status === "active" && isOver)) {
      const receipt = await unlessOvertaken(this.#context.send(closeCall(chain.deployment, agreementId)));
      closed = receipt !== undefined;
      if (receipt !== undefined) transactions.push(receipt.hash);
      agreement = await this.#require(agreementId);
    }
    if (agreement.status === "closed") {
      const row = await rowOf(this.#context, agreement);
      if (row !== undefined) await this.#context.catalogue.saveAgreement({ ...row, state: "closed" });
    }
    const credit = await balanceOf(chain, agreement.terms.token, this.#context.account.address);
    const report = reportOf(agreement, await this.#dataIdOf(agreement), false);
    return { agreementId, reported, closed, transactions, credit, agreement: report };
  }

  /**
   * Takes back a proposal that has not been accepted; the deposit is credited.
   * @throws TallystickError NOT_FOUND, CONFLICT
   */
  async cancel(agreementId: bigint): Promise<void> {
    const agreement = await this.#require(agreementId);
    const { status, user } = agreement;
    const { account, deployment } = this.#context;
    if (status !== "proposed" || !isAddressEqual(user, account.address)) {
      throw new TallystickError(`agreement ${agreementId} cannot be taken back`, {
        code: "CONFLICT",
        party: "you",
        check: "agreement status",
        expected: `proposed, by ${account.address}`,
        received: `${status}, by ${user}`,
      });
    }
    const row = await rowOf(this.#context, agreement);
    if (row !== undefined) await takeBack(this.#context, row);
    // Proposed from another device: the deposit is this account's all the same.
    else await this.#context.send(cancelCall(deployment, agreementId));
  }

  /** What the account can withdraw. @param token default the chain's coin */
  async credit(token: string = NATIVE_TOKEN): Promise<bigint> {
    return await balanceOf(await this.#context.chain(), token, this.#context.account.address);
  }

  /**
   * Withdraws all credit in one token.
   *
   * @param to who receives it; default the account itself.
   * @throws TallystickError CHAIN_REVERTED (NothingToWithdraw), FUNDS for the gas
   */
  async withdraw(token: string = NATIVE_TOKEN, to: string = this.#context.account.address): Promise<Withdrawal> {
    const chain = await this.#context.chain();
    const amount = await this.credit(token);
    const receipt = await this.#context.send(withdrawCall(chain.deployment, token, to));
    return { token, amount, to, transactionHash: receipt.hash };
  }

  /**
   * Finds out which data an agreement of this account is about, for a device that did not make it: the provider names
   * the salt, which is believed only if the audit key that derives from it is the agreement's.
   *
   * @param manifestHashes data ids by the hash of their manifest.
   * @returns how many agreements were added to the catalogue.
   */
  async recover(manifestHashes: ReadonlyMap<string, string>): Promise<number> {
    const { account, deployment } = this.#context;
    const chain = await this.#context.chain();
    let recovered = 0;
    for await (const agreement of proposalsOf(chain, account.address, deployment.deployedAtBlock)) {
      const { terms, status } = agreement;
      const dataId = manifestHashes.get(terms.manifestHash);
      if (dataId === undefined || (status !== "active" && status !== "breached")) continue;
      if ((await rowOf(this.#context, agreement)) !== undefined) continue;
      if ((await adopt(this.#context, agreement, dataId)) !== undefined) recovered += 1;
    }
    return recovered;
  }

  async #dataIdOf(agreement: Agreement): Promise<string | undefined> {
    return (await rowOf(this.#context, agreement))?.dataId;
  }

  async #require(agreementId: bigint): Promise<Agreement> {
    const agreement = await readAgreement(await this.#context.chain(), agreementId);
    if (agreement !== undefined) return agreement;
    throw new TallystickError(`there is no agreement ${agreementId}`, {
      code: "NOT_FOUND",
      party: "chain",
      check: "agreement number",
      received: String(agreementId),
      hint: "`tallystick agreement ls` shows yours",
    });
  }
}

/** Reverts of a report or a closing that somebody else has made first. */
const OVERTAKEN: ReadonlySet<string> = new Set(["EpochSettled", "WrongStatus"]);

/** Anybody may report and close, so what was refused may have been done already. @returns undefined then */
async function unlessOvertaken(sent: Promise<TransactionReceipt>): Promise<TransactionReceipt | undefined> {
  try {
    return await sent;
  } catch (error) {
    if (error instanceof ChainRevertedError && OVERTAKEN.has(error.revert.name)) return undefined;
    throw error;
  }
}
