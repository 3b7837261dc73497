/** Records of shares whose members lose their machines: the owner's reads make up for them. Real processes. */

import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { HealedShare } from "../../offchain/agent/keys/share-healing.ts";
import { type Agent, openAgent } from "../../offchain/agent/node/index.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import type { RecordsAnswer } from "../../offchain/core/wire/nbm.ts";
import type { DevnetDaemon } from "../../scripts/devnet/start-devnet.ts";
import { type LocalNet, startLocalNet } from "../helpers/local-net.ts";
import { loseMachine, proposeAt, servingAll } from "../helpers/net-operators.ts";
import { rejection } from "../helpers/rejection.ts";

const FINAL_AFTER_BLOCKS = 8;

describe("records of shares while members lose their machines", function () {
  this.timeout(180_000);
  let net: LocalNet;
  let phrase: string;
  let dataId: string;
  let homes = 0;
  const opened: Agent[] = [];

  /** Members 1 to 5, then nodes that take their places. */
  const node = (number: number) => [...net.nodes, ...net.spares][number - 1] as DevnetDaemon;
  const some = (...numbers: number[]) => numbers.map(node);
  const told = (healed: readonly HealedShare[]) => healed.map(({ index, url }) => `${index} at ${url}`);
  const at = (...pairs: [index: number, number: number][]) =>
    pairs.map(([index, number]) => `${index} at ${node(number).url}`);

  async function device(of = phrase): Promise<Agent> {
    homes += 1;
    const homeDir = join(net.dir, `home-${homes}`);
    const agent = await openAgent({ identity: identityFromPhrase(of), deployment: net.deployment, homeDir });
    opened.push(agent);
    return agent;
  }

  async function read(keySource?: "committee", of = phrase) {
    const out = join(net.dir, "out");
    const report = await (await device(of)).get(dataId, out, keySource === undefined ? {} : { keySource });
    expect(readFileSync(join(out, "file")).equals(readFileSync(join(net.dir, "file")))).to.equal(true);
    rmSync(out, { recursive: true });
    return report;
  }

  async function shareAt(url: string): Promise<string | undefined> {
    const { records } = (await (await fetch(`${url}/v1/records`)).json()) as RecordsAnswer;
    return records[0]?.share;
  }

  /** Shares that the first members have released. */
  async function released(): Promise<number> {
    const texts = await Promise.all(net.nodes.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()));
    const counts = texts.map((text) => /^tallystick_nbm_shares_released_total\{.*\} ([0-9]+)$/m.exec(text)?.[1]);
    return counts.reduce((sum, count) => sum + Number(count), 0);
  }

  before(async () => {
    net = await startLocalNet({ spares: 3, nbmConfig: { dealingSeconds: 2, eraseAfterBlocks: FINAL_AFTER_BLOCKS } });
    phrase = newRecoveryPhrase();
    writeFileSync(join(net.dir, "file"), randomBytes(100_000));
    const agent = await device();
    ({ dataId } = await agent.put([join(net.dir, "file")], { dataSet: false, recipients: "shares" }));
  });
  after(async () => {
    for (const agent of opened) await agent.close();
    await net?.stop();
  });

  it("heals nothing while every member has its share, and asks no node for one", async () => {
    expect((await read()).healed).to.deep.equal([]);
    expect(await released()).to.equal(0);
    const report = await read("committee");
    expect(report.healed).to.deep.equal([]);
    expect(await released()).to.be.greaterThan(2);
    expect(report.nodes.filter(({ answer }) => answer === "right")).to.have.length(3);
  });

  it("reads with two machines lost and replaced, and gives their successors the shares that they lack", async () => {
    await Promise.all(some(4, 5).map(loseMachine));
    const members = [1, 2, 3, 6, 7].map((number) => node(number).account).join(",");
    await proposeAt(net, some(1, 2, 3), "reshare", "--members", members);
    await servingAll(some(1, 2, 3, 6, 7), 2);
    // Not before a reorganisation can no longer bring other members.
    expect((await read("committee")).healed).to.deep.equal([]);
    await net.chain.mine(FINAL_AFTER_BLOCKS);
    expect(await shareAt(node(6).url)).to.equal("none");
    // One successor is killed while the owner reads: the other is given its share.
    await node(7).process.stop("SIGKILL");
    expect(told((await read("committee")).healed)).to.deep.equal(at([4, 6]));
    await node(7).process.start();
    expect(await shareAt(node(6).url)).to.equal("valid");
    expect(await shareAt(node(7).url)).to.equal("none");
  });

  it("heals the rest by a read that asks no node for the key, also while a member is dead", async () => {
    await node(1).process.stop("SIGKILL");
    expect(told((await read()).healed)).to.deep.equal(at([5, 7]));
    expect((await read()).healed).to.deep.equal([]);
    await node(1).process.start();
  });

  it("still reads when a third machine is lost, with what was healed, after a kill of who holds it", async () => {
    await loseMachine(node(3));
    for (const holder of some(6, 7)) {
      await holder.process.stop("SIGKILL");
      await holder.process.start();
    }
    await node(1).process.stop("SIGKILL");
    const { nodes, healed } = await read("committee");
    expect(nodes.filter(({ answer }) => answer === "right").map(({ index }) => index)).to.deep.equal([2, 4, 5]);
    expect(healed).to.deep.equal([]);
    await node(1).process.start();
  });

  it("heals a node again that has lost the database with its share", async () => {
    await node(6).process.stop("SIGKILL");
    rmSync(join(node(6).dir, "data"), { recursive: true });
    await node(6).process.start();
    expect(await shareAt(node(6).url)).to.equal("none");
    expect(told((await read()).healed)).to.deep.equal(at([4, 6]));
    expect(await shareAt(node(6).url)).to.equal("valid");
  });

  it("heals by every way to read: a part, recover, verify, and a served page", async () => {
    const ways: Record<string, (agent: Agent) => Promise<unknown>> = {
      stream: async (agent) => {
        const part = await agent.getStream(dataId, { range: { start: 10, end: 20 } });
        expect((await new Response(part).bytes()).length).to.equal(10);
      },
      recover: async (agent) => agent.recover(),
      verify: async (agent) => agent.snapshots.verify(dataId),
      trees: async (agent) => agent.trees().tree(dataId).stat("file"),
    };
    for (const [way, readBy] of Object.entries(ways)) {
      await node(6).process.stop("SIGKILL");
      rmSync(join(node(6).dir, "data"), { recursive: true });
      await node(6).process.start();
      expect(await shareAt(node(6).url), way).to.equal("none");
      const agent = await device();
      await readBy(agent);
      // It waits for what runs beside the read.
      opened.pop();
      await agent.close();
      expect(await shareAt(node(6).url), way).to.equal("valid");
    }
  });

  it("is healed by a later owner for all owners, whose record stays as it is", async () => {
    const other = newRecoveryPhrase();
    const joined = await (await device(other)).put([join(net.dir, "file")], {
      dataSet: false,
      recipients: "shares",
    });
    expect([joined.dataId, joined.record.role]).to.deep.equal([dataId, "owner"]);
    await node(7).process.stop("SIGKILL");
    rmSync(join(node(7).dir, "data"), { recursive: true });
    await node(7).process.start();
    expect(told((await read(undefined, other)).healed)).to.deep.equal(at([5, 7]));
    await node(1).process.stop("SIGKILL");
    const { nodes } = await read("committee");
    expect(nodes.filter(({ answer }) => answer === "right").map(({ index }) => index)).to.deep.equal([2, 4, 5]);
    await node(1).process.start();
  });

  it("says who lacks a share when fewer than k are left", async () => {
    await Promise.all(some(1, 2).map(({ process: daemon }) => daemon.stop("SIGKILL")));
    const agent = await device();
    const error = await rejection(agent.get(dataId, join(net.dir, "out"), { keySource: "committee" }));
    expect(error).to.include({ code: "SHARES_MISSING", expected: "3 right shares" });
    await Promise.all(some(1, 2).map(({ process: daemon }) => daemon.start()));
    expect((await read("committee")).healed).to.deep.equal([]);
  });
});
