/**
 * What a record holds for this node: its share of the file key, or the key sealed to its committee. Both are checked
 * when the record is archived. A share is released to an owner on a signed request, sealed to the owner's session key;
 * it is decrypted only while an answer is made, and never stored in the clear. Sealed keys: releases/.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { type KeyRecord, ledgerScope } from "../../chain/ledger.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { shareRequestTypedData } from "../../core/identity/typed-messages.ts";
import { parseRecordPayload, type RecordPayload, resealShare } from "../../core/record/key-record.ts";
import { isFaultOfRecord } from "../../core/record/record-faults.ts";
import { checkSealedKey } from "../../core/record/sealed-record.ts";
import {
  MAXIMUM_SHARE_REQUEST_SECONDS,
  type ShareAnswer,
  type ShareRequestBody,
  type ShareState,
} from "../../core/wire/nbm.ts";
import { checksumAddress, type SignatureCheck } from "../../daemon/account-signature.ts";
import { checkExpiry } from "../../daemon/request-time.ts";
import type { Memberships } from "../generations/memberships.ts";
import type { OwnShares } from "./own-shares.ts";
import type { RecordOwnership } from "./record-ownership.ts";
import { RecordSeals } from "./record-seals.ts";

export interface ShareServiceOptions {
  readonly chain: ChainReader;
  readonly checkSignature: SignatureCheck;
  readonly operator: string;
  readonly memberships: Pick<Memberships, "indicesIn">;
  readonly own: Pick<OwnShares, "open">;
  /** Unix seconds; the system's clock unless told. */
  readonly now?: () => number;
}

export class ShareService {
  readonly #options: ShareServiceOptions;
  readonly #seals: RecordSeals;
  readonly #now: () => number;

  constructor(options: ShareServiceOptions) {
    this.#options = options;
    this.#seals = new RecordSeals(options.chain);
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  /**
   * Whether the record holds a right share for this node, or a key rightly sealed to its committee.
   *
   * @returns "none" when it is not meant to: another committee, a record for its recorder alone, or one whose share for
   *   this node went to a member before it and was not delivered.
   * @throws TallystickError CHAIN_UNAVAILABLE when the committee cannot be looked up.
   */
  async judge(record: KeyRecord): Promise<ShareState> {
    try {
      const payload = parseRecordPayload(record.payload);
      if (payload.policy.recipients === "sealed") return await this.#judgeSealed(record, payload);
      const opened = await this.#options.own.open(record);
      opened?.share.fill(0);
      return opened === undefined ? "none" : "valid";
    } catch (cause) {
      if (isFaultOfRecord(cause)) return "invalid";
      throw cause;
    }
  }

  async #judgeSealed(record: KeyRecord, payload: RecordPayload): Promise<ShareState> {
    const { memberships } = this.#options;
    if ((await memberships.indicesIn(record.committeeId)).length === 0) return "none";
    checkSealedKey(payload, record, await this.#seals.of(record.committeeId));
    return "valid";
  }

  /**
   * Answers a signed share request.
   *
   * @param asked the request, and the address that it comes from
   * @throws InvalidSignatureError when it is expired, or not signed by the account for this node; TallystickError
   *   NOT_FOUND when there is no such record or no share of it here, NOT_OWNER when the account does not own it on
   *   chain, was replaced, or succeeds none of its owners; NOT_DELEGATED, OUT_OF_SCOPE for a delegate that may not
   *   read; CHAIN_UNAVAILABLE.
   */
  async release(
    recordId: string,
    asked: { readonly request: ShareRequestBody; readonly address: string },
    ownership: RecordOwnership,
  ): Promise<ShareAnswer> {
    const { request, address } = asked;
    const account = checksumAddress(request.account, "account");
    await this.#checkRequest(recordId, account, request, address);
    const owner = checksumAddress(request.owner ?? account, "owner");
    const record = await ownership.recordOf(recordId, account, owner);
    const opened = await this.#options.own.open(record);
    if (opened === undefined) throw noShare(recordId);
    const { share, index } = opened;
    try {
      const ledger = ledgerScope(this.#options.chain.deployment);
      const sessionKey = fromHex(request.sessionKey, 32);
      const sealed = await resealShare(ledger, record, { index, account }, sessionKey, share);
      const answer: ShareAnswer = { index, sealed: toHex(sealed) };
      return answer;
    } finally {
      share.fill(0);
    }
  }

  async #checkRequest(recordId: string, account: string, request: ShareRequestBody, address: string): Promise<void> {
    const { chain, checkSignature, operator } = this.#options;
    const { sessionKey, expiresAt, signature } = request;
    checkExpiry("the share request", {
      expiresAt,
      now: this.#now(),
      maximumSeconds: MAXIMUM_SHARE_REQUEST_SECONDS,
    });
    const { chainId, keyLedger } = ledgerScope(chain.deployment);
    const typed = shareRequestTypedData(chainId, keyLedger, {
      recordId,
      account,
      sessionKey,
      node: operator,
      expiresAt: BigInt(expiresAt),
    });
    await checkSignature(account, typed, signature, { address });
  }
}

function noShare(recordId: string): TallystickError {
  return new TallystickError(`record ${recordId} holds no share for this node`, { code: "NOT_FOUND", check: "share" });
}
