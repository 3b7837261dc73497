/**
 * Acceptance of agreements. A proposal on chain is compared with this provider's offer and with what its user prepared
 * here; only then is collateral deposited for it. The intent to accept is durable before the transaction is sent, so
 * that after a crash the next start finds every agreement that may bind the provider.
 */
import PQueue from "p-queue";
import type { ChainReader } from "../../chain/deployment.ts";
import {
  type Agreement,
  acceptCall,
  approveCall,
  NATIVE_TOKEN,
  readAcceptance,
  readAgreement,
  readAllowance,
} from "../../chain/escrow.ts";
import { ChainRevertedError, readChain } from "../../chain/revert.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import { requireTermsKeepOffer } from "../../core/agreement/offer.ts";
import { FIRST_INDEX } from "../../core/audit/field.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { AcceptAnswer, AgreementStatus, Offer } from "../../core/wire/csp.ts";
import { checksumAddress } from "../../daemon/account-signature.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { AgreementRow } from "../../store/index/agreement-index.ts";
import { withLease } from "../../store/index/leases.ts";
import type { Preparation } from "../../store/index/preparation-index.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import { ObjectLostError } from "../chunks/object-lost.ts";
import { type PreparationService, preparationNotFound } from "../possession/preparations.ts";

/**
 * A row is kept for so many blocks after an agreement's start while the chain shows no acceptance. From the start on
 * the contract refuses an acceptance, so only a block that the answering endpoint does not have, or no longer has, can
 * hold one. Endpoints lag and chains reorganise by less than this; the last blocks of two Ethereum epochs, 64, are not
 * final.
 */
const FORGET_AFTER_BLOCKS = 128;

/** How long an acceptance at another process is waited for. */
const ACCEPTANCE_SECONDS = 25;

export interface AgreementParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly offer: Offer;
  readonly index: ProviderIndex;
  readonly preparations: PreparationService;
  readonly logger: Logger;
}

function mismatch(check: string, expected: string, received: string): InvalidInputError {
  return new InvalidInputError(`the proposal does not fit: ${check}`, { party: "client", check, expected, received });
}

export class AgreementService {
  readonly #parts: AgreementParts;
  /** Acceptances in progress; a repeated request waits for the first. */
  readonly #underWay = new Map<string, Promise<AcceptAnswer>>();
  /** Acceptances in ERC-20 tokens run one at a time, because each approves and uses exactly its own collateral. */
  readonly #tokenAcceptances = new PQueue({ concurrency: 1 });

  constructor(parts: AgreementParts) {
    this.#parts = parts;
  }

