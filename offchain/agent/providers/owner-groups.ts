/** The ownership groups at a provider, as the agent uses them, and the routes of `core/wire/owner-groups.ts`. */
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import { groupIdOf } from "../../core/revocable/group-keys.ts";
import { MAX_WRAPPED_BYTES } from "../../core/revocable/group-stubs.ts";
import { MAX_PATH_BYTES } from "../../core/revocable/member-path.ts";
import { MAX_REKEY_BYTES } from "../../core/revocable/rekey-message.ts";
import { ClaimAnswer } from "../../core/wire/csp.ts";
import {
  type FoundGroupRequest,
  GroupChangeAnswer,
  GroupClosedAnswer,
  GroupCompletedAnswer,
  GroupMembersAnswer,
  GroupProofAnswer,
  MEMBER_SECRET_CHECK,
  MEMBERS_PER_PAGE,
  OwnerGroupAnswer,
} from "../../core/wire/owner-groups.ts";
import { StubFileAnswer } from "../../core/wire/stub-files.ts";
import { answerChallenges } from "./claim-answers.ts";
import type { ProviderCalls } from "./provider-calls.ts";

/** An owner of a group as its founder sees it. */
export type GroupMemberView = GroupMembersAnswer["members"][number];

/** Keeps ownership groups. Group ids are 32 bytes, 0x hex. Messages, paths and stub files are not verified here. */
export interface OwnerGroupKeeper {
  /** How errors name it. */
  readonly name: string;
  /** @returns the group of the put that this account is in; undefined when the provider says that there is none */
  ofPut(dataId: string, signal?: AbortSignal): Promise<OwnerGroupAnswer | undefined>;
  /** Founds a group, or returns the one that this account has founded for the put. */
  found(request: FoundGroupRequest, signal?: AbortSignal): Promise<OwnerGroupAnswer>;
  /** @returns what to prove to join; undefined when the provider says that there is no such group */
  proof(groupId: string, signal?: AbortSignal): Promise<GroupProofAnswer | undefined>;
  /** Claims the objects, and joins with the answers. An own stub file stays until `complete`. @param secret 32 bytes */
  join(
    groupId: string,
    objects: readonly SealedObject[],
    secret: Uint8Array,
    signal?: AbortSignal,
  ): Promise<GroupChangeAnswer>;
  /** Removes this account's own stub file of the put, as a member that reads the group's from here on. */
  complete(groupId: string, signal?: AbortSignal): Promise<void>;
  /** Of a member that took the place of its predecessor, whose path needs it. @param secret 32 bytes */
  tellSecret(groupId: string, secret: Uint8Array, signal?: AbortSignal): Promise<GroupChangeAnswer>;
  leave(groupId: string, signal?: AbortSignal): Promise<GroupChangeAnswer>;
  revoke(groupId: string, account: string, signal?: AbortSignal): Promise<GroupChangeAnswer>;
  readmit(groupId: string, account: string, signal?: AbortSignal): Promise<GroupChangeAnswer>;
  close(groupId: string, signal?: AbortSignal): Promise<void>;
  /** For the founder. */
  members(groupId: string, signal?: AbortSignal): AsyncIterable<GroupMemberView>;
  /** @returns undefined for a member that has not told its secret yet */
  path(groupId: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** @throws TallystickError NOT_FOUND for a message that is not kept */
  rekey(groupId: string, epoch: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** @returns the wrapped stub file; undefined when the provider says that there is none for this account */
  stubFile(groupId: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** As `StubFileKeeper.replaceStubFile`. */
  replaceStubFile(groupId: string, expected: number, sealed: Uint8Array, signal?: AbortSignal): Promise<boolean>;
}

const PATH = "/v1/owner-groups";

export class OwnerGroupClient implements OwnerGroupKeeper {
  readonly #calls: ProviderCalls;

  constructor(calls: ProviderCalls) {
    this.#calls = calls;
  }

  get name(): string {
    return this.#calls.name;
  }

  async ofPut(dataId: string, signal?: AbortSignal): Promise<OwnerGroupAnswer | undefined> {
    const query = { dataId };
    const group = await orUndefined(this.#calls.json("GET", PATH, OwnerGroupAnswer, { query, signal }));
    return group && this.#checked(group, dataId);
  }

  async found(request: FoundGroupRequest, signal?: AbortSignal): Promise<OwnerGroupAnswer> {
    const group = await this.#calls.json("POST", PATH, OwnerGroupAnswer, { json: request, signal });
    return this.#checked(group, request.dataId);
  }

  async proof(groupId: string, signal?: AbortSignal): Promise<GroupProofAnswer | undefined> {
    const proof = await orUndefined(this.#calls.json("GET", `${PATH}/${groupId}/proof`, GroupProofAnswer, { signal }));
    return proof && this.#checked({ ...proof, groupId }, proof.dataId);
  }

  async join(
    groupId: string,
    objects: readonly SealedObject[],
    secret: Uint8Array,
    signal?: AbortSignal,
  ): Promise<GroupChangeAnswer> {
    const chunks = objects.map(({ id, sealed }) => ({ id, sizeBytes: sealed.length }));
    const claim = await this.#calls.json("POST", "/v1/claims", ClaimAnswer, { json: { chunks }, signal });
    const challenger = { name: this.name, account: this.#calls.account };
    const answers = answerChallenges(challenger, objects, claim.challenges).map(toHex);
    const json = { claimId: claim.claimId, answers, secret: toHex(secret) };
    // A claim is answered once.
    const request = { json, signal, retries: 0 };
    return await this.#calls.json("POST", `${PATH}/${groupId}/join`, GroupChangeAnswer, request);
  }

  async complete(groupId: string, signal?: AbortSignal): Promise<void> {
    await this.#calls.json("POST", `${PATH}/${groupId}/complete`, GroupCompletedAnswer, { signal });
  }

  async tellSecret(groupId: string, secret: Uint8Array, signal?: AbortSignal): Promise<GroupChangeAnswer> {
    const json = { secret: toHex(secret) };
    return await this.#calls.json("POST", `${PATH}/${groupId}/secret`, GroupChangeAnswer, { json, signal });
  }

  async leave(groupId: string, signal?: AbortSignal): Promise<GroupChangeAnswer> {
    return await this.#calls.json("POST", `${PATH}/${groupId}/leave`, GroupChangeAnswer, { signal });
  }

  async revoke(groupId: string, account: string, signal?: AbortSignal): Promise<GroupChangeAnswer> {
    return await this.#calls.json("POST", `${PATH}/${groupId}/revoke`, GroupChangeAnswer, {
      json: { account },
      signal,
    });
  }

  async readmit(groupId: string, account: string, signal?: AbortSignal): Promise<GroupChangeAnswer> {
    return await this.#calls.json("POST", `${PATH}/${groupId}/readmit`, GroupChangeAnswer, {
      json: { account },
      signal,
    });
  }

  async close(groupId: string, signal?: AbortSignal): Promise<void> {
    await this.#calls.json("POST", `${PATH}/${groupId}/close`, GroupClosedAnswer, { signal });
  }

  async *members(groupId: string, signal?: AbortSignal): AsyncGenerator<GroupMemberView, void, undefined> {
    let after: string | undefined;
    for (;;) {
      const request = { query: { after }, signal };
      const { members } = await this.#calls.json("GET", `${PATH}/${groupId}/members`, GroupMembersAnswer, request);
      yield* members;
      const last = members.at(-1)?.account;
      if (members.length < MEMBERS_PER_PAGE || last === undefined) return;
      if (after !== undefined && last <= after) throw this.#wrong("accounts in ascending order", last);
      after = last;
    }
  }

  async path(groupId: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    try {
      return await this.#calls.bytes(`${PATH}/${groupId}/path`, MAX_PATH_BYTES, { signal });
    } catch (error) {
      if (error instanceof TallystickError && error.code === "CONFLICT" && error.check === MEMBER_SECRET_CHECK) {
        return undefined;
      }
      throw error;
    }
  }

  async rekey(groupId: string, epoch: number, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.#calls.bytes(`${PATH}/${groupId}/rekeys/${epoch}`, MAX_REKEY_BYTES, { signal });
  }

  async stubFile(groupId: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return await orUndefined(this.#calls.bytes(`${PATH}/${groupId}/stub-file`, MAX_WRAPPED_BYTES, { signal }));
  }

  async replaceStubFile(groupId: string, expected: number, sealed: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    const request = { query: { expected }, pieces: [sealed], signal };
    try {
      await this.#calls.json("PUT", `${PATH}/${groupId}/stub-file`, StubFileAnswer, request);
      return true;
    } catch (error) {
      if (error instanceof TallystickError && error.code === "CONFLICT") return false;
      throw error;
    }
  }

  /** @throws TallystickError BAD_RESPONSE for a group of another put, or an id that the manager's key does not make */
  #checked<Group extends Pick<OwnerGroupAnswer, "groupId" | "dataId" | "managerKey" | "nonce">>(
    group: Group,
    dataId: string,
  ): Group {
    if (group.dataId !== dataId) throw this.#wrong(`a group of ${dataId}`, `one of ${group.dataId}`);
    const made = toHex(groupIdOf(fromHex(group.managerKey), fromHex(group.nonce)));
    if (made !== group.groupId) throw this.#wrong(`group id ${made}, which the manager key makes`, group.groupId);
    return group;
  }

  #wrong(expected: string, received: string): TallystickError {
    return new TallystickError(`${this.name} answered with a wrong ownership group`, {
      code: "BAD_RESPONSE",
      party: this.name,
      check: "ownership group",
      expected,
      received,
    });
  }
}

async function orUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof TallystickError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}
