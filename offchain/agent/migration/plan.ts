/** What a migration will cost, before anything is sent. */

import type { ContractCall } from "../../chain/contract-call.ts";
import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { noticeCall } from "../../chain/escrow-calls.ts";
import { quoteFee } from "../../chain/fee-limit.ts";
import { DEFAULT_SLICE_ELEMENTS, sliceBytes } from "../../core/audit/field.ts";
import { feeOf } from "../../core/data-set/fee.ts";
import type { AgreedTerms } from "../../core/data-set/offer.ts";
import { lastLevel, levelAt } from "../../core/data-set/schedule.ts";
import type { DataSetMode } from "../../core/data-set/terms.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import type { AgentContext } from "../context.ts";
import { type DataSetOnChain, type FollowedDataSet, follow, hasEnded } from "../data-sets/following.ts";
import { depositCalls, depositFor } from "../data-sets/funding.ts";
import { requireSafeRandomness } from "../data-sets/randomness-policy.ts";
import { sliceElementsFor } from "../data-sets/slice-size.ts";
import {
  fittingOffer,
  type LaneWishes,
  newTerms,
  requireFeeAllowed,
  requireIndexAllowed,
  requireWishesMatch,
  runwayOf,
  tokenOf,
} from "../data-sets/wishes.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import type { Inventory } from "./inventory.ts";

const NO_WORD = `0x${"00".repeat(32)}`;
/** What a set is expected to grow to, unless more is moved or it is said: the default size of slices suits it. */
const EXPECTED_BYTES = sliceBytes(DEFAULT_SLICE_ELEMENTS) * DEFAULT_SLICE_ELEMENTS;

export interface MigrationPlan {
  readonly id: string;
  /** Accounts of the providers. */
  readonly from: string;
  readonly to: string;
  /** This device's set at the new provider; absent when one will be opened. */
  readonly extends?: string;
  /** Of the set at the new provider. */
  readonly mode: DataSetMode;
  /** Bytes of its slices. */
  readonly sliceBytes: number;
  /** Distinct objects of the set and of the snapshots, and their ciphertext. */
  readonly objects: number;
  readonly bytes: number;
  /** Those that are not in a set of this device at the new provider yet. */
  readonly absentObjects: number;
  readonly absentBytes: number;
  readonly snapshots: number;
  /** Fee of an epoch of the old set, in its token; 0 once it is over. */
  readonly feeNow: bigint;
  readonly tokenNow: string;
  /** Fee of an epoch at the new provider, with what is there already, in `token`. It may come out lower. */
  readonly fee: bigint;
  readonly token: string;
  /** Added to the balance before the set is opened or extended. */
  readonly deposit: bigint;
  /** What the transactions of this account would cost now, in wei. The provider sends the states of its set. */
  readonly gasFee: bigint;
}

/**
 * @param wishes of `wishesFor`
 * @throws InvalidInputError when the new provider does not take the set, the set there was agreed on with other terms,
 *   or it costs more than the user allows; what `requireSafeRandomness` throws
 * @throws TallystickError BAD_RESPONSE, UNREACHABLE, CHAIN_UNAVAILABLE
 */
export async function planMigration(
  context: AgentContext,
  opened: OpenedDataSet,
  onChain: DataSetOnChain,
  to: StorageProvider,
  wishes: LaneWishes,
  { objects, snapshots, bytes }: Pick<Inventory, "objects" | "snapshots" | "bytes">,
  roundBytes: number,
): Promise<MigrationPlan> {
  const offer = fittingOffer(context.deployment, to, await to.dataSetOffer());
  const existing = await setAt(context, to, opened.id);
  const running = existing?.onChain;
  const sliceElements = existing?.set.sliceElements ?? sliceElementsFor(offer, wishes.expectedBytes);
  const fresh = { user: context.account.address, salt: NO_WORD, keyHash: NO_WORD, sliceElements, phase: 0 };
  // As the lane will refuse it, before anything is sent.
  const agreed = existing?.set.agreed ?? newTerms(offer, wishes, fresh);
  requireWishesMatch(agreed, wishes);
  if (existing?.set.agreed === undefined) await requireSafeRandomness(await context.chain(), wishes);
  const { terms } = agreed;
  const level = running === undefined ? undefined : lastLevel(running.schedule);
  const absent = await absentFrom(context, existing, objects);
  const absentBytes = sumOf(absent);
  // The last slice of a round is not full, and a set never gives an index twice.
  const added = Math.ceil(absentBytes / sliceBytes(sliceElements)) + Math.floor(absentBytes / roundBytes);
  const highest = Math.max(level?.highestIndex ?? 0, (existing?.set.nextIndex ?? 1) - 1) + added;
  requireIndexAllowed(to.name, highest, offer, running === undefined ? TOO_LARGE_HINT : FULL_HINT);
  const fee = feeOf(terms, (level?.sliceCount ?? 0) + added, highest);
  requireFeeAllowed(to.name, fee, wishes);
  const feeBefore = level?.fee ?? 0n;
  const { token } = terms;
  const change = { token, isNew: running === undefined, feeBefore, fee, runwayEpochs: runwayOf(wishes) };
  const deposit = await depositFor(context, change);
  const calls: ContractCall[] = deposit === 0n ? [] : await depositCalls(context, token, deposit);
  if (!hasEnded(onChain)) calls.push(noticeCall(context.deployment, { terms: opened.terms, ...onChain.scheduled }));
  return {
    id: opened.id,
    from: opened.terms.provider,
    to: to.account,
    ...(running === undefined || existing?.set.agreed === undefined ? {} : { extends: existing.set.agreed.id }),
    mode: terms.mode,
    sliceBytes: sliceBytes(sliceElements),
    objects: objects.size,
    bytes,
    absentObjects: absent.size,
    absentBytes,
    snapshots: snapshots.length,
    feeNow: feeOfEpoch(onChain),
    tokenNow: opened.terms.token,
    fee,
    token,
    deposit,
    gasFee: await gasFeeOf(context, calls),
  };
}

