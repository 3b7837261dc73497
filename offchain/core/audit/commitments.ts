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
 * slice. Owner and provider compute the root for themselves, from manifest and seed (`segment-commitments.ts`):
 * commitments are not sent. docs/audit.md explains what follows from them, docs/spec.md has the layouts.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { equalBytes, sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { InvalidInputError, InvalidProofError } from "../errors.ts";
import { HASH_BYTES, leafOf, rootFrom } from "./commitment-tree.ts";
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

const COMMITMENT_TAG = domainTag("slice-commitment");
/** Label of the blindings of a segment. */
export const BLINDING_LABEL = "commitment-blinding";

/** ρ_i. @param seed of the segment, 32 bytes, which owner and provider know @returns 32 bytes */
export function commitmentBlinding(seed: Uint8Array, index: number): Uint8Array {
  return kdf(seed, BLINDING_LABEL, indexBytes(index));
}

/** An index as it is hashed. @returns 6 bytes */
export function indexBytes(index: number): Uint8Array {
  return integerToBigEndian(BigInt(index), 6);
}

/** What COM_i begins with; the pieces follow. @param blinding 32 bytes */
export function commitmentHead(index: number, blinding: Uint8Array): Uint8Array {
  return concatBytes(COMMITMENT_TAG, blinding, indexBytes(index));
}

/** @returns 40 bytes */
export function encodePiece({ digest, offsetBytes, lengthBytes }: CommittedPiece): Uint8Array {
  const bytes = new Uint8Array(digest.length + 8);
  const view = new DataView(bytes.buffer);
  bytes.set(digest);
  view.setUint32(digest.length, offsetBytes);
  view.setUint32(digest.length + 4, lengthBytes);
  return bytes;
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
  return sha256(concatBytes(commitmentHead(index, blinding), ...pieces.map(encodePiece)));
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
