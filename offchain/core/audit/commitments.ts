/**
 * Commitments to the slices of a data set, so that neither party can deny later what was stored:
 * COM_i = SHA-256(tag ‖ ρ_i ‖ index ‖ pieces), where ρ_i is random to everybody but owner and provider. They hide, so
 * that they can be shown to anybody, and bind, because nobody finds two openings of one hash. A Merkle tree over the
 * commitments of a segment has the root that both parties sign with the state of the set.
 *
 * The paper commits in a group (g^m·h^ρ). Nothing here adds commitments up, and a hash takes a hundredth of the time,
 * rests on fewer assumptions, and can be checked by a contract for the price of a hash.
 *
 * A piece names its chunk by the SHA-256 of the ciphertext, so that no byte is hashed again: a chunk's digest is its
 * id. To open a commitment, the provider shows pieces, ρ_i and the chunks; anybody hashes the chunks and cuts the
 * slice. Owner and provider compute the root for themselves, from manifest and seed: commitments are neither sent nor
 * stored. docs/audit.md explains what follows from them, docs/spec.md has the layouts.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes, sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { InvalidInputError, InvalidProofError } from "../errors.ts";
import { integerToBigEndian } from "./field.ts";

/** A part of a chunk's ciphertext that lies in a slice. */
export interface CommittedPiece {
  /** SHA-256 of the chunk, 32 bytes. */
  readonly digest: Uint8Array;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** A commitment with what opens it, and where it is in the tree. */
export interface OpenedCommitment {
  readonly index: number;
  readonly pieces: readonly CommittedPiece[];
  /** ρ, 32 bytes. */
  readonly blinding: Uint8Array;
  /** Of the slice in its segment, from 0. */
  readonly position: number;
  /** Slices of the segment. */
  readonly count: number;
  /** Hashes from the leaf's sibling up, 32 bytes each. */
  readonly path: readonly Uint8Array[];
}

const HASH_BYTES = 32;
const COMMITMENT_TAG = domainTag("slice-commitment");

/** ρ_i. @param seed of the segment, 32 bytes, which owner and provider know @returns 32 bytes */
export function commitmentBlinding(seed: Uint8Array, index: number): Uint8Array {
  return kdf(seed, "commitment-blinding", integerToBigEndian(BigInt(index), 6));
}

/**
 * COM_i.
 * @param index of the slice in its data set
 * @returns 32 bytes
 * @throws InvalidInputError without pieces, or with a blinding of another length
 */
export function commitSlice(index: number, pieces: readonly CommittedPiece[], blinding: Uint8Array): Uint8Array {
  if (pieces.length === 0) throw new InvalidInputError("a slice has no pieces", { check: "pieces of a slice" });
  if (blinding.length !== HASH_BYTES) {
    throw new InvalidInputError("the blinding of a commitment has the wrong length", {
      check: "blinding",
      expected: `${HASH_BYTES} bytes`,
      received: `${blinding.length} bytes`,
    });
  }
  const parts = pieces.flatMap(({ digest, offsetBytes, lengthBytes }) => [
    digest,
    integerToBigEndian(BigInt(offsetBytes), 4),
    integerToBigEndian(BigInt(lengthBytes), 4),
  ]);
  return sha256(concatBytes(COMMITMENT_TAG, blinding, integerToBigEndian(BigInt(index), 6), ...parts));
}

const LEAF_TAG = domainTag("commitment-leaf");
const NODE_TAG = domainTag("commitment-node");

function leafOf(commitment: Uint8Array): Uint8Array {
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
    let peak = { height: 0, hash: leafOf(commitment) };
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

/** Hashes that lead from a commitment to the root (RFC 9162, section 2.1.3.1), its sibling first. */
export function commitmentPath(commitments: readonly Uint8Array[], position: number): Uint8Array[] {
  if (commitments.length <= 1) return [];
  const split = leftSize(commitments.length);
  const [left, right] = [commitments.slice(0, split), commitments.slice(split)];
  return position < split
    ? [...commitmentPath(left, position), rootOf(right)]
    : [...commitmentPath(right, position - split), rootOf(left)];
}

function rootOf(commitments: readonly Uint8Array[]): Uint8Array {
  const tree = new CommitmentTree();
  for (const commitment of commitments) tree.push(commitment);
  return tree.root();
}

/** The largest power of two below a count. */
function leftSize(count: number): number {
  return 2 ** Math.floor(Math.log2(count - 1));
}

/** The root that a path leads to; undefined when the path has another length than the tree gives it. */
function rootFrom(
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

/**
 * VerifyCOM: checks that a commitment opens to these pieces and is in the tree of a root that both parties signed. The
 * caller hashes the chunks that the pieces name.
 * @param root 32 bytes
 * @throws InvalidProofError when it does not
 */
export function verifyCommitment(root: Uint8Array, opened: OpenedCommitment): void {
  const { index, pieces, blinding, position, count, path } = opened;
  const commitment = commitSlice(index, pieces, blinding);
  const inRange = Number.isSafeInteger(position) && position >= 0 && position < count;
  const found = inRange ? rootFrom(leafOf(commitment), position, count, path) : undefined;
  if (found !== undefined && equalBytes(found, root)) return;
  throw new InvalidProofError("the commitment is not one that both parties signed", {
    check: "commitment root",
    received: `slice ${index}`,
  });
}

/**
 * The root over the slices of a segment.
 * @param seed 32 bytes
 * @param slices the pieces of each slice, by index
 * @returns 32 bytes
 */
export function commitmentsRoot(
  seed: Uint8Array,
  firstIndex: number,
  slices: Iterable<readonly CommittedPiece[]>,
): Uint8Array {
  const tree = new CommitmentTree();
  let index = firstIndex;
  for (const pieces of slices) {
    tree.push(commitSlice(index, pieces, commitmentBlinding(seed, index)));
    index += 1;
  }
  return tree.root();
}
