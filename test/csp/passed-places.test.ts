/** Places in ownership groups that pass from accounts to their successors. */
import { expect } from "chai";
import { randomBytes } from "#primitives";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { openMemberPath } from "../../offchain/core/revocable/member-path.ts";
import { MEMBER_SECRET_CHECK } from "../../offchain/core/wire/owner-groups.ts";
import { MEMBER_BYTES } from "../../offchain/store/index/owner-group-index.ts";
import { STUB_ROW_BYTES } from "../../offchain/store/index/stub-file-index.ts";
import { rejection } from "../helpers/rejection.ts";
import { CAROL, foundGroup, named, once, STUBS, secretOf } from "./founded-group.ts";
import { ALICE, BOB, temporaryFolder } from "./provider-fixture.ts";

/** Successors. */
const [NEW_ALICE, NEW_BOB] = [`0x${"1a".repeat(20)}`, `0x${"2b".repeat(20)}`];

describe("places in ownership groups that pass to successors", () => {
  const folder = temporaryFolder();

  /** As when a successor opens a session. */
  async function founded(rejoin?: "proof" | "founder") {
    const made = await foundGroup(folder(), rejoin);
    const { provider, passed, group } = made;
    const succeed = async (from: string, to: string) => {
      await passed.pass(from, to);
      await provider.index.successions.takeOver(from, to, provider.clock.seconds);
    };
    const tell = async (account: string) =>
      passed.tellSecret(account, group.groupId, { secret: toHex(secretOf(account)) });
    return { ...made, succeed, tell };
  }

  it("give the successor the place, and the predecessor's keys nothing newer", async () => {
    const { provider, groups, group, join, memberOf, open, read, succeed, tell, states } = await founded();
    await join(BOB);
    await join(CAROL);
    const former = await memberOf(BOB);
    await succeed(BOB, NEW_BOB);
    expect(await states()).to.deep.equal({ [ALICE]: "member", [CAROL]: "member", [NEW_BOB]: "member" });
    expect(await groups.ofPut(NEW_BOB, group.dataId)).to.include({ epoch: 4, members: 3, groupId: group.groupId });
    expect(await rejection(groups.path(NEW_BOB, group.groupId))).to.include({
      code: "CONFLICT",
      check: MEMBER_SECRET_CHECK,
    });
    // What the old key would be served, and what another owner hands it.
    for (const asked of [
      () => groups.stubFile(BOB, group.groupId),
      () => groups.path(BOB, group.groupId),
      () => groups.rekey(BOB, group.groupId, 4),
    ]) {
      expect((await rejection(asked())).code).to.equal("NOT_FOUND");
    }
    const message = await groups.rekey(CAROL, group.groupId, 4);
    expect(() => former.apply(message))
      .to.throw()
      .with.property("code", "NOT_OWNER");
    const wrapped = await groups.stubFile(CAROL, group.groupId);
    for (const epoch of [former.epoch, 4]) {
      expect(() => open({ epoch, groupKey: former.groupKey }, wrapped))
        .to.throw()
        .with.property("code", "INTEGRITY");
    }
    expect(await tell(NEW_BOB)).to.include({ epoch: 5, members: 3 });
    expect(await tell(NEW_BOB), "again").to.include({ epoch: 5, messages: 0 });
    for (const account of [ALICE, CAROL, NEW_BOB]) expect(await read(account)).to.deep.equal(STUBS);
    const path = await groups.path(NEW_BOB, group.groupId);
    expect(() => openMemberPath(path, named(group), randomBytes(32)))
      .to.throw()
      .with.property("code", "INTEGRITY");
    const { stubFiles } = provider.index;
    expect([await stubFiles.bytesOf(BOB), await stubFiles.bytesOf(NEW_BOB)]).to.deep.equal([0, MEMBER_BYTES]);
    await succeed(BOB, NEW_BOB);
    expect(await groups.ofPut(NEW_BOB, group.dataId), "again").to.include({ epoch: 5 });
    expect(await stubFiles.bytesOf(NEW_BOB)).to.equal(MEMBER_BYTES);
  });

  it("take one secret, of a successor alone", async () => {
    const { passed, group, join, succeed, tell } = await founded();
    await join(BOB);
    const other = { secret: toHex(randomBytes(32)) };
    expect(await rejection(passed.tellSecret(BOB, group.groupId, other)), "it has one").to.include({
      code: "CONFLICT",
      check: MEMBER_SECRET_CHECK,
    });
    expect((await rejection(tell(CAROL))).code, "no member").to.equal("NOT_FOUND");
    await succeed(BOB, NEW_BOB);
    await tell(NEW_BOB);
    expect((await rejection(passed.tellSecret(NEW_BOB, group.groupId, other))).code).to.equal("CONFLICT");
    expect((await rejection(tell(BOB))).code, "the predecessor").to.equal("NOT_FOUND");
  });

  it("make the successor of a founder the founder, who can revoke, and along a line of successors", async () => {
    const { provider, groups, group, join, read, succeed, tell, sealed } = await founded();
    await join(BOB);
    await succeed(ALICE, CAROL);
    await succeed(CAROL, NEW_ALICE);
    expect((await groups.ofPut(BOB, group.dataId)).founder.toLowerCase()).to.equal(NEW_ALICE);
    await tell(NEW_ALICE);
    for (const account of [NEW_ALICE, BOB]) expect(await read(account)).to.deep.equal(STUBS);
    for (const former of [ALICE, CAROL]) {
      expect((await rejection(groups.revoke(former, group.groupId, BOB))).code).to.equal("NOT_FOUND");
      expect(await provider.index.stubFiles.bytesOf(former)).to.equal(0);
    }
    expect(await provider.index.stubFiles.bytesOf(NEW_ALICE)).to.equal(MEMBER_BYTES + sealed.length + STUB_ROW_BYTES);
    expect(await groups.revoke(NEW_ALICE, group.groupId, BOB)).to.include({ members: 1 });
    expect(await read(NEW_ALICE)).to.deep.equal(STUBS);
  });

  it("let no revoked account come back under its successor's name", async () => {
    const { groups, group, join, succeed, states } = await founded("founder");
    await join(BOB);
    await groups.revoke(ALICE, group.groupId, BOB);
    await succeed(BOB, NEW_BOB);
    expect(await states()).to.deep.equal({ [ALICE]: "member", [NEW_BOB]: "revoked" });
    expect(await rejection(join(NEW_BOB))).to.include({ code: "NOT_OWNER", check: "policy for revoked owners" });
    await join(CAROL);
    await succeed(CAROL, NEW_BOB);
    expect(await states(), "nor in another one's place").to.deep.equal({ [ALICE]: "member", [NEW_BOB]: "revoked" });
    await groups.readmit(ALICE, group.groupId, NEW_BOB);
    await join(NEW_BOB);
    expect(await states()).to.deep.equal({ [ALICE]: "member", [NEW_BOB]: "member" });
  });

  it("pass from a joining member together with its own stub file", async () => {
    const { groups, stubFiles, group, join, read, succeed, tell, states, own } = await founded();
    await stubFiles.replace(BOB, group.dataId, 0, once(own(1)));
    await join(BOB);
    await succeed(BOB, NEW_BOB);
    expect(await states()).to.deep.equal({ [ALICE]: "member", [NEW_BOB]: "joining" });
    await tell(NEW_BOB);
    expect(await read(NEW_BOB)).to.deep.equal(STUBS);
    // It seals the file anew, under its own keys.
    await stubFiles.replace(NEW_BOB, group.dataId, 1, once(own(2)));
    await succeed(BOB, NEW_BOB);
    expect(await stubFiles.find(NEW_BOB, group.dataId), "again").to.deep.equal(own(2));
    await groups.complete(NEW_BOB, group.groupId);
    expect(await states()).to.deep.equal({ [ALICE]: "member", [NEW_BOB]: "member" });
  });

  it("leave a successor the place or the stub file that it has", async () => {
    const { groups, stubFiles, group, join, read, succeed, states, sealed } = await founded();
    await join(BOB);
    await stubFiles.replace(NEW_BOB, group.dataId, 0, once(sealed));
    await succeed(BOB, NEW_BOB);
    expect(await states()).to.deep.equal({ [ALICE]: "member" });
    expect(await stubFiles.find(NEW_BOB, group.dataId)).to.deep.equal(sealed);
    await join(CAROL);
    await succeed(ALICE, CAROL);
    expect(await states(CAROL), "who was a member before").to.deep.equal({ [CAROL]: "member" });
    expect(await read(CAROL)).to.deep.equal(STUBS);
    expect((await groups.ofPut(CAROL, group.dataId)).members).to.equal(1);
  });

  it("go on where a process died, and against what others change at the same time", async () => {
    const { provider, passed, groups, group, join, read, succeed, tell, states } = await founded();
    await join(BOB);
    // It dies before what is charged and founded has passed.
    await passed.pass(ALICE, NEW_ALICE);
    expect((await groups.ofPut(BOB, group.dataId)).founder.toLowerCase()).to.equal(ALICE);
    await Promise.all([
      succeed(ALICE, NEW_ALICE),
      succeed(ALICE, NEW_ALICE),
      succeed(BOB, NEW_BOB),
      join(CAROL),
      passed.pass(BOB, NEW_BOB),
    ]);
    await Promise.all([tell(NEW_ALICE), tell(NEW_BOB)]);
    const all = [NEW_ALICE, NEW_BOB, CAROL];
    expect(await states(NEW_ALICE)).to.deep.equal(Object.fromEntries(all.map((account) => [account, "member"])));
    for (const account of all) expect(await read(account)).to.deep.equal(STUBS);
    const charged = await Promise.all([ALICE, BOB].map((account) => provider.index.stubFiles.bytesOf(account)));
    expect(charged).to.deep.equal([0, 0]);
    expect(fromHex(group.groupId)).to.have.length(32);
  });
});
