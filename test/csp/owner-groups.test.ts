/** Ownership groups at a provider: who is let in, what a former owner gets, and what is durable. */
import { expect } from "chai";
import { randomBytes } from "#primitives";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { wrappedEpoch } from "../../offchain/core/revocable/group-stubs.ts";
import { openMemberPath } from "../../offchain/core/revocable/member-path.ts";
import { KEPT_REKEYS } from "../../offchain/core/wire/owner-groups.ts";
import { GROUP_JOINS, OwnerGroupService } from "../../offchain/csp/owner-groups/owner-groups.ts";
import { MEMBER_BYTES } from "../../offchain/store/index/owner-group-index.ts";
import { STUB_ROW_BYTES } from "../../offchain/store/index/stub-file-index.ts";
import { rejection } from "../helpers/rejection.ts";
import { CAROL, foundGroup, named, noQuotas, OPERATOR_SECRET, once, STUBS, secretOf } from "./founded-group.ts";
import { ALICE, BOB, openProvider, randomChunk, temporaryFolder } from "./provider-fixture.ts";

describe("ownership groups at a provider", () => {
  const folder = temporaryFolder();
  const founded = (rejoin?: "proof" | "founder") => foundGroup(folder(), rejoin);

  it("share the founder's stub file with who proves ownership, and charge each", async () => {
    const { provider, groups, group, join, read, request, sealed } = await founded();
    expect(group).to.include({ epoch: 1, members: 1, rejoin: "founder", dataId: request.dataId });
    expect(await read(ALICE)).to.deep.equal(STUBS);
    expect(await join(BOB)).to.deep.include({ epoch: 2, members: 2, messages: 1 });
    for (const account of [ALICE, BOB]) expect(await read(account)).to.deep.equal(STUBS);
    const { stubFiles } = provider.index;
    expect(await stubFiles.bytesOf(BOB)).to.equal(MEMBER_BYTES);
    expect(await stubFiles.bytesOf(ALICE)).to.equal(MEMBER_BYTES + sealed.length + STUB_ROW_BYTES);
    expect((await groups.members(ALICE, group.groupId)).members.map(({ state }) => state)).to.deep.equal([
      "member",
      "member",
    ]);
  });

  it("answer the same request of a founder, and the same owner's join, without a change", async () => {
    const { groups, group, request, join } = await founded();
    expect(await groups.found(ALICE, { ...request, nonce: toHex(randomBytes(32)) })).to.deep.equal(group);
    await join(BOB);
    expect(await join(BOB)).to.deep.include({ epoch: 2, messages: 0 });
    expect(await join(BOB, randomBytes(32)), "another secret").to.deep.include({ epoch: 3, members: 2 });
    expect((await rejection(groups.found(BOB, { ...request, nonce: toHex(randomBytes(32)) }))).code).to.equal(
      "CONFLICT",
    );
  });

  it("let nobody in without a proof of all objects", async () => {
    const { groups, group, claim, chunks, provider, request } = await founded();
    const wrong = { ...(await claim(BOB, [chunks[0], randomChunk(5000)])), secret: toHex(secretOf(BOB)) };
    expect(await rejection(groups.join(BOB, group.groupId, wrong))).to.include({
      code: "NOT_OWNER",
      check: "proof of ownership",
    });
    const part = { ...(await claim(BOB, [chunks[0]])), secret: toHex(secretOf(BOB)) };
    expect((await rejection(groups.join(BOB, group.groupId, part))).code).to.equal("NOT_OWNER");
    const stolen = { ...(await claim(ALICE)), secret: toHex(secretOf(BOB)) };
    expect((await rejection(groups.join(BOB, group.groupId, stolen))).code).to.equal("NOT_OWNER");
    expect((await rejection(groups.stubFile(BOB, group.groupId))).code).to.equal("NOT_FOUND");
    expect(await provider.index.ownerGroups.member(fromHex(group.groupId), BOB)).to.equal(undefined);
    const nonce = toHex(randomBytes(32));
    const other = randomChunk(700);
    const objects = [{ id: other.id, sizeBytes: 700 }];
    expect((await rejection(groups.found(CAROL, { ...request, nonce }))).code, "owns nothing").to.equal("NOT_OWNER");
    const rootless = { ...request, nonce, objects };
    expect((await rejection(groups.found(CAROL, rootless))).code, "without the root").to.equal("INVALID_INPUT");
  });

  it("give a revoked owner nothing newer: no route answers, and its old keys open nothing", async () => {
    const { groups, group, join, memberOf, open, read } = await founded();
    await join(BOB);
    await join(CAROL);
    const former = await memberOf(BOB);
    expect(open(former, await groups.stubFile(BOB, group.groupId))).to.deep.equal(STUBS);
    const carol = await memberOf(CAROL);
    const revoked = await groups.revoke(ALICE, group.groupId, BOB);
    expect(revoked).to.deep.include({ epoch: 4, members: 2 });
    expect(revoked.messages).to.be.at.most(2 * Math.log2(3));
    for (const asked of [
      () => groups.stubFile(BOB, group.groupId),
      () => groups.path(BOB, group.groupId),
      () => groups.rekey(BOB, group.groupId, 4),
      () => groups.leave(BOB, group.groupId),
      () => groups.ofPut(BOB, group.dataId),
      () => groups.members(BOB, group.groupId),
      () => groups.revoke(BOB, group.groupId, ALICE),
      () => groups.close(BOB, group.groupId),
    ]) {
      expect(await rejection(asked())).to.include({ code: "NOT_FOUND", check: "ownership group" });
    }
    // Another owner hands it what is served now, and the message that led there.
    const wrapped = await groups.stubFile(CAROL, group.groupId);
    const message = await groups.rekey(CAROL, group.groupId, 4);
    expect(wrappedEpoch(wrapped, "provider")).to.equal(4);
    expect(() => open(former, wrapped))
      .to.throw()
      .with.property("code", "INTEGRITY");
    expect(() => open({ epoch: 4, groupKey: former.groupKey }, wrapped))
      .to.throw()
      .with.property("code", "INTEGRITY");
    expect(() => former.apply(message))
      .to.throw()
      .with.property("code", "NOT_OWNER");
    const path = await groups.path(CAROL, group.groupId);
    expect(() => openMemberPath(path, named(group), secretOf(BOB)))
      .to.throw()
      .with.property("code", "INTEGRITY");
    carol.apply(message);
    expect(open(carol, wrapped)).to.deep.equal(STUBS);
    expect(await read(ALICE)).to.deep.equal(STUBS);
    expect(await groups.revoke(ALICE, group.groupId, BOB), "again").to.deep.include({ epoch: 4, messages: 0 });
  });

  it("let a revoked owner back as the policy says, by a new proof", async () => {
    const strict = await founded("founder");
    await strict.join(BOB);
    await strict.groups.revoke(ALICE, strict.group.groupId, BOB);
    expect(await rejection(strict.join(BOB))).to.include({ code: "NOT_OWNER", check: "policy for revoked owners" });
    await strict.groups.readmit(ALICE, strict.group.groupId, BOB);
    expect((await rejection(strict.read(BOB))).code, "not without a proof").to.equal("NOT_FOUND");
    await strict.join(BOB);
    expect(await strict.read(BOB)).to.deep.equal(STUBS);
    await strict.provider.close();
  });

  it("let a revoked owner back by proof alone where the founder chose so", async () => {
    const { groups, group, join, read } = await founded("proof");
    await join(BOB);
    await groups.revoke(ALICE, group.groupId, BOB);
    await join(BOB);
    expect(await read(BOB)).to.deep.equal(STUBS);
    expect((await groups.members(ALICE, group.groupId)).members.map(({ state }) => state)).to.deep.equal([
      "member",
      "member",
    ]);
  });

  it("let members leave, and the founder close the group", async () => {
    const { provider, groups, group, join } = await founded();
    await join(BOB);
    await groups.leave(BOB, group.groupId);
    expect(
      (await groups.members(ALICE, group.groupId)).members.map(({ account }) => account.toLowerCase()),
    ).to.deep.equal([ALICE]);
    expect(await rejection(groups.leave(ALICE, group.groupId))).to.include({ code: "CONFLICT" });
    await join(BOB);
    await groups.close(ALICE, group.groupId);
    for (const account of [ALICE, BOB]) {
      expect((await rejection(groups.stubFile(account, group.groupId))).code).to.equal("NOT_FOUND");
      expect(await provider.index.stubFiles.bytesOf(account)).to.equal(0);
    }
    const tables = ["owner_groups", "group_nodes", "group_members", "group_rekeys", "group_stub_files"];
    for (const table of tables) {
      expect(provider.database.prepare(`SELECT COUNT(*) AS n FROM ${table}`).get(), table).to.deep.include({ n: 0 });
    }
  });

  it("leave a joining member its own stub file, also when it is revoked", async () => {
    const { provider, groups, stubFiles, group, join, read, states, own } = await founded();
    await stubFiles.replace(BOB, group.dataId, 0, once(own(1)));
    await join(BOB);
    expect(await states()).to.deep.equal({ [ALICE]: "member", [BOB]: "joining" });
    expect(await read(BOB)).to.deep.equal(STUBS);
    expect(await provider.index.stubFiles.bytesOf(BOB)).to.equal(MEMBER_BYTES + own(1).length + STUB_ROW_BYTES);
    // It leads its own to the next epoch, as an owner without a group does.
    await stubFiles.replace(BOB, group.dataId, 1, once(own(2)));
    expect(await join(BOB), "again").to.include({ epoch: 2, messages: 0 });
    await groups.revoke(ALICE, group.groupId, BOB);
    expect(await rejection(groups.complete(BOB, group.groupId))).to.include({ code: "NOT_FOUND" });
    expect(await stubFiles.find(BOB, group.dataId)).to.deep.equal(own(2));
    expect((await rejection(groups.stubFile(BOB, group.groupId))).code).to.equal("NOT_FOUND");
  });

  it("remove a member's own stub file when it completes its join, and take no other", async () => {
    const { provider, groups, stubFiles, group, join, states, own } = await founded();
    await stubFiles.replace(BOB, group.dataId, 0, once(own(1)));
    expect(await rejection(groups.complete(BOB, group.groupId)), "no member").to.include({ code: "NOT_FOUND" });
    await join(BOB);
    for (const time of ["first", "again"]) {
      await groups.complete(BOB, group.groupId);
      expect((await rejection(stubFiles.find(BOB, group.dataId))).code, time).to.equal("NOT_FOUND");
    }
    expect(await states()).to.deep.equal({ [ALICE]: "member", [BOB]: "member" });
    for (const [expected, epoch] of [
      [0, 1],
      [1, 2],
    ] as const) {
      const refused = await rejection(stubFiles.replace(BOB, group.dataId, expected, once(own(epoch))));
      expect(refused).to.include({ code: "CONFLICT", check: "ownership group of the put" });
    }
    expect(await provider.index.stubFiles.bytesOf(BOB)).to.equal(MEMBER_BYTES);
  });

  it("either complete a join or leave the own stub file when the member is revoked at the same time", async () => {
    const { groups, stubFiles, group, join, own } = await founded("proof");
    await stubFiles.replace(BOB, group.dataId, 0, once(own(1)));
    await join(BOB);
    const completing = groups.complete(BOB, group.groupId).then(
      () => true,
      () => false,
    );
    await groups.revoke(ALICE, group.groupId, BOB);
    const kept = await stubFiles.find(BOB, group.dataId).then(
      () => true,
      () => false,
    );
    expect(kept).to.equal(!(await completing));
  });

  it("complete no join while the group has no stub file", async () => {
    const { provider, groups, stubFiles, group, join, own } = await founded();
    provider.database.exec("DELETE FROM group_stub_files");
    await stubFiles.replace(BOB, group.dataId, 0, once(own(1)));
    await join(BOB);
    const refused = await rejection(groups.complete(BOB, group.groupId));
    expect(refused).to.include({ code: "NOT_FOUND", check: "stub file of the group" });
    expect(await stubFiles.find(BOB, group.dataId)).to.deep.equal(own(1));
  });

  it("take a founder's own stub file beside the group's, which it stores before it closes the group", async () => {
    const { groups, stubFiles, group, states, read, own } = await founded();
    await stubFiles.replace(ALICE, group.dataId, 0, once(own(1)));
    expect(await states()).to.deep.equal({ [ALICE]: "member" });
    expect(await read(ALICE)).to.deep.equal(STUBS);
    await groups.close(ALICE, group.groupId);
    expect(await stubFiles.find(ALICE, group.dataId)).to.deep.equal(own(1));
  });

  it("are as they were after the provider starts anew, and keep the newest messages only", async () => {
    const { provider, groups, group, join, memberOf, read } = await founded("proof");
    await join(BOB);
    for (let round = 0; round < KEPT_REKEYS / 2; round += 1) {
      await groups.revoke(ALICE, group.groupId, BOB);
      await join(BOB);
    }
    const { epoch } = await memberOf(ALICE);
    expect(epoch).to.equal(KEPT_REKEYS + 2);
    expect((await rejection(groups.rekey(ALICE, group.groupId, 2))).code).to.equal("NOT_FOUND");
    expect((await groups.rekey(ALICE, group.groupId, 3)).length).to.be.greaterThan(100);
    expect(await read(BOB)).to.deep.equal(STUBS);
    await provider.close();
    const again = await openProvider(folder());
    const restarted = new OwnerGroupService(
      {
        index: again.index,
        claims: again.claims,
        quotas: noQuotas,
        budgets: again.budgets,
        operatorSecret: OPERATOR_SECRET,
      },
      () => again.clock.seconds,
    );
    const path = openMemberPath(await restarted.path(BOB, group.groupId), named(group), secretOf(BOB));
    expect(path.epoch).to.equal(epoch);
  });

  it("have manager keys of the keystore's secret, which a daemon wipes once its services are made", async () => {
    const { provider, group } = await founded();
    const { index, claims, budgets } = provider;
    const managerOf = async (operatorSecret: Uint8Array, wipe: boolean): Promise<string> => {
      const parts = { index, claims, quotas: noQuotas, budgets, operatorSecret };
      const service = new OwnerGroupService(parts, () => provider.clock.seconds);
      if (wipe) operatorSecret.fill(0);
      return (await service.proof(group.groupId)).managerKey;
    };
    const right = await managerOf(OPERATOR_SECRET.slice(), false);
    expect(await managerOf(OPERATOR_SECRET.slice(), true)).to.equal(right);
    expect(await managerOf(new Uint8Array(32), false)).to.not.equal(right);
  });

  it("are changed by no provider with another keystore, which says so", async () => {
    const { provider, group } = await founded();
    const { index, claims, budgets } = provider;
    const parts = { index, claims, quotas: noQuotas, budgets, operatorSecret: randomBytes(32) };
    const other = new OwnerGroupService(parts, () => provider.clock.seconds);
    expect(await rejection(other.path(ALICE, group.groupId))).to.include({
      code: "INTEGRITY",
      check: "manager of the group",
    });
  });

  it("make one epoch of each change, however many are asked for at once", async () => {
    const { groups, group, join, read } = await founded();
    await Promise.all([join(BOB), join(CAROL)]);
    const answers = await Promise.all([
      groups.revoke(ALICE, group.groupId, BOB),
      groups.revoke(ALICE, group.groupId, BOB),
      groups.leave(CAROL, group.groupId),
    ]);
    expect(answers.filter(({ messages, rewrittenBytes }) => messages + rewrittenBytes > 0)).to.have.length(2);
    expect(await groups.ofPut(ALICE, group.dataId)).to.include({ epoch: 5, members: 1 });
    expect(await read(ALICE)).to.deep.equal(STUBS);
  });

  it("bound the joins of an account in a day", async () => {
    const { join, groups, group, provider } = await founded();
    await provider.budgets.take(GROUP_JOINS, BOB, GROUP_JOINS.capacity - 1);
    await join(BOB);
    await groups.leave(BOB, group.groupId);
    expect((await rejection(join(BOB))).code).to.equal("RATE_LIMITED");
    expect(await join(CAROL), "others are not held back").to.include({ members: 2 });
  });
});
