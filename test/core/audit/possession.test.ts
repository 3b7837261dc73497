import { expect } from "chai";
import fc from "fast-check";
import {
  type AuditChallenge,
  challengeId,
  evaluateChallenge,
  expandChallenge,
  openingPoint,
} from "../../../offchain/core/audit/challenge.ts";
import {
  addG1,
  clearCofactor,
  decodeExpandedG1,
  decodeG1,
  encodeG1,
  encodeG1ForChain,
  expandG1,
  generatorG1,
  generatorG2,
  multiplyG1,
  negateG1,
  type PointG1,
  type PointG2,
  pairingProductIsOne,
} from "../../../offchain/core/audit/curve.ts";
import {
  SLICE_BYTES as DEFAULT_SLICE_BYTES,
  DEFAULT_SLICE_ELEMENTS,
  encodeScalar,
  FIELD_ORDER,
  sliceBytes,
} from "../../../offchain/core/audit/field.ts";
import { multiplyGeneratorG1 } from "../../../offchain/core/audit/fixed-base.ts";
import {
  auditKeyHash,
  auditPublicKey,
  decodeAuditKey,
  deriveDataSetSecrets,
} from "../../../offchain/core/audit/keys.ts";
import { PowersVerifier, powersOfAlpha, powersOfBeta } from "../../../offchain/core/audit/powers.ts";
import { type AuditProof, decodeProof, encodeProof, proofForChain } from "../../../offchain/core/audit/proof.ts";
import { proveAudit } from "../../../offchain/core/audit/prover.ts";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { SliceTagger, TagVerifier } from "../../../offchain/core/audit/tags.ts";
import {
  type AuditAnswer,
  verifyPrivate,
  verifyPublic,
  verifyPublicMany,
} from "../../../offchain/core/audit/verifier.ts";
import {
  InvalidInputError,
  InvalidPointError,
  InvalidProofError,
  InvalidScalarError,
  UnknownVersionError,
} from "../../../offchain/core/errors.ts";
import {
  type BatchForgery,
  makeForgeries,
  makeNegatedBatch,
  makeTranscriptForgeries,
  withCrossTerm,
} from "../../helpers/audit-forgeries.ts";
import { oracleVerify } from "../../helpers/audit-oracle.ts";
import {
  type AuditKeys,
  patternBytes,
  proveWithSecrets,
  type StoredSet,
  sparseSlice,
  storeSet,
  TEBIBYTE_SLICES,
  testKeys,
} from "../../helpers/audit-set.ts";

const SEED = new Uint8Array(32).fill(9);
/** A point of the curve outside the subgroup. */
const OUTSIDE = Uint8Array.from({ length: 48 }, (_, k) => (k === 0 ? 0x80 : k === 47 ? 4 : 0));

function challengeFor(set: StoredSet, sampleCount: number): AuditChallenge {
  return { seed: SEED, sampleCount, ranges: [{ firstIndex: set.firstIndex, count: set.slices.length }] };
}

