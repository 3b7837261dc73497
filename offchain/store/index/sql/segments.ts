/** Segments and their manifests: tables `segments` and `segment_chunks`, and `given_index` of data sets. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Selectable, sql, type Transaction, type Updateable } from "kysely";
import { namedTwice } from "../../../core/audit/manifest.ts";
import { contentIdFromDigest } from "../../../core/encoding/content-id.ts";
import { TallystickError } from "../../../core/errors.ts";
import type { Leases } from "../leases.ts";
import type {
  ChunkRange,
  ManifestChunk,
  ManifestFacts,
  NewSegment,
  Segment,
  SegmentIndex,
  SegmentOutcome,
} from "../segment-index.ts";
import { addManifestUses, removeManifestUses } from "./chunk-removal.ts";
import { PAGE_ROWS, pagesOf } from "./pages.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** Rows of a manifest that one transaction removes. */
const DELETED_AT_ONCE = 1000;

type SegmentColumns = ProviderTables["segments"];

function toSegment(row: Selectable<SegmentColumns>): Segment {
  return {
    id: row.id,
    dataSetId: row.data_set_id,
    name: row.name,
    manifestHash: row.manifest_hash,
    commitmentSeed: row.commitment_seed,
    commitmentsRoot: row.commitments_root ?? new Uint8Array(),
    firstIndex: row.first_index,
    sliceCount: row.slice_count,
    pieces: { pieces: row.pieces, squares: row.piece_squares, most: row.most_pieces },
    dataBytes: row.data_bytes,
    tagsBytes: row.tags_bytes,
    verified: row.verified === 1,
    included: row.included === 1,
    touchedAt: row.touched_at,
  };
}

export class SqlSegmentIndex implements SegmentIndex {
  readonly #database: SqlDatabase<ProviderTables>;
  readonly #leases: Leases;
  readonly #now: () => number;

  /**
   * @param leases tell which processes still write the manifests that are not complete
   * @param now unix seconds
   */
  constructor(database: SqlDatabase<ProviderTables>, leases: Leases, now: () => number) {
    this.#database = database;
    this.#leases = leases;
    this.#now = now;
  }

