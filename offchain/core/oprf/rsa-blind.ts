/**
 * `rsa-blind`: blind RSA as an OPRF, the construction that the blockchain key management publishes (Huang, Yi 2024,
 * after DupLESS: Bellare, Keelveedhi, Ristenpart 2013), repaired. For comparison with the default suite.
 *
 * The output for an input is a hash of the unique RSA signature y = EM(input)^d mod N, where EM is the deterministic
 * encoding of RSABSSA-SHA384-PSSZERO-Deterministic (RFC 9474 §5). The client chooses the blind r and sends
 * x = EM · r^e; in the published scheme the node chooses it, which hides nothing from the node. The private exponent is
 * a sum d = d_1 + … + d_n: member j answers x^(d_j), the client multiplies all n answers, divides by r and checks
 * y^e = EM. N has 3072 bits or more, the security of the elliptic curves' 128 bits.
 *
 * What it lacks beside the default suite:
 * - n of n: one member that is down stops it. A threshold takes Shoup's sharing (Eurocrypt 2000) and its proofs.
 * - A wrong answer is noticed, but not whose it was: answers carry no proof, and `verifyEvaluation` checks the form
 *   only.
 * - The key comes from a dealer (rsa-dealer.ts). A client cannot check that 65537 is prime to φ(N); a dealer who
 *   arranges that it is not learns something about guessable inputs from blinded elements (RFC 9474 §7.3).
 *
 * Time: a node's exponentiation is constant-time on Node (OpenSSL), and not elsewhere. The client's arithmetic is
 * BigInt: its time depends on inputs and blinds, and what it computed with cannot be erased.
 */

import { invert, pow } from "@noble/curves/abstract/modular.js";
import { bytesToNumberBE } from "@noble/curves/utils.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { modularPower, randomBytes } from "#primitives";
import { InvalidInputError, InvalidProofError } from "../errors.ts";
import { checkBatchLength, checkInputs, FINALIZE } from "./batch.ts";
import { lengthPrefixed } from "./dleq.ts";
import { emsaPssEncode } from "./emsa-pss.ts";
import { itemAt } from "./prime-order-group.ts";
import { checkExponentShare, decodeResidue, parseModulus, RSA_EXPONENT } from "./rsa-key.ts";
import type { BlindedBatch, OprfSuite } from "./suite.ts";

const OUTPUT_BYTES = 64;
/** Bits above those of the modulus, so that reducing biases a blind by less than 2^-128. */
const EXTRA_BYTES = 16;

/** What a client keeps of a batch. */
interface BatchSecrets {
  /** EM of each input. */
  readonly encoded: readonly bigint[];
  /** 1/r of each blind. */
  readonly inverses: readonly bigint[];
}

export interface RsaBlindSuite extends OprfSuite {
  /** Blinds with given blinds, from 1 to N − 1. Only for test vectors. */
  blindInputsWith(inputs: Uint8Array[], blinds: readonly bigint[]): BlindedBatch;
}

/**
 * The suite for one key. Verification shares and proofs are empty byte strings; a threshold is the number of members.
 *
 * @param modulusBytes N, 3072 or 4096 bits; the public exponent is 65537
 * @param members n: all of them have to answer
 * @throws InvalidInputError for another modulus, or no members
 */
