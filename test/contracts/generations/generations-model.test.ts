/**
 * The state machine of generations (docs/models.md): every interleaving of a small instance in the model, and sampled
 * ones on the contract, where each step must come to the same as in the model.
 */

import { expect } from "chai";
import { type ChainReader, connectChain, type Deployment } from "../../../offchain/chain/deployment.ts";
import {
  attestGenerationCall,
  createCommitteeCall,
  proposeGenerationCall,
  readCommittee,
  readCommitteeState,
  registerNodeCall,
  requestExitCall,
} from "../../../offchain/chain/registry.ts";
import { type Anvil, anvilWallet, startAnvil } from "../../helpers/anvil.ts";
import { attemptCall } from "../../helpers/attempt-call.ts";
import { deployTo } from "../../helpers/contracts.ts";
import { type Exploration, explore, saidBy, seeded, walk } from "../../helpers/explore.ts";
import { keyMaterial } from "../../helpers/key-material.ts";
import { brokenByAction, brokenInState, type Facts, NO_FACTS, observe } from "./facts.ts";
import {
  type Action,
  actionsOf,
  groupOf,
  type Keys,
  LAST_GENERATION,
  LEAVING,
  NODES,
  PLANS,
  START,
  type State,
  type Step,
  step,
} from "./model.ts";
import { MUTANTS } from "./mutants.ts";

const WALKS = 12;
const STEPS = 40;
const DAY_SECONDS = 86_400;
const STAKE_WEI = 10n ** 18n;

interface Known {
  readonly state: State;
  readonly facts: Facts;
}

function exploreGenerations(under: Step): Exploration<Known, Action> {
  return explore<Known, Action>({
    start: { state: START, facts: NO_FACTS },
    actionsOf: ({ state }) => actionsOf(state),
    step: ({ state, facts }, action) => {
      const outcome = under(state, action);
      if ("refused" in outcome) return outcome;
      return { state: { state: outcome.state, facts: observe(facts, state, action, outcome.state) } };
    },
    keyOf: (known) => JSON.stringify(known),
    kindOf: ({ kind }) => kind,
    brokenInState: ({ state, facts }) => brokenInState(state, facts),
    brokenByAction: ({ state, facts }, action, outcome) =>
      brokenByAction(state, facts, action, "refused" in outcome ? outcome : outcome.state),
  });
}

