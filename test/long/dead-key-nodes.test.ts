/** Put and get while key nodes are dead or lie, with real processes on loopback. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { NodeReport } from "../../offchain/agent/keys/node-reports.ts";
import { type Agent, openAgent } from "../../offchain/agent/node/index.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { type LocalNet, startLocalNet } from "../helpers/local-net.ts";
import { rejection } from "../helpers/rejection.ts";
import { startTamperingProxy, type TamperingProxy } from "../helpers/tampering-proxy.ts";

const MIB = 1024 * 1024;

describe("get while key nodes are gone", () => {
  let net: LocalNet;
  let phrase: string;
  let dataId: string;
  let homes = 0;
  const opened: Agent[] = [];

  async function device(): Promise<Agent> {
    homes += 1;
    const homeDir = join(net.dir, `home-${homes}`);
    const agent = await openAgent({ identity: identityFromPhrase(phrase), deployment: net.deployment, homeDir });
    opened.push(agent);
    return agent;
  }

  before(async () => {
    net = await startLocalNet();
    phrase = newRecoveryPhrase();
    writeFileSync(join(net.dir, "file"), randomBytes(3 * MIB));
    dataId = (await (await device()).put([join(net.dir, "file")], { dataSet: false })).dataId;
  });
  after(async () => {
    for (const agent of opened) await agent.close();
    await net?.stop();
  });
  afterEach(() => rmSync(join(net.dir, "out"), { recursive: true, force: true }));

  it("works from a new device with any two of five dead", async () => {
    for (const [a, b] of [
      [0, 1],
      [2, 4],
    ] as const) {
      await net.nodes[a]?.process.stop("SIGKILL");
      await net.nodes[b]?.process.stop("SIGKILL");
      const report = await (await device()).get(dataId, join(net.dir, "out"), { keySource: "committee" });
      expect(report.nodes.filter(({ answer }) => answer === "right")).to.have.length(3);
      expect(readFileSync(join(net.dir, "out", "file")).equals(readFileSync(join(net.dir, "file")))).to.equal(true);
      rmSync(join(net.dir, "out"), { recursive: true });
      await net.nodes[a]?.process.start();
      await net.nodes[b]?.process.start();
    }
  });

  it("puts with two dead as well", async () => {
    await net.nodes[1]?.process.stop("SIGKILL");
    await net.nodes[3]?.process.stop("SIGKILL");
    writeFileSync(join(net.dir, "other"), randomBytes(3 * MIB));
    const report = await (await device()).put([join(net.dir, "other")], { dataSet: false });
    expect(report.record.isNew).to.equal(true);
    await net.nodes[1]?.process.start();
    await net.nodes[3]?.process.start();
  });

  it("works with any two of five lying in every answer", async () => {
    const flipped = (hex: unknown) => `${String(hex).slice(0, -2)}${String(hex).endsWith("00") ? "01" : "00"}`;
    const proxies: TamperingProxy[] = [];
    for (const position of [1, 2]) {
      const node = net.nodes[position];
      if (node === undefined) throw new Error("no such node");
      const proxy = await startTamperingProxy(node.url, (path, answer) => {
        if (path.includes("/releases")) return { ...answer, sealed: flipped(answer.sealed) };
        if (path.includes("/evaluate")) return { ...answer, proof: flipped(answer.proof) };
        if (!path.includes("/records?")) return undefined;
        const records = answer.records as { payload: string }[];
        return { ...answer, records: records.map((one) => ({ ...one, payload: flipped(one.payload) })) };
      });
      proxies.push(proxy);
      // The node registers the proxy's address as its own.
      const file = join(node.dir, "config.json");
      const config = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
      await node.process.stop();
      writeFileSync(file, JSON.stringify({ ...config, publicUrl: proxy.url }));
      await node.process.start();
    }
    try {
      const agent = await device();
      const blamed = new Set<string>();
      for (let attempt = 0; attempt < 4; attempt += 1) {
        const { nodes } = await agent.get(dataId, join(net.dir, "out"), { overwrite: true, keySource: "committee" });
        for (const { index, answer } of nodes) if (answer === "INTEGRITY") blamed.add(`node ${index}`);
        expect(nodes.filter(({ answer }) => answer === "right")).to.have.length(3);
      }
      expect([...blamed].every((name) => name === "node 2" || name === "node 3")).to.equal(true);
      expect(readFileSync(join(net.dir, "out", "file")).equals(readFileSync(join(net.dir, "file")))).to.equal(true);
      writeFileSync(join(net.dir, "third"), randomBytes(6 * MIB));
      const report = await agent.put([join(net.dir, "third")], { dataSet: false });
      const liars = report.nodes.filter(({ answer }) => answer === "INVALID_PROOF").map(({ index }) => index);
      expect(liars.every((index) => index === 2 || index === 3)).to.equal(true);
      await agent.get(report.dataId, join(net.dir, "out"));
      expect(proxies.every(({ changed }) => changed > 0)).to.equal(true);
    } finally {
      for (const proxy of proxies) await proxy.stop();
    }
    for (const position of [1, 2]) {
      const node = net.nodes[position];
      if (node === undefined) continue;
      const file = join(node.dir, "config.json");
      const { publicUrl: _lie, ...config } = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
      await node.process.stop();
      writeFileSync(file, JSON.stringify(config));
      await node.process.start();
    }
  });

  it("fails cleanly with three dead, and says what each node answered", async () => {
    for (const position of [0, 2, 4]) await net.nodes[position]?.process.stop("SIGKILL");
    const agent = await device();
    const error = await rejection(agent.get(dataId, join(net.dir, "out"), { keySource: "committee" }));
    expect(error.code).to.equal("SHARES_MISSING");
    expect(((error.details?.nodes ?? []) as NodeReport[]).map(({ answer }) => answer)).to.deep.equal([
      "UNREACHABLE",
      "right",
      "UNREACHABLE",
      "right",
      "UNREACHABLE",
    ]);
    expect(readdirSync(net.dir)).to.not.include("out");
    const putError = await rejection(agent.put([join(net.dir, "file")], { dataSet: false }));
    expect(putError.code).to.equal("QUORUM_FAILED");
    for (const position of [0, 2, 4]) await net.nodes[position]?.process.start();
  });
});
