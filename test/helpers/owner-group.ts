/** A group with members that follow every message, and everything that anybody ever learnt. */

import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import {
  advancedKey,
  derivedKey,
  type GroupEpoch,
  groupKeyOf,
  leafKey,
} from "../../offchain/core/revocable/group-keys.ts";
import { GroupMember } from "../../offchain/core/revocable/group-member.ts";
import { type GroupRekey, OwnerGroup } from "../../offchain/core/revocable/owner-group.ts";
import {
  type CheckedRekey,
  checkRekey,
  openNodeKey,
  openWelcome,
} from "../../offchain/core/revocable/rekey-message.ts";

export const accountOf = (owner: number): string => `0x${owner.toString(16).padStart(40, "0")}`;
export const secretOf = (owner: number): Uint8Array => new Uint8Array(32).fill(owner & 255).with(0, owner >> 8);

/** Who was an owner in an epoch, and the keys that each held then. */
interface PastEpoch {
  readonly at: GroupEpoch;
  readonly groupKey: string;
  readonly held: ReadonlyMap<number, readonly string[]>;
}

export class FollowedGroup {
  readonly group = OwnerGroup.create(new Uint8Array(32).fill(77));
  readonly members = new Map<number, GroupMember>();
  readonly messages: CheckedRekey[] = [];
  readonly past: PastEpoch[] = [];
  /** Every key that the tree ever had, and every group key. */
  readonly #keys = new Set<string>();
  readonly #owners = new Set<number>();

  /** Carries out a change, and has every member follow it. */
  change(leave: readonly number[], join: readonly number[]): GroupRekey {
    const joining = join.map((owner) => ({ account: accountOf(owner), secret: secretOf(owner) }));
    const rekey = this.group.change({ leave: leave.map(accountOf), join: joining });
    for (const owner of leave) this.members.delete(owner);
    this.#follow(rekey, join);
    return rekey;
  }

  rebalance(): GroupRekey {
    const rekey = this.group.rebalance();
    this.#follow(rekey, []);
    return rekey;
  }

  #follow(rekey: GroupRekey, join: readonly number[]): void {
    const { group } = this;
    for (const member of this.members.values()) member.apply(rekey.bytes);
    for (const owner of join) {
      this.#owners.add(owner);
      this.members.set(owner, GroupMember.join(rekey.bytes, group, accountOf(owner), secretOf(owner)));
    }
    const message = checkRekey(rekey.bytes, group.managerKey);
    this.messages.push(message);
    const groupKey = toHex(group.groupKey);
    for (const { key } of group.state.tree.nodes()) this.#keys.add(toHex(key));
    this.#keys.add(groupKey);
    const held = [...this.members].map(
      ([owner, { state }]) => [owner, state.path.map(({ key }) => toHex(key))] as const,
    );
    this.past.push({ at: message, groupKey, held: new Map(held) });
  }

  /** Everybody who ever was an owner. */
  get everybody(): readonly number[] {
    return [...this.#owners];
  }

  /**
   * Everything that follows in one step from a key by any rule of any message, as far as it is a key that ever existed:
   * what is not leads nowhere but by a collision of hashes.
   */
  consequencesOf(known: string): string[] {
    const key = fromHex(known);
    const found: (Uint8Array | undefined)[] = [];
    for (const message of this.messages) {
      found.push(groupKeyOf(key, message));
      for (const welcome of message.welcomes) {
        found.push(leafKey(key, message, welcome.leaf), ...(openWelcome(key, message, welcome) ?? []));
      }
      for (const sealed of message.sealedKeys) found.push(openNodeKey(key, message, sealed));
      for (const { kind, node } of message.steps) {
        if (kind === "derive") found.push(derivedKey(key, message, node));
        if (kind === "advance") found.push(advancedKey(key, message, node));
      }
    }
    return found.flatMap((one) => (one === undefined ? [] : [toHex(one)])).filter((one) => this.#keys.has(one));
  }
}

/** What a coalition can derive from keys and all messages. */
export function closure(start: Iterable<string>, consequencesOf: (key: string) => readonly string[]): Set<string> {
  const known = new Set(start);
  // A set yields what is added while it is walked through.
  for (const key of known) for (const next of consequencesOf(key)) known.add(next);
  return known;
}
