/**
 * Key records: a file key K_F, ramp-shared (n, k, r) and sealed, as the key ledger carries it (after Dekey: Li, Qin, Lee, Lou,
 * 2014). What is shared is K_F ‖ HMAC(K_F, data id). Each share is committed to, so that a wrong one is told from a right one
 * by itself, names its sender and becomes an erasure; any k right ones rebuild.
 *
 * Shares are made deterministically. A later owner, who has K_F from the file, can therefore recompute all commitments and
 * need not believe whoever recorded first (`verifyRecordForKey`).
 *
 * Deviation from the published scheme: the time T_K is authenticated with each envelope, not repeated inside it.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes, hmacSha256, sha256 } from "#primitives";
import { hpkeOpen, hpkeSeal } from "../crypto/hpke.ts";
import { domainTag } from "../crypto/kdf.ts";
import { combineShares, shareLength, splitSecret } from "../crypto/ramp-sharing.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { digestOf } from "../encoding/content-id.ts";
import { fromHex } from "../encoding/hex.ts";
import { IntegrityError, InvalidInputError, TallystickError } from "../errors.ts";
import { sealCatalogueNote } from "./catalogue-note.ts";
import { fileTag, ownershipAddress, recordId } from "./names.ts";
import {
  checkPolicy,
  encodeRecordPayload,
  RECORD_PAYLOAD_VERSION,
  RECORD_SECRET_BYTES,
  type RecordPayload,
  recipientCode,
  type SharePolicy,
} from "./payload.ts";

export { openCatalogueNote, sealCatalogueNote } from "./catalogue-note.ts";
export { fileTag, ownershipAddress, ownershipKey, recordId } from "./names.ts";
export {
  committeePolicy,
  parseRecordPayload,
  payloadLength,
  type RecordPayload,
  type ShareEnvelope,
  type SharePolicy,
  type ShareRecipient,
} from "./payload.ts";

/** What the ledger says of a record beside its payload; big numbers as the chain has them, bytes as 0x hex. */
export interface KeyRecordHeader {
  account: string;
  /** 32 bytes. */
  fileTag: string;
  committeeId: bigint;
  /** T_K, unix seconds. */
  keyTime: bigint;
  ownershipKey: string;
}

export interface RecordPayloadInput {
  /** 32 bytes. */
  fileKey: Uint8Array;
  dataId: string;
  account: string;
  committeeId: bigint;
  keyTime: bigint;
  policy: SharePolicy;
  /** HPKE public keys of the members in index order; as many as shares when the recipients are the committee. */
  committeeKeys: Uint8Array[];
  /** The account's own HPKE public key; used when the recipient is the account itself. */
  selfPublicKey: Uint8Array;
  /** Seals the catalogue note. */
  catalogueKey: Uint8Array;
}

/** Who asked for a share, and the key made for that one session. */
export interface ShareReplyContext {
  /** Of the share, from 1. */
  index: number;
  /** The account that asked: the recorder or a later owner. */
  account: string;
}

const FILE_KEY_BYTES = 32;
const FILE_TAG_BYTES = 32;
const SHARE_TAG = domainTag("share");
const ENVELOPE_INFO = domainTag("share-envelope");
const REPLY_INFO = domainTag("share-reply");

/**
 * Makes the payload of a record. Shares and commitments are the same every time, envelopes are fresh.
 *
 * @throws InvalidInputError for impossible policies, wrong numbers of keys, malformed ids
 * @throws InvalidPointError for a recipient's key that cannot be sealed to
 */
export async function buildRecordPayload(input: RecordPayloadInput): Promise<Uint8Array> {
  const { fileKey, dataId, account, policy, catalogueKey } = input;
  checkPolicy(policy);
  const tag = fileTag(dataId);
  const id = recordId(account, tag);
  const keys =
    policy.recipients === "committee"
      ? input.committeeKeys
      : Array.from({ length: policy.shares }, () => input.selfPublicKey);
  if (keys.length !== policy.shares) {
    throw new InvalidInputError(`${policy.shares} shares cannot go to ${keys.length} committee members`, {
      check: "share policy",
      expected: `${policy.shares} keys`,
      received: `${keys.length} keys`,
    });
  }
  const shares = splitFileKey(fileKey, dataId, policy);
  try {
    const envelopes = await Promise.all(
      keys.map(async (key, position) => {
        const index = position + 1;
        const aad = envelopeAad(
          account,
          tag,
          input.committeeId,
          input.keyTime,
          index,
          recipientCode(policy.recipients),
        );
        const sealed = await hpkeSeal(key, ENVELOPE_INFO, aad, shares[position] ?? new Uint8Array(0));
        return { recipient: policy.recipients, index, sealed };
      }),
    );
    return encodeRecordPayload({
      version: RECORD_PAYLOAD_VERSION,
      policy,
      commitments: shares.map((share, position) => commitment(id, position + 1, share)),
      envelopes,
      catalogueNote: sealCatalogueNote(catalogueKey, id, dataId),
    });
  } finally {
    for (const share of shares) share.fill(0);
  }
}

