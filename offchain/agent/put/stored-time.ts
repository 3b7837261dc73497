/** Modification times in the precision that every platform can set and read again. */

const NANOS_PER_MILLISECOND = 1_000_000n;
const NANOS_PER_MICROSECOND = 1_000n;

/**
 * The time that is stored: cut to microseconds (milliseconds before 1970), which every later restore can set and read
 * again. So a restored tree that is put again has the same root recipe and is stored once.
 */
export function storedTime(nanos: bigint): bigint {
  const unit = nanos < 0n ? NANOS_PER_MILLISECOND : NANOS_PER_MICROSECOND;
  const remainder = ((nanos % unit) + unit) % unit;
  return nanos - remainder;
}
