/**
 * Delegates with real nodes, a real provider, a real chain and the real command: what a stolen device gets, and what
 * ends it.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { keccak256 } from "ethers";
import { sha256 } from "#primitives";
import { AgentAccount } from "../../offchain/agent/account.ts";
import type { PutReport } from "../../offchain/agent/index.ts";
import { CspClient } from "../../offchain/agent/providers/csp-client.ts";
import { type OpenedDataSet, scheduleOf } from "../../offchain/chain/data-set-words.ts";
import { feeOf } from "../../offchain/core/data-set/fee.ts";
import { decodeLiveRanges, encodeLiveRanges } from "../../offchain/core/data-set/ranges.ts";
import { lastLevel } from "../../offchain/core/data-set/schedule.ts";
import { contentIdFromDigest } from "../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import { dataSetUpdateTypedData } from "../../offchain/core/identity/typed-messages.ts";
import type { ErrorAnswer } from "../../offchain/core/wire/session.ts";
import { KNOWN_SECONDS } from "../../offchain/daemon/remembered-answers.ts";
import { HttpParty } from "../../offchain/http/client.ts";
import { SessionTokens } from "../../offchain/http/sessions.ts";
import { type CommandResult, tallystick } from "../../scripts/demo/command.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, withChain } from "../helpers/on-chain.ts";
import { newPerson, type Person, personFrom, withAgentOf } from "../helpers/people.ts";
import { failure } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const ROOT = new URL("../../", import.meta.url);
const CONTENT = pseudoRandomBytes("of the owner", 300_000);
const SEALED = pseudoRandomBytes("ciphertext of a device", 5000);
const ID = contentIdFromDigest(sha256(SEALED));
const NOBODY = `0x${"77".repeat(20)}`;
const SEGMENT = `0x${"5e".repeat(32)}`;

/** Every route of provider and node that takes a session, and which delegates it is for. */
const PROVIDER_ROUTES: Readonly<Record<string, readonly ("read" | "write")[]>> = {
  "POST /v1/claims": ["write"],
  "POST /v1/claims/:claimId/answers": ["write"],
  "POST /v1/chunks": ["write"],
  "POST /v1/chunks/release": [],
  "POST /v1/chunks/keep": ["write"],
  "GET /v1/usage": ["read", "write"],
  "POST /v1/chunks/inspect": ["read", "write"],
  "GET /v1/chunks/:id": ["read"],
  "GET /v1/head": ["read"],
  "PUT /v1/head": [],
  "GET /v1/stub-files/:dataId": ["read"],
  "PUT /v1/stub-files/:dataId": [],
  "GET /v1/delegates/:key/parcel": ["write"],
  "PUT /v1/delegates/:key/parcel": [],
  // What devices have left is the owner's to read and to take over; a device asks for its last one alone.
  "GET /v1/delegates/snapshots": [],
  "GET /v1/delegates/:key/snapshots": [],
  "GET /v1/delegates/:key/snapshots/last": ["write"],
  "PUT /v1/delegates/:key/snapshots": ["write"],
  "POST /v1/delegates/:key/snapshots/taken": [],
  "PUT /v1/data-sets/:salt": [],
  "GET /v1/data-sets/:salt": ["write"],
  "PUT /v1/data-sets/:salt/:part": ["write"],
  "PUT /v1/data-sets/:salt/segments/:segment": ["write"],
  "GET /v1/data-sets/:salt/segments/:segment": ["write"],
  "PUT /v1/data-sets/:salt/segments/:segment/tags": ["write"],
  "POST /v1/data-sets/:salt/segments/:segment/verify": ["write"],
  "POST /v1/data-sets/:salt/open": [],
  "POST /v1/data-sets/:salt/updates": ["write"],
  "POST /v1/data-sets/:salt/audit": [],
  "POST /v1/data-sets/:salt/openings": [],
  // What changes a group, or shows what only its owners may see: an account itself is the owner.
  "POST /v1/owner-groups": [],
  "GET /v1/owner-groups": [],
  "GET /v1/owner-groups/:groupId/proof": [],
  "POST /v1/owner-groups/:groupId/join": [],
  "POST /v1/owner-groups/:groupId/complete": [],
  "POST /v1/owner-groups/:groupId/secret": [],
  "POST /v1/owner-groups/:groupId/leave": [],
  "POST /v1/owner-groups/:groupId/revoke": [],
  "POST /v1/owner-groups/:groupId/readmit": [],
  "POST /v1/owner-groups/:groupId/close": [],
  "GET /v1/owner-groups/:groupId/members": [],
  "GET /v1/owner-groups/:groupId/path": [],
  "GET /v1/owner-groups/:groupId/rekeys/:epoch": [],
  "GET /v1/owner-groups/:groupId/stub-file": [],
  "PUT /v1/owner-groups/:groupId/stub-file": [],
};
const NODE_ROUTES: typeof PROVIDER_ROUTES = {
  "POST /v1/oprf/evaluate": ["write"],
  "POST /v1/records": ["write"],
  "POST /v1/records/:recordId/owners": ["write"],
  "POST /v1/releases": ["read"],
};
/** Routes that anybody may ask. Those of shares check signatures of their own, and the directory or the registry. */
const OPEN_ROUTES = [
  ...["GET /v1/data-set-offer", "GET /v1/node", "GET /v1/records", "GET /v1/records/:recordId"],
  ...["GET /v1/key-material/:hash", "POST /v1/records/:recordId/share"],
  ...["POST /v1/records/:recordId/delivery", "POST /v1/handovers"],
  "POST /v1/committees/:committeeId/generations/:generation/messages",
];

