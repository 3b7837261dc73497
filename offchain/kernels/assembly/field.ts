/**
 * Field kernel of the possession audit, for AssemblyScript: the two loops that touch every byte of a slice.
 *
 * Integers are arrays of 29-bit limbs in 64-bit words. A product of two limbs has 58 bits, so several can be summed in
 * a 64-bit column before a carry is due ("lazy reduction"), and nothing is reduced modulo the group order here: the
 * caller reduces one sum per slice, or one per coefficient, with bigints. This needs no Montgomery form.
 *
 * One instance serves either `dotProduct` or `accumulate`, and up to 4096 elements; both read them from SLICE. Offsets
 * are shared with the loader, kernels/field.ts.
 */

/** Where `dotProduct` leaves its 18 columns. */
const RESULT: usize = 512;
/** 126,976 bytes of data; the loads of the last element reach 6 bytes further. */
const SLICE: usize = 1024;
/** 4096 powers of nine 32-bit words, one 29-bit limb in each. */
const POWERS: usize = 131072;
/** 4096 sums of 14 columns of 64 bits. */
const SUMS: usize = 278528;

const ELEMENTS: u32 = 4096;
const ELEMENT_BYTES: usize = 31;
const POWER_BYTES: usize = 36;
const SUM_BYTES: usize = 112;
const LIMB_MASK: u64 = 0x1fffffff;
/** An element has 248 bits: eight limbs of 29 and one of 16. The mask also drops what belongs to the next element. */
const TOP_MASK: u64 = 0xffff;

/**
 * Elements summed between carries: a column gets at most 9 products of 58 bits per element, and 7 · 9 · 2^58 + 2^36 <
 * 2^64.
 */
const ELEMENTS_PER_CARRY: u32 = 7;

/** Slices accumulated between carries: at most 5 products per column and slice, and 8 · 5 · 2^58 + 2^36 < 2^64. */
const SLICES_PER_CARRY: u32 = 8;

let slicesSinceCarry: u32 = 0;

