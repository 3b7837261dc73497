/**
 * Threshold VOPRF: RFC 9497 over any prime-order group, with the key Shamir-shared among a committee. A member's answer
 * is an RFC 9497 VOPRF evaluation under its share, with the RFC's batched DLEQ proof against its verification share
 * (dleq.ts deviates in batches of more than three elements); the client interpolates the answers in the exponent.
 * Outputs equal those of the RFC with the whole key, byte for byte (Jarecki, Kiayias, Krawczyk, Xu: TOPPSS, 2017, for
 * the construction).
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes } from "#primitives";
import { InvalidInputError, InvalidPointError } from "../errors.ts";
import { checkBatchLength, checkInputLength, checkInputs, FINALIZE } from "./batch.ts";
import {
  computeComposites,
  domainTag,
  lengthPrefixed,
  MODE_OPRF,
  MODE_VOPRF,
  type Mode,
  proveDleq,
  verifyComposites,
  verifyDleq,
} from "./dleq.ts";
import { decoded, decodeElements, encoded, itemAt, type PrimeOrderGroup, wipeAll } from "./prime-order-group.ts";
import type { BlindedBatch, EvaluatedBatch, OprfSuite } from "./suite.ts";
import { lagrangeCoefficients } from "./threshold.ts";

/** What the proof of a batch is about: its composites M and Z (RFC 9497 §2.2.1), encoded. */
export interface BatchComposites {
  /** M, of the blinded elements. */
  readonly blinded: Uint8Array;
  /** Z, of the evaluated elements. */
  readonly evaluated: Uint8Array;
}

export interface VoprfSuite extends OprfSuite {
  evaluateBatch(
    keyShare: Uint8Array,
    verificationShare: Uint8Array,
    blinded: Uint8Array[],
  ): EvaluatedBatch & { composites: BatchComposites };

  /**
   * The composites of an answer, right or wrong.
   * @throws InvalidPointError, InvalidInputError as `verifyEvaluation`
   */
  composeEvaluation(
    verificationShare: Uint8Array,
    blinded: readonly Uint8Array[],
    evaluated: readonly Uint8Array[],
  ): BatchComposites;

  /**
   * Checks the proof of an answer whose composites are known.
   * @throws InvalidProofError; InvalidPointError when an element is malformed or the identity
   */
  verifyComposed(verificationShare: Uint8Array, composites: BatchComposites, proof: Uint8Array): void;

  /**
   * Blind of RFC 9497 §3.3 with given blinds, in a given mode. Only for test vectors: a blind that is known or used
   * twice reveals the inputs.
   */
  blindInputsWith(inputs: Uint8Array[], blinds: Uint8Array[], mode: Mode): BlindedBatch;
}

