/**
 * Ownership groups: the founder of a group shares the stub file of one put with accounts that prove ownership of it,
 * and can revoke each of them. The provider manages the keys (`core/revocable/`): what it serves to members is wrapped
 * under the group key of the epoch, and each join, leave and revocation leads to the next epoch. It knows who is in a
 * group and every group key, but no file key, so it opens no stub file.
 *
 * Nobody is in a group against its will: an owner that has not joined has a stub file of its own, and no founder
 * revokes it.
 *
 * Membership is looked up at each request. A request of a member that is revoked while it is answered may still get the
 * stub file, under a key that only a path or rekey message of the new epoch holds, and it gets neither.
 */

import { ed25519 } from "@noble/curves/ed25519.js";
import { equalBytes } from "#primitives";
import { ADDRESS_BYTES, checksumAddress } from "../../core/encoding/address.ts";
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { wrapGroupStubs } from "../../core/revocable/group-stubs.ts";
import { encodeMemberPath } from "../../core/revocable/member-path.ts";
import { type GroupChange, OwnerGroup } from "../../core/revocable/owner-group.ts";
import {
  type FoundGroupRequest,
  type GroupChangeAnswer,
  type GroupMembersAnswer,
  type GroupProofAnswer,
  type JoinGroupRequest,
  MAX_GROUP_MEMBERS,
  MEMBERS_PER_PAGE,
  type OwnerGroupAnswer,
  type RejoinPolicy,
} from "../../core/wire/owner-groups.ts";
import type { SharedBudgets } from "../../daemon/quota.ts";
import {
  MEMBER_BYTES,
  type MemberChange,
  type StoredGroup,
  type StoredMember,
} from "../../store/index/owner-group-index.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import type { ClaimService } from "../chunks/claims.ts";
import type { AccountQuotas } from "../quotas.ts";
import { readStubFile, requireLater, stubFileConflict } from "../stub-files/stub-file-body.ts";
import { managerSeed, openGroup, type PreparedChange, prepareChange } from "./group-changes.ts";
import {
  busy,
  founderStays,
  full,
  inAnotherGroup,
  mayNotRejoin,
  noGroup,
  noMember,
  nonceTaken,
  notProven,
  tooManyRevoked,
} from "./group-errors.ts";
import { packObjects, unpackObjects } from "./proven-objects.ts";

/**
 * Groups that an account founds and joins in a day. A join costs each other member a rekey message, and makes one
 * revocation possible, so this bounds all changes.
 */
export const GROUP_JOINS = { scope: "owner group joins", capacity: 256, periodSeconds: 86_400 };
/** Accounts that are revoked and have not come back, in one group. */
const MAX_REVOKED = 4 * MAX_GROUP_MEMBERS;
/** Attempts at a change while others change the group as well. */
const ATTEMPTS = 32;

export interface OwnerGroupParts {
  readonly index: Pick<ProviderIndex, "ownerGroups" | "chunks">;
  readonly claims: Pick<ClaimService, "answer">;
  readonly quotas: Pick<AccountQuotas, "requireStubFile">;
  readonly budgets: Pick<SharedBudgets, "take">;
  /** 32 bytes of the keystore. */
  readonly operatorSecret: Uint8Array;
}

/** A change of one account in a group. */
interface Wish {
  readonly change: GroupChange;
  readonly member: MemberChange;
}

export class OwnerGroupService {
  readonly #parts: OwnerGroupParts;
  readonly #now: () => number;

  /** @param now unix seconds */
  constructor(parts: OwnerGroupParts, now: () => number) {
    this.#parts = parts;
    this.#now = now;
  }

