/** Errors that say more than the one they come from. */

import { type ErrorFacts, IntegrityError, TallystickError } from "../core/errors.ts";

/** The same failure under another message, with facts replaced or added. The original becomes the cause. */
export function restate(error: TallystickError, message: string, changed: Partial<ErrorFacts>): TallystickError {
  const { code, party, check, expected, received, hint, retryable, retryAfterSeconds, details } = error;
  const facts = { party, check, expected, received, hint, retryable, retryAfterSeconds, details };
  const known = Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
  const all = { code, ...known, ...changed, cause: error };
  return error instanceof IntegrityError ? new IntegrityError(message, all) : new TallystickError(message, all);
}
