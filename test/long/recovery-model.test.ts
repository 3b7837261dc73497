/**
 * The state machine of docs/release-policies.md: every interleaving of a small instance in the model, and sampled ones
 * on the contract, where each step must come to the same as in the model.
 */

import { expect } from "chai";
import { type Exploration, explore } from "../contracts/recovery/explore.ts";
import {
  type Action,
  actionsOf,
  GUARDIAN_DELAY,
  GUARDIAN_LIST,
  type Guardian,
  mayRelease,
  START,
  type State,
  slotOf,
  step,
  WALLET_DELAY,
} from "../contracts/recovery/model.ts";
import { MUTANTS } from "../contracts/recovery/mutants.ts";
import { type OnChain, startOnChain } from "../contracts/recovery/on-chain.ts";
import { seeded } from "../helpers/explore.ts";

describe("recovery as a state machine", () => {
  let all: Exploration;

  before(function () {
    this.timeout(300_000);
    all = explore(step);
  });

  it("keeps every property in every state that any interleaving reaches", () => {
    expect(all.violation).to.equal(undefined);
    // Reaching fewer states than before means that the model has lost behaviour, and the properties with it.
    expect(all.states).to.equal(307_328);
    expect(all.transitions).to.equal(17_364_032);
  });

  it("reaches releases by the wallet and by guardians to either requester", () => {
    for (const requester of [0, 1, 2] as const) {
      expect(all.reached.some((state) => mayRelease(state, requester))).to.equal(true);
    }
  });

  for (const { name, property, step: broken, releases } of MUTANTS) {
    it(`finds a machine in which ${name}`, function () {
      this.timeout(300_000);
      const { violation } = explore(broken ?? step, releases);
      expect(violation?.property).to.equal(property);
    });
  }

  /** What the honest parties do, one after the other, and the ticks that they wait. */
  function lead(state: State, path: readonly Action[]): State {
    return path.reduce((at, action) => {
      const outcome = step(at, action);
      if ("refused" in outcome) throw new Error(`${JSON.stringify(action)}: ${outcome.refused}`);
      return outcome.state;
    }, state);
  }

  it("leaves two honest guardians a way to a release from every state, and the wallet one, unless barred", () => {
    let stuck = 0;
    for (const state of all.reached) {
      if (state.isRetired) continue;
      const wait = (ticks: number) => Array.from({ length: ticks }, (): Action => ({ kind: "tick" }));
      if (slotOf(state, 0).phase !== "barred") {
        const path: Action[] = [{ kind: "open", proposer: 0, requester: 0 }, ...wait(WALLET_DELAY)];
        if (!mayRelease(lead(state, path), 0)) stuck += 1;
      }
      for (const proposer of GUARDIAN_LIST) {
        if (slotOf(state, proposer).phase === "barred") continue;
        const helper: Guardian = proposer === 1 ? 2 : 1;
        if (!mayRelease(lead(state, guardiansPath(proposer, helper)), 1)) stuck += 1;
      }
    }
    expect(stuck).to.equal(0);
  });

  it("lets nobody but the author come between them", () => {
    const sample = all.reached.filter((state, place) => place % 97 === 0 && !state.isRetired);
    expect(sample.length).to.be.greaterThan(1000);
    for (const state of sample) {
      if (slotOf(state, 1).phase === "barred") continue;
      const path = guardiansPath(1, 2);
      for (let gap = 0; gap <= path.length; gap++) {
        const at = lead(state, path.slice(0, gap));
        for (const action of actionsOf(at).filter(isAdversary)) {
          const outcome = step(at, action);
          const next = "refused" in outcome ? at : outcome.state;
          expect(mayRelease(lead(next, path.slice(gap)), 1), JSON.stringify(action)).to.equal(true);
        }
      }
    }
  });

  function guardiansPath(proposer: Guardian, helper: Guardian): Action[] {
    const waiting = Array.from({ length: GUARDIAN_DELAY }, (): Action => ({ kind: "tick" }));
    return [
      { kind: "open", proposer, requester: 1 },
      { kind: "approve", guardian: helper, proposer, requester: 1 },
      ...waiting,
    ];
  }

  /** The wallet, the third guardian and the thief. */
  function isAdversary(action: Action): boolean {
    if (action.kind.startsWith("thief")) return true;
    if (action.kind === "open" || action.kind === "replay") return action.proposer === 0 || action.proposer === 3;
    return action.kind === "approve" && action.guardian === 3 && action.proposer !== 1;
  }

  describe("on the contract", () => {
    let chain: OnChain;

    before(async function () {
      this.timeout(120_000);
      chain = await startOnChain();
    });
    after(() => chain.stop());

    /** Compares every step, and after it what each requester and the thief may have. */
    async function replay(path: readonly Action[]): Promise<void> {
      await chain.newSecret();
      let state = START;
      for (const [place, action] of path.entries()) {
        const outcome = step(state, action);
        const seen = await chain.perform(action);
        const where = `step ${place} of ${JSON.stringify(path)}`;
        expect(seen, where).to.equal("refused" in outcome ? outcome.refused : "accepted");
        if ("state" in outcome) state = outcome.state;
        const expected = ([0, 1, 2] as const).map((requester) => mayRelease(state, requester));
        expect(await chain.released(), where).to.deep.equal([...expected, false]);
      }
    }

    it("comes to the same as the model for each thing that an action can come to", async function () {
      this.timeout(300_000);
      expect(all.examples.size).to.be.greaterThan(35);
      for (const path of all.examples.values()) await replay(path);
    });

    it("comes to the same as the model in random interleavings", async function () {
      this.timeout(300_000);
      const random = seeded(2026);
      let releases = 0;
      for (let walk = 0; walk < WALKS; walk++) {
        const path: Action[] = [];
        let state = START;
        while (path.length < STEPS) {
          // Most actions of most states are refused; refusals are sampled less often than they come.
          const choices = actionsOf(state).filter((action) => "state" in step(state, action) || random() < 0.1);
          const action = choices[Math.floor(random() * choices.length)];
          if (action === undefined || (action.kind === "retire" && random() < 0.9)) continue;
          path.push(action);
          const outcome = step(state, action);
          if ("state" in outcome) state = outcome.state;
          if (([0, 1, 2] as const).some((requester) => mayRelease(state, requester))) releases += 1;
        }
        await replay(path);
      }
      expect(releases).to.be.greaterThan(WALKS);
    });
  });
});

const WALKS = 6;
const STEPS = 30;
