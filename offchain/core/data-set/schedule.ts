/**
 * The schedule of a data set: what is stored and paid from which epoch on. The chain stores its hash; the bytes are in
 * the set's last event, and every call about the set brings them. Layout (docs/spec.md), in words of 32 bytes: version
 * ‖ number of retirements ‖ for each level: first epoch ‖ fee ‖ slices ‖ highest index ‖ hash of the ranges ‖ hash of
 * the content.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import { fromHex, toHex } from "../encoding/hex.ts";
import { InvalidInputError } from "../errors.ts";
import { integerToWord, WORD_BYTES } from "./words.ts";

/** `IDataSetEscrow.Level`. Hashes are 0x hex, 32 bytes. */
export interface Level {
  readonly fromEpoch: number;
  readonly fee: bigint;
  /** 0 when the set has ended. */
  readonly sliceCount: number;
  /** The high-water mark: no index up to it ever comes back. */
  readonly highestIndex: number;
  readonly rangesHash: string;
  readonly contentHash: string;
}

export interface Schedule {
  readonly version: bigint;
  /** How often the user has retired slices alone. */
  readonly retirements: number;
  /** By ascending epoch, at least one. */
  readonly levels: readonly Level[];
}

/** The contract's limit. */
export const MAXIMUM_LEVELS = 8;
const HEAD_WORDS = 2;
const LEVEL_WORDS = 6;

/** @throws InvalidInputError for a value that does not fit its type */
export function encodeSchedule({ version, retirements, levels }: Schedule): Uint8Array {
  const words = [integerToWord(version, 64, "version"), integerToWord(retirements, 32, "retirements")];
  for (const level of levels) {
    words.push(
      integerToWord(level.fromEpoch, 32, "first epoch"),
      integerToWord(level.fee, 80, "fee"),
      integerToWord(level.sliceCount, 48, "slice count"),
      integerToWord(level.highestIndex, 48, "highest index"),
      fromHex(level.rangesHash, WORD_BYTES, "ranges hash"),
      fromHex(level.contentHash, WORD_BYTES, "content hash"),
    );
  }
  return concatBytes(...words);
}

/** @throws InvalidInputError unless the bytes are exactly those that `encodeSchedule` gives for some schedule */
export function decodeSchedule(bytes: Uint8Array): Schedule {
  const levelCount = (bytes.length / WORD_BYTES - HEAD_WORDS) / LEVEL_WORDS;
  if (!Number.isInteger(levelCount) || levelCount < 1 || levelCount > MAXIMUM_LEVELS) {
    throw malformed("length", `1 to ${MAXIMUM_LEVELS} levels`, `${bytes.length} bytes`);
  }
  const word = (index: number) => bytes.subarray(index * WORD_BYTES, (index + 1) * WORD_BYTES);
  const integer = (index: number) => BigInt(`0x${bytesToHex(word(index))}`);
  const small = (index: number, bits: number, name: string) => {
    const value = integer(index);
    if (value >= 1n << BigInt(bits)) throw malformed(name, `below 2^${bits}`, String(value));
    return Number(value);
  };
  const levels = Array.from({ length: levelCount }, (_, level) => {
    const at = HEAD_WORDS + level * LEVEL_WORDS;
    const fee = integer(at + 1);
    if (fee >= 1n << 80n) throw malformed("fee", "below 2^80", String(fee));
    return {
      fromEpoch: small(at, 32, "first epoch"),
      fee,
      sliceCount: small(at + 2, 48, "slice count"),
      highestIndex: small(at + 3, 48, "highest index"),
      rangesHash: toHex(word(at + 4)),
      contentHash: toHex(word(at + 5)),
    };
  });
  levels.forEach((level, position) => {
    const before = levels[position - 1];
    if (before !== undefined && level.fromEpoch <= before.fromEpoch) {
      throw malformed("order of levels", `behind epoch ${before.fromEpoch}`, String(level.fromEpoch));
    }
  });
  const version = integer(0);
  if (version >= 1n << 64n) throw malformed("version", "below 2^64", String(version));
  return { version, retirements: small(1, 32, "retirements"), levels };
}

/** What the chain stores. @returns 0x hex */
export function scheduleHash(schedule: Uint8Array): string {
  return toHex(keccak_256(schedule));
}

/** The last level, which counts from its epoch on. */
export function lastLevel({ levels }: Schedule): Level {
  const last = levels.at(-1);
  if (last === undefined) throw malformed("levels", "at least one", "none");
  return last;
}

/** The level of an epoch. @returns undefined for an epoch before the first one */
export function levelAt({ levels }: Schedule, epoch: number): Level | undefined {
  return levels.findLast(({ fromEpoch }) => fromEpoch <= epoch);
}

/** Fees of the epochs behind `afterEpoch` up to `throughEpoch`. */
export function feesBetween({ levels }: Schedule, afterEpoch: number, throughEpoch: number): bigint {
  let sum = 0n;
  levels.forEach(({ fromEpoch, fee }, position) => {
    const from = Math.max(fromEpoch, afterEpoch + 1);
    const through = Math.min((levels[position + 1]?.fromEpoch ?? Number.POSITIVE_INFINITY) - 1, throughEpoch);
    if (from <= through) sum += fee * BigInt(through + 1 - from);
  });
  return sum;
}

function malformed(check: string, expected: string, received: string): InvalidInputError {
  return new InvalidInputError("schedule of a data set is malformed", { check, expected, received });
}
