/**
 * The table of error codes: the type `ErrorCode`, HTTP statuses, exit codes of the command line, and the codes that are
 * accepted from other parties all follow from it. What docs/errors.md says of each is in scripts/check/error-texts.ts.
 */

/** Groups of failures that a script tells apart by the exit code of the command line. */
export type ExitClass =
  | "internal"
  | "usage"
  | "identity"
  | "local"
  | "network"
  | "refused"
  | "integrity"
  | "keys"
  | "funds"
  | "interrupted";

export interface ErrorCodeEntry {
  /** HTTP status of an answer that carries the code. */
  readonly status: number;
  readonly exit: ExitClass;
  /** Whether the same call may succeed later without any change, unless the error itself says otherwise. */
  readonly retryable: boolean;
  /**
   * True when the code describes the machine or the account of the program that reports it. Received from another party
   * it becomes PARTY_FAILED, because its hint addresses the operator and not the user.
   */
  readonly concernsReporter: boolean;
}

const PROTOCOL = { retryable: false, concernsReporter: false } as const;
const LOCAL = { retryable: false, concernsReporter: true } as const;
const PASSING = { retryable: true, concernsReporter: false } as const;

export const ERROR_CODES = {
  INVALID_INPUT: {
    ...PROTOCOL,
    status: 400,
    exit: "usage",
  },
  UNKNOWN_VERSION: {
    ...PROTOCOL,
    status: 400,
    exit: "refused",
  },
  WRONG_PASSPHRASE: {
    ...LOCAL,
    status: 500,
    exit: "identity",
  },
  WRONG_WALLET: {
    ...LOCAL,
    status: 500,
    exit: "identity",
  },
  WALLET_REFUSED: {
    ...LOCAL,
    status: 500,
    exit: "identity",
  },
  WALLET_UNAVAILABLE: {
    ...LOCAL,
    retryable: true,
    status: 503,
    exit: "identity",
  },
  WALLET_UNSUITABLE: {
    ...LOCAL,
    status: 500,
    exit: "identity",
  },
  NO_IDENTITY: {
    ...LOCAL,
    status: 500,
    exit: "identity",
  },
  NO_DEPLOYMENT: {
    ...LOCAL,
    status: 500,
    exit: "identity",
  },
  WRONG_NETWORK: {
    ...LOCAL,
    status: 500,
    exit: "identity",
  },
  FILE_UNREADABLE: {
    ...LOCAL,
    status: 500,
    exit: "local",
  },
  FILE_CHANGED: {
    ...LOCAL,
    status: 500,
    exit: "local",
  },
  DISK_FULL: {
    ...LOCAL,
    retryable: true,
    status: 507,
    exit: "local",
  },
  DISK_FAILED: {
    ...LOCAL,
    status: 500,
    exit: "local",
  },
  DATABASE_UNAVAILABLE: {
    ...LOCAL,
    retryable: true,
    status: 503,
    exit: "local",
  },
  OBJECT_STORE_UNAVAILABLE: {
    ...LOCAL,
    retryable: true,
    status: 503,
    exit: "local",
  },
  INVALID_POINT: {
    ...PROTOCOL,
    status: 400,
    exit: "integrity",
  },
  INVALID_SCALAR: {
    ...PROTOCOL,
    status: 400,
    exit: "integrity",
  },
  INVALID_PROOF: {
    ...PROTOCOL,
    status: 400,
    exit: "integrity",
  },
  INVALID_SIGNATURE: {
    ...PROTOCOL,
    status: 401,
    exit: "refused",
  },
  INTEGRITY: {
    ...PROTOCOL,
    status: 400,
    exit: "integrity",
  },
  SHARES_MISSING: {
    ...PROTOCOL,
    status: 503,
    exit: "keys",
  },
  QUORUM_FAILED: {
    ...PROTOCOL,
    status: 503,
    exit: "keys",
  },
  NOT_OWNER: {
    ...PROTOCOL,
    status: 403,
    exit: "refused",
  },
  ACCOUNT_REPLACED: {
    ...PROTOCOL,
    status: 403,
    exit: "refused",
  },
  NOT_DELEGATED: {
    ...PROTOCOL,
    status: 403,
    exit: "refused",
  },
  OUT_OF_SCOPE: {
    ...PROTOCOL,
    status: 403,
    exit: "refused",
  },
  NOT_RELEASED: {
    ...PROTOCOL,
    status: 403,
    exit: "refused",
  },
  NOT_ADMITTED: {
    ...PROTOCOL,
    status: 403,
    exit: "refused",
  },
  NOT_FOUND: {
    ...PROTOCOL,
    status: 404,
    exit: "refused",
  },
  RATE_LIMITED: {
    ...PASSING,
    status: 429,
    exit: "network",
  },
  UNREACHABLE: {
    ...PASSING,
    status: 503,
    exit: "network",
  },
  TIMED_OUT: {
    ...PASSING,
    status: 504,
    exit: "network",
  },
  BAD_RESPONSE: {
    ...PROTOCOL,
    status: 502,
    exit: "network",
  },
  PARTY_FAILED: {
    ...PROTOCOL,
    status: 502,
    exit: "network",
  },
  OBJECT_LOST: {
    ...PROTOCOL,
    status: 410,
    exit: "integrity",
  },
  STORAGE_UNAVAILABLE: {
    ...PASSING,
    status: 503,
    exit: "network",
  },
  CHAIN_REVERTED: {
    ...PROTOCOL,
    status: 422,
    exit: "refused",
  },
  CHAIN_UNAVAILABLE: {
    ...PROTOCOL,
    status: 503,
    exit: "network",
  },
  FUNDS: {
    ...LOCAL,
    status: 503,
    exit: "funds",
  },
  CONFLICT: {
    ...PROTOCOL,
    status: 409,
    exit: "refused",
  },
  INTERRUPTED: {
    ...LOCAL,
    retryable: true,
    status: 500,
    exit: "interrupted",
  },
  INTERNAL: {
    ...LOCAL,
    status: 500,
    exit: "internal",
  },
} as const satisfies Readonly<Record<string, ErrorCodeEntry>>;

/** Stable identifiers of failures. Machines match on these; messages may change. */
export type ErrorCode = keyof typeof ERROR_CODES;

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}
