/**
 * Key records: a file key K_F as the key ledger carries it (after Dekey: Li, Qin, Lee, Lou, 2014). The recorder seals
 * it to itself (self-envelope.ts). For recipients "sealed", the default, it is also sealed to the committee as a whole
 * (sealed-record.ts). For recipients "shares", K_F ‖ HMAC(K_F, data id) is ramp-shared (n, k, r), and each share is
 * sealed to one member of that day. Each share is committed to, so that a wrong one is detected on its own, names its
 * sender and becomes an erasure; any k right ones rebuild.
 *
 * Shares are made deterministically. A later owner, who has K_F from the file, can therefore recompute all commitments
 * and need not trust the recorder (`verifyRecordForKey`). They derive from the record's header as well: members of
 * several committees, or of one at different times, each fewer than k, must not add up their shares. Dekey's key
 * servers find shares of equal keys by their tags and keep them once; here later owners join the record instead, so
 * nothing needs equal shares in two records.
 *
 * Deviation from the published scheme: the time T_K is authenticated with each envelope, not repeated inside it.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes, hmacSha256 } from "#primitives";
import { combineShares, splitSecret } from "../crypto/ramp-sharing.ts";
import { isAddressEqual } from "../encoding/address.ts";
import { digestOf } from "../encoding/content-id.ts";
import { toHex } from "../encoding/hex.ts";
import { IntegrityError, InvalidInputError, TallystickError } from "../errors.ts";
import type { KeyRecordHeader } from "./header.ts";
import type { LedgerScope } from "./ledger-scope.ts";
import { fileScope, fileTag, ownershipAddress } from "./names.ts";
import {
  checkPolicy,
  encodeRecordPayload,
  RECORD_PAYLOAD_VERSION,
  RECORD_SECRET_BYTES,
  type RecordPayload,
  type SharePolicy,
} from "./payload.ts";
import { openSelfEnvelope, type SelfEnvelopeContext, sealSelfEnvelope } from "./self-envelope.ts";
import { sealShare, shareCommitment, sharingContext, tagOf, verifyShare } from "./share-envelopes.ts";

export type { KeyRecordHeader } from "./header.ts";
export { encodeLedgerScope, type LedgerScope } from "./ledger-scope.ts";
export { fileScope, fileTag, ownershipAddress, ownershipKey } from "./names.ts";
export {
  committeePolicy,
  parseRecordPayload,
  payloadLength,
  type RecordPayload,
  SEALED_POLICY,
  SELF_POLICY,
  type SharePolicy,
  type ShareRecipient,
} from "./payload.ts";
export { openSelfEnvelope, type SelfEnvelopeContext, type SelfSecret, sealSelfEnvelope } from "./self-envelope.ts";
export { openResealedShare, openShare, resealShare, type ShareReplyContext, verifyShare } from "./share-envelopes.ts";

export interface RecordPayloadInput {
  /** The deployment whose ledger is to carry the record. */
  ledger: LedgerScope;
  /** 32 bytes. */
  fileKey: Uint8Array;
  dataId: string;
  account: string;
  committeeId: bigint;
  keyTime: bigint;
  /** "shares" or "self"; for "sealed" see `buildSealedPayload`. */
  policy: SharePolicy;
  /** HPKE public keys of the members in index order, as many as shares; none for recipients "self". */
  committeeKeys: Uint8Array[];
  /** The account's own key, for the self envelope. */
  catalogueKey: Uint8Array;
}

const FILE_KEY_BYTES = 32;

/**
 * Makes the payload of a record. Self envelope, shares and commitments are the same every time, share envelopes are
 * fresh.
 *
 * @throws InvalidInputError for impossible policies, wrong numbers of keys, malformed ids
 * @throws InvalidPointError for a recipient's key that cannot be sealed to
 */
export async function buildRecordPayload(input: RecordPayloadInput): Promise<Uint8Array> {
  const { ledger, fileKey, dataId, account, policy, committeeKeys, committeeId, keyTime, catalogueKey } = input;
  checkPolicy(policy);
  if (policy.recipients === "sealed") throw sealedForm();
  const tag = fileTag(dataId);
  const scope = fileScope(account, tag);
  if (committeeKeys.length !== policy.shares) {
    throw new InvalidInputError(`${policy.shares} shares cannot go to ${committeeKeys.length} committee members`, {
      check: "share policy",
      expected: `${policy.shares} keys`,
      received: `${committeeKeys.length} keys`,
    });
  }
  const selfEnvelope = sealSelfEnvelope({ ledger, fileScope: scope, catalogueKey }, { dataId, fileKey });
  const header = { account, fileTag: toHex(tag), committeeId, keyTime };
  const shares = splitFileKey(fileKey, dataId, policy, sharingContext(ledger, header));
  try {
    const envelopes = await Promise.all(
      committeeKeys.map((key, position) =>
        sealShare(ledger, header, position + 1, key, shares[position] ?? new Uint8Array(0)),
      ),
    );
    return encodeRecordPayload({
      version: RECORD_PAYLOAD_VERSION,
      policy,
      selfEnvelope,
      commitments: shares.map((share, position) => shareCommitment(scope, position + 1, share)),
      envelopes,
    });
  } finally {
    for (const share of shares) share.fill(0);
  }
}

