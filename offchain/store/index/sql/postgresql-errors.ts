/**
 * Failures of PostgreSQL and of the connection to it: which of them pass, and how they are told. What is told names the
 * endpoint, and neither user nor password: the driver's own errors may carry the client with its settings.
 */
import { TallystickError } from "../../../core/errors.ts";
import { DiskFullError } from "../../disk/disk-errors.ts";
import type { PassingFailure } from "./sql-database.ts";

/** The database server of a daemon does not answer, or refuses. */
export class DatabaseUnavailableError extends TallystickError {
  constructor(location: string, facts: { received: string; outcome?: string; hint?: string; retryable?: boolean }) {
    super(`database ${location} is not available`, {
      code: "DATABASE_UNAVAILABLE",
      party: `database ${location}`,
      check: "connection to the database",
      received: facts.received,
      hint: facts.hint ?? "start PostgreSQL, or wait until it answers; what was acknowledged is kept",
      ...(facts.retryable === undefined ? {} : { retryable: facts.retryable }),
      ...(facts.outcome === undefined ? {} : { details: { outcome: facts.outcome } }),
    });
  }
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const CONFLICTS: ReadonlySet<string> = new Set(["40001", "40P01", "55P03"]);
/** Besides class 08, connection exceptions, and class 53, insufficient resources. */
const UNAVAILABLE: ReadonlySet<string> = new Set([
  "57P01", // shut down by the administrator
  "57P02", // another process of the server crashed
  "57P03", // starting up or shutting down
  "57P05", // the session was idle for too long
  "57014", // the statement took too long
  "25P03", // the transaction was idle for too long
  "25006", // a standby
]);
const DISK_FULL = "53100";
/** Class 28, and an unknown database: waiting does not help. */
const MISCONFIGURED = /^(?:28|3D)/;
const CONNECTION_CODES =
  /^(?:ECONN(?:REFUSED|RESET|ABORTED)|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/;
/** The driver's own errors have no code. */
const CONNECTION_MESSAGES =
  /connection terminated|connection error|timeout exceeded|query read timeout|connection ended|client was closed/i;

function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return "";
  return error.code;
}

export function passingFailure(error: unknown): PassingFailure {
  const code = codeOf(error);
  if (CONFLICTS.has(code)) return "conflict";
  if (code === DISK_FULL || MISCONFIGURED.test(code)) return undefined;
  if (UNAVAILABLE.has(code) || /^(?:08|53)/.test(code) || CONNECTION_CODES.test(code)) return "unavailable";
  if (code === "" && error instanceof Error && CONNECTION_MESSAGES.test(error.message)) return "unavailable";
  return undefined;
}

/** Whether the connection may not be used again. */
export function breaksConnection(error: unknown): boolean {
  const code = codeOf(error);
  // A statement that the server cancelled or refused leaves the connection in order.
  return passingFailure(error) === "unavailable" && !/^(?:57014|25006|53)/.test(code);
}

/** @param secrets texts that must not be told @param unknownOutcome the call may have been committed */
export function asTypedError(
  error: unknown,
  location: string,
  secrets: readonly string[],
  unknownOutcome: boolean,
): unknown {
  const code = codeOf(error);
  const received = describe(error, secrets);
  if (code === DISK_FULL) return new DiskFullError(`database ${location}`, new Error(received));
  if (MISCONFIGURED.test(code)) {
    return new DatabaseUnavailableError(location, {
      received,
      hint: "correct the address or the password of the database, and its pg_hba.conf",
      retryable: false,
    });
  }
  const failure = passingFailure(error);
  if (failure === undefined) return error;
  if (failure === "conflict") {
    return new DatabaseUnavailableError(location, {
      received,
      hint: "many changes of the same rows at once; repeat",
    });
  }
  return new DatabaseUnavailableError(location, {
    received,
    ...(unknownOutcome ? { outcome: "unknown: the connection broke during the commit" } : {}),
  });
}

function describe(error: unknown, secrets: readonly string[]): string {
  const code = codeOf(error);
  // A host with several addresses fails with one error for each, and no message of its own.
  const inner = error instanceof AggregateError ? error.errors.map((each) => describe(each, secrets)).join("; ") : "";
  const message = error instanceof Error ? error.message || inner : String(error);
  const told = code === "" || message.includes(code) ? message : `${code} ${message}`;
  return secrets.reduce((text, secret) => text.replaceAll(secret, "<secret>"), told);
}
