/**
 * Delegates as a machine, as `AccountDirectory` and `DataSetRules` are meant to work. An owner A with a successor B,
 * two devices D and E, and a thief T. A has one data set with up to three slices, whose fee is their number; D has a
 * limit for it, or none. Times are relative to now, so states are finite.
 */

import type { Outcome } from "../../helpers/explore.ts";

export type Actor = "A" | "B" | "D" | "E" | "T";
export type Device = "D" | "E";
/** D has delegates of its own as long as it is none. */
export type Principal = "A" | "B" | "D";

export const READ = 1;
export const WRITE = 2;
/** Longest life of a delegate, in ticks. */
export const LIFE = 2;
/** The limit that an owner sets, if any. */
export const LIMIT = 2;
const SLICES = [1, 2, 3];

export interface Delegation {
  readonly account: Principal;
  readonly scopes: number;
  /** Ticks until it expires; 0 when it has. */
  readonly left: number;
  readonly isRevoked: boolean;
}

export interface State {
  readonly D?: Delegation;
  readonly E?: Delegation;
  /** Whether B has taken the place of A. */
  readonly isReplaced: boolean;
  /** Of D, for the data set of A. */
  readonly limit: number;
  /** Bits of the slices that are live. */
  readonly live: number;
  /** The highest index that was ever given. */
  readonly highest: number;
}

export const START: State = { isReplaced: false, limit: 0, live: 1, highest: 1 };

export type Action =
  | { readonly kind: "tick" }
  | {
      readonly kind: "delegate";
      readonly account: Principal;
      readonly key: Device;
      readonly scopes: number;
      readonly life: number;
      /** Whose signature is the thief's. */
      readonly forged?: "account" | "key";
    }
  | { readonly kind: "revoke"; readonly by: Actor; readonly key: Device; readonly isForged?: true }
  | { readonly kind: "limit"; readonly by: Actor; readonly fee: number }
  | { readonly kind: "replace"; readonly account: Actor; readonly successor: Actor }
  | { readonly kind: "update"; readonly by: Actor; readonly live: number };

/** What a device may do now. */
export interface Powers {
  /** What A owns is released to it. */
  readonly reads: boolean;
  /** What it owns itself is released to it. */
  readonly readsOwn: boolean;
  readonly writes: boolean;
  /** Up to which fee it adds to the data set of A. */
  readonly fee: number;
}

export const NO_POWERS: Powers = { reads: false, readsOwn: false, writes: false, fee: 0 };

export const slicesOf = (bits: number): number[] => SLICES.filter((slice) => (bits & (1 << (slice - 1))) !== 0);
export const countOf = (bits: number): number => slicesOf(bits).length;

export function powersOf(state: State, key: Device): Powers {
  const delegation = state[key];
  if (delegation === undefined) return { ...NO_POWERS, readsOwn: true };
  const { account, scopes, left, isRevoked } = delegation;
  if (isRevoked || left === 0 || (account === "A" && state.isReplaced)) return NO_POWERS;
  const reads = (scopes & READ) !== 0;
  const writes = (scopes & WRITE) !== 0;
  // The successor may act for A, and so may those who read for it.
  const isOfOwner = account === "A" || (account === "B" && state.isReplaced);
  const fee = writes && account === "A" && key === "D" ? state.limit : 0;
  return { reads: reads && isOfOwner, readsOwn: reads, writes, fee };
}

export function actionsOf(state: State): Action[] {
  const actions: Action[] = [{ kind: "tick" }];
  for (const key of ["D", "E"] as const) {
    for (const account of key === "D" ? (["A", "B"] as const) : (["A", "B", "D"] as const)) {
      for (const scopes of [READ, WRITE, READ | WRITE]) {
        for (const life of [1, LIFE]) actions.push({ kind: "delegate", account, key, scopes, life });
      }
    }
    for (const by of ["A", "B", "D", "E", "T"] as const) actions.push({ kind: "revoke", by, key });
    actions.push({ kind: "revoke", by: "A", key, isForged: true });
    // A device that is no delegate may have a successor as any other account: AccountDirectory.t.sol.
    if (state[key] === undefined) continue;
    actions.push({ kind: "replace", account: key, successor: "T" }, { kind: "replace", account: "T", successor: key });
  }
  for (const forged of ["account", "key"] as const) {
    actions.push({ kind: "delegate", account: "A", key: "D", scopes: READ | WRITE, life: LIFE, forged });
  }
  actions.push({ kind: "delegate", account: "A", key: "D", scopes: 0, life: LIFE });
  actions.push({ kind: "delegate", account: "A", key: "D", scopes: 4, life: LIFE });
  actions.push({ kind: "delegate", account: "A", key: "D", scopes: READ, life: 0 });
  for (const by of ["A", "B", "D", "T"] as const) {
    for (const fee of [0, LIMIT]) actions.push({ kind: "limit", by, fee });
  }
  actions.push({ kind: "replace", account: "A", successor: "B" });
  for (const by of ["A", "D", "E", "T"] as const) {
    for (let live = 0; live < 8; live++) actions.push({ kind: "update", by, live });
  }
  return actions;
}

