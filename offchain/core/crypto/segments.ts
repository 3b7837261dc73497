/**
 * Encryption of the files in a bundle. Each is sealed under a key of its own, so that whoever is given one file of a
 * bundle, or fetches it, can open none of its neighbours.
 *
 * AES-256-GCM with an all-zero nonce is sound here for the reason it is for chunks: the bundle key derives from the
 * digests of all frames in their order, so a segment key encrypts one frame, ever.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmSealInPlace } from "#primitives";
import { u32be, u64be } from "../encoding/integers.ts";
import { IntegrityError } from "../errors.ts";
import { domainTag, kdf, kdfFrom } from "./kdf.ts";

/** Bytes by which a segment is longer than its frame: the tag. */
export const SEGMENT_OVERHEAD_BYTES = 16;

const SEGMENT_VERSION = 1;
const SEGMENT_TAG = domainTag("segment");
const ZERO_NONCE = new Uint8Array(12);

/**
 * Derives the key of a bundle.
 * @param oprfOutput the committee's output for `oprfInput(…, "bundle", …)`
 */
export function bundleKey(oprfOutput: Uint8Array): Uint8Array {
  return kdf(oprfOutput, "bundle-key");
}

const SEGMENT_KEY_LABEL = "segment-key";

/** The key of one file of a bundle. @param position in the bundle, from 0 */
export function segmentKey(keyOfBundle: Uint8Array, position: number): Uint8Array {
  return kdf(keyOfBundle, SEGMENT_KEY_LABEL, u32be(position));
}

/** Associated data: domainTag("segment") ‖ u8 version ‖ u64be length of the frame. */
function segmentAad(frameBytes: number): Uint8Array {
  return concatBytes(SEGMENT_TAG, Uint8Array.of(SEGMENT_VERSION), u64be(BigInt(frameBytes)));
}

/**
 * Lays frames out as a bundle that is to be sealed: each followed by room for its tag.
 * @param memory of at least the length of the bundle. Default: memory of that length
 * @returns the bundle, a view of the memory
 */
export function layOutBundle(frames: readonly Uint8Array[], memory?: Uint8Array): Uint8Array {
  const lengthBytes = frames.reduce((sum, frame) => sum + frame.length + SEGMENT_OVERHEAD_BYTES, 0);
  const bundle = memory?.subarray(0, lengthBytes) ?? new Uint8Array(lengthBytes);
  let offset = 0;
  for (const frame of frames) {
    bundle.set(frame, offset);
    offset += frame.length + SEGMENT_OVERHEAD_BYTES;
  }
  return bundle;
}

/**
 * Seals the frames of a bundle in place, each under its own key: a segment is ciphertext ‖ tag.
 * @param bundle as `layOutBundle` lays it out
 * @param frameBytes of each frame
 */
export function sealBundleInPlace(keyOfBundle: Uint8Array, bundle: Uint8Array, frameBytes: readonly number[]): void {
  const keyOf = kdfFrom(keyOfBundle, SEGMENT_KEY_LABEL);
  let offset = 0;
  for (const [position, length] of frameBytes.entries()) {
    const segment = bundle.subarray(offset, offset + length + SEGMENT_OVERHEAD_BYTES);
    aes256GcmSealInPlace(keyOf(u32be(position)), ZERO_NONCE, segmentAad(length), segment, length);
    offset += segment.length;
  }
}

/**
 * @param key from `segmentKey`
 * @param label names the file in errors
 * @returns the frame
 * @throws IntegrityError if the tag is wrong
 */
export function openSegment(key: Uint8Array, sealed: Uint8Array, label: string): Uint8Array {
  const frameBytes = Math.max(sealed.length - SEGMENT_OVERHEAD_BYTES, 0);
  const frame = aes256GcmOpen(key, ZERO_NONCE, segmentAad(frameBytes), sealed);
  if (frame !== undefined) return frame;
  throw new IntegrityError(`${label} does not decrypt`, { check: "AES-256-GCM tag" });
}
