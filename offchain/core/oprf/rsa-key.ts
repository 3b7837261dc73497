/** RSA keys of the suite `rsa-blind`: a modulus of 3072 or 4096 bits, and the public exponent 65537. */

import { bytesToNumberBE, numberToBytesBE } from "@noble/curves/utils.js";
import { InvalidInputError, InvalidPointError, InvalidScalarError } from "../errors.ts";

export const RSA_EXPONENT = 65_537n;
const MODULUS_BYTES: readonly number[] = [384, 512];

export interface RsaModulus {
  readonly bytes: Uint8Array;
  readonly value: bigint;
  /** The value as bytes, as long as the modulus. */
  encode(value: bigint): Uint8Array;
}

/** @throws InvalidInputError for an even modulus or another length. Whether it has two prime factors cannot be told. */
export function parseModulus(bytes: Uint8Array): RsaModulus {
  const { length } = bytes;
  if (!MODULUS_BYTES.includes(length) || (bytes[0] ?? 0) < 0x80 || (bytes[length - 1] ?? 0) % 2 === 0) {
    throw new InvalidInputError(`no RSA modulus of this suite: ${length} bytes`, {
      check: "RSA modulus",
      expected: `an odd number of ${MODULUS_BYTES.map((count) => 8 * count).join(" or ")} bits`,
      received: `${length} bytes`,
    });
  }
  return { bytes, value: bytesToNumberBE(bytes), encode: (value) => numberToBytesBE(value, length) };
}

/**
 * Checks an element from another party: as long as the modulus and below it, and none of 0, 1 and −1, whose powers
 * everybody knows.
 * @throws InvalidPointError
 */
export function decodeResidue(modulus: RsaModulus, bytes: Uint8Array, what: string): bigint {
  const { length } = modulus.bytes;
  if (bytes.length !== length) {
    throw new InvalidPointError(`${what} has ${bytes.length} bytes instead of ${length}`, {
      check: "element length",
      expected: `${length} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  const value = bytesToNumberBE(bytes);
  if (value >= modulus.value) {
    throw new InvalidPointError(`${what} is not reduced modulo the RSA modulus`, { check: "canonical encoding" });
  }
  if (value <= 1n || value === modulus.value - 1n) {
    throw new InvalidPointError(`${what} is 0, 1 or −1 modulo the RSA modulus`, { check: "not the identity" });
  }
  return value;
}

/** @throws InvalidScalarError unless the share of an exponent is as long as the modulus, below it, and not zero */
export function checkExponentShare(modulus: RsaModulus, share: Uint8Array): void {
  const { length } = modulus.bytes;
  if (share.length !== length) {
    throw new InvalidScalarError(`key share has ${share.length} bytes instead of ${length}`, {
      check: "scalar length",
      expected: `${length} bytes`,
      received: `${share.length} bytes`,
    });
  }
  const value = bytesToNumberBE(share);
  if (value >= modulus.value) {
    throw new InvalidScalarError("key share is not reduced", { check: "canonical encoding" });
  }
  if (value === 0n) throw new InvalidScalarError("key share is zero", { check: "not zero" });
}
