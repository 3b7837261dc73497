/**
 * The objects of a data set that a device which only writes appends to. Neither a snapshot list nor the catalogue of
 * its owner has what it puts, so its provider shows them, by opening the commitments of every live slice, which lead to
 * the content hash on chain.
 */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { decodeLiveRanges } from "../../core/data-set/ranges.ts";
import { requireOpened, requireSegments } from "../../core/data-set/verify-evidence.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import type { ErrorCode } from "../../core/error-codes.ts";
import { TallystickError } from "../../core/errors.ts";
import { MAX_OPENINGS } from "../../core/wire/data-sets.ts";
import type { AgentContext } from "../context.ts";
import { readOnChain } from "../data-sets/following.ts";
import { notShown } from "../data-sets/found-set.ts";
import { dataSetKeys } from "../data-sets/keys.ts";
import type { DataSetKeeper, StorageProvider } from "../providers/storage-provider.ts";

/** What a provider answers, or what its answer is, when it has lost what it should show. */
const UNSHOWN: ReadonlySet<ErrorCode> = new Set([
  "INTEGRITY",
  "INVALID_PROOF",
  "BAD_RESPONSE",
  "OBJECT_LOST",
  "DISK_FAILED",
]);
/** Slices that are left behind, after which those that were asked for together are left behind together. */
const MOST_ASKED_ALONE = 1024;

/** Whether a set of this account was prepared for a device that only writes: its secrets are that device's. */
export async function isOfDelegate({ identity }: AgentContext, { audit }: OpenedDataSet): Promise<boolean> {
  return (await dataSetKeys(identity.auditSeed, audit.salt)).keyHash !== audit.keyHash;
}

/** Version of the newest state on chain: the device has added nothing as long as it stays. */
export async function versionOnChain(context: AgentContext, opened: OpenedDataSet): Promise<bigint> {
  return (await requireOnChain(context, opened)).schedule.version;
}

/**
 * @param objects takes ciphertext bytes by content id
 * @returns slices that the provider cannot show, or not rightly
 * @throws TallystickError CONFLICT (retryable) while the provider keeps a state of the device that is not on chain yet;
 *   what the provider throws that says nothing about its data
 */
export async function takeShown(
  context: AgentContext,
  opened: OpenedDataSet,
  from: Pick<StorageProvider, "name" | "isOfPredecessor" | "dataSet" | "openCommitments">,
  objects: Map<string, number>,
  signal?: AbortSignal,
): Promise<{ readonly id: string; readonly error: TallystickError }[]> {
  const { salt } = opened.audit;
  const { schedule, scheduled } = await requireOnChain(context, opened);
  const { version } = await from.dataSet(salt);
  requireNothingWaits(opened.id, from, version, schedule.version);
  const state = { contentHash: schedule.contentHash, ranges: decodeLiveRanges(scheduled.ranges) };
  return await takeOpened(opened, state, from, objects, signal);
}

/**
 * The part of `takeShown` after the chain was read. Work is bounded by the slices, of which no more than a few are
 * asked for twice.
 */
export async function takeOpened(
  { id, audit: { salt, sliceElements } }: Pick<OpenedDataSet, "id" | "audit">,
  { contentHash, ranges }: { readonly contentHash: string; readonly ranges: readonly SliceRange[] },
  from: Pick<DataSetKeeper, "name" | "openCommitments">,
  objects: Map<string, number>,
  signal?: AbortSignal,
): Promise<{ readonly id: string; readonly error: TallystickError }[]> {
  const open = async (indices: number[]): Promise<void> => {
    const shown = await from.openCommitments(salt, { contentHash, indices });
    requireSegments(shown, contentHash);
    for (const index of indices) {
      const slice = shown.slices.find((one) => one.index === index);
      if (slice === undefined) throw missing(from.name, index);
      requireOpened(slice, shown.segments, sliceElements);
      for (const { digest, offsetBytes, lengthBytes } of slice.pieces) {
        const object = contentIdFromDigest(digest);
        objects.set(object, Math.max(objects.get(object) ?? 0, offsetBytes + lengthBytes));
      }
    }
  };
  const damaged: { id: string; error: TallystickError }[] = [];
  const attempt = async (indices: number[]): Promise<void> => {
    signal?.throwIfAborted();
    try {
      await open(indices);
    } catch (error) {
      if (!isUnshown(error)) throw error;
      const isOneByOne = indices.length > 1 && damaged.length < MOST_ASKED_ALONE;
      if (isOneByOne) for (const index of indices) await attempt([index]);
      else damaged.push({ id: `${namesOf(indices)} of ${id}`, error });
    }
  };
  let batch: number[] = [];
  for (const { firstIndex, count } of ranges) {
    for (let index = firstIndex; index < firstIndex + count; index += 1) {
      batch.push(index);
      if (batch.length < MAX_OPENINGS) continue;
      await attempt(batch);
      batch = [];
    }
  }
  if (batch.length > 0) await attempt(batch);
  return damaged;
}

function namesOf(indices: readonly number[]): string {
  return indices.length === 1 ? `slice ${indices[0]}` : `slices ${indices[0]} to ${indices.at(-1)}`;
}

async function requireOnChain(context: AgentContext, opened: OpenedDataSet) {
  const onChain = await readOnChain(await context.chain(), opened);
  if (onChain === undefined) throw notShown(opened.id, "the set of an event");
  return onChain;
}

/**
 * The device of an account that was replaced signs no more: what waits there may never come, and its snapshots name it.
 * @param told newest version that the provider has @param onChain newest version on chain
 * @throws TallystickError CONFLICT, retryable
 */
export function requireNothingWaits(
  id: string,
  { name, isOfPredecessor }: Pick<StorageProvider, "name" | "isOfPredecessor">,
  told: string | undefined,
  onChain: bigint,
): void {
  if (!isOfPredecessor && told !== undefined && BigInt(told) > onChain) throw stateWaits(id, name, told);
}

function stateWaits(id: string, party: string, version: string): TallystickError {
  return new TallystickError("the provider keeps a state of the device that is not on chain yet", {
    code: "CONFLICT",
    party,
    check: "version of the data set",
    received: version,
    hint: "run the command again in the next epoch, when no put of the device is under way",
    retryable: true,
    details: { id },
  });
}

function missing(party: string, index: number): TallystickError {
  return new TallystickError(`${party} has not shown a slice that it was asked for`, {
    code: "BAD_RESPONSE",
    party,
    check: "opened slices",
    expected: `slice ${index}`,
    received: "none",
  });
}

function isUnshown(error: unknown): error is TallystickError {
  return error instanceof TallystickError && UNSHOWN.has(error.code);
}
