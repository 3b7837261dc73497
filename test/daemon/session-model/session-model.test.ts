/**
 * The state machine of sessions (docs/models.md): every interleaving of a small instance in the model, and sampled ones
 * at real servers with the agent's own client, where each step must come to the same as in the model.
 */

import { expect } from "chai";
import { type Exploration, explore, saidBy, seeded, walk } from "../../helpers/explore.ts";
import {
  type Action,
  actionsOf,
  brokenByAction,
  brokenInState,
  keyOf,
  RULES,
  type Rules,
  START,
  type State,
  type Step,
  step,
} from "./model.ts";
import { RealSessions } from "./real.ts";

const WALKS = 12;
const STEPS = 60;

/** Machines with one defect each: the exploration must find it, or its properties say nothing. */
const MUTANTS: readonly { name: string; property: string; rules?: Partial<Rules>; step?: Step }[] = [
  {
    name: "a process removes rows at the end of their messages by its own clock",
    property: "a nonce is known while its message is taken",
    rules: { keep: 0 },
  },
  {
    name: "a restart forgets the nonces",
    property: "a nonce is known while its message is taken",
    rules: { restartsForget: true },
  },
  { name: "nonces are not checked", property: "a message opens one session", rules: { refusesReplays: false } },
  {
    name: "a token is good until its row is removed",
    property: "no session outlives its message",
    rules: { honoursUntilErased: true },
  },
  {
    name: "clocks have to agree",
    property: "an agent with a clock that is near is served",
    rules: { skew: 0 },
  },
  {
    name: "the agent does not renew a token that is refused",
    property: "who is not served is told that it is the clock",
    rules: { renewsWhenRefused: false },
  },
  {
    name: "an agent with a wrong clock is told something else",
    property: "who is not served is told that it is the clock",
    step: (state, action) => {
      const outcome = step(state, action);
      return "state" in outcome && outcome.said === "clock" ? { ...outcome, said: "nonce" } : outcome;
    },
  },
  {
    name: "the account is not signed",
    property: "a message opens only what was signed",
    step: (state, action) =>
      action.kind === "thief alters" && action.what === "account" ? { state } : step(state, action),
  },
  {
    name: "daemons know each other's tokens",
    property: "a token is of no use elsewhere",
    step: (state, action) => (action.kind === "token elsewhere" ? { state } : step(state, action)),
  },
];

function exploreSessions(under: Step): Exploration<State, Action> {
  return explore({
    start: START,
    actionsOf,
    step: (state, action) => under(state, action),
    keyOf,
    kindOf: (action) => `${action.kind} ${"what" in action ? action.what : ""}`,
    brokenInState,
    brokenByAction,
  });
}

describe("sessions as a state machine", function () {
  this.timeout(300_000);
  let all: Exploration<State, Action>;
  before(() => {
    all = exploreSessions(step);
  });

  it("keeps every property in every state that any interleaving reaches", () => {
    expect(all.violation).to.equal(undefined);
    // Reaching fewer states than before means that the model has lost behaviour, and the properties with it.
    expect([all.states, all.transitions]).to.deep.equal([83_188, 2_032_020]);
  });

  for (const { name, property, rules, step: broken } of MUTANTS) {
    it(`finds a machine in which ${name}`, () => {
      const under: Step = broken ?? ((state, action) => step(state, action, { ...RULES, ...rules }));
      expect(exploreSessions(under).violation?.property).to.equal(property);
    });
  }

  /** Compares what is said in every step. */
  async function replay(path: readonly Action[]): Promise<void> {
    const real = new RealSessions();
    try {
      let state = START;
      for (const [place, action] of path.entries()) {
        const outcome = step(state, action);
        expect(await real.perform(action), `step ${place} of ${JSON.stringify(path)}`).to.equal(saidBy(outcome));
        if ("state" in outcome) state = outcome.state;
      }
    } finally {
      await real.close();
    }
  }

  it("comes to the same at real servers for each thing that an action can come to", async () => {
    expect(all.examples.size).to.be.greaterThan(15);
    for (const path of all.examples.values()) await replay(path);
  });

  it("comes to the same at real servers when a session ends at one process before the other", async () => {
    const works: Action = { kind: "agent works", process: 0 };
    const ticks = Array.from({ length: 25 }, (): Action => ({ kind: "tick" }));
    const stolen: Action = { kind: "thief opens", process: 1, message: 0 };
    await replay([works, ...ticks, { kind: "others open", process: 0 }, stolen, { kind: "tick" }, stolen]);
  });

  it("comes to the same at real servers in random interleavings", async () => {
    const random = seeded(2026);
    for (let count = 0; count < WALKS; count++) await replay(walk({ start: START, actionsOf, step }, STEPS, random));
  });
});
