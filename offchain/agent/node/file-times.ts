/**
 * Modification times to the precision Node offers. Its calls take seconds as a double, which at today's dates steps by
 * 238 ns: the time set is the next representable one at or after the wanted one, so that seconds and milliseconds come
 * out right.
 */

const NANOS_PER_SECOND = 1_000_000_000n;
const NANOS_PER_MILLISECOND = 1_000_000n;
const NANOS_PER_MICROSECOND = 1_000n;

/**
 * The time that is stored: cut to microseconds (milliseconds before 1970), which every later restore can set and read
 * again. So a restored tree that is put again has the same metadata and uploads nothing.
 */
export function storedTime(nanos: bigint): bigint {
  const unit = nanos < 0n ? NANOS_PER_MILLISECOND : NANOS_PER_MICROSECOND;
  return nanos - (((nanos % unit) + unit) % unit);
}

/** The argument for `utimes`: a number, or a Date before 1970, where Node takes no number. */
export function timeArgument(nanos: bigint): number | Date {
  if (nanos < 0n) return new Date(Number(nanos / NANOS_PER_MILLISECOND));
  let seconds = Number(nanos / NANOS_PER_SECOND) + Number(nanos % NANOS_PER_SECOND) / 1e9;
  // Truncation further down must not lead below the wanted time.
  while (asNanos(seconds) < nanos) seconds = nextUp(seconds);
  return seconds;
}

/** What the system makes of a double: whole seconds, and nanoseconds cut off. */
function asNanos(seconds: number): bigint {
  const whole = Math.floor(seconds);
  return BigInt(whole) * NANOS_PER_SECOND + BigInt(Math.floor((seconds - whole) * 1e9));
}

function nextUp(value: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  view.setBigUint64(0, view.getBigUint64(0) + 1n);
  return view.getFloat64(0);
}
