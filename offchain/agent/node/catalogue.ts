/** The catalogue on disk: one SQLite file in the home folder. */

import type { StatementSync } from "node:sqlite";
import type { HeadName } from "../../core/snapshot/list-objects.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { Catalogue, CataloguedPut } from "../catalogue.ts";
import { openAgentDatabase } from "./agent-database.ts";

export class SqliteCatalogue implements Catalogue {
  readonly #database: Database;
  readonly #savePut: StatementSync;

  /** @throws DiskFullError, DiskFailedError, UnknownVersionError */
  constructor(file: string) {
    this.#database = openAgentDatabase(file);
    this.#savePut = this.#database.prepare(
      `INSERT INTO puts (data_id, name, entry_count, total_bytes, domain, record_id, role, stored_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (data_id) DO UPDATE SET name = excluded.name, entry_count = excluded.entry_count,
         total_bytes = excluded.total_bytes, domain = excluded.domain,
         record_id = excluded.record_id, role = excluded.role`,
    );
  }

  async claimFor(account: string): Promise<string> {
    this.#database.prepare("INSERT INTO account VALUES (1, ?) ON CONFLICT DO NOTHING").run(account);
    return String(this.#database.prepare("SELECT address FROM account").get()?.address);
  }

  async savePut(put: CataloguedPut): Promise<void> {
    const { dataId, name, entryCount, totalBytes, domain, recordId, role, storedAt } = put;
    this.#savePut.run(dataId, name, entryCount, totalBytes, domain, recordId, role, storedAt);
  }

  async puts(): Promise<CataloguedPut[]> {
    return this.#database.prepare("SELECT * FROM puts ORDER BY stored_at DESC, data_id").all().map(toPut);
  }

  async put(dataId: string): Promise<CataloguedPut | undefined> {
    const row = this.#database.prepare("SELECT * FROM puts WHERE data_id = ?").get(dataId);
    return row === undefined ? undefined : toPut(row);
  }

  async removePut(dataId: string): Promise<void> {
    this.#database.prepare("DELETE FROM puts WHERE data_id = ?").run(dataId);
  }

  async listHead(list: string): Promise<HeadName | undefined> {
    const row = this.#database.prepare("SELECT version, head_id FROM snapshot_lists WHERE list = ?").get(list);
    return row === undefined ? undefined : { version: Number(row.version), id: String(row.head_id) };
  }

  async sawListHead(list: string, { version, id }: HeadName): Promise<void> {
    this.#database
      .prepare(
        `INSERT INTO snapshot_lists (list, version, head_id) VALUES (?, ?, ?)
         ON CONFLICT (list) DO UPDATE SET version = excluded.version, head_id = excluded.head_id
           WHERE excluded.version > version`,
      )
      .run(list, version, id);
  }

  async forgetListHead(list: string): Promise<void> {
    this.#database.prepare("DELETE FROM snapshot_lists WHERE list = ?").run(list);
  }

  async close(): Promise<void> {
    this.#database.close();
  }
}

type Row = Record<string, unknown>;

function toPut(row: Row): CataloguedPut {
  return {
    dataId: String(row.data_id),
    name: String(row.name),
    entryCount: Number(row.entry_count),
    totalBytes: Number(row.total_bytes),
    domain: String(row.domain),
    recordId: String(row.record_id),
    role: row.role === "owner" ? "owner" : "recorder",
    storedAt: Number(row.stored_at),
  };
}
