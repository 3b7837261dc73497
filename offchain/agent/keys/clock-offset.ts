/**
 * Tells a wrong clock of this computer from faults of the nodes. A node refuses a request whose lifetime does not fit
 * its own time, and states that time. When every node that answered refused for this reason, the user needs one
 * sentence about the clock instead of a list of nodes.
 */

import { InvalidSignatureError, type TallystickError } from "../../core/errors.ts";
import { CLOCK_CHECK } from "../../core/wire/session.ts";

/** Codes of nodes that gave no answer: they say nothing about the clock. */
const SILENT_CODES: ReadonlySet<string> = new Set(["UNREACHABLE", "TIMED_OUT"]);

/**
 * @param errors what the nodes that failed answered; none answered rightly.
 * @param nowSeconds this computer's time.
 * @returns the error to show; undefined when the clock is not what all refusals have in common.
 */
export function clockError(errors: readonly TallystickError[], nowSeconds: number): TallystickError | undefined {
  const answered = errors.filter(({ code }) => !SILENT_CODES.has(code));
  const offsets = answered.flatMap(({ check, details }) => {
    const theirs = details?.nowSeconds;
    return check === CLOCK_CHECK && typeof theirs === "number" ? [nowSeconds - theirs] : [];
  });
  if (offsets.length === 0 || offsets.length < answered.length) return undefined;
  // The middle one: a minority of nodes that state a false time does not move it far.
  const offset = offsets.sort((a, b) => a - b)[Math.floor(offsets.length / 2)] ?? 0;
  const direction = offset < 0 ? "behind" : "ahead of";
  return new InvalidSignatureError(
    `this computer's clock is ${duration(Math.abs(offset))} ${direction} the key nodes'`,
    {
      party: "you",
      check: CLOCK_CHECK,
      expected: new Date((nowSeconds - offset) * 1000).toISOString(),
      received: new Date(nowSeconds * 1000).toISOString(),
      hint: "set the clock of this computer, then run the command again",
      details: { offsetSeconds: offset },
    },
  );
}

function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return `${seconds} seconds`;
  if (minutes < 120) return minutes === 1 ? "1 minute" : `${minutes} minutes`;
  return `${Math.round(minutes / 60)} hours`;
}
