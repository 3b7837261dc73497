/**
 * Byte layouts of a run (integers big-endian; n and k are those of the generation that is made; both keys of a
 * committee, in the order oprf, record, wherever "per key" is written):
 *
 *     scope         u64 chain id ‖ registry (20) ‖ u64 committee                                     (36 bytes)
 *     head          u8 version 1 ‖ scope ‖ u32 from ‖ u32 to ‖ u16 n ‖ u16 k ‖ u16 index of the sender   (51 bytes)
 *     announcement  head ‖ P (32) ‖ proof (64)
 *     dealing       head ‖ hash of all announcements (32) ‖ E (32) ‖ Ē (32)
 *                     ‖ per key: u8 purpose ‖ A_0 … A_(k−1) (32 each)
 *                     ‖ per member: sealed shares, one per key (32 each) ‖ proof (128)
 *     complaint     head ‖ u16 dealer ‖ SHA-256 of the dealing (32) ‖ D (32) ‖ proof (64)
 *
 * `from` is the generation that deals, 0 in key generation. The transport signs each message with the sender's operator
 * key; the proofs inside bind each message to its head.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { u16be, u32be, u64be } from "../encoding/integers.ts";
import {
  InvalidInputError,
  InvalidPointError,
  InvalidProofError,
  InvalidScalarError,
  UnknownVersionError,
} from "../errors.ts";
import { ELEMENT_BYTES, SCALAR_BYTES } from "../oprf/group.ts";
import { relationProofBytes } from "../oprf/relation-proof.ts";
import { CommitteeFaultError } from "./fault.ts";
import { purposeCode } from "./key-id.ts";
import { COMMITTEE_KEYS, type CommitteeRun, type CommitteeScope, type PerKey, perKey } from "./run.ts";

export const COMMITTEE_MESSAGE_VERSION = 1;
export const HEAD_BYTES = 51;
const HASH_BYTES = 32;
/** The shares of one member under one dealer's pad. */
export const SEALED_SHARES_BYTES = COMMITTEE_KEYS.length * SCALAR_BYTES;
/** Secrets that the proof of a dealing is about: the constant term of each key, and e. */
const DEALING_SECRETS = COMMITTEE_KEYS.length + 1;
const ANNOUNCEMENTS_TAG = domainTag("committee-announcements");

const LEAVE_OUT = { hint: "none is needed in a run that enough others finish; the registry can replace this node" };

export type Role = "member" | "dealer";

export interface Announcement {
  /** Everything before the proof. */
  readonly statement: Uint8Array;
  /** P, what shares of this member are sealed to. */
  readonly receivingKey: Uint8Array;
  readonly proof: Uint8Array;
}

export interface Dealing {
  readonly dealer: number;
  readonly bytes: Uint8Array;
  /** Everything before the proof. */
  readonly statement: Uint8Array;
  /** E = e·G. */
  readonly ephemeralKey: Uint8Array;
  /** Ē = e·Ḡ. */
  readonly ephemeralTwin: Uint8Array;
  /** A_0 … A_(k−1) of each key. */
  readonly commitments: PerKey<Uint8Array[]>;
  /** Sealed shares of member i at position i − 1. */
  readonly sealedShares: Uint8Array[];
  readonly proof: Uint8Array;
}

export interface Complaint {
  /** Everything before the proof. */
  readonly statement: Uint8Array;
  readonly dealer: number;
  readonly dealingHash: Uint8Array;
  /** D = p·E, which opens the shares of the member that complains, in this dealing only. */
  readonly sharedElement: Uint8Array;
  readonly proof: Uint8Array;
}

export function encodeScope({ chainId, registry, committeeId }: CommitteeScope): Uint8Array {
  return concatBytes(u64be(chainId), fromHex(registry, ADDRESS_BYTES, "registry"), u64be(committeeId));
}

/** The head of a message of a member or dealer. */
export function encodeHead(run: CommitteeRun, index: number): Uint8Array {
  return concatBytes(
    Uint8Array.of(COMMITTEE_MESSAGE_VERSION),
    encodeScope(run.scope),
    u32be(run.from),
    u32be(run.generation),
    u16be(run.size),
    u16be(run.threshold),
    u16be(index),
  );
}

/** Commitments of each key behind its purpose: the middle of a dealing. */
export function encodeCommitments(commitments: PerKey<Uint8Array[]>): Uint8Array {
  return concatBytes(
    ...COMMITTEE_KEYS.flatMap((purpose) => [Uint8Array.of(purposeCode(purpose)), ...commitments[purpose]]),
  );
}

export function decodeAnnouncement(run: CommitteeRun, member: number, bytes: Uint8Array): Announcement {
  const reader = new MessageReader(run, "member", member, "announcement", bytes, ELEMENT_BYTES, 1);
  const receivingKey = reader.take(ELEMENT_BYTES);
  return { receivingKey, ...reader.rest() };
}

