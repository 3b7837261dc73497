/**
 * The ristretto255 group (RFC 9496) on libsodium: elements and scalars as 32-byte strings, in constant time where
 * libsodium is (all operations here but the checks of public encodings). Every value from another party passes
 * `checkElement` or `checkScalar` before it is used; because libsodium reduces or masks invalid values instead of
 * refusing them.
 *
 * Deviation: libsodium runs as WebAssembly, whose heap keeps copies of operands until they are overwritten.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import sodium from "libsodium-wrappers-sumo";
import { randomBytes } from "#primitives";
import { u16be } from "../encoding/integers.ts";
import { InvalidInputError, InvalidPointError, InvalidScalarError, TallystickError } from "../errors.ts";
import { isZero, itemAt, type PrimeOrderGroup, wipeAll } from "./prime-order-group.ts";

export const ELEMENT_BYTES = 32;
export const SCALAR_BYTES = 32;

/** ℓ = 2^252 + 27742317777372353535851937790883648493, little-endian. */
const ORDER = Uint8Array.of(
  ...[0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14],
  ...[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10],
);
const IDENTITY = new Uint8Array(ELEMENT_BYTES);
const SHA512_BYTES = 64;
const SHA512_BLOCK_BYTES = 128;
const UNIFORM_BYTES = 64;

let isReady = false;

/** Loads libsodium. Await it once before anything else in this folder; further calls return at once. */
export async function groupReady(): Promise<void> {
  await sodium.ready;
  isReady = true;
}

/** @throws TallystickError INTERNAL when `groupReady` has not been awaited. */
export function assertGroupReady(): void {
  if (!isReady) {
    throw new TallystickError("the OPRF group is used before it is loaded", {
      code: "INTERNAL",
      hint: "await oprfReady() first",
    });
  }
}

/** SHA-512 (64 bytes), the hash of the suite. It is here because libsodium's is the fastest available. */
export function sha512(data: Uint8Array): Uint8Array {
  return sodium.crypto_hash_sha512(data);
}

/**
 * Checks that bytes from another party are a group element other than the identity (RFC 9497 §4.1, DeserializeElement).
 *
 * @param what names the value in the error, for example `blinded element 3`.
 * @throws InvalidPointError for a wrong length, a non-canonical or invalid encoding, or the identity.
 */
