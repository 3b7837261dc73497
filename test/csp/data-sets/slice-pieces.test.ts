import { expect } from "chai";
import fc from "fast-check";
import { type CountedSegment, mostPieces, PieceCounter } from "../../../offchain/csp/data-sets/slice-pieces.ts";
import { refusal } from "../provider-fixture.ts";

const ELEMENTS = 1024;
const SLICE = 31 * ELEMENTS;

/** Pieces of each slice, counted object by object and byte by byte. */
function piecesOf(sizes: readonly number[], sliceBytes: number): number[] {
  const pieces: number[] = [];
  let at = 0;
  for (const size of sizes) {
    for (let slice = Math.floor(at / sliceBytes); slice * sliceBytes < at + size; slice++) {
      pieces[slice] = (pieces[slice] ?? 0) + 1;
    }
    at += size;
  }
  return pieces;
}

function counted(sizes: readonly number[]): CountedSegment {
  const counter = new PieceCounter(ELEMENTS, SLICE);
  for (const size of sizes) counter.add(size);
  return { pieces: counter.finish() };
}

describe("pieces of slices", () => {
  const sizes = fc.array(fc.oneof(fc.integer({ min: 62, max: 500 }), fc.integer({ min: 1000, max: 4 * SLICE })), {
    minLength: 1,
    maxLength: 60,
  });

  it("are counted while the manifest arrives", () => {
    fc.assert(
      fc.property(sizes, (each) => {
        const expected = piecesOf(each, SLICE);
        expect(counted(each).pieces).to.deep.equal({
          pieces: expected.reduce((sum, count) => sum + count, 0),
          squares: expected.reduce((sum, count) => sum + count ** 2, 0),
          most: Math.max(...expected),
        });
      }),
    );
  });

  it("are limited in number, for objects of 62 bytes on average", async () => {
    const counter = new PieceCounter(ELEMENTS, SLICE);
    for (let k = 0; k < ELEMENTS / 2; k++) counter.add(1);
    const error = await refusal(
      Promise.resolve().then(() => counter.add(1)),
      "INVALID_INPUT",
    );
    expect(error).to.include({ party: "client", check: "objects of a slice", expected: "at most 512" });
  });

  it("of a challenge are never more than the bound says, whatever slices are live and drawn", () => {
    fc.assert(
      fc.property(fc.array(sizes, { minLength: 1, maxLength: 4 }), fc.infiniteStream(fc.nat()), (segments, random) => {
        const all = segments.flatMap((each) => piecesOf(each, SLICE));
        const live = all.filter(() => (random.next().value ?? 0) % 2 === 0);
        if (live.length === 0) return;
        const draws = ((random.next().value ?? 0) % 50) + 1;
        const drawn = new Set(Array.from({ length: draws }, () => (random.next().value ?? 0) % live.length));
        const read = [...drawn].reduce((sum, index) => sum + (live[index] ?? 0), 0);
        expect(read).to.be.at.most(mostPieces(segments.map(counted), live.length, draws));
      }),
    );
  });

  it("that few slices of a large set have do not count as if all were drawn", () => {
    const most = 2000;
    const usual = { pieces: { pieces: 2_000_000, squares: 4_000_000, most: 2 } };
    const dense = { pieces: { pieces: most, squares: most ** 2, most } };
    // The dense slice, and two pieces of each of the others.
    expect(mostPieces([usual, dense], 1_000_001, 460)).to.equal(most + 459 * 2);
    const pieces = { pieces: 2_000_000 + most, squares: 4_000_000 + most ** 2, most };
    const one = { pieces };
    const bound = mostPieces([one], 1_000_001, 460);
    expect(bound).to.be.within(most + 459 * 2, 16_000);
  });
});