/** @param announced hash of the announcements that this party has, `hashAnnouncements` */
export function decodeDealing(run: CommitteeRun, dealer: number, announced: Uint8Array, bytes: Uint8Array): Dealing {
  const { size, threshold } = run;
  const perKeyBytes = COMMITTEE_KEYS.length * (1 + threshold * ELEMENT_BYTES);
  const body = HASH_BYTES + 2 * ELEMENT_BYTES + perKeyBytes + size * SEALED_SHARES_BYTES;
  const reader = new MessageReader(run, "dealer", dealer, "dealing", bytes, body, DEALING_SECRETS);
  if (!reader.matches(announced)) {
    throw reader.fault(
      "dealt to other announcements than these",
      "announcements",
      "compare the announcements: a member that signed two different ones is at fault",
    );
  }
  const ephemeralKey = reader.take(ELEMENT_BYTES);
  const ephemeralTwin = reader.take(ELEMENT_BYTES);
  const commitments = perKey((purpose) => {
    if (!reader.matches(Uint8Array.of(purposeCode(purpose)))) throw reader.fault("dealt another key", "key purpose");
    return Array.from({ length: threshold }, () => reader.take(ELEMENT_BYTES));
  });
  const sealedShares = Array.from({ length: size }, () => reader.take(SEALED_SHARES_BYTES));
  return { dealer, bytes, ephemeralKey, ephemeralTwin, commitments, sealedShares, ...reader.rest() };
}

export function decodeComplaint(run: CommitteeRun, member: number, bytes: Uint8Array): Complaint {
  const body = 2 + HASH_BYTES + ELEMENT_BYTES;
  const reader = new MessageReader(run, "member", member, "complaint", bytes, body, 1);
  const [high = 0, low = 0] = reader.take(2);
  const dealingHash = reader.take(HASH_BYTES);
  const sharedElement = reader.take(ELEMENT_BYTES);
  return { dealer: 256 * high + low, dealingHash, sharedElement, ...reader.rest() };
}

/** SHA-256(tag("committee-announcements") ‖ SHA-256(announcement) of each member in index order). */
export function hashAnnouncements(announcements: readonly Uint8Array[]): Uint8Array {
  return sha256(concatBytes(ANNOUNCEMENTS_TAG, ...announcements.map((bytes) => sha256(bytes))));
}

/** The announcements of members 1 … n, exactly. @throws InvalidInputError */
export function orderAnnouncements(run: CommitteeRun, announcements: ReadonlyMap<number, Uint8Array>): Uint8Array[] {
  const ordered = Array.from({ length: run.size }, (_, position) => {
    const bytes = announcements.get(position + 1);
    if (bytes !== undefined) return bytes;
    throw new InvalidInputError(`the announcement of member ${position + 1} is missing`, { check: "announcements" });
  });
  if (announcements.size === run.size) return ordered;
  throw new InvalidInputError(`${announcements.size} announcements for ${run.size} members`, {
    check: "announcements",
  });
}

/** Runs a check of a message; what is wrong with it becomes the sender's fault. @throws CommitteeFaultError */
export function blame<T>(role: Role, index: number, what: string, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    const isFault =
      cause instanceof InvalidPointError || cause instanceof InvalidScalarError || cause instanceof InvalidProofError;
    if (!isFault) throw cause;
    const { code, check: failed = "encoding" } = cause;
    throw new CommitteeFaultError(index, `sent ${what}: ${cause.message}`, {
      code,
      check: failed,
      cause,
      role,
      ...LEAVE_OUT,
    });
  }
}

/** Reads a message whose length follows from the run. */
class MessageReader {
  readonly #role: Role;
  readonly #index: number;
  readonly #bytes: Uint8Array;
  readonly #proofAt: number;
  #offset = HEAD_BYTES;

  /** @throws CommitteeFaultError when version, length or head are not those of this sender in this run */
  constructor(
    run: CommitteeRun,
    role: Role,
    index: number,
    what: string,
    bytes: Uint8Array,
    bodyBytes: number,
    secrets: number,
  ) {
    this.#role = role;
    this.#index = index;
    this.#bytes = bytes;
    this.#proofAt = HEAD_BYTES + bodyBytes;
    const [version] = bytes;
    if (version !== undefined && version !== COMMITTEE_MESSAGE_VERSION) {
      const cause = new UnknownVersionError(`committee ${what}`, version, [COMMITTEE_MESSAGE_VERSION]);
      throw new CommitteeFaultError(index, "speaks another version of the protocol", {
        code: "UNKNOWN_VERSION",
        check: "version",
        role,
        cause,
      });
    }
    const expectedBytes = this.#proofAt + relationProofBytes(secrets);
    if (bytes.length !== expectedBytes) {
      throw this.fault(`sent a ${what} of ${bytes.length} instead of ${expectedBytes} bytes`, `${what} length`);
    }
    const head = encodeHead(run, index);
    if (head.some((byte, position) => byte !== bytes[position])) {
      throw this.fault(`sent a ${what} of another committee, generation, size, threshold or ${role}`, `${what} head`);
    }
  }

  take(length: number): Uint8Array {
    this.#offset += length;
    return this.#bytes.slice(this.#offset - length, this.#offset);
  }

  matches(expected: Uint8Array): boolean {
    const found = this.take(expected.length);
    return found.every((byte, position) => byte === expected[position]);
  }

  rest(): { statement: Uint8Array; proof: Uint8Array } {
    return { statement: this.#bytes.slice(0, this.#proofAt), proof: this.#bytes.slice(this.#proofAt) };
  }

  fault(problem: string, check: string, hint: string = LEAVE_OUT.hint): CommitteeFaultError {
    return new CommitteeFaultError(this.#index, problem, { code: "BAD_RESPONSE", check, role: this.#role, hint });
  }
}
