/** What an owner is told of requests for its identity, while something can be done about them. */

import type { RequestView } from "./requests.ts";

/** The command that stops it. */
export function remedyOf({ phase, proposer }: RequestView): string {
  return phase === "releasable"
    ? "`tallystick recovery retire` stops key nodes that have not answered yet"
    : `if it is not you, \`tallystick recovery veto ${proposer}\` stops it`;
}

export function warningOf(view: RequestView): string {
  const { path, proposer, phase, approvedBy, approvalsNeeded, releasableAt = 0 } = view;
  const who = path === "wallet" ? `recovery wallet ${proposer}` : `guardian ${proposer}`;
  const when = new Date(releasableAt * 1000).toISOString();
  const state =
    phase === "collecting"
      ? `${approvedBy.length} of ${approvalsNeeded} approvals`
      : phase === "scheduled"
        ? `released from ${when} on`
        : `releasable since ${when}`;
  return `${who} has asked for this identity: ${state}; ${remedyOf(view)}`;
}
