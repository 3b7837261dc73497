/** Ownership groups with real processes: three owners of one put, one of whom is revoked, through the command line. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { AgentContext } from "../../offchain/agent/context.ts";
import { openFileKey } from "../../offchain/agent/keys/file-key.ts";
import type { Agent } from "../../offchain/agent/node/index.ts";
import { nodePlatform } from "../../offchain/agent/node/platform.ts";
import { SILENT } from "../../offchain/agent/progress.ts";
import { accountStubs } from "../../offchain/agent/stubs/account-stubs.ts";
import { readGroupStubs, storeGroupStubs } from "../../offchain/agent/stubs/group-stubs.ts";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { isAddressEqual } from "../../offchain/core/encoding/address.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import { identityFromPhrase } from "../../offchain/core/identity/identity.ts";
import type { GroupMember } from "../../offchain/core/revocable/group-member.ts";
import { unwrapGroupStubs, wrappedEpoch } from "../../offchain/core/revocable/group-stubs.ts";
import { openMemberPath } from "../../offchain/core/revocable/member-path.ts";
import type { OwnerGroupAnswer } from "../../offchain/core/wire/owner-groups.ts";
import { type CommandResult, startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { DROP, HttpProxy, type ProxiedAnswer, type ProxiedRequest } from "../helpers/http-proxy.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { agentOf, newPerson, type Person, personFrom } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { rejection } from "../helpers/rejection.ts";

const MIB = 1024 * 1024;

/** What a person keeps of what passed between its programs and the provider. */
interface Kept {
  token: string;
  /** The secret that it shares with the provider in the group. */
  secret: string;
  path: Uint8Array;
  wrapped: Uint8Array;
}

