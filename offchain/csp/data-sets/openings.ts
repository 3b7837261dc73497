/**
 * Opens commitments to slices: what a slice is made of, and the hashes that lead from it to the content hash that both
 * parties signed. The chunks themselves are downloaded as usual. Only the owner may ask, as for any other byte of its
 * data; it may show the answer to anybody.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { equalBytes } from "#primitives";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { commitmentPaths, HASH_BYTES } from "../../core/audit/commitment-tree.ts";
import { commitmentBlinding } from "../../core/audit/commitments.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import { extendContent, NO_CONTENT } from "../../core/data-set/content.ts";
import { subtractRanges } from "../../core/data-set/ranges.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import {
  MAX_CHAINED_SEGMENTS,
  MAX_OPENED_PIECES,
  type OpeningsAnswer,
  type OpeningsRequest,
} from "../../core/wire/data-sets.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";
import type { Segment } from "../../store/index/segment-index.ts";
import { FairQueue } from "../fair-queue.ts";
import { SegmentData, type SetDataParts, SliceUnreadableError } from "./set-data.ts";
import { contentOf } from "./state-checks.ts";

type OpenedSlice = OpeningsAnswer["slices"][number];

/** Requests of one account, and of all, that wait or run: each may read the leaves of large segments. */
const PER_ACCOUNT = 4;
const IN_ALL = 256;

export class OpeningService {
  readonly #parts: SetDataParts;
  readonly #queue = new FairQueue({
    what: "openings of commitments",
    concurrency: 1,
    perAccount: PER_ACCOUNT,
    inAll: IN_ALL,
  });

  constructor(parts: SetDataParts) {
    this.#parts = parts;
  }

  /**
   * @param held slices that the provider may be asked for
   * @throws InvalidInputError for slices that are not held, or of too many pieces; TallystickError CONFLICT for a
   *   content hash that the set never had, or that does not have the slices, RATE_LIMITED; SliceUnreadableError
   */
  async open(set: DataSetRow, request: OpeningsRequest, held: readonly SliceRange[]): Promise<OpeningsAnswer> {
    for (const index of request.indices) requireHeld(index, held);
    return await this.#queue.run(set.account, () => this.#open(set, request));
  }

  async #open(set: DataSetRow, { contentHash, indices }: OpeningsRequest): Promise<OpeningsAnswer> {
    const included = (await this.#parts.segments.ofDataSet(set.id)).filter((segment) => segment.included);
    const chain = segmentsOf(contentHash, included);
    const bySegment = new Map<Segment, number[]>();
    for (const index of indices) {
      const segment = chain.find(
        ({ firstIndex, sliceCount }) => index >= firstIndex && index < firstIndex + sliceCount,
      );
      if (segment === undefined) throw notOf(contentHash, `slice ${index}`);
      bySegment.set(segment, [...(bySegment.get(segment) ?? []), index]);
    }
    const opened = new Map<number, OpenedSlice>();
    let pieces = 0;
    for (const [segment, own] of bySegment) {
      for (const slice of await this.#openIn(set, segment, own, MAX_OPENED_PIECES - pieces)) {
        opened.set(slice.index, slice);
        pieces += slice.pieces.length;
      }
    }
    const first = chain.findIndex((segment) => bySegment.has(segment));
    const shown = chain.slice(first);
    if (shown.length > MAX_CHAINED_SEGMENTS) throw tooManySegments(shown.length);
    return {
      before: chain.slice(0, first).map(contentOf).reduce(extendContent, NO_CONTENT),
      segments: shown.map(contentOf),
      slices: indices.flatMap((index) => opened.get(index) ?? []),
    };
  }

  async #openIn(
    { sliceElements }: DataSetRow,
    segment: Segment,
    indices: readonly number[],
    mostPieces: number,
  ): Promise<OpenedSlice[]> {
    const { id, dataSetId, firstIndex, sliceCount, dataBytes, commitmentSeed, commitmentsRoot } = segment;
    const { root, paths } = await commitmentPaths(
      sliceCount,
      indices.map((index) => index - firstIndex),
      async (first, count) => {
        await nextTurn();
        return await this.#parts.streams.read(dataSetId, `leaves-${id}`, first * HASH_BYTES, count * HASH_BYTES);
      },
    );
    if (!equalBytes(root, commitmentsRoot)) throw new SliceUnreadableError(`commitments of segment ${id}`);
    const data = new SegmentData(this.#parts, segment, sliceElements);
    const size = sliceBytes(sliceElements);
    const slices: OpenedSlice[] = [];
    let left = mostPieces;
    for (const [k, index] of indices.entries()) {
      const pieces = await data.rangesOf(index, 1);
      left -= pieces.length;
      if (left < 0) throw tooManyPieces();
      const expectedBytes = Math.min(size, dataBytes - (index - firstIndex) * size);
      const bytes = pieces.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
      if (bytes !== expectedBytes) throw new SliceUnreadableError(`${expectedBytes} bytes of slice ${index}`);
      slices.push({
        index,
        blinding: toHex(commitmentBlinding(commitmentSeed, index)),
        pieces: pieces.map(({ digest, ...place }) => ({ digest: toHex(digest), ...place })),
        path: (paths[k] ?? []).map(toHex),
      });
    }
    return slices;
  }
}

/** Segments of a state with this content hash. @param included all of the set, by index @throws CONFLICT */
function segmentsOf(contentHash: string, included: readonly Segment[]): Segment[] {
  let hash = NO_CONTENT;
  for (const [position, segment] of included.entries()) {
    hash = extendContent(hash, contentOf(segment));
    if (hash === contentHash) return included.slice(0, position + 1);
  }
  throw notOf(contentHash, "no state");
}

function requireHeld(index: number, held: readonly SliceRange[]): void {
  if (subtractRanges([{ firstIndex: index, count: 1 }], held).length === 0) return;
  throw new InvalidInputError("the commitment is to a slice that the data set does not hold", {
    party: "client",
    check: "opened slices",
    expected: "live slices of the data set",
    received: `slice ${index}`,
  });
}

function notOf(contentHash: string, received: string): TallystickError {
  return new TallystickError("the data set has no such state with these slices", {
    code: "CONFLICT",
    party: "client",
    check: "content hash",
    expected: contentHash,
    received,
    hint: "name the content hash of a state that both parties have signed",
  });
}

function tooManyPieces(): InvalidInputError {
  return new InvalidInputError("the slices are made of too many pieces for one answer", {
    party: "client",
    check: "pieces of slices",
    expected: `at most ${MAX_OPENED_PIECES}`,
    hint: "open fewer slices at once",
  });
}

function tooManySegments(count: number): InvalidInputError {
  return new InvalidInputError("too many segments follow the slice for one answer", {
    party: "client",
    check: "segments",
    expected: `at most ${MAX_CHAINED_SEGMENTS}`,
    received: String(count),
  });
}
