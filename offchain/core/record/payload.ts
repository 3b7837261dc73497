/**
 * The payload of a key record, byte for byte (version 1; n shares of s bytes each, integers one byte):
 *
 *     version 1 ‖ recipients ‖ self envelope (81) ‖ what else the recipients open
 *
 *     sealed   the file key, sealed to the committee's record key (177; sealed-record.ts)
 *     shares   n ‖ k ‖ r ‖ n commitments (32 each) ‖ n share envelopes (48 + s each)
 *     self     nothing
 *
 * Every record has the self envelope of its recorder. Share j has the j-th commitment and the j-th envelope. Every
 * length follows from recipients, n, k and r, so no length is encoded: each byte costs 24 gas in the ledger's
 * transaction and log.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { HPKE_OVERHEAD_BYTES } from "../crypto/hpke.ts";
import { shareLength } from "../crypto/ramp-sharing.ts";
import { IntegrityError, InvalidInputError, UnknownVersionError } from "../errors.ts";
import { SEALED_SECRET_OVERHEAD_BYTES } from "../sealed-secrets/lengths.ts";
import { SELF_ENVELOPE_BYTES } from "./self-envelope.ts";

export const RECORD_PAYLOAD_VERSION = 1;
/** What is shared: the file key and its MAC. */
export const RECORD_SECRET_BYTES = 64;
export const COMMITMENT_BYTES = 32;
/** Most shares in one record: as many as a committee has members. */
export const MAX_RECORD_SHARES = 32;

/**
 * Who can open the record beside its recorder: whoever the committee releases it to ("sealed"), whoever the members of
 * that day release their shares to ("shares": share j is sealed to member j), or nobody ("self").
 */
export type ShareRecipient = "sealed" | "shares" | "self";

/** (n, k, r) of the ramp sharing, all 0 unless for recipients "shares", and who can open the record. */
export interface SharePolicy {
  shares: number;
  threshold: number;
  privacy: number;
  recipients: ShareRecipient;
}

export interface RecordPayload {
  version: number;
  policy: SharePolicy;
  /** Data id and file key, sealed to the recorder; see self-envelope.ts. */
  selfEnvelope: Uint8Array;
  /** The file key, sealed to the committee; absent unless for recipients "sealed". */
  sealedKey?: Uint8Array;
  /** Commitment to share j at position j − 1, 32 bytes each. */
  commitments: Uint8Array[];
  /** Share j, sealed to member j, at position j − 1: HPKE messages, enc ‖ ciphertext ‖ tag. */
  envelopes: Uint8Array[];
}

const RECIPIENTS = ["sealed", "shares", "self"] as const;
const RECIPIENT_CODES: Record<ShareRecipient, number> = { shares: 1, self: 2, sealed: 3 };
/** Version and recipients. */
const HEAD_BYTES = 2;
/** n, k and r. */
const SHARING_BYTES = 3;
/** A file key as a sealed secret. */
const SEALED_KEY_BYTES = 32 + SEALED_SECRET_OVERHEAD_BYTES;

/** The usual policy: Shamir's scheme among the members of a committee. */
export function committeePolicy(size: number, threshold: number): SharePolicy {
  return { shares: size, threshold, privacy: threshold - 1, recipients: "shares" };
}

/** No shares: the file key is sealed to the committee as a whole. */
export const SEALED_POLICY: SharePolicy = { shares: 0, threshold: 0, privacy: 0, recipients: "sealed" };

/** No shares: the recorder alone can open the record. */
export const SELF_POLICY: SharePolicy = { shares: 0, threshold: 0, privacy: 0, recipients: "self" };

/** @throws InvalidInputError for a policy that no record may have. */
export function checkPolicy(policy: SharePolicy): void {
  if (policy.recipients !== "shares") {
    checkNoShares(policy);
    return;
  }
  // Refuses what is impossible.
  shareLength(policy, RECORD_SECRET_BYTES);
  if (policy.privacy !== policy.threshold - 1) {
    throw new InvalidInputError("shares that fewer than k members learn from add up over several records", {
      check: "share policy",
      expected: `r = k − 1 = ${policy.threshold - 1}`,
      received: `r = ${policy.privacy}`,
    });
  }
  if (policy.shares > MAX_RECORD_SHARES) {
    throw new InvalidInputError(`a record has at most ${MAX_RECORD_SHARES} shares`, {
      check: "share policy",
      expected: `at most ${MAX_RECORD_SHARES} shares`,
      received: String(policy.shares),
    });
  }
}

function checkNoShares({ shares, threshold, privacy, recipients }: SharePolicy): void {
  if (shares === 0 && threshold === 0 && privacy === 0) return;
  throw new InvalidInputError(`a record for recipients "${recipients}" has no shares`, {
    check: "share policy",
    expected: "(0, 0, 0)",
    received: `(${shares}, ${threshold}, ${privacy})`,
  });
}

