/** Epochs of a devnet, and how long its provider has for a proof in each. */

/**
 * With a block in each second, so that changes can be watched, and yet long enough for sets of the longest slices
 * (32,768 elements, which take more than five seconds): the provider promises half of a window only.
 */
export const DEVNET_EPOCH_BLOCKS = 60;

/** A third of an epoch; late proofs count half as long again. */
export function proofWindowBlocks(epochBlocks: number): number {
  return Math.max(1, Math.floor(epochBlocks / 3));
}
