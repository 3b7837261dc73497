/**
 * A model of the recovery policy (docs/release-policies.md) for a small instance: an author, a wallet, three guardians
 * of whom two must approve, two requesters, a thief, and a clock of ticks. One tick is an hour on the chain; requests
 * are made anew for ever, so times are kept relative to now and requests without their numbers, which makes the set of
 * reachable states finite.
 */

export const GUARDIANS = 3;
export const THRESHOLD = 2;
/** Ticks. */
export const WALLET_DELAY = 2;
export const GUARDIAN_DELAY = 1;
export const WINDOW = 2;

/** 0 is the wallet, 1 to 3 are the guardians. */
export type Proposer = 0 | 1 | 2 | 3;
export const PROPOSERS: readonly Proposer[] = [0, 1, 2, 3];
export type Guardian = 1 | 2 | 3;
export const GUARDIAN_LIST: readonly Guardian[] = [1, 2, 3];
/** 0 is the wallet itself; guardians name 1 or 2. */
export type Requester = 0 | 1 | 2;

export type Phase = "none" | "collecting" | "scheduled" | "closed" | "barred";

/** The request of one proposer. */
export interface Slot {
  readonly phase: Phase;
  readonly requester: Requester;
  /** Bit of each guardian that approved. */
  readonly approvers: number;
  /** Ticks since it was opened, or since it was scheduled. */
  readonly age: number;
}

export interface State {
  readonly slots: readonly Slot[];
  readonly isRetired: boolean;
}

const EMPTY: Slot = { phase: "none", requester: 0, approvers: 0, age: 0 };
const BARRED: Slot = { ...EMPTY, phase: "barred" };
export const START: State = { slots: PROPOSERS.map(() => EMPTY), isRetired: false };

export type Action =
  | { readonly kind: "tick" }
  | { readonly kind: "open"; readonly proposer: Proposer; readonly requester: Requester }
  /** A request with the number of the one before. */
  | { readonly kind: "replay"; readonly proposer: Proposer; readonly requester: Requester }
  | {
      readonly kind: "approve";
      readonly guardian: Guardian;
      readonly proposer: Guardian;
      /** Whom the guardian believes the request to be for. */
      readonly requester: Requester;
    }
  | { readonly kind: "veto"; readonly proposer: Proposer }
  | { readonly kind: "retire" }
  /** What a thief tries: in its own name, or in another's without a signature. */
  | { readonly kind: "thief opens"; readonly as: "itself" | Proposer }
  | { readonly kind: "thief approves"; readonly as: "itself" | Guardian; readonly proposer: Guardian }
  | { readonly kind: "thief vetoes"; readonly proposer: Proposer }
  | { readonly kind: "thief retires" };

/** What an action comes to: the next state, or the name of the contract's error. */
export type Outcome = { readonly state: State } | { readonly refused: string };
export type Step = (state: State, action: Action) => Outcome;

/** Every action that anybody can try in a state. */
export function actionsOf(state: State): Action[] {
  const actions: Action[] = [
    { kind: "tick" },
    { kind: "retire" },
    { kind: "thief retires" },
    { kind: "thief opens", as: "itself" },
  ];
  for (const proposer of PROPOSERS) {
    const requesters: readonly Requester[] = proposer === 0 ? [0] : [1, 2];
    for (const requester of requesters) actions.push({ kind: "open", proposer, requester });
    const slot = slotOf(state, proposer);
    if (slot.phase !== "none" && slot.phase !== "barred") {
      actions.push({ kind: "replay", proposer, requester: slot.requester });
    }
    actions.push({ kind: "veto", proposer }, { kind: "thief vetoes", proposer });
    actions.push({ kind: "thief opens", as: proposer });
  }
  for (const proposer of GUARDIAN_LIST) {
    for (const guardian of GUARDIAN_LIST) {
      for (const requester of [1, 2] as const) actions.push({ kind: "approve", guardian, proposer, requester });
      actions.push({ kind: "thief approves", as: guardian, proposer });
    }
    actions.push({ kind: "thief approves", as: "itself", proposer });
  }
  return actions;
}

