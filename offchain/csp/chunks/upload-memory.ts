/**
 * Memory for the objects of an upload, used again and again: an allocation of a mebibyte costs more time than copying
 * it, and the garbage collector runs after a few dozen.
 */
import { MAX_CHUNK_BYTES } from "../../core/wire/csp.ts";

/** Objects of one request are written when there are so many of them, or bytes. */
export const BATCH_CHUNKS = 1024;
export const BATCH_BYTES = 4 * 1024 * 1024;

/** A batch that is one byte short takes one more object. */
const SLAB_BYTES = BATCH_BYTES + MAX_CHUNK_BYTES;
/** Slabs that are kept for the next request. */
const KEPT_SLABS = 8;

const free: Uint8Array[] = [];

/** Memory of one batch after the other. */
export class UploadMemory {
  #slab: Uint8Array | undefined;
  #used = 0;

  /** Memory that is valid until `reset`. Its bytes are whatever was there before. */
  readonly allocate = (sizeBytes: number): Uint8Array => {
    this.#slab ??= free.pop() ?? new Uint8Array(Buffer.allocUnsafeSlow(SLAB_BYTES).buffer);
    if (this.#used + sizeBytes > SLAB_BYTES) return new Uint8Array(sizeBytes);
    const start = this.#used;
    this.#used += sizeBytes;
    return this.#slab.subarray(start, this.#used);
  };

  /** The batch was written: its memory may be used again. */
  reset(): void {
    this.#used = 0;
  }

  close(): void {
    if (this.#slab !== undefined && free.length < KEPT_SLABS) free.push(this.#slab);
    this.#slab = undefined;
  }
}
