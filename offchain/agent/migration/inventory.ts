/**
 * What has to be at the new provider so that the old one can be left: the objects of the data set, as this device's
 * journal has them, and the objects of all snapshots that are listed at the old provider, also of those that another
 * device has made. A set of another device is known by its snapshots and by the catalogue alone. One of a device that
 * only writes is shown by its provider.
 */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import type { ManifestChunk } from "../../core/audit/manifest.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { AgentContext } from "../context.ts";
import type { JournaledDataSet } from "../data-sets/journal.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import type { ObjectSource } from "../read/object-source.ts";
import { readingSnapshotKeys, snapshotListAt } from "../snapshots/account-keys.ts";
import { unreadable } from "../snapshots/release.ts";
import { metadataObjects, snapshotObjects } from "../snapshots/snapshot-objects.ts";
import { openTree, type SnapshotTree } from "../snapshots/snapshot-tree.ts";
import { isOfDelegate, takeShown, versionOnChain } from "./shown-objects.ts";

/** An object, or a tree of objects, that no provider returns whole. */
export interface Damaged {
  /** Content id. */
  readonly id: string;
  readonly error: TallystickError;
}

export interface Inventory {
  /** Ciphertext bytes by content id. */
  readonly objects: ReadonlyMap<string, number>;
  /** Listed at the old provider, in the order of its list. */
  readonly snapshots: readonly Snapshot[];
  /** Data ids of the puts that have a stub file. */
  readonly revocable: ReadonlySet<string>;
  /** What keeps some objects from being told. */
  readonly damaged: readonly Damaged[];
  /** Another one when something was added since; see `inventoryVersion`. */
  readonly version: string;
  /** Ciphertext of all objects. */
  readonly bytes: number;
}

/**
 * Reads the recipes of everything that is to be moved.
 * @param source of recipes
 * @throws TallystickError when the old provider does not answer, or its snapshot list is damaged
 */
export async function takeInventory(
  context: AgentContext,
  opened: OpenedDataSet,
  from: StorageProvider,
  source: ObjectSource,
  signal?: AbortSignal,
): Promise<Inventory> {
  const version = await inventoryVersion(context, opened, from, signal);
  const list = await snapshotListAt(context, from).read(signal);
  const objects = new Map<string, number>();
  const revocable = new Set<string>();
  const damaged: Damaged[] = [];
  const take = async (
    id: string,
    found: AsyncIterable<ManifestChunk>,
    of?: Pick<Snapshot, "id" | "device">,
  ): Promise<void> => {
    try {
      for await (const object of found) objects.set(object.id, object.sizeBytes);
    } catch (error) {
      signal?.throwIfAborted();
      if (of?.device !== undefined && mayBeMadeUp(error)) damaged.push({ id, error: unreadable(of, error) });
      else if (isDamage(error)) damaged.push({ id, error });
      else throw error;
    }
  };
  const isShown = await isOfDelegate(context, opened);
  const journaled = isShown ? undefined : await ownSet(context, opened);
  if (isShown) damaged.push(...(await shownBy(context, opened, from, objects, signal)));
  if (journaled !== undefined) await takeJournaled(context, journaled, objects);
  const taken = new Set<string>();
  for (const snapshot of list.snapshots) {
    const { dataId, metadataId } = snapshot;
    const isTaken = taken.has(dataId);
    taken.add(dataId);
    const keys = await readingSnapshotKeys(context, snapshot);
    const ids = isTaken ? metadataObjects(keys, metadataId, { source }, signal) : objectsOf(context, snapshot);
    await take(isTaken ? metadataId : dataId, ids, snapshot);
  }
  if (journaled === undefined && !isShown) {
    for (const { dataId } of await context.catalogue.puts()) {
      if (taken.has(dataId) || !(await has(from, dataId, signal))) continue;
      taken.add(dataId);
      await take(dataId, objectsOf(context, { dataId }));
    }
  }
  let bytes = 0;
  for (const sizeBytes of objects.values()) bytes += sizeBytes;
  return { objects, snapshots: list.snapshots, revocable, damaged, version, bytes };

  async function* objectsOf(agent: AgentContext, put: { readonly dataId: string } | Snapshot) {
    const named: Pick<SnapshotTree, "dataId" | "snapshot"> = "id" in put ? { dataId: put.dataId, snapshot: put } : put;
    const tree = await openTree(agent, named, signal, source);
    if (tree.root.keyMode === "revocable") revocable.add(put.dataId);
    yield* snapshotObjects(await readingSnapshotKeys(agent, named.snapshot), tree, signal);
  }
}

/**
 * Whether what a device has listed may be made up. Whoever has stolen it can record a key that no node releases, or
 * that was sealed wrongly, and after a rotation has begun nobody takes that out of the list: it must stop nothing.
 * Objects of the device's data set are shown by its provider all the same.
 */
function mayBeMadeUp(error: unknown): error is TallystickError {
  if (!(error instanceof TallystickError)) return false;
  return !error.retryable || error.code === "SHARES_MISSING" || error.code === "NOT_RELEASED";
}

/** As `takeShown`; a set that the provider does not have, or not for this account, is damaged as a whole. */
async function shownBy(
  context: AgentContext,
  opened: OpenedDataSet,
  from: StorageProvider,
  objects: Map<string, number>,
  signal: AbortSignal | undefined,
): Promise<readonly Damaged[]> {
  try {
    return await takeShown(context, opened, from, objects, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (!isDamage(error)) throw error;
    return [{ id: opened.id, error }];
  }
}

/** The set in the journal if puts of this device have made it. */
async function ownSet(context: AgentContext, { id, audit }: OpenedDataSet): Promise<JournaledDataSet | undefined> {
  const set = await context.platform.dataSets.set(audit.salt);
  const isMade = set?.agreed?.id === id && (await context.platform.dataSets.segments(audit.salt)).length > 0;
  return isMade ? set : undefined;
}

async function takeJournaled(
  { platform }: AgentContext,
  { salt, sliceElements }: JournaledDataSet,
  objects: Map<string, number>,
): Promise<void> {
  const bytes = sliceBytes(sliceElements);
  for (const { id, state, sliceCount } of await platform.dataSets.segments(salt)) {
    if (state !== "included") continue;
    for (const object of await platform.dataSets.objectsIn(id, 0, sliceCount * bytes)) {
      objects.set(object.id, object.sizeBytes);
    }
  }
}

/**
 * Tells whether an inventory is out of date: the version of the old provider's list, and the segments of the set, or
 * its version when a device that only writes appends to it.
 */
export async function inventoryVersion(
  context: AgentContext,
  opened: OpenedDataSet,
  from: StorageProvider,
  signal?: AbortSignal,
): Promise<string> {
  const { version } = await snapshotListAt(context, from).read(signal);
  if (await isOfDelegate(context, opened)) return `${version} ${await versionOnChain(context, opened)}`;
  const segments = await context.platform.dataSets.segments(opened.audit.salt);
  const included = segments.filter(({ state }) => state === "included");
  return `${version} ${included.map(({ firstIndex }) => firstIndex).join(" ")}`;
}

/** Whether a provider has an object. */
async function has(provider: StorageProvider, id: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await provider.fetch(id, signal);
    return true;
  } catch (error) {
    signal?.throwIfAborted();
    if (isDamage(error)) return false;
    throw error;
  }
}
