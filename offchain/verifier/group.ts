/**
 * How the verifiers of a group share the work without talking to each other: each knows the ids of all, and computes
 * the same ranking for each duty. The first acts at once, each further one a few blocks later if the chain does not
 * show by then that the duty is done. So the end of any of them delays a verdict and loses none.
 */

import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { ranked } from "../core/assignment/ranking.ts";
import { bigEndianToInteger, integerToBigEndian } from "../core/audit/field.ts";
import { fromHex } from "../core/encoding/hex.ts";

/** What one verifier has to do, once: a report, or the check of a proof. */
export interface Duty {
  /** Id of the data set, 0x hex. */
  readonly dataSet: string;
  readonly epoch: number;
}

/** What a set did in the epochs before a duty. */
export interface Activity {
  /** New schedules in the last `ACTIVITY_EPOCHS` epochs. */
  readonly updates: number;
  /** Epochs proven in them. */
  readonly proofs: number;
  readonly liveBytes: number;
}

/** Epochs that count as lately. */
export const ACTIVITY_EPOCHS = 30;
/** A set of this size is checked by all: it has the most to lose. */
export const LARGE_BYTES = 2 ** 40;
/** An update weighs as much as so many proofs. */
const UPDATE_WEIGHT = 10;

/**
 * The members in the order in which they act: by descending SHA-256(id ‖ data set ‖ epoch), the id in UTF-8, the data
 * set in 32 bytes, the epoch in 8, most significant first (rendezvous hashing). When a member leaves, only its own
 * duties move.
 * @param members ids, each once, in any order
 */
export function rankingOf(members: readonly string[], { dataSet, epoch }: Duty): string[] {
  const duty = concatBytes(fromHex(dataSet, 32, "data set id"), integerToBigEndian(BigInt(epoch), 8));
  return ranked(members, (id) => ({
    draw: bigEndianToInteger(sha256(concatBytes(new TextEncoder().encode(id), duty))),
    weight: 1n,
  }));
}

/** Position of a member for a duty, from 0. */
export function rankOf(members: readonly string[], self: string, duty: Duty): number {
  return rankingOf(members, duty).indexOf(self);
}

/**
 * How many members check a proof at once; the others do so later, unless one of these says that it has.
 * `LARGE_BYTES` or more: all. Else two when updates · 10 + proofs of the last 30 epochs exceed 30, which is more than a
 * proof in every epoch: an update then, or several. Else one.
 */
export function checkersOf({ updates, proofs, liveBytes }: Activity, members: number): number {
  if (liveBytes >= LARGE_BYTES) return members;
  return Math.min(members, updates * UPDATE_WEIGHT + proofs > ACTIVITY_EPOCHS ? 2 : 1);
}

/**
 * The block at which a member may act.
 * @param from the first block in which the duty can be done
 * @param together how many of the first members act at once
 */
export function dueBlock(from: number, rank: number, takeoverBlocks: number, together = 1): number {
  return from + Math.max(0, rank - together + 1) * takeoverBlocks;
}
