/**
 * Objects in a bucket of an S3 service, in packs: objects that arrive within a few milliseconds share one pack, which
 * one request makes durable with its own index. Any number of processes may use one store.
 *
 *   <name>/packs/<time>-<random>      packs, never changed
 *   <name>/removed/<time>-<random>    which objects of which packs were removed
 *   <name>/belongs-to                 the owner of the store, written once
 *
 * A put is acknowledged after the service has acknowledged the pack; what that means is the service's promise. Ids are
 * content ids, so that copies of an object in several packs are the same bytes.
 */
import { join } from "node:path";
import {
  type MayRemove,
  type NamedBytes,
  type ObjectStore,
  RemovalStoppedError,
  requireRange,
} from "../object-store.ts";
import type { Report } from "../pack/pack-findings.ts";
import { requireCid } from "../require-cid.ts";
import { type ServicePatience, StoreServiceError } from "../store-service.ts";
import { GroupCommit } from "./group-commit.ts";
import { S3Bucket, type S3Settings } from "./s3-bucket.ts";
import { compactBucket } from "./s3-compaction.ts";
import { type Location, S3Index } from "./s3-index.ts";
import { assemblePack, type PackedObject, packName, readPacked, timeOfPack } from "./s3-pack.ts";
import { encodeRemoval, OBJECTS_PER_REMOVAL, type Removed } from "./s3-removals.ts";
import { keysOf, type S3Keys, S3Sync } from "./s3-sync.ts";

/** How long a put waits for others to share its pack. */
const WAIT_MILLISECONDS = 20;
/** Objects of a pack are at most this large together, unless one is larger. */
const PACK_BYTES = 32 * 1024 * 1024;
/** Packs that are written at a time: each is in memory as a whole. */
const PACKS_AT_ONCE = 3;
/** Times that a read follows an object from a pack that compaction has removed to its copy. */
const MOVES = 4;

export interface S3StoreSettings extends S3Settings {
  /** Tells the stores in one bucket apart. */
  readonly name: string;
  /** Folder of this process for the index, which the bucket can rebuild. */
  readonly indexFolder: string;
  readonly waitMilliseconds?: number;
  readonly packBytes?: number;
}

/** Objects that one caller wants to have removed. */
interface Removal {
  readonly ids: readonly string[];
  readonly mayRemove: MayRemove;
}

/** What became of removals that shared a commit. */
interface RemovalOutcome {
  /** Those of the objects that there were. */
  readonly gone: Set<string>;
  /** Those of which nothing was removed, because they might no longer go on. */
  readonly stopped: ReadonlySet<Removal>;
}

export class S3ObjectStore implements ObjectStore {
  readonly #bucket: S3Bucket;
  readonly #index: S3Index;
  readonly #sync: S3Sync;
  readonly #keys: S3Keys;
  readonly #packBytes: number;
  readonly #puts: GroupCommit<readonly NamedBytes[], void>;
  readonly #removals: GroupCommit<Removal, RemovalOutcome>;
  #lastTime = 0;