describe("generations of a committee as a state machine", function () {
  this.timeout(300_000);
  let all: Exploration<Known, Action>;
  before(() => {
    all = exploreGenerations(step);
  });

  it("keeps every property in every state that any interleaving reaches", () => {
    expect(all.violation).to.equal(undefined);
    // Reaching fewer states than before means that the model has lost behaviour, and the properties with it.
    expect([all.states, all.transitions]).to.deep.equal([19_602, 1_285_204]);
  });

  for (const { name, property, step: broken } of MUTANTS) {
    it(`finds a registry in which ${name}`, () => {
      expect(exploreGenerations(broken).violation?.property).to.equal(property);
    });
  }

  it("leaves the members of an active generation a way to the next one from every state", () => {
    let tried = 0;
    for (const { state } of all.reached) {
      const { generations, active } = state;
      const current = generations[active - 1];
      if (current === undefined || generations.length === LAST_GENERATION) continue;
      const { members, threshold } = PLANS[current.plan];
      const number = generations.length + 1;
      let at = state;
      const perform = (action: Action) => {
        const outcome = step(at, action);
        if ("refused" in outcome) throw new Error(`${JSON.stringify({ state, action })}: ${outcome.refused}`);
        at = outcome.state;
      };
      // Earlier votes for the same plan may open it before all of these have voted.
      for (const node of members.slice(0, threshold)) {
        if (at.generations.length < number) perform({ kind: "propose", node, number, plan: 1 });
      }
      const keys: Keys = current.keys ?? "X";
      for (const node of PLANS[1].members) perform({ kind: "attest", node, number, keys });
      expect(at.active).to.equal(number);
      tried += 1;
    }
    expect(tried).to.be.greaterThan(1000);
  });

  describe("on the contract", () => {
    let anvil: Anvil;
    let deployment: Deployment;
    let chain: ChainReader;
    let snapshot: unknown;
    const operators = NODES.map((node) => anvilWallet(node + 1).address);
    const operatorOf = (node: number): string => operators[node] as string;
    const membersOf = (plan: 0 | 1) => PLANS[plan].members.map(operatorOf);

    before(async () => {
      anvil = await startAnvil();
      deployment = await deployTo(anvil.url, { minStakeWei: STAKE_WEI });
      chain = await connectChain(deployment);
      for (const node of NODES) {
        const hpkePublicKey = new Uint8Array(32).fill(node + 1);
        const call = registerNodeCall(deployment, { url: `http://n${node}`, hpkePublicKey, stakeWei: STAKE_WEI });
        expect(await attemptCall(anvil, chain, call, operatorOf(node))).to.equal("accepted");
      }
      const call = createCommitteeCall(deployment, membersOf(0), PLANS[0].threshold);
      expect(await attemptCall(anvil, chain, call, operatorOf(0))).to.equal("accepted");
      snapshot = await anvil.rpc("evm_snapshot");
    });
    after(async () => {
      chain?.close();
      await anvil?.kill();
    });

    async function perform(action: Action, state: State): Promise<string> {
      switch (action.kind) {
        case "tick":
          await anvil.rpc("evm_increaseTime", [DAY_SECONDS + 1]);
          await anvil.rpc("evm_mine");
          return "accepted";
        case "leave":
          return await attemptCall(anvil, chain, requestExitCall(deployment), operatorOf(LEAVING));
        case "propose": {
          const { number, plan, node } = action;
          const { threshold } = PLANS[plan];
          const call = proposeGenerationCall(deployment, 1n, number, membersOf(plan), threshold);
          return await attemptCall(anvil, chain, call, operatorOf(node));
        }
        case "attest": {
          const { number, keys, node } = action;
          const size = PLANS[state.generations[number - 1]?.plan ?? 0].members.length;
          const shares = Array.from({ length: size }, (_, at) => new Uint8Array(32).fill(keys.charCodeAt(0) + at * 16));
          const material = keyMaterial(new Uint8Array(32).fill(groupOf(keys)), shares);
          return await attemptCall(
            anvil,
            chain,
            attestGenerationCall(deployment, 1n, number, material),
            operatorOf(node),
          );
        }
      }
    }

    /** Compares every step, and after it the active generation, and all generations with their members. */
    async function replay(path: readonly Action[]): Promise<void> {
      await anvil.rpc("evm_revert", [snapshot]);
      snapshot = await anvil.rpc("evm_snapshot");
      await anvil.rpc("evm_mine");
      let state = START;
      for (const [place, action] of path.entries()) {
        const outcome = step(state, action);
        const where = `step ${place} of ${JSON.stringify(path)}`;
        expect(await perform(action, state), where).to.equal(saidBy(outcome));
        if ("refused" in outcome) continue;
        state = outcome.state;
        const { latest, active } = await readCommitteeState(chain, 1n);
        expect([latest, active], where).to.deep.equal([state.generations.length, state.active]);
        for (const [at, { plan, status }] of state.generations.entries()) {
          const committee = await readCommittee(chain, 1n, at + 1);
          expect(committee, where).to.include({ status, threshold: PLANS[plan].threshold });
          expect(committee.members.map(({ operator }) => operator)).to.deep.equal(membersOf(plan));
        }
      }
    }

    it("comes to the same as the model for each thing that an action can come to", async () => {
      expect(all.examples.size).to.be.greaterThan(12);
      for (const path of all.examples.values()) await replay(path);
    });

    it("comes to the same as the model in random interleavings", async () => {
      const random = seeded(2026);
      let activations = 0;
      for (let count = 0; count < WALKS; count++) {
        const path = walk({ start: START, actionsOf: likely, step }, STEPS, random);
        activations += path.reduce((state, action) => {
          const outcome = step(state, action);
          return "refused" in outcome ? state : outcome.state;
        }, START).active;
        await replay(path);
      }
      expect(activations).to.be.greaterThan(WALKS);
    });

    /** Actions that end much, and keys that differ, are taken less often, or no generation would become active. */
    function likely(state: State): Action[] {
      return actionsOf(state).flatMap((action): Action[] => {
        if (action.kind === "attest") return action.keys === "X" ? [action, action, action, action] : [action];
        return action.kind === "propose" ? [action, action] : [action];
      });
    }
  });
});
