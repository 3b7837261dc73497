/**
 * What a suite of RFC 9497 needs of its prime-order group and its hash (§2.1 and §4), so that proofs, Shamir sharing
 * and combination are written once. Scalars are byte strings in every group, so that secrets can be erased; elements
 * are whatever the group computes with, because decoding one takes a square root.
 */

import { TallystickError } from "../errors.ts";

export interface PrimeOrderGroup<Element> {
  /** Identifier of the suite (RFC 9497 §4): part of every domain separation tag. */
  readonly suite: string;
  readonly elementBytes: number;
  readonly scalarBytes: number;
  /** Length of a hash, and of an OPRF output. */
  readonly hashBytes: number;

  /** Loads what the group runs on. Await it once before anything else; further calls return at once. */
  ready(): Promise<void>;
  /** @throws TallystickError INTERNAL when `ready` has not been awaited. */
  assertReady(): void;

  hash(data: Uint8Array): Uint8Array;

  /**
   * Checks that bytes from another party are a group element other than the identity (RFC 9497 §2.1,
   * DeserializeElement).
   *
   * @param what names the value in the error, for example `blinded element 3`.
   * @throws InvalidPointError for a wrong length, a non-canonical or invalid encoding, or the identity.
   */
  decodeElement(bytes: Uint8Array, what: string): Element;
  /** The identity included. @returns bytes that may be those that were decoded */
  encodeElement(element: Element): Uint8Array;
  identityElement(): Element;
  isIdentity(element: Element): boolean;
  add(a: Element, b: Element): Element;
  /** scalar · element, the identity and zero included. The scalar is secret. */
  multiply(scalar: Uint8Array, element: Element): Element;
  /** scalar · G. The scalar is secret. */
  multiplyBase(scalar: Uint8Array): Element;
  /** Σ scalar_i · element_i of public values: the time may depend on them. */
  weightedSum(scalars: readonly Uint8Array[], elements: readonly Element[]): Element;
  /** inverse · Σ coefficient_j · element_j, where the inverse of a blind is secret and all else is public. */
  unblind(inverse: Uint8Array, coefficients: readonly Uint8Array[], elements: readonly Element[]): Element;
  /** HashToGroup of RFC 9497 §4. @param tag the domain separation tag */
  hashToElement(message: Uint8Array, tag: Uint8Array): Element;
  /** HashToScalar of RFC 9497 §4. */
  hashToScalar(message: Uint8Array, tag: Uint8Array): Uint8Array;

  /** Checks that bytes are a canonical scalar other than zero. @throws InvalidScalarError */
  checkScalar(bytes: Uint8Array, what: string): void;
  /** Like `checkScalar`, but zero passes: proofs may hold it (RFC 9497 §2.1, DeserializeScalar). */
  checkCanonicalScalar(bytes: Uint8Array, what: string): void;
  /** A uniform scalar other than zero. */
  randomScalar(): Uint8Array;
  /** A small non-negative integer as a scalar. @throws InvalidInputError outside 0 … 2^32 − 1. */
  scalarFromNumber(value: number): Uint8Array;
  scalarAdd(a: Uint8Array, b: Uint8Array): Uint8Array;
  scalarSubtract(a: Uint8Array, b: Uint8Array): Uint8Array;
  scalarMultiply(a: Uint8Array, b: Uint8Array): Uint8Array;
  /** 1/a. @throws InvalidScalarError for zero. */
  scalarInvert(a: Uint8Array): Uint8Array;
}

/** An element with the bytes it has in transcripts. */
export interface EncodedElement<Element> {
  readonly element: Element;
  readonly bytes: Uint8Array;
}

/** @throws InvalidPointError, which names the first wrong one by its position */
export function decodeElements<Element>(
  group: PrimeOrderGroup<Element>,
  elements: readonly Uint8Array[],
  what: string,
): EncodedElement<Element>[] {
  return elements.map((bytes, position) => decoded(group, bytes, `${what} ${position}`));
}

/** @throws InvalidPointError */
export function decoded<Element>(
  group: PrimeOrderGroup<Element>,
  bytes: Uint8Array,
  what: string,
): EncodedElement<Element> {
  return { element: group.decodeElement(bytes, what), bytes };
}

export function encoded<Element>(group: PrimeOrderGroup<Element>, element: Element): EncodedElement<Element> {
  return { element, bytes: group.encodeElement(element) };
}

/** An item that exists by the caller's loop. @throws TallystickError INTERNAL when it does not */
export function itemAt<Item>(items: readonly Item[], position: number): Item {
  const item = items[position];
  if (item === undefined) throw new TallystickError(`no item at position ${position}`, { code: "INTERNAL" });
  return item;
}

/** True when all bytes are zero; looks at all of them. */
export function isZero(bytes: Uint8Array): boolean {
  return bytes.reduce((bits, byte) => bits | byte, 0) === 0;
}

/** Overwrites secrets with zeros. */
export function wipeAll(secrets: Iterable<Uint8Array>): void {
  for (const secret of secrets) secret.fill(0);
}
