/** Stub files of groups, paths of owners, and groups from the rows of a store. */
import { expect } from "chai";
import { randomBytes } from "#primitives";
import { contentIdFromDigest } from "../../../offchain/core/encoding/content-id.ts";
import { GroupMember } from "../../../offchain/core/revocable/group-member.ts";
import { encodeGroup, encodeRow, restoreGroup } from "../../../offchain/core/revocable/group-state.ts";
import {
  groupAccessKey,
  unwrapGroupStubs,
  wrapGroupStubs,
  wrappedEpoch,
} from "../../../offchain/core/revocable/group-stubs.ts";
import type { TreeNode } from "../../../offchain/core/revocable/key-tree.ts";
import { encodeMemberPath, openMemberPath } from "../../../offchain/core/revocable/member-path.ts";
import { OwnerGroup } from "../../../offchain/core/revocable/owner-group.ts";
import { expectRejection } from "../../helpers/rejection.ts";

const accountOf = (k: number): string => `0x${k.toString(16).padStart(40, "0")}`;
const secretOf = (k: number): Uint8Array => new Uint8Array(32).fill(k);
const seed = new Uint8Array(32).fill(77);

function groupOf(owners: number): OwnerGroup {
  const group = OwnerGroup.create(seed);
  for (let k = 1; k <= owners; k += 1) group.change({ join: [{ account: accountOf(k), secret: secretOf(k) }] });
  return group;
}

function restored(group: OwnerGroup, alter: (rows: Uint8Array[]) => Uint8Array[] = (rows) => rows): OwnerGroup {
  const { tree, groupId: _, ...head } = group.state;
  return restoreGroup({ ...head, nextId: tree.nextId }, alter([...tree.nodes()].map(encodeRow)));
}

function leafOf(group: OwnerGroup): TreeNode {
  const leaf = group.state.tree.leafOf(accountOf(1));
  if (leaf === undefined) throw new Error("no leaf");
  return leaf;
}

/** A number below the next one that no node has. */
function freeId(group: OwnerGroup): number {
  const leaving = leafOf(group).id;
  group.change({ leave: [accountOf(1)] });
  group.change({ join: [{ account: accountOf(1), secret: secretOf(1) }] });
  return leaving;
}

describe("core/revocable: stub files of groups", () => {
  const key = { groupId: secretOf(1), epoch: 5, groupKey: secretOf(2) };
  const file = randomBytes(200);

  it("open with the group key of the epoch, and with no other", () => {
    const wrapped = wrapGroupStubs(key, file);
    expect(unwrapGroupStubs(key, wrapped, "p")).to.deep.equal(file);
    expect(wrappedEpoch(wrapped, "p")).to.equal(5);
    for (const other of [
      { ...key, epoch: 4 },
      { ...key, groupKey: secretOf(3) },
      { ...key, groupId: secretOf(3) },
    ]) {
      expectRejection(() => unwrapGroupStubs(other, wrapped, "p"), "INTEGRITY");
    }
    for (let at = 0; at < wrapped.length; at += 1) {
      const altered = wrapped.with(at, (wrapped[at] ?? 0) ^ 1);
      expectRejection(() => unwrapGroupStubs(key, altered, "p"), at === 0 ? "UNKNOWN_VERSION" : "INTEGRITY");
    }
    expectRejection(() => wrappedEpoch(wrapped.subarray(0, 56), "p"), "INTEGRITY", /wrong length/);
  });

  it("are wrapped with a salt of their own each time, which the provider repeats for nobody", () => {
    expect(wrapGroupStubs(key, file)).to.not.deep.equal(wrapGroupStubs(key, file));
  });

  it("have an access key for each group, put and epoch", () => {
    const dataId = contentIdFromDigest(secretOf(1));
    const keys = [
      groupAccessKey(secretOf(1), { dataId, epoch: 1 }),
      groupAccessKey(secretOf(1), { dataId, epoch: 2 }),
      groupAccessKey(secretOf(2), { dataId, epoch: 1 }),
      groupAccessKey(secretOf(1), { dataId: contentIdFromDigest(secretOf(2)), epoch: 1 }),
    ].map((one) => one.join());
    expect(new Set(keys).size).to.equal(4);
    expectRejection(() => groupAccessKey(new Uint8Array(31), { dataId, epoch: 1 }), "INVALID_INPUT");
  });
});

