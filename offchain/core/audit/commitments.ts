/**
 * Commitments to the slices of a data set, so that neither party can deny later what was stored: COM_i = s_i·G + ρ_i·P,
 * where s_i is a hash of what slice i is cut from and ρ_i is random to everybody but owner and provider. They hide
 * (Pedersen 1991), so that they can be shown to anybody, and bind: whoever opens one in two ways knows the discrete
 * logarithm of P. A Merkle tree over the commitments of a segment has the root that both parties sign with its state.
 *
 * s_i hashes index and pieces of the slice, each piece named by the SHA-256 of its chunk, so that no byte is hashed
 * again: a chunk's digest is its id. To open a commitment, the provider shows the pieces, ρ_i and the chunks; anybody
 * hashes the chunks and cuts the slice. docs/audit.md explains what follows from it, docs/spec.md has the layouts.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes, sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { InvalidInputError, InvalidProofError } from "../errors.ts";
import { addG1, decodeSubgroupG1, encodeG1, G1_BYTES } from "./curve.ts";
import { bigEndianToInteger, integerToBigEndian, reduce } from "./field.ts";
import { FixedBase, multiplyGeneratorG1 } from "./fixed-base.ts";

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
  readonly blinding: bigint;
  /** Of the slice in its segment, from 0. */
  readonly position: number;
  /** Slices of the segment. */
  readonly count: number;
  /** Hashes from the leaf's sibling up, 32 bytes each. */
  readonly path: readonly Uint8Array[];
}

export const COMMITMENT_BYTES = G1_BYTES;
const HASH_BYTES = 32;
/** As for other scalars that are hashed: the bias is below 2^-128. */
const SCALAR_SEED_BYTES = 48;
/**
 * P: hash_to_curve of RFC 9380 (BLS12381G1_XMD:SHA-256_SSWU_RO_) of `tallystick/v2/commitment-generator` with the domain
 * `TALLYSTICK-V2-COMMITMENT-BLS12381G1_XMD:SHA-256_SSWU_RO_`, so that nobody knows its logarithm.
 */
const BLINDING_GENERATOR =
  "a09a679b113dcc601cdbeda62c04c5afe5843df8a14f5edeb490a664c159a41f7cb8dca7f0b111ac83cf214f033e856c";

const blindingBase = new FixedBase(() => decodeSubgroupG1(hexBytes(BLINDING_GENERATOR), "commitment generator"));

function hexBytes(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

/** s_i. @param index of the slice in its data set @throws InvalidInputError without pieces */
export function sliceStatement(index: number, pieces: readonly CommittedPiece[]): bigint {
  if (pieces.length === 0) throw new InvalidInputError("a slice has no pieces", { check: "pieces of a slice" });
  const parts = pieces.flatMap(({ digest, offsetBytes, lengthBytes }) => [
    digest,
    integerToBigEndian(BigInt(offsetBytes), 4),
    integerToBigEndian(BigInt(lengthBytes), 4),
  ]);
  const hash = sha256(concatBytes(domainTag("slice-statement"), integerToBigEndian(BigInt(index), 6), ...parts));
  return scalarOf(hash, "slice-scalar");
}

/** ρ_i. @param seed of the segment, 32 bytes, which owner and provider know */
export function commitmentBlinding(seed: Uint8Array, index: number): bigint {
  return scalarOf(seed, "commitment-blinding", integerToBigEndian(BigInt(index), 6));
}

function scalarOf(key: Uint8Array, label: string, info?: Uint8Array): bigint {
  return reduce(bigEndianToInteger(kdf(key, label, info, SCALAR_SEED_BYTES)));
}

/** COM_i. Call after `auditReady`. @returns 48 bytes */
export function commitSlice(statement: bigint, blinding: bigint): Uint8Array {
  return encodeG1(addG1(multiplyGeneratorG1(statement), blindingBase.multiply(blinding)));
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
  const commitment = commitSlice(sliceStatement(index, pieces), blinding);
  const inRange = Number.isSafeInteger(position) && position >= 0 && position < count;
  const found = inRange ? rootFrom(leafOf(commitment), position, count, path) : undefined;
  if (found !== undefined && equalBytes(found, root)) return;
  throw new InvalidProofError("the commitment is not one that both parties signed", {
    check: "commitment root",
    received: `slice ${index}`,
  });
}
