/**
 * Manifest, powers and proof encodings against vectors of an independent implementation
 * (test/vectors/derive-layouts.py).
 */

import { expect } from "chai";
import { challengeId, encodeRanges, expandChallenge } from "../../../offchain/core/audit/challenge.ts";
import { deriveDataSetSecrets } from "../../../offchain/core/audit/keys.ts";
import { decodeManifest, encodeManifest, manifestHash } from "../../../offchain/core/audit/manifest.ts";
import { powersOfAlpha, powersOfBeta } from "../../../offchain/core/audit/powers.ts";
import { decodeProof, encodeProof } from "../../../offchain/core/audit/proof.ts";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { contentIdFromDigest } from "../../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import audit from "../../vectors/audit.json" with { type: "json" };
import vectors from "../../vectors/audit-layouts.json" with { type: "json" };

describe("audit layouts", () => {
  before(auditReady);

  const manifest = {
    version: 1 as const,
    chunks: vectors.manifestChunks.map(({ digest, sizeBytes }) => {
      return { id: contentIdFromDigest(fromHex(`0x${digest}`)), sizeBytes };
    }),
  };

  it("encode a manifest and hash it", () => {
    expect(toHex(encodeManifest(manifest))).to.equal(vectors.manifest);
    expect(decodeManifest(fromHex(vectors.manifest))).to.deep.equal(manifest);
    expect(toHex(manifestHash(manifest))).to.equal(vectors.manifestHash);
  });

  it("encode ranges and draw from them", () => {
    for (const { seed, ranges, sampleCount, packed, id, indices } of vectors.challenges) {
      const challenge = { seed: fromHex(seed), ranges, sampleCount };
      expect(toHex(encodeRanges(ranges))).to.equal(packed);
      expect(toHex(challengeId(challenge))).to.equal(id);
      expect(expandChallenge(challenge).indices).to.deep.equal(indices);
    }
  });

  it("give powers of α and β as expanded points", () => {
    const secrets = deriveDataSetSecrets(fromHex(vectors.auditSeed), fromHex(vectors.salt));
    const alpha = [0, 1, 2, 4095].map((power) => toHex(powersOfAlpha(secrets, power, 1)));
    expect(alpha).to.deep.equal(vectors.powersOfAlpha);
    expect(toHex(powersOfBeta(secrets, 1, 3))).to.equal(`0x${vectors.powersOfBeta.map((p) => p.slice(2)).join("")}`);
  });

  it("encode a proof for the owner and for anybody", () => {
    const [first] = audit.audits;
    if (first === undefined) throw new Error("audit.json holds no audit");
    const { sigma, psi, W, y } = first.proof;
    const own = { sigma: fromHex(sigma), psi: fromHex(psi), y: BigInt(y) };
    const anybodys = { ...own, W: fromHex(W) };
    expect(toHex(encodeProof(own))).to.equal(vectors.privateProof);
    expect(toHex(encodeProof(anybodys))).to.equal(vectors.publicProof);
    expect(decodeProof(fromHex(vectors.privateProof))).to.deep.equal(own);
    expect(decodeProof(fromHex(vectors.publicProof))).to.deep.equal(anybodys);
  });
});
