/** The ports of the agent in memory, so that tests of the SDK need neither a disk nor a database. */

import type { Catalogue, CataloguedPut } from "../../offchain/agent/catalogue.ts";
import { systemClock } from "../../offchain/agent/clock.ts";
import {
  type DataSetJournal,
  type JournaledDataSet,
  type JournaledSegment,
  type NewSegment,
  type SegmentChanges,
  type SegmentObject,
  savedMeanwhile,
} from "../../offchain/agent/data-sets/journal.ts";
import type {
  AgentPlatform,
  ExclusiveOptions,
  HomeLock,
  PreparationStore,
  PreparationWriter,
  StoredPreparation,
} from "../../offchain/agent/platform.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import type { HeadName } from "../../offchain/core/snapshot/list-objects.ts";

export class MemoryCatalogue implements Catalogue {
  #account: string | undefined;
  readonly #puts = new Map<string, CataloguedPut>();
  readonly #listHeads = new Map<string, HeadName>();

  async claimFor(account: string): Promise<string> {
    this.#account ??= account;
    return this.#account;
  }

  async savePut(put: CataloguedPut): Promise<void> {
    this.#puts.set(put.dataId, { ...put, storedAt: this.#puts.get(put.dataId)?.storedAt ?? put.storedAt });
  }

