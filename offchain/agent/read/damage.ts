/**
 * Failures that concern one object: it is lost, damaged, or no longer this account's. Others, such as a provider that
 * is down, concern them all.
 */

import type { ErrorCode } from "../../core/error-codes.ts";
import { TallystickError } from "../../core/errors.ts";

const DAMAGE: ReadonlySet<ErrorCode> = new Set([
  "INTEGRITY",
  "OBJECT_LOST",
  "NOT_FOUND",
  "NOT_OWNER",
  "UNKNOWN_VERSION",
]);

/** What providers answer for objects that were released. */
const GONE: ReadonlySet<ErrorCode> = new Set(["NOT_FOUND", "NOT_OWNER"]);

/** Whether data is not readable because nobody keeps it for the account any more. */
export function isGone({ code }: TallystickError): boolean {
  return GONE.has(code);
}

export function isDamage(error: unknown): error is TallystickError {
  return error instanceof TallystickError && DAMAGE.has(error.code);
}
