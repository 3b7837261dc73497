/**
 * What was accepted, written down apart from the model: who voted for what while which generation was active, who
 * attested what, and with which keys the committee began. The properties of docs/models.md are about these facts.
 */

import type { Outcome } from "../../helpers/explore.ts";
import { type Action, groupOf, type Keys, LEAVING, NODES, PLANS, type Plan, type State } from "./model.ts";

export interface Facts {
  /** Latest vote of each node since the last opening and the last activation. */
  readonly votes: readonly (Plan | undefined)[];
  /** Latest attestation of each node to the latest generation. */
  readonly attested: readonly (Keys | undefined)[];
  /** The group of the first keys; 0 before. */
  readonly group: 0 | 1 | 2;
  readonly isLeaving: boolean;
}

const NOTHING = NODES.map(() => undefined);
export const NO_FACTS: Facts = { votes: NOTHING, attested: NOTHING, group: 0, isLeaving: false };

/** The facts after an action that was accepted. */
export function observe(facts: Facts, before: State, action: Action, after: State): Facts {
  const replaced = <T>(list: readonly T[], node: number, value: T) =>
    list.map((one, at) => (at === node ? value : one));
  const isOpened = after.generations.length > before.generations.length;
  const isActivated = after.active !== before.active;
  let { votes, attested, group, isLeaving } = facts;
  if (action.kind === "leave") isLeaving = true;
  if (action.kind === "propose") votes = replaced(votes, action.node, action.plan);
  if (action.kind === "attest") attested = replaced(attested, action.node, action.keys);
  if (action.kind === "attest" && group === 0 && isActivated) group = groupOf(action.keys);
  // Facts about a generation that nothing can be attested to any more are forgotten, or states would differ by them.
  if (isOpened || after.generations.at(-1)?.status !== "forming") attested = NOTHING;
  if (isOpened || isActivated) votes = NOTHING;
  return { votes, attested, group, isLeaving };
}

export function brokenInState({ generations, active }: State, { group }: Facts): string | undefined {
  const actives = generations.filter(({ status }) => status === "active");
  if (actives.length > 1) return "one generation is active";
  if (group !== 0 && generations[active - 1]?.status !== "active") return "a committee stays active";
  const keys = generations[active - 1]?.keys;
  if (keys !== undefined && groupOf(keys) !== group) return "the group keys are those of generation 1";
  const isEarlierOpen = generations.slice(0, -1).some(({ status }) => status === "forming" || status === "expired");
  return isEarlierOpen ? "only the latest generation forms" : undefined;
}

export function brokenByAction(
  before: State,
  facts: Facts,
  action: Action,
  outcome: Outcome<State>,
): string | undefined {
  if ("refused" in outcome) return undefined;
  const after = outcome.state;
  for (const [at, { status, plan, keys }] of before.generations.entries()) {
    const later = after.generations[at];
    if (later === undefined || later.plan !== plan) return "no number is used again";
    if (status !== "forming" && later.status !== status && NEXT[status]?.includes(later.status) !== true) {
      return "what is over stays over";
    }
    if (keys !== undefined && later.keys !== keys) return "the keys of a generation never change";
  }
  if (after.active < before.active) return "a generation is replaced by a later one";
  return brokenOpening(before, facts, action, after) ?? brokenActivation(before, facts, action, after);
}

/** What follows a state in which nothing can be attested. */
const NEXT: Readonly<Record<string, readonly string[]>> = { active: ["replaced"], expired: ["abandoned"] };

function brokenOpening(before: State, facts: Facts, action: Action, after: State): string | undefined {
  const opened = after.generations[before.generations.length];
  if (opened === undefined) return undefined;
  const current = before.generations[before.active - 1];
  if (action.kind !== "propose" || current === undefined) return "members of the active generation open the next one";
  const { members, threshold } = PLANS[current.plan];
  const votes = facts.votes.map((vote, node) => (node === action.node ? action.plan : vote));
  if (members.filter((member) => votes[member] === opened.plan).length < threshold) {
    return "members of the active generation open the next one";
  }
  const named: readonly number[] = PLANS[opened.plan].members;
  return facts.isLeaving && named.includes(LEAVING) ? "who leaves takes no new share" : undefined;
}

function brokenActivation(before: State, facts: Facts, action: Action, after: State): string | undefined {
  const activated = after.generations[after.active - 1];
  if (after.active === before.active || activated === undefined) return undefined;
  if (before.generations[after.active - 1]?.status !== "forming") return "what is over stays over";
  if (action.kind !== "attest") return "all members attested to the keys";
  if (facts.isLeaving && action.node === LEAVING) return "who leaves takes no new share";
  const attested = facts.attested.map((keys, node) => (node === action.node ? action.keys : keys));
  const isAgreed = PLANS[activated.plan].members.every((member) => attested[member] === activated.keys);
  return isAgreed ? undefined : "all members attested to the keys";
}
