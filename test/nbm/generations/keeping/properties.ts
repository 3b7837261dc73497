/** What must hold of the shares that nodes keep, whatever the chain does and whichever one node loses its disk. */

import type { Outcome } from "../../../helpers/explore.ts";
import {
  type Action,
  type Chain,
  type Generation,
  type Held,
  heldOf,
  LOSING,
  NODES,
  PLANS,
  rowOf,
  type State,
} from "./model.ts";

export function brokenInState(state: State): string | undefined {
  if (areMissing(state, state.chain)) return "members keep their shares of the active generation";
  if (state.undo !== undefined && areMissing(state, state.undo)) {
    return "members keep their shares of the generation before until the activation is final";
  }
  for (const node of NODES) {
    for (const [at, generation] of state.chain.generations.entries()) {
      const row = rowOf(state, node, at + 1);
      if (row?.isSettled === true && row.used !== keysOf(generation)) return "a node settles on the keys of the chain";
    }
  }
  return undefined;
}

export function brokenByAction(before: State, action: Action, outcome: Outcome<State>): string | undefined {
  if ("refused" in outcome || action.kind !== "advance") return undefined;
  const { node } = action;
  const after = outcome.state;
  if (holds(before, before.chain, node) && !holds(after, before.chain, node)) {
    return "no node erases shares of the active generation";
  }
  const { active, generations } = before.chain;
  const row = rowOf(after, node, active);
  const isUsed = row?.phase === "ready" && row.used === keysOf(generations[active - 1] as Generation);
  if (holds(before, before.chain, node) && !isUsed) {
    return "a node uses the keys of the chain once it has looked";
  }
  return undefined;
}

/** Whether a node has its shares of the active generation, in use or not. */
export function holds(state: State, { active, generations }: Chain, node: (typeof NODES)[number]): boolean {
  const keys = keysOf(generations[active - 1] as Generation);
  return keys !== undefined && rowOf(state, node, active)?.held.includes(keys) === true;
}

function keysOf(generation: Generation): Held | undefined {
  return generation.keys === undefined ? undefined : heldOf(generation, generation.keys);
}

/** Whether a member has no shares of the active generation though it has not lost its disk. */
function areMissing(state: State, chain: Chain): boolean {
  const { plan } = chain.generations[chain.active - 1] as Generation;
  return PLANS[plan].members.some((member) => {
    return !(state.hasLost && member === LOSING) && !holds(state, chain, member);
  });
}