/** The suite of RFC 9497 over a group. Its batches cannot be finalized by another suite. */
export function createVoprfSuite<Element>(group: PrimeOrderGroup<Element>): VoprfSuite {
  /**
   * The inverted blinds of each batch under way. Not a field of the batch, so that no log or error can show them.
   */
  const invertedBlinds = new WeakMap<BlindedBatch, Uint8Array[]>();
  const groupTags = {
    [MODE_OPRF]: domainTag("HashToGroup-", MODE_OPRF, group.suite),
    [MODE_VOPRF]: domainTag("HashToGroup-", MODE_VOPRF, group.suite),
  } as const;

  const blindInputsWith: VoprfSuite["blindInputsWith"] = (inputs, blinds, mode) => {
    group.assertReady();
    checkInputs(inputs, blinds);
    const blinded = inputs.map((input, position) => {
      const element = group.hashToElement(input, groupTags[mode]);
      // Nobody knows an input that is hashed to the identity (RFC 9497 §3.3.1).
      if (group.isIdentity(element)) {
        throw new InvalidInputError(`input ${position} on the group is the identity`, { check: "not the identity" });
      }
      const blind = itemAt(blinds, position);
      group.checkScalar(blind, `blind ${position}`);
      return group.encodeElement(group.multiply(blind, element));
    });
    const inverted = invertAll(group, blinds);
    const batch: BlindedBatch = {
      blinded,
      wipe() {
        wipeAll(inverted);
        invertedBlinds.delete(batch);
      },
    };
    invertedBlinds.set(batch, inverted);
    return batch;
  };

  return {
    name: group.suite,
    elementBytes: group.elementBytes,
    scalarBytes: group.scalarBytes,
    proofBytes: 2 * group.scalarBytes,
    outputBytes: group.hashBytes,
    ready: group.ready,
    blindInputsWith,

    blindInputs(inputs) {
      group.assertReady();
      const blinds = inputs.map(() => group.randomScalar());
      try {
        return blindInputsWith(inputs, blinds, MODE_VOPRF);
      } finally {
        wipeAll(blinds);
      }
    },

    evaluateBatch(keyShare, verificationShare, blinded) {
      group.assertReady();
      group.checkScalar(keyShare, "key share");
      const share = decoded(group, verificationShare, "verification share");
      if (!equalBytes(group.encodeElement(group.multiplyBase(keyShare)), verificationShare)) {
        throw new InvalidInputError("verification share is not that of the key share", { check: "key share" });
      }
      checkBatchLength(blinded, blinded.length);
      const from = decodeElements(group, blinded, "blinded element");
      const to = from.map(({ element }) => encoded(group, group.multiply(keyShare, element)));
      const nonce = group.randomScalar();
      const { proof, composites } = proveDleq(group, keyShare, share, from, to, nonce);
      nonce.fill(0);
      const encodings = { blinded: composites.m.bytes, evaluated: composites.z.bytes };
      return { evaluated: to.map(({ bytes }) => bytes), proof, composites: encodings };
    },

    composeEvaluation(verificationShare, blinded, evaluated) {
      group.assertReady();
      const share = decoded(group, verificationShare, "verification share");
      const from = decodeElements(group, blinded, "blinded element");
      const to = decodeElements(group, evaluated, "evaluated element");
      const { m, z } = computeComposites(group, share, from, to);
      return { blinded: m.bytes, evaluated: z.bytes };
    },

    verifyComposed(verificationShare, { blinded, evaluated }, proof) {
      group.assertReady();
      const share = decoded(group, verificationShare, "verification share");
      const m = decoded(group, blinded, "composite of the blinded elements");
      const z = decoded(group, evaluated, "composite of the evaluated elements");
      verifyComposites(group, share, { m, z }, proof);
    },

    verifyEvaluation(verificationShare, blinded, evaluated, proof) {
      group.assertReady();
      const share = decoded(group, verificationShare, "verification share");
      checkBatchLength(evaluated, blinded.length);
      const from = decodeElements(group, blinded, "blinded element");
      const to = decodeElements(group, evaluated, "evaluated element");
      verifyDleq(group, share, from, to, proof);
    },

    combineAndFinalize(batch, inputs, parts, threshold) {
      group.assertReady();
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
      const quorum = parts.slice(0, threshold).map(({ index, evaluated }) => {
        checkBatchLength(evaluated, inverted.length);
        return { index, evaluated: decodeElements(group, evaluated, `evaluated element of member ${index}`) };
      });
      const coefficients = lagrangeCoefficients(
        group,
        quorum.map(({ index }) => index),
        0,
      );
      return inputs.map((input, position) => {
        checkInputLength(input);
        const elements = quorum.map(({ evaluated }) => itemAt(evaluated, position).element);
        const unblinded = group.unblind(itemAt(inverted, position), coefficients, elements);
        if (group.isIdentity(unblinded)) {
          throw new InvalidPointError(`combined element ${position} is the identity element`, {
            check: "not the identity",
          });
        }
        const bytes = group.encodeElement(unblinded);
        const output = group.hash(concatBytes(lengthPrefixed(input), lengthPrefixed(bytes), FINALIZE));
        bytes.fill(0);
        return output;
      });
    },
  };
}

/** Montgomery's trick: one inversion and three multiplications each, instead of one inversion each. */
function invertAll<Element>(group: PrimeOrderGroup<Element>, scalars: Uint8Array[]): Uint8Array[] {
  const prefixes: Uint8Array[] = [];
  let product = group.scalarFromNumber(1);
  for (const scalar of scalars) {
    prefixes.push(product);
    product = group.scalarMultiply(product, scalar);
  }
  let inverse = group.scalarInvert(product);
  product.fill(0);
  const inverted: Uint8Array[] = scalars.map(() => inverse);
  for (const [offset, scalar] of [...scalars].reverse().entries()) {
    const position = scalars.length - 1 - offset;
    inverted[position] = group.scalarMultiply(inverse, itemAt(prefixes, position));
    const next = group.scalarMultiply(inverse, scalar);
    inverse.fill(0);
    inverse = next;
  }
  inverse.fill(0);
  wipeAll(prefixes);
  return inverted;
}
