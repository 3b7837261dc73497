/**
 * After snapshots were removed: which objects no snapshot needs any more, at one provider. They are released there, and
 * taken out of this device's data set; what a data set covers, the provider keeps until it is out. Puts that other
 * devices make meanwhile lose nothing: the provider takes a release only under the head of the list that was read for
 * it, and `confirm-objects.ts` says what such a put does.
 *
 * Memory: the ids of the objects of the removed snapshots. The remaining snapshots are read one after the other.
 */

import { TallystickError } from "../../core/errors.ts";
import type { NamedMetadata, Snapshot } from "../../core/snapshot/snapshot.ts";
import { MAX_BODY_CHUNKS } from "../../core/wire/csp.ts";
import type { HeadKeeper } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import { restate } from "../restate-error.ts";
import { SHORT_ID_LENGTH } from "./resolve.ts";
import type { SnapshotList } from "./snapshot-list.ts";

/** Heads that may take the place of the one that was read, before the rest is left where it is. */
const ATTEMPTS = 30;

/** What tells which objects a snapshot needs. */
type Needing = Pick<Snapshot, "dataId"> & NamedMetadata & { readonly id?: string };

/** Ids of the objects of some data, or of some metadata. */
export interface ObjectsOf {
  data(dataId: string): AsyncIterable<{ readonly id: string }>;
  metadata(snapshot: NamedMetadata): AsyncIterable<{ readonly id: string }>;
}

export interface ReleaseOutcome {
  /** Objects that no snapshot needs. */
  readonly unneeded: number;
  /**
   * Of these, objects that this account owned there and had not released; undefined when the provider does not offer to
   * release any.
   */
  readonly released?: number;
}

/** With the ids of the objects that the provider has taken back. */
export interface Released extends ReleaseOutcome {
  readonly ids: readonly string[];
}

/**
 * Objects of the removed snapshots that no remaining one has.
 * @throws what reading a remaining snapshot throws: what it needs must be known before anything is given up
 */
export async function unneededObjects(
  removed: readonly Needing[],
  remaining: readonly Needing[],
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
  for (const dataId of gone.data.keys()) if (!kept.data.has(dataId)) await collect(objectsOf.data(dataId));
  for (const [id, one] of gone.metadata) if (!kept.metadata.has(id)) await collect(objectsOf.metadata(one));
  await removeNeeded(unneeded, remaining, objectsOf);
  return unneeded;
}

/** Takes the objects of snapshots out of a set. @throws what reading a snapshot throws */
async function removeNeeded(ids: Set<string>, snapshots: readonly Needing[], objectsOf: ObjectsOf): Promise<void> {
  const { data, metadata } = distinct(snapshots);
  const need = async (one: Needing, objects: () => AsyncIterable<{ readonly id: string }>) => {
    if (ids.size === 0) return;
    try {
      for await (const { id } of objects()) ids.delete(id);
    } catch (error) {
      if (one.device === undefined || !(error instanceof TallystickError)) throw error;
      // Whoever has stolen a device lists what is not there; that needs nothing.
      if (!isDamage(error)) throw unreadable(one, error);
    }
  };
  for (const [dataId, one] of data) await need(one, () => objectsOf.data(dataId));
  for (const one of metadata.values()) await need(one, () => objectsOf.metadata(one));
}

/** Names the snapshot, since only without it is known what the others need. */
export function unreadable(
  { id = "", device }: Pick<Needing, "id" | "device">,
  error: TallystickError,
): TallystickError {
  const short = id.slice(0, SHORT_ID_LENGTH);
  return restate(error, `snapshot ${short} of device ${device} cannot be read: ${error.message}`, {
    hint: `if the device may have made it up, remove it with \`tallystick rm ${short} --no-release\``,
  });
}

/** Snapshots that were removed at a provider, and what the list no longer needs without them. */
export interface Removal {
  readonly removed: readonly Snapshot[];
  /** Pages that the list has replaced. */
  readonly replacedPages: readonly string[];
}

/**
 * Releases what the list of a provider does not need without some snapshots, in groups that one request may name. Each
 * request names the head that tells so. When another device has put its own in place, what that one needs is left out.
 * @throws what reading a remaining snapshot throws; TallystickError CONFLICT when other devices keep changing the list
 */
export async function releaseUnneeded(
  provider: Pick<HeadKeeper, "release">,
  list: Pick<SnapshotList, "read">,
  { removed, replacedPages }: Removal,
  objectsOf: ObjectsOf,
  signal?: AbortSignal,
): Promise<Released> {
  let { version, snapshots, pages } = await list.read(signal);
  const unneeded = await unneededObjects(removed, snapshots, objectsOf);
  for (const page of replacedPages) unneeded.add(page);
  for (const page of pages) unneeded.delete(page);
  let released = 0;
  const ids: string[] = [];
  let attempts = 0;
  while (unneeded.size > 0) {
    const group = [...unneeded.keys().take(MAX_BODY_CHUNKS)];
    try {
      const answer = await provider.release(group, version, signal);
      if (answer === undefined) return { unneeded: unneeded.size, ids };
      released += answer.released;
      ids.push(...group);
      for (const id of group) unneeded.delete(id);
    } catch (error) {
      attempts += 1;
      if (!(error instanceof TallystickError) || error.code !== "CONFLICT" || attempts === ATTEMPTS) throw error;
      const known = new Set(snapshots.map(({ id }) => id));
      ({ version, snapshots, pages } = await list.read(signal));
      await removeNeeded(
        unneeded,
        snapshots.filter(({ id }) => !known.has(id)),
        objectsOf,
      );
      for (const page of pages) unneeded.delete(page);
    }
  }
  return { unneeded: ids.length, released, ids };
}

/** By what they name. One of the account itself comes before one of a device, which may be made up. */
function distinct(snapshots: readonly Needing[]) {
  const ordered = [...snapshots].sort(
    (one, other) => Number(one.device === undefined) - Number(other.device === undefined),
  );
  return {
    data: new Map(ordered.map((one) => [one.dataId, one])),
    metadata: new Map(ordered.map((one) => [one.metadataId, one])),
  };
}
