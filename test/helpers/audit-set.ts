/**
 * Audit sets for tests: a small real one, stored in memory as a provider would, and one of any size whose proofs are
 * computed from the owner's secrets, since nobody wants to build a terabyte to test an index range.
 */
import {
  type AuditChallenge,
  challengeId,
  evaluateChallenge,
  expandChallenge,
  openingPoint,
} from "../../offchain/core/audit/challenge.ts";
import { encodeG1, encodeG1ForChain } from "../../offchain/core/audit/curve.ts";
import {
  encodeScalar,
  evaluatePolynomial,
  FIELD_ORDER,
  power,
  readElements,
  reduce,
  sliceBytes,
} from "../../offchain/core/audit/field.ts";
import { multiplyGeneratorG1 } from "../../offchain/core/audit/fixed-base.ts";
import {
  type AuditPublicKey,
  type AuditSecrets,
  auditKeyHash,
  auditPublicKey,
  deriveDataSetSecrets,
} from "../../offchain/core/audit/keys.ts";
import { powersOfAlpha, powersOfBeta } from "../../offchain/core/audit/powers.ts";
import type { AuditProof } from "../../offchain/core/audit/proof.ts";
import type { SliceSource } from "../../offchain/core/audit/prover.ts";
import { SliceTagger } from "../../offchain/core/audit/tags.ts";

/** Slices of these sets, in elements: shorter than by default, since a set begins with a point for each element. */
export const SET_SLICE_ELEMENTS = 4096;
export const SET_SLICE_BYTES = sliceBytes(SET_SLICE_ELEMENTS);

/** An owner's keys for one data set. */
export interface AuditKeys {
  readonly secrets: AuditSecrets;
  readonly x: bigint;
  readonly publicKey: AuditPublicKey;
}

/** Keys from one byte repeated, so that vectors stay the same. Call after `auditReady`. */
export function testKeys(seedByte = 1, saltByte = 2): AuditKeys {
  const auditSeed = new Uint8Array(32).fill(seedByte);
  const { x, ...secrets } = deriveDataSetSecrets(auditSeed, new Uint8Array(32).fill(saltByte));
  return { secrets, x, publicKey: auditPublicKey(secrets, x) };
}

/** Bytes that look random and are the same every time (xorshift32). */
export function patternBytes(lengthBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let state = seed * 0x9e3779b1 + 1;
  for (let i = 0; i < lengthBytes; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

/** A data set as a provider stores it. A test may change the arrays to damage them. */
export interface StoredSet {
  readonly slices: Uint8Array[];
  readonly powersA: Uint8Array;
  readonly powersB: Uint8Array;
  readonly tags: Uint8Array;
  readonly firstIndex: number;
  readonly source: SliceSource;
}

const POINT_BYTES = 96;

/** Powers of α by owner: they are the same for all sets, and the prover keeps decoded points with the array. */
const powersOfOwner = new WeakMap<AuditSecrets, Map<number, Uint8Array>>();

function sharedPowersA(secrets: AuditSecrets, sliceElements: number): Uint8Array {
  const bySize = powersOfOwner.get(secrets) ?? new Map<number, Uint8Array>();
  powersOfOwner.set(secrets, bySize);
  const powers = bySize.get(sliceElements) ?? powersOfAlpha(secrets, 0, sliceElements);
  bySize.set(sliceElements, powers);
  return powers;
}

/** Tags data and stores it with its powers. */
export function storeSet(
  keys: AuditKeys,
  data: Uint8Array,
  firstIndex = 1,
  sliceElements = SET_SLICE_ELEMENTS,
): StoredSet {
  const sizeBytes = sliceBytes(sliceElements);
  const tagger = new SliceTagger(keys.secrets, keys.x, firstIndex, sliceElements);
  tagger.push(data);
  const tags = tagger.finish();
  const slices = Array.from({ length: tagger.sliceCount }, (_, k) => {
    const slice = new Uint8Array(sizeBytes);
    slice.set(data.subarray(k * sizeBytes, (k + 1) * sizeBytes));
    return slice;
  });
  const powersA = sharedPowersA(keys.secrets, sliceElements);
  const powersB = powersOfBeta(keys.secrets, 1, firstIndex + slices.length - 1);
  const point = (points: Uint8Array, position: number, count = 1) =>
    points.subarray(position * POINT_BYTES, (position + count) * POINT_BYTES);
  const source: SliceSource = {
    sliceElements,
    powersA,
    readSlice: async (index) => slices[index - firstIndex] ?? new Uint8Array(0),
    readTag: async (index) => point(tags, index - firstIndex),
    readPowersB: async (first, count) => point(powersB, first - 1, count),
  };
  return { slices, powersA, powersB, tags, firstIndex, source };
}

/**
 * The proof an honest provider would give, from the owner's secrets and the drawn slices only: each commitment is its
 * exponent times the generator.
 */
export function proveWithSecrets(
  keys: AuditKeys,
  challenge: AuditChallenge,
  sliceAt: (index: number) => Uint8Array,
): Required<AuditProof> {
  const { secrets, x, publicKey } = keys;
  const expanded = expandChallenge(challenge);
  const sums = new Array<bigint>(SET_SLICE_ELEMENTS).fill(0n);
  for (const [t, index] of expanded.indices.entries()) {
    const weight = expanded.weights[t] ?? 0n;
    for (const [j, element] of readElements(sliceAt(index)).entries()) {
      sums[j] = ((sums[j] ?? 0n) + weight * element) % FIELD_ORDER;
    }
  }
  const inverse = (value: bigint) => power(value, FIELD_ORDER - 2n);
  const atAlpha = evaluatePolynomial(sums, secrets.alpha);
  const y = evaluatePolynomial(sums, expanded.z);
  const atBeta = evaluateChallenge(expanded, secrets.beta);
  const sigma = multiplyGeneratorG1(reduce(x * (atBeta + atAlpha)));
  const rho = openingPoint(challengeId(challenge), auditKeyHash(publicKey), encodeG1ForChain(sigma), encodeScalar(y));
  const psi = (atAlpha - y) * inverse(secrets.alpha - expanded.z);
  const W = (atBeta - evaluateChallenge(expanded, rho)) * inverse(secrets.beta - rho);
  return {
    sigma: encodeG1(sigma),
    psi: encodeG1(multiplyGeneratorG1(reduce(psi))),
    W: encodeG1(multiplyGeneratorG1(reduce(W))),
    y,
  };
}

/** Slices of a set of 1 TiB at 126,976 bytes each. */
export const TEBIBYTE_SLICES = Math.ceil(2 ** 40 / SET_SLICE_BYTES);
/** Slices of a set of 1 MiB. */
export const MEBIBYTE_SLICES = Math.ceil(2 ** 20 / SET_SLICE_BYTES);

/** A slice that only its first elements fill, cheap to make for any index. */
export function sparseSlice(index: number): Uint8Array {
  const slice = new Uint8Array(SET_SLICE_BYTES);
  slice.set(patternBytes(310, index));
  return slice;
}
