/**
 * The first step of a run: each new member makes a key pair to receive shares with, for this run only, and announces
 * the public half. Dealings are public, so a long-term key would undo refreshing: whoever recorded the dealings of all
 * generations could open the shares of each with node keys that are stolen at different times.
 *
 * The proof of possession makes sure that the member can open what is sealed to it, and binds the key to the run.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { InvalidInputError, UnknownVersionError } from "../errors.ts";
import { checkElement, checkScalar, multiplyBase, randomScalar, SCALAR_BYTES } from "../oprf/group.ts";
import { itemAt } from "../oprf/prime-order-group.ts";
import { proveRelations, type RelationStatement, verifyRelations } from "../oprf/relation-proof.ts";
import {
  blame,
  COMMITTEE_MESSAGE_VERSION,
  decodeAnnouncement,
  encodeHead,
  HEAD_BYTES,
  hashAnnouncements,
  orderAnnouncements,
} from "./messages.ts";
import { type CommitteeRun, checkIndex } from "./run.ts";

export interface MemberBeginning {
  /** head ‖ p. To be persisted, sealed, before the announcement leaves, and erased when the run is over. */
  readonly secret: Uint8Array;
  /** For all members and dealers. */
  readonly announcement: Uint8Array;
}

/**
 * Makes the key pair of a new member.
 * @throws InvalidInputError for a position that the generation does not have
 */
export function announceMember(run: CommitteeRun, member: number): MemberBeginning {
  checkIndex(member, run.size, "member");
  const head = encodeHead(run, member);
  const privateKey = randomScalar();
  const statement = concatBytes(head, multiplyBase(privateKey));
  const proof = proveRelations(possession(statement), [privateKey]);
  const secret = concatBytes(head, privateKey);
  privateKey.fill(0);
  return { secret, announcement: concatBytes(statement, proof) };
}

/** The checked announcements of all members: what dealers deal to. */
export class RunMembers {
  readonly run: CommitteeRun;
  /** P of member i at position i − 1. */
  readonly receivingKeys: readonly Uint8Array[];
  /** Hash of the announcements, which every dealing names. */
  readonly announced: Uint8Array;

  /**
   * @param announcements of members 1 … n, exactly; the transport has checked who signed them
   * @throws CommitteeFaultError naming the member whose announcement is malformed or has no valid proof
   * @throws InvalidInputError when some are missing
   */
  constructor(run: CommitteeRun, announcements: ReadonlyMap<number, Uint8Array>) {
    const ordered = orderAnnouncements(run, announcements);
    this.run = run;
    this.announced = hashAnnouncements(ordered);
    this.receivingKeys = ordered.map((bytes, position) => {
      const member = position + 1;
      const { statement, receivingKey, proof } = decodeAnnouncement(run, member, bytes);
      blame("member", member, "a bad announcement", () => {
        checkElement(receivingKey, "receiving key");
        verifyRelations(possession(statement), proof);
      });
      return receivingKey;
    });
  }
}

/**
 * p of a member, from its state.
 * @returns a copy, which the caller wipes
 * @throws InvalidInputError when the state is of another run or member, or not that of the announcement
 */
export function receivingSecret(members: RunMembers, member: number, secret: Uint8Array): Uint8Array {
  const { run, receivingKeys } = members;
  checkIndex(member, run.size, "member");
  if (secret[0] !== undefined && secret[0] !== COMMITTEE_MESSAGE_VERSION) {
    throw new UnknownVersionError("receiving key", secret[0], [COMMITTEE_MESSAGE_VERSION]);
  }
  const isOfRun =
    secret.length === HEAD_BYTES + SCALAR_BYTES && equalBytes(encodeHead(run, member), secret.subarray(0, HEAD_BYTES));
  if (!isOfRun) {
    throw new InvalidInputError("the receiving key is not of this run and member", { check: "receiving key" });
  }
  const privateKey = secret.slice(HEAD_BYTES);
  checkScalar(privateKey, "receiving key");
  if (equalBytes(multiplyBase(privateKey), itemAt(receivingKeys, member - 1))) return privateKey;
  privateKey.fill(0);
  throw new InvalidInputError("the receiving key is not that of the announcement", { check: "receiving key" });
}

/** Knowledge of p with P = p·G; P ends the statement. */
function possession(statement: Uint8Array): RelationStatement {
  const element = statement.subarray(HEAD_BYTES);
  return { label: "committee-announcement", context: statement, relations: [[{ element }]] };
}
