/**
 * The state machine of the shares that nodes keep (docs/models.md): every interleaving of a small instance in the
 * model, and chosen ones with real coordinators, databases, key shares and a chain, where each step must come to the
 * same.
 */

import { expect } from "chai";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { type Exploration, explore } from "../helpers/explore.ts";
import {
  type Action,
  actionsOf,
  NODES,
  RULES,
  type Rules,
  START,
  type State,
  type Step,
  step,
} from "../nbm/generations/keeping/model.ts";
import { brokenByAction, brokenInState, holds } from "../nbm/generations/keeping/properties.ts";
import { RealNodes } from "../nbm/generations/keeping/real.ts";

/** Nodes with one defect each: the exploration must find it, or its properties say nothing. */
const MUTANTS: readonly { name: string; property: string; rules: Partial<Rules> }[] = [
  {
    name: "shares are erased before the next activation is final",
    property: "members keep their shares of the generation before until the activation is final",
    rules: { waitsUntilFinal: false },
  },
  {
    name: "a later outcome of a run replaces the earlier one",
    property: "members keep their shares of the active generation",
    rules: { keepsOutcomes: false },
  },
  {
    name: "the latest outcome is used instead of the one that all attested",
    property: "a node uses the keys of the chain once it has looked",
    rules: { usesKeysOfChain: false },
  },
  {
    name: "shares are erased when the next generation is opened",
    property: "no node erases shares of the active generation",
    rules: { keepsWhatIsActive: false },
  },
  {
    name: "the keys of an activation that was taken back stay in use",
    property: "a node uses the keys of the chain once it has looked",
    rules: { followsReorganisations: false },
  },
];

function exploreKeeping(under: Step): Exploration<State, Action> {
  return explore<State, Action>({
    start: START,
    actionsOf,
    step: (state, action) => under(state, action),
    keyOf: (state) => JSON.stringify(state),
    kindOf: (action) => `${action.kind} ${"keys" in action ? action.keys : ""}`,
    brokenInState,
    brokenByAction,
  });
}

/** How many nodes still have shares of a generation that is replaced for good, when all have looked three times. */
function leftovers(all: Exploration<State, Action>, under: Step): number {
  let left = 0;
  for (const start of all.reached) {
    if (start.undo !== undefined) continue;
    let state = start;
    for (const node of [...NODES, ...NODES, ...NODES]) {
      const outcome = under(state, { kind: "advance", node });
      if ("state" in outcome) state = outcome.state;
    }
    const { active } = state.chain;
    for (const node of NODES) {
      const isCurrent = holds(state, state.chain, node) || state.hasLost;
      if (isCurrent && state.rows[node]?.slice(0, active - 1).some((row) => row?.phase === "ready")) left += 1;
    }
  }
  return left;
}

describe("the shares that nodes keep as a state machine", function () {
  this.timeout(300_000);
  let all: Exploration<State, Action>;
  before(async () => {
    await oprfReady();
    all = exploreKeeping(step);
  });

  it("keeps every property in every state that any interleaving reaches", () => {
    expect(all.violation).to.equal(undefined);
    // Reaching fewer states than before means that the model has lost behaviour, and the properties with it.
    expect([all.states, all.transitions]).to.deep.equal([254_448, 1_054_822]);
  });

  it("leaves no shares of a replaced generation at a node that has looked three times, from every state", () => {
    expect(leftovers(all, step)).to.equal(0);
    const hoarding: Step = (state, action) => step(state, action, { ...RULES, erases: false });
    expect(leftovers(all, hoarding)).to.be.greaterThan(0);
  });

  for (const { name, property, rules } of MUTANTS) {
    it(`finds nodes with which ${name}`, () => {
      const under: Step = (state, action) => step(state, action, { ...RULES, ...rules });
      expect(exploreKeeping(under).violation?.property).to.equal(property);
    });
  }

  describe("with real nodes", () => {
    let real: RealNodes;
    before(async () => {
      real = await RealNodes.start();
    });
    after(async () => {
      await real?.stop();
    });

    /** Compares the chain and the disk of every node after every step. */
    async function replay(path: readonly Action[]): Promise<void> {
      await real.begin();
      let state = START;
      for (const [place, action] of path.entries()) {
        await real.perform(action, state);
        const outcome = step(state, action);
        if ("state" in outcome) state = outcome.state;
        const where = `step ${place} of ${JSON.stringify(path)}`;
        expect(await real.statuses(), where).to.deep.equal(state.chain.generations.map(({ status }) => status));
        for (const node of NODES) expect(real.rowsOf(node, state), where).to.deep.equal(state.rows[node]);
      }
    }

    it("comes to the same as the model for each thing that an action can come to", async () => {
      expect(all.examples.size).to.be.greaterThan(8);
      for (const path of all.examples.values()) await replay(path);
    });

    it("erases shares of keys that a reorganisation took back, when they are all that it has", async () => {
      const at = (node: 0 | 1, ...kinds: string[]) => kinds.map((kind) => ({ kind, node }) as Action);
      const did = (kind: "outcome" | "attest", node: 0 | 1, keys: "X" | "Y"): Action => ({ kind, node, keys });
      const path: Action[] = [{ kind: "open", plan: 0 }, ...at(0, "advance"), ...at(1, "advance")];
      path.push(did("outcome", 0, "X"), did("outcome", 0, "Y"), did("outcome", 1, "X"), did("outcome", 1, "Y"));
      path.push(did("attest", 1, "Y"), ...at(1, "lose disk", "advance"), did("outcome", 1, "X"));
      path.push(did("attest", 0, "Y"), { kind: "final" }, ...at(1, "advance"), { kind: "open", plan: 1 });
      path.push(...at(0, "advance", "advance"), did("outcome", 0, "X"), did("attest", 0, "X"));
      path.push(...at(1, "advance"), { kind: "final" }, ...at(1, "advance"));
      await replay(path);
      expect(real.rowsOf(1, START)).to.deep.equal([undefined, undefined, undefined]);
    });
  });
});
