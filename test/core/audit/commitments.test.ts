import { bls12_381 } from "@noble/curves/bls12-381.js";
import { expect } from "chai";
import fc from "fast-check";
import {
  CommitmentTree,
  commitmentBlinding,
  commitmentPath,
  commitSlice,
  type OpenedCommitment,
  sliceStatement,
  verifyCommitment,
} from "../../../offchain/core/audit/commitments.ts";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { faultOf, verdictOf } from "../../../offchain/core/audit/verdict.ts";
import { InvalidInputError, InvalidProofError } from "../../../offchain/core/errors.ts";

const SEED = new Uint8Array(32).fill(9);

function pieceOf(byte: number) {
  return { digest: new Uint8Array(32).fill(byte), offsetBytes: byte, lengthBytes: 1000 + byte };
}

/** A segment whose slices have one piece each. */
function segment(count: number, firstIndex = 1) {
  const commitments = Array.from({ length: count }, (_, k) =>
    commitSlice(sliceStatement(firstIndex + k, [pieceOf(k & 0xff)]), commitmentBlinding(SEED, firstIndex + k)),
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
  before(auditReady);

  it("are what another implementation of the curve computes", () => {
    const { G1 } = bls12_381;
    const text = (value: string) => new TextEncoder().encode(value);
    const DST = "TALLYSTICK-V2-COMMITMENT-BLS12381G1_XMD:SHA-256_SSWU_RO_";
    const second = G1.hashToCurve(text("tallystick/v2/commitment-generator"), { DST });
    const statement = sliceStatement(7, [pieceOf(1), pieceOf(2)]);
    const blinding = commitmentBlinding(SEED, 7);
    const expected = G1.Point.BASE.multiply(statement).add(G1.Point.fromHex(second.toHex(true)).multiply(blinding));
    expect(Buffer.from(commitSlice(statement, blinding)).toString("hex")).to.equal(expected.toHex(true));
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
          { blinding: opened.blinding + 1n },
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
          const statement = sliceStatement(index, pieces);
          expect(sliceStatement(index, pieces)).to.equal(statement);
          expect(sliceStatement(index + 1, pieces)).not.to.equal(statement);
          const moved = { ...first, offsetBytes: first.offsetBytes + 1 };
          expect(sliceStatement(index, [moved, ...pieces.slice(1)])).not.to.equal(statement);
          expect(sliceStatement(index, [...pieces, first])).not.to.equal(statement);
        },
      ),
    );
  });

  it("hide: another blinding gives another commitment to the same slice", () => {
    const statement = sliceStatement(1, [pieceOf(1)]);
    const other = commitmentBlinding(new Uint8Array(32).fill(10), 1);
    expect(commitSlice(statement, other)).not.to.deep.equal(commitSlice(statement, commitmentBlinding(SEED, 1)));
  });

  it("are of slices, and a root is of commitments", () => {
    expect(() => sliceStatement(1, [])).to.throw(InvalidInputError);
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
