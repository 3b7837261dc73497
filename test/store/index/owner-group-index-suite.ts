/** What every index of a provider must do with ownership groups. */
import { expect } from "chai";
import {
  type GroupChangeRows,
  MEMBER_BYTES,
  type StoredGroup,
} from "../../../offchain/store/index/owner-group-index.ts";
import type { ProviderIndex } from "../../../offchain/store/index/provider-index.ts";
import { STUB_ROW_BYTES } from "../../../offchain/store/index/stub-file-index.ts";

const ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const [BOB, CAROL] = [`0x${"b0".repeat(20)}`, `0x${"ca".repeat(20)}`];
const bytes = (k: number, length = 32) => new Uint8Array(length).fill(k);

/** Group `id` of put 1, which Alice has founded, in an epoch. */
const group = (id: number, epoch: number, members = 1): StoredGroup => ({
  groupId: bytes(id),
  digest: bytes(1),
  founder: ALICE,
  nonce: bytes(id + 1),
  rejoin: "proof",
  objects: bytes(4, 36),
  epoch,
  salt: bytes(epoch),
  groupKey: bytes(epoch + 100),
  messageDigest: bytes(epoch + 200),
  nextNode: epoch + 1,
  members,
});

function change(
  stored: StoredGroup,
  account: string,
  state: "member" | "revoked" | undefined,
  rows: Partial<GroupChangeRows> = {},
): GroupChangeRows {
  const { epoch } = stored;
  const secret = state === "member" ? bytes(7) : null;
  return {
    group: stored,
    members: [{ account, becomes: state === undefined ? undefined : { state, secret, since: epoch } }],
    nodes: [{ node: epoch, encoded: bytes(epoch, 50) }],
    removed: [],
    rekeys: [{ epoch, encoded: bytes(epoch, 80) }],
    keptFrom: 1,
    ...rows,
  };
}