/**
 * Opens the self envelope of the recorder or of a later owner, and checks it against the record.
 *
 * @throws UnknownVersionError, IntegrityError when it does not open here, or names another file or key than the record:
 *   whoever handed out the envelope is at fault, or the account itself made it wrongly
 */
export function openOwnKey(
  context: Pick<SelfEnvelopeContext, "ledger" | "catalogueKey">,
  header: KeyRecordHeader,
  envelope: Uint8Array,
): { dataId: string; fileKey: Uint8Array } {
  const scope = fileScope(header.account, tagOf(header));
  const { dataId, fileKey } = openSelfEnvelope({ ...context, fileScope: scope }, envelope);
  const isFile = equalBytes(fileTag(dataId), tagOf(header));
  if (isFile && isAddressEqual(ownershipAddress(fileKey), header.ownershipKey)) return { dataId, fileKey };
  fileKey.fill(0);
  throw new IntegrityError(`the self envelope of a record of ${header.account} holds the key of another file`, {
    check: isFile ? "ownership key" : "file tag",
    expected: isFile ? header.ownershipKey : header.fileTag,
    ...(isFile ? {} : { received: toHex(fileTag(dataId)) }),
  });
}

/**
 * Rebuilds the file key from any k right shares and ignores wrong ones.
 *
 * @param shares share by index
 * @throws InvalidInputError when the data id is not the one of the header, or the record has no shares
 * @throws TallystickError SHARES_MISSING with the right and wrong indices in `details` when fewer than k are right
 * @throws IntegrityError when right shares rebuild no key of this file: the record was made wrongly
 */
export function rebuildFileKey(
  payload: RecordPayload,
  header: KeyRecordHeader,
  shares: ReadonlyMap<number, Uint8Array>,
  dataId: string,
): Uint8Array {
  const scope = fileScope(header.account, tagOfDataId(header, dataId));
  const { threshold, recipients } = payload.policy;
  if (recipients !== "shares") {
    throw new InvalidInputError("the record has no shares to rebuild a key from", { check: "recipients" });
  }
  const right = new Map([...shares].filter(([index, share]) => verifyShare(payload, scope, index, share)));
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
    isAddressEqual(ownershipAddress(fileKey), header.ownershipKey);
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
 * Checks that the shares of a record, made by another account, are those of a file key that the caller has. Only the
 * recipients can check whether their envelopes open.
 *
 * @param ledger the deployment whose ledger carries the record
 * @throws InvalidInputError when the data id is not the one of the header
 * @throws IntegrityError when the record would not rebuild this key
 */
export function verifyRecordForKey(
  ledger: LedgerScope,
  payload: RecordPayload,
  header: KeyRecordHeader,
  fileKey: Uint8Array,
  dataId: string,
): void {
  for (const share of sharesOfRecord(ledger, payload, header, fileKey, dataId)) share.fill(0);
}

/**
 * The shares of a record, recomputed by an owner that has the file key: what the members were given, if it was given
 * rightly.
 *
 * @returns share j at position j − 1, for the caller to wipe
 * @throws as `verifyRecordForKey`
 */
export function sharesOfRecord(
  ledger: LedgerScope,
  payload: RecordPayload,
  header: KeyRecordHeader,
  fileKey: Uint8Array,
  dataId: string,
): Uint8Array[] {
  if (payload.policy.recipients === "sealed") throw sealedForm();
  const scope = fileScope(header.account, tagOfDataId(header, dataId));
  const shares = splitFileKey(fileKey, dataId, payload.policy, sharingContext(ledger, header));
  const foreign = shares.findIndex((share, position) => !verifyShare(payload, scope, position + 1, share));
  if (foreign < 0 && isAddressEqual(ownershipAddress(fileKey), header.ownershipKey)) return shares;
  for (const share of shares) share.fill(0);
  throw new IntegrityError("the record does not hold the key of this file", {
    party: `recorder ${header.account}`,
    check: foreign >= 0 ? `commitment of share ${foreign + 1}` : "ownership key",
  });
}

/** Deterministic shares of K_F ‖ HMAC(K_F, digest of the data id); none when the recorder alone can open the record. */
function splitFileKey(fileKey: Uint8Array, dataId: string, policy: SharePolicy, context: Uint8Array): Uint8Array[] {
  if (policy.recipients === "self") return [];
  if (fileKey.length !== FILE_KEY_BYTES) {
    throw new InvalidInputError(`file key has ${fileKey.length} bytes`, {
      check: "file key length",
      expected: `${FILE_KEY_BYTES} bytes`,
      received: `${fileKey.length} bytes`,
    });
  }
  const secret = concatBytes(fileKey, keyMac(fileKey, dataId));
  const shares = splitSecret(secret, policy, { context });
  secret.fill(0);
  return shares;
}

/** What this file says of shares does not hold for a sealed key: an unchecked one must not pass as a right one. */
function sealedForm(): InvalidInputError {
  return new InvalidInputError("the key of the record is sealed to the committee, not shared", { check: "recipients" });
}

function keyMac(fileKey: Uint8Array, dataId: string): Uint8Array {
  return hmacSha256(fileKey, digestOf(dataId));
}

/** @throws InvalidInputError when the record is of another file */
export function tagOfDataId(header: Pick<KeyRecordHeader, "fileTag">, dataId: string): Uint8Array {
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
