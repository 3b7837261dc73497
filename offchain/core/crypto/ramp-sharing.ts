/**
 * Ramp secret sharing over GF(2^8): of n shares any k rebuild the secret, any r reveal nothing, and each share is
 * ⌈secret/(k − r)⌉ bytes long (Blakley and Meadows 1984; Li, Qin, Lee, Lou: Dekey, 2014). With r = k − 1 it is Shamir's
 * scheme.
 *
 * The secret is cut into k − r pieces, r random pieces follow, and share j is the polynomial with these k coefficients
 * at x = j, byte by byte. Between r and k shares reveal part of the secret, in exchange for shorter shares.
 *
 * Deterministic variant: the random pieces derive from the secret and a context, so that equal secrets have equal
 * shares in one context, and shares of different contexts do not add up. Privacy then rests on the secret being
 * unguessable. With r < k − 1, whoever holds more than r shares in each of several contexts learns more of the secret
 * than from one: then keep to one context.
 */

import { randomBytes } from "#primitives";
import { IntegrityError, InvalidInputError, TallystickError } from "../errors.ts";
import { addMultiple, invert, multiply } from "./gf256.ts";
import { kdf } from "./kdf.ts";

/** (n, k, r): 1 ≤ k ≤ n ≤ 255 and 0 ≤ r < k. */
export interface SharingParameters {
  /** n: how many shares there are; their indices are 1 … n. */
  shares: number;
  /** k: how many rebuild the secret. */
  threshold: number;
  /** r: how many reveal nothing. */
  privacy: number;
}

/** Most shares: the field has 255 elements other than zero. */
export const MAX_SHARES = 255;
/** Longest share in bytes, the most that one HKDF call expands to. */
export const MAX_SHARE_BYTES = 8160;

/** Length of each share in bytes. @throws InvalidInputError for impossible parameters or lengths. */
export function shareLength(parameters: SharingParameters, secretBytes: number): number {
  checkParameters(parameters);
  const length = Math.ceil(secretBytes / (parameters.threshold - parameters.privacy));
  if (!Number.isInteger(secretBytes) || length < 1 || length > MAX_SHARE_BYTES) {
    throw new InvalidInputError(`a secret of ${secretBytes} bytes cannot be shared`, {
      check: "secret length",
      expected: `shares of 1 to ${MAX_SHARE_BYTES} bytes`,
      received: `${secretBytes} bytes`,
    });
  }
  return length;
}

/**
 * Splits a secret.
 *
 * @param randomness `random`, or a context, at most 480 bytes: equal secrets, contexts and (k, r) give equal shares;
 *   only for secrets of high entropy.
 * @returns n shares; share j (from 1) is at position j − 1
 * @throws InvalidInputError for impossible parameters or lengths
 */
export function splitSecret(
  secret: Uint8Array,
  parameters: SharingParameters,
  randomness: "random" | { readonly context: Uint8Array },
): Uint8Array[] {
  const length = shareLength(parameters, secret.length);
  const { threshold, privacy } = parameters;
  const pieces: Uint8Array[] = [];
  for (let start = 0; pieces.length < threshold - privacy; start += length) {
    const piece = new Uint8Array(length);
    piece.set(secret.subarray(start, start + length));
    pieces.push(piece);
  }
  for (let piece = 0; piece < privacy; piece += 1) {
    pieces.push(
      randomness === "random"
        ? randomBytes(length)
        : kdf(secret, "ramp-sharing", Uint8Array.of(threshold, privacy, piece, ...randomness.context), length),
    );
  }
  const shares = sharesOfPieces(pieces, parameters.shares);
  for (const piece of pieces) piece.fill(0);
  return shares;
}

/** Shares 1 … n of the polynomial whose coefficients are the pieces: k − r of the secret, then r random ones. */
export function sharesOfPieces(pieces: Uint8Array[], shares: number): Uint8Array[] {
  return Array.from({ length: shares }, (_, position) => evaluate(pieces, position + 1));
}

