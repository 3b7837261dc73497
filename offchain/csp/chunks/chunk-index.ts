/**
 * Which ciphertexts are stored, and who owns them: the deduplication index. Small on purpose, since a second implementation on a
 * PostgreSQL-wire database is certain to come. All calls are durable when they return.
 */
import type { StatementSync } from "node:sqlite";
import type { Database } from "../../store/index/sqlite.ts";

export interface IndexedChunk {
  digest: Uint8Array;
  sizeBytes: number;
  /** Root of the proof-of-ownership tree over the ciphertext. */
  merkleRoot: Uint8Array;
}

export interface ChunkRow extends IndexedChunk {
  /** False when the bytes are gone or damaged. */
  stored: boolean;
}

export interface IndexTotals {
  chunks: number;
  storedBytes: number;
  /** Bytes that owners count as theirs; what exceeds `storedBytes` is what deduplication saved. */
  ownedBytes: number;
  lostChunks: number;
}

export interface ChunkIndex {
  find(digest: Uint8Array): ChunkRow | undefined;
  owns(account: string, digest: Uint8Array): boolean;
  /** Records chunks whose bytes are on disk, and their owner, in one transaction. A lost chunk is stored again by this. */
  record(account: string, chunks: readonly IndexedChunk[], now: number): void;
  /** Makes an account an owner of chunks that are stored; others are left out. @returns those it owns now */
  addOwner(account: string, digests: readonly Uint8Array[], now: number): Uint8Array[];
  /** Notes that a chunk's bytes are gone or damaged: it is asked for again when somebody has it. */
  markLost(digest: Uint8Array): void;
  /** Notes that the bytes of a chunk noted as lost are there and right. */
  markStored(digest: Uint8Array): void;
  /** All rows in digest order. */
  all(): Iterable<ChunkRow>;
  totals(): IndexTotals;
}

function chunkRow(row: Record<string, unknown>): ChunkRow {
  return {
    digest: row.digest as Uint8Array,
    sizeBytes: Number(row.size_bytes),
    merkleRoot: row.merkle_root as Uint8Array,
    stored: row.state === "stored",
  };
}

/** The index on SQLite. */
export class SqliteChunkIndex implements ChunkIndex {
  readonly #database: Database;
  readonly #find: StatementSync;
  readonly #owns: StatementSync;
  readonly #insertChunk: StatementSync;
  readonly #insertOwner: StatementSync;
  readonly #setState: StatementSync;
  readonly #totals: IndexTotals;

  constructor(database: Database) {
    this.#database = database;
    this.#find = database.prepare("SELECT * FROM chunks WHERE digest = ?");
    this.#owns = database.prepare("SELECT 1 FROM owners WHERE account = ? AND digest = ?");
    this.#insertChunk = database.prepare(
      `INSERT INTO chunks (digest, size_bytes, merkle_root, state, stored_at) VALUES (?, ?, ?, 'stored', ?)
       ON CONFLICT (digest) DO NOTHING`,
    );
    this.#insertOwner = database.prepare(
      "INSERT INTO owners (account, digest, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    );
    this.#setState = database.prepare("UPDATE chunks SET state = ? WHERE digest = ? AND state <> ?");
    this.#totals = this.#countTotals();
  }

  #countTotals(): IndexTotals {
    const chunks = this.#database
      .prepare(
        `SELECT count(*) AS chunks, coalesce(sum(size_bytes), 0) AS bytes,
           coalesce(sum(state = 'lost'), 0) AS lost FROM chunks`,
      )
      .get();
    const owned = this.#database
      .prepare("SELECT coalesce(sum(c.size_bytes), 0) AS bytes FROM owners o JOIN chunks c ON c.digest = o.digest")
      .get();
    return {
      chunks: Number(chunks?.chunks),
      storedBytes: Number(chunks?.bytes),
      lostChunks: Number(chunks?.lost),
      ownedBytes: Number(owned?.bytes),
    };
  }

  find(digest: Uint8Array): ChunkRow | undefined {
    const row = this.#find.get(digest);
    return row === undefined ? undefined : chunkRow(row);
  }

  owns(account: string, digest: Uint8Array): boolean {
    return this.#owns.get(account, digest) !== undefined;
  }

  record(account: string, chunks: readonly IndexedChunk[], now: number): void {
    const added = { chunks: 0, storedBytes: 0, ownedBytes: 0, lostChunks: 0 };
    this.#database.transaction(() => {
      for (const { digest, sizeBytes, merkleRoot } of chunks) {
        if (Number(this.#insertChunk.run(digest, sizeBytes, merkleRoot, now).changes) > 0) {
          added.chunks += 1;
          added.storedBytes += sizeBytes;
        } else if (Number(this.#setState.run("stored", digest, "stored").changes) > 0) {
          added.lostChunks -= 1;
        }
        if (Number(this.#insertOwner.run(account, digest, now).changes) > 0) added.ownedBytes += sizeBytes;
      }
    });
    this.#totals.chunks += added.chunks;
    this.#totals.storedBytes += added.storedBytes;
    this.#totals.ownedBytes += added.ownedBytes;
    this.#totals.lostChunks += added.lostChunks;
  }

  addOwner(account: string, digests: readonly Uint8Array[], now: number): Uint8Array[] {
    const owned: Uint8Array[] = [];
    let addedBytes = 0;
    this.#database.transaction(() => {
      for (const digest of digests) {
        const row = this.find(digest);
        if (!row?.stored) continue;
        if (Number(this.#insertOwner.run(account, digest, now).changes) > 0) addedBytes += row.sizeBytes;
        owned.push(digest);
      }
    });
    this.#totals.ownedBytes += addedBytes;
    return owned;
  }

  markLost(digest: Uint8Array): void {
    if (Number(this.#setState.run("lost", digest, "lost").changes) > 0) this.#totals.lostChunks += 1;
  }

  markStored(digest: Uint8Array): void {
    if (Number(this.#setState.run("stored", digest, "stored").changes) > 0) this.#totals.lostChunks -= 1;
  }

  *all(): Iterable<ChunkRow> {
    // Pages instead of one open cursor: rows may be updated while a caller walks through them.
    const page = this.#database.prepare("SELECT * FROM chunks WHERE digest > ? ORDER BY digest LIMIT 1000");
    let after: Uint8Array = new Uint8Array(0);
    for (;;) {
      const rows = page.all(after).map(chunkRow);
      yield* rows;
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.digest;
    }
  }

  totals(): IndexTotals {
    return { ...this.#totals };
  }
}
