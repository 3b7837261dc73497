/**
 * Acceptance of agreements: a proposal on chain is held against this provider's offer and against what its user prepared here, and
 * only then is collateral put down for it. The intent to accept is on disk before the transaction leaves, so whatever the
 * process was doing when it died, the next start finds every agreement it may be bound by.
 */
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
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { AcceptAnswer, AgreementStatus, Offer } from "../../core/wire/csp.ts";
import type { Logger } from "../../daemon/logger.ts";
import { FIRST_INDEX } from "../possession/data-set.ts";
import type { ManifestIndex } from "../possession/manifest-index.ts";
import type { Preparation } from "../possession/preparation-rows.ts";
import type { PreparationService } from "../possession/preparations.ts";
import type { AgreementRow, AgreementRows } from "./agreement-rows.ts";

export interface AgreementParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly offer: Offer;
  readonly rows: AgreementRows;
  readonly manifests: ManifestIndex;
  readonly preparations: PreparationService;
  readonly logger: Logger;
}

function mismatch(check: string, expected: string, received: string): InvalidInputError {
  return new InvalidInputError(`the proposal does not fit: ${check}`, { party: "client", check, expected, received });
}

export class AgreementService {
  readonly #parts: AgreementParts;
  /** Acceptances under way: a repeated request joins the first. */
  readonly #underWay = new Map<string, Promise<AcceptAnswer>>();
  /** Acceptances in ERC-20 tokens go one by one: each approves and uses exactly its own collateral. */
  #tokenTurn: Promise<unknown> = Promise.resolve();

  constructor(parts: AgreementParts) {
    this.#parts = parts;
  }

  /**
   * Accepts a proposal on chain. Asking again is answered from what is known.
   * @throws TallystickError NOT_FOUND, NOT_OWNER, CONFLICT (not verified, or no longer to be accepted), INVALID_INPUT (the proposal does
   *   not fit the preparation), BelowOfferError, CHAIN_REVERTED, FUNDS, CHAIN_UNAVAILABLE
   */
  async accept(account: string, id: bigint, saltHex: string): Promise<AcceptAnswer> {
    const preparation = this.#parts.preparations.require(account, saltHex);
    const known = this.#parts.rows.byId(id);
    if (known !== undefined && (known.account !== account || known.preparationId !== preparation.id)) {
      throw notTheirs(id);
    }
    // By preparation too, or a stranger's request, which will be refused, would be the one that the user's joins.
    const key = underWayKey(id, preparation.id);
    let acceptance = this.#underWay.get(key);
    if (acceptance === undefined) {
      acceptance = this.#accept(account, id, preparation).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, acceptance);
    }
    return acceptance;
  }

