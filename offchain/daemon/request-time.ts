/**
 * Lifetimes of signed requests. A client whose clock is off signs times that look expired or too far ahead: the
 * refusal then states this daemon's time, so that the client can tell its user by how much its clock is off.
 */

import { InvalidSignatureError } from "../core/errors.ts";
import { CLOCK_CHECK } from "../core/wire/session.ts";

/** How far a client's clock may be ahead, in seconds. */
export const CLOCK_SKEW_SECONDS = 120;

/**
 * @param what the message, for the error.
 * @param times unix seconds; `maximumSeconds` is the longest lifetime that the message may have.
 * @throws InvalidSignatureError with check "clock" when the message has expired or is valid for too long.
 */
export function checkExpiry(
  what: string,
  { expiresAt, now, maximumSeconds }: { expiresAt: number; now: number; maximumSeconds: number },
): void {
  const latest = now + maximumSeconds + CLOCK_SKEW_SECONDS;
  if (expiresAt > now && expiresAt <= latest) return;
  throw new InvalidSignatureError(`${what} ${expiresAt <= now ? "has expired" : "is valid for too long"}`, {
    party: "client",
    check: CLOCK_CHECK,
    expected: `an end after ${isoTime(now)} and not after ${isoTime(latest)}`,
    received: isoTime(expiresAt),
    hint: `the time here is ${isoTime(now)}: compare the clocks, then sign a new request`,
    details: { nowSeconds: now, expiresAt },
  });
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