async function thrown(run: () => Promise<unknown>): Promise<unknown> {
  try {
    await run();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** The smallest slices: the equations are the same for all. */
const SLICE_ELEMENTS = 1024;
const SLICE_BYTES = sliceBytes(SLICE_ELEMENTS);

describe("possession audit", () => {
  let keys: AuditKeys;
  let set: StoredSet;
  let challenge: AuditChallenge;
  let proof: Required<AuditProof>;
  /** A point outside the subgroup without a component inside it. */
  let torsion: PointG1;

  before(async () => {
    await auditReady();
    keys = testKeys();
    set = storeSet(keys, patternBytes(6 * SLICE_BYTES - 1000, 3), 4, SLICE_ELEMENTS);
    challenge = challengeFor(set, 20);
    proof = (await proveAudit(challenge, set.source, { key: keys.publicKey })) as Required<AuditProof>;
    const outside = decodeG1(OUTSIDE, "outside");
    torsion = addG1(outside, negateG1(clearCofactor(outside)));
  });

  describe("keys", () => {
    it("derive from the seed and the salt alone, and differ by either", () => {
      const salt = new Uint8Array(32);
      const { alpha, beta, x } = deriveDataSetSecrets(SEED, salt);
      expect(deriveDataSetSecrets(SEED, salt)).to.deep.equal({ alpha, beta, x });
      const others = [deriveDataSetSecrets(SEED, new Uint8Array(32).fill(1)), deriveDataSetSecrets(salt, salt)];
      const scalars = [alpha, beta, x, ...others.flatMap((other) => [other.alpha, other.beta, other.x])];
      expect(new Set(scalars).size).to.equal(9);
      expect(() => deriveDataSetSecrets(SEED, new Uint8Array(31))).to.throw(InvalidInputError);
    });

    it("hash to something else when any point changes", () => {
      const { publicKey } = keys;
      const changed = { ...publicKey, XB: publicKey.X };
      expect(auditKeyHash(changed)).not.to.deep.equal(auditKeyHash(publicKey));
      expect(auditKeyHash(publicKey).length).to.equal(32);
    });
  });

  describe("powers", () => {
    it("continue where asked, and A_0 is the generator", () => {
      expect(powersOfAlpha(keys.secrets, 0, 1)).to.deep.equal(expandG1(generatorG1()));
      expect(powersOfAlpha(keys.secrets, 7, 3)).to.deep.equal(set.powersA.slice(7 * 96, 10 * 96));
      expect(powersOfBeta(keys.secrets, 3, 2)).to.deep.equal(set.powersB.slice(2 * 96, 4 * 96));
    });

    it("are not made outside their range: no B_0", () => {
      expect(() => powersOfBeta(keys.secrets, 0, 1)).to.throw(InvalidInputError);
      expect(() => powersOfAlpha(keys.secrets, 65_536, 1)).to.throw(InvalidInputError);
      expect(() => powersOfAlpha(keys.secrets, -1, 1)).to.throw(InvalidInputError);
    });

    it("are accepted when right, in one piece, in several, and continued from a checked one", () => {
      const whole = new PowersVerifier(keys.publicKey);
      whole.checkPowersA(set.powersA, SLICE_ELEMENTS);
      whole.addPowersB(set.powersB);
      whole.finishPowersB();
      const pieces = new PowersVerifier(keys.publicKey);
      pieces.addPowersB(set.powersB.slice(0, 96));
      pieces.addPowersB(set.powersB.slice(96));
      pieces.finishPowersB();
      const continued = new PowersVerifier(keys.publicKey, set.powersB.slice(3 * 96, 4 * 96));
      continued.addPowersB(set.powersB.slice(4 * 96));
      continued.finishPowersB();
    });

    const swapped = (points: Uint8Array, a: number, b: number) => {
      const copy = points.slice();
      copy.set(points.slice(a * 96, a * 96 + 96), b * 96);
      copy.set(points.slice(b * 96, b * 96 + 96), a * 96);
      return copy;
    };

    const checkA = (powersA: Uint8Array) => () =>
      new PowersVerifier(keys.publicKey).checkPowersA(powersA, SLICE_ELEMENTS);
    const checkB = (powersB: Uint8Array) => () => {
      const verifier = new PowersVerifier(keys.publicKey);
      verifier.addPowersB(powersB);
      verifier.finishPowersB();
    };

    it("are refused when two are exchanged, they begin elsewhere, or belong to another owner", () => {
      const wrongStart = set.powersA.slice();
      wrongStart.set(set.powersA.slice(96, 192), 0);
      expect(checkA(wrongStart)).to.throw(InvalidProofError, "alpha");
      expect(checkA(swapped(set.powersA, 1, 2))).to.throw(InvalidProofError, "alpha");
      expect(checkB(swapped(set.powersB, 3, 4))).to.throw(InvalidProofError, "beta");
      expect(checkA(swapped(set.powersA, SLICE_ELEMENTS - 2, SLICE_ELEMENTS - 1))).to.throw(InvalidProofError, "alpha");
      expect(checkB(swapped(set.powersB, 7, 8))).to.throw(InvalidProofError, "beta");
      expect(checkB(set.powersB.slice(96))).to.throw(InvalidProofError, "beta");
      const other = testKeys(5).secrets;
      expect(checkA(powersOfAlpha(other, 0, SLICE_ELEMENTS))).to.throw(InvalidProofError, "alpha");
      expect(checkB(powersOfBeta(other, 1, 5))).to.throw(InvalidProofError, "beta");
    });

    it("are refused when malformed or of another length", () => {
      const damaged = set.powersB.slice();
      damaged.fill(0, 96, 192);
      expect(checkB(damaged)).to.throw(InvalidPointError);
      expect(checkA(set.powersA.slice(96))).to.throw(InvalidInputError);
      expect(checkB(set.powersB.slice(1))).to.throw(InvalidInputError);
      expect(checkB(set.powersB.slice(0, 24))).to.throw(InvalidInputError);
    });

    it("are refused with a key that is malformed or the identity", () => {
      const identity = { ...keys.publicKey, X: new Uint8Array(256) };
      expect(() => new PowersVerifier(identity)).to.throw(InvalidPointError, "identity");
    });
  });

  describe("tags", () => {
    const verifyTags = (stored: StoredSet, key = keys.publicKey) => {
      const verifier = new TagVerifier(key, stored.powersA, SLICE_ELEMENTS);
      stored.slices.forEach((slice, k) => {
        const at = (points: Uint8Array, position: number) => points.subarray(position * 96, position * 96 + 96);
        verifier.add(slice, at(stored.powersB, stored.firstIndex + k - 1), at(stored.tags, k));
      });
      verifier.finish();
    };

    it("do not depend on how the bytes arrive", () => {
      const data = patternBytes(3 * SLICE_BYTES + 77, 8);
      const whole = storeSet(keys, data, 1, SLICE_ELEMENTS).tags;
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 0, max: data.length }), { maxLength: 12 }), (cuts) => {
          const tagger = new SliceTagger(keys.secrets, keys.x, 1, SLICE_ELEMENTS);
          const drained: number[] = [];
          const bounds = [0, ...cuts.sort((left, right) => left - right), data.length];
          for (let k = 1; k < bounds.length; k++) {
            tagger.push(data.subarray(bounds[k - 1], bounds[k]));
            drained.push(...tagger.drain());
          }
          drained.push(...tagger.finish());
          expect(Uint8Array.from(drained)).to.deep.equal(whole);
          expect(tagger.sliceCount).to.equal(4);
          expect(tagger.sizeBytes).to.equal(data.length);
        }),
        { numRuns: 20 },
      );
    });

    it("count slices begun, and none for no data", () => {
      const tagger = new SliceTagger(keys.secrets, keys.x, 1, SLICE_ELEMENTS);
      expect([tagger.sliceCount, tagger.finish().length]).to.deep.equal([0, 0]);
      tagger.push(new Uint8Array(1));
      expect(tagger.sliceCount).to.equal(1);
      tagger.push(new Uint8Array(SLICE_BYTES - 1));
      expect(tagger.sliceCount).to.equal(1);
      expect(tagger.finish().length).to.equal(96);
    });

    it("are not made for index 0", () => {
      expect(() => new SliceTagger(keys.secrets, keys.x, 0, SLICE_ELEMENTS)).to.throw(InvalidInputError);
    });

    it("are accepted for the data they were made from", () => {
      verifyTags(set);
    });

    it("are accepted over the limit of pending points", () => {
      const many = storeSet(keys, new Uint8Array(1030 * SLICE_BYTES), 1, SLICE_ELEMENTS);
      verifyTags(many);
    });

    it("are refused when one byte of data differs", () => {
      const slices = set.slices.map((slice) => slice.slice());
      const last = slices.at(-1);
      if (last !== undefined) last[SLICE_BYTES - 1] = 1;
      expect(() => verifyTags({ ...set, slices })).to.throw(InvalidProofError);
    });

    it("are refused when exchanged, shifted to other indices, or made under another key", () => {
      const exchanged = set.tags.slice();
      exchanged.set(set.tags.slice(96, 192), 0);
      exchanged.set(set.tags.slice(0, 96), 96);
      expect(() => verifyTags({ ...set, tags: exchanged })).to.throw(InvalidProofError);
      expect(() => verifyTags({ ...set, firstIndex: 3 })).to.throw(InvalidProofError);
      expect(() => verifyTags(set, testKeys(1, 3).publicKey)).to.throw(InvalidProofError);
    });

    it("are refused when malformed, the identity, or with a slice of another length", () => {
      const verifier = new TagVerifier(keys.publicKey, set.powersA, SLICE_ELEMENTS);
      const [slice = new Uint8Array(0)] = set.slices;
      const [powerB, tag] = [set.powersB.slice(0, 96), set.tags.slice(0, 96)];
      // Neither form of the identity is a point.
      const identity = new Uint8Array(96);
      const compressed = Uint8Array.from({ length: 48 }, (_, k) => (k === 0 ? 0xc0 : 0));
      expect(() => verifier.add(slice, powerB, tag.slice(1))).to.throw(InvalidPointError, "tag");
      expect(() => verifier.add(slice, powerB, identity)).to.throw(InvalidPointError, "tag");
      expect(() => verifier.add(slice, powerB, compressed)).to.throw(InvalidPointError, "tag");
      expect(() => verifier.add(slice, identity, tag)).to.throw(InvalidPointError, "power");
      expect(() => verifier.add(slice.slice(1), powerB, tag)).to.throw(RangeError);
    });
  });

  describe("proofs", () => {
    it("verify, publicly and privately, and by the independent implementation", () => {
      verifyPublic(keys.publicKey, challenge, proof);
      verifyPrivate(keys.secrets, keys.x, challenge, proof);
      expect(oracleVerify(keys.publicKey, challenge, proof)).to.equal(true);
    });

    it("are those that the owner computes from the secrets", () => {
      const sliceAt = (index: number) => set.slices[index - set.firstIndex] ?? new Uint8Array(SLICE_BYTES);
      expect(proveWithSecrets(keys, challenge, sliceAt)).to.deep.equal(proof);
    });

    it("for the owner are the public ones without W", async () => {
      const short = await proveAudit(challenge, set.source, {});
      expect(short).to.deep.equal({ sigma: proof.sigma, psi: proof.psi, y: proof.y });
      verifyPrivate(keys.secrets, keys.x, challenge, short);
      expect(() => verifyPublic(keys.publicKey, challenge, short)).to.throw(InvalidProofError);
    });

    it("verify for one slice of index 1, for more samples than slices, and for zeros", async () => {
      const contents: [string, Uint8Array][] = [
        ["one byte", Uint8Array.of(1)],
        ["31 bytes, a constant polynomial", patternBytes(31, 1)],
        ["zeros", new Uint8Array(SLICE_BYTES)],
        ["ones", new Uint8Array(SLICE_BYTES + 1).fill(0xff)],
      ];
      for (const [name, data] of contents) {
        const small = storeSet(keys, data, 1, SLICE_ELEMENTS);
        const asked = challengeFor(small, 9);
        const answer = (await proveAudit(asked, small.source, { key: keys.publicKey })) as Required<AuditProof>;
        verifyPublic(keys.publicKey, asked, answer);
        verifyPrivate(keys.secrets, keys.x, asked, answer);
        expect(oracleVerify(keys.publicKey, asked, answer), name).to.equal(true);
      }
    });

    it("verify over a range of several pieces and of 1 TiB", async () => {
      const wide = storeSet(keys, patternBytes(SLICE_BYTES, 1), 2500, SLICE_ELEMENTS);
      const asked = challengeFor(wide, 3);
      verifyPublic(keys.publicKey, asked, await proveAudit(asked, wide.source, { key: keys.publicKey }));
      const huge = { seed: SEED, sampleCount: 460, ranges: [{ firstIndex: 1, count: TEBIBYTE_SLICES }] };
      const answer = proveWithSecrets(keys, huge, sparseSlice);
      verifyPublic(keys.publicKey, huge, answer);
      verifyPrivate(keys.secrets, keys.x, huge, answer);
      const shorter = { ...huge, ranges: [{ firstIndex: 1, count: TEBIBYTE_SLICES - 1 }] };
      expect(() => verifyPublic(keys.publicKey, shorter, answer)).to.throw(InvalidProofError);
    });

    it("are rejected when any byte of a sampled slice is damaged", async () => {
      const everySlice = challengeFor(set, 60);
      for (const position of [0, 30, SLICE_BYTES - 1]) {
        const readSlice = async (index: number) => {
          const slice = (await set.source.readSlice(index)).slice();
          if (index === set.firstIndex + 2) slice[position] = (slice[position] ?? 0) ^ 1;
          return slice;
        };
        const answer = await proveAudit(everySlice, { ...set.source, readSlice }, { key: keys.publicKey });
        expect(() => verifyPublic(keys.publicKey, everySlice, answer)).to.throw(InvalidProofError);
        expect(() => verifyPrivate(keys.secrets, keys.x, everySlice, answer)).to.throw(InvalidProofError);
      }
    });

    it("are rejected when a slice is answered with another slice and its tag", async () => {
      const readSlice = (index: number) => set.source.readSlice(index === 5 ? 6 : index);
      const readTag = (index: number) => set.source.readTag(index === 5 ? 6 : index);
      const everySlice = challengeFor(set, 60);
      const answer = await proveAudit(everySlice, { ...set.source, readSlice, readTag }, { key: keys.publicKey });
      expect(() => verifyPublic(keys.publicKey, everySlice, answer)).to.throw(InvalidProofError);
      expect(() => verifyPrivate(keys.secrets, keys.x, everySlice, answer)).to.throw(InvalidProofError);
    });

    it("verify although tags and powers have components outside the subgroup", async () => {
      const tainted = (points: Uint8Array) => {
        const copy = points.slice();
        for (let k = 0; k < 3 * 96; k += 96) {
          copy.set(expandG1(addG1(decodeExpandedG1(points.slice(k, k + 96), "point"), torsion)), k);
        }
        return copy;
      };
      const tags = tainted(set.tags);
      const powersB = tainted(set.powersB);
      const source = {
        ...set.source,
        readTag: async (index: number) => tags.subarray((index - 4) * 96, (index - 3) * 96),
        readPowersB: async (first: number, count: number) =>
          powersB.subarray((first - 1) * 96, (first - 1 + count) * 96),
      };
      const everySlice = challengeFor(set, 60);
      const answer = await proveAudit(everySlice, source, { key: keys.publicKey });
      verifyPublic(keys.publicKey, everySlice, answer);
      verifyPrivate(keys.secrets, keys.x, everySlice, answer);
    });

    it("are not made from damaged storage, and the error names the damage", async () => {
      const short = { ...set.source, readSlice: async () => new Uint8Array(5) };
      expect(await thrown(() => proveAudit(challenge, short, {}))).to.be.instanceOf(InvalidInputError);
      const noTag = { ...set.source, readTag: async () => new Uint8Array(96) };
      const error = await thrown(() => proveAudit(challenge, noTag, {}));
      expect(error).to.be.instanceOf(InvalidPointError);
      expect(String(error)).to.match(/tag of slice \d/);
      const fewPowers = { ...set.source, readPowersB: async () => new Uint8Array(10) };
      expect(await thrown(() => proveAudit(challenge, fewPowers, { key: keys.publicKey }))).to.be.instanceOf(
        InvalidInputError,
      );
    });

    it("are not made for index 0", async () => {
      const zero = { ...challenge, ranges: [{ firstIndex: 0, count: 9 }] };
      expect(await thrown(() => proveAudit(zero, set.source, { key: keys.publicKey }))).to.be.instanceOf(
        InvalidInputError,
      );
    });
  });

  describe("a tampered proof is rejected", () => {
    const moved = (point: Uint8Array) => encodeG1(addG1(decodeG1(point, "point"), generatorG1()));
    const identity = Uint8Array.from({ length: 48 }, (_, k) => (k === 0 ? 0xc0 : 0));
    type Tampering = (given: Required<AuditProof>) => AuditProof;
    const both: [string, Tampering][] = [
      ["σ moved", (given) => ({ ...given, sigma: moved(given.sigma) })],
      ["σ negated", (given) => ({ ...given, sigma: encodeG1(negateG1(decodeG1(given.sigma, "σ"))) })],
      ["σ the identity", (given) => ({ ...given, sigma: identity })],
      [
        "σ outside the subgroup",
        (given) => ({ ...given, sigma: encodeG1(addG1(decodeG1(given.sigma, "σ"), torsion)) }),
      ],
      ["ψ moved", (given) => ({ ...given, psi: moved(given.psi) })],
      ["ψ the identity", (given) => ({ ...given, psi: identity })],
      ["ψ outside the subgroup", (given) => ({ ...given, psi: encodeG1(addG1(decodeG1(given.psi, "ψ"), torsion)) })],
      ["y plus one", (given) => ({ ...given, y: (given.y + 1n) % FIELD_ORDER })],
      ["y zero", (given) => ({ ...given, y: 0n })],
      ["y in its second encoding", (given) => ({ ...given, y: given.y + FIELD_ORDER })],
      ["y negative", (given) => ({ ...given, y: given.y - FIELD_ORDER })],
      ["σ not a point", (given) => ({ ...given, sigma: new Uint8Array(48) })],
      ["ψ too short", (given) => ({ ...given, psi: given.psi.slice(1) })],
      ["σ and ψ exchanged", (given) => ({ ...given, sigma: given.psi, psi: given.sigma })],
    ];
    const publicOnly: [string, Tampering][] = [
      ["W moved", (given) => ({ ...given, W: moved(given.W) })],
      ["W the identity", (given) => ({ ...given, W: identity })],
      ["W outside the subgroup", (given) => ({ ...given, W: encodeG1(addG1(decodeG1(given.W, "W"), torsion)) })],
      ["ψ and W exchanged", (given) => ({ ...given, psi: given.W, W: given.psi })],
      ["everything zero", () => ({ sigma: identity, psi: identity, W: identity, y: 0n })],
    ];
    const refusals = [InvalidProofError, InvalidPointError, InvalidScalarError];
    const expectRefusal = (run: () => void) => {
      let error: unknown;
      try {
        run();
      } catch (caught) {
        error = caught;
      }
      expect(
        refusals.some((refusal) => error instanceof refusal),
        String(error),
      ).to.equal(true);
    };
    for (const [name, tamper] of [...both, ...publicOnly]) {
      it(`publicly: ${name}`, () => {
        expectRefusal(() => verifyPublic(keys.publicKey, challenge, tamper(proof)));
      });
    }
    for (const [name, tamper] of both) {
      it(`privately: ${name}`, () => {
        expectRefusal(() => verifyPrivate(keys.secrets, keys.x, challenge, tamper(proof)));
      });
    }

    it("when it is a forgery that one rule alone stands against", () => {
      const sliceAt = (index: number) => set.slices[index % set.slices.length] ?? new Uint8Array(SLICE_BYTES);
      for (const { name, challenge: asked, key, proof: forged } of makeForgeries(keys, challenge, sliceAt)) {
        let error: unknown;
        try {
          verifyPublic(key, asked, forged);
        } catch (caught) {
          error = caught;
        }
        const expected = /index 0/.test(name)
          ? InvalidInputError
          : /identity/.test(name)
            ? InvalidPointError
            : InvalidProofError;
        expect(error, name).to.be.instanceOf(expected);
      }
    });

    const changes: [string, (asked: AuditChallenge) => AuditChallenge][] = [
      ["another seed", (asked) => ({ ...asked, seed: new Uint8Array(32) })],
      ["a range one longer", (asked) => ({ ...asked, ranges: [{ firstIndex: 4, count: 7 }] })],
      [
        "a range one shorter, its last slice being retired",
        (asked) => ({
          ...asked,
          ranges: [{ firstIndex: 4, count: 5 }],
        }),
      ],
      ["a range moved by one", (asked) => ({ ...asked, ranges: [{ firstIndex: 5, count: 6 }] })],
      [
        "the same slices in two ranges",
        (asked) => ({
          ...asked,
          ranges: [
            { firstIndex: 4, count: 2 },
            { firstIndex: 6, count: 4 },
          ],
        }),
      ],
      ["one sample more", (asked) => ({ ...asked, sampleCount: asked.sampleCount + 1 })],
      ["one sample fewer", (asked) => ({ ...asked, sampleCount: asked.sampleCount - 1 })],
    ];
    for (const [name, change] of changes) {
      it(`for ${name}`, () => {
        expect(() => verifyPublic(keys.publicKey, change(challenge), proof)).to.throw(InvalidProofError);
        expect(() => verifyPrivate(keys.secrets, keys.x, change(challenge), proof)).to.throw(InvalidProofError);
      });
    }

    it("under another key of the same owner, and of another owner", () => {
      for (const other of [testKeys(1, 3), testKeys(2, 2)]) {
        expect(() => verifyPublic(other.publicKey, challenge, proof)).to.throw(InvalidProofError);
        expect(() => verifyPrivate(other.secrets, other.x, challenge, proof)).to.throw(InvalidProofError);
      }
      const mixed = auditPublicKey({ ...keys.secrets, beta: 5n }, keys.x);
      expect(() => verifyPublic(mixed, challenge, proof)).to.throw(InvalidProofError);
    });
  });

  describe("several ranges", () => {
    it("verify, and not for ranges that differ in a number", async () => {
      const ranges = [
        { firstIndex: 4, count: 1 },
        { firstIndex: 6, count: 2 },
        { firstIndex: 9, count: 1 },
      ];
      const asked = { ...challenge, ranges };
      const answer = (await proveAudit(asked, set.source, { key: keys.publicKey })) as Required<AuditProof>;
      verifyPublic(keys.publicKey, asked, answer);
      verifyPrivate(keys.secrets, keys.x, asked, answer);
      expect(oracleVerify(keys.publicKey, asked, answer)).to.equal(true);
      const retired = { ...asked, ranges: ranges.slice(0, 2) };
      expect(() => verifyPublic(keys.publicKey, retired, answer)).to.throw(InvalidProofError);
      expect(() => verifyPublic(keys.publicKey, challenge, answer)).to.throw(InvalidProofError);
    });

    it("are answered without reading slices outside them", async () => {
      const asked = { ...challenge, ranges: [{ firstIndex: 5, count: 2 }] };
      const read = new Set<number>();
      const readSlice = (index: number) => {
        read.add(index);
        return set.source.readSlice(index);
      };
      await proveAudit(asked, { ...set.source, readSlice }, { key: keys.publicKey });
      expect([...read]).to.have.members([5, 6]);
    });
  });

  it("accepts the same statement with a term that ψ and W share, publicly only", () => {
    const add = (point: Uint8Array, exponent: bigint) =>
      encodeG1(addG1(decodeG1(point, "point"), multiplyGeneratorG1(exponent)));
    const other = withCrossTerm(keys, challenge, proof, add);
    expect(other.psi).not.to.deep.equal(proof.psi);
    verifyPublic(keys.publicKey, challenge, other);
    expect(oracleVerify(keys.publicKey, challenge, other)).to.equal(true);
    expect(() => verifyPrivate(keys.secrets, keys.x, challenge, other)).to.throw(InvalidProofError);
  });

  describe("batches", () => {
    let answers: AuditAnswer[];

    /** ∏ E_k^(w_k) = 1 for given weights. */
    const holds = ({ sets, weights }: Pick<BatchForgery, "sets" | "weights">): boolean =>
      pairingProductIsOne(
        sets.flatMap(({ key, challenge: asked, proof: { sigma, psi, W, y } }, k) => {
          const points = [sigma, psi, W].map((bytes) => decodeG1(bytes, "element")) as [PointG1, PointG1, PointG1];
          const { X, XA, XB } = decodeAuditKey(key);
          const expanded = expandChallenge(asked);
          const id = challengeId(asked);
          const rho = openingPoint(id, auditKeyHash(key), encodeG1ForChain(points[0]), encodeScalar(y));
          const constant = multiplyGeneratorG1((evaluateChallenge(expanded, rho) + y) % FIELD_ORDER);
          const signed = addG1(
            constant,
            negateG1(addG1(multiplyG1(points[1], expanded.z), multiplyG1(points[2], rho))),
          );
          const weigh = (point: PointG1) => multiplyG1(point, weights[k] ?? 0n);
          return [
            [negateG1(weigh(points[0])), generatorG2()],
            [weigh(signed), X],
            [weigh(points[1]), XA],
            [weigh(points[2]), XB],
          ] as [PointG1, PointG2][];
        }),
      );

    before(() => {
      answers = [keys, testKeys(1, 3), testKeys(2, 2)].map((owner, k) => {
        const asked = { ...challenge, seed: new Uint8Array(32).fill(k), sampleCount: 3 + k };
        return { key: owner.publicKey, challenge: asked, proof: proveWithSecrets(owner, asked, sparseSlice) };
      });
    });

    it("of 1 to 3 proofs verify", () => {
      for (let count = 1; count <= 3; count++) verifyPublicMany(answers.slice(0, count));
      expect(() => verifyPublicMany([])).to.throw(InvalidInputError);
    });

    it("are rejected when one proof is bad, wherever it is", () => {
      for (let bad = 0; bad < 3; bad++) {
        const changed = answers.map((answer, k) => {
          return k === bad ? { ...answer, proof: { ...answer.proof, y: (answer.proof.y + 1n) % FIELD_ORDER } } : answer;
        });
        expect(() => verifyPublicMany(changed)).to.throw(InvalidProofError);
        const proofs = answers.map(({ proof: given }) => given);
        const exchanged = answers.map((answer, k) => ({
          ...answer,
          proof: proofs[k === bad ? (k + 1) % 3 : k] ?? answer.proof,
        }));
        expect(() => verifyPublicMany(exchanged)).to.throw(InvalidProofError);
      }
    });

    it("are rejected with one set twice when errors cancel, and accept it twice without errors", () => {
      const [first] = answers;
      if (first === undefined) throw new Error("no answers");
      verifyPublicMany([first, first]);
      const error = multiplyGeneratorG1(5n);
      const withError = (point: PointG1): AuditAnswer => {
        const sigma = encodeG1(addG1(decodeG1(first.proof.sigma, "σ"), point));
        return { ...first, proof: { ...first.proof, sigma } };
      };
      const twice = [withError(error), withError(negateG1(error))];
      expect(() => verifyPublicMany(twice)).to.throw(InvalidProofError);
    });

    it("without weights would accept a second set under the negated key, without data", () => {
      const forgery = makeNegatedBatch(keys, challenge);
      expect(holds(forgery)).to.equal(true);
      expect(() => verifyPublicMany(forgery.sets)).to.throw(InvalidProofError);
      for (const alone of forgery.sets) expect(() => verifyPublicMany([alone])).to.throw(InvalidProofError);
    });

    it("with weights from a part of the transcript would accept what is chosen after them", () => {
      for (const forgery of makeTranscriptForgeries([keys, testKeys(2, 2)], challenge)) {
        expect(holds(forgery), forgery.name).to.equal(true);
        expect(() => verifyPublicMany(forgery.sets), forgery.name).to.throw(InvalidProofError);
      }
    });
  });

  describe("slices of other sizes", () => {
    for (const sliceElements of [DEFAULT_SLICE_ELEMENTS, 5120]) {
      it(`of ${sliceElements} elements are tagged, accepted, proven and verified`, async () => {
        const size = sliceBytes(sliceElements);
        const stored = storeSet(keys, patternBytes(3 * size - 5, 9), 2, sliceElements);
        const powers = new PowersVerifier(keys.publicKey);
        powers.checkPowersA(stored.powersA, sliceElements);
        const verifier = new TagVerifier(keys.publicKey, stored.powersA, sliceElements);
        stored.slices.forEach((slice, k) => {
          const at = (points: Uint8Array, position: number) => points.subarray(position * 96, position * 96 + 96);
          verifier.add(slice, at(stored.powersB, k + 1), at(stored.tags, k));
        });
        verifier.finish();
        const asked = challengeFor(stored, 7);
        const answer = (await proveAudit(asked, stored.source, { key: keys.publicKey })) as Required<AuditProof>;
        verifyPublic(keys.publicKey, asked, answer);
        verifyPrivate(keys.secrets, keys.x, asked, answer);
        expect(oracleVerify(keys.publicKey, asked, answer)).to.equal(true);
      });
    }

    it("are refused unless a multiple of 1024 from 1024 to 65,536", () => {
      for (const elements of [0, -1024, 1000, 4097, 66_560, Number.NaN]) {
        expect(() => sliceBytes(elements)).to.throw(InvalidInputError);
        expect(() => new SliceTagger(keys.secrets, keys.x, 1, elements)).to.throw(InvalidInputError);
      }
      expect(sliceBytes(65_536)).to.equal(31 * 65_536);
    });
  });

  describe("encoding of proofs", () => {
    it("round trips", () => {
      expect(decodeProof(encodeProof(proof))).to.deep.equal(proof);
      const { sigma, psi, y } = proof;
      expect(decodeProof(encodeProof({ sigma, psi, y }))).to.deep.equal({ sigma, psi, y });
      expect([encodeProof(proof).length, encodeProof({ sigma, psi, y }).length]).to.deep.equal([178, 130]);
    });

    it("refuses other versions, flags, lengths and values of y", () => {
      const bytes = encodeProof(proof);
      const edit = (position: number, value: number) => {
        const copy = bytes.slice();
        copy[position] = value;
        return copy;
      };
      expect(() => decodeProof(edit(0, 1))).to.throw(UnknownVersionError);
      expect(() => decodeProof(edit(0, 3))).to.throw(UnknownVersionError);
      expect(() => decodeProof(new Uint8Array(0))).to.throw(UnknownVersionError);
      expect(() => decodeProof(edit(1, 0))).to.throw(InvalidInputError);
      expect(() => decodeProof(edit(1, 3))).to.throw(InvalidInputError);
      expect(() => decodeProof(bytes.slice(0, -1))).to.throw(InvalidInputError);
      expect(() => decodeProof(Uint8Array.of(...bytes, 0))).to.throw(InvalidInputError);
      expect(() => decodeProof(edit(bytes.length - 32, 0xff))).to.throw(InvalidScalarError);
    });

    it("gives a contract only public proofs of valid points", () => {
      const { sigma, psi, y } = proof;
      expect(() => proofForChain({ sigma, psi, y })).to.throw(InvalidInputError);
      expect(() => proofForChain({ ...proof, psi: OUTSIDE })).to.throw(InvalidPointError, "psi");
      const chain = proofForChain(proof);
      expect([chain.sigma, chain.psi, chain.W].map((point) => point.length)).to.deep.equal([258, 258, 258]);
    });
  });

  it("has slices of 8192 elements of 31 bytes", () => {
    expect([DEFAULT_SLICE_BYTES, DEFAULT_SLICE_ELEMENTS]).to.deep.equal([253_952, 8192]);
  });
});
