/**
 * Unsigned integers as fixed-length byte strings, most significant byte first: the only encoders of the project's
 * layouts.
 */

import { InvalidInputError } from "../errors.ts";

/** @throws InvalidInputError unless the value is an integer from 0 to 2^16 − 1 */
export function u16be(value: number): Uint8Array {
  checkInteger(value, 16);
  const bytes = new Uint8Array(2);
  new DataView(bytes.buffer).setUint16(0, value);
  return bytes;
}

/** @throws InvalidInputError unless the value is an integer from 0 to 2^32 − 1 */
export function u32be(value: number): Uint8Array {
  checkInteger(value, 32);
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** @throws InvalidInputError unless the value is from 0 to 2^64 − 1 */
export function u64be(value: bigint): Uint8Array {
  if (value < 0n || value >= 1n << 64n) throw outOfRange(value, 64);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

function checkInteger(value: number, bits: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) throw outOfRange(value, bits);
}

function outOfRange(value: number | bigint, bits: number): InvalidInputError {
  return new InvalidInputError(`${value} is not an unsigned ${bits}-bit integer`, {
    check: `${bits}-bit integer`,
    expected: `0 to 2^${bits} - 1`,
    received: String(value),
  });
}
