/**
 * Where each object of a folder of packs is: a SQLite database that the packs can rebuild. It needs no sync of its own:
 * a row of `packs` says up to which byte a pack is in the index, and what comes after it is read again at the next
 * start.
 *
 * A database rather than a table in memory: ten million objects would take about 1 GiB as a JavaScript map and 450 MB
 * as packed arrays; here they take the page cache that `CACHE_KIB` allows, and about 100 bytes of disk each.
 */
import type { StatementSync } from "node:sqlite";
import { DiskFailedError } from "../../disk/disk-errors.ts";
import { type Database, openDatabase } from "../../index/sqlite.ts";

const CACHE_KIB = 32 * 1024;
const PAGE_ROWS = 1000;

const MIGRATIONS = [
  `
  CREATE TABLE packs (
    number INTEGER PRIMARY KEY,
    salt BLOB NOT NULL,
    -- Bytes that are in the index.
    bytes INTEGER NOT NULL,
    -- Bytes of records that are the latest of their object.
    live_bytes INTEGER NOT NULL DEFAULT 0,
    removal_bytes INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1))
  ) STRICT;

  CREATE TABLE objects (
    id TEXT NOT NULL PRIMARY KEY,
    pack INTEGER NOT NULL,
    -- Where the bytes of the object start.
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    -- The first pack that may hold an earlier record of the object.
    first_pack INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`,
];

/** Where an object is. */
export interface Location {
  readonly pack: number;
  /** Of the bytes, after the head. */
  readonly offset: number;
  readonly lengthBytes: number;
  /** No pack before this one holds a record of the object. */
  readonly firstPack: number;
}

export interface IndexedObject extends Location {
  readonly id: string;
}

export interface PackRow {
  readonly number: number;
  readonly salt: Uint8Array;
  readonly bytes: number;
  readonly liveBytes: number;
  readonly removalBytes: number;
  readonly complete: boolean;
}

/** What one commit changes. */
export interface IndexChanges {
  /** The new location of each object; undefined for one that was removed. */
  readonly objects: ReadonlyMap<string, Location | undefined>;
  /** Change of `liveBytes` by pack. */
  readonly liveBytes: ReadonlyMap<number, number>;
  /** The pack that was written, its new length, and what its removals take. */
  readonly pack: { readonly number: number; readonly bytes: number; readonly addedRemovalBytes: number };
}

const toLocation = (row: Record<string, unknown>): Location => ({
  pack: Number(row.pack),
  offset: Number(row.offset),
  lengthBytes: Number(row.length),
  firstPack: Number(row.first_pack),
});

const toPack = (row: Record<string, unknown>): PackRow => ({
  number: Number(row.number),
  salt: row.salt as Uint8Array,
  bytes: Number(row.bytes),
  liveBytes: Number(row.live_bytes),
  removalBytes: Number(row.removal_bytes),
  complete: row.complete === 1,
});

/** An object that two indexes do not have in the same place, or that one of them lacks. */
export interface IndexDifference {
  readonly id: string;
  readonly here: Location | undefined;
  readonly there: Location | undefined;
}

/** Result codes of https://sqlite.org/rescode.html: SQLITE_CORRUPT and SQLITE_NOTADB. */
const DAMAGED_CODES: readonly unknown[] = [11, 26];

/** Whether an error says that the file of the index is damaged. The packs can replace it then. */
export function isDamagedIndex(error: unknown): boolean {
  if (!(error instanceof DiskFailedError) || !(error.cause instanceof Error) || !("errcode" in error.cause)) {
    return false;
  }
  return DAMAGED_CODES.includes(Number(error.cause.errcode) & 0xff);
}

export class PackIndex {
  readonly #database: Database;
  readonly #find: StatementSync;
  readonly #set: StatementSync;
  readonly #remove: StatementSync;
  readonly #addLive: StatementSync;
  readonly #advance: StatementSync;
  readonly #page: StatementSync;

