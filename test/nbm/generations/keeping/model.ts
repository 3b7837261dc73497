/**
 * A model of which shares nodes keep and erase (docs/models.md) for a small instance: two nodes beside one that always
 * works, two plans of members, three generations, runs with two outcomes, and a chain whose latest
 * activation may be taken back until it is final.
 * How a generation is opened and agreed on is the model of test/contracts/generations; how a run comes to its outcomes
 * is not modelled.
 */

import type { Outcome } from "../../../helpers/explore.ts";

export const NODES = [0, 1] as const;
/** The node that may lose its disk. */
export const LOSING: Node = 1;
export type Node = (typeof NODES)[number];
/** Which of the two are members; a third one is too, which always works and is not modelled. All are needed. */
export const PLANS = [{ members: [0, 1] }, { members: [0] }] as const satisfies readonly { members: readonly Node[] }[];
export type Plan = 0 | 1;
export const LAST_GENERATION = 3;

/** The outcomes that one run may have: Y is that with a dealing that came later. */
export type Keys = "X" | "Y";
/** Keys that came of a run: which generation dealt, for which plan, and which outcome it is. */
export type Held = `${number}/${Plan}${Keys}`;

export interface Generation {
  readonly plan: Plan;
  /** The generation that deals. */
  readonly from: number;
  readonly status: "forming" | "expired" | "abandoned" | "active" | "replaced";
  readonly attested: readonly (Keys | undefined)[];
  readonly keys: Keys | undefined;
}

export interface Chain {
  readonly generations: readonly Generation[];
  readonly active: number;
}

/** What a node has on disk of a generation. */
export interface Row {
  readonly plan: Plan;
  readonly from: number;
  readonly phase: "announcing" | "attesting" | "ready" | "failed";
  readonly isSettled: boolean;
  readonly held: readonly Held[];
  readonly used: Held | undefined;
}

export interface State {
  readonly chain: Chain;
  /** The chain as it was before the latest activation, until that is final. */
  readonly undo: Chain | undefined;
  /** For each node, its rows by number; at place 0 that of generation 1. */
  readonly rows: readonly (readonly (Row | undefined)[])[];
  /** Whether the node that may has lost its disk: it does once. */
  readonly hasLost: boolean;
}

const NONE = NODES.map(() => undefined);
const FIRST: Row = { plan: 0, from: 0, phase: "ready", isSettled: true, held: ["0/0X"], used: "0/0X" };
export const START: State = {
  chain: { generations: [{ plan: 0, from: 0, status: "active", attested: NONE, keys: "X" }], active: 1 },
  undo: undefined,
  rows: NODES.map(() => [FIRST, undefined, undefined]),
  hasLost: false,
};

export type Action =
  | { readonly kind: "open"; readonly plan: Plan }
  | { readonly kind: "expire" }
  /** The run has this outcome at a node. */
  | { readonly kind: "outcome"; readonly node: Node; readonly keys: Keys }
  | { readonly kind: "attest"; readonly node: Node; readonly keys: Keys }
  | { readonly kind: "final" }
  | { readonly kind: "reorganise" }
  /** The node, which may have been started again, takes everything as far as possible. */
  | { readonly kind: "advance"; readonly node: Node }
  | { readonly kind: "lose disk"; readonly node: Node };

export type Step = (state: State, action: Action, rules?: Rules) => Outcome<State>;

/** What a defect would change. */
export interface Rules {
  readonly waitsUntilFinal: boolean;
  readonly keepsOutcomes: boolean;
  readonly usesKeysOfChain: boolean;
  readonly keepsWhatIsActive: boolean;
  readonly erases: boolean;
  readonly followsReorganisations: boolean;
}
export const RULES: Rules = {
  waitsUntilFinal: true,
  keepsOutcomes: true,
  usesKeysOfChain: true,
  keepsWhatIsActive: true,
  erases: true,
  followsReorganisations: true,
};

