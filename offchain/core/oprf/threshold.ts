/**
 * Shamir sharing over the scalars of a group and Lagrange interpolation, on scalars and in the exponent. Member i
 * of a committee holds f(i) for a polynomial f of degree threshold − 1; the key is f(0).
 */

import { equalBytes } from "#primitives";
import { InvalidInputError, InvalidPointError } from "../errors.ts";
import { itemAt, type PrimeOrderGroup } from "./prime-order-group.ts";

/** Largest position of a member in a committee: indices travel on two bytes. */
export const MAX_MEMBER_INDEX = 65_535;

/** A group element and the position at which the polynomial in the exponent takes it. */
export interface IndexedElement<Element> {
  index: number;
  element: Element;
}

/** What sharing needs of a group: its scalars. */
type Scalars = Pick<
  PrimeOrderGroup<unknown>,
  "scalarFromNumber" | "scalarAdd" | "scalarSubtract" | "scalarMultiply" | "scalarInvert"
>;

/**
 * Lagrange coefficients λ_i with f(at) = Σ λ_i f(index_i). Public values.
 *
 * @param indices distinct positions, 1 to 65,535
 * @param at the position wanted; 0 for the secret
 * @throws InvalidInputError for a repeated or impossible index
 */
export function lagrangeCoefficients(group: Scalars, indices: number[], at: number): Uint8Array[] {
  for (const index of indices) {
    if (!Number.isInteger(index) || index < 1 || index > MAX_MEMBER_INDEX) {
      throw new InvalidInputError(`${index} is no member index`, {
        check: "member index",
        expected: `1 to ${MAX_MEMBER_INDEX}`,
        received: String(index),
      });
    }
  }
  if (new Set(indices).size !== indices.length) {
    throw new InvalidInputError("two parts carry the same member index", {
      check: "distinct member indices",
      received: indices.join(", "),
    });
  }
  const target = group.scalarFromNumber(at);
  return indices.map((own) => {
    let numerator = group.scalarFromNumber(1);
    let denominator = group.scalarFromNumber(1);
    for (const other of indices) {
      if (other === own) continue;
      const otherScalar = group.scalarFromNumber(other);
      numerator = group.scalarMultiply(numerator, group.scalarSubtract(target, otherScalar));
      denominator = group.scalarMultiply(denominator, group.scalarSubtract(group.scalarFromNumber(own), otherScalar));
    }
    return group.scalarMultiply(numerator, group.scalarInvert(denominator));
  });
}

/** f(x) by Horner's rule, coefficients from the constant term up. The coefficients are secret, x is not. */
export function evaluatePolynomial(group: Scalars, coefficients: Uint8Array[], x: number): Uint8Array {
  const position = group.scalarFromNumber(x);
  return coefficients.reduceRight(
    (sum, coefficient) => group.scalarAdd(group.scalarMultiply(sum, position), coefficient),
    group.scalarFromNumber(0),
  );
}

/** f(x)·G from the commitments a_j·G, constant term first. Intermediate results may be the identity. */
export function evaluateCommitments<Element>(
  group: PrimeOrderGroup<Element>,
  commitments: Element[],
  x: number,
): Element {
  const position = group.scalarFromNumber(x);
  return commitments.reduceRight(
    (sum, commitment) => group.add(group.multiply(position, sum), commitment),
    group.identityElement(),
  );
}

/** Interpolates public values in the exponent. @throws InvalidInputError for a repeated or impossible index. */
export function interpolateElements<Element>(
  group: PrimeOrderGroup<Element>,
  points: IndexedElement<Element>[],
  at: number,
): Element {
  const coefficients = lagrangeCoefficients(
    group,
    points.map(({ index }) => index),
    at,
  );
  return group.weightedSum(
    coefficients,
    points.map(({ element }) => element),
  );
}

/**
 * Checks that a committee's published keys belong together: all verification shares lie on one polynomial of degree
 * threshold − 1 in the exponent, whose value at 0 is the group key. A client that has checked this gets the same
 * outputs from every quorum.
 *
 * @param groupPublicKey encoded, as the verification shares are
 * @param verificationShares of members 1 … n, in order
 * @throws InvalidPointError when a key is malformed or does not fit the others; the message says which
 * @throws InvalidInputError for a threshold outside 1 … n
 */
export function verifyCommitteeKeys<Element>(
  group: PrimeOrderGroup<Element>,
  groupPublicKey: Uint8Array,
  verificationShares: Uint8Array[],
  threshold: number,
): void {
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > verificationShares.length) {
    throw new InvalidInputError(`threshold ${threshold} does not fit ${verificationShares.length} members`, {
      check: "threshold",
      expected: `1 to ${verificationShares.length}`,
      received: String(threshold),
    });
  }
  group.decodeElement(groupPublicKey, "group public key");
  const points = verificationShares.map((bytes, position) => ({
    index: position + 1,
    element: group.decodeElement(bytes, `verification share of member ${position + 1}`),
  }));
  const base = points.slice(0, threshold);
  const valueAt = (index: number) => group.encodeElement(interpolateElements(group, base, index));
  for (const { index } of points.slice(threshold)) {
    if (!equalBytes(valueAt(index), itemAt(verificationShares, index - 1))) {
      throw new InvalidPointError(
        `verification share of member ${index} does not fit those of members 1 to ${threshold}`,
        {
          check: "committee keys",
          party: `member ${index}`,
        },
      );
    }
  }
  if (!equalBytes(valueAt(0), groupPublicKey)) {
    throw new InvalidPointError("group public key does not fit the verification shares", { check: "committee keys" });
  }
}
