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

/**
 * A failure of this daemon's disk, as the client has to read it: not its own disk, and not its to repair. Paths stay in the log.
 */
function ofOwnDisk({ code, retryable }: Pick<TallystickError, "code" | "retryable">): TallystickError {
  const full = code === "DISK_FULL";
  return new TallystickError(full ? "its disk is full" : "its disk fails", {
    code: "STORAGE_UNAVAILABLE",
    party: "this daemon",
    check: full ? "free disk space" : "storage",
    hint: "nothing that was acknowledged before is affected. Try again later, or use another node or provider",
    retryable,
  });
}

/** Status and body for whatever a route threw. `known` is false for a defect, which belongs into the log with its stack. */
export function toHttpError(thrown: unknown): { status: number; error: TallystickError; known: boolean } {
  if (thrown instanceof TallystickError && (thrown.code === "DISK_FULL" || thrown.code === "DISK_FAILED")) {
    return { status: statusOf("STORAGE_UNAVAILABLE"), error: ofOwnDisk(thrown), known: true };
  }
  if (thrown instanceof TallystickError) {
    return { status: statusOf(thrown.code), error: thrown, known: thrown.code !== "INTERNAL" };
  }
  if (thrown instanceof Error) {
    const mapped = fromFastify(thrown as FastifyError);
    if (mapped !== undefined) return { ...mapped, known: true };
    if ((thrown as NodeJS.ErrnoException).code === "ENOSPC") {
      const error = ofOwnDisk({ code: "DISK_FULL", retryable: true });
      return { status: statusOf("STORAGE_UNAVAILABLE"), error, known: true };
    }
  }
  return { status: 500, error: new TallystickError("internal error", { code: "INTERNAL" }), known: false };
}
