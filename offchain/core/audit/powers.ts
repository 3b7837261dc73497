/**
 * The powers in the exponent that a provider keeps for an owner: A_j = α^j·G1, one for each element of a slice, and
 * B_i = β^i·G1 for i from 1 to the largest slice index. The owner computes them once; the provider checks them before
 * it relies on them, because with wrong powers its honest proofs would fail.
 */
import { randomBytes } from "#primitives";
import { InvalidInputError, InvalidProofError } from "../errors.ts";
import {
  addG1,
  clearCofactor,
  decodeExpandedG1,
  expandG1,
  G1_EXPANDED_BYTES,
  generatorG1,
  identityG1,
  multiScalarMultiply,
  negateG1,
  type PointG1,
  type PointG2,
  pairingProductIsOne,
} from "./curve.ts";
import { bigEndianToInteger, FIELD_ORDER, power, SLICE_ELEMENTS_LIMIT } from "./field.ts";
import { multiplyGeneratorG1 } from "./fixed-base.ts";
import { type AuditPublicKey, type AuditSecrets, decodeAuditKey } from "./keys.ts";

/** Random weights have 128 bits: a wrong point passes with probability 2^-128. */
const WEIGHT_BYTES = 16;

/** A weight that nobody else knows. */
export function randomWeight(): bigint {
  return bigEndianToInteger(randomBytes(WEIGHT_BYTES));
}

function powersOf(base: bigint, first: number, count: number): Uint8Array {
  const points = new Uint8Array(count * G1_EXPANDED_BYTES);
  let exponent = power(base, BigInt(first));
  for (let k = 0; k < count; k++) {
    points.set(expandG1(multiplyGeneratorG1(exponent)), k * G1_EXPANDED_BYTES);
    exponent = (exponent * base) % FIELD_ORDER;
  }
  return points;
}

/**
 * A_first … A_(first+count−1).
 * @returns 96 bytes each
 * @throws InvalidInputError for a range beyond the largest slices, 0 to 65,535
 */
export function powersOfAlpha(secrets: AuditSecrets, first: number, count: number): Uint8Array {
  if (!(first >= 0 && count >= 0 && first + count <= SLICE_ELEMENTS_LIMIT)) {
    throw new InvalidInputError("powers of alpha are asked for outside those of a slice", {
      expected: `0 to ${SLICE_ELEMENTS_LIMIT - 1}`,
      received: `${first} + ${count}`,
    });
  }
  return powersOf(secrets.alpha, first, count);
}

/**
 * B_first … B_(first+count−1).
 * @param first at least 1: index 0 is forbidden, since β^0 would merge with the proof's value y
 * @returns 96 bytes each
 * @throws InvalidInputError for first below 1
 */
export function powersOfBeta(secrets: AuditSecrets, first: number, count: number): Uint8Array {
  if (!(first >= 1 && count >= 0 && Number.isSafeInteger(first + count))) {
    throw new InvalidInputError("powers of beta start at index 1", { received: `${first} + ${count}` });
  }
  return powersOf(secrets.beta, first, count);
}

/**
 * Reads points stored one after the other.
 * @param bytes count · 96
 * @throws InvalidPointError for a malformed point
 * @throws InvalidInputError for another length
 */
export function decodeStoredPoints(bytes: Uint8Array, count: number, what: string): PointG1[] {
  const size = G1_EXPANDED_BYTES;
  if (bytes.length !== count * size) {
    throw new InvalidInputError(`${what}: wrong length`, {
      expected: `${count} points of ${size} bytes`,
      received: `${bytes.length} bytes`,
    });
  }
  return Array.from({ length: count }, (_, k) => decodeExpandedG1(bytes.subarray(k * size, (k + 1) * size), what));
}

const decodedPowersA = new WeakMap<Uint8Array, readonly PointG1[]>();

/**
 * Reads the powers of α for slices of so many elements. Decoding takes 5 µs a point, so the points are kept as long as
 * the array is: do not change it afterwards.
 * @param powersA sliceElements · 96 bytes
 * @throws InvalidPointError, InvalidInputError
 */
