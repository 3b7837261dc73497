/** From a group as the index has it to its next epoch, and what has to be written. Nothing here is durable. */
import { kdf } from "../../core/crypto/kdf.ts";
import { encodeRow, restoreGroup } from "../../core/revocable/group-state.ts";
import type { GroupChange, GroupRekey, OwnerGroup } from "../../core/revocable/owner-group.ts";
import { KEPT_REKEYS } from "../../core/wire/owner-groups.ts";
import type { GroupChangeRows, MemberChange, StoredGroup } from "../../store/index/owner-group-index.ts";

/** A change, and what it came to. */
export interface PreparedChange extends GroupChangeRows {
  /** Keys that were sealed. */
  readonly messages: number;
  /** Bytes of rekey messages and rows. */
  readonly rewrittenBytes: number;
}

/** The seed of the key with which the provider signs as manager of a group. All its processes derive the same. */
export function managerSeed(operatorSecret: Uint8Array, nonce: Uint8Array): Uint8Array {
  return kdf(operatorSecret, "group-manager", nonce);
}

/** @param rows of the tree, all of the group's epoch */
export function openGroup(group: StoredGroup, rows: Iterable<Uint8Array>, seed: Uint8Array): OwnerGroup {
  const { nonce, epoch, salt, messageDigest: digest, nextNode: nextId } = group;
  return restoreGroup({ seed, nonce, epoch, salt, digest, nextId }, rows);
}

/**
 * Carries out a change of one account. A tree that has become too deep is built anew in the same step.
 * @param stored what does not change of the group
 */
export function prepareChange(
  stored: Pick<StoredGroup, "digest" | "founder" | "nonce" | "rejoin" | "objects">,
  group: OwnerGroup,
  change: GroupChange,
  member: MemberChange,
): PreparedChange {
  const rekeys: GroupRekey[] = [group.change(change)];
  if (group.isUnbalanced) rekeys.push(group.rebalance());
  const { epoch, salt, digest, tree } = group.state;
  const nodesNow = new Map([...tree.nodes()].map((node) => [node.id, node]));
  const changed = new Set(rekeys.flatMap((rekey) => rekey.changed));
  const nodes = [...changed].flatMap((id) => {
    const node = nodesNow.get(id);
    return node === undefined ? [] : [{ node: id, encoded: encodeRow(node) }];
  });
  const removed = [...new Set(rekeys.flatMap((rekey) => rekey.removed))];
  const written = [...nodes.map(({ encoded }) => encoded), ...rekeys.map(({ bytes }) => bytes)];
  return {
    group: {
      ...stored,
      groupId: group.groupId,
      epoch,
      salt,
      groupKey: group.groupKey,
      messageDigest: digest,
      nextNode: tree.nextId,
      members: tree.size,
    },
    member,
    nodes,
    removed,
    rekeys: rekeys.map((rekey) => ({ epoch: rekey.epoch, encoded: rekey.bytes })),
    keptFrom: Math.max(1, epoch - KEPT_REKEYS + 1),
    messages: rekeys.reduce((sum, rekey) => sum + rekey.messages, 0),
    rewrittenBytes: written.reduce((sum, { length }) => sum + length, 0),
  };
}