  /**
   * Accepts a proposal on chain. A repeated request gets the same answer, also when this provider has lost its own
   * record of the acceptance: what the preparation and the chain say is enough to go on.
   * @throws TallystickError NOT_FOUND, NOT_OWNER, CONFLICT (not verified, or too late to accept), INVALID_INPUT (the
   *   proposal does not fit the preparation), ObjectLostError, BelowOfferError, CHAIN_REVERTED, FUNDS,
   *   CHAIN_UNAVAILABLE
   */
  async accept(account: string, id: bigint, saltHex: string): Promise<AcceptAnswer> {
    const preparation = await this.#parts.preparations.require(account, saltHex);
    const known = await this.#parts.index.agreements.find(id);
    if (known !== undefined && (known.account !== preparation.account || known.preparationId !== preparation.id)) {
      throw notTheirs(id);
    }
    // The key names the preparation too: a stranger's request, which is refused, must not be the one the user's waits
    // for.
    const key = underWayKey(id, preparation.id);
    let acceptance = this.#underWay.get(key);
    if (acceptance === undefined) {
      // Of two processes that accept at once, the first one's transaction would make the second's fail.
      acceptance = withLease(this.#parts.index.leases, `acceptance ${id}`, ACCEPTANCE_SECONDS, () =>
        this.#accept(account, id, preparation),
      ).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, acceptance);
    }
    return acceptance;
  }

  async #accept(account: string, id: bigint, preparation: Preparation): Promise<AcceptAnswer> {
    const { chain, sender, index, logger } = this.#parts;
    const agreement = await readAgreement(chain, id);
    if (agreement === undefined) throw notFound(id);
    if (agreement.user !== preparation.account) throw notTheirs(id);
    if (agreement.status === "active" && agreement.terms.provider === sender.address) {
      if ((await index.agreements.find(id)) === undefined) {
        this.#requireFitting(agreement, preparation);
        await this.#begin(agreement, preparation);
        logger.warn({ agreement: String(id) }, "record of an accepted agreement made anew");
      }
      return this.#alreadyAccepted(id);
    }
    if (agreement.status !== "proposed") {
      throw new TallystickError("the proposal can no longer be accepted", {
        code: "CONFLICT",
        party: "client",
        check: "status on chain",
        expected: "proposed",
        received: agreement.status,
      });
    }
    await this.#check(agreement, preparation);
    const outcome = await this.#begin(agreement, preparation);
    try {
      const accepted = await this.#sendAcceptance(agreement);
      await index.agreements.activate(id, accepted);
      logger.info({ agreement: String(id), account, ...accepted }, "agreement accepted");
      return { agreementId: String(id), ...accepted };
    } catch (error) {
      // Only when the first attempt is refused is it certain that there is no agreement: a later one is also refused
      // because the transaction of an earlier one, still in the pool, comes first. `resolve` settles all other cases on
      // chain.
      if (outcome === "begun" && error instanceof ChainRevertedError) await index.agreements.forget(id);
      throw error;
    }
  }

  /** Makes the row of an agreement, unless there is one. @throws TallystickError NOT_FOUND */
  async #begin({ id, terms }: Agreement, preparation: Preparation): Promise<"begun" | "exists"> {
    const outcome = await this.#parts.index.agreements.begin({
      id,
      preparationId: preparation.id,
      account: preparation.account,
      salt: preparation.salt,
      auditKeyHash: preparation.auditKeyHash,
      manifestHash: preparation.manifestHash,
      sliceCount: preparation.sliceCount,
      token: terms.token,
      startBlock: Number(terms.startBlock),
      epochBlocks: terms.epochBlocks,
      windowBlocks: terms.windowBlocks,
      epochs: terms.epochs,
    });
    // The preparation expired while the chain was asked: without it nothing could be proven.
    if (outcome === "no-preparation") throw preparationNotFound(toHex(preparation.salt));
    return outcome;
  }

  async #sendAcceptance(agreement: Agreement): Promise<{ transactionHash: string; blockNumber: number }> {
    const { chain, sender, index } = this.#parts;
    const { deployment } = chain;
    const { token, collateral } = agreement.terms;
    const send = async () => {
      const { hash, blockNumber } = await sender.send(acceptCall(deployment, agreement));
      return { transactionHash: hash, blockNumber };
    };
    if (token === NATIVE_TOKEN) return send();
    return this.#tokenAcceptances.add(() =>
      withLease(index.leases, "token acceptances", ACCEPTANCE_SECONDS, async () => {
        if ((await readAllowance(chain, token, sender.address)) < collateral) {
          await sender.send(approveCall(deployment, token, collateral));
        }
        return send();
      }),
    );
  }

  async #alreadyAccepted(id: bigint): Promise<AcceptAnswer> {
    const { chain, index } = this.#parts;
    const row = await index.agreements.find(id);
    if (row?.acceptHash !== undefined && row.acceptBlock !== undefined) {
      return { agreementId: String(id), transactionHash: row.acceptHash, blockNumber: row.acceptBlock };
    }
    const accepted = await readAcceptance(chain, id);
    if (accepted === undefined) throw notFound(id);
    await index.agreements.activate(id, accepted);
    return { agreementId: String(id), ...accepted };
  }

  /** Checks everything that the provider commits to by accepting. */
  async #check(agreement: Agreement, preparation: Preparation): Promise<void> {
    const { chain, offer } = this.#parts;
    this.#requireFitting(agreement, preparation);
    const head = await readChain("asking for the head", () => chain.provider.getBlockNumber());
    requireTermsKeepOffer(offer, agreement.terms, BigInt(head));
    await this.#requireStored(preparation);
  }

  /** Checks that the agreement is about the data of the preparation, which must have been verified. */
  #requireFitting({ terms }: Agreement, preparation: Preparation): void {
    if (!preparation.verified) {
      throw new TallystickError("the preparation has not been verified", {
        code: "CONFLICT",
        party: "client",
        check: "verification",
        hint: "send powers and tags, then ask for verification",
      });
    }
    const expected = {
      provider: [this.#parts.sender.address, terms.provider],
      "audit key hash": [toHex(preparation.auditKeyHash), terms.auditKeyHash],
      "manifest hash": [toHex(preparation.manifestHash), terms.manifestHash],
      "first index": [String(FIRST_INDEX), String(terms.firstIndex)],
      "slice count": [String(preparation.sliceCount), String(terms.sliceCount)],
    };
    for (const [check, [own = "", proposed = ""]] of Object.entries(expected)) {
      if (own !== proposed) throw mismatch(check, own, proposed);
    }
  }

  /** @throws ObjectLostError when a chunk of the data set is known to be lost */
  async #requireStored(preparation: Preparation): Promise<void> {
    const { chunks, preparations } = this.#parts.index;
    for await (const digests of preparations.manifestDigests(preparation.id)) {
      const lost = (await chunks.find(digests)).findIndex((row) => !row?.stored);
      if (lost !== -1) throw new ObjectLostError(contentIdFromDigest(digests[lost] ?? new Uint8Array()));
    }
  }

  /**
   * Reads on chain how acceptances ended whose outcome is unknown after a crash or a lost connection. One answer
   * without an acceptance proves nothing, since the endpoint may lag; the row, which keeps the data, is removed long
   * after the start.
   */
  async resolve(headBlock: number): Promise<void> {
    const { chain, index, logger } = this.#parts;
    const rows = index.agreements;
    for (const row of await rows.inState("accepting")) {
      if (this.#underWay.has(underWayKey(row.id, row.preparationId))) continue;
      const status = (await readAgreement(chain, row.id))?.status;
      if (status === undefined || status === "proposed" || status === "cancelled") {
        if (headBlock < row.startBlock + FORGET_AFTER_BLOCKS) continue;
        await rows.forget(row.id);
        logger.info({ agreement: String(row.id) }, "agreement was not accepted after all");
      } else {
        await rows.activate(row.id, await readAcceptance(chain, row.id));
        logger.info({ agreement: String(row.id) }, "agreement was accepted before an interruption");
      }
    }
  }

  /** @throws TallystickError NOT_FOUND, also for another account's agreement */
  async require(account: string, id: bigint): Promise<AgreementRow> {
    const row = await this.#parts.index.agreements.find(id);
    if (row === undefined || row.account !== checksumAddress(account, "account")) throw notFound(id);
    return row;
  }

  /** The wire form. */
  async status(row: AgreementRow): Promise<AgreementStatus> {
    const { proven, notProven, lastProof: last } = await this.#parts.index.agreements.summaryOf(row.id);
    return {
      agreementId: String(row.id),
      salt: toHex(row.salt),
      state: row.state,
      health: row.health,
      ...(row.healthDetail === undefined ? {} : { healthDetail: row.healthDetail }),
      manifestHash: toHex(row.manifestHash),
      auditKeyHash: toHex(row.auditKeyHash),
      firstIndex: FIRST_INDEX,
      sliceCount: row.sliceCount,
      provenEpochs: proven,
      failedEpochs: notProven,
      ...(last === undefined ? {} : { lastProof: { ...last, gasUsed: String(last.gasUsed) } }),
    };
  }
}

function underWayKey(id: bigint, preparationId: number): string {
  return `${id}/${preparationId}`;
}

function notFound(id: bigint): TallystickError {
  return new TallystickError("there is no such agreement", {
    code: "NOT_FOUND",
    party: "client",
    check: "agreement",
    received: String(id),
  });
}

function notTheirs(id: bigint): TallystickError {
  return new TallystickError("the agreement belongs to another account or to another preparation", {
    code: "NOT_OWNER",
    party: "client",
    check: "agreement",
    received: String(id),
  });
}
