/** Preparations and their manifests: tables `preparations` and `manifest_chunks`. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Selectable, sql, type Transaction, type Updateable } from "kysely";
import { namedTwice } from "../../../core/audit/manifest.ts";
import { contentIdFromDigest } from "../../../core/encoding/content-id.ts";
import { TallystickError } from "../../../core/errors.ts";
import type { Leases } from "../leases.ts";
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
import { canonicalAddress } from "./accounts.ts";
import { addManifestUses, removeManifestUses } from "./chunk-removal.ts";
import { PAGE_ROWS, pagesOf } from "./pages.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** Rows of a manifest that one transaction removes. */
const DELETED_AT_ONCE = 1000;

type PreparationColumns = ProviderTables["preparations"];
const COLUMN = {
  "powers-a": "powers_a_bytes",
  "powers-b": "powers_b_bytes",
  tags: "tags_bytes",
} as const satisfies Record<PreparationPart, keyof PreparationColumns>;

function toPreparation(row: Selectable<PreparationColumns>): Preparation {
  return {
    id: row.id,
    account: row.account,
    salt: row.salt,
    key: { X: row.key_x, XA: row.key_xa, XB: row.key_xb },
    auditKeyHash: row.audit_key_hash,
    manifestHash: row.manifest_hash,
    dataBytes: row.data_bytes,
    sliceCount: row.slice_count,
    received: { "powers-a": row.powers_a_bytes, "powers-b": row.powers_b_bytes, tags: row.tags_bytes },
    reusedPowers: row.reused_powers,
    verified: row.verified === 1,
    touchedAt: row.touched_at,
    inUse: row.uses > 0,
  };
}

export class SqlPreparationIndex implements PreparationIndex {
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

