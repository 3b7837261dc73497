/** One identity on two devices that do the same at the same time. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { Agent } from "../../offchain/agent/index.ts";
import { escrowEvents, ledgerEvents } from "../helpers/on-chain.ts";
import { agentOf, newPerson, personFrom } from "../helpers/people.ts";
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
      const reports = await Promise.all(
        devices.map((device) => device.put([dir("files", name)], { agreement: false })),
      );
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

  it("pay one agreement when the second device puts what the first has put", async () => {
    writeFileSync(dir("files", "paid"), "paid for once");
    const [first, second] = devices as [Agent, Agent];
    const toldFirst: string[] = [];
    const paid = await first.put([dir("files", "paid")], {
      onProgress: ({ operation, phase }) => toldFirst.push(`${operation} ${phase}`),
    });
    expect(toldFirst).to.include("agreement uploading");
    const told: string[] = [];
    const again = await second.put([dir("files", "paid")], {
      onProgress: ({ operation, phase }) => told.push(`${operation} ${phase}`),
    });
    expect(told, "the provider keeps few preparations without an agreement").to.not.include("agreement uploading");
    expect(again.agreements.map(({ agreementId, isNew }) => [agreementId, isNew])).to.deep.equal([
      [paid.agreements[0]?.agreementId, false],
    ]);
    const repeated = await second.put([dir("files", "paid")]);
    expect(repeated.agreements.map(({ agreementId }) => agreementId)).to.deep.equal([paid.agreements[0]?.agreementId]);
    const proposed = (await escrowEvents(net)).filter(
      (event) => event.kind === "AgreementProposed" && event.user === account,
    );
    expect(proposed).to.have.length(1);
  });
});
