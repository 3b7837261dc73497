/** Limits of a batch that every suite has. */

import { InvalidInputError } from "../errors.ts";
import { MAX_BATCH_ELEMENTS } from "./dleq.ts";

/** An input's length is hashed on two bytes. */
const MAX_INPUT_BYTES = 65_535;
/** Ends what is hashed to an output (RFC 9497 §3.3.1). */
export const FINALIZE = new TextEncoder().encode("Finalize");

/** @throws InvalidInputError for a number of inputs or blinds, or a length of an input, that no batch has */
export function checkInputs(inputs: readonly Uint8Array[], blinds: readonly unknown[]): void {
  if (inputs.length === 0 || inputs.length > MAX_BATCH_ELEMENTS || blinds.length !== inputs.length) {
    throw new InvalidInputError(`OPRF batch of ${inputs.length} inputs`, {
      check: "batch length",
      expected: `1 to ${MAX_BATCH_ELEMENTS} inputs, one blind each`,
      received: `${inputs.length} inputs, ${blinds.length} blinds`,
    });
  }
  for (const input of inputs) checkInputLength(input);
}

/** @throws InvalidInputError for another length than the batch has */
export function checkBatchLength(values: readonly Uint8Array[], expected: number): void {
  if (values.length === 0 || values.length > MAX_BATCH_ELEMENTS || values.length !== expected) {
    throw new InvalidInputError(`OPRF batch has ${values.length} elements`, {
      check: "batch length",
      expected: expected === 0 ? `1 to ${MAX_BATCH_ELEMENTS}` : String(expected),
      received: String(values.length),
    });
  }
}

/** @throws InvalidInputError for an input that is too long */
export function checkInputLength(input: Uint8Array): void {
  if (input.length > MAX_INPUT_BYTES) {
    throw new InvalidInputError(`OPRF input has ${input.length} bytes`, {
      check: "input length",
      expected: `at most ${MAX_INPUT_BYTES} bytes`,
      received: `${input.length} bytes`,
    });
  }
}
