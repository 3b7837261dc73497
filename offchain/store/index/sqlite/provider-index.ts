/** A provider's index on SQLite: the parts, which share one database and its transactions, and table `meta`. */
import type { MetaIndex, ProviderIndex } from "../provider-index.ts";
import type { Database } from "../sqlite.ts";
import { SqliteAgreementIndex } from "./agreements.ts";
import { SqliteChunkIndex } from "./chunks.ts";
import { SqlitePreparationIndex } from "./preparations.ts";

class SqliteMetaIndex implements MetaIndex {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async get(name: string): Promise<string | undefined> {
    const row = this.#database.prepare("SELECT value FROM meta WHERE name = ?").get(name);
    return row === undefined ? undefined : String(row.value);
  }

  async setOnce(name: string, value: string): Promise<string> {
    this.#database.prepare("INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)").run(name, value);
    return String(this.#database.prepare("SELECT value FROM meta WHERE name = ?").get(name)?.value);
  }
}

export class SqliteProviderIndex implements ProviderIndex {
  readonly location: string;
  readonly meta: MetaIndex;
  readonly chunks: SqliteChunkIndex;
  readonly preparations: SqlitePreparationIndex;
  readonly agreements: SqliteAgreementIndex;
  readonly #database: Database;

  /** @param database with the tables of `provider-tables.ts`; whoever opened it closes it */
  constructor(database: Database) {
    this.#database = database;
    this.location = database.path;
    this.meta = new SqliteMetaIndex(database);
    this.chunks = new SqliteChunkIndex(database);
    this.preparations = new SqlitePreparationIndex(database);
    this.agreements = new SqliteAgreementIndex(database, this.preparations);
  }

  async ping(): Promise<void> {
    this.#database.prepare("SELECT 1").get();
  }
}
