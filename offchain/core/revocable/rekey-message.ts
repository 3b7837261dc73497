/**
 * Rekey messages: how an ownership group gets from one epoch to the next. One message holds what changed in the tree,
 * which everybody may see, and the keys, each sealed for those who are to have it. Deterministic CBOR:
 *
 *     message   [body: bytes, Ed25519 signature of tag("rekey") ‖ body: bytes(64)]
 *     body      [1, group id: bytes(32), epoch: uint, salt: bytes(32), digest of the message before: bytes(32),
 *                [step, …], [sealed key, …], [welcome, …], confirmation: bytes(32)]
 *     step      [1, leaf]            leave     the leaf is gone
 *               [2, node]            drop      the node is gone, what is left of it takes its place
 *               [3, node, leaf]      insert    a new node takes the place of a leaf, which is now below it
 *               [4, node]            advance   its key advances
 *               [5, node, child]     derive    its key follows from that of the child
 *     sealed    [node, child, AES-256-GCM(kdf(key of the child, "rekey-key", moment ‖ u64 node ‖ u64 child),
 *                12 zero bytes, "", key of the node)]
 *     welcome   [leaf, account: bytes(20), [node, …],
 *                AES-256-GCM(kdf(leaf key, "rekey-welcome", moment ‖ u64 leaf), 12 zero bytes, u64 of each
 *                node, keys of the nodes)]    nodes from the one above the leaf to the root
 *     confirmation   HMAC-SHA-256(kdf(group key, "rekey-confirm"), tag("rekey") ‖ body without its last item)
 *     digest         SHA-256(tag("rekey-digest") ‖ body); 32 zero bytes before the first message
 *
 * The signature is the manager's: members know each other's keys and could forge whatever only these protect. Steps are
 * in the order in which they are carried out, keys from the leaves up. Nodes are numbered from 1, and no number is used
 * twice.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmSeal, equalBytes, hmacSha256, sha256 } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { asArray, asBytes, asInteger, type CborValue, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
import { u64be } from "../encoding/integers.ts";
import { IntegrityError, InvalidInputError, InvalidSignatureError, UnknownVersionError } from "../errors.ts";
import { GROUP_ID_BYTES, GROUP_KEY_BYTES, type GroupEpoch, placeBytes, REKEY_SALT_BYTES } from "./group-keys.ts";

/** Longest way from a leaf to the root. */
export const MAX_TREE_DEPTH = 64;
/** Most owners that one message lets join. */
export const MAX_JOINS = 4096;
/** Longest message: one that lets `MAX_JOINS` owners join a large group. */
export const MAX_REKEY_BYTES = 8 * 1024 * 1024;

const VERSION = 1;
const DIGEST_BYTES = 32;
const SIGNATURE_BYTES = 64;
const TAG_BYTES = 16;
const MAX_NODE = Number.MAX_SAFE_INTEGER;
/** Nesting of a body: body, welcomes, welcome, nodes. */
const BODY_DEPTH = 4;
const MAX_ITEMS = MAX_REKEY_BYTES / 4;
const ZERO_NONCE = new Uint8Array(12);
const NO_BYTES = new Uint8Array(0);
const REKEY_TAG = domainTag("rekey");
const DIGEST_TAG = domainTag("rekey-digest");
const WHAT = "rekey message";

/** What stands for the digest of the message before the first one. */
export const NO_MESSAGE = new Uint8Array(DIGEST_BYTES);

export type TreeStep =
  | { readonly kind: "leave"; readonly node: number }
  | { readonly kind: "drop"; readonly node: number }
  | { readonly kind: "insert"; readonly node: number; readonly other: number }
  | { readonly kind: "advance"; readonly node: number }
  | { readonly kind: "derive"; readonly node: number; readonly other: number };

const STEP_KINDS = ["leave", "drop", "insert", "advance", "derive"] as const;

/** The key of a node, sealed for the members below one of its children. */
export interface SealedKey {
  readonly node: number;
  readonly child: number;
  readonly sealed: Uint8Array;
}

/** The keys of a new owner. */
export interface Welcome {
  readonly leaf: number;
  /** 20 bytes. */
  readonly account: Uint8Array;
  /** From the node above the leaf to the root. */
  readonly nodes: readonly number[];
  readonly sealed: Uint8Array;
}

export interface Rekey extends GroupEpoch {
  /** Digest of the message that led to the epoch before. */
  readonly previous: Uint8Array;
  readonly steps: readonly TreeStep[];
  readonly sealedKeys: readonly SealedKey[];
  readonly welcomes: readonly Welcome[];
}

/** A message whose signature is right. Its keys are not opened yet. */
export interface CheckedRekey extends Rekey {
  readonly confirmation: Uint8Array;
  readonly digest: Uint8Array;
  /** What the confirmation is about. */
  readonly confirmed: Uint8Array;
}

/** Number of messages that a rekey comes to when each sealed item is one. */
export function messageCount({ sealedKeys, welcomes }: Pick<Rekey, "sealedKeys" | "welcomes">): number {
  return sealedKeys.length + welcomes.length;
}

