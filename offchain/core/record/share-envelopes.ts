/**
 * The shares of a record, one by one: sealed to a member's registered key, committed to in public, opened by the
 * member, and sealed again to the session key of an owner that asked. Associated data binds each message to deployment,
 * record and position.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes, sha256 } from "#primitives";
import { hpkeOpen, hpkeSeal } from "../crypto/hpke.ts";
import { domainTag } from "../crypto/kdf.ts";
import { shareLength } from "../crypto/ramp-sharing.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { u32be, u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError } from "../errors.ts";
import type { KeyRecordHeader } from "./header.ts";
import { encodeLedgerScope, type LedgerScope } from "./ledger-scope.ts";
import { fileScope } from "./names.ts";
import { RECORD_SECRET_BYTES, type RecordPayload } from "./payload.ts";

/** Position of a share, and the account that asked for it. */
export interface ShareReplyContext {
  /** Of the share, from 1. */
  index: number;
  /** The account that asked: the recorder or a later owner. */
  account: string;
}

const FILE_TAG_BYTES = 32;
const SHARE_TAG = domainTag("share");
const ENVELOPE_INFO = domainTag("share-envelope");
const REPLY_INFO = domainTag("share-reply");

/** What an envelope is authenticated with, beside its position. */
export type EnvelopeHeader = Omit<KeyRecordHeader, "ownershipKey">;

/** Seals share `index` to a member's HPKE key. @throws InvalidPointError for a key that cannot be sealed to */
export async function sealShare(
  ledger: LedgerScope,
  header: EnvelopeHeader,
  index: number,
  publicKey: Uint8Array,
  share: Uint8Array,
): Promise<Uint8Array> {
  return hpkeSeal(publicKey, ENVELOPE_INFO, envelopeAad(ledger, header, index), share);
}

/**
 * Opens one envelope of a record, as the member that it is sealed to.
 *
 * @param index of the share, from 1
 * @returns the share, checked against its commitment
 * @throws InvalidInputError for an index the record does not have
 * @throws IntegrityError when the envelope does not open with this key for this header and deployment, or holds another
 *   share
 */
export async function openShare(
  payload: RecordPayload,
  ledger: LedgerScope,
  header: KeyRecordHeader,
  index: number,
  hpkePrivateKey: Uint8Array,
): Promise<Uint8Array> {
  const envelope = payload.envelopes[index - 1];
  if (envelope === undefined) throw noSuchShare(payload, index);
  const share = await hpkeOpen(hpkePrivateKey, ENVELOPE_INFO, envelopeAad(ledger, header, index), envelope);
  requireShare(payload, header, index, share);
  return share;
}

/** A node's answer to a share request: the share, sealed to the session's key for the account that asked. */
export async function resealShare(
  ledger: LedgerScope,
  header: KeyRecordHeader,
  context: ShareReplyContext,
  sessionPublicKey: Uint8Array,
  share: Uint8Array,
): Promise<Uint8Array> {
  return hpkeSeal(sessionPublicKey, REPLY_INFO, replyAad(ledger, header, context), share);
}

/**
 * Opens a node's answer to a share request.
 *
 * @returns the share, checked against its commitment
 * @throws IntegrityError when the answer does not open, or holds a wrong share: whoever sent it is at fault
 */
export async function openResealedShare(
  payload: RecordPayload,
  ledger: LedgerScope,
  header: KeyRecordHeader,
  context: ShareReplyContext,
  sessionPrivateKey: Uint8Array,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  const share = await hpkeOpen(sessionPrivateKey, REPLY_INFO, replyAad(ledger, header, context), sealed);
  requireShare(payload, header, context.index, share);
  return share;
}

/** Whether a share is the one the record commits to. @param id the record id, 32 bytes */
export function verifyShare(payload: RecordPayload, id: Uint8Array, index: number, share: Uint8Array): boolean {
  const expected = payload.commitments[index - 1];
  // A recorder might have committed to a share of a length that cannot be combined.
  if (expected === undefined || share.length !== shareLength(payload.policy, RECORD_SECRET_BYTES)) return false;
  return equalBytes(expected, shareCommitment(id, index, share));
}

/** sha256("tallystick/v1/share" ‖ 0x00 ‖ file scope ‖ u32be index ‖ share). */
export function shareCommitment(id: Uint8Array, index: number, share: Uint8Array): Uint8Array {
  return sha256(concatBytes(SHARE_TAG, id, u32be(index), share));
}

/** File tag of a header as bytes. @throws InvalidInputError for a malformed one */
export function tagOf(header: { readonly fileTag: string }): Uint8Array {
  return fromHex(header.fileTag, FILE_TAG_BYTES, "file tag");
}

/**
 * What the shares of a record derive from beside the file key: deployment (28) ‖ account (20) ‖ fileTag (32) ‖ u64be
 * committeeId ‖ u64be keyTime. So the shares of two records do not add up, whoever holds them.
 */
export function sharingContext(ledger: LedgerScope, header: EnvelopeHeader): Uint8Array {
  const { account, committeeId, keyTime } = header;
  const address = fromHex(account, ADDRESS_BYTES, "account");
  return concatBytes(encodeLedgerScope(ledger), address, tagOf(header), u64be(committeeId), u64be(keyTime));
}

/** The context of the shares ‖ u32be index. */
function envelopeAad(ledger: LedgerScope, header: EnvelopeHeader, index: number): Uint8Array {
  return concatBytes(sharingContext(ledger, header), u32be(index));
}

/** deployment (28) ‖ file scope (32) ‖ u64be keyTime ‖ u32be index ‖ account that asked (20). */
function replyAad(ledger: LedgerScope, header: KeyRecordHeader, { index, account }: ShareReplyContext): Uint8Array {
  const scope = fileScope(header.account, tagOf(header));
  const address = fromHex(account, ADDRESS_BYTES, "account");
  return concatBytes(encodeLedgerScope(ledger), scope, u64be(header.keyTime), u32be(index), address);
}

/** @throws InvalidInputError for an index that the record does not have; IntegrityError for another share */
export function requireShare(payload: RecordPayload, header: KeyRecordHeader, index: number, share: Uint8Array): void {
  if (payload.commitments[index - 1] === undefined) throw noSuchShare(payload, index);
  if (verifyShare(payload, fileScope(header.account, tagOf(header)), index, share)) return;
  share.fill(0);
  throw new IntegrityError(`share ${index} is not the one the record commits to`, { check: "share commitment" });
}

function noSuchShare(payload: RecordPayload, index: number): InvalidInputError {
  return new InvalidInputError(`the record has no share ${index}`, {
    check: "share index",
    expected: payload.policy.shares === 0 ? "a record with shares" : `1 to ${payload.policy.shares}`,
    received: String(index),
  });
}
