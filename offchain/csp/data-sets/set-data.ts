/**
 * The audited data of one data set, read piecewise: slices out of the stored chunks of its segments, tags and powers
 * out of its streams. Memory is the slices asked for, whatever the size of the set.
 */
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import type { SliceSource } from "../../core/audit/prover.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { TallystickError } from "../../core/errors.ts";
import type { DataSetStreams } from "../../store/index/data-set-streams.ts";
import type { ChunkRange, Segment, SegmentIndex } from "../../store/index/segment-index.ts";
import type { ObjectStore } from "../../store/object/object-store.ts";

/** Pieces of objects that are read at the same time. */
const READS_UNDER_WAY = 8;

export interface SetDataParts {
  readonly store: ObjectStore;
  readonly segments: Pick<SegmentIndex, "ofDataSet" | "rangesOf">;
  readonly streams: DataSetStreams;
}

/** Bytes of a slice cannot be read. */
export class SliceUnreadableError extends TallystickError {
  constructor(expected: string, cause?: unknown) {
    super("bytes of the data set cannot be read", {
      code: "DISK_FAILED",
      party: "provider",
      check: "stored bytes",
      expected,
      received: "nothing, or too few bytes",
      cause,
    });
  }
}

/** One segment's slices, tags and powers. */
export class SegmentData {
  readonly #parts: SetDataParts;
  readonly segment: Segment;
  readonly #sliceBytes: number;

  constructor(parts: SetDataParts, segment: Segment, sliceElements: number) {
    this.#parts = parts;
    this.segment = segment;
    this.#sliceBytes = sliceBytes(sliceElements);
  }

  /**
   * Consecutive slices, one after the other, the last one of the segment filled with zeros.
   * @param index of the first one in the data set
   * @param memory that may be used for them, whatever it holds. Default: memory of their own.
   * @throws SliceUnreadableError
   */
  async readSlices(index: number, count: number, memory?: ArrayBuffer): Promise<Uint8Array<ArrayBuffer>> {
    const sizeBytes = count * this.#sliceBytes;
    const slices = memory !== undefined && memory.byteLength >= sizeBytes ? memory : new ArrayBuffer(sizeBytes);
    const bytes = new Uint8Array(slices, 0, sizeBytes);
    const offsetBytes = this.#offsetOf(index);
    let filledBytes = 0;
    const pieces: { readonly id: string; readonly from: number; readonly place: Uint8Array }[] = [];
    for (const { digest, offsetBytes: from, lengthBytes } of await this.rangesOf(index, count)) {
      const place = bytes.subarray(filledBytes, filledBytes + lengthBytes);
      if (place.length < lengthBytes) break;
      pieces.push({ id: contentIdFromDigest(digest), from, place });
      filledBytes += lengthBytes;
    }
    // A disk, or a service far away, has several reads to order or to answer at the same time.
    const rest = pieces.values();
    const readers = Array.from({ length: Math.min(READS_UNDER_WAY, pieces.length) }, async () => {
      for (const { id, from, place } of rest) await this.#readChunk(id, from, place);
    });
    const failed = (await Promise.allSettled(readers)).find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    const expectedBytes = Math.min(sizeBytes, this.segment.dataBytes - offsetBytes);
    if (filledBytes !== expectedBytes) throw new SliceUnreadableError(`${expectedBytes} bytes of slice ${index}`);
    return bytes.fill(0, filledBytes);
  }

  /** @param place for the bytes, as many as it has */
  async #readChunk(id: string, offsetBytes: number, place: Uint8Array): Promise<void> {
    let piece: Uint8Array | undefined;
    try {
      piece = await this.#parts.store.getRange(id, offsetBytes, place.length, (size) => place.subarray(0, size));
    } catch (cause) {
      throw new SliceUnreadableError(id, cause);
    }
    if (piece?.length !== place.length) throw new SliceUnreadableError(id);
    if (piece.buffer !== place.buffer) place.set(piece);
  }

  /** The pieces of chunks that slices are cut from. */
  rangesOf(index: number, count: number): Promise<ChunkRange[]> {
    const { id } = this.segment;
    return this.#parts.segments.rangesOf(id, this.#offsetOf(index), count * this.#sliceBytes);
  }

  /** Tags of consecutive slices, 96 bytes each. */
  readTags(index: number, count: number): Promise<Uint8Array> {
    const { dataSetId, id, firstIndex } = this.segment;
    const from = (index - firstIndex) * G1_EXPANDED_BYTES;
    return this.#parts.streams.read(dataSetId, `tags-${id}`, from, count * G1_EXPANDED_BYTES);
  }

  #offsetOf(index: number): number {
    return (index - this.segment.firstIndex) * this.#sliceBytes;
  }
}

/** `α^j·G1` for all coefficients of a slice, j from 0, 96 bytes each. */
export function readPowersA(streams: DataSetStreams, dataSetId: number, sliceElements: number): Promise<Uint8Array> {
  return streams.read(dataSetId, "powers-a", 0, sliceElements * G1_EXPANDED_BYTES);
}

/** `β^i·G1` for `count` exponents from `first` ≥ 1, 96 bytes each. */
export function readPowersB(
  streams: DataSetStreams,
  dataSetId: number,
  first: number,
  count: number,
): Promise<Uint8Array> {
  return streams.read(dataSetId, "powers-b", (first - 1) * G1_EXPANDED_BYTES, count * G1_EXPANDED_BYTES);
}

/** All segments of a set. */
export class SetData {
  readonly #parts: SetDataParts;
  readonly #dataSetId: number;
  readonly #sliceElements: number;
  /** By ascending index. */
  readonly #segments: readonly SegmentData[];

  private constructor(parts: SetDataParts, dataSetId: number, sliceElements: number, segments: readonly SegmentData[]) {
    this.#parts = parts;
    this.#dataSetId = dataSetId;
    this.#sliceElements = sliceElements;
    this.#segments = segments;
  }

  static async open(
    parts: SetDataParts,
    { id, sliceElements }: { readonly id: number; readonly sliceElements: number },
  ): Promise<SetData> {
    const segments = await parts.segments.ofDataSet(id);
    const data = segments.map((segment) => new SegmentData(parts, segment, sliceElements));
    return new SetData(parts, id, sliceElements, data);
  }

  /** Ids of the chunks that the slices with these indices are cut from. */
  async chunksOfSlices(indices: Iterable<number>): Promise<Set<string>> {
    const ids = new Set<string>();
    for (const index of indices) {
      for (const { digest } of await this.#segmentOf(index).rangesOf(index, 1)) ids.add(contentIdFromDigest(digest));
    }
    return ids;
  }

  /** The input of the possession prover. */
  async sliceSource(): Promise<SliceSource> {
    const { streams } = this.#parts;
    return {
      sliceElements: this.#sliceElements,
      powersA: await readPowersA(streams, this.#dataSetId, this.#sliceElements),
      readSlice: (index) => this.#segmentOf(index).readSlices(index, 1),
      readTag: (index) => this.#segmentOf(index).readTags(index, 1),
      readPowersB: (first, count) => readPowersB(streams, this.#dataSetId, first, count),
    };
  }

  #segmentOf(index: number): SegmentData {
    const found = this.#segments.findLast(({ segment }) => segment.firstIndex <= index);
    if (found !== undefined && index < found.segment.firstIndex + found.segment.sliceCount) return found;
    throw new SliceUnreadableError(`a segment with slice ${index}`);
  }
}
