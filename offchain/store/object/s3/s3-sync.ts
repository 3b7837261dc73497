/**
 * Keeps the index of this process up to date with the bucket, which other processes write to as well. Packs and
 * removals are never changed, so the index needs what is new. An answer that an object is absent is given only after
 * the bucket was listed.
 *
 * A listing starts a while before the latest pack that is known: another machine's clock may be behind, and its request
 * may have been under way for long. Every start, and every compaction, lists everything.
 */
import PQueue from "p-queue";
import type { Report } from "../pack/pack-findings.ts";
import type { ListedObject, S3Bucket } from "./s3-bucket.ts";
import type { S3Index } from "./s3-index.ts";
import { PACK_NAME, readPack, timeOfPack } from "./s3-pack.ts";
import { decodeRemoval, MAXIMUM_REMOVAL_BYTES, type Removed } from "./s3-removals.ts";

/** How far clocks may be apart, with the longest time that a request may take. */
const OVERLAP_MILLISECONDS = 3_600_000;
const READS_AT_ONCE = 8;

/** The keys of a store in its bucket. */
export interface S3Keys {
  readonly packs: string;
  readonly removals: string;
  readonly owner: string;
}

export function keysOf(name: string): S3Keys {
  return { packs: `${name}/packs/`, removals: `${name}/removed/`, owner: `${name}/belongs-to` };
}

export class S3Sync {
  readonly #bucket: S3Bucket;
  readonly #index: S3Index;
  readonly #keys: S3Keys;
  readonly #report: Report;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(bucket: S3Bucket, index: S3Index, keys: S3Keys, report: Report) {
    this.#bucket = bucket;
    this.#index = index;
    this.#keys = keys;
    this.#report = report;
  }

  /**
   * Reads what is new. A call that arrives while one is under way may have come after its listing, so it joins the
   * next.
   * @throws StoreServiceError
   */
  refresh(): Promise<void> {
    if (this.#running === undefined) return this.#start();
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#start();
      });
    return this.#next;
  }

  #start(): Promise<void> {
    const latest = this.#index.latestPack();
    const after = latest === undefined ? 0 : timeOfPack(latest) - OVERLAP_MILLISECONDS;
    this.#running = this.#read(Math.max(after, 0)).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /**
   * Reads the whole bucket, and forgets what is no longer there. A pack that a listing leaves out is asked for by its
   * name before: no later listing but that of a start or a compaction would find it again, and until then its objects
   * would count as lost.
   * @throws StoreServiceError
   */
  async refreshAll(): Promise<void> {
    // Packs that this process writes during the listing may be missing from it, so they are not among the candidates.
    const known = this.#index.packNames();
    const listed = new Set<string>();
    await this.#read(0, (name) => listed.add(name));
    const queue = new PQueue({ concurrency: READS_AT_ONCE });
    const outcomes = await Promise.allSettled(
      known
        .filter((name) => !listed.has(name))
        .map((name) =>
          queue.add(async () => ({ name, isThere: await this.#bucket.has(`${this.#keys.packs}${name}`) })),
        ),
    );
    const gone = outcomes.flatMap((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value.isThere ? [] : [outcome.value.name];
    });
    this.#index.removePacks(gone);
  }

  /**
   * Removals are listed first: the packs that one names were there before it, so the listing of packs has them.
   * @param afterMilliseconds time from which packs and removals are listed
   */
  async #read(afterMilliseconds: number, seen: (pack: string) => void = () => undefined): Promise<void> {
    const after = afterMilliseconds.toString(16).padStart(12, "0");
    const removals: { name: string; removed: Removed[] }[] = [];
    await this.#eachNew(
      this.#keys.removals,
      after,
      (name) => this.#index.hasRemoval(name),
      async (name) => {
        const removed = await this.#readRemoval(name);
        if (removed !== undefined) removals.push({ name, removed });
      },
    );
    await this.#eachNew(
      this.#keys.packs,
      after,
      (name) => {
        seen(name);
        return this.#index.hasPack(name);
      },
      (name, { key, sizeBytes }) => this.#readPack(name, key, sizeBytes),
    );
    for (const { name, removed } of removals) this.#index.applyRemoval(name, removed);
  }

  async #eachNew(
    prefix: string,
    after: string,
    isKnown: (name: string) => boolean,
    read: (name: string, listed: ListedObject) => Promise<void>,
  ): Promise<void> {
    for await (const page of this.#bucket.list(prefix, `${prefix}${after}`)) {
      const queue = new PQueue({ concurrency: READS_AT_ONCE });
      const outcomes = await Promise.allSettled(
        page.map(async (listed) => {
          const name = listed.key.slice(prefix.length);
          if (!PACK_NAME.test(name)) return this.#report({ damage: "foreign file", file: listed.key });
          if (!isKnown(name)) await queue.add(() => read(name, listed));
        }),
      );
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    }
  }

  async #readPack(name: string, key: string, sizeBytes: number): Promise<void> {
    const reading = await readPack(this.#bucket, key, sizeBytes);
    // Compaction by another process removed it between the listing and now.
    if (reading === undefined) return;
    if (reading.isDamaged) {
      this.#report({ damage: "pack contents damaged", file: key, objects: reading.entries.length });
    }
    this.#index.addPack(name, sizeBytes, reading.entries);
  }

  async #readRemoval(name: string): Promise<Removed[] | undefined> {
    const key = `${this.#keys.removals}${name}`;
    const bytes = await this.#bucket.get(key, MAXIMUM_REMOVAL_BYTES);
    if (bytes === undefined) return undefined;
    const removed = decodeRemoval(bytes);
    // Objects that were removed come back; whoever compares them with an index removes them again.
    if (removed === undefined) this.#report({ damage: "record unreadable", file: key });
    return removed;
  }
}
