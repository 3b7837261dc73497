/**
 * Threshold VOPRF in every group: against the vectors of RFC 9497 and against noble's `ristretto255_oprf` and
 * `p256_oprf`, other implementations of the protocol.
 */

import { ristretto255_FROST, ristretto255_oprf } from "@noble/curves/ed25519.js";
import { p256_FROST, p256_oprf } from "@noble/curves/nist.js";
import { expect } from "chai";
import fc from "fast-check";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { MODE_OPRF, MODE_VOPRF, type Mode, proveDleq } from "../../../offchain/core/oprf/dleq.ts";
import { ristretto255Group } from "../../../offchain/core/oprf/group.ts";
import { p256Suite } from "../../../offchain/core/oprf/p256.ts";
import { p256Group } from "../../../offchain/core/oprf/p256-group.ts";
import { decoded, decodeElements, type PrimeOrderGroup } from "../../../offchain/core/oprf/prime-order-group.ts";
import { ristretto255Suite } from "../../../offchain/core/oprf/ristretto255.ts";
import type { BlindedBatch, EvaluationPart } from "../../../offchain/core/oprf/suite.ts";
import { verifyCommitteeKeys } from "../../../offchain/core/oprf/threshold.ts";
import type { VoprfSuite } from "../../../offchain/core/oprf/voprf.ts";
import { type DealtMember, dealKey } from "../../helpers/oprf-committee.ts";
import { expectRejection } from "../../helpers/rejection.ts";
import rfc9497P256 from "../../vectors/rfc9497-p256-sha256.json" with { type: "json" };
import rfc9497Ristretto255 from "../../vectors/rfc9497-ristretto255-sha512.json" with { type: "json" };

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

/** A byte string that is no element, and what the refusal says. */
type HostileElement = readonly [what: string, element: (good: Uint8Array) => Uint8Array, message: RegExp];

interface Subject<Element> {
  readonly suite: VoprfSuite;
  readonly group: PrimeOrderGroup<Element>;
  readonly rfc9497: typeof rfc9497Ristretto255 | typeof rfc9497P256;
  readonly oracle: typeof ristretto255_oprf;
  readonly frost: typeof ristretto255_FROST;
  /** Group order. */
  readonly order: Uint8Array;
  /** Position of the least significant byte of a scalar. */
  readonly lowByte: number;
  readonly identities: readonly Uint8Array[];
  readonly hostileElements: readonly HostileElement[];
  /** Runs of the properties, and committees: a group on BigInt takes twenty times as long as one in WebAssembly. */
  readonly runs: { readonly quorums: number; readonly flippedBits: number };
  readonly committees: readonly (readonly [threshold: number, size: number])[];
}

const bytes = (texts: string[]): Uint8Array[] => texts.map((text) => fromHex(text));
const hex = (values: Uint8Array[]): string[] => values.map((value) => toHex(value));
const utf8 = new TextEncoder();
const filled = (changes: Record<number, number>) => Uint8Array.from({ length: 32 }, (_, at) => changes[at] ?? 0xff);

const ristretto255: Subject<Uint8Array> = {
  suite: ristretto255Suite,
  group: ristretto255Group,
  rfc9497: rfc9497Ristretto255,
  oracle: ristretto255_oprf,
  frost: ristretto255_FROST,
  runs: { quorums: 3, flippedBits: 40 },
  committees: [
    [1, 1],
    [2, 3],
    [3, 5],
    [7, 9],
  ],
  order: fromHex("0xedd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"),
  lowByte: 0,
  identities: [new Uint8Array(32)],
  hostileElements: [
    // p = 2^255 − 19
    ["the value 2 as p + 2", () => filled({ 0: 0xef, 31: 0x7f }), /not a canonical/],
    ["2^255 − 1", () => filled({ 31: 0x7f }), /not a canonical/],
    ["an element with the unused top bit set", (good) => good.with(31, (good[31] ?? 0) | 0x80), /not a canonical/],
    ["a negative field element", () => Uint8Array.of(1, ...new Uint8Array(31)), /not a canonical/],
    [
      "no square root",
      () => fromHex("0x26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371"),
      /not a canonical/,
    ],
  ],
};

