import { createHash, hkdfSync } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import {
  BLOCK_LEAVES,
  CommitmentTree,
  commitmentPaths,
  leafOf,
  pathIn,
} from "../../../offchain/core/audit/commitment-tree.ts";
import {
  commitmentBlinding,
  commitSlice,
  type OpenedCommitment,
  verifyCommitment,
} from "../../../offchain/core/audit/commitments.ts";
import { encodeManifest, ManifestReader, sliceLayout } from "../../../offchain/core/audit/manifest.ts";
import { SegmentCommitments } from "../../../offchain/core/audit/segment-commitments.ts";
import { faultOf, verdictOf } from "../../../offchain/core/audit/verdict.ts";
import { contentId, digestOf } from "../../../offchain/core/encoding/content-id.ts";
import { InvalidInputError, InvalidProofError } from "../../../offchain/core/errors.ts";

const SEED = new Uint8Array(32).fill(9);

function pieceOf(byte: number) {
  return { digest: new Uint8Array(32).fill(byte), offsetBytes: byte, lengthBytes: 1000 + byte };
}

/** A segment whose slices have one piece each. */
function segment(count: number, firstIndex = 1) {
  const commitments = Array.from({ length: count }, (_, k) =>
    commitSlice(firstIndex + k, [pieceOf(k & 0xff)], commitmentBlinding(SEED, firstIndex + k)),
  );
  const tree = new CommitmentTree();
  for (const commitment of commitments) tree.push(commitment);
  const open = (position: number): OpenedCommitment => ({
    index: firstIndex + position,
    pieces: [pieceOf(position & 0xff)],
    blinding: commitmentBlinding(SEED, firstIndex + position),
    position,
    count,
    path: pathIn(commitments.map(leafOf), position),
  });
  return { commitments, root: tree.root(), open };
}

