import { ed25519 } from "@noble/curves/ed25519.js";
import { expect } from "chai";
import fc from "fast-check";
import { decodeCbor, encodeCbor } from "../../../offchain/core/encoding/cbor.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import {
  IntegrityError,
  InvalidInputError,
  InvalidSignatureError,
  TallystickError,
  UnknownVersionError,
} from "../../../offchain/core/errors.ts";
import { GroupMember } from "../../../offchain/core/revocable/group-member.ts";
import { decodeGroup, decodeMember, encodeGroup, encodeMember } from "../../../offchain/core/revocable/group-state.ts";
import { OwnerGroup } from "../../../offchain/core/revocable/owner-group.ts";
import { checkRekey, encodeRekey, MAX_REKEY_BYTES } from "../../../offchain/core/revocable/rekey-message.ts";
import { accountOf, closure, FollowedGroup, secretOf } from "../../helpers/owner-group.ts";

/** Owners from 1 on in a new group. */
function groupOf(size: number): FollowedGroup {
  const followed = new FollowedGroup();
  followed.change(
    [],
    Array.from({ length: size }, (_, at) => at + 1),
  );
  return followed;
}

/** The same without members to follow it but the first. */
function unfollowed(size: number): { group: OwnerGroup; first: GroupMember } {
  const group = OwnerGroup.create(new Uint8Array(32).fill(78));
  const owners = Array.from({ length: size }, (_, at) => at + 1);
  const { bytes } = group.change({
    join: owners.map((owner) => ({ account: accountOf(owner), secret: secretOf(owner) })),
  });
  return { group, first: GroupMember.join(bytes, group, accountOf(1), secretOf(1)) };
}

function memberOf({ members }: FollowedGroup, owner: number): GroupMember {
  const member = members.get(owner);
  if (member === undefined) throw new Error(`no member ${owner}`);
  return member;
}

/** Which owners change places; those who are there leave, the others join. */
const toggles = fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }), {
  minLength: 3,
  maxLength: 9,
});

function toggle(followed: FollowedGroup, owners: readonly number[]): void {
  const leave = owners.filter((owner) => followed.members.has(owner));
  const join = owners.filter((owner) => !followed.members.has(owner));
  // The last owner stays.
  if (join.length === 0 && leave.length === followed.members.size) leave.pop();
  if (leave.length + join.length > 0) followed.change(leave, join);
}

