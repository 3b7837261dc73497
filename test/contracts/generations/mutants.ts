/** Registries with one defect each: the exploration must find it, or its properties say nothing. */

import type { Outcome } from "../../helpers/explore.ts";
import { type Action, type Generation, isMember, LEAVING, PLANS, type State, type Step, step } from "./model.ts";

export interface Mutant {
  /** Completes "a registry in which". */
  readonly name: string;
  /** The property that must be found broken first. */
  readonly property: string;
  readonly step: Step;
}

/** @returns a step that changes the state that an accepted action leads to */
function altered(change: (before: State, action: Action, after: State) => State): Step {
  return (state, action) => {
    const outcome = step(state, action);
    return "refused" in outcome ? outcome : { state: change(state, action, outcome.state) };
  };
}

/** @returns a step that decides anew when an action is refused with this error */
function tolerant(error: string, instead: (state: State, action: Action) => Outcome<State>): Step {
  return (state, action) => {
    const outcome = step(state, action);
    return "refused" in outcome && outcome.refused === error ? instead(state, action) : outcome;
  };
}

function changed(state: State, number: number, change: Partial<Generation>): State {
  const generations = state.generations.map((one, at) => (at === number - 1 ? { ...one, ...change } : one));
  return { ...state, generations };
}

const isActivation = (before: State, after: State) => before.active !== after.active;
const isOpening = (before: State, after: State) => before.generations.length < after.generations.length;

export const MUTANTS: readonly Mutant[] = [
  {
    name: "the generation before stays active",
    property: "one generation is active",
    step: altered((before, _action, after) =>
      isActivation(before, after) && before.active > 0 ? changed(after, before.active, { status: "active" }) : after,
    ),
  },
  {
    name: "votes of a replaced generation count",
    property: "members of the active generation open the next one",
    step: altered((before, _action, after) =>
      isActivation(before, after) ? { ...after, votes: before.votes } : after,
    ),
  },
  {
    name: "votes for a generation that is open count for the next one",
    property: "members of the active generation open the next one",
    step: altered((before, action, after) => {
      if (action.kind !== "propose" || !isOpening(before, after)) return after;
      return { ...after, votes: before.votes };
    }),
  },
  {
    name: "nodes that are no members vote",
    property: "members of the active generation open the next one",
    step: tolerant("NotMember", (state, action) => {
      if (action.kind !== "propose") return { refused: "NotMember" };
      const current = state.generations[state.active - 1] as Generation;
      const member = PLANS[current.plan].members.find((one) => state.votes[one] === undefined);
      return member === undefined ? { refused: "NotMember" } : step(state, { ...action, node: member });
    }),
  },
  {
    name: "a threshold of attestations is enough",
    property: "all members attested to the keys",
    step: altered((before, action, after) => {
      if (action.kind !== "attest" || isActivation(before, after)) return after;
      const { plan, attested } = after.generations[action.number - 1] as Generation;
      if (attested.filter((keys) => keys === action.keys).length < PLANS[plan].threshold) return after;
      const active = changed(after, action.number, { status: "active", keys: action.keys });
      const { generations } = before.active === 0 ? active : changed(active, before.active, { status: "replaced" });
      return { ...after, generations, active: action.number };
    }),
  },
  {
    name: "a later generation has another group key",
    property: "the group keys are those of generation 1",
    step: tolerant("GroupKeyChanged", (state, action) => {
      if (action.kind !== "attest") return { refused: "GroupKeyChanged" };
      const outcome = step({ ...state, active: 0 }, action);
      if ("refused" in outcome || outcome.state.active === 0) {
        return "refused" in outcome ? outcome : { state: { ...outcome.state, active: state.active } };
      }
      return { state: changed(outcome.state, state.active, { status: "replaced" }) };
    }),
  },
  {
    name: "an expired generation becomes active",
    property: "what is over stays over",
    step: tolerant("GenerationNotForming", (state, action) => {
      const isExpired = action.kind === "attest" && state.generations[action.number - 1]?.status === "expired";
      if (!isExpired) return { refused: "GenerationNotForming" };
      return step(changed(state, action.number, { status: "forming" }), action);
    }),
  },
  {
    name: "a generation is not abandoned for the next one",
    property: "only the latest generation forms",
    step: altered((before, _action, after) => {
      const latest = before.generations.length;
      if (!isOpening(before, after) || after.generations[latest - 1]?.status !== "abandoned") return after;
      return changed(after, latest, before.generations[latest - 1] as Generation);
    }),
  },
  {
    name: "a proposal replaces what is open under its number",
    property: "no number is used again",
    step: altered((before, _action, after) => {
      const latest = before.generations.length;
      if (!isOpening(before, after) || before.generations[latest - 1]?.status !== "forming") return after;
      return { ...after, generations: [...before.generations.slice(0, -1), ...after.generations.slice(-1)] };
    }),
  },
  {
    name: "a committee whose generation expires is not active any more",
    property: "a committee stays active",
    step: altered((_before, action, after) => {
      const isOver = action.kind === "tick" && after.generations.at(-1)?.status === "expired" && after.active > 0;
      return isOver ? changed(after, after.active, { status: "replaced" }) : after;
    }),
  },
  {
    name: "a node that leaves is named again",
    property: "who leaves takes no new share",
    step: tolerant("NodeExiting", (state, action) => {
      if (action.kind !== "propose") return { refused: "NodeExiting" };
      const outcome = step({ ...state, isLeaving: false }, action);
      return "refused" in outcome ? outcome : { state: { ...outcome.state, isLeaving: true } };
    }),
  },
  {
    name: "a node that leaves attests",
    property: "who leaves takes no new share",
    step: tolerant("NodeExiting", (state, action) => {
      if (action.kind !== "attest" || !isMember(0, LEAVING)) return { refused: "NodeExiting" };
      const outcome = step({ ...state, isLeaving: false }, action);
      return "refused" in outcome ? outcome : { state: { ...outcome.state, isLeaving: true } };
    }),
  },
  {
    name: "an activation rewrites the keys of the one before",
    property: "the keys of a generation never change",
    step: altered((before, action, after) => {
      if (!isActivation(before, after) || before.active === 0 || action.kind !== "attest") return after;
      return changed(after, before.active, { keys: action.keys });
    }),
  },
];
