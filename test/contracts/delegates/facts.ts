/** The properties of docs/models.md about delegates, from what was done alone. */

import type { Outcome } from "../../helpers/explore.ts";
import { type Action, countOf, type Delegation, type Device, type Powers, READ, type State, WRITE } from "./model.ts";

const DEVICES = ["D", "E"] as const;

/** Whether a delegate may still act. */
function isLive(state: State, delegation: Delegation): boolean {
  const isOrphan = delegation.account === "A" && state.isReplaced;
  return !delegation.isRevoked && delegation.left > 0 && !isOrphan;
}

const isNone = ({ reads, readsOwn, writes, fee }: Powers) => !reads && !readsOwn && !writes && fee === 0;

export function brokenInState(state: State, powersOf: (state: State, key: Device) => Powers): string | undefined {
  for (const key of DEVICES) {
    const delegation = state[key];
    if (delegation === undefined) continue;
    const powers = powersOf(state, key);
    if (!isLive(state, delegation) && !isNone(powers)) return "what is over gives no power";
    if ((delegation.scopes & READ) === 0 && (powers.reads || powers.readsOwn)) return "who writes reads nothing";
    if ((delegation.scopes & WRITE) === 0 && (powers.writes || powers.fee > 0)) return "who reads writes nothing";
    if (powers.fee > state.limit) return "nobody spends more than the limit";
    const isForOwner = delegation.account === "A" || (delegation.account === "B" && state.isReplaced);
    if (powers.reads && !isForOwner) return "a delegate acts for its own account";
    if (delegation.account !== "A" && powers.fee > 0) return "a delegate acts for its own account";
    if (delegation.account === "D" && state.D !== undefined) return "no account of a delegate is one";
  }
  return undefined;
}

export function brokenByAction(before: State, action: Action, outcome: Outcome<State>): string | undefined {
  if ("refused" in outcome) return undefined;
  const after = outcome.state;
  if ("by" in action && action.by === "T") return "a thief changes nothing";
  if ("forged" in action || "isForged" in action) return "a thief changes nothing";
  for (const key of DEVICES) {
    const [old, now] = [before[key], after[key]];
    if (old === undefined) {
      if (now !== undefined && (action.kind !== "delegate" || action.key !== key)) return "only both make a delegate";
      continue;
    }
    if (now?.account !== old.account || now.scopes !== old.scopes) return "a delegation never changes";
    if (now.left > old.left || (old.isRevoked && !now.isRevoked)) return "a delegation never changes";
    if (!old.isRevoked && now.isRevoked && action.kind !== "revoke") return "only a revocation revokes";
  }
  if (action.kind === "revoke" && action.by !== action.key) {
    const account = before[action.key]?.account;
    const isOwner = action.by === account || (action.by === "B" && account === "A" && before.isReplaced);
    if (!isOwner || (action.by === "A" && before.isReplaced)) return "only its account or itself revokes a delegate";
  }
  if (after.limit !== before.limit) {
    const account = before.D?.account;
    const owner = account === "A" && before.isReplaced ? "B" : account;
    if (action.kind !== "limit" || action.by !== owner) return "only its account limits a delegate";
  }
  if (after.live !== before.live || action.kind === "update") {
    if (action.kind !== "update") return "only updates change what is live";
    if (action.by === "A") return undefined;
    if (action.by !== "D" || before.D === undefined) return "only a delegate of the user updates";
    const { D } = before;
    if (D.account !== "A" || !isLive(before, D) || (D.scopes & WRITE) === 0)
      return "only a delegate of the user updates";
    if ((before.live & after.live) !== before.live) return "a delegate drops nothing";
    if (countOf(after.live) > before.limit) return "nobody spends more than the limit";
  }
  return undefined;
}
