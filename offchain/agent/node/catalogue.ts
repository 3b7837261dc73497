/**
 * What this device remembers: which data ids the account has, and how far each agreement has come. A convenience and a journal,
 * not the truth: `recover` rebuilds the puts from the ledger, and each step of an agreement is written down before it is
 * taken, so that a run after a crash finds the transaction of the run before instead of paying twice.
 */

import type { StatementSync } from "node:sqlite";
import { type Database, openDatabase } from "../../store/index/sqlite.ts";

const MIGRATIONS = [
  `
  CREATE TABLE puts (
    data_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    entry_count INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    domain TEXT NOT NULL,
    record_id TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('recorder', 'owner')),
    stored_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE agreements (
    salt TEXT NOT NULL PRIMARY KEY,
    data_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    escrow TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('prepared', 'proposing', 'proposed', 'accepted', 'closed')),
    proposed_from_block INTEGER,
    agreement_id TEXT UNIQUE,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX agreements_by_data ON agreements (data_id);
  `,
  // Every escrow numbers its agreements from 1.
  `
  CREATE TABLE agreements_by_escrow (
    salt TEXT NOT NULL PRIMARY KEY,
    data_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    escrow TEXT NOT NULL COLLATE NOCASE,
    state TEXT NOT NULL CHECK (state IN ('prepared', 'proposing', 'proposed', 'accepted', 'closed')),
    proposed_from_block INTEGER,
    agreement_id TEXT,
    created_at INTEGER NOT NULL,
    UNIQUE (escrow, agreement_id)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO agreements_by_escrow SELECT * FROM agreements;
  DROP TABLE agreements;
  ALTER TABLE agreements_by_escrow RENAME TO agreements;
  CREATE INDEX agreements_by_data ON agreements (data_id);
  `,
];

/** A put that this account owns. */
export interface CataloguedPut {
  readonly dataId: string;
  /** Base names of what was put, for people. */
  readonly name: string;
  readonly entryCount: number;
  /** Plaintext bytes of all files. */
  readonly totalBytes: number;
  readonly domain: string;
  readonly recordId: string;
  readonly role: "recorder" | "owner";
  /** Unix seconds. */
  readonly storedAt: number;
}

/**
 * `prepared`: tags are made. `proposing`: a transaction may be on its way. `proposed`: on chain, not accepted.
 * `accepted`: it was accepted on chain; what became of it since, the chain tells. `closed`: cancelled or settled.
 */
export type AgreementState = "prepared" | "proposing" | "proposed" | "accepted" | "closed";

export interface CataloguedAgreement {
  /** 32 bytes, 0x hex: the agreement's audit secret derives from it. */
  readonly salt: string;
  readonly dataId: string;
  readonly provider: string;
  /** The escrow contract, so that another deployment's agreements are told apart. */
  readonly escrow: string;
  readonly state: AgreementState;
  /** The proposal is looked for from this block on. */
  readonly proposedFromBlock?: number;
  readonly agreementId?: bigint;
  /** Unix seconds. */
  readonly createdAt: number;
}

export class Catalogue {
  readonly #database: Database;
  readonly #savePut: StatementSync;
  readonly #saveAgreement: StatementSync;

  /** @throws DiskFullError, DiskFailedError, UnknownVersionError */
  constructor(file: string) {
    this.#database = openDatabase(file, { migrations: MIGRATIONS });
    this.#savePut = this.#database.prepare(
      `INSERT INTO puts (data_id, name, entry_count, total_bytes, domain, record_id, role, stored_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (data_id) DO UPDATE SET name = excluded.name, entry_count = excluded.entry_count,
         total_bytes = excluded.total_bytes, domain = excluded.domain, record_id = excluded.record_id, role = excluded.role`,
    );
    this.#saveAgreement = this.#database.prepare(
      `INSERT INTO agreements (salt, data_id, provider, escrow, state, proposed_from_block, agreement_id, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (salt) DO UPDATE SET state = excluded.state, proposed_from_block = excluded.proposed_from_block,
         agreement_id = excluded.agreement_id`,
    );
  }

  /** Adds a put, or renews what is known of it; when it was first stored stays. */
  savePut(put: CataloguedPut): void {
    const { dataId, name, entryCount, totalBytes, domain, recordId, role, storedAt } = put;
    this.#savePut.run(dataId, name, entryCount, totalBytes, domain, recordId, role, storedAt);
  }

  /** Newest first. */
  puts(): CataloguedPut[] {
    return this.#database.prepare("SELECT * FROM puts ORDER BY stored_at DESC, data_id").all().map(toPut);
  }

  put(dataId: string): CataloguedPut | undefined {
    const row = this.#database.prepare("SELECT * FROM puts WHERE data_id = ?").get(dataId);
    return row === undefined ? undefined : toPut(row);
  }

  /**
   * Adds an agreement or moves it on; durable when it returns. Another one under the same number loses it: it is of a chain
   * that has been replaced since, and is to be looked for again.
   */
  saveAgreement(agreement: CataloguedAgreement): void {
    const { salt, dataId, provider, escrow, state, proposedFromBlock, agreementId, createdAt } = agreement;
    const id = agreementId === undefined ? null : agreementId.toString();
    this.#database.transaction(() => {
      this.#database
        .prepare("UPDATE agreements SET agreement_id = NULL WHERE escrow = ? AND agreement_id = ? AND salt <> ?")
        .run(escrow, id, salt);
      this.#saveAgreement.run(salt, dataId, provider, escrow, state, proposedFromBlock ?? null, id, createdAt);
    });
  }

  /** Oldest first. */
  agreements(dataId?: string): CataloguedAgreement[] {
    const where = dataId === undefined ? "" : "WHERE data_id = ?";
    const statement = this.#database.prepare(`SELECT * FROM agreements ${where} ORDER BY created_at, salt`);
    return (dataId === undefined ? statement.all() : statement.all(dataId)).map(toAgreement);
  }

  agreement(escrow: string, agreementId: bigint): CataloguedAgreement | undefined {
    const row = this.#database
      .prepare("SELECT * FROM agreements WHERE escrow = ? AND agreement_id = ?")
      .get(escrow, agreementId.toString());
    return row === undefined ? undefined : toAgreement(row);
  }

  /** Forgets an agreement that never reached the chain. */
  removeAgreement(salt: string): void {
    this.#database.prepare("DELETE FROM agreements WHERE salt = ? AND agreement_id IS NULL").run(salt);
  }

  close(): void {
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
