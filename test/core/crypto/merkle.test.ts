import { bytesToHex as hex } from "@noble/hashes/utils.js";
import { expect } from "chai";
import fc from "fast-check";
import {
  LEAF_BYTES,
  leafCount,
  merkleProof,
  merkleProofs,
  merkleRoot,
  verifyMerkleProof,
} from "../../../offchain/core/crypto/merkle.ts";
import { InvalidInputError } from "../../../offchain/core/errors.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { loadVectors } from "../../helpers/vectors.ts";

interface Vectors {
  vectors: { sizeBytes: number; root: string; leaf: number; path: string[] }[];
}

describe("ownership tree", () => {
  it("has the roots and paths of RFC 6962 as an independent implementation computes them", () => {
    for (const { sizeBytes, root, leaf, path } of loadVectors<Vectors>("merkle.json").vectors) {
      const bytes = pseudoRandomBytes("merkle vector", sizeBytes);
      expect(hex(merkleRoot(bytes)), `${sizeBytes}`).to.equal(root);
      expect(merkleProof(bytes, leaf).path.map(hex), `${sizeBytes}`).to.deep.equal(path);
    }
    // RFC 6962 §2.1: the hash of an empty list.
    expect(hex(merkleRoot(new Uint8Array(0)))).to.equal(
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
  });

  it("proves every leaf of every size up to nine leaves", () => {
    const bytes = pseudoRandomBytes("leaves", 9 * LEAF_BYTES);
    for (let size = 1; size <= bytes.length; size += 512) {
      const part = bytes.subarray(0, size);
      const root = merkleRoot(part);
      const all = Array.from({ length: leafCount(size) }, (_, leaf) => leaf);
      for (const [leaf, { data, path }] of merkleProofs(part, all).entries()) {
        expect(data).to.deep.equal(part.slice(leaf * LEAF_BYTES, (leaf + 1) * LEAF_BYTES));
        expect(verifyMerkleProof(root, size, leaf, data, path), `${size}/${leaf}`).to.equal(true);
      }
    }
  });

  it("rejects a proof for any other leaf, size, root or byte", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1025, max: 20_000 }), fc.nat(), fc.nat(), (size, at, other) => {
        const bytes = pseudoRandomBytes("reject", size);
        const count = leafCount(size);
        const [leaf, wrongLeaf] = [at % count, other % count];
        const root = merkleRoot(bytes);
        const { data, path } = merkleProof(bytes, leaf);
        if (wrongLeaf !== leaf) expect(verifyMerkleProof(root, size, wrongLeaf, data, path)).to.equal(false);
        const damagedData = data.slice();
        damagedData[other % data.length] = (damagedData[other % data.length] ?? 0) ^ 1;
        expect(verifyMerkleProof(root, size, leaf, damagedData, path)).to.equal(false);
        const damagedPath = path.map((digest) => digest.slice());
        const step = damagedPath[other % path.length] as Uint8Array;
        step[other % 32] = (step[other % 32] ?? 0) ^ 1;
        expect(verifyMerkleProof(root, size, leaf, data, damagedPath)).to.equal(false);
        expect(verifyMerkleProof(root, size, leaf, data, path.slice(1))).to.equal(false);
        expect(verifyMerkleProof(root, size, leaf, data, path.slice(0, -1))).to.equal(false);
        expect(verifyMerkleProof(root, size, leaf, data, [...path, new Uint8Array(32)])).to.equal(false);
        expect(verifyMerkleProof(root, size, leaf, data.subarray(1), path)).to.equal(false);
        expect(
          verifyMerkleProof(
            root.map((byte) => byte ^ 1),
            size,
            leaf,
            data,
            path,
          ),
        ).to.equal(false);
        expect(verifyMerkleProof(root.subarray(1), size, leaf, data, path)).to.equal(false);
      }),
    );
  });

  it("rejects leaves out of range and digests of other lengths without throwing", () => {
    const bytes = pseudoRandomBytes("range", 3000);
    const root = merkleRoot(bytes);
    const { data, path } = merkleProof(bytes, 1);
    for (const leaf of [-1, 3, 1.5, Number.NaN, 2 ** 32 + 1]) {
      expect(verifyMerkleProof(root, 3000, leaf, data, path), `${leaf}`).to.equal(false);
    }
    const shortened = [path[0]?.subarray(1) ?? root, ...path.slice(1)];
    expect(verifyMerkleProof(root, 3000, 1, data, shortened)).to.equal(false);
    for (const size of [0, -1, 1024, Number.NaN]) {
      expect(verifyMerkleProof(root, size, 1, data, path), `${size}`).to.equal(false);
    }
  });

  it("does not take an inner node for a leaf", () => {
    const bytes = pseudoRandomBytes("inner", 4 * LEAF_BYTES);
    const root = merkleRoot(bytes);
    const [left] = merkleProof(bytes, 3).path.slice(-1);
    const [right] = merkleProof(bytes, 0).path.slice(-1);
    const node = new Uint8Array([...(left ?? []), ...(right ?? [])]);
    // A file of 64 bytes whose only leaf is the two children of the root would hash to the root without prefixes.
    expect(verifyMerkleProof(root, 64, 0, node, [])).to.equal(false);
  });

  it("refuses to prove a leaf that is not there", () => {
    for (const leaf of [-1, 2, 0.5]) {
      expect(() => merkleProof(new Uint8Array(2048), leaf), `${leaf}`).to.throw(InvalidInputError, "no such leaf");
    }
    expect(() => merkleProof(new Uint8Array(0), 0)).to.throw(InvalidInputError, "no such leaf");
  });
});
