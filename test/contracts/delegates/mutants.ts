/** Machines with one defect each: the exploration must find it, or its properties say nothing. */

import type { Outcome } from "../../helpers/explore.ts";
import { type Action, countOf, type Delegation, powersOf, type Rules, type State, slicesOf, step } from "./model.ts";

export interface Mutant extends Partial<Rules> {
  /** Completes "a directory in which". */
  readonly name: string;
  /** The property that must be found broken first. */
  readonly property: string;
}

/** @returns a step that decides anew when an action is refused with this error */
function tolerant(error: string, instead: (state: State, action: Action) => Outcome<State>): Pick<Rules, "step"> {
  return {
    step: (state, action) => {
      const outcome = step(state, action);
      return "refused" in outcome && outcome.refused === error ? instead(state, action) : outcome;
    },
  };
}

/** @returns powers as if something of each delegation were otherwise */
function pretending(change: (one: Delegation, state: State) => Delegation): Pick<Rules, "powersOf"> {
  return {
    powersOf: (state, key) => {
      const one = state[key];
      return powersOf(one === undefined ? state : { ...state, [key]: change(one, state) }, key);
    },
  };
}

/** A delegation as it was asked for, whatever stands against it. */
function granted(state: State, action: Action): Outcome<State> {
  if (action.kind !== "delegate") return { refused: "another action" };
  const { account, key, scopes, life: left } = action;
  return { state: { ...state, [key]: { account, scopes, left, isRevoked: false } } };
}

function updated(state: State, action: Action): Outcome<State> {
  if (action.kind !== "update" || action.live === 0) return { refused: "another action" };
  const highest = Math.max(state.highest, ...slicesOf(action.live));
  return { state: { ...state, live: action.live, highest } };
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "a delegate is granted again with other scopes",
    property: "a delegation never changes",
    ...tolerant("IsDelegate", granted),
  },
  { name: "one signature is enough", property: "a thief changes nothing", ...tolerant("InvalidSignature", granted) },
  {
    name: "expired delegates act",
    property: "what is over gives no power",
    ...pretending((one) => ({ ...one, left: Math.max(1, one.left) })),
  },
  {
    name: "revoked delegates act",
    property: "what is over gives no power",
    ...pretending((one) => ({ ...one, isRevoked: false })),
  },
  {
    name: "delegates of a replaced account act",
    property: "what is over gives no power",
    powersOf: (state, key) => powersOf({ ...state, isReplaced: false }, key),
  },
  {
    name: "who writes has released what it has stored",
    property: "who writes reads nothing",
    powersOf: (state, key) => {
      const powers = powersOf(state, key);
      return { ...powers, readsOwn: powers.readsOwn || powers.writes };
    },
  },
  {
    name: "who reads may spend",
    property: "who reads writes nothing",
    powersOf: (state, key) => {
      const powers = powersOf(state, key);
      return { ...powers, fee: powers.reads ? state.limit : powers.fee };
    },
  },
  {
    name: "a delegate of the successor adds to the set of its predecessor",
    property: "a delegate acts for its own account",
    powersOf: (state, key) => {
      const powers = powersOf(state, key);
      return { ...powers, fee: powers.writes && key === "D" ? state.limit : 0 };
    },
  },
  {
    name: "an account with delegates becomes one",
    property: "no account of a delegate is one",
    ...tolerant("HasOthers", (state, action) =>
      action.kind === "delegate" && action.forged !== undefined
        ? { refused: "another action" }
        : granted(state, action),
    ),
  },
  {
    name: "anybody revokes",
    property: "only its account or itself revokes a delegate",
    ...tolerant("NotOfDelegate", (state, action) => {
      const one = action.kind === "revoke" ? state[action.key] : undefined;
      if (action.kind !== "revoke" || one === undefined) return { refused: "another action" };
      return { state: { ...state, [action.key]: { ...one, isRevoked: true } } };
    }),
  },
  {
    name: "a replaced account revokes",
    property: "only its account or itself revokes a delegate",
    ...tolerant("NotOfDelegate", (state, action) => {
      const one = action.kind === "revoke" ? state[action.key] : undefined;
      const isOld = action.kind === "revoke" && action.by === "A" && one?.account === "A" && !one.isRevoked;
      if (!isOld || action.isForged === true) return { refused: "another action" };
      return { state: { ...state, [action.key]: { ...one, isRevoked: true } } };
    }),
  },
  {
    name: "a delegate limits itself",
    property: "only its account limits a delegate",
    ...tolerant("NotOfDelegate", (state, action) => {
      if (action.kind !== "limit" || action.by !== "D") return { refused: "another action" };
      return { state: { ...state, limit: action.fee } };
    }),
  },
  { name: "a delegate drops slices", property: "a delegate drops nothing", ...tolerant("SliceDropped", updated) },
  {
    name: "a delegate spends without a limit",
    property: "nobody spends more than the limit",
    ...tolerant("FeeAboveLimit", updated),
  },
  {
    name: "a device updates that is no delegate, or one no more",
    property: "only a delegate of the user updates",
    ...tolerant("SignatureInvalid", (state, action) => {
      if (action.kind !== "update" || action.by !== "D" || state.limit === 0) return { refused: "another action" };
      const keeps = (state.live & action.live) === state.live && countOf(action.live) <= state.limit;
      return keeps ? updated(state, action) : { refused: "another action" };
    }),
  },
];
