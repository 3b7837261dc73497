/**
 * Gear kernel of the chunker, for AssemblyScript: rolls the fingerprint over a window of input until its masked bits
 * are zero. The loader, kernels/gear.ts, writes table and window; offsets are shared with it.
 */

/** 256 words of 32 bits. */
const TABLE: usize = 1024;
/** 64 KiB of input. */
const WINDOW: usize = 4096;

/** Fingerprint after the last byte of a window in which nothing was found. */
export let fingerprint: u32 = 0;

/**
 * Rolls a fingerprint over the first `length` bytes of the window.
 * @returns the number of bytes up to and including the first at which the masked bits are zero, or 0 if there is none
 */
export function roll(length: usize, mask: u32, start: u32): usize {
  let hash = start;
  let at = WINDOW;
  const end = WINDOW + length;
  const lastEight = end - (length & 7);
  // Eight bytes in one load, and unrolled: the table is in the first-level cache, so the additions bound the loop.
  for (; at < lastEight; at += 8) {
    const word = load<u64>(at);
    hash = (hash << 1) + load<u32>(TABLE + ((<usize>word & 0xff) << 2));
    if ((hash & mask) == 0) return at - WINDOW + 1;
    hash = (hash << 1) + load<u32>(TABLE + ((<usize>(word >> 8) & 0xff) << 2));
    if ((hash & mask) == 0) return at - WINDOW + 2;
    hash = (hash << 1) + load<u32>(TABLE + ((<usize>(word >> 16) & 0xff) << 2));
    if ((hash & mask) == 0) return at - WINDOW + 3;
    hash = (hash << 1) + load<u32>(TABLE + ((<usize>(word >> 24) & 0xff) << 2));
    if ((hash & mask) == 0) return at - WINDOW + 4;
    hash = (hash << 1) + load<u32>(TABLE + ((<usize>(word >> 32) & 0xff) << 2));
    if ((hash & mask) == 0) return at - WINDOW + 5;
    hash = (hash << 1) + load<u32>(TABLE + ((<usize>(word >> 40) & 0xff) << 2));
    if ((hash & mask) == 0) return at - WINDOW + 6;
    hash = (hash << 1) + load<u32>(TABLE + ((<usize>(word >> 48) & 0xff) << 2));
    if ((hash & mask) == 0) return at - WINDOW + 7;
    hash = (hash << 1) + load<u32>(TABLE + (<usize>(word >> 56) << 2));
    if ((hash & mask) == 0) return at - WINDOW + 8;
  }
  for (; at < end; at++) {
    hash = (hash << 1) + load<u32>(TABLE + (<usize>load<u8>(at) << 2));
    if ((hash & mask) == 0) return at - WINDOW + 1;
  }
  fingerprint = hash;
  return 0;
}