/** The state machine. Checks are in the order of the contract, which decides the error. */
export const step: Step = (state, action) => {
  if (action.kind === "tick") return { state: { ...state, slots: state.slots.map(older) } };
  if (action.kind === "thief retires") return { refused: state.isRetired ? "NothingToRetire" : "InvalidSignature" };
  if (action.kind === "retire") {
    return state.isRetired ? { refused: "NothingToRetire" } : { state: { ...state, isRetired: true } };
  }
  if (state.isRetired) return { refused: "VersionRetired" };
  switch (action.kind) {
    case "thief opens": {
      if (action.as === "itself") return { refused: "NotNamed" };
      return { refused: slotOf(state, action.as).phase === "barred" ? "ProposerBarred" : "InvalidSignature" };
    }
    case "open": {
      const { proposer, requester } = action;
      if (slotOf(state, proposer).phase === "barred") return { refused: "ProposerBarred" };
      return withSlot(state, proposer, opened(proposer, requester));
    }
    case "replay":
      return { refused: "WrongNumber" };
    case "approve":
      return approved(state, action);
    case "thief approves": {
      if (action.as === "itself") return { refused: "NotNamed" };
      const { requester } = slotOf(state, action.proposer);
      const outcome = approved(state, { guardian: action.as, proposer: action.proposer, requester });
      return "refused" in outcome ? outcome : { refused: "InvalidSignature" };
    }
    case "veto":
    case "thief vetoes": {
      const slot = slotOf(state, action.proposer);
      if (slot.phase === "barred") return { refused: "ProposerBarred" };
      if (slot.phase === "none" || slot.phase === "closed") return { refused: "NothingToVeto" };
      if (isDue(action.proposer, slot)) return { refused: "VetoTooLate" };
      return action.kind === "veto" ? withSlot(state, action.proposer, BARRED) : { refused: "InvalidSignature" };
    }
  }
};

/** Whether the requester may have the secret released. */
export function mayRelease(state: State, requester: Requester): boolean {
  if (state.isRetired) return false;
  return state.slots.some((slot, proposer) => isDue(proposer, slot) && slot.requester === requester);
}

export function slotOf(state: State, proposer: Proposer): Slot {
  return state.slots[proposer] ?? EMPTY;
}

/** Whether a request is past its delay and still open. */
function isDue(proposer: number, { phase, age }: Slot): boolean {
  return phase === "scheduled" && age >= (proposer === 0 ? WALLET_DELAY : GUARDIAN_DELAY);
}

function opened(proposer: Proposer, requester: Requester): Slot {
  const approvers = proposer === 0 ? 0 : 1 << proposer;
  return { phase: proposer === 0 ? "scheduled" : "collecting", requester, approvers, age: 0 };
}

function approved(
  state: State,
  { guardian, proposer, requester }: { guardian: Guardian; proposer: Guardian; requester: Requester },
): Outcome {
  const slot = slotOf(state, proposer);
  if (slot.phase === "none") return { refused: "NotCurrentRequest" };
  // A barred place keeps its request on the chain; its content does not matter any more, so the model forgets it.
  if (slot.phase === "barred") return { refused: "ProposerBarred" };
  if (slot.requester !== requester) return { refused: "NotCurrentRequest" };
  if ((slot.approvers & (1 << guardian)) !== 0) return { refused: "AlreadyApproved" };
  if (countOf(slot.approvers) >= THRESHOLD) return { refused: "AlreadyScheduled" };
  if (slot.phase === "closed") return { refused: "RequestClosed" };
  const approvers = slot.approvers | (1 << guardian);
  const isEnough = countOf(approvers) === THRESHOLD;
  return withSlot(state, proposer, {
    ...slot,
    approvers,
    ...(isEnough ? { phase: "scheduled" as const, age: 0 } : {}),
  });
}

function withSlot(state: State, proposer: Proposer, slot: Slot): Outcome {
  return { state: { ...state, slots: state.slots.map((one, place) => (place === proposer ? slot : one)) } };
}

function older(slot: Slot, proposer: number): Slot {
  if (slot.phase !== "collecting" && slot.phase !== "scheduled") return slot;
  const delay = proposer === 0 ? WALLET_DELAY : GUARDIAN_DELAY;
  const limit = slot.phase === "collecting" ? WINDOW : delay + WINDOW;
  const age = slot.age + 1;
  return age < limit ? { ...slot, age } : { ...slot, phase: "closed", age: 0 };
}

export function countOf(bits: number): number {
  let count = 0;
  for (let rest = bits; rest > 0; rest >>= 1) count += rest & 1;
  return count;
}
