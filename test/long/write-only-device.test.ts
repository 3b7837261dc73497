/**
 * A backup machine that only writes, with real nodes, a real provider, a real chain and the real command: its owner
 * prepares a data set for it once, and from then on its puts are proven and paid for, and nothing that a thief finds on
 * the machine reads, removes or ends anything.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { AgentAccount } from "../../offchain/agent/account.ts";
import { CspClient } from "../../offchain/agent/providers/csp-client.ts";
import { windowsOf } from "../../offchain/core/data-set/epochs.ts";
import { identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents } from "../helpers/on-chain.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { RunningPut } from "../helpers/running-put.ts";

const EPOCH_BLOCKS = 400;
const FIRST = pseudoRandomBytes("first backup", 300_000);
const SECOND = pseudoRandomBytes("second backup", 200_000);

interface SetReport {
  readonly id: string;
  readonly isNew: boolean;
  readonly addedSlices: number;
  readonly slices: number;
}

describe("a device that only writes", function () {
  this.timeout(300_000);
  let net: LocalNet;
  let owner: Person;
  let device: Person;
  let request: string;
  let dataSet: string;
  const puts: { dataId: string; content: Uint8Array }[] = [];

  const said = async (person: Person, args: readonly string[]) => {
    const result = await tallystick(person, args);
    expect(result.exitCode, `${args.join(" ")}: ${result.stderr}${JSON.stringify(result.document)}`).to.equal(0);
    return result.document;
  };
  const clientOf = ({ recoveryPhrase }: Person) => {
    const account = new AgentAccount(identityFromPhrase(recoveryPhrase).signingKey);
    return new CspClient(net.provider.url, net.provider.account, new SessionTokens(account, net.deployment));
  };
  const setOfDevice = async () => await withAgentOf(net, owner, (agent) => agent.dataSets.show(dataSet));
  const write = (name: string, content: Uint8Array) => {
    const file = join(net.dir, name);
    writeFileSync(file, content);
    return file;
  };

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: EPOCH_BLOCKS, windowBlocks: 60, sampleCount: 30 });
    owner = await newPerson(net, "owner");
    // It has no coins, and never needs any.
    device = await personFrom(net, "device", newRecoveryPhrase());
    const asked = await said(device, ["delegate", "request", owner.account, "--scope", "write"]);
    request = write("request.json", Buffer.from(JSON.stringify(asked.request)));
  });
  after(async () => await net?.stop());

  it("is prepared by its owner, once, after the grant", async () => {
    const early = await tallystick(owner, ["delegate", "prepare", request]);
    expect(early.document.error).to.include({ code: "NOT_DELEGATED", party: `device ${device.account}` });
    await said(owner, ["delegate", "grant", request]);
    const { prepared } = (await said(owner, ["delegate", "prepare", request])) as { prepared: Record<string, unknown> };
    expect(prepared).to.include({ key: device.account, isNew: true, provider: net.provider.account });
    expect(BigInt(String(prepared.feeLimit)) > BigInt(String(prepared.feePerEpoch))).to.equal(true);
    dataSet = String(prepared.dataSet);
    const again = (await said(owner, ["delegate", "prepare", request])) as { prepared: Record<string, unknown> };
    expect(again.prepared).to.include({ dataSet, isNew: false, feeLimit: prepared.feeLimit, deposited: "0" });
    expect(again.prepared.transactions).to.deep.equal([]);
  });

  it("does not take an encryption key that somebody has put into the request", async () => {
    const asked = JSON.parse(JSON.stringify(await said(owner, ["delegate", "ls"])));
    expect(asked.delegates).to.have.length(1);
    const { readFileSync } = await import("node:fs");
    const changed = { ...JSON.parse(readFileSync(request, "utf8")), encryptionKey: `0x${"09".repeat(32)}` };
    const refused = await tallystick(owner, [
      "delegate",
      "prepare",
      write("changed.json", Buffer.from(JSON.stringify(changed))),
    ]);
    expect(refused.document.error).to.include({ code: "INVALID_SIGNATURE", check: "signature of the encryption key" });
  });

  it("adds what it puts to its set, and leaves the owner's own alone", async () => {
    const own = await said(owner, ["put", write("own.bin", pseudoRandomBytes("of the owner", 50_000))]);
    const [ownSet] = own.dataSets as SetReport[];
    expect(ownSet?.id).to.not.equal(dataSet);
    for (const [name, content] of [
      ["first.bin", FIRST],
      ["second.bin", SECOND],
    ] as const) {
      const stored = await said(device, ["put", write(name, content)]);
      const reports = stored.dataSets as SetReport[];
      expect(reports.map(({ id, isNew }) => [id, isNew])).to.deep.equal([[dataSet, false]]);
      expect(reports[0]?.addedSlices).to.be.greaterThan(0);
      expect(stored).to.include({ storedFor: owner.account });
      puts.push({ dataId: String(stored.dataId), content });
    }
    // Unchanged: nothing is added, and no coin is needed.
    const again = (await said(device, ["put", join(net.dir, "second.bin")])).dataSets as SetReport[];
    expect(again[0]?.addedSlices).to.equal(0);
  });

  it("loses nothing and adds nothing twice when it is killed in the middle of a put", async () => {
    const content = pseudoRandomBytes("killed", 400_000);
    const path = write("killed.bin", content);
    const { recoveryPhrase: phrase, home: homeDir } = device;
    const { deploymentFile } = net;
    const plan = write(
      "plan.json",
      Buffer.from(JSON.stringify({ phrase, deploymentFile, homeDir, path, dataSet: true })),
    );
    const before = (await setOfDevice()).slices;
    for (const phase of ["storing", "uploading", "verifying", "signing"]) {
      const run = new RunningPut(plan);
      await run.reached(phase, "verifying", "signing", "done");
      await run.kill();
    }
    const stored = await said(device, ["put", path]);
    puts.push({ dataId: String(stored.dataId), content });
    const { slices } = await setOfDevice();
    const bytes = 4096 * 31;
    const needed = Math.ceil(content.length / bytes);
    expect(slices - before).to.be.within(needed, needed + 1);
    const again = (await said(device, ["put", path])).dataSets as SetReport[];
    expect(again[0]).to.include({ addedSlices: 0, slices });
  });

  it("is proven in the next epoch, and paid for by its owner", async () => {
    const { audit } = await setOfDevice();
    const head = () => net.chain.provider.getBlockNumber();
    for (let past = 0; past < 2; past += 1) {
      const epoch = Math.floor((await head()) / EPOCH_BLOCKS) + 1;
      const windows = windowsOf({ ...audit, epochBlocks: EPOCH_BLOCKS }, epoch);
      await net.chain.mine(windows.challengeBlock + 1 - (await head()));
      await until("the epoch is proven", async () => {
        const { epochs } = await setOfDevice();
        return epochs.some((one) => one.epoch === epoch && one.status === "proven");
      });
    }
    // The owner has the audit secrets of the device's set.
    const audited = await withAgentOf(net, owner, (agent) => agent.dataSets.audit(dataSet));
    expect(audited).to.include({ id: dataSet, mode: "private" });
    for (const { dataId, content } of puts) {
      const copy = await withAgentOf(net, owner, (agent) => agent.getBytes(dataId));
      expect(Buffer.compare(copy, content)).to.equal(0);
    }
    // Also on a machine that has nothing but the owner's phrase.
    const fresh = await personFrom(net, "owner's new machine", owner.recoveryPhrase);
    await withAgentOf(net, fresh, async (agent) => {
      expect(await agent.dataSets.recover()).to.equal(2);
      expect(await agent.dataSets.audit(dataSet)).to.include({ id: dataSet });
    });
  });

  it("gives a thief neither data, nor a way to remove, shrink or end anything", async () => {
    const [first] = puts;
    if (first === undefined) throw new Error("no put");
    const target = join(net.dir, "stolen");
    for (const args of [
      ["get", first.dataId, "-o", target],
      ["snapshots"],
      ["rm", "latest"],
      ["data-set", "notice", dataSet],
      ["data-set", "compact", dataSet],
      ["data-set", "audit", dataSet],
      ["delegate", "limit", device.account, dataSet, "99999999999999999"],
    ]) {
      const refused = await tallystick(device, args);
      expect(refused.exitCode, JSON.stringify([args, refused.document])).to.not.equal(0);
    }
    expect(existsSync(join(target, "first.bin"))).to.equal(false);
    const { audit, slices, feePerEpoch } = await setOfDevice();
    const thief = clientOf(device);
    const attempts = [
      () => thief.release([], 1),
      () => thief.auditDataSet(audit.salt, new Uint8Array(300)),
      () => thief.leaveParcel(device.account, new Uint8Array(113)),
      () => thief.parcel(owner.account),
    ];
    for (const attempt of attempts) await expectAsyncRejection(attempt, "OUT_OF_SCOPE");
    expect(await setOfDevice()).to.include({ slices, feePerEpoch, status: "running" });
    const ends = (await escrowEvents(net)).filter(({ kind }) => kind.includes("Ended") || kind.includes("Notice"));
    expect(ends).to.deep.equal([]);
  });

  it("stops at the limit of its owner, and goes on when that is higher", async () => {
    const { feePerEpoch } = await setOfDevice();
    const limit = feePerEpoch - 1n;
    await said(owner, ["delegate", "limit", device.account, dataSet, String(limit)]);
    const file = write("above.bin", pseudoRandomBytes("above the limit", 300_000));
    const refused = await tallystick(device, ["put", file]);
    expect(refused.document.error, JSON.stringify(refused.document)).to.include({
      ...{ code: "OUT_OF_SCOPE", check: "fee per epoch", expected: `at most ${limit}` },
    });
    await said(owner, ["delegate", "prepare", request, "--limit", String(feePerEpoch * 4n)]);
    const [report] = (await said(device, ["put", file])).dataSets as SetReport[];
    expect(report?.addedSlices).to.be.greaterThan(0);
  });

  it("has another set when its home is lost", async () => {
    const lost = await personFrom(net, "device, installed anew", device.recoveryPhrase);
    const file = write("anew.bin", pseudoRandomBytes("anew", 60_000));
    const refused = await tallystick(lost, ["put", file]);
    expect(refused.document.error).to.include({ code: "CONFLICT", check: "version of the data set" });
    const { prepared } = (await said(owner, ["delegate", "prepare", request, "--new"])) as {
      prepared: Record<string, unknown>;
    };
    expect(prepared).to.include({ isNew: true });
    expect(prepared.dataSet).to.not.equal(dataSet);
    const [report] = (await said(lost, ["put", file])).dataSets as SetReport[];
    expect(report?.id).to.equal(prepared.dataSet);
    // The old home adds nothing to the old set any more.
    const old = await tallystick(device, ["put", write("late.bin", pseudoRandomBytes("late", 60_000))]);
    expect(old.exitCode, JSON.stringify(old.document)).to.not.equal(0);
    expect(await withAgentOf(net, owner, (agent) => agent.dataSets.giveNotice(dataSet))).to.include({ id: dataSet });
  });

  it("stops when it is revoked", async () => {
    await said(owner, ["delegate", "revoke", device.account]);
    const refused = await tallystick(device, ["put", join(net.dir, "first.bin")]);
    expect(refused.document.error).to.include({ code: "NOT_DELEGATED" });
  });
});
