/**
 * The one error hierarchy of the project. Every failure that a caller can meet is a `TallystickError` that names the
 * party at fault, the check that failed, what was expected and received, and what to do next. The codes are in
 * error-codes.ts.
 */
import { ERROR_CODES, type ErrorCode } from "./error-codes.ts";

export type { ErrorCode } from "./error-codes.ts";

/** What an error says beyond its message. All fields end up in `--json` output; none may hold a secret. */
export interface ErrorFacts {
  readonly code: ErrorCode;
  /** Who failed the check, for example `node 0x…` or `provider http://…`, `you`, `chain`. */
  readonly party?: string;
  /** The check that failed, in a few words. */
  readonly check?: string;
  readonly expected?: string;
  readonly received?: string;
  /** What the reader can do about it. */
  readonly hint?: string;
  /** True when the same call may succeed later without any change. Default: what the table says of the code. */
  readonly retryable?: boolean;
  readonly retryAfterSeconds?: number;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** Base of all errors. The message is short and comes first; facts follow as fields. */
export class TallystickError extends Error {
  readonly code: ErrorCode;
  readonly party: string | undefined;
  readonly check: string | undefined;
  readonly expected: string | undefined;
  readonly received: string | undefined;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly retryAfterSeconds: number | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(message: string, facts: ErrorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.code = facts.code;
    this.party = facts.party;
    this.check = facts.check;
    this.expected = facts.expected;
    this.received = facts.received;
    this.hint = facts.hint;
    this.retryable = facts.retryable ?? ERROR_CODES[facts.code].retryable;
    this.retryAfterSeconds = facts.retryAfterSeconds;
    this.details = facts.details;
  }

  /**
   * The fields for `--json` output and for HTTP error bodies. Causes stay local: they may name paths of this machine.
   */
  toJSON(): Record<string, unknown> {
    const { code, message, party, check, expected, received, hint, retryable, retryAfterSeconds, details } = this;
    return Object.fromEntries(
      Object.entries({
        code,
        message,
        party,
        check,
        expected,
        received,
        hint,
        retryable,
        retryAfterSeconds,
        details,
      }).filter(([, value]) => value !== undefined),
    );
  }
}

type Facts = Omit<ErrorFacts, "code">;

/** A value handed in by the caller is malformed or out of range. */
export class InvalidInputError extends TallystickError {
  constructor(message: string, facts: Facts = {}) {
    super(message, { ...facts, code: "INVALID_INPUT" });
  }
}

/** A recipe, record, key or envelope carries a format version this build does not read. */
export class UnknownVersionError extends TallystickError {
  constructor(what: string, received: number | string, known: readonly (number | string)[]) {
    super(`${what} has format version ${received}, which this build does not read`, {
      code: "UNKNOWN_VERSION",
      check: "format version",
      expected: known.join(" or "),
      received: String(received),
      hint: "update Tallystick, or use the version that wrote it",
    });
  }
}

/** A group element is not canonical, off the curve, outside the subgroup, or the identity. */
export class InvalidPointError extends TallystickError {
  constructor(message: string, facts: Facts = {}) {
    super(message, { ...facts, code: "INVALID_POINT" });
  }
}

/** A scalar is not canonical, or zero where it may not be. */
export class InvalidScalarError extends TallystickError {
  constructor(message: string, facts: Facts = {}) {
    super(message, { ...facts, code: "INVALID_SCALAR" });
  }
}

/** A DLEQ proof, proof of ownership or possession proof did not verify. */
export class InvalidProofError extends TallystickError {
  constructor(message: string, facts: Facts = {}) {
    super(message, { ...facts, code: "INVALID_PROOF" });
  }
}

/** A signature is malformed, expired, replayed, or made by somebody else. */
export class InvalidSignatureError extends TallystickError {
  constructor(message: string, facts: Facts = {}) {
    super(message, { ...facts, code: "INVALID_SIGNATURE" });
  }
}

/** Bytes do not match the hash or the authentication tag that names them. */
export class IntegrityError extends TallystickError {
  constructor(message: string, facts: Facts = {}) {
    super(message, { ...facts, code: "INTEGRITY" });
  }
}
