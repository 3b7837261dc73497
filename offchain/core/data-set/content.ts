/**
 * What both parties sign about the content of a data set: a hash over its segments, each with its indices, its
 * manifest and the commitments to its slices, as a chain, so that adding one costs the same however many there are.
 * Retired slices stay in it.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { fromHex, toHex } from "../encoding/hex.ts";
import { integerToWord, tagOf, WORD_BYTES } from "./words.ts";

/** A run of slices that were added at once. */
export interface SegmentContent {
  readonly firstIndex: number;
  readonly sliceCount: number;
  /** `manifestHash` of the chunks that the slices are cut from, 0x hex. */
  readonly manifestHash: string;
  /** Over the commitments to the slices, 0x hex: `SegmentCommitments.root`. */
  readonly commitmentsRoot: string;
}

const CONTENT_TAG = tagOf("data-set-content");

/** Of a data set without segments. */
export const NO_CONTENT = `0x${"00".repeat(WORD_BYTES)}`;

/**
 * keccak256 of tag ‖ the hash before ‖ first index ‖ slice count ‖ manifest hash ‖ commitments root, a word each.
 * @param before of the segments with lower indices, or `NO_CONTENT`
 * @returns 0x hex
 */
export function extendContent(before: string, content: SegmentContent): string {
  const { firstIndex, sliceCount, manifestHash, commitmentsRoot } = content;
  return toHex(
    keccak_256(
      concatBytes(
        CONTENT_TAG,
        fromHex(before, WORD_BYTES, "content hash"),
        integerToWord(firstIndex, 48, "first index"),
        integerToWord(sliceCount, 48, "slice count"),
        fromHex(manifestHash, WORD_BYTES, "manifest hash"),
        fromHex(commitmentsRoot, WORD_BYTES, "commitments root"),
      ),
    ),
  );
}
