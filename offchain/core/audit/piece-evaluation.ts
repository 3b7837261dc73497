/**
 * The value at a point of the polynomial of a slice whose bytes come in pieces: each piece adds its part, in any order.
 */

import { ELEMENT_BYTES, FIELD_ORDER, power } from "./field.ts";

/**
 * The part of f(z) that some bytes of a slice contribute. The parts of all pieces of a slice add up to f(z); what fills
 * the last slice is zeros, which contribute nothing.
 * @param bytes of the slice
 * @param startByte where they lie in it
 * @returns in [0, r)
 */
export function evaluatePiece(bytes: Uint8Array, startByte: number, point: bigint): bigint {
  const first = Math.floor(startByte / ELEMENT_BYTES);
  const last = Math.floor((startByte + bytes.length - 1) / ELEMENT_BYTES);
  let sum = 0n;
  for (let element = last; element >= first; element -= 1) {
    const elementStart = element * ELEMENT_BYTES;
    const from = Math.max(0, elementStart - startByte);
    const until = Math.min(bytes.length, elementStart + ELEMENT_BYTES - startByte);
    const shiftBytes = Math.max(0, startByte - elementStart);
    const value = littleEndianToInteger(bytes.subarray(from, until)) << BigInt(8 * shiftBytes);
    sum = (sum * point + value) % FIELD_ORDER;
  }
  return (sum * power(point, BigInt(first))) % FIELD_ORDER;
}

/** Up to 31 bytes. */
function littleEndianToInteger(bytes: Uint8Array): bigint {
  const padded = new DataView(new ArrayBuffer(32));
  for (const [position, byte] of bytes.entries()) padded.setUint8(position, byte);
  return (
    padded.getBigUint64(0, true) |
    (padded.getBigUint64(8, true) << 64n) |
    (padded.getBigUint64(16, true) << 128n) |
    (padded.getBigUint64(24, true) << 192n)
  );
}