/** Length of a share envelope of this policy in bytes. */
function envelopeLength(policy: SharePolicy): number {
  return policy.shares === 0 ? 0 : HPKE_OVERHEAD_BYTES + shareLength(policy, RECORD_SECRET_BYTES);
}

/** Length of a payload in bytes. @throws InvalidInputError for a policy that no record may have. */
export function payloadLength(policy: SharePolicy): number {
  checkPolicy(policy);
  const always = HEAD_BYTES + SELF_ENVELOPE_BYTES;
  if (policy.recipients === "self") return always;
  if (policy.recipients === "sealed") return always + SEALED_KEY_BYTES;
  return always + SHARING_BYTES + policy.shares * (COMMITMENT_BYTES + envelopeLength(policy));
}

/** @throws InvalidInputError when parts are missing or have wrong lengths. */
export function encodeRecordPayload(payload: RecordPayload): Uint8Array {
  const { policy, commitments, envelopes, selfEnvelope, sealedKey = new Uint8Array() } = payload;
  const isShared = policy.recipients === "shares";
  const bytes = concatBytes(
    Uint8Array.of(RECORD_PAYLOAD_VERSION, RECIPIENT_CODES[policy.recipients]),
    selfEnvelope,
    sealedKey,
    isShared ? Uint8Array.of(policy.shares, policy.threshold, policy.privacy) : new Uint8Array(),
    ...commitments,
    ...envelopes,
  );
  const expected = payloadLength(policy);
  const isWhole = commitments.length === policy.shares && envelopes.length === policy.shares;
  if (bytes.length !== expected || !isWhole || sealedKey.length > 0 !== (policy.recipients === "sealed")) {
    throw new InvalidInputError("record payload has parts missing or of wrong length", {
      check: "payload length",
      expected: `${expected} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  return bytes;
}

/**
 * Reads a payload. Everything but the sealed contents is checked.
 *
 * @throws UnknownVersionError for a payload of another version
 * @throws IntegrityError for a malformed payload: it comes from the ledger, where anybody may have written it
 */
export function parseRecordPayload(bytes: Uint8Array): RecordPayload {
  const [version, code] = bytes;
  if (version !== undefined && version !== RECORD_PAYLOAD_VERSION) {
    throw new UnknownVersionError("key record", version, [RECORD_PAYLOAD_VERSION]);
  }
  if (version === undefined || code === undefined) {
    throw malformed("head", `${HEAD_BYTES} bytes`, `${bytes.length} bytes`);
  }
  const recipients = RECIPIENTS.find((kind) => RECIPIENT_CODES[kind] === code);
  if (recipients === undefined) throw malformed("recipients", "1, 2 or 3", String(code));
  const policy = policyOf(recipients, bytes.subarray(HEAD_BYTES + SELF_ENVELOPE_BYTES));
  const { shares } = policy;
  const expected = expectedLength(policy);
  if (bytes.length !== expected) throw malformed("length", `${expected} bytes`, `${bytes.length} bytes`);

  let offset = HEAD_BYTES;
  const take = (length: number): Uint8Array => {
    offset += length;
    return bytes.slice(offset - length, offset);
  };
  const selfEnvelope = take(SELF_ENVELOPE_BYTES);
  if (recipients === "sealed") {
    return { version, policy, selfEnvelope, sealedKey: take(SEALED_KEY_BYTES), commitments: [], envelopes: [] };
  }
  if (recipients === "shares") offset += SHARING_BYTES;
  const commitments = Array.from({ length: shares }, () => take(COMMITMENT_BYTES));
  const envelopes = Array.from({ length: shares }, () => take(envelopeLength(policy)));
  return { version, policy, selfEnvelope, commitments, envelopes };
}

/** @param rest what follows the self envelope */
function policyOf(recipients: ShareRecipient, rest: Uint8Array): SharePolicy {
  if (recipients === "self") return SELF_POLICY;
  if (recipients === "sealed") return SEALED_POLICY;
  const [shares, threshold, privacy] = rest;
  if (shares === undefined || threshold === undefined || privacy === undefined) {
    throw malformed("sharing", `${SHARING_BYTES} bytes`, `${rest.length} bytes`);
  }
  return { shares, threshold, privacy, recipients };
}

function expectedLength(policy: SharePolicy): number {
  try {
    return payloadLength(policy);
  } catch (cause) {
    if (!(cause instanceof InvalidInputError)) throw cause;
    const { shares, threshold, privacy } = policy;
    throw malformed("policy", "a possible (n, k, r)", `(${shares}, ${threshold}, ${privacy})`, cause);
  }
}

function malformed(part: string, expected: string, received: string, cause?: unknown): IntegrityError {
  return new IntegrityError(`key record is malformed: ${part}`, {
    check: `record payload: ${part}`,
    expected,
    received,
    cause,
  });
}
