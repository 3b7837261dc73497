/**
 * The audit manifest: which chunks, in which order, a segment of a data set is cut from. User and provider sign
 * its hash; slices are cut from the chunks' ciphertexts one after the other.
 *
 * Layout (docs/spec.md): version 1 (u8) ‖ chunk count (u32be) ‖ per chunk: SHA-256 digest of the ciphertext (32) ‖ its
 * size in bytes (u32be). A chunk is named at most once.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { createSha256 } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { contentIdFromDigest, DIGEST_BYTES, digestOf } from "../encoding/content-id.ts";
import { InvalidInputError, UnknownVersionError } from "../errors.ts";
import { sliceBytes } from "./field.ts";

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

/** @throws InvalidInputError for no chunks, too many, one named twice, a malformed id or a size out of range */
export function encodeManifest(manifest: AuditManifest): Uint8Array {
  const { chunks } = manifest;
  if (chunks.length < 1 || chunks.length > U32_LIMIT) throw refuse("chunk count", "at least 1", String(chunks.length));
  requireDistinct(chunks);
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

/** One entry of an encoded manifest. */
export interface ManifestEntry {
  /** SHA-256 of the ciphertext, 32 bytes. */
  readonly digest: Uint8Array;
  readonly sizeBytes: number;
}

/**
 * Reads a manifest that arrives in pieces of any size, in memory that does not grow with it. It does not find chunks
 * that are named twice: that takes a set of all entries, which the caller keeps.
 */
export class ManifestReader {
  readonly #hash = createSha256();
  /** Bytes of a header or entry that is not complete. */
  #rest: Uint8Array = new Uint8Array(0);
  #count: number | undefined;
  #entries = 0;

  constructor() {
    this.#hash.update(domainTag("audit-manifest"));
  }

  /** Entries that the header announces; undefined until it has arrived. */
  get count(): number | undefined {
    return this.#count;
  }

  /**
   * @returns the entries that became complete
   * @throws UnknownVersionError, InvalidInputError for bytes that no manifest has
   */
  push(piece: Uint8Array): ManifestEntry[] {
    this.#hash.update(piece);
    const bytes = this.#rest.length === 0 ? piece : concatBytes(this.#rest, piece);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let offset = 0;
    if (this.#count === undefined) {
      const version = bytes[0];
      if (version !== undefined && version !== VERSION) {
        throw new UnknownVersionError("audit manifest", version, [VERSION]);
      }
      if (bytes.length < HEADER_BYTES) {
        this.#rest = bytes.slice();
        return [];
      }
      this.#count = view.getUint32(1);
      if (this.#count < 1) throw refuse("chunk count", "at least 1", "0");
      offset = HEADER_BYTES;
    }
    const entries: ManifestEntry[] = [];
    for (; offset + ENTRY_BYTES <= bytes.length; offset += ENTRY_BYTES) {
      const sizeBytes = view.getUint32(offset + DIGEST_BYTES);
      checkSize(sizeBytes);
      entries.push({ digest: bytes.slice(offset, offset + DIGEST_BYTES), sizeBytes });
    }
    this.#entries += entries.length;
    this.#rest = bytes.slice(offset);
    if (this.#entries > this.#count || (this.#entries === this.#count && this.#rest.length > 0)) {
      throw this.#wrongLength();
    }
    return entries;
  }

  /**
   * Call it when all bytes were pushed.
   * @returns the hash that both parties sign, 32 bytes
   * @throws InvalidInputError when the bytes end before the manifest does
   */
  finish(): Uint8Array {
    if (this.#count === undefined || this.#entries < this.#count) throw this.#wrongLength();
    return this.#hash.digest();
  }

  #wrongLength(): InvalidInputError {
    const received = `${this.#entries} entries and ${this.#rest.length} bytes`;
    return refuse(
      "length",
      `${HEADER_BYTES} bytes and ${ENTRY_BYTES} for each of ${this.#count ?? 0} chunks`,
      received,
    );
  }
}

/**
 * @throws UnknownVersionError, InvalidInputError unless the bytes are exactly one manifest that names each chunk once
 */
export function decodeManifest(bytes: Uint8Array): AuditManifest {
  if (bytes.length === 0) throw new UnknownVersionError("audit manifest", "none", [VERSION]);
  const reader = new ManifestReader();
  const chunks = reader.push(bytes).map(({ digest, sizeBytes }) => ({ id: contentIdFromDigest(digest), sizeBytes }));
  reader.finish();
  requireDistinct(chunks);
  return { version: VERSION, chunks };
}

function requireDistinct(chunks: readonly ManifestChunk[]): void {
  const named = new Set<string>();
  for (const { id } of chunks) {
    if (named.has(id)) throw namedTwice(id);
    named.add(id);
  }
}

/** What is said of a manifest that names a chunk twice. */
export function namedTwice(id: string): InvalidInputError {
  return refuse("distinct chunks", "each chunk once", id);
}

/** The hash of an encoded manifest, which both parties sign. @returns 32 bytes */
export function encodedManifestHash(encoded: Uint8Array): Uint8Array {
  const hash = createSha256();
  hash.update(domainTag("audit-manifest"));
  hash.update(encoded);
  return hash.digest();
}

/** The hash that both parties sign. @returns 32 bytes */
export function manifestHash(manifest: AuditManifest): Uint8Array {
  return encodedManifestHash(encodeManifest(manifest));
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
   * @param position of the slice in the set: its index minus the segment's first index
   * @throws InvalidInputError for a position outside the set
   */
  segments(position: number): SliceSegment[];
}

/**
 * Maps slices to chunks. Looking one up takes logarithmic time in the number of chunks.
 * @param sliceElements coefficients of a slice's polynomial
 * @throws InvalidInputError for slices of a size that the protocol does not have
 */
export function sliceLayout(manifest: AuditManifest, sliceElements: number): SliceLayout {
  const slice = sliceBytes(sliceElements);
  const starts: number[] = [];
  let sizeBytes = 0;
  for (const chunk of manifest.chunks) {
    starts.push(sizeBytes);
    sizeBytes += chunk.sizeBytes;
  }
  const sliceCount = Math.ceil(sizeBytes / slice);
  const segments = (position: number): SliceSegment[] => {
    if (!(Number.isInteger(position) && position >= 0 && position < sliceCount)) {
      throw new InvalidInputError("slice is outside the data set", {
        expected: `0 to ${sliceCount - 1}`,
        received: String(position),
      });
    }
    const begin = position * slice;
    const end = Math.min(begin + slice, sizeBytes);
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
