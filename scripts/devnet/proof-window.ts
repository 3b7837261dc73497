/** How long a provider of a devnet has for a proof. */

/**
 * Blocks of one second in which a set of the longest slices can be proven, 32,768 elements each, though all 460 draws
 * are of different objects; see `provingMilliseconds` of the provider.
 */
const LONG_SLICE_BLOCKS = 16;

/**
 * A third of an epoch, or as many blocks as long slices need when that is more and the epoch has room: late proofs
 * count half as long again.
 */
export function proofWindowBlocks(epochBlocks: number): number {
  const room = Math.floor((epochBlocks * 8) / 15);
  return Math.max(1, Math.floor(epochBlocks / 3), Math.min(LONG_SLICE_BLOCKS, room));
}
