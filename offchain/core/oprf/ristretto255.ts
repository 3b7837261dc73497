/**
 * Threshold VOPRF: RFC 9497, suite ristretto255-SHA512, with the key Shamir-shared among a committee. A member's answer
 * is an RFC 9497 VOPRF evaluation under its share, with the RFC's batched DLEQ proof against its verification share;
 * the client interpolates the answers in the exponent. Outputs equal those of the RFC with the whole key, byte for byte
 * (Jarecki, Kiayias, Krawczyk, Xu: TOPPSS, 2017, for the construction).
 *
 * Deviation: the client multiplies each answer by λ_j/r at once, instead of interpolating first and unblinding after.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { InvalidInputError } from "../errors.ts";
import {
  expandMessage,
  lengthPrefixed,
  MAX_BATCH_ELEMENTS,
  MODE_VOPRF,
  type Mode,
  PROOF_BYTES,
  proveDleq,
  TAGS,
  verifyDleq,
} from "./dleq.ts";
import {
  add,
  assertGroupReady,
  checkElement,
  checkScalar,
  ELEMENT_BYTES,
  elementFromUniform,
  groupReady,
  itemAt,
  multiply,
  multiplyBase,
  randomScalar,
  SCALAR_BYTES,
  scalarFromNumber,
  scalarInvert,
  scalarMultiply,
  sha512,
  wipeAll,
} from "./group.ts";
import type { BlindedBatch, EvaluatedBatch, EvaluationPart, OprfSuite } from "./suite.ts";
import { lagrangeCoefficients } from "./threshold.ts";

export type { BlindedBatch, EvaluatedBatch, EvaluationPart } from "./suite.ts";

export const OUTPUT_BYTES = 64;
const MAX_INPUT_BYTES = 65_535;
const FINALIZE = new TextEncoder().encode("Finalize");

/** The inverted blinds of each batch under way. Not a field of the batch, so that no log or error can show them. */
const invertedBlinds = new WeakMap<BlindedBatch, Uint8Array[]>();

/** Loads libsodium. Await it once before anything else in this module; further calls return at once. */
export async function oprfReady(): Promise<void> {
  await groupReady();
}

/** @see OprfSuite.blindInputs */
export function blindInputs(inputs: Uint8Array[]): BlindedBatch {
  assertGroupReady();
  const blinds = inputs.map(() => randomScalar());
  try {
    return blindInputsWith(inputs, blinds, MODE_VOPRF);
  } finally {
    wipeAll(blinds);
  }
}

/**
 * Blind of RFC 9497 §3.3 with given blinds, in a given mode. Only for test vectors: a blind that is known or used twice
 * reveals the inputs.
 */
export function blindInputsWith(inputs: Uint8Array[], blinds: Uint8Array[], mode: Mode): BlindedBatch {
  assertGroupReady();
  if (inputs.length === 0 || inputs.length > MAX_BATCH_ELEMENTS || blinds.length !== inputs.length) {
    throw new InvalidInputError(`OPRF batch of ${inputs.length} inputs`, {
      check: "batch length",
      expected: `1 to ${MAX_BATCH_ELEMENTS} inputs, one blind each`,
      received: `${inputs.length} inputs, ${blinds.length} blinds`,
    });
  }
  const blinded = inputs.map((input, position) => {
    checkInputLength(input);
    const element = elementFromUniform(expandMessage(input, TAGS[mode].group));
    checkElement(element, `input ${position} on the group`);
    const blind = itemAt(blinds, position);
    checkScalar(blind, `blind ${position}`);
    return multiply(blind, element);
  });
  const inverted = invertAll(blinds);
  const batch: BlindedBatch = {
    blinded,
    wipe() {
      wipeAll(inverted);
      invertedBlinds.delete(batch);
    },
  };
  invertedBlinds.set(batch, inverted);
  return batch;
}

/** @see OprfSuite.evaluateBatch */
export function evaluateBatch(
  keyShare: Uint8Array,
  verificationShare: Uint8Array,
  blinded: Uint8Array[],
): EvaluatedBatch {
  assertGroupReady();
  checkScalar(keyShare, "key share");
  checkElement(verificationShare, "verification share");
  if (!equalBytes(multiplyBase(keyShare), verificationShare)) {
    throw new InvalidInputError("verification share is not that of the key share", { check: "key share" });
  }
  checkBatchLength(blinded, blinded.length);
  checkElements(blinded, "blinded element");
  const evaluated = blinded.map((element) => multiply(keyShare, element));
  const nonce = randomScalar();
  const proof = proveDleq(keyShare, verificationShare, blinded, evaluated, nonce);
  nonce.fill(0);
  return { evaluated, proof };
}