describe("commitments to slices", () => {
  it("are what another implementation computes", () => {
    const blinding = Buffer.from(
      hkdfSync("sha256", SEED, "", Buffer.from("tallystick/v1/commitment-blinding\0\0\0\0\0\0\x07", "latin1"), 32),
    );
    const hash = createHash("sha256").update("tallystick/v1/slice-commitment\0").update(blinding);
    hash.update(Buffer.from("000000000007", "hex"));
    hash.update(Buffer.alloc(32, 1)).update(Buffer.from("00000001000003e9", "hex"));
    hash.update(Buffer.alloc(32, 2)).update(Buffer.from("00000002000003ea", "hex"));
    const commitment = commitSlice(7, [pieceOf(1), pieceOf(2)], commitmentBlinding(SEED, 7));
    expect(Buffer.from(commitment).toString("hex")).to.equal(hash.digest("hex"));
  });

  it("open in trees of every size, at every place, and nowhere else", () => {
    for (const count of [1, 2, 3, 4, 5, 7, 8, 9, 16, 17]) {
      const { root, open } = segment(count);
      for (let position = 0; position < count; position++) {
        const opened = open(position);
        verifyCommitment(root, opened);
        const wrong: Partial<OpenedCommitment>[] = [
          { index: opened.index + 1 },
          { pieces: [pieceOf((position + 1) & 0xff)] },
          { pieces: [...opened.pieces, pieceOf(3)] },
          { blinding: new Uint8Array(32) },
          { path: [...opened.path, root] },
          { position: count },
          { position: -1 },
          ...(count > 1 ? [{ path: opened.path.slice(1) }, { position: (position + 1) % count }] : []),
        ];
        for (const change of wrong) {
          expect(() => verifyCommitment(root, { ...opened, ...change }), JSON.stringify(Object.keys(change))).to.throw(
            InvalidProofError,
          );
        }
      }
    }
  });

  it("tell pieces, offsets and lengths apart", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), fc.nat(2 ** 31), fc.integer({ min: 1, max: 2 ** 31 })), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.nat(2 ** 40),
        (parts, index) => {
          const pieces = parts.map(([byte, offsetBytes, lengthBytes]) => ({
            ...pieceOf(byte),
            offsetBytes,
            lengthBytes,
          }));
          const [first] = pieces;
          if (first === undefined) return;
          const commit = (at: number, of: typeof pieces) => commitSlice(at, of, SEED);
          const commitment = commit(index, pieces);
          expect(commit(index, pieces)).to.deep.equal(commitment);
          expect(commit(index + 1, pieces)).not.to.deep.equal(commitment);
          const moved = { ...first, offsetBytes: first.offsetBytes + 1 };
          expect(commit(index, [moved, ...pieces.slice(1)])).not.to.deep.equal(commitment);
          expect(commit(index, [...pieces, first])).not.to.deep.equal(commitment);
        },
      ),
    );
  });

  it("hide: another blinding gives another commitment to the same slice", () => {
    const other = commitmentBlinding(new Uint8Array(32).fill(10), 1);
    expect(commitSlice(1, [pieceOf(1)], other)).not.to.deep.equal(
      commitSlice(1, [pieceOf(1)], commitmentBlinding(SEED, 1)),
    );
  });

  it("have a root that both sides compute from manifest and seed, however the manifest arrives", () => {
    const some = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 12 });
    // Slices of more pieces than are hashed at once.
    const tiny = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 130, maxLength: 400 });
    const sizes = fc.oneof({ weight: 4, arbitrary: some }, { weight: 1, arbitrary: tiny });
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 1, max: 2 ** 40 }),
        fc.integer({ min: 1, max: 500 }),
        (list, first, step) => {
          const chunks = list.map((sizeBytes, k) => ({ id: contentId(Uint8Array.of(k & 0xff, k >> 8)), sizeBytes }));
          const manifest = encodeManifest({ version: 1, chunks });
          const layout = sliceLayout({ version: 1, chunks }, 1024);
          const tree = new CommitmentTree();
          for (let position = 0; position < layout.sliceCount; position++) {
            const pieces = layout
              .segments(position)
              .map(({ chunk, ...place }) => ({ digest: digestOf(chunks[chunk]?.id ?? ""), ...place }));
            tree.push(commitSlice(first + position, pieces, commitmentBlinding(SEED, first + position)));
          }
          const commitments = new SegmentCommitments(SEED, first, 1024);
          const reader = new ManifestReader();
          const leaves: Uint8Array[] = [];
          for (let at = 0; at < manifest.length; at += step) {
            leaves.push(...commitments.push(reader.push(manifest.subarray(at, at + step))));
          }
          leaves.push(...commitments.finish());
          expect(leaves).to.have.length(layout.sliceCount);
          expect(commitments.root()).to.deep.equal(tree.root());
        },
      ),
    );
  });

  it("have paths that are made of leaves read in blocks", async () => {
    for (const count of [1, 5, BLOCK_LEAVES - 1, BLOCK_LEAVES, BLOCK_LEAVES + 1, 3 * BLOCK_LEAVES + 7]) {
      const { commitments, root, open } = segment(count);
      const leaves = Buffer.concat(commitments.map(leafOf));
      const positions = [0, count - 1, count >> 1];
      let most = 0;
      const found = await commitmentPaths(count, positions, async (first, length) => {
        most = Math.max(most, length);
        return leaves.subarray(32 * first, 32 * (first + length));
      });
      expect(most).to.be.at.most(BLOCK_LEAVES);
      expect(Buffer.from(found.root)).to.deep.equal(Buffer.from(root));
      for (const [k, position] of positions.entries()) {
        verifyCommitment(root, { ...open(position), path: found.paths[k] ?? [] });
      }
    }
  });

  it("are of slices, and a root is of commitments", () => {
    expect(() => commitSlice(1, [], SEED)).to.throw(InvalidInputError);
    expect(() => commitSlice(1, [pieceOf(1)], new Uint8Array(31))).to.throw(InvalidInputError);
    expect(() => new CommitmentTree().root()).to.throw(InvalidInputError);
  });
});

describe("verdict of proof and commitments", () => {
  const pair = (isProofValid: boolean, isDataCommitted: boolean, isAnswerOfData = isDataCommitted) =>
    verdictOf({ isProofValid, isDataCommitted, isAnswerOfData });

  it("has the four meanings of the pair", () => {
    expect(pair(true, true)).to.equal("intact");
    expect(pair(false, false)).to.equal("damaged");
    expect(pair(true, false)).to.equal("damaged");
    expect(pair(false, true)).to.equal("bad-tags");
  });

  it("tells tags that are not of the data from an answer that is not", () => {
    expect(pair(false, true, false)).to.equal("unproven");
    expect(pair(true, true, false)).to.equal("bad-tags");
    expect(pair(true, false, false)).to.equal("damaged");
  });

  it("names who is at fault", () => {
    expect(faultOf("intact", false)).to.equal("nobody");
    expect(faultOf("intact", true)).to.equal("user");
    expect(faultOf("damaged", true)).to.equal("provider");
    expect(faultOf("unproven", true)).to.equal("provider");
    expect(faultOf("bad-tags", true)).to.equal("user");
    expect(faultOf("bad-tags", false)).to.equal("user");
  });
});