export type Step = (state: State, action: Action) => Outcome<State>;

/** What delegations are, and what is done with them: a whole machine. */
export interface Rules {
  readonly step: Step;
  readonly powersOf: typeof powersOf;
}

/** Whether an actor may speak for an account now. */
function isLastOf(state: State, actor: Actor, account: Principal): boolean {
  if (actor === "A") return account === "A" && !state.isReplaced;
  if (actor === "B") return account === "B" || (account === "A" && state.isReplaced);
  return actor === account;
}

const aged = (one: Delegation | undefined) => one && { ...one, left: Math.max(0, one.left - 1) };
const refuse = (refused: string) => ({ refused });

export const step: Step = (state, action) => {
  const { kind } = action;
  if (kind === "tick") {
    const [D, E] = [aged(state.D), aged(state.E)];
    return { state: { ...state, ...(D === undefined ? {} : { D }), ...(E === undefined ? {} : { E }) } };
  }
  if (kind === "delegate") return delegateStep(state, action);
  if (kind === "revoke") {
    const { by, key, isForged } = action;
    const delegation = state[key];
    if (delegation === undefined) return refuse("NotDelegate");
    if (by !== key && !isLastOf(state, by, delegation.account)) return refuse("NotOfDelegate");
    if (delegation.isRevoked) return refuse("AlreadyRevoked");
    if (isForged === true) return refuse("InvalidSignature");
    return { state: { ...state, [key]: { ...delegation, isRevoked: true } } };
  }
  if (kind === "limit") {
    if (state.D === undefined) return refuse("NotDelegate");
    if (!isLastOf(state, action.by, state.D.account)) return refuse("NotOfDelegate");
    if ((state.D.scopes & WRITE) === 0) return refuse("InvalidScopes");
    return { state: { ...state, limit: action.fee } };
  }
  if (kind === "replace") {
    const { account, successor } = action;
    const isDelegate = [account, successor].some((one) => (one === "D" || one === "E") && state[one] !== undefined);
    if (isDelegate) return refuse("IsDelegate");
    return state.isReplaced ? refuse("AlreadyReplaced") : { state: { ...state, isReplaced: true } };
  }
  return updateStep(state, action.by, action.live);
};

function delegateStep(state: State, action: Extract<Action, { kind: "delegate" }>): Outcome<State> {
  const { account, key, scopes, life, forged } = action;
  if (scopes === 0 || scopes > (READ | WRITE)) return refuse("InvalidScopes");
  if (life === 0) return refuse("InvalidExpiry");
  if ((account === "D" && state.D !== undefined) || state[key] !== undefined) return refuse("IsDelegate");
  if (account === "A" && state.isReplaced) return refuse("AlreadyReplaced");
  if (key === "D" && state.E?.account === "D") return refuse("HasOthers");
  if (forged !== undefined) return refuse("InvalidSignature");
  return { state: { ...state, [key]: { account, scopes, left: life, isRevoked: false } } };
}

function updateStep(state: State, by: Actor, live: number): Outcome<State> {
  if (by !== "A") {
    const fee = by === "D" || by === "E" ? powersOf(state, by).fee : 0;
    if (fee === 0) return refuse("SignatureInvalid");
    if ((state.live & live) !== state.live) return refuse("SliceDropped");
    if (countOf(live) > fee) return refuse("FeeAboveLimit");
  }
  const revived = slicesOf(live & ~state.live).some((slice) => slice <= state.highest);
  if (revived) return refuse("IndexNotLive");
  // An empty list would end the set: no state of it follows.
  if (live === 0) return refuse("the end");
  return { state: { ...state, live, highest: Math.max(state.highest, ...slicesOf(live)) } };
}
