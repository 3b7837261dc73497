/** One identity on two devices that do the same at the same time. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { Agent, DataSetReport, PutReport } from "../../offchain/agent/index.ts";
import { escrowEvents, ledgerEvents } from "../helpers/on-chain.ts";
import { agentOf, newPerson, personFrom } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { joinSharedNet, type TestNet } from "../helpers/shared-net.ts";

describe("two devices of one identity", () => {
  let net: TestNet;
  let devices: Agent[];
  let account: string;
  const dir = (...names: string[]) => join(net.dir, ...names);

  before(async () => {
    net = await joinSharedNet();
    const first = await newPerson(net, "laptop");
    account = first.account;
    const second = await personFrom(net, "desktop", first.recoveryPhrase);
    devices = [await agentOf(net, first), await agentOf(net, second)];
  });
  after(async () => {
    await Promise.all((devices ?? []).map((device) => device.close()));
    await net?.stop();
  });

  it("put the same new file in the same second, both successfully", async () => {
    mkdirSync(dir("files"));
    for (const name of ["one", "two", "three"]) {
      writeFileSync(dir("files", name), `the contents of ${name}`);
      const reports = await Promise.all(devices.map((device) => device.put([dir("files", name)], { dataSet: false })));
      expect(new Set(reports.map(({ dataId }) => dataId)).size).to.equal(1);
      expect(reports.map(({ record }) => record.role)).to.deep.equal(["recorder", "recorder"]);
      for (const [position, device] of devices.entries()) {
        const target = dir(`${name} of ${position}`);
        await device.get(String(reports[0]?.dataId), target);
      }
    }
    const recorded = (await ledgerEvents(net)).filter(
      (event) => event.kind === "KeyRecorded" && event.record.account === account,
    );
    expect(recorded.length).to.be.within(3, 6);
  });

  it("keep a data set each, also of what the other has put, and pay for nothing twice", async () => {
    writeFileSync(dir("files", "paid"), pseudoRandomBytes("paid", 200_000));
    const [first, second] = devices as [Agent, Agent];
    const paid = setOf(await first.put([dir("files", "paid")]));
    const told: string[] = [];
    const report = await second.put([dir("files", "paid")], {
      onProgress: ({ operation, phase }) => told.push(`${operation} ${phase}`),
    });
    // Its snapshot alone is new to the provider. The tags are made with a key of this device's set.
    expect(report.uploadedBytes).to.be.lessThan(1000);
    expect(report.record.isNew).to.equal(false);
    expect(told).to.include("data-set uploading");
    const own = setOf(report);
    expect([paid.isNew, own.isNew, own.id === paid.id]).to.deep.equal([true, true, false]);
    for (const [device, set] of [
      [first, paid],
      [second, own],
    ] as const) {
      const repeated = setOf(await device.put([dir("files", "paid")]));
      expect(repeated).to.deep.include({ id: set.id, version: 1n, deposited: 0n, transactions: [] });
      expect((await device.dataSets.list()).map(({ id, device: whose }) => [id, whose])).to.deep.equal([
        [paid.id, device === first ? "this" : "other"],
        [own.id, device === second ? "this" : "other"],
      ]);
    }
    const opened = (await escrowEvents(net)).filter(
      (event) => event.kind === "DataSetOpened" && event.terms.user === account,
    );
    expect(opened).to.have.length(2);
    // One balance pays for both.
    const { rate, available } = await first.dataSets.balance();
    expect(rate).to.equal(paid.feePerEpoch + own.feePerEpoch);
    expect(available).to.equal(paid.deposited + own.deposited);
  });

  it("add to their data sets in the same second, both successfully", async () => {
    const names = ["of the laptop", "of the desktop"];
    for (const name of names) writeFileSync(dir("files", name), pseudoRandomBytes(name, 70_000));
    const reports = await Promise.all(devices.map((device, k) => device.put([dir("files", names[k] ?? "")])));
    expect(reports.map((report) => [setOf(report).version, setOf(report).isNew])).to.deep.equal([
      [2n, false],
      [2n, false],
    ]);
    for (const [k, device] of devices.entries()) {
      const { id, slices } = setOf(reports[k] as PutReport);
      expect(await device.dataSets.audit(id)).to.include({ mode: "private", slices });
    }
  });
});

/** The data set of a put with one provider. */
function setOf({ dataSets }: PutReport): DataSetReport & { readonly id: string } {
  const [set] = dataSets;
  if (set?.id === undefined) throw new Error("the put is in no data set");
  return { ...set, id: set.id };
}
