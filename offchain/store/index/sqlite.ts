/**
 * SQLite as the daemons and the agent use it, over node:sqlite: write-ahead log, synchronous=FULL (a transaction that
 * returned is durable), foreign keys enforced, a busy timeout, migrations counted by `user_version`, and disk failures
 * as typed errors.
 *
 * `Database` is a `DatabaseSync`, so prepared statements are used as the Node documentation says. SQLite's own
 * constraint errors pass through unchanged: they concern the caller's data, not the disk.
 */
import { closeSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { InvalidInputError, UnknownVersionError } from "../../core/errors.ts";
import { asDiskError, DiskFailedError, DiskFullError } from "../disk/disk-errors.ts";
import { syncFolder } from "../disk/durable-file.ts";
import { makeFolders } from "../disk/make-folders.ts";

/** One step of the schema: SQL, or a function where SQL alone is not enough. Steps are appended, never edited. */
export type Migration = string | ((database: Database) => void);

export interface DatabaseOptions {
  /** Step i takes the schema from version i to version i + 1. */
  readonly migrations: readonly Migration[];
  /** How long a statement waits for another process's lock. Default 5000. */
  readonly busyTimeoutMillis?: number;
}

const IN_MEMORY = ":memory:";

/** Result codes of https://sqlite.org/rescode.html. The low byte is the primary code. */
const SQLITE = { BUSY: 5, LOCKED: 6, READONLY: 8, IOERR: 10, CORRUPT: 11, FULL: 13, CANTOPEN: 14, NOTADB: 26 } as const;
/** The shared-memory file of the log could not grow: the disk is full as well. */
const SQLITE_IOERR_SHMSIZE = 4874;

/** Turns SQLite's errors that concern the disk into typed ones; others pass through. */
function asDatabaseError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return error;
  const what = `database ${path}`;
  if (error.errcode === SQLITE_IOERR_SHMSIZE) return new DiskFullError(what, error);
  switch (error.errcode & 0xff) {
    case SQLITE.FULL:
      return new DiskFullError(what, error);
    case SQLITE.BUSY:
    case SQLITE.LOCKED:
      return new DiskFailedError(what, {
        reason: "another process holds its lock",
        hint: "wait until the other process is done, or stop it",
        retryable: true,
        cause: error,
      });
    case SQLITE.CORRUPT:
    case SQLITE.NOTADB:
      return new DiskFailedError(what, {
        reason: `it is damaged (${error.message})`,
        hint: "restore it from a copy; only the agent's agent.db can be rebuilt without one, by `tallystick recover`",
        cause: error,
      });
    case SQLITE.READONLY:
    case SQLITE.IOERR:
    case SQLITE.CANTOPEN:
      return new DiskFailedError(what, { reason: error.message, cause: error });
    default:
      return error;
  }
}

/** Makes the calls of a statement throw typed errors. */
function guardStatement(statement: StatementSync, path: string): StatementSync {
  const guarded = <A extends unknown[], R>(call: (...parameters: A) => R) => {
    return (...parameters: A): R => {
      try {
        return call.apply(statement, parameters);
      } catch (error) {
        throw asDatabaseError(error, path);
      }
    };
  };
  return Object.assign(statement, {
    run: guarded(statement.run),
    get: guarded(statement.get),
    all: guarded(statement.all),
    iterate: guarded(statement.iterate),
  });
}

/** An open database. See the module header for what it guarantees. */
export class Database extends DatabaseSync {
  readonly path: string;

  /** Use `openDatabase`, which also sets the modes and migrates. */
  constructor(path: string, busyTimeoutMillis: number) {
    super(path, { enableForeignKeyConstraints: true });
    this.path = path;
    // Not by the option `timeout`, which Node 22.15 does not know.
    this.exec(`PRAGMA busy_timeout = ${busyTimeoutMillis}`);
  }

  override exec(sql: string): void {
    try {
      super.exec(sql);
    } catch (error) {
      throw asDatabaseError(error, this.path);
    }
  }

  override prepare(...parameters: Parameters<DatabaseSync["prepare"]>): StatementSync {
    try {
      return guardStatement(super.prepare(...parameters), this.path);
    } catch (error) {
      throw asDatabaseError(error, this.path);
    }
  }

  /** See `inTransaction`. */
  transaction<T>(work: () => T): T {
    return inTransaction(this, work);
  }

