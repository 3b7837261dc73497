/** kill -9 of a put: run it again, and nothing is lost or paid twice. test/long has every phase, provider and nodes. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { escrowEvents, ledgerEvents } from "../helpers/on-chain.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { RunningPut } from "../helpers/running-put.ts";
import { joinSharedNet, type TestNet } from "../helpers/shared-net.ts";

/** More than one group of uploads. */
const FILE_BYTES = 9 * 1024 * 1024;

describe("a put that is killed", () => {
  let net: TestNet;
  let alice: Person;

  before(async () => {
    net = await joinSharedNet();
    alice = await newPerson(net, "alice");
  });
  after(() => net?.stop());

  it("finishes when it is run again, with one record and one deposit", async () => {
    const file = join(net.dir, "file");
    const planFile = join(net.dir, "plan.json");
    writeFileSync(file, randomBytes(FILE_BYTES));
    const { recoveryPhrase: phrase, deploymentFile, home: homeDir } = alice;
    writeFileSync(planFile, JSON.stringify({ phrase, deploymentFile, homeDir, path: file, dataSet: true }));
    for (const phase of ["storing", "recording", "verifying"]) {
      const run = new RunningPut(planFile);
      await run.reached(phase, "signing");
      await pause(Math.random() * 60);
      await run.kill();
    }
    const last = new RunningPut(planFile);
    const result = await last.ended();
    if (result === undefined) throw new Error(`the put did not finish: ${last.errors}`);
    expect(result.uploadedBytes).to.be.lessThan(result.storedBytes);

    const elsewhere = await personFrom(net, "new device", phrase);
    await withAgentOf(net, elsewhere, (agent) => agent.get(result.dataId, join(net.dir, "out")));
    expect(readFileSync(join(net.dir, "out", "file")).equals(readFileSync(file))).to.equal(true);
    const { account } = alice;
    const records = (await ledgerEvents(net)).filter(
      (event) => event.kind === "KeyRecorded" && event.record.account === account,
    );
    expect(records).to.have.length(1);
    const paid = (await escrowEvents(net)).filter((event) => "user" in event && event.user === account);
    expect(paid.map(({ kind }) => kind)).to.deep.equal(["Deposited"]);
    const opened = (await escrowEvents(net)).filter(
      (event) => event.kind === "DataSetOpened" && event.terms.user === account,
    );
    expect(opened.map((event) => "id" in event && event.id)).to.deep.equal([result.dataSetId]);
  });
});