describe("core/revocable: paths of owners", () => {
  it("lead each owner to the group key, from which it takes the next messages", () => {
    for (const owners of [1, 2, 7]) {
      const group = groupOf(owners);
      const known = { groupId: group.groupId, managerKey: group.managerKey };
      const members = Array.from({ length: owners }, (_, k) =>
        openMemberPath(encodeMemberPath(group, accountOf(k + 1), secretOf(k + 1)), known, secretOf(k + 1)),
      );
      for (const member of members) expect(member.groupKey).to.deep.equal(group.groupKey);
      const { bytes } = group.change({ join: [{ account: accountOf(99), secret: secretOf(99) }] });
      for (const member of members) {
        member.apply(bytes);
        expect(member.groupKey).to.deep.equal(group.groupKey);
      }
    }
  });

  it("open with the owner's secret alone, and are the manager's", () => {
    const group = groupOf(5);
    const known = { groupId: group.groupId, managerKey: group.managerKey };
    const path = encodeMemberPath(group, accountOf(3), secretOf(3));
    expect(openMemberPath(path, known, secretOf(3))).to.be.instanceOf(GroupMember);
    expectRejection(() => openMemberPath(path, known, secretOf(2)), "INTEGRITY");
    expectRejection(
      () => openMemberPath(path.with(-1, (path.at(-1) ?? 0) ^ 1), known, secretOf(3)),
      "INVALID_SIGNATURE",
    );
    expectRejection(() => openMemberPath(path.with(60, (path[60] ?? 0) ^ 1), known, secretOf(3)), "INVALID_SIGNATURE");
    expectRejection(() => openMemberPath(path, { ...known, groupId: secretOf(1) }, secretOf(3)), "INVALID_INPUT");
    expectRejection(() => openMemberPath(path.subarray(0, -1), known, secretOf(3)), "INVALID_INPUT");
    expectRejection(() => encodeMemberPath(group, accountOf(6), secretOf(6)), "NOT_OWNER");
  });

  it("are of an epoch: an old one does not lead to a later key", () => {
    const group = groupOf(4);
    const known = { groupId: group.groupId, managerKey: group.managerKey };
    const path = encodeMemberPath(group, accountOf(2), secretOf(2));
    group.change({ leave: [accountOf(2)] });
    const former = openMemberPath(path, known, secretOf(2));
    expect(former.epoch).to.equal(4);
    expect(former.groupKey).to.not.deep.equal(group.groupKey);
  });
});

describe("core/revocable: groups from the rows of a store", () => {
  it("are as they were, in whatever order the rows come", () => {
    for (const owners of [1, 2, 9]) {
      const group = groupOf(owners);
      const before = encodeGroup(group);
      expect(encodeGroup(restored(group))).to.deep.equal(before);
      expect(new Set(restored(group, (rows) => rows.reverse()).owners())).to.deep.equal(new Set(group.owners()));
      expect(restored(group, (rows) => rows.reverse()).groupKey).to.deep.equal(group.groupKey);
    }
  });

  it("are refused when the rows are not one tree", () => {
    const group = groupOf(5);
    const isTree = /not one tree/;
    expectRejection(() => restored(group, (rows) => rows.slice(1)), "INVALID_INPUT", isTree);
    expectRejection(() => restored(group, (rows) => rows.slice(0, -1)), "INVALID_INPUT", isTree);
    const twice = (rows: Uint8Array[]) => [...rows, rows[0] ?? new Uint8Array(0)];
    expectRejection(() => restored(group, twice), "INVALID_INPUT", isTree);
    const unnumbered = encodeRow({ ...leafOf(group), id: group.state.tree.nextId });
    expectRejection(() => restored(group, (rows) => [...rows, unnumbered]), "INVALID_INPUT");
    const stray = encodeRow({ ...leafOf(group), id: freeId(group) });
    expectRejection(() => restored(group, (rows) => [...rows, stray]), "INVALID_INPUT", isTree);
  });
});
