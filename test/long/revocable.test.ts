/** Revocable puts with real processes: two owners of one content, and a new device. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { type Agent, openAgent } from "../../offchain/agent/node/index.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { type LocalNet, startLocalNet } from "../helpers/local-net.ts";
import { rejection } from "../helpers/rejection.ts";

const MIB = 1024 * 1024;

describe("revocable puts with real processes", () => {
  let net: LocalNet;
  let homes = 0;
  const agents: Agent[] = [];
  const phrases = { alice: newRecoveryPhrase(), bob: newRecoveryPhrase() };
  let dataId: string;
  const large = randomBytes(5 * MIB);
  const dir = (...names: string[]) => join(net.dir, ...names);

  async function device(phrase: string): Promise<Agent> {
    homes += 1;
    const identity = identityFromPhrase(phrase);
    const agent = await openAgent({ identity, deployment: net.deployment, homeDir: dir(`home-${homes}`) });
    agents.push(agent);
    return agent;
  }

  before(async () => {
    net = await startLocalNet({ epochBlocks: 20, windowBlocks: 10, sampleCount: 30 });
    mkdirSync(dir("in"));
    writeFileSync(dir("in", "large"), large);
    writeFileSync(dir("in", "small"), "hello");
  });
  after(async () => {
    for (const agent of agents) await agent.close();
    await net?.stop();
  });

  it("are stored once for two owners, each with a stub file of its own, and read by both", async () => {
    const [alice, bob] = [await device(phrases.alice), await device(phrases.bob)];
    await net.fund([alice.account, bob.account]);
    const first = await alice.put([dir("in")], { keyMode: "revocable", dataSet: false });
    dataId = first.dataId;
    const second = await bob.put([dir("in")], { keyMode: "revocable", dataSet: false });
    expect(second.dataId).to.equal(first.dataId);
    expect(first.uploadedBytes).to.be.greaterThan(5 * MIB);
    // The metadata is each owner's own.
    expect(second.uploadedBytes).to.be.lessThan(10_000);
    for (const [name, agent] of Object.entries({ alice, bob })) {
      await agent.get(first.dataId, dir(`out-${name}`));
      expect(Buffer.compare(readFileSync(dir(`out-${name}`, "in", "large")), large)).to.equal(0);
      expect(readFileSync(dir(`out-${name}`, "in", "small"), "utf8")).to.equal("hello");
    }
    const plain = await alice.put([dir("in")], { dataSet: false });
    expect(plain.dataId).to.not.equal(first.dataId);
    expect(plain.uploadedBytes).to.be.greaterThan(5 * MIB);
    const again = await alice.put([dir("in")], { keyMode: "revocable", dataSet: false });
    expect(again).to.include({ dataId: first.dataId, uploadedBytes: 0 });
  });

  it("are read on a new device, from the recovery phrase alone, in ranges and whole", async () => {
    const device2 = await device(phrases.alice);
    const { recovered, failed } = await device2.recover();
    expect(failed).to.deep.equal([]);
    expect(recovered.map((put) => put.dataId)).to.include(dataId);
    await device2.get(dataId, dir("out-device"));
    expect(Buffer.compare(readFileSync(dir("out-device", "in", "large")), large)).to.equal(0);
    const range = await device2.getBytes(dataId, { path: "in/large", range: { start: 3 * MIB, end: 3 * MIB + 100 } });
    expect(Buffer.compare(range, large.subarray(3 * MIB, 3 * MIB + 100))).to.equal(0);
  });

  it("are rekeyed by one owner, and read by it and by the other one as before", async () => {
    const [alice, bob, device2] = agents as [Agent, Agent, Agent];
    const { stubFiles } = await alice.rekey(dataId);
    expect(stubFiles.map(({ epoch }) => epoch)).to.deep.equal([2]);
    expect((await device2.rekey(dataId)).stubFiles.map(({ epoch }) => epoch)).to.deep.equal([3]);
    for (const agent of [alice, bob, device2]) {
      const small = await agent.getBytes(dataId, { path: "in/small" });
      expect(new TextDecoder().decode(small)).to.equal("hello");
    }
    expect((await bob.rekey(dataId)).stubFiles.map(({ epoch }) => epoch)).to.deep.equal([2]);
    const plain = await alice.put([dir("in", "small")], { dataSet: false });
    expect(await rejection(alice.rekey(plain.dataId))).to.include({ code: "NOT_FOUND", check: "stub file" });
  });

  it("are not read by an account that does not own them", async () => {
    const carol = await device(newRecoveryPhrase());
    await net.fund([carol.account]);
    const error = await rejection(carol.get(dataId, dir("out-carol")));
    expect(["NOT_OWNER", "NOT_FOUND"]).to.include(error.code);
  });

  it("go into a data set that is proven as any other", async () => {
    const report = await (agents[0] as Agent).put([dir("in")], { keyMode: "revocable" });
    expect(report.dataSets).to.have.length(1);
    const [dataSet] = report.dataSets;
    const audit = await (agents[0] as Agent).dataSets.audit(dataSet?.id ?? "");
    expect(audit.mode).to.equal("private");
    expect(audit.slices).to.be.greaterThan(0);
  });
});
