/** An ownership group at a provider, for tests of its services. */
import { randomBytes } from "#primitives";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { epochKey } from "../../offchain/core/revocable/epoch-key.ts";
import type { GroupMember } from "../../offchain/core/revocable/group-member.ts";
import { groupAccessKey, unwrapGroupStubs } from "../../offchain/core/revocable/group-stubs.ts";
import { openMemberPath } from "../../offchain/core/revocable/member-path.ts";
import { openStubFile, sealStubFile } from "../../offchain/core/revocable/stub-file.ts";
import type { OwnerGroupAnswer } from "../../offchain/core/wire/owner-groups.ts";
import { OwnerGroupService } from "../../offchain/csp/owner-groups/owner-groups.ts";
import { PassedPlaces } from "../../offchain/csp/owner-groups/passed-places.ts";
import { StubFileService } from "../../offchain/csp/stub-files/stub-files.ts";
import {
  ALICE,
  answersFor,
  BOB,
  frame,
  framesOf,
  openProvider,
  randomChunk,
  type TestChunk,
} from "./provider-fixture.ts";

export const CAROL = `0x${"ca".repeat(20)}`;
const FILE_KEY = new Uint8Array(32).fill(9);
export const STUBS = new Uint8Array(3 * 64).map((_, k) => k);
export const noQuotas = { requireStubFile: async () => undefined };

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
export const OPERATOR_SECRET = new Uint8Array(32).fill(3);

const secrets = new Map([ALICE, BOB, CAROL].map((account) => [account, randomBytes(32)]));
export const secretOf = (account: string): Uint8Array => secrets.get(account) ?? new Uint8Array(32).fill(1);

/**
 * A provider with the objects of a put, and a group of it that Alice has founded.
 * @param folder of the provider
 */
export async function foundGroup(folder: string, rejoin: "proof" | "founder" = "founder") {
  const provider = await openProvider(folder);
  const { index, claims, budgets } = provider;
  const groups = new OwnerGroupService(
    { index, claims, quotas: noQuotas, budgets, operatorSecret: OPERATOR_SECRET },
    () => provider.clock.seconds,
  );
  const stubFiles = new StubFileService(index.stubFiles, index.ownerGroups, noQuotas);
  const chunks = [randomChunk(900), randomChunk(5000)] as [TestChunk, TestChunk];
  await provider.chunks.store(ALICE, framesOf(...chunks.map((chunk) => frame(chunk))));
  const dataId = chunks[0].id;
  const objects = chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length }));
  const request = { dataId, nonce: toHex(randomBytes(32)), secret: toHex(secretOf(ALICE)), rejoin, objects };
  const group = await groups.found(ALICE, request);
  const scope = { dataId, epoch: 1 };
  const key = epochKey(FILE_KEY, groupAccessKey(fromHex(group.groupId), scope), scope);
  const sealed = sealStubFile(key, scope, STUBS);
  await groups.replaceStubFile(ALICE, group.groupId, 0, once(sealed));

  const claim = async (account: string, given: readonly TestChunk[] = chunks) => {
    await provider.refill.settled();
    const opened = await claims.open(account, { chunks: objects.slice(0, given.length) });
    return { claimId: opened.claimId, ...answersFor(opened, given) };
  };
  const join = async (account: string, secret = secretOf(account)) =>
    groups.join(account, group.groupId, { ...(await claim(account)), secret: toHex(secret) });
  const memberOf = async (account: string) =>
    openMemberPath(await groups.path(account, group.groupId), named(group), secretOf(account));
  const open = (member: Pick<GroupMember, "epoch" | "groupKey">, wrapped: Uint8Array) => {
    const { epoch, groupKey } = member;
    const inner = unwrapGroupStubs({ groupId: fromHex(group.groupId), epoch, groupKey }, wrapped, "provider");
    return openStubFile(key, scope, inner, "provider");
  };
  const read = async (account: string) => open(await memberOf(account), await groups.stubFile(account, group.groupId));
  /** States by account, as the founder is told. */
  const states = async (founder = ALICE) =>
    Object.fromEntries(
      (await groups.members(founder, group.groupId)).members.map(({ account, state }) => [
        account.toLowerCase(),
        state,
      ]),
    );
  /** A stub file that an owner without a group might have. */
  const owned = [1, 2].map((epoch) => sealStubFile(FILE_KEY, { dataId, epoch }, STUBS));
  const own = (epoch: 1 | 2) => owned[epoch - 1] ?? new Uint8Array(0);
  const passed = new PassedPlaces({ index, budgets, operatorSecret: OPERATOR_SECRET }, () => provider.clock.seconds);
  return {
    provider,
    groups,
    passed,
    stubFiles,
    group,
    chunks,
    objects,
    request,
    claim,
    join,
    memberOf,
    open,
    read,
    states,
    own,
    sealed,
  };
}

export const named = ({ groupId, managerKey }: OwnerGroupAnswer) => ({
  groupId: fromHex(groupId),
  managerKey: fromHex(managerKey),
});
