/** Preparations and their manifests on SQLite: tables `preparations` and `manifest_chunks`. */
import type { StatementSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import { namedTwice } from "../../../core/audit/manifest.ts";
import { contentIdFromDigest } from "../../../core/encoding/content-id.ts";
import type {
  ChunkRange,
  CreationOutcome,
  ManifestChunk,
  NewPreparation,
  Preparation,
  PreparationIndex,
  PreparationPart,
  ReusedPowers,
} from "../preparation-index.ts";
import type { Database } from "../sqlite.ts";
import { canonicalAddress } from "./accounts.ts";

const PAGE_ROWS = 1000;
/** Rows of a manifest that one transaction removes. */
const DELETED_AT_ONCE = 1000;

const COLUMN: Record<PreparationPart, string> = {
  "powers-a": "powers_a_bytes",
  "powers-b": "powers_b_bytes",
  tags: "tags_bytes",
};

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
    inUse: Number(row.uses) > 0,
  };
}

export class SqlitePreparationIndex implements PreparationIndex {
  readonly #database: Database;
  readonly #byId: StatementSync;
  readonly #bySalt: StatementSync;
  readonly #insertChunk: StatementSync;
  readonly #containing: StatementSync;
  readonly #following: StatementSync;
  readonly #addUse: StatementSync;