  /**
   * Founds a group, of which the account is the first member.
   * @throws InvalidInputError for objects without the put's root, or one that is named twice
   * @throws TallystickError NOT_OWNER for objects that the account does not own; CONFLICT when it is in another group
   *   of the put; RATE_LIMITED
   */
  async found(account: string, request: FoundGroupRequest): Promise<OwnerGroupAnswer> {
    const { index, quotas, budgets } = this.#parts;
    const digest = digestOf(request.dataId);
    const nonce = fromHex(request.nonce, 32, "nonce");
    const found = await index.ownerGroups.findOf(account, digest);
    // The answer to an earlier request was lost.
    if (found !== undefined && isSame(found.founder, account)) return this.#shown(found);
    if (found !== undefined) throw inAnotherGroup();
    const objects = packObjects(request.objects, digest);
    const owns = await index.chunks.owns(
      account,
      request.objects.map(({ id }) => digestOf(id)),
    );
    const unowned = request.objects.find((_, k) => owns[k] !== true);
    if (unowned !== undefined) throw notProven([unowned.id]);
    await budgets.take(GROUP_JOINS, account, 1);
    await quotas.requireStubFile(account, MEMBER_BYTES, true);
    const { change, member } = this.#joining(account, fromHex(request.secret, 32, "secret"));
    const founder = checksumAddress(fromHex(account, ADDRESS_BYTES, "account"));
    const stored = { digest, founder, nonce, rejoin: request.rejoin, objects };
    const prepared = prepareChange(stored, OwnerGroup.create(this.#seed(nonce), nonce), change, member);
    const written = await index.ownerGroups.write(prepared, 0);
    if (written === "elsewhere") throw inAnotherGroup();
    if (written === "changed") throw nonceTaken();
    return this.#shown(prepared.group);
  }

  /** @throws TallystickError NOT_FOUND when the account is in no group of the put */
  async ofPut(account: string, dataId: string): Promise<OwnerGroupAnswer> {
    const group = await this.#parts.index.ownerGroups.findOf(account, digestOf(dataId));
    if (group === undefined) throw noGroup();
    return this.#shown(group);
  }

  /** What to claim to join. @throws TallystickError NOT_FOUND */
  async proof(groupId: string): Promise<GroupProofAnswer> {
    const group = await this.#require(groupId);
    const { dataId, managerKey, nonce } = this.#shown(group);
    return { dataId, managerKey, nonce, objects: unpackObjects(group.objects) };
  }

  /**
   * Takes an account in that proves ownership of the put. One that is a member already stays as it is, but for its
   * secret.
   * @throws as `ClaimService.answer`; TallystickError NOT_OWNER for a claim that did not prove all objects, and for an
   *   account that was revoked and may not come back; CONFLICT when it is in another group of the put, or the group is
   *   full; RATE_LIMITED
   */
  async join(account: string, groupId: string, request: JoinGroupRequest): Promise<GroupChangeAnswer> {
    const { index, claims, quotas, budgets } = this.#parts;
    const group = await this.#require(groupId);
    const before = await index.ownerGroups.member(group.groupId, account);
    requireMayJoin(group, before);
    await budgets.take(GROUP_JOINS, account, 1);
    const { owned } = await claims.answer(account, request.claimId, { answers: request.answers });
    const proven = new Set(owned);
    const missing = unpackObjects(group.objects).filter(({ id }) => !proven.has(id));
    if (missing.length > 0) throw notProven(missing.map(({ id }) => id));
    if (before?.state !== "member") await quotas.requireStubFile(account, MEMBER_BYTES, true);
    const secret = fromHex(request.secret, 32, "secret");
    return await this.#change(
      group.groupId,
      (now, member) => {
        requireMayJoin(now, member);
        if (member?.state !== "member") {
          if (now.members < MAX_GROUP_MEMBERS) return this.#joining(account, secret);
          throw full();
        }
        if (equalBytes(member.secret ?? new Uint8Array(0), secret)) return undefined;
        const joining = this.#joining(account, secret);
        return { ...joining, change: { ...joining.change, leave: [account] } };
      },
      account,
    );
  }

  /** @throws TallystickError NOT_FOUND; CONFLICT for the founder, which closes the group instead */
  async leave(account: string, groupId: string): Promise<GroupChangeAnswer> {
    const group = await this.#requireMember(account, groupId);
    if (isSame(group.founder, account)) throw founderStays();
    const becomes = undefined;
    return await this.#change(
      group.groupId,
      (_, member) =>
        member?.state === "member" ? { change: { leave: [account] }, member: { account, becomes } } : undefined,
      account,
    );
  }

