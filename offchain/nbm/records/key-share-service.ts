/**
 * What a record holds for this node: its share of the file key, or the key sealed to its committee. Both are checked
 * when the record is archived. A share is released to an owner on a signed request, sealed to the owner's session key;
 * it is decrypted only while an answer is made, and never stored in the clear. Sealed keys: releases/.
 */

import { mayActFor } from "../../chain/account-directory.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { headerOf, isOwner, type KeyRecord, ledgerScope, verifyArchivedRecord } from "../../chain/ledger.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import { shareRequestTypedData } from "../../core/identity/typed-messages.ts";
import { openShare, parseRecordPayload, type RecordPayload, resealShare } from "../../core/record/key-record.ts";
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
import type { Archive, ArchivedRecord } from "./archive.ts";
import type { ArchiveFollower } from "./archive-follower.ts";
import { RecordSeals } from "./record-seals.ts";

export interface ShareServiceOptions {
  readonly chain: ChainReader;
  readonly checkSignature: SignatureCheck;
  readonly operator: string;
  readonly hpkePrivateKey: Uint8Array;
  readonly memberships: Memberships;
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
   * @returns "none" when it is not meant to: another committee, or a record for its recorder alone.
   * @throws TallystickError CHAIN_UNAVAILABLE when the committee cannot be looked up.
   */
  async judge(record: KeyRecord): Promise<ShareState> {
    try {
      const payload = parseRecordPayload(record.payload);
      if (payload.policy.recipients === "sealed") return await this.#judgeSealed(record, payload);
      const opened = await this.#open(record);
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
   *   chain, was replaced, or succeeds none of its owners; CHAIN_UNAVAILABLE.
   */
  async release(
    recordId: string,
    asked: { readonly request: ShareRequestBody; readonly address: string },
    archive: Archive,
    follower: ArchiveFollower,
  ): Promise<ShareAnswer> {
    const { request, address } = asked;
    const account = checksumAddress(request.account, "account");
    await this.#checkRequest(recordId, account, request, address);
    const { record } = await this.#recordOnChain(recordId, archive, follower);
    await this.#requireOwner(record, account, checksumAddress(request.owner ?? account, "owner"));
    const opened = await this.#open(record);
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

  /** The rule of `OwnersPolicy`. */
  async #requireOwner(record: KeyRecord, account: string, owner: string): Promise<void> {
    const { chain } = this.#options;
    const refuse = (message: string, check: string): never => {
      throw new TallystickError(message, { code: "NOT_OWNER", party: `account ${account}`, check });
    };
    if (!(await isOwner(chain, headerOf(record), owner))) {
      refuse("the account does not own the record", "ownership on chain");
    }
    if (!(await mayActFor(chain, account, owner))) {
      refuse(
        "the account was replaced, or is no successor of the one that owns the record",
        "successor in the directory of accounts",
      );
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

  /** The archived record, verified against contract state. */
  async #recordOnChain(recordId: string, archive: Archive, follower: ArchiveFollower): Promise<ArchivedRecord> {
    const { chain, operator } = this.#options;
    const archived = archive.find(recordId);
    try {
      if (archived !== undefined) {
        await verifyArchivedRecord(chain, archived.record, `node ${operator}`);
        return archived;
      }
    } catch (cause) {
      if (!(cause instanceof IntegrityError)) throw cause;
    }
    // Absent, or of a block that was replaced: the chain may be ahead of the archive. Whoever asks needs no record for
    // that, so scans are shared and spaced.
    const atHead = await follower.refresh();
    const fresh = archive.find(recordId);
    if (fresh === undefined) throw atHead ? noRecord(recordId) : archiveBehind(recordId);
    await verifyArchivedRecord(chain, fresh.record, `node ${operator}`);
    return fresh;
  }

  /** This node's share of a record; undefined when the record has none for it. */
  async #open(record: KeyRecord): Promise<{ share: Uint8Array; index: number } | undefined> {
    const { chain, memberships, hpkePrivateKey } = this.#options;
    const indices = await memberships.indicesIn(record.committeeId);
    if (indices.length === 0) return undefined;
    const payload = parseRecordPayload(record.payload);
    const ledger = ledgerScope(chain.deployment);
    let failure: unknown;
    // The record does not say in which generation of the committee it was made: the share that opens is the one.
    for (const index of indices.filter((each) => each <= payload.policy.shares)) {
      try {
        return { share: await openShare(payload, ledger, record, index, hpkePrivateKey), index };
      } catch (cause) {
        failure ??= cause;
      }
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }
}

export function noRecord(recordId: string): TallystickError {
  return new TallystickError(`there is no record ${recordId}`, { code: "NOT_FOUND", check: "record" });
}

function archiveBehind(recordId: string): TallystickError {
  return new TallystickError(`record ${recordId} is not in the archive, which the chain's RPC endpoint keeps behind`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "archive",
    hint: "repeat the request, or ask other members",
    retryable: true,
  });
}

function noShare(recordId: string): TallystickError {
  return new TallystickError(`record ${recordId} holds no share for this node`, { code: "NOT_FOUND", check: "share" });
}