/** Σ_j element_j · power_j over the first elements, as 18 columns of 29 bits at RESULT. */
export function dotProduct(elements: u32): void {
  let c0: u64 = 0, c1: u64 = 0, c2: u64 = 0, c3: u64 = 0, c4: u64 = 0, c5: u64 = 0;
  let c6: u64 = 0, c7: u64 = 0, c8: u64 = 0, c9: u64 = 0, c10: u64 = 0, c11: u64 = 0;
  let c12: u64 = 0, c13: u64 = 0, c14: u64 = 0, c15: u64 = 0, c16: u64 = 0, c17: u64 = 0;
  let element = SLICE;
  let power = POWERS;
  let untilCarry = ELEMENTS_PER_CARRY;
  for (let j: u32 = 0; j < elements; j++) {
    const m0 = (load<u64>(element, 0) >> 0) & LIMB_MASK;
    const m1 = (load<u64>(element, 3) >> 5) & LIMB_MASK;
    const m2 = (load<u64>(element, 7) >> 2) & LIMB_MASK;
    const m3 = (load<u64>(element, 10) >> 7) & LIMB_MASK;
    const m4 = (load<u64>(element, 14) >> 4) & LIMB_MASK;
    const m5 = (load<u64>(element, 18) >> 1) & LIMB_MASK;
    const m6 = (load<u64>(element, 21) >> 6) & LIMB_MASK;
    const m7 = (load<u64>(element, 25) >> 3) & LIMB_MASK;
    const m8 = (load<u64>(element, 29) >> 0) & TOP_MASK;
    let a: u64;
    a = load<u32>(power, 0);
    c0 += m0 * a; c1 += m1 * a; c2 += m2 * a; c3 += m3 * a; c4 += m4 * a;
    c5 += m5 * a; c6 += m6 * a; c7 += m7 * a; c8 += m8 * a;
    a = load<u32>(power, 4);
    c1 += m0 * a; c2 += m1 * a; c3 += m2 * a; c4 += m3 * a; c5 += m4 * a;
    c6 += m5 * a; c7 += m6 * a; c8 += m7 * a; c9 += m8 * a;
    a = load<u32>(power, 8);
    c2 += m0 * a; c3 += m1 * a; c4 += m2 * a; c5 += m3 * a; c6 += m4 * a;
    c7 += m5 * a; c8 += m6 * a; c9 += m7 * a; c10 += m8 * a;
    a = load<u32>(power, 12);
    c3 += m0 * a; c4 += m1 * a; c5 += m2 * a; c6 += m3 * a; c7 += m4 * a;
    c8 += m5 * a; c9 += m6 * a; c10 += m7 * a; c11 += m8 * a;
    a = load<u32>(power, 16);
    c4 += m0 * a; c5 += m1 * a; c6 += m2 * a; c7 += m3 * a; c8 += m4 * a;
    c9 += m5 * a; c10 += m6 * a; c11 += m7 * a; c12 += m8 * a;
    a = load<u32>(power, 20);
    c5 += m0 * a; c6 += m1 * a; c7 += m2 * a; c8 += m3 * a; c9 += m4 * a;
    c10 += m5 * a; c11 += m6 * a; c12 += m7 * a; c13 += m8 * a;
    a = load<u32>(power, 24);
    c6 += m0 * a; c7 += m1 * a; c8 += m2 * a; c9 += m3 * a; c10 += m4 * a;
    c11 += m5 * a; c12 += m6 * a; c13 += m7 * a; c14 += m8 * a;
    a = load<u32>(power, 28);
    c7 += m0 * a; c8 += m1 * a; c9 += m2 * a; c10 += m3 * a; c11 += m4 * a;
    c12 += m5 * a; c13 += m6 * a; c14 += m7 * a; c15 += m8 * a;
    a = load<u32>(power, 32);
    c8 += m0 * a; c9 += m1 * a; c10 += m2 * a; c11 += m3 * a; c12 += m4 * a;
    c13 += m5 * a; c14 += m6 * a; c15 += m7 * a; c16 += m8 * a;
    if (--untilCarry == 0 || j == elements - 1) {
      untilCarry = ELEMENTS_PER_CARRY;
      c1 += c0 >> 29; c0 &= LIMB_MASK;
      c2 += c1 >> 29; c1 &= LIMB_MASK;
      c3 += c2 >> 29; c2 &= LIMB_MASK;
      c4 += c3 >> 29; c3 &= LIMB_MASK;
      c5 += c4 >> 29; c4 &= LIMB_MASK;
      c6 += c5 >> 29; c5 &= LIMB_MASK;
      c7 += c6 >> 29; c6 &= LIMB_MASK;
      c8 += c7 >> 29; c7 &= LIMB_MASK;
      c9 += c8 >> 29; c8 &= LIMB_MASK;
      c10 += c9 >> 29; c9 &= LIMB_MASK;
      c11 += c10 >> 29; c10 &= LIMB_MASK;
      c12 += c11 >> 29; c11 &= LIMB_MASK;
      c13 += c12 >> 29; c12 &= LIMB_MASK;
      c14 += c13 >> 29; c13 &= LIMB_MASK;
      c15 += c14 >> 29; c14 &= LIMB_MASK;
      c16 += c15 >> 29; c15 &= LIMB_MASK;
      c17 += c16 >> 29; c16 &= LIMB_MASK;
    }
    element += ELEMENT_BYTES;
    power += POWER_BYTES;
  }
  store<u64>(RESULT, c0, 0);
  store<u64>(RESULT, c1, 8);
  store<u64>(RESULT, c2, 16);
  store<u64>(RESULT, c3, 24);
  store<u64>(RESULT, c4, 32);
  store<u64>(RESULT, c5, 40);
  store<u64>(RESULT, c6, 48);
  store<u64>(RESULT, c7, 56);
  store<u64>(RESULT, c8, 64);
  store<u64>(RESULT, c9, 72);
  store<u64>(RESULT, c10, 80);
  store<u64>(RESULT, c11, 88);
  store<u64>(RESULT, c12, 96);
  store<u64>(RESULT, c13, 104);
  store<u64>(RESULT, c14, 112);
  store<u64>(RESULT, c15, 120);
  store<u64>(RESULT, c16, 128);
  store<u64>(RESULT, c17, 136);
}

