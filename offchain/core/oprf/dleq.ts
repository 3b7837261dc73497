/**
 * Batched proofs of discrete logarithm equality (RFC 9497 §2.2). One proof of two scalars shows that all D_i = k·C_i
 * for the k of B = k·G.
 *
 * A deviation, in batches of more than three elements. The RFC's weight d_i hashes B, i, C_i and D_i, so a prover can
 * look for every weight on its own. With D_i = k·C_i + δ_i·G it needs Σ d_i·δ_i = 0 for its proof to verify: a sum of
 * one value out of each of m lists, which for m = 2^a takes some 2^(a + 252/(a + 1)) hashes (Wagner, A Generalized
 * Birthday Problem, 2002): 2^36 for 256 elements. All of them would be wrong, and the proof right. Here the seed of
 * the weights hashes the whole batch, so each change of any element changes all weights, and nothing is better than
 * guessing. Two and three elements are left as in the RFC: the search takes 2^126 hashes there, as many as a discrete
 * logarithm.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { u16be } from "../encoding/integers.ts";
import { InvalidInputError, InvalidProofError, InvalidScalarError } from "../errors.ts";
import { type EncodedElement, encoded, itemAt, type PrimeOrderGroup } from "./prime-order-group.ts";

/** The batch index is encoded on two bytes. */
export const MAX_BATCH_ELEMENTS = 65_535;

/** Most elements of a batch whose weights are those of RFC 9497 to the letter. */
const MAX_SEPARATE_WEIGHTS = 3;

export const MODE_OPRF = 0x00;
export const MODE_VOPRF = 0x01;
/** RFC 9497 §3.1, the modes built here. */
export type Mode = typeof MODE_OPRF | typeof MODE_VOPRF;

const encoder = new TextEncoder();
const CHALLENGE = encoder.encode("Challenge");
const COMPOSITE = encoder.encode("Composite");

/** prefix ‖ CreateContextString, "OPRFV1-" ‖ mode ‖ "-" ‖ suite (RFC 9497 §3.1): a domain separation tag. */
export function domainTag(prefix: string, mode: Mode, suite: string): Uint8Array {
  return concatBytes(encoder.encode(`${prefix}OPRFV1-`), Uint8Array.of(mode), encoder.encode(`-${suite}`));
}

/** I2OSP(len, 2) ‖ bytes. */
export function lengthPrefixed(bytes: Uint8Array): Uint8Array {
  return concatBytes(u16be(bytes.length), bytes);
}

/** C_i or D_i of a statement. */
type Elements<Element> = readonly EncodedElement<Element>[];

function scalarTag({ suite }: { readonly suite: string }): Uint8Array {
  return domainTag("HashToScalar-", MODE_VOPRF, suite);
}

/** The weights d_i of ComputeComposites (RFC 9497 §2.2.1), with the seed of this file's head. */
function compositeWeights<Element>(
  group: PrimeOrderGroup<Element>,
  publicKey: EncodedElement<Element>,
  from: Elements<Element>,
  to: Elements<Element>,
): Uint8Array[] {
  const tag = scalarTag(group);
  const seedTag = domainTag("Seed-", MODE_VOPRF, group.suite);
  const whole = from.length > MAX_SEPARATE_WEIGHTS ? [...from, ...to].map(({ bytes }) => bytes) : [];
  const seed = lengthPrefixed(
    group.hash(concatBytes(lengthPrefixed(publicKey.bytes), lengthPrefixed(seedTag), ...whole)),
  );
  return from.map(({ bytes }, index) => {
    const image = lengthPrefixed(itemAt(to, index).bytes);
    const transcript = concatBytes(seed, u16be(index), lengthPrefixed(bytes), image, COMPOSITE);
    return group.hashToScalar(transcript, tag);
  });
}

/** The challenge c = HashToScalar(B, M, Z, t2, t3). */
function challenge<Element>(
  group: PrimeOrderGroup<Element>,
  publicKey: EncodedElement<Element>,
  ...elements: Element[]
): Uint8Array {
  const all = [publicKey.bytes, ...elements.map((element) => group.encodeElement(element))];
  return group.hashToScalar(concatBytes(...all.map(lengthPrefixed), CHALLENGE), scalarTag(group));
}

/**
 * The composites M = Σ d_i·C_i and Z = Σ d_i·D_i of a batch (RFC 9497 §2.2.1): proofs are about these two. They depend
 * on the batch and the key only, and change with every bit of them.
 */
export interface Composites<Element> {
  readonly m: EncodedElement<Element>;
  readonly z: EncodedElement<Element>;
}

/**
 * ComputeComposites (RFC 9497 §2.2.1).
 *
 * @param publicKey B, @param from C_i, @param to D_i
 * @throws InvalidInputError for an empty, uneven or oversize batch
 */
