/** Visits every state that any interleaving of actions leads to, and checks the properties in each. */

import { brokenByAction, brokenInState, type Facts, NO_FACTS, observe } from "./facts.ts";
import { type Action, actionsOf, mayRelease, START, type State, type Step } from "./model.ts";

export interface Violation {
  readonly property: string;
  /** Actions from the start. */
  readonly path: readonly Action[];
}

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** The first violation, which has a shortest path. */
  readonly violation: Violation | undefined;
  /** A shortest path to each thing that an action can come to: its kind with the name of the error, or "accepted". */
  readonly examples: ReadonlyMap<string, readonly Action[]>;
  /** Every state, in the order of its distance from the start. */
  readonly reached: readonly State[];
}

interface Visit {
  readonly state: State;
  readonly facts: Facts;
  readonly parent: number;
  readonly action: Action | undefined;
}

/** @param releases whether a requester may have the secret released, in the system under test */
export function explore(step: Step, releases = mayRelease): Exploration {
  const visits: Visit[] = [{ state: START, facts: NO_FACTS, parent: -1, action: undefined }];
  const seen = new Set<string>([keyOf(START, NO_FACTS)]);
  const examples = new Map<string, Action[]>();
  let transitions = 0;
  const pathTo = (place: number): Action[] => {
    const path: Action[] = [];
    for (let at = visits[place]; at?.action !== undefined; at = visits[at.parent]) path.unshift(at.action);
    return path;
  };
  const ended = (violation: Violation | undefined): Exploration => {
    return { states: visits.length, transitions, violation, examples, reached: visits.map(({ state }) => state) };
  };
  // The list grows while it is walked: first in, first out.
  for (let place = 0; place < visits.length; place++) {
    const visit = visits[place];
    if (visit === undefined) break;
    const { state, facts } = visit;
    const broken = brokenInState(facts, (requester) => releases(state, requester));
    if (broken !== undefined) return ended({ property: broken, path: pathTo(place) });
    for (const action of actionsOf(state)) {
      transitions += 1;
      const outcome = step(state, action);
      const example = `${action.kind}: ${"refused" in outcome ? outcome.refused : "accepted"}`;
      if (!examples.has(example)) examples.set(example, [...pathTo(place), action]);
      const violated = brokenByAction(state, facts, action, outcome);
      if (violated !== undefined) return ended({ property: violated, path: [...pathTo(place), action] });
      if ("refused" in outcome) continue;
      const next = { state: outcome.state, facts: observe(facts, action) };
      const key = keyOf(next.state, next.facts);
      if (seen.has(key)) continue;
      seen.add(key);
      visits.push({ ...next, parent: place, action });
    }
  }
  return ended(undefined);
}

function keyOf({ slots, isRetired }: State, { requests, wasRetired }: Facts): string {
  let key = `${isRetired}${wasRetired}`;
  for (const { phase, requester, approvers, age } of slots) key += `|${phase}${requester}${approvers}${age}`;
  for (const { requester, approvers, ticksOpen, ticksDue, wasVetoed } of requests) {
    key += `|${requester}${approvers.toSorted().join("")}/${ticksOpen}${ticksDue}${wasVetoed}`;
  }
  return key;
}
