/**
 * Segments: what one put adds to a data set, a run of slice indices over a manifest of chunks. A chunk that a segment
 * names is not removed until the segment is, or until `freeChunks` lets go of it. Every write is durable when its
 * promise resolves, unless it says otherwise.
 */

/** An entry of a manifest. */
export interface ManifestChunk {
  digest: Uint8Array;
  sizeBytes: number;
}

/** A piece of one chunk. */
export interface ChunkRange {
  digest: Uint8Array;
  offsetBytes: number;
  lengthBytes: number;
}

/** Sums over the slices of a segment, of the pieces of objects that each is cut from. */
export interface PieceCounts {
  readonly pieces: number;
  readonly squares: number;
  /** Of the slice that has the most. */
  readonly most: number;
}

export interface Segment {
  readonly id: number;
  readonly dataSetId: number;
  /** Names it within its data set, 32 bytes. */
  readonly name: Uint8Array;
  readonly manifestHash: Uint8Array;
  /** Of the commitments to its slices, 32 bytes, which its owner chose. */
  readonly commitmentSeed: Uint8Array;
  /** Over the commitments, 32 bytes. */
  readonly commitmentsRoot: Uint8Array;
  readonly firstIndex: number;
  readonly sliceCount: number;
  readonly pieces: PieceCounts;
  /** Length of the concatenated ciphertexts. */
  readonly dataBytes: number;
  /** Acknowledged bytes of the tags. */
  readonly tagsBytes: number;
  /** The tags have been checked against the stored bytes. */
  readonly verified: boolean;
  /** A state that both parties signed names it. */
  readonly included: boolean;
  /** Unix seconds of the last request for it. */
  readonly touchedAt: number;
}

export type NewSegment = Pick<
  Segment,
  "dataSetId" | "name" | "manifestHash" | "commitmentSeed" | "firstIndex" | "touchedAt"
>;

/** What a complete manifest tells of its segment. */
export type ManifestFacts = Pick<Segment, "sliceCount" | "pieces" | "commitmentsRoot">;

export type SegmentOutcome =
  | { readonly outcome: "created"; readonly id: number }
  /** The data set has a segment of this name already. */
  | { readonly outcome: "exists" }
  /** The account has as many as it may that no state includes. */
  | { readonly outcome: "too-many" }
  /** The data set is gone. */
  | { readonly outcome: "no-set" };

export interface SegmentIndex {
  find(id: number): Promise<Segment | undefined>;
  findByName(dataSetId: number, name: Uint8Array): Promise<Segment | undefined>;

  /** Segments of a data set by ascending index. */
  ofDataSet(dataSetId: number): Promise<Segment[]>;

  /**
   * Adds a segment without its manifest. Until `complete`, no other call but `addToManifest` and `delete` knows it.
   * @param limit most segments of one account that no state includes, incomplete ones included
   */
  begin(segment: NewSegment, limit: number): Promise<SegmentOutcome>;

  /**
   * Appends to the manifest of a segment that is not complete. What was added is durable once `complete` has resolved.
   * @param chunks in the order of the data, each with a row in the chunk index
   * @throws InvalidInputError when the manifest names a chunk already; TallystickError CONFLICT
   */
  addToManifest(id: number, chunks: readonly ManifestChunk[]): Promise<void>;

  /**
   * Makes a segment known and gives it its indices, in one transaction: all behind those given before.
   * @returns `taken` when an index was given to another segment meanwhile
   */
  complete(id: number, facts: ManifestFacts): Promise<"given" | "taken">;

  /** Segments whose manifest never became complete, or which were being removed, when their process ended. */
  incomplete({ own }: { own: boolean }): Promise<{ readonly id: number; readonly dataSetId: number }[]>;

  /** Removes a segment and its manifest, in several transactions; it is unknown from the first on. */
  delete(id: number): Promise<void>;

  /** Segments that no state includes and that were last touched before a time. */
  abandoned(before: number): Promise<Segment[]>;

  /** As `delete`, if `abandoned` would still name it. @returns whether it was removed */
  deleteAbandoned(id: number, before: number): Promise<boolean>;

  /** Sets the acknowledged bytes of the tags; the segment has to be verified anew. */
  setTags(id: number, bytes: number): Promise<void>;

  setVerified(id: number): Promise<void>;

  /** @returns whether there is such a segment */
  touch(id: number, now: number): Promise<boolean>;

  /**
   * The pieces of chunks that make up `[firstByte, firstByte + lengthBytes)` of the concatenated ciphertexts, in order.
   * A range that reaches beyond the end is cut off there. Chunks that were freed are left out.
   */
  rangesOf(id: number, firstByte: number, lengthBytes: number): Promise<ChunkRange[]>;

  /** The distinct chunks of a manifest in the order of their digests, a page at a time. */
  manifestDigests(id: number): AsyncIterable<readonly Uint8Array[]>;

  /**
   * Lets go of the chunks that lie within `[fromByte, untilByte)` in full.
   * @returns how many those were
   */
  freeChunks(id: number, fromByte: number, untilByte: number): Promise<number>;
}
