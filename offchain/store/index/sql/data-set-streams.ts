/**
 * The streams of data sets in the database, in pieces: where several processes of a provider have no folder in common.
 * They are some thousandths of the data that they are about. Table `data_set_pieces`.
 */
import { sql, type Transaction } from "kysely";
import { bodyTooLong, type DataSetStream, type DataSetStreams, streamTooShort } from "../data-set-streams.ts";
import type { TableDefinitions } from "./column-types.ts";
import type { SqlDatabase } from "./sql-database.ts";

const PIECE_BYTES = 64 * 1024;

export interface DataSetStreamTables {
  data_set_pieces: { data_set_id: number; stream: string; piece: number; bytes: Uint8Array };
}

/** Part of the provider's first migration, after the table of data sets. */
export const DATA_SET_STREAM_TABLES: TableDefinitions = ({ bytes, integer, clustered }) => [
  // Piece n holds the bytes from n · 65,536 on; all pieces but the last are full.
  `CREATE TABLE data_set_pieces (
    data_set_id ${integer} NOT NULL REFERENCES data_sets (id) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    piece ${integer} NOT NULL,
    bytes ${bytes} NOT NULL,
    PRIMARY KEY (data_set_id, stream, piece)
  ) ${clustered}`,
];

export class SqlDataSetStreams implements DataSetStreams {
  readonly #database: SqlDatabase<DataSetStreamTables>;

  constructor(database: SqlDatabase<DataSetStreamTables>) {
    this.#database = database;
  }

  /** Pieces go with their row, so that there is none without. */
  async list(): Promise<number[]> {
    return [];
  }

  async write(
    dataSetId: number,
    stream: DataSetStream,
    offsetBytes: number,
    body: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<number> {
    let writtenBytes = 0;
    for await (const bytes of body) {
      if (writtenBytes + bytes.length > limitBytes) throw bodyTooLong(stream, limitBytes);
      await this.#put(dataSetId, stream, offsetBytes + writtenBytes, bytes);
      writtenBytes += bytes.length;
    }
    await this.#sync(dataSetId, stream);
    return writtenBytes;
  }

  /** A durable transaction, after which all before it are durable too, because the log is written in order. */
  async #sync(dataSetId: number, stream: DataSetStream): Promise<void> {
    await this.#database.write(
      (transaction) =>
        transaction
          .updateTable("data_set_pieces")
          .set({ piece: sql`piece` })
          .where("data_set_id", "=", dataSetId)
          .where("stream", "=", stream)
          .where("piece", "=", 0)
          .execute(),
      { repeatable: true },
    );
  }

  /** Writes bytes piece by piece, each in a transaction of its own. */
  async #put(dataSetId: number, stream: DataSetStream, offsetBytes: number, bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const at = offsetBytes + done;
      const piece = Math.floor(at / PIECE_BYTES);
      const from = at - piece * PIECE_BYTES;
      const some = bytes.subarray(done, done + PIECE_BYTES - from);
      await this.#database.write(
        async (transaction) => {
          const old =
            from === 0 && some.length === PIECE_BYTES ? undefined : await find(transaction, dataSetId, stream, piece);
          if (from > (old?.length ?? 0)) throw streamTooShort(stream, at, piece * PIECE_BYTES + (old?.length ?? 0));
          const merged = new Uint8Array(Math.max(old?.length ?? 0, from + some.length));
          merged.set(old ?? []);
          merged.set(some, from);
          await transaction
            .insertInto("data_set_pieces")
            .values({ data_set_id: dataSetId, stream, piece, bytes: merged })
            .onConflict((conflict) =>
              conflict.columns(["data_set_id", "stream", "piece"]).doUpdateSet({ bytes: sql`excluded.bytes` }),
            )
            .execute();
        },
        { repeatable: true, durable: false },
      );
      done += some.length;
    }
  }

  async read(dataSetId: number, stream: DataSetStream, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    const read = new Uint8Array(lengthBytes);
    let done = 0;
    while (done < lengthBytes) {
      const at = offsetBytes + done;
      const piece = Math.floor(at / PIECE_BYTES);
      const from = at - piece * PIECE_BYTES;
      const wanted = Math.min(lengthBytes - done, PIECE_BYTES - from);
      const row = await this.#database.run((database) =>
        database
          .selectFrom("data_set_pieces")
          .select(sql<Uint8Array>`substr(bytes, ${sql.lit(from + 1)}, ${sql.lit(wanted)})`.as("bytes"))
          .where("data_set_id", "=", dataSetId)
          .where("stream", "=", stream)
          .where("piece", "=", piece)
          .executeTakeFirst(),
      );
      const bytes = row?.bytes;
      if (bytes?.length !== wanted) {
        throw streamTooShort(stream, offsetBytes + lengthBytes, at + (bytes?.length ?? 0));
      }
      read.set(bytes, done);
      done += wanted;
    }
    return read;
  }

  async size(dataSetId: number, stream: DataSetStream): Promise<number> {
    const row = await this.#database.run((database) =>
      database
        .selectFrom("data_set_pieces")
        .select(["piece", sql<number>`CAST(length(bytes) AS BIGINT)`.as("bytes")])
        .where("data_set_id", "=", dataSetId)
        .where("stream", "=", stream)
        .orderBy("piece", "desc")
        .limit(1)
        .executeTakeFirst(),
    );
    return row === undefined ? 0 : row.piece * PIECE_BYTES + row.bytes;
  }

  async removeStream(dataSetId: number, stream: DataSetStream): Promise<void> {
    await this.#database.write(
      (transaction) =>
        transaction
          .deleteFrom("data_set_pieces")
          .where("data_set_id", "=", dataSetId)
          .where("stream", "=", stream)
          .execute(),
      { repeatable: true },
    );
  }

  async remove(dataSetId: number): Promise<void> {
    await this.#database.write(
      (transaction) => transaction.deleteFrom("data_set_pieces").where("data_set_id", "=", dataSetId).execute(),
      { repeatable: true },
    );
  }
}

async function find(
  transaction: Transaction<DataSetStreamTables>,
  dataSetId: number,
  stream: DataSetStream,
  piece: number,
): Promise<Uint8Array | undefined> {
  const row = await transaction
    .selectFrom("data_set_pieces")
    .select("bytes")
    .where("data_set_id", "=", dataSetId)
    .where("stream", "=", stream)
    .where("piece", "=", piece)
    .executeTakeFirst();
  return row?.bytes;
}
