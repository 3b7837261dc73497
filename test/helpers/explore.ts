/** Visits every state of a finite machine that any interleaving of actions leads to, and checks properties in each. */

/**
 * What an action comes to: the next state, with what was said when that is not just "accepted"; or the name of the
 * error, with which nothing changes.
 */
export type Outcome<State> = { readonly state: State; readonly said?: string } | { readonly refused: string };

export function saidBy(outcome: Outcome<unknown>): string {
  return "refused" in outcome ? outcome.refused : (outcome.said ?? "accepted");
}

export interface Machine<State, Action> {
  readonly start: State;
  /** Every action that anybody can try in a state. */
  readonly actionsOf: (state: State) => readonly Action[];
  readonly step: (state: State, action: Action) => Outcome<State>;
  /** Two states with one key are the same. */
  readonly keyOf: (state: State) => string;
  /** Of which kind an action is, for `examples`. */
  readonly kindOf: (action: Action) => string;
  /** The name of a property that does not hold in a state. */
  readonly brokenInState?: (state: State) => string | undefined;
  /** The name of a property that an action breaks. */
  readonly brokenByAction?: (state: State, action: Action, outcome: Outcome<State>) => string | undefined;
}

export interface Violation<Action> {
  readonly property: string;
  /** Actions from the start. */
  readonly path: readonly Action[];
}

export interface Exploration<State, Action> {
  readonly states: number;
  readonly transitions: number;
  /** The first violation, which has a shortest path. */
  readonly violation: Violation<Action> | undefined;
  /** A shortest path to each thing that an action can come to: its kind with what was said. */
  readonly examples: ReadonlyMap<string, readonly Action[]>;
  /** Every state, in the order of its distance from the start. */
  readonly reached: readonly State[];
}

interface Visit<State, Action> {
  readonly state: State;
  readonly parent: number;
  readonly action: Action | undefined;
}

export function explore<State, Action>(machine: Machine<State, Action>): Exploration<State, Action> {
  const { start, actionsOf, step, keyOf, kindOf, brokenInState, brokenByAction } = machine;
  const visits: Visit<State, Action>[] = [{ state: start, parent: -1, action: undefined }];
  const seen = new Set<string>([keyOf(start)]);
  const examples = new Map<string, Action[]>();
  let transitions = 0;
  const pathTo = (place: number): Action[] => {
    const path: Action[] = [];
    for (let at = visits[place]; at?.action !== undefined; at = visits[at.parent]) path.unshift(at.action);
    return path;
  };
  const ended = (violation: Violation<Action> | undefined): Exploration<State, Action> => {
    return { states: visits.length, transitions, violation, examples, reached: visits.map(({ state }) => state) };
  };
  // The list grows while it is walked: first in, first out.
  for (let place = 0; place < visits.length; place++) {
    const visit = visits[place];
    if (visit === undefined) break;
    const { state } = visit;
    const broken = brokenInState?.(state);
    if (broken !== undefined) return ended({ property: broken, path: pathTo(place) });
    for (const action of actionsOf(state)) {
      transitions += 1;
      const outcome = step(state, action);
      const example = `${kindOf(action)}: ${saidBy(outcome)}`;
      if (!examples.has(example)) examples.set(example, [...pathTo(place), action]);
      const violated = brokenByAction?.(state, action, outcome);
      if (violated !== undefined) return ended({ property: violated, path: [...pathTo(place), action] });
      if ("refused" in outcome) continue;
      const key = keyOf(outcome.state);
      if (seen.has(key)) continue;
      seen.add(key);
      visits.push({ state: outcome.state, parent: place, action });
    }
  }
  return ended(undefined);
}

/** A walk of accepted actions, with a tenth of the refusals: most actions of most states are refused. */
export function walk<State, Action>(
  { start, actionsOf, step }: Pick<Machine<State, Action>, "start" | "actionsOf" | "step">,
  steps: number,
  random: () => number,
): Action[] {
  const path: Action[] = [];
  let state = start;
  while (path.length < steps) {
    const choices = actionsOf(state).filter((action) => "state" in step(state, action) || random() < 0.1);
    const action = choices[Math.floor(random() * choices.length)];
    if (action === undefined) continue;
    path.push(action);
    const outcome = step(state, action);
    if ("state" in outcome) state = outcome.state;
  }
  return path;
}

/** Mulberry32: numbers from 0 to 1, the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
