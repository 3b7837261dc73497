/**
 * From errors to HTTP answers. Every answer of status 400 and above is `{ error: … }` with the fields of a `TallystickError`.
 * What a stranger may learn ends there: causes, stacks and messages of unexpected errors stay in the log.
 */

import type { FastifyError } from "fastify";
import { ERROR_CODES, type ErrorCode } from "../core/error-codes.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";

/** The HTTP status for an error code. */
export function statusOf(code: ErrorCode): number {
  return ERROR_CODES[code].status;
}

/** An error of Fastify itself (a body too large, not JSON, of a wrong type) in the project's terms, with its own status. */
function fromFastify(error: FastifyError): { status: number; error: TallystickError } | undefined {
  const status = error.statusCode;
  if (error.code === "FST_ERR_HANDLER_TIMEOUT") {
    return { status: 504, error: new TallystickError("no answer in time", { code: "TIMED_OUT", retryable: true }) };
  }
  if (status === undefined || status < 400 || status > 499) return undefined;
  const check = error.validation === undefined ? error.code : (error.validationContext ?? "body");
  return { status, error: new InvalidInputError(error.message, { party: "client", check }) };
}

/** Status and body for whatever a route threw. `known` is false for a defect, which belongs into the log with its stack. */
export function toHttpError(thrown: unknown): { status: number; error: TallystickError; known: boolean } {
  if (thrown instanceof TallystickError) {
    return { status: statusOf(thrown.code), error: thrown, known: thrown.code !== "INTERNAL" };
  }
  if (thrown instanceof Error) {
    const mapped = fromFastify(thrown as FastifyError);
    if (mapped !== undefined) return { ...mapped, known: true };
    if ((thrown as NodeJS.ErrnoException).code === "ENOSPC") {
      const full = new TallystickError("the disk is full", { code: "DISK_FULL", retryable: true });
      return { status: statusOf("DISK_FULL"), error: full, known: true };
    }
  }
  return { status: 500, error: new TallystickError("internal error", { code: "INTERNAL" }), known: false };
}
