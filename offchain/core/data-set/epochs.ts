/**
 * Epochs of data sets in blocks. Epoch k begins at block k · epochBlocks for all sets; within it, a set has its
 * challenge block, the window in which a proof earns the fee, and the grace window in which it earns a part.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { fromHex } from "../encoding/hex.ts";
import { addressWord, integerToWord, tagOf, WORD_BYTES } from "./words.ts";

/** The values that fix a set's windows. */
export interface EpochTerms {
  /** Of the escrow. */
  readonly epochBlocks: number;
  readonly phase: number;
  readonly windowBlocks: number;
  readonly graceBlocks: number;
}

export interface EpochWindows {
  readonly epoch: number;
  /** Its randomness is known from the next block on. */
  readonly challengeBlock: number;
  /** Last block in which a proof earns the whole fee. */
  readonly windowEnd: number;
  /** Last block in which a proof counts. A miss can be reported in the blocks behind it. */
  readonly graceEnd: number;
  /** Last block in which a miss can be reported. */
  readonly reportEnd: number;
}

/** The epoch of a block. */
export function epochOf(epochBlocks: number, block: number): number {
  return Math.floor(block / epochBlocks);
}

/** Where the windows of an epoch lie. */
export function windowsOf(terms: EpochTerms, epoch: number): EpochWindows {
  const challengeBlock = epoch * terms.epochBlocks + terms.phase;
  const windowEnd = challengeBlock + terms.windowBlocks;
  return {
    epoch,
    challengeBlock,
    windowEnd,
    graceEnd: windowEnd + terms.graceBlocks,
    reportEnd: (epoch + 2) * terms.epochBlocks - 1,
  };
}

/**
 * Where the windows of a dispute lie: they begin with its challenge block, whatever the phase, and may reach into the
 * next epoch. An answer in the grace window earns the whole fee as well.
 */
export function disputeWindowsOf(terms: Omit<EpochTerms, "phase">, challengeBlock: number): EpochWindows {
  const { epochBlocks } = terms;
  return windowsOf({ ...terms, phase: challengeBlock % epochBlocks }, epochOf(epochBlocks, challengeBlock));
}

/**
 * Whether sets in mode `on-demand` can be disputed in about half of an epoch. A dispute challenges the first block of
 * the source's grid behind the block after it, which must be in the epoch of the dispute: the last `gridBlocks + 1`
 * blocks of each epoch are closed.
 */
export function canBeDisputed(epochBlocks: number, gridBlocks: number): boolean {
  return gridBlocks <= epochBlocks / 2;
}

const SEED_TAG = tagOf("challenge-seed");

/**
 * The seed that a proof answers: it binds chain, escrow, set and challenge block.
 * @param randomness of the challenge block, 32 bytes
 * @returns 32 bytes
 */
export function challengeSeed(
  chainId: bigint,
  escrow: string,
  id: string,
  challengeBlock: number,
  randomness: Uint8Array,
): Uint8Array {
  return keccak_256(
    concatBytes(
      SEED_TAG,
      integerToWord(chainId, 256, "chain id"),
      addressWord(escrow, "escrow"),
      fromHex(id, WORD_BYTES, "data set id"),
      integerToWord(challengeBlock, 64, "challenge block"),
      randomness,
    ),
  );
}
