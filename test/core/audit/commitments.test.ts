import { createHash, hkdfSync } from "node:crypto";
import { expect } from "chai";
import fc from "fast-check";
import {
  CommitmentTree,
  commitmentBlinding,
  commitmentPath,
  commitmentsRoot,
  commitSlice,
  type OpenedCommitment,
  verifyCommitment,
} from "../../../offchain/core/audit/commitments.ts";
import { faultOf, verdictOf } from "../../../offchain/core/audit/verdict.ts";
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
    path: commitmentPath(commitments, position),
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

  it("have a root that both sides compute from pieces and seed", () => {
    const pieces = Array.from({ length: 11 }, (_, k) => [pieceOf(k)]);
    expect(commitmentsRoot(SEED, 5, pieces)).to.deep.equal(segment(11, 5).root);
    expect(commitmentsRoot(SEED, 6, pieces)).not.to.deep.equal(segment(11, 5).root);
  });

  it("are of slices, and a root is of commitments", () => {
    expect(() => commitSlice(1, [], SEED)).to.throw(InvalidInputError);
    expect(() => commitSlice(1, [pieceOf(1)], new Uint8Array(31))).to.throw(InvalidInputError);
    expect(() => new CommitmentTree().root()).to.throw(InvalidInputError);
  });
});

describe("verdict of proof and commitments", () => {
  const pair = (isProofValid: boolean, isDataCommitted: boolean) => verdictOf({ isProofValid, isDataCommitted });

  it("has the four meanings of the pair", () => {
    expect(pair(true, true)).to.equal("intact");
    expect(pair(false, false)).to.equal("damaged");
    expect(pair(true, false)).to.equal("damaged");
    expect(pair(false, true)).to.equal("bad-tags");
  });

  it("names who is at fault", () => {
    expect(faultOf("intact", false)).to.equal("nobody");
    expect(faultOf("intact", true)).to.equal("user");
    expect(faultOf("damaged", true)).to.equal("provider");
    expect(faultOf("bad-tags", true)).to.equal("user");
    expect(faultOf("bad-tags", false)).to.equal("user");
  });
});
