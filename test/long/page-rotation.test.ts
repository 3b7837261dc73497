/**
 * The rotation of a page's identity against real nodes, a real provider and a real chain. The page's storage is an
 * IndexedDB in memory; a reload is an end at some step, after which everything is opened anew.
 */

import { expect } from "chai";
import { createIdentity, loadIdentity, openAgent } from "../../offchain/agent/browser/index.ts";
import {
  hasRotation,
  openRotation,
  phraseOf,
  planPageRotation,
  rotatePage,
} from "../../offchain/agent/browser/rotation.ts";
import { readReplacement } from "../../offchain/chain/account-directory.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import { freshName } from "../browser/page-store.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, withChain } from "../helpers/on-chain.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const CHEAP = { n: 2, r: 8, p: 1 };
const KEY = "correct horse";
const STEPS = ["naming the successor", "making the tags", "listing the snapshots", "giving notice"];

describe("rotation of a page's identity", function () {
  this.timeout(300_000);
  let net: LocalNet;
  let name: string;
  let account: string;
  let oldPhrase: string;
  let dataId: string;
  const content = pseudoRandomBytes("page", 600_000);

  before(async () => {
    // The host that snapshots name.
    Object.defineProperty(globalThis, "location", { value: { host: "page.example" }, configurable: true });
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 1000, windowBlocks: 100, sampleCount: 30 });
    name = freshName();
    const { identity, phrase = "" } = await createIdentity(name, KEY, undefined, CHEAP);
    [account, oldPhrase] = [identity.account, phrase];
    await net.fund([account], 100n * 10n ** 18n);
    await withPage(async (agent) => {
      ({ dataId } = await agent.put([{ name: "film", bytes: content }]));
    });
  });
  after(async () => {
    Reflect.deleteProperty(globalThis, "location");
    await net?.stop();
  });

  /** The page, opened anew. */
  async function withPage(work: (agent: Awaited<ReturnType<typeof openAgent>>) => Promise<void>): Promise<void> {
    const agent = await openAgent({ identity: await loadIdentity(name, KEY), deployment: net.deployment, name });
    try {
      await work(agent);
    } finally {
      await agent.close();
    }
  }

  /** A run of the rotation after a reload. @param until the step at which the page goes away */
  async function run(until?: string) {
    const [old, next] = [await loadIdentity(name, KEY), await openRotation(name, KEY, CHEAP)];
    try {
      return await rotatePage(
        { name, deployment: net.deployment, old, next },
        {
          onStep: (step) => {
            if (until !== undefined && step.includes(until)) throw new Error("reloaded");
          },
        },
      );
    } finally {
      old.wipe();
      next.wipe();
    }
  }

  it("goes on after a reload at every step, under one new phrase, and pays nothing twice", async () => {
    const first = await openRotation(name, KEY, CHEAP);
    const phrase = phraseOf(first);
    const old = await loadIdentity(name, KEY);
    const plan = await planPageRotation({ name, deployment: net.deployment, old, next: first });
    expect(plan).to.include({ account, successor: first.account, isNamed: false });
    expect(plan.dataSets).to.have.length(1);
    const named = async () => await withChain(net, async (chain) => await readReplacement(chain, account));
    for (const step of STEPS) {
      const ended = await run(step).then(
        () => "done",
        (error: Error) => error.message,
      );
      expect(ended, step).to.equal("reloaded");
      expect((await named())?.successor, step).to.equal(step === STEPS[0] ? undefined : first.account);
      expect(await hasRotation(name)).to.equal(true);
      expect(phraseOf(await openRotation(name, KEY, CHEAP))).to.equal(phrase);
      expect((await loadIdentity(name, KEY)).account).to.equal(account);
    }
    const report = await run();
    expect(report).to.include({ account, successor: first.account });
    expect(report).to.not.have.property("transactionHash");
    expect([report.dataSets.length, report.left, report.damaged]).to.deep.equal([1, [], []]);
    const opened = (await escrowEvents(net)).filter(({ kind }) => kind === "DataSetOpened");
    expect(opened).to.have.length(2);

    expect(await hasRotation(name)).to.equal(false);
    const own = await loadIdentity(name, KEY);
    expect(own.account).to.equal(first.account).and.equal(identityFromPhrase(phrase).account);
    await withPage(async (agent) => {
      expect((await agent.list()).map((put) => put.dataId)).to.deep.equal([dataId]);
      expect(Buffer.compare(await agent.getBytes(dataId), content)).to.equal(0);
      // None of the content is sent again.
      expect((await agent.put([{ name: "film", bytes: content }])).uploadedBytes).to.be.lessThan(1000);
    });
  });

  it("leaves the old key with nothing that nodes and provider would do for it", async () => {
    const identity = identityFromPhrase(oldPhrase);
    const agent = await openAgent({ identity, deployment: net.deployment, name: freshName() });
    try {
      await expectAsyncRejection(() => agent.getBytes(dataId), "ACCOUNT_REPLACED");
    } finally {
      await agent.close();
    }
  });
});
