/**
 * Where each object of a bucket is, as far as this process knows: a SQLite database that the bucket can rebuild. It
 * needs no sync: what a crash takes from it is read from the bucket again.
 */
import { rmSync } from "node:fs";
import type { StatementSync } from "node:sqlite";
import { type Database, openDatabase } from "../../index/sqlite.ts";
import { isDamagedIndex } from "../pack/pack-index.ts";
import type { PackedObject } from "./s3-pack.ts";
import type { Removed } from "./s3-removals.ts";

const CACHE_KIB = 32 * 1024;
const PAGE_ROWS = 1000;

const MIGRATIONS = [
  `
  CREATE TABLE packs (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    bytes INTEGER NOT NULL
  ) STRICT;

  -- One row for each pack that has the object: compaction copies objects before it removes the old pack.
  CREATE TABLE objects (
    id TEXT NOT NULL,
    pack INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (id, pack)
  ) STRICT, WITHOUT ROWID;

  CREATE INDEX objects_by_pack ON objects (pack);

  -- Removals that have been applied, and the packs that they name, as a JSON array.
  CREATE TABLE removals (
    name TEXT NOT NULL PRIMARY KEY,
    packs TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
`,
];

export interface Location extends PackedObject {
  /** Name of the pack. */
  readonly pack: string;
}

export interface PackUse {
  readonly name: string;
  readonly bytes: number;
  /** Bytes of objects that no later pack has. */
  readonly liveBytes: number;
}

const toLocation = (row: Record<string, unknown>): Location => ({
  id: String(row.id),
  pack: String(row.name),
  offset: Number(row.offset),
  lengthBytes: Number(row.length),
});

export class S3Index {
  readonly #database: Database;
  readonly #find: StatementSync;
  readonly #addPack: StatementSync;
  readonly #addObject: StatementSync;
  readonly #hasPack: StatementSync;
  readonly #removeObject: StatementSync;
  readonly #page: StatementSync;

  /** Opens the index, or starts a new one in place of one that is damaged. @throws DiskFullError, DiskFailedError */
  static open(file: string): S3Index {
    try {
      return new S3Index(file);
    } catch (error) {
      if (!isDamagedIndex(error)) throw error;
      for (const suffix of ["", "-wal", "-shm"]) rmSync(`${file}${suffix}`, { force: true });
      return new S3Index(file);
    }
  }

  private constructor(file: string) {
    this.#database = openDatabase(file, { migrations: MIGRATIONS });
    this.#database.exec(`PRAGMA synchronous = NORMAL; PRAGMA cache_size = -${CACHE_KIB}`);
    const prepare = (sql: string) => this.#database.prepare(sql);
    this.#find = prepare(
      "SELECT o.*, p.name FROM objects o JOIN packs p ON p.number = o.pack WHERE o.id = ? ORDER BY p.name DESC",
    );
    this.#addPack = prepare("INSERT INTO packs (name, bytes) VALUES (?, ?) ON CONFLICT (name) DO NOTHING");
    this.#addObject = prepare("INSERT OR REPLACE INTO objects (id, pack, offset, length) VALUES (?, ?, ?, ?)");
    this.#hasPack = prepare("SELECT 1 FROM packs WHERE name = ?");
    this.#removeObject = prepare(
      "DELETE FROM objects WHERE id = ? AND pack = (SELECT number FROM packs WHERE name = ?)",
    );
    this.#page = prepare(`SELECT DISTINCT id FROM objects WHERE id > ? ORDER BY id LIMIT ${PAGE_ROWS}`);
  }

  close(): void {
    this.#database.close();
  }

  /** All places of an object; the one in the latest pack comes first. */
  find(id: string): Location[] {
    return this.#find.all(id).map(toLocation);
  }

  hasPack(name: string): boolean {
    return this.#hasPack.get(name) !== undefined;
  }

  addPack(name: string, bytes: number, entries: readonly PackedObject[]): void {
    this.#database.transaction(() => {
      const { changes, lastInsertRowid } = this.#addPack.run(name, bytes);
      // Read by two refreshes at a time, or written by this process and then read.
      if (changes === 0) return;
      for (const { id, offset, lengthBytes } of entries) this.#addObject.run(id, lastInsertRowid, offset, lengthBytes);
    });
  }

  /** Forgets packs that are no longer in the bucket, with what they held. */
  removePacks(names: readonly string[]): void {
    this.#database.transaction(() => {
      for (const name of names) {
        this.#database.prepare("DELETE FROM objects WHERE pack = (SELECT number FROM packs WHERE name = ?)").run(name);
        this.#database.prepare("DELETE FROM packs WHERE name = ?").run(name);
      }
    });
  }

  applyRemoval(name: string, removed: readonly Removed[]): void {
    this.#database.transaction(() => {
      for (const { pack, id } of removed) this.#removeObject.run(id, pack);
      const packs = JSON.stringify([...new Set(removed.map(({ pack }) => pack))]);
      this.#database.prepare("INSERT OR REPLACE INTO removals (name, packs) VALUES (?, ?)").run(name, packs);
    });
  }

  hasRemoval(name: string): boolean {
    return this.#database.prepare("SELECT 1 FROM removals WHERE name = ?").get(name) !== undefined;
  }

  /** Removals that name no pack that is left. */
  spentRemovals(): string[] {
    return this.#database
      .prepare(
        `SELECT name FROM removals r WHERE NOT EXISTS (
           SELECT 1 FROM json_each(r.packs) j JOIN packs p ON p.name = j.value)`,
      )
      .all()
      .map((row) => String(row.name));
  }

  forgetRemoval(name: string): void {
    this.#database.prepare("DELETE FROM removals WHERE name = ?").run(name);
  }

  /** The greatest name of a pack. */
  latestPack(): string | undefined {
    const row = this.#database.prepare("SELECT max(name) AS name FROM packs").get();
    return typeof row?.name === "string" ? row.name : undefined;
  }

  packNames(): string[] {
    return this.#database
      .prepare("SELECT name FROM packs ORDER BY name")
      .all()
      .map((row) => String(row.name));
  }

  /** What of each pack is needed: objects that a later pack has too are not. */
  use(): PackUse[] {
    return this.#database
      .prepare(
        `SELECT p.name, p.bytes, (
           SELECT coalesce(sum(o.length), 0) FROM objects o WHERE o.pack = p.number AND NOT EXISTS (
             SELECT 1 FROM objects l JOIN packs q ON q.number = l.pack WHERE l.id = o.id AND q.name > p.name)
         ) AS live FROM packs p ORDER BY p.name`,
      )
      .all()
      .map((row) => ({ name: String(row.name), bytes: Number(row.bytes), liveBytes: Number(row.live) }));
  }

  /** The objects of a pack that no later pack has, in the order of their places. */
  liveIn(name: string): Location[] {
    return this.#database
      .prepare(
        `SELECT o.*, p.name FROM packs p JOIN objects o ON o.pack = p.number WHERE p.name = ? AND NOT EXISTS (
           SELECT 1 FROM objects l JOIN packs q ON q.number = l.pack WHERE l.id = o.id AND q.name > p.name)
         ORDER BY o.offset`,
      )
      .all(name)
      .map(toLocation);
  }

  /** Ids after one, in their order; at most a page. */
  idsAfter(id: string): string[] {
    return this.#page.all(id).map((row) => String(row.id));
  }
}
