/**
 * Places in ownership groups that pass from an account to its successor. The provider makes the change when the
 * successor opens its first session: the predecessor leaves the group and the successor joins it in one epoch, so the
 * keys of the predecessor open nothing newer. The successor's leaf has a secret that is drawn and forgotten; it tells
 * one of its own when it first reads.
 */

import { equalBytes, randomBytes } from "#primitives";
import { fromHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { GroupChangeAnswer, GroupSecretRequest } from "../../core/wire/owner-groups.ts";
import type { SharedBudgets } from "../../daemon/quota.ts";
import type { StoredGroup, StoredMember } from "../../store/index/owner-group-index.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import { GroupChanges, isSame, leaving, rejoining, type Wish } from "./group-changes.ts";
import { hasSecret, noGroup } from "./group-errors.ts";
import { GROUP_JOINS } from "./owner-groups.ts";

export interface PassedPlacesParts {
  readonly index: Pick<ProviderIndex, "ownerGroups" | "stubFiles">;
  readonly budgets: Pick<SharedBudgets, "take">;
  /** 32 bytes of the keystore. */
  readonly operatorSecret: Uint8Array;
}

export class PassedPlaces {
  readonly #parts: PassedPlacesParts;
  readonly #now: () => number;
  readonly #changes: GroupChanges;

  /** @param now unix seconds */
  constructor(parts: PassedPlacesParts, now: () => number) {
    this.#parts = parts;
    this.#now = now;
    this.#changes = new GroupChanges(parts);
  }

  /**
   * Gives the places of an account to its successor, one group after the other. Repeated, it does what is missing.
   * Comes before `SuccessionIndex.takeOver`, which passes what is founded and counts anew what is charged.
   */
  async pass(from: string, to: string): Promise<void> {
    for (const groupId of await this.#parts.index.ownerGroups.memberships(from)) {
      try {
        await this.#changes.lead(groupId, (group, member) => this.#passing(group, member, to), from);
      } catch (error) {
        // Its founder has closed it meanwhile.
        if (!(error instanceof TallystickError) || error.code !== "NOT_FOUND") throw error;
      }
    }
  }

  /**
   * Takes the secret of a member that has none, because it took the place of its predecessor.
   * @throws TallystickError NOT_FOUND for others; CONFLICT for a member that has another secret; RATE_LIMITED
   */
  async tellSecret(account: string, groupId: string, request: GroupSecretRequest): Promise<GroupChangeAnswer> {
    const id = fromHex(groupId, 32, "group id");
    const secret = fromHex(request.secret, 32, "secret");
    const before = await this.#parts.index.ownerGroups.member(id, account);
    if (before?.state !== "member") throw noGroup();
    if (before.secret === null) await this.#parts.budgets.take(GROUP_JOINS, account, 1);
    return await this.#changes.lead(
      id,
      (_, member) => {
        if (member?.state !== "member") throw noGroup();
        if (member.secret === null) return rejoining(account, secret, this.#now());
        if (equalBytes(member.secret, secret)) return undefined;
        throw hasSecret();
      },
      account,
    );
  }

  /** @returns undefined when there is nobody else in the group to change it for */
  async #passing(group: StoredGroup, member: StoredMember | undefined, to: string): Promise<Wish | undefined> {
    if (member?.state !== "member") return undefined;
    const { account: from } = member;
    const left = leaving(from, undefined);
    if (!(await this.#mayTake(group, from, to))) return group.members > 1 ? left : undefined;
    const becomes = { state: "member", secret: null, since: this.#now() } as const;
    const join = [{ account: to.toLowerCase(), secret: randomBytes(32) }];
    return { change: { ...left.change, join }, members: [...left.members, { account: to, becomes }] };
  }

  /** An account that has a place or a stub file of its own keeps that, and one that was revoked stays out. */
  async #mayTake({ groupId, digest, founder }: StoredGroup, from: string, to: string): Promise<boolean> {
    const { ownerGroups, stubFiles } = this.#parts.index;
    if ((await ownerGroups.findOf(to, digest)) !== undefined) return false;
    if (isSame(founder, from) || isSame(founder, to)) return true;
    const known = await ownerGroups.member(groupId, to);
    return known === undefined && (await stubFiles.find(to, digest)) === undefined;
  }
}
