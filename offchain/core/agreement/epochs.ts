/**
 * Epochs of an agreement in blocks, as `StorageEscrow` counts them. Epoch e opens at its challenge block, `start + e
 * · epochBlocks`. Its proof counts in the blocks after that one, up to and with the deadline, `windowBlocks` later. A
 * miss can be reported in any block after the deadline.
 */

/** The fields of an agreement's terms that fix its epochs. Blocks are below 2^53. */
export interface EpochSchedule {
  readonly startBlock: number | bigint;
  readonly epochBlocks: number;
  /** At most `epochBlocks`. */
  readonly windowBlocks: number;
  /** At least 1. */
  readonly epochs: number;
}

export interface EpochWindow {
  readonly epoch: number;
  /** The challenge block: its randomness is known from the next block on. */
  readonly openBlock: number;
  /** The last block in which a proof counts. */
  readonly deadlineBlock: number;
}

/** Where the window of an epoch lies. */
export function windowOf(schedule: Omit<EpochSchedule, "epochs">, epoch: number): EpochWindow {
  const openBlock = Number(schedule.startBlock) + epoch * schedule.epochBlocks;
  return { epoch, openBlock, deadlineBlock: openBlock + schedule.windowBlocks };
}

/** Number of epochs whose challenge block is not after `headBlock`. */
export function epochsBegun(schedule: EpochSchedule, headBlock: number): number {
  const passed = headBlock - Number(schedule.startBlock);
  return passed < 0 ? 0 : Math.min(schedule.epochs, Math.floor(passed / schedule.epochBlocks) + 1);
}

/**
 * Number of epochs in which a transaction sent at `headBlock`, mined in the next block at the earliest, comes too
 * late.
 */
export function epochsOver(schedule: EpochSchedule, headBlock: number): number {
  const passed = headBlock - Number(schedule.startBlock) - schedule.windowBlocks;
  return passed < 0 ? 0 : Math.min(schedule.epochs, Math.floor(passed / schedule.epochBlocks) + 1);
}

/** The epoch whose window contains a block: a proof mined there counts for it. Undefined between windows. */
export function epochAt(schedule: EpochSchedule, block: number): number | undefined {
  const epoch = epochsBegun(schedule, block - 1) - 1;
  return epoch >= 0 && block <= windowOf(schedule, epoch).deadlineBlock ? epoch : undefined;
}

/** The last block of the last window. */
export function lastWindowEnd(schedule: EpochSchedule): number {
  return windowOf(schedule, schedule.epochs - 1).deadlineBlock;
}