export function checkElement(bytes: Uint8Array, what: string): void {
  if (bytes.length !== ELEMENT_BYTES) {
    throw new InvalidPointError(`${what} has ${bytes.length} bytes instead of ${ELEMENT_BYTES}`, {
      check: "element length",
      expected: `${ELEMENT_BYTES} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  if (isIdentity(bytes)) throw new InvalidPointError(`${what} is the identity element`, { check: "not the identity" });
  if (!sodium.crypto_core_ristretto255_is_valid_point(bytes)) {
    throw new InvalidPointError(`${what} is not a canonical ristretto255 encoding`, { check: "canonical encoding" });
  }
}

/**
 * Checks that bytes are a canonical scalar other than zero. Takes the same time for all contents of the right length.
 *
 * @throws InvalidScalarError for a wrong length, a value of at least the group order, or zero.
 */
export function checkScalar(bytes: Uint8Array, what: string): void {
  checkCanonicalScalar(bytes, what);
  if (isZero(bytes)) throw new InvalidScalarError(`${what} is zero`, { check: "not zero" });
}

/** Like `checkScalar`, but zero passes: proofs may hold it (RFC 9497 §4.1, DeserializeScalar). */
export function checkCanonicalScalar(bytes: Uint8Array, what: string): void {
  if (bytes.length !== SCALAR_BYTES) {
    throw new InvalidScalarError(`${what} has ${bytes.length} bytes instead of ${SCALAR_BYTES}`, {
      check: "scalar length",
      expected: `${SCALAR_BYTES} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  let borrow = 0;
  ORDER.forEach((limit, position) => {
    borrow = (((bytes[position] ?? 0) - limit - borrow) >> 8) & 1;
  });
  if (borrow === 0) {
    throw new InvalidScalarError(`${what} is not reduced modulo the group order`, { check: "canonical encoding" });
  }
}

export function isIdentity(element: Uint8Array): boolean {
  return isZero(element);
}

export function identityElement(): Uint8Array {
  return IDENTITY.slice();
}

/**
 * scalar · element, the identity included on both sides. The element must have been checked, or be a result of this
 * module.
 *
 * @throws InvalidPointError when the element is no valid encoding after all.
 */
export function multiply(scalar: Uint8Array, element: Uint8Array): Uint8Array {
  // libsodium refuses to return the identity. In a group of prime order only these two operands lead there.
  if (isIdentity(element) || isZero(scalar)) return identityElement();
  return sodium.crypto_scalarmult_ristretto255(scalar, element);
}

/** scalar · G. */
export function multiplyBase(scalar: Uint8Array): Uint8Array {
  if (isZero(scalar)) return identityElement();
  return sodium.crypto_scalarmult_ristretto255_base(scalar);
}

export function add(a: Uint8Array, b: Uint8Array): Uint8Array {
  return sodium.crypto_core_ristretto255_add(a, b);
}

/** The element that 64 uniform bytes map to (RFC 9496 §4.3.4). */
export function elementFromUniform(uniform: Uint8Array): Uint8Array {
  return sodium.crypto_core_ristretto255_from_hash(uniform);
}

/** 64 uniform bytes, little-endian, modulo the group order. */
export function scalarFromUniform(uniform: Uint8Array): Uint8Array {
  return sodium.crypto_core_ristretto255_scalar_reduce(uniform);
}

/**
 * expand_message_xmd with SHA-512 for exactly 64 bytes (RFC 9380 §5.3.1; two hashes, since 64 bytes are one block b_1).
 */
function expandMessage(message: Uint8Array, tag: Uint8Array): Uint8Array {
  const tagPrime = concatBytes(tag, Uint8Array.of(tag.length));
  const padding = new Uint8Array(SHA512_BLOCK_BYTES);
  const b0 = sha512(concatBytes(padding, message, u16be(UNIFORM_BYTES), Uint8Array.of(0), tagPrime));
  return sha512(concatBytes(b0, Uint8Array.of(1), tagPrime));
}

/** A uniform scalar other than zero: 64 random bytes, reduced (bias below 2^-250). */
export function randomScalar(): Uint8Array {
  const uniform = randomBytes(UNIFORM_BYTES);
  const scalar = scalarFromUniform(uniform);
  uniform.fill(0);
  checkScalar(scalar, "random scalar");
  return scalar;
}

/** A small non-negative integer as a scalar. @throws InvalidInputError outside 0 … 2^32 − 1. */
export function scalarFromNumber(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new InvalidInputError(`${value} is no 32-bit unsigned integer`, { check: "small scalar" });
  }
  const scalar = new Uint8Array(SCALAR_BYTES);
  new DataView(scalar.buffer).setUint32(0, value, true);
  return scalar;
}

export function scalarAdd(a: Uint8Array, b: Uint8Array): Uint8Array {
  return sodium.crypto_core_ristretto255_scalar_add(a, b);
}

export function scalarSubtract(a: Uint8Array, b: Uint8Array): Uint8Array {
  return sodium.crypto_core_ristretto255_scalar_sub(a, b);
}

export function scalarMultiply(a: Uint8Array, b: Uint8Array): Uint8Array {
  return sodium.crypto_core_ristretto255_scalar_mul(a, b);
}

/** 1/a. @throws InvalidScalarError for zero. */
export function scalarInvert(a: Uint8Array): Uint8Array {
  checkScalar(a, "scalar to invert");
  return sodium.crypto_core_ristretto255_scalar_invert(a);
}

function weightedSum(scalars: readonly Uint8Array[], elements: readonly Uint8Array[]): Uint8Array {
  return elements.reduce((sum, element, index) => {
    const term = multiply(itemAt(scalars, index), element);
    return index === 0 ? term : add(sum, term);
  }, identityElement());
}

/**
 * Deviation from RFC 9497 §3.3.1: λ_j/r at once instead of interpolating first and unblinding after, which would be one
 * multiplication more, since libsodium takes as long for a public scalar.
 */
function unblind(
  inverse: Uint8Array,
  coefficients: readonly Uint8Array[],
  elements: readonly Uint8Array[],
): Uint8Array {
  const terms = elements.map((element, member) => {
    const factor = scalarMultiply(itemAt(coefficients, member), inverse);
    const term = multiply(factor, element);
    factor.fill(0);
    return term;
  });
  const sum = terms.reduce((total, term) => add(total, term));
  wipeAll(terms.filter((term) => term !== sum));
  return sum;
}

/** The group of the default suite. Elements are their encodings. */
export const ristretto255Group: PrimeOrderGroup<Uint8Array> = {
  suite: "ristretto255-SHA512",
  elementBytes: ELEMENT_BYTES,
  scalarBytes: SCALAR_BYTES,
  hashBytes: SHA512_BYTES,
  ready: groupReady,
  assertReady: assertGroupReady,
  hash: sha512,
  decodeElement(bytes, what) {
    checkElement(bytes, what);
    return bytes;
  },
  encodeElement: (element) => element,
  identityElement,
  isIdentity,
  add,
  multiply,
  multiplyBase,
  weightedSum,
  unblind,
  hashToElement: (message, tag) => elementFromUniform(expandMessage(message, tag)),
  hashToScalar: (message, tag) => scalarFromUniform(expandMessage(message, tag)),
  checkScalar,
  checkCanonicalScalar,
  randomScalar,
  scalarFromNumber,
  scalarAdd,
  scalarSubtract,
  scalarMultiply,
  scalarInvert,
};
