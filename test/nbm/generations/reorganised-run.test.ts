/** A reorganisation that gives a generation's number to one with other members, while real nodes make its keys. */

import { expect } from "chai";
import { readCommittee } from "../../../offchain/chain/registry.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { createCommittee, serving } from "../../helpers/committee-commands.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { prepareCommittee, type TestCommittee, type TestNode } from "../../helpers/nbm-committee.ts";
import { until } from "../../helpers/promises.ts";

describe("a run that a reorganisation replaces by another one of its number", function () {
  this.timeout(120_000);
  let local: LocalChain;
  let network: TestCommittee;
  before(async () => {
    await oprfReady();
    local = await startLocalChain();
    network = await prepareCommittee(local, {
      size: 5,
      config: { pollMilliseconds: 100, dealingSeconds: 2 },
      form: false,
    });
  });
  after(async () => {
    await network?.stop();
    await local?.stop();
  });

  it("begins again with the members that it has now, whatever was announced before", async () => {
    const [first, second, replaced, replacing, late] = network.nodes as [
      TestNode,
      TestNode,
      TestNode,
      TestNode,
      TestNode,
    ];
    await network.startAll();
    await late.end();
    const before: unknown = await local.chain.provider.send("evm_snapshot", []);
    await createCommittee(local, [first, second, replaced, late], 2);
    // All have the announcements of all, but for the one that is down.
    const waits = `the run waits for the announcement of member 4 (${late.operator})`;
    await until("announcements", async () => {
      const described = await Promise.all([first, second, replaced].map((node) => node.describe()));
      return described.every(({ committees }) => committees[0]?.problem === waits);
    });
    await local.chain.provider.send("evm_revert", [before]);
    await createCommittee(local, [first, second, replacing, late], 2);
    await late.start();
    await serving([first, second, replacing, late], 1);
    const { members, status } = await readCommittee(local.chain, 1n);
    expect(status).to.equal("active");
    expect(members.map(({ operator }) => operator)).to.include(replacing.operator);
    await until("the end at the one that is out", async () => (await replaced.describe()).committees.length === 0);
  });
});
