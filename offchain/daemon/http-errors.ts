/**
 * From errors to HTTP answers. Every answer of status 400 and above is `{ error: … }` with the fields of a
 * `TallystickError`. Causes, stacks and messages of unexpected errors go to the log only.
 */

import type { FastifyError } from "fastify";
import { ERROR_CODES, type ErrorCode } from "../core/error-codes.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";

/** Checks of the body as a whole, which HTTP has statuses of its own for. */
const STATUS_OF_CHECK: Readonly<Record<string, number>> = { "body size": 413, "content type": 415 };

/** The HTTP status for an error code. */
export function statusOf(code: ErrorCode): number {
  return ERROR_CODES[code].status;
}

/**
 * An error of Fastify itself (a body too large, not JSON, of a wrong type) in the project's terms, with its own
 * status.
 */
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
 * A failure of this daemon's disk or database, as the client has to read it: not its own, and not its to repair. Paths
 * and addresses stay in the log.
 */
function ofOwnStorage({ code, retryable }: Pick<TallystickError, "code" | "retryable">): TallystickError {
  const [message, check] = OWN_STORAGE[code] ?? ["its storage fails", "storage"];
  return new TallystickError(message, {
    code: "STORAGE_UNAVAILABLE",
    party: "this daemon",
    check,
    hint: "nothing that was acknowledged before is affected. Try again later, or use another node or provider",
    retryable,
  });
}

/** What clients are told of a failure of this daemon's own storage, and the check. */
const OWN_STORAGE: Readonly<Partial<Record<ErrorCode, readonly [message: string, check: string]>>> = {
  DISK_FULL: ["its disk is full", "free disk space"],
  DISK_FAILED: ["its disk fails", "storage"],
  DATABASE_UNAVAILABLE: ["its database does not answer", "database"],
  OBJECT_STORE_UNAVAILABLE: ["its object store fails", "storage"],
};

/** Errors of Node's HTTP parser that have a status of their own, by their code. */
const PARSER_ERRORS: Readonly<Record<string, [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, "the head of the request is too large"],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "the request did not arrive in time"],
};

/** Status and error for bytes that are no HTTP request, as Node's parser reports them. */
export function malformedRequest(code: string | undefined): { status: number; error: TallystickError } {
  const [status, message] = PARSER_ERRORS[code ?? ""] ?? [400, "this is not an HTTP request"];
  return { status, error: new InvalidInputError(message, { party: "client", check: "HTTP" }) };
}

/**
 * Status and body for whatever a route threw. `known` is false for a defect, which belongs into the log with its
 * stack.
 */
export function toHttpError(thrown: unknown): { status: number; error: TallystickError; known: boolean } {
  if (thrown instanceof TallystickError && thrown.code in OWN_STORAGE) {
    return { status: statusOf("STORAGE_UNAVAILABLE"), error: ofOwnStorage(thrown), known: true };
  }
  if (thrown instanceof TallystickError) {
    const ofCheck = thrown.code === "INVALID_INPUT" ? STATUS_OF_CHECK[thrown.check ?? ""] : undefined;
    return { status: ofCheck ?? statusOf(thrown.code), error: thrown, known: thrown.code !== "INTERNAL" };
  }
  if (thrown instanceof Error) {
    const mapped = fromFastify(thrown as FastifyError);
    if (mapped !== undefined) return { ...mapped, known: true };
    if ((thrown as NodeJS.ErrnoException).code === "ENOSPC") {
      const error = ofOwnStorage({ code: "DISK_FULL", retryable: true });
      return { status: statusOf("STORAGE_UNAVAILABLE"), error, known: true };
    }
  }
  return { status: 500, error: new TallystickError("internal error", { code: "INTERNAL" }), known: false };
}
