/** What an owner is told of requests for its identity, while something can be done about them. */

import { proposerText } from "./describe-plan.ts";
import type { RequestView } from "./requests.ts";

/** The command that stops it. */
export function remedyOf({ phase, proposer }: RequestView): string {
  return phase === "releasable"
    ? "`tallystick recovery retire` stops key nodes that have not answered yet"
    : `if it is not you, \`tallystick recovery veto ${proposer}\` stops it`;
}

export function warningOf(view: RequestView): string {
  const { phase, approvedBy, approvalsNeeded, releasableAt = 0 } = view;
  const when = new Date(releasableAt * 1000).toISOString();
  const state =
    phase === "collecting"
      ? `${approvedBy.length} of ${approvalsNeeded} approvals`
      : phase === "scheduled"
        ? `released from ${when} on`
        : `releasable since ${when}`;
  return `${proposerText(view)} has asked for this identity: ${state}; ${remedyOf(view)}`;
}