export function decodePowersA(powersA: Uint8Array, sliceElements: number): readonly PointG1[] {
  let points = decodedPowersA.get(powersA);
  if (points?.length !== sliceElements) {
    points = decodeStoredPoints(powersA, sliceElements, "powers of alpha");
    decodedPowersA.set(powersA, points);
  }
  return points;
}

/** Checks that each point of a sequence is the same multiple of the one before: Σ w_k·P_(k+1) against Σ w_k·P_k. */
class GeometricCheck {
  #last: PointG1;
  #low = identityG1();
  #high = identityG1();

  constructor(start: PointG1) {
    this.#last = start;
  }

  add(points: readonly PointG1[]): void {
    if (points.length === 0) return;
    const weights = points.map(randomWeight);
    this.#low = addG1(this.#low, multiScalarMultiply([this.#last, ...points.slice(0, -1)], weights));
    this.#high = addG1(this.#high, multiScalarMultiply(points, weights));
    this.#last = points.at(-1) ?? this.#last;
  }

  /** True when high = ratio · low, the ratio being that of the exponents of two G2 points. */
  holds(denominator: PointG2, numerator: PointG2): boolean {
    return pairingProductIsOne([
      [clearCofactor(this.#high), denominator],
      [negateG1(clearCofactor(this.#low)), numerator],
    ]);
  }
}

/**
 * Checks powers as they arrive, so that the caller can bound the memory. Components outside the subgroup are harmless,
 * because the prover removes them, and are not checked.
 */
export class PowersVerifier {
  readonly #key: { X: PointG2; XA: PointG2; XB: PointG2 };
  readonly #alpha = new GeometricCheck(generatorG1());
  readonly #beta: GeometricCheck;

  /**
   * @param lastVerifiedB B_i of the last index checked before, to extend a checked sequence; absent to start at B_1
   * @throws InvalidPointError for a malformed key
   */
  constructor(key: AuditPublicKey, lastVerifiedB?: Uint8Array) {
    this.#key = decodeAuditKey(key);
    this.#beta = new GeometricCheck(
      lastVerifiedB === undefined ? generatorG1() : decodeExpandedG1(lastVerifiedB, "power of beta"),
    );
  }

  /**
   * Checks all powers of α.
   * @param powersA from A_0 on, one for each element of a slice, 96 bytes each
   * @throws InvalidProofError when they are not the powers of the key
   * @throws InvalidPointError, InvalidInputError for malformed points or another length
   */
  checkPowersA(powersA: Uint8Array, sliceElements: number): void {
    const points = decodePowersA(powersA, sliceElements);
    const [first, ...rest] = points;
    if (first === undefined || !first.isEqual(generatorG1())) throw notPowers("alpha", "A_0 is not the generator");
    this.#alpha.add(rest);
    if (!this.#alpha.holds(this.#key.X, this.#key.XA)) throw notPowers("alpha", "not geometric with the key's ratio");
  }

  /**
   * Adds the next powers of β.
   * @param powersB 96 bytes each
   * @throws InvalidPointError for a malformed point
   * @throws InvalidInputError for a length that is no multiple of 96
   */
  addPowersB(powersB: Uint8Array): void {
    this.#beta.add(decodeStoredPoints(powersB, Math.ceil(powersB.length / G1_EXPANDED_BYTES), "powers of beta"));
  }

  /** @throws InvalidProofError when the powers of β added are not those of the key */
  finishPowersB(): void {
    if (!this.#beta.holds(this.#key.X, this.#key.XB)) throw notPowers("beta", "not geometric with the key's ratio");
  }
}

function notPowers(name: string, received: string): InvalidProofError {
  return new InvalidProofError(`powers of ${name} do not fit the audit key`, {
    check: `powers of ${name}`,
    expected: "a geometric sequence from the generator",
    received,
  });
}
