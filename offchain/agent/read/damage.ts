/**
 * Failures that concern one object: it is lost or damaged. Others, such as a provider that is down, concern them all.
 */

import type { ErrorCode } from "../../core/error-codes.ts";
import { TallystickError } from "../../core/errors.ts";

const DAMAGE: ReadonlySet<ErrorCode> = new Set(["INTEGRITY", "OBJECT_LOST", "NOT_FOUND", "UNKNOWN_VERSION"]);

export function isDamage(error: unknown): error is TallystickError {
  return error instanceof TallystickError && DAMAGE.has(error.code);
}
