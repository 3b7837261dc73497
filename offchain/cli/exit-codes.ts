/**
 * Exit codes of the command line. Scripts branch on these; docs/errors.md documents them.
 */
import type { ErrorCode } from "../core/errors.ts";

export const EXIT = {
  ok: 0,
  internal: 1,
  usage: 2,
  identity: 3,
  local: 4,
  network: 5,
  refused: 6,
  integrity: 7,
  keys: 8,
  funds: 9,
  interrupted: 130,
} as const;

const BY_CODE: Readonly<Record<ErrorCode, number>> = {
  INVALID_INPUT: EXIT.usage,
  UNKNOWN_VERSION: EXIT.refused,
  WRONG_PASSPHRASE: EXIT.identity,
  NO_IDENTITY: EXIT.identity,
  NO_DEPLOYMENT: EXIT.identity,
  FILE_UNREADABLE: EXIT.local,
  FILE_CHANGED: EXIT.local,
  DISK_FULL: EXIT.local,
  DISK_FAILED: EXIT.local,
  INVALID_POINT: EXIT.integrity,
  INVALID_SCALAR: EXIT.integrity,
  INVALID_PROOF: EXIT.integrity,
  INVALID_SIGNATURE: EXIT.refused,
  INTEGRITY: EXIT.integrity,
  SHARES_MISSING: EXIT.keys,
  QUORUM_FAILED: EXIT.keys,
  NOT_OWNER: EXIT.refused,
  NOT_FOUND: EXIT.refused,
  RATE_LIMITED: EXIT.network,
  UNREACHABLE: EXIT.network,
  TIMED_OUT: EXIT.network,
  BAD_RESPONSE: EXIT.network,
  CHAIN_REVERTED: EXIT.refused,
  CHAIN_UNAVAILABLE: EXIT.network,
  FUNDS: EXIT.funds,
  CONFLICT: EXIT.refused,
  OBJECT_LOST: EXIT.integrity,
  STORAGE_UNAVAILABLE: EXIT.network,
  INTERRUPTED: EXIT.interrupted,
  INTERNAL: EXIT.internal,
};

/** @returns the process exit code for a failure */
export function exitCodeOf(code: ErrorCode): number {
  return BY_CODE[code];
}
