/**
 * Batched proofs of discrete logarithm equality (RFC 9497 §2.2), suite ristretto255-SHA512, and the hashing they share
 * with the OPRF itself. One proof of 64 bytes shows that all D_i = k·C_i for the k of B = k·G.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { u16be } from "../encoding/integers.ts";
import { InvalidInputError, InvalidProofError, InvalidScalarError } from "../errors.ts";
import {
  add,
  checkCanonicalScalar,
  identityElement,
  itemAt,
  multiply,
  multiplyBase,
  SCALAR_BYTES,
  scalarFromUniform,
  scalarMultiply,
  scalarSubtract,
  sha512,
} from "./group.ts";

/** c ‖ s. */
export const PROOF_BYTES = 2 * SCALAR_BYTES;
/** The batch index is encoded on two bytes. */
export const MAX_BATCH_ELEMENTS = 65_535;

export const MODE_OPRF = 0x00;
export const MODE_VOPRF = 0x01;
/** RFC 9497 §3.1, the modes built here. */
export type Mode = typeof MODE_OPRF | typeof MODE_VOPRF;

const encoder = new TextEncoder();
const SHA512_BLOCK_BYTES = 128;
const UNIFORM_BYTES = 64;
const CHALLENGE = encoder.encode("Challenge");
const COMPOSITE = encoder.encode("Composite");

/** RFC 9497 §3.1, CreateContextString: "OPRFV1-" ‖ mode ‖ "-" ‖ suite. */
function contextString(mode: Mode): Uint8Array {
  return concatBytes(encoder.encode("OPRFV1-"), Uint8Array.of(mode), encoder.encode("-ristretto255-SHA512"));
}

function tagged(prefix: string, mode: Mode): Uint8Array {
  return concatBytes(encoder.encode(prefix), contextString(mode));
}

/** Domain separation tags of each mode (RFC 9497 §4.1). */
export const TAGS = {
  [MODE_OPRF]: { group: tagged("HashToGroup-", MODE_OPRF), scalar: tagged("HashToScalar-", MODE_OPRF) },
  [MODE_VOPRF]: { group: tagged("HashToGroup-", MODE_VOPRF), scalar: tagged("HashToScalar-", MODE_VOPRF) },
} as const;
const SEED_TAG = tagged("Seed-", MODE_VOPRF);

/** I2OSP(len, 2) ‖ bytes. */
export function lengthPrefixed(bytes: Uint8Array): Uint8Array {
  return concatBytes(u16be(bytes.length), bytes);
}

/**
 * expand_message_xmd with SHA-512 for exactly 64 bytes (RFC 9380 §5.3.1; two hashes, since 64 bytes are one block b_1).
 */
export function expandMessage(message: Uint8Array, tag: Uint8Array): Uint8Array {
  const tagPrime = concatBytes(tag, Uint8Array.of(tag.length));
  const padding = new Uint8Array(SHA512_BLOCK_BYTES);
  const b0 = sha512(concatBytes(padding, message, u16be(UNIFORM_BYTES), Uint8Array.of(0), tagPrime));
  return sha512(concatBytes(b0, Uint8Array.of(1), tagPrime));
}

/** HashToScalar of RFC 9497 §4.1. */
export function hashToScalar(message: Uint8Array, mode: Mode): Uint8Array {
  return scalarFromUniform(expandMessage(message, TAGS[mode].scalar));
}

/** The weights d_i of ComputeComposites (RFC 9497 §2.2.1). */
function compositeWeights(publicKey: Uint8Array, from: Uint8Array[], to: Uint8Array[]): Uint8Array[] {
  const seed = lengthPrefixed(sha512(concatBytes(lengthPrefixed(publicKey), lengthPrefixed(SEED_TAG))));
  return from.map((element, index) => {
    const image = lengthPrefixed(itemAt(to, index));
    const transcript = concatBytes(seed, u16be(index), lengthPrefixed(element), image, COMPOSITE);
    return hashToScalar(transcript, MODE_VOPRF);
  });
}

/** Σ weight_i · element_i. */
function weightedSum(weights: Uint8Array[], elements: Uint8Array[]): Uint8Array {
  return elements.reduce((sum, element, index) => {
    const term = multiply(itemAt(weights, index), element);
    return index === 0 ? term : add(sum, term);
  }, identityElement());
}

/** The challenge c = HashToScalar(B, M, Z, t2, t3). */
function challenge(...elements: Uint8Array[]): Uint8Array {
  return hashToScalar(concatBytes(...elements.map(lengthPrefixed), CHALLENGE), MODE_VOPRF);
}

function checkBatch(from: Uint8Array[], to: Uint8Array[]): void {
  if (from.length !== to.length || from.length === 0 || from.length > MAX_BATCH_ELEMENTS) {
    throw new InvalidInputError(`DLEQ batch of ${from.length} and ${to.length} elements`, {
      check: "batch length",
      expected: `two lists of equal length, 1 to ${MAX_BATCH_ELEMENTS}`,
    });
  }
}

/**
 * GenerateProof (RFC 9497 §2.2.1) with ComputeCompositesFast.
 *
 * @param key k, a checked scalar; @param publicKey B = k·G
 * @param from C_i, checked elements; @param to D_i = k·C_i
 * @param nonce the proof's random scalar: fresh and secret for every call; the caller wipes it.
 * @returns c ‖ s, 64 bytes
 * @throws InvalidInputError for an empty, uneven or oversize batch
 */
export function proveDleq(
  key: Uint8Array,
  publicKey: Uint8Array,
  from: Uint8Array[],
  to: Uint8Array[],
  nonce: Uint8Array,
): Uint8Array {
  checkBatch(from, to);
  const m = weightedSum(compositeWeights(publicKey, from, to), from);
  const z = multiply(key, m);
  const c = challenge(publicKey, m, z, multiplyBase(nonce), multiply(nonce, m));
  const product = scalarMultiply(c, key);
  const s = scalarSubtract(nonce, product);
  product.fill(0);
  return concatBytes(c, s);
}

/**
 * VerifyProof (RFC 9497 §2.2.2).
 *
 * @param publicKey B, @param from C_i, @param to D_i: checked elements
 * @throws InvalidProofError when the proof is malformed or does not verify
 * @throws InvalidInputError for an empty, uneven or oversize batch
 */
export function verifyDleq(publicKey: Uint8Array, from: Uint8Array[], to: Uint8Array[], proof: Uint8Array): void {
  checkBatch(from, to);
  if (proof.length !== PROOF_BYTES) {
    throw new InvalidProofError(`DLEQ proof has ${proof.length} bytes instead of ${PROOF_BYTES}`, {
      check: "proof length",
      expected: `${PROOF_BYTES} bytes`,
      received: `${proof.length} bytes`,
    });
  }
  const c = proof.subarray(0, SCALAR_BYTES);
  const s = proof.subarray(SCALAR_BYTES);
  try {
    checkCanonicalScalar(c, "challenge of the DLEQ proof");
    checkCanonicalScalar(s, "response of the DLEQ proof");
  } catch (cause) {
    if (!(cause instanceof InvalidScalarError)) throw cause;
    throw new InvalidProofError(cause.message, { check: "proof scalars", cause });
  }
  const weights = compositeWeights(publicKey, from, to);
  const m = weightedSum(weights, from);
  const z = weightedSum(weights, to);
  const t2 = add(multiplyBase(s), multiply(c, publicKey));
  const t3 = add(multiply(s, m), multiply(c, z));
  if (!equalBytes(c, challenge(publicKey, m, z, t2, t3))) {
    throw new InvalidProofError("DLEQ proof does not verify", { check: "DLEQ" });
  }
}
