/**
 * Exit codes of the command line. Scripts branch on these; docs/errors.md documents them.
 */
import { ERROR_CODES, type ErrorCode, type ExitClass } from "../core/error-codes.ts";

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
  incomplete: 10,
  unchecked: 11,
  interrupted: 130,
} as const satisfies Readonly<Record<ExitClass | "ok" | "incomplete" | "unchecked", number>>;

/** @returns the process exit code for a failure */
export function exitCodeOf(code: ErrorCode): number {
  return EXIT[ERROR_CODES[code].exit];
}
