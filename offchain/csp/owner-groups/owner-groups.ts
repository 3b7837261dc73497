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
import { OwnerGroup } from "../../core/revocable/owner-group.ts";
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
  type ListedMember,
  MEMBER_BYTES,
  type StoredGroup,
  type StoredMember,
} from "../../store/index/owner-group-index.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import type { ClaimService } from "../chunks/claims.ts";
import type { AccountQuotas } from "../quotas.ts";
import { readStubFile, requireLater, stubFileConflict } from "../stub-files/stub-file-body.ts";
import { GroupChanges, isSame, joining, leaving, prepareChange, rejoining, unchanged } from "./group-changes.ts";
import {
  founderStays,
  full,
  inAnotherGroup,
  mayNotRejoin,
  noGroup,
  noGroupStubFile,
  noMember,
  nonceTaken,
  noSecretYet,
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
export interface OwnerGroupParts {
  readonly index: Pick<ProviderIndex, "ownerGroups" | "chunks">;
  readonly claims: Pick<ClaimService, "answer">;
  readonly quotas: Pick<AccountQuotas, "requireStubFile">;
  readonly budgets: Pick<SharedBudgets, "take">;
  /** 32 bytes of the keystore. */
  readonly operatorSecret: Uint8Array;
}

export class OwnerGroupService {
  readonly #parts: OwnerGroupParts;
  readonly #now: () => number;
  readonly #changes: GroupChanges;

  /** @param now unix seconds */
  constructor(parts: OwnerGroupParts, now: () => number) {
    this.#parts = parts;
    this.#now = now;
    this.#changes = new GroupChanges(parts);
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
    const { change, members } = joining(account, fromHex(request.secret, 32, "secret"), this.#now());
    const founder = checksumAddress(fromHex(account, ADDRESS_BYTES, "account"));
    const stored = { digest, founder, nonce, rejoin: request.rejoin, objects };
    const prepared = prepareChange(stored, OwnerGroup.create(this.#changes.seed(nonce), nonce), change, members);
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
   * secret. An own stub file of the account stays: until `complete` removes it, the member is joining, and a revocation
   * leaves it what it had before.
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
    return await this.#changes.lead(
      group.groupId,
      (now, member) => {
        requireMayJoin(now, member);
        if (member?.state !== "member") {
          if (now.members < MAX_GROUP_MEMBERS) return joining(account, secret, this.#now());
          throw full();
        }
        if (equalBytes(member.secret ?? new Uint8Array(0), secret)) return undefined;
        return rejoining(account, secret, this.#now());
      },
      account,
    );
  }

  /**
   * Completes the join of an account that has compared the group's stub file with its own: its own is removed. Durable
   * when this resolves. Repeated, it changes nothing.
   * @throws TallystickError NOT_FOUND for others, and while the group has no stub file
   */
  async complete(account: string, groupId: string): Promise<void> {
    const group = await this.#requireMember(account, groupId);
    if (await this.#parts.index.ownerGroups.removeOwnStubFile(group.groupId, account)) return;
    // It has been revoked meanwhile, or the group is not complete itself.
    await this.#requireMember(account, groupId);
    throw noGroupStubFile();
  }

  /** @throws TallystickError NOT_FOUND; CONFLICT for the founder, which closes the group instead */
  async leave(account: string, groupId: string): Promise<GroupChangeAnswer> {
    const group = await this.#requireMember(account, groupId);
    if (isSame(group.founder, account)) throw founderStays();
    return await this.#changes.lead(
      group.groupId,
      (_, member) => (member?.state === "member" ? leaving(account, undefined) : undefined),
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
    return await this.#changes.lead(
      group.groupId,
      (_, member) => (member?.state === "member" ? leaving(account, becomes) : undefined),
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
    const stateOf = ({ account, state, hasOwnStubFile }: ListedMember) =>
      state === "member" && hasOwnStubFile && !isSame(account, founder) ? "joining" : state;
    return { members: members.map((one) => ({ account: one.account, state: stateOf(one), since: one.since })) };
  }

  /** The way of a member through the tree. @throws TallystickError NOT_FOUND for others */
  async path(account: string, groupId: string): Promise<Uint8Array> {
    const { groupId: id } = await this.#requireMember(account, groupId);
    const { ownerGroups } = this.#parts.index;
    const loaded = await ownerGroups.load(id);
    const member = await ownerGroups.member(id, account);
    if (loaded === undefined || member?.state !== "member") throw noGroup();
    if (member.secret === null) throw noSecretYet();
    return encodeMemberPath(this.#changes.open(loaded.group, loaded.rows), account, member.secret);
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
    if (file === undefined) throw noGroupStubFile();
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

  #shown({ groupId, digest, nonce, founder, rejoin, epoch, members }: StoredGroup): OwnerGroupAnswer {
    return {
      groupId: toHex(groupId),
      dataId: contentIdFromDigest(digest),
      managerKey: toHex(ed25519.getPublicKey(this.#changes.seed(nonce))),
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