export function rsaBlindSuite(modulusBytes: Uint8Array, members: number): RsaBlindSuite {
  const modulus = parseModulus(modulusBytes);
  if (!Number.isInteger(members) || members < 1) {
    throw new InvalidInputError(`${members} is no number of members`, { check: "number of members" });
  }
  const { value: n } = modulus;
  const product = (factors: readonly bigint[]) => factors.reduce((result, factor) => (result * factor) % n, 1n);
  const secrets = new WeakMap<BlindedBatch, BatchSecrets>();

  const blindInputsWith: RsaBlindSuite["blindInputsWith"] = (inputs, blinds) => {
    checkInputs(inputs, blinds);
    const encoded = inputs.map((input) => bytesToNumberBE(emsaPssEncode(input, modulusBytes.length)));
    const blinded = encoded.map((element, position) => {
      const mask = pow(itemAt(blinds, position), RSA_EXPONENT, n);
      return modulus.encode((element * mask) % n);
    });
    const batch: BlindedBatch = { blinded, wipe: () => secrets.delete(batch) };
    secrets.set(batch, { encoded, inverses: invertAll(blinds, n) });
    return batch;
  };

  return {
    name: "rsa-blind",
    elementBytes: modulusBytes.length,
    scalarBytes: modulusBytes.length,
    proofBytes: 0,
    outputBytes: OUTPUT_BYTES,
    async ready() {},
    blindInputsWith,

    blindInputs(inputs) {
      const blinds = inputs.map(
        () => 1n + (bytesToNumberBE(randomBytes(modulusBytes.length + EXTRA_BYTES)) % (n - 1n)),
      );
      return blindInputsWith(inputs, blinds);
    },

    evaluateBatch(keyShare, verificationShare, blinded) {
      checkExponentShare(modulus, keyShare);
      requireEmpty(verificationShare, "verification share");
      checkBatchLength(blinded, blinded.length);
      for (const [position, bytes] of blinded.entries()) decodeResidue(modulus, bytes, `blinded element ${position}`);
      const power = modularPower(keyShare, modulusBytes);
      return { evaluated: blinded.map(power), proof: new Uint8Array() };
    },

    verifyEvaluation(verificationShare, blinded, evaluated, proof) {
      requireEmpty(verificationShare, "verification share");
      if (proof.length > 0) {
        throw new InvalidProofError("answers of this suite carry no proof", {
          check: "proof length",
          expected: "0 bytes",
          received: `${proof.length} bytes`,
        });
      }
      checkBatchLength(evaluated, blinded.length);
      for (const [position, bytes] of blinded.entries()) decodeResidue(modulus, bytes, `blinded element ${position}`);
      for (const [position, bytes] of evaluated.entries()) {
        decodeResidue(modulus, bytes, `evaluated element ${position}`);
      }
    },

    combineAndFinalize(batch, inputs, parts, threshold) {
      const kept = secrets.get(batch);
      if (kept === undefined) {
        throw new InvalidInputError("OPRF batch has been wiped or was not blinded here", { check: "batch state" });
      }
      checkBatchLength(inputs, kept.inverses.length);
      if (threshold !== members) {
        throw new InvalidInputError(`threshold ${threshold}, but all ${members} members have to answer`, {
          check: "number of parts",
          expected: String(members),
          received: String(threshold),
        });
      }
      checkMembers(
        parts.map(({ index }) => index),
        members,
      );
      const answers = parts.map(({ index, evaluated }) => {
        checkBatchLength(evaluated, inputs.length);
        return evaluated.map((bytes) => decodeResidue(modulus, bytes, `evaluated element of member ${index}`));
      });
      return inputs.map((input, position) => {
        const factors = answers.map((answer) => itemAt(answer, position));
        const signature = product([itemAt(kept.inverses, position), ...factors]);
        if (pow(signature, RSA_EXPONENT, n) !== itemAt(kept.encoded, position)) {
          throw new InvalidProofError("the answers do not multiply to a signature", {
            check: "RSA signature",
            hint: "one member answered wrongly; which one cannot be told in this suite",
          });
        }
        return sha512(concatBytes(lengthPrefixed(input), lengthPrefixed(modulus.encode(signature)), FINALIZE));
      });
    },
  };
}

/** Every member once. */
function checkMembers(indices: readonly number[], members: number): void {
  const complete = indices.length === members && new Set(indices).size === members;
  if (!complete || !indices.every((index) => Number.isInteger(index) && index >= 1 && index <= members)) {
    throw new InvalidInputError("answers of all members are needed, one of each", {
      check: "distinct member indices",
      expected: `1 to ${members}`,
      received: indices.join(", "),
    });
  }
}

function requireEmpty(bytes: Uint8Array, what: string): void {
  if (bytes.length === 0) return;
  throw new InvalidInputError(`this suite has no ${what}`, { check: what, expected: "0 bytes" });
}

/** One inversion and three multiplications each (Montgomery). */
function invertAll(values: readonly bigint[], modulus: bigint): bigint[] {
  const prefixes: bigint[] = [];
  let product = 1n;
  for (const value of values) {
    prefixes.push(product);
    product = (product * value) % modulus;
  }
  let inverse = inverted(product, modulus);
  const inverses = [...values];
  for (let position = values.length - 1; position >= 0; position -= 1) {
    inverses[position] = (inverse * itemAt(prefixes, position)) % modulus;
    inverse = (inverse * itemAt(values, position)) % modulus;
  }
  return inverses;
}

/** @throws InvalidInputError for a blind that is not prime to the modulus: nobody finds one who cannot factor it */
function inverted(value: bigint, modulus: bigint): bigint {
  try {
    return invert(value, modulus);
  } catch (cause) {
    throw new InvalidInputError("a blind is not prime to the RSA modulus", { check: "blind", cause });
  }
}
