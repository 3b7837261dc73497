/** How long committees of real nodes take to make keys and to renew them. Runs by name only: it measures. */

import { expect } from "chai";
import { readCommittee } from "../../offchain/chain/registry.ts";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { createCommittee, operatorCommand, serving } from "../helpers/committee-commands.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { prepareCommittee, type TestNode } from "../helpers/nbm-committee.ts";

/** As nodes have it that are not told otherwise. */
const CONFIG = { pollMilliseconds: 1000, eraseAfterBlocks: 0 };
const KEY_GENERATION_SECONDS = 5;
const REFRESH_SECONDS = 10;

describe("a committee of real nodes", function () {
  this.timeout(120_000);

  async function withNodes(size: number, work: (local: LocalChain, nodes: readonly TestNode[]) => Promise<void>) {
    await oprfReady();
    const local = await startLocalChain();
    const network = await prepareCommittee(local, { size, config: CONFIG, form: false });
    try {
      await network.startAll();
      await work(local, network.nodes);
    } finally {
      await network.stop();
      await local.stop();
    }
  }

  it(`makes its keys within ${KEY_GENERATION_SECONDS} seconds, 3 of 5`, async () => {
    await withNodes(5, async (local, nodes) => {
      const begun = performance.now();
      await createCommittee(local, nodes, 3);
      await serving(nodes, 1);
      const seconds = (performance.now() - begun) / 1000;
      console.log(`      key generation of 3 of 5: ${seconds.toFixed(1)} s`);
      expect(seconds).to.be.lessThan(KEY_GENERATION_SECONDS);
    });
  });

  it(`refreshes its shares within ${REFRESH_SECONDS} seconds, 5 of 9`, async () => {
    await withNodes(9, async (local, nodes) => {
      await createCommittee(local, nodes, 5);
      await serving(nodes, 1);
      const [fifth, ...others] = nodes.slice(0, 5) as [TestNode, ...TestNode[]];
      for (const node of others) await operatorCommand(node, "refresh", "1");
      await operatorCommand(fifth, "refresh", "1");
      const begun = performance.now();
      await serving(nodes, 2);
      const seconds = (performance.now() - begun) / 1000;
      console.log(`      refresh of 9 nodes: ${seconds.toFixed(1)} s after the command`);
      const { createdAt, activatedAt } = await readCommittee(local.chain, 1n, 2);
      expect(Math.max(seconds, activatedAt - createdAt)).to.be.lessThan(REFRESH_SECONDS);
    });
  });
});
