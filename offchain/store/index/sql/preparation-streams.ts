/**
 * The streams of preparations in the database, in pieces: where several processes of a provider have no folder in
 * common. They are some thousandths of the data that they are about. Table `preparation_pieces`.
 */
import { sql, type Transaction } from "kysely";
import type { PreparationPart } from "../preparation-index.ts";
import { bodyTooLong, type PreparationStreams, streamTooShort } from "../preparation-streams.ts";
import type { TableDefinitions } from "./column-types.ts";
import type { SqlDatabase } from "./sql-database.ts";

export const PIECE_BYTES = 64 * 1024;

export interface StreamTables {
  preparation_pieces: { preparation_id: number; part: PreparationPart; piece: number; bytes: Uint8Array };
}

/** Part of the provider's first migration, after the table of preparations. */
export const STREAM_TABLES: TableDefinitions = ({ bytes, integer, clustered }) => [
  // Piece n holds the bytes from n · 65,536 on; all pieces but the last are full.
  `CREATE TABLE preparation_pieces (
    preparation_id ${integer} NOT NULL REFERENCES preparations (id) ON DELETE CASCADE,
    part TEXT NOT NULL,
    piece ${integer} NOT NULL,
    bytes ${bytes} NOT NULL,
    PRIMARY KEY (preparation_id, part, piece)
  ) ${clustered}`,
];

export class SqlPreparationStreams implements PreparationStreams {
  readonly #database: SqlDatabase<StreamTables>;

  constructor(database: SqlDatabase<StreamTables>) {
    this.#database = database;
  }

  /** A stream without a piece is empty. */
  async create(): Promise<void> {}

  async isWhole(): Promise<boolean> {
    return true;
  }

  /** Pieces go with their row, so that there is none without. */
  async list(): Promise<number[]> {
    return [];
  }

  async write(
    preparationId: number,
    part: PreparationPart,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<number> {
    let writtenBytes = 0;
    for await (const bytes of body) {
      if (writtenBytes + bytes.length > limitBytes) throw bodyTooLong(part, limitBytes);
      await this.#put(preparationId, part, offsetBytes + writtenBytes, bytes);
      writtenBytes += bytes.length;
    }
    await this.#sync(preparationId, part);
    return writtenBytes;
  }

  /** A durable transaction, after which all before it are durable too, because the log is written in order. */
  async #sync(preparationId: number, part: PreparationPart): Promise<void> {
    await this.#database.write(
      (transaction) =>
        transaction
          .updateTable("preparation_pieces")
          .set({ piece: sql`piece` })
          .where("preparation_id", "=", preparationId)
          .where("part", "=", part)
          .where("piece", "=", 0)
          .execute(),
      { repeatable: true },
    );
  }

  /** Writes bytes piece by piece, each in a transaction of its own. */
  async #put(preparationId: number, part: PreparationPart, offsetBytes: number, bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const at = offsetBytes + done;
      const piece = Math.floor(at / PIECE_BYTES);
      const from = at - piece * PIECE_BYTES;
      const some = bytes.subarray(done, done + PIECE_BYTES - from);
      await this.#database.write(
        async (transaction) => {
          const old =
            from === 0 && some.length === PIECE_BYTES ? undefined : await find(transaction, preparationId, part, piece);
          if (from > (old?.length ?? 0)) throw streamTooShort(part, at, piece * PIECE_BYTES + (old?.length ?? 0));
          const merged = new Uint8Array(Math.max(old?.length ?? 0, from + some.length));
          merged.set(old ?? []);
          merged.set(some, from);
          await transaction
            .insertInto("preparation_pieces")
            .values({ preparation_id: preparationId, part, piece, bytes: merged })
            .onConflict((conflict) =>
              conflict.columns(["preparation_id", "part", "piece"]).doUpdateSet({ bytes: sql`excluded.bytes` }),
            )
            .execute();
        },
        { repeatable: true, durable: false },
      );
      done += some.length;
    }
  }

  async copyStart(fromId: number, toId: number, part: PreparationPart, lengthBytes: number): Promise<void> {
    const copiedBytes = await this.write(toId, part, 0, this.#pieces(fromId, part, lengthBytes), lengthBytes);
    if (copiedBytes !== lengthBytes) throw streamTooShort(part, lengthBytes, copiedBytes);
  }

  async *#pieces(preparationId: number, part: PreparationPart, lengthBytes: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < lengthBytes; at += PIECE_BYTES) {
      yield await this.read(preparationId, part, at, Math.min(PIECE_BYTES, lengthBytes - at));
    }
  }

  async read(
    preparationId: number,
    part: PreparationPart,
    offsetBytes: number,
    lengthBytes: number,
  ): Promise<Uint8Array> {
    const read = new Uint8Array(lengthBytes);
    let done = 0;
    while (done < lengthBytes) {
      const at = offsetBytes + done;
      const piece = Math.floor(at / PIECE_BYTES);
      const from = at - piece * PIECE_BYTES;
      const wanted = Math.min(lengthBytes - done, PIECE_BYTES - from);
      const row = await this.#database.run((database) =>
        database
          .selectFrom("preparation_pieces")
          .select(sql<Uint8Array>`substr(bytes, ${sql.lit(from + 1)}, ${sql.lit(wanted)})`.as("bytes"))
          .where("preparation_id", "=", preparationId)
          .where("part", "=", part)
          .where("piece", "=", piece)
          .executeTakeFirst(),
      );
      if (row?.bytes.length !== wanted)
        throw streamTooShort(part, offsetBytes + lengthBytes, at + (row?.bytes.length ?? 0));
      read.set(row.bytes, done);
      done += wanted;
    }
    return read;
  }

  async size(preparationId: number, part: PreparationPart): Promise<number> {
    const row = await this.#database.run((database) =>
      database
        .selectFrom("preparation_pieces")
        .select(["piece", sql<number>`CAST(length(bytes) AS BIGINT)`.as("bytes")])
        .where("preparation_id", "=", preparationId)
        .where("part", "=", part)
        .orderBy("piece", "desc")
        .limit(1)
        .executeTakeFirst(),
    );
    return row === undefined ? 0 : row.piece * PIECE_BYTES + row.bytes;
  }

  async remove(preparationId: number): Promise<void> {
    await this.#database.write(
      (transaction) =>
        transaction.deleteFrom("preparation_pieces").where("preparation_id", "=", preparationId).execute(),
      { repeatable: true },
    );
  }
}

async function find(
  transaction: Transaction<StreamTables>,
  preparationId: number,
  part: PreparationPart,
  piece: number,
): Promise<Uint8Array | undefined> {
  const row = await transaction
    .selectFrom("preparation_pieces")
    .select("bytes")
    .where("preparation_id", "=", preparationId)
    .where("part", "=", part)
    .where("piece", "=", piece)
    .executeTakeFirst();
  return row?.bytes;
}
