/**
 * Threshold VOPRF against the vectors of RFC 9497 and against noble's `ristretto255_oprf`, an independent
 * implementation.
 */

import { ristretto255_FROST, ristretto255_oprf } from "@noble/curves/ed25519.js";
import { expect } from "chai";
import fc from "fast-check";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { MODE_OPRF, MODE_VOPRF, type Mode, proveDleq } from "../../../offchain/core/oprf/dleq.ts";
import { add, multiply, multiplyBase, randomScalar, scalarFromNumber } from "../../../offchain/core/oprf/group.ts";
import {
  type BlindedBatch,
  blindInputs,
  blindInputsWith,
  combineAndFinalize,
  evaluateBatch,
  oprfReady,
  ristretto255Suite,
  verifyEvaluation,
} from "../../../offchain/core/oprf/ristretto255.ts";
import { evaluatePolynomial, verifyCommitteeKeys } from "../../../offchain/core/oprf/threshold.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import rfc9497 from "../../vectors/rfc9497-ristretto255-sha512.json" with { type: "json" };

interface Member {
  index: number;
  keyShare: Uint8Array;
  verificationShare: Uint8Array;
}

interface Vector {
  name: string;
  mode: Mode;
  secretKey: Uint8Array;
  publicKey: Uint8Array;
  inputs: Uint8Array[];
  blinds: Uint8Array[];
  blinded: string[];
  evaluated: string[];
  outputs: string[];
  proof: string | undefined;
  proofRandomScalar: Uint8Array | undefined;
}

const bytes = (texts: string[]): Uint8Array[] => texts.map((text) => fromHex(text));
const hex = (values: Uint8Array[]): string[] => values.map((value) => toHex(value));
const utf8 = new TextEncoder();

/** Shamir shares of a key for members 1 … n. */
function shareKey(key: Uint8Array, threshold: number, size: number): Member[] {
  const coefficients = [key, ...Array.from({ length: threshold - 1 }, () => randomScalar())];
  return Array.from({ length: size }, (_, position) => {
    const keyShare = evaluatePolynomial(coefficients, position + 1);
    return { index: position + 1, keyShare, verificationShare: multiplyBase(keyShare) };
  });
}

/** Every step of the real path: evaluate, verify, combine, finalize. */
function runQuorum(batch: BlindedBatch, inputs: Uint8Array[], members: Member[]): Uint8Array[] {
  const parts = members.map(({ index, keyShare, verificationShare }) => {
    const { evaluated, proof } = evaluateBatch(keyShare, verificationShare, batch.blinded);
    verifyEvaluation(verificationShare, batch.blinded, evaluated, proof);
    return { index, evaluated };
  });
  return combineAndFinalize(batch, inputs, parts, members.length);
}

function quorums(members: Member[], threshold: number): Member[][] {
  if (threshold === 0) return [[]];
  return members.flatMap((member, position) =>
    quorums(members.slice(position + 1), threshold - 1).map((rest) => [member, ...rest]),
  );
}

