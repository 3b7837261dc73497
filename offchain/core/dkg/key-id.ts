/**
 * Names one key of a committee. A committee keeps its keys through changes of its members and shares: each change is a
 * new generation of the same key, so that shares, messages and rows of different generations never mix.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { u32be, u64be } from "../encoding/integers.ts";
import { InvalidInputError } from "../errors.ts";

/**
 * What a committee's key is for: evaluating the OPRF, or opening sealed secrets. They are never one key, because a
 * blinded evaluation of an element of a sealed secret would open it. A further purpose is a further name and code.
 */
export type KeyPurpose = "oprf" | "record";

/** Codes in byte layouts and signed messages. */
const PURPOSE_CODES: Record<KeyPurpose, number> = { oprf: 1, record: 2 };

/** The generation that key generation makes; every later change of the shares counts one up. 0 stands for no key. */
export const FIRST_GENERATION = 1;
const LARGEST_GENERATION = 2 ** 32 - 1;

export interface KeyId {
  readonly committeeId: bigint;
  /** From 1. */
  readonly generation: number;
  /** Key generation by all members (dkg.ts) makes OPRF keys; generations of both keys are made by core/committee. */
  readonly purpose: Extract<KeyPurpose, "oprf">;
}

/** The OPRF key of a committee in a generation; the first one unless stated. */
export function oprfKey(committeeId: bigint, generation = FIRST_GENERATION): KeyId {
  return { committeeId, generation, purpose: "oprf" };
}

/** The key as text: `<committee>/<generation>/<purpose>`, in decimal; also its part of a path. */
export function keyName({ committeeId, generation, purpose }: KeyId): string {
  return `${committeeId}/${generation}/${purpose}`;
}

export function purposeCode(purpose: KeyPurpose): number {
  return PURPOSE_CODES[purpose];
}

/** u64 committee ‖ u32 generation ‖ u8 purpose, 13 bytes. */
export function encodeKeyId({ committeeId, generation, purpose }: KeyId): Uint8Array {
  return concatBytes(u64be(committeeId), u32be(generation), Uint8Array.of(purposeCode(purpose)));
}

/** @throws InvalidInputError for numbers that no key has */
export function checkKeyId({ committeeId, generation }: KeyId): void {
  const fits =
    committeeId >= 0n &&
    committeeId < 1n << 64n &&
    Number.isInteger(generation) &&
    generation >= FIRST_GENERATION &&
    generation <= LARGEST_GENERATION;
  if (fits) return;
  throw new InvalidInputError(`committee ${committeeId} cannot have a key of generation ${generation}`, {
    check: "key generation number",
    expected: `committee below 2^64, generation ${FIRST_GENERATION} to ${LARGEST_GENERATION}`,
    received: `committee ${committeeId}, generation ${generation}`,
  });
}
