/**
 * Names of keys. A committee keeps its keys through changes of its members and shares: each change is a new generation
 * of the same keys, so that shares, messages and rows of different generations never mix.
 */

import { InvalidInputError } from "../errors.ts";

/**
 * What a committee's key is for: evaluating the OPRF, or opening sealed secrets. They are never one key, because a
 * blinded evaluation of an element of a sealed secret would open it. A further purpose is a further name and code.
 */
export type KeyPurpose = "oprf" | "record";

/** Codes in byte layouts. */
const PURPOSE_CODES: Record<KeyPurpose, number> = { oprf: 1, record: 2 };

/** The generation that key generation makes; every later change of the shares counts up. 0 stands for no key. */
export const FIRST_GENERATION = 1;
const LARGEST_GENERATION = 2 ** 32 - 1;

/** A generation of a committee's keys. */
export interface GenerationId {
  readonly committeeId: bigint;
  /** From 1. */
  readonly generation: number;
}

/** The generation as text: `<committee>/<generation>`, in decimal. */
export function generationName({ committeeId, generation }: GenerationId): string {
  return `${committeeId}/${generation}`;
}

export function purposeCode(purpose: KeyPurpose): number {
  return PURPOSE_CODES[purpose];
}

/** @throws InvalidInputError for numbers that no generation has */
export function checkGenerationId({ committeeId, generation }: GenerationId): void {
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
