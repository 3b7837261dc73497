import { readFileSync } from "node:fs";
import { expect } from "chai";
import { batchWeights, challengeId, encodeRanges, expandChallenge } from "../../../offchain/core/audit/challenge.ts";
import { encodeScalar } from "../../../offchain/core/audit/field.ts";
import { auditKeyHash, keyForChain } from "../../../offchain/core/audit/keys.ts";
import { ANSWER_BYTES, encodeAnswer, proofForChain } from "../../../offchain/core/audit/proof.ts";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { SliceTagger } from "../../../offchain/core/audit/tags.ts";
import { verifyPrivate, verifyPublic, verifyPublicMany } from "../../../offchain/core/audit/verifier.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import { bytesOf, hex } from "../../helpers/audit-oracle.ts";
import {
  type AuditKeys,
  proveWithSecrets,
  SET_SLICE_ELEMENTS,
  sparseSlice,
  testKeys,
} from "../../helpers/audit-set.ts";
import {
  type AuditVectors,
  makeAuditVectors,
  SOLIDITY_PATH,
  solidityVectors,
  VECTORS_PATH,
  vectorsText,
} from "../../helpers/audit-vectors.ts";

describe("audit vectors", () => {
  const text = readFileSync(VECTORS_PATH, "utf8");
  const vectors = JSON.parse(text) as AuditVectors;
  let keys: AuditKeys;

  before(async () => {
    await auditReady();
    keys = testKeys();
  });

  it("are what the independent implementation computes, in JSON and in Solidity", async () => {
    const made = makeAuditVectors();
    expect(vectorsText(made)).to.equal(text);
    expect(await solidityVectors(made)).to.equal(readFileSync(SOLIDITY_PATH, "utf8"));
  });

  it("give the secrets and the key", () => {
    const { alpha, beta } = keys.secrets;
    expect([alpha, beta, keys.x].map(String)).to.deep.equal([vectors.alpha, vectors.beta, vectors.x]);
    expect(keyForChain(keys.publicKey)).to.deep.equal(vectors.key);
    expect(hex(auditKeyHash(keys.publicKey))).to.equal(vectors.keyHash);
  });

  for (const { index, tag } of vectors.tags) {
    it(`give the tag of slice ${index}`, () => {
      const tagger = new SliceTagger(keys.secrets, keys.x, index, SET_SLICE_ELEMENTS);
      tagger.push(sparseSlice(index));
      expect(hex(tagger.finish())).to.equal(tag);
    });
  }

  for (const vector of vectors.audits) {
    it(`give challenge and proof: ${vector.name}`, () => {
      const challenge = { ...vector.challenge, seed: bytesOf(vector.challenge.seed) };
      expect(hex(encodeRanges(challenge.ranges))).to.equal(vector.ranges);
      expect(hex(challengeId(challenge))).to.equal(vector.challengeId);
      const { indices, weights, z } = expandChallenge(challenge);
      const draws = indices.slice(0, 4).map((index, t) => ({ index, weight: weights[t]?.toString() }));
      expect({ draws, z: z.toString() }).to.deep.equal({ draws: vector.firstDraws, z: vector.z });
      const proof = proveWithSecrets(keys, challenge, sparseSlice);
      const { sigma, psi, W, y } = proof;
      expect({ sigma: hex(sigma), psi: hex(psi), W: hex(W), y: y.toString() }).to.deep.equal(vector.proof);
      expect(proofForChain(proof)).to.deep.equal({ ...vector.chainProof, y });
      verifyPublic(keys.publicKey, challenge, proof);
      verifyPrivate(keys.secrets, keys.x, challenge, proof);
    });
  }

  it("give the answer to the first challenge in the form of one contract call", () => {
    const [first] = vectors.audits;
    if (first === undefined) throw new Error("audit.json holds no audit");
    const challenge = { ...first.challenge, seed: bytesOf(first.challenge.seed) };
    const proof = proveWithSecrets(keys, challenge, sparseSlice);
    const answer = encodeAnswer(keys.publicKey, proof);
    expect(answer).to.have.length(ANSWER_BYTES);
    expect(hex(answer)).to.equal(vectors.answer);
    const { W: _, ...own } = proof;
    expect(() => encodeAnswer(keys.publicKey, own)).to.throw(InvalidInputError, "private possession proof");
  });

  it("give the weights of a batch of all of them", () => {
    const records = vectors.audits.map(({ challengeId: id, chainProof: { sigma, psi, W }, proof: { y } }) => ({
      id: bytesOf(id),
      keyHash: bytesOf(vectors.keyHash),
      points: [bytesOf(sigma), bytesOf(psi), bytesOf(W)] as const,
      y: encodeScalar(BigInt(y)),
    }));
    expect(batchWeights(records).map(String)).to.deep.equal(vectors.batchWeights);
    verifyPublicMany(
      vectors.audits.map(({ challenge, proof: { sigma, psi, W, y } }) => ({
        key: keys.publicKey,
        challenge: { ...challenge, seed: bytesOf(challenge.seed) },
        proof: { sigma: bytesOf(sigma), psi: bytesOf(psi), W: bytesOf(W), y: BigInt(y) },
      })),
    );
  });
});
