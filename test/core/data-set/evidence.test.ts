/** Commitments, content hash and the head of evidence against vectors of an independent implementation. */

import { expect } from "chai";
import fc from "fast-check";
import { randomBytes } from "#primitives";
import { evaluatePolynomial, FIELD_ORDER, readElements } from "../../../offchain/core/audit/field.ts";
import { deriveCommitmentSeed } from "../../../offchain/core/audit/keys.ts";
import { encodedManifestHash, ManifestReader } from "../../../offchain/core/audit/manifest.ts";
import { evaluatePiece } from "../../../offchain/core/audit/piece-evaluation.ts";
import { SegmentCommitments } from "../../../offchain/core/audit/segment-commitments.ts";
import { extendContent } from "../../../offchain/core/data-set/content.ts";
import { decodeEvidenceHead, encodeEvidenceHead } from "../../../offchain/core/data-set/evidence.ts";
import { agreedContentHash, requireSegments } from "../../../offchain/core/data-set/verify-evidence.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { InvalidInputError, TallystickError, UnknownVersionError } from "../../../offchain/core/errors.ts";
import vectors from "../../vectors/evidence.json" with { type: "json" };

describe("evidence", () => {
  const { firstIndex, sliceElements, manifestHash, commitmentsRoot, before, contentHash } = vectors;

  it("has commitments that follow from seed and manifest, and a content hash with them", () => {
    const seed = deriveCommitmentSeed(fromHex(vectors.auditSeed), fromHex(vectors.salt), fromHex(vectors.segment));
    expect(toHex(seed)).to.equal(vectors.seed);
    const manifest = fromHex(vectors.manifest);
    expect(toHex(encodedManifestHash(manifest))).to.equal(manifestHash);
    const commitments = new SegmentCommitments(seed, firstIndex, sliceElements);
    commitments.push(new ManifestReader().push(manifest));
    expect(commitments.finish()).to.have.length(1);
    expect(toHex(commitments.root())).to.equal(commitmentsRoot);
    expect(extendContent(before, { firstIndex, sliceCount: 3, manifestHash, commitmentsRoot })).to.equal(contentHash);
  });

  it("has a head with one encoding", () => {
    const evidence = decodeEvidenceHead(fromHex(vectors.head));
    expect(toHex(encodeEvidenceHead(evidence))).to.equal(vectors.head);
    expect(evidence).to.include({ chainId: 31_337n });
    expect(evidence.terms).to.include({ mode: "on-demand", collateralPercent: 900 });
    expect(evidence.content.slices[0]).to.include({ index: 7 });
    requireSegments(evidence.content, agreedContentHash(evidence));
  });

  it("has the other kinds of agreement and answer as well", () => {
    const evidence = decodeEvidenceHead(fromHex(vectors.head));
    const word = (digits: string) => `0x${digits.repeat(32)}`;
    const other = {
      ...evidence,
      agreement: { kind: "scheduled" as const, schedule: randomBytes(100) },
      answer: {
        kind: "chain" as const,
        proof: randomBytes(178),
        challengeBlock: 7,
        randomness: word("5a"),
        transactionHash: word("77"),
      },
    };
    expect(decodeEvidenceHead(encodeEvidenceHead(other))).to.deep.equal(other);
  });

  it("is refused when it is cut, longer, of another version, or altered in any byte of its structure", () => {
    const head = fromHex(vectors.head);
    for (const bytes of [
      head.subarray(0, -1),
      new Uint8Array([...head, 0]),
      new Uint8Array(),
      new Uint8Array([0x80]),
    ]) {
      expect(() => decodeEvidenceHead(bytes)).to.throw(InvalidInputError);
    }
    expect(() => decodeEvidenceHead(head.map((byte, at) => (at === 1 ? 2 : byte)))).to.throw(UnknownVersionError);
    // Whatever a stranger writes is read as evidence, or refused with a typed error.
    fc.assert(
      fc.property(fc.nat(head.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = head.map((byte, position) => (position === at ? byte ^ change : byte));
        try {
          expect(toHex(encodeEvidenceHead(decodeEvidenceHead(bytes)))).to.equal(toHex(bytes));
        } catch (error) {
          expect(error).to.be.instanceOf(TallystickError);
        }
      }),
    );
  });

  it("has pieces whose values add up to that of the slice, wherever it is cut", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.array(fc.nat(400), { maxLength: 5 }), (length, cuts) => {
        const bytes = randomBytes(length);
        const padded = new Uint8Array(31 * Math.ceil(length / 31));
        padded.set(bytes);
        const z = 0x1234_5678_9abc_def0n ** 3n % FIELD_ORDER;
        const at = [...new Set([0, ...cuts.filter((cut) => cut < length), length])].sort((a, b) => a - b);
        let sum = 0n;
        for (let k = 0; k + 1 < at.length; k++) {
          sum = (sum + evaluatePiece(bytes.subarray(at[k], at[k + 1]), at[k] ?? 0, z)) % FIELD_ORDER;
        }
        expect(sum).to.equal(evaluatePolynomial(readElements(padded), z));
      }),
    );
  });
});
