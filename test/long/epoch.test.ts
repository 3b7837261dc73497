/**
 * The life of a data set to its end, every coin of it: paid while the provider proves, compensated when its disk is
 * damaged, proven again after a repair, smaller after a snapshot was removed, breached, withdrawn, until the escrow
 * holds nothing. Then another one that ends by notice.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { DataSetReport } from "../../offchain/agent/data-sets/lane-report.ts";
import type { Agent } from "../../offchain/agent/index.ts";
import { escrowAbi } from "../../offchain/chain/abis.ts";
import { NATIVE_TOKEN } from "../../offchain/chain/data-set-words.ts";
import { readPool } from "../../offchain/chain/escrow.ts";
import { sliceBytes } from "../../offchain/core/audit/field.ts";
import { windowsOf } from "../../offchain/core/data-set/epochs.ts";
import { lockedCollateral } from "../../offchain/core/data-set/fee.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { HttpProxy, type ProxiedAnswer } from "../helpers/http-proxy.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, withChain } from "../helpers/on-chain.ts";
import { damageObjects } from "../helpers/pack-files.ts";
import { agentOf, newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const EPOCH_BLOCKS = 60;
const NOTICE_EPOCHS = 2;
const RUNWAY_EPOCHS = 20;
const FILE_BYTES = 1024 * 1024;
const SLICE_ELEMENTS = 4096;
const SLICE_BYTES = sliceBytes(SLICE_ELEMENTS);
/** So many draws from some ten slices leave none out. */
const SAMPLES = 250;
const EXIT_INTEGRITY = 7;

