/**
 * Live ranges of a data set: the indices of the slices that are stored. Ranges ascend and do not touch, so that one set
 * of indices has one list. docs/spec.md has the layout; `LiveRanges.sol` keeps the same rules.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { encodeRanges, type SliceRange } from "../audit/challenge.ts";
import { toHex } from "../encoding/hex.ts";
import { InvalidInputError } from "../errors.ts";

/** The contract's limit. */
export const MAXIMUM_RANGES = 32;
const RANGE_BYTES = 12;

/** The last index of a range. */
export function lastIndexOf({ firstIndex, count }: SliceRange): number {
  return firstIndex + count - 1;
}

/** Bytes of a list; none for an empty one. @throws InvalidInputError unless it is canonical */
export function encodeLiveRanges(ranges: readonly SliceRange[]): Uint8Array {
  requireCanonical(ranges);
  return ranges.length === 0 ? new Uint8Array() : encodeRanges(ranges);
}

/** Reads a list. @throws InvalidInputError unless it is canonical */
export function decodeLiveRanges(bytes: Uint8Array): SliceRange[] {
  if (bytes.length % RANGE_BYTES !== 0 || bytes.length > MAXIMUM_RANGES * RANGE_BYTES) {
    throw malformed("length", `up to ${MAXIMUM_RANGES} ranges of ${RANGE_BYTES} bytes`, `${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const integerAt = (at: number) => view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
  const ranges: SliceRange[] = [];
  for (let at = 0; at < bytes.length; at += RANGE_BYTES) {
    ranges.push({ firstIndex: integerAt(at), count: integerAt(at + RANGE_BYTES / 2) });
  }
  requireCanonical(ranges);
  return ranges;
}

/** What a level pins. @returns 0x hex @throws InvalidInputError unless the list is canonical */
export function rangesHash(ranges: readonly SliceRange[]): string {
  return toHex(keccak_256(encodeLiveRanges(ranges)));
}

/** The indices in either list. */
export function joinRanges(left: readonly SliceRange[], right: readonly SliceRange[]): SliceRange[] {
  const joined: SliceRange[] = [];
  for (const range of [...left, ...right].sort((a, b) => a.firstIndex - b.firstIndex)) {
    const last = joined.at(-1);
    if (last === undefined || range.firstIndex > lastIndexOf(last) + 1) {
      joined.push(range);
      continue;
    }
    const end = Math.max(lastIndexOf(last), lastIndexOf(range));
    joined[joined.length - 1] = { firstIndex: last.firstIndex, count: end + 1 - last.firstIndex };
  }
  return joined;
}

/** The indices of the first list that are not in the second one. Both ascend. */
export function subtractRanges(from: readonly SliceRange[], taken: readonly SliceRange[]): SliceRange[] {
  const left: SliceRange[] = [];
  for (const range of from) {
    let first = range.firstIndex;
    for (const hole of taken) {
      if (lastIndexOf(hole) < first || hole.firstIndex > lastIndexOf(range)) continue;
      if (hole.firstIndex > first) left.push({ firstIndex: first, count: hole.firstIndex - first });
      first = lastIndexOf(hole) + 1;
    }
    if (first <= lastIndexOf(range)) left.push({ firstIndex: first, count: lastIndexOf(range) + 1 - first });
  }
  return left;
}

/**
 * Checks that a list revives nothing: its indices up to the high-water mark are in the list before it.
 * @throws InvalidInputError naming the first range that is not
 */
export function requireFollows(
  ranges: readonly SliceRange[],
  before: readonly SliceRange[],
  highestIndex: number,
): void {
  const old = ranges.flatMap(({ firstIndex, count }) => {
    const kept = Math.min(count, highestIndex + 1 - firstIndex);
    return kept > 0 ? [{ firstIndex, count: kept }] : [];
  });
  const [revived] = subtractRanges(old, before);
  if (revived === undefined) return;
  throw new InvalidInputError("the list of live ranges revives retired slices", {
    check: "live ranges",
    expected: `indices of the list before, or above ${highestIndex}`,
    received: `${revived.firstIndex} to ${lastIndexOf(revived)}`,
  });
}

function requireCanonical(ranges: readonly SliceRange[]): void {
  if (ranges.length > MAXIMUM_RANGES) throw malformed("count", `up to ${MAXIMUM_RANGES} ranges`, `${ranges.length}`);
  let free = 1;
  for (const range of ranges) {
    const { firstIndex, count } = range;
    const fits = Number.isSafeInteger(firstIndex) && Number.isSafeInteger(count) && count >= 1;
    if (!fits || firstIndex < free || lastIndexOf(range) >= 2 ** 48 - 1) {
      throw malformed("order", `a range from ${free} on that is not empty`, `${firstIndex}, ${count} slices`);
    }
    free = lastIndexOf(range) + 2;
  }
}

function malformed(check: string, expected: string, received: string): InvalidInputError {
  return new InvalidInputError("list of live ranges is malformed", { check, expected, received });
}