describe("ownership groups with real processes", function () {
  this.timeout(300_000);
  let net: LocalNet;
  let proxy: HttpProxy;
  let people: { alice: Person; bob: Person; carol: Person };
  let bobsAgent: Agent;
  let dataId: string;
  let group: OwnerGroupAnswer;
  const large = pseudoRandomBytes("large file of three owners", 3 * MIB);
  const kept: Partial<Kept> = {};
  const dir = (...names: string[]) => join(net.dir, ...names);
  let strike: (request: ProxiedRequest) => Promise<typeof DROP | undefined> | undefined = () => undefined;

  before(async () => {
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: 1000, windowBlocks: 100, sampleCount: 30 });
    proxy = await HttpProxy.start(net.provider.url);
    proxy.intercept = (request) => strike(request);
    const providers = [{ account: net.provider.account, url: proxy.url }];
    const deployment: Deployment = { ...net.deployment, providers };
    const deploymentFile = dir("by-proxy.json");
    writeFileSync(deploymentFile, JSON.stringify(deployment));
    net = { ...net, deployment, deploymentFile };
    mkdirSync(dir("in"));
    writeFileSync(dir("in", "large"), large);
    writeFileSync(dir("in", "small"), "hello");
    const [alice, bob, carol] = [
      await newPerson(net, "alice"),
      await newPerson(net, "bob"),
      await newPerson(net, "carol"),
    ];
    people = { alice, bob, carol };
  });
  after(async () => {
    await bobsAgent?.close();
    await proxy?.stop();
    await net?.stop();
  });

  /** Runs a command that has to succeed. */
  async function run(person: Person, ...args: string[]): Promise<CommandResult["document"]> {
    const { exitCode, document, stderr } = await tallystick(person, args);
    expect(exitCode, stderr).to.equal(0);
    return document;
  }
  async function refused(person: Person, ...args: string[]): Promise<Record<string, unknown>> {
    const { exitCode, document } = await tallystick(person, args);
    expect(exitCode).to.not.equal(0);
    return document.error as Record<string, unknown>;
  }
  const firstGroup = (document: CommandResult["document"]) => (document.groups as Record<string, unknown>[])[0] ?? {};

  async function reads(person: Person, name: string): Promise<void> {
    await run(person, "get", dataId, "-o", dir(name));
    expect(Buffer.compare(readFileSync(dir(name, "in", "large")), large)).to.equal(0);
    expect(readFileSync(dir(name, "in", "small"), "utf8")).to.equal("hello");
  }

  async function readsNothing(person: Person, name: string): Promise<void> {
    const { exitCode, document, stderr } = await tallystick(person, ["get", dataId, "-o", dir(name)]);
    expect(exitCode).to.not.equal(0);
    expect(JSON.stringify(document) + stderr).to.include("there is no stub file to open it with");
    expect(stderr).to.include("`tallystick owners`").and.not.include("has lost or damaged");
    expect(existsSync(dir(name, "in", "small"))).to.equal(false);
  }

  /** What the provider answers to a request with a session that Bob has opened. */
  async function asBob(path: string, method = "GET"): Promise<{ status: number; bytes: Uint8Array }> {
    const headers = { authorization: kept.token ?? "" };
    const answer = await fetch(`${net.provider.url}/v1/owner-groups${path}`, { method, headers });
    return { status: answer.status, bytes: new Uint8Array(await answer.arrayBuffer()) };
  }

  it("are founded by one owner and joined by others, who prove that they have the put", async () => {
    const { alice, bob, carol } = people;
    dataId = String((await run(alice, "put", dir("in"), "--revocable", "--no-data-set")).dataId);
    // It has a stub file, and is in no group yet.
    const none = await refused(alice, "owners", "list", "latest");
    expect(none).to.include({ code: "NOT_FOUND", check: "ownership group" });
    expect(none.message).to.equal(`this account is in no ownership group of ${dataId}`);
    const founded = firstGroup(await run(alice, "owners", "create", "latest"));
    expect(founded).to.include({ epoch: 1, members: 1, rejoin: "founder", isFounder: true });
    expect(firstGroup(await run(alice, "owners", "create", "latest")), "again").to.deep.equal(founded);
    await reads(alice, "out-alice-1");
    const groupId = String(founded.groupId);
    expect(await refused(bob, "owners", "join", groupId), "has not put it").to.include({ code: "NOT_OWNER" });
    for (const [at, person] of [bob, carol].entries()) {
      expect((await run(person, "put", dir("in"), "--revocable", "--no-data-set")).dataId).to.equal(dataId);
      if (person === bob) {
        bobsAgent = await agentOf(net, bob);
        proxy.alter = keepFromBob;
        const { groups } = await bobsAgent.owners.join(groupId);
        expect(groups[0]).to.include({ epoch: 2, members: 2 });
        await bobsAgent.getBytes(dataId, { path: "in/small" });
        proxy.alter = () => undefined;
      } else {
        expect(firstGroup(await run(person, "owners", "join", groupId))).to.include({ epoch: at + 2, members: at + 2 });
      }
      await reads(person, `out-joined-${at}`);
    }
    const list = firstGroup(await run(alice, "owners", "list", dataId));
    expect(list.owners).to.have.length(3);
    expect(firstGroup(await run(bob, "owners", "list", dataId))).to.deep.include({ owners: [], isFounder: false });
    // Others than the founder are told who it is.
    for (const [command, ...rest] of [["revoke", alice.account], ["readmit", alice.account], ["close"]] as const) {
      const answer = await refused(bob, "owners", command ?? "", dataId, ...rest);
      expect(answer, command).to.include({ code: "NOT_OWNER", check: "founder of the group", expected: alice.account });
    }
    expect(await refused(alice, "owners", "revoke", dataId, "0x12")).to.include({ party: "you" });
    // A member puts the same files again, and stays in the group.
    await run(carol, "put", dir("in"), "--revocable", "--no-data-set");
    expect(firstGroup(await run(carol, "owners", "list", dataId))).to.include({ members: 3 });
  });

  async function keepFromBob(request: ProxiedRequest, answer: ProxiedAnswer): Promise<undefined> {
    const { authorization } = request.headers;
    if (authorization !== undefined) kept.token = authorization;
    if (request.path.endsWith("/join")) {
      kept.secret = (JSON.parse(new TextDecoder().decode(request.body)) as { secret: string }).secret;
    }
    if (request.path.endsWith("/path")) kept.path = answer.body;
    if (request.path.endsWith("/stub-file")) kept.wrapped = answer.body;
    if (request.path.startsWith("/v1/owner-groups?")) {
      group = JSON.parse(new TextDecoder().decode(answer.body)) as OwnerGroupAnswer;
    }
    return undefined;
  }

  it("give a revoked owner nothing newer with its old keys and a session that is still open", async () => {
    const { alice, bob, carol } = people;
    const { groupId, managerKey } = group;
    const ids = { groupId: fromHex(groupId), managerKey: fromHex(managerKey) };
    const known = () => openMemberPath(kept.path ?? new Uint8Array(0), ids, fromHex(kept.secret ?? "0x"));
    const [atFirst, former] = [known(), known()];
    const opened = ({ epoch, groupKey }: Pick<GroupMember, "epoch" | "groupKey">, wrapped: Uint8Array) =>
      unwrapGroupStubs({ groupId: ids.groupId, epoch, groupKey }, wrapped, "provider");
    // Carol has joined since.
    former.apply((await asBob(`/${groupId}/rekeys/3`)).bytes);
    const before = await asBob(`/${groupId}/stub-file`);
    expect(before.status).to.equal(200);
    expect(opened(former, before.bytes)).to.deep.equal(opened(atFirst, kept.wrapped ?? new Uint8Array(0)));

    const started = Date.now();
    const revoked = firstGroup(await run(alice, "owners", "revoke", "latest", bob.account));
    expect(Date.now() - started).to.be.lessThan(30_000);
    expect(revoked).to.include({ epoch: 4, members: 2 });
    expect(revoked.messages).to.be.at.most(2 * Math.log2(3));
    expect(revoked.rewrittenBytes).to.be.lessThan(100 * 1024);

    for (const path of ["stub-file", "path", "rekeys/4", "members"]) {
      expect((await asBob(`/${groupId}/${path}`)).status, path).to.equal(404);
    }
    expect((await asBob(`/${groupId}/revoke`, "POST")).status).to.be.within(400, 499);
    expect((await asBob(`?dataId=${dataId}`)).status).to.equal(404);
    const stubFile = await fetch(`${net.provider.url}/v1/stub-files/${dataId}`, {
      headers: { authorization: kept.token ?? "" },
    });
    expect(stubFile.status, "its own was given up").to.equal(404);

    // What Carol is served now, in the hands of Bob.
    let newer: Uint8Array | undefined;
    let message: Uint8Array | undefined;
    proxy.alter = async (request, answer): Promise<undefined> => {
      if (request.path.endsWith("/stub-file")) newer = answer.body;
      if (newer !== undefined) {
        const rekey = await fetch(`${net.provider.url}/v1/owner-groups/${groupId}/rekeys/4`, {
          headers: { authorization: request.headers.authorization ?? "" },
        });
        message ??= new Uint8Array(await rekey.arrayBuffer());
      }
      return undefined;
    };
    await reads(carol, "out-carol-2");
    proxy.alter = () => undefined;
    const wrapped = newer ?? new Uint8Array(0);
    expect(wrappedEpoch(wrapped, "provider")).to.equal(4);
    expect(() => opened(former, wrapped))
      .to.throw()
      .with.property("code", "INTEGRITY");
    expect(() => opened({ epoch: 4, groupKey: former.groupKey }, wrapped))
      .to.throw()
      .with.property("code", "INTEGRITY");
    expect(() => former.apply(message ?? new Uint8Array(0)))
      .to.throw()
      .with.property("code", "NOT_OWNER");

    expect(await rejection(bobsAgent.getBytes(dataId, { path: "in/small" })), "an open agent").to.include({
      code: "NOT_OWNER",
      check: "stub file of the put",
    });
    await readsNothing(bob, "out-bob-2");
    await reads(alice, "out-alice-2");
    expect(firstGroup(await run(alice, "owners", "revoke", "latest", bob.account)), "again").to.include({
      epoch: 4,
      messages: 0,
    });
  });

  it("let a revoked owner join again once the founder readmits it, by a new proof", async () => {
    const { alice, bob } = people;
    expect(await refused(bob, "owners", "join", group.groupId)).to.include({
      code: "NOT_OWNER",
      check: "policy for revoked owners",
    });
    await run(alice, "owners", "readmit", dataId, bob.account);
    expect((await asBob(`/${group.groupId}/stub-file`)).status, "no proof yet").to.equal(404);
    expect(firstGroup(await run(bob, "owners", "join", group.groupId))).to.include({ epoch: 5, members: 3 });
    await reads(bob, "out-bob-3");
    await bobsAgent.getBytes(dataId, { path: "in/small" });
  });

  it("are in one epoch or the next when the provider is killed while it revokes, and again", async () => {
    const { alice, bob, carol } = people;
    for (const when of ["before", "meanwhile", "after"]) {
      let kills = 0;
      const kill = async () => {
        kills += 1;
        await net.provider.process.stop("SIGKILL");
      };
      strike = (request) => {
        if (!request.path.endsWith("/revoke") || kills > 0) return undefined;
        if (when === "before") return kill().then((): typeof DROP => DROP);
        if (when === "meanwhile") void kill();
        return undefined;
      };
      proxy.alter = async (request): Promise<typeof DROP | undefined> => {
        if (!request.path.endsWith("/revoke") || when !== "after" || kills > 0) return undefined;
        await kill();
        return DROP;
      };
      await tallystick(alice, ["owners", "revoke", dataId, bob.account]);
      expect(kills, when).to.equal(1);
      strike = () => undefined;
      proxy.alter = () => undefined;
      await net.provider.process.start();
      await run(alice, "owners", "revoke", dataId, bob.account);
      const { owners } = firstGroup(await run(alice, "owners", "list", dataId)) as {
        owners: { account: string; state: string }[];
      };
      expect(owners.find(({ account }) => isAddressEqual(account, bob.account))?.state, when).to.equal("revoked");
      expect((await asBob(`/${group.groupId}/stub-file`)).status, when).to.be.oneOf([401, 404]);
      await reads(carol, `out-carol-${when}`);
      await run(alice, "owners", "readmit", dataId, bob.account);
      await run(bob, "owners", "join", group.groupId);
      await reads(bob, `out-bob-${when}`);
    }
  });

  it("are read on a new device from the recovery phrase alone, and left by a member", async () => {
    const { bob, carol } = people;
    const device = await personFrom(net, "carols-device", carol.recoveryPhrase);
    await run(device, "recover");
    await reads(device, "out-device");
    await run(device, "owners", "leave", dataId);
    await readsNothing(carol, "out-left");
    // Its own put makes a stub file of its own.
    await run(carol, "put", dir("in"), "--revocable", "--no-data-set");
    await reads(carol, "out-carol-own");
    expect(await refused(bob, "owners", "revoke", dataId, carol.account)).to.include({
      code: "NOT_OWNER",
      check: "founder of the group",
    });
  });

  it("end when the founder closes them, which keeps the stub file for itself", async () => {
    const { alice, bob, carol } = people;
    await run(alice, "owners", "close", dataId);
    await reads(alice, "out-alice-closed");
    await readsNothing(bob, "out-closed");
    await reads(carol, "out-carol-closed");
    expect(await refused(bob, "owners", "join", group.groupId)).to.include({ code: "NOT_FOUND", check: "group id" });
  });

  /** State of an account as the founder is told. */
  async function stateOf({ account }: Person): Promise<string | undefined> {
    const { owners } = firstGroup(await run(people.alice, "owners", "list", dataId)) as {
      owners: { account: string; state: string }[];
    };
    return owners.find((one) => isAddressEqual(one.account, account))?.state;
  }

  /** `owners join`, killed with the provider's answer to a request on the way, or before the provider gets it. */
  async function killedJoin(person: Person, groupId: string, request: "join" | "complete", at: "before" | "after") {
    let kills = 0;
    const child = startTallystick(person, ["owners", "join", groupId]);
    const kill = (): typeof DROP => {
      kills += 1;
      child.process.kill("SIGKILL");
      return DROP;
    };
    const isMeant = ({ path }: ProxiedRequest) => path.endsWith(`/${request}`);
    strike = (asked) => (at === "before" && isMeant(asked) ? Promise.resolve(kill()) : undefined);
    proxy.alter = async (asked) => (at === "after" && isMeant(asked) ? kill() : undefined);
    await child.ended;
    strike = () => undefined;
    proxy.alter = () => undefined;
    expect(kills, `${at} ${request}`).to.equal(1);
  }

  it("are joined in two steps: who is killed between them reads its own stub file, and goes on", async () => {
    const { alice, bob } = people;
    await run(bob, "put", dir("in"), "--revocable", "--no-data-set");
    const { groupId } = firstGroup(await run(alice, "owners", "create", dataId)) as { groupId: string };
    for (const [request, at, state] of [
      ["join", "before", undefined],
      ["join", "after", "joining"],
      ["complete", "before", "joining"],
      ["complete", "after", "member"],
    ] as const) {
      const when = `${at} ${request}`;
      await killedJoin(bob, groupId, request, at);
      expect(await stateOf(bob), when).to.equal(state);
      await reads(bob, `out-killed-${at}-${request}`);
      if (state === undefined) continue;
      expect(firstGroup(await run(bob, "owners", "list", dataId)), when).to.include({
        isJoining: state === "joining",
      });
    }
    // Revoked before it has completed, it is the owner without a group that it was.
    await run(bob, "owners", "leave", dataId);
    await run(bob, "put", dir("in"), "--revocable", "--no-data-set");
    await killedJoin(bob, groupId, "complete", "before");
    await run(bob, "put", dir("in"), "--revocable", "--no-data-set");
    await run(bob, "rekey", dataId);
    expect(await stateOf(bob), "puts and rekeys meanwhile").to.equal("joining");
    await run(alice, "owners", "revoke", dataId, bob.account);
    await reads(bob, "out-joining-revoked");
    await run(alice, "owners", "readmit", dataId, bob.account);
    await run(bob, "owners", "join", groupId);
    expect(await stateOf(bob)).to.equal("member");
    await run(alice, "owners", "revoke", dataId, bob.account);
    await readsNothing(bob, "out-member-revoked");
    await run(alice, "owners", "readmit", dataId, bob.account);
  });

  it("take nothing from who is killed while it joins the group of a founder that lies about the stubs", async () => {
    const { alice, bob } = people;
    await run(bob, "put", dir("in"), "--revocable", "--no-data-set");
    const identity = identityFromPhrase(alice.recoveryPhrase);
    const platform = nodePlatform(dir("alice-lies"));
    const liar = new AgentContext({ identity, deployment: net.deployment, platform, logger: SILENT, confirmations: 1 });
    const { fileKey } = await openFileKey(liar, dataId);
    const owner = accountStubs(liar, dataId, fileKey);
    const { ownerGroups: groups } = liar.providers().byAccount(net.provider.account);
    const lied = await groups?.ofPut(dataId);
    if (groups === undefined || lied === undefined) throw new Error("no group");
    const right = await readGroupStubs(groups, lied, owner);
    await storeGroupStubs(groups, lied, owner, new Uint8Array(right?.stubs.length ?? 0).fill(1));

    await killedJoin(bob, lied.groupId, "join", "after");
    expect(await stateOf(bob)).to.equal("joining");
    await reads(bob, "out-lied-killed");
    await run(bob, "put", dir("in"), "--revocable", "--no-data-set");
    expect(await refused(bob, "owners", "join", lied.groupId)).to.include({
      code: "INTEGRITY",
      party: `founder ${lied.founder}`,
    });
    expect(await stateOf(bob)).to.equal(undefined);
    await reads(bob, "out-lied");
    await storeGroupStubs(groups, lied, owner, right?.stubs ?? new Uint8Array(0));
    await run(bob, "owners", "join", lied.groupId);
    await reads(bob, "out-honest-again");
    await platform.close();
  });
});
