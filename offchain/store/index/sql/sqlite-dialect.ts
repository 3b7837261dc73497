/**
 * kysely on node:sqlite. kysely's own dialect expects better-sqlite3, whose statements say whether they return rows and
 * take their parameters as one array; this one adapts `Database` to that.
 *
 * Two differences from kysely's dialect: transactions take the write lock when they begin, because a lock that is
 * upgraded later fails without waiting for the busy timeout; and migrations run in a transaction, which SQLite can do.
 */
import type { StatementSync } from "node:sqlite";
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  SqliteAdapter,
  SqliteDialect,
  SqliteDriver,
  type SqliteStatement,
} from "kysely";
import type { Database } from "../sqlite.ts";

type Parameters = Parameters_<StatementSync["all"]>;
type Parameters_<F> = F extends (...parameters: infer P) => unknown ? P : never;

/** Prepared statements that are kept; a batch of another length is another statement. */
const MAXIMUM_STATEMENTS = 256;
const RETURNS_ROWS = /^\s*(?:select|with|values|pragma)\b|\breturning\b/i;

/** Prepares each text once. */
class StatementCache {
  readonly #database: Database;
  readonly #statements = new Map<string, SqliteStatement>();

  constructor(database: Database) {
    this.#database = database;
  }

  prepare(sql: string): SqliteStatement {
    const known = this.#statements.get(sql);
    const statement = known ?? adapt(this.#database.prepare(sql), RETURNS_ROWS.test(sql));
    // Deleted first, so that the map is in the order of the last use.
    this.#statements.delete(sql);
    this.#statements.set(sql, statement);
    for (const oldest of this.#statements.keys()) {
      if (this.#statements.size <= MAXIMUM_STATEMENTS) break;
      this.#statements.delete(oldest);
    }
    return statement;
  }

  /** Whoever opened the database closes it. */
  close(): void {
    this.#statements.clear();
  }
}

function adapt(statement: StatementSync, reader: boolean): SqliteStatement {
  return {
    reader,
    all: (parameters) => statement.all(...(parameters as Parameters)),
    run: (parameters) => statement.run(...(parameters as Parameters)),
    iterate: (parameters) => statement.iterate(...(parameters as Parameters)),
  };
}

class ImmediateDriver extends SqliteDriver {
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("begin immediate"));
  }

  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await super.rollbackTransaction(connection);
    } catch (error) {
      // On a full disk SQLite may have rolled back by itself already.
      if (!(error instanceof Error && error.message.includes("no transaction is active"))) throw error;
    }
  }
}

class MigratingAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

export class NodeSqliteDialect extends SqliteDialect {
  readonly #statements: StatementCache;

  /** @param database whoever opened it closes it, after the kysely instance */
  constructor(database: Database) {
    const statements = new StatementCache(database);
    super({ database: statements });
    this.#statements = statements;
  }

  override createDriver(): Driver {
    return new ImmediateDriver({ database: this.#statements });
  }

  override createAdapter(): SqliteAdapter {
    return new MigratingAdapter();
  }
}
