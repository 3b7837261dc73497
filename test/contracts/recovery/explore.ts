/** The exploration of the model together with the facts that its properties are about. */

import * as machines from "../../helpers/explore.ts";
import { brokenByAction, brokenInState, type Facts, NO_FACTS, observe } from "./facts.ts";
import { type Action, actionsOf, mayRelease, START, type State, type Step } from "./model.ts";

export type Exploration = machines.Exploration<State, Action>;

interface Known {
  readonly state: State;
  readonly facts: Facts;
}

/** @param releases whether a requester may have the secret released, in the system under test */
export function explore(step: Step, releases = mayRelease): Exploration {
  const explored = machines.explore<Known, Action>({
    start: { state: START, facts: NO_FACTS },
    actionsOf: ({ state }) => actionsOf(state),
    step: ({ state, facts }, action) => {
      const outcome = step(state, action);
      return "refused" in outcome ? outcome : { state: { state: outcome.state, facts: observe(facts, action) } };
    },
    keyOf,
    kindOf: ({ kind }) => kind,
    brokenInState: ({ state, facts }) => brokenInState(facts, (requester) => releases(state, requester)),
    brokenByAction: ({ state, facts }, action, outcome) =>
      brokenByAction(state, facts, action, "refused" in outcome ? outcome : outcome.state),
  });
  return { ...explored, reached: explored.reached.map(({ state }) => state) };
}

function keyOf({ state: { slots, isRetired }, facts: { requests, wasRetired } }: Known): string {
  let key = `${isRetired}${wasRetired}`;
  for (const { phase, requester, approvers, age } of slots) key += `|${phase}${requester}${approvers}${age}`;
  for (const { requester, approvers, ticksOpen, ticksDue, wasVetoed } of requests) {
    key += `|${requester}${approvers.toSorted().join("")}/${ticksOpen}${ticksDue}${wasVetoed}`;
  }
  return key;
}
