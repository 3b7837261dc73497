/**
 * The audited data of one preparation, read piecewise: slices out of the stored chunks, tags and powers out of the
 * preparation's files. Memory is the slices asked for, whatever the size of the data set.
 */
import { G1_EXPANDED_BYTES } from "../../core/audit/curve.ts";
import { DEFAULT_SLICE_ELEMENTS, FIRST_INDEX, SLICE_BYTES } from "../../core/audit/field.ts";
import type { SliceSource } from "../../core/audit/prover.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { TallystickError } from "../../core/errors.ts";
import type { ChunkRange, PreparationIndex, PreparationPart } from "../../store/index/preparation-index.ts";
import type { PreparationStreams } from "../../store/index/preparation-streams.ts";
import type { ObjectStore } from "../../store/object/object-store.ts";

/** A chunk of the data set cannot be read. */
export class ChunkUnreadableError extends TallystickError {
  readonly chunkId: string;

  constructor(chunkId: string, cause?: unknown) {
    super("a chunk of the data set cannot be read", {
      code: "DISK_FAILED",
      party: "provider",
      check: "stored bytes",
      expected: chunkId,
      received: "nothing, or too few bytes",
      cause,
    });
    this.chunkId = chunkId;
  }
}

export interface DataSetParts {
  store: ObjectStore;
  preparations: Pick<PreparationIndex, "rangesOf">;
  files: PreparationStreams;
}

export class DataSet {
  readonly preparationId: number;
  readonly sliceCount: number;
  readonly #parts: DataSetParts;

  constructor(parts: DataSetParts, preparationId: number, sliceCount: number) {
    this.#parts = parts;
    this.preparationId = preparationId;
    this.sliceCount = sliceCount;
  }

  /**
   * One slice, the last one padded with zeros.
   * @param index - `FIRST_INDEX` to `FIRST_INDEX + sliceCount - 1`
   * @returns 126,976 bytes
   * @throws ChunkUnreadableError
   */
  readSlice(index: number): Promise<Uint8Array> {
    return this.readSlices(index, 1);
  }

  /** Consecutive slices as `readSlice` returns each, one after the other. */
  async readSlices(firstIndex: number, count: number): Promise<Uint8Array> {
    const slices = new Uint8Array(count * SLICE_BYTES);
    let filledBytes = 0;
    for (const { digest, offsetBytes, lengthBytes } of await this.#rangesOf(firstIndex, count)) {
      const piece = await this.#readChunk(contentIdFromDigest(digest), offsetBytes, lengthBytes);
      slices.set(piece, filledBytes);
      filledBytes += lengthBytes;
    }
    return slices;
  }

  async #readChunk(id: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    let piece: Uint8Array | undefined;
    try {
      piece = await this.#parts.store.getRange(id, offsetBytes, lengthBytes);
    } catch (cause) {
      throw new ChunkUnreadableError(id, cause);
    }
    if (piece?.length !== lengthBytes) throw new ChunkUnreadableError(id);
    return piece;
  }

  /** Ids of the chunks that the slices with these indices are cut from. */
  async chunksOfSlices(indices: Iterable<number>): Promise<Set<string>> {
    const ids = new Set<string>();
    for (const index of indices) {
      for (const { digest } of await this.#rangesOf(index)) ids.add(contentIdFromDigest(digest));
    }
    return ids;
  }

  #rangesOf(firstIndex: number, count = 1): Promise<ChunkRange[]> {
    const offsetBytes = (firstIndex - FIRST_INDEX) * SLICE_BYTES;
    return this.#parts.preparations.rangesOf(this.preparationId, offsetBytes, count * SLICE_BYTES);
  }

  /** Tags of consecutive slices, 96 bytes each. */
  readTags(firstIndex: number, count: number): Promise<Uint8Array> {
    return this.#readPoints("tags", firstIndex - FIRST_INDEX, count);
  }

  /** `α^j·G1` for all coefficients of a slice, j from 0, 96 bytes each. */
  readPowersA(): Promise<Uint8Array> {
    return this.#readPoints("powers-a", 0, DEFAULT_SLICE_ELEMENTS);
  }

  /** `β^i·G1` for `count` exponents from `first` ≥ 1, 96 bytes each. */
  readPowersB(first: number, count: number): Promise<Uint8Array> {
    return this.#readPoints("powers-b", first - 1, count);
  }

  #readPoints(part: PreparationPart, position: number, count: number): Promise<Uint8Array> {
    const { files } = this.#parts;
    return files.read(this.preparationId, part, position * G1_EXPANDED_BYTES, count * G1_EXPANDED_BYTES);
  }

  /** The input of the possession prover; for verified preparations only. */
  async sliceSource(): Promise<SliceSource> {
    return {
      sliceElements: DEFAULT_SLICE_ELEMENTS,
      powersA: await this.readPowersA(),
      readSlice: (index) => this.readSlice(index),
      readTag: (index) => this.readTags(index, 1),
      readPowersB: (first, count) => this.readPowersB(first, count),
    };
  }
}