  /**
   * Revokes an account, member or not: it gets no path, no rekey message and no stub file from here on, and joins again
   * as the policy of the group says. Durable when this resolves.
   * @throws TallystickError NOT_FOUND when the account is not the founder, or the other one never was in the group
   */
  async revoke(founder: string, groupId: string, account: string): Promise<GroupChangeAnswer> {
    const group = await this.#requireFounder(founder, groupId);
    const { ownerGroups } = this.#parts.index;
    if (isSame(founder, account)) throw founderStays();
    const before = await ownerGroups.member(group.groupId, account);
    if (before === undefined) throw noMember(account);
    if (before.state === "member" && (await ownerGroups.revokedCount(group.groupId)) >= MAX_REVOKED)
      throw tooManyRevoked();
    const becomes = { state: "revoked", secret: null, since: this.#now() } as const;
    return await this.#change(
      group.groupId,
      (_, member) =>
        member?.state === "member" ? { change: { leave: [account] }, member: { account, becomes } } : undefined,
      account,
    );
  }

  /** Lifts a revocation: the account may prove ownership again. Repeated, it changes nothing. @throws as `revoke` */
  async readmit(founder: string, groupId: string, account: string): Promise<GroupChangeAnswer> {
    const group = await this.#requireFounder(founder, groupId);
    await this.#parts.index.ownerGroups.readmit(group.groupId, account);
    return unchanged(group);
  }

  /** Removes the group. Members have no stub file then. @throws TallystickError NOT_FOUND */
  async close(founder: string, groupId: string): Promise<void> {
    const group = await this.#requireFounder(founder, groupId);
    await this.#parts.index.ownerGroups.remove(group.groupId);
  }

  /** @throws TallystickError NOT_FOUND when the account is not the founder */
  async members(founder: string, groupId: string, after?: string): Promise<GroupMembersAnswer> {
    const { groupId: id } = await this.#requireFounder(founder, groupId);
    const members = await this.#parts.index.ownerGroups.members(id, after, MEMBERS_PER_PAGE);
    return { members: members.map(({ account, state, since }) => ({ account, state, since })) };
  }

