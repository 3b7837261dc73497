/**
 * A dealer of RSA keys, for comparing the suite `rsa-blind` with the others and for nothing else: whoever runs it has
 * known the whole private key and could test every guess. A committee that nobody has to trust needs a distributed
 * generation of the modulus (Boneh, Franklin: Efficient Generation of Shared RSA Keys, 1997), which is not built here.
 */

import { invert } from "@noble/curves/abstract/modular.js";
import { bytesToNumberBE, numberToBytesBE } from "@noble/curves/utils.js";
import { randomBytes } from "#primitives";
import { InvalidInputError } from "../errors.ts";
import { parseModulus, RSA_EXPONENT } from "./rsa-key.ts";

/** Bits of randomness above those of the modulus, so that reducing biases a share by less than 2^-128. */
const EXTRA_BYTES = 16;

export interface DealtRsaKey {
  readonly modulus: Uint8Array;
  /** d_1 … d_n with Σ d_j = d modulo φ(N): any n − 1 of them are independent of d. */
  readonly shares: Uint8Array[];
}

/**
 * Cuts the private exponent d = 1/65537 modulo φ(N) = (p − 1)(q − 1) into a sum. Shares are uniform below φ(N), which
 * cannot be told from uniform below N: they say nothing about the factors.
 *
 * @param primes two different primes, made by a library for RSA keys; that they are prime is not checked
 * @param members n, from 1
 * @throws InvalidInputError for numbers that are no such primes, and for no member
 */
export function dealRsaKey(primes: { readonly p: Uint8Array; readonly q: Uint8Array }, members: number): DealtRsaKey {
  const [p, q] = [bytesToNumberBE(primes.p), bytesToNumberBE(primes.q)];
  if (!Number.isInteger(members) || members < 1 || p === q) {
    throw new InvalidInputError(`an RSA key for ${members} members cannot be dealt`, {
      check: "members and primes",
      expected: "at least one member, two different primes",
    });
  }
  const modulusBytes = Math.ceil((p * q).toString(16).length / 2);
  const { bytes: modulus } = parseModulus(numberToBytesBE(p * q, modulusBytes));
  const totient = (p - 1n) * (q - 1n);
  const shares = Array.from({ length: members - 1 }, () => {
    return bytesToNumberBE(randomBytes(modulusBytes + EXTRA_BYTES)) % totient;
  });
  const exponent = inverseOfExponent(totient);
  const rest = shares.reduce((sum, share) => sum - share, exponent) % totient;
  const last = rest < 0n ? rest + totient : rest;
  return { modulus, shares: [...shares, last].map((share) => numberToBytesBE(share, modulusBytes)) };
}

function inverseOfExponent(totient: bigint): bigint {
  try {
    return invert(RSA_EXPONENT, totient);
  } catch (cause) {
    throw new InvalidInputError("the primes do not fit the public exponent 65537", { check: "RSA primes", cause });
  }
}
