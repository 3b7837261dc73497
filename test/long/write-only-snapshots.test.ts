/**
 * Snapshots of a device that only writes, with real nodes, a real provider, a real chain and the real command: the
 * device leaves each one sealed for the owner of its account, who takes it over into the list, restores it with the
 * metadata of files, and has all of them after the device was revoked and on a new machine.
 */
import { chmodSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { AgentAccount } from "../../offchain/agent/account.ts";
import { CspClient } from "../../offchain/agent/providers/csp-client.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import { type Identity, identityFromPhrase, newRecoveryPhrase } from "../../offchain/core/identity/identity.ts";
import {
  decodeEntry,
  type EntryPlace,
  encodeEntry,
  entryTypedData,
  MAX_ENTRY_BYTES,
  nextPlace,
  sealEntry,
} from "../../offchain/core/snapshot/device-entry.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { RunningPut } from "../helpers/running-put.ts";
import { snapshotOf } from "../helpers/snapshots.ts";

const MODIFIED = 1_600_000_000;

interface Listed {
  readonly id: string;
  readonly device?: string;
  readonly host: string;
  readonly tags: readonly string[];
}

describe("snapshots of a device that only writes", function () {
  this.timeout(300_000);
  let net: LocalNet;
  let owner: Person;
  let device: Person;
  let own: string;
  let deviceIdentity: Identity;
  const ids: string[] = [];

  const said = async (person: Person, args: readonly string[]) => {
    const result = await tallystick(person, args);
    expect(result.exitCode, `${args.join(" ")}: ${result.stderr}${JSON.stringify(result.document)}`).to.equal(0);
    return result.document;
  };
  const clientOf = ({ recoveryPhrase }: Person) => {
    const account = new AgentAccount(identityFromPhrase(recoveryPhrase).signingKey);
    return new CspClient(net.provider.url, net.provider.account, new SessionTokens(account, net.deployment));
  };
  const listed = async (person: Person, ...args: string[]) =>
    (await said(person, ["snapshots", ...args])).snapshots as Listed[];
  /** A folder with a file whose mode and time are told. */
  const folder = (name: string, text: string) => {
    const path = join(net.dir, name);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "notes.txt"), text);
    chmodSync(join(path, "notes.txt"), 0o640);
    utimesSync(join(path, "notes.txt"), MODIFIED, MODIFIED);
    return path;
  };
  const expectRestored = async (person: Person, place: string, name: string, text: string) => {
    const target = join(net.dir, `restored ${person.account} ${place.replaceAll(":", "-")}`);
    await said(person, ["get", place, "-o", target]);
    const file = join(target, name, "notes.txt");
    expect(readFileSync(file, "utf8")).to.equal(text);
    const { mode, mtimeMs } = statSync(file);
    expect([mode & 0o777, mtimeMs / 1000]).to.deep.equal([0o640, MODIFIED]);
  };
  const left = async (name: string, text: string, ...args: string[]) => {
    const put = await said(device, ["put", folder(name, text), "--host", "backup", ...args]);
    const { id } = put.snapshot as Listed;
    ids.push(id);
    return id;
  };

  before(async () => {
    net = await startLocalNet(SMALL_COMMITTEE);
    owner = await newPerson(net, "owner");
    device = await personFrom(net, "device", newRecoveryPhrase());
    deviceIdentity = identityFromPhrase(device.recoveryPhrase);
    own = String(((await said(owner, ["put", folder("own", "of the owner")])).snapshot as Listed).id);
    const asked = await said(device, ["delegate", "request", owner.account, "--scope", "write"]);
    const request = join(net.dir, "request.json");
    writeFileSync(request, JSON.stringify(asked.request));
    await said(owner, ["delegate", "grant", request]);
    await said(owner, ["delegate", "prepare", request]);
  });
  after(async () => await net?.stop());

  it("are in the list of the owner, with time, host, tags and device, behind its own", async () => {
    await left("home", "first", "--tag", "nightly", "--time", "2026-01-02T03:04:05Z");
    await left("home", "second");
    const snapshots = await listed(owner, "--device", device.account);
    expect(snapshots.map(({ id }) => id)).to.have.members(ids);
    expect(snapshots[0]).to.include({ host: "backup", device: device.account });
    expect(snapshots[0]?.tags).to.deep.equal(["nightly"]);
    const resolved = await withAgentOf(net, owner, (agent) => agent.snapshots.resolve("latest"));
    expect(resolved.snapshot?.id).to.equal(own);
    // They were taken over: the provider keeps the last one alone, for its place.
    const client = clientOf(owner);
    expect(await client.deviceLists()).to.deep.equal([{ key: device.account, position: 2, taken: 2 }]);
    expect(await client.deviceEntries(device.account, 0)).to.have.length(1);
    expect(await listed(owner)).to.have.length(3);
  });

  it("are restored, compared, searched, measured and verified as others are, metadata included", async () => {
    const [first = "", second = ""] = ids;
    await expectRestored(owner, first, "home", "first");
    await expectRestored(owner, "latest:backup", "home", "second");
    await expectRestored(owner, `latest:${device.account}`, "home", "second");
    const { entries } = (await said(owner, ["ls", `${first}:home`])) as unknown as { entries: { mode?: number }[] };
    expect(entries.map(({ mode }) => mode)).to.include(0o640);
    const { changes } = (await said(owner, ["diff", first, second])) as unknown as { changes: { kind: string }[] };
    expect(changes.map(({ kind }) => kind)).to.include("changed");
    const { found } = (await said(owner, ["find", "notes.txt"])) as unknown as { found: { snapshotId: string }[] };
    expect(found.map(({ snapshotId }) => snapshotId)).to.have.members([own, first, second]);
    await said(owner, ["stats"]);
    await said(owner, ["verify", first]);
  });

  it("are each left once when a put is killed, and the put is run again", async () => {
    const path = join(net.dir, "killed.bin");
    writeFileSync(path, pseudoRandomBytes("killed", 300_000));
    const plan = join(net.dir, "plan.json");
    const { recoveryPhrase: phrase, home: homeDir } = device;
    const { deploymentFile } = net;
    writeFileSync(plan, JSON.stringify({ phrase, deploymentFile, homeDir, path, dataSet: true }));
    for (const phase of ["storing", "signing", "done"]) {
      const run = new RunningPut(plan);
      await run.reached(phase, "done");
      await run.kill();
    }
    // With a time of its own, a put is the same snapshot each time.
    const args = ["put", path, "--host", "backup", "--time", "2026-02-03T04:05:06Z"];
    const { id } = (await said(device, args)).snapshot as Listed;
    await said(device, args);
    const snapshots = await listed(owner, "--device", device.account);
    expect(snapshots.filter((one) => one.id === id)).to.have.length(1);
    expect(new Set(snapshots.map((one) => one.id)).size).to.equal(snapshots.length);
    expect(snapshots.map((one) => one.id)).to.include.members(ids);
    ids.splice(0, ids.length, ...snapshots.map((one) => one.id));
  });

  it("are nothing that the device reads, changes or removes", async () => {
    for (const args of [["snapshots"], ["rm", "latest"], ["ls", ids[0] ?? ""], ["get", "latest", "-o", net.dir]]) {
      const refused = await tallystick(device, args);
      expect(refused.exitCode, JSON.stringify([args, refused.document])).to.not.equal(0);
    }
    const thief = clientOf(device);
    for (const attempt of [
      () => thief.deviceLists(),
      () => thief.deviceEntries(device.account, 0),
      () => thief.tookEntries(device.account, 1),
      () => thief.head(),
      () => thief.lastDeviceEntry(owner.account),
    ]) {
      await expectAsyncRejection(attempt, "OUT_OF_SCOPE");
    }
  });

  describe("from somebody who has stolen the device", () => {
    const scope = (changed: { chainId?: bigint; account?: string } = {}) => ({
      chainId: BigInt(net.deployment.chainId),
      directory: net.deployment.contracts.accountDirectory,
      account: owner.account,
      key: device.account,
      provider: net.provider.account,
      ...changed,
    });
    const now = () => Math.floor(Date.now() / 1000);
    const last = async () => decodeEntry(await clientOf(device).lastDeviceEntry(device.account));
    const sealed = async (place: EntryPlace, key = identityFromPhrase(owner.recoveryPhrase).hpkePublicKey) =>
      await sealEntry(key, scope(), place, snapshotOf(7, { device: device.account, host: "owner's laptop" }));
    const signed = async (place: EntryPlace, content: Uint8Array, by = deviceIdentity, of = scope()) => {
      const signature = await new AgentAccount(by.signingKey).sign(entryTypedData(of, place, content));
      return encodeEntry(place, fromHex(signature), content);
    };
    const leave = async (entry: Uint8Array) => {
      const client = clientOf(device);
      return await client.leaveEntry(device.account, entry, (await client.usage()).releases);
    };

    it("are refused by the provider when they are not in place, not signed for it, or too large", async () => {
      const before = await last();
      const place = nextPlace(before, now());
      const content = await sealed(place);
      const other = identityFromPhrase(newRecoveryPhrase());
      const refusals: [string, Promise<Uint8Array> | Uint8Array, "CONFLICT" | "INVALID_SIGNATURE" | "INVALID_INPUT"][] =
        [
          ["a replayed position", signed({ ...place, position: before.position }, content), "CONFLICT"],
          ["a gap", signed({ ...place, position: place.position + 1 }, content), "CONFLICT"],
          ["one that follows another", signed({ ...place, previous: new Uint8Array(32) }, content), "CONFLICT"],
          ["one of another device", signed(place, content, other), "INVALID_SIGNATURE"],
          [
            "the wrong account",
            signed(place, content, deviceIdentity, scope({ account: other.account })),
            "INVALID_SIGNATURE",
          ],
          ["another chain", signed(place, content, deviceIdentity, scope({ chainId: 1n })), "INVALID_SIGNATURE"],
          ["one of another time", signed({ ...place, time: place.time - 3600 }, content), "INVALID_SIGNATURE"],
          ["one that is too large", new Uint8Array(MAX_ENTRY_BYTES + 1).fill(1), "INVALID_INPUT"],
        ];
      for (const [name, entry, code] of refusals) {
        const bytes = await entry;
        const error = await expectAsyncRejection(() => leave(bytes), code);
        expect(error.party, name).to.equal(`provider ${net.provider.url}`);
      }
      expect((await last()).position).to.equal(before.position);
    });

    it("are left out and named when they are none, and hide no other snapshot", async () => {
      const elsewhere = nextPlace(await last(), now());
      await leave(await signed(elsewhere, await sealed(elsewhere, deviceIdentity.hpkePublicKey)));
      const garbled = nextPlace(await last(), now());
      await leave(await signed(garbled, pseudoRandomBytes("no message", 200)));
      await left("home", "after the junk");
      const told = await tallystick(owner, ["snapshots"]);
      expect(told.exitCode).to.not.equal(0);
      const { snapshots, failures } = told.document as unknown as {
        snapshots: Listed[];
        failures: { device: string; error: { party: string } }[];
      };
      expect(snapshots.map(({ id }) => id)).to.have.members([own, ...ids]);
      expect(failures.map((one) => [one.device, one.error.party])).to.deep.equal([
        [device.account, `device ${device.account}`],
      ]);
      // They were left behind with what was taken over.
      expect(await listed(owner)).to.have.length(ids.length + 1);
    });

    it("stand in the way of no command when what they name does not exist", async () => {
      const place = nextPlace(await last(), now());
      await leave(await signed(place, await sealed(place)));
      const snapshots = await listed(owner);
      expect(snapshots).to.have.length(ids.length + 2);
      const { found } = (await said(owner, ["find", "notes.txt"])) as unknown as { found: { snapshotId: string }[] };
      expect(found.map(({ snapshotId }) => snapshotId)).to.include(own);
      const resolved = await withAgentOf(net, owner, (agent) => agent.snapshots.resolve("latest"));
      expect(resolved.snapshot?.id).to.equal(own);
      const gone = ids.shift() ?? "";
      await said(owner, ["rm", gone]);
      await said(owner, ["forget", "--keep-last", "1", "--dry-run"]);
      const junk = snapshots.find(({ host }) => host === "owner's laptop");
      await said(owner, ["rm", junk?.id ?? ""]);
      expect((await listed(owner)).map(({ id }) => id)).to.have.members([own, ...ids]);
    });
  });

  describe("at the end", () => {
    it("are forgotten by rules as others are, and what they alone need is released", async () => {
      const extra = await left("extra", "needed by one snapshot");
      const report = (await said(owner, ["rm", extra])) as unknown as { released: { released: number }[] };
      expect(report.released.reduce((sum, { released }) => sum + released, 0)).to.be.greaterThan(0);
      ids.pop();
      // What was released is stored again by the device, which cannot tell what to keep.
      const again = await left("extra", "needed by one snapshot");
      await expectRestored(owner, again, "extra", "needed by one snapshot");
    });

    it("are all there after the device was revoked, and on a new machine from the phrase alone", async () => {
      const late = await left("home", "the last one");
      await said(owner, ["delegate", "revoke", device.account]);
      const refused = await tallystick(device, ["put", folder("home", "too late")]);
      expect(refused.document.error).to.include({ code: "NOT_DELEGATED" });
      const fresh = await personFrom(net, "owner's new machine", owner.recoveryPhrase);
      const snapshots = await listed(fresh);
      expect(snapshots.map(({ id }) => id)).to.have.members([own, ...ids]);
      await expectRestored(fresh, late, "home", "the last one");
    });
  });
});
