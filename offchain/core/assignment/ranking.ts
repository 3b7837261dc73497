/**
 * Weighted rendezvous hashing: an order of candidates that anybody computes from their hashes and weights alone.
 *
 * Each candidate has a draw, a uniform hash. With U = draw / 2^256 in (0, 1), −log2(U) is exponentially distributed,
 * and so is the score −log2(U) / weight, with a rate in proportion to the weight. The least score comes first: a
 * candidate is first with probability weight / (sum of weights), and the order of the others is that of a race without
 * it. No score depends on another candidate, so whoever joins, leaves or changes its weight moves nobody but itself.
 *
 * Integers only, so that contracts/libraries/Rendezvous.sol computes the same order. The logarithm has 64 fractional
 * bits; scores are compared as fractions, by cross multiplication, without rounding. Bias: the logarithm is too large
 * by less than 2^-63, and U has a step of 2^-127, which moves its logarithm by more than 2^-64 with a probability below
 * 2^-61. Two candidates whose exact scores differ by d(1/w1 + 1/w2) or less may be swapped, which has a probability
 * below d whatever their weights are. So a pair is swapped with a probability below 2^-60, and a member of a
 * committee of 32 is first with a probability within 2^-55 of its part of the stakes.
 */

/** What a candidate is ranked by. */
export interface Candidate {
  /** A uniform hash, 256 bits. */
  readonly draw: bigint;
  /** At least 0, below 2^128. 0: behind all others. */
  readonly weight: bigint;
}

/** Bits of a draw that count, for all but ties. */
const DRAW_BITS = 127n;
const FRACTION_BITS = 64;
const MANTISSA_BITS = 128n;
const MANTISSA_TOP = 1n << (MANTISSA_BITS - 1n);

/**
 * −log2 of the first 127 bits of a draw, read as the middle of their interval, in units of 2^-64: 1 to 2^71. By
 * repeated squaring, one bit after the other. Decreases, not strictly, with the draw.
 */
export function surprisal(draw: bigint): bigint {
  let mantissa = ((draw >> (256n - DRAW_BITS)) << 1n) | 1n;
  let log = MANTISSA_BITS - 1n;
  while (mantissa < MANTISSA_TOP) {
    mantissa <<= 1n;
    log -= 1n;
  }
  for (let bit = 0; bit < FRACTION_BITS; bit += 1) {
    mantissa = (mantissa * mantissa) >> (MANTISSA_BITS - 1n);
    const carry = mantissa >> MANTISSA_BITS;
    mantissa >>= carry;
    log = (log << 1n) | carry;
  }
  return (MANTISSA_BITS << BigInt(FRACTION_BITS)) - log;
}

/** The items by ascending surprisal / weight; among equals, and among those without weight, by descending draw. */
export function ranked<Item>(items: readonly Item[], candidateOf: (item: Item) => Candidate): Item[] {
  return items
    .map((item) => {
      const { draw, weight } = candidateOf(item);
      return { item, draw, weight, surprisal: surprisal(draw) };
    })
    .sort((a, b) => compare(a.surprisal * b.weight, b.surprisal * a.weight) || compare(b.draw, a.draw))
    .map(({ item }) => item);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b);
}
