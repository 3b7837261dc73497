/**
 * Last stages of a put: every distinct object is placed with one or more providers, tagged for each, and stored in
 * groups bounded by bytes, several groups at a time. Providers need not trust the agent or each other: the agent proves
 * to each that it has an object, and sends those the provider lacks.
 */

import { TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import { MAX_CLAIM_CHUNKS } from "../../core/wire/csp.ts";
import { batch } from "../pipeline/batch.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { ObjectStorage } from "../providers/storage-provider.ts";

/** Ciphertext in one group, for which there is one claim and one upload. */
const GROUP_BYTES = 4 * 1024 * 1024;
/** Groups being claimed and uploaded. */
const GROUPS_UNDER_WAY = 2;

/** A provider of a put, and what makes the possession tags of its data set. */
export interface StorageLane {
  readonly provider: Pick<ObjectStorage, "store">;
  /** Sees every object of the lane once, in order, before it is stored. Absent for a put into no data set. */
  readonly tagger?: { add(object: SealedObject): Promise<void> };
}

/** Decides where an object goes: at least one lane. Asked once per object, in order, before the object is tagged. */
export type Placement = (object: SealedObject) => readonly StorageLane[];

/** Objects and ciphertext bytes of a put, by outcome. An object that is placed with two providers counts twice. */
export interface StoreTotals {
  objects: number;
  bytes: number;
  uploadedObjects: number;
  uploadedBytes: number;
}

interface PlacedObject {
  readonly object: SealedObject;
  readonly lanes: readonly StorageLane[];
}

/** Places every object with all providers. */
export function onEvery(lanes: readonly StorageLane[]): Placement {
  return () => lanes;
}

/** Passes on each object at its first occurrence. @param release takes back the others */
export async function* distinct(
  objects: AsyncIterable<SealedObject>,
  release: (sealed: Uint8Array) => void,
): AsyncGenerator<SealedObject, void, undefined> {
  const seen = new Set<string>();
  for await (const object of objects) {
    if (seen.has(object.id)) {
      release(object.sealed);
    } else {
      seen.add(object.id);
      yield object;
    }
  }
}

export interface StoreOptions {
  /** Called after each group, with the number of its objects. */
  readonly onGroup: (objects: number) => void;
  /** Takes back the memory of an object that every provider has acknowledged. */
  readonly release: (sealed: Uint8Array) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Places, tags and stores the objects; all of them are durable when it resolves.
 *
 * @param totals counts as groups are confirmed.
 */
export async function storeObjects(
  objects: AsyncIterable<SealedObject>,
  place: Placement,
  totals: StoreTotals,
  { onGroup, release, signal }: StoreOptions,
): Promise<void> {
  const groups = batch(placedAndTagged(objects, place), {
    maximumItems: MAX_CLAIM_CHUNKS,
    maximumWeight: GROUP_BYTES,
    weigh: ({ object }) => object.sealed.length,
  });
  const store = async (group: readonly PlacedObject[]) => {
    const stored = await storeGroup(group, signal);
    for (const { object } of group) release(object.sealed);
    return stored;
  };
  for await (const { objects: count, stored } of mapOrdered(groups, store, { concurrency: GROUPS_UNDER_WAY })) {
    for (const { sizeBytes, uploaded } of stored) {
      totals.objects += 1;
      totals.bytes += sizeBytes;
      totals.uploadedObjects += uploaded ? 1 : 0;
      totals.uploadedBytes += uploaded ? sizeBytes : 0;
    }
    onGroup(count);
  }
}

async function* placedAndTagged(
  objects: AsyncIterable<SealedObject>,
  place: Placement,
): AsyncGenerator<PlacedObject, void, undefined> {
  for await (const object of objects) {
    const lanes = place(object);
    if (lanes.length === 0) throw new TallystickError(`object ${object.id} has no place`, { code: "INTERNAL" });
    for (const { tagger } of lanes) await tagger?.add(object);
    yield { object, lanes };
  }
}

async function storeGroup(
  group: readonly PlacedObject[],
  signal: AbortSignal | undefined,
): Promise<{ objects: number; stored: { sizeBytes: number; uploaded: boolean }[] }> {
  const byLane = new Map<StorageLane, SealedObject[]>();
  for (const { object, lanes } of group) {
    for (const lane of lanes) byLane.set(lane, [...(byLane.get(lane) ?? []), object]);
  }
  const stored = await Promise.all(
    [...byLane].map(async ([{ provider }, objects]) => {
      const { uploaded } = await provider.store(objects, signal);
      return objects.map(({ id, sealed }) => ({ sizeBytes: sealed.length, uploaded: uploaded.has(id) }));
    }),
  );
  return { objects: group.length, stored: stored.flat() };
}
