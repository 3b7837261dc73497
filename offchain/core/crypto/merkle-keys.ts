/**
 * Chunk keys of key mode `merkle`: one OPRF evaluation per file, then a hash per chunk. The published block-level
 * scheme has K_i = KDF(H(B_i), H1(τ), P) with τ the Merkle root over the blocks. It needs no round trip per block, but
 * whoever guesses the file has all keys. Here H1(τ) is the committee's output for τ, so that each guess takes an
 * evaluation; P is the domain, which the OPRF input holds.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { u32be } from "../encoding/integers.ts";
import { InvalidInputError } from "../errors.ts";
import { domainTag, kdf } from "./kdf.ts";

const NODE_TAG = domainTag("merkle-node");
/** The counter of the one-step key derivation, then its label. */
const KEY_TAG = domainTag("merkle-chunk-key");
const FIRST_BLOCK = u32be(1);
const DIGEST_BYTES = 32;

/**
 * Merkle root over the frames of a file, in their order. A leaf is H(B), a node SHA-256(domainTag("merkle-node") ‖ left
 * ‖ right); the left subtree of n leaves has the largest power of two below n, as in RFC 6962 §2.1. No frame is the
 * input of a node: frames begin with a codec, nodes with the letter t.
 * @param frameDigests at least one
 * @throws InvalidInputError for none
 */
export function merkleRoot(frameDigests: readonly Uint8Array[]): Uint8Array {
  /** Roots of full subtrees, largest first, and their number of leaves. */
  const roots: { readonly root: Uint8Array; readonly leaves: number }[] = [];
  for (const digest of frameDigests) {
    let node = { root: digest, leaves: 1 };
    for (let last = roots.at(-1); last !== undefined && last.leaves === node.leaves; last = roots.at(-1)) {
      roots.pop();
      node = { root: join(last.root, node.root), leaves: 2 * node.leaves };
    }
    roots.push(node);
  }
  const last = roots.pop();
  if (last === undefined) throw new InvalidInputError("a Merkle tree has at least one leaf", { check: "leaves" });
  return roots.reduceRight((right, { root }) => join(root, right), last.root);
}

/** Input of a node, laid out anew for each: files have many blocks. */
const nodeInput = concatBytes(NODE_TAG, new Uint8Array(2 * DIGEST_BYTES));

function join(left: Uint8Array, right: Uint8Array): Uint8Array {
  nodeInput.set(left, NODE_TAG.length);
  nodeInput.set(right, NODE_TAG.length + DIGEST_BYTES);
  return sha256(nodeInput);
}

/**
 * H1(τ): what the keys of a file's chunks derive from.
 * @param oprfOutput the committee's output for `oprfInput(…, "merkle", τ)`
 */
export function merkleSecret(oprfOutput: Uint8Array): Uint8Array {
  return kdf(oprfOutput, "merkle-secret");
}

/**
 * Derives the key of a chunk: the one-step key derivation of NIST SP 800-56C r2 §4 with SHA-256, one hash instead of
 * the four of HKDF, because files have many blocks.
 * @param secret from `merkleSecret`
 * @param frameDigest H(B)
 */
export function merkleChunkKey(secret: Uint8Array, frameDigest: Uint8Array): Uint8Array {
  return sha256(concatBytes(FIRST_BLOCK, secret, KEY_TAG, frameDigest));
}
