/**
 * After snapshots were removed: which objects no snapshot needs any more, at one provider. They are released there;
 * what an agreement covers, the provider keeps until the agreement ends.
 *
 * Memory: the ids of the objects of the removed snapshots. The remaining snapshots are read one after the other.
 */

import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import { MAX_BODY_CHUNKS } from "../../core/wire/csp.ts";
import type { HeadKeeper } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";

/** Ids of the objects of some data, or of some metadata. */
export interface ObjectsOf {
  data(dataId: string): AsyncIterable<{ readonly id: string }>;
  metadata(metadataId: string): AsyncIterable<{ readonly id: string }>;
}

export interface ReleaseOutcome {
  /** Objects that no snapshot needs. */
  readonly unneeded: number;
  /** Of these, objects that this account owned there; undefined when the provider does not offer to release any. */
  readonly released?: number;
}

/**
 * Objects of the removed snapshots that no remaining one has.
 * @throws what reading a remaining snapshot throws: what it needs must be known before anything is given up
 */
export async function unneededObjects(
  removed: readonly Pick<Snapshot, "dataId" | "metadataId">[],
  remaining: readonly Pick<Snapshot, "dataId" | "metadataId">[],
  objectsOf: ObjectsOf,
): Promise<Set<string>> {
  const unneeded = new Set<string>();
  const kept = distinct(remaining);
  const gone = distinct(removed);
  const collect = async (objects: AsyncIterable<{ readonly id: string }>) => {
    try {
      for await (const { id } of objects) unneeded.add(id);
    } catch (error) {
      // Objects that a damaged snapshot cannot name any more stay where they are.
      if (!isDamage(error)) throw error;
    }
  };
  for (const dataId of gone.data) if (!kept.data.has(dataId)) await collect(objectsOf.data(dataId));
  for (const id of gone.metadata) if (!kept.metadata.has(id)) await collect(objectsOf.metadata(id));
  if (unneeded.size === 0) return unneeded;
  for (const dataId of kept.data) for await (const { id } of objectsOf.data(dataId)) unneeded.delete(id);
  for (const one of kept.metadata) for await (const { id } of objectsOf.metadata(one)) unneeded.delete(id);
  return unneeded;
}

/** Releases objects in groups that one request may name. */
export async function releaseAll(
  provider: Pick<HeadKeeper, "release">,
  ids: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<ReleaseOutcome> {
  const all = [...ids];
  let released = 0;
  for (let start = 0; start < all.length; start += MAX_BODY_CHUNKS) {
    const answer = await provider.release(all.slice(start, start + MAX_BODY_CHUNKS), signal);
    if (answer === undefined) return { unneeded: all.length };
    released += answer.released;
  }
  return { unneeded: all.length, released };
}

function distinct(snapshots: readonly Pick<Snapshot, "dataId" | "metadataId">[]) {
  return {
    data: new Set(snapshots.map(({ dataId }) => dataId)),
    metadata: new Set(snapshots.map(({ metadataId }) => metadataId)),
  };
}
