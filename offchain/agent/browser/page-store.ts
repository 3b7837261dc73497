/**
 * What the agent keeps in a page: one IndexedDB database per name, in the storage of the page's origin. Writes use
 * strict durability: once their promise resolves, they are on disk (W3C Indexed Database API 3.0, section 2.7.1). The
 * browser may evict the whole database unless it granted `navigator.storage.persist()`.
 */

import { type DBSchema, type IDBPDatabase, type IDBPTransaction, openDB, type StoreNames } from "idb";
import { InvalidInputError, TallystickError, UnknownVersionError } from "../../core/errors.ts";
import type { KeystoreJson } from "../../core/identity/keystore.ts";
import type { HeadName } from "../../core/snapshot/list-objects.ts";
import type { CataloguedPut } from "../catalogue.ts";
import type { JournaledDataSet, JournaledSegment } from "../data-sets/journal.ts";

/** Version of the schema below. */
const SCHEMA_VERSION = 1;

export interface PreparationRow {
  readonly salt: string;
  /** Milliseconds since the epoch. */
  readonly writtenAt: number;
  /** Absent until the preparation is finished. */
  readonly manifest?: Uint8Array;
}

/** Where an object lies in a segment of a data set. One object may lie in several segments. */
export interface SegmentObjectRow {
  readonly salt: string;
  readonly object: string;
  readonly segment: string;
  readonly startByte: number;
  readonly sizeBytes: number;
}

export interface PageSchema extends DBSchema {
  /** One row, under the key `owner`: the address of the account. */
  account: { key: string; value: string };
  /** Under the key `user`, and while a rotation is under way also `successor`. */
  keystore: { key: string; value: KeystoreJson };
  puts: { key: string; value: CataloguedPut };
  /** Newest head seen of each snapshot list, by the name of the list. */
  listHeads: { key: string; value: HeadName };
  preparations: { key: string; value: PreparationRow; indexes: { byTime: number } };
  /** Tags in pieces of equal length, by salt and number of the piece. */
  tags: { key: [string, number]; value: Uint8Array };
  dataSets: { key: string; value: JournaledDataSet };
  segments: { key: string; value: JournaledSegment };
  segmentObjects: {
    key: [salt: string, object: string, segment: string];
    value: SegmentObjectRow;
    indexes: { byPlace: [segment: string, startByte: number] };
  };
}

type Names = StoreNames<PageSchema>[];
type Work<Stores extends Names, Mode extends IDBTransactionMode, Result> = (
  transaction: IDBPTransaction<PageSchema, Stores, Mode>,
) => Promise<Result>;

/** The database of a page under a name, open. */
export class PageStore {
  readonly name: string;
  readonly #database: IDBPDatabase<PageSchema>;

  private constructor(name: string, database: IDBPDatabase<PageSchema>) {
    this.name = name;
    this.#database = database;
  }

  /**
   * Opens the database, and makes it if it is absent.
   *
   * @throws InvalidInputError for an empty name
   * @throws UnknownVersionError when a newer build has written it
   * @throws TallystickError DISK_FULL, DISK_FAILED; the latter also where pages have no storage, as in some private
   *   windows
   */
  static async open(name: string): Promise<PageStore> {
    if (name === "") throw new InvalidInputError("the store has no name", { party: "you", check: "name of the store" });
    if (typeof indexedDB === "undefined") throw noStorage(name);
    try {
      return new PageStore(name, await openDB<PageSchema>(databaseName(name), SCHEMA_VERSION, { upgrade, blocking }));
    } catch (error) {
      if (error instanceof DOMException && error.name === "VersionError")
        throw new UnknownVersionError(`store ${name}`, "newer", [SCHEMA_VERSION]);
      throw storageError(`opening store ${name}`, error);
    }
  }

  /** Opens the database for some work, and closes it. @throws as `open`; whatever the work throws */
  static async during<Result>(name: string, work: (store: PageStore) => Promise<Result>): Promise<Result> {
    const store = await PageStore.open(name);
    try {
      return await work(store);
    } finally {
      store.close();
    }
  }

