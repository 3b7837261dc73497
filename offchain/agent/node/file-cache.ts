/**
 * The file cache in a database of the home folder, beside the catalogue. Values hold keys of contents, so pages are
 * sealed with a key of the identity. A cache is only a cache: a damaged one, or one of another identity, is empty.
 */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { StatementSync } from "node:sqlite";
import { aes256GcmOpen, aes256GcmSeal, randomBytes, sha256 } from "#primitives";
import { kdf } from "../../core/crypto/kdf.ts";
import { TallystickError } from "../../core/errors.ts";
import { pathToBytes } from "../../core/recipe/path-name.ts";
import { type Database, openDatabase } from "../../store/index/sqlite.ts";
import type { FileCache, FileCacheOptions, FileCacheSession, RememberedKind } from "../platform.ts";
import { FileCacheList, type PageStore } from "./file-cache-list.ts";

const MIGRATIONS = [
  `
  -- One root in one scope.
  CREATE TABLE lists (
    list INTEGER NOT NULL PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    used_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE pages (
    list INTEGER NOT NULL REFERENCES lists ON DELETE CASCADE,
    first_key BLOB NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (list, first_key)
  ) STRICT, WITHOUT ROWID;
  -- What was remembered of contents, by kind and digest.
  CREATE TABLE contents (
    name BLOB NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL,
    used_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
];

const NONCE_BYTES = 12;
const DAY_SECONDS = 86_400;
/** What no put has used for so long is removed. */
const UNUSED_SECONDS = 90 * DAY_SECONDS;

export function fileCachePath(homeDir: string): string {
  return join(homeDir, "files.db");
}

export class SqliteFileCache implements FileCache {
  readonly #path: string;
  #database: Database | undefined;

  /** Nothing is opened before it is needed. */
  constructor(path: string) {
    this.#path = path;
  }

  open(options: FileCacheOptions): SqliteCacheSession {
    this.#database ??= openOrStartAnew(this.#path);
    return new SqliteCacheSession(this.#database, options);
  }

  forget(): void {
    if (this.#database === undefined && !existsSync(this.#path)) return;
    this.#database ??= openOrStartAnew(this.#path);
    // Asked for every object that is found lost.
    const isEmpty =
      this.#database.prepare("SELECT 1 FROM pages UNION ALL SELECT 1 FROM contents LIMIT 1").get() === undefined;
    // Lists stay: another put may be writing pages of them.
    if (!isEmpty) this.#database.exec("DELETE FROM pages; DELETE FROM contents");
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }
}

/** @throws DiskFullError; DiskFailedError when not even an empty one can be opened */
function openOrStartAnew(path: string): Database {
  const open = () => {
    const database = openDatabase(path, { migrations: MIGRATIONS });
    // Losing the newest records with a power loss costs reading the files again.
    database.exec("PRAGMA synchronous = NORMAL");
    return database;
  };
  try {
    return open();
  } catch (error) {
    if (!(error instanceof TallystickError) || error.retryable) throw error;
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
    return open();
  }
}

/** See `FileCacheSession`; the sources of this platform also take lists of roots from it. */
export class SqliteCacheSession implements FileCacheSession {
  readonly #database: Database;
  readonly #key: Uint8Array;
  readonly #scope: Uint8Array;
  readonly #now: number;
  readonly #distrusted: boolean;
  readonly #isReadOnly: boolean;
  readonly #lists = new Map<string, FileCacheList>();
  readonly #find: StatementSync;
  readonly #save: StatementSync;

  constructor(database: Database, options: FileCacheOptions) {
    const { scope, secret, nowSeconds, distrusted = false, isReadOnly = false } = options;
    this.#database = database;
    this.#key = kdf(secret, "file-cache");
    this.#scope = sha256(pathToBytes(scope));
    this.#now = nowSeconds;
    this.#distrusted = distrusted;
    this.#isReadOnly = isReadOnly;
    this.#find = database.prepare("SELECT sealed FROM contents WHERE name = ?");
    this.#save = database.prepare(
      `INSERT INTO contents (name, sealed, used_at) VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, used_at = excluded.used_at`,
    );
  }

  /** @param root its absolute path */
  list(root: string): FileCacheList {
    const found = this.#lists.get(root);
    if (found !== undefined) return found;
    const name = this.#name("root", pathToBytes(root));
    this.#database
      .prepare(
        "INSERT INTO lists (name, used_at) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET used_at = excluded.used_at",
      )
      .run(name, this.#now);
    const list = Number(this.#database.prepare("SELECT list FROM lists WHERE name = ?").get(name)?.list);
    const opened = new FileCacheList(this.#pages(list, name), {
      distrusted: this.#distrusted,
      isReadOnly: this.#isReadOnly,
    });
    this.#lists.set(root, opened);
    return opened;
  }

  find(kind: RememberedKind, digest: Uint8Array): Uint8Array | undefined {
    if (this.#distrusted) return undefined;
    const name = this.#name(kind, digest);
    return this.#opened(this.#find.get(name)?.sealed, name);
  }

  remember(kind: RememberedKind, digest: Uint8Array, value: Uint8Array): void {
    const name = this.#name(kind, digest);
    this.#save.run(name, this.#sealed(value, name), this.#now);
  }

  finish(): void {
    for (const list of this.#lists.values()) list.finish();
    const before = this.#now - UNUSED_SECONDS;
    this.#database.prepare("DELETE FROM lists WHERE used_at < ?").run(before);
    this.#database.prepare("DELETE FROM contents WHERE used_at < ?").run(before);
    this.close();
  }

  close(): void {
    this.#lists.clear();
    this.#key.fill(0);
  }

  /** Names tell nothing about paths or contents. */
  #name(kind: "root" | RememberedKind, what: Uint8Array): Uint8Array {
    return sha256(Buffer.concat([this.#key, this.#scope, pathToBytes(kind), what]));
  }

  #pages(list: number, name: Uint8Array): PageStore {
    const database = this.#database;
    const next = database.prepare(
      "SELECT first_key, sealed FROM pages WHERE list = ? AND first_key > ? ORDER BY first_key LIMIT 1",
    );
    const start = database.prepare("SELECT first_key, sealed FROM pages WHERE list = ? ORDER BY first_key LIMIT 1");
    const remove = database.prepare("DELETE FROM pages WHERE list = ? AND first_key = ?");
    const removeFrom = database.prepare("DELETE FROM pages WHERE list = ? AND first_key >= ?");
    const insert = database.prepare(
      `INSERT INTO pages (list, first_key, sealed) VALUES (?, ?, ?)
       ON CONFLICT (list, first_key) DO UPDATE SET sealed = excluded.sealed`,
    );
    const about = (first: Uint8Array) => Buffer.concat([name, first]);
    return {
      next: (after) => {
        const row = after === undefined ? start.get(list) : next.get(list, after);
        if (row === undefined || !(row.first_key instanceof Uint8Array)) return undefined;
        const first = row.first_key;
        return { first, page: this.#opened(row.sealed, about(first)) ?? new Uint8Array() };
      },
      replace: (old, pages) => {
        database.transaction(() => {
          if (old !== undefined) remove.run(list, old);
          for (const { first, page } of pages) insert.run(list, first, this.#sealed(page, about(first)));
        });
      },
      removeFrom: (first) => {
        removeFrom.run(list, first);
      },
    };
  }

  #sealed(plaintext: Uint8Array, about: Uint8Array): Uint8Array {
    const nonce = randomBytes(NONCE_BYTES);
    return Buffer.concat([nonce, aes256GcmSeal(this.#key, nonce, about, plaintext)]);
  }

  #opened(sealed: unknown, about: Uint8Array): Uint8Array | undefined {
    if (!(sealed instanceof Uint8Array) || sealed.length < NONCE_BYTES) return undefined;
    return aes256GcmOpen(this.#key, sealed.subarray(0, NONCE_BYTES), about, sealed.subarray(NONCE_BYTES));
  }
}