/** @see OprfSuite.verifyEvaluation */
export function verifyEvaluation(
  verificationShare: Uint8Array,
  blinded: Uint8Array[],
  evaluated: Uint8Array[],
  proof: Uint8Array,
): void {
  assertGroupReady();
  checkElement(verificationShare, "verification share");
  checkBatchLength(evaluated, blinded.length);
  checkElements(blinded, "blinded element");
  checkElements(evaluated, "evaluated element");
  verifyDleq(verificationShare, blinded, evaluated, proof);
}

/** @see OprfSuite.combineAndFinalize */
export function combineAndFinalize(
  batch: BlindedBatch,
  inputs: Uint8Array[],
  parts: EvaluationPart[],
  threshold: number,
): Uint8Array[] {
  assertGroupReady();
  const inverted = invertedBlinds.get(batch);
  if (inverted === undefined) {
    throw new InvalidInputError("OPRF batch has been wiped or was not blinded here", { check: "batch state" });
  }
  if (!Number.isInteger(threshold) || threshold < 1 || parts.length < threshold) {
    throw new InvalidInputError(`${parts.length} OPRF parts cannot reach the threshold ${threshold}`, {
      check: "number of parts",
      expected: `at least ${threshold}`,
      received: String(parts.length),
    });
  }
  checkBatchLength(inputs, inverted.length);
  // Any `threshold` parts give the same result; more of them only cost time.
  const quorum = parts.slice(0, threshold);
  for (const { index, evaluated } of quorum) {
    checkBatchLength(evaluated, inverted.length);
    checkElements(evaluated, `evaluated element of member ${index}`);
  }
  const coefficients = lagrangeCoefficients(
    quorum.map(({ index }) => index),
    0,
  );
  return inputs.map((input, position) => {
    const inverse = itemAt(inverted, position);
    const terms = quorum.map(({ evaluated }, member) => {
      const coefficient = itemAt(coefficients, member);
      const factor = scalarMultiply(coefficient, inverse);
      const term = multiply(factor, itemAt(evaluated, position));
      factor.fill(0);
      return term;
    });
    const unblinded = terms.reduce((sum, term) => add(sum, term));
    checkElement(unblinded, `combined element ${position}`);
    checkInputLength(input);
    const output = sha512(concatBytes(lengthPrefixed(input), lengthPrefixed(unblinded), FINALIZE));
    wipeAll([...terms, unblinded]);
    return output;
  });
}

/** The default suite. */
export const ristretto255Suite: OprfSuite = {
  name: "ristretto255-SHA512",
  elementBytes: ELEMENT_BYTES,
  scalarBytes: SCALAR_BYTES,
  proofBytes: PROOF_BYTES,
  outputBytes: OUTPUT_BYTES,
  ready: oprfReady,
  blindInputs,
  evaluateBatch,
  verifyEvaluation,
  combineAndFinalize,
};

/** Montgomery's trick: one inversion and three multiplications each, instead of one inversion each. */
function invertAll(scalars: Uint8Array[]): Uint8Array[] {
  const prefixes: Uint8Array[] = [];
  let product = scalarFromNumber(1);
  for (const scalar of scalars) {
    prefixes.push(product);
    product = scalarMultiply(product, scalar);
  }
  let inverse = scalarInvert(product);
  product.fill(0);
  const inverted: Uint8Array[] = scalars.map(() => inverse);
  for (const [offset, scalar] of [...scalars].reverse().entries()) {
    const position = scalars.length - 1 - offset;
    inverted[position] = scalarMultiply(inverse, itemAt(prefixes, position));
    const next = scalarMultiply(inverse, scalar);
    inverse.fill(0);
    inverse = next;
  }
  inverse.fill(0);
  wipeAll(prefixes);
  return inverted;
}

function checkBatchLength(values: Uint8Array[], expected: number): void {
  if (values.length === 0 || values.length > MAX_BATCH_ELEMENTS || values.length !== expected) {
    throw new InvalidInputError(`OPRF batch has ${values.length} elements`, {
      check: "batch length",
      expected: expected === 0 ? `1 to ${MAX_BATCH_ELEMENTS}` : String(expected),
      received: String(values.length),
    });
  }
}

function checkElements(elements: Uint8Array[], what: string): void {
  for (const [position, element] of elements.entries()) checkElement(element, `${what} ${position}`);
}

function checkInputLength(input: Uint8Array): void {
  if (input.length > MAX_INPUT_BYTES) {
    throw new InvalidInputError(`OPRF input has ${input.length} bytes`, {
      check: "input length",
      expected: `at most ${MAX_INPUT_BYTES} bytes`,
      received: `${input.length} bytes`,
    });
  }
}
