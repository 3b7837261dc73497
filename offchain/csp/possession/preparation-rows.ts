/** The rows of preparations, typed. What they mean is in `preparations.ts`. */
import type { StatementSync } from "node:sqlite";
import { G1_BYTES } from "../../core/audit/curve.ts";
import { ELEMENTS_PER_SLICE } from "../../core/audit/field.ts";
import type { AuditPublicKey } from "../../core/audit/keys.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { PreparationPart } from "./preparation-files.ts";

export type PartBytes = Record<PreparationPart, number>;

export interface Preparation {
  id: number;
  account: string;
  salt: Uint8Array;
  key: AuditPublicKey;
  auditKeyHash: Uint8Array;
  manifestHash: Uint8Array;
  dataBytes: number;
  sliceCount: number;
  /** Acknowledged bytes of each stream. */
  received: PartBytes;
  /** How many powers of β, and with them all of α, come from a verified preparation; 0: none do. */
  reusedPowers: number;
  /** Powers and tags have been checked against the stored bytes. */
  verified: boolean;
  touchedAt: number;
}

export type NewPreparation = Omit<
  Preparation,
  "id" | "received" | "reusedPowers" | "verified" | "dataBytes" | "sliceCount"
>;

const COLUMN: Record<PreparationPart, string> = {
  "powers-a": "powers_a_bytes",
  "powers-b": "powers_b_bytes",
  tags: "tags_bytes",
};

/** How many bytes each stream has in the end. */
export function expectedBytes(sliceCount: number): PartBytes {
  return {
    "powers-a": ELEMENTS_PER_SLICE * G1_BYTES,
    "powers-b": sliceCount * G1_BYTES,
    tags: sliceCount * G1_BYTES,
  };
}

function toPreparation(row: Record<string, unknown>): Preparation {
  return {
    id: Number(row.id),
    account: String(row.account),
    salt: row.salt as Uint8Array,
    key: { X: row.key_x as Uint8Array, XA: row.key_xa as Uint8Array, Bt: row.key_bt as Uint8Array },
    auditKeyHash: row.audit_key_hash as Uint8Array,
    manifestHash: row.manifest_hash as Uint8Array,
    dataBytes: Number(row.data_bytes),
    sliceCount: Number(row.slice_count),
    received: {
      "powers-a": Number(row.powers_a_bytes),
      "powers-b": Number(row.powers_b_bytes),
      tags: Number(row.tags_bytes),
    },
    reusedPowers: Number(row.reused_powers),
    verified: Number(row.verified) === 1,
    touchedAt: Number(row.touched_at),
  };
}

export class PreparationRows {
  readonly #database: Database;
  readonly #byId: StatementSync;
  readonly #bySalt: StatementSync;

  constructor(database: Database) {
    this.#database = database;
    this.#byId = database.prepare("SELECT * FROM preparations WHERE id = ?");
    this.#bySalt = database.prepare("SELECT * FROM preparations WHERE account = ? AND salt = ?");
  }

  byId(id: number): Preparation | undefined {
    const row = this.#byId.get(id);
    return row === undefined ? undefined : toPreparation(row);
  }

  bySalt(account: string, salt: Uint8Array): Preparation | undefined {
    const row = this.#bySalt.get(account, salt);
    return row === undefined ? undefined : toPreparation(row);
  }

  all(): Preparation[] {
    return this.#database.prepare("SELECT * FROM preparations ORDER BY id").all().map(toPreparation);
  }

  /** The largest checked preparation of an account under the same β: its powers can be reused. */
  verifiedUnderBeta(account: string, bt: Uint8Array): Preparation | undefined {
    const row = this.#database
      .prepare(
        `SELECT * FROM preparations WHERE account = ? AND key_bt = ? AND verified = 1
         ORDER BY slice_count DESC LIMIT 1`,
      )
      .get(account, bt);
    return row === undefined ? undefined : toPreparation(row);
  }

