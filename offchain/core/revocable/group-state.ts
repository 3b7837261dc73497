/**
 * What the two sides of an ownership group keep, as deterministic CBOR. Both are secret.
 *
 *     member    [1, group id: bytes(32), manager key: bytes(32), epoch: uint, salt: bytes(32), digest: bytes(32),
 *                account: bytes(20), [[node: uint, key: bytes(32)], …]]                   the leaf first, the root last
 *     manager   [1, seed: bytes(32), nonce: bytes(32), epoch: uint, salt: bytes(32), digest: bytes(32),
 *                next node: uint, [row, …]]
 *     row       [node: uint, key: bytes(32), account: bytes(20)]           a leaf
 *               [node: uint, key: bytes(32), left: uint, right: uint]      an inner node, after both of its children
 *
 * The last row is the root. A store may keep the rows one by one: a change tells which it changed.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { asArray, asBytes, asInteger, type CborValue, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { InvalidInputError, UnknownVersionError } from "../errors.ts";
import { GROUP_ID_BYTES, GROUP_KEY_BYTES, groupIdOf, REKEY_SALT_BYTES } from "./group-keys.ts";
import { GroupMember } from "./group-member.ts";
import { KeyTree, measureUp, type TreeNode } from "./key-tree.ts";
import { type GroupState, MAX_OWNERS, OwnerGroup } from "./owner-group.ts";
import { MAX_TREE_DEPTH } from "./rekey-message.ts";

const VERSION = 1;
const DIGEST_BYTES = 32;
const MAX_NODE = Number.MAX_SAFE_INTEGER;
const MAX_MEMBER_BYTES = 8192;
/** Longest row: heads, three numbers of nine bytes, a key. */
const MAX_ROW_BYTES = 64;
const MAX_GROUP_BYTES = 512 + 2 * MAX_OWNERS * MAX_ROW_BYTES;

export function encodeMember({ state }: GroupMember): Uint8Array {
  const { groupId, managerKey, epoch, salt, digest, account, path } = state;
  const nodes = path.map(({ id, key }) => [id, key]);
  return encodeCbor([VERSION, groupId, managerKey, epoch, salt, digest, fromHex(account, ADDRESS_BYTES), nodes]);
}

/** @throws UnknownVersionError, InvalidInputError */
export function decodeMember(bytes: Uint8Array): GroupMember {
  const what = "state of a group member";
  checkVersion(bytes, what);
  const items = asArray(decodeCbor(bytes, MAX_MEMBER_BYTES, 3, what), 8, 8, { what, name: "shape" });
  const [, groupId, managerKey, epoch, salt, digest, account, nodes] = items;
  const path = asArray(nodes, 1, MAX_TREE_DEPTH + 1, { what, name: "number of nodes" }).map((node) => {
    const [id, key] = asArray(node, 2, 2, { what, name: "node" });
    return { id: asInteger(id, 1, MAX_NODE, { what, name: "number of a node" }), key: asKey(key, what) };
  });
  return new GroupMember({
    groupId: asBytes(groupId, GROUP_ID_BYTES, GROUP_ID_BYTES, { what, name: "group id" }),
    managerKey: asKey(managerKey, what),
    epoch: asInteger(epoch, 1, MAX_NODE, { what, name: "epoch" }),
    salt: asBytes(salt, REKEY_SALT_BYTES, REKEY_SALT_BYTES, { what, name: "salt" }),
    digest: asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, { what, name: "digest" }),
    account: toHex(asBytes(account, ADDRESS_BYTES, ADDRESS_BYTES, { what, name: "account" })),
    path,
  });
}

/** What a store keeps of a group beside its rows. */
export interface GroupHead extends Omit<GroupState, "groupId" | "tree"> {
  /** Number that the next node gets. */
  readonly nextId: number;
}

/**
 * A group from the rows that a store has kept one by one.
 * @param rows of `encodeRow`, in any order
 * @throws InvalidInputError for rows that are not one full tree
 */
export function restoreGroup(head: GroupHead, rows: Iterable<Uint8Array>): OwnerGroup {
  const what = "state of an ownership group";
  const values = new Map<number, readonly CborValue[]>();
  const children = new Set<number>();
  for (const row of rows) {
    const value = asArray(decodeCbor(row, MAX_ROW_BYTES, 1, what), 3, 4, { what, name: "row" });
    const id = asInteger(value[0], 1, head.nextId - 1, { what, name: "number of a node" });
    if (values.has(id)) throw notOneTree(what, `node ${id} has two rows`);
    values.set(id, value);
    for (const child of childrenIn(value, what)) children.add(child);
  }
  const roots = [...values.keys()].filter((id) => !children.has(id));
  if (roots.length > 1) throw notOneTree(what, `${roots.length} nodes without a parent`);
  // Parents before their children; turned round, each row comes after the rows below it.
  const order = [...roots];
  for (const id of order) {
    order.push(...childrenIn(values.get(id) ?? [], what));
    if (order.length > values.size) throw notOneTree(what, "a node has two parents, or no row");
  }
  const sorted = order.reverse().flatMap((id): CborValue[] => {
    const value = values.get(id);
    return value === undefined ? [] : [[...value]];
  });
  if (sorted.length !== values.size) throw notOneTree(what, "a row that no way leads to");
  const { nextId, ...state } = head;
  const groupId = groupIdOf(ed25519.getPublicKey(head.seed), head.nonce);
  return new OwnerGroup({ ...state, groupId, tree: new KeyTree(nextId, treeOf(sorted, nextId, what)) });
}