/**
 * Rebuilds a secret from at least k shares. If there are more than k, all must agree; they do not show which one is
 * wrong.
 *
 * @param shares share by index
 * @param secretBytes length of the secret
 * @throws InvalidInputError for impossible parameters, indices or lengths
 * @throws TallystickError SHARES_MISSING for fewer than k shares
 * @throws IntegrityError when the shares do not belong together
 */
export function combineShares(
  shares: ReadonlyMap<number, Uint8Array>,
  parameters: SharingParameters,
  secretBytes: number,
): Uint8Array {
  const length = shareLength(parameters, secretBytes);
  const { threshold, privacy } = parameters;
  for (const [index, share] of shares) checkShare(index, share, parameters.shares, length);
  if (shares.size < threshold) {
    throw new TallystickError(`${shares.size} shares cannot rebuild what takes ${threshold}`, {
      code: "SHARES_MISSING",
      check: "number of shares",
      expected: `at least ${threshold}`,
      received: String(shares.size),
    });
  }
  const ordered = [...shares].sort(([a], [b]) => a - b);
  const pieces = interpolate(ordered.slice(0, threshold), length);
  const consistent = ordered
    .slice(threshold)
    .every(([index, share]) => evaluate(pieces, index).every((byte, at) => byte === share[at]));
  const padded = new Uint8Array(length * (threshold - privacy));
  for (const [position, piece] of pieces.slice(0, threshold - privacy).entries()) padded.set(piece, position * length);
  const secret = padded.slice(0, secretBytes);
  const padding = padded.subarray(secretBytes).some((byte) => byte !== 0);
  for (const piece of [...pieces, padded]) piece.fill(0);
  if (!consistent || padding) {
    secret.fill(0);
    throw new IntegrityError("shares do not belong together", {
      check: padding ? "padding of the secret" : "agreement of shares",
    });
  }
  return secret;
}

/** Horner's rule; x is public. */
function evaluate(coefficients: Uint8Array[], x: number): Uint8Array {
  return coefficients.reduceRight(
    (sum, coefficient) => {
      const next = coefficient.slice();
      addMultiple(next, x, sum);
      sum.fill(0);
      return next;
    },
    new Uint8Array(coefficients[0]?.length ?? 0),
  );
}

/** The k coefficients of the polynomial through k points, from Lagrange's basis polynomials. */
function interpolate(points: [number, Uint8Array][], length: number): Uint8Array[] {
  const pieces = points.map(() => new Uint8Array(length));
  for (const [own, share] of points) {
    // ∏ (X − x_j)/(x_i − x_j) over the other points, coefficients from the constant term up.
    let basis = [1];
    for (const [other] of points) {
      if (other === own) continue;
      const scale = invert(own ^ other);
      const shifted = [0, ...basis];
      basis = shifted.map((term, power) => multiply(scale, term ^ multiply(other, basis[power] ?? 0)));
    }
    for (const [power, piece] of pieces.entries()) addMultiple(piece, basis[power] ?? 0, share);
  }
  return pieces;
}

function checkParameters({ shares, threshold, privacy }: SharingParameters): void {
  const fits =
    [shares, threshold, privacy].every(Number.isInteger) &&
    shares <= MAX_SHARES &&
    threshold >= 1 &&
    threshold <= shares &&
    privacy >= 0 &&
    privacy < threshold;
  if (!fits) {
    throw new InvalidInputError(`secret sharing with (n, k, r) = (${shares}, ${threshold}, ${privacy}) is impossible`, {
      check: "sharing parameters",
      expected: `1 ≤ k ≤ n ≤ ${MAX_SHARES} and 0 ≤ r < k`,
    });
  }
}

function checkShare(index: number, share: Uint8Array, shares: number, length: number): void {
  if (!Number.isInteger(index) || index < 1 || index > shares) {
    throw new InvalidInputError(`${index} is no share index`, {
      check: "share index",
      expected: `1 to ${shares}`,
      received: String(index),
    });
  }
  if (share.length !== length) {
    throw new InvalidInputError(`share ${index} has ${share.length} bytes instead of ${length}`, {
      check: "share length",
      expected: `${length} bytes`,
      received: `${share.length} bytes`,
    });
  }
}
