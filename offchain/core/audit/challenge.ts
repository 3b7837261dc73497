/**
 * Derives everything that a possession audit asks for from a 32-byte seed. contracts/libraries/PdpVerifier.sol computes
 * the same; docs/spec.md has the layouts, test/vectors/audit.json the vectors. Keccak-256 throughout; integers are 32
 * bytes, most significant first.
 *
 *   ranges      = per range firstIndex (6) ‖ count (6), n = Σ count
 *   challengeId = keccak(tag("audit-challenge") ‖ seed ‖ keccak(ranges) ‖ sampleCount)
 *   h_t         = keccak(challengeId ‖ t), t from 0
 *   index_t     = the ((h_t mod 2^128) mod n)-th index of the ranges, from 0; ν_t = ⌊h_t / 2^128⌋
 *   z           = keccak(challengeId ‖ tag("audit-point")) mod r
 *   ρ           = keccak(challengeId ‖ tag("audit-opening") ‖ keyHash ‖ σ ‖ y) mod r
 *   w_k         = keccak(tag("audit-batch") ‖ T ‖ k) mod r for set k ≥ 1 of a batch, w_0 = 1
 *   T           = keccak of (challengeId ‖ keyHash ‖ σ ‖ ψ ‖ W ‖ y) of all its sets, one after the other
 *
 * with tag(name) = keccak("tallystick/v2/" ‖ name) and points in the EIP-2537 form.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { InvalidInputError } from "../errors.ts";
import { bigEndianToInteger, FIELD_ORDER, integerToBigEndian, power, reduce } from "./field.ts";

/** Consecutive slices that are live. */
export interface SliceRange {
  /** Index of the first slice, at least 1. */
  readonly firstIndex: number;
  /** At least 1. */
  readonly count: number;
}

/** What is audited, and how thoroughly. */
export interface AuditChallenge {
  /** 32 bytes that the provider could not know before. */
  readonly seed: Uint8Array;
  /** Slices drawn, with repetition: 1 to 65,535. 460 find damage of 1 % with a probability of 99 %. */
  readonly sampleCount: number;
  /** The slices that are drawn from: 1 to 32 ranges, ascending and disjoint, all indices below 2^48. */
  readonly ranges: readonly SliceRange[];
}

/** An expanded challenge: slice `indices[t]` has weight `weights[t]`. */
export interface ExpandedChallenge {
  readonly indices: readonly number[];
  /** 128 bits each. */
  readonly weights: readonly bigint[];
  /** The point at which the provider opens the weighted sum of the slices. */
  readonly z: bigint;
}

/** What one set of a batch adds to the transcript from which the weights are drawn. */
export interface BatchRecord {
  readonly id: Uint8Array;
  readonly keyHash: Uint8Array;
  /** σ, ψ, W, 128 bytes each, EIP-2537. */
  readonly points: readonly [Uint8Array, Uint8Array, Uint8Array];
  /** 32 bytes. */
  readonly y: Uint8Array;
}

const SAMPLE_COUNT_LIMIT = 65_535;
const SEED_BYTES = 32;
const RANGE_LIMIT = 32;
const INDEX_BYTES = 6;
const INDEX_LIMIT = 2 ** 48;
/** The contract compares the offsets of several ranges in lanes of 32 bits, whose highest bit it needs. */
const SEVERAL_RANGES_LIMIT = 2 ** 31;
const LOW_128_BITS = (1n << 128n) - 1n;