/**
 * Opens one envelope of a record: what a node, or the account itself in policy `self`, does with its share.
 *
 * @param index of the share, from 1
 * @param hpkePrivateKey of the recipient
 * @returns the share, checked against its commitment
 * @throws InvalidInputError for an index the record does not have
 * @throws IntegrityError when the envelope does not open with this key for this header, or holds another share
 */
export async function openShare(
  payload: RecordPayload,
  header: KeyRecordHeader,
  index: number,
  hpkePrivateKey: Uint8Array,
): Promise<Uint8Array> {
  const envelope = payload.envelopes[index - 1];
  if (envelope === undefined) throw noSuchShare(payload, index);
  const tag = tagOf(header);
  const code = recipientCode(envelope.recipient);
  const aad = envelopeAad(header.account, tag, header.committeeId, header.keyTime, index, code);
  const share = await hpkeOpen(hpkePrivateKey, ENVELOPE_INFO, aad, envelope.sealed);
  requireShare(payload, header, index, share);
  return share;
}

/** A node's answer to a share request: the share, sealed to the session's key for the account that asked. */
export async function resealShare(
  header: KeyRecordHeader,
  context: ShareReplyContext,
  sessionPublicKey: Uint8Array,
  share: Uint8Array,
): Promise<Uint8Array> {
  return hpkeSeal(sessionPublicKey, REPLY_INFO, replyAad(header, context), share);
}

/**
 * Opens a node's answer to a share request.
 *
 * @returns the share, checked against its commitment
 * @throws IntegrityError when the answer does not open, or holds a wrong share: whoever sent it is at fault
 */
export async function openResealedShare(
  payload: RecordPayload,
  header: KeyRecordHeader,
  context: ShareReplyContext,
  sessionPrivateKey: Uint8Array,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  const share = await hpkeOpen(sessionPrivateKey, REPLY_INFO, replyAad(header, context), sealed);
  requireShare(payload, header, context.index, share);
  return share;
}

/** Whether a share is the one the record commits to. @param id the record id, 32 bytes */
export function verifyShare(payload: RecordPayload, id: Uint8Array, index: number, share: Uint8Array): boolean {
  const expected = payload.commitments[index - 1];
  // A recorder might have committed to a share of a length that cannot be combined.
  if (expected === undefined || share.length !== shareLength(payload.policy, RECORD_SECRET_BYTES)) return false;
  return equalBytes(expected, commitment(id, index, share));
}

/**
 * Rebuilds the file key from any k right shares; wrong ones among them do no harm.
 *
 * @param shares share by index
 * @throws InvalidInputError when the data id is not the one of the header
 * @throws TallystickError SHARES_MISSING with the right and wrong indices in `details` when fewer than k are right
 * @throws IntegrityError when right shares rebuild no key of this file: the record was made wrongly
 */
export function rebuildFileKey(
  payload: RecordPayload,
  header: KeyRecordHeader,
  shares: ReadonlyMap<number, Uint8Array>,
  dataId: string,
): Uint8Array {
  const id = recordId(header.account, tagOfDataId(header, dataId));
  const right = new Map([...shares].filter(([index, share]) => verifyShare(payload, id, index, share)));
  const { threshold } = payload.policy;
  if (right.size < threshold) {
    const wrong = [...shares.keys()].filter((index) => !right.has(index));
    const blame = wrong.length > 0 ? `; wrong shares: ${wrong.join(", ")}` : "";
    throw new TallystickError(`${right.size} right shares of ${threshold} needed${blame}`, {
      code: "SHARES_MISSING",
      check: "share commitments",
      expected: `${threshold} right shares`,
      received: `${right.size} right, ${wrong.length} wrong`,
      details: { right: [...right.keys()], wrong },
    });
  }
  const secret = combineShares(right, payload.policy, RECORD_SECRET_BYTES);
  const fileKey = secret.slice(0, FILE_KEY_BYTES);
  const isKeyOfFile =
    equalBytes(secret.subarray(FILE_KEY_BYTES), keyMac(fileKey, dataId)) &&
    ownershipAddress(fileKey).toLowerCase() === header.ownershipKey.toLowerCase();
  secret.fill(0);
  if (!isKeyOfFile) {
    fileKey.fill(0);
    throw new IntegrityError("the record's shares rebuild no key of this file", {
      party: `recorder ${header.account}`,
      check: "MAC of the file key",
      hint: "the record was made wrongly; store the file again to record its key anew",
    });
  }
  return fileKey;
}

