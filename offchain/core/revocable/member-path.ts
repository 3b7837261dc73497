/**
 * The way of one owner through the tree of its group, as the manager tells it in any epoch: for a new owner, a new
 * device, and one that has missed rekey messages. Deterministic CBOR:
 *
 *     path    [body: bytes, Ed25519 signature of tag("member-path") ‖ body: bytes(64)]
 *     body    [1, group id: bytes(32), epoch: uint, salt: bytes(32), digest of the newest message: bytes(32),
 *              account: bytes(20), [node, …],
 *              AES-256-GCM(kdf(secret of the owner, "member-path", moment ‖ account), 12 zero bytes, u64 of each node,
 *              keys of the nodes)]                                             the leaf first, the root last
 *
 * The secret is the one that owner and manager share. Within one moment the keys of a way do not change, so the
 * constant nonce is never used with two plaintexts under one key.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmSeal } from "#primitives";
import { domainTag, kdf } from "../crypto/kdf.ts";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { asArray, asBytes, asInteger, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { IntegrityError, InvalidSignatureError, TallystickError, UnknownVersionError } from "../errors.ts";
import { GROUP_ID_BYTES, GROUP_KEY_BYTES, type GroupEpoch, placeBytes, REKEY_SALT_BYTES } from "./group-keys.ts";
import { GroupMember } from "./group-member.ts";
import { ancestorsOf } from "./key-tree.ts";
import type { OwnerGroup } from "./owner-group.ts";
import { idBytes, isSigned, MAX_TREE_DEPTH, requireGroup } from "./rekey-message.ts";

const VERSION = 1;
const DIGEST_BYTES = 32;
const SIGNATURE_BYTES = 64;
const TAG_BYTES = 16;
const MAX_NODE = Number.MAX_SAFE_INTEGER;
const ZERO_NONCE = new Uint8Array(12);
const PATH_TAG = domainTag("member-path");
const WHAT = "path of an owner";
const MANAGER = "group manager";

/** Longest path: heads, and 41 bytes a node at most. */
export const MAX_PATH_BYTES = 4096;

/**
 * @param secret that the owner shares with the manager
 * @throws TallystickError NOT_OWNER for an account that is not in the group
 */
export function encodeMemberPath(group: OwnerGroup, account: string, secret: Uint8Array): Uint8Array {
  const { groupId, epoch, salt, digest, seed, tree } = group.state;
  const address = fromHex(account, ADDRESS_BYTES, "account");
  const leaf = tree.leafOf(toHex(address));
  if (leaf === undefined) {
    throw new TallystickError(`${account} is not an owner of the group in epoch ${epoch}`, {
      code: "NOT_OWNER",
      party: account,
      check: "owner of the group",
    });
  }
  const way = [leaf, ...ancestorsOf(leaf)];
  const nodes = way.map(({ id }) => id);
  const keys = concatBytes(...way.map(({ key }) => key));
  const sealed = aes256GcmSeal(pathKey(secret, { groupId, epoch, salt }, address), ZERO_NONCE, idBytes(nodes), keys);
  const body = encodeCbor([VERSION, groupId, epoch, salt, digest, address, nodes, sealed]);
  return encodeCbor([body, ed25519.sign(concatBytes(PATH_TAG, body), seed)]);
}

/**
 * @param group its id, and its manager's key, as the owner knows them
 * @returns the owner in the group, from which rekey messages lead on
 * @throws UnknownVersionError, InvalidInputError for what is outside the format or of another group
 * @throws InvalidSignatureError naming the manager; IntegrityError when it does not open with the secret
 */
export function openMemberPath(
  bytes: Uint8Array,
  group: { readonly groupId: Uint8Array; readonly managerKey: Uint8Array },
  secret: Uint8Array,
): GroupMember {
  const [first, second] = asArray(decodeCbor(bytes, MAX_PATH_BYTES, 1, WHAT), 2, 2, { what: WHAT, name: "shape" });
  const body = asBytes(first, 1, MAX_PATH_BYTES, { what: WHAT, name: "body" });
  const signature = asBytes(second, SIGNATURE_BYTES, SIGNATURE_BYTES, { what: WHAT, name: "signature" });
  if (!isSigned(signature, concatBytes(PATH_TAG, body), group.managerKey)) {
    throw new InvalidSignatureError("path of an owner is not signed by the manager of the group", {
      party: MANAGER,
      check: "signature of the path",
    });
  }
  const [head, version] = body;
  if (head === 0x88 && version !== undefined && version < 0x18 && version !== VERSION) {
    throw new UnknownVersionError(WHAT, version, [VERSION]);
  }
  const items = asArray(decodeCbor(body, MAX_PATH_BYTES, 2, WHAT), 8, 8, { what: WHAT, name: "shape" });
  asInteger(items[0], VERSION, VERSION, { what: WHAT, name: "version" });
  requireGroup(group.groupId, asBytes(items[1], GROUP_ID_BYTES, GROUP_ID_BYTES, { what: WHAT, name: "group id" }));
  const epoch = asInteger(items[2], 1, MAX_NODE, { what: WHAT, name: "epoch" });
  const salt = asBytes(items[3], REKEY_SALT_BYTES, REKEY_SALT_BYTES, { what: WHAT, name: "salt" });
  const digest = asBytes(items[4], DIGEST_BYTES, DIGEST_BYTES, { what: WHAT, name: "digest of the newest message" });
  const address = asBytes(items[5], ADDRESS_BYTES, ADDRESS_BYTES, { what: WHAT, name: "account" });
  const nodes = asArray(items[6], 1, MAX_TREE_DEPTH + 1, { what: WHAT, name: "number of nodes" }).map((node) =>
    asInteger(node, 1, MAX_NODE, { what: WHAT, name: "number of a node" }),
  );
  const length = nodes.length * GROUP_KEY_BYTES + TAG_BYTES;
  const sealed = asBytes(items[7], length, length, { what: WHAT, name: "keys" });
  const at = { groupId: group.groupId, epoch, salt };
  const keys = aes256GcmOpen(pathKey(secret, at, address), ZERO_NONCE, idBytes(nodes), sealed);
  if (keys === undefined) {
    throw new IntegrityError("the path of an owner does not open", {
      party: MANAGER,
      check: "secret that the owner shares with the manager",
    });
  }
  const path = nodes.map((id, k) => ({ id, key: keys.slice(k * GROUP_KEY_BYTES, (k + 1) * GROUP_KEY_BYTES) }));
  return new GroupMember({ ...at, managerKey: group.managerKey, digest, account: toHex(address), path });
}

function pathKey(secret: Uint8Array, at: GroupEpoch, address: Uint8Array): Uint8Array {
  return kdf(secret, "member-path", concatBytes(placeBytes(at), address));
}