  async puts(): Promise<CataloguedPut[]> {
    return [...this.#puts.values()].sort((a, b) => b.storedAt - a.storedAt || (a.dataId < b.dataId ? -1 : 1));
  }

  async put(dataId: string): Promise<CataloguedPut | undefined> {
    return this.#puts.get(dataId);
  }

  async removePut(dataId: string): Promise<void> {
    this.#puts.delete(dataId);
  }

  async listHead(list: string): Promise<HeadName | undefined> {
    return this.#listHeads.get(list);
  }

  async sawListHead(list: string, { version, id }: HeadName): Promise<void> {
    if (version > (this.#listHeads.get(list)?.version ?? 0)) this.#listHeads.set(list, { version, id });
  }

  async forgetListHead(list: string): Promise<void> {
    this.#listHeads.delete(list);
  }

  async close(): Promise<void> {}
}

export class MemoryPreparations implements PreparationStore {
  readonly #finished = new Map<string, { manifest: Uint8Array; tags: Uint8Array; writtenAt: number }>();

  async create(salt: string): Promise<PreparationWriter> {
    const pieces: Uint8Array[] = [];
    return {
      append: async (tags) => {
        pieces.push(tags.slice());
      },
      finish: async (manifest) => {
        this.#finished.set(salt, { manifest, tags: Uint8Array.from(Buffer.concat(pieces)), writtenAt: Date.now() });
      },
      discard: async () => {
        pieces.length = 0;
      },
    };
  }

  async find(salt: string): Promise<StoredPreparation | undefined> {
    const found = this.#finished.get(salt);
    if (found === undefined) return undefined;
    const { manifest, tags } = found;
    return { salt, manifest, readTags: async (offset, length) => tags.slice(offset, offset + length) };
  }

  async remove(salt: string): Promise<void> {
    this.#finished.delete(salt);
  }

  async removeAbandoned(needed: ReadonlySet<string>, before: number): Promise<void> {
    for (const [salt, { writtenAt }] of this.#finished) {
      if (writtenAt < before && !needed.has(salt)) this.#finished.delete(salt);
    }
  }
}

export class MemoryDataSetJournal implements DataSetJournal {
  readonly #sets = new Map<string, JournaledDataSet>();
  readonly #segments = new Map<string, JournaledSegment>();
  /** By segment. */
  readonly #objects = new Map<string, SegmentObject[]>();

  async begin(fresh: JournaledDataSet): Promise<JournaledDataSet> {
    const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
    const known = (await this.sets()).find(
      (set) =>
        set.isOwn &&
        set.state !== "ended" &&
        set.delegate === fresh.delegate &&
        same(set.provider, fresh.provider) &&
        same(set.escrow, fresh.escrow),
    );
    if (known === undefined) this.#sets.set(fresh.salt, fresh);
    return known ?? fresh;
  }

  async sets(): Promise<JournaledDataSet[]> {
    return [...this.#sets.values()].sort((a, b) => a.createdAt - b.createdAt || (a.salt < b.salt ? -1 : 1));
  }

  async set(salt: string): Promise<JournaledDataSet | undefined> {
    return this.#sets.get(salt);
  }

  async save(set: JournaledDataSet, changes: SegmentChanges = {}): Promise<JournaledDataSet> {
    const known = this.#sets.get(set.salt);
    if (known !== undefined && known.revision !== set.revision) throw savedMeanwhile(set.salt);
    const nextIndex = Math.max(set.nextIndex, known?.nextIndex ?? 0);
    const saved = { ...set, nextIndex, revision: set.revision + 1 };
    this.#sets.set(set.salt, saved);
    for (const id of changes.included ?? []) {
      const segment = this.#segments.get(id);
      if (segment !== undefined) this.#segments.set(id, { ...segment, state: "included" });
    }
    for (const id of changes.dropped ?? []) {
      this.#segments.delete(id);
      this.#objects.delete(id);
    }
    const forgotten = new Set(changes.forgotten);
    const left = new Map(changes.left?.map(({ segment, objects }) => [segment, new Set(objects)]));
    for (const { id } of await this.segments(set.salt)) {
      const objects = this.#objects.get(id) ?? [];
      this.#objects.set(
        id,
        objects.filter((object) => !forgotten.has(object.id) && left.get(id)?.has(object.id) !== true),
      );
    }
    return saved;
  }

  async reserve(segment: NewSegment, objects: readonly SegmentObject[]): Promise<JournaledSegment> {
    const set = this.#sets.get(segment.salt);
    if (set === undefined) throw new TallystickError("no such data set", { code: "INTERNAL" });
    const reserved: JournaledSegment = { ...segment, firstIndex: set.nextIndex, state: "reserved" };
    this.#sets.set(segment.salt, { ...set, nextIndex: set.nextIndex + segment.sliceCount });
    this.#segments.set(segment.id, reserved);
    this.#objects.set(segment.id, [...objects]);
    return reserved;
  }

  async noteCommitments(segment: string, root: string): Promise<void> {
    const known = this.#segments.get(segment);
    if (known !== undefined) this.#segments.set(segment, { ...known, commitmentsRoot: root });
  }

  async segments(salt?: string): Promise<JournaledSegment[]> {
    return [...this.#segments.values()]
      .filter((segment) => salt === undefined || segment.salt === salt)
      .sort((a, b) => a.firstIndex - b.firstIndex || (a.salt < b.salt ? -1 : 1));
  }

  async holders(salt: string, ids: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const segments = await this.segments(salt);
    const holding = (id: string) =>
      segments.filter((segment) => this.#objects.get(segment.id)?.some((object) => object.id === id));
    const found = ids.map((id) => [id, holding(id).map((segment) => segment.id)] as const);
    return new Map(found.filter(([, holders]) => holders.length > 0));
  }

  async objectsIn(segment: string, fromByte: number, toByte: number): Promise<SegmentObject[]> {
    const objects = this.#objects.get(segment) ?? [];
    return objects.filter(({ startByte, sizeBytes }) => startByte < toByte && startByte + sizeBytes > fromByte);
  }

  async close(): Promise<void> {}
}

/** Runs work in the order of the calls. */
export class MemoryLock implements HomeLock {
  #last: Promise<unknown> = Promise.resolve();
  #holders = 0;

  async exclusive<Result>(work: () => Promise<Result>, options: ExclusiveOptions = {}): Promise<Result> {
    if (this.#holders > 0) options.onWait?.();
    this.#holders += 1;
    const turn = this.#last.then(async () => {
      options.signal?.throwIfAborted();
      return await work();
    });
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#holders -= 1;
    }
  }
}

export function memoryPlatform(changed: Partial<AgentPlatform> = {}): AgentPlatform {
  return {
    catalogue: new MemoryCatalogue(),
    dataSets: new MemoryDataSetJournal(),
    preparations: new MemoryPreparations(),
    lock: new MemoryLock(),
    http: {
      transport: async () => {
        throw new TypeError("nobody is there");
      },
    },
    clock: systemClock,
    close: async () => undefined,
    ...changed,
  };
}
