/** Which sources of randomness the agent begins data sets with, by what the chain answers and not by a name. */
import { expect } from "chai";
import type { RandomnessPlan } from "../../../ignition/deploy-tallystick.ts";
import { requireSafeRandomness } from "../../../offchain/agent/data-sets/randomness-policy.ts";
import type { ChainReader, Deployment } from "../../../offchain/chain/deployment.ts";
import { openProvider } from "../../../offchain/chain/endpoint.ts";
import { inspectRandomness } from "../../../offchain/chain/randomness-kind.ts";
import { type Anvil, startAnvil } from "../../helpers/anvil.ts";
import { deployTo } from "../../helpers/contracts.ts";
import { testNetwork } from "../../helpers/drand.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const PLANS: Record<"block" | "prevrandao" | "drand", RandomnessPlan> = {
  block: { kind: "block" },
  prevrandao: { kind: "prevrandao", gridBlocks: 30n, ringSize: 274n },
  drand: { kind: "drand", network: testNetwork("policy"), relays: [] },
};

describe("sources of randomness that the agent takes", function () {
  this.timeout(60_000);
  let anvil: Anvil;
  const deployments: Partial<Record<string, Deployment>> = {};

  before(async () => {
    anvil = await startAnvil();
    for (const [kind, plan] of Object.entries(PLANS)) deployments[kind] = await deployTo(anvil.url, {}, plan);
  });
  after(() => anvil.kill());

  /** A reader of the chain as if it had another id. */
  const reader = (kind: string, chainId: number, over: Partial<Deployment> = {}): ChainReader => {
    const deployment = { ...(deployments[kind] as Deployment), chainId, ...over };
    const provider = openProvider(anvil.url, 31_337n);
    return { deployment, provider, close: () => provider.destroy() };
  };

  it("are told apart by what they answer", async () => {
    const facts = async (kind: string) => {
      const chain = reader(kind, 31_337);
      try {
        return await inspectRandomness(chain, chain.deployment.contracts.randomness);
      } finally {
        chain.close();
      }
    };
    expect(await facts("block")).to.deep.equal({ kind: "block", gridBlocks: 1, memoryBlocks: 8191 });
    expect(await facts("prevrandao")).to.deep.equal({ kind: "prevrandao", gridBlocks: 30, memoryBlocks: 8191 });
    expect(await facts("drand")).to.deep.equal({ kind: "drand", gridBlocks: 1, memoryBlocks: 8191 });
  });

  for (const [kind, chainId, isAllowed, code] of [
    ["block", 31_337, false, undefined],
    ["block", 1, false, "INVALID_INPUT"],
    ["block", 11_155_111, false, "INVALID_INPUT"],
    ["block", 1, true, undefined],
    ["prevrandao", 1, false, undefined],
    ["drand", 1, false, undefined],
  ] as const) {
    const taken = code === undefined ? "is taken" : "is refused";
    it(`${kind} ${taken} on chain ${chainId}${isAllowed ? " when the user allows it" : ""}`, async () => {
      const chain = reader(kind, chainId);
      const wishes = isAllowed ? { allowBlockRandomness: true } : {};
      try {
        if (code === undefined) return await requireSafeRandomness(chain, wishes);
        const error = await expectAsyncRejection(() => requireSafeRandomness(chain, wishes), code);
        expect(error.check).to.equal("source of randomness");
        expect(error.hint).to.contain("--allow-block-randomness");
      } finally {
        chain.close();
      }
    });
  }

  it("must leave half of an epoch for disputes of a set on demand", async () => {
    const parameters = { epochBlocks: 60n };
    for (const [gridBlocks, isTaken] of [
      [30n, true],
      [60n, false],
    ] as const) {
      const plan = { kind: "prevrandao", gridBlocks, ringSize: 274n } as const;
      deployments.coarse = await deployTo(anvil.url, parameters, plan);
      const chain = reader("coarse", 31_337);
      try {
        await requireSafeRandomness(chain, { mode: "every-epoch" });
        if (isTaken) await requireSafeRandomness(chain, { mode: "on-demand" });
        else {
          const ask = () => requireSafeRandomness(chain, { mode: "on-demand" });
          const refused = await expectAsyncRejection(ask, "INVALID_INPUT");
          expect(refused).to.include({ check: "grid of the source of randomness", received: "60 blocks" });
        }
      } finally {
        chain.close();
      }
    }
  });

  it("must be what the deployment file says, and a source at all", async () => {
    const { nodeRegistry } = (deployments.block as Deployment).contracts;
    const contracts = { ...(deployments.block as Deployment).contracts, randomness: nodeRegistry };
    for (const [chain, check] of [
      [reader("prevrandao", 1, { randomness: { kind: "drand" } }), "randomness.kind of the deployment file"],
      [reader("block", 31_337, { randomness: { kind: "prevrandao" } }), "randomness.kind of the deployment file"],
      [reader("block", 31_337, { contracts }), "source of randomness"],
    ] as const) {
      const error = await expectAsyncRejection(() => requireSafeRandomness(chain, {}), "NO_DEPLOYMENT");
      expect(error.check).to.equal(check);
      chain.close();
    }
  });
});
