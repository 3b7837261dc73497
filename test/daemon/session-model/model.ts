/**
 * A model of sessions (docs/models.md) for a small instance: an agent and its clock, a daemon of two processes on one
 * database of which the second one's clock is behind, a thief who reads what the agent sends, and other accounts. One
 * tick is `TICK_SECONDS`. Ends of messages are kept relative to the clock of the first process, which makes the set of
 * reachable states finite.
 */

import type { Outcome } from "../../helpers/explore.ts";

export const TICK_SECONDS = 120;
/** Ticks: what an agent asks for, the longest life, how far a clock may be ahead, and how early an agent renews. */
const SESSION = 25;
const LONGEST = 30;
const SKEW = 1;
const RENEW_BEFORE = 1;

export type Process = 0 | 1;
export const PROCESSES: readonly Process[] = [0, 1];
/** How far the clock of each process is behind that of the first. */
export const LAG: readonly number[] = [0, 1];
/** How far the agent's clock may be ahead of the first process's; at both ends are the first ones that are too far. */
export const OFFSETS: readonly number[] = [-26, -25, -24, 0, 5, 6, 7];
/** An agent whose clock is this near is served by both processes. */
const NEAR = { least: -24, most: 5 };

/** Below these, no party's answer depends any more on how long ago a message ended. */
const OLDEST_CURRENT = -26;
const OLDEST = -3;

/** A signed session message. */
export interface Message {
  /** Ticks until it ends, by the clock of the first process. */
  readonly left: number;
  /** Whether the database has its row: nonce, and hash of the token. */
  readonly isStored: boolean;
  /** How many sessions it has opened, counted to 2. */
  readonly openings: number;
}

export interface State {
  /** How far the agent's clock is ahead of that of the first process. */
  readonly offset: number;
  /** The latest two that the agent signed, the latest first. */
  readonly messages: readonly Message[];
  /** Whether the agent has the token of the latest. */
  readonly hasToken: boolean;
}

export const START: State = { offset: 0, messages: [], hasToken: false };

export type Action =
  | { readonly kind: "tick" }
  | { readonly kind: "agent's clock"; readonly offset: number }
  | { readonly kind: "agent works"; readonly process: Process }
  /** The agent opens a session, and the connection breaks before or after the daemon has done it. */
  | { readonly kind: "agent loses"; readonly process: Process; readonly what: "request" | "answer" }
  | { readonly kind: "thief opens"; readonly process: Process; readonly message: number }
  | { readonly kind: "thief alters"; readonly what: "account" | "audience" | "end" | "deployment" }
  /** The agent's token at a daemon of another deployment. */
  | { readonly kind: "token elsewhere" }
  | { readonly kind: "others open"; readonly process: Process }
  | { readonly kind: "restart"; readonly process: Process };

export type Step = (state: State, action: Action, rules?: Rules) => Outcome<State>;

/** What a defect would change. */
export interface Rules {
  /** Ticks by which a row outlives its message. */
  readonly keep: number;
  readonly skew: number;
  readonly renewsWhenRefused: boolean;
  readonly refusesReplays: boolean;
  readonly honoursUntilErased: boolean;
  readonly restartsForget: boolean;
}
export const RULES: Rules = {
  keep: SKEW,
  skew: SKEW,
  renewsWhenRefused: true,
  refusesReplays: true,
  honoursUntilErased: false,
  restartsForget: false,
};

export function actionsOf({ offset, messages, hasToken }: State): Action[] {
  const actions: Action[] = [{ kind: "tick" }];
  for (const other of OFFSETS) if (other !== offset) actions.push({ kind: "agent's clock", offset: other });
  for (const process of PROCESSES) {
    actions.push({ kind: "agent works", process }, { kind: "others open", process }, { kind: "restart", process });
    if (!usesToken({ offset, messages, hasToken })) {
      actions.push({ kind: "agent loses", process, what: "request" }, { kind: "agent loses", process, what: "answer" });
    }
    for (const message of messages.keys()) actions.push({ kind: "thief opens", process, message });
  }
  if (messages.length > 0) {
    for (const what of ["account", "audience", "end", "deployment"] as const) {
      actions.push({ kind: "thief alters", what });
    }
  }
  if (hasToken) actions.push({ kind: "token elsewhere" });
  return actions;
}