  async #accept(account: string, id: bigint, preparation: Preparation): Promise<AcceptAnswer> {
    const { chain, rows, preparations, logger } = this.#parts;
    const agreement = await readAgreement(chain, id);
    if (agreement === undefined) throw notFound(id);
    if (agreement.user !== account) throw notTheirs(id);
    if (agreement.status === "active" && rows.byId(id) !== undefined) return this.#alreadyAccepted(id);
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
    const { terms } = agreement;
    // It may have expired while the chain was asked; without it nothing could be proven.
    preparations.require(account, toHex(preparation.salt));
    const isFirstAttempt = rows.insert({
      id,
      preparationId: preparation.id,
      account,
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
    try {
      const accepted = await this.#sendAcceptance(agreement);
      rows.activate(id, accepted);
      logger.info({ agreement: String(id), account, ...accepted }, "agreement accepted");
      return { agreementId: String(id), ...accepted };
    } catch (error) {
      // Only the refusal of a first attempt means that there is no duty: the chain also refuses what an earlier attempt's
      // transaction, still in the pool, is about to do. Anything else is looked up on chain by `resolve`.
      if (isFirstAttempt && error instanceof ChainRevertedError) rows.deleteAccepting(id);
      throw error;
    }
  }

  async #sendAcceptance(agreement: Agreement): Promise<{ transactionHash: string; blockNumber: number }> {
    const { chain, sender } = this.#parts;
    const { deployment } = chain;
    const { token, collateral } = agreement.terms;
    const send = async () => {
      const { hash, blockNumber } = await sender.send(acceptCall(deployment, agreement));
      return { transactionHash: hash, blockNumber };
    };
    if (token === NATIVE_TOKEN) return send();
    const turn = this.#tokenTurn.then(async () => {
      if ((await readAllowance(chain, token, sender.address)) < collateral) {
        await sender.send(approveCall(deployment, token, collateral));
      }
      return send();
    });
    this.#tokenTurn = turn.catch(() => undefined); // The next in line waits for the end, whichever way it ends.
    return turn;
  }

  async #alreadyAccepted(id: bigint): Promise<AcceptAnswer> {
    const { chain, rows } = this.#parts;
    const row = rows.byId(id);
    if (row?.acceptHash !== undefined && row.acceptBlock !== undefined) {
      return { agreementId: String(id), transactionHash: row.acceptHash, blockNumber: row.acceptBlock };
    }
    const accepted = await readAcceptance(chain, id);
    if (accepted === undefined) throw notFound(id);
    rows.activate(id, accepted);
    return { agreementId: String(id), ...accepted };
  }

  /** Everything the provider commits to by accepting. */
  async #check(agreement: Agreement, preparation: Preparation): Promise<void> {
    const { chain, sender, offer, manifests } = this.#parts;
    const { terms } = agreement;
    if (!preparation.verified) {
      throw new TallystickError("the preparation has not been verified", {
        code: "CONFLICT",
        party: "client",
        check: "verification",
        hint: "send powers and tags, then ask for verification",
      });
    }
    const expected = {
      provider: [sender.address, terms.provider],
      "audit key hash": [toHex(preparation.auditKeyHash), terms.auditKeyHash],
      "manifest hash": [toHex(preparation.manifestHash), terms.manifestHash],
      "first index": [String(FIRST_INDEX), String(terms.firstIndex)],
      "slice count": [String(preparation.sliceCount), String(terms.sliceCount)],
    };
    for (const [check, [own = "", proposed = ""]] of Object.entries(expected)) {
      if (own !== proposed) throw mismatch(check, own, proposed);
    }
    const head = await readChain("asking for the head", () => chain.provider.getBlockNumber());
    requireTermsKeepOffer(offer, terms, BigInt(head));
    const lost = manifests.firstLost(preparation.id);
    if (lost !== undefined) {
      throw new TallystickError("the provider has lost a chunk of the data set", {
        code: "NOT_FOUND",
        party: "provider",
        check: "stored bytes",
        expected: lost,
        hint: "upload the chunk again",
      });
    }
  }

  /** Finds out on chain what became of acceptances whose outcome is not known here, after a crash or a lost connection. */
  async resolve(headBlock: number): Promise<void> {
    const { chain, rows, logger } = this.#parts;
    for (const row of rows.inState("accepting")) {
      if (this.#underWay.has(underWayKey(row.id, row.preparationId))) continue;
      const agreement = await readAgreement(chain, row.id);
      if (agreement?.status === "proposed" && headBlock < row.startBlock) continue;
      if (agreement?.status === "proposed" || agreement?.status === "cancelled" || agreement === undefined) {
        rows.deleteAccepting(row.id);
        logger.info({ agreement: String(row.id) }, "agreement was not accepted after all");
      } else {
        rows.activate(row.id, await readAcceptance(chain, row.id));
        logger.info({ agreement: String(row.id) }, "agreement was accepted before a break");
      }
    }
  }

  /** @throws TallystickError NOT_FOUND; another account's agreement is not found either */
  require(account: string, id: bigint): AgreementRow {
    const row = this.#parts.rows.byId(id);
    if (row === undefined || row.account !== account) throw notFound(id);
    return row;
  }

  /** The wire form. */
  status(row: AgreementRow): AgreementStatus {
    const { rows } = this.#parts;
    const { proven, notProven } = rows.countEpochs(row.id);
    const last = rows.lastProof(row.id);
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
  return new TallystickError("the agreement is another account's, or for another preparation", {
    code: "NOT_OWNER",
    party: "client",
    check: "agreement",
    received: String(id),
  });
}