  async #list(where: Partial<Selectable<SegmentColumns>>): Promise<Segment[]> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("segments")
        .selectAll()
        .where((all) => all.and({ ...where, complete: 1 }))
        .orderBy("first_index")
        .execute(),
    );
    return rows.map(toSegment);
  }

  async find(id: number): Promise<Segment | undefined> {
    return (await this.#list({ id }))[0];
  }

  async findByName(dataSetId: number, name: Uint8Array): Promise<Segment | undefined> {
    return (await this.#list({ data_set_id: dataSetId, name }))[0];
  }

  ofDataSet(dataSetId: number): Promise<Segment[]> {
    return this.#list({ data_set_id: dataSetId });
  }

  async begin(segment: NewSegment, limit: number): Promise<SegmentOutcome> {
    const { dataSetId, name, manifestHash, commitmentSeed, firstIndex, touchedAt } = segment;
    return this.#database.write<SegmentOutcome>(async (transaction) => {
      const set = await transaction
        .selectFrom("data_sets")
        .select("account")
        .where("id", "=", dataSetId)
        .where("state", "<>", "removing")
        .executeTakeFirst();
      if (set === undefined) return { outcome: "no-set" };
      // One transaction at a time counts and adds the segments of an account.
      await this.#database.lockName(transaction, `segments of ${set.account}`);
      const known = transaction.selectFrom("segments").select("id").where("data_set_id", "=", dataSetId);
      if ((await known.where("name", "=", name).executeTakeFirst()) !== undefined) return { outcome: "exists" };
      const { unused } = await transaction
        .selectFrom("segments")
        .select((build) => build.fn.countAll<number>().as("unused"))
        .where("account", "=", set.account)
        .where("included", "=", 0)
        .executeTakeFirstOrThrow();
      if (unused >= limit) return { outcome: "too-many" };
      const { id } = await transaction
        .insertInto("segments")
        .values({
          data_set_id: dataSetId,
          account: set.account,
          name,
          manifest_hash: manifestHash,
          commitment_seed: commitmentSeed,
          first_index: firstIndex,
          writer: this.#leases.holder,
          touched_at: touchedAt,
        })
        .returning("id")
        .executeTakeFirstOrThrow();
      return { outcome: "created", id };
    });
  }

  async addToManifest(id: number, chunks: readonly ManifestChunk[]): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        const query = transaction
          .selectFrom("segments")
          .select("data_bytes")
          .where("id", "=", id)
          .where("complete", "=", 0)
          .where("writer", "=", this.#leases.holder);
        const row = await this.#database.locking(query).executeTakeFirst();
        if (row === undefined) throw takenOver();
        let endByte = row.data_bytes;
        const rows = chunks.map(({ digest, sizeBytes }) => {
          const start_byte = endByte;
          endByte += sizeBytes;
          return { segment_id: id, start_byte, size_bytes: sizeBytes, digest };
        });
        const inserted = await transaction
          .insertInto("segment_chunks")
          .values(rows)
          .onConflict((conflict) => conflict.doNothing())
          .returning("start_byte")
          .execute();
        if (inserted.length < rows.length) {
          const starts = new Set(inserted.map(({ start_byte }) => start_byte));
          const twice = rows.find(({ start_byte }) => !starts.has(start_byte));
          throw namedTwice(contentIdFromDigest(twice?.digest ?? new Uint8Array(32)));
        }
        await addManifestUses(
          transaction,
          rows.map(({ digest }) => digest),
        );
        await transaction
          .updateTable("segments")
          .set({ data_bytes: endByte, kept_bytes: endByte, kept_chunks: sql`kept_chunks + ${sql.lit(rows.length)}` })
          .where("id", "=", id)
          .execute();
      },
      { durable: false },
    );
  }

  async complete(id: number, facts: ManifestFacts): Promise<"given" | "taken"> {
    const { sliceCount, pieces, commitmentsRoot } = facts;
    return this.#database.write(async (transaction) => {
      const segment = await transaction
        .updateTable("segments")
        .set({
          complete: 1,
          slice_count: sliceCount,
          pieces: pieces.pieces,
          piece_squares: pieces.squares,
          most_pieces: pieces.most,
          commitments_root: commitmentsRoot,
        })
        .where("id", "=", id)
        .where("complete", "=", 0)
        .where("writer", "=", this.#leases.holder)
        .returning(["data_set_id", "first_index"])
        .executeTakeFirst();
      if (segment === undefined) throw takenOver();
      const { numUpdatedRows } = await transaction
        .updateTable("data_sets")
        .set({ given_index: segment.first_index + sliceCount - 1 })
        .where("id", "=", segment.data_set_id)
        .where("state", "<>", "removing")
        .where("given_index", "<", segment.first_index)
        .executeTakeFirstOrThrow();
      if (numUpdatedRows > 0n) return "given";
      await transaction.updateTable("segments").set({ complete: 0 }).where("id", "=", id).execute();
      return "taken";
    });
  }

  async incomplete({ own }: { own: boolean }): Promise<{ readonly id: number; readonly dataSetId: number }[]> {
    const alive = await this.#leases.processes();
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("segments")
        .select(["id", "data_set_id", "writer"])
        .where("complete", "=", 0)
        .orderBy("id")
        .execute(),
    );
    const isLeft = (writer: string) => (writer === this.#leases.holder ? own : !alive.has(writer));
    return rows.filter(({ writer }) => isLeft(writer)).map(({ id, data_set_id: dataSetId }) => ({ id, dataSetId }));
  }

  async delete(id: number): Promise<void> {
    await this.#update(id, { complete: 0, writer: this.#leases.holder });
    await this.#deleteIncomplete(id);
  }

  /** Removes the rows of a manifest piecewise: a large one would hold up everything else for seconds. */
  async #deleteIncomplete(id: number): Promise<void> {
    while ((await this.#free(id, 0, Number.MAX_SAFE_INTEGER)) > 0) await nextTurn();
    await this.#database.write(
      (transaction) => transaction.deleteFrom("segments").where("id", "=", id).where("complete", "=", 0).execute(),
      { repeatable: true },
    );
  }

  async freeChunks(id: number, fromByte: number, untilByte: number): Promise<number> {
    let freed = 0;
    for (;;) {
      const some = await this.#free(id, fromByte, untilByte);
      if (some === 0) return freed;
      freed += some;
      await nextTurn();
    }
  }

  /** Some of the chunks within a part of the data, in one transaction. @returns how many */
  async #free(id: number, fromByte: number, untilByte: number): Promise<number> {
    return this.#database.write(
      async (transaction) => {
        const rows = await transaction
          .deleteFrom("segment_chunks")
          .where("segment_id", "=", id)
          .where("start_byte", "in", (chosen) =>
            chosen
              .selectFrom("segment_chunks")
              .select("start_byte")
              .where("segment_id", "=", id)
              .where("start_byte", ">=", fromByte)
              .where(sql<boolean>`start_byte + size_bytes <= ${untilByte}`)
              .limit(DELETED_AT_ONCE),
          )
          .returning(["digest", "size_bytes"])
          .execute();
        if (rows.length === 0) return 0;
        await removeManifestUses(
          transaction,
          rows.map(({ digest }) => digest),
          this.#now(),
        );
        const freedBytes = rows.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
        await transaction
          .updateTable("segments")
          .set({
            kept_bytes: sql`kept_bytes - ${sql.lit(freedBytes)}`,
            kept_chunks: sql`kept_chunks - ${sql.lit(rows.length)}`,
          })
          .where("id", "=", id)
          .execute();
        return rows.length;
      },
      { repeatable: true, durable: false },
    );
  }

  async abandoned(before: number): Promise<Segment[]> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("segments")
        .selectAll()
        .where("included", "=", 0)
        .where("complete", "=", 1)
        .where("touched_at", "<", before)
        .orderBy("id")
        .execute(),
    );
    return rows.map(toSegment);
  }

  async deleteAbandoned(id: number, before: number): Promise<boolean> {
    const { numUpdatedRows } = await this.#database.write((transaction) =>
      transaction
        .updateTable("segments")
        .set({ complete: 0, writer: this.#leases.holder })
        .where("id", "=", id)
        .where("included", "=", 0)
        .where("complete", "=", 1)
        .where("touched_at", "<", before)
        .executeTakeFirstOrThrow(),
    );
    if (numUpdatedRows === 0n) return false;
    await this.#deleteIncomplete(id);
    return true;
  }

  async setTags(id: number, bytes: number): Promise<void> {
    await this.#update(id, { tags_bytes: bytes, verified: 0 });
  }

  async setVerified(id: number): Promise<void> {
    await this.#update(id, { verified: 1 });
  }

  async #update(id: number, values: Updateable<SegmentColumns>): Promise<void> {
    await this.#database.write(
      (transaction) => transaction.updateTable("segments").set(values).where("id", "=", id).execute(),
      { repeatable: true },
    );
  }

  async touch(id: number, now: number): Promise<boolean> {
    return this.#database.write(
      async (transaction) => {
        const row = await transaction
          .updateTable("segments")
          .set({ touched_at: now })
          .where("id", "=", id)
          .where("complete", "=", 1)
          .returning("data_set_id")
          .executeTakeFirst();
        if (row === undefined) return false;
        await touchSet(transaction, row.data_set_id, now);
        return true;
      },
      { repeatable: true },
    );
  }

  async rangesOf(id: number, firstByte: number, lengthBytes: number): Promise<ChunkRange[]> {
    const endByte = firstByte + lengthBytes;
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("segment_chunks")
        .select(["start_byte", "size_bytes", "digest"])
        .where("segment_id", "=", id)
        .where("start_byte", ">=", (containing) =>
          containing
            .selectFrom("segment_chunks")
            .select((build) => build.fn.coalesce(build.fn.max("start_byte"), sql<number>`0`).as("start_byte"))
            .where("segment_id", "=", id)
            .where("start_byte", "<=", firstByte),
        )
        .where("start_byte", "<", endByte)
        .orderBy("start_byte")
        .execute(),
    );
    const ranges: ChunkRange[] = [];
    for (const { start_byte: startByte, size_bytes: sizeBytes, digest } of rows) {
      const offsetBytes = Math.max(0, firstByte - startByte);
      const untilByte = Math.min(endByte, startByte + sizeBytes);
      const rangeBytes = untilByte - startByte - offsetBytes;
      if (rangeBytes > 0) ranges.push({ digest, offsetBytes, lengthBytes: rangeBytes });
    }
    return ranges;
  }

  async *manifestDigests(id: number): AsyncGenerator<readonly Uint8Array[], void, undefined> {
    const read = (after: Uint8Array) =>
      this.#database.run((database) =>
        database
          .selectFrom("segment_chunks")
          .select("digest")
          .where("segment_id", "=", id)
          .where("digest", ">", after)
          .orderBy("digest")
          .limit(PAGE_ROWS)
          .execute(),
      );
    const start: Uint8Array = new Uint8Array(0);
    for await (const rows of pagesOf(start, read, ({ digest }) => digest)) yield rows.map(({ digest }) => digest);
  }
}

/** A request for a segment is one for its set. */
async function touchSet(transaction: Transaction<ProviderTables>, id: number, now: number): Promise<void> {
  await transaction.updateTable("data_sets").set({ touched_at: now }).where("id", "=", id).execute();
}

/** Another process found this one's lease expired, and removes the segment. */
function takenOver(): TallystickError {
  return new TallystickError("the segment was given up while its manifest arrived", {
    code: "CONFLICT",
    party: "this daemon",
    check: "writer of the segment",
    hint: "begin it again",
    retryable: true,
  });
}
