/**
 * Challenges for proofs of ownership by secret positions (R. Di Pietro and A. Sorniotti, "Boosting efficiency and
 * security in proof of ownership for deduplication", ASIACCS 2012). While a provider has the bytes of an object, it
 * prepares single-use challenges: a random nonce, the positions that follow from it under a secret of the provider, and
 * the hash of the bytes at these positions. Later it compares that hash with a claimant's, without reading the object.
 *
 * Nobody else can compute positions ahead of a claim. The hash names the provider, so that a provider cannot pass a
 * challenge of another provider on to its own users. Docs/spec.md, section 7.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { createSha256, randomBytes } from "#primitives";
import { InvalidInputError } from "../errors.ts";
import { domainTag, kdf } from "./kdf.ts";

/** Places of an object that a challenge asks for. */
export const CHALLENGE_PLACES = 20;
/** Bytes at each place. */
export const PLACE_BYTES = 32;
export const CHALLENGE_NONCE_BYTES = 16;
export const CHALLENGE_ANSWER_BYTES = 32;

/** Bytes of the random number from which a position is taken: the bias towards small offsets is below 2^-43. */
const DRAW_BYTES = 8;

const ANSWER_TAG = domainTag("ownership-answer");

/**
 * How many positions a challenge for an object of this size has.
 *
 * @returns 20, or 0 for an object that is too small for disjoint places: its challenge is about the whole object
 */
export function positionCount(sizeBytes: number): number {
  return sizeBytes < CHALLENGE_PLACES * PLACE_BYTES ? 0 : CHALLENGE_PLACES;
}

/**
 * Derives the positions of a challenge. The object is divided into 20 sections of equal length, and one place lies in
 * each, so that a contiguous part of the object never covers all places.
 *
 * @param secret 32 bytes that only the provider knows
 * @param digest SHA-256 of the object
 * @param nonce 16 bytes
 * @returns byte offsets in ascending order; none for an object below 640 bytes
 */
export function challengePositions(
  secret: Uint8Array,
  digest: Uint8Array,
  sizeBytes: number,
  nonce: Uint8Array,
): number[] {
  const count = positionCount(sizeBytes);
  if (count === 0) return [];
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, sizeBytes);
  const drawn = kdf(secret, "ownership-positions", concatBytes(digest, size, nonce), count * DRAW_BYTES);
  const view = new DataView(drawn.buffer, drawn.byteOffset, drawn.byteLength);
  return Array.from({ length: count }, (_, k) => {
    const start = Math.floor((k * sizeBytes) / count);
    const end = Math.floor(((k + 1) * sizeBytes) / count);
    return start + Number(view.getBigUint64(k * DRAW_BYTES) % BigInt(end - start - PLACE_BYTES + 1));
  });
}

/**
 * The answer to a challenge: SHA-256(tag("ownership-answer") ‖ provider's account ‖ nonce ‖ the bytes at the positions,
 * in the order of the challenge). Without positions it covers the whole object.
 *
 * @param provider account of the provider, 20 bytes
 * @returns 32 bytes
 * @throws InvalidInputError for another number of positions than the size has, or one outside the object
 */
export function challengeAnswer(
  provider: Uint8Array,
  nonce: Uint8Array,
  object: Uint8Array,
  positions: readonly number[],
): Uint8Array {
  const count = positionCount(object.length);
  const last = object.length - PLACE_BYTES;
  if (positions.length !== count || !positions.every((at) => Number.isInteger(at) && at >= 0 && at <= last)) {
    throw new InvalidInputError("the challenge does not fit the object", {
      check: "challenge positions",
      expected: `${count} positions from 0 to ${last}`,
      received: `${positions.length} positions: ${positions.slice(0, CHALLENGE_PLACES).join(", ")}`,
    });
  }
  const hash = createSha256();
  for (const part of [ANSWER_TAG, provider, nonce]) hash.update(part);
  if (count === 0) hash.update(object);
  for (const at of positions) hash.update(object.subarray(at, at + PLACE_BYTES));
  return hash.digest();
}

/** A challenge that was prepared, and the answer to it. */
export interface PreparedChallenge {
  /** 16 bytes. */
  readonly nonce: Uint8Array;
  /** 32 bytes. */
  readonly answer: Uint8Array;
}

/**
 * Prepares challenges about an object.
 *
 * @param provider account of the provider, 20 bytes
 * @param secret 32 bytes that only the provider knows
 * @param digest SHA-256 of the object
 */
export function prepareChallenges(
  provider: Uint8Array,
  secret: Uint8Array,
  digest: Uint8Array,
  object: Uint8Array,
  count: number,
): PreparedChallenge[] {
  return Array.from({ length: count }, () => {
    const nonce = randomBytes(CHALLENGE_NONCE_BYTES);
    const positions = challengePositions(secret, digest, object.length, nonce);
    return { nonce, answer: challengeAnswer(provider, nonce, object, positions) };
  });
}
