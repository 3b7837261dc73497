/**
 * Merkle tree for proofs of ownership (S. Halevi et al., "Proofs of Ownership in Remote Storage Systems", CCS 2011),
 * built over a ciphertext: leaves of 1024 bytes, the last one shorter, hashed as RFC 6962 §2.1 does (0x00 before a
 * leaf, 0x01 before a node, left subtree the largest power of two below the count). A claimant who does not hold the
 * ciphertext cannot answer for leaves that are drawn after the claim.
 */
import { equalBytes, sha256 } from "#primitives";
import { InvalidInputError } from "../errors.ts";

/** Bytes of a leaf. Only the last leaf of a ciphertext may be shorter. */
export const LEAF_BYTES = 1024;

const DIGEST_BYTES = 32;
const LEAF_PREFIX = 0x00;
const NODE_PREFIX = 0x01;

/** Number of leaves of a ciphertext. @param sizeBytes length of the ciphertext */
export function leafCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / LEAF_BYTES);
}

/**
 * Hash inputs are put together in the same memory every time: a tree over a chunk has thousands, and hashing is
 * synchronous.
 */
const leafInput = Uint8Array.of(LEAF_PREFIX, ...new Uint8Array(LEAF_BYTES));
const nodeInput = Uint8Array.of(NODE_PREFIX, ...new Uint8Array(2 * DIGEST_BYTES));

function hashLeaf(data: Uint8Array): Uint8Array {
  leafInput.set(data, 1);
  return sha256(leafInput.subarray(0, 1 + data.length));
}

function hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + DIGEST_BYTES);
  return sha256(nodeInput);
}

function leafAt(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.subarray(index * LEAF_BYTES, Math.min(bytes.length, (index + 1) * LEAF_BYTES));
}

/** The levels of the tree, leaves first. A node without a sibling moves up unchanged, which is RFC 6962's tree. */
function buildLevels(bytes: Uint8Array): Uint8Array[][] {
  let level = Array.from({ length: leafCount(bytes.length) }, (_, index) => hashLeaf(leafAt(bytes, index)));
  const levels = [level];
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let index = 0; index < level.length; index += 2) {
      const left = level[index] as Uint8Array;
      const right = level[index + 1];
      above.push(right === undefined ? left : hashNode(left, right));
    }
    levels.push(above);
    level = above;
  }
  return levels;
}

/**
 * Returns the root over a ciphertext.
 * @returns 32 bytes; for no bytes the SHA-256 of nothing (RFC 6962 §2.1)
 */
export function merkleRoot(bytes: Uint8Array): Uint8Array {
  return buildLevels(bytes).at(-1)?.[0] ?? sha256(bytes);
}

/** A leaf and the siblings on its way to the root, lowest first. */
export interface MerkleProof {
  /** The leaf itself, 1 to 1024 bytes. */
  readonly data: Uint8Array;
  /** Digests of 32 bytes. */
  readonly path: Uint8Array[];
}

/**
 * Returns the proof for one leaf.
 * @throws InvalidInputError if there is no such leaf
 */
export function merkleProof(bytes: Uint8Array, leafIndex: number): MerkleProof {
  return merkleProofs(bytes, [leafIndex])[0] as MerkleProof;
}

/**
 * Returns the proofs for several leaves of one ciphertext, hashing it once.
 * @throws InvalidInputError if there is no such leaf
 */
export function merkleProofs(bytes: Uint8Array, leafIndices: readonly number[]): MerkleProof[] {
  const count = leafCount(bytes.length);
  for (const index of leafIndices) {
    if (Number.isInteger(index) && index >= 0 && index < count) continue;
    throw new InvalidInputError("there is no such leaf", {
      check: "leaf index",
      expected: `0 to ${count - 1}`,
      received: String(index),
    });
  }
  const levels = buildLevels(bytes);
  return leafIndices.map((leafIndex) => {
    const path: Uint8Array[] = [];
    for (let height = 0, index = leafIndex; height < levels.length - 1; height++, index >>= 1) {
      const sibling = levels[height]?.[index ^ 1];
      if (sibling !== undefined) path.push(sibling);
    }
    return { data: leafAt(bytes, leafIndex).slice(), path };
  });
}

/**
 * Checks a leaf against the root and the length of a ciphertext (RFC 9162 §2.1.3.2). Never throws on a wrong proof.
 * @param root 32 bytes, kept by the verifier
 * @param sizeBytes length of the ciphertext, kept by the verifier
 */
export function verifyMerkleProof(
  root: Uint8Array,
  sizeBytes: number,
  leafIndex: number,
  data: Uint8Array,
  path: readonly Uint8Array[],
): boolean {
  const count = leafCount(sizeBytes);
  if (!Number.isInteger(leafIndex) || leafIndex < 0 || leafIndex >= count) return false;
  if (data.length !== Math.min(LEAF_BYTES, sizeBytes - leafIndex * LEAF_BYTES)) return false;
  if (path.some((digest) => digest.length !== DIGEST_BYTES)) return false;
  let hash = hashLeaf(data);
  let used = 0;
  for (let index = leafIndex, last = count - 1; last > 0; index >>= 1, last >>= 1) {
    // The rightmost node of a level without a sibling moves up unchanged.
    if (index === last && index % 2 === 0) continue;
    const sibling = path[used++];
    if (sibling === undefined) return false;
    hash = index % 2 === 1 ? hashNode(sibling, hash) : hashNode(hash, sibling);
  }
  return used === path.length && equalBytes(hash, root);
}