function tag(name: string): Uint8Array {
  return keccak_256(new TextEncoder().encode(`tallystick/v2/${name}`));
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

function refuse(check: string, expected: string, received: string): InvalidInputError {
  return new InvalidInputError(`audit challenge: bad ${check}`, { check, expected, received });
}

/** Slices in all ranges. @throws InvalidInputError unless the ranges are those of the protocol */
export function countSlices(ranges: readonly SliceRange[]): number {
  if (!(ranges.length >= 1 && ranges.length <= RANGE_LIMIT)) {
    throw refuse("range count", `1 to ${RANGE_LIMIT}`, String(ranges.length));
  }
  let [sliceCount, nextIndex] = [0, 1];
  for (const { firstIndex, count } of ranges) {
    if (!(Number.isSafeInteger(firstIndex) && firstIndex >= nextIndex)) {
      throw refuse("first index", `at least ${nextIndex}`, String(firstIndex));
    }
    if (!(Number.isSafeInteger(count) && count >= 1 && firstIndex + count <= INDEX_LIMIT)) {
      throw refuse("slice count", `at least 1, and indices below ${INDEX_LIMIT}`, String(count));
    }
    sliceCount += count;
    nextIndex = firstIndex + count;
  }
  if (ranges.length > 1 && sliceCount >= SEVERAL_RANGES_LIMIT) {
    throw refuse("slice count", `below ${SEVERAL_RANGES_LIMIT} in several ranges`, String(sliceCount));
  }
  return sliceCount;
}

/**
 * Refuses challenges outside the protocol.
 * @returns slices that are drawn from
 * @throws InvalidInputError
 */
export function checkChallenge({ seed, sampleCount, ranges }: AuditChallenge): number {
  if (seed.length !== SEED_BYTES) throw refuse("seed", `${SEED_BYTES} bytes`, `${seed.length} bytes`);
  if (!(Number.isInteger(sampleCount) && sampleCount >= 1 && sampleCount <= SAMPLE_COUNT_LIMIT)) {
    throw refuse("sample count", `1 to ${SAMPLE_COUNT_LIMIT}`, String(sampleCount));
  }
  return countSlices(ranges);
}

/** The list as a contract takes it. @returns 12 bytes for each range @throws InvalidInputError */
export function encodeRanges(ranges: readonly SliceRange[]): Uint8Array {
  countSlices(ranges);
  const numbers = ranges.flatMap(({ firstIndex, count }) => [firstIndex, count]);
  return concatBytes(...numbers.map((value) => integerToBigEndian(BigInt(value), INDEX_BYTES)));
}

/** Identifies one challenge; all its randomness is derived from this. @returns 32 bytes */
export function challengeId(challenge: AuditChallenge): Uint8Array {
  checkChallenge(challenge);
  const { seed, sampleCount, ranges } = challenge;
  return keccak_256(concatBytes(CHALLENGE_TAG, seed, keccak_256(encodeRanges(ranges)), word(sampleCount)));
}

/** The index at each of many offsets into the ranges. */
function indexLookup(ranges: readonly SliceRange[]): (offset: number) => number {
  const ends: number[] = [];
  for (const { count } of ranges) ends.push((ends.at(-1) ?? 0) + count);
  return (offset) => {
    // The first range that ends above the offset.
    let [low, high] = [0, ends.length - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] ?? 0) > offset) high = middle;
      else low = middle + 1;
    }
    const { firstIndex = 0, count = 0 } = ranges[low] ?? {};
    return firstIndex + offset - ((ends[low] ?? 0) - count);
  };
}

/** Draws indices, weights and the evaluation point. @throws InvalidInputError for a challenge outside the protocol */
export function expandChallenge(challenge: AuditChallenge): ExpandedChallenge {
  const id = challengeId(challenge);
  const sliceCount = BigInt(checkChallenge(challenge));
  const indexAt = indexLookup(challenge.ranges);
  const indices: number[] = [];
  const weights: bigint[] = [];
  for (let t = 0; t < challenge.sampleCount; t++) {
    const hash = bigEndianToInteger(keccak_256(concatBytes(id, word(t))));
    indices.push(indexAt(Number((hash & LOW_128_BITS) % sliceCount)));
    weights.push(hash >> 128n);
  }
  return { indices, weights, z: hashToScalar(id, POINT_TAG) };
}

/**
 * The point ρ at which v is opened, drawn after σ and y are fixed.
 * @param keyHash 32 bytes
 * @param sigma 128 bytes, EIP-2537
 * @param y 32 bytes
 */
export function openingPoint(id: Uint8Array, keyHash: Uint8Array, sigma: Uint8Array, y: Uint8Array): bigint {
  return hashToScalar(id, OPENING_TAG, keyHash, sigma, y);
}

/** The weights w_k of the sets of a batch; the first one is 1. */
export function batchWeights(records: readonly BatchRecord[]): bigint[] {
  const parts = records.flatMap(({ id, keyHash, points, y }) => [id, keyHash, ...points, y]);
  const transcript = keccak_256(concatBytes(...parts));
  return records.map((_, k) => (k === 0 ? 1n : hashToScalar(BATCH_TAG, transcript, word(k))));
}

/** v(point) = Σ ν_t · point^index_t. */
export function evaluateChallenge({ indices, weights }: ExpandedChallenge, point: bigint): bigint {
  return indices.reduce((sum, index, t) => (sum + (weights[t] ?? 0n) * power(point, BigInt(index))) % FIELD_ORDER, 0n);
}

/** A challenge as the arguments of a contract call. */
export interface ChainChallenge {
  readonly seed: Uint8Array;
  /** 12 bytes for each range. */
  readonly ranges: Uint8Array;
  readonly sampleCount: number;
}

/** The challenge as a contract takes it. @throws InvalidInputError for a challenge outside the protocol */
export function challengeForChain(challenge: AuditChallenge): ChainChallenge {
  checkChallenge(challenge);
  const { seed, sampleCount, ranges } = challenge;
  return { seed, ranges: encodeRanges(ranges), sampleCount };
}