  /**
   * @param isScratch for a new index that a crash may destroy: nothing is logged, and nothing waits for the disk
   * @throws DiskFullError, DiskFailedError, also for a database that is damaged; UnknownVersionError
   */
  constructor(path: string, isScratch = false) {
    this.#database = openDatabase(path, { migrations: MIGRATIONS });
    try {
      // The packs are what is durable. Without sync the log keeps its order, so that a crash loses its end alone.
      const modes = isScratch ? "main.journal_mode = OFF; PRAGMA main.synchronous = OFF" : "synchronous = NORMAL";
      this.#database.exec(`PRAGMA ${modes}; PRAGMA cache_size = -${CACHE_KIB}`);
      this.#find = this.#database.prepare("SELECT * FROM objects WHERE id = ?");
      this.#set = this.#database.prepare(
        "INSERT OR REPLACE INTO objects (id, pack, offset, length, first_pack) VALUES (?, ?, ?, ?, ?)",
      );
      this.#remove = this.#database.prepare("DELETE FROM objects WHERE id = ?");
      this.#addLive = this.#database.prepare("UPDATE packs SET live_bytes = live_bytes + ? WHERE number = ?");
      this.#advance = this.#database.prepare(
        "UPDATE packs SET bytes = ?, removal_bytes = removal_bytes + ? WHERE number = ?",
      );
      this.#page = this.#database.prepare(`SELECT * FROM objects WHERE id > ? ORDER BY id LIMIT ${PAGE_ROWS}`);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  close(): void {
    this.#database.close();
  }

  find(id: string): Location | undefined {
    const row = this.#find.get(id);
    return row === undefined ? undefined : toLocation(row);
  }

  /** @returns the locations of those that are there */
  findMany(ids: readonly string[]): ReadonlyMap<string, Location> {
    const rows = this.#database
      .prepare("SELECT objects.* FROM json_each(?) AS wanted CROSS JOIN objects ON objects.id = wanted.value")
      .all(JSON.stringify(ids));
    return new Map(rows.map((row) => [String(row.id), toLocation(row)]));
  }

  /** Makes a commit visible. All of it or none is. */
  apply({ objects, liveBytes, pack }: IndexChanges): void {
    this.#database.transaction(() => {
      for (const [id, at] of objects) {
        if (at === undefined) this.#remove.run(id);
        else this.#set.run(id, at.pack, at.offset, at.lengthBytes, at.firstPack);
      }
      for (const [number, change] of liveBytes) this.#addLive.run(change, number);
      this.#advance.run(pack.bytes, pack.addedRemovalBytes, pack.number);
    });
  }

  packs(): PackRow[] {
    return this.#database.prepare("SELECT * FROM packs ORDER BY number").all().map(toPack);
  }

  addPack(number: number, salt: Uint8Array, bytes: number): void {
    this.#database.prepare("INSERT INTO packs (number, salt, bytes) VALUES (?, ?, ?)").run(number, salt, bytes);
  }

  /** What is wrong with the database itself; undefined when nothing is. Reads all of it. */
  problem(): string | undefined {
    try {
      const result = String(Object.values(this.#database.prepare("PRAGMA quick_check(1)").get() ?? {})[0]);
      return result === "ok" ? undefined : result;
    } catch (error) {
      if (!isDamagedIndex(error)) throw error;
      return "it cannot be read";
    }
  }

  /** Has the next start look at what follows the records of the last pack: the end of a write that was cut off. */
  reopenLastPack(): void {
    this.#database.exec("UPDATE packs SET complete = 0 WHERE number = (SELECT max(number) FROM packs)");
  }

  /** Notes that a pack takes no more records. */
  completePack(number: number, bytes: number): void {
    this.#database.prepare("UPDATE packs SET complete = 1, bytes = ? WHERE number = ?").run(bytes, number);
  }

  /** Forgets a pack, and the objects in it. @returns the ids of up to `listed` of them, and how many there were */
  removePack(number: number, listed = 20): { ids: string[]; count: number } {
    return this.#database.transaction(() => {
      const ids = this.#database
        .prepare("SELECT id FROM objects WHERE pack = ? ORDER BY id LIMIT ?")
        .all(number, listed)
        .map((row) => String(row.id));
      const { changes } = this.#database.prepare("DELETE FROM objects WHERE pack = ?").run(number);
      this.#database.prepare("DELETE FROM packs WHERE number = ?").run(number);
      return { ids, count: Number(changes) };
    });
  }

  /** Forgets a pack that holds no object any more. */
  removeEmptyPack(number: number): void {
    this.#database.prepare("DELETE FROM packs WHERE number = ?").run(number);
  }

  /** All objects in the order of their ids, a page at a time; rows may be written during the walk. */
  *pages(): Generator<readonly IndexedObject[], void, undefined> {
    let after = "";
    for (;;) {
      const rows = this.#page.all(after).map((row) => ({ id: String(row.id), ...toLocation(row) }));
      const last = rows.at(-1);
      if (last === undefined) return;
      yield rows;
      after = last.id;
    }
  }

  /**
   * Objects that another index does not have, or has elsewhere, in the order of their ids; then those that this one
   * does not have. Compared by the database: rows that are equal, nearly all, never become objects of JavaScript.
   * @param path file of the other index
   */
  *differences(path: string): Generator<IndexDifference, void, undefined> {
    this.#database.prepare("ATTACH DATABASE ? AS other").run(path);
    try {
      const differ = `SELECT here.*, there.pack AS other_pack, there.offset AS other_offset,
          there.length AS other_length, there.first_pack AS other_first_pack
        FROM main.objects AS here LEFT JOIN other.objects AS there ON there.id = here.id
        WHERE (there.pack, there.offset, there.length) IS NOT (here.pack, here.offset, here.length)
        ORDER BY here.id`;
      for (const row of this.#database.prepare(differ).iterate() as Iterable<Record<string, unknown>>) {
        const { other_pack: pack, other_offset: offset, other_length: length, other_first_pack: first_pack } = row;
        const there = pack === null ? undefined : toLocation({ pack, offset, length, first_pack });
        yield { id: String(row.id), here: toLocation(row), there };
      }
      const absent = `SELECT there.* FROM other.objects AS there LEFT JOIN main.objects AS here ON here.id = there.id
        WHERE here.id IS NULL ORDER BY there.id`;
      for (const row of this.#database.prepare(absent).iterate() as Iterable<Record<string, unknown>>) {
        yield { id: String(row.id), here: undefined, there: toLocation(row) };
      }
    } finally {
      this.#database.exec("DETACH DATABASE other");
    }
  }

  /** Objects of one pack in the order of their places; reads the whole index. */
  inPack(number: number): IndexedObject[] {
    return this.#database
      .prepare("SELECT * FROM objects WHERE pack = ? ORDER BY offset")
      .all(number)
      .map((row) => ({ id: String(row.id), ...toLocation(row) }));
  }
}
