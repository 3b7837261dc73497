/** The Merkle tree over the commitments of a segment (RFC 9162, section 2.1, with tags of its own). */

import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { domainTag } from "../crypto/kdf.ts";
import { InvalidInputError } from "../errors.ts";

export const HASH_BYTES = 32;
const LEAF_TAG = domainTag("commitment-leaf");
const NODE_TAG = domainTag("commitment-node");

/** @returns 32 bytes */
export function leafOf(commitment: Uint8Array): Uint8Array {
  return sha256(concatBytes(LEAF_TAG, commitment));
}

function nodeOf(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(concatBytes(NODE_TAG, left, right));
}

/** The root over commitments that come one by one, in memory that grows with the height of the tree. */
export class CommitmentTree {
  /** Roots of complete subtrees, the largest first. */
  readonly #peaks: { readonly height: number; readonly hash: Uint8Array }[] = [];

  push(commitment: Uint8Array): void {
    this.pushHash(leafOf(commitment));
  }

  /** Takes a leaf, or the root of a subtree as large as all others that are pushed; only the last may be smaller. */
  pushHash(subtree: Uint8Array): void {
    let peak = { height: 0, hash: subtree };
    for (let last = this.#peaks.at(-1); last?.height === peak.height; last = this.#peaks.at(-1)) {
      this.#peaks.pop();
      peak = { height: peak.height + 1, hash: nodeOf(last.hash, peak.hash) };
    }
    this.#peaks.push(peak);
  }

  /** As the tree of RFC 9162. @returns 32 bytes @throws InvalidInputError without a commitment */
  root(): Uint8Array {
    const hashes = this.#peaks.map(({ hash }) => hash);
    const last = hashes.pop();
    if (last === undefined) throw new InvalidInputError("there are no commitments", { check: "commitments" });
    return hashes.reduceRight((right, left) => nodeOf(left, right), last);
  }
}

/**
 * Hashes that lead from one of some subtrees of equal height to the root over all (RFC 9162, section 2.1.3.1), its
 * sibling first.
 * @param hashes of the subtrees; the last one may be smaller
 */
export function pathIn(hashes: readonly Uint8Array[], position: number): Uint8Array[] {
  if (hashes.length <= 1) return [];
  const split = leftSize(hashes.length);
  const [left, right] = [hashes.slice(0, split), hashes.slice(split)];
  return position < split
    ? [...pathIn(left, position), rootOf(right)]
    : [...pathIn(right, position - split), rootOf(left)];
}

function rootOf(hashes: readonly Uint8Array[]): Uint8Array {
  const tree = new CommitmentTree();
  for (const hash of hashes) tree.pushHash(hash);
  return tree.root();
}

/** The largest power of two below a count. */
function leftSize(count: number): number {
  return 2 ** Math.floor(Math.log2(count - 1));
}

/** Leaves that are read at once when paths are made: a power of two. */
export const BLOCK_LEAVES = 1024;

/**
 * Paths of some leaves of a large tree, in memory for one block of leaves and a hash for each block.
 * @param count leaves of the tree, at least 1
 * @param positions of the leaves, each below `count`
 * @param readLeaves hashes of consecutive leaves, 32 bytes each; every block is read once for the root, and once more
 *   for each position in it
 */
export async function commitmentPaths(
  count: number,
  positions: readonly number[],
  readLeaves: (first: number, count: number) => Promise<Uint8Array>,
): Promise<{ readonly root: Uint8Array; readonly paths: readonly (readonly Uint8Array[])[] }> {
  const readBlock = async (block: number): Promise<Uint8Array[]> => {
    const first = block * BLOCK_LEAVES;
    const bytes = await readLeaves(first, Math.min(BLOCK_LEAVES, count - first));
    return Array.from({ length: bytes.length / HASH_BYTES }, (_, k) =>
      bytes.subarray(k * HASH_BYTES, (k + 1) * HASH_BYTES),
    );
  };
  const blocks: Uint8Array[] = [];
  for (let block = 0; block * BLOCK_LEAVES < count; block += 1) blocks.push(rootOf(await readBlock(block)));
  const paths: Uint8Array[][] = [];
  for (const position of positions) {
    const block = Math.floor(position / BLOCK_LEAVES);
    paths.push([...pathIn(await readBlock(block), position % BLOCK_LEAVES), ...pathIn(blocks, block)]);
  }
  return { root: rootOf(blocks), paths };
}

/** The root that a path leads to; undefined when the path has another length than the tree gives it. */
export function rootFrom(
  leaf: Uint8Array,
  position: number,
  count: number,
  path: readonly Uint8Array[],
): Uint8Array | undefined {
  if (count <= 1) return path.length === 0 ? leaf : undefined;
  const sibling = path.at(-1);
  if (sibling?.length !== HASH_BYTES) return undefined;
  const split = leftSize(count);
  const rest = path.slice(0, -1);
  if (position < split) {
    const left = rootFrom(leaf, position, split, rest);
    return left === undefined ? undefined : nodeOf(left, sibling);
  }
  const right = rootFrom(leaf, position - split, count - split, rest);
  return right === undefined ? undefined : nodeOf(sibling, right);
}
