/**
 * Copies sealed objects from one provider into the data set of this device at another one. An object that is in the set
 * already is not read; one that the account owns there already is read and tagged, not sent. The set grows in rounds: a
 * run after an interruption repeats one round at most, and the new provider sees soon that it is paid for what it
 * takes. Memory: the groups under way, and an id for each object.
 */

import type { SealedObject } from "../../core/recipe/tree.ts";
import { MAX_CLAIM_CHUNKS } from "../../core/wire/csp.ts";
import type { AgentContext } from "../context.ts";
import { type DataSetLane, openDataSetLane } from "../data-sets/lane.ts";
import type { DataSetListener, DataSetReport } from "../data-sets/lane-report.ts";
import type { LaneWishes } from "../data-sets/wishes.ts";
import { batch } from "../pipeline/batch.ts";
import { mapOrdered } from "../pipeline/map-ordered.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import type { ObjectSource } from "../read/object-source.ts";
import type { Damaged } from "./inventory.ts";

/** Ciphertext in one group, for which there is one claim and one upload. */
const GROUP_BYTES = 4 * 1024 * 1024;
/** Groups being read while another one is stored. */
const GROUPS_AHEAD = 2;
/** Objects of a group being read. */
const OBJECTS_AHEAD = 8;

export interface CopyTotals {
  /** Distinct objects, and their ciphertext, with those that were there already. */
  objects: number;
  bytes: number;
  uploadedObjects: number;
  uploadedBytes: number;
}

export interface CopyJob {
  readonly source: ObjectSource;
  readonly to: StorageProvider;
  readonly wishes: LaneWishes;
  /** Ciphertext bytes by content id. */
  readonly objects: ReadonlyMap<string, number>;
  /** Ciphertext bytes after which the set is brought on chain. */
  readonly roundBytes: number;
  readonly onCopied: (totals: Readonly<CopyTotals>) => void;
  readonly onDataSet: DataSetListener;
  readonly signal?: AbortSignal | undefined;
}

export interface Copied {
  readonly totals: Readonly<CopyTotals>;
  /** Objects that could not be had from anybody. */
  readonly damaged: readonly Damaged[];
  /** After each round, the newest last; at least one. */
  readonly reports: readonly DataSetReport[];
}

interface ReadGroup {
  readonly found: readonly SealedObject[];
  /** Those that the new provider lacks. */
  readonly missing: ReadonlySet<string>;
}

/**
 * @throws TallystickError when either provider does not answer, or the new one refuses the objects or the set; what
 *   `DataSetLane.commit` throws
 */
export async function copyObjects(context: AgentContext, job: CopyJob): Promise<Copied> {
  const { source, to, wishes, objects, roundBytes, onCopied, onDataSet, signal } = job;
  const totals: CopyTotals = { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 };
  const damaged: Damaged[] = [];
  const reports: DataSetReport[] = [];
  let lane = await openDataSetLane(context, to, wishes);
  const commit = async () => {
    reports.push(await context.exclusive(() => lane.commit(onDataSet, signal), signal));
  };
  const count = (sizeBytes: number) => {
    totals.objects += 1;
    totals.bytes += sizeBytes;
  };
  const read = async (group: readonly (readonly [id: string, sizeBytes: number])[]): Promise<ReadGroup> => {
    const ids = group.map(([id]) => id);
    const missing = new Set(await to.keep(ids, signal));
    const found: SealedObject[] = [];
    const fetched = mapOrdered(each(ids), (id) => fetchOr(source, id, damaged, signal), { concurrency: OBJECTS_AHEAD });
    for await (const object of fetched) if (object !== undefined) found.push(object);
    return { found, missing };
  };
  try {
    const absent = await notHeld(lane, objects, count);
    onCopied(totals);
    const limits = { maximumItems: MAX_CLAIM_CHUNKS, maximumWeight: GROUP_BYTES, weigh: sizeOf };
    let roundSize = 0;
    for await (const { found, missing } of mapOrdered(batch(each(absent), limits), read, {
      concurrency: GROUPS_AHEAD,
    })) {
      signal?.throwIfAborted();
      if (roundSize >= roundBytes) {
        await commit();
        lane = await openDataSetLane(context, to, wishes);
        roundSize = 0;
      }
      const lacking = found.filter(({ id }) => missing.has(id));
      const uploaded = lacking.length === 0 ? undefined : (await to.store(lacking, signal)).uploaded;
      for (const object of found) {
        await lane.tagger.add(object);
        const { length } = object.sealed;
        count(length);
        roundSize += length;
        totals.uploadedObjects += uploaded?.has(object.id) === true ? 1 : 0;
        totals.uploadedBytes += uploaded?.has(object.id) === true ? length : 0;
      }
      onCopied(totals);
    }
    await commit();
    // The old set is left only for one that is on chain.
    if (reports.at(-1)?.waitsUntilBlock !== undefined) {
      lane = await openDataSetLane(context, to, { ...wishes, mayWait: false });
      await commit();
    }
  } catch (error) {
    await lane.discard();
    throw error;
  }
  return { totals, damaged, reports };
}

/** Objects that the set does not have. Those that it has are counted, and relied on by the next commit. */
async function notHeld(
  lane: DataSetLane,
  objects: ReadonlyMap<string, number>,
  count: (sizeBytes: number) => void,
): Promise<(readonly [string, number])[]> {
  const absent: (readonly [string, number])[] = [];
  for (const object of objects) {
    if (await lane.holds([object[0]])) count(object[1]);
    else absent.push(object);
  }
  return absent;
}

/** @returns undefined for what nobody has whole, which is noted */
async function fetchOr(
  source: ObjectSource,
  id: string,
  damaged: Damaged[],
  signal: AbortSignal | undefined,
): Promise<SealedObject | undefined> {
  try {
    return { id, sealed: await source.fetch(id, signal) };
  } catch (error) {
    signal?.throwIfAborted();
    if (!isDamage(error)) throw error;
    damaged.push({ id, error });
    return undefined;
  }
}

const sizeOf = ([, sizeBytes]: readonly [string, number]): number => sizeBytes;

async function* each<Item>(items: Iterable<Item>): AsyncGenerator<Item, void, undefined> {
  yield* items;
}
