/**
 * Memory for objects on their way out, used again and again: with a new mebibyte for every answer, the garbage
 * collector took half of the time that a provider spent on a restore.
 */
import { MAX_CHUNK_BYTES } from "../../core/wire/csp.ts";
import type { Allocate } from "../../store/object/object-store.ts";

/** Pieces that are kept for the next answers: 64 MiB. */
const KEPT = 32;

const free: Uint8Array[] = [];

export interface DownloadMemory {
  /** The same memory at every call. */
  readonly allocate: Allocate;
  /** Nobody reads it any more. */
  readonly giveBack: () => void;
}

/** Memory for one object; nothing is allocated before it is asked for. */
export function takeDownloadMemory(): DownloadMemory {
  let piece: Uint8Array | undefined;
  return {
    allocate: (sizeBytes) => {
      if (sizeBytes > MAX_CHUNK_BYTES) return new Uint8Array(sizeBytes);
      piece ??= free.pop() ?? new Uint8Array(Buffer.allocUnsafeSlow(MAX_CHUNK_BYTES).buffer);
      return piece.subarray(0, sizeBytes);
    },
    giveBack: () => {
      if (piece !== undefined && free.length < KEPT) free.push(piece);
      piece = undefined;
    },
  };
}
