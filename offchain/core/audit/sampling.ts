/**
 * How many draws an audit needs (Ateniese et al., "Provable Data Possession at Untrusted Stores", section 5.1). Draws
 * are independent and with replacement, so c of them miss a damaged fraction t with probability (1 − t)^c.
 */

/**
 * The fraction of damage that an audit must detect. Among fewer than 100 slices, one damaged slice is a larger
 * fraction.
 */
const DAMAGE = 0.01;
const MISSED = 0.01;
/** 99 % for 1 %, rounded up to the number that the literature quotes. */
const DRAWS_FOR_ONE_PERCENT = 460;

/** @returns draws that find damage of 1 %, or of one slice if that is more, with at least 99 % */
export function drawsFor(sliceCount: number): number {
  if (sliceCount <= 1) return 1;
  if (sliceCount >= 1 / DAMAGE) return DRAWS_FOR_ONE_PERCENT;
  return Math.ceil(Math.log(MISSED) / Math.log(1 - 1 / sliceCount));
}

/** @returns probability that so many draws find damage of 1 %, or of one slice if that is more */
export function detectionProbability(sliceCount: number, draws: number): number {
  return 1 - (1 - Math.max(DAMAGE, 1 / sliceCount)) ** draws;
}
