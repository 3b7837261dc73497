/**
 * An ownership group as its manager holds it: the tree with all keys, and how owners join, leave, are revoked and join
 * again. Each change leads to a new epoch, whose group key exactly the owners of that epoch can derive: those that left
 * cannot, with all they ever knew and however many of them, and new owners cannot derive a key of an earlier epoch.
 *
 * - Where an owner left, every node above it that remains has a key derived from that of one child, none of which a
 *   leaver knows, and the new key is sealed for the other child: one message less than the leaf had edges to the root.
 * - Where one joined, the keys above it advance. Those who are there compute that themselves; the new owner gets all
 *   keys of its way in one message.
 *
 * The tree never gets deeper than 2·log2(n), see `isUnbalanced`, so one owner leaves with fewer messages than that.
 *
 * Persist the state before a message is sent: an epoch that was told and forgotten cannot be taken back.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { randomBytes } from "#primitives";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { counted } from "../encoding/counted.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../errors.ts";
import {
  advancedKey,
  derivedKey,
  type GroupEpoch,
  groupIdOf,
  groupKeyOf,
  leafKey,
  REKEY_SALT_BYTES,
} from "./group-keys.ts";
import { ancestorsOf, childrenOf, KeyTree, type TreeNode } from "./key-tree.ts";
import {
  encodeRekey,
  MAX_JOINS,
  messageCount,
  NO_MESSAGE,
  type SealedKey,
  sealNodeKey,
  sealWelcome,
  type TreeStep,
  type Welcome,
} from "./rekey-message.ts";

/** Most owners of a group. */
export const MAX_OWNERS = 65_536;

/** An owner that joins. */
export interface NewOwner {
  /** Address of its account. */
  readonly account: string;
  /** 32 bytes that the owner and the manager share, for example sealed with HPKE. May be the one it had before. */
  readonly secret: Uint8Array;
}

/** Who leaves and who joins in one epoch. Who is in both keeps its account and gets other keys. */
export interface GroupChange {
  readonly leave?: readonly string[];
  readonly join?: readonly NewOwner[];
}

/** What a change came to. */
export interface GroupRekey {
  readonly epoch: number;
  /** The rekey message, for all owners. */
  readonly bytes: Uint8Array;
  /** Keys that were sealed: one for each node that changed because somebody left, one for each new owner. */
  readonly messages: number;
  /** Nodes whose rows a store must write, and those that it must delete. */
  readonly changed: readonly number[];
  readonly removed: readonly number[];
}

/** All that a manager must keep, see group-state.ts. */
export interface GroupState extends GroupEpoch {
  /** Of the manager's Ed25519 key. */
  readonly seed: Uint8Array;
  readonly nonce: Uint8Array;
  readonly digest: Uint8Array;
  readonly tree: KeyTree;
}

export class OwnerGroup {
  #state: GroupState;

  /** @param state is used from here on */
  constructor(state: GroupState) {
    this.#state = state;
  }

  /**
   * A group without owners.
   * @param seed of the manager's Ed25519 key, 32 bytes
   * @param nonce 32 bytes that no other group of the manager has. Default: random
   */
  static create(seed: Uint8Array, nonce: Uint8Array = randomBytes(32)): OwnerGroup {
    const groupId = groupIdOf(ed25519.getPublicKey(seed), nonce);
    const salt = new Uint8Array(REKEY_SALT_BYTES);
    return new OwnerGroup({ seed, nonce, groupId, epoch: 0, salt, digest: NO_MESSAGE, tree: new KeyTree() });
  }

  get state(): GroupState {
    return this.#state;
  }

  get groupId(): Uint8Array {
    return this.#state.groupId;
  }