const TOO_LARGE_HINT = "use a provider that offers longer slices";
const FULL_HINT =
  "give notice to this device's data set there (`tallystick data-set notice`) and run the command again: it begins " +
  "another one; or use another provider";

/**
 * Wishes for a new set: the token of the old one, so that one balance pays for both, and its mode, unless others are
 * named; slices for what is moved. A set that runs keeps its own.
 * @param bytes of the inventory
 */
export async function wishesFor(
  context: AgentContext,
  { id, terms }: OpenedDataSet,
  to: StorageProvider,
  wishes: LaneWishes,
  bytes: number,
): Promise<LaneWishes> {
  const expectedBytes = Math.max(bytes, wishes.expectedBytes ?? EXPECTED_BYTES);
  const existing = await setAt(context, to, id);
  if (existing?.onChain !== undefined) return { ...wishes, expectedBytes };
  const { token, mode } = existing?.set.agreed?.terms ?? terms;
  const named = { token: tokenOf({ token: wishes.token ?? token }), mode: wishes.mode ?? mode };
  return { ...wishes, ...named, expectedBytes, predecessor: id };
}

/** This device's set at a provider that goes on, and is not the one that is left. */
async function setAt(
  context: AgentContext,
  { account }: StorageProvider,
  left?: string,
): Promise<FollowedDataSet | undefined> {
  const { storageEscrow } = context.deployment.contracts;
  for (const set of await context.platform.dataSets.sets()) {
    const isThere = isAddressEqual(set.provider, account) && isAddressEqual(set.escrow, storageEscrow);
    const isOwn = set.isOwn && set.delegate === undefined;
    if (!isThere || !isOwn || set.state === "ended" || (left !== undefined && set.agreed?.id === left)) continue;
    const followed = await follow(context, set);
    if (followed.set.isOwn && followed.set.state !== "ended") return followed;
  }
  return undefined;
}

/** Terms of this device's set at a provider; undefined when there is none that goes on. */
export async function termsAt(context: AgentContext, provider: StorageProvider): Promise<AgreedTerms | undefined> {
  return (await setAt(context, provider))?.set.agreed;
}

async function absentFrom(
  { platform }: AgentContext,
  existing: FollowedDataSet | undefined,
  objects: ReadonlyMap<string, number>,
): Promise<ReadonlyMap<string, number>> {
  if (existing === undefined) return objects;
  const absent = new Map<string, number>();
  for (const [id, sizeBytes] of objects) {
    if ((await platform.dataSets.holders(existing.set.salt, [id])).size === 0) absent.set(id, sizeBytes);
  }
  return absent;
}

function feeOfEpoch({ schedule, epoch, books, lastEpoch = Number.POSITIVE_INFINITY }: DataSetOnChain): bigint {
  if (books.status !== "running" || epoch > lastEpoch) return 0n;
  return (levelAt(schedule, epoch) ?? schedule.levels[0])?.fee ?? 0n;
}

/** A call that needs an earlier one to be mined first cannot be estimated; it is left out. */
async function gasFeeOf(context: AgentContext, calls: readonly ContractCall[]): Promise<bigint> {
  let sum = 0n;
  for (const call of calls) {
    sum += await quoteFee(await context.chain(), call, context.account.address).then(
      ({ gasFee }) => gasFee,
      () => 0n,
    );
  }
  return sum;
}

function sumOf(objects: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const size of objects.values()) sum += size;
  return sum;
}
