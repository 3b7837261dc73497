/** Ownership groups whose owners rotate their identity, move to another provider, and remove what they have put. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { type CommandResult, tallystick } from "../../scripts/demo/command.ts";
import { newPerson, type Person } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { startTwoProviderNet, type TwoProviderNet } from "../helpers/two-providers.ts";

interface Shown {
  readonly groupId: string;
  readonly epoch: number;
  readonly members: number;
  readonly isFounder: boolean;
  readonly owners: readonly { account: string; state: string }[];
}

describe("ownership groups whose owners move", function () {
  this.timeout(300_000);
  let net: TwoProviderNet;
  let alice: Person;
  let bob: Person;
  let carol: Person;
  let dataId: string;
  let groupId: string;
  const content = pseudoRandomBytes("a file of three owners", 200_000);

  async function run(person: Person, ...args: string[]): Promise<CommandResult["document"]> {
    const { exitCode, document, stderr } = await tallystick(person, args);
    expect(exitCode, `${args.join(" ")}\n${stderr}\n${JSON.stringify(document)}`).to.equal(0);
    return document;
  }

  async function shown(person: Person): Promise<Shown | undefined> {
    const { exitCode, document } = await tallystick(person, ["owners", "list", dataId]);
    return exitCode === 0 ? (document.groups as Shown[])[0] : undefined;
  }

  async function reads(person: Person): Promise<void> {
    const out = join(net.dir, "out");
    await run(person, "get", dataId, "-o", out);
    expect(readFileSync(join(out, "in", "file")).equals(Buffer.from(content))).to.equal(true);
    rmSync(out, { recursive: true });
  }

  /** @returns the account of the successor */
  async function rotate(person: Person): Promise<string> {
    await run(person, "rotate");
    const report = await run(person, "rotate", "--yes");
    expect(report.damaged).to.deep.equal([]);
    return String(report.successor);
  }

  async function migrate(person: Person): Promise<CommandResult["document"]> {
    const { dataSets } = await run(person, "data-set", "ls");
    const [set] = dataSets as { id: string; status: string }[];
    return await run(person, "data-set", "migrate", set?.id ?? "", "--to", net.toSecond.url);
  }

  before(async () => {
    net = await startTwoProviderNet();
    mkdirSync(join(net.dir, "in"));
    writeFileSync(join(net.dir, "in", "file"), content);
    [alice, bob, carol] = [await newPerson(net, "alice"), await newPerson(net, "bob"), await newPerson(net, "carol")];
    for (const person of [alice, bob, carol]) {
      dataId = String((await run(person, "put", join(net.dir, "in"), "--revocable")).dataId);
    }
    const founded = await run(alice, "owners", "create", dataId);
    groupId = (founded.groups as Shown[])[0]?.groupId ?? "";
    for (const person of [bob, carol]) await run(person, "owners", "join", groupId);
  });
  after(async () => await net?.stop());

  it("keep nothing of the old keys in stub files at providers without a data set", async () => {
    const dave = await newPerson(net, "dave");
    const put = await run(dave, "put", join(net.dir, "in"), "--revocable", "--no-data-set");
    expect(put.dataId).to.equal(dataId);
    await rotate(dave);
    await reads(dave);
  });

  it("give a member's place to its successor, in a rotation", async () => {
    const successor = await rotate(carol);
    const accounts = (await shown(alice))?.owners.map(({ account }) => account.toLowerCase());
    const expected = [alice.account, bob.account, successor].map((account) => account.toLowerCase());
    expect(accounts).to.have.members(expected);
    expect(await shown(carol)).to.include({ groupId, members: 3, isFounder: false });
    for (const person of [carol, alice, bob]) await reads(person);
    await run(carol, "put", join(net.dir, "in"), "--revocable");
  });

  it("are administered by the founder's successor", async () => {
    const before = await shown(alice);
    const successor = await rotate(alice);
    const after = await shown(alice);
    expect(after).to.include({ groupId, members: 3, isFounder: true });
    expect(after?.owners.map(({ account }) => account.toLowerCase())).to.include(successor.toLowerCase());
    expect(after?.owners.map(({ account }) => account.toLowerCase())).to.not.include(alice.account.toLowerCase());
    expect(after?.epoch).to.be.greaterThan(before?.epoch ?? Number.POSITIVE_INFINITY);
    for (const person of [alice, bob, carol]) await reads(person);
    const [heir] = (await shown(alice))?.owners.filter(({ account }) => account !== bob.account) ?? [];
    expect(heir?.state).to.equal("member");
    await run(alice, "owners", "revoke", dataId, bob.account);
    expect(await shown(bob)).to.equal(undefined);
    await run(alice, "owners", "readmit", dataId, bob.account);
    await run(bob, "owners", "join", groupId);
    await reads(bob);
  });

  it("are left by a member that moves to another provider with its copy", async () => {
    const moved = await migrate(bob);
    expect(moved.damaged).to.deep.equal([]);
    expect(moved.ownerGroups).to.deep.equal([{ provider: net.provider.account, dataId, groupId, outcome: "left" }]);
    expect(await shown(bob)).to.equal(undefined);
    expect((await shown(alice))?.members).to.equal(2);
    await net.provider.process.stop();
    await reads(bob);
    await net.provider.process.start();
    expect((await run(bob, "verify", dataId)).damaged ?? []).to.deep.equal([]);
    for (const person of [alice, carol]) await reads(person);
    const again = await migrate(bob);
    expect(again.ownerGroups).to.deep.equal([]);
  });

  it("stay at their provider, under their founder, when it moves: the others lose nothing", async () => {
    const moved = await migrate(alice);
    expect(moved.ownerGroups).to.deep.equal([{ provider: net.provider.account, dataId, groupId, outcome: "founder" }]);
    expect(await shown(alice)).to.include({ members: 2, isFounder: true });
    await reads(carol);
    await net.provider.process.stop();
    await reads(alice);
    await net.provider.process.start();
  });

  it("are left with the last snapshot of the put, which stays with the other owners", async () => {
    const kept = await run(carol, "rm", "latest");
    // The put of before the rotation and the one after it are two snapshots.
    const { ownerGroups } = (await shown(carol)) === undefined ? kept : await run(carol, "rm", "latest");
    expect(ownerGroups).to.deep.equal([{ provider: net.provider.account, dataId, groupId, outcome: "left" }]);
    expect((await shown(alice))?.members).to.equal(1);
    await reads(alice);
    const removed = await run(alice, "forget", "--keep-last", "1");
    expect(removed.ownerGroups, "still listed").to.deep.equal([]);
    const last = await run(alice, "rm", "latest");
    expect(last.ownerGroups).to.deep.equal([{ provider: net.provider.account, dataId, groupId, outcome: "closed" }]);
  });
});
