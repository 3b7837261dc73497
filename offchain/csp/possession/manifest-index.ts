/**
 * The manifest of a preparation as a prefix sum in SQLite: which chunks hold a range of the concatenated ciphertexts. Slices are
 * cut from that concatenation, so one may span chunks, and any of them is found without walking the manifest.
 */
import type { StatementSync } from "node:sqlite";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import type { Database } from "../../store/index/sqlite.ts";

export interface ManifestChunk {
  digest: Uint8Array;
  sizeBytes: number;
}

/** A piece of one chunk. */
export interface ChunkRange {
  id: string;
  offsetBytes: number;
  lengthBytes: number;
}

export class ManifestIndex {
  readonly #insert: StatementSync;
  readonly #containing: StatementSync;
  readonly #following: StatementSync;
  readonly #all: StatementSync;
  readonly #lost: StatementSync;

  constructor(database: Database) {
    this.#insert = database.prepare(
      "INSERT INTO manifest_chunks (preparation_id, start_byte, size_bytes, digest) VALUES (?, ?, ?, ?)",
    );
    this.#containing = database.prepare(
      `SELECT start_byte FROM manifest_chunks WHERE preparation_id = ? AND start_byte <= ?
       ORDER BY start_byte DESC LIMIT 1`,
    );
    this.#following = database.prepare(
      `SELECT start_byte, size_bytes, digest FROM manifest_chunks
       WHERE preparation_id = ? AND start_byte >= ? AND start_byte < ? ORDER BY start_byte`,
    );
    this.#lost = database.prepare(
      `SELECT m.digest FROM manifest_chunks m JOIN chunks c ON c.digest = m.digest
       WHERE m.preparation_id = ? AND c.state = 'lost' LIMIT 1`,
    );
    this.#all = database.prepare("SELECT DISTINCT digest FROM manifest_chunks WHERE preparation_id = ?");
  }

  /** Writes the rows of a manifest; part of the caller's transaction. @returns the bytes of all chunks together */
  insert(preparationId: number, chunks: Iterable<ManifestChunk>): number {
    let startByte = 0;
    for (const { digest, sizeBytes } of chunks) {
      this.#insert.run(preparationId, startByte, sizeBytes, digest);
      startByte += sizeBytes;
    }
    return startByte;
  }

  /**
   * The pieces of chunks that make up `[firstByte, firstByte + lengthBytes)`, in order. A range that reaches beyond the end of the
   * data is cut off there.
   */
  rangesOf(preparationId: number, firstByte: number, lengthBytes: number): ChunkRange[] {
    const endByte = firstByte + lengthBytes;
    const containing = this.#containing.get(preparationId, firstByte);
    if (containing === undefined) return [];
    const ranges: ChunkRange[] = [];
    for (const row of this.#following.all(preparationId, Number(containing.start_byte), endByte)) {
      const startByte = Number(row.start_byte);
      const offsetBytes = Math.max(0, firstByte - startByte);
      const untilByte = Math.min(endByte, startByte + Number(row.size_bytes));
      const rangeBytes = untilByte - startByte - offsetBytes;
      if (rangeBytes <= 0) continue;
      ranges.push({ id: contentIdFromDigest(row.digest as Uint8Array), offsetBytes, lengthBytes: rangeBytes });
    }
    return ranges;
  }

  /** The id of a chunk of the manifest that this provider has noted as lost, if there is one. */
  firstLost(preparationId: number): string | undefined {
    const row = this.#lost.get(preparationId);
    return row === undefined ? undefined : contentIdFromDigest(row.digest as Uint8Array);
  }

  /** The distinct chunks of a manifest. */
  digestsOf(preparationId: number): Uint8Array[] {
    return this.#all.all(preparationId).map((row) => row.digest as Uint8Array);
  }
}