/** @param reopen the index after its process has ended */
export function describeOwnerGroups(current: () => ProviderIndex, reopen: () => Promise<void>): void {
  describe("ownership groups", () => {
    const groups = () => current().ownerGroups;
    const charged = async () =>
      await Promise.all([ALICE, BOB, CAROL].map((account) => current().stubFiles.bytesOf(account)));

    it("are written by compare-and-swap on the epoch, all of a change or nothing", async () => {
      expect(await groups().write(change(group(5, 2), ALICE, "member"), 1), "there is none").to.equal("changed");
      expect(await groups().find(bytes(5))).to.equal(undefined);
      expect(await groups().load(bytes(5))).to.equal(undefined);
      expect(await groups().write(change(group(5, 1), ALICE.toLowerCase(), "member"), 0)).to.equal("written");
      expect(await groups().write(change(group(5, 1), BOB, "member"), 0), "there is one").to.equal("changed");
      const attempts = [BOB, CAROL, BOB].map((account) => groups().write(change(group(5, 2, 2), account, "member"), 1));
      expect((await Promise.all(attempts)).sort()).to.deep.equal(["changed", "changed", "written"]);
      const members = await groups().members(bytes(5), undefined, 10);
      expect(members).to.have.length(2);
      expect(
        (await charged()).reduce((sum, one) => sum + one, 0),
        "of who was written",
      ).to.equal(2 * MEMBER_BYTES);
      await reopen();
      expect(await groups().find(bytes(5))).to.deep.equal(group(5, 2, 2));
      const loaded = await groups().load(bytes(5));
      expect(loaded?.group).to.deep.equal(group(5, 2, 2));
      expect(loaded?.rows).to.have.deep.members([bytes(1, 50), bytes(2, 50)]);
    });

    it("replace and remove rows, and forget old messages", async () => {
      await groups().write(change(group(5, 1), ALICE, "member"), 0);
      await groups().write(change(group(5, 2, 2), BOB, "member"), 1);
      const rows = { nodes: [{ node: 2, encoded: bytes(9, 60) }], removed: [1], keptFrom: 3 };
      await groups().write(change(group(5, 3), BOB, "revoked", rows), 2);
      expect((await groups().load(bytes(5)))?.rows).to.deep.equal([bytes(9, 60)]);
      expect(await groups().rekey(bytes(5), 2)).to.equal(undefined);
      expect(await groups().rekey(bytes(5), 3)).to.deep.equal(bytes(3, 80));
    });

    it("say who is a member, of one group of a put at most, and who was revoked", async () => {
      await groups().write(change(group(5, 1), ALICE, "member"), 0);
      await groups().write(change(group(5, 2, 2), BOB, "member"), 1);
      expect(await groups().findOf(BOB, bytes(1))).to.deep.equal(group(5, 2, 2));
      expect(await groups().findOf(BOB, bytes(2)), "another put").to.equal(undefined);
      expect(await groups().write(change({ ...group(6, 1), founder: BOB }, BOB, "member"), 0)).to.equal("elsewhere");
      const bob = { account: BOB.toUpperCase().replace("0X", "0x"), state: "revoked", secret: null, since: 3 };
      await groups().write(change(group(5, 3), BOB, "revoked"), 2);
      expect((await groups().member(bytes(5), BOB))?.state).to.equal("revoked");
      expect({ ...(await groups().member(bytes(5), BOB)), account: bob.account }).to.deep.equal(bob);
      expect(await groups().findOf(BOB, bytes(1))).to.equal(undefined);
      expect(await groups().revokedCount(bytes(5))).to.equal(1);
      expect(await groups().write(change({ ...group(6, 1), founder: BOB }, BOB, "member"), 0)).to.equal("written");
      expect(await groups().readmit(bytes(5), BOB)).to.equal(true);
      expect(await groups().readmit(bytes(5), BOB)).to.equal(false);
      expect(await groups().readmit(bytes(5), ALICE), "a member").to.equal(false);
      expect(await groups().revokedCount(bytes(5))).to.equal(0);
      const pages = [await groups().members(bytes(5), undefined, 1), await groups().members(bytes(5), ALICE, 1)];
      expect(pages.map((page) => page.map(({ account }) => account))).to.deep.equal([[ALICE], []]);
    });

    it("charge members, the founder for the stub file, and nobody once they are removed", async () => {
      const own = (length: number) => ({ epoch: 1, sealed: bytes(1, length) });
      for (const account of [ALICE, BOB]) await current().stubFiles.replace(account, bytes(1), 0, own(300));
      await current().stubFiles.replace(BOB, bytes(2), 0, own(50));
      await groups().write(change(group(5, 1), ALICE, "member"), 0);
      expect(await current().stubFiles.find(ALICE, bytes(1)), "until the group has one").to.deep.equal(own(300));
      expect(await groups().stubFile(bytes(5))).to.equal(undefined);
      expect(await groups().replaceStubFile(bytes(5), 1, own(200)), "there is none").to.equal(false);
      expect(await groups().replaceStubFile(bytes(6), 0, own(200)), "no group").to.equal(false);
      expect(await groups().replaceStubFile(bytes(5), 0, own(200))).to.equal(true);
      expect(await groups().replaceStubFile(bytes(5), 0, own(200)), "there is one").to.equal(false);
      expect(await groups().replaceStubFile(bytes(5), 1, { epoch: 2, sealed: bytes(2, 240) })).to.equal(true);
      expect(await groups().stubFile(bytes(5))).to.deep.equal({ epoch: 2, sealed: bytes(2, 240) });
      expect(await current().stubFiles.find(ALICE, bytes(1))).to.equal(undefined);
      await groups().write(change(group(5, 2, 2), BOB, "member"), 1);
      expect(await current().stubFiles.find(BOB, bytes(1)), "until it completes its join").to.deep.equal(own(300));
      expect(await groups().removeOwnStubFile(bytes(5), BOB.toUpperCase().replace("0X", "0x"))).to.equal(true);
      const others = 50 + STUB_ROW_BYTES;
      expect(await charged()).to.deep.equal([MEMBER_BYTES + 240 + STUB_ROW_BYTES, MEMBER_BYTES + others, 0]);
      await groups().write(change(group(5, 3), BOB, undefined), 2);
      expect(await charged()).to.deep.equal([MEMBER_BYTES + 240 + STUB_ROW_BYTES, others, 0]);
      await groups().write(change(group(5, 4, 2), CAROL, "member"), 3);
      await groups().remove(bytes(5));
      expect(await charged()).to.deep.equal([0, others, 0]);
      expect(await groups().find(bytes(5))).to.equal(undefined);
      expect(await groups().members(bytes(5), undefined, 10)).to.deep.equal([]);
      await groups().remove(bytes(5));
    });

    it("remove the own stub file of a member, once the group has one, and of nobody else", async () => {
      const own = { epoch: 1, sealed: bytes(1, 300) };
      for (const account of [ALICE, BOB, CAROL]) await current().stubFiles.replace(account, bytes(1), 0, own);
      await current().stubFiles.replace(BOB, bytes(2), 0, own);
      await groups().write(change(group(5, 1), ALICE, "member"), 0);
      await groups().write(change(group(5, 2, 2), BOB, "member"), 1);
      await groups().write(change(group(5, 3, 3), CAROL, "member"), 2);
      const remove = async () =>
        await Promise.all([BOB, CAROL].map((account) => groups().removeOwnStubFile(bytes(5), account)));
      expect(await remove(), "the group has none").to.deep.equal([false, false]);
      await groups().replaceStubFile(bytes(5), 0, { epoch: 1, sealed: bytes(1, 200) });
      await groups().write(change(group(5, 4, 2), CAROL, "revoked"), 3);
      const listed = async () =>
        Object.fromEntries(
          (await groups().members(bytes(5), undefined, 10)).map((one) => [
            one.account.toLowerCase(),
            one.hasOwnStubFile,
          ]),
        );
      expect(await listed()).to.deep.equal({ [ALICE.toLowerCase()]: false, [BOB]: true, [CAROL]: true });
      for (const time of ["first", "again"]) expect(await remove(), time).to.deep.equal([true, false]);
      expect(await groups().removeOwnStubFile(bytes(6), BOB), "no group").to.equal(false);
      expect(await listed()).to.deep.equal({ [ALICE.toLowerCase()]: false, [BOB]: false, [CAROL]: true });
      expect(await current().stubFiles.find(BOB, bytes(2)), "of another put").to.deep.equal(own);
      const file = 300 + STUB_ROW_BYTES;
      expect(await charged()).to.deep.equal([MEMBER_BYTES + 200 + STUB_ROW_BYTES, MEMBER_BYTES + file, file]);
    });

    it("pass to the successor of their founder, with the charge, but not to that of a member", async () => {
      await groups().write(change(group(5, 1), ALICE, "member"), 0);
      await groups().write(change(group(5, 2, 2), BOB, "member"), 1);
      await groups().replaceStubFile(bytes(5), 0, { epoch: 1, sealed: bytes(1, 200) });
      await current().successions.takeOver(ALICE, CAROL, 9);
      expect((await groups().find(bytes(5)))?.founder.toLowerCase()).to.equal(CAROL);
      expect(await groups().findOf(CAROL, bytes(1))).to.equal(undefined);
      expect(await charged()).to.deep.equal([0, MEMBER_BYTES, 200 + STUB_ROW_BYTES]);
      await groups().write(change({ ...group(5, 3, 3), founder: CAROL }, CAROL, "member"), 2);
      expect(await charged()).to.deep.equal([0, MEMBER_BYTES, MEMBER_BYTES + 200 + STUB_ROW_BYTES]);
    });
  });
}
