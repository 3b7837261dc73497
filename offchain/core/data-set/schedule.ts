/**
 * The schedule of a data set: what is stored and paid from which epoch on. The chain stores its hash; the bytes are in
 * the set's last event, and every call about the set brings them. Layout (docs/spec.md): version (8) ‖ number of
 * retirements (4) ‖ hash of the content (32) ‖ for each level: first epoch (4) ‖ fee (10) ‖ slices (6) ‖ highest index
 * (6) ‖ hash of the ranges (32).
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import { fromHex, toHex } from "../encoding/hex.ts";
import { InvalidInputError } from "../errors.ts";
import { integerToWord, WORD_BYTES } from "./words.ts";

/** `IStorageEscrow.Level`. */
export interface Level {
  readonly fromEpoch: number;
  readonly fee: bigint;
  /** 0 when the set has ended. */
  readonly sliceCount: number;
  /** The high-water mark: no index up to it ever comes back. */
  readonly highestIndex: number;
  /** 0x hex, 32 bytes. */
  readonly rangesHash: string;
}

export interface Schedule {
  readonly version: bigint;
  /** How often the user has retired slices alone. */
  readonly retirements: number;
  /** Of what both parties signed last about the content; 0x hex, 32 bytes. */
  readonly contentHash: string;
  /** By ascending epoch, at least one. */
  readonly levels: readonly Level[];
}

/** The contract's limit. */
export const MAXIMUM_LEVELS = 8;
const VERSION_BYTES = 8;
const RETIREMENTS_BYTES = 4;
const EPOCH_BYTES = 4;
const FEE_BYTES = 10;
const COUNT_BYTES = 6;
const HEAD_BYTES = VERSION_BYTES + RETIREMENTS_BYTES + WORD_BYTES;
const LEVEL_BYTES = EPOCH_BYTES + FEE_BYTES + 2 * COUNT_BYTES + WORD_BYTES;

/** @throws InvalidInputError for a value that does not fit its type */
export function encodeSchedule({ version, retirements, contentHash, levels }: Schedule): Uint8Array {
  const integer = (value: number | bigint, size: number, name: string) =>
    integerToWord(value, 8 * size, name).subarray(WORD_BYTES - size);
  const parts = [
    integer(version, VERSION_BYTES, "version"),
    integer(retirements, RETIREMENTS_BYTES, "retirements"),
    fromHex(contentHash, WORD_BYTES, "content hash"),
  ];
  for (const level of levels) {
    parts.push(
      integer(level.fromEpoch, EPOCH_BYTES, "first epoch"),
      integer(level.fee, FEE_BYTES, "fee"),
      integer(level.sliceCount, COUNT_BYTES, "slice count"),
      integer(level.highestIndex, COUNT_BYTES, "highest index"),
      fromHex(level.rangesHash, WORD_BYTES, "ranges hash"),
    );
  }
  return concatBytes(...parts);
}

/** @throws InvalidInputError unless the bytes are exactly those that `encodeSchedule` gives for some schedule */
export function decodeSchedule(bytes: Uint8Array): Schedule {
  const levelCount = (bytes.length - HEAD_BYTES) / LEVEL_BYTES;
  if (!Number.isInteger(levelCount) || levelCount < 1 || levelCount > MAXIMUM_LEVELS) {
    throw malformed("length", `1 to ${MAXIMUM_LEVELS} levels`, `${bytes.length} bytes`);
  }
  let place = 0;
  const next = (size: number) => {
    place += size;
    return bytes.subarray(place - size, place);
  };
  const integer = (size: number) => BigInt(`0x${bytesToHex(next(size))}`);
  const version = integer(VERSION_BYTES);
  const retirements = Number(integer(RETIREMENTS_BYTES));
  const contentHash = toHex(next(WORD_BYTES));
  const levels: Level[] = [];
  while (place < bytes.length) {
    const level = {
      fromEpoch: Number(integer(EPOCH_BYTES)),
      fee: integer(FEE_BYTES),
      sliceCount: Number(integer(COUNT_BYTES)),
      highestIndex: Number(integer(COUNT_BYTES)),
      rangesHash: toHex(next(WORD_BYTES)),
    };
    const before = levels.at(-1);
    if (before !== undefined && level.fromEpoch <= before.fromEpoch) {
      throw malformed("order of levels", `behind epoch ${before.fromEpoch}`, String(level.fromEpoch));
    }
    levels.push(level);
  }
  return { version, retirements, contentHash, levels };
}

/** What the chain stores. @returns 0x hex */
export function scheduleHash(schedule: Uint8Array): string {
  return toHex(keccak_256(schedule));
}

type Levels = Pick<Schedule, "levels">;

/** The last level, which counts from its epoch on. */
export function lastLevel({ levels }: Levels): Level {
  const last = levels.at(-1);
  if (last === undefined) throw malformed("levels", "at least one", "none");
  return last;
}

/** The level of an epoch. @returns undefined for an epoch before the first one */
export function levelAt({ levels }: Levels, epoch: number): Level | undefined {
  return levels.findLast(({ fromEpoch }) => fromEpoch <= epoch);
}

/** Fees of the epochs behind `afterEpoch` up to `throughEpoch`. */
export function feesBetween({ levels }: Levels, afterEpoch: number, throughEpoch: number): bigint {
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
