/** Says whose bytes failed a check, which the check itself does not know. */

import { TallystickError } from "../errors.ts";

/**
 * Runs a check of another party's bytes.
 * @throws TallystickError with the code and facts of the failed check, naming the party
 */
export function blameOn<T>(party: string, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    if (!(cause instanceof TallystickError) || cause.party !== undefined) throw cause;
    const { code, message, check: failed, expected, received, hint } = cause;
    throw new TallystickError(`${party}: ${message}`, {
      code,
      party,
      cause,
      ...(failed === undefined ? {} : { check: failed }),
      ...(expected === undefined ? {} : { expected }),
      ...(received === undefined ? {} : { received }),
      ...(hint === undefined ? {} : { hint }),
    });
  }
}