  /**
   * As `transaction`, but what is done survives the end of the process only, not that of the machine: nothing waits for
   * the disk. Not inside another transaction.
   */
  transientTransaction<T>(work: () => T): T {
    this.exec("PRAGMA synchronous = NORMAL");
    try {
      return inTransaction(this, work);
    } finally {
      this.exec("PRAGMA synchronous = FULL");
    }
  }
}

/** Databases in a transaction. Node itself tells by `isTransaction`, but only from 22.16 on. */
const inProgress = new WeakSet<DatabaseSync>();

/**
 * Runs work in a transaction: all of it is durable when this returns, none of it is done when this throws. Inside
 * another transaction it is a savepoint, which can fail alone and is durable when the outer one is.
 * @param work synchronous, because other calls that run during an await would become part of the transaction
 * @throws InvalidInputError if the work returns a promise, DiskFullError, DiskFailedError, and whatever the work throws
 */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  const nested = inProgress.has(database);
  // IMMEDIATE takes the write lock at once: a lock that is upgraded later may fail without waiting for the busy
  // timeout.
  database.exec(nested ? "SAVEPOINT nested" : "BEGIN IMMEDIATE");
  inProgress.add(database);
  try {
    const result = work();
    if (result instanceof Promise) {
      result.catch(() => undefined); // Its own failure comes second to this one.
      throw new InvalidInputError("a transaction's work must be synchronous", { check: "transaction" });
    }
    database.exec(nested ? "RELEASE nested" : "COMMIT");
    return result;
  } catch (error) {
    rollBack(database, nested);
    throw error;
  } finally {
    if (!nested) inProgress.delete(database);
  }
}

function rollBack(database: DatabaseSync, nested: boolean): void {
  try {
    database.exec(nested ? "ROLLBACK TO nested; RELEASE nested" : "ROLLBACK");
  } catch (error) {
    // On a full disk SQLite may have rolled back by itself already.
    const isDone = error instanceof Error && /no transaction is active|no such savepoint/.test(error.message);
    if (!isDone) throw error;
  }
}

function readVersion(database: Database): number {
  return Number(database.prepare("PRAGMA user_version").get()?.user_version);
}

function migrate(database: Database, migrations: readonly Migration[]): void {
  const found = readVersion(database);
  if (found > migrations.length) {
    throw new UnknownVersionError(`database ${database.path}`, found, [migrations.length]);
  }
  for (let version = found; version < migrations.length; version++) {
    database.transaction(() => {
      // Another process may have migrated between the read above and the lock.
      if (readVersion(database) !== version) return;
      const migration = migrations[version];
      if (typeof migration === "string") database.exec(migration);
      else migration?.(database);
      database.exec(`PRAGMA user_version = ${version + 1}`);
    });
  }
}

/**
 * Creates the file (mode 0600; SQLite gives its log the same mode) and its folder (0700), and makes the name durable.
 */
function createPrivateFile(path: string): void {
  try {
    const folder = dirname(path);
    makeFolders(folder, 0o700);
    closeSync(openSync(path, "a", 0o600));
    syncFolder(folder);
  } catch (error) {
    throw asDiskError(error, `database ${path}`);
  }
}

/**
 * Opens a database, creating and migrating it as needed.
 * @param path file name, or `:memory:`
 * @throws UnknownVersionError if a newer build has migrated it
 * @throws DiskFullError, DiskFailedError
 */
export function openDatabase(path: string, options: DatabaseOptions): Database {
  if (path !== IN_MEMORY) createPrivateFile(path);
  const database = openGuarded(path, options.busyTimeoutMillis ?? 5000);
  try {
    const mode = database.prepare("PRAGMA journal_mode = WAL").get()?.journal_mode;
    if (path !== IN_MEMORY && mode !== "wal") {
      throw new DiskFailedError(`database ${path}`, {
        reason: `write-ahead logging is not possible here (journal mode ${String(mode)})`,
        hint: "put it on a local file system",
      });
    }
    database.exec("PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF");
    migrate(database, options.migrations);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Opens a database as SQLite does by itself: no modes, no migrations. @throws DiskFullError, DiskFailedError */
export function openGuarded(path: string, busyTimeoutMillis: number): Database {
  try {
    return new Database(path, busyTimeoutMillis);
  } catch (error) {
    throw asDatabaseError(error, path);
  }
}
