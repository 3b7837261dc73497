/**
 * Whether a proof that the chain took proves what the terms of its set ask for. Everything is computed again from what
 * the transaction brought and what earlier events fixed; nothing is taken from the contract's verdict.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import type { DataSetProof } from "../chain/escrow-calls.ts";
import { auditKeyHash } from "../core/audit/keys.ts";
import { decodeAnswer } from "../core/audit/proof.ts";
import { type AuditAnswer, verifyPublic, verifyPublicMany } from "../core/audit/verifier.ts";
import { challengeSeed, windowsOf } from "../core/data-set/epochs.ts";
import { decodeLiveRanges } from "../core/data-set/ranges.ts";
import { decodeSchedule, levelAt } from "../core/data-set/schedule.ts";
import { auditTermsHash } from "../core/data-set/terms.ts";
import { toHex } from "../core/encoding/hex.ts";
import { TallystickError } from "../core/errors.ts";

/** The chain and contract that a proof is for. */
export interface EscrowPlace {
  readonly chainId: bigint;
  readonly escrow: string;
  readonly epochBlocks: number;
}

/** What is known of an epoch besides the proof. */
export interface ProofContext {
  readonly id: string;
  readonly epoch: number;
  /** Block of the proof. */
  readonly blockNumber: number;
  /** The newest schedule before the proof, encoded. */
  readonly schedule: Uint8Array;
  /** Of an open dispute; undefined in mode every-epoch. */
  readonly disputedBlock: number | undefined;
}

/** What a proof failed: the reason of an alarm. */
export type Failure = string;

/**
 * The block whose randomness a proof answers to.
 * @returns undefined for a proof on demand without a dispute
 */
export function challengeBlockOf(
  { terms, audit }: Pick<DataSetProof, "terms" | "audit">,
  { epoch, disputedBlock }: Pick<ProofContext, "epoch" | "disputedBlock">,
  epochBlocks: number,
): number | undefined {
  if (terms.mode === "on-demand") return disputedBlock;
  return windowsOf({ epochBlocks, ...audit }, epoch).challengeBlock;
}

/**
 * What a proof claims, ready for verification.
 * @param randomness of the challenge block, 32 bytes
 * @returns a failure when the claim is not one of this set and epoch
 */
export function claimOf(
  proof: DataSetProof,
  context: ProofContext,
  place: EscrowPlace,
  challengeBlock: number,
  randomness: Uint8Array,
): AuditAnswer | Failure {
  const { terms, audit } = proof;
  try {
    if (auditTermsHash(audit) !== terms.auditHash) return "audit terms are not those of the set";
    if (toHex(proof.schedule) !== toHex(context.schedule)) return "schedule is not the newest one";
    const level = levelAt(decodeSchedule(proof.schedule), context.epoch);
    if (level === undefined) return `schedule has no level of epoch ${context.epoch}`;
    if (toHex(keccak_256(proof.ranges)) !== level.rangesHash) return "live ranges are not those of the level";
    const lastBlock = challengeBlock + audit.windowBlocks + audit.graceBlocks;
    if (context.blockNumber <= challengeBlock || context.blockNumber > lastBlock) {
      return `block ${context.blockNumber} is outside the window of ${challengeBlock} to ${lastBlock}`;
    }
    const { key, proof: answer } = decodeAnswer(proof.answer);
    if (toHex(auditKeyHash(key)) !== audit.keyHash) return "audit key is not that of the terms";
    const seed = challengeSeed(place.chainId, place.escrow, context.id, challengeBlock, randomness);
    const { sampleCount } = audit;
    return { key, challenge: { seed, sampleCount, ranges: decodeLiveRanges(proof.ranges) }, proof: answer };
  } catch (error) {
    return failureOf(error);
  }
}

/**
 * Verifies claims, all at once and, where that fails, one by one.
 * @returns for each claim undefined when it holds
 */
export function verifyClaims(claims: readonly AuditAnswer[]): (Failure | undefined)[] {
  try {
    if (claims.length > 0) verifyPublicMany(claims);
    return claims.map(() => undefined);
  } catch (error) {
    failureOf(error);
    return claims.map(({ key, challenge, proof }) => {
      try {
        verifyPublic(key, challenge, proof);
        return undefined;
      } catch (cause) {
        return failureOf(cause);
      }
    });
  }
}

/** Malformed values are failures of the proof; anything else is a defect here. */
function failureOf(error: unknown): Failure {
  if (!(error instanceof TallystickError)) throw error;
  return error.check === undefined ? error.message : `${error.message}: ${error.check}`;
}
