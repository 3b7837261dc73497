/** How a group is led from the epoch that the index has to the next one. */
import { equalBytes } from "#primitives";
import { kdf } from "../../core/crypto/kdf.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { encodeRow, restoreGroup } from "../../core/revocable/group-state.ts";
import type { GroupChange, GroupRekey, OwnerGroup } from "../../core/revocable/owner-group.ts";
import { type GroupChangeAnswer, KEPT_REKEYS } from "../../core/wire/owner-groups.ts";
import type {
  GroupChangeRows,
  MemberChange,
  OwnerGroupIndex,
  StoredGroup,
  StoredMember,
} from "../../store/index/owner-group-index.ts";
import { busy, inAnotherGroup, noGroup, ofAnotherKeystore } from "./group-errors.ts";

/** Attempts at a change while others change the group as well. */
const ATTEMPTS = 32;

/** A change, and what it came to. */
export interface PreparedChange extends GroupChangeRows {
  /** Keys that were sealed. */
  readonly messages: number;
  /** Bytes of rekey messages and rows. */
  readonly rewrittenBytes: number;
}

/** A change of an account in a group, or of one and its successor. */
export interface Wish {
  readonly change: GroupChange;
  readonly members: readonly MemberChange[];
}

export interface GroupChangesParts {
  readonly index: { readonly ownerGroups: Pick<OwnerGroupIndex, "load" | "member" | "write"> };
  /** 32 bytes of the keystore; a key is derived from it, and it is not kept. */
  readonly operatorSecret: Uint8Array;
}

/** Changes of groups that are in the index. */
export class GroupChanges {
  readonly #index: GroupChangesParts["index"];
  readonly #managerSecret: Uint8Array;

  constructor({ index, operatorSecret }: GroupChangesParts) {
    this.#index = index;
    this.#managerSecret = kdf(operatorSecret, "group-managers");
  }

  /** Of the key with which the provider signs as manager of a group. All its processes derive the same. */
  seed(nonce: Uint8Array): Uint8Array {
    return kdf(this.#managerSecret, "group-manager", nonce);
  }

  /** @throws IntegrityError for a group that was made with another keystore */
  open(group: StoredGroup, rows: Iterable<Uint8Array>): OwnerGroup {
    const opened = openGroup(group, rows, this.seed(group.nonce));
    if (!equalBytes(opened.groupId, group.groupId)) throw ofAnotherKeystore(toHex(group.groupId));
    return opened;
  }

  /**
   * Leads a group to its next epoch, against others that do the same. Durable when this resolves.
   * @param wish made anew of each state of the group and of the account in it; undefined for nothing to do
   * @throws TallystickError NOT_FOUND, CONFLICT; what `wish` throws
   */
  async lead(
    groupId: Uint8Array,
    wish: (group: StoredGroup, member: StoredMember | undefined) => Wish | undefined | Promise<Wish | undefined>,
    account: string,
  ): Promise<GroupChangeAnswer> {
    const { ownerGroups } = this.#index;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const loaded = await ownerGroups.load(groupId);
      if (loaded === undefined) throw noGroup();
      const wanted = await wish(loaded.group, await ownerGroups.member(groupId, account));
      if (wanted === undefined) return unchanged(loaded.group);
      const opened = this.open(loaded.group, loaded.rows);
      // The member was read after the group: the tree is that of another epoch, which the write below would find out.
      if (!fits(opened, wanted.change)) continue;
      const prepared = prepareChange(loaded.group, opened, wanted.change, wanted.members);
      const written = await ownerGroups.write(prepared, loaded.group.epoch);
      if (written === "elsewhere") throw inAnotherGroup();
      if (written === "changed") continue;
      const { group, messages, rewrittenBytes } = prepared;
      return { epoch: group.epoch, members: group.members, messages, rewrittenBytes };
    }
    throw busy();
  }
}

/** @param since unix seconds */
export function joining(account: string, secret: Uint8Array, since: number): Wish {
  const becomes = { state: "member", secret, since } as const;
  return { change: { join: [{ account: account.toLowerCase(), secret }] }, members: [{ account, becomes }] };
}

/** A new leaf for a member: its secret is another one. */
export function rejoining(account: string, secret: Uint8Array, since: number): Wish {
  const wish = joining(account, secret, since);
  return { ...wish, change: { ...wish.change, leave: [account] } };
}

export function leaving(account: string, becomes: MemberChange["becomes"]): Wish {
  return { change: { leave: [account] }, members: [{ account, becomes }] };
}

export function unchanged({ epoch, members }: StoredGroup): GroupChangeAnswer {
  return { epoch, members, messages: 0, rewrittenBytes: 0 };
}

export function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** Whether the tree has those that leave, and not those that join. */
function fits(group: OwnerGroup, { leave = [], join = [] }: GroupChange): boolean {
  const { tree } = group.state;
  const left = new Set(leave.map((account) => account.toLowerCase()));
  const isIn = (account: string) => tree.leafOf(account.toLowerCase()) !== undefined;
  return leave.every(isIn) && join.every(({ account }) => left.has(account.toLowerCase()) || !isIn(account));
}

/** @param rows of the tree, all of the group's epoch */
function openGroup(group: StoredGroup, rows: Iterable<Uint8Array>, seed: Uint8Array): OwnerGroup {
  const { nonce, epoch, salt, messageDigest: digest, nextNode: nextId } = group;
  return restoreGroup({ seed, nonce, epoch, salt, digest, nextId }, rows);
}

/**
 * Carries out a change, of one account or of one and its successor. A tree that has become too deep is built anew in
 * the same step.
 * @param stored what does not change of the group
 */
export function prepareChange(
  stored: Pick<StoredGroup, "digest" | "founder" | "nonce" | "rejoin" | "objects">,
  group: OwnerGroup,
  change: GroupChange,
  members: readonly MemberChange[],
): PreparedChange {
  const rekeys: GroupRekey[] = [group.change(change)];
  if (group.isUnbalanced) rekeys.push(group.rebalance());
  const { epoch, salt, digest, tree } = group.state;
  const nodesNow = new Map([...tree.nodes()].map((node) => [node.id, node]));
  const changed = new Set(rekeys.flatMap((rekey) => rekey.changed));
  const nodes = [...changed].flatMap((id) => {
    const node = nodesNow.get(id);
    return node === undefined ? [] : [{ node: id, encoded: encodeRow(node) }];
  });
  const removed = [...new Set(rekeys.flatMap((rekey) => rekey.removed))];
  const written = [...nodes.map(({ encoded }) => encoded), ...rekeys.map(({ bytes }) => bytes)];
  return {
    group: {
      ...stored,
      groupId: group.groupId,
      epoch,
      salt,
      groupKey: group.groupKey,
      messageDigest: digest,
      nextNode: tree.nextId,
      members: tree.size,
    },
    members,
    nodes,
    removed,
    rekeys: rekeys.map((rekey) => ({ epoch: rekey.epoch, encoded: rekey.bytes })),
    keptFrom: Math.max(1, epoch - KEPT_REKEYS + 1),
    messages: rekeys.reduce((sum, rekey) => sum + rekey.messages, 0),
    rewrittenBytes: written.reduce((sum, { length }) => sum + length, 0),
  };
}