describe("a data set from deposit to the last withdrawal", () => {
  let net: LocalNet;
  let alice: Person;
  let agent: Agent;
  let watcher: Agent;
  let dataId: string;
  let set: DataSetReport;
  const dir = (...names: string[]) => join(net.dir, ...names);
  const id = () => set.id ?? "";

  before(async () => {
    net = await startLocalNet({
      ...SMALL_COMMITTEE,
      epochBlocks: EPOCH_BLOCKS,
      noticeEpochs: NOTICE_EPOCHS,
      windowBlocks: 20,
      sampleCount: SAMPLES,
      sliceElements: SLICE_ELEMENTS,
    });
    alice = await newPerson(net, "alice");
    agent = await agentOf(net, alice);
    watcher = await agentOf(net, await newPerson(net, "watcher"));
  });
  after(async () => {
    await agent?.close();
    await watcher?.close();
    await net?.stop();
  });

  const head = () => net.chain.provider.getBlockNumber();
  const escrowHolds = () => net.chain.provider.getBalance(net.deployment.contracts.storageEscrow);
  const availableOf = async (one: Agent) => (await one.dataSets.balance()).available;
  const shown = () => agent.dataSets.show(id());
  const statusOf = async (epoch: number) => (await shown()).epochs.find((one) => one.epoch === epoch)?.status;

  /** With the end of the provider's log when it does not happen. */
  async function untilProvider(what: string, holds: () => Promise<boolean>): Promise<void> {
    await until(what, holds, 60, () => net.provider.process.logTail());
  }

  async function mineTo(block: number): Promise<void> {
    const missing = block - (await head());
    if (missing > 0) await net.chain.mine(missing);
  }

  async function nextEpoch(): Promise<number> {
    return Math.floor((await head()) / EPOCH_BLOCKS) + 1;
  }

  /** Goes to the next epoch, up to the first block in which it can be proven. */
  async function openEpoch(ofSet = id(), by = agent) {
    const { audit } = await by.dataSets.show(ofSet);
    const windows = windowsOf({ ...audit, epochBlocks: EPOCH_BLOCKS }, await nextEpoch());
    await mineTo(windows.challengeBlock + 1);
    return windows;
  }

  /** @returns the epoch */
  async function passProven(): Promise<number> {
    const { epoch } = await openEpoch();
    await untilProvider(`epoch ${epoch} is proven`, async () => (await statusOf(epoch)) === "proven");
    return epoch;
  }

  /** Passes the windows of an epoch while the provider cannot prove. @returns the epoch */
  async function passMissed(): Promise<number> {
    const { epoch, graceEnd } = await openEpoch();
    await untilProvider("the provider has noticed", async () => {
      return (await shown()).providerView?.health === "damaged";
    });
    await mineTo(graceEnd + 1);
    expect(await statusOf(epoch)).to.equal("overdue");
    return epoch;
  }

  /** Flips a bit in every slice that the provider stores. */
  function damage(): void {
    damageObjects(join(net.provider.dir, "data", "store"), SLICE_BYTES / 2);
  }

  /** Sum of the amounts in the escrow's events of a kind, those about one account or all. */
  async function sum(kind: string, account?: string, amount = "amount"): Promise<bigint> {
    const topics = [escrowAbi().getEvent(kind as "Deposited").topicHash];
    const filter = { address: net.deployment.contracts.storageEscrow, fromBlock: 0, topics };
    const parsed = (await net.chain.provider.getLogs(filter)).map((log) => escrowAbi().parseLog(log));
    return parsed
      .filter((event) => account === undefined || event?.args.toArray().includes(account))
      .reduce((total, event) => total + BigInt(event?.args.getValue(amount)), 0n);
  }

  it("begins with notice period and runway in the balance, and the provider's collateral in the escrow", async () => {
    writeFileSync(dir("file"), pseudoRandomBytes("epochs", FILE_BYTES));
    const report = await agent.put([dir("file")], { dataSet: { runwayEpochs: RUNWAY_EPOCHS } });
    dataId = report.dataId;
    set = report.dataSets[0] as DataSetReport;
    const { terms } = await shown();
    expect(terms).to.include({ breachLimit: 3, user: alice.account, provider: net.provider.account });
    expect(set).to.include({ isNew: true, addedSlices: set.slices, version: 1n });
    expect(set.deposited).to.equal(set.feePerEpoch * BigInt(NOTICE_EPOCHS + RUNWAY_EPOCHS));
    expect(await escrowHolds()).to.equal(set.deposited + lockedCollateral(terms, set.feePerEpoch));
  });

  it("pays the provider one fee for an epoch that it proves, and withdraws it", async () => {
    const epoch = await passProven();
    const proven = (await escrowEvents(net)).filter(({ kind }) => kind === "EpochProven");
    expect(proven).to.have.length(1);
    expect(proven[0]).to.include({ id: id(), epoch, fee: set.feePerEpoch, late: false });
    const audited = await agent.dataSets.audit(id(), { public: true });
    expect(audited).to.include({ mode: "public", epoch, slices: set.slices });
    await mineTo((epoch + 1) * EPOCH_BLOCKS);
    await untilProvider("the fee is withdrawn", async () => {
      return (await sum("CollateralWithdrawn", net.provider.account)) === set.feePerEpoch;
    });
  });

  it("is audited by its owner in private at any time, at no cost", async () => {
    const held = await escrowHolds();
    const { exitCode, document, stderr } = await tallystick(alice, ["audit", id()]);
    expect(exitCode, stderr).to.equal(0);
    expect(document).to.include({ intact: true });
    const [audit] = document.audits as Record<string, unknown>[];
    expect(audit).to.include({ mode: "private", id: id(), provider: net.provider.account });
    expect(await escrowHolds()).to.equal(held);
  });

  it("rejects an old proof as the answer to a new challenge", async () => {
    const proxy = await HttpProxy.start(net.provider.url);
    let old: ProxiedAnswer | undefined;
    proxy.alter = async ({ path }, answer) => {
      if (!path.endsWith("/audit")) return undefined;
      old ??= answer;
      return old;
    };
    try {
      const providers = net.deployment.providers.map((each) => ({ ...each, url: proxy.url }));
      await withAgentOf(
        net,
        alice,
        async (agentAtProxy) => {
          await agentAtProxy.dataSets.audit(id());
          const error = await expectAsyncRejection(() => agentAtProxy.dataSets.audit(id()), "INVALID_PROOF");
          expect(error.party).to.equal(`provider ${proxy.url}`);
        },
        { ...net.deployment, providers },
      );
    } finally {
      await proxy.stop();
    }
  });

  it("fails a private audit when bytes on the provider's disk are damaged, and names the provider", async () => {
    damage();
    const { exitCode, document, stderr } = await tallystick(alice, ["audit", id(), "--samples", String(SAMPLES)]);
    const error = document.error as Record<string, unknown>;
    expect(error.party).to.equal(`provider ${net.provider.url}`);
    expect(error.code).to.be.oneOf(["INTEGRITY", "INVALID_PROOF"]);
    expect(exitCode, stderr).to.equal(EXIT_INTEGRITY);
  });

  it("gives fee and compensation to the user for a reported miss, and the bounty to whoever reports it", async () => {
    const { terms } = await shown();
    const fee = set.feePerEpoch;
    const epoch = await passMissed();
    const before = await availableOf(agent);
    const settled = await watcher.dataSets.settle(id());
    expect(settled).to.deep.include({ reported: [epoch], closed: false });
    expect(await statusOf(epoch)).to.equal("missed");
    expect(await availableOf(watcher)).to.equal((fee * BigInt(terms.bountyPercent)) / 100n);
    const missed = (await escrowEvents(net)).filter(({ kind }) => kind === "EpochMissed");
    expect(missed).to.have.length(1);
    const compensation = (fee * BigInt(terms.compensationPercent)) / 100n;
    expect(missed[0]).to.include({ epoch, reporter: watcher.account, fee, compensation });
    // What had been proven before, and all that nobody proved, is settled as well.
    const refunded = await sum("DataSetSettled", undefined, "refunded");
    expect((await availableOf(agent)) - before).to.equal(fee + compensation + refunded);
    const again = await agent.dataSets.settle(id());
    expect(again.reported).to.deep.equal([]);
  });

  it("goes on once the data has been repaired by putting it again", async () => {
    const repaired = await agent.put([dir("file")]);
    expect(repaired).to.include({ dataId, uploadedBytes: repaired.storedBytes });
    expect(repaired.dataSets[0]).to.include({ id: id(), isNew: false, addedSlices: 0, deposited: 0n });
    await agent.dataSets.audit(id());
    await passProven();
  });

  it("grows by another put, shrinks when its snapshot is removed, and is proven both ways", async () => {
    writeFileSync(dir("more"), pseudoRandomBytes("more", FILE_BYTES));
    const put = await agent.put([dir("more")]);
    const [grown] = put.dataSets as [DataSetReport];
    expect(grown).to.include({ id: id(), isNew: false, deposited: 0n, slices: set.slices + grown.addedSlices });
    expect(grown.addedSlices).to.be.greaterThan(FILE_BYTES / SLICE_BYTES);
    await passProven();
    const [released] = (await agent.snapshots.remove([put.snapshot.id])).released;
    const shrunk = released?.dataSet;
    expect(shrunk?.retiredSlices).to.be.greaterThan(FILE_BYTES / SLICE_BYTES);
    expect(shrunk).to.include({ id: id(), highestIndex: grown.highestIndex });
    expect(shrunk?.slices).to.equal(grown.slices - (shrunk?.retiredSlices ?? 0));
    await passProven();
    await agent.dataSets.audit(id());
    expect(await agent.dataSets.audit(id(), { public: true })).to.include({ slices: shrunk?.slices });
  });

  it("is topped up by its user, who withdraws all but the notice period", async () => {
    const before = await agent.dataSets.balance();
    const { balance } = await agent.dataSets.topUp(before.rate * 10n);
    expect(balance.available).to.equal(before.available + before.rate * 10n);
    expect(balance.runwayEpochs).to.equal(before.runwayEpochs + 10);
    const { amount } = await agent.dataSets.withdraw(undefined, before.rate * 10n);
    expect(amount).to.equal(before.rate * 10n);
    const { withdrawable } = await agent.dataSets.balance();
    await expectAsyncRejection(() => agent.dataSets.withdraw(undefined, withdrawable + 1n), "FUNDS");
  });

  it("is breached by the third miss, which gives no more than the collateral", async () => {
    damage();
    const second = await passMissed();
    expect((await agent.dataSets.settle(id())).reported).to.deep.equal([second]);
    const third = await passMissed();
    // Two see the same miss: who comes too late has nothing to do.
    const settled = await Promise.all([agent, watcher].map((each) => each.dataSets.settle(id())));
    expect(settled.flatMap(({ reported }) => reported)).to.deep.equal([third]);
    expect(await shown()).to.include({ status: "breached", missedEpochs: 3 });
    expect(await agent.dataSets.balance()).to.include({ rate: 0n, runwayEpochs: Number.POSITIVE_INFINITY });
    const locked = await withChain(net, (chain) => readPool(chain, NATIVE_TOKEN, net.provider.account));
    expect(locked.locked).to.equal(0n);
    const events = await escrowEvents(net);
    const breached = events.find((event) => event.kind === "DataSetBreached");
    const { terms, feePerEpoch } = await shown();
    expect(breached).to.include({ epoch: third, forfeited: lockedCollateral(terms, feePerEpoch, 3) });
  });

  it("ends with nothing in the escrow once everybody has withdrawn, and every coin accounted for", async () => {
    await agent.dataSets.withdraw();
    await watcher.dataSets.withdraw();
    await mineTo((await nextEpoch()) * EPOCH_BLOCKS);
    // The provider's daemon withdraws by itself.
    await untilProvider("the escrow is empty", async () => (await escrowHolds()) === 0n);
    const { account: provider } = net.provider;
    const [earned, compensation, bounties, forfeited] = await Promise.all([
      sum("EpochProven", undefined, "fee"),
      sum("EpochMissed", undefined, "compensation"),
      sum("EpochMissed", undefined, "bounty"),
      sum("DataSetBreached", undefined, "forfeited"),
    ]);
    const [aliceBounties, watcherBounties] = await Promise.all(
      [agent, watcher].map((each) => sum("EpochMissed", each.account, "bounty")),
    );
    expect(await sum("CollateralWithdrawn", provider)).to.equal(
      (await sum("CollateralDeposited", provider)) + earned - compensation - bounties - forfeited,
    );
    expect(await sum("Withdrawn", watcher.account)).to.equal(watcherBounties);
    expect(await sum("Withdrawn", alice.account)).to.equal(
      (await sum("Deposited", alice.account)) - earned + compensation + forfeited + (aliceBounties ?? 0n),
    );
  });

  it("is ended by notice and closed by the provider alone, when no epoch was missed", async () => {
    writeFileSync(dir("short"), pseudoRandomBytes("short", 1000));
    const [short] = (await watcher.put([dir("short")])).dataSets as [DataSetReport];
    const shortId = short.id ?? "";
    const before = (await escrowEvents(net)).length;
    const { lastEpoch } = await watcher.dataSets.giveNotice(shortId);
    expect(lastEpoch).to.equal(Math.floor((await head()) / EPOCH_BLOCKS) + NOTICE_EPOCHS);
    expect((await watcher.dataSets.show(shortId)).status).to.equal("ending");
    for (let proven = 1; proven <= NOTICE_EPOCHS; proven += 1) {
      await openEpoch(shortId, watcher);
      await untilProvider("its epoch is proven", async () => {
        return (await watcher.dataSets.show(shortId)).provenEpochs === proven;
      });
    }
    await mineTo((lastEpoch + 2) * EPOCH_BLOCKS);
    await untilProvider("it is closed", async () => (await watcher.dataSets.show(shortId)).status === "closed");
    await watcher.dataSets.withdraw();
    await mineTo((lastEpoch + 3) * EPOCH_BLOCKS);
    await untilProvider("the escrow is empty", async () => (await escrowHolds()) === 0n);
    const events = (await escrowEvents(net)).slice(before);
    const kinds = events.map(({ kind }) => kind).filter((kind) => kind !== "DataSetScheduled");
    expect(kinds).to.deep.equal(["NoticeGiven", "EpochProven", "EpochProven", "DataSetClosed"]);
    const settled = await watcher.dataSets.settle(shortId);
    expect(settled).to.deep.include({ reported: [], closed: false, settled: false });
  });
});
