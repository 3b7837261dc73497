/**
 * The audit manifest: which chunks, in which order, make up the data set of an agreement. User and provider pin its
 * hash on chain; slices are cut from the chunks' ciphertexts one after the other.
 *
 * Layout (docs/spec.md): version 1 (u8) ‖ chunk count (u32be) ‖ per chunk: SHA-256 digest of the ciphertext (32) ‖ its
 * size in bytes (u32be).
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { contentIdFromDigest, DIGEST_BYTES, digestOf } from "../encoding/content-id.ts";
import { InvalidInputError, UnknownVersionError } from "../errors.ts";
import { SLICE_BYTES } from "./field.ts";

export interface ManifestChunk {
  /** Content id of the ciphertext. */
  readonly id: string;
  /** Ciphertext bytes, at least 1. */
  readonly sizeBytes: number;
}

export interface AuditManifest {
  readonly version: 1;
  readonly chunks: readonly ManifestChunk[];
}

const VERSION = 1;
const HEADER_BYTES = 5;
const ENTRY_BYTES = DIGEST_BYTES + 4;
const U32_LIMIT = 0xffff_ffff;

function refuse(check: string, expected: string, received: string): InvalidInputError {
  return new InvalidInputError(`audit manifest is malformed: ${check}`, { check, expected, received });
}

function checkSize(sizeBytes: number): void {
  if (!(Number.isInteger(sizeBytes) && sizeBytes >= 1 && sizeBytes <= U32_LIMIT)) {
    throw refuse("chunk size", `1 to ${U32_LIMIT} bytes`, String(sizeBytes));
  }
}

/** @throws InvalidInputError for no chunks, too many, a malformed id or a size out of range */
export function encodeManifest(manifest: AuditManifest): Uint8Array {
  const { chunks } = manifest;
  if (chunks.length < 1 || chunks.length > U32_LIMIT) throw refuse("chunk count", "at least 1", String(chunks.length));
  const bytes = new Uint8Array(HEADER_BYTES + chunks.length * ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint32(1, chunks.length);
  for (const [k, { id, sizeBytes }] of chunks.entries()) {
    checkSize(sizeBytes);
    const offset = HEADER_BYTES + k * ENTRY_BYTES;
    bytes.set(digestOf(id), offset);
    view.setUint32(offset + DIGEST_BYTES, sizeBytes);
  }
  return bytes;
}

/** @throws UnknownVersionError, InvalidInputError unless the bytes are exactly one manifest */
export function decodeManifest(bytes: Uint8Array): AuditManifest {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 0 || view.getUint8(0) !== VERSION) {
    throw new UnknownVersionError("audit manifest", bytes[0] ?? "none", [VERSION]);
  }
  const count = (bytes.length - HEADER_BYTES) / ENTRY_BYTES;
  if (!(Number.isInteger(count) && count >= 1 && view.getUint32(1) === count)) {
    throw refuse("length", "5 bytes and 36 for every chunk counted, at least one", `${bytes.length} bytes`);
  }
  const chunks: ManifestChunk[] = [];
  for (let offset = HEADER_BYTES; offset < bytes.length; offset += ENTRY_BYTES) {
    const sizeBytes = view.getUint32(offset + DIGEST_BYTES);
    checkSize(sizeBytes);
    chunks.push({ id: contentIdFromDigest(bytes.subarray(offset, offset + DIGEST_BYTES)), sizeBytes });
  }
  return { version: VERSION, chunks };
}

/** The hash that the agreement pins. @returns 32 bytes */
export function manifestHash(manifest: AuditManifest): Uint8Array {
  return sha256(concatBytes(domainTag("audit-manifest"), encodeManifest(manifest)));
}

/** A piece of a chunk's ciphertext that lies in a slice. */
export interface SliceSegment {
  /** Position in the manifest. */
  readonly chunk: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Where the bytes of each slice are. */
export interface SliceLayout {
  readonly sizeBytes: number;
  readonly sliceCount: number;
  /**
   * The pieces that make up a slice, in order. The last slice may come out short; the rest of it is zeros.
   * @param position of the slice in the set: its index minus the agreement's first index
   * @throws InvalidInputError for a position outside the set
   */
  segments(position: number): SliceSegment[];
}

/** Maps slices to chunks. Looking one up takes logarithmic time in the number of chunks. */
export function sliceLayout(manifest: AuditManifest): SliceLayout {
  const starts: number[] = [];
  let sizeBytes = 0;
  for (const chunk of manifest.chunks) {
    starts.push(sizeBytes);
    sizeBytes += chunk.sizeBytes;
  }
  const sliceCount = Math.ceil(sizeBytes / SLICE_BYTES);
  const segments = (position: number): SliceSegment[] => {
    if (!(Number.isInteger(position) && position >= 0 && position < sliceCount)) {
      throw new InvalidInputError("slice is outside the data set", {
        expected: `0 to ${sliceCount - 1}`,
        received: String(position),
      });
    }
    const begin = position * SLICE_BYTES;
    const end = Math.min(begin + SLICE_BYTES, sizeBytes);
    const found: SliceSegment[] = [];
    for (let chunk = lastNotAfter(starts, begin); chunk < starts.length; chunk++) {
      const start = starts[chunk] ?? 0;
      if (start >= end) break;
      const offsetBytes = Math.max(0, begin - start);
      const lengthBytes = Math.min(end, start + (manifest.chunks[chunk]?.sizeBytes ?? 0)) - start - offsetBytes;
      found.push({ chunk, offsetBytes, lengthBytes });
    }
    return found;
  };
  return { sizeBytes, sliceCount, segments };
}

/** Position of the last entry not above the value, in an ascending list that begins with 0. */
function lastNotAfter(ascending: readonly number[], value: number): number {
  let low = 0;
  let high = ascending.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] ?? 0) <= value) low = middle;
    else high = middle;
  }
  return low;
}
