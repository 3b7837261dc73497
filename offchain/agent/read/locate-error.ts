/** Says where in a file the data could not be read. */

import { IntegrityError, TallystickError } from "../../core/errors.ts";
import { restate } from "../restate-error.ts";

/** Adds file and offset of the first unreadable byte to an error about a chunk of a file. */
export function locateError(error: unknown, path: string, offsetBytes: number, id: string): unknown {
  if (!(error instanceof TallystickError)) return error;
  const message = `${path}, from byte ${offsetBytes} on: ${error.message}`;
  const details = { ...error.details, path, offsetBytes, id };
  if (!(error instanceof IntegrityError)) return restate(error, message, { details });
  return restate(error, message, {
    party: error.party ?? "provider",
    check: error.check ?? "content id",
    hint: "the provider does not hold what it was given; audit the data and report the miss",
    details,
  });
}
