/**
 * The chain's endpoint has dropped its old logs, and one key node is left: what was recorded is read from its archive
 * and held against contract state. Real processes on loopback.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { type Agent, openAgent } from "../../offchain/agent/node/index.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { type FaultyProxy, startFaultyProxy } from "../helpers/anvil.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { withChain } from "../helpers/on-chain.ts";
import { rejection } from "../helpers/rejection.ts";

const MIB = 1024 * 1024;

describe("a chain without old logs", () => {
  let net: LocalNet;
  let proxy: FaultyProxy;
  let phrases: { alice: string; bob: string };
  let homes = 0;
  /** The first block whose logs the endpoint has. */
  let keptFrom = 0;
  let refusals = 0;
  const opened: Agent[] = [];

  /** A new device behind the endpoint without old logs. */
  async function device(phrase: string): Promise<Agent> {
    homes += 1;
    const deployment = { ...net.deployment, rpcUrl: proxy.url };
    const homeDir = join(net.dir, `home-${homes}`);
    const agent = await openAgent({ identity: identityFromPhrase(phrase), deployment, homeDir });
    opened.push(agent);
    return agent;
  }

  const file = (name: string) => join(net.dir, name);
  let shared: string;
  let own: string;
  let dataSet: string;

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 100_000, windowBlocks: 1000 });
    proxy = await startFaultyProxy(net.deployment.rpcUrl);
    proxy.fault = (method, params) => {
      const [filter] = params as [{ fromBlock?: string }];
      if (method !== "eth_getLogs" || Number(filter.fromBlock) >= keptFrom) return undefined;
      refusals += 1;
      return { error: { code: -32_000, message: "history is pruned" } };
    };
    phrases = { alice: newRecoveryPhrase(), bob: newRecoveryPhrase() };
    for (const name of ["shared", "own", "later"]) writeFileSync(file(name), randomBytes(MIB));
    const [alice, bob] = [await device(phrases.alice), await device(phrases.bob)];
    await net.fund([alice.account, bob.account]);
    const put = await alice.put([file("shared")]);
    shared = put.dataId;
    dataSet = put.dataSets[0]?.id ?? "";
    await bob.put([file("shared")], { dataSet: false });
    own = (await bob.put([file("own")], { dataSet: false, recipients: "shares" })).dataId;
    keptFrom = 1 + (await withChain(net, ({ provider }) => provider.getBlockNumber()));
    // As many as endpoints keep that keep few.
    await withChain(net, ({ provider }) => provider.send("anvil_mine", ["0x80"]));
  });
  after(async () => {
    for (const agent of opened) await agent.close();
    await proxy?.close();
    await net?.stop();
  });
  beforeEach(() => {
    refusals = 0;
  });
  afterEach(() => rmSync(file("out"), { recursive: true, force: true }));

  async function expectRestored(agent: Agent, dataId: string, name: string, keySource?: "committee"): Promise<void> {
    await agent.get(dataId, file("out"), keySource === undefined ? {} : { keySource });
    expect(readFileSync(join(file("out"), name)).equals(readFileSync(file(name))), name).to.equal(true);
    rmSync(file("out"), { recursive: true });
  }

  it("lets a new device join a record, record a key, open a data set, and read by the committee", async () => {
    const carol = await device(newRecoveryPhrase());
    await net.fund([carol.account]);
    expect((await carol.put([file("shared")])).record).to.include({ role: "owner", isNew: true });
    expect((await carol.put([file("later")])).record).to.include({ role: "recorder", isNew: true });
    await expectRestored(carol, shared, "shared", "committee");
    await expectRestored(await device(phrases.bob), own, "own", "committee");
    expect(refusals).to.be.greaterThan(0);
  });

  it("lets a device go on with the data set that it knows", async () => {
    writeFileSync(file("more"), randomBytes(MIB));
    const report = await opened[0]?.put([file("more")]);
    expect(report?.dataSets.map(({ id, isNew }) => [id, isNew])).to.deep.equal([[dataSet, false]]);
  });

  describe("and with one archive", () => {
    before(async () => {
      for (const node of net.nodes.slice(1)) await node.process.stop("SIGKILL");
    });

    it("gives a recorder and a later owner their records of all kinds", async () => {
      await expectRestored(await device(phrases.alice), shared, "shared");
      await expectRestored(await device(phrases.bob), shared, "shared");
      await expectRestored(await device(phrases.bob), own, "own");
      expect(refusals).to.be.greaterThan(0);
    });

    it("recovers the catalogue, and says that data sets were not looked for", async () => {
      const bob = await device(phrases.bob);
      const report = await bob.recover();
      expect(report.recovered.map(({ dataId, role }) => [dataId, role])).to.have.deep.members([
        [shared, "owner"],
        [own, "recorder"],
      ]);
      expect(report.failed).to.deep.equal([]);
      expect(report.dataSetsFailure?.code).to.equal("CHAIN_UNAVAILABLE");
      expect((await bob.list()).map(({ dataId }) => dataId)).to.have.members([shared, own]);
    });

    it("says of a file that nobody recorded it only when enough archives answer", async () => {
      const unknown = contentId(randomBytes(32));
      const error = await rejection((await device(phrases.alice)).get(unknown, file("out")));
      expect(error.code).to.equal("CHAIN_UNAVAILABLE");
      await net.nodes[1]?.process.start();
      const again = await rejection((await device(phrases.alice)).get(unknown, file("out")));
      expect(again.code).to.equal("NOT_FOUND");
      expect(again.received).to.contain("chain: CHAIN_UNAVAILABLE");
    });
  });
});