describe("core/revocable: ownership groups", () => {
  it("give the key of every epoch to its owners, and to no coalition of others with all they ever learnt", () => {
    fc.assert(
      fc.property(toggles, fc.boolean(), (changes, rebalances) => {
        const followed = groupOf(3);
        for (const owners of changes) toggle(followed, owners);
        if (rebalances) followed.rebalance();
        for (const member of followed.members.values()) {
          expect(toHex(member.groupKey)).to.equal(toHex(followed.group.groupKey));
        }
        expect(followed.group.owners()).to.have.members([...followed.members.keys()].map(accountOf));
        const edges = new Map<string, readonly string[]>();
        const consequencesOf = (key: string) => {
          const known = edges.get(key) ?? followed.consequencesOf(key);
          edges.set(key, known);
          return known;
        };
        for (const { at, groupKey, held } of followed.past) {
          const others = followed.everybody.filter((owner) => !held.has(owner));
          // In all epochs before and after this one in which they were owners, and their secrets.
          const learnt = others.flatMap((owner) => [
            toHex(secretOf(owner)),
            ...followed.past.flatMap((epoch) => epoch.held.get(owner) ?? []),
          ]);
          expect(closure(learnt, consequencesOf).has(groupKey), `epoch ${at.epoch}`).to.equal(false);
          // The same rules give the key to every owner, from the leaf alone.
          for (const [owner, keys] of held) {
            const [leaf] = keys;
            const reached = closure([toHex(secretOf(owner)), leaf ?? ""], consequencesOf);
            expect(reached.has(groupKey), `owner ${owner} in epoch ${at.epoch}`).to.equal(true);
          }
        }
      }),
      { numRuns: 12 },
    );
  });

  it("take at most 2·log2(n) messages for each owner that leaves, whoever leaves in whatever order", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 70 }), fc.array(fc.nat(), { maxLength: 68 }), (size, choices) => {
        const { group } = unfollowed(size);
        for (const choice of choices) {
          const owners = group.owners();
          if (owners.length === 1) break;
          const { messages } = group.change({ leave: [owners[choice % owners.length] ?? ""] });
          expect(messages).to.be.at.most(2 * Math.log2(owners.length));
          if (group.isUnbalanced) group.rebalance();
        }
      }),
      { numRuns: 40 },
    );
  });

  it("are built anew when owners leave so that the others are one below the other", () => {
    const { group, first } = unfollowed(256);
    // The others that stay are one below each node above the first owner, but not above it.
    const { tree } = group.state;
    const kept = new Set<string>([accountOf(1)]);
    for (let node = tree.leafOf(accountOf(1)); node?.parent !== undefined; node = node.parent) {
      let other = node.parent.children?.find((child) => child !== node);
      while (other?.children !== undefined) other = other.children[0];
      kept.add(other?.account ?? "");
    }
    expect(group.isUnbalanced).to.equal(false);
    first.apply(group.change({ leave: group.owners().filter((account) => !kept.has(account)) }).bytes);
    expect(group.owners())
      .to.have.members([...kept])
      .and.to.have.length(9);
    expect(tree.depth).to.equal(8);
    expect(group.isUnbalanced).to.equal(true);
    const key = toHex(group.groupKey);
    const rebalance = group.rebalance();
    expect(rebalance.messages).to.equal(9);
    expect(group.isUnbalanced).to.equal(false);
    expect(tree.depth).to.equal(4);
    expect(toHex(group.groupKey)).to.not.equal(key);
    first.apply(rebalance.bytes);
    expect(toHex(first.groupKey)).to.equal(toHex(group.groupKey));
  });

  it("take one message for an owner that joins, and the one before the last", () => {
    const followed = groupOf(20);
    expect(followed.change([], [21]).messages).to.equal(1);
    const pair = groupOf(2);
    expect(pair.change([1], []).messages).to.equal(0);
    expect(toHex(memberOf(pair, 2).groupKey)).to.equal(toHex(pair.group.groupKey));
  });

  it("tell which rows of the state have changed", () => {
    const followed = groupOf(40);
    const rows = () => new Map([...followed.group.state.tree.nodes()].map(({ id, key }) => [id, toHex(key)]));
    const before = rows();
    const { changed, removed } = followed.change([7], [50]);
    const after = rows();
    const differing = [...after].filter(([id, key]) => before.get(id) !== key).map(([id]) => id);
    expect(changed).to.include.members(differing);
    expect(changed.every((id) => after.has(id))).to.equal(true);
    expect(removed).to.have.members([...before.keys()].filter((id) => !after.has(id)));
  });

  describe("refuse a change, and stay as they are", () => {
    const expectRefused = (work: (group: OwnerGroup) => unknown, code: string, check: string) => {
      const { group } = groupOf(3);
      const before = toHex(encodeGroup(group));
      let met: unknown;
      try {
        work(group);
      } catch (error) {
        met = error;
      }
      expect(met).to.be.instanceOf(TallystickError).and.include({ code, check });
      expect(toHex(encodeGroup(group))).to.equal(before);
    };
    const joiner = (owner: number) => ({ account: accountOf(owner), secret: secretOf(owner) });

    it("of somebody who is no owner, or is one already", () => {
      expectRefused((group) => group.change({ leave: [accountOf(9)] }), "NOT_FOUND", "owner that leaves");
      expectRefused((group) => group.change({ join: [joiner(2)] }), "CONFLICT", "owner that joins");
    });

    it("of nobody, of one owner twice, and of the last", () => {
      expectRefused((group) => group.change({}), "INVALID_INPUT", "owners that change");
      const two = [accountOf(2), accountOf(2)];
      expectRefused((group) => group.change({ leave: two }), "INVALID_INPUT", "owners that change");
      expectRefused((group) => group.change({ join: [joiner(8), joiner(8)] }), "INVALID_INPUT", "owners that change");
      const all = [1, 2, 3].map(accountOf);
      expectRefused((group) => group.change({ leave: all }), "INVALID_INPUT", "owners that remain");
    });

    it("with accounts and secrets that are none, and of too many", () => {
      expectRefused((group) => group.change({ leave: ["0x12"] }), "INVALID_INPUT", "length");
      const short = { account: accountOf(9), secret: new Uint8Array(31) };
      expectRefused((group) => group.change({ join: [short] }), "INVALID_INPUT", "length of the secret of an owner");
      const many = Array.from({ length: 4097 }, (_, at) => joiner(at + 10));
      expectRefused((group) => group.change({ join: many }), "INVALID_INPUT", "owners that join at once");
    });
  });

  describe("messages", () => {
    it("are refused by an owner that took them before, or lacks one before them", () => {
      const followed = groupOf(4);
      const behind = new GroupMember(memberOf(followed, 1).state);
      const [second, third] = [followed.change([2], []), followed.change([], [2])];
      expect(() => behind.apply(third.bytes))
        .to.throw(TallystickError, "rekey messages from epoch 2 to 2 are missing")
        .that.includes({ code: "CONFLICT", expected: "2", received: "3", party: "group manager" });
      behind.apply(second.bytes);
      behind.apply(third.bytes);
      for (const old of [second, third]) {
        expect(() => behind.apply(old.bytes))
          .to.throw(TallystickError, "is replayed")
          .that.includes({ code: "CONFLICT", check: "epoch of the rekey message" });
      }
      expect(toHex(behind.groupKey)).to.equal(toHex(followed.group.groupKey));
    });

    it("are refused by a former owner, which stays in its last epoch, and joins again by a welcome", () => {
      const followed = groupOf(8);
      const former = memberOf(followed, 5);
      const before = toHex(former.groupKey);
      const { bytes } = followed.change([5], []);
      expect(() => former.apply(bytes))
        .to.throw(TallystickError, "is not an owner of the group in epoch 2")
        .that.includes({ code: "NOT_OWNER", party: accountOf(5), check: "owner of the group" });
      expect(toHex(former.groupKey)).to.equal(before);
      expect(() => GroupMember.join(bytes, followed.group, accountOf(5), secretOf(5)))
        .to.throw(TallystickError)
        .that.includes({ code: "NOT_OWNER" });
      followed.change([], [5]);
      expect(toHex(memberOf(followed, 5).groupKey)).to.equal(toHex(followed.group.groupKey));
    });

    it("are refused when they are of another group, or signed by another manager", () => {
      const [one, other] = [groupOf(3), groupOf(3)];
      const { bytes } = other.change([2], []);
      expect(() => memberOf(one, 1).apply(bytes))
        .to.throw(InvalidInputError, "another group")
        .that.includes({ check: "group of the rekey message" });
      const stranger = OwnerGroup.create(new Uint8Array(32).fill(1));
      const forged = stranger.change({ join: [{ account: accountOf(1), secret: secretOf(1) }] });
      expect(() => memberOf(one, 1).apply(forged.bytes))
        .to.throw(InvalidSignatureError)
        .that.includes({ party: "group manager" });
    });

    it("are refused with one bit altered anywhere", () => {
      const followed = groupOf(3);
      const member = new GroupMember(memberOf(followed, 1).state);
      const { bytes } = followed.change([2], []);
      // A signature takes a millisecond to check.
      for (let bit = 0; bit < 8 * bytes.length; bit += 7) {
        const altered = bytes.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
        expect(() => member.apply(altered), `bit ${bit}`).to.throw(TallystickError);
      }
      member.apply(bytes);
    });

    it("are refused when the manager tells another history, other keys, or not all keys", () => {
      const followed = groupOf(4);
      const { group } = followed;
      const { seed, digest } = group.state;
      const member = memberOf(followed, 1);
      const twin = decodeGroup(encodeGroup(group));
      twin.change({ leave: [accountOf(3)] });
      const fork = twin.change({ leave: [accountOf(4)] });
      followed.change([2], []);
      expect(() => member.apply(fork.bytes))
        .to.throw(IntegrityError, "does not follow the one before")
        .that.includes({ check: "digest of the message before", party: "group manager" });
      const lying = (alter: (message: ReturnType<typeof checkRekey>) => object, groupKey?: Uint8Array) => {
        const liar = decodeGroup(encodeGroup(group));
        const { bytes } = liar.change({ leave: [accountOf(3)] });
        const message = checkRekey(bytes, group.managerKey);
        return encodeRekey({ ...message, ...alter(message) }, seed, groupKey ?? liar.groupKey).bytes;
      };
      expect(digest).to.not.deep.equal(group.state.digest);
      const refused = (bytes: Uint8Array, check: string) => {
        for (const owner of [1, 4]) {
          try {
            new GroupMember(memberOf(followed, owner).state).apply(bytes);
          } catch (error) {
            expect(error).to.include({ check, party: "group manager" });
            return;
          }
        }
        throw new Error("taken by every owner");
      };
      refused(
        lying(() => ({}), new Uint8Array(32)),
        "confirmation of the group key",
      );
      refused(
        lying(() => ({ sealedKeys: [] })),
        "keys of the owner's way to the root",
      );
      refused(
        lying(({ sealedKeys }) => ({ sealedKeys: sealedKeys.map((key) => ({ ...key, sealed: new Uint8Array(48) })) })),
        "keys of the owner's way to the root",
      );
      const leafAbove = memberOf(followed, 1).state.path[1]?.id ?? 0;
      refused(
        lying(({ steps }) => ({ steps: [{ kind: "insert", node: 999, other: leafAbove }, ...steps] })),
        "steps of the rekey message",
      );
      refused(
        lying(({ steps }) => ({
          steps: [{ kind: "insert", node: 999, other: memberOf(followed, 1).state.path[0]?.id ?? 0 }, ...steps],
        })),
        "steps of the rekey message",
      );
      new GroupMember(memberOf(followed, 1).state).apply(lying(() => ({})));
    });

    it("are refused when a welcome is opened with another secret", () => {
      const group = OwnerGroup.create(new Uint8Array(32));
      const { bytes } = group.change({ join: [{ account: accountOf(1), secret: secretOf(1) }] });
      expect(() => GroupMember.join(bytes, group, accountOf(1), secretOf(2)))
        .to.throw(IntegrityError, "does not open")
        .that.includes({ party: "group manager" });
      const elsewhere = { groupId: new Uint8Array(32), managerKey: group.managerKey };
      expect(() => GroupMember.join(bytes, elsewhere, accountOf(1), secretOf(1))).to.throw(InvalidInputError);
    });

    it("are refused in another version, form or length", () => {
      const { group } = groupOf(2);
      const { bytes } = group.change({ leave: [accountOf(1)] });
      const [body] = decodeCbor(bytes, MAX_REKEY_BYTES, 1, "message") as [Uint8Array, Uint8Array];
      const signed = (content: Uint8Array) => {
        const tagged = new Uint8Array([...new TextEncoder().encode("tallystick/v1/rekey\0"), ...content]);
        return encodeCbor([content, ed25519.sign(tagged, group.state.seed)]);
      };
      expect(checkRekey(signed(body), group.managerKey).epoch).to.equal(2);
      expect(() => checkRekey(signed(body.with(1, 2)), group.managerKey)).to.throw(UnknownVersionError);
      const items = decodeCbor(body, MAX_REKEY_BYTES, 4, "body") as unknown[];
      const changed = (at: number, value: unknown) => signed(encodeCbor(items.with(at, value) as never));
      for (const [at, value] of [
        [1, new Uint8Array(31)],
        [2, 0],
        [3, new Uint8Array(33)],
        [4, new Uint8Array(0)],
        [5, [[6, 1]]],
        [5, [[1, 0]]],
        [5, [[1, 1, 1]]],
        [5, [[5, 1]]],
        [6, [[1, 2, new Uint8Array(47)]]],
        [7, [[1, new Uint8Array(19), [], new Uint8Array(16)]]],
        [7, [[1, new Uint8Array(20), [2], new Uint8Array(16)]]],
        [7, [[1, new Uint8Array(20), Array.from({ length: 65 }, () => 2), new Uint8Array(65 * 32 + 16)]]],
        [8, new Uint8Array(16)],
      ] as const) {
        expect(() => checkRekey(changed(at, value), group.managerKey), `item ${at}`).to.throw(InvalidInputError);
      }
      expect(() => checkRekey(new Uint8Array(MAX_REKEY_BYTES + 1), group.managerKey)).to.throw(InvalidInputError);
    });
  });

  describe("state", () => {
    it("is what it was after it was written and read, on both sides", () => {
      const followed = groupOf(13);
      followed.change([4, 9], [20]);
      const group = decodeGroup(encodeGroup(followed.group));
      expect(toHex(encodeGroup(group))).to.equal(toHex(encodeGroup(followed.group)));
      const member = decodeMember(encodeMember(memberOf(followed, 20)));
      expect(member.state).to.deep.equal(memberOf(followed, 20).state);
      const salt = new Uint8Array(32).fill(3);
      const [one, other] = [followed.group, group].map((side) => side.change({ leave: [accountOf(1)] }, salt));
      expect(toHex(one?.bytes ?? salt)).to.equal(toHex(other?.bytes ?? salt));
      member.apply(other?.bytes ?? salt);
      expect(toHex(member.groupKey)).to.equal(toHex(group.groupKey));
    });

    it("is that of an empty group as well", () => {
      const group = OwnerGroup.create(new Uint8Array(32));
      expect(decodeGroup(encodeGroup(group)).owners()).to.deep.equal([]);
      expect(() => group.groupKey).to.throw(InvalidInputError, "without owners");
    });

    it("is refused when its rows are not one tree, and in another version", () => {
      const { group } = groupOf(3);
      const encoded = encodeGroup(group);
      const items = decodeCbor(encoded, 10_000, 3, "state") as unknown[];
      const rows = items[7] as unknown[][];
      const withRows = (changed: unknown[][]) => () => decodeGroup(encodeCbor(items.with(7, changed) as never));
      expect(withRows(rows)).to.not.throw();
      expect(withRows(rows.slice(0, -1))).to.throw(InvalidInputError, "not one tree");
      expect(withRows(rows.toReversed())).to.throw(InvalidInputError, "not one tree");
      expect(withRows([...rows, rows[0] ?? []])).to.throw(InvalidInputError, "not one tree");
      const account = (rows[0] ?? [])[2];
      expect(withRows(rows.map((row) => (row.length === 3 ? row.with(2, account) : row))))
        .to.throw(InvalidInputError)
        .that.has.property("received", `${accountOf(1)} is an owner twice`);
      expect(withRows(rows.map((row, at) => (at === 0 ? row.with(0, 99) : row)))).to.throw(InvalidInputError);
      expect(() => decodeGroup(encoded.with(1, 2))).to.throw(UnknownVersionError);
      const member = encodeMember(memberOf(groupOf(2), 1));
      expect(() => decodeMember(member.with(1, 2))).to.throw(UnknownVersionError);
      expect(() => decodeMember(member.subarray(0, -1))).to.throw(InvalidInputError);
    });
  });
});
