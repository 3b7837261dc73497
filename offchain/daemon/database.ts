/** What every daemon needs of its database, and the database of a daemon that is alone on it. */
import { join } from "node:path";
import { statementsOn } from "../store/index/sql/open-sqlite.ts";
import { type Database, type Migration, openDatabase } from "../store/index/sqlite.ts";
import type { DaemonConfig } from "./config.ts";
import type { SessionDatabase, SessionTables } from "./sessions.ts";

export interface DaemonDatabase {
  /** For messages: a path, or an address without user and password. */
  readonly location: string;
  readonly sessions: SessionDatabase;
  /** Sets a named value for good, unless there is one. @returns the value that is there now */
  setOnce(name: string, value: string): Promise<string>;
  /** Runs work that one process on the database may do at a time. */
  exclusively<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** @throws TallystickError when the database does not answer */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** SQLite in the folder of the daemon, used synchronously. */
export class LocalDatabase implements DaemonDatabase {
  readonly handle: Database;
  readonly location: string;
  readonly sessions: SessionDatabase;

  /** @param handle with the tables of sessions and the table `meta (name, value)` */
  constructor(handle: Database) {
    this.handle = handle;
    this.location = handle.path;
    this.sessions = statementsOn<SessionTables>(handle);
  }

  /** Opens `<dataDir>/<name>.db`. @throws UnknownVersionError, DiskFullError, DiskFailedError */
  static async open(config: DaemonConfig, name: string, migrations: readonly Migration[]): Promise<LocalDatabase> {
    return new LocalDatabase(openDatabase(join(config.dataDir, `${name}.db`), { migrations }));
  }

  async setOnce(name: string, value: string): Promise<string> {
    this.handle.prepare("INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)").run(name, value);
    return String(this.handle.prepare("SELECT value FROM meta WHERE name = ?").get(name)?.value);
  }

  exclusively<T>(_name: string, work: () => Promise<T>): Promise<T> {
    return work();
  }

  async ping(): Promise<void> {
    this.handle.prepare("SELECT 1").get();
  }

  async close(): Promise<void> {
    this.handle.close();
  }
}