function routesInSources(): string[] {
  const folders = ["offchain/csp/routes/", "offchain/nbm/routes/"];
  return folders.flatMap((folder) =>
    readdirSync(new URL(folder, ROOT)).flatMap((file) => {
      const source = readFileSync(new URL(folder + file, ROOT), "utf8");
      const path = /const PATH = "([^"]+)"/.exec(source)?.[1] ?? "";
      const group = `${path}${/const GROUP = `\$\{PATH\}([^`]+)`/.exec(source)?.[1] ?? ""}`;
      return [...source.matchAll(/server\.(get|put|post|delete|patch)\(\s*("[^"]+"|`[^`]+`|PATH)/g)].map(
        ([, method = "", named = ""]) => {
          const text = named
            .replace(/\$\{GROUP\}/, group)
            .replace(/^PATH$/, path)
            .replaceAll(/["`]/g, "");
          return `${method.toUpperCase()} ${text}`;
        },
      );
    }),
  );
}

describe("delegates of an account", function () {
  this.timeout(300_000);
  let net: LocalNet;
  let owner: Person;
  let reader: Person;
  let writer: Person;
  let put: PutReport;
  let shared: PutReport;
  let set: OpenedDataSet;

  const clientOf = (person: Person) => new CspClient(net.provider.url, net.provider.account, sessionsOf(person));
  const sessionsOf = (person: Person) =>
    new SessionTokens(new AgentAccount(identityFromPhrase(person.recoveryPhrase).signingKey), net.deployment);

  /** On the device, then with the owner. @returns what the owner's command said */
  const delegate = async (device: Person, scope: string, time: string): Promise<CommandResult> => {
    const asked = await tallystick(device, ["delegate", "request", owner.account, "--scope", scope, "--for", time]);
    expect(asked.exitCode, asked.stderr).to.equal(0);
    const file = join(net.dir, `${device.account}.json`);
    writeFileSync(file, JSON.stringify(asked.document.request));
    return await tallystick(owner, ["delegate", "grant", file]);
  };
  const get = async (person: Person, dataId: string) =>
    await withAgentOf(net, person, (agent) => agent.getBytes(dataId));

  /** No node gives a share, and the command does not say to wait. */
  const expectNoKey = async (person: Person, dataId: string) => {
    const refused = await failure(get(person, dataId));
    expect(refused).to.be.instanceOf(TallystickError);
    expect(refused).to.include({ retryable: false });
    const { code, hint } = refused as TallystickError;
    expect(code).to.be.oneOf(["NOT_RELEASED", "OUT_OF_SCOPE", "NOT_DELEGATED"]);
    if (dataId !== shared.dataId) return;
    expect(code).to.equal(person === writer ? "OUT_OF_SCOPE" : "NOT_DELEGATED");
    expect(hint).to.contain("owner");
  };

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 1000, windowBlocks: 100, sampleCount: 30 });
    owner = await newPerson(net, "owner");
    reader = await newPerson(net, "reader");
    // A device has no coins: others send what it signs.
    writer = await personFrom(net, "writer", (await newPerson(net, "unused")).recoveryPhrase);
    await withAgentOf(net, owner, async (agent) => {
      put = await agent.put([{ name: "file", bytes: CONTENT }]);
      shared = await agent.put([{ name: "shared", bytes: pseudoRandomBytes("shared", 9000) }], {
        recipients: "shares",
      });
    });
    const opened = (await escrowEvents(net)).find(({ kind }) => kind === "DataSetOpened");
    if (opened?.kind !== "DataSetOpened") throw new Error("no data set was opened");
    set = opened;
  });
  after(async () => await net?.stop());

  it("are made by both, the device first, and are listed", async () => {
    await expectAsyncRejection(() => get(reader, put.dataId), "NOT_OWNER");
    const granted = await delegate(reader, "read", "1d");
    expect(granted.exitCode, granted.stderr).to.equal(0);
    expect(granted.document.delegate).to.include({ account: owner.account, key: reader.account, state: "live" });
    expect((await delegate(writer, "write", "90d")).exitCode).to.equal(0);
    const { document } = await tallystick(owner, ["delegate", "ls"]);
    const listed = document.delegates as { key: string; scopes: string[]; state: string }[];
    expect(listed.map(({ key, scopes, state }) => [key, scopes, state])).to.deep.equal([
      [reader.account, ["read"], "live"],
      [writer.account, ["write"], "live"],
    ]);
    // For good: no device asks again, and no owner but the one that is named grants.
    const again = await tallystick(reader, ["delegate", "request", owner.account, "--scope", "write"]);
    expect(again.document.error).to.include({ code: "CONFLICT", party: `delegate ${reader.account}` });
    const file = join(net.dir, `${reader.account}.json`);
    const foreign = await tallystick(writer, ["delegate", "grant", file]);
    expect(foreign.document.error).to.include({ code: "INVALID_INPUT", check: "account of the request" });
    const twice = await tallystick(owner, ["delegate", "grant", file]);
    expect(twice.document.error).to.include({ code: "CONFLICT", party: `delegate ${reader.account}` });
    // The device says whose delegate it is, and takes no successor.
    const own = await tallystick(reader, ["delegate", "ls"]);
    expect(own.document.actsFor).to.include({ account: owner.account, state: "live" });
    expect((await tallystick(owner, ["delegate", "ls"])).document.actsFor).to.equal(null);
    const rotated = await tallystick(reader, ["rotate"]);
    expect(rotated.document.error).to.include({ code: "CONFLICT", party: `delegate ${reader.account}` });
  });

  it("are granted from what the device prints with --json as well, and revoked by nobody else", async () => {
    const device = await newPerson(net, "printed");
    const asked = await tallystick(device, ["delegate", "request", owner.account, "--scope", "write", "--for", "1h"]);
    const file = join(net.dir, "printed.json");
    writeFileSync(file, JSON.stringify(asked.document));
    const granted = await tallystick(owner, ["delegate", "grant", file]);
    expect(granted.exitCode, granted.stderr).to.equal(0);
    const stranger = await tallystick(reader, ["delegate", "revoke", device.account]);
    expect(stranger.document.error).to.include({ code: "NOT_FOUND", check: "delegation" });
    expect((await tallystick(device, ["delegate", "revoke", device.account])).exitCode).to.equal(0);
  });

  it("are given no limit unless they may use it", async () => {
    const device = await newPerson(net, "revoked");
    const granted = await delegate(device, "write", "1h");
    expect(granted.exitCode, granted.stderr).to.equal(0);
    expect((await tallystick(owner, ["delegate", "revoke", device.account])).exitCode).to.equal(0);
    const late = await tallystick(owner, ["delegate", "limit", device.account, set.id, "7"]);
    expect(late.document.error).to.include({ code: "CONFLICT", party: `delegate ${device.account}` });
    expect(late.document.error).to.include({ received: "revoked" });
    const read = await tallystick(owner, ["delegate", "limit", reader.account, set.id, "7"]);
    expect(read.document.error).to.include({ code: "OUT_OF_SCOPE", received: "read" });
  });

  it("are not made broader than the device has signed", async () => {
    const device = await newPerson(net, "honest");
    const asked = await tallystick(device, ["delegate", "request", owner.account, "--scope", "write", "--for", "1h"]);
    const request = asked.document.request as Record<string, unknown>;
    const file = join(net.dir, "changed.json");
    for (const change of [{ scopes: ["read", "write"] }, { expiresAt: Number(request.expiresAt) + 1 }]) {
      writeFileSync(file, JSON.stringify({ ...request, ...change }));
      const refused = await tallystick(owner, ["delegate", "grant", file]);
      expect(refused.document.error).to.include({ code: "INVALID_SIGNATURE", party: `device ${device.account}` });
    }
    const long = await tallystick(device, ["delegate", "request", owner.account, "--scope", "write", "--for", "367d"]);
    expect(long.document.error).to.include({ code: "INVALID_INPUT", check: "expiry of a delegate" });
  });

  it("that read get what the owner has stored, and nobody else gets it", async () => {
    for (const [stored, content] of [
      [put, CONTENT],
      [shared, pseudoRandomBytes("shared", 9000)],
    ] as const) {
      expect(Buffer.compare(await get(reader, stored.dataId), content)).to.equal(0);
      await expectNoKey(writer, stored.dataId);
    }
  });

  it("reach each route with its scope, and no other one", async () => {
    const known = [...Object.keys(PROVIDER_ROUTES), ...Object.keys(NODE_ROUTES), ...OPEN_ROUTES];
    expect(routesInSources().sort()).to.deep.equal(known.sort());
    const [node] = net.nodes;
    if (node === undefined) throw new Error("no node");
    const parties = [
      [new HttpParty("provider", net.provider.url), net.provider, PROVIDER_ROUTES],
      [new HttpParty("node", node.url), node, NODE_ROUTES],
    ] as const;
    const places = {
      ":salt": set.audit.salt,
      ":segment": SEGMENT,
      ":part": "powers1",
      ":id": ID,
      ":dataId": ID,
      ":key": NOBODY,
    };
    for (const [party, { url, account }, routes] of parties) {
      for (const [person, scope] of [
        [reader, "read"],
        [writer, "write"],
      ] as const) {
        await sessionsOf(person).with(party, account, async (token) => {
          for (const [route, scopes] of Object.entries(routes)) {
            const [method = "", pattern = ""] = route.split(" ");
            const path = Object.entries(places).reduce((text, [name, value]) => text.replace(name, value), pattern);
            const answer = await fetch(`${url}${path.replace(/:\w+/, SEGMENT)}`, {
              method,
              headers: { authorization: `Bearer ${token}` },
            });
            const body = answer.ok ? undefined : ((await answer.json()) as ErrorAnswer).error;
            if (answer.ok) await answer.body?.cancel();
            const isRefused = body?.code === "OUT_OF_SCOPE" && body.check === "scope";
            expect(isRefused, `${scope}: ${route}`).to.equal(!scopes.includes(scope));
            if (!isRefused) continue;
            expect(body).to.include({ party: `delegate ${person.account}`, received: scope });
          }
        });
      }
    }
  });

  it("that write store for the owner, but neither read, delete nor replace", async () => {
    const thief = clientOf(writer);
    const before = await clientOf(owner).usage();
    expect(await thief.storeChunks([{ id: ID, sealed: SEALED }])).to.deep.equal([ID]);
    expect((await clientOf(owner).usage()).bytes).to.equal(before.bytes + SEALED.length);
    expect(Buffer.compare(await clientOf(owner).chunk(ID), SEALED)).to.equal(0);
    const head = await clientOf(owner).head();
    for (const attempt of [
      // Not even what it has stored itself.
      () => thief.chunk(ID),
      () => thief.head(),
      () => thief.release([ID], 1),
      () => thief.replaceHead({ version: 1, releases: 0 }, new Uint8Array(100)),
    ]) {
      const refused = await expectAsyncRejection(attempt, "OUT_OF_SCOPE");
      expect(refused).to.include({ check: "scope", received: "write" });
    }
    expect(Buffer.compare(await clientOf(owner).head(), head)).to.equal(0);
  });

  it("that write back files up, which the owner restores and pays for, and the device never reads again", async () => {
    const file = join(net.dir, "backup.bin");
    const content = pseudoRandomBytes("on the device", 200_000);
    writeFileSync(file, content);
    const stored = await tallystick(writer, ["put", file]);
    expect(stored.exitCode, stored.stderr).to.equal(0);
    expect(stored.document).to.include({ storedFor: owner.account });
    expect(stored.document.dataSets).to.deep.equal([]);
    const dataId = String(stored.document.dataId);
    // Whoever stole the device has its identity, its passphrase and its home folder.
    const target = join(net.dir, "stolen");
    const stolen = await tallystick(writer, ["get", dataId, "-o", target]);
    expect(stolen.document.error, JSON.stringify(stolen.document)).to.include({ code: "OUT_OF_SCOPE", check: "scope" });
    expect(existsSync(join(target, "backup.bin"))).to.equal(false);
    for (const args of [["put", file, "--revocable"], ["rm", "latest"], ["snapshots"]]) {
      const refused = await tallystick(writer, args);
      expect(refused.exitCode, JSON.stringify([args, refused.document])).to.equal(6);
    }
    expect(Buffer.compare(await get(owner, dataId), content)).to.equal(0);
    expect(Buffer.compare(await get(reader, dataId), content)).to.equal(0);
    const added = await tallystick(owner, ["data-set", "add", dataId]);
    expect(added.exitCode, added.stderr).to.equal(0);
    const [report] = added.document.dataSets as { id: string }[];
    expect(report?.id).to.equal(set.id);
    // One that only reads stores nothing.
    const read = await tallystick(reader, ["put", file]);
    expect(read.document.error).to.include({ code: "OUT_OF_SCOPE", party: `delegate ${reader.account}` });
  });

  describe("sign states of a data set", () => {
    const current = async () => {
      const events = await escrowEvents(net);
      const last = events.findLast((event) => event.kind === "DataSetScheduled" && event.id === set.id);
      if (last?.kind !== "DataSetScheduled") throw new Error("no schedule");
      return { schedule: scheduleOf(last), ranges: last.ranges };
    };
    /** The next state with this list, signed by the device. */
    const stateWith = async (ranges: Uint8Array) => {
      const { schedule } = await current();
      const head = await withChain(net, ({ provider }) => provider.getBlockNumber());
      const { contentHash, retirements } = schedule;
      const [version, deadlineBlock] = [schedule.version + 1n, BigInt(head + 500)];
      const { chainId, contracts } = net.deployment;
      const message = { dataSetId: set.id, version, retirements: BigInt(retirements), contentHash, deadlineBlock };
      const typed = dataSetUpdateTypedData(BigInt(chainId), contracts.storageEscrow, {
        ...message,
        rangesHash: keccak256(ranges),
      });
      const userSignature = await new AgentAccount(identityFromPhrase(writer.recoveryPhrase).signingKey).sign(typed);
      const numbers = { version: String(version), retirements, deadlineBlock: Number(deadlineBlock) };
      return { ...numbers, ranges: toHex(ranges), contentHash, userSignature };
    };
    const send = async (ranges: Uint8Array) =>
      await clientOf(writer).updateDataSet(set.audit.salt, await stateWith(ranges));
    const limit = async (fee: bigint) => {
      const { exitCode, stderr } = await tallystick(owner, ["delegate", "limit", writer.account, set.id, String(fee)]);
      expect(exitCode, stderr).to.equal(0);
    };

    it("not of one that was not given to them", async () => {
      const { ranges } = await current();
      const refused = await expectAsyncRejection(() => send(ranges), "OUT_OF_SCOPE");
      expect(refused).to.include({ check: "data set", received: set.id });
      expect(refused.message).to.contain(writer.account);
      await expectAsyncRejection(() => clientOf(writer).dataSet(set.audit.salt), "OUT_OF_SCOPE");
    });

    it("that keep every slice and their limit, and no other ones", async () => {
      const { schedule, ranges } = await current();
      const { fee, sliceCount, highestIndex } = lastLevel(schedule);
      expect(feeOf(set.terms, sliceCount, highestIndex)).to.equal(fee);
      await limit(fee - 1n);
      expect(await expectAsyncRejection(() => send(ranges), "OUT_OF_SCOPE")).to.include({
        ...{ check: "fee per epoch", expected: `at most ${fee - 1n}`, received: String(fee) },
      });
      await limit(fee);
      const [first] = decodeLiveRanges(ranges);
      if (first === undefined) throw new Error("no slices");
      const dropped = encodeLiveRanges([{ ...first, count: first.count - 1 }]);
      expect(await expectAsyncRejection(() => send(dropped), "OUT_OF_SCOPE")).to.include({ check: "scheduled slices" });
      const answer = await send(ranges);
      expect(answer.transaction).to.not.equal(undefined);
      const after = await current();
      expect(after.schedule.version).to.equal(schedule.version + 1n);
      expect(Buffer.compare(after.ranges, ranges)).to.equal(0);
    });
  });

  describe("end", () => {
    it("with their expiry, and nothing is released", async () => {
      const device = await newPerson(net, "short");
      expect((await delegate(device, "read", "45s")).exitCode).to.equal(0);
      const endsAt = Date.now() + 47_000;
      expect(Buffer.compare(await get(device, put.dataId), CONTENT)).to.equal(0);
      const open = sessionsOf(device);
      const provider = new HttpParty("provider", net.provider.url);
      const use = async () =>
        await open.with(provider, net.provider.account, async (token) =>
          provider.bytes(`/v1/chunks/${ID}`, 1e6, { token }),
        );
      await use();
      await new Promise((done) => setTimeout(done, endsAt - Date.now()));
      const refused = await expectAsyncRejection(use, "NOT_DELEGATED");
      expect(refused).to.include({ check: "expiry" });
      expect(refused.message).to.contain(device.account);
      await expectNoKey(device, put.dataId);
    });

    it("when they are revoked, also with sessions that are open", async () => {
      const [stored, thief] = [clientOf(reader), clientOf(writer)];
      await stored.chunk(ID);
      await thief.usage();
      for (const device of [reader, writer]) {
        const revoked = await tallystick(owner, ["delegate", "revoke", device.account]);
        expect(revoked.exitCode, revoked.stderr).to.equal(0);
        expect(revoked.document.delegate).to.include({ key: device.account, state: "revoked" });
        const refused = await expectAsyncRejection(() => clientOf(device).usage(), "NOT_DELEGATED");
        expect(refused).to.include({ check: "revocation", received: "revoked" });
        expect(refused.message).to.contain(device.account);
      }
      await new Promise((done) => setTimeout(done, (KNOWN_SECONDS + 1) * 1000));
      await expectAsyncRejection(() => stored.chunk(ID), "NOT_DELEGATED");
      await expectAsyncRejection(() => thief.storeChunks([{ id: ID, sealed: SEALED }]), "NOT_DELEGATED");
      for (const { dataId } of [put, shared]) await expectNoKey(reader, dataId);
      const again = await tallystick(owner, ["delegate", "revoke", writer.account]);
      expect(again.document.error).to.include({ code: "CONFLICT", party: `delegate ${writer.account}` });
      expect(Buffer.compare(await get(owner, put.dataId), CONTENT)).to.equal(0);
    });
  });
});
