/**
 * Derives everything that a possession audit asks for from a 32-byte seed. contracts/libraries/PdpVerifier.sol computes
 * the same; docs/spec.md has the layouts, test/vectors/audit.json the vectors. Keccak-256 throughout; integers are 32
 * bytes, most significant first.
 *
 *   challengeId = keccak(tag("audit-challenge") ‖ seed ‖ firstIndex ‖ sliceCount ‖ sampleCount)
 *   h_t         = keccak(challengeId ‖ t), t from 0
 *   index_t     = firstIndex + (h_t mod 2^128) mod sliceCount; ν_t = ⌊h_t / 2^128⌋
 *   z           = keccak(challengeId ‖ tag("audit-point")) mod r
 *   ρ           = keccak(challengeId ‖ tag("audit-opening") ‖ V) mod r
 *   λ           = keccak(challengeId ‖ tag("audit-batch") ‖ keyHash ‖ σ ‖ ψ ‖ V ‖ W ‖ y) mod r
 *
 * with tag(name) = keccak("tallystick/v1/" ‖ name) and points in the EIP-2537 form.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { InvalidInputError } from "../errors.ts";
import { bigEndianToInteger, FIELD_ORDER, integerToBigEndian, power, reduce } from "./field.ts";

/** What is audited, and how thoroughly. */
export interface AuditChallenge {
  /** 32 bytes that the provider could not know before. */
  readonly seed: Uint8Array;
  /** Slices drawn, with repetition: 1 to 65,535. 460 find damage of 1 % with a probability of 99 %. */
  readonly sampleCount: number;
  /** Index of the first slice, at least 1. */
  readonly firstIndex: number;
  /** Slices in the range that is drawn from, at least 1. */
  readonly sliceCount: number;
}

/** An expanded challenge: slice `indices[t]` has weight `weights[t]`. */
export interface ExpandedChallenge {
  readonly indices: readonly number[];
  /** 128 bits each. */
  readonly weights: readonly bigint[];
  /** The point at which the provider opens the weighted sum of the slices. */
  readonly z: bigint;
}

const SAMPLE_COUNT_LIMIT = 65_535;
const SEED_BYTES = 32;
const LOW_128_BITS = (1n << 128n) - 1n;

function tag(name: string): Uint8Array {
  return keccak_256(new TextEncoder().encode(`tallystick/v1/${name}`));
}

const CHALLENGE_TAG = tag("audit-challenge");
const POINT_TAG = tag("audit-point");
const OPENING_TAG = tag("audit-opening");
const BATCH_TAG = tag("audit-batch");

function word(value: number | bigint): Uint8Array {
  return integerToBigEndian(BigInt(value), 32);
}

function hashToScalar(...parts: Uint8Array[]): bigint {
  return reduce(bigEndianToInteger(keccak_256(concatBytes(...parts))));
}

/**
 * Refuses challenges outside the protocol.
 * @throws InvalidInputError
 */
export function checkChallenge(challenge: AuditChallenge): void {
  const { seed, sampleCount, firstIndex, sliceCount } = challenge;
  const refuse = (check: string, expected: string, received: string) => {
    throw new InvalidInputError(`audit challenge: bad ${check}`, { check, expected, received });
  };
  if (seed.length !== SEED_BYTES) refuse("seed", `${SEED_BYTES} bytes`, `${seed.length} bytes`);
  if (!(Number.isInteger(sampleCount) && sampleCount >= 1 && sampleCount <= SAMPLE_COUNT_LIMIT)) {
    refuse("sample count", `1 to ${SAMPLE_COUNT_LIMIT}`, String(sampleCount));
  }
  if (!(Number.isInteger(firstIndex) && firstIndex >= 1)) refuse("first index", "at least 1", String(firstIndex));
  if (!(Number.isInteger(sliceCount) && sliceCount >= 1 && Number.isSafeInteger(firstIndex + sliceCount))) {
    refuse("slice count", "at least 1", String(sliceCount));
  }
}

/** Identifies one challenge; all its randomness is derived from this. @returns 32 bytes */
export function challengeId(challenge: AuditChallenge): Uint8Array {
  checkChallenge(challenge);
  const { seed, sampleCount, firstIndex, sliceCount } = challenge;
  return keccak_256(concatBytes(CHALLENGE_TAG, seed, word(firstIndex), word(sliceCount), word(sampleCount)));
}

/** Draws indices, weights and the evaluation point. @throws InvalidInputError for a challenge outside the protocol */
export function expandChallenge(challenge: AuditChallenge): ExpandedChallenge {
  const id = challengeId(challenge);
  const indices: number[] = [];
  const weights: bigint[] = [];
  for (let t = 0; t < challenge.sampleCount; t++) {
    const hash = bigEndianToInteger(keccak_256(concatBytes(id, word(t))));
    indices.push(challenge.firstIndex + Number((hash & LOW_128_BITS) % BigInt(challenge.sliceCount)));
    weights.push(hash >> 128n);
  }
  return { indices, weights, z: hashToScalar(id, POINT_TAG) };
}

/** The point ρ at which V is opened. @param V 128 bytes, EIP-2537 */
export function openingPoint(id: Uint8Array, V: Uint8Array): bigint {
  return hashToScalar(id, OPENING_TAG, V);
}

/** The weight λ that joins both equations. @param points σ, ψ, V, W, 128 bytes each, EIP-2537 @param y 32 bytes */
export function batchWeight(id: Uint8Array, keyHash: Uint8Array, points: readonly Uint8Array[], y: Uint8Array): bigint {
  return hashToScalar(id, BATCH_TAG, keyHash, ...points, y);
}

/** v(point) = Σ ν_t · point^index_t. */
export function evaluateChallenge({ indices, weights }: ExpandedChallenge, point: bigint): bigint {
  return indices.reduce((sum, index, t) => (sum + (weights[t] ?? 0n) * power(point, BigInt(index))) % FIELD_ORDER, 0n);
}