  get managerKey(): Uint8Array {
    return ed25519.getPublicKey(this.#state.seed);
  }

  get epoch(): number {
    return this.#state.epoch;
  }

  /** The key of the present epoch. @throws InvalidInputError for a group without owners */
  get groupKey(): Uint8Array {
    return groupKeyOf(rootOf(this.#state.tree).key, this.#state);
  }

  owners(): readonly string[] {
    return this.#state.tree.accounts();
  }

  /** Whether the next owner to leave could take more than 2·log2(n) messages. `rebalance` is due then. */
  get isUnbalanced(): boolean {
    const { size, depth } = this.#state.tree;
    return size > 1 && depth > 2 * Math.log2(size);
  }

  /**
   * Carries out a change.
   * @param salt 32 bytes that no other message has. Default: random
   * @throws InvalidInputError, and nothing is changed, for an account that is there already or not there, one that is
   *   named twice, too many owners, none, or a change of nothing
   */
  change({ leave = [], join = [] }: GroupChange, salt: Uint8Array = randomBytes(REKEY_SALT_BYTES)): GroupRekey {
    const leaving = leave.map(canonical);
    const joining = join.map(({ account, secret }) => ({ account: canonical(account), secret }));
    this.#check(leaving, joining);
    const at: GroupEpoch = { groupId: this.groupId, epoch: this.epoch + 1, salt };
    // A secret of another length is refused before anything is changed.
    for (const { secret } of joining) leafKey(secret, at, 1);
    const rekeying = new Rekeying(this.#state.tree, at);
    for (const account of leaving) rekeying.leave(account);
    for (const { account, secret } of joining) rekeying.join(account, (leaf) => leafKey(secret, at, leaf));
    return this.#finish(rekeying, at);
  }

  /**
   * Builds the tree anew, as flat as it can be, under a new group key: a message for each owner. The group has then
   * shrunk to the square root of what its depth is for, so this takes few messages, and seldom happens.
   */
  rebalance(salt: Uint8Array = randomBytes(REKEY_SALT_BYTES)): GroupRekey {
    const at: GroupEpoch = { groupId: this.groupId, epoch: this.epoch + 1, salt };
    const rekeying = new Rekeying(this.#state.tree, at);
    const { tree } = this.#state;
    const keys = tree.accounts().map((account) => ({ account, key: tree.leafOf(account)?.key ?? NO_MESSAGE }));
    if (keys.length > MAX_JOINS) throw tooMany(keys.length, MAX_JOINS, "owners of a tree that is built anew");
    for (const { account } of keys) rekeying.leave(account);
    for (const { account, key } of keys) rekeying.join(account, (leaf) => leafKey(key, at, leaf));
    return this.#finish(rekeying, at);
  }

  #check(leaving: readonly string[], joining: readonly NewOwner[]): void {
    const { tree } = this.#state;
    if (leaving.length + joining.length === 0) {
      throw new InvalidInputError("a change of an ownership group needs an owner", { check: "owners that change" });
    }
    const left = new Set<string>();
    for (const account of leaving) {
      if (tree.leafOf(account) === undefined) {
        throw new TallystickError(`${account} is not an owner of the group`, {
          code: "NOT_FOUND",
          check: "owner that leaves",
          received: account,
        });
      }
      if (left.has(account)) throw namedTwice(account);
      left.add(account);
    }
    const joined = new Set<string>();
    for (const { account } of joining) {
      if (joined.has(account)) throw namedTwice(account);
      joined.add(account);
      if (left.has(account) || tree.leafOf(account) === undefined) continue;
      throw new TallystickError(`${account} is an owner of the group already`, {
        code: "CONFLICT",
        check: "owner that joins",
        received: account,
      });
    }
    if (joining.length > MAX_JOINS) throw tooMany(joining.length, MAX_JOINS, "owners that join at once");
    const size = tree.size - left.size + joined.size;
    if (size > MAX_OWNERS) throw tooMany(size, MAX_OWNERS, "owners of a group");
    if (size === 0) {
      throw new InvalidInputError("the last owner of a group cannot leave it", {
        check: "owners that remain",
        hint: "delete the group and what it shares",
      });
    }
  }

  #finish(rekeying: Rekeying, at: GroupEpoch): GroupRekey {
    const { seed, digest: previous, tree } = this.#state;
    const { steps, sealedKeys, welcomes, changed, removed } = rekeying.finish();
    const message = { ...at, previous, steps, sealedKeys, welcomes };
    const { bytes, digest } = encodeRekey(message, seed, groupKeyOf(rootOf(tree).key, at));
    this.#state = { ...this.#state, ...at, digest };
    return { epoch: at.epoch, bytes, messages: messageCount(message), changed, removed };
  }
}

/** One change of the tree, and what is told of it. */
class Rekeying {
  readonly #tree: KeyTree;
  readonly #at: GroupEpoch;
  readonly #steps: TreeStep[] = [];
  readonly #removed: number[] = [];
  /** Nodes above which somebody left, and new nodes: their keys follow from below. */
  readonly #derived = new Set<TreeNode>();
  /** Nodes above which somebody only joined. */
  readonly #advanced = new Set<TreeNode>();
  readonly #newNodes = new Set<TreeNode>();
  readonly #newLeaves = new Set<TreeNode>();

  constructor(tree: KeyTree, at: GroupEpoch) {
    this.#tree = tree;
    this.#at = at;
  }

  leave(account: string): void {
    const leaf = this.#tree.leafOf(account);
    if (leaf === undefined) throw new TallystickError("an owner has no leaf", { code: "INTERNAL" });
    for (const node of ancestorsOf(leaf)) this.#derived.add(node);
    this.#steps.push({ kind: "leave", node: leaf.id });
    this.#removed.push(leaf.id);
    const dropped = this.#tree.remove(leaf);
    if (dropped === undefined) return;
    this.#derived.delete(dropped);
    this.#steps.push({ kind: "drop", node: dropped.id });
    this.#removed.push(dropped.id);
  }

  join(account: string, keyOf: (leaf: number) => Uint8Array): void {
    const { leaf, beside } = this.#tree.add(account, keyOf);
    this.#newLeaves.add(leaf);
    const above = leaf.parent;
    if (above === undefined || beside === undefined) return;
    this.#newNodes.add(above);
    this.#steps.push({ kind: "insert", node: above.id, other: beside.id });
    for (const node of ancestorsOf(above)) this.#advanced.add(node);
  }

  finish(): {
    readonly steps: readonly TreeStep[];
    readonly sealedKeys: readonly SealedKey[];
    readonly welcomes: readonly Welcome[];
    readonly changed: readonly number[];
    readonly removed: readonly number[];
  } {
    const sealedKeys: SealedKey[] = [];
    const touched = new Set([...this.#newNodes, ...this.#derived, ...this.#advanced]);
    for (const node of belowFirst(touched)) {
      if (this.#newNodes.has(node) || this.#derived.has(node)) sealedKeys.push(...this.#derive(node));
      else this.#advance(node);
    }
    const welcomes = [...this.#newLeaves].map((leaf) => {
      const account = fromHex(leaf.account ?? "", ADDRESS_BYTES, "account");
      const path = [...ancestorsOf(leaf)].map(({ id, key }) => ({ id, key }));
      return sealWelcome(leaf.key, this.#at, { leaf: leaf.id, account }, path);
    });
    const changed = [...touched, ...this.#newLeaves].map(({ id }) => id);
    return { steps: this.#steps, sealedKeys, welcomes, changed, removed: this.#removed };
  }

  #derive(node: TreeNode): SealedKey[] {
    const [left, right] = childrenOf(node);
    const source = this.#hasOldOwner(left) || !this.#hasOldOwner(right) ? left : right;
    const other = source === left ? right : left;
    node.key = derivedKey(source.key, this.#at, node.id);
    this.#steps.push({ kind: "derive", node: node.id, other: source.id });
    // New owners are told in their welcome.
    return this.#hasOldOwner(other) ? [sealNodeKey(other.key, this.#at, node.id, other.id, node.key)] : [];
  }

  #advance(node: TreeNode): void {
    node.key = advancedKey(node.key, this.#at, node.id);
    this.#steps.push({ kind: "advance", node: node.id });
  }

  #hasOldOwner(node: TreeNode): boolean {
    if (node.children === undefined) return !this.#newLeaves.has(node);
    return !this.#newNodes.has(node) || node.children.some((child) => this.#hasOldOwner(child));
  }
}

/** Nodes in an order in which each comes after those below it: the deepest first, by their number within a depth. */
function belowFirst(nodes: ReadonlySet<TreeNode>): TreeNode[] {
  const placed = [...nodes].map((node) => ({ node, depth: [...ancestorsOf(node)].length }));
  placed.sort((a, b) => b.depth - a.depth || a.node.id - b.node.id);
  return placed.map(({ node }) => node);
}

function rootOf(tree: KeyTree): TreeNode {
  if (tree.root !== undefined) return tree.root;
  throw new InvalidInputError("a group without owners has no key", { check: "owners of the group" });
}

/** `0x` and lower-case digits. */
function canonical(account: string): string {
  return toHex(fromHex(account, ADDRESS_BYTES, "account"));
}

function namedTwice(account: string): InvalidInputError {
  return new InvalidInputError(`${account} is named twice`, { check: "owners that change", received: account });
}

function tooMany(count: number, limit: number, what: string): InvalidInputError {
  return new InvalidInputError(`${counted(count, "owner")} are too many`, {
    check: what,
    expected: `at most ${limit}`,
    received: String(count),
  });
}
