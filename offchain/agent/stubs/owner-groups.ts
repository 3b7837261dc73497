/**
 * Ownership groups of revocable puts: the founder shares its stub file with accounts that own the same put, and can
 * revoke each of them. There is one group at each provider; what fails at one does not keep the others back.
 */
import { equalBytes, randomBytes } from "#primitives";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { MAX_CLAIM_CHUNKS } from "../../core/wire/csp.ts";
import type {
  GroupChangeAnswer,
  GroupProofAnswer,
  OwnerGroupAnswer,
  RejoinPolicy,
} from "../../core/wire/owner-groups.ts";
import type { AgentContext } from "../context.ts";
import { openFileKey } from "../keys/file-key.ts";
import type { GroupMemberView, OwnerGroupKeeper } from "../providers/owner-groups.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { objectOrder } from "../read/object-order.ts";
import { openStoredRoot } from "../read/open-root.ts";
import { dataIdIn } from "../snapshots/resolve.ts";
import { readLists, resolveIn } from "../snapshots/snapshot-lists.ts";
import { accountStubs } from "./account-stubs.ts";
import { groupSecret, readGroupStubs, storeGroupStubs } from "./group-stubs.ts";
import { otherStubs, readOwnStubs, readStubs, storeStubs } from "./owner-stubs.ts";
import { noStubFile } from "./rekey.ts";
import type { StubOwner } from "./stub-owner.ts";

/** A group at one provider. */
export interface OwnerGroupView extends Pick<OwnerGroupAnswer, "groupId" | "founder" | "rejoin" | "epoch" | "members"> {
  /** Account. */
  readonly provider: string;
  readonly isFounder: boolean;
}

export interface ListedGroup extends OwnerGroupView {
  /** Members and revoked accounts; only the founder is told. */
  readonly owners: readonly GroupMemberView[];
  /** Whether this account's own stub file is still in place, so that `join` has to go on; false for the founder. */
  readonly isJoining: boolean;
}

/** A provider where nothing was done. */
export interface GroupFailure {
  readonly provider: string;
  readonly error: TallystickError;
}

export interface GroupsReport<View = OwnerGroupView> {
  readonly dataId: string;
  readonly groups: readonly View[];
  readonly failures: readonly GroupFailure[];
}

/** A group at one provider, and what a change of its owners came to. */
export interface ChangedGroup extends Pick<GroupChangeAnswer, "epoch" | "members" | "messages" | "rewrittenBytes"> {
  readonly provider: string;
  readonly groupId: string;
}

interface Options {
  readonly signal?: AbortSignal | undefined;
}

/** A provider that keeps groups. */
type GroupProvider = StorageProvider & { readonly ownerGroups: OwnerGroupKeeper };

