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
import { createGearKernel, type RollGear } from "../../kernels/gear.ts";
import { domainTag } from "../crypto/kdf.ts";
import { FRAME_HEAD_BYTES, MAX_FRAME_BYTES } from "./frame.ts";

/**
 * Sizes of chunks in bytes. Only the last chunk of an input may be shorter than the minimum. The maximum is what fits
 * a frame that stores it as it is.
 */
export const CHUNK_LIMITS = {
  minBytes: 262_144,
  averageBytes: 1_048_576,
  maxBytes: MAX_FRAME_BYTES - FRAME_HEAD_BYTES,
} as const;

/** Below this size a cut is made unlikely (22 mask bits), from it on likely (18): normalized chunking, level 2. */
const NORMAL_BYTES = CHUNK_LIMITS.averageBytes - CHUNK_LIMITS.minBytes / 2;
const REGIONS = [
  [NORMAL_BYTES, 0xffff_fc00 | 0],
  [CHUNK_LIMITS.maxBytes, 0xffff_c000 | 0],
] as const;

/** First memory of a chunk of an input of unknown length. */
const FIRST_BYTES = 65_536;

/** Gear table: G[b] = first four bytes, big-endian, of SHA-256(domainTag("chunker-gear") ‖ u8 b). */
export const GEAR: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  const digest = sha256(concatBytes(domainTag("chunker-gear"), Uint8Array.of(byte)));
  return new DataView(digest.buffer, digest.byteOffset).getInt32(0);
});

let kernel: RollGear | undefined;

/** The kernel, made when the first chunk reaches the smallest size: small inputs need none. */
function rollInKernel(...call: Parameters<RollGear>): ReturnType<RollGear> {
  kernel ??= createGearKernel(GEAR);
  return kernel(...call);
}

/**
 * Gives memory for a frame, of which the end is not known yet.
 * @param neededBytes at least so many, at most `MAX_FRAME_BYTES`
 * @param outgrown memory that it gave before, which is too short now: it is given back, and what is in it goes on
 */
export type AllocateFrame = (neededBytes: number, outgrown?: Uint8Array) => Uint8Array;

export interface ChunkerOptions {
  /** Length of the input, if it is known: memory is taken accordingly. */
  readonly sizeBytes?: number | undefined;
  /** Where frames are laid out. Default: memory that grows with the chunk. */
  readonly allocate?: AllocateFrame | undefined;
  /** The rolling hash. Default: the kernel. */
  readonly roll?: RollGear | undefined;
}

/**
 * Cuts an input that arrives in pieces, and lays each chunk out as the frame that stores it: one zero byte, then the
 * chunk. Where it cuts depends on the bytes only, never on how they are split into pieces. A piece is copied as it is
 * taken in, so that the caller may use its memory again. Memory: one frame.
 */
export class Chunker {
  readonly #roll: RollGear;
  readonly #allocate: AllocateFrame | undefined;
  readonly #sizeBytes: number | undefined;
  /** Bytes of the input in chunks that were returned. */
  #returnedBytes = 0;
  #frame: Uint8Array | undefined;
  /** Bytes of the current chunk seen so far. */
  #lengthBytes = 0;
  #fingerprint = 0;

  constructor({ sizeBytes, allocate, roll = rollInKernel }: ChunkerOptions = {}) {
    this.#roll = roll;
    this.#allocate = allocate;
    this.#sizeBytes = sizeBytes;
  }

  /**
   * Takes the next piece of the input.
   * @returns the frames of the chunks it completes, in order; each owns its memory. The piece is taken in as the frames
   *   are consumed
   */
  *push(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    let start = 0;
    while (start < piece.length) {
      const begun = this.#lengthBytes;
      const { end, cut } = this.#scan(piece, start);
      this.#room(begun, end - start).set(piece.subarray(start, end), FRAME_HEAD_BYTES + begun);
      start = end;
      if (cut) yield this.#take();
    }
  }

  /** Ends the input. @returns the frame of the last chunk, or undefined if nothing is left */
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
      if (stop === end) continue;
      const { found, fingerprint } = this.#roll(piece, { start: end, stop, mask, fingerprint: this.#fingerprint });
      this.#fingerprint = fingerprint;
      this.#lengthBytes += (found ?? stop) - end;
      end = found ?? stop;
      if (found !== undefined) return { end, cut: true };
    }
    return { end, cut: this.#lengthBytes === CHUNK_LIMITS.maxBytes };
  }

  /** The frame under construction, with room for more bytes of the chunk. */
  #room(begun: number, added: number): Uint8Array {
    const needed = FRAME_HEAD_BYTES + begun + added;
    const frame = this.#frame;
    if (frame !== undefined && needed <= frame.length) return frame;
    if (this.#allocate !== undefined) {
      this.#frame = this.#allocate(needed, frame);
      this.#frame[0] = 0;
      return this.#frame;
    }
    // A source that is longer than announced is refused by its reader; until then it must not break this.
    const announced = FRAME_HEAD_BYTES + (this.#sizeBytes ?? 0) - this.#returnedBytes;
    const isFirst = frame === undefined && this.#sizeBytes !== undefined && announced >= needed;
    const wanted = isFirst ? announced : Math.max(needed, FIRST_BYTES, 2 * (frame?.length ?? 0));
    const grown = new Uint8Array(Math.min(wanted, MAX_FRAME_BYTES));
    if (frame !== undefined) grown.set(frame.subarray(0, FRAME_HEAD_BYTES + begun));
    this.#frame = grown;
    return grown;
  }

  #take(): Uint8Array {
    const frame = this.#frame?.subarray(0, FRAME_HEAD_BYTES + this.#lengthBytes) ?? new Uint8Array(FRAME_HEAD_BYTES);
    this.#returnedBytes += this.#lengthBytes;
    this.#frame = undefined;
    this.#lengthBytes = 0;
    this.#fingerprint = 0;
    return frame;
  }
}