function childrenIn(row: readonly CborValue[], what: string): number[] {
  return row.length < 4
    ? []
    : row.slice(2).map((id) => asInteger(id, 1, MAX_NODE, { what, name: "number of a child" }));
}

/** One row of a group's state. */
export function encodeRow(node: TreeNode): Uint8Array {
  return encodeCbor(rowOf(node));
}

export function encodeGroup({ state }: OwnerGroup): Uint8Array {
  const { seed, nonce, epoch, salt, digest, tree } = state;
  return encodeCbor([VERSION, seed, nonce, epoch, salt, digest, tree.nextId, [...tree.nodes()].map(rowOf)]);
}

/** @throws UnknownVersionError, InvalidInputError for rows that are not one full tree */
export function decodeGroup(bytes: Uint8Array): OwnerGroup {
  const what = "state of an ownership group";
  checkVersion(bytes, what);
  const items = asArray(decodeCbor(bytes, MAX_GROUP_BYTES, 3, what), 8, 8, { what, name: "shape" });
  const [, seedValue, nonceValue, epoch, salt, digest, next, rows] = items;
  const [seed, nonce] = [asKey(seedValue, what), asKey(nonceValue, what)];
  const nextId = asInteger(next, 1, MAX_NODE, { what, name: "number of the next node" });
  const values = asArray(rows, 0, 2 * MAX_OWNERS - 1, { what, name: "number of rows" });
  return new OwnerGroup({
    seed,
    nonce,
    groupId: groupIdOf(ed25519.getPublicKey(seed), nonce),
    epoch: asInteger(epoch, 0, MAX_NODE, { what, name: "epoch" }),
    salt: asBytes(salt, REKEY_SALT_BYTES, REKEY_SALT_BYTES, { what, name: "salt" }),
    digest: asBytes(digest, DIGEST_BYTES, DIGEST_BYTES, { what, name: "digest" }),
    tree: new KeyTree(nextId, treeOf(values, nextId, what)),
  });
}

function rowOf({ id, key, account, children }: TreeNode): CborValue {
  if (children !== undefined) return [id, key, children[0].id, children[1].id];
  return [id, key, fromHex(account ?? "", ADDRESS_BYTES)];
}

/** Nodes that no row is above yet; in the end, the root. */
function treeOf(rows: readonly CborValue[], nextId: number, what: string): TreeNode | undefined {
  const orphans = new Map<number, TreeNode>();
  const ids = new Set<number>();
  const accounts = new Set<string>();
  const adopt = (value: CborValue | undefined): TreeNode => {
    const id = asInteger(value, 1, nextId - 1, { what, name: "number of a child" });
    const child = orphans.get(id);
    if (child === undefined) throw notOneTree(what, `node ${id} has no row before its parent, or two parents`);
    orphans.delete(id);
    return child;
  };
  for (const row of rows) {
    const [number, keyValue, first, second] = asArray(row, 3, 4, { what, name: "row" });
    const id = asInteger(number, 1, nextId - 1, { what, name: "number of a node" });
    if (ids.has(id)) throw notOneTree(what, `node ${id} has two rows`);
    ids.add(id);
    const node: TreeNode = {
      id,
      key: asKey(keyValue, what),
      account:
        second === undefined
          ? toHex(asBytes(first, ADDRESS_BYTES, ADDRESS_BYTES, { what, name: "account" }))
          : undefined,
      parent: undefined,
      children: second === undefined ? undefined : [adopt(first), adopt(second)],
      nearest: 0,
      farthest: 0,
    };
    if (node.account !== undefined) {
      if (accounts.has(node.account)) throw notOneTree(what, `${node.account} is an owner twice`);
      accounts.add(node.account);
    }
    for (const child of node.children ?? []) child.parent = node;
    if (node.children !== undefined) measureUp(node);
    orphans.set(id, node);
  }
  if (orphans.size > 1) throw notOneTree(what, `${orphans.size} nodes without a parent`);
  return [...orphans.values()][0];
}

function notOneTree(what: string, received: string): InvalidInputError {
  return new InvalidInputError(`rows in the ${what} are not one tree`, { check: "tree of the group", received });
}

function asKey(value: CborValue | undefined, what: string): Uint8Array {
  return asBytes(value, GROUP_KEY_BYTES, GROUP_KEY_BYTES, { what, name: "key" });
}

function checkVersion(bytes: Uint8Array, what: string): void {
  const [head, version] = bytes;
  if (head !== 0x88 || version === undefined || version > 0x17 || version === VERSION) return;
  throw new UnknownVersionError(what, version, [VERSION]);
}
