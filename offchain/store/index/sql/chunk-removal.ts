/** What keeps a chunk besides its owners, and the removal of chunks that nothing keeps: rows of `chunks`. */
import { sql } from "kysely";
import type { ChunkIndex, IndexedChunk } from "../chunk-index.ts";
import { addTotals, beingRemoved, distinct, noteUnused, slicesOf, type Tables } from "./chunk-rows.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** The part of the chunk index that garbage collection uses. */
export class SqlChunkRemoval implements Pick<ChunkIndex, "unused" | "beginRemoval" | "endRemoval"> {
  readonly #database: SqlDatabase<ProviderTables>;

  constructor(database: SqlDatabase<ProviderTables>) {
    this.#database = database;
  }

  async unused(since: number, limit: number, after: Uint8Array = new Uint8Array(0)): Promise<IndexedChunk[]> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("chunks")
        .select(["digest", "size_bytes"])
        .where("unused_since", "<=", since)
        .where("digest", ">", after)
        .orderBy("digest")
        .limit(limit)
        .execute(),
    );
    return rows.map(({ digest, size_bytes }) => ({ digest, sizeBytes: size_bytes }));
  }

  async beginRemoval(digests: readonly Uint8Array[], since: number): Promise<Uint8Array[]> {
    if (digests.length === 0) return [];
    return this.#database.write(
      async (transaction) => {
        const removable: Uint8Array[] = [];
        let lostChunks = 0;
        for (const slice of slicesOf(distinct(digests))) {
          const query = transaction
            .selectFrom("chunks")
            .select(["digest", "state"])
            .where("digest", "in", slice)
            .where("unused_since", "<=", since)
            .where("owner_count", "=", 0)
            .where("use_count", "=", 0)
            .orderBy("digest");
          const rows = await this.#database.locking(query).execute();
          if (rows.length === 0) continue;
          lostChunks -= rows.filter(({ state }) => state === "lost").length;
          const chosen = rows.map(({ digest }) => digest);
          await transaction.updateTable("chunks").set({ state: "removing" }).where("digest", "in", chosen).execute();
          removable.push(...chosen);
        }
        await addTotals(this.#database, transaction, { chunks: 0, storedBytes: 0, lostChunks });
        return removable;
      },
      { repeatable: true },
    );
  }

  async endRemoval(digests: readonly Uint8Array[]): Promise<void> {
    if (digests.length === 0) return;
    await this.#database.write(
      async (transaction) => {
        const removed = { chunks: 0, storedBytes: 0, lostChunks: 0 };
        for (const slice of slicesOf(distinct(digests))) {
          const rows = await transaction
            .deleteFrom("chunks")
            .where("digest", "in", slice)
            .where("state", "=", "removing")
            .returning(["size_bytes", "challenge_set"])
            .execute();
          const sets = rows.flatMap(({ challenge_set: id }) => (id === null ? [] : [id]));
          if (sets.length > 0) await transaction.deleteFrom("challenge_sets").where("id", "in", sets).execute();
          removed.chunks -= rows.length;
          for (const { size_bytes } of rows) removed.storedBytes -= size_bytes;
        }
        await addTotals(this.#database, transaction, removed);
      },
      { repeatable: true },
    );
  }
}

/**
 * Counts manifests that name chunks; part of the transaction that writes or removes the manifest's rows.
 * @param digests each once
 * @throws TallystickError CONFLICT, retryable, when one of them is being removed
 */
export async function addManifestUses(transaction: Tables, digests: readonly Uint8Array[]): Promise<void> {
  for (const slice of slicesOf(digests)) {
    const { numUpdatedRows } = await transaction
      .updateTable("chunks")
      .set({ use_count: sql`use_count + 1`, unused_since: null })
      .where("digest", "in", slice)
      .where("state", "<>", "removing")
      .executeTakeFirstOrThrow();
    if (Number(numUpdatedRows) !== slice.length) throw beingRemoved();
  }
}

/**
 * As `addManifestUses`, for manifests that are removed. Chunks that nobody needs then are unused from now on: an upload
 * of another process may count on the time that passes before they are removed (`garbage.ts`).
 * @param now seconds
 */
export async function removeManifestUses(
  transaction: Tables,
  digests: readonly Uint8Array[],
  now: number,
): Promise<void> {
  for (const slice of slicesOf(digests)) {
    const update = transaction.updateTable("chunks").set({ use_count: sql`use_count - 1` });
    await update.where("digest", "in", slice).execute();
    await noteUnused(transaction, slice, now);
  }
}
