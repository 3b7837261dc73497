/**
 * From how many pieces of objects the slices of a segment are cut. A proof reads the pieces of every drawn slice, and
 * each may be a read of a disk, so they are what its time depends on, not the slices.
 */
import { InvalidInputError } from "../../core/errors.ts";
import type { PieceCounts } from "../../store/index/segment-index.ts";

/** Elements of a slice for each piece that it may have: pieces have 62 bytes on average at least. */
const ELEMENTS_PER_PIECE = 2;

/** Counts the pieces of a segment's slices while its manifest arrives. */
export class PieceCounter {
  readonly #sliceBytes: number;
  readonly #limit: number;
  /** Bytes that the slice which is being filled takes. */
  #roomBytes: number;
  #inSlice = 0;
  readonly #counts = { pieces: 0, squares: 0, most: 0 };

  constructor(sliceElements: number, sliceBytes: number) {
    this.#sliceBytes = sliceBytes;
    this.#limit = Math.floor(sliceElements / ELEMENTS_PER_PIECE);
    this.#roomBytes = sliceBytes;
  }

  /** @param sizeBytes of the next object @throws InvalidInputError when a slice is cut from too many */
  add(sizeBytes: number): void {
    for (let leftBytes = sizeBytes; leftBytes > 0; ) {
      const takenBytes = Math.min(leftBytes, this.#roomBytes);
      this.#inSlice++;
      if (this.#inSlice > this.#limit) throw tooManyPieces(this.#limit);
      leftBytes -= takenBytes;
      this.#roomBytes -= takenBytes;
      if (this.#roomBytes === 0) this.#closeSlice();
    }
  }

  finish(): PieceCounts {
    this.#closeSlice();
    return { ...this.#counts };
  }

  #closeSlice(): void {
    this.#counts.pieces += this.#inSlice;
    this.#counts.squares += this.#inSlice ** 2;
    this.#counts.most = Math.max(this.#counts.most, this.#inSlice);
    this.#inSlice = 0;
    this.#roomBytes = this.#sliceBytes;
  }
}

function tooManyPieces(limit: number): InvalidInputError {
  return new InvalidInputError("a slice is cut from too many objects", {
    party: "client",
    check: "objects of a slice",
    expected: `at most ${limit}`,
    received: "more",
    hint: "store small files in bundles, or outside of the data set (`--no-data-set`)",
  });
}

/** A segment with its counts. */
export interface CountedSegment {
  readonly pieces: PieceCounts;
}

/** Natural logarithm of how many draws there are for one that has more pieces than Bernstein's inequality says: 10⁹. */
const RARITY = 9 * Math.LN10;

/**
 * Most pieces that the slices of a challenge have: the lower one of two bounds. One is that of a draw that takes the
 * slices with the most pieces. The other one holds for all draws but one of 10⁹: draws are independent and uniform over
 * the live slices, so Bernstein's inequality bounds their sum by its mean, its second moment and its largest term.
 * @param segments all that live slices may belong to: sums over them are no less than those over the live slices
 * @param liveSlices from which it is drawn, at least 1
 */
export function mostPieces(segments: readonly CountedSegment[], liveSlices: number, draws: number): number {
  const byDensity = [...segments].sort((first, second) => second.pieces.most - first.pieces.most);
  let worst = 0;
  let left = Math.min(draws, liveSlices);
  for (const { pieces } of byDensity) {
    // As if all pieces of a segment were in slices that have the most.
    const dense = Math.floor(pieces.pieces / pieces.most);
    worst += dense <= left ? pieces.pieces : left * pieces.most;
    left -= Math.min(left, dense);
    if (left === 0) break;
  }
  const total = segments.reduce((sum, { pieces }) => sum + pieces.pieces, 0);
  const squares = segments.reduce((sum, { pieces }) => sum + pieces.squares, 0);
  const most = byDensity[0]?.pieces.most ?? 0;
  const mean = (draws * total) / liveSlices;
  const variance = (draws * squares) / liveSlices;
  const usual = mean + Math.sqrt(2 * variance * RARITY) + (most * RARITY) / 3;
  return Math.ceil(Math.min(worst, usual));
}
