/** Which errors show that a record was made wrongly. Others, as of a chain that does not answer, say nothing of it. */

import { TallystickError } from "../errors.ts";

const FAULTS_OF_A_RECORD: ReadonlySet<string> = new Set([
  "INTEGRITY",
  "INVALID_INPUT",
  "INVALID_POINT",
  "INVALID_PROOF",
  "UNKNOWN_VERSION",
]);

export function isFaultOfRecord(error: unknown): error is TallystickError {
  return error instanceof TallystickError && FAULTS_OF_A_RECORD.has(error.code);
}
