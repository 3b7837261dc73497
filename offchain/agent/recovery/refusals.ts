/** What the owner of an identity, or a guardian, is refused before anything is sent: errors that name who, and why. */

import type { RecoveryPlan } from "../../chain/recovery-policy.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { RequestView } from "./requests.ts";

export function notThisIdentity(account: string): IntegrityError {
  return new IntegrityError("the sealed bytes do not hold this identity", {
    party: `author ${account}`,
    check: "sealed identity",
    hint: "`tallystick recovery protect` seals it anew",
  });
}

export function tooLate({ proposer, releasableAt, requestId }: RequestView): TallystickError {
  return new TallystickError("the delay of the request is over, so key nodes may have released the identity", {
    code: "CONFLICT",
    party: `proposer ${proposer}`,
    check: "time of the veto",
    expected: `before ${new Date((releasableAt ?? 0) * 1000).toISOString()}`,
    received: `request ${requestId} is releasable`,
    hint: "`tallystick recovery retire` stops nodes that have not answered; then move to a new identity",
  });
}

export function nothingToVeto(proposer: string | undefined): TallystickError {
  return new TallystickError("there is no request to veto", {
    code: "NOT_FOUND",
    party: "you",
    check: "requests under way",
    ...(proposer === undefined ? {} : { received: proposer }),
    hint: "`tallystick recovery show` lists the requests",
  });
}

export function noGuardian(account: string, own: string, { guardians }: RecoveryPlan): TallystickError {
  return new TallystickError(`${own} is no guardian of ${account}`, {
    code: "NOT_OWNER",
    party: "you",
    check: "guardians of the account",
    expected: guardians === undefined ? "none" : guardians.accounts.join(" or "),
    received: own,
  });
}

export function noRequestOf(proposer: string): TallystickError {
  return new TallystickError(`guardian ${proposer} has no request for this requester and session key`, {
    code: "NOT_FOUND",
    party: `guardian ${proposer}`,
    check: "requests under way",
    hint: "`tallystick recovery requests` lists them; with your own address, `--proposer` opens one",
  });
}

export function approvedBefore(own: string, { requestId, approvedBy, approvalsNeeded }: RequestView): TallystickError {
  return new TallystickError(`guardian ${own} has approved this request already, and counts once`, {
    code: "CONFLICT",
    party: `guardian ${own}`,
    check: "approvals of the request",
    expected: "one of each guardian",
    received: `${approvedBy.length} of ${approvalsNeeded}, this guardian's among them`,
    details: { requestId },
  });
}

export function enoughApproved(own: string, { requestId, approvalsNeeded }: RequestView): TallystickError {
  return new TallystickError("enough guardians have approved this request", {
    code: "CONFLICT",
    party: `guardian ${own}`,
    check: "approvals of the request",
    received: `${approvalsNeeded} of ${approvalsNeeded}`,
    details: { requestId },
  });
}

export function barred(own: string, account: string): TallystickError {
  return new TallystickError(`the owner of ${account} has vetoed a request of this guardian`, {
    code: "CONFLICT",
    party: `guardian ${own}`,
    check: "veto of the owner",
    hint: "another guardian has to run the command first; this one can approve that guardian's request",
  });
}
