/**
 * Content-defined chunking: FastCDC with normalized chunking level 2.
 * W. Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data Deduplication", USENIX ATC
 * 2016, and "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage Systems", IEEE TPDS
 * 31(9), 2020.
 *
 * Where chunks are cut is part of the format: two clients deduplicate against each other only if they cut alike. The
 * constants below therefore never change within one format version; test/vectors/chunker.json pins them.
 *
 * Deviations from the papers: the rolling hash has 32 bits instead of 64 (what JavaScript adds in one instruction), so
 * the window is the last 32 bytes; the masks take its highest bits, which depend on most of the window; the switch of
 * masks comes at the average less half the minimum, which centres the measured average (1.02 MiB on random bytes) on
 * the wanted one.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";

/**
 * Sizes of chunks in bytes. Only the last chunk of an input may be shorter than the minimum. The maximum is 2 MiB less
 * the tag of AES-256-GCM, so that every sealed object has at most 2 MiB: peers of IPFS exchange no larger blocks.
 */
export const CHUNK_LIMITS = { minBytes: 262_144, averageBytes: 1_048_576, maxBytes: 2_097_136 } as const;

/** Below this size a cut is made unlikely (22 mask bits), from it on likely (18): normalized chunking, level 2. */
const NORMAL_BYTES = CHUNK_LIMITS.averageBytes - CHUNK_LIMITS.minBytes / 2;
const REGIONS = [
  [NORMAL_BYTES, 0xffff_fc00 | 0],
  [CHUNK_LIMITS.maxBytes, 0xffff_c000 | 0],
] as const;

/** Parts below this size are copied together into buffers of the other size; larger ones are only referred to. */
const SMALL_PART_BYTES = 4096;
const GATHER_BYTES = 65_536;

/** Gear table: G[b] = first four bytes, big-endian, of SHA-256(domainTag("chunker-gear") ‖ u8 b). */
const GEAR: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  const digest = sha256(concatBytes(domainTag("chunker-gear"), Uint8Array.of(byte)));
  return new DataView(digest.buffer, digest.byteOffset).getInt32(0);
});

/**
 * Cuts an input that arrives in pieces. Where it cuts depends on the bytes only, never on how they are split into
 * pieces. Pieces (but tiny ones) are kept, not copied, until the chunk they belong to is complete, and then copied once
 * into it: the caller must not use a piece after pushing it. Memory: the pieces of one chunk, and that chunk.
 */
export class Chunker {
  /** Views on pieces, and gathered small parts, that make up the current chunk. */
  #parts: Uint8Array[] = [];
  #gathered = { bytes: new Uint8Array(0), start: GATHER_BYTES, end: GATHER_BYTES };
  /** Bytes of the current chunk seen so far. */
  #lengthBytes = 0;
  #fingerprint = 0;

  /**
   * Takes the next piece of the input.
   * @returns the chunks it completes, in order; each owns its memory. The piece is taken in as the chunks are consumed
   */
  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    let start = 0;
    while (start < piece.length) {
      const { end, cut } = this.#scan(piece, start);
      this.#keep(piece.subarray(start, end));
      start = end;
      if (cut) yield this.#take();
    }
  }

  /** Ends the input. @returns the last chunk, or undefined if nothing is left */
  finish(): Uint8Array | undefined {
    return this.#lengthBytes === 0 ? undefined : this.#take();
  }

  /** Advances to the next cut or to the end of the piece; `end` is the index after the last byte that was taken. */
  #scan(piece: Uint8Array, start: number): { end: number; cut: boolean } {
    // No cut may lie before the minimum, so those bytes are not hashed (FastCDC 2016, §3.3: cut-point skipping).
    const skippedBytes = Math.min(Math.max(CHUNK_LIMITS.minBytes - this.#lengthBytes, 0), piece.length - start);
    this.#lengthBytes += skippedBytes;
    let end = start + skippedBytes;
    for (const [limitBytes, mask] of REGIONS) {
      const stop = Math.min(piece.length, end + Math.max(limitBytes - this.#lengthBytes, 0));
      const found = this.#roll(piece, end, stop, mask);
      this.#lengthBytes += (found ?? stop) - end;
      end = found ?? stop;
      if (found !== undefined) return { end, cut: true };
    }
    return { end, cut: this.#lengthBytes === CHUNK_LIMITS.maxBytes };
  }

  /** Rolls the gear hash over a range. @returns the index after the first byte at which the masked bits are zero */
  #roll(piece: Uint8Array, start: number, stop: number, mask: number): number | undefined {
    let hash = this.#fingerprint;
    let index = start;
    // Unrolled by four, which doubles the speed: put spends most of its JavaScript time in this loop. The casts are
    // valid because indices are in range by construction; a check per byte would cost a third of the speed.
    for (const last = stop - 3; index < last; index += 4) {
      const first = ((hash << 1) + (GEAR[piece[index] as number] as number)) | 0;
      const second = ((first << 1) + (GEAR[piece[index + 1] as number] as number)) | 0;
      const third = ((second << 1) + (GEAR[piece[index + 2] as number] as number)) | 0;
      hash = ((third << 1) + (GEAR[piece[index + 3] as number] as number)) | 0;
      if ((first & mask) === 0) return index + 1;
      if ((second & mask) === 0) return index + 2;
      if ((third & mask) === 0) return index + 3;
      if ((hash & mask) === 0) return index + 4;
    }
    for (; index < stop; index++) {
      hash = ((hash << 1) + (GEAR[piece[index] as number] as number)) | 0;
      if ((hash & mask) === 0) return index + 1;
    }
    this.#fingerprint = hash;
    return undefined;
  }

  /** Keeps a part of the chunk under construction. */
  #keep(part: Uint8Array): void {
    if (part.length >= SMALL_PART_BYTES) {
      this.#closeGathered();
      this.#parts.push(part);
      return;
    }
    // Small parts are gathered: a million of them then cost no more memory than the bytes they hold.
    if (this.#gathered.end + part.length > GATHER_BYTES) {
      this.#closeGathered();
      this.#gathered = { bytes: new Uint8Array(GATHER_BYTES), start: 0, end: 0 };
    }
    this.#gathered.bytes.set(part, this.#gathered.end);
    this.#gathered.end += part.length;
  }

  #closeGathered(): void {
    const { bytes, start, end } = this.#gathered;
    if (end > start) this.#parts.push(bytes.subarray(start, end));
    this.#gathered.start = end;
  }

  #take(): Uint8Array {
    this.#closeGathered();
    const chunk = new Uint8Array(this.#lengthBytes);
    let offset = 0;
    for (const part of this.#parts) {
      chunk.set(part, offset);
      offset += part.length;
    }
    this.#parts = [];
    this.#lengthBytes = 0;
    this.#fingerprint = 0;
    return chunk;
  }
}

/**
 * Cuts a stream into chunks. An empty input has no chunks; the chunks one after the other are the input.
 * @param source pieces of any size; the caller must not write to them afterwards
 * @returns chunks of 256 KiB to 2 MiB less 16 bytes (the last one may be shorter), each owning its memory
 */
export async function* chunkStream(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunker = new Chunker();
  for await (const piece of source) yield* chunker.push(piece);
  const last = chunker.finish();
  if (last !== undefined) yield last;
}
