/**
 * Encryption of the files in a bundle. Each is sealed under a key of its own, so that whoever is given one file of a
 * bundle, or fetches it, can open none of its neighbours.
 *
 * AES-256-GCM with an all-zero nonce is sound here for the reason it is for chunks: the bundle key derives from the
 * digests of all frames in their order, so a segment key encrypts one frame, ever.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmSeal } from "#primitives";
import { u32be, u64be } from "../encoding/integers.ts";
import { IntegrityError } from "../errors.ts";
import { domainTag, kdf } from "./kdf.ts";

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

/** The key of one file of a bundle. @param position in the bundle, from 0 */
export function segmentKey(keyOfBundle: Uint8Array, position: number): Uint8Array {
  return kdf(keyOfBundle, "segment-key", u32be(position));
}

/** Associated data: domainTag("segment") ‖ u8 version ‖ u64be length of the frame. */
function segmentAad(frameBytes: number): Uint8Array {
  return concatBytes(SEGMENT_TAG, Uint8Array.of(SEGMENT_VERSION), u64be(BigInt(frameBytes)));
}

/** @param key from `segmentKey` @returns ciphertext ‖ tag */
export function sealSegment(key: Uint8Array, frame: Uint8Array): Uint8Array {
  return aes256GcmSeal(key, ZERO_NONCE, segmentAad(frame.length), frame);
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