export const step: Step = (state, action, rules = RULES) => {
  const { messages } = state;
  switch (action.kind) {
    case "tick":
      return { state: { ...state, messages: messages.map(older) } };
    case "agent's clock":
      return { state: { ...state, offset: action.offset } };
    case "agent works":
      return works(state, action.process, rules);
    case "agent loses":
      return loses(state, action, rules);
    case "thief opens": {
      const { said, messages: after } = opened(messages, action.message, action.process, rules);
      return { state: { ...state, messages: after }, said };
    }
    case "thief alters": {
      if (action.what === "audience") return { refused: "audience" };
      const isTimely = action.what === "end" || isTimelyAt(messages[0] as Message, 0, rules);
      return { refused: isTimely ? "EIP-712 signature" : "clock" };
    }
    case "token elsewhere":
      return { refused: "token" };
    case "others open":
      return { state: { ...state, messages: swept(messages, action.process, rules) } };
    case "restart": {
      const forgotten = messages.map((message) => ({ ...message, isStored: false }));
      return { state: rules.restartsForget ? { ...state, messages: forgotten } : state };
    }
  }
};

function works(state: State, process: Process, rules: Rules): Outcome<State> {
  const current = state.messages[0];
  if (current !== undefined && usesToken(state)) {
    const isLive = rules.honoursUntilErased || lifeAt(current, process) > 0;
    if (current.isStored && isLive) return { state, said: "served" };
    if (!rules.renewsWhenRefused) return { state: { ...state, hasToken: false }, said: "token" };
  }
  const { said, messages } = opened(signed(state), 0, process, rules);
  const isOpen = said === "opened";
  return { state: { ...state, messages, hasToken: isOpen }, said: isOpen ? "served" : said };
}

function loses(state: State, { process, what }: Extract<Action, { kind: "agent loses" }>, rules: Rules) {
  const messages = signed(state);
  const after = what === "request" ? messages : opened(messages, 0, process, rules).messages;
  return { state: { ...state, messages: after, hasToken: false }, said: "connection" };
}

/** Whether the agent would send a request with the token that it has. */
function usesToken({ offset, messages, hasToken }: State): boolean {
  return hasToken && (messages[0]?.left ?? 0) - offset > RENEW_BEFORE;
}

/** The agent signs another one; the one before the last is forgotten, whichever the last ones are. */
function signed({ offset, messages }: State): Message[] {
  const before = messages[0];
  const message = { left: SESSION + offset, isStored: false, openings: 0 };
  return before === undefined ? [message] : [message, { ...before, left: Math.max(before.left, OLDEST) }];
}

/** What a process does with a message, and what it says. */
function opened(messages: readonly Message[], place: number, process: Process, rules: Rules) {
  if (!isTimelyAt(messages[place] as Message, process, rules)) return { said: "clock", messages };
  const left = swept(messages, process, rules);
  const message = left[place] as Message;
  if (message.isStored && rules.refusesReplays) return { said: "nonce", messages: left };
  const open = { ...message, isStored: true, openings: Math.min(message.openings + 1, 2) };
  return { said: "opened", messages: left.map((one, at) => (at === place ? open : one)) };
}

/** Every opening removes rows that no process needs any more. */
function swept(messages: readonly Message[], process: Process, { keep }: Rules): Message[] {
  return messages.map((message) =>
    message.isStored && lifeAt(message, process) <= -keep ? { ...message, isStored: false } : message,
  );
}

/** Ticks until a message ends by the clock of a process. */
export function lifeAt({ left }: Message, process: Process): number {
  return left + (LAG[process] ?? 0);
}

function isTimelyAt(message: Message, process: Process, { skew }: Rules): boolean {
  const life = lifeAt(message, process);
  return life > 0 && life <= LONGEST + skew;
}

function older(message: Message, place: number): Message {
  return { ...message, left: Math.max(message.left - 1, place === 0 ? OLDEST_CURRENT : OLDEST) };
}

export function keyOf({ offset, messages, hasToken }: State): string {
  const parts = messages.map(({ left, isStored, openings }) => `${left}${isStored ? "s" : ""}${openings}`);
  return `${offset}${hasToken ? "t" : ""}|${parts.join("|")}`;
}

export function brokenInState({ messages }: State): string | undefined {
  for (const message of messages) {
    if (message.openings > 1) return "a message opens one session";
    const isTaken = PROCESSES.some((process) => isTimelyAt(message, process, RULES));
    if (message.openings > 0 && !message.isStored && isTaken) return "a nonce is known while its message is taken";
  }
  return undefined;
}

export function brokenByAction(before: State, action: Action, outcome: Outcome<State>): string | undefined {
  if (action.kind === "thief alters" && "state" in outcome) return "a message opens only what was signed";
  if (action.kind === "token elsewhere" && "state" in outcome) return "a token is of no use elsewhere";
  if (action.kind !== "agent works" || !("state" in outcome)) return undefined;
  const { state, said } = outcome;
  const isServed = said === "served";
  if (isServed && lifeAt(state.messages[0] as Message, action.process) <= 0) return "no session outlives its message";
  const isNear = before.offset >= NEAR.least && before.offset <= NEAR.most;
  if (isNear && !isServed) return "an agent with a clock that is near is served";
  return isServed || said === "clock" ? undefined : "who is not served is told that it is the clock";
}