/** Actions that something comes of; who may do what else is in the other model. */
export function actionsOf({ chain, undo, rows, hasLost }: State): Action[] {
  const actions: Action[] = NODES.map((node) => ({ kind: "advance", node }));
  const { generations } = chain;
  const latest = generations.at(-1) as Generation;
  if (generations.length < LAST_GENERATION) actions.push({ kind: "open", plan: 0 }, { kind: "open", plan: 1 });
  if (undo !== undefined) actions.push({ kind: "final" }, { kind: "reorganise" });
  else {
    if (latest.status === "forming") actions.push({ kind: "expire" });
    if (!hasLost) actions.push({ kind: "lose disk", node: LOSING });
  }
  if (latest.status !== "forming") return actions;
  for (const node of PLANS[latest.plan].members) {
    const row = rows[node]?.[generations.length - 1];
    if (row === undefined || !isOf(row, latest) || row.phase === "failed") continue;
    for (const keys of ["X", "Y"] as const) {
      const isHeld = row.held.includes(heldOf(latest, keys));
      // The outcome that comes later is of the run of both in generation 2: elsewhere it adds nothing.
      const isPossible =
        keys === "X" || (row.held.includes(heldOf(latest, "X")) && latest.plan === 0 && generations.length === 2);
      if (!isHeld && isPossible) actions.push({ kind: "outcome", node, keys });
      if (!isHeld || latest.attested[node] === keys) continue;
      // One activation is not final at a time.
      if (undo === undefined || !activates(latest, node, keys)) actions.push({ kind: "attest", node, keys });
    }
  }
  return actions;
}

export const step: Step = (state, action, rules = RULES) => {
  const { chain } = state;
  switch (action.kind) {
    case "open": {
      const generations = changedLatest(chain, (one) => (isOpen(one) ? over(one, "abandoned") : one));
      const { plan } = action;
      const opened: Generation = { plan, from: chain.active, status: "forming", attested: NONE, keys: undefined };
      return { state: { ...state, chain: { ...chain, generations: [...generations, opened] } } };
    }
    case "expire":
      return {
        state: { ...state, chain: { ...chain, generations: changedLatest(chain, (one) => over(one, "expired")) } },
      };
    case "final":
      return { state: { ...state, undo: undefined } };
    case "reorganise":
      return { state: { ...state, chain: state.undo ?? chain, undo: undefined } };
    case "outcome":
      return { state: withOutcome(state, action, rules) };
    case "attest":
      return { state: attested(state, action.node, action.keys) };
    case "lose disk":
      return { state: { ...withRows(state, action.node, [undefined, undefined, undefined]), hasLost: true } };
    case "advance":
      return { state: advanced(state, action.node, rules) };
  }
};

function withOutcome(state: State, { node, keys }: { node: Node; keys: Keys }, { keepsOutcomes }: Rules): State {
  const number = state.chain.generations.length;
  const row = rowOf(state, node, number) as Row;
  const held = heldOf(row, keys);
  const all: Held[] = keepsOutcomes ? [...row.held, held].toSorted() : [held];
  return withRow(state, node, number, { ...row, phase: "attesting", held: all });
}

function activates({ plan, attested: before }: Generation, node: Node, keys: Keys): boolean {
  return PLANS[plan].members.every((member) => member === node || before[member] === keys);
}

function attested(state: State, node: Node, keys: Keys): State {
  const { chain } = state;
  const number = chain.generations.length;
  const isLast = activates(chain.generations[number - 1] as Generation, node, keys);
  const generations = chain.generations.map((one, at): Generation => {
    if (at === number - 1) {
      const stated = { ...one, attested: one.attested.map((other, place) => (place === node ? keys : other)) };
      return isLast ? { ...over(stated, "active"), keys } : stated;
    }
    return isLast && at === chain.active - 1 ? { ...one, status: "replaced" } : one;
  });
  if (!isLast) return { ...state, chain: { ...chain, generations } };
  return { ...state, chain: { generations, active: number }, undo: chain };
}

/** One round of offchain/nbm/generations/coordinator.ts. */
function advanced(before: State, node: Node, rules: Rules): State {
  let state = discovered(before, node);
  for (const number of [1, 2, 3]) {
    const row = rowOf(state, node, number);
    if (row === undefined) continue;
    const next = row.isSettled ? retired(state, node, number, row, rules) : followed(state, node, number, row, rules);
    state = withRow(state, node, number, next);
  }
  return state;
}

