/**
 * How many states of a set the provider signs and sends in an epoch. A state counts from the next epoch on, and
 * replaces the earlier ones, so that one transaction at the end of an epoch brings all of them onto the chain. The
 * first ones are sent at once; the last one that may be sent is kept until the end of the epoch is near. Without a
 * limit, a user who signs one state after the other could have the provider pay gas for ever.
 */
import { TallystickError } from "../../core/errors.ts";

/** Blocks before the end of an epoch in which the last transaction may be sent: ten minutes of Ethereum. */
const BORDER_BLOCKS = 50;

export interface StateLimits {
  /** Most states of a set that are signed in an epoch. */
  readonly statesPerEpoch: number;
  /** Most of them that are sent, at least 2. */
  readonly transactionsPerEpoch: number;
}

/** A block in which a state could be mined, within its epoch. */
export interface EpochPlace {
  readonly epoch: number;
  readonly block: number;
  readonly lastBlock: number;
  /** Whether the end of the epoch is near. */
  readonly isBorder: boolean;
}

export function epochPlaceOf(epochBlocks: number, block: number): EpochPlace {
  const epoch = Math.floor(block / epochBlocks);
  const lastBlock = (epoch + 1) * epochBlocks - 1;
  const borderBlocks = Math.min(BORDER_BLOCKS, Math.ceil(epochBlocks / 4));
  return { epoch, block, lastBlock, isBorder: lastBlock - block < borderBlocks };
}

/** How many states may have been sent in the epoch by now. */
export function sendingLimit({ transactionsPerEpoch }: StateLimits, { isBorder }: EpochPlace): number {
  return isBorder ? transactionsPerEpoch : transactionsPerEpoch - 1;
}

/**
 * The block by which a state is sent that is not sent at once.
 * @param sent how many were sent in the epoch
 * @param leastBlocks of the next epoch, when no more are sent in this one
 */
export function sentByBlock(
  { transactionsPerEpoch }: StateLimits,
  { lastBlock }: EpochPlace,
  sent: number,
  leastBlocks: number,
): number {
  return sent < transactionsPerEpoch ? lastBlock : lastBlock + leastBlocks;
}

/**
 * Refuses a state that expires before the provider would send it.
 * @param sent how many were sent in the epoch
 * @param leastBlocks blocks in which it must be sendable
 * @throws TallystickError RATE_LIMITED
 */
export function requireSendable(
  limits: StateLimits,
  place: EpochPlace,
  sent: number,
  deadlineBlock: number,
  leastBlocks: number,
): void {
  if (sent < sendingLimit(limits, place)) return;
  const least = sentByBlock(limits, place, sent, leastBlocks);
  if (deadlineBlock >= least) return;
  throw new TallystickError("the provider has sent as many states of this data set as it sends in an epoch at once", {
    code: "RATE_LIMITED",
    party: "provider",
    check: "deadline of a state that waits",
    expected: `at least block ${least}`,
    received: String(deadlineBlock),
    hint: "sign the state with a later deadline, or wait for the next epoch",
    retryable: true,
  });
}

export function tooManyStates(
  { statesPerEpoch }: StateLimits,
  place: EpochPlace,
  blockSeconds: number,
): TallystickError {
  return new TallystickError("the provider has signed as many states of this data set as it signs in an epoch", {
    code: "RATE_LIMITED",
    party: "provider",
    check: "states in an epoch",
    expected: `at most ${statesPerEpoch}`,
    hint: `put several changes into one state, or wait for block ${place.lastBlock + 1}`,
    retryable: true,
    retryAfterSeconds: Math.ceil((place.lastBlock + 1 - place.block) * blockSeconds),
    details: { nextEpochBlock: place.lastBlock + 1 },
  });
}
