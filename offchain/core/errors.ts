/**
 * The one error hierarchy of the project. Every failure that a caller can meet is a `TallystickError` that names the party
 * at fault, the check that failed, what was expected and received, and what to do next. docs/errors.md lists the codes;
 * `npm run check` holds that list against this file.
 */

/** Stable identifiers of failures. Machines match on these; messages may change. */
export type ErrorCode =
  | "INVALID_INPUT" // a value handed in by the caller is malformed or out of range
  | "UNKNOWN_VERSION" // a format version this build does not read
  | "WRONG_PASSPHRASE" // the keystore did not open
  | "NO_IDENTITY" // no keystore at the place looked at
  | "NO_DEPLOYMENT" // no deployment file found, or it does not fit the chain
  | "FILE_UNREADABLE" // a local file could not be opened, read or vanished
  | "FILE_CHANGED" // a local file changed while it was being read
  | "DISK_FULL" // a write failed for want of space
  | "DISK_FAILED" // a write or read of local state failed for another reason
  | "INVALID_POINT" // not a canonical encoding, off the curve, wrong subgroup, or the identity
  | "INVALID_SCALAR" // not canonical, zero where it may not be
  | "INVALID_PROOF" // a DLEQ, ownership or possession proof did not verify
  | "INVALID_SIGNATURE" // wrong signer, malformed, expired or replayed
  | "INTEGRITY" // bytes do not match the hash or authentication tag that names them
  | "SHARES_MISSING" // fewer right shares than the threshold
  | "QUORUM_FAILED" // fewer than k nodes answered an OPRF request rightly
  | "NOT_OWNER" // the account has no right to the object
  | "NOT_FOUND" // the object does not exist there
  | "RATE_LIMITED" // a budget is used up; see retryAfterSeconds
  | "UNREACHABLE" // no connection, or the connection broke
  | "TIMED_OUT" // no answer in time
  | "BAD_RESPONSE" // a party answered outside the protocol
  | "CHAIN_REVERTED" // a contract refused; `details.revert` names the custom error
  | "CHAIN_UNAVAILABLE" // the RPC endpoint failed
  | "FUNDS" // balance too low for what was asked
  | "CONFLICT" // state that already exists contradicts the request
  | "OBJECT_LOST" // the party that stored these bytes has lost or damaged them
  | "STORAGE_UNAVAILABLE" // the disk of another party is full or fails
  | "INTERRUPTED" // the user ended the command
  | "INTERNAL"; // a defect of this program

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
  /** True when the same call may succeed later without any change. */
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
    this.retryable = facts.retryable ?? false;
    this.retryAfterSeconds = facts.retryAfterSeconds;
    this.details = facts.details;
  }

  /** The fields for `--json` output and for HTTP error bodies. Causes stay local: they may name paths of this machine. */
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
  constructor(what: string, received: number | string, known: readonly number[]) {
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