  /** The way of a member through the tree. @throws TallystickError NOT_FOUND for others */
  async path(account: string, groupId: string): Promise<Uint8Array> {
    const { groupId: id } = await this.#requireMember(account, groupId);
    const { ownerGroups } = this.#parts.index;
    const loaded = await ownerGroups.load(id);
    const member = await ownerGroups.member(id, account);
    if (loaded === undefined || member?.state !== "member" || member.secret === null) throw noGroup();
    return encodeMemberPath(this.#open(loaded.group, loaded.rows), account, member.secret);
  }

  /** The message that leads to an epoch. @throws TallystickError NOT_FOUND for others, and for one that is not kept */
  async rekey(account: string, groupId: string, epoch: number): Promise<Uint8Array> {
    const { groupId: id } = await this.#requireMember(account, groupId);
    const encoded = await this.#parts.index.ownerGroups.rekey(id, epoch);
    if (encoded !== undefined) return encoded;
    throw new TallystickError("this rekey message is not kept", {
      code: "NOT_FOUND",
      party: "client",
      check: "epoch of the rekey message",
      received: String(epoch),
      hint: "ask for the path of the account in the group",
    });
  }

  /** The stub file, wrapped under the group key. @throws TallystickError NOT_FOUND for others, and without a file */
  async stubFile(account: string, groupId: string): Promise<Uint8Array> {
    const group = await this.#requireMember(account, groupId);
    const file = await this.#parts.index.ownerGroups.stubFile(group.groupId);
    if (file === undefined) {
      throw new TallystickError("the group has no stub file", {
        code: "NOT_FOUND",
        party: "client",
        check: "stub file of the group",
        hint: "its founder stores it: `tallystick owners create` completes what was interrupted",
      });
    }
    return wrapGroupStubs(group, file.sealed);
  }

  /**
   * Puts a stub file in place of another; as `StubFileService.replace`, by the founder.
   * @throws TallystickError NOT_FOUND when the account is not the founder
   */
  async replaceStubFile(
    founder: string,
    groupId: string,
    expected: number,
    body: AsyncIterable<Uint8Array>,
  ): Promise<number> {
    const { groupId: id } = await this.#requireFounder(founder, groupId);
    const { index, quotas } = this.#parts;
    const file = requireLater(await readStubFile(body), expected);
    const found = await index.ownerGroups.stubFile(id);
    if (found !== undefined && equalBytes(found.sealed, file.sealed)) return file.epoch;
    await quotas.requireStubFile(founder, file.sealed.length - (found?.sealed.length ?? 0), found === undefined);
    if (await index.ownerGroups.replaceStubFile(id, expected, file)) return file.epoch;
    throw stubFileConflict((await index.ownerGroups.stubFile(id))?.epoch ?? 0, expected);
  }

  /**
   * Leads a group to its next epoch, against others that do the same.
   * @param wish made anew of each state of the group; undefined for nothing to do
   */
  async #change(
    groupId: Uint8Array,
    wish: (group: StoredGroup, member: StoredMember | undefined) => Wish | undefined,
    account: string,
  ): Promise<GroupChangeAnswer> {
    const { ownerGroups } = this.#parts.index;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const loaded = await ownerGroups.load(groupId);
      if (loaded === undefined) throw noGroup();
      const wanted = wish(loaded.group, await ownerGroups.member(groupId, account));
      if (wanted === undefined) return unchanged(loaded.group);
      const opened = this.#open(loaded.group, loaded.rows);
      // The member was read after the group: the tree is that of another epoch, which the write below would find out.
      if (!fits(opened, wanted.change)) continue;
      const prepared: PreparedChange = prepareChange(loaded.group, opened, wanted.change, wanted.member);
      const written = await ownerGroups.write(prepared, loaded.group.epoch);
      if (written === "elsewhere") throw inAnotherGroup();
      if (written === "changed") continue;
      const { group, messages, rewrittenBytes } = prepared;
      return { epoch: group.epoch, members: group.members, messages, rewrittenBytes };
    }
    throw busy();
  }

  #joining(account: string, secret: Uint8Array): Wish {
    const becomes = { state: "member", secret, since: this.#now() } as const;
    return { change: { join: [{ account: account.toLowerCase(), secret }] }, member: { account, becomes } };
  }

  #seed(nonce: Uint8Array): Uint8Array {
    return managerSeed(this.#parts.operatorSecret, nonce);
  }

  #open(group: StoredGroup, rows: Iterable<Uint8Array>): OwnerGroup {
    return openGroup(group, rows, this.#seed(group.nonce));
  }

  #shown({ groupId, digest, nonce, founder, rejoin, epoch, members }: StoredGroup): OwnerGroupAnswer {
    return {
      groupId: toHex(groupId),
      dataId: contentIdFromDigest(digest),
      managerKey: toHex(ed25519.getPublicKey(this.#seed(nonce))),
      nonce: toHex(nonce),
      founder,
      rejoin: rejoin as RejoinPolicy,
      epoch,
      members,
    };
  }

  async #require(groupId: string): Promise<StoredGroup> {
    const group = await this.#parts.index.ownerGroups.find(fromHex(groupId, 32, "group id"));
    if (group === undefined) throw noGroup();
    return group;
  }

  /** To others, the group does not exist. */
  async #requireMember(account: string, groupId: string): Promise<StoredGroup> {
    const group = await this.#require(groupId);
    const member = await this.#parts.index.ownerGroups.member(group.groupId, account);
    if (member?.state !== "member") throw noGroup();
    return group;
  }

  async #requireFounder(account: string, groupId: string): Promise<StoredGroup> {
    const group = await this.#require(groupId);
    if (!isSame(group.founder, account)) throw noGroup();
    return group;
  }
}

/** @throws TallystickError NOT_OWNER for an account that was revoked and that the policy keeps out */
function requireMayJoin({ rejoin }: StoredGroup, member: StoredMember | undefined): void {
  if (member?.state === "revoked" && rejoin !== "proof") throw mayNotRejoin();
}

/** Whether the tree has those that leave, and not those that join. */
function fits(group: OwnerGroup, { leave = [], join = [] }: GroupChange): boolean {
  const { tree } = group.state;
  const left = new Set(leave.map((account) => account.toLowerCase()));
  const isIn = (account: string) => tree.leafOf(account.toLowerCase()) !== undefined;
  return leave.every(isIn) && join.every(({ account }) => left.has(account.toLowerCase()) || !isIn(account));
}

function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

function unchanged({ epoch, members }: StoredGroup): GroupChangeAnswer {
  return { epoch, members, messages: 0, rewrittenBytes: 0 };
}
