/**
 * Bundles: small files travel together. In path order, the frames of small files are collected into one object, each
 * sealed under a key of its own (crypto/segments.ts). What goes into a bundle depends on the tree alone, never on what
 * a cache knows: the rule needs the digest and the length of each frame, nothing else.
 *
 * A bundle is cut by content, as a file is: it ends after a file whose digest is below a bound that grows with its
 * size, so that after a change the cuts are soon the old ones. Every byte has the same chance to end a bundle; the
 * average is the minimum plus 512 KiB.
 */
import { createSha256 } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { SEGMENT_OVERHEAD_BYTES } from "../crypto/segments.ts";
import { u32be, uint32At } from "../encoding/integers.ts";
import { FRAME_HEAD_BYTES } from "./frame.ts";

/**
 * Sizes in bytes. A file of 1 to `fileBytes` goes into a bundle. A bundle is not cut by content below `minBytes`, and
 * ends when the next file might not fit into `maxBytes`, the size of the largest object.
 */
export const BUNDLE_LIMITS = { fileBytes: 131_072, minBytes: 524_288, maxBytes: 2_097_152 } as const;

/**
 * Entries of the listing, of whatever kind, that a bundle may span, counted from its first file. It bounds what a
 * writer holds back: the entries of a bundle cannot be written before the bundle is complete.
 */
export const MAX_BUNDLE_SPAN = 4096;

/** Longest segment: a stored file of the largest size. */
export const MAX_SEGMENT_BYTES = BUNDLE_LIMITS.fileBytes + FRAME_HEAD_BYTES + SEGMENT_OVERHEAD_BYTES;

/** A segment of s bytes ends a bundle with probability s / 2^19: the first 32 bits of the digest are below s · 2^13. */
const BOUND_PER_BYTE = 8192;

/** A small file, as the rule sees it. */
export interface BundleMember {
  /** H(B), SHA-256 of its frame. */
  readonly digest: Uint8Array;
  readonly frameBytes: number;
}

/** Whether a file of this size goes into a bundle. An empty file has no content. */
export function isBundled(sizeBytes: number): boolean {
  return sizeBytes > 0 && sizeBytes <= BUNDLE_LIMITS.fileBytes;
}

/** Length of the sealed form of a frame within a bundle. */
export function segmentBytes(frameBytes: number): number {
  return frameBytes + SEGMENT_OVERHEAD_BYTES;
}

/**
 * Whether a bundle ends after a file.
 * @param bundleBytes sealed bytes of the bundle, that of the file included
 */
export function endsBundle(bundleBytes: number, { digest, frameBytes }: BundleMember): boolean {
  if (bundleBytes > BUNDLE_LIMITS.maxBytes - MAX_SEGMENT_BYTES) return true;
  if (bundleBytes < BUNDLE_LIMITS.minBytes) return false;
  return uint32At(digest, 0) < segmentBytes(frameBytes) * BOUND_PER_BYTE;
}

/** What an entry does to the bundles. */
export interface BundleStep {
  /** The bundle before is complete, and its entries can be written, before anything is done about this entry. */
  readonly closesBefore: boolean;
  /** Where the file goes; absent for an entry that is no small file. */
  readonly place?: { readonly position: number; readonly offset: number };
  /** The bundle is complete, and its entries can be written, after this entry. */
  readonly closesAfter: boolean;
}

/**
 * The bundles of a tree, entry by entry in listing order: which file goes into which bundle. A writer, a reader that
 * derives the order of objects, and a cache that decides what must be read again all come to the same bundles.
 */
export class BundleCutter {
  /** Entries since the first file of the bundle, that included; 0 without a bundle. */
  #span = 0;
  #files = 0;
  #bytes = 0;
  /** The bundle takes no more files. It stays until the next small file, or the end of its span. */
  #isFull = false;

  /** Whether entries are held back for a bundle. */
  get isOpen(): boolean {
    return this.#span > 0;
  }

  /** @param member a file that goes into a bundle; undefined for any other entry */
  push(member?: BundleMember): BundleStep {
    const closesBefore = this.isOpen && member !== undefined && this.#isFull;
    if (closesBefore) this.#close();
    let place: BundleStep["place"];
    if (member !== undefined) {
      place = { position: this.#files, offset: this.#bytes };
      this.#files += 1;
      this.#bytes += segmentBytes(member.frameBytes);
      this.#isFull = endsBundle(this.#bytes, member);
    }
    if (this.#files > 0) this.#span += 1;
    const closesAfter = this.#span === MAX_BUNDLE_SPAN;
    if (closesAfter) this.#close();
    return { closesBefore, closesAfter, ...(place === undefined ? {} : { place }) };
  }

  #close(): void {
    this.#span = 0;
    this.#files = 0;
    this.#bytes = 0;
    this.#isFull = false;
  }
}

/**
 * Digest that the key of a bundle comes from: SHA-256(domainTag("bundle") ‖ for each file u32be length of B ‖ H(B)).
 * The codec is the first byte of B. Lengths separate the files: two bundles of the same bytes cut otherwise differ.
 */
export function bundleDigest(members: Iterable<BundleMember>): Uint8Array {
  const hash = createSha256();
  hash.update(domainTag("bundle"));
  for (const { digest, frameBytes } of members) {
    hash.update(u32be(frameBytes));
    hash.update(digest);
  }
  return hash.digest();
}