export function computeComposites<Element>(
  group: PrimeOrderGroup<Element>,
  publicKey: EncodedElement<Element>,
  from: Elements<Element>,
  to: Elements<Element>,
): Composites<Element> {
  checkBatch(from, to);
  const weights = compositeWeights(group, publicKey, from, to);
  return {
    m: encoded(group, group.weightedSum(weights, elementsOf(from))),
    z: encoded(group, group.weightedSum(weights, elementsOf(to))),
  };
}

function checkBatch(from: readonly unknown[], to: readonly unknown[]): void {
  if (from.length !== to.length || from.length === 0 || from.length > MAX_BATCH_ELEMENTS) {
    throw new InvalidInputError(`DLEQ batch of ${from.length} and ${to.length} elements`, {
      check: "batch length",
      expected: `two lists of equal length, 1 to ${MAX_BATCH_ELEMENTS}`,
    });
  }
}

const elementsOf = <Element>(items: Elements<Element>): Element[] => items.map(({ element }) => element);

/**
 * GenerateProof (RFC 9497 §2.2.1) with ComputeCompositesFast.
 *
 * @param key k, a checked scalar; @param publicKey B = k·G
 * @param from C_i; @param to D_i = k·C_i
 * @param nonce the proof's random scalar: fresh and secret for every call; the caller wipes it.
 * @returns c ‖ s, and the composites that it is about
 * @throws InvalidInputError for an empty, uneven or oversize batch
 */
export function proveDleq<Element>(
  group: PrimeOrderGroup<Element>,
  key: Uint8Array,
  publicKey: EncodedElement<Element>,
  from: Elements<Element>,
  to: Elements<Element>,
  nonce: Uint8Array,
): { readonly proof: Uint8Array; readonly composites: Composites<Element> } {
  checkBatch(from, to);
  const m = group.weightedSum(compositeWeights(group, publicKey, from, to), elementsOf(from));
  const z = group.multiply(key, m);
  const c = challenge(group, publicKey, m, z, group.multiplyBase(nonce), group.multiply(nonce, m));
  const product = group.scalarMultiply(c, key);
  const s = group.scalarSubtract(nonce, product);
  product.fill(0);
  return { proof: concatBytes(c, s), composites: { m: encoded(group, m), z: encoded(group, z) } };
}

/**
 * VerifyProof (RFC 9497 §2.2.2).
 *
 * @param publicKey B, @param from C_i, @param to D_i
 * @throws InvalidProofError when the proof is malformed or does not verify
 * @throws InvalidInputError for an empty, uneven or oversize batch
 */
export function verifyDleq<Element>(
  group: PrimeOrderGroup<Element>,
  publicKey: EncodedElement<Element>,
  from: Elements<Element>,
  to: Elements<Element>,
  proof: Uint8Array,
): void {
  // Before the sums, which take almost all of the time.
  proofScalars(group, proof);
  verifyComposites(group, publicKey, computeComposites(group, publicKey, from, to), proof);
}

/**
 * VerifyProof (RFC 9497 §2.2.2) after ComputeComposites.
 *
 * @throws InvalidProofError when the proof is malformed or does not verify
 */
export function verifyComposites<Element>(
  group: PrimeOrderGroup<Element>,
  publicKey: EncodedElement<Element>,
  { m, z }: Composites<Element>,
  proof: Uint8Array,
): void {
  const { c, s } = proofScalars(group, proof);
  const t2 = group.add(group.multiplyBase(s), group.multiply(c, publicKey.element));
  const t3 = group.weightedSum([s, c], [m.element, z.element]);
  if (!equalBytes(c, challenge(group, publicKey, m.element, z.element, t2, t3))) {
    throw new InvalidProofError("DLEQ proof does not verify", { check: "DLEQ" });
  }
}

/** @throws InvalidProofError */
function proofScalars<Element>(
  group: PrimeOrderGroup<Element>,
  proof: Uint8Array,
): { readonly c: Uint8Array; readonly s: Uint8Array } {
  const { scalarBytes } = group;
  if (proof.length !== 2 * scalarBytes) {
    throw new InvalidProofError(`DLEQ proof has ${proof.length} bytes instead of ${2 * scalarBytes}`, {
      check: "proof length",
      expected: `${2 * scalarBytes} bytes`,
      received: `${proof.length} bytes`,
    });
  }
  const c = proof.subarray(0, scalarBytes);
  const s = proof.subarray(scalarBytes);
  try {
    group.checkCanonicalScalar(c, "challenge of the DLEQ proof");
    group.checkCanonicalScalar(s, "response of the DLEQ proof");
  } catch (cause) {
    if (!(cause instanceof InvalidScalarError)) throw cause;
    throw new InvalidProofError(cause.message, { check: "proof scalars", cause });
  }
  return { c, s };
}
