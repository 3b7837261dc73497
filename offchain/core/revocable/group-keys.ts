/**
 * Keys of an ownership group. Every owner is a leaf of a binary tree and knows the keys of the nodes from its leaf to
 * the root, and no other: a logical key hierarchy (D. Wallner, E. Harder, R. Agee, RFC 2627, section 5.4; C. K. Wong,
 * M. Gouda, S. Lam, SIGCOMM 1998), with the one-way chain of Canetti et al. (INFOCOM 1999): after a change, the key of
 * a node follows from that of one child, and travels to the other child only.
 *
 *     group id    SHA-256(tag("owner-group") ‖ Ed25519 public key of the manager (32) ‖ nonce (32))
 *     moment      group id (32) ‖ u64 epoch ‖ salt (32) of the message that leads to the epoch
 *     place       moment ‖ u64 node
 *     leaf key    kdf(secret of the owner, "tree-leaf", place)
 *     derive      key of a node = kdf(key of a child, "tree-parent", place of the node)
 *     advance     key of a node = kdf(its key before, "tree-advance", place)
 *     group key   kdf(key of the root, "group-key", moment)
 *
 * Every function is one-way and every epoch has outputs of its own, so a key says nothing about the one it came from,
 * and nothing about the same node in another epoch. The salt is drawn for each message, so that a manager which made
 * two messages for one epoch, because it lost the first before anybody had it, has used no key twice.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { u64be } from "../encoding/integers.ts";
import { InvalidInputError } from "../errors.ts";

export const GROUP_KEY_BYTES = 32;
export const GROUP_ID_BYTES = 32;
export const REKEY_SALT_BYTES = 32;

const GROUP_TAG = domainTag("owner-group");

/** A group in one epoch. */
export interface GroupEpoch {
  readonly groupId: Uint8Array;
  /** 0 before the first change. */
  readonly epoch: number;
  /** 32 bytes. */
  readonly salt: Uint8Array;
}

/**
 * The id of a group, which names its manager's key.
 * @param managerKey Ed25519 public key, 32 bytes
 * @param nonce 32 bytes
 */
export function groupIdOf(managerKey: Uint8Array, nonce: Uint8Array): Uint8Array {
  requireKey(managerKey, "manager key");
  requireKey(nonce, "nonce of the group");
  return sha256(concatBytes(GROUP_TAG, managerKey, nonce));
}

/** group id ‖ u64 epoch ‖ salt ‖ u64 for each node */
export function placeBytes({ groupId, epoch, salt }: GroupEpoch, ...nodes: readonly number[]): Uint8Array {
  return concatBytes(groupId, u64be(BigInt(epoch)), salt, ...nodes.map((node) => u64be(BigInt(node))));
}

/** @param secret of the owner, known to it and to the manager */
export function leafKey(secret: Uint8Array, at: GroupEpoch, leaf: number): Uint8Array {
  requireKey(secret, "secret of an owner");
  return kdf(secret, "tree-leaf", placeBytes(at, leaf));
}

export function derivedKey(childKey: Uint8Array, at: GroupEpoch, node: number): Uint8Array {
  return kdf(childKey, "tree-parent", placeBytes(at, node));
}

export function advancedKey(key: Uint8Array, at: GroupEpoch, node: number): Uint8Array {
  return kdf(key, "tree-advance", placeBytes(at, node));
}

export function groupKeyOf(rootKey: Uint8Array, at: GroupEpoch): Uint8Array {
  return kdf(rootKey, "group-key", placeBytes(at));
}

function requireKey(key: Uint8Array, what: string): void {
  if (key.length === GROUP_KEY_BYTES) return;
  throw new InvalidInputError(`${what} has the wrong length`, {
    check: `length of the ${what}`,
    expected: `${GROUP_KEY_BYTES} bytes`,
    received: `${key.length} bytes`,
  });
}
