/** Put, get, recover, audit, pay and compensate, with real processes: chain, key nodes and provider on loopback. */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { type Agent, openAgent } from "../../offchain/agent/node/index.ts";
import { drawsFor } from "../../offchain/core/audit/sampling.ts";
import { type Identity, identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { type LocalNet, startLocalNet } from "../helpers/local-net.ts";
import { ledgerEvents } from "../helpers/on-chain.ts";
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
  const opened: Agent[] = [];

  const dir = (...names: string[]) => join(net.dir, ...names);

  /** A device: an identity with a fresh home. */
  async function device(phrase: string): Promise<Agent> {
    const identity: Identity = identityFromPhrase(phrase);
    homes += 1;
    const agent = await openAgent({ identity, deployment: net.deployment, homeDir: dir(`home-${homes}`) });
    opened.push(agent);
    return agent;
  }

  before(async () => {
    net = await startLocalNet({ epochBlocks: EPOCH_BLOCKS, windowBlocks: 10, sampleCount: 30 });
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
    for (const agent of opened) await agent.close();
    await net?.stop();
  });

  let dataId: string;

  it("stores a folder once, with one record on the ledger", async () => {
    const report = await alice.put([folder], { agreement: false });
    dataId = report.dataId;
    expect(report.record).to.include({ role: "recorder", isNew: true });
    expect(report.storedBytes).to.be.within(14 * MIB, 15 * MIB);
    expect(report.uploadedBytes).to.equal(report.storedBytes);
    expect(report.agreements).to.deep.equal([]);
    const again = await alice.put([folder], { agreement: false });
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
    const report = await bob.put([folder], { agreement: false });
    // Only the metadata of his snapshot, which are sealed for him alone, are new.
    expect(report).to.include({ dataId, uploadedObjects: 2 });
    expect(report.uploadedBytes).to.be.lessThan(1000);
    expect(report.record).to.include({ role: "owner", isNew: true });
    const again = await bob.put([folder], { agreement: false });
    expect(again.record).to.include({ role: "owner", isNew: false, recordId: report.record.recordId });
    await bob.get(dataId, dir("out-bob"));
    expect(digests(dir("out-bob", "in"))).to.deep.equal(digests(folder));
  });

  it("seals keys to the user alone with --recipients self", async () => {
    writeFileSync(dir("private"), "for my eyes");
    const report = await alice.put([dir("private")], { recipients: "self", agreement: false });
    const { nodes } = await alice.get(report.dataId, dir("out-self"));
    expect(nodes).to.deep.equal([]);
    expect(readFileSync(dir("out-self", "private"), "utf8")).to.equal("for my eyes");
    // Nobody can join a record sealed to its maker: the second user makes an own one.
    const second = await bob.put([dir("private")], { agreement: false });
    expect(second.record).to.include({ role: "recorder", isNew: true });
  });

  it("reports a data id that nobody stored as not found", async () => {
    const unknown = `bafkrei${"a".repeat(52)}`;
    expect((await rejection(alice.get(unknown, dir("out-none")))).code).to.equal("NOT_FOUND");
    expect((await rejection(alice.get("not an id", dir("out-none")))).code).to.equal("INVALID_INPUT");
  });

  describe("agreements of a device", () => {
    let carol: Agent;
    let home: string;
    /** Salts of the tags that it keeps. */
    const preparationsOf = () => readdirSync(join(home, "preparations"));
    before(async () => {
      carol = await device(newRecoveryPhrase());
      home = dir(`home-${homes}`);
      await net.fund([carol.account]);
    });

    it("has the tags checked while the record is being mined, and leaves nothing behind", async () => {
      writeFileSync(dir("insured"), randomBytes(300_000));
      const phases: string[] = [];
      const report = await carol.put([dir("insured")], {
        onProgress: ({ operation, phase }) => phases.push(`${operation} ${phase}`),
      });
      expect(report.agreements[0]).to.include({ status: "active", isNew: true });
      const checked = phases.findIndex((phase) => phase.startsWith("agreement "));
      expect(checked).to.be.greaterThan(phases.indexOf("put recording"));
      expect(checked).to.be.lessThan(phases.indexOf("put agreeing"));
      expect(phases.indexOf("agreement proposing")).to.be.greaterThan(phases.indexOf("put agreeing"));
      expect(preparationsOf()).to.deep.equal([]);
    });

    it("goes on with the tags of a put that was ended before it was paid for, and pays once", async () => {
      writeFileSync(dir("later"), randomBytes(200_000));
      const { provider } = net.chain;
      const ended = new AbortController();
      await provider.send("evm_setAutomine", [false]);
      const putting = carol.put([dir("later")], {
        signal: ended.signal,
        onProgress: ({ operation, phase }) => {
          if (operation === "agreement" && phase === "verifying") ended.abort(new Error("enough"));
        },
      });
      const failing = putting.catch((error: unknown) => error);
      await until("the tags are being checked", async () => ended.signal.aborted, 60);
      await provider.send("evm_setAutomine", [true]);
      await net.chain.mine(1);
      expect(await failing).to.include({ message: "enough" });
      const kept = preparationsOf();
      expect(kept).to.have.length(1);
      const report = await carol.put([dir("later")]);
      expect(report.agreements[0]).to.include({ status: "active", isNew: true });
      const agreementId = report.agreements[0]?.agreementId;
      expect(preparationsOf()).to.deep.equal([]);
      expect((await carol.put([dir("later")])).agreements[0]).to.include({ agreementId, isNew: false });
    });
  });

  describe("agreements", () => {
    let agreementId: bigint;

    it("makes an agreement about what was put before without one, and reads nothing when it runs", async () => {
      const report = await alice.put([folder]);
      expect(report.agreements[0]).to.include({ status: "active", isNew: true, dataId });
      agreementId = report.agreements[0]?.agreementId ?? 0n;
      const again = await alice.put([folder]);
      expect(again.agreements[0]).to.include({ agreementId, isNew: false });
      // Every object has its tag; of an unchanged tree, the listing and the metadata alone are stored again.
      expect(report.objects).to.be.greaterThan(10);
      expect(again.objects).to.be.lessThan(6);
      expect(again.uploadedObjects).to.equal(0);
      expect((await alice.agreements.list()).map((one) => one.agreementId)).to.deep.equal([agreementId]);
    });

    it("makes one later, from the provider's copy", async () => {
      const report = await bob.agreements.open(dataId, { epochs: 2 });
      expect(report).to.include({ status: "active", isNew: true });
      expect(report.terms.epochs).to.equal(2);
      const own = await alice.agreements.show(agreementId);
      expect(report.terms.manifestHash).to.equal(own.terms.manifestHash);
      expect(report.terms.auditKeyHash).to.not.equal(own.terms.auditKeyHash);
    });

    it("audits privately at any time", async () => {
      const report = await alice.audit(dataId);
      expect(report).to.include({ mode: "private", agreementId, sampleCount: drawsFor(report.sliceCount) });
      expect(report.confidence).to.be.greaterThan(0.99);
    });

    it("pays the provider for a proven epoch, and checks the proof on chain again", async () => {
      expect(await rejection(alice.audit(dataId, { public: true }))).to.include({ code: "NOT_FOUND" });
      const { terms } = await alice.agreements.show(agreementId);
      const head = (await alice.status(dataId)).blockNumber;
      await net.chain.mine(Number(terms.startBlock) - head);
      await untilProvider("the first epoch is proven", async () => {
        const { epochs } = await alice.agreements.show(agreementId);
        return epochs[0]?.status === "proven";
      });
      const report = await alice.audit(dataId, { public: true });
      expect(report).to.include({ mode: "public", epoch: 0, sampleCount: 30 });
    });

    it("finds everything again on a new device with the phrase alone, agreements included", async () => {
      const fresh = await device(phrases.alice);
      expect(await fresh.list()).to.deep.equal([]);
      const report = await fresh.recover();
      expect(report.failed).to.deep.equal([]);
      expect(report.recovered.map((put) => put.name).sort()).to.deep.equal(["in", "private"]);
      expect(report.agreements).to.equal(1);
      const found = (await fresh.list()).find((put) => put.dataId === dataId);
      expect(found).to.deep.include({ name: "in", entryCount: 7, role: "recorder" });
      // When it was stored, not when it was recovered.
      const recorded = (await ledgerEvents(net)).find(({ recordId }) => recordId === found?.recordId);
      if (recorded?.kind !== "KeyRecorded") throw new Error("the record is not on the ledger");
      expect(found?.storedAt).to.be.at.most(Number(recorded.record.keyTime));
      expect((await fresh.audit(dataId)).agreementId).to.equal(agreementId);
      await fresh.get(dataId, dir("out-fresh"));
      expect(digests(dir("out-fresh", "in"))).to.deep.equal(digests(folder));
      const later = await device(phrases.bob);
      expect((await later.recover()).recovered.map((put) => put.role).sort()).to.deep.equal(["owner", "recorder"]);
    });

    it("compensates the user out of the provider's collateral when data is damaged", async () => {
      const store = join(net.provider.dir, "data", "store");
      for (const name of readdirSync(store, { recursive: true, encoding: "utf8" })) {
        const file = join(store, name);
        if (!statSync(file).isFile()) continue;
        const bytes = readFileSync(file);
        bytes.fill(0, 0, Math.min(bytes.length, 4096));
        writeFileSync(file, bytes);
      }
      expect((await rejection(alice.audit(dataId))).party).to.contain("provider");
      const bad = await rejection(alice.get(dataId, dir("out-damaged")));
      expect(bad.party).to.contain("provider");
      const before = await alice.agreements.credit();
      await net.chain.mine(2 * EPOCH_BLOCKS);
      const settled = await alice.agreements.settle(agreementId);
      expect(settled.reported.length).to.be.greaterThan(0);
      const { feePerEpoch, compensationPerMiss, bountyPerMiss } = settled.agreement.terms;
      const owed = BigInt(settled.reported.length) * (feePerEpoch + compensationPerMiss + bountyPerMiss);
      expect(settled.credit - before).to.equal(owed);
      const withdrawn = await alice.agreements.withdraw();
      expect(withdrawn.amount).to.equal(settled.credit);
      expect(await alice.agreements.credit()).to.equal(0n);
    });
  });

  /** With the end of the provider's log when it does not happen. */
  async function untilProvider(what: string, holds: () => Promise<boolean>): Promise<void> {
    await until(what, holds, 60, () => net.provider.process.logTail());
  }
});