  /** How many of an account's preparations no agreement uses. */
  countLoose(account: string): number {
    const row = this.#database
      .prepare(
        `SELECT count(*) AS loose FROM preparations p WHERE account = ?
         AND NOT EXISTS (SELECT 1 FROM agreements a WHERE a.preparation_id = p.id AND a.state <> 'ended')`,
      )
      .get(account);
    return Number(row?.loose);
  }

  /** Preparations that were last touched before a time and that no running agreement uses. */
  abandoned(before: number): number[] {
    return this.#database
      .prepare(
        `SELECT id FROM preparations p WHERE touched_at < ?
         AND NOT EXISTS (SELECT 1 FROM agreements a WHERE a.preparation_id = p.id AND a.state <> 'ended')`,
      )
      .all(before)
      .map((row) => Number(row.id));
  }

  /** Adds a row; part of the caller's transaction. @returns its id */
  insert(preparation: NewPreparation): number {
    const { account, salt, key, auditKeyHash, manifestHash, touchedAt } = preparation;
    const { lastInsertRowid } = this.#database
      .prepare(
        `INSERT INTO preparations
           (account, salt, key_x, key_xa, key_bt, audit_key_hash, manifest_hash, data_bytes, slice_count, touched_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, ?)`,
      )
      .run(account, salt, key.X, key.XA, key.Bt, auditKeyHash, manifestHash, touchedAt);
    return Number(lastInsertRowid);
  }

  setSize(id: number, dataBytes: number, sliceCount: number): void {
    this.#database
      .prepare("UPDATE preparations SET data_bytes = ?, slice_count = ? WHERE id = ?")
      .run(dataBytes, sliceCount, id);
  }

  setReceived(id: number, part: PreparationPart, bytes: number): void {
    this.#database.prepare(`UPDATE preparations SET ${COLUMN[part]} = ?, verified = 0 WHERE id = ?`).run(bytes, id);
  }

  /** Counts powers as received that have been copied, with their expanded form, from a verified preparation. */
  setReused(id: number, powersABytes: number, powersB: number): void {
    this.#database
      .prepare("UPDATE preparations SET powers_a_bytes = ?, powers_b_bytes = ?, reused_powers = ? WHERE id = ?")
      .run(powersABytes, powersB * G1_BYTES, powersB, id);
  }

  /** Asks for all powers again, and trusts none. */
  forgetPowers(id: number): void {
    this.#database
      .prepare(
        `UPDATE preparations SET powers_a_bytes = 0, powers_b_bytes = 0, reused_powers = 0, verified = 0 WHERE id = ?`,
      )
      .run(id);
  }

  setVerified(id: number, verified: boolean): void {
    this.#database.prepare("UPDATE preparations SET verified = ? WHERE id = ?").run(verified ? 1 : 0, id);
  }

  touch(id: number, now: number): void {
    this.#database.prepare("UPDATE preparations SET touched_at = ? WHERE id = ?").run(now, id);
  }

  /** Whether a running agreement depends on it. */
  isAgreed(id: number): boolean {
    return (
      this.#database
        .prepare("SELECT 1 FROM agreements WHERE preparation_id = ? AND state <> 'ended' LIMIT 1")
        .get(id) !== undefined
    );
  }

  /** Removes a preparation if it is still as `abandoned` found it. @returns whether it was */
  deleteAbandoned(id: number, before: number): boolean {
    const { changes } = this.#database
      .prepare(
        `DELETE FROM preparations AS p WHERE id = ? AND touched_at < ?
         AND NOT EXISTS (SELECT 1 FROM agreements a WHERE a.preparation_id = p.id AND a.state <> 'ended')`,
      )
      .run(id, before);
    return Number(changes) > 0;
  }

  delete(id: number): void {
    this.#database.prepare("DELETE FROM preparations WHERE id = ?").run(id);
  }
}
