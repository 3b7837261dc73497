/** Machines with one defect each: the exploration must find it, or its properties say nothing. */

import {
  type Action,
  countOf,
  mayRelease,
  type Outcome,
  type Proposer,
  type Requester,
  type Slot,
  type State,
  type Step,
  slotOf,
  step,
  THRESHOLD,
} from "./model.ts";

export interface Mutant {
  /** Completes "a machine in which". */
  readonly name: string;
  /** The property that must be found broken first. */
  readonly property: string;
  readonly step?: Step;
  readonly releases?: (state: State, requester: Requester) => boolean;
}

const RELEASE_PHASES = (phases: readonly Slot["phase"][]) => (state: State, requester: Requester) =>
  !state.isRetired &&
  state.slots.some((slot) => phases.includes(slot.phase) && slot.requester === requester && isConsented(slot));

/** @returns a step that changes what one kind of action comes to */
function altered(kind: Action["kind"], change: (state: State, action: Action, outcome: Outcome) => Outcome): Step {
  return (state, action) => {
    const outcome = step(state, action);
    return action.kind === kind ? change(state, action, outcome) : outcome;
  };
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "nobody waits for the delay",
    property: "nothing before the delay or after the window",
    releases: RELEASE_PHASES(["scheduled"]),
  },
  {
    name: "a release stays possible after the window",
    property: "nothing before the delay or after the window",
    releases: (state, requester) => mayRelease(state, requester) || RELEASE_PHASES(["closed"])(state, requester),
  },
  {
    name: "one approval is enough",
    property: "never without the wallet or enough different guardians for this requester",
    releases: (state, requester) =>
      mayRelease(state, requester) ||
      (!state.isRetired && state.slots.some((slot) => slot.phase === "collecting" && slot.requester === requester)),
  },
  {
    name: "a guardian counts twice",
    property: "a guardian counts once",
    step: altered("approve", (state, action, outcome) => {
      if (action.kind !== "approve" || !("refused" in outcome) || outcome.refused !== "AlreadyApproved") return outcome;
      return replaced(state, action.proposer, { phase: "scheduled", age: 0 });
    }),
  },
  {
    name: "approvals outlive the request that they were for",
    property: "never without the wallet or enough different guardians for this requester",
    step: altered("open", (state, action, outcome) => {
      if (action.kind !== "open" || !("state" in outcome)) return outcome;
      const { phase, approvers, age } = slotOf(state, action.proposer);
      if (action.proposer === 0 || phase !== "scheduled") return outcome;
      return replaced(outcome.state, action.proposer, { phase, approvers, age });
    }),
  },
  {
    name: "a replaced request of the wallet keeps its age",
    property: "nothing before the delay or after the window",
    step: altered("open", (state, action, outcome) => {
      if (action.kind !== "open" || action.proposer !== 0 || !("state" in outcome)) return outcome;
      const { phase, age } = slotOf(state, 0);
      return phase === "scheduled" ? replaced(outcome.state, 0, { age }) : outcome;
    }),
  },
  {
    name: "an approval counts for another requester than it names",
    property: "an approval is for what it names",
    step: (state, action) => {
      if (action.kind !== "approve") return step(state, action);
      return step(state, { ...action, requester: slotOf(state, action.proposer).requester });
    },
  },
  {
    name: "a vetoed request lives on",
    property: "nothing after a veto",
    // The wallet has no approvals, so that a bit of theirs is free to remember the veto by.
    step: (state, action) => {
      if ((action.kind !== "veto" && action.kind !== "open") || action.proposer !== 0) return step(state, action);
      const { approvers } = slotOf(state, 0);
      if (approvers !== 0) return { refused: "ProposerBarred" };
      const outcome = step(state, action);
      return action.kind === "veto" && "state" in outcome ? replaced(state, 0, { approvers: 1 }) : outcome;
    },
  },
  {
    name: "a vetoed proposer may try again",
    property: "a vetoed proposer opens nothing",
    step: altered("veto", (state, action, outcome) => {
      if (action.kind !== "veto" || !("state" in outcome)) return outcome;
      return replaced(state, action.proposer, { phase: "none", requester: 0, approvers: 0, age: 0 });
    }),
  },
  {
    name: "a veto comes after the delay",
    property: "no veto after the delay",
    step: altered("veto", (state, action, outcome) => {
      if (action.kind !== "veto" || !("refused" in outcome) || outcome.refused !== "VetoTooLate") return outcome;
      return replaced(state, action.proposer, { phase: "barred", requester: 0, approvers: 0, age: 0 });
    }),
  },
  {
    name: "a request that waits for approvals cannot be vetoed",
    property: "the author can veto until the delay is over",
    step: altered("veto", (state, action, outcome) => {
      const isWaiting = action.kind === "veto" && slotOf(state, action.proposer).phase === "collecting";
      return isWaiting ? { refused: "NothingToVeto" } : outcome;
    }),
  },
  {
    name: "a retired version is released",
    property: "nothing after retirement",
    releases: (state, requester) => mayRelease({ ...state, isRetired: false }, requester),
  },
  {
    name: "a request removes that of another guardian",
    property: "nobody touches the request of another",
    step: altered("open", (_state, action, outcome) => {
      if (action.kind !== "open" || action.proposer !== 1 || !("state" in outcome)) return outcome;
      return replaced(outcome.state, 2, { phase: "none", requester: 0, approvers: 0, age: 0 });
    }),
  },
  {
    name: "a thief vetoes",
    property: "a thief changes nothing",
    step: altered("thief vetoes", (state, action) => {
      return action.kind === "thief vetoes" ? step(state, { kind: "veto", proposer: action.proposer }) : { state };
    }),
  },
  {
    name: "a message opens a request twice",
    property: "nothing is opened twice by one message",
    step: altered("replay", (state, action) => {
      return action.kind === "replay" ? step(state, { ...action, kind: "open" }) : { state };
    }),
  },
  {
    name: "approvals are collected for ever",
    property: "approvals are collected for the window only",
    step: altered("approve", (state, action, outcome) => {
      if (action.kind !== "approve" || !("refused" in outcome) || outcome.refused !== "RequestClosed") return outcome;
      return replaced(state, action.proposer, { phase: "scheduled", age: 0 });
    }),
  },
  {
    name: "nothing is released",
    property: "release is not withheld from whom it is due",
    releases: () => false,
  },
];

function isConsented({ approvers }: Slot): boolean {
  return approvers === 0 || countOf(approvers) >= THRESHOLD;
}

function replaced(state: State, proposer: Proposer, change: Partial<Slot>): Outcome {
  const slots = state.slots.map((slot, place) => (place === proposer ? { ...slot, ...change } : slot));
  return { state: { ...state, slots } };
}
