/**
 * What was accepted, written down apart from the model: who opened a request for whom, who approved it, how long ago,
 * what was vetoed and retired. The properties of docs/release-policies.md are about these facts, so that they do not
 * rest on how the model works out its answer.
 */

import {
  type Action,
  GUARDIAN_DELAY,
  type Outcome,
  PROPOSERS,
  type Requester,
  type State,
  slotOf,
  THRESHOLD,
  WALLET_DELAY,
  WINDOW,
} from "./model.ts";

/** Facts about the latest accepted request of one proposer. Ticks stop counting where no property looks any more. */
interface RequestFacts {
  readonly requester: Requester | undefined;
  /** Guardians whose approval of exactly this request was accepted, in order. */
  readonly approvers: readonly number[];
  readonly ticksOpen: number;
  /** Since the consent was complete; undefined while it is not. */
  readonly ticksDue: number | undefined;
  readonly wasVetoed: boolean;
}

export interface Facts {
  readonly requests: readonly RequestFacts[];
  readonly wasRetired: boolean;
}

const NOTHING: RequestFacts = {
  requester: undefined,
  approvers: [],
  ticksOpen: 0,
  ticksDue: undefined,
  wasVetoed: false,
};
export const NO_FACTS: Facts = { requests: PROPOSERS.map(() => NOTHING), wasRetired: false };

const LONG_AGO = WALLET_DELAY + WINDOW;

/** The facts after an action that was accepted. */
export function observe(facts: Facts, action: Action): Facts {
  const change = (proposer: number, next: (request: RequestFacts) => RequestFacts): Facts => ({
    ...facts,
    requests: facts.requests.map((request, place) => (place === proposer ? next(request) : request)),
  });
  switch (action.kind) {
    case "tick":
      return { ...facts, requests: facts.requests.map(later) };
    case "retire":
      return { ...facts, wasRetired: true };
    case "open":
      return change(action.proposer, ({ wasVetoed }) => ({
        ...NOTHING,
        requester: action.requester,
        approvers: action.proposer === 0 ? [] : [action.proposer],
        ticksDue: action.proposer === 0 ? 0 : undefined,
        wasVetoed,
      }));
    case "approve":
      return change(action.proposer, (request) => {
        const approvers = [...request.approvers, action.guardian];
        const isComplete = new Set(approvers).size === THRESHOLD;
        return { ...request, approvers, ...(isComplete ? { ticksDue: 0, ticksOpen: 0 } : {}) };
      });
    case "veto":
      return change(action.proposer, () => ({ ...NOTHING, wasVetoed: true }));
    default:
      return facts;
  }
}

function later(request: RequestFacts): RequestFacts {
  const { requester, ticksOpen, ticksDue } = request;
  if (requester === undefined) return request;
  if (ticksDue === undefined) return { ...request, ticksOpen: Math.min(ticksOpen + 1, WINDOW) };
  return { ...request, ticksDue: Math.min(ticksDue + 1, LONG_AGO) };
}

/** Whether the facts allow a release to a requester. */
function isDeserved(facts: Facts, requester: Requester): boolean {
  if (facts.wasRetired) return false;
  return facts.requests.some((request, proposer) => {
    if (request.requester !== requester || request.wasVetoed || request.ticksDue === undefined) return false;
    if (proposer !== 0 && new Set(request.approvers).size < THRESHOLD) return false;
    const delay = proposer === 0 ? WALLET_DELAY : GUARDIAN_DELAY;
    return request.ticksDue >= delay && request.ticksDue < delay + WINDOW;
  });
}

/**
 * The properties of a state. `releases` is what the system under test answers for a requester.
 * @returns the name of one that does not hold
 */
export function brokenInState(facts: Facts, releases: (requester: Requester) => boolean): string | undefined {
  for (const requester of [0, 1, 2] as const) {
    if (!releases(requester)) {
      if (isDeserved(facts, requester)) return "release is not withheld from whom it is due";
      continue;
    }
    if (facts.wasRetired) return "nothing after retirement";
    const isAsked = facts.requests.some((request) => request.requester === requester);
    if (!isAsked && facts.requests.some(({ wasVetoed }) => wasVetoed)) return "nothing after a veto";
    const consented = facts.requests.filter(
      (request, proposer) =>
        request.requester === requester &&
        !request.wasVetoed &&
        (proposer === 0 || new Set(request.approvers).size >= THRESHOLD),
    );
    if (consented.length === 0) return "never without the wallet or enough different guardians for this requester";
    if (!isDeserved(facts, requester)) return "nothing before the delay or after the window";
  }
  return undefined;
}

/** The properties of one action. @returns the name of one that does not hold */
export function brokenByAction(before: State, facts: Facts, action: Action, outcome: Outcome): string | undefined {
  const isAccepted = "state" in outcome;
  if (action.kind.startsWith("thief")) return isAccepted ? "a thief changes nothing" : undefined;
  if (action.kind === "replay") return isAccepted ? "nothing is opened twice by one message" : undefined;
  if (action.kind === "veto") return brokenVeto(facts, action.proposer, isAccepted);
  if (!isAccepted) return undefined;
  if (action.kind === "open" && facts.requests[action.proposer]?.wasVetoed === true) {
    return "a vetoed proposer opens nothing";
  }
  if (action.kind === "approve") {
    const request = facts.requests[action.proposer];
    if (request === undefined || request.requester !== action.requester) return "an approval is for what it names";
    if (request.approvers.includes(action.guardian)) return "a guardian counts once";
    if (request.ticksOpen >= WINDOW) return "approvals are collected for the window only";
  }
  if (action.kind !== "open" && action.kind !== "approve") return undefined;
  // A step leaves what it does not touch as the same object.
  const touched = PROPOSERS.filter((place) => slotOf(before, place) !== slotOf(outcome.state, place));
  const isOwn = touched.every((place) => place === action.proposer) && outcome.state.isRetired === before.isRetired;
  return isOwn ? undefined : "nobody touches the request of another";
}

/** A request that is not releasable yet can always be vetoed, and one that is never. */
function brokenVeto(facts: Facts, proposer: number, isAccepted: boolean): string | undefined {
  const request = facts.requests[proposer];
  if (request === undefined || request.requester === undefined || facts.wasRetired) {
    return isAccepted ? "there is something to veto" : undefined;
  }
  const delay = proposer === 0 ? WALLET_DELAY : GUARDIAN_DELAY;
  const isPending = request.ticksDue === undefined ? request.ticksOpen < WINDOW : request.ticksDue < delay;
  if (isPending && !isAccepted) return "the author can veto until the delay is over";
  return !isPending && isAccepted ? "no veto after the delay" : undefined;
}
