/**
 * Last stage of a put: every distinct object goes to the providers once, in groups bounded by bytes, several groups on their
 * way at a time. A provider is asked to prove nothing and to trust nothing: the agent proves that it has each object, and
 * sends those the provider lacks.
 */

import type { SealedObject } from "../../core/recipe/tree.ts";
import { MAX_CLAIM_CHUNKS } from "../../core/wire/csp.ts";
import { batch } from "../pipeline/batch.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { ProviderSet } from "../providers/provider-set.ts";

/** Ciphertext in one group. */
const GROUP_BYTES = 4 * 1024 * 1024;
/** Groups being claimed and uploaded. */
const GROUPS_UNDER_WAY = 2;

/** Objects and ciphertext bytes of a put, by what became of them. */
export interface StoreTotals {
  objects: number;
  bytes: number;
  uploadedObjects: number;
  uploadedBytes: number;
}

/** Passes on each object the first time it comes up. */
export async function* distinct(objects: AsyncIterable<SealedObject>): AsyncGenerator<SealedObject, void, undefined> {
  const seen = new Set<string>();
  for await (const object of objects) {
    if (seen.has(object.id)) continue;
    seen.add(object.id);
    yield object;
  }
}

/**
 * Stores the objects; all of them are durable when it resolves.
 *
 * @param totals counts as groups are confirmed.
 * @param onGroup called after each group.
 */
export async function storeObjects(
  objects: AsyncIterable<SealedObject>,
  providers: Pick<ProviderSet, "store">,
  totals: StoreTotals,
  onGroup: () => void,
  signal?: AbortSignal,
): Promise<void> {
  const groups = batch(objects, {
    maximumItems: MAX_CLAIM_CHUNKS,
    maximumWeight: GROUP_BYTES,
    weigh: (object) => object.sealed.length,
  });
  const store = async (group: readonly SealedObject[]) => {
    const { uploaded } = await providers.store(group, signal);
    return group.map(({ id, sealed }) => ({ sizeBytes: sealed.length, uploaded: uploaded.has(id) }));
  };
  for await (const stored of mapOrdered(groups, store, { concurrency: GROUPS_UNDER_WAY })) {
    for (const { sizeBytes, uploaded } of stored) {
      totals.objects += 1;
      totals.bytes += sizeBytes;
      totals.uploadedObjects += uploaded ? 1 : 0;
      totals.uploadedBytes += uploaded ? sizeBytes : 0;
    }
    onGroup();
  }
}