describe("core/oprf", () => {
  let vectors: Vector[];

  before(async () => {
    await oprfReady();
    vectors = rfc9497.modes.flatMap(({ mode, secretKey, vectors: entries }) =>
      entries.map((entry) => ({
        name: entry.name,
        mode: mode === 0 ? MODE_OPRF : MODE_VOPRF,
        secretKey: fromHex(secretKey),
        publicKey: multiplyBase(fromHex(secretKey)),
        inputs: bytes(entry.inputs),
        blinds: bytes(entry.blinds),
        blinded: entry.blinded,
        evaluated: entry.evaluated,
        outputs: entry.outputs,
        proof: "proof" in entry ? entry.proof : undefined,
        proofRandomScalar: "proofRandomScalar" in entry ? fromHex(entry.proofRandomScalar) : undefined,
      })),
    );
  });

  describe("RFC 9497 vectors", () => {
    it("are all there: two of OPRF, three of VOPRF, one of them a batch", () => {
      expect(vectors.map(({ mode, inputs }) => [mode, inputs.length])).to.deep.equal([
        [0, 1],
        [0, 1],
        [1, 1],
        [1, 1],
        [1, 2],
      ]);
      expect(toHex(vectors[2]?.publicKey ?? new Uint8Array())).to.equal(rfc9497.modes[1]?.publicKey);
    });

    it("pass with the undivided key: blinded and evaluated elements, outputs", () => {
      for (const vector of vectors) {
        const batch = blindInputsWith(vector.inputs, vector.blinds, vector.mode);
        expect(hex(batch.blinded), vector.name).to.deep.equal(vector.blinded);
        const { evaluated } = evaluateBatch(vector.secretKey, vector.publicKey, batch.blinded);
        expect(hex(evaluated), vector.name).to.deep.equal(vector.evaluated);
        const outputs = combineAndFinalize(batch, vector.inputs, [{ index: 1, evaluated }], 1);
        expect(hex(outputs), vector.name).to.deep.equal(vector.outputs);
      }
    });

    it("pass for the proofs, single and batched, made and verified", () => {
      let checked = 0;
      for (const { name, proof, proofRandomScalar, secretKey, publicKey, blinded, evaluated } of vectors) {
        if (proof === undefined || proofRandomScalar === undefined) continue;
        const made = proveDleq(secretKey, publicKey, bytes(blinded), bytes(evaluated), proofRandomScalar);
        expect(toHex(made), name).to.equal(proof);
        verifyEvaluation(publicKey, bytes(blinded), bytes(evaluated), fromHex(proof));
        checked += 1;
      }
      expect(checked).to.equal(3);
    });

    for (const [threshold, size] of [
      [1, 1],
      [2, 3],
      [3, 5],
      [7, 9],
    ] as const) {
      it(`pass through the threshold path, ${threshold} of ${size}, for quorums of the first and last members`, () => {
        for (const vector of vectors) {
          const members = shareKey(vector.secretKey, threshold, size);
          for (const quorum of [members.slice(0, threshold), members.slice(size - threshold).reverse()]) {
            const batch = blindInputsWith(vector.inputs, vector.blinds, vector.mode);
            expect(hex(batch.blinded), vector.name).to.deep.equal(vector.blinded);
            expect(hex(runQuorum(batch, vector.inputs, quorum)), vector.name).to.deep.equal(vector.outputs);
          }
        }
      });
    }
  });

  describe("against noble", () => {
    it("gives noble's outputs for any inputs, every quorum of 3 of 5 and fresh blinds", () => {
      fc.assert(
        fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 4 }), (inputs) => {
          const { secretKey, publicKey } = ristretto255_oprf.voprf.generateKeyPair();
          const expected = inputs.map((input) => {
            const { blind, blinded } = ristretto255_oprf.voprf.blind(input);
            const { evaluated, proof } = ristretto255_oprf.voprf.blindEvaluate(secretKey, publicKey, blinded);
            return ristretto255_oprf.voprf.finalize(input, blind, evaluated, blinded, publicKey, proof);
          });
          for (const quorum of quorums(shareKey(secretKey, 3, 5), 3)) {
            expect(hex(runQuorum(blindInputs(inputs), inputs, quorum))).to.deep.equal(hex(expected));
          }
        }),
        { numRuns: 3 },
      );
    });

    it("lets noble's client use our node", () => {
      const inputs = [utf8.encode("one"), utf8.encode("two"), utf8.encode("three")];
      const { secretKey, publicKey } = ristretto255_oprf.voprf.generateKeyPair();
      const blinds = inputs.map((input) => ristretto255_oprf.voprf.blind(input));
      const { evaluated, proof } = evaluateBatch(
        secretKey,
        publicKey,
        blinds.map(({ blinded }) => blinded),
      );
      const items = inputs.flatMap((input, i) => {
        const [blind, element] = [blinds[i], evaluated[i]];
        return blind === undefined || element === undefined ? [] : [{ ...blind, input, evaluated: element }];
      });
      const theirs = ristretto255_oprf.voprf.finalizeBatch(items, publicKey, proof);
      const ours = runQuorum(blindInputs(inputs), inputs, shareKey(secretKey, 2, 3).slice(1));
      expect(hex(theirs)).to.deep.equal(hex(ours));
    });

    it("lets our client use noble's node", () => {
      const inputs = [utf8.encode("one"), utf8.encode("two")];
      const { secretKey, publicKey } = ristretto255_oprf.voprf.generateKeyPair();
      const batch = blindInputs(inputs);
      const { evaluated, proof } = ristretto255_oprf.voprf.blindEvaluateBatch(secretKey, publicKey, batch.blinded);
      verifyEvaluation(publicKey, batch.blinded, evaluated, proof);
      const theirs = inputs.map((input) => {
        const { blind, blinded } = ristretto255_oprf.voprf.blind(input);
        const single = ristretto255_oprf.voprf.blindEvaluate(secretKey, publicKey, blinded);
        return ristretto255_oprf.voprf.finalize(input, blind, single.evaluated, blinded, publicKey, single.proof);
      });
      const ours = combineAndFinalize(batch, inputs, [{ index: 1, evaluated }], 1);
      expect(hex(ours)).to.deep.equal(hex(theirs));
    });

    it("takes shares dealt by noble's FROST", () => {
      const identifiers = [1, 2, 3, 4, 5].map((index) => ristretto255_FROST.Identifier.fromNumber(index));
      const { secretKey } = ristretto255_oprf.voprf.generateKeyPair();
      const dealt = ristretto255_FROST.trustedDealer({ min: 3, max: 5 }, identifiers, secretKey);
      const members = identifiers.map((identifier, position) => ({
        index: position + 1,
        keyShare: dealt.secretShares[identifier]?.signingShare ?? new Uint8Array(),
        verificationShare: dealt.public.verifyingShares[identifier] ?? new Uint8Array(),
      }));
      verifyCommitteeKeys(
        dealt.public.commitments[0] ?? new Uint8Array(),
        members.map(({ verificationShare }) => verificationShare),
        3,
      );
      const inputs = [utf8.encode("input")];
      const undivided = shareKey(secretKey, 1, 1);
      const expected = hex(runQuorum(blindInputs(inputs), inputs, undivided));
      expect(hex(runQuorum(blindInputs(inputs), inputs, members.slice(2)))).to.deep.equal(expected);
    });
  });

  describe("obliviousness", () => {
    it("blinds the same input to different elements each time", () => {
      const input = [utf8.encode("same")];
      expect(toHex(blindInputs(input).blinded[0] ?? new Uint8Array())).to.not.equal(
        toHex(blindInputs(input).blinded[0] ?? new Uint8Array()),
      );
    });

    it("shows no blind in a batch that is printed or serialised", () => {
      const batch = blindInputsWith([utf8.encode("a")], [scalarFromNumber(7)], MODE_VOPRF);
      expect(Object.keys(batch)).to.deep.equal(["blinded", "wipe"]);
    });

    it("cannot finalize a batch after its blinds are wiped", () => {
      const inputs = [utf8.encode("a")];
      const [member] = shareKey(randomScalar(), 1, 1);
      if (member === undefined) throw new Error("no member");
      const batch = blindInputs(inputs);
      runQuorum(batch, inputs, [member]);
      batch.wipe();
      expectRejection(() => runQuorum(batch, inputs, [member]), "INVALID_INPUT", /wiped/);
    });
  });

  describe("hostile elements", () => {
    const identity = new Uint8Array(32);
    // p + 2 for p = 2^255 − 19: the value 2 in non-canonical form; 2^255 − 1; a negative field element; no square root.
    const nonCanonical = { "p + 2": 0xef, "all ones": 0xff };
    let member: Member;
    let good: Uint8Array;

    beforeEach(() => {
      const [first] = shareKey(randomScalar(), 1, 1);
      if (first === undefined) throw new Error("no member");
      member = first;
      good = multiplyBase(randomScalar());
    });

    function expectRefused(element: Uint8Array, message: RegExp): void {
      const { keyShare, verificationShare } = member;
      const atNode = expectRejection(
        () => evaluateBatch(keyShare, verificationShare, [good, element]),
        "INVALID_POINT",
        message,
      );
      expect(atNode.message).to.contain("blinded element 1");
      const { evaluated, proof } = evaluateBatch(keyShare, verificationShare, [good, good]);
      const forged = [evaluated[0] ?? good, element];
      const atClient = expectRejection(
        () => verifyEvaluation(verificationShare, [good, good], forged, proof),
        "INVALID_POINT",
        message,
      );
      expect(atClient.message).to.contain("evaluated element 1");
      expectRejection(() => evaluateBatch(keyShare, element, [good]), "INVALID_POINT", message);
    }

    it("refuses the identity element", () => expectRefused(identity, /identity/));

    it("refuses non-canonical encodings", () => {
      for (const lowByte of Object.values(nonCanonical)) {
        const element = new Uint8Array(32).fill(0xff);
        element[0] = lowByte;
        element[31] = 0x7f;
        expectRefused(element, /not a canonical/);
      }
    });

    it("refuses a valid element with the unused top bit set", () => {
      const element = good.slice();
      element[31] = (element[31] ?? 0) | 0x80;
      expectRefused(element, /not a canonical/);
    });

    it("refuses a negative field element and one that is no element at all", () => {
      expectRefused(Uint8Array.of(1, ...new Uint8Array(31)), /not a canonical/);
      expectRefused(fromHex("0x26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"), /not a canonical/);
    });

    it("refuses truncated and oversize elements", () => {
      expectRefused(good.subarray(0, 31), /31 bytes/);
      expectRefused(Uint8Array.of(...good, 0), /33 bytes/);
      expectRefused(new Uint8Array(0), /0 bytes/);
    });

    it("refuses a combination that is the identity", () => {
      const inputs = [utf8.encode("a")];
      const batch = blindInputs(inputs);
      // λ = (2, −1) for members 1 and 2: the parts cancel.
      const parts = [
        { index: 1, evaluated: [good] },
        { index: 2, evaluated: [multiply(scalarFromNumber(2), good)] },
      ];
      expectRejection(() => combineAndFinalize(batch, inputs, parts, 2), "INVALID_POINT", /identity/);
    });
  });

  describe("hostile scalars", () => {
    const order = fromHex("0xedd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");

    it("refuses a zero, non-canonical or wrong-length key share", () => {
      const element = multiplyBase(scalarFromNumber(5));
      const above = order.slice();
      above[0] = 0xee;
      for (const [share, message] of [
        [new Uint8Array(32), /zero/],
        [order, /not reduced/],
        [above, /not reduced/],
        [new Uint8Array(32).fill(0xff), /not reduced/],
        [new Uint8Array(31).fill(1), /31 bytes/],
        [new Uint8Array(33).fill(1), /33 bytes/],
      ] as const) {
        expectRejection(() => evaluateBatch(share, element, [element]), "INVALID_SCALAR", message);
      }
    });

    it("takes the largest scalar, the order less one", () => {
      const largest = order.slice();
      largest[0] = 0xec;
      const element = multiplyBase(scalarFromNumber(5));
      const { evaluated } = evaluateBatch(largest, multiplyBase(largest), [element]);
      expect(add(evaluated[0] ?? element, element)).to.deep.equal(new Uint8Array(32));
    });

    it("refuses a verification share of another key", () => {
      const element = multiplyBase(scalarFromNumber(5));
      expectRejection(() => evaluateBatch(scalarFromNumber(6), element, [element]), "INVALID_INPUT", /not that of/);
    });
  });

  describe("hostile proofs", () => {
    const inputs = [utf8.encode("a"), utf8.encode("b"), utf8.encode("c")];
    let members: Member[];
    let blinded: Uint8Array[];
    let evaluated: Uint8Array[];
    let proof: Uint8Array;
    let share: Uint8Array;

    beforeEach(() => {
      members = shareKey(randomScalar(), 2, 3);
      const [first] = members;
      if (first === undefined) throw new Error("no member");
      share = first.verificationShare;
      blinded = blindInputs(inputs).blinded;
      ({ evaluated, proof } = evaluateBatch(first.keyShare, share, blinded));
      verifyEvaluation(share, blinded, evaluated, proof);
    });

    it("refuses a proof with any bit flipped", () => {
      fc.assert(
        fc.property(fc.nat(511), (bit) => {
          const tampered = proof.slice();
          tampered[bit >> 3] = (tampered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          expectRejection(() => verifyEvaluation(share, blinded, evaluated, tampered), "INVALID_PROOF");
        }),
        { numRuns: 40 },
      );
    });

    it("refuses non-canonical scalars in a proof", () => {
      for (const half of [0, 32]) {
        const tampered = proof.slice();
        tampered.fill(0xff, half, half + 32);
        expectRejection(() => verifyEvaluation(share, blinded, evaluated, tampered), "INVALID_PROOF", /not reduced/);
      }
    });

    it("refuses an all-zero proof", () => {
      expectRejection(() => verifyEvaluation(share, blinded, evaluated, new Uint8Array(64)), "INVALID_PROOF");
    });

    it("refuses truncated, oversize and empty proofs", () => {
      for (const length of [0, 32, 63]) {
        expectRejection(
          () => verifyEvaluation(share, blinded, evaluated, proof.subarray(0, length)),
          "INVALID_PROOF",
          /instead of 64/,
        );
      }
      const oversize = Uint8Array.of(...proof, 0);
      expectRejection(() => verifyEvaluation(share, blinded, evaluated, oversize), "INVALID_PROOF", /65 bytes/);
    });

    it("refuses swapped elements, although each was rightly evaluated", () => {
      const [first, second, third] = evaluated;
      if (first === undefined || second === undefined || third === undefined) throw new Error("no elements");
      expectRejection(() => verifyEvaluation(share, blinded, [second, first, third], proof), "INVALID_PROOF", /DLEQ/);
    });

    it("refuses one element evaluated with another key", () => {
      const wrong = [...evaluated];
      wrong[2] = multiply(scalarFromNumber(3), blinded[2] ?? new Uint8Array());
      expectRejection(() => verifyEvaluation(share, blinded, wrong, proof), "INVALID_PROOF", /DLEQ/);
    });

    it("refuses the answer of one member under the verification share of another", () => {
      const other = members[1]?.verificationShare ?? new Uint8Array();
      expectRejection(() => verifyEvaluation(other, blinded, evaluated, proof), "INVALID_PROOF", /DLEQ/);
    });

    it("refuses the answer to another batch", () => {
      const otherBatch = blindInputs(inputs).blinded;
      expectRejection(() => verifyEvaluation(share, otherBatch, evaluated, proof), "INVALID_PROOF", /DLEQ/);
    });

    it("refuses an answer with elements left out, added, or none", () => {
      expectRejection(() => verifyEvaluation(share, blinded, evaluated.slice(1), proof), "INVALID_INPUT", /2 elements/);
      const longer = [...evaluated, ...evaluated.slice(0, 1)];
      expectRejection(() => verifyEvaluation(share, blinded, longer, proof), "INVALID_INPUT", /4 elements/);
      expectRejection(() => verifyEvaluation(share, [], [], proof), "INVALID_INPUT", /0 elements/);
    });
  });

  describe("combination", () => {
    const inputs = [utf8.encode("a")];
    let members: Member[];
    let parts: { index: number; evaluated: Uint8Array[] }[];
    let batch: BlindedBatch;

    beforeEach(() => {
      members = shareKey(randomScalar(), 3, 5);
      batch = blindInputs(inputs);
      parts = members.map(({ index, keyShare, verificationShare }) => ({
        index,
        evaluated: evaluateBatch(keyShare, verificationShare, batch.blinded).evaluated,
      }));
    });

    it("gives another output when two members swap their indices", () => {
      const right = combineAndFinalize(batch, inputs, parts.slice(0, 3), 3);
      const [first, second, third] = parts;
      if (first === undefined || second === undefined || third === undefined) throw new Error("no parts");
      const swapped = [{ ...first, index: 2 }, { ...second, index: 1 }, third];
      expect(hex(combineAndFinalize(batch, inputs, swapped, 3))).to.not.deep.equal(hex(right));
    });

    it("refuses fewer parts than the threshold instead of returning a wrong output", () => {
      expectRejection(() => combineAndFinalize(batch, inputs, parts.slice(0, 2), 3), "INVALID_INPUT", /threshold 3/);
      expectRejection(() => combineAndFinalize(batch, inputs, [], 0), "INVALID_INPUT", /threshold 0/);
    });

    it("takes more parts than the threshold", () => {
      expect(hex(combineAndFinalize(batch, inputs, parts, 3))).to.deep.equal(
        hex(combineAndFinalize(batch, inputs, parts.slice(2), 3)),
      );
    });

    it("refuses a repeated index and index 0, which would be the key itself", () => {
      const [first, second] = parts;
      if (first === undefined || second === undefined) throw new Error("no parts");
      expectRejection(
        () => combineAndFinalize(batch, inputs, [first, first, second], 3),
        "INVALID_INPUT",
        /same member/,
      );
      for (const index of [0, -1, 1.5, 65_536]) {
        const impossible = [first, second, { ...second, index }];
        expectRejection(() => combineAndFinalize(batch, inputs, impossible, 3), "INVALID_INPUT", /no member index/);
      }
    });

    it("refuses empty batches and inputs that are too long", () => {
      expectRejection(() => blindInputs([]), "INVALID_INPUT", /0 inputs/);
      expectRejection(() => blindInputs([new Uint8Array(65_536)]), "INVALID_INPUT", /65536 bytes/);
      expect(blindInputs([new Uint8Array(65_535)]).blinded).to.have.length(1);
    });
  });

  describe("committee keys", () => {
    let shares: Uint8Array[];
    let groupKey: Uint8Array;

    beforeEach(() => {
      const key = randomScalar();
      groupKey = multiplyBase(key);
      shares = shareKey(key, 3, 5).map(({ verificationShare }) => verificationShare);
    });

    it("pass when they lie on one polynomial", () => verifyCommitteeKeys(groupKey, shares, 3));

    it("do not pass with a foreign verification share, which is named", () => {
      const forged = shares.with(4, multiplyBase(randomScalar()));
      const error = expectRejection(() => verifyCommitteeKeys(groupKey, forged, 3), "INVALID_POINT", /member 5/);
      expect(error.party).to.equal("member 5");
    });

    it("do not pass with a foreign group key or a lower threshold", () => {
      expectRejection(
        () => verifyCommitteeKeys(multiplyBase(randomScalar()), shares, 3),
        "INVALID_POINT",
        /group public/,
      );
      expectRejection(() => verifyCommitteeKeys(groupKey, shares, 2), "INVALID_POINT", /member 3/);
      expectRejection(() => verifyCommitteeKeys(groupKey, shares, 6), "INVALID_INPUT", /threshold 6/);
    });
  });

  it("offers the suite behind one interface", () => {
    expect(ristretto255Suite.name).to.equal("ristretto255-SHA512");
    const { elementBytes, scalarBytes, proofBytes, outputBytes } = ristretto255Suite;
    expect([elementBytes, scalarBytes, proofBytes, outputBytes]).to.deep.equal([32, 32, 64, 64]);
  });
});
