/**
 * What the files `chunk*.ts` share: rows of `chunks`, and the sums over them in `totals`.
 *
 * Statements take whole batches, because each is a round trip on PostgreSQL. Rows are written in the order of their
 * digests, so that two transactions that write the same rows wait for one another instead of for each other.
 */
import { sql, type Transaction } from "kysely";
import { toHex } from "../../../core/encoding/hex.ts";
import { TallystickError } from "../../../core/errors.ts";
import type { ChunkState, ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** Rows of one statement: below the limits of both engines on parameters. */
const ROWS_AT_ONCE = 1000;
/** Rows of `totals`: one on SQLite, which has one writer. */
const TOTALS_SHARDS = { sqlite: 1, postgresql: 16 } as const;

export type Tables = Transaction<ProviderTables>;

export interface StoredRow {
  readonly digest: Uint8Array;
  readonly size_bytes: number;
  readonly state: ChunkState;
  readonly challenge_set: number | null;
}

export function* slicesOf<T>(items: readonly T[]): Generator<readonly T[], void, undefined> {
  for (let first = 0; first < items.length; first += ROWS_AT_ONCE) yield items.slice(first, first + ROWS_AT_ONCE);
}

/** Each digest once, in order. Of several entries with one digest, the last. */
export function inOrder<T extends { digest: Uint8Array }>(items: readonly T[]): T[] {
  const byDigest = new Map(items.map((item) => [toHex(item.digest), item]));
  return [...byDigest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
}

export const distinct = (digests: readonly Uint8Array[]): Uint8Array[] =>
  inOrder(digests.map((digest) => ({ digest }))).map(({ digest }) => digest);

/** Rows by the digest in hexadecimal; nobody removes them before the transaction ends. */
export async function lockedRows(
  database: SqlDatabase<ProviderTables>,
  transaction: Tables,
  chunks: readonly { digest: Uint8Array }[],
): Promise<ReadonlyMap<string, StoredRow>> {
  if (chunks.length === 0) return new Map();
  const query = transaction
    .selectFrom("chunks")
    .select(["digest", "size_bytes", "state", "challenge_set"])
    .where(
      "digest",
      "in",
      chunks.map(({ digest }) => digest),
    )
    .orderBy("digest");
  const rows = await database.locking(query, "key share").execute();
  return new Map(rows.map((row) => [toHex(row.digest), row]));
}

/** @returns how many rows have changed */
export async function setStates(
  transaction: Tables,
  state: "stored" | "lost",
  digests: readonly Uint8Array[],
): Promise<number> {
  let changed = 0;
  for (const slice of slicesOf(digests)) {
    const update = transaction.updateTable("chunks").set({ state }).where("digest", "in", slice);
    const other = state === "lost" ? "stored" : "lost";
    changed += Number((await update.where("state", "=", other).executeTakeFirstOrThrow()).numUpdatedRows);
  }
  return changed;
}

export async function addTotals(
  database: SqlDatabase<ProviderTables>,
  transaction: Tables,
  added: { chunks: number; storedBytes: number; lostChunks: number },
): Promise<void> {
  if (added.chunks === 0 && added.storedBytes === 0 && added.lostChunks === 0) return;
  const shard = Math.floor(Math.random() * TOTALS_SHARDS[database.engine]);
  await transaction
    .insertInto("totals")
    .values({ shard, chunks: added.chunks, stored_bytes: added.storedBytes, lost_chunks: added.lostChunks })
    .onConflict((conflict) =>
      conflict.column("shard").doUpdateSet({
        chunks: sql`totals.chunks + excluded.chunks`,
        stored_bytes: sql`totals.stored_bytes + excluded.stored_bytes`,
        lost_chunks: sql`totals.lost_chunks + excluded.lost_chunks`,
      }),
    )
    .execute();
}

/** The bytes of a chunk are being removed: whoever counts on them has to begin anew. */
export function beingRemoved(): TallystickError {
  return new TallystickError("a chunk of the request was removed meanwhile", {
    code: "CONFLICT",
    party: "provider",
    check: "chunks that nobody needed",
    hint: "repeat the request",
    retryable: true,
    retryAfterSeconds: 1,
  });
}

/** Notes which of these chunks nobody needs any more. */
export async function noteUnused(transaction: Tables, digests: readonly Uint8Array[], now: number): Promise<void> {
  await transaction
    .updateTable("chunks")
    .set({ unused_since: now })
    .where("digest", "in", digests)
    .where("owner_count", "=", 0)
    .where("use_count", "=", 0)
    .execute();
}
