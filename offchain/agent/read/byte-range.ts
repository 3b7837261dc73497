/**
 * Ranges of bytes: what a caller asks for, and what of it a file has. The text form is that of HTTP (RFC 9110, section
 * 14.1.2), whose last position is included. In the program a range ends before its end, as in `Blob.slice`.
 */

import { InvalidInputError } from "../../core/errors.ts";

/** The bytes from `start` on, up to the one before `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** A range as HTTP states it, before the size of the file is known. Positions may be beyond any file. */
export type RangeSpec =
  | { readonly first: number /** Included; default the end of the file. */; readonly last?: number }
  | { /** Number of bytes at the end of the file. */ readonly suffixBytes: number };

/**
 * Reads `first-last`, `first-` or `-suffix`.
 * @returns undefined for any other text, and for a last position before the first one: RFC 9110 calls both invalid
 */
export function parseRangeSpec(text: string): RangeSpec | undefined {
  const [, first, last] = /^(\d*)-(\d*)$/.exec(text) ?? [];
  if (first === undefined || last === undefined) return undefined;
  if (first === "") return last === "" ? undefined : { suffixBytes: Number(last) };
  if (last === "") return { first: Number(first) };
  // Digits are compared as whole numbers: as floating-point numbers, two large ones of wrong order may be equal.
  return BigInt(last) < BigInt(first) ? undefined : { first: Number(first), last: Number(last) };
}

/**
 * What a file has of a range.
 * @returns undefined when the range is not satisfiable: it begins at or beyond the end, or is a suffix of no bytes. A
 *   suffix of an empty file is satisfiable, and empty
 */
export function resolveRange(spec: RangeSpec, sizeBytes: number): ByteRange | undefined {
  if ("suffixBytes" in spec) {
    return spec.suffixBytes === 0 ? undefined : { start: Math.max(sizeBytes - spec.suffixBytes, 0), end: sizeBytes };
  }
  if (spec.first >= sizeBytes) return undefined;
  return { start: spec.first, end: Math.min((spec.last ?? sizeBytes) + 1, sizeBytes) };
}

/**
 * A range of the program's own form within a file, clipped to its size as `Blob.slice` does.
 * @throws InvalidInputError for bounds that are no whole numbers from 0, or that are the wrong way round
 */
export function withinSize({ start = 0, end = Number.MAX_SAFE_INTEGER }: Partial<ByteRange>, sizeBytes: number) {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
    throw new InvalidInputError("this is no range of bytes", {
      party: "you",
      check: "range",
      expected: "whole numbers from 0, the end not before the start",
      received: `${start} to ${end}`,
    });
  }
  return { start: Math.min(start, sizeBytes), end: Math.min(end, sizeBytes) };
}
