/**
 * Shares of records that this node holds in the place of a member that has left: what was delivered to it, since the
 * ledger has an envelope for the first holder alone. Sealed with the keystore; at most one of a record. What is erased
 * is overwritten, and leaves no copy in the write-ahead log, as with shares of generations (generation-store.ts).
 */

import { IntegrityError } from "../../core/errors.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { SecretBox } from "../secret-box.ts";

export const HELD_SHARE_TABLES = `
  -- Shares of records that were delivered to this node, by the order in which it took them.
  CREATE TABLE held_shares (
    record_id TEXT NOT NULL PRIMARY KEY,
    committee_id TEXT NOT NULL,
    share_index INTEGER NOT NULL,
    share_sealed BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX held_shares_by_committee ON held_shares (committee_id);
  -- How far this node has read what other nodes hand over to it, by the place in their archives.
  CREATE TABLE share_takeovers (
    committee_id TEXT NOT NULL,
    membership INTEGER NOT NULL, -- counts the changes of members of the committee
    predecessor TEXT NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (committee_id, membership, predecessor)
  ) STRICT, WITHOUT ROWID;
  -- What a node that has left a committee hands over.
  CREATE INDEX shared_records_by_committee ON ledger_events (committee_id, sequence)
    WHERE kind = 'recorded' AND substr(payload, 2, 1) = x'01';
`;

/** A share of a record. */
export interface OwnShare {
  /** From 1. */
  readonly index: number;
  readonly share: Uint8Array;
}

export class HeldShares {
  readonly #database: Database;
  readonly #box: SecretBox;

  constructor(database: Database, box: SecretBox) {
    this.#database = database;
    this.#box = box;
    database.exec("PRAGMA secure_delete = ON");
  }

  /** For the caller to wipe. @throws IntegrityError when the database was altered */
  find(recordId: string): OwnShare | undefined {
    const row = this.#database
      .prepare("SELECT share_index, share_sealed FROM held_shares WHERE record_id = ?")
      .get(recordId);
    if (row === undefined) return undefined;
    const index = Number(row.share_index);
    return { index, share: this.#box.open(placeOf(recordId, index), row.share_sealed as Uint8Array) };
  }

  /**
   * On disk when it returns. One that is damaged is replaced.
   * @returns false when a share of the record is held already
   */
  keep(recordId: string, committeeId: bigint, { index, share }: OwnShare): boolean {
    const sealed = this.#box.seal(placeOf(recordId, index), share);
    return this.#database.transaction(() => {
      if (this.#isHeld(recordId)) return false;
      this.#database
        .prepare(
          `INSERT OR REPLACE INTO held_shares (record_id, committee_id, share_index, share_sealed)
           VALUES (?, ?, ?, ?)`,
        )
        .run(recordId, String(committeeId), index, sealed);
      return true;
    });
  }

  #isHeld(recordId: string): boolean {
    try {
      const held = this.find(recordId);
      held?.share.fill(0);
      return held !== undefined;
    } catch (cause) {
      if (cause instanceof IntegrityError) return false;
      throw cause;
    }
  }

  /** Records of a committee whose shares are held, of those up to a place in the archive. */
  recordsUpTo(committeeId: bigint, place: number): readonly string[] {
    return this.#database
      .prepare(
        `SELECT h.record_id FROM held_shares h JOIN ledger_events e ON e.record_id = h.record_id
         WHERE h.committee_id = ? AND e.kind = 'recorded' AND e.sequence <= ?`,
      )
      .all(String(committeeId), place)
      .map((row) => String(row.record_id));
  }

  erase(recordIds: readonly string[]): void {
    this.#database.transaction(() => {
      const erase = this.#database.prepare("DELETE FROM held_shares WHERE record_id = ?");
      for (const recordId of recordIds) erase.run(recordId);
    });
    this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  /** How many there are. */
  count(): number {
    return Number(this.#database.prepare("SELECT count(*) AS held FROM held_shares").get()?.held);
  }
}

function placeOf(recordId: string, index: number): string {
  return `held_shares.share_sealed ${recordId} ${index}`;
}
