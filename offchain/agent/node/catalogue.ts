/** The catalogue on disk: one SQLite file in the home folder. */

import type { StatementSync } from "node:sqlite";
import type { HeadName } from "../../core/snapshot/list-objects.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { AgreementState, Catalogue, CataloguedAgreement, CataloguedPut } from "../catalogue.ts";
import { openAgentDatabase } from "./agent-database.ts";

export class SqliteCatalogue implements Catalogue {
  readonly #database: Database;
  readonly #savePut: StatementSync;
  readonly #saveAgreement: StatementSync;

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
    this.#saveAgreement = this.#database.prepare(
      `INSERT INTO agreements (salt, data_id, provider, escrow, state, proposed_from_block, agreement_id, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (salt) DO UPDATE SET state = excluded.state, proposed_from_block = excluded.proposed_from_block,
         agreement_id = excluded.agreement_id`,
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

  async saveAgreement(agreement: CataloguedAgreement): Promise<void> {
    const { salt, dataId, provider, escrow, state, proposedFromBlock, agreementId, createdAt } = agreement;
    const id = agreementId === undefined ? null : agreementId.toString();
    this.#database.transaction(() => {
      this.#database
        .prepare("UPDATE agreements SET agreement_id = NULL WHERE escrow = ? AND agreement_id = ? AND salt <> ?")
        .run(escrow, id, salt);
      this.#saveAgreement.run(salt, dataId, provider, escrow, state, proposedFromBlock ?? null, id, createdAt);
    });
  }

  async agreements(dataId?: string): Promise<CataloguedAgreement[]> {
    const where = dataId === undefined ? "" : "WHERE data_id = ?";
    const statement = this.#database.prepare(`SELECT * FROM agreements ${where} ORDER BY created_at, salt`);
    return (dataId === undefined ? statement.all() : statement.all(dataId)).map(toAgreement);
  }

  async agreement(escrow: string, agreementId: bigint): Promise<CataloguedAgreement | undefined> {
    const row = this.#database
      .prepare("SELECT * FROM agreements WHERE escrow = ? AND agreement_id = ?")
      .get(escrow, agreementId.toString());
    return row === undefined ? undefined : toAgreement(row);
  }

  async removeAgreement(salt: string): Promise<void> {
    this.#database.prepare("DELETE FROM agreements WHERE salt = ? AND agreement_id IS NULL").run(salt);
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

function toAgreement(row: Row): CataloguedAgreement {
  return {
    salt: String(row.salt),
    dataId: String(row.data_id),
    provider: String(row.provider),
    escrow: String(row.escrow),
    state: String(row.state) as AgreementState,
    ...(row.proposed_from_block === null ? {} : { proposedFromBlock: Number(row.proposed_from_block) }),
    ...(row.agreement_id === null ? {} : { agreementId: BigInt(String(row.agreement_id)) }),
    createdAt: Number(row.created_at),
  };
}
