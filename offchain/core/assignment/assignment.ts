/**
 * Which members of a committee serve a user: all of them, in an order by weighted rendezvous hashing (ranking.ts) that
 * is drawn anew for each user and epoch. The first k are the user's quorum; a client that cannot reach one goes on with
 * the next, so there is nothing to agree upon. `NodeRegistry.assignedNodes` gives the same order.
 *
 *   draw   = keccak(keccak("tallystick/v2/assignment") ‖ committee id ‖ epoch ‖ user ‖ operator), 32 bytes each
 *   weight = the operator's stake; 0 when it has asked to leave or has left
 *   epoch  = ⌊unix seconds / 86,400⌋
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { bigEndianToInteger, integerToBigEndian } from "../audit/field.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { ranked } from "./ranking.ts";

/** `NodeRegistry.ASSIGNMENT_EPOCH_SECONDS`. */
export const ASSIGNMENT_EPOCH_SECONDS = 86_400;
const WORD_BYTES = 32;
const TAG = keccak_256(new TextEncoder().encode("tallystick/v2/assignment"));

/** Who is served, and when. */
export interface Assignment {
  readonly committeeId: bigint;
  /** Address of the user's account. */
  readonly user: string;
  readonly epoch: number;
}

/** What the order of a member depends on. */
export interface AssignableMember {
  readonly operator: string;
  /** 0 when the operator has left. */
  readonly stakeWei: bigint;
  /** Unix seconds from which its stake may be gone; 0 while it stays. */
  readonly exitAt: number;
}

/** Number of the epoch at a time. @param unixSeconds at least 0, also with a fraction */
export function assignmentEpoch(unixSeconds: number): number {
  return Math.floor(unixSeconds / ASSIGNMENT_EPOCH_SECONDS);
}

/**
 * The members in the order in which the user asks them.
 * @param members with distinct operators, in any order
 * @throws InvalidInputError when an address is none
 */
export function assignedOrder<Member extends AssignableMember>(
  { committeeId, user, epoch }: Assignment,
  members: readonly Member[],
): Member[] {
  const prefix = concatBytes(TAG, word(committeeId), word(BigInt(epoch)), addressWord(user, "user"));
  return ranked(members, ({ operator, stakeWei, exitAt }) => ({
    draw: bigEndianToInteger(keccak_256(concatBytes(prefix, addressWord(operator, "operator")))),
    weight: exitAt === 0 ? stakeWei : 0n,
  }));
}

function word(value: bigint): Uint8Array {
  return integerToBigEndian(value, WORD_BYTES);
}

function addressWord(address: string, what: string): Uint8Array {
  return concatBytes(new Uint8Array(WORD_BYTES - ADDRESS_BYTES), fromHex(address, ADDRESS_BYTES, what));
}
