/**
 * Unsigned integers as fixed-length byte strings, most significant byte first: the only encoders of the project's
 * layouts.
 */

import { InvalidInputError } from "../errors.ts";

/** @throws InvalidInputError unless the value is an integer from 0 to 2^16 − 1 */
export function u16be(value: number): Uint8Array {
  checkInteger(value, 16);
  const bytes = new Uint8Array(2);
  bytes[0] = value >>> 8;
  bytes[1] = value;
  return bytes;
}

/** @throws InvalidInputError unless the value is an integer from 0 to 2^32 − 1 */
export function u32be(value: number): Uint8Array {
  checkInteger(value, 32);
  const bytes = new Uint8Array(4);
  putUint32(bytes, 0, value);
  return bytes;
}

/** @throws InvalidInputError unless the value is from 0 to 2^64 − 1 */
export function u64be(value: bigint): Uint8Array {
  if (value < 0n || value >= 1n << 64n) throw outOfRange(value, 64);
  const bytes = new Uint8Array(8);
  putUint32(bytes, 0, Number(value >> 32n));
  putUint32(bytes, 4, Number(value & 0xffff_ffffn));
  return bytes;
}

/**
 * Writes an integer from 0 to 2^32 − 1 into a byte string. A `DataView` would cost short arrays more than the rest:
 * their bytes live in the heap of JavaScript until somebody asks for their buffer.
 */
export function putUint32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

/** @returns the integer that `putUint32` wrote; the bytes are there */
export function uint32At(bytes: Uint8Array, offset: number): number {
  const byte = (index: number) => bytes[offset + index] ?? 0;
  return ((byte(0) << 24) | (byte(1) << 16) | (byte(2) << 8) | byte(3)) >>> 0;
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
