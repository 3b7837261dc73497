/**
 * Byte layouts of the key generation (integers big-endian):
 *
 *     key        u64 committee ‖ u32 generation ‖ u8 purpose                                   (13 bytes)
 *     head       version 1 ‖ key ‖ u16 size ‖ u16 threshold ‖ u16 index                        (20 bytes)
 *     broadcast  head ‖ commitments A_0 … A_(k−1) (32 each) ‖ R (32) ‖ μ (32)
 *     secret     head ‖ round (1 or 2) ‖ coefficients a_0 … a_(k−1) (32 each) ‖ in round 2: hash of all broadcasts (32)
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { u16be } from "../encoding/integers.ts";
import { type ErrorCode, InvalidInputError, TallystickError, UnknownVersionError } from "../errors.ts";
import { ELEMENT_BYTES, SCALAR_BYTES } from "../oprf/group.ts";
import { checkKeyId, encodeKeyId, type KeyId } from "./key-id.ts";

export const DKG_VERSION = 1;
/** Most members of a committee here; the registry allows fewer. */
export const MAX_COMMITTEE_SIZE = 255;

const HEAD_BYTES = 20;
const HASH_BYTES = 32;
const TRANSCRIPT_TAG = domainTag("dkg-broadcasts");

/** Which key is generated, and who takes part. */
export interface DkgParameters extends KeyId {
  /** n, the number of members. */
  size: number;
  /** k, how many members an evaluation takes. */
  threshold: number;
  /** This member's position, from 1. */
  index: number;
}

/** What a member did wrong. */
export interface DkgFaultFacts {
  code: ErrorCode;
  check: string;
  cause?: unknown;
  /** Dealers of a handover are numbered by the generation that deals, other members by the one that is made. */
  role?: "member" | "dealer";
  hint?: string;
}

/** A member broke the protocol; `member` and `party` name it. A retry with it does not help. */
export class DkgFaultError extends TallystickError {
  readonly member: number;

  constructor(member: number, problem: string, { role = "member", ...facts }: DkgFaultFacts) {
    super(`${role} ${member} ${problem}`, {
      hint: "form a new committee without this member",
      ...facts,
      party: `${role} ${member}`,
      details: { member },
    });
    this.member = member;
  }
}

export interface Broadcast {
  /** The head and all commitments: what the proof of possession is over. */
  statement: Uint8Array;
  commitments: Uint8Array[];
  /** R of the proof of possession. */
  proofElement: Uint8Array;
  /** μ of the proof of possession. */
  proofScalar: Uint8Array;
}

export interface SecretState {
  coefficients: Uint8Array[];
  /** Hash of the broadcasts that round 2 was made from; undefined before. */
  broadcastsHash: Uint8Array | undefined;
}

/** @throws InvalidInputError for an impossible committee. */
export function checkDkgParameters(parameters: DkgParameters): void {
  checkKeyId(parameters);
  const { committeeId, size, threshold, index } = parameters;
  const fits =
    [size, threshold, index].every(Number.isInteger) &&
    size >= 1 &&
    size <= MAX_COMMITTEE_SIZE &&
    threshold >= 1 &&
    threshold <= size &&
    index >= 1 &&
    index <= size;
  if (!fits) {
    throw new InvalidInputError(
      `member ${index} of committee ${committeeId} with ${threshold} of ${size} members is impossible`,
      { check: "committee parameters", expected: `1 ≤ threshold, index ≤ size ≤ ${MAX_COMMITTEE_SIZE}` },
    );
  }
}

export function encodeHead(parameters: DkgParameters): Uint8Array {
  const { size, threshold, index } = parameters;
  return concatBytes(Uint8Array.of(DKG_VERSION), encodeKeyId(parameters), u16be(size), u16be(threshold), u16be(index));
}

/** @throws DkgFaultError when the bytes are no broadcast of this member in this key generation. */
export function decodeBroadcast(parameters: DkgParameters, member: number, bytes: Uint8Array): Broadcast {
  const { threshold } = parameters;
  if (bytes[0] !== undefined && bytes[0] !== DKG_VERSION) {
    const cause = new UnknownVersionError("key generation broadcast", bytes[0], [DKG_VERSION]);
    throw new DkgFaultError(member, "speaks another version of the protocol", {
      code: "UNKNOWN_VERSION",
      check: "version",
      cause,
    });
  }
  const expectedBytes = HEAD_BYTES + threshold * ELEMENT_BYTES + ELEMENT_BYTES + SCALAR_BYTES;
  if (bytes.length !== expectedBytes) {
    throw new DkgFaultError(member, `sent a broadcast of ${bytes.length} instead of ${expectedBytes} bytes`, {
      code: "BAD_RESPONSE",
      check: "broadcast length",
    });
  }
  const head = encodeHead({ ...parameters, index: member });
  if (head.some((byte, position) => byte !== bytes[position])) {
    throw new DkgFaultError(member, "sent a broadcast of another key, size, threshold or member", {
      code: "BAD_RESPONSE",
      check: "broadcast head",
    });
  }
  const proofAt = HEAD_BYTES + threshold * ELEMENT_BYTES;
  return {
    statement: bytes.slice(0, proofAt),
    commitments: split(bytes.subarray(HEAD_BYTES, proofAt)),
    proofElement: bytes.slice(proofAt, proofAt + ELEMENT_BYTES),
    proofScalar: bytes.slice(proofAt + ELEMENT_BYTES),
  };
}

export function encodeSecret(parameters: DkgParameters, { coefficients, broadcastsHash }: SecretState): Uint8Array {
  const round = Uint8Array.of(broadcastsHash === undefined ? 1 : 2);
  return concatBytes(encodeHead(parameters), round, ...coefficients, broadcastsHash ?? new Uint8Array(0));
}

/** @throws InvalidInputError when the state was not made with these parameters. */
export function decodeSecret(parameters: DkgParameters, bytes: Uint8Array): SecretState {
  if (bytes[0] !== undefined && bytes[0] !== DKG_VERSION) {
    throw new UnknownVersionError("key generation state", bytes[0], [DKG_VERSION]);
  }
  const isRound2 = bytes[HEAD_BYTES] === 2;
  const coefficientsEnd = HEAD_BYTES + 1 + parameters.threshold * SCALAR_BYTES;
  const head = encodeHead(parameters);
  if (
    bytes.length !== coefficientsEnd + (isRound2 ? HASH_BYTES : 0) ||
    (bytes[HEAD_BYTES] !== 1 && !isRound2) ||
    head.some((byte, position) => byte !== bytes[position])
  ) {
    throw new InvalidInputError("key generation state is not of this committee and member", { check: "secret state" });
  }
  return {
    coefficients: split(bytes.subarray(HEAD_BYTES + 1, coefficientsEnd)),
    broadcastsHash: isRound2 ? bytes.slice(coefficientsEnd) : undefined,
  };
}

/** sha256("tallystick/v1/dkg-broadcasts" ‖ 0x00 ‖ sha256(broadcast) of each member in index order). */
export function hashBroadcasts(broadcasts: Uint8Array[]): Uint8Array {
  return sha256(concatBytes(TRANSCRIPT_TAG, ...broadcasts.map((broadcast) => sha256(broadcast))));
}

function split(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: bytes.length / SCALAR_BYTES }, (_, position) =>
    bytes.slice(position * SCALAR_BYTES, (position + 1) * SCALAR_BYTES),
  );
}