/** Joins a run that names the node, or that its shares are dealt in. */
function discovered(state: State, node: Node): State {
  const { generations } = state.chain;
  const number = generations.length;
  const generation = generations[number - 1] as Generation;
  const { plan, from, status } = generation;
  if (status !== "forming" || rowOf(state, node, number) !== undefined) return state;
  const hasShares = state.rows[node]?.some((row) => row?.phase === "ready" && isMember(row.plan, node)) === true;
  const isDealer = hasShares && isMember(planOf(state.chain, from), node);
  return isMember(plan, node) || isDealer ? withRow(state, node, number, announcing(generation, [])) : state;
}

function followed(state: State, node: Node, number: number, row: Row, rules: Rules): Row | undefined {
  const generation = state.chain.generations[number - 1];
  // After a reorganisation, the chain may not have it any more.
  if (generation === undefined) return row;
  const { plan, from, status, keys } = generation;
  if (status === "forming") {
    if (isOf(row, generation)) return row;
    const takesPart = isMember(plan, node) || isMember(planOf(state.chain, from), node);
    return takesPart ? announcing(generation, row.held) : undefined;
  }
  if (row.plan !== plan) return row.phase === "ready" ? row : { ...row, phase: "failed" };
  if (status === "expired" || status === "abandoned") return undefined;
  const isLast = state.chain.active === number && state.undo !== undefined;
  if (!isMember(plan, node)) return isLast ? row : undefined;
  const right = heldOf(generation, keys as Keys);
  const used = rules.usesKeysOfChain ? right : (row.held.at(-1) ?? right);
  if (!row.held.includes(used)) {
    const isRetired = status === "replaced" && retired(state, node, number, row, rules) === undefined;
    if (isRetired) return undefined;
    return row.phase === "ready" ? row : { ...row, phase: "failed" };
  }
  const isUsed = row.phase === "ready" && (row.used === used || !rules.followsReorganisations);
  const ready: Row = isUsed ? row : { ...row, phase: "ready", used };
  return isLast ? ready : { ...ready, isSettled: true, held: [ready.used as Held] };
}

function retired(state: State, node: Node, number: number, row: Row, rules: Rules): Row | undefined {
  const { active } = state.chain;
  if (!rules.keepsWhatIsActive && state.chain.generations.length > number) return undefined;
  if (active <= number || !rules.erases) return row;
  if (isMember(planOf(state.chain, active), node) && rowOf(state, node, active)?.phase !== "ready") return row;
  return state.undo === undefined || !rules.waitsUntilFinal ? undefined : row;
}

/** Whether a row is of the run that makes this generation. */
function isOf(row: Row, { plan, from }: Generation): boolean {
  return row.plan === plan && row.from === from;
}

export function heldOf({ plan, from }: Pick<Generation, "plan" | "from">, keys: Keys): Held {
  return `${from}/${plan}${keys}`;
}

function announcing({ plan, from }: Generation, held: readonly Held[]): Row {
  return { plan, from, phase: "announcing", isSettled: false, held, used: undefined };
}

export function isMember(plan: Plan, node: Node): boolean {
  return PLANS[plan].members.some((member) => member === node);
}

function planOf({ generations }: Chain, number: number): Plan {
  return generations[number - 1]?.plan ?? 0;
}

export function rowOf({ rows }: State, node: Node, number: number): Row | undefined {
  return rows[node]?.[number - 1];
}

function withRow(state: State, node: Node, number: number, row: Row | undefined): State {
  const rows = (state.rows[node] ?? []).map((other, at) => (at === number - 1 ? row : other));
  return withRows(state, node, rows);
}

function withRows(state: State, node: Node, rows: readonly (Row | undefined)[]): State {
  return { ...state, rows: state.rows.map((other, at) => (at === node ? rows : other)) };
}

function isOpen({ status }: Generation): boolean {
  return status === "forming" || status === "expired";
}

function over(generation: Generation, status: Generation["status"]): Generation {
  return { ...generation, status, attested: NONE };
}

function changedLatest({ generations }: Chain, change: (latest: Generation) => Generation): Generation[] {
  return generations.map((one, at) => (at === generations.length - 1 ? change(one) : one));
}