export class OwnerGroups {
  readonly #context: AgentContext;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  /**
   * Founds a group at each provider that has this account's stub file of the put, or completes what was interrupted.
   * @param place name of a snapshot or data id, as for `get`
   * @throws TallystickError NOT_FOUND when no provider has a stub file of the put; the first failure when all fail
   */
  async create(
    place: string,
    { rejoin = "founder", signal }: Options & { readonly rejoin?: RejoinPolicy } = {},
  ): Promise<GroupsReport> {
    const dataId = await this.#resolve(place, signal);
    const objects = await this.#sample(dataId, signal);
    return await this.#withOwner(dataId, async (owner) => {
      const foundAt = async (provider: GroupProvider) => {
        const { ownerGroups } = provider;
        const found = await readStubs(provider, owner, signal);
        if (found === undefined) return undefined;
        const nonce = toHex(randomBytes(32));
        const secret = toHex(groupSecret(owner, nonce));
        const group = await ownerGroups.found({ dataId, nonce, secret, rejoin, objects }, signal);
        await storeGroupStubs(ownerGroups, group, owner, found.stubs, signal);
        return this.#view(provider, group);
      };
      return await this.#atEach(dataId, foundAt, noStubFile);
    });
  }

  /**
   * Joins a group by proof of ownership: this account has put the same files with `--revocable` before. Its own stub
   * file at the provider of the group is removed once the group's has the same stubs. Interrupted before, the account
   * reads its own as before, and another call goes on.
   * @throws TallystickError NOT_FOUND when no provider has the group; NOT_OWNER for a put that this account does not
   *   own, and for an account that was revoked and may not come back
   * @throws IntegrityError when the group does not have the stubs of the put; the account has left it then
   */
  async join(groupId: string, { signal }: Options = {}): Promise<GroupsReport<ChangedGroup>> {
    const { provider, proof } = await this.#groupNamed(groupId, signal);
    const { dataId } = proof;
    return await this.#withOwner(dataId, async (owner) => {
      const sealed = [];
      for (const { id } of proof.objects) sealed.push({ id, sealed: (await provider.fetch(id, signal)).slice() });
      const before = await readOwnStubs(provider, owner, signal);
      const { ownerGroups } = provider;
      const joined = await ownerGroups.join(groupId, sealed, groupSecret(owner, proof.nonce), signal);
      const group = await ownerGroups.ofPut(dataId, signal);
      const found = group && (await readGroupStubs(ownerGroups, group, owner, signal).catch(undefinedIfDamaged));
      if (
        group !== undefined &&
        before !== undefined &&
        (found === undefined || !equalBytes(found.stubs, before.stubs))
      ) {
        await ownerGroups.leave(groupId, signal);
        throw otherStubs(
          provider.name,
          group.founder,
          "this account has left the group again and keeps its own stub file; ask the founder about the group's",
        );
      }
      if (before !== undefined) await ownerGroups.complete(groupId, signal);
      return { dataId, groups: [{ provider: provider.account, groupId, ...changeOf(joined) }], failures: [] };
    });
  }

  /** The groups that this account is in, with their owners where it is the founder. @throws as `create` */
  async list(place: string, { signal }: Options = {}): Promise<GroupsReport<ListedGroup>> {
    const dataId = await this.#resolve(place, signal);
    return await this.#atEach(dataId, async (provider) => {
      const group = await provider.ownerGroups.ofPut(dataId, signal);
      if (group === undefined) return undefined;
      const view = this.#view(provider, group);
      const owners: GroupMemberView[] = [];
      if (view.isFounder)
        for await (const owner of provider.ownerGroups.members(group.groupId, signal)) owners.push(owner);
      const isJoining = !view.isFounder && (await provider.stubFile(dataId, signal)) !== undefined;
      return { ...view, isJoining, owners };
    });
  }

  /**
   * Revokes an owner in the groups that this account has founded. From here on the owner gets nothing there with its
   * keys and sessions. Repeated, it changes nothing.
   * @throws TallystickError NOT_FOUND when no group has had the account, NOT_OWNER when this one is not the founder; as
   *   `create`
   */
  async revoke(place: string, account: string, { signal }: Options = {}): Promise<GroupsReport<ChangedGroup>> {
    return await this.#changeAsFounder(place, (groups, groupId) => groups.revoke(groupId, account, signal), signal);
  }

  /** Lets an account that was revoked prove ownership again. @throws as `revoke` */
  async readmit(place: string, account: string, { signal }: Options = {}): Promise<GroupsReport<ChangedGroup>> {
    return await this.#changeAsFounder(place, (groups, groupId) => groups.readmit(groupId, account, signal), signal);
  }

  /** Leaves the groups of a put; the account has no stub file of it then. @throws as `create` */
  async leave(place: string, { signal }: Options = {}): Promise<GroupsReport<ChangedGroup>> {
    return await this.#change(place, (groups, { groupId }) => groups.leave(groupId, signal), signal);
  }

  /**
   * Closes the groups that this account has founded. It keeps the stub file as its own; the others have none then.
   * @throws as `revoke`
   */
  async close(place: string, { signal }: Options = {}): Promise<GroupsReport> {
    const dataId = await this.#resolve(place, signal);
    return await this.#withOwner(dataId, async (owner) =>
      this.#atEach(dataId, async (provider) => {
        const { ownerGroups } = provider;
        const group = await ownerGroups.ofPut(dataId, signal);
        if (group === undefined) return undefined;
        this.#requireFounder(group);
        const found = await readGroupStubs(ownerGroups, group, owner, signal);
        // Before the group is gone: interrupted between the two, the founder has both.
        if (found !== undefined) await storeStubs(provider, owner, found.stubs, found.epoch + 1, signal);
        await ownerGroups.close(group.groupId, signal);
        return this.#view(provider, group);
      }),
    );
  }

  async #changeAsFounder(
    place: string,
    change: (groups: OwnerGroupKeeper, groupId: string) => Promise<GroupChangeAnswer>,
    signal: AbortSignal | undefined,
  ): Promise<GroupsReport<ChangedGroup>> {
    const asFounder = async (groups: OwnerGroupKeeper, group: OwnerGroupAnswer) => {
      this.#requireFounder(group);
      return await change(groups, group.groupId);
    };
    return await this.#change(place, asFounder, signal);
  }

  /** The provider tells nobody else that there is such a group. @throws TallystickError NOT_OWNER */
  #requireFounder({ founder }: OwnerGroupAnswer): void {
    const { address } = this.#context.account;
    if (isAddressEqual(founder, address)) return;
    throw new TallystickError("only the founder of an ownership group does this", {
      code: "NOT_OWNER",
      party: "you",
      check: "founder of the group",
      expected: founder,
      received: address,
      hint: "ask the founder; this account leaves the group with `tallystick owners leave`",
    });
  }

  async #change(
    place: string,
    change: (groups: OwnerGroupKeeper, group: OwnerGroupAnswer) => Promise<GroupChangeAnswer>,
    signal: AbortSignal | undefined,
  ): Promise<GroupsReport<ChangedGroup>> {
    const dataId = await this.#resolve(place, signal);
    return await this.#atEach(dataId, async (provider) => {
      const group = await provider.ownerGroups.ofPut(dataId, signal);
      if (group === undefined) return undefined;
      const changed = await change(provider.ownerGroups, group);
      return { provider: provider.account, groupId: group.groupId, ...changeOf(changed) };
    });
  }

  /**
   * @param absent what is thrown where there is nothing to do
   * @throws the first failure when nothing was done anywhere; `absent`
   */
  async #atEach<View>(
    dataId: string,
    work: (provider: GroupProvider) => Promise<View | undefined>,
    absent: (dataId: string) => TallystickError = noGroupOf,
  ): Promise<GroupsReport<View>> {
    const groups: View[] = [];
    const failures: GroupFailure[] = [];
    for (const provider of this.#keepers()) {
      try {
        const done = await work(provider);
        if (done !== undefined) groups.push(done);
      } catch (error) {
        if (!(error instanceof TallystickError)) throw error;
        failures.push({ provider: provider.account, error });
      }
    }
    const [failure] = failures;
    if (groups.length > 0) return { dataId, groups, failures };
    throw failure?.error ?? absent(dataId);
  }

  *#keepers(): Generator<GroupProvider, void, undefined> {
    for (const provider of this.#context.providers()) if (keepsGroups(provider)) yield provider;
  }

  async #groupNamed(
    groupId: string,
    signal: AbortSignal | undefined,
  ): Promise<{ provider: GroupProvider; proof: GroupProofAnswer }> {
    if (!/^0x[0-9a-f]{64}$/.test(groupId)) {
      throw new InvalidInputError("this is no id of an ownership group", {
        party: "you",
        check: "group id",
        expected: "0x and 64 lower-case hexadecimal digits, as `tallystick owners create` prints it",
      });
    }
    let failure: TallystickError | undefined;
    for (const provider of this.#keepers()) {
      try {
        const proof = await provider.ownerGroups.proof(groupId, signal);
        if (proof !== undefined) return { provider, proof };
      } catch (error) {
        if (signal?.aborted === true || !(error instanceof TallystickError)) throw error;
        failure ??= error;
      }
    }
    throw failure ?? noSuchGroup(groupId);
  }

  /** The root of the put, and up to 63 of its other objects, drawn at random. */
  async #sample(dataId: string, signal: AbortSignal | undefined): Promise<GroupProofAnswer["objects"]> {
    const { root, sealedBytes } = await openStoredRoot(this.#context, dataId, signal, undefined, { keepers: [] });
    const drawn: { id: string; sizeBytes: number }[] = [];
    let seen = 0;
    for await (const { id, sizeBytes } of objectOrder(dataId, root, sealedBytes, this.#context.providers(), signal)) {
      if (id === dataId) continue;
      seen += 1;
      // Reservoir sampling (Vitter 1985, algorithm R).
      const at = drawn.length < MAX_CLAIM_CHUNKS - 1 ? drawn.length : randomBelow(seen);
      if (at < MAX_CLAIM_CHUNKS - 1) drawn[at] = { id, sizeBytes };
    }
    return [{ id: dataId, sizeBytes: sealedBytes }, ...drawn];
  }

  async #withOwner<T>(dataId: string, work: (owner: StubOwner) => Promise<T>): Promise<T> {
    const { fileKey } = await openFileKey(this.#context, dataId);
    try {
      return await work(accountStubs(this.#context, dataId, fileKey));
    } finally {
      fileKey.fill(0);
    }
  }

  async #resolve(place: string, signal: AbortSignal | undefined): Promise<string> {
    if (dataIdIn(place) === place) return place;
    return resolveIn(await readLists(this.#context, signal), place).dataId;
  }

  #view({ account: provider }: StorageProvider, group: OwnerGroupAnswer): OwnerGroupView {
    const { groupId, founder, rejoin, epoch, members } = group;
    const isFounder = isAddressEqual(founder, this.#context.account.address);
    return { provider, groupId, founder, rejoin, epoch, members, isFounder };
  }
}

function keepsGroups(provider: StorageProvider): provider is GroupProvider {
  return provider.ownerGroups !== undefined;
}

function changeOf({ epoch, members, messages, rewrittenBytes }: GroupChangeAnswer): GroupChangeAnswer {
  return { epoch, members, messages, rewrittenBytes };
}

/** Uniform but for 2^-21 at most, of up to 2^32. */
function randomBelow(limit: number): number {
  const [high = 0, low = 0] = new Uint32Array(randomBytes(8).buffer);
  return Math.floor(((high >>> 11) + low / 2 ** 32) * (limit / 2 ** 21));
}

function undefinedIfDamaged(error: unknown): undefined {
  if (error instanceof TallystickError && ["INTEGRITY", "UNKNOWN_VERSION"].includes(error.code)) return undefined;
  throw error;
}

function noGroupOf(dataId: string): TallystickError {
  return new TallystickError(`this account is in no ownership group of ${dataId}`, {
    code: "NOT_FOUND",
    party: "you",
    check: "ownership group",
    hint: "`tallystick owners create` founds one of what was put with --revocable, `owners join` joins one",
  });
}

function noSuchGroup(groupId: string): TallystickError {
  return new TallystickError(`no provider has the ownership group ${groupId}`, {
    code: "NOT_FOUND",
    party: "you",
    check: "group id",
    hint: "ask the founder for the id that `tallystick owners list` shows",
  });
}
