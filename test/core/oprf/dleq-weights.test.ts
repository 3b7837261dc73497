/** The weights of batched proofs (core/oprf/dleq.ts), against an independent calculation. */

import { ristretto255, ristretto255_hasher } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { multiplyBase, scalarFromNumber } from "../../../offchain/core/oprf/group.ts";
import { composeEvaluation, oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import type { BatchComposites } from "../../../offchain/core/oprf/voprf.ts";

const CONTEXT = "OPRFV1-\u0001-ristretto255-SHA512";
const utf8 = new TextEncoder();
const { Point } = ristretto255;
type RistrettoPoint = InstanceType<typeof Point>;

describe("weights of batched OPRF proofs", () => {
  before(oprfReady);

  const element = (scalar: number) => multiplyBase(scalarFromNumber(scalar));
  const share = () => element(77);
  const lists = (size: number) => ({
    blinded: Array.from({ length: size }, (_, at) => element(100 + at)),
    evaluated: Array.from({ length: size }, (_, at) => element(200 + at)),
  });

  /** ComputeComposites of RFC 9497 §2.2.1; `whole` is what the seed hashes beside what the RFC says. */
  function expected(blinded: Uint8Array[], evaluated: Uint8Array[], whole: Uint8Array[]): BatchComposites {
    const prefixed = (bytes: Uint8Array) => concatBytes(Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes);
    const seed = sha512(concatBytes(prefixed(share()), prefixed(utf8.encode(`Seed-${CONTEXT}`)), ...whole));
    const weights = blinded.map((from, at) => {
      const to = evaluated[at] as Uint8Array;
      const transcript = concatBytes(prefixed(seed), Uint8Array.of(0, at), prefixed(from), prefixed(to));
      const message = concatBytes(transcript, utf8.encode("Composite"));
      return ristretto255_hasher.hashToScalar(message, { DST: utf8.encode(`HashToScalar-${CONTEXT}`) });
    });
    const sum = (elements: Uint8Array[]) =>
      elements
        .map((bytes, at) => Point.fromBytes(bytes).multiply(weights[at] as bigint))
        .reduce((total: RistrettoPoint, point) => total.add(point), Point.ZERO)
        .toBytes();
    return { blinded: sum(blinded), evaluated: sum(evaluated) };
  }

  for (const size of [1, 2, 3]) {
    it(`are those of RFC 9497 for a batch of ${size}`, () => {
      const { blinded, evaluated } = lists(size);
      expect(composeEvaluation(share(), blinded, evaluated)).to.deep.equal(expected(blinded, evaluated, []));
    });
  }

  for (const size of [4, 9]) {
    it(`hash all elements of a batch of ${size}`, () => {
      const { blinded, evaluated } = lists(size);
      const whole = [...blinded, ...evaluated];
      expect(composeEvaluation(share(), blinded, evaluated)).to.deep.equal(expected(blinded, evaluated, whole));
    });
  }

  it("cannot be searched for one element at a time", () => {
    // What the search for a sum of zero needs: a change of one element adds the same, whatever the others are.
    const differences = (size: number) =>
      [element(1), element(2)].map((second) => {
        const { blinded, evaluated } = lists(size);
        const [before, after] = [element(3), element(4)].map((first) => {
          const list = [first, second, ...evaluated.slice(2)];
          return Point.fromBytes(composeEvaluation(share(), blinded, list).blinded);
        });
        return (after as RistrettoPoint).subtract(before as RistrettoPoint).toHex();
      });
    const [separate, separateToo] = differences(3);
    expect(separate).to.equal(separateToo);
    const [together, together2] = differences(4);
    expect(together).not.to.equal(together2);
  });
});
