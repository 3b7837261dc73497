/** Devices that put while another one removes snapshots, at a provider that carries out each release at once. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { Agent } from "../../offchain/agent/index.ts";
import { type ForwardingProxy, startForwardingProxy } from "../helpers/forwarding-proxy.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { packedObjects } from "../helpers/pack-files.ts";
import { agentOf, newPerson, personFrom } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectSameTree, readTree } from "../helpers/trees.ts";

const MIB = 1024 * 1024;
const AT_ONCE = { releaseGraceSeconds: 0, gcGraceSeconds: 0, gcIntervalSeconds: 1, pollMilliseconds: 50 };

describe("objects that are released at once", () => {
  let net: LocalNet;
  let proxy: ForwardingProxy;
  let laptop: Agent;
  let desktop: Agent;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, cspConfig: AT_ONCE });
    proxy = await startForwardingProxy(net.provider.url);
    const alice = await newPerson(net, "laptop");
    const other = await personFrom(net, "desktop", alice.recoveryPhrase);
    laptop = await agentOf(net, alice);
    desktop = await agentOf(net, other, {
      ...net.deployment,
      providers: [{ account: net.provider.account, url: proxy.url }],
    });
    mkdirSync(dir("tree"));
    writeFileSync(dir("tree", "large"), pseudoRandomBytes("released", 3 * MIB));
    for (const k of [1, 2, 3]) writeFileSync(dir("tree", `small ${k}`), `small ${k}`);
  });
  after(async () => {
    await Promise.all([laptop?.close(), desktop?.close()]);
    proxy?.stop();
    await net?.stop();
  });

  const stored = () => packedObjects(join(net.provider.dir, "data", "store")).size;
  async function removeAll(): Promise<void> {
    const { snapshots } = await laptop.snapshots.list();
    await laptop.snapshots.remove(snapshots.map(({ id }) => id));
    await until("nothing is stored", () => stored() === 0, 60);
  }
  async function expectRestored(name: string): Promise<void> {
    await laptop.get("latest", dir(name));
    expectSameTree(readTree(dir(name, "tree")), readTree(dir("tree")));
    expect((await laptop.snapshots.verify("latest"))[0]?.damaged).to.deep.equal([]);
  }

  for (const [what, isRemovedMeanwhile] of [
    ["and are gone before a put lists them, are stored again", true],
    ["and are gone before a put finds them in its file cache, are stored again", false],
  ] as const) {
    it(what, async () => {
      await desktop.put([dir("tree")], { dataSet: false });
      if (isRemovedMeanwhile) {
        let isFirst = true;
        proxy.before = async (method) => {
          if (method === "PUT" && isFirst) {
            isFirst = false;
            await removeAll();
          }
          return false;
        };
      } else {
        await removeAll();
      }
      const report = await desktop.put([dir("tree")], { dataSet: false });
      expect(report.uploadedBytes).to.be.greaterThan(3 * MIB);
      expect((await laptop.snapshots.list()).snapshots.map(({ id }) => id)).to.deep.equal([report.snapshot.id]);
      await expectRestored(what.slice(0, 30));
      await removeAll();
    });
  }
});
