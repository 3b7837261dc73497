/**
 * The scalar field Z_r of BLS12-381 (draft-irtf-cfrg-pairing-friendly-curves §4.2.1) as bigints, and the polynomials
 * over it that a possession audit works with. The whole-slice loops run in the WebAssembly kernel (`kernels/field.ts`);
 * what is here runs once per proof, and is the oracle that the kernel is tested against.
 */
import { InvalidInputError, InvalidScalarError } from "../errors.ts";

/** Order r of the groups G1, G2 and GT. */
export const FIELD_ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001n;

/** Bytes of one field element of data: 248 bits, so that any data is a canonical scalar. */
export const ELEMENT_BYTES = 31;

/** Coefficients of one slice's polynomial, unless a data set says otherwise. */
export const DEFAULT_SLICE_ELEMENTS = 8192;

/** Sizes of slices are multiples of 1024 elements (32 KiB) up to 65,536 (2 MiB). */
const SLICE_ELEMENTS_STEP = 1024;
export const SLICE_ELEMENTS_LIMIT = 65_536;

/** Bytes of data under one tag, unless a data set says otherwise. */
export const SLICE_BYTES = sliceBytes(DEFAULT_SLICE_ELEMENTS);

/** Index of the first slice of a data set: each has a secret x of its own, so its slices are numbered from 1. */
export const FIRST_INDEX = 1;

/**
 * Bytes of data under one tag, for slices of so many coefficients.
 * @throws InvalidInputError unless it is a multiple of 1024 from 1024 to 65,536
 */
export function sliceBytes(sliceElements: number): number {
  if (
    !(sliceElements >= SLICE_ELEMENTS_STEP && sliceElements <= SLICE_ELEMENTS_LIMIT) ||
    sliceElements % SLICE_ELEMENTS_STEP !== 0
  ) {
    throw new InvalidInputError("slices of a possession audit cannot have this size", {
      check: "elements of a slice",
      expected: `a multiple of ${SLICE_ELEMENTS_STEP} up to ${SLICE_ELEMENTS_LIMIT}`,
      received: String(sliceElements),
    });
  }
  return ELEMENT_BYTES * sliceElements;
}

/** Bytes of a scalar on the wire. */
export const SCALAR_BYTES = 32;

/** The representative of a value in [0, r). */
export function reduce(value: bigint): bigint {
  const remainder = value % FIELD_ORDER;
  return remainder < 0n ? remainder + FIELD_ORDER : remainder;
}

/** base^exponent in Z_r by square and multiply. Not constant time. @param exponent not negative */
export function power(base: bigint, exponent: bigint): bigint {
  let square = reduce(base);
  let result = 1n;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % FIELD_ORDER;
    square = (square * square) % FIELD_ORDER;
  }
  return result;
}

/** Reads an unsigned integer, most significant byte first. */
export function bigEndianToInteger(bytes: Uint8Array): bigint {
  let value = 0n;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const head = bytes.length % 8;
  for (let i = 0; i < head; i++) value = (value << 8n) | BigInt(view.getUint8(i));
  for (let i = head; i < bytes.length; i += 8) value = (value << 64n) | view.getBigUint64(i);
  return value;
}

/** Writes an unsigned integer, most significant byte first. @throws InvalidInputError when it does not fit */
export function integerToBigEndian(value: bigint, lengthBytes: number): Uint8Array {
  if (value < 0n || value >> BigInt(8 * lengthBytes) !== 0n) {
    throw new InvalidInputError("integer does not fit its field", { expected: `${lengthBytes} bytes` });
  }
  const bytes = new Uint8Array(lengthBytes);
  let rest = value;
  for (let i = lengthBytes - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/**
 * Reads a scalar of 32 bytes, most significant first.
 * @throws InvalidScalarError unless it is 32 bytes and below r: a second encoding of one proof would be malleable
 */
export function decodeScalar(bytes: Uint8Array): bigint {
  const value = bigEndianToInteger(bytes);
  if (bytes.length !== SCALAR_BYTES || value >= FIELD_ORDER) {
    throw new InvalidScalarError("scalar is not canonical", {
      check: "scalar encoding",
      expected: `${SCALAR_BYTES} bytes below the group order`,
      received: bytes.length === SCALAR_BYTES ? "a value not below the group order" : `${bytes.length} bytes`,
    });
  }
  return value;
}

/** Writes a scalar as 32 bytes, most significant first. */
export function encodeScalar(value: bigint): Uint8Array {
  return integerToBigEndian(value, SCALAR_BYTES);
}

/**
 * The coefficients of a slice: element j is bytes [31j, 31j+31) as an integer, least significant byte first (the byte
 * order of the machine that runs the kernel).
 * @param slice a multiple of 31 bytes
 */
export function readElements(slice: Uint8Array): bigint[] {
  const elements: bigint[] = [];
  for (let offset = 0; offset < slice.length; offset += ELEMENT_BYTES) {
    elements.push(bigEndianToInteger(slice.slice(offset, offset + ELEMENT_BYTES).reverse()));
  }
  return elements;
}

/** Σ c_j·Y^j at Y = point, by Horner's rule. @param coefficients c_0 first */
export function evaluatePolynomial(coefficients: readonly bigint[], point: bigint): bigint {
  return coefficients.reduceRight((sum, coefficient) => (sum * point + coefficient) % FIELD_ORDER, 0n);
}

/**
 * Divides a polynomial by (Y − point): synthetic division.
 * @param coefficients c_0 first
 * @returns the quotient, one coefficient shorter, and the remainder, which is the value at `point`
 */
export function divideByLinear(
  coefficients: readonly bigint[],
  point: bigint,
): { quotient: bigint[]; remainder: bigint } {
  const quotient = new Array<bigint>(Math.max(0, coefficients.length - 1)).fill(0n);
  let carry = 0n;
  for (let j = coefficients.length - 1; j >= 0; j--) {
    carry = (carry * point + (coefficients[j] ?? 0n)) % FIELD_ORDER;
    if (j > 0) quotient[j - 1] = carry;
  }
  return { quotient, remainder: carry };
}