export function sealNodeKey(
  childKey: Uint8Array,
  at: GroupEpoch,
  node: number,
  child: number,
  key: Uint8Array,
): SealedKey {
  const sealing = kdf(childKey, "rekey-key", placeBytes(at, node, child));
  return { node, child, sealed: aes256GcmSeal(sealing, ZERO_NONCE, NO_BYTES, key) };
}

/** @returns undefined when the child's key is another one */
export function openNodeKey(
  childKey: Uint8Array,
  at: GroupEpoch,
  { node, child, sealed }: SealedKey,
): Uint8Array | undefined {
  return aes256GcmOpen(kdf(childKey, "rekey-key", placeBytes(at, node, child)), ZERO_NONCE, NO_BYTES, sealed);
}

/** @param path the keys of the nodes from the one above the leaf to the root */
export function sealWelcome(
  keyOfLeaf: Uint8Array,
  at: GroupEpoch,
  { leaf, account }: Pick<Welcome, "leaf" | "account">,
  path: readonly { readonly id: number; readonly key: Uint8Array }[],
): Welcome {
  const nodes = path.map(({ id }) => id);
  const keys = concatBytes(...path.map(({ key }) => key));
  return {
    leaf,
    account,
    nodes,
    sealed: aes256GcmSeal(welcomeKey(keyOfLeaf, at, leaf), ZERO_NONCE, idBytes(nodes), keys),
  };
}

/** @returns the keys of its nodes, or undefined when the leaf's key is another one */
export function openWelcome(keyOfLeaf: Uint8Array, at: GroupEpoch, welcome: Welcome): Uint8Array[] | undefined {
  const { leaf, nodes, sealed } = welcome;
  const keys = aes256GcmOpen(welcomeKey(keyOfLeaf, at, leaf), ZERO_NONCE, idBytes(nodes), sealed);
  return keys && nodes.map((_, index) => keys.slice(index * GROUP_KEY_BYTES, (index + 1) * GROUP_KEY_BYTES));
}

function welcomeKey(keyOfLeaf: Uint8Array, at: GroupEpoch, leaf: number): Uint8Array {
  return kdf(keyOfLeaf, "rekey-welcome", placeBytes(at, leaf));
}

/** u64 of each node */
export function idBytes(nodes: readonly number[]): Uint8Array {
  return concatBytes(...nodes.map((node) => u64be(BigInt(node))));
}

/**
 * Encodes, confirms and signs a message.
 * @param seed of the manager's Ed25519 key, 32 bytes
 * @param groupKey of the epoch that the message leads to
 * @throws InvalidInputError when it breaks a limit, because what is written must be readable
 */
export function encodeRekey(
  rekey: Rekey,
  seed: Uint8Array,
  groupKey: Uint8Array,
): { bytes: Uint8Array; digest: Uint8Array } {
  const items = bodyItems(rekey);
  const confirmation = confirmationOf(groupKey, concatBytes(REKEY_TAG, encodeCbor(items)));
  const body = encodeCbor([...items, confirmation]);
  const bytes = encodeCbor([body, ed25519.sign(concatBytes(REKEY_TAG, body), seed)]);
  decodeBody(body);
  return { bytes, digest: sha256(concatBytes(DIGEST_TAG, body)) };
}

/**
 * Decodes a message and checks its signature.
 * @param managerKey Ed25519 public key of the group's manager
 * @throws UnknownVersionError, InvalidInputError for a message outside the format
 * @throws InvalidSignatureError naming the manager
 */
export function checkRekey(bytes: Uint8Array, managerKey: Uint8Array): CheckedRekey {
  const [first, second] = asArray(decodeCbor(bytes, MAX_REKEY_BYTES, 1, WHAT), 2, 2, { what: WHAT, name: "shape" });
  const body = asBytes(first, 1, MAX_REKEY_BYTES, { what: WHAT, name: "body" });
  const signature = asBytes(second, SIGNATURE_BYTES, SIGNATURE_BYTES, { what: WHAT, name: "signature" });
  if (!isSigned(signature, concatBytes(REKEY_TAG, body), managerKey)) {
    throw new InvalidSignatureError("rekey message is not signed by the manager of the group", {
      party: "group manager",
      check: "signature of the rekey message",
      hint: "it was forged or altered, or is of a group with another manager",
    });
  }
  return decodeBody(body);
}

/** Whether an Ed25519 signature is right, by the strict rules of RFC 8032. */
export function isSigned(signature: Uint8Array, message: Uint8Array, key: Uint8Array): boolean {
  try {
    return ed25519.verify(signature, message, key, { zip215: false });
  } catch {
    // A point or scalar that is not canonical.
    return false;
  }
}

/** @throws IntegrityError naming the manager unless the group key is the one that the message leads to */
export function requireConfirmed({ confirmation, confirmed }: CheckedRekey, groupKey: Uint8Array): void {
  if (equalBytes(confirmation, confirmationOf(groupKey, confirmed))) return;
  throw new IntegrityError("rekey message leads to another group key than it says", {
    party: "group manager",
    check: "confirmation of the group key",
  });
}

