/**
 * An owner's part in an ownership group: the keys of the nodes from its leaf to the root. Rekey messages are taken in
 * their order, each once. Nothing is changed by a message that is refused.
 */
import { equalBytes } from "#primitives";
import { ADDRESS_BYTES } from "../encoding/address.ts";
import { fromHex } from "../encoding/hex.ts";
import { IntegrityError, InvalidInputError, TallystickError } from "../errors.ts";
import { advancedKey, derivedKey, type GroupEpoch, groupKeyOf, leafKey } from "./group-keys.ts";
import {
  type CheckedRekey,
  checkRekey,
  openNodeKey,
  openWelcome,
  requireConfirmed,
  requireGroup,
  type SealedKey,
  type TreeStep,
} from "./rekey-message.ts";

const MANAGER = "group manager";

/** A node on the way from a leaf to the root. */
export interface PathNode {
  readonly id: number;
  readonly key: Uint8Array;
}

/** All that an owner must keep, see group-state.ts. */
export interface MemberState extends GroupEpoch {
  /** Ed25519 public key of the manager. */
  readonly managerKey: Uint8Array;
  /** Digest of the newest message. */
  readonly digest: Uint8Array;
  /** Address of the owner's account. */
  readonly account: string;
  /** The leaf first, the root last. */
  readonly path: readonly PathNode[];
}

/** A node whose key is not known yet. */
interface NextNode {
  readonly id: number;
  readonly key?: Uint8Array;
}

export class GroupMember {
  #state: MemberState;

  constructor(state: MemberState) {
    this.#state = state;
  }

  /**
   * Joins a group by the message that welcomes the owner.
   * @param group its id, and its manager's key, as the owner knows them
   * @param secret that the owner shares with the manager
   * @throws as `checkRekey`; InvalidInputError for a message of another group
   * @throws TallystickError NOT_OWNER when the message welcomes somebody else; IntegrityError when it does not open
   *   with the secret, or leads to another group key than it says
   */
  static join(
    bytes: Uint8Array,
    group: { readonly groupId: Uint8Array; readonly managerKey: Uint8Array },
    account: string,
    secret: Uint8Array,
  ): GroupMember {
    const message = checkRekey(bytes, group.managerKey);
    requireGroup(group.groupId, message.groupId);
    const welcome = welcomeFor(message, account);
    if (welcome === undefined) throw notOwner(message.epoch, account, "no welcome in this rekey message");
    const path = welcomedPath(message, welcome, leafKey(secret, message, welcome.leaf));
    if (path === undefined) {
      throw new IntegrityError("the welcome of a rekey message does not open", {
        party: MANAGER,
        check: "secret that the owner shares with the manager",
      });
    }
    const { managerKey } = group;
    const { groupId, epoch, salt, digest } = message;
    return new GroupMember(confirmed({ groupId, epoch, salt, digest, managerKey, account, path }, message));
  }

  get state(): MemberState {
    return this.#state;
  }

  get epoch(): number {
    return this.#state.epoch;
  }