  constructor(database: Database) {
    this.#database = database;
    this.#byId = database.prepare("SELECT * FROM preparations WHERE id = ? AND complete = 1");
    this.#bySalt = database.prepare("SELECT * FROM preparations WHERE account = ? AND salt = ? AND complete = 1");
    this.#insertChunk = database.prepare(
      `INSERT INTO manifest_chunks (preparation_id, start_byte, size_bytes, digest) VALUES (?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
    );
    this.#containing = database.prepare(
      `SELECT start_byte FROM manifest_chunks WHERE preparation_id = ? AND start_byte <= ?
       ORDER BY start_byte DESC LIMIT 1`,
    );
    this.#following = database.prepare(
      `SELECT start_byte, size_bytes, digest FROM manifest_chunks
       WHERE preparation_id = ? AND start_byte >= ? AND start_byte < ? ORDER BY start_byte`,
    );
    this.#addUse = database.prepare("UPDATE preparations SET uses = uses + ? WHERE id = ? AND complete = 1");
  }

  async find(id: number): Promise<Preparation | undefined> {
    const row = this.#byId.get(id);
    return row === undefined ? undefined : toPreparation(row);
  }

  async findBySalt(account: string, salt: Uint8Array): Promise<Preparation | undefined> {
    const row = this.#bySalt.get(canonicalAddress(account), salt);
    return row === undefined ? undefined : toPreparation(row);
  }

  async *pages(): AsyncGenerator<readonly Preparation[], void, undefined> {
    const page = this.#database.prepare(
      `SELECT * FROM preparations WHERE id > ? AND complete = 1 ORDER BY id LIMIT ${PAGE_ROWS}`,
    );
    let after = 0;
    for (;;) {
      const rows = page.all(after).map(toPreparation);
      const last = rows.at(-1);
      if (last === undefined) return;
      yield rows;
      after = last.id;
    }
  }

  async findVerifiedUnderBeta(account: string, bt: Uint8Array): Promise<Preparation | undefined> {
    const row = this.#database
      .prepare(
        `SELECT * FROM preparations WHERE account = ? AND key_bt = ? AND verified = 1 AND complete = 1
         ORDER BY slice_count DESC LIMIT 1`,
      )
      .get(canonicalAddress(account), bt);
    return row === undefined ? undefined : toPreparation(row);
  }

  async begin(
    { account, salt, key, auditKeyHash, manifestHash, touchedAt }: NewPreparation,
    unusedLimit: number,
  ): Promise<CreationOutcome> {
    const owner = canonicalAddress(account);
    return this.#database.transaction(() => {
      const sameSalt = this.#database
        .prepare("SELECT 1 FROM preparations WHERE account = ? AND salt = ?")
        .get(owner, salt);
      if (sameSalt !== undefined) return { outcome: "exists" };
      const unused = this.#database
        .prepare("SELECT count(*) AS unused FROM preparations WHERE account = ? AND uses = 0")
        .get(owner);
      if (Number(unused?.unused) >= unusedLimit) return { outcome: "too-many" };
      const { lastInsertRowid } = this.#database
        .prepare(
          `INSERT INTO preparations
             (account, salt, key_x, key_xa, key_bt, audit_key_hash, manifest_hash, touched_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(owner, salt, key.X, key.XA, key.Bt, auditKeyHash, manifestHash, touchedAt);
      return { outcome: "created", id: Number(lastInsertRowid) };
    });
  }

  async addToManifest(id: number, chunks: readonly ManifestChunk[]): Promise<void> {
    this.#withoutSync(() => {
      const row = this.#database.prepare("SELECT data_bytes FROM preparations WHERE id = ? AND complete = 0").get(id);
      let startByte = Number(row?.data_bytes);
      for (const { digest, sizeBytes } of chunks) {
        if (Number(this.#insertChunk.run(id, startByte, sizeBytes, digest).changes) === 0) {
          throw namedTwice(contentIdFromDigest(digest));
        }
        startByte += sizeBytes;
      }
      this.#database
        .prepare("UPDATE preparations SET data_bytes = ?, chunk_count = chunk_count + ? WHERE id = ?")
        .run(startByte, chunks.length, id);
    });
  }

  /**
   * Runs a transaction that need not be durable, so that it does not wait for the disk. The next durable one makes it
   * durable too, because the log is written in order.
   */
  #withoutSync<T>(work: () => T): T {
    this.#database.exec("PRAGMA synchronous = NORMAL");
    try {
      return this.#database.transaction(work);
    } finally {
      this.#database.exec("PRAGMA synchronous = FULL");
    }
  }

  async complete(id: number, sliceCount: number): Promise<void> {
    this.#database.prepare("UPDATE preparations SET complete = 1, slice_count = ? WHERE id = ?").run(sliceCount, id);
  }

  async incomplete(): Promise<number[]> {
    return this.#database
      .prepare("SELECT id FROM preparations WHERE complete = 0 ORDER BY id")
      .all()
      .map((row) => Number(row.id));
  }

  async delete(id: number): Promise<void> {
    this.#database.prepare("UPDATE preparations SET complete = 0 WHERE id = ?").run(id);
    await this.#deleteIncomplete(id);
  }

  /** Removes the rows of a manifest piecewise: a large one would hold up everything else for seconds. */
  async #deleteIncomplete(id: number): Promise<void> {
    const some = this.#database.prepare(
      `DELETE FROM manifest_chunks WHERE preparation_id = ?1 AND start_byte IN
         (SELECT start_byte FROM manifest_chunks WHERE preparation_id = ?1 LIMIT ${DELETED_AT_ONCE})`,
    );
    while (Number(this.#withoutSync(() => some.run(id)).changes) > 0) await nextTurn();
    this.#database.prepare("DELETE FROM preparations WHERE id = ? AND complete = 0").run(id);
  }

  async agreedOf(account: string): Promise<{ bytes: number; chunks: number }> {
    const row = this.#database
      .prepare(
        `SELECT coalesce(sum(data_bytes), 0) AS bytes, coalesce(sum(chunk_count), 0) AS chunks
         FROM preparations WHERE account = ? AND uses > 0 AND complete = 1`,
      )
      .get(canonicalAddress(account));
    return { bytes: Number(row?.bytes), chunks: Number(row?.chunks) };
  }

  async abandoned(before: number): Promise<number[]> {
    return this.#database
      .prepare("SELECT id FROM preparations WHERE uses = 0 AND complete = 1 AND touched_at < ? ORDER BY touched_at, id")
      .all(before)
      .map((row) => Number(row.id));
  }

  async deleteAbandoned(id: number, before: number): Promise<boolean> {
    const { changes } = this.#database
      .prepare("UPDATE preparations SET complete = 0 WHERE id = ? AND uses = 0 AND complete = 1 AND touched_at < ?")
      .run(id, before);
    if (Number(changes) === 0) return false;
    await this.#deleteIncomplete(id);
    return true;
  }

  async setReceived(id: number, part: PreparationPart, bytes: number): Promise<void> {
    this.#database.prepare(`UPDATE preparations SET ${COLUMN[part]} = ?, verified = 0 WHERE id = ?`).run(bytes, id);
  }

  async setReused(id: number, { powersABytes, powersBBytes, count }: ReusedPowers): Promise<void> {
    this.#database
      .prepare("UPDATE preparations SET powers_a_bytes = ?, powers_b_bytes = ?, reused_powers = ? WHERE id = ?")
      .run(powersABytes, powersBBytes, count, id);
  }

  async forgetPowers(id: number): Promise<void> {
    this.#database
      .prepare(
        `UPDATE preparations SET powers_a_bytes = 0, powers_b_bytes = 0, reused_powers = 0, verified = 0 WHERE id = ?`,
      )
      .run(id);
  }

  async setVerified(id: number, verified: boolean): Promise<void> {
    this.#database.prepare("UPDATE preparations SET verified = ? WHERE id = ?").run(verified ? 1 : 0, id);
  }

  async touch(id: number, now: number): Promise<boolean> {
    const { changes } = this.#database
      .prepare("UPDATE preparations SET touched_at = ? WHERE id = ? AND complete = 1")
      .run(now, id);
    return Number(changes) > 0;
  }

  async rangesOf(id: number, firstByte: number, lengthBytes: number): Promise<ChunkRange[]> {
    const endByte = firstByte + lengthBytes;
    const containing = this.#containing.get(id, firstByte);
    if (containing === undefined) return [];
    const ranges: ChunkRange[] = [];
    for (const row of this.#following.all(id, Number(containing.start_byte), endByte)) {
      const startByte = Number(row.start_byte);
      const offsetBytes = Math.max(0, firstByte - startByte);
      const untilByte = Math.min(endByte, startByte + Number(row.size_bytes));
      const rangeBytes = untilByte - startByte - offsetBytes;
      if (rangeBytes > 0) ranges.push({ digest: row.digest as Uint8Array, offsetBytes, lengthBytes: rangeBytes });
    }
    return ranges;
  }

  async *manifestDigests(id: number): AsyncGenerator<readonly Uint8Array[], void, undefined> {
    const page = this.#database.prepare(
      `SELECT DISTINCT digest FROM manifest_chunks WHERE preparation_id = ? AND digest > ?
       ORDER BY digest LIMIT ${PAGE_ROWS}`,
    );
    let after: Uint8Array = new Uint8Array(0);
    for (;;) {
      const digests = page.all(id, after).map((row) => row.digest as Uint8Array);
      const last = digests.at(-1);
      if (last === undefined) return;
      yield digests;
      after = last;
    }
  }

  /**
   * Counts an agreement that depends on a preparation (+1), or that no longer does (−1); part of the caller's
   * transaction.
   * @returns whether there is such a preparation
   */
  addUse(id: number, change: 1 | -1): boolean {
    return Number(this.#addUse.run(change, id).changes) > 0;
  }
}
