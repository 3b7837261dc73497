/**
 * What a device that only writes has stored, when the identity of its owner is replaced: real nodes, a real provider, a
 * real chain and the real command.
 */
import { chmodSync, cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { AgentAccount } from "../../offchain/agent/account.ts";
import { CspClient } from "../../offchain/agent/providers/csp-client.ts";
import { readRecordSeal } from "../../offchain/chain/group-keys.ts";
import { readHeadTime } from "../../offchain/chain/head.ts";
import { headerOf, recordCall } from "../../offchain/chain/ledger.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import { keyRecordTypedData } from "../../offchain/core/identity/typed-messages.ts";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { fileTag, ownershipAddress } from "../../offchain/core/record/key-record.ts";
import { buildSealedPayload } from "../../offchain/core/record/sealed-record.ts";
import {
  decodeEntry,
  encodeEntry,
  entryTypedData,
  nextPlace,
  sealEntry,
} from "../../offchain/core/snapshot/device-entry.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { Household, type SetReport } from "../helpers/household.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, ledgerEvents, withChain } from "../helpers/on-chain.ts";
import { type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { snapshotOf } from "../helpers/snapshots.ts";

const EPOCH_BLOCKS = 120;
const FILE_BYTES = 300_000;

interface Left {
  readonly id: string;
  readonly name: string;
  readonly dataId: string;
  readonly set: SetReport;
}

describe("rotating an identity that has a device which only writes", function () {
  this.timeout(300_000);
  let net: LocalNet;
  let home: Household;
  let own: Record<string, unknown>;
  const left: Left[] = [];
  let successor: Person;
  let fresh: Person;
  /** Data id of a snapshot whose key nobody releases. */
  let madeUp: string;

  const said = async (person: Person, ...args: string[]) => await home.said(person, args);
  const toNextEpoch = async () => {
    const head = await net.chain.provider.getBlockNumber();
    await net.chain.mine((Math.floor(head / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS - head);
  };
  /** A folder with a file whose mode is told. */
  const put = async (person: Person, name: string) => {
    const folder = join(net.dir, name);
    mkdirSync(folder);
    writeFileSync(join(folder, "file"), pseudoRandomBytes(name, FILE_BYTES));
    chmodSync(join(folder, "file"), 0o640);
    return await said(person, "put", folder, "--host", "backup");
  };
  const leave = async (name: string) => {
    const stored = await put(home.device, name);
    const { id } = stored.snapshot as { id: string };
    const [set] = stored.dataSets as SetReport[];
    if (set === undefined) throw new Error("the put is in no data set");
    left.push({ id, name, dataId: String(stored.dataId), set });
  };
  const waiting = async () => {
    const account = new AgentAccount(identityFromPhrase(home.owner.recoveryPhrase).signingKey);
    const sessions = new SessionTokens(account, net.deployment);
    const lists = await new CspClient(net.provider.url, net.provider.account, sessions).deviceLists();
    return lists.map(({ position, taken }) => [position, taken]);
  };

  /** As somebody who has stolen the device: a record whose sealed key is for another policy, and a snapshot of it. */
  const leaveMadeUp = async () => {
    const identity = identityFromPhrase(home.device.recoveryPhrase);
    const account = new AgentAccount(identity.signingKey);
    const [dataId, fileKey] = [contentId(pseudoRandomBytes("made up", 100)), pseudoRandomBytes("its key", 32)];
    await withChain(net, async (chain) => {
      const { deployment } = chain;
      const { keyLedger, recoveryPolicy } = deployment.contracts;
      await oprfReady();
      const fields = {
        account: account.address,
        fileTag: toHex(fileTag(dataId)),
        committeeId: 1n,
        keyTime: await readHeadTime(chain),
        ownershipKey: ownershipAddress(fileKey),
      };
      const seal = { ...(await readRecordSeal(chain, 1n)), ownersPolicy: recoveryPolicy };
      const { catalogueKey } = identity;
      const payload = buildSealedPayload({ seal, header: fields, fileKey, dataId, catalogueKey });
      const record = { ...fields, payload };
      const deadline = fields.keyTime + 1000n;
      const message = { ...headerOf(record), deadline };
      const signature = await account.sign(keyRecordTypedData(BigInt(deployment.chainId), keyLedger, message));
      const payer = new TransactionSender(chain, identityFromPhrase(home.owner.recoveryPhrase).signingKey);
      await payer.send(recordCall(deployment, { record, deadline, signature }));
    });
    const client = new CspClient(
      net.provider.url,
      net.provider.account,
      new SessionTokens(new AgentAccount(identity.signingKey), net.deployment),
    );
    const scope = {
      chainId: BigInt(net.deployment.chainId),
      directory: net.deployment.contracts.accountDirectory,
      account: home.owner.account,
      key: account.address,
      provider: net.provider.account,
    };
    const last = decodeEntry(await client.lastDeviceEntry(account.address));
    const place = nextPlace(last, Math.floor(Date.now() / 1000));
    const owner = identityFromPhrase(home.owner.recoveryPhrase);
    const snapshot = snapshotOf(7, { device: account.address, host: "made up", dataId });
    const content = await sealEntry(owner.hpkePublicKey, scope, place, snapshot);
    const signature = await account.sign(entryTypedData(scope, place, content));
    const { releases } = await client.usage();
    await client.leaveEntry(account.address, encodeEntry(place, fromHex(signature), content), releases);
    return dataId;
  };

  before(async () => {
    const cspConfig = { pollMilliseconds: 50, proofRetrySeconds: 1 };
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: EPOCH_BLOCKS, windowBlocks: 20, cspConfig });
    home = await Household.grant(net, "rotated");
    await home.prepare();
    own = await put(home.owner, "of the owner");
    await leave("taken over");
    await home.owners("snapshots");
    expect(await waiting()).to.deep.equal([[1, 1]]);
    await leave("left behind");
    expect(await waiting()).to.deep.equal([[2, 1]]);
    madeUp = await leaveMadeUp();
  });
  after(async () => await net?.stop());

  it("passes on what the device has left, into one set of the successor, and ends both old ones", async () => {
    const { plan, recoveryPhrase } = (await home.owners("rotate")) as {
      plan: { successor: string; dataSets: { id: string; objects: number; bytes: number }[] };
      recoveryPhrase: string;
    };
    expect(plan.dataSets.map(({ id }) => id))
      .to.include(home.dataSet)
      .and.to.have.length(2);
    cpSync(home.owner.home, join(net.dir, "before"), { recursive: true });
    const records = (await ledgerEvents(net)).length;
    const { document: report, exitCode, stderr } = await tallystick(home.owner, ["rotate", "--yes"]);
    expect(exitCode, `${stderr}${JSON.stringify(report)}`).to.equal(EXIT.incomplete);
    expect(report).to.include({ listedSnapshots: 4 });
    expect(report.left).to.deep.equal([]);
    // Alone: what is damaged there is told once.
    const damaged = report.damaged as { id: string; error: { code: string; hint: string } }[];
    expect(damaged.map(({ id }) => id)).to.deep.equal([madeUp]);
    expect(damaged[0]?.error).to.include({ code: "INVALID_PROOF" });
    expect(damaged[0]?.error.hint).to.contain("--no-release");
    const sets = report.dataSets as { id: string; successor: string; lastEpoch?: number }[];
    expect(new Set(sets.map((one) => one.successor)).size).to.equal(1);
    for (const { lastEpoch } of sets) expect(lastEpoch).to.be.a("number");
    const notices = (await escrowEvents(net)).filter(({ kind }) => kind === "NoticeGiven");
    expect(notices.map((event) => "id" in event && event.id)).to.have.members(sets.map(({ id }) => id));
    expect(sets.map(({ id }) => id)).to.include(home.dataSet);
    expect((await ledgerEvents(net)).length).to.equal(records);
    successor = { ...home.owner, account: plan.successor, recoveryPhrase };
    const refused = await tallystick(home.device, ["put", home.write("late", pseudoRandomBytes("late", 1000))]);
    expect(refused.exitCode).to.not.equal(0);
  });

  it("lists and restores it for the new phrase alone, with the metadata of its files", async () => {
    fresh = await personFrom(net, "successor's new machine", successor.recoveryPhrase);
    const { snapshots } = (await said(fresh, "snapshots")) as {
      snapshots: { id: string; device?: string; host: string }[];
    };
    const ofDevice = snapshots.filter(({ device, host }) => device === home.device.account && host !== "made up");
    expect(ofDevice.map(({ id }) => id)).to.deep.equal(left.map(({ id }) => id));
    expect(snapshots).to.have.length(4);
    for (const { id, name } of left) {
      const target = join(net.dir, `restored ${name}`);
      await said(fresh, "get", id, "-o", target);
      const file = join(target, name, "file");
      expect(readFileSync(file).equals(pseudoRandomBytes(name, FILE_BYTES)), name).to.equal(true);
      expect(statSync(file).mode & 0o777, name).to.equal(0o640);
      await said(fresh, "verify", id);
    }
  });

  it("is proven in the successor's set, which holds all objects of it", async () => {
    await toNextEpoch();
    const [set, ...others] = await withAgentOf(net, successor, (agent) => agent.dataSets.list());
    expect(others).to.deep.equal([]);
    const id = set?.id ?? "";
    await until("an epoch is proven", async () => {
      await net.chain.mine(5);
      return Number((await said(successor, "data-set", "show", id)).provenEpochs) > 0;
    });
    await withAgentOf(net, successor, async (agent) => {
      for (const { dataId, name } of [...left, { name: "own", dataId: String(own.dataId) }]) {
        // Whatever the set lacks would be added.
        const added = await agent.dataSets.add(dataId);
        expect(
          added.map((one) => [one.id, one.addedSlices]),
          name,
        ).to.deep.equal([[id, 0]]);
      }
    });
  });

  it("is not touched by another run", async () => {
    const before = [(await escrowEvents(net)).length, (await ledgerEvents(net)).length];
    const home = join(net.dir, "as before the rotation");
    mkdirSync(home, { mode: 0o700 });
    // The files of before, with the successor beside them: a run that was killed before it exchanged them.
    cpSync(join(net.dir, "before"), home, { recursive: true });
    const again = await tallystick({ ...successor, home }, ["rotate", "--yes"]);
    expect(again.document).to.include({ listedSnapshots: 0 });
    expect([again.document.dataSets, again.document.damaged, again.document.left]).to.deep.equal([[], [], []]);
    expect(again.exitCode, again.stderr).to.equal(0);
    expect([(await escrowEvents(net)).length, (await ledgerEvents(net)).length]).to.deep.equal(before);
  });
});