  /** @throws TallystickError DISK_FAILED */
  async read<Stores extends Names, Result>(stores: Stores, work: Work<Stores, "readonly", Result>): Promise<Result> {
    return await this.#run(stores, "readonly", work);
  }

  /**
   * All of the writes or none. Durable when the promise resolves.
   *
   * @param work may wait for requests of the transaction only: it ends when none is pending
   * @throws TallystickError DISK_FULL, DISK_FAILED; whatever the work throws
   */
  async write<Stores extends Names, Result>(stores: Stores, work: Work<Stores, "readwrite", Result>): Promise<Result> {
    return await this.#run(stores, "readwrite", work);
  }

  /** Waits for no one: transactions that are running end first. May be called twice. */
  close(): void {
    this.#database.close();
  }

  async #run<Stores extends Names, Mode extends "readonly" | "readwrite", Result>(
    stores: Stores,
    mode: Mode,
    work: Work<Stores, Mode, Result>,
  ): Promise<Result> {
    const what = `${mode === "readonly" ? "reading" : "writing"} store ${this.name}`;
    let transaction: IDBPTransaction<PageSchema, Stores, Mode>;
    try {
      transaction = this.#database.transaction(stores, mode, { durability: "strict" });
    } catch (error) {
      throw storageError(what, error);
    }
    // A failure is reported once, below.
    transaction.done.catch(() => undefined);
    try {
      const result = await work(transaction);
      await transaction.done;
      return result;
    } catch (error) {
      const cause = transaction.error ?? error;
      abort(transaction);
      throw storageError(what, cause);
    }
  }
}

/** Database, and lock, of a store. Other scripts of the origin may use storage as well. */
export function databaseName(name: string): string {
  return `tallystick/${name}`;
}

function upgrade(database: IDBPDatabase<PageSchema>): void {
  database.createObjectStore("account");
  database.createObjectStore("keystore");
  database.createObjectStore("listHeads");
  database.createObjectStore("puts", { keyPath: "dataId" });
  database.createObjectStore("preparations", { keyPath: "salt" }).createIndex("byTime", "writtenAt");
  database.createObjectStore("tags");
  database.createObjectStore("dataSets", { keyPath: "salt" });
  database.createObjectStore("segments", { keyPath: "id" });
  database
    .createObjectStore("segmentObjects", { keyPath: ["salt", "object", "segment"] })
    .createIndex("byPlace", ["segment", "startByte"], { unique: true });
}

/** Another tab opens the store with a newer build, or deletes it. This tab reports DISK_FAILED from then on. */
function blocking(_current: number, _blocked: number | null, event: IDBVersionChangeEvent): void {
  if (event.target instanceof IDBDatabase) event.target.close();
}

/** Ends a transaction whose work has failed. One that has ended already refuses. */
function abort(transaction: { abort(): void }): void {
  try {
    transaction.abort();
  } catch {
    return;
  }
}

/** Failures of the browser's storage as typed errors. Others pass through. */
/** Server-side rendering, or a browser whose storage is disabled. */
function noStorage(name: string): TallystickError {
  return new TallystickError(`opening store ${name}: there is no IndexedDB`, {
    code: "DISK_FAILED",
    party: "this browser",
    check: "storage of the page",
    hint: "run this in a page, and allow the page to store data",
  });
}

function storageError(what: string, error: unknown): unknown {
  if (!(error instanceof DOMException)) return error;
  if (error.name === "QuotaExceededError") {
    return new TallystickError(`${what}: no space left`, {
      code: "DISK_FULL",
      party: "this browser",
      check: "storage quota of the page",
      hint: "free some space, or let the page call navigator.storage.persist(); what was acknowledged is not lost",
      cause: error,
    });
  }
  return new TallystickError(`${what}: ${error.name}`, {
    code: "DISK_FAILED",
    party: "this browser",
    check: "storage of the page",
    received: error.message,
    hint: "reload the page; if its storage was cleared, recover from the phrase",
    cause: error,
  });
}
