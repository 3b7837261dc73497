/** The journal of data sets in the storage of a page. */

import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  type DataSetJournal,
  type JournaledDataSet,
  type JournaledSegment,
  type NewSegment,
  type SegmentChanges,
  type SegmentObject,
  savedMeanwhile,
} from "../data-sets/journal.ts";
import type { PageStore, SegmentObjectRow } from "./page-store.ts";

export class PageDataSetJournal implements DataSetJournal {
  readonly #store: PageStore;

  constructor(store: PageStore) {
    this.#store = store;
  }

  async begin(fresh: JournaledDataSet): Promise<JournaledDataSet> {
    return await this.#store.write(["dataSets"], async (transaction) => {
      const sets = transaction.objectStore("dataSets");
      const known = oldestFirst(await sets.getAll()).find(
        ({ provider, escrow, isOwn, state, delegate }) =>
          isOwn &&
          delegate === fresh.delegate &&
          state !== "ended" &&
          isAddressEqual(provider, fresh.provider) &&
          isAddressEqual(escrow, fresh.escrow),
      );
      if (known === undefined) await sets.add(fresh);
      return known ?? fresh;
    });
  }

  async sets(): Promise<JournaledDataSet[]> {
    return oldestFirst(
      await this.#store.read(["dataSets"], (transaction) => transaction.objectStore("dataSets").getAll()),
    );
  }

  async set(salt: string): Promise<JournaledDataSet | undefined> {
    return await this.#store.read(["dataSets"], (transaction) => transaction.objectStore("dataSets").get(salt));
  }

  async save(set: JournaledDataSet, changes: SegmentChanges = {}): Promise<JournaledDataSet> {
    const { included = [], dropped = [], forgotten = [], left = [] } = changes;
    return await this.#store.write(["dataSets", "segments", "segmentObjects"], async (transaction) => {
      const sets = transaction.objectStore("dataSets");
      const known = await sets.get(set.salt);
      if (known !== undefined && known.revision !== set.revision) throw savedMeanwhile(set.salt);
      const nextIndex = Math.max(set.nextIndex, known?.nextIndex ?? 0);
      const saved = { ...set, nextIndex, revision: set.revision + 1 };
      await sets.put(saved);
      const segments = transaction.objectStore("segments");
      for (const id of included) {
        const segment = await segments.get(id);
        if (segment !== undefined) await segments.put({ ...segment, state: "included" });
      }
      const objects = transaction.objectStore("segmentObjects");
      for (const id of dropped) {
        await segments.delete(id);
        for (const key of await objects.index("byPlace").getAllKeys(placesOf(id))) await objects.delete(key);
      }
      for (const id of forgotten) await objects.delete(holdersOf(set.salt, id));
      for (const one of left) for (const id of one.objects) await objects.delete([set.salt, id, one.segment]);
      return saved;
    });
  }

  async reserve(segment: NewSegment, objects: readonly SegmentObject[]): Promise<JournaledSegment> {
    return await this.#store.write(["dataSets", "segments", "segmentObjects"], async (transaction) => {
      const sets = transaction.objectStore("dataSets");
      const set = await sets.get(segment.salt);
      if (set === undefined) throw new TallystickError(`no data set ${segment.salt} here`, { code: "INTERNAL" });
      const reserved: JournaledSegment = { ...segment, firstIndex: set.nextIndex, state: "reserved" };
      await sets.put({ ...set, nextIndex: set.nextIndex + segment.sliceCount });
      await transaction.objectStore("segments").add(reserved);
      const rows = transaction.objectStore("segmentObjects");
      const { id, salt } = segment;
      for (const { id: object, startByte, sizeBytes } of objects) {
        await rows.add({ salt, object, segment: id, startByte, sizeBytes });
      }
      return reserved;
    });
  }

  async noteCommitments(segment: string, root: string): Promise<void> {
    await this.#store.write(["segments"], async (transaction) => {
      const segments = transaction.objectStore("segments");
      const known = await segments.get(segment);
      if (known !== undefined) await segments.put({ ...known, commitmentsRoot: root });
    });
  }

  async segments(salt?: string): Promise<JournaledSegment[]> {
    const all = await this.#store.read(["segments"], (transaction) => transaction.objectStore("segments").getAll());
    return all
      .filter((segment) => salt === undefined || segment.salt === salt)
      .sort((a, b) => a.firstIndex - b.firstIndex || (a.salt < b.salt ? -1 : 1));
  }

  async holders(salt: string, ids: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    return await this.#store.read(["segmentObjects"], async (transaction) => {
      const objects = transaction.objectStore("segmentObjects");
      const found = new Map<string, readonly string[]>();
      for (const id of ids) {
        const keys = await objects.getAllKeys(holdersOf(salt, id));
        if (keys.length > 0) {
          found.set(
            id,
            keys.map(([, , segment]) => segment),
          );
        }
      }
      return found;
    });
  }

  async objectsIn(segment: string, fromByte: number, toByte: number): Promise<SegmentObject[]> {
    return await this.#store.read(["segmentObjects"], async (transaction) => {
      const places = transaction.objectStore("segmentObjects").index("byPlace");
      // Objects follow each other, so only the last one before the first byte may reach over it.
      const upTo = IDBKeyRange.bound([segment, 0], [segment, fromByte]);
      const before = (await places.openCursor(upTo, "prev"))?.value;
      const from = before === undefined ? 0 : before.startByte;
      const rows = await places.getAll(IDBKeyRange.bound([segment, from], [segment, toByte], false, true));
      return rows.filter(({ startByte, sizeBytes }) => startByte + sizeBytes > fromByte).map(toObject);
    });
  }

  async close(): Promise<void> {
    this.#store.close();
  }
}

function toObject({ object, startByte, sizeBytes }: SegmentObjectRow): SegmentObject {
  return { id: object, startByte, sizeBytes };
}

function holdersOf(salt: string, object: string): IDBKeyRange {
  return IDBKeyRange.bound([salt, object, ""], [salt, object, "\uffff"]);
}

function placesOf(segment: string): IDBKeyRange {
  return IDBKeyRange.bound([segment, 0], [segment, Number.POSITIVE_INFINITY]);
}

function oldestFirst(sets: JournaledDataSet[]): JournaledDataSet[] {
  return sets.sort((a, b) => a.createdAt - b.createdAt || (a.salt < b.salt ? -1 : 1));
}