  async #largest(where: Partial<Selectable<PreparationColumns>>, limit: number): Promise<Preparation[]> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("preparations")
        .selectAll()
        .where((all) => all.and({ ...where, complete: 1 }))
        .orderBy("slice_count", "desc")
        .limit(limit)
        .execute(),
    );
    return rows.map(toPreparation);
  }

  async #first(where: Partial<Selectable<PreparationColumns>>): Promise<Preparation | undefined> {
    return (await this.#largest(where, 1))[0];
  }

  find(id: number): Promise<Preparation | undefined> {
    return this.#first({ id });
  }

  async findBySalt(account: string, salt: Uint8Array): Promise<Preparation | undefined> {
    return this.#first({ account: canonicalAddress(account), salt });
  }

  async findVerified(account: string, limit: number): Promise<readonly Preparation[]> {
    return this.#largest({ account: canonicalAddress(account), verified: 1 }, limit);
  }

  async *pages(): AsyncGenerator<readonly Preparation[], void, undefined> {
    const read = (after: number) =>
      this.#database.run((database) =>
        database
          .selectFrom("preparations")
          .selectAll()
          .where("id", ">", after)
          .where("complete", "=", 1)
          .orderBy("id")
          .limit(PAGE_ROWS)
          .execute(),
      );
    for await (const rows of pagesOf(0, read, ({ id }) => id)) yield rows.map(toPreparation);
  }

  async begin(
    { account, salt, key, auditKeyHash, manifestHash, touchedAt }: NewPreparation,
    unusedLimit: number,
  ): Promise<CreationOutcome> {
    const owner = canonicalAddress(account);
    return this.#database.write<CreationOutcome>(async (transaction) => {
      // One transaction at a time counts and adds the preparations of an account.
      await this.#database.lockName(transaction, `preparations of ${owner}`);
      const { unused } = await transaction
        .selectFrom("preparations")
        .select((build) => build.fn.countAll<number>().as("unused"))
        .where("account", "=", owner)
        .where("uses", "=", 0)
        .executeTakeFirstOrThrow();
      const values = {
        account: owner,
        salt,
        key_x: key.X,
        key_xa: key.XA,
        key_xb: key.XB,
        audit_key_hash: auditKeyHash,
        manifest_hash: manifestHash,
        writer: this.#leases.holder,
        touched_at: touchedAt,
      };
      const sameSalt = transaction.selectFrom("preparations").select("id").where("account", "=", owner);
      if ((await sameSalt.where("salt", "=", salt).executeTakeFirst()) !== undefined) return { outcome: "exists" };
      if (unused >= unusedLimit) return { outcome: "too-many" };
      const { id } = await transaction
        .insertInto("preparations")
        .values(values)
        .returning("id")
        .executeTakeFirstOrThrow();
      return { outcome: "created", id };
    });
  }

  async addToManifest(id: number, chunks: readonly ManifestChunk[]): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        const query = this.#written(transaction, id);
        const row = await this.#database.locking(query).executeTakeFirst();
        if (row === undefined) throw takenOver();
        let endByte = row.data_bytes;
        const rows = chunks.map(({ digest, sizeBytes }) => {
          const start_byte = endByte;
          endByte += sizeBytes;
          return { preparation_id: id, start_byte, size_bytes: sizeBytes, digest };
        });
        const inserted = await transaction
          .insertInto("manifest_chunks")
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
          .updateTable("preparations")
          .set({ data_bytes: endByte, chunk_count: sql`chunk_count + ${sql.lit(chunks.length)}` })
          .where("id", "=", id)
          .execute();
      },
      { durable: false },
    );
  }

  /** The row of a manifest that this process writes. */
  #written(transaction: Transaction<ProviderTables>, id: number) {
    return transaction
      .selectFrom("preparations")
      .select("data_bytes")
      .where("id", "=", id)
      .where("complete", "=", 0)
      .where("writer", "=", this.#leases.holder);
  }

  async complete(id: number, sliceCount: number): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable("preparations")
          .set({ complete: 1, slice_count: sliceCount })
          .where("id", "=", id)
          .where("writer", "=", this.#leases.holder)
          .executeTakeFirstOrThrow();
        if (numUpdatedRows === 0n) throw takenOver();
      },
      { repeatable: true },
    );
  }

  async incomplete({ own }: { own: boolean }): Promise<number[]> {
    const alive = await this.#leases.processes();
    const rows = await this.#database.run((database) =>
      database.selectFrom("preparations").select(["id", "writer"]).where("complete", "=", 0).orderBy("id").execute(),
    );
    const isLeft = (writer: string) => (writer === this.#leases.holder ? own : !alive.has(writer));
    return rows.filter(({ writer }) => isLeft(writer)).map(({ id }) => id);
  }

  async delete(id: number): Promise<void> {
    await this.#update(id, { complete: 0, writer: this.#leases.holder });
    await this.#deleteIncomplete(id);
  }

  /** Removes the rows of a manifest piecewise: a large one would hold up everything else for seconds. */
  async #deleteIncomplete(id: number): Promise<void> {
    for (;;) {
      const deleted = await this.#database.write(
        async (transaction) => {
          const rows = await transaction
            .deleteFrom("manifest_chunks")
            .where("preparation_id", "=", id)
            .where("start_byte", "in", (some) =>
              some
                .selectFrom("manifest_chunks")
                .select("start_byte")
                .where("preparation_id", "=", id)
                .limit(DELETED_AT_ONCE),
            )
            .returning("digest")
            .execute();
          await removeManifestUses(
            transaction,
            rows.map(({ digest }) => digest),
            this.#now(),
          );
          return rows.length;
        },
        { repeatable: true, durable: false },
      );
      if (deleted === 0) break;
      await nextTurn();
    }
    await this.#database.write(
      (transaction) => transaction.deleteFrom("preparations").where("id", "=", id).where("complete", "=", 0).execute(),
      { repeatable: true },
    );
  }

  async agreedOf(account: string): Promise<{ bytes: number; chunks: number }> {
    const owner = canonicalAddress(account);
    return this.#database.run((database) =>
      database
        .selectFrom("preparations")
        .select([
          sql<number>`CAST(coalesce(sum(data_bytes), 0) AS BIGINT)`.as("bytes"),
          sql<number>`CAST(coalesce(sum(chunk_count), 0) AS BIGINT)`.as("chunks"),
        ])
        .where("account", "=", owner)
        .where("uses", ">", 0)
        .where("complete", "=", 1)
        .executeTakeFirstOrThrow(),
    );
  }

  async abandoned(before: number): Promise<number[]> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("preparations")
        .select("id")
        .where("uses", "=", 0)
        .where("complete", "=", 1)
        .where("touched_at", "<", before)
        .orderBy("touched_at")
        .orderBy("id")
        .execute(),
    );
    return rows.map(({ id }) => id);
  }

  async deleteAbandoned(id: number, before: number): Promise<boolean> {
    const { numUpdatedRows } = await this.#database.write((transaction) =>
      transaction
        .updateTable("preparations")
        .set({ complete: 0, writer: this.#leases.holder })
        .where("id", "=", id)
        .where("uses", "=", 0)
        .where("complete", "=", 1)
        .where("touched_at", "<", before)
        .executeTakeFirstOrThrow(),
    );
    if (numUpdatedRows === 0n) return false;
    await this.#deleteIncomplete(id);
    return true;
  }

  async setReceived(id: number, part: PreparationPart, bytes: number): Promise<void> {
    await this.#update(id, { [COLUMN[part]]: bytes, verified: 0 });
  }

  async setReused(id: number, { powersABytes, powersBBytes, count }: ReusedPowers): Promise<void> {
    await this.#update(id, { powers_a_bytes: powersABytes, powers_b_bytes: powersBBytes, reused_powers: count });
  }

  async forgetPowers(id: number): Promise<void> {
    await this.#update(id, { powers_a_bytes: 0, powers_b_bytes: 0, reused_powers: 0, verified: 0 });
  }

  async setVerified(id: number, verified: boolean): Promise<void> {
    await this.#update(id, { verified: verified ? 1 : 0 });
  }

  async #update(id: number, values: Updateable<PreparationColumns>): Promise<void> {
    await this.#database.write(
      (transaction) => transaction.updateTable("preparations").set(values).where("id", "=", id).execute(),
      { repeatable: true },
    );
  }

  async touch(id: number, now: number): Promise<boolean> {
    const { numUpdatedRows } = await this.#database.write(
      (transaction) =>
        transaction
          .updateTable("preparations")
          .set({ touched_at: now })
          .where("id", "=", id)
          .where("complete", "=", 1)
          .executeTakeFirstOrThrow(),
      { repeatable: true },
    );
    return numUpdatedRows > 0n;
  }

  async rangesOf(id: number, firstByte: number, lengthBytes: number): Promise<ChunkRange[]> {
    const endByte = firstByte + lengthBytes;
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("manifest_chunks")
        .select(["start_byte", "size_bytes", "digest"])
        .where("preparation_id", "=", id)
        .where("start_byte", ">=", (containing) =>
          containing
            .selectFrom("manifest_chunks")
            .select((build) => build.fn.max("start_byte").as("start_byte"))
            .where("preparation_id", "=", id)
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

  async *manifestDigests(preparation: number): AsyncGenerator<readonly Uint8Array[], void, undefined> {
    const read = (after: Uint8Array) =>
      this.#database.run((database) =>
        database
          .selectFrom("manifest_chunks")
          .select("digest")
          .where("preparation_id", "=", preparation)
          .where("digest", ">", after)
          .orderBy("digest")
          .limit(PAGE_ROWS)
          .execute(),
      );
    const start: Uint8Array = new Uint8Array(0);
    for await (const rows of pagesOf(start, read, ({ digest }) => digest)) yield rows.map(({ digest }) => digest);
  }
}

/** Another process found this one's lease expired, and removes the preparation. */
function takenOver(): TallystickError {
  return new TallystickError("the preparation was given up while its manifest arrived", {
    code: "CONFLICT",
    party: "this daemon",
    check: "writer of the preparation",
    hint: "open it again",
    retryable: true,
  });
}