/** Adds weight · element_j to sum j, for the first elements. The weight has 128 bits, as five limbs of 29. */
export function accumulate(elements: u32, w0: u64, w1: u64, w2: u64, w3: u64, w4: u64): void {
  let element = SLICE;
  let column = SUMS;
  for (let j: u32 = 0; j < elements; j++) {
    const m0 = (load<u64>(element, 0) >> 0) & LIMB_MASK;
    const m1 = (load<u64>(element, 3) >> 5) & LIMB_MASK;
    const m2 = (load<u64>(element, 7) >> 2) & LIMB_MASK;
    const m3 = (load<u64>(element, 10) >> 7) & LIMB_MASK;
    const m4 = (load<u64>(element, 14) >> 4) & LIMB_MASK;
    const m5 = (load<u64>(element, 18) >> 1) & LIMB_MASK;
    const m6 = (load<u64>(element, 21) >> 6) & LIMB_MASK;
    const m7 = (load<u64>(element, 25) >> 3) & LIMB_MASK;
    const m8 = (load<u64>(element, 29) >> 0) & TOP_MASK;
    store<u64>(column, load<u64>(column, 0) + m0 * w0, 0);
    store<u64>(column, load<u64>(column, 8) + m0 * w1 + m1 * w0, 8);
    store<u64>(column, load<u64>(column, 16) + m0 * w2 + m1 * w1 + m2 * w0, 16);
    store<u64>(column, load<u64>(column, 24) + m0 * w3 + m1 * w2 + m2 * w1 + m3 * w0, 24);
    store<u64>(column, load<u64>(column, 32) + m0 * w4 + m1 * w3 + m2 * w2 + m3 * w1 + m4 * w0, 32);
    store<u64>(column, load<u64>(column, 40) + m1 * w4 + m2 * w3 + m3 * w2 + m4 * w1 + m5 * w0, 40);
    store<u64>(column, load<u64>(column, 48) + m2 * w4 + m3 * w3 + m4 * w2 + m5 * w1 + m6 * w0, 48);
    store<u64>(column, load<u64>(column, 56) + m3 * w4 + m4 * w3 + m5 * w2 + m6 * w1 + m7 * w0, 56);
    store<u64>(column, load<u64>(column, 64) + m4 * w4 + m5 * w3 + m6 * w2 + m7 * w1 + m8 * w0, 64);
    store<u64>(column, load<u64>(column, 72) + m5 * w4 + m6 * w3 + m7 * w2 + m8 * w1, 72);
    store<u64>(column, load<u64>(column, 80) + m6 * w4 + m7 * w3 + m8 * w2, 80);
    store<u64>(column, load<u64>(column, 88) + m7 * w4 + m8 * w3, 88);
    store<u64>(column, load<u64>(column, 96) + m8 * w4, 96);
    element += ELEMENT_BYTES;
    column += SUM_BYTES;
  }
  if (++slicesSinceCarry == SLICES_PER_CARRY) carrySums();
}

/** Carries every sum, so that each column holds 29 bits. */
export function carrySums(): void {
  slicesSinceCarry = 0;
  for (let j: u32 = 0; j < ELEMENTS; j++) {
    let carry: u64 = 0;
    const first = SUMS + <usize>j * SUM_BYTES;
    for (let column = first; column < first + SUM_BYTES; column += 8) {
      carry += load<u64>(column);
      store<u64>(column, carry & LIMB_MASK);
      carry >>= 29;
    }
  }
}