/**
 * Checks a record that somebody else made for a file whose key the caller has: its shares are those of this key. Whether each
 * envelope opens only its recipient can tell.
 *
 * @throws InvalidInputError when the data id is not the one of the header
 * @throws IntegrityError when the record would not rebuild this key
 */
export function verifyRecordForKey(
  payload: RecordPayload,
  header: KeyRecordHeader,
  fileKey: Uint8Array,
  dataId: string,
): void {
  const id = recordId(header.account, tagOfDataId(header, dataId));
  const shares = splitFileKey(fileKey, dataId, payload.policy);
  const foreign = shares.findIndex((share, position) => !verifyShare(payload, id, position + 1, share));
  for (const share of shares) share.fill(0);
  const isOwnershipKey = ownershipAddress(fileKey).toLowerCase() === header.ownershipKey.toLowerCase();
  if (foreign >= 0 || !isOwnershipKey) {
    throw new IntegrityError("the record does not hold the key of this file", {
      party: `recorder ${header.account}`,
      check: foreign >= 0 ? `commitment of share ${foreign + 1}` : "ownership key",
    });
  }
}

/** Deterministic shares of K_F ‖ HMAC(K_F, digest of the data id). */
function splitFileKey(fileKey: Uint8Array, dataId: string, policy: SharePolicy): Uint8Array[] {
  if (fileKey.length !== FILE_KEY_BYTES) {
    throw new InvalidInputError(`file key has ${fileKey.length} bytes`, {
      check: "file key length",
      expected: `${FILE_KEY_BYTES} bytes`,
      received: `${fileKey.length} bytes`,
    });
  }
  const secret = concatBytes(fileKey, keyMac(fileKey, dataId));
  const shares = splitSecret(secret, policy, "deterministic");
  secret.fill(0);
  return shares;
}

function keyMac(fileKey: Uint8Array, dataId: string): Uint8Array {
  return hmacSha256(fileKey, digestOf(dataId));
}

/** sha256("tallystick/v1/share" ‖ 0x00 ‖ recordId ‖ u32be index ‖ share). */
function commitment(id: Uint8Array, index: number, share: Uint8Array): Uint8Array {
  return sha256(concatBytes(SHARE_TAG, id, uint32(index), share));
}

/** account (20) ‖ fileTag (32) ‖ u64be committeeId ‖ u64be keyTime ‖ u32be index ‖ recipient code (1). */
function envelopeAad(
  account: string,
  tag: Uint8Array,
  committeeId: bigint,
  keyTime: bigint,
  index: number,
  code: number,
): Uint8Array {
  const address = fromHex(account, ADDRESS_BYTES, "account");
  return concatBytes(address, tag, uint64(committeeId), uint64(keyTime), uint32(index), Uint8Array.of(code));
}

/** recordId (32) ‖ u64be keyTime ‖ u32be index ‖ account that asked (20). */
function replyAad(header: KeyRecordHeader, { index, account }: ShareReplyContext): Uint8Array {
  const id = recordId(header.account, tagOf(header));
  return concatBytes(id, uint64(header.keyTime), uint32(index), fromHex(account, ADDRESS_BYTES, "account"));
}

function requireShare(payload: RecordPayload, header: KeyRecordHeader, index: number, share: Uint8Array): void {
  if (payload.commitments[index - 1] === undefined) throw noSuchShare(payload, index);
  if (verifyShare(payload, recordId(header.account, tagOf(header)), index, share)) return;
  share.fill(0);
  throw new IntegrityError(`share ${index} is not the one the record commits to`, { check: "share commitment" });
}

function tagOf(header: KeyRecordHeader): Uint8Array {
  return fromHex(header.fileTag, FILE_TAG_BYTES, "file tag");
}

function tagOfDataId(header: KeyRecordHeader, dataId: string): Uint8Array {
  const tag = fileTag(dataId);
  if (!equalBytes(tag, tagOf(header))) {
    throw new InvalidInputError("the record is of another file", {
      check: "file tag",
      expected: dataId,
      received: `file tag ${header.fileTag}`,
    });
  }
  return tag;
}

function noSuchShare(payload: RecordPayload, index: number): InvalidInputError {
  return new InvalidInputError(`the record has no share ${index}`, {
    check: "share index",
    expected: `1 to ${payload.policy.shares}`,
    received: String(index),
  });
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function uint64(value: bigint): Uint8Array {
  if (value < 0n || value >= 1n << 64n) {
    throw new InvalidInputError(`${value} is no 64-bit unsigned integer`, { check: "64-bit number" });
  }
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}
