/** What owners and claimants are told, while something can be done about it. */

import type { Replacement } from "../../chain/account-directory.ts";
import type { RecoveryPath } from "../../chain/recovery-policy.ts";
import { proposerText } from "./describe-plan.ts";
import type { RequestView } from "./requests.ts";

/** A wallet or guardian in a plan that has a successor. */
export interface ReplacedNamed {
  readonly path: RecoveryPath;
  readonly account: string;
  readonly successor: string;
}

/** As warnings and errors call it. */
export function nameOf({ path, account }: Pick<ReplacedNamed, "path" | "account">): string {
  return proposerText({ path, proposer: account });
}

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

export function replacedWarning(named: ReplacedNamed): string {
  return (
    `${nameOf(named)} was replaced by ${named.successor}, and its old key can still ask for this identity: ` +
    "`tallystick recovery protect` names others"
  );
}

/** What a claimant is told of an account that was replaced. */
export function replacedOwnerText(account: string, { successor, at }: Replacement): string {
  return (
    `account ${account} was replaced by ${successor} on ${new Date(at * 1000).toISOString()}: its identity opens no ` +
    "session any more; if the successor is the owner's, recover that one"
  );
}
