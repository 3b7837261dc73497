/** Recoveries for people. */

import type { RequestView } from "../../agent/index.ts";
import { describePlan, proposerText } from "../../agent/recovery/describe-plan.ts";
import { formatTime } from "../output.ts";

export function planLines(plan: Parameters<typeof describePlan>[0]): string[] {
  return describePlan(plan).map((line) => `  ${line}`);
}

/** How a request stands, and until when its owner can object. */
export function requestText(view: RequestView): string {
  return `${proposerText(view)}: ${phaseText(view)}`;
}

export function phaseText({ phase, approvedBy, approvalsNeeded, releasableAt, closesAt }: RequestView): string {
  const due = formatTime((releasableAt ?? 0) * 1000);
  switch (phase) {
    case "collecting":
      return `${approvedBy.length} of ${approvalsNeeded} guardians have approved, until ${formatTime(closesAt * 1000)}`;
    case "scheduled":
      return `a veto is possible until ${due}, then the identity is released`;
    case "releasable":
      return `too late for a veto since ${due}; nodes release until ${formatTime(closesAt * 1000)}`;
    case "closed":
      return `over since ${formatTime(closesAt * 1000)}`;
    case "barred":
      return "vetoed; this account can ask no more";
  }
}
