/**
 * The group P-256 (NIST SP 800-186) for RFC 9497 §4.3, on noble's curves: elements as 33 compressed bytes (SEC 1
 * §2.3.3), scalars as 32 bytes, most significant first.
 *
 * Deviation: noble multiplies by a secret with the same sequence of operations for every scalar, but on BigInt, whose
 * time depends on the numbers; and JavaScript cannot erase a BigInt. On a machine shared with an attacker who measures
 * time, prefer ristretto255.
 */

import { mulAddUnsafe } from "@noble/curves/abstract/curve.js";
import { p256, p256_hasher } from "@noble/curves/nist.js";
import { bytesToNumberBE, numberToBytesBE } from "@noble/curves/utils.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { randomBytes } from "#primitives";
import { InvalidInputError, InvalidPointError, InvalidScalarError } from "../errors.ts";
import { isZero, type PrimeOrderGroup } from "./prime-order-group.ts";

const { Point } = p256;
const { Fn } = Point;
type P256Element = InstanceType<typeof Point>;

const ELEMENT_BYTES = 33;
const SCALAR_BYTES = 32;
/** 128 bits above the order, so that reducing biases a scalar by less than 2^-128. */
const UNIFORM_BYTES = 48;
/** SEC 1 §2.3.3 encodes the identity as one zero byte. */
const ENCODED_IDENTITY = Uint8Array.of(0);

const toScalar = (bytes: Uint8Array): bigint => bytesToNumberBE(bytes);
const fromScalar = (scalar: bigint): Uint8Array => numberToBytesBE(scalar, SCALAR_BYTES);

function decodeElement(bytes: Uint8Array, what: string): P256Element {
  if (isZero(bytes) && (bytes.length === ENCODED_IDENTITY.length || bytes.length === ELEMENT_BYTES)) {
    throw new InvalidPointError(`${what} is the identity element`, { check: "not the identity" });
  }
  if (bytes.length !== ELEMENT_BYTES) {
    throw new InvalidPointError(`${what} has ${bytes.length} bytes instead of ${ELEMENT_BYTES}`, {
      check: "element length",
      expected: `${ELEMENT_BYTES} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  try {
    return Point.fromBytes(bytes);
  } catch (cause) {
    throw new InvalidPointError(`${what} is not a compressed point of P-256`, { check: "canonical encoding", cause });
  }
}

function checkCanonicalScalar(bytes: Uint8Array, what: string): void {
  if (bytes.length !== SCALAR_BYTES) {
    throw new InvalidScalarError(`${what} has ${bytes.length} bytes instead of ${SCALAR_BYTES}`, {
      check: "scalar length",
      expected: `${SCALAR_BYTES} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  if (toScalar(bytes) >= Fn.ORDER) {
    throw new InvalidScalarError(`${what} is not reduced modulo the group order`, { check: "canonical encoding" });
  }
}

function checkScalar(bytes: Uint8Array, what: string): void {
  checkCanonicalScalar(bytes, what);
  if (isZero(bytes)) throw new InvalidScalarError(`${what} is zero`, { check: "not zero" });
}

function multiply(scalar: Uint8Array, element: P256Element): P256Element {
  // noble refuses zero. In a group of prime order only these two operands lead to the identity.
  if (element.is0() || isZero(scalar)) return Point.ZERO;
  return element.multiply(toScalar(scalar));
}

function weightedSum(scalars: readonly Uint8Array[], elements: readonly P256Element[]): P256Element {
  return mulAddUnsafe(Point, [...elements], scalars.map(toScalar));
}

export const p256Group: PrimeOrderGroup<P256Element> = {
  suite: "P256-SHA256",
  elementBytes: ELEMENT_BYTES,
  scalarBytes: SCALAR_BYTES,
  hashBytes: 32,
  async ready() {},
  assertReady() {},
  hash: (data) => sha256(data),
  decodeElement,
  encodeElement: (element) => (element.is0() ? ENCODED_IDENTITY.slice() : element.toBytes(true)),
  identityElement: () => Point.ZERO,
  isIdentity: (element) => element.is0(),
  add: (a, b) => a.add(b),
  multiply,
  multiplyBase: (scalar) => (isZero(scalar) ? Point.ZERO : Point.BASE.multiply(toScalar(scalar))),
  weightedSum,
  unblind: (inverse, coefficients, elements) => multiply(inverse, weightedSum(coefficients, elements)),
  hashToElement: (message, tag) => p256_hasher.hashToCurve(message, { DST: tag }),
  hashToScalar: (message, tag) => fromScalar(p256_hasher.hashToScalar(message, { DST: tag })),
  checkScalar,
  checkCanonicalScalar,
  randomScalar() {
    const uniform = randomBytes(UNIFORM_BYTES);
    const scalar = fromScalar(Fn.create(bytesToNumberBE(uniform)));
    uniform.fill(0);
    checkScalar(scalar, "random scalar");
    return scalar;
  },
  scalarFromNumber(value) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
      throw new InvalidInputError(`${value} is no 32-bit unsigned integer`, { check: "small scalar" });
    }
    return fromScalar(BigInt(value));
  },
  scalarAdd: (a, b) => fromScalar(Fn.add(toScalar(a), toScalar(b))),
  scalarSubtract: (a, b) => fromScalar(Fn.sub(toScalar(a), toScalar(b))),
  scalarMultiply: (a, b) => fromScalar(Fn.mul(toScalar(a), toScalar(b))),
  scalarInvert(a) {
    checkScalar(a, "scalar to invert");
    return fromScalar(Fn.inv(toScalar(a)));
  },
};
