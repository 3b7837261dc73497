/**
 * What is uploaded, recorded and paid when the same, or nearly the same, is put again, by the same or by another user.
 */
import { cpSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { Agent } from "../../offchain/agent/index.ts";
import type { PutOptions } from "../../offchain/agent/put/put.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { fileTag } from "../../offchain/core/record/key-record.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, ledgerEvents } from "../helpers/on-chain.ts";
import { packedObjects } from "../helpers/pack-files.ts";
import { agentOf, newPerson, type Person } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";

const MIB = 1024 * 1024;
const LARGE_BYTES = 64 * MIB;
/** Of the file, after five bytes in five places have changed. */
const MOST_UPLOADED_AGAIN = 0.18;
const NO_DATA_SET: PutOptions = { dataSet: false };

/** Objects of a snapshot's metadata for a small tree: the stream, and its root. */
const METADATA_OBJECTS = 2;
const MOST_METADATA_BYTES = 1000;

describe("deduplication", () => {
  let net: LocalNet;
  let alice: Person;
  let aliceAgent: Agent;
  let bobAgent: Agent;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await startLocalNet(SMALL_COMMITTEE);
    alice = await newPerson(net, "alice");
    aliceAgent = await agentOf(net, alice);
    bobAgent = await agentOf(net, await newPerson(net, "bob"));
  });
  after(async () => {
    await aliceAgent?.close();
    await bobAgent?.close();
    await net?.stop();
  });

  /** Bytes and number of the objects on the provider's disk. */
  function stored(): { objects: number; bytes: number } {
    const objects = [...packedObjects(join(net.provider.dir, "data", "store")).values()];
    return { objects: objects.length, bytes: objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
  }

  describe("of a file of 64 MiB", () => {
    let bytes: Uint8Array;
    let dataId: string;

    before(async () => {
      bytes = pseudoRandomBytes("large", LARGE_BYTES);
      mkdirSync(dir("alice-files"));
      mkdirSync(dir("bob-files"));
      writeFileSync(dir("alice-files", "film"), bytes);
      utimesSync(dir("alice-files", "film"), 1_600_000_000, 1_600_000_000);
      const report = await aliceAgent.put([dir("alice-files", "film")], NO_DATA_SET);
      dataId = report.dataId;
      expect(report.uploadedBytes).to.equal(report.storedBytes);
      expect(stored()).to.deep.equal({ objects: report.objects, bytes: report.storedBytes });
    });

    it("uploads nothing of the content for another user who has the very same file, name and time", async () => {
      cpSync(dir("alice-files", "film"), dir("bob-files", "film"));
      utimesSync(dir("bob-files", "film"), 1_600_000_000, 1_600_000_000);
      const before = stored();
      const report = await bobAgent.put([dir("bob-files", "film")], NO_DATA_SET);
      // Only the metadata of his snapshot, which are sealed for him alone, are new.
      expect(report).to.include({ dataId, uploadedObjects: METADATA_OBJECTS });
      expect(report.uploadedBytes).to.be.lessThan(MOST_METADATA_BYTES);
      expect(report.storedBytes).to.be.greaterThan(LARGE_BYTES);
      expect(stored().objects - before.objects).to.be.within(METADATA_OBJECTS, METADATA_OBJECTS + 1);
      expect(report.record).to.include({ role: "owner", isNew: true });
    });

    it("uploads no chunk, but only listing and root, where the same content has another name and time", async () => {
      cpSync(dir("alice-files", "film"), dir("bob-files", "holiday"));
      utimesSync(dir("bob-files", "holiday"), 1_700_000_000, 1_700_000_000);
      const before = stored();
      const report = await bobAgent.put([dir("bob-files", "holiday")], NO_DATA_SET);
      expect(report.dataId).to.not.equal(dataId);
      expect(report.uploadedObjects).to.equal(2 + METADATA_OBJECTS);
      expect(report.uploadedBytes).to.be.lessThan(1000);
      expect(stored().objects - before.objects).to.be.within(2 + METADATA_OBJECTS, 3 + METADATA_OBJECTS);
      expect(report.record).to.include({ role: "recorder", isNew: true });
    });

    it("uploads no chunk twice within one put either", async () => {
      mkdirSync(dir("twins"));
      const content = pseudoRandomBytes("twins", 5 * MIB);
      for (const name of ["one", "two", "three"]) writeFileSync(dir("twins", name), content);
      const report = await aliceAgent.put([dir("twins")], NO_DATA_SET);
      expect(report.totalBytes).to.equal(3 * content.length);
      expect(report.uploadedBytes).to.be.within(content.length, content.length + 4096);
    });

    it("uploads at most 18 % again after 5 bytes in 5 places have changed", async () => {
      const changed = bytes.slice();
      for (let place = 1; place <= 5; place += 1) {
        const offset = Math.floor((LARGE_BYTES * place) / 6) + 1000 * place;
        changed[offset] = ((changed[offset] ?? 0) + 1) % 256;
      }
      mkdirSync(dir("edited"));
      writeFileSync(dir("edited", "film"), changed);
      const report = await aliceAgent.put([dir("edited", "film")], NO_DATA_SET);
      expect(report.uploadedBytes / LARGE_BYTES).to.be.within(5 / 64 / 4, MOST_UPLOADED_AGAIN);
      // A change touches one chunk, or two when it moves a border; list, listing and root are new.
      expect(report.uploadedObjects).to.be.within(8, 13);
    });

    it("keeps to its domain: the same file in another one shares nothing", async () => {
      writeFileSync(dir("small"), pseudoRandomBytes("small", 300_000));
      const open = await aliceAgent.put([dir("small")], NO_DATA_SET);
      const closed = await aliceAgent.put([dir("small")], { ...NO_DATA_SET, domain: "team blue" });
      expect(closed.dataId).to.not.equal(open.dataId);
      // The metadata are the same ones, whatever the domain of the content.
      expect(closed.storedBytes - closed.uploadedBytes).to.be.within(0, MOST_METADATA_BYTES);
      const joined = await bobAgent.put([dir("small")], { ...NO_DATA_SET, domain: "team blue" });
      expect(joined.dataId).to.equal(closed.dataId);
      expect(joined.uploadedBytes).to.be.lessThan(MOST_METADATA_BYTES);
    });
  });

  describe("of a folder put twice by one user", () => {
    it("uploads nothing, records nothing and sends no transaction the second time", async () => {
      mkdirSync(dir("folder", "inner"), { recursive: true });
      for (let file = 0; file < 20; file += 1) {
        writeFileSync(dir("folder", "inner", `file ${file}`), pseudoRandomBytes(`file ${file}`, 1000 * file));
      }
      const first = await aliceAgent.put([dir("folder")]);
      expect(first.dataSets[0]).to.include({ isNew: true, version: 1n });
      const ledger = await ledgerEvents(net);
      const escrow = await escrowEvents(net);
      const before = stored();
      const second = await aliceAgent.put([dir("folder")]);
      expect(second).to.include({ dataId: first.dataId, uploadedObjects: 0, uploadedBytes: 0 });
      expect(second.record).to.deep.include({ recordId: first.record.recordId, isNew: false });
      const { id, slices } = first.dataSets[0] ?? {};
      expect(second.dataSets[0]).to.deep.include({ id, slices, isNew: false, addedSlices: 0, transactions: [] });
      expect(await ledgerEvents(net)).to.deep.equal(ledger);
      expect(await escrowEvents(net)).to.deep.equal(escrow);
      expect(stored()).to.deep.equal(before);
      expect((await aliceAgent.list()).filter(({ dataId }) => dataId === first.dataId)).to.have.length(1);
    });

    it("has one record on the ledger for any number of owners", async () => {
      const report = await bobAgent.put([dir("folder")], NO_DATA_SET);
      expect(report.uploadedBytes).to.be.lessThan(MOST_METADATA_BYTES);
      const tag = toHex(fileTag(report.dataId));
      const events = (await ledgerEvents(net)).filter((event) =>
        event.kind === "KeyRecorded" ? event.record.fileTag === tag : event.recordId === report.record.recordId,
      );
      expect(events.map(({ kind }) => kind)).to.deep.equal(["KeyRecorded", "OwnerAdded"]);
      const [recorded, added] = events;
      expect(recorded?.kind === "KeyRecorded" && recorded.record.account).to.equal(alice.account);
      expect(added?.kind === "OwnerAdded" && added.owner).to.equal(bobAgent.account);
    });
  });

  describe("of a file put by two commands of one home at the same time", () => {
    it("records once, opens one data set, deposits once and adds the slices of both", async () => {
      const carol = await newPerson(net, "carol");
      writeFileSync(dir("together"), pseudoRandomBytes("together", 300_000));
      const agents = await Promise.all([agentOf(net, carol), agentOf(net, carol)]);
      try {
        const reports = await Promise.all(agents.map((agent) => agent.put([dir("together")])));
        expect(reports.map(({ record }) => record.isNew).sort()).to.deep.equal([false, true]);
        const [first, second] = reports.map(({ dataSets }) => dataSets[0]);
        expect(first?.id).to.equal(second?.id).and.to.match(/^0x/);
        expect([first?.isNew, second?.isNew].sort()).to.deep.equal([false, true]);
        const { addedSlices = 0 } = (first?.isNew ? first : second) ?? {};
        const sets = await agents[0]?.dataSets.list();
        expect(sets?.map(({ id }) => id)).to.deep.equal([first?.id]);
        const deposits = (await escrowEvents(net)).filter(
          (event) => event.kind === "Deposited" && event.user === carol.account,
        );
        expect(deposits).to.have.length(1);
        // Neither waits for the other's tags: what both tag at the same time is in the set twice, at most.
        expect(sets?.[0]?.slices).to.be.within(addedSlices, 2 * addedSlices);
        await agents[0]?.dataSets.audit(first?.id ?? "");
      } finally {
        await Promise.all(agents.map((agent) => agent.close()));
      }
    });
  });
});