  private constructor(
    settings: S3StoreSettings,
    index: S3Index,
    report: Report,
    patience: ServicePatience | undefined,
  ) {
    this.#bucket = new S3Bucket(settings, patience);
    this.#index = index;
    this.#keys = keysOf(settings.name);
    this.#sync = new S3Sync(this.#bucket, index, this.#keys, report);
    this.#packBytes = settings.packBytes ?? PACK_BYTES;
    const waitMilliseconds = settings.waitMilliseconds ?? WAIT_MILLISECONDS;
    this.#puts = new GroupCommit(
      {
        waitMilliseconds,
        maximumWeight: this.#packBytes,
        commitsAtOnce: PACKS_AT_ONCE,
        weightOf: (objects) => objects.reduce((sum, { bytes }) => sum + bytes.length, 0),
      },
      (groups) => this.#write(groups.flat()),
    );
    this.#removals = new GroupCommit(
      { waitMilliseconds, maximumWeight: OBJECTS_PER_REMOVAL, commitsAtOnce: 1, weightOf: ({ ids }) => ids.length },
      (removals) => this.#remove(removals),
    );
  }

  /**
   * Opens a store and reads what is new in the bucket.
   * @throws DiskFullError, DiskFailedError for the index; StoreServiceError
   */
  static async open(
    settings: S3StoreSettings,
    report: Report = () => undefined,
    patience?: ServicePatience,
  ): Promise<S3ObjectStore> {
    const index = S3Index.open(join(settings.indexFolder, "s3-index.db"));
    try {
      const store = new S3ObjectStore(settings, index, report, patience);
      await store.#sync.refreshAll();
      return store;
    } catch (error) {
      index.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#puts.drained(), this.#removals.drained()]);
    this.#index.close();
  }

  async put(id: string, bytes: Uint8Array): Promise<void> {
    await this.putMany([{ id, bytes }]);
  }

  async putMany(objects: readonly NamedBytes[]): Promise<void> {
    for (const { id } of objects) requireCid(id);
    if (objects.length > 0) await this.#puts.add(objects);
  }

  /** Writes objects into as many packs as their sizes ask for. */
  async #write(objects: readonly NamedBytes[]): Promise<void> {
    const last = new Map(objects.map((object) => [object.id, object]));
    let group: NamedBytes[] = [];
    let groupBytes = 0;
    for (const object of last.values()) {
      if (group.length > 0 && groupBytes + object.bytes.length > this.#packBytes) {
        await this.#writePack(group);
        group = [];
        groupBytes = 0;
      }
      group.push(object);
      groupBytes += object.bytes.length;
    }
    if (group.length > 0) await this.#writePack(group);
  }

  /** @returns the name of the pack */
  async #writePack(objects: readonly NamedBytes[]): Promise<string> {
    const { pieces, entries } = assemblePack(objects);
    const name = this.#newName();
    await this.#bucket.put(`${this.#keys.packs}${name}`, pieces);
    const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#index.addPack(name, sizeBytes, entries);
    return name;
  }

  /** Greater than every name that is known here, whatever the clock says: a copy must be in a later pack. */
  #newName(): string {
    const latest = this.#index.latestPack();
    this.#lastTime = Math.max(Date.now(), this.#lastTime + 1, latest === undefined ? 0 : timeOfPack(latest) + 1);
    return packName(this.#lastTime);
  }

  async get(id: string): Promise<Uint8Array | undefined> {
    return await this.#read(id, (key, at) => readPacked(this.#bucket, key, at));
  }

  /** The bytes of a part cannot be checked against the id. */
  async getRange(id: string, offset: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    requireRange(offset, lengthBytes);
    return await this.#read(id, async (key, at) => {
      const length = Math.max(0, Math.min(lengthBytes, at.lengthBytes - offset));
      if (length === 0) return new Uint8Array();
      return await this.#bucket.getRange(key, at.offset + offset, length, `object ${id} in ${key}`);
    });
  }

  /** @param read undefined when the pack is gone @throws StoreServiceError, also when the service contradicts itself */
  async #read(
    id: string,
    read: (key: string, at: PackedObject) => Promise<Uint8Array | undefined>,
  ): Promise<Uint8Array | undefined> {
    requireCid(id);
    let contradiction: string | undefined;
    for (let moves = 0; moves < MOVES; moves++) {
      const at = await this.#locate(id);
      if (at === undefined) return undefined;
      const key = `${this.#keys.packs}${at.pack}`;
      const bytes = await read(key, at);
      if (bytes !== undefined) return bytes;
      // One wrong answer must not make all objects of a pack count as lost: a listing is asked too.
      contradiction = (await this.#bucket.lists(key)) ? key : undefined;
      // Compaction by another process removed the pack, after it wrote the copy that the next listing shows.
      if (contradiction === undefined) this.#index.removePacks([at.pack]);
    }
    if (contradiction === undefined) return undefined;
    const failure = { reason: "it lists the object, and says that there is none", passing: true };
    throw new StoreServiceError("the S3 service", `reading ${contradiction}`, failure, undefined);
  }

  /** Where an object is. What this process does not know may be in the bucket all the same. */
  async #locate(id: string): Promise<Location | undefined> {
    const [known] = this.#index.find(id);
    if (known !== undefined) return known;
    await this.#sync.refresh();
    return this.#index.find(id)[0];
  }

  async has(id: string): Promise<boolean> {
    return (await this.size(id)) !== undefined;
  }

  async size(id: string): Promise<number | undefined> {
    requireCid(id);
    return (await this.#locate(id))?.lengthBytes;
  }

  async delete(id: string): Promise<boolean> {
    return (await this.deleteMany([id])) === 1;
  }

  async deleteMany(ids: readonly string[], mayRemove: MayRemove = () => true): Promise<number> {
    for (const id of ids) requireCid(id);
    let removed = 0;
    const wanted = [...new Set(ids)];
    for (let first = 0; first < wanted.length; first += OBJECTS_PER_REMOVAL) {
      const removal = { ids: wanted.slice(first, first + OBJECTS_PER_REMOVAL), mayRemove };
      const { gone, stopped } = await this.#removals.add(removal);
      if (stopped.has(removal)) throw new RemovalStoppedError();
      // Calls that share a commit share its outcome: an object counts for the first of them.
      removed += removal.ids.filter((id) => gone.delete(id)).length;
    }
    return removed;
  }

  /**
   * Which copies are removed is decided in one step with the question whether they may be. The request after that may
   * take its time, and be repeated: it names packs, and an object that is stored anew is in another one.
   */
  async #remove(removals: readonly Removal[]): Promise<RemovalOutcome> {
    // Another process may have written objects, or copies of objects, that are not known here.
    await this.#sync.refresh();
    const stopped = new Set(removals.filter(({ mayRemove }) => !mayRemove()));
    const ids = new Set(removals.flatMap((removal) => (stopped.has(removal) ? [] : removal.ids)));
    const removed = [...ids].flatMap((id) => this.#index.find(id).map(({ pack }) => ({ pack, id })));
    await this.#writeRemovals(removed);
    return { gone: new Set(removed.map(({ id }) => id)), stopped };
  }

  async #writeRemovals(removed: readonly Removed[]): Promise<void> {
    for (let first = 0; first < removed.length; first += OBJECTS_PER_REMOVAL) {
      const part = removed.slice(first, first + OBJECTS_PER_REMOVAL);
      const name = this.#newName();
      await this.#bucket.put(`${this.#keys.removals}${name}`, [encodeRemoval(part)]);
      this.#index.applyRemoval(name, part);
    }
  }

  async compact(signal?: AbortSignal): Promise<number> {
    const parts = { bucket: this.#bucket, index: this.#index, sync: this.#sync, keys: this.#keys };
    const write = (objects: readonly NamedBytes[]) => this.#writePack(objects);
    const remove = (removed: readonly Removed[]) => this.#writeRemovals(removed);
    return await compactBucket({ ...parts, packBytes: this.#packBytes, write, remove }, signal);
  }

  async *list(): AsyncGenerator<string, void, undefined> {
    await this.#sync.refresh();
    for (let after = ""; ; ) {
      const ids = this.#index.idsAfter(after);
      yield* ids;
      const last = ids.at(-1);
      if (last === undefined) return;
      after = last;
    }
  }

  async claim(owner: string): Promise<string> {
    // Asked first, because a service without conditional writes would replace what another process wrote.
    const before = await this.owner();
    if (before !== undefined) return before;
    await this.#bucket.putIfAbsent(this.#keys.owner, new TextEncoder().encode(owner));
    return (await this.owner()) ?? owner;
  }

  async owner(): Promise<string | undefined> {
    const bytes = await this.#bucket.get(this.#keys.owner, 1024);
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  }
}
