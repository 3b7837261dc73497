/** Put, get, recover, audit, pay and compensate, with real processes: chain, key nodes and provider on loopback. */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { drawsToDetect } from "../../offchain/agent/data-sets/audit.ts";
import { type Agent, type DataSetReport, openAgent, type PutReport } from "../../offchain/agent/node/index.ts";
import { sliceBytes } from "../../offchain/core/audit/field.ts";
import { type Identity, identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { type LocalNet, NET_SLICE_ELEMENTS, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, ledgerEvents } from "../helpers/on-chain.ts";
import { damageObjects } from "../helpers/pack-files.ts";
import { until } from "../helpers/promises.ts";
import { rejection } from "../helpers/rejection.ts";

const MIB = 1024 * 1024;
const EPOCH_BLOCKS = 20;

/** Relative paths and digests of the files under a folder. */
function digests(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(folder, name), { throwIfNoEntry: false })?.isFile(),
  );
  return Object.fromEntries(
    files.sort().map((name) => [
      name,
      createHash("sha256")
        .update(readFileSync(join(folder, name)))
        .digest("hex"),
    ]),
  );
}

describe("put and get with real processes", () => {
  let net: LocalNet;
  let alice: Agent;
  let bob: Agent;
  let phrases: { alice: string; bob: string };
  let folder: string;
  let homes = 0;
  const agents: Agent[] = [];

  const dir = (...names: string[]) => join(net.dir, ...names);

  /** A device: an identity with a fresh home. */
  async function device(phrase: string, deployment = net.deployment): Promise<Agent> {
    const identity: Identity = identityFromPhrase(phrase);
    homes += 1;
    const agent = await openAgent({ identity, deployment, homeDir: dir(`home-${homes}`) });
    agents.push(agent);
    return agent;
  }

  before(async () => {
    net = await startLocalNet({ epochBlocks: EPOCH_BLOCKS, windowBlocks: 12, sampleCount: 30 });
    phrases = { alice: newRecoveryPhrase(), bob: newRecoveryPhrase() };
    alice = await device(phrases.alice);
    bob = await device(phrases.bob);
    await net.fund([alice.account, bob.account]);
    folder = dir("in");
    mkdirSync(join(folder, "nested"), { recursive: true });
    writeFileSync(join(folder, "large"), randomBytes(14 * MIB));
    writeFileSync(join(folder, "nested", "copy"), readFileSync(join(folder, "large")));
    writeFileSync(join(folder, "nested", "small"), "hello");
    writeFileSync(join(folder, "empty"), "");
    symlinkSync("nested/small", join(folder, "link"));
  });
  after(async () => {
    for (const agent of agents) await agent.close();
    await net?.stop();
  });

  let dataId: string;

  it("asks no committee whose keys are others than those of the deployment file", async () => {
    const { committeeKeys } = net.deployment;
    if (committeeKeys === undefined) throw new Error("the devnet's file has no keys");
    for (const purpose of ["oprf", "record"] as const) {
      const deployed = { ...net.deployment, committeeKeys: { ...committeeKeys, [purpose]: `0x${"12".repeat(32)}` } };
      const agent = await device(phrases.bob, deployed);
      const error = await rejection(agent.put([folder], { dataSet: false }));
      expect(error).to.include({ code: "INTEGRITY", party: "chain", check: `${purpose} key of the committee` });
    }
    expect(await ledgerEvents(net)).to.deep.equal([]);
  });

  it("stores a folder once, with one record on the ledger", async () => {
    const report = await alice.put([folder], { dataSet: false });
    dataId = report.dataId;
    expect(report.record).to.include({ role: "recorder", isNew: true });
    expect(report.storedBytes).to.be.within(14 * MIB, 15 * MIB);
    expect(report.uploadedBytes).to.equal(report.storedBytes);
    expect(report.dataSets).to.deep.equal([]);
    const again = await alice.put([folder], { dataSet: false });
    expect(again).to.include({ dataId, uploadedBytes: 0 });
    expect(again.record).to.deep.include({ recordId: report.record.recordId, role: "recorder", isNew: false });
  });

  it("restores it byte for byte", async () => {
    const report = await alice.get(dataId, dir("out-1"));
    expect(report).to.include({ entries: 7, downloadedBytes: 14 * MIB + 5 });
    expect(digests(dir("out-1", "in"))).to.deep.equal(digests(folder));
  });

  it("uploads no chunk twice for another user, who joins the record of the first", async () => {
    const stranger = await rejection(bob.get(dataId, dir("out-bob")));
    expect(stranger).to.include({ code: "NOT_OWNER", party: "you" });
    const report = await bob.put([folder], { dataSet: false });
    // Only the metadata of his snapshot, which are sealed for him alone, are new.
    expect(report).to.include({ dataId, uploadedObjects: 2 });
    expect(report.uploadedBytes).to.be.lessThan(1000);
    expect(report.record).to.include({ role: "owner", isNew: true });
    const again = await bob.put([folder], { dataSet: false });
    expect(again.record).to.include({ role: "owner", isNew: false, recordId: report.record.recordId });
    await bob.get(dataId, dir("out-bob"));
    expect(digests(dir("out-bob", "in"))).to.deep.equal(digests(folder));
  });

  it("seals keys to the user alone with --recipients self", async () => {
    writeFileSync(dir("private"), "for my eyes");
    const report = await alice.put([dir("private")], { recipients: "self", dataSet: false });
    const { nodes } = await alice.get(report.dataId, dir("out-self"));
    expect(nodes).to.deep.equal([]);
    expect(readFileSync(dir("out-self", "private"), "utf8")).to.equal("for my eyes");
    // Nobody can join a record sealed to its maker: the second user makes an own one.
    const second = await bob.put([dir("private")], { dataSet: false });
    expect(second.record).to.include({ role: "recorder", isNew: true });
  });

  it("reports a data id that nobody stored as not found", async () => {
    const unknown = `bafkrei${"a".repeat(52)}`;
    expect((await rejection(alice.get(unknown, dir("out-none")))).code).to.equal("NOT_FOUND");
    expect((await rejection(alice.get("not an id", dir("out-none")))).code).to.equal("INVALID_INPUT");
  });

  /** The one report of a put with one provider. */
  function setOf({ dataSets }: Pick<PutReport, "dataSets">): DataSetReport & { readonly id: string } {
    const [report] = dataSets;
    if (report?.id === undefined) throw new Error("the put is in no data set");
    return { ...report, id: report.id };
  }

  /** Transactions that an account has sent. */
  const sentBy = (agent: Agent) => net.chain.provider.getTransactionCount(agent.account);

  const headBlock = () => net.chain.provider.getBlockNumber();

  /** Mines up to the first block of the next epoch. @returns the epoch */
  async function toNextEpoch(): Promise<number> {
    const head = await headBlock();
    const epoch = Math.floor(head / EPOCH_BLOCKS) + 1;
    await net.chain.mine(epoch * EPOCH_BLOCKS - head);
    return epoch;
  }

  /** Mines up to the block in which a set's challenge of the current epoch is known. */
  async function toChallenge(agent: Agent, id: string): Promise<void> {
    const { nextWindow } = await agent.dataSets.show(id);
    if (nextWindow === undefined) throw new Error("nothing is to be proven");
    await net.chain.mine(Math.max(nextWindow.challengeBlock + 1 - (await headBlock()), 0));
  }

  describe("data set of a device", () => {
    let carol: Agent;
    let home: string;
    let opened: DataSetReport & { readonly id: string };
    /** Segments whose tags it keeps. */
    const preparationsOf = () => readdirSync(join(home, "preparations"));
    before(async () => {
      carol = await device(newRecoveryPhrase());
      home = dir(`home-${homes}`);
      await net.fund([carol.account]);
    });

    it("is opened by the first put, whose tags are checked while the record is mined; nothing is left", async () => {
      writeFileSync(dir("insured"), randomBytes(300_000));
      const phases: string[] = [];
      const report = await carol.put([dir("insured")], {
        onProgress: ({ operation, phase }) => phases.push(`${operation} ${phase}`),
      });
      opened = setOf(report);
      expect(opened).to.include({ isNew: true, version: 1n });
      expect(opened.addedSlices).to.equal(opened.slices).and.to.be.greaterThan(2);
      expect(opened.deposited).to.equal(BigInt(opened.runwayEpochs) * opened.feePerEpoch);
      const checked = phases.findIndex((phase) => phase.startsWith("data-set "));
      expect(checked).to.be.greaterThan(phases.indexOf("put recording"));
      expect(phases.lastIndexOf("data-set verifying")).to.be.lessThan(phases.indexOf("put agreeing"));
      expect(phases.indexOf("data-set funding")).to.be.greaterThan(phases.indexOf("put agreeing"));
      expect(preparationsOf()).to.deep.equal([]);
    });

    it("grows by what the next put adds, for which the account deposits nothing and sends no transaction", async () => {
      writeFileSync(dir("more"), randomBytes(200_000));
      const sent = await sentBy(carol);
      const report = await carol.put([dir("more")]);
      const grown = setOf(report);
      expect(grown).to.include({ id: opened.id, isNew: false, version: 2n, deposited: 0n });
      expect(grown.slices).to.equal(opened.slices + grown.addedSlices);
      expect(grown.liveRanges).to.deep.equal([{ firstIndex: 1, count: grown.slices }]);
      // The powers of the key are sent once: what follows costs tags alone.
      expect(grown.sentBytes).to.be.lessThan(opened.sentBytes / 10);
      expect(await sentBy(carol)).to.equal(sent);
      expect((await carol.dataSets.list()).map(({ id, version }) => [id, version])).to.deep.equal([[opened.id, 2n]]);
    });

    it("stays as it is, without a transaction of anybody, when a put has nothing new", async () => {
      const [sent, head] = [await sentBy(carol), await headBlock()];
      for (const name of ["insured", "more"]) {
        const again = await carol.put([dir(name)]);
        expect(again.record.isNew).to.equal(false);
        const set = setOf(again);
        expect(set).to.include({ id: opened.id, isNew: false, version: 2n, addedSlices: 0, sentBytes: 0 });
        expect(set.transactions).to.deep.equal([]);
      }
      expect(await sentBy(carol)).to.equal(sent);
      expect(await headBlock()).to.equal(head);
    });

    it("goes on with the tags of a put that ended before it was paid for, and gives their indices once", async () => {
      writeFileSync(dir("later"), randomBytes(200_000));
      const { provider } = net.chain;
      const ended = new AbortController();
      await provider.send("evm_setAutomine", [false]);
      const putting = carol.put([dir("later")], {
        signal: ended.signal,
        onProgress: ({ operation, phase }) => {
          if (operation === "data-set" && phase === "verifying") ended.abort(new Error("enough"));
        },
      });
      const failing = putting.catch((error: unknown) => error);
      await until("the tags are being checked", async () => ended.signal.aborted, 60);
      await provider.send("evm_setAutomine", [true]);
      await net.chain.mine(1);
      expect(await failing).to.include({ message: "enough" });
      expect(preparationsOf()).to.have.length(1);
      const before = await carol.dataSets.show(opened.id);
      expect(before.version).to.equal(2n);
      const finished = setOf(await carol.put([dir("later")]));
      expect(finished).to.include({ id: opened.id, isNew: false, version: 3n, deposited: 0n });
      expect(finished.slices).to.equal(before.slices + finished.addedSlices);
      expect(finished.liveRanges).to.deep.equal([{ firstIndex: 1, count: finished.slices }]);
      expect(preparationsOf()).to.deep.equal([]);
      expect(setOf(await carol.put([dir("later")]))).to.include({ id: opened.id, version: 3n, addedSlices: 0 });
    });
  });

  describe("data sets", () => {
    let id: string;

    it("take in what was put before without one, and nothing of it is read when they hold it", async () => {
      const report = await alice.put([folder]);
      expect(report.dataId).to.equal(dataId);
      expect(setOf(report)).to.include({ isNew: true, provider: net.provider.account });
      id = setOf(report).id;
      const again = await alice.put([folder]);
      expect(setOf(again)).to.include({ id, isNew: false, addedSlices: 0 });
      // Every object has its tag; of an unchanged tree, the listing and the metadata alone are stored again.
      expect(report.objects).to.be.greaterThan(10);
      expect(again.objects).to.be.lessThan(6);
      expect(again.uploadedObjects).to.equal(0);
      expect((await alice.dataSets.list()).map((set) => set.id)).to.deep.equal([id]);
    });

    it("take it in later, from the provider's copy, each account with a key of its own", async () => {
      expect(await rejection(bob.dataSets.audited())).to.include({ code: "NOT_FOUND", party: "you" });
      const [report, ...others] = await bob.dataSets.add(dataId, { runwayEpochs: 7 });
      expect(others).to.deep.equal([]);
      // Two epochs of notice, and the runway.
      expect(report).to.include({ isNew: true, runwayEpochs: 9 });
      const theirs = await bob.dataSets.show(report?.id ?? "");
      const own = await alice.dataSets.show(id);
      // All but the metadata of the snapshots, which are sealed for each account alone.
      expect(own.slices - theirs.slices).to.be.within(0, 2);
      expect(theirs.audit.keyHash).to.not.equal(own.audit.keyHash);
      const [again] = await bob.dataSets.add(dataId);
      expect(again).to.deep.include({ id: report?.id, addedSlices: 0, deposited: 0n, transactions: [] });
      expect(await bob.dataSets.audit(theirs.id)).to.include({ mode: "private", slices: theirs.slices });
    });

    it("are audited privately at any time", async () => {
      expect(await alice.dataSets.audited()).to.deep.equal([id]);
      const report = await alice.dataSets.audit(await alice.dataSets.resolve(id.slice(0, 10)));
      expect(report).to.include({ mode: "private", id, sampleCount: drawsToDetect(report.slices, {}) });
      expect(report.confidence).to.be.greaterThan(0.98);
    });

    it("pay the provider for a proven epoch, whose proof on chain anybody can check again", async () => {
      const epoch = await toNextEpoch();
      const { feePerEpoch, provenEpochs } = await alice.dataSets.show(id);
      await toChallenge(alice, id);
      await untilProvider("the epoch is proven", async () => {
        const { epochs } = await alice.dataSets.show(id);
        return epochs.some((one) => one.epoch === epoch && one.status === "proven");
      });
      expect((await alice.dataSets.show(id)).provenEpochs).to.equal(provenEpochs + 1);
      const paid = (await escrowEvents(net)).filter(
        (event) => event.kind === "EpochProven" && event.id === id && event.epoch === epoch,
      );
      expect(paid).to.have.length(1);
      expect(paid[0]).to.include({ fee: feePerEpoch, late: false });
      for (const anybody of [alice, bob]) {
        const report = await anybody.dataSets.audit(id, { public: true });
        expect(report).to.include({ mode: "public", id, epoch, sampleCount: 30 });
        expect(report.transactionHash).to.equal(paid[0]?.transactionHash);
      }
    });

    it("have no proof on chain to check before an epoch is proven", async () => {
      const dave = await device(newRecoveryPhrase());
      await net.fund([dave.account]);
      writeFileSync(dir("of dave"), "not proven yet");
      await toNextEpoch();
      const fresh = setOf(await dave.put([dir("of dave")]));
      expect(await rejection(dave.dataSets.audit(fresh.id, { public: true }))).to.include({ code: "NOT_FOUND" });
    });

    describe("on a new device, with the phrase alone", () => {
      let fresh: Agent;
      before(async () => {
        fresh = await device(phrases.alice);
      });

      it("are found for audits, with everything that was put", async () => {
        expect(await fresh.list()).to.deep.equal([]);
        const report = await fresh.recover();
        expect(report.failed).to.deep.equal([]);
        expect(report.recovered.map((put) => put.name).sort()).to.deep.equal(["in", "private"]);
        expect(report.dataSets).to.equal(1);
        const found = (await fresh.list()).find((put) => put.dataId === dataId);
        expect(found).to.deep.include({ name: "in", entryCount: 7, role: "recorder" });
        // When it was stored, not when it was recovered.
        const recorded = (await ledgerEvents(net)).find(({ recordId }) => recordId === found?.recordId);
        if (recorded?.kind !== "KeyRecorded") throw new Error("the record is not on the ledger");
        expect(found?.storedAt).to.be.at.most(Number(recorded.record.keyTime));
        expect(await fresh.dataSets.audit(id)).to.include({ mode: "private", id });
        await fresh.get(dataId, dir("out-fresh"));
        expect(digests(dir("out-fresh", "in"))).to.deep.equal(digests(folder));
        const later = await device(phrases.bob);
        expect((await later.recover()).recovered.map((put) => put.role).sort()).to.deep.equal(["owner", "recorder"]);
      });

      it("are not appended to: a put of what the other device stored uploads nothing, opens another set", async () => {
        const report = await fresh.put([folder]);
        // The file cache is the other device's: all is read, and all is there.
        expect(report).to.include({ dataId });
        expect(report.uploadedBytes).to.be.lessThan(1000);
        expect(report.record).to.include({ role: "recorder", isNew: false });
        const own = setOf(report);
        expect(own.isNew).to.equal(true);
        expect(own.id).to.not.equal(id);
        expect((await fresh.dataSets.list()).map((set) => [set.id, set.device])).to.deep.equal([
          [id, "other"],
          [own.id, "this"],
        ]);
        const [before] = await alice.dataSets.list();
        expect(before).to.include({ id, device: "this" });
        expect([...(await fresh.dataSets.audited())].sort()).to.deep.equal([id, own.id].sort());
        expect(await fresh.dataSets.audit(own.id)).to.include({ id: own.id, slices: own.slices });
        // The first device still appends to its own.
        writeFileSync(dir("of the first device"), randomBytes(70_000));
        expect(setOf(await alice.put([dir("of the first device")]))).to.include({ id, isNew: false });
      });
    });

    describe("whose data is damaged", () => {
      it("compensate the user out of the provider's collateral when data is damaged", async () => {
        // In every slice, so that no draw misses it.
        damageObjects(join(net.provider.dir, "data", "store"), sliceBytes(NET_SLICE_ELEMENTS) / 2);
        expect((await rejection(alice.dataSets.audit(id))).party).to.contain("provider");
        const bad = await rejection(alice.get(dataId, dir("out-damaged")));
        expect(bad.party).to.contain("provider");
        const missed = await toNextEpoch();
        await toChallenge(alice, id);
        await untilProvider("the provider says that it is damaged", async () => {
          return (await alice.dataSets.show(id)).providerView?.health === "damaged";
        });
        await toNextEpoch();
        const { terms, missedEpochs, epochs } = await alice.dataSets.show(id);
        expect(epochs.find(({ epoch }) => epoch === missed)?.status).to.equal("overdue");
        const before = await alice.dataSets.balance();
        const settled = await alice.dataSets.settle(id);
        expect(settled.reported).to.deep.equal([missed]);
        expect(settled.set.missedEpochs).to.equal(missedEpochs + 1);
        const told = (await escrowEvents(net)).find(
          (event) => event.kind === "EpochMissed" && event.id === id && event.epoch === missed,
        );
        if (told?.kind !== "EpochMissed") throw new Error("the miss is not on chain");
        const { fee, compensation, bounty } = told;
        expect(told.reporter).to.equal(alice.account);
        expect(compensation).to.equal((fee * BigInt(terms.compensationPercent)) / 100n);
        expect(bounty).to.equal((fee * BigInt(terms.bountyPercent)) / 100n);
        expect(compensation > 0n && bounty > 0n).to.equal(true);
        // Epochs before it that nobody proved come back with it.
        const { available, withdrawable } = await alice.dataSets.balance();
        expect(available - before.available >= fee + compensation + bounty).to.equal(true);
        expect((await alice.status()).warnings.join("\n")).to.contain(`its provider has missed ${missedEpochs + 1} of`);
        const withdrawn = await alice.dataSets.withdraw();
        expect(withdrawn).to.include({ amount: withdrawable, to: alice.account });
        expect((await alice.dataSets.balance()).withdrawable).to.equal(0n);
      });
    });
  });

  /** With the end of the provider's log when it does not happen. */
  async function untilProvider(what: string, holds: () => Promise<boolean>): Promise<void> {
    await until(what, holds, 60, () => net.provider.process.logTail());
  }
});
