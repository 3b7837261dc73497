/** An SQLite database as a `SqlDatabase`. */
import { Kysely } from "kysely";
import { type Database, openDatabase } from "../sqlite.ts";
import { type Migrations, migrate } from "./migrate.ts";
import { SqlDatabase } from "./sql-database.ts";
import { NodeSqliteDialect } from "./sqlite-dialect.ts";

/**
 * Opens a database, creating and migrating it as needed.
 * @param path file name, or `:memory:` @param prepare sets up the connection further, for example with functions
 * @throws UnknownVersionError when a newer build has migrated it; DiskFullError, DiskFailedError
 */
export async function openSqliteDatabase<Tables>(
  path: string,
  migrations: Migrations,
  prepare: (handle: Database) => void = () => undefined,
): Promise<SqlDatabase<Tables>> {
  const handle = openDatabase(path, { migrations: [] });
  prepare(handle);
  // 64 MiB of pages in memory instead of 2, and fewer, larger checkpoints: an index of millions of random digests
  // touches another page with nearly every row.
  handle.exec("PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 8192");
  const kysely = new Kysely<Tables>({ dialect: new NodeSqliteDialect(handle) });
  try {
    await migrate(kysely, "sqlite", migrations, path);
  } catch (error) {
    handle.close();
    throw error;
  }
  return overHandle(handle, kysely);
}

/**
 * Single statements on a database that synchronous code uses as well. Transactions of kysely are asynchronous, and
 * what runs during an await would become part of them: use `run` only.
 */
export function statementsOn<Tables>(handle: Database): SqlDatabase<Tables> {
  return overHandle(handle, new Kysely<Tables>({ dialect: new NodeSqliteDialect(handle) }));
}

function overHandle<Tables>(handle: Database, kysely: Kysely<Tables>): SqlDatabase<Tables> {
  return new SqlDatabase<Tables>({
    engine: "sqlite",
    location: handle.path,
    kysely,
    sqlite: handle,
    // Errors of the disk are typed by `Database`.
    passingFailure: () => undefined,
    asTyped: (error) => error,
    close: async () => {
      await kysely.destroy();
      if (handle.isOpen) handle.close();
    },
  });
}
