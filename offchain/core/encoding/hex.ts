/**
 * Byte strings as text: lower-case hexadecimal with an `0x` prefix, the one form used in JSON, on the wire and for the
 * chain libraries. Decoding is strict, so that equal bytes have exactly one text.
 */

import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { InvalidInputError } from "../errors.ts";

/** A byte string as `0x` and lower-case hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  return `0x${bytesToHex(bytes)}`;
}

/**
 * The bytes a hexadecimal text stands for.
 *
 * @param text `0x` and an even number of hexadecimal digits; upper-case digits are read too, since chain libraries emit
 *   checksums.
 * @param expectedBytes when given, the exact length in bytes.
 * @param name what the value is, for the error.
 * @throws InvalidInputError when the text is not hexadecimal or has another length.
 */
export function fromHex(text: string, expectedBytes?: number, name = "value"): Uint8Array {
  if (!/^0x(?:[0-9a-fA-F]{2})*$/.test(text)) {
    throw new InvalidInputError(`${name} is not 0x-prefixed hexadecimal`, { check: "hexadecimal" });
  }
  const bytes = hexToBytes(text.slice(2));
  if (expectedBytes !== undefined && bytes.length !== expectedBytes) {
    throw new InvalidInputError(`${name} has ${bytes.length} bytes instead of ${expectedBytes}`, {
      check: "length",
      expected: `${expectedBytes} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  return bytes;
}