function confirmationOf(groupKey: Uint8Array, confirmed: Uint8Array): Uint8Array {
  return hmacSha256(kdf(groupKey, "rekey-confirm"), confirmed);
}

function bodyItems({ groupId, epoch, salt, previous, steps, sealedKeys, welcomes }: Rekey): CborValue[] {
  return [
    VERSION,
    groupId,
    epoch,
    salt,
    previous,
    steps.map((step) => [STEP_KINDS.indexOf(step.kind) + 1, step.node, ...("other" in step ? [step.other] : [])]),
    sealedKeys.map(({ node, child, sealed }) => [node, child, sealed]),
    welcomes.map(({ leaf, account, nodes, sealed }) => [leaf, account, nodes, sealed]),
  ];
}

function decodeBody(body: Uint8Array): CheckedRekey {
  const [head, version] = body;
  if (head === 0x89 && version !== undefined && version < 0x18 && version !== VERSION) {
    throw new UnknownVersionError(WHAT, version, [VERSION]);
  }
  const items = asArray(decodeCbor(body, MAX_REKEY_BYTES, BODY_DEPTH, WHAT), 9, 9, { what: WHAT, name: "shape" });
  const [found, groupId, epoch, salt, previous, steps, sealedKeys, welcomes, confirmation] = items;
  asInteger(found, VERSION, VERSION, { what: WHAT, name: "version" });
  const listed = (value: CborValue | undefined, limit: number, name: string) =>
    asArray(value, 0, limit, { what: WHAT, name });
  return {
    groupId: asBytes(groupId, GROUP_ID_BYTES, GROUP_ID_BYTES, { what: WHAT, name: "group id" }),
    epoch: asInteger(epoch, 1, Number.MAX_SAFE_INTEGER, { what: WHAT, name: "epoch" }),
    salt: asBytes(salt, REKEY_SALT_BYTES, REKEY_SALT_BYTES, { what: WHAT, name: "salt" }),
    previous: asBytes(previous, DIGEST_BYTES, DIGEST_BYTES, { what: WHAT, name: "digest of the message before" }),
    steps: listed(steps, MAX_ITEMS, "number of steps").map(decodeStep),
    sealedKeys: listed(sealedKeys, MAX_ITEMS, "number of sealed keys").map(decodeSealedKey),
    welcomes: listed(welcomes, MAX_JOINS, "number of new owners").map(decodeWelcome),
    confirmation: asBytes(confirmation, DIGEST_BYTES, DIGEST_BYTES, { what: WHAT, name: "confirmation" }),
    digest: sha256(concatBytes(DIGEST_TAG, body)),
    confirmed: concatBytes(REKEY_TAG, encodeCbor(items.slice(0, -1))),
  };
}

function decodeStep(value: CborValue): TreeStep {
  const [code, first, second] = asArray(value, 2, 3, { what: WHAT, name: "step" });
  const kind = STEP_KINDS[asInteger(code, 1, STEP_KINDS.length, { what: WHAT, name: "kind of step" }) - 1];
  const node = nodeId(first);
  if (kind === "insert" || kind === "derive") return { kind, node, other: nodeId(second) };
  asArray(value, 2, 2, { what: WHAT, name: "step" });
  return { kind: kind as "leave" | "drop" | "advance", node };
}

function decodeSealedKey(value: CborValue): SealedKey {
  const [node, child, sealed] = asArray(value, 3, 3, { what: WHAT, name: "sealed key" });
  const length = GROUP_KEY_BYTES + TAG_BYTES;
  return {
    node: nodeId(node),
    child: nodeId(child),
    sealed: asBytes(sealed, length, length, { what: WHAT, name: "sealed key" }),
  };
}

function decodeWelcome(value: CborValue): Welcome {
  const [leaf, account, path, sealed] = asArray(value, 4, 4, { what: WHAT, name: "welcome" });
  const nodes = asArray(path, 0, MAX_TREE_DEPTH, { what: WHAT, name: "depth of a new owner" }).map(nodeId);
  const length = nodes.length * GROUP_KEY_BYTES + TAG_BYTES;
  return {
    leaf: nodeId(leaf),
    account: asBytes(account, ADDRESS_BYTES, ADDRESS_BYTES, { what: WHAT, name: "account of a new owner" }),
    nodes,
    sealed: asBytes(sealed, length, length, { what: WHAT, name: "keys of a new owner" }),
  };
}

function nodeId(value: CborValue | undefined): number {
  return asInteger(value, 1, MAX_NODE, { what: WHAT, name: "number of a node" });
}

/** @throws InvalidInputError unless two group ids are equal */
export function requireGroup(expected: Uint8Array, received: Uint8Array): void {
  if (equalBytes(expected, received)) return;
  throw new InvalidInputError("rekey message is for another group", {
    party: "group manager",
    check: "group of the rekey message",
  });
}
