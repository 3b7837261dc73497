/**
 * The tree of an ownership group, as its manager holds it: full and binary, an owner at every leaf. A node with one
 * child does not exist, so the tree shrinks as owners leave. New owners take the place nearest to the root, which keeps
 * it balanced while the group grows. Structure only; the keys are carried along.
 */
import { TallystickError } from "../errors.ts";

export interface TreeNode {
  readonly id: number;
  parent: TreeNode | undefined;
  /** Of an inner node. */
  children: readonly [TreeNode, TreeNode] | undefined;
  /** Of a leaf: `0x` and lower-case digits. */
  readonly account: string | undefined;
  key: Uint8Array;
  /** Edges to the nearest and to the farthest leaf below. */
  nearest: number;
  farthest: number;
}

export class KeyTree {
  #root: TreeNode | undefined;
  readonly #leaves = new Map<string, TreeNode>();
  #nextId: number;

  /** @param nextId number that the next node gets */
  constructor(nextId = 1, root?: TreeNode) {
    this.#nextId = nextId;
    this.#root = root;
    if (root === undefined) return;
    for (const node of nodesOf(root)) if (node.account !== undefined) this.#leaves.set(node.account, node);
  }

  get root(): TreeNode | undefined {
    return this.#root;
  }

  get nextId(): number {
    return this.#nextId;
  }

  get size(): number {
    return this.#leaves.size;
  }

  /** Edges from the root to the farthest leaf. */
  get depth(): number {
    return this.#root?.farthest ?? 0;
  }

  accounts(): readonly string[] {
    return [...this.#leaves.keys()];
  }

  leafOf(account: string): TreeNode | undefined {
    return this.#leaves.get(account);
  }

  /** All nodes, each after those below it. */
  nodes(): Iterable<TreeNode> {
    return this.#root === undefined ? [] : nodesOf(this.#root);
  }

  /** Removes a leaf and the node above it. @returns that node, if there is one */
  remove(leaf: TreeNode): TreeNode | undefined {
    this.#leaves.delete(leaf.account ?? "");
    const { parent } = leaf;
    if (parent === undefined) {
      this.#root = undefined;
      return undefined;
    }
    const sibling = siblingOf(leaf);
    this.#replace(parent, sibling);
    return parent;
  }

  /**
   * Adds a leaf, beside the leaf that is nearest to the root.
   * @param keyOf makes the key of the leaf from its number
   * @returns the leaf, and the leaf that it is beside, below a new node without a key
   */
  add(account: string, keyOf: (leaf: number) => Uint8Array): { leaf: TreeNode; beside: TreeNode | undefined } {
    const leaf = this.#node({ account, key: new Uint8Array(0) });
    leaf.key = keyOf(leaf.id);
    this.#leaves.set(account, leaf);
    if (this.#root === undefined) {
      this.#root = leaf;
      return { leaf, beside: undefined };
    }
    let beside = this.#root;
    while (beside.children !== undefined) {
      const [left, right] = beside.children;
      beside = right.nearest < left.nearest ? right : left;
    }
    const above = this.#node({ account: undefined, key: new Uint8Array(0) });
    this.#replace(beside, above);
    above.children = [beside, leaf];
    beside.parent = above;
    leaf.parent = above;
    measureUp(above);
    return { leaf, beside };
  }

  #node({ account, key }: Pick<TreeNode, "account" | "key">): TreeNode {
    const id = this.#nextId;
    this.#nextId += 1;
    return { id, account, key, parent: undefined, children: undefined, nearest: 0, farthest: 0 };
  }

  /** Puts one node in the place of another. */
  #replace(old: TreeNode, node: TreeNode): void {
    const { parent } = old;
    node.parent = parent;
    if (parent === undefined) {
      this.#root = node;
      return;
    }
    const [left, right] = childrenOf(parent);
    parent.children = left === old ? [node, right] : [left, node];
    measureUp(parent);
  }
}

export function childrenOf(node: TreeNode): readonly [TreeNode, TreeNode] {
  if (node.children !== undefined) return node.children;
  throw new TallystickError("a leaf of a key tree has no children", { code: "INTERNAL" });
}

/** The nodes above a node, up to the root. */
export function* ancestorsOf(node: TreeNode): Generator<TreeNode, void, undefined> {
  for (let above = node.parent; above !== undefined; above = above.parent) yield above;
}

/** Measures a node and those above it again. */
export function measureUp(node: TreeNode): void {
  for (let at: TreeNode | undefined = node; at !== undefined; at = at.parent) {
    const [left, right] = childrenOf(at);
    at.nearest = 1 + Math.min(left.nearest, right.nearest);
    at.farthest = 1 + Math.max(left.farthest, right.farthest);
  }
}

function siblingOf(node: TreeNode): TreeNode {
  if (node.parent === undefined)
    throw new TallystickError("the root of a key tree has no sibling", { code: "INTERNAL" });
  const [left, right] = childrenOf(node.parent);
  return left === node ? right : left;
}

function* nodesOf(node: TreeNode): Generator<TreeNode, void, undefined> {
  if (node.children !== undefined) for (const child of node.children) yield* nodesOf(child);
  yield node;
}