  get groupKey(): Uint8Array {
    return groupKeyIn(this.#state);
  }

  /**
   * Takes the message that leads to the next epoch.
   * @throws as `checkRekey`; InvalidInputError for a message of another group
   * @throws TallystickError CONFLICT for a message that was taken before, and for one of a later epoch than the next;
   *   IntegrityError when it follows another message than the one taken last, does not hold this owner's keys, or leads
   *   to another group key than it says
   * @throws TallystickError NOT_OWNER when the owner has left the group with it
   */
  apply(bytes: Uint8Array): void {
    const state = this.#state;
    const message = checkRekey(bytes, state.managerKey);
    requireGroup(state.groupId, message.groupId);
    requireNext(state, message);
    const { groupId, epoch, salt, digest } = message;
    const path = nextPath(state, message);
    this.#state = confirmed({ ...state, groupId, epoch, salt, digest, path }, message);
  }
}

function groupKeyIn(state: MemberState): Uint8Array {
  const root = state.path.at(-1);
  if (root === undefined) throw new TallystickError("an owner has no keys", { code: "INTERNAL" });
  return groupKeyOf(root.key, state);
}

function confirmed(state: MemberState, message: CheckedRekey): MemberState {
  requireConfirmed(message, groupKeyIn(state));
  return state;
}

function requireNext({ epoch, digest }: MemberState, message: CheckedRekey): void {
  if (message.epoch <= epoch) {
    throw new TallystickError(
      `the group is in epoch ${epoch}: a rekey message for epoch ${message.epoch} is replayed`,
      {
        code: "CONFLICT",
        party: MANAGER,
        check: "epoch of the rekey message",
        expected: String(epoch + 1),
        received: String(message.epoch),
      },
    );
  }
  if (message.epoch > epoch + 1) {
    throw new TallystickError(`rekey messages from epoch ${epoch + 1} to ${message.epoch - 1} are missing`, {
      code: "CONFLICT",
      party: MANAGER,
      check: "epoch of the rekey message",
      expected: String(epoch + 1),
      received: String(message.epoch),
      hint: "take the messages in their order",
    });
  }
  if (equalBytes(message.previous, digest)) return;
  throw new IntegrityError(`rekey message for epoch ${message.epoch} does not follow the one before`, {
    party: MANAGER,
    check: "digest of the message before",
    hint: "the manager has told owners different things; nothing it shares from here on is safe",
  });
}

/** Carries out the steps on the owner's own way to the root. */
function nextPath(state: MemberState, message: CheckedRekey): PathNode[] {
  const sealed = new Map(message.sealedKeys.map((key) => [`${key.node} ${key.child}`, key]));
  let path: NextNode[] = [...state.path];
  for (const step of message.steps) {
    const position = path.findIndex(({ id }) => id === (step.kind === "insert" ? step.other : step.node));
    if (position < 0) continue;
    if (step.kind === "leave") return movedPath(state, message);
    path = carryOut(path, position, step, message, sealed);
  }
  const known = path.flatMap(({ id, key }) => (key === undefined ? [] : [{ id, key }]));
  if (known.length === path.length) return known;
  throw keyMissing(message);
}

function carryOut(
  path: readonly NextNode[],
  position: number,
  step: TreeStep,
  message: CheckedRekey,
  sealed: ReadonlyMap<string, SealedKey>,
): NextNode[] {
  const node = path[position];
  if (node === undefined) throw keyMissing(message);
  switch (step.kind) {
    case "drop":
    case "leave":
      return path.toSpliced(position, 1);
    case "insert":
      return path.toSpliced(position + 1, 0, { id: step.node });
    case "advance":
      if (node.key === undefined) throw malformed(`the key of new node ${step.node} advances`);
      return path.with(position, { id: node.id, key: advancedKey(node.key, message, node.id) });
    case "derive":
      return path.with(position, { id: node.id, key: derived(path, position, step.other, message, sealed) });
  }
}

/** The new key of a node, from the child on the owner's way. */
function derived(
  path: readonly NextNode[],
  position: number,
  source: number,
  message: CheckedRekey,
  sealed: ReadonlyMap<string, SealedKey>,
): Uint8Array {
  const [node, child] = [path[position], path[position - 1]];
  if (node === undefined) throw keyMissing(message);
  if (child?.key === undefined) throw malformed(`the key of node ${node.id} comes before that of the node below`);
  if (child.id === source) return derivedKey(child.key, message, node.id);
  const own = sealed.get(`${node.id} ${child.id}`);
  const key = own && openNodeKey(child.key, message, own);
  if (key === undefined) throw keyMissing(message);
  return key;
}

/** The way of an owner whose leaf has gone: it has another one if the tree was built anew. */
function movedPath({ account, path }: MemberState, message: CheckedRekey): PathNode[] {
  const [leaf] = path;
  const welcome = welcomeFor(message, account);
  const moved = leaf && welcome && welcomedPath(message, welcome, leafKey(leaf.key, message, welcome.leaf));
  if (moved !== undefined) return moved;
  throw notOwner(message.epoch, account, "the owner has left");
}

function welcomeFor({ welcomes }: CheckedRekey, account: string) {
  const wanted = fromHex(account, ADDRESS_BYTES, "account");
  return welcomes.find((welcome) => equalBytes(welcome.account, wanted));
}

function welcomedPath(
  message: CheckedRekey,
  welcome: CheckedRekey["welcomes"][number],
  keyOfLeaf: Uint8Array,
): PathNode[] | undefined {
  const keys = openWelcome(keyOfLeaf, message, welcome);
  if (keys === undefined) return undefined;
  const above = keys.flatMap((key, index) => {
    const id = welcome.nodes[index];
    return id === undefined ? [] : [{ id, key }];
  });
  return [{ id: welcome.leaf, key: keyOfLeaf }, ...above];
}

function notOwner(epoch: number, account: string, received: string): TallystickError {
  return new TallystickError(`${account} is not an owner of the group in epoch ${epoch}`, {
    code: "NOT_OWNER",
    party: account,
    check: "owner of the group",
    received,
    hint: "ask the manager of the group to join it again",
  });
}

function keyMissing({ epoch }: CheckedRekey): IntegrityError {
  return new IntegrityError(`rekey message for epoch ${epoch} does not hold the keys of this owner`, {
    party: MANAGER,
    check: "keys of the owner's way to the root",
  });
}

function malformed(what: string): InvalidInputError {
  return new InvalidInputError(`rekey message: ${what}`, { party: MANAGER, check: "steps of the rekey message" });
}
