/**
 * The stub file of an ownership group as one of its owners reads and writes it. What the owner knows of the group is
 * asked of the provider anew on each device, with a secret that follows from the identity; within a process it follows
 * the rekey messages.
 */
import { equalBytes } from "#primitives";
import { kdf } from "../../core/crypto/kdf.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { epochKey, type StubScope } from "../../core/revocable/epoch-key.ts";
import type { GroupMember } from "../../core/revocable/group-member.ts";
import { groupAccessKey, unwrapGroupStubs, wrappedEpoch } from "../../core/revocable/group-stubs.ts";
import { openMemberPath } from "../../core/revocable/member-path.ts";
import { epochOf, openStubFile, sealStubFile } from "../../core/revocable/stub-file.ts";
import { MEMBER_SECRET_CHECK, type OwnerGroupAnswer } from "../../core/wire/owner-groups.ts";
import type { OwnerGroupKeeper } from "../providers/owner-groups.ts";
import { isDamage } from "../read/damage.ts";
import type { OpenedStubs, StubOwner } from "./stub-owner.ts";

/** Attempts while the group changes, or other devices change its stub file. */
const ATTEMPTS = 5;
/** Rekey messages that are taken one by one before the path is shorter. */
const MOST_FOLLOWED = 16;
/** Groups that a process follows at one provider. */
const MOST_GROUPS = 256;

type Group = Pick<OwnerGroupAnswer, "groupId" | "managerKey">;

/** What this process knows of the groups at a provider. */
const followed = new WeakMap<OwnerGroupKeeper, Map<string, GroupMember>>();

/** What the owner shares with the provider as manager of a group. */
export function groupSecret({ identityKey }: StubOwner, nonce: string): Uint8Array {
  return kdf(identityKey, "group-secret", fromHex(nonce, 32, "nonce of the group"));
}

/**
 * Reads the stub file of the group that the account is in.
 * @returns undefined when the group has none, or the account is not in it any more
 * @throws IntegrityError naming the provider when it does not open; what the provider throws
 */
export async function readGroupStubs(
  groups: OwnerGroupKeeper,
  group: OwnerGroupAnswer,
  owner: StubOwner,
  signal?: AbortSignal,
): Promise<OpenedStubs | undefined> {
  const sealed = await unwrappedAt(groups, group, owner, signal);
  if (sealed === undefined) return undefined;
  const scope = { dataId: owner.dataId, epoch: epochOf(sealed, groups.name) };
  return { epoch: scope.epoch, stubs: openStubFile(keyOf(group, owner, scope), scope, sealed, groups.name) };
}

/**
 * Makes sure that a group has these stubs, as its founder. A file that does not open, or has others, is replaced.
 * @throws TallystickError CONFLICT after several attempts; what the provider throws
 */
export async function storeGroupStubs(
  groups: OwnerGroupKeeper,
  group: OwnerGroupAnswer,
  owner: StubOwner,
  stubs: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const sealed = await unwrappedAt(groups, group, owner, signal);
    const before = sealed === undefined ? 0 : epochOf(sealed, groups.name);
    if (sealed !== undefined) {
      const scope = { dataId: owner.dataId, epoch: before };
      const found = tryOpen(() => openStubFile(keyOf(group, owner, scope), scope, sealed, groups.name));
      if (found !== undefined && equalBytes(found, stubs)) return;
    }
    const scope = { dataId: owner.dataId, epoch: before + 1 };
    const file = sealStubFile(keyOf(group, owner, scope), scope, stubs);
    if (await groups.replaceStubFile(group.groupId, before, file, signal)) return;
  }
  throw new TallystickError(`other devices keep changing the stub file of the group of ${owner.dataId}`, {
    code: "CONFLICT",
    party: groups.name,
    check: "epoch of the stub file",
    retryable: true,
  });
}

/** The inner layer. */
async function unwrappedAt(
  groups: OwnerGroupKeeper,
  group: OwnerGroupAnswer,
  owner: StubOwner,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  const groupId = fromHex(group.groupId, 32, "group id");
  for (let attempt = 1; ; attempt += 1) {
    const wrapped = await groups.stubFile(group.groupId, signal);
    if (wrapped === undefined) return undefined;
    const wanted = wrappedEpoch(wrapped, groups.name);
    const member = await memberAt(groups, group, groupSecret(owner, group.nonce), wanted, signal);
    if (member === undefined) return undefined;
    // The group has changed between the two requests.
    if (member.epoch !== wanted && attempt < ATTEMPTS) continue;
    const { epoch, groupKey } = member;
    return unwrapGroupStubs({ groupId, epoch, groupKey }, wrapped, groups.name);
  }
}

/** @returns undefined when the account is not in the group any more */
async function memberAt(
  groups: OwnerGroupKeeper,
  group: Group,
  secret: Uint8Array,
  epoch: number,
  signal: AbortSignal | undefined,
): Promise<GroupMember | undefined> {
  const known = followed.get(groups) ?? new Map<string, GroupMember>();
  followed.set(groups, known);
  const before = known.get(group.groupId);
  known.delete(group.groupId);
  if (before !== undefined && (await follow(groups, group, before, epoch, signal))) {
    known.set(group.groupId, before);
    return before;
  }
  try {
    const path = await pathOf(groups, group, secret, signal);
    const names = { groupId: fromHex(group.groupId), managerKey: fromHex(group.managerKey) };
    const member = openMemberPath(path, names, secret);
    known.set(group.groupId, member);
    for (const oldest of known.keys()) if (known.size > MOST_GROUPS) known.delete(oldest);
    return member;
  } catch (error) {
    if (error instanceof TallystickError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

/** The account's path. Where it took the place of its predecessor, its first reader tells its secret. */
async function pathOf(
  groups: OwnerGroupKeeper,
  { groupId }: Group,
  secret: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const path = await groups.path(groupId, signal);
  if (path !== undefined) return path;
  await groups.tellSecret(groupId, secret, signal);
  const found = await groups.path(groupId, signal);
  if (found !== undefined) return found;
  throw new TallystickError(`${groups.name} took the account's secret in the group, and has none`, {
    code: "BAD_RESPONSE",
    party: groups.name,
    check: MEMBER_SECRET_CHECK,
  });
}

/**
 * Takes the rekey messages up to an epoch.
 * @returns whether that led there: else the path is needed
 * @throws IntegrityError for a message that does not follow the one before
 */
async function follow(
  groups: OwnerGroupKeeper,
  { groupId }: Group,
  member: GroupMember,
  epoch: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (epoch < member.epoch || epoch - member.epoch > MOST_FOLLOWED) return false;
  try {
    while (member.epoch < epoch) member.apply(await groups.rekey(groupId, member.epoch + 1, signal));
    return true;
  } catch (error) {
    // A message that is not kept, or with which the account left before it joined again.
    if (error instanceof TallystickError && ["NOT_FOUND", "NOT_OWNER"].includes(error.code)) return false;
    throw error;
  }
}

/** @returns undefined for a file that does not open */
function tryOpen(open: () => Uint8Array): Uint8Array | undefined {
  try {
    return open();
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

function keyOf({ groupId }: Group, { fileKey }: StubOwner, scope: StubScope): Uint8Array {
  return epochKey(fileKey, groupAccessKey(fromHex(groupId, 32, "group id"), scope), scope);
}