const P256_PRIME = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const p256Point = (x: bigint) => fromHex(`0x02${x.toString(16).padStart(64, "0")}`);
const p256: Subject<ReturnType<typeof p256Group.identityElement>> = {
  suite: p256Suite,
  group: p256Group,
  rfc9497: rfc9497P256,
  oracle: p256_oprf,
  frost: p256_FROST,
  runs: { quorums: 1, flippedBits: 10 },
  committees: [
    [1, 1],
    [3, 5],
  ],
  order: fromHex("0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
  lowByte: 31,
  identities: [Uint8Array.of(0), new Uint8Array(33)],
  hostileElements: [
    // A point has x = 5, and none has x = 1.
    ["the coordinate 5 as p + 5", () => p256Point(P256_PRIME + 5n), /not a compressed/],
    ["the coordinate p", () => p256Point(P256_PRIME), /not a compressed/],
    ["the coordinate 2^256 − 1", () => p256Point(2n ** 256n - 1n), /not a compressed/],
    ["a point that is not on the curve", () => p256Point(1n), /not a compressed/],
    ["another prefix", (good) => good.with(0, 5), /not a compressed/],
    ["a prefix of an uncompressed point", (good) => good.with(0, 4), /not a compressed/],
    ["an uncompressed point", (good) => p256Group.decodeElement(good, "good").toBytes(false), /65 bytes/],
  ],
};

function quorums<Member>(members: Member[], threshold: number): Member[][] {
  if (threshold === 0) return [[]];
  return members.flatMap((member, position) =>
    quorums(members.slice(position + 1), threshold - 1).map((rest) => [member, ...rest]),
  );
}

describeSuite(ristretto255);
describeSuite(p256);

function describeSuite<Element>(subject: Subject<Element>): void {
  const { suite, group, rfc9497, oracle, frost } = subject;
  const { blindInputs, blindInputsWith, evaluateBatch, verifyEvaluation, combineAndFinalize } = suite;
  const multiply = (scalar: Uint8Array, element: Uint8Array) =>
    group.encodeElement(group.multiply(scalar, group.decodeElement(element, "element")));
  const multiplyBase = (scalar: Uint8Array) => group.encodeElement(group.multiplyBase(scalar));
  const shareKey = (key: Uint8Array, threshold: number, size: number) => dealKey(group, key, threshold, size);

  /** Every step of the real path: evaluate, verify, combine, finalize. */
  function runQuorum(batch: BlindedBatch, inputs: Uint8Array[], members: DealtMember[]): Uint8Array[] {
    const parts = members.map(({ index, keyShare, verificationShare }) => {
      const { evaluated, proof } = evaluateBatch(keyShare, verificationShare, batch.blinded);
      verifyEvaluation(verificationShare, batch.blinded, evaluated, proof);
      return { index, evaluated };
    });
    return combineAndFinalize(batch, inputs, parts, members.length);
  }

  describe(`core/oprf ${suite.name}`, () => {
    let vectors: Vector[];

    before(async () => {
      await suite.ready();
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
          const made = proveDleq(
            group,
            secretKey,
            decoded(group, publicKey, "public key"),
            decodeElements(group, bytes(blinded), "blinded"),
            decodeElements(group, bytes(evaluated), "evaluated"),
            proofRandomScalar,
          );
          expect(toHex(made.proof), name).to.equal(proof);
          verifyEvaluation(publicKey, bytes(blinded), bytes(evaluated), fromHex(proof));
          checked += 1;
        }
        expect(checked).to.equal(3);
      });

      for (const [threshold, size] of subject.committees) {
        it(`pass through the threshold path, ${threshold} of ${size}, for the first and the last members`, () => {
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
            const { secretKey, publicKey } = oracle.voprf.generateKeyPair();
            const expected = inputs.map((input) => {
              const { blind, blinded } = oracle.voprf.blind(input);
              const { evaluated, proof } = oracle.voprf.blindEvaluate(secretKey, publicKey, blinded);
              return oracle.voprf.finalize(input, blind, evaluated, blinded, publicKey, proof);
            });
            for (const quorum of quorums(shareKey(secretKey, 3, 5), 3)) {
              expect(hex(runQuorum(blindInputs(inputs), inputs, quorum))).to.deep.equal(hex(expected));
            }
          }),
          { numRuns: subject.runs.quorums },
        );
      });

      it("lets noble's client use our node", () => {
        const inputs = [utf8.encode("one"), utf8.encode("two"), utf8.encode("three")];
        const { secretKey, publicKey } = oracle.voprf.generateKeyPair();
        const blinds = inputs.map((input) => oracle.voprf.blind(input));
        const { evaluated, proof } = evaluateBatch(
          secretKey,
          publicKey,
          blinds.map(({ blinded }) => blinded),
        );
        const items = inputs.flatMap((input, i) => {
          const [blind, element] = [blinds[i], evaluated[i]];
          return blind === undefined || element === undefined ? [] : [{ ...blind, input, evaluated: element }];
        });
        const theirs = oracle.voprf.finalizeBatch(items, publicKey, proof);
        const ours = runQuorum(blindInputs(inputs), inputs, shareKey(secretKey, 2, 3).slice(1));
        expect(hex(theirs)).to.deep.equal(hex(ours));
      });

      it("lets our client use noble's node", () => {
        const inputs = [utf8.encode("one"), utf8.encode("two")];
        const { secretKey, publicKey } = oracle.voprf.generateKeyPair();
        const batch = blindInputs(inputs);
        const { evaluated, proof } = oracle.voprf.blindEvaluateBatch(secretKey, publicKey, batch.blinded);
        verifyEvaluation(publicKey, batch.blinded, evaluated, proof);
        const theirs = inputs.map((input) => {
          const { blind, blinded } = oracle.voprf.blind(input);
          const single = oracle.voprf.blindEvaluate(secretKey, publicKey, blinded);
          return oracle.voprf.finalize(input, blind, single.evaluated, blinded, publicKey, single.proof);
        });
        const ours = combineAndFinalize(batch, inputs, [{ index: 1, evaluated }], 1);
        expect(hex(ours)).to.deep.equal(hex(theirs));
      });

      it("takes shares dealt by noble's FROST", () => {
        const identifiers = [1, 2, 3, 4, 5].map((index) => frost.Identifier.fromNumber(index));
        const { secretKey } = oracle.voprf.generateKeyPair();
        const dealt = frost.trustedDealer({ min: 3, max: 5 }, identifiers, secretKey);
        const members = identifiers.map((identifier, position) => ({
          index: position + 1,
          keyShare: dealt.secretShares[identifier]?.signingShare ?? new Uint8Array(),
          verificationShare: dealt.public.verifyingShares[identifier] ?? new Uint8Array(),
        }));
        verifyCommitteeKeys(
          group,
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
        const batch = blindInputsWith([utf8.encode("a")], [group.scalarFromNumber(7)], MODE_VOPRF);
        expect(Object.keys(batch)).to.deep.equal(["blinded", "wipe"]);
      });

      it("cannot finalize a batch after its blinds are wiped", () => {
        const inputs = [utf8.encode("a")];
        const [member] = shareKey(group.randomScalar(), 1, 1);
        if (member === undefined) throw new Error("no member");
        const batch = blindInputs(inputs);
        runQuorum(batch, inputs, [member]);
        batch.wipe();
        expectRejection(() => runQuorum(batch, inputs, [member]), "INVALID_INPUT", /wiped/);
      });
    });

    describe("hostile elements", () => {
      let member: DealtMember;
      let good: Uint8Array;

      beforeEach(() => {
        const [first] = shareKey(group.randomScalar(), 1, 1);
        if (first === undefined) throw new Error("no member");
        member = first;
        good = multiplyBase(group.randomScalar());
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

      it("refuses the identity element", () => {
        for (const identity of subject.identities) expectRefused(identity, /identity/);
      });

      for (const [what, element, message] of subject.hostileElements) {
        it(`refuses ${what}`, () => expectRefused(element(good), message));
      }

      it("refuses truncated and oversize elements", () => {
        const { length } = good;
        expectRefused(good.subarray(0, length - 1), new RegExp(`${length - 1} bytes`));
        expectRefused(Uint8Array.of(...good, 0), new RegExp(`${length + 1} bytes`));
        expectRefused(new Uint8Array(0), /0 bytes/);
      });

      it("refuses a combination that is the identity", () => {
        const inputs = [utf8.encode("a")];
        const batch = blindInputs(inputs);
        // λ = (2, −1) for members 1 and 2: the parts cancel.
        const parts = [
          { index: 1, evaluated: [good] },
          { index: 2, evaluated: [multiply(group.scalarFromNumber(2), good)] },
        ];
        expectRejection(() => combineAndFinalize(batch, inputs, parts, 2), "INVALID_POINT", /identity/);
      });
    });

    describe("hostile scalars", () => {
      const { order, lowByte } = subject;
      const orderPlus = (difference: number) => order.with(lowByte, (order[lowByte] ?? 0) + difference);

      it("refuses a zero, non-canonical or wrong-length key share", () => {
        const element = multiplyBase(group.scalarFromNumber(5));
        for (const [share, message] of [
          [new Uint8Array(32), /zero/],
          [order, /not reduced/],
          [orderPlus(1), /not reduced/],
          [new Uint8Array(32).fill(0xff), /not reduced/],
          [new Uint8Array(31).fill(1), /31 bytes/],
          [new Uint8Array(33).fill(1), /33 bytes/],
        ] as const) {
          expectRejection(() => evaluateBatch(share, element, [element]), "INVALID_SCALAR", message);
        }
      });

      it("takes the largest scalar, the order less one", () => {
        const largest = orderPlus(-1);
        const element = multiplyBase(group.scalarFromNumber(5));
        const { evaluated } = evaluateBatch(largest, multiplyBase(largest), [element]);
        const sum = [evaluated[0] ?? element, element].map((term) => group.decodeElement(term, "term"));
        expect(group.isIdentity(sum.reduce((a, b) => group.add(a, b)))).to.equal(true);
      });

      it("refuses a verification share of another key", () => {
        const element = multiplyBase(group.scalarFromNumber(5));
        expectRejection(
          () => evaluateBatch(group.scalarFromNumber(6), element, [element]),
          "INVALID_INPUT",
          /not that of/,
        );
      });
    });

    describe("hostile proofs", () => {
      const inputs = [utf8.encode("a"), utf8.encode("b"), utf8.encode("c")];
      let members: DealtMember[];
      let blinded: Uint8Array[];
      let evaluated: Uint8Array[];
      let proof: Uint8Array;
      let share: Uint8Array;

      beforeEach(() => {
        members = shareKey(group.randomScalar(), 2, 3);
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
          { numRuns: subject.runs.flippedBits },
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
        wrong[2] = multiply(group.scalarFromNumber(3), blinded[2] ?? new Uint8Array());
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
        expectRejection(
          () => verifyEvaluation(share, blinded, evaluated.slice(1), proof),
          "INVALID_INPUT",
          /2 elements/,
        );
        const longer = [...evaluated, ...evaluated.slice(0, 1)];
        expectRejection(() => verifyEvaluation(share, blinded, longer, proof), "INVALID_INPUT", /4 elements/);
        expectRejection(() => verifyEvaluation(share, [], [], proof), "INVALID_INPUT", /0 elements/);
      });
    });

    describe("combination", () => {
      const inputs = [utf8.encode("a")];
      let members: DealtMember[];
      let parts: EvaluationPart[];
      let batch: BlindedBatch;

      beforeEach(() => {
        members = shareKey(group.randomScalar(), 3, 5);
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
        const key = group.randomScalar();
        groupKey = multiplyBase(key);
        shares = shareKey(key, 3, 5).map(({ verificationShare }) => verificationShare);
      });

      it("pass when they lie on one polynomial", () => verifyCommitteeKeys(group, groupKey, shares, 3));

      it("do not pass with a foreign verification share, which is named", () => {
        const forged = shares.with(4, multiplyBase(group.randomScalar()));
        const error = expectRejection(
          () => verifyCommitteeKeys(group, groupKey, forged, 3),
          "INVALID_POINT",
          /member 5/,
        );
        expect(error.party).to.equal("member 5");
      });

      it("do not pass with a foreign group key or a lower threshold", () => {
        expectRejection(
          () => verifyCommitteeKeys(group, multiplyBase(group.randomScalar()), shares, 3),
          "INVALID_POINT",
          /group public/,
        );
        expectRejection(() => verifyCommitteeKeys(group, groupKey, shares, 2), "INVALID_POINT", /member 3/);
        expectRejection(() => verifyCommitteeKeys(group, groupKey, shares, 6), "INVALID_INPUT", /threshold 6/);
      });
    });

    it("says the lengths of what it makes", () => {
      const inputs = [utf8.encode("a")];
      const [member] = shareKey(group.randomScalar(), 1, 1);
      if (member === undefined) throw new Error("no member");
      const { evaluated, proof } = evaluateBatch(
        member.keyShare,
        member.verificationShare,
        blindInputs(inputs).blinded,
      );
      const [output] = runQuorum(blindInputs(inputs), inputs, [member]);
      const { elementBytes, scalarBytes, proofBytes, outputBytes } = suite;
      const made = [evaluated[0], member.keyShare, proof, output].map((value) => value?.length);
      expect([elementBytes, scalarBytes, proofBytes, outputBytes]).to.deep.equal(made);
      expect(suite.name).to.equal(rfc9497.suite);
    });

    it("does not finalize a batch of another suite", async () => {
      const other = suite === p256Suite ? ristretto255Suite : p256Suite;
      await other.ready();
      const inputs = [utf8.encode("a")];
      const batch = other.blindInputs(inputs);
      const parts = [{ index: 1, evaluated: batch.blinded }];
      expectRejection(() => combineAndFinalize(batch, inputs, parts, 1), "INVALID_INPUT", /not blinded here/);
    });
  });
}
