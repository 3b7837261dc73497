/** Puts after a provider has lost or released what it had confirmed, without counting it to the account's head. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { pino } from "pino";
import { UnpaidAccounts } from "../../offchain/csp/chunks/unpaid.ts";
import { ProviderDatabase } from "../../offchain/csp/database.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { packedObjects } from "../helpers/pack-files.ts";
import { newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { expectSameTree, readTree } from "../helpers/trees.ts";

const MIB = 1024 * 1024;
/** The file cache trusts no file that was changed a moment ago. */
const YOUNG_MILLISECONDS = 2500;
const DAY_SECONDS = 86_400;
const AT_ONCE = { releaseGraceSeconds: 0, gcGraceSeconds: 0, gcIntervalSeconds: 1, pollMilliseconds: 50 };

describe("a put after a loss", () => {
  let net: LocalNet;
  let tree: string;
  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, cspConfig: AT_ONCE });
    tree = join(net.dir, "tree");
    mkdirSync(tree);
    writeFileSync(join(tree, "large"), pseudoRandomBytes("lost", 3 * MIB));
    for (let k = 0; k < 20; k += 1) writeFileSync(join(tree, `small ${k}`), pseudoRandomBytes(`small ${k}`, 5000));
    await pause(YOUNG_MILLISECONDS);
  });
  after(() => net?.stop());

  const dataDir = () => join(net.provider.dir, "data");

  async function expectStoredAgain(person: Person): Promise<void> {
    const report = await withAgentOf(net, person, (agent) => agent.put([tree], { dataSet: false }));
    expect(report.uploadedBytes).to.be.greaterThan(3 * MIB);
    const out = join(person.home, "out");
    const { damaged } = await withAgentOf(net, person, (agent) => agent.get(report.dataId, out));
    expect(damaged).to.deep.equal([]);
    expectSameTree(readTree(join(out, "tree")), readTree(tree));
  }

  it("of objects that were released before the account had a head stores them again", async () => {
    const alice = await newPerson(net, "alice");
    const ended = new AbortController();
    const interrupted = withAgentOf(net, alice, (agent) =>
      agent.put([tree], {
        dataSet: false,
        signal: ended.signal,
        onProgress: ({ phase }) => {
          if (phase === "recording") ended.abort(new Error("Ctrl-C"));
        },
      }),
    );
    expect(String(await interrupted.catch((error: unknown) => error))).to.contain("Ctrl-C");
    await net.provider.process.stop();
    await releaseUnpaid(alice.account);
    await net.provider.process.start();
    await until("nothing is stored", () => packedObjects(join(dataDir(), "store")).size === 0);
    await expectStoredAgain(alice);
  });

  /** Days pass in which the account pays for nothing. */
  async function releaseUnpaid(account: string): Promise<void> {
    const database = await ProviderDatabase.open({ kind: "sqlite" }, dataDir());
    const { chunks, dataSets, heads } = database.index;
    const logger = pino({ level: "silent" });
    let now = Math.floor(Date.now() / 1000) - 2 * DAY_SECONDS;
    const unpaid = new UnpaidAccounts({ chunks, dataSets, logger }, 1, () => now);
    expect((await chunks.usageOf(account)).chunks).to.be.greaterThan(3);
    expect(await heads.find(account)).to.equal(undefined);
    await unpaid.expire();
    now += 2 * DAY_SECONDS;
    await unpaid.expire();
    expect((await chunks.usageOf(account)).chunks).to.equal(0);
    await database.close();
  }

  it("of a provider's whole data folder stores everything again, whatever was asked meanwhile", async () => {
    const bob = await newPerson(net, "bob");
    const put = () => withAgentOf(net, bob, (agent) => agent.put([tree], { dataSet: false }));
    const { dataId } = await put();
    expect((await put()).uploadedObjects).to.equal(0);
    await net.provider.process.stop();
    rmSync(dataDir(), { recursive: true, force: true });
    await net.provider.process.start();
    // It keeps no list of snapshots any more, which has to be accepted before there is a new one.
    await withAgentOf(net, bob, async (agent) => {
      await expectAsyncRejection(() => agent.get(dataId, join(bob.home, "nothing")), "NOT_OWNER");
      await agent.snapshots.list({ acceptOlder: true });
    });
    await expectStoredAgain(bob);
  });
});
