/**
 * What the file cache keeps of a file and of a bundle, so that a put refers to their objects without reading anything.
 *
 *   small file   1 ‖ u32be bytes of its frame ‖ digest of its frame (32)        bundles are cut by these
 *   other file   2 ‖ u32be confirmed at ‖ u32be releases ‖ its entry in a listing, with the path "f"
 *   bundle       u32be confirmed at ‖ u32be releases ‖ u32be bundle size ‖ digest inside its id (32) ‖ key (32)
 *
 * "Confirmed at" is when the provider last confirmed the objects, in seconds. References count for a bounded time after
 * that: then the files are read, and their objects are claimed or put again. What a provider has lost is so found out.
 * "Releases" is how many the providers had counted before: `content-cache.ts` says what for.
 */
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { putUint32, uint32At } from "../../core/encoding/integers.ts";
import { TallystickError } from "../../core/errors.ts";
import type { BundleMember } from "../../core/recipe/bundle.ts";
import { type ChunkedContent, decodeEntry, encodeEntry } from "../../core/recipe/recipe.ts";
import type { BundleRef } from "./bundle-ref.ts";

/** How long a confirmation counts. */
export const CONFIRMED_SECONDS = 7 * 86_400;

const SMALL = 1;
const CHUNKED = 2;
const DIGEST_BYTES = 32;
const SMALL_BYTES = 5 + DIGEST_BYTES;
const CHUNKED_HEAD_BYTES = 9;
const BUNDLE_BYTES = 12 + 2 * DIGEST_BYTES;
/** The path of a file is not kept: it may be put under another name. */
const ANY_PATH = "f";

/** When a provider last confirmed objects. */
export interface Confirmation {
  /** Seconds. */
  readonly confirmedAt: number;
  readonly releases: number;
}

export type CachedContent =
  | { readonly kind: "small"; readonly member: BundleMember }
  | ({ readonly kind: "chunked"; readonly content: ChunkedContent } & Confirmation);

export function encodeSmall({ digest, frameBytes }: BundleMember): Uint8Array {
  const bytes = new Uint8Array(SMALL_BYTES);
  bytes[0] = SMALL;
  putUint32(bytes, 1, frameBytes);
  bytes.set(digest, 5);
  return bytes;
}

export function encodeChunked(
  content: ChunkedContent,
  sizeBytes: number,
  { confirmedAt, releases }: Confirmation,
): Uint8Array {
  const entry = encodeEntry({ type: "file", path: ANY_PATH, sizeBytes, content });
  const bytes = new Uint8Array(CHUNKED_HEAD_BYTES + entry.length);
  bytes[0] = CHUNKED;
  putUint32(bytes, 1, confirmedAt);
  putUint32(bytes, 5, releases);
  bytes.set(entry, CHUNKED_HEAD_BYTES);
  return bytes;
}

/**
 * @param sizeBytes of the file now
 * @returns undefined for what this build does not know, or for another size
 */
export function decodeCached(bytes: Uint8Array, sizeBytes: number): CachedContent | undefined {
  if (bytes[0] === SMALL && bytes.length === SMALL_BYTES)
    return { kind: "small", member: { digest: bytes.slice(5), frameBytes: uint32At(bytes, 1) } };
  if (bytes[0] !== CHUNKED || bytes.length <= CHUNKED_HEAD_BYTES) return undefined;
  try {
    const entry = decodeEntry(bytes.subarray(CHUNKED_HEAD_BYTES));
    if (entry.type !== "file" || entry.sizeBytes !== sizeBytes || "segment" in entry.content) return undefined;
    const confirmation = { confirmedAt: uint32At(bytes, 1), releases: uint32At(bytes, 5) };
    return { kind: "chunked", content: entry.content, ...confirmation };
  } catch (error) {
    if (error instanceof TallystickError) return undefined;
    throw error;
  }
}

export function encodeBundle({ id, key, bundleBytes }: BundleRef, { confirmedAt, releases }: Confirmation): Uint8Array {
  const bytes = new Uint8Array(BUNDLE_BYTES);
  putUint32(bytes, 0, confirmedAt);
  putUint32(bytes, 4, releases);
  putUint32(bytes, 8, bundleBytes);
  bytes.set(digestOf(id), 12);
  bytes.set(key, 12 + DIGEST_BYTES);
  return bytes;
}

export function decodeBundle(bytes: Uint8Array): (BundleRef & Confirmation) | undefined {
  if (bytes.length !== BUNDLE_BYTES) return undefined;
  const confirmation = { confirmedAt: uint32At(bytes, 0), releases: uint32At(bytes, 4) };
  const id = contentIdFromDigest(bytes.slice(12, 12 + DIGEST_BYTES));
  return { ...confirmation, bundleBytes: uint32At(bytes, 8), id, key: bytes.slice(12 + DIGEST_BYTES) };
}
