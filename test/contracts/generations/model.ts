/**
 * A model of the generations of one committee in NodeRegistry (docs/models.md) for a small instance: four nodes A to D,
 * two plans of members, four generations, and key material of two groups. One tick is longer than a generation may
 * form.
 */

import type { Outcome } from "../../helpers/explore.ts";

export const NODES = [0, 1, 2, 3] as const;
export type Node = (typeof NODES)[number];
/** The node that can ask to leave. */
export const LEAVING: Node = 0;

/** Which members with which threshold. Generation 1 has plan 0. */
export const PLANS = [
  { members: [0, 1, 2], threshold: 2 },
  { members: [1, 3], threshold: 2 },
] as const satisfies readonly { members: readonly Node[]; threshold: number }[];
export type Plan = 0 | 1;

/** X and Y are of one group key, as outcomes of one run are; Z is of another. */
export const KEYS = ["X", "Y", "Z"] as const;
export type Keys = (typeof KEYS)[number];
export const groupOf = (keys: Keys): 1 | 2 => (keys === "Z" ? 2 : 1);

/** More generations than these are not opened in the instance. */
export const LAST_GENERATION = 4;

export type Status = "forming" | "expired" | "abandoned" | "active" | "replaced";

export interface Generation {
  readonly plan: Plan;
  readonly status: Status;
  /** What each node attested, while it is forming. */
  readonly attested: readonly (Keys | undefined)[];
  /** Once it is active. */
  readonly keys: Keys | undefined;
}

export interface State {
  /** From 1, in order. */
  readonly generations: readonly Generation[];
  /** The number of the active generation; 0 for none. */
  readonly active: number;
  /** The plan for the next generation that each node voted for. */
  readonly votes: readonly (Plan | undefined)[];
  readonly isLeaving: boolean;
}

const NOTHING = NODES.map(() => undefined);
const opened = (plan: Plan): Generation => ({ plan, status: "forming", attested: NOTHING, keys: undefined });
export const START: State = { generations: [opened(0)], active: 0, votes: NOTHING, isLeaving: false };

export type Action =
  /** The day in which a generation may form is over. */
  | { readonly kind: "tick" }
  | { readonly kind: "leave" }
  | { readonly kind: "propose"; readonly node: Node; readonly number: number; readonly plan: Plan }
  | { readonly kind: "attest"; readonly node: Node; readonly number: number; readonly keys: Keys };

export type Step = (state: State, action: Action) => Outcome<State>;

export function actionsOf({ generations }: State): Action[] {
  const actions: Action[] = [{ kind: "tick" }, { kind: "leave" }];
  const latest = generations.length;
  for (const node of NODES) {
    for (const plan of [0, 1] as const) {
      actions.push({ kind: "propose", node, number: latest, plan });
      if (latest < LAST_GENERATION) actions.push({ kind: "propose", node, number: latest + 1, plan });
    }
    for (let number = 1; number <= latest + 1; number++) {
      for (const keys of KEYS) actions.push({ kind: "attest", node, number, keys });
    }
  }
  return actions;
}

/** The state machine. Checks are in the order of the contract, which decides the error. */
export const step: Step = (state, action) => {
  switch (action.kind) {
    case "tick":
      return {
        state: withLatest(state, (latest) => (latest.status === "forming" ? over(latest, "expired") : latest)),
      };
    case "leave":
      return state.isLeaving ? { refused: "NodeExiting" } : { state: { ...state, isLeaving: true } };
    case "propose":
      return proposed(state, action);
    case "attest":
      return attested(state, action);
  }
};

function proposed(state: State, { node, number, plan }: Extract<Action, { kind: "propose" }>): Outcome<State> {
  const current = state.generations[state.active - 1];
  if (current === undefined) return { refused: "CommitteeNotActive" };
  if (number !== state.generations.length + 1) return { refused: "GenerationOutOfTurn" };
  if (!isMember(current.plan, node)) return { refused: "NotMember" };
  if (state.isLeaving && isMember(plan, LEAVING)) return { refused: "NodeExiting" };
  const votes = state.votes.map((vote, at) => (at === node ? plan : vote));
  if (votes.filter((vote) => vote === plan).length < PLANS[current.plan].threshold) {
    return { state: { ...state, votes } };
  }
  const { generations } = withLatest(state, (latest) => (isOpen(latest) ? over(latest, "abandoned") : latest));
  return { state: { ...state, generations: [...generations, opened(plan)], votes: NOTHING } };
}

function attested(state: State, { node, number, keys }: Extract<Action, { kind: "attest" }>): Outcome<State> {
  const generation = state.generations[number - 1];
  if (generation === undefined) return { refused: "UnknownGeneration" };
  if (generation.status !== "forming") return { refused: "GenerationNotForming" };
  if (!isMember(generation.plan, node)) return { refused: "NotMember" };
  if (state.isLeaving && node === LEAVING) return { refused: "NodeExiting" };
  const before = state.generations[state.active - 1]?.keys;
  if (before !== undefined && groupOf(before) !== groupOf(keys)) return { refused: "GroupKeyChanged" };
  const stated = generation.attested.map((other, at) => (at === node ? keys : other));
  if (!PLANS[generation.plan].members.every((member) => stated[member] === keys)) {
    return { state: withLatest(state, (latest) => ({ ...latest, attested: stated })) };
  }
  const generations = state.generations.map((other, at): Generation => {
    if (at === number - 1) return { ...over(other, "active"), keys };
    return at === state.active - 1 ? { ...other, status: "replaced" } : other;
  });
  return { state: { ...state, generations, active: number, votes: NOTHING } };
}

export function isMember(plan: Plan, node: Node): boolean {
  return PLANS[plan].members.some((member) => member === node);
}

/** Expired ones are still open to the contract, which does not store that they are over. */
function isOpen({ status }: Generation): boolean {
  return status === "forming" || status === "expired";
}

/** What was attested is of no use any more. */
function over(generation: Generation, status: Status): Generation {
  return { ...generation, status, attested: NOTHING };
}

function withLatest(state: State, change: (latest: Generation) => Generation): State {
  const last = state.generations.length - 1;
  return { ...state, generations: state.generations.map((one, at) => (at === last ? change(one) : one)) };
}
