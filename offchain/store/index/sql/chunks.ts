/**
 * The chunk index: which chunks there are, in tables `chunks` and `totals`. Who owns them, the challenges that claims
 * take, and their removal are in the files `chunk-*.ts`; all of them are one index, and share its transactions.
 */
import { sql } from "kysely";
import type { PreparedChallenge } from "../../../core/crypto/ownership-challenge.ts";
import { toHex } from "../../../core/encoding/hex.ts";
import type {
  AccountOwnership,
  AccountUsage,
  ChunkIndex,
  ChunkRow,
  ChunkTotals,
  ClaimedChunk,
  IndexedChunk,
  RecordedChunk,
  TakenChallenge,
} from "../chunk-index.ts";
import { canonicalAddress } from "./accounts.ts";
import { insertChallenges, replaceChallenges, SqlChunkChallenges, settleTaken } from "./chunk-challenges.ts";
import { addOwners, addUsage, countOwners, SqlChunkOwners } from "./chunk-owners.ts";
import { SqlChunkRemoval } from "./chunk-removal.ts";
import {
  addTotals,
  beingRemoved,
  distinct,
  inOrder,
  lockedRows,
  type StoredRow,
  setStates,
  slicesOf,
  type Tables,
} from "./chunk-rows.ts";
import { requireLife } from "./leases.ts";
import { PAGE_ROWS, pagesOf } from "./pages.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

function toChunk({ digest, size_bytes, state }: StoredRow): ChunkRow {
  return { digest, sizeBytes: size_bytes, stored: state === "stored" };
}

export class SqlChunkIndex implements ChunkIndex {
  readonly #database: SqlDatabase<ProviderTables>;
  readonly #owners: SqlChunkOwners;
  readonly #challenges: SqlChunkChallenges;
  readonly #removal: SqlChunkRemoval;

  /** @param releasesFrom see `SqlHeadIndex` */
  constructor(database: SqlDatabase<ProviderTables>, releasesFrom: number) {
    this.#database = database;
    this.#owners = new SqlChunkOwners(database, releasesFrom);
    this.#challenges = new SqlChunkChallenges(database);
    this.#removal = new SqlChunkRemoval(database);
  }

  async find(digests: readonly Uint8Array[]): Promise<(ChunkRow | undefined)[]> {
    const rows = await this.#database.run(async (database) => {
      const found = new Map<string, ChunkRow>();
      for (const slice of slicesOf(digests)) {
        const query = database.selectFrom("chunks").select(["digest", "size_bytes", "state", "challenge_set"]);
        for (const row of await query.where("digest", "in", slice).execute())
          found.set(toHex(row.digest), toChunk(row));
      }
      return found;
    });
    return digests.map((digest) => rows.get(toHex(digest)));
  }

  async record(account: string, chunks: readonly RecordedChunk[], now: number, life?: string): Promise<number> {
    const owner = canonicalAddress(account);
    const ordered = inOrder(chunks);
    return this.#database.write(
      async (transaction) => {
        if (life !== undefined) await requireLife(this.#database, transaction, life);
        let madeUp = 0;
        const added = { chunks: 0, storedBytes: 0, lostChunks: 0 };
        const owned: { chunks: number; bytes: number } = { chunks: 0, bytes: 0 };
        for (const slice of slicesOf(ordered)) {
          const inserted = await this.#insert(transaction, slice, now);
          const fresh = slice.filter(({ digest }) => inserted.has(toHex(digest)));
          const known = slice.filter(({ digest }) => !inserted.has(toHex(digest)));
          if (fresh.some(({ hadRow }) => hadRow)) throw beingRemoved();
          added.chunks += fresh.length;
          added.storedBytes += fresh.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
          added.lostChunks -= await this.#renew(transaction, known);
          const digests = slice.map(({ digest }) => digest);
          madeUp += await settleTaken(transaction, owner, digests, now);
          const given = await addOwners(this.#database, transaction, owner, digests, now);
          await countOwners(
            transaction,
            known.map(({ digest }) => digest).filter((digest) => given.has(toHex(digest))),
          );
          owned.chunks += given.size;
          for (const { digest, sizeBytes } of slice) if (given.has(toHex(digest))) owned.bytes += sizeBytes;
        }
        await addUsage(transaction, owner, owned);
        await addTotals(this.#database, transaction, added);
        return madeUp;
      },
      { repeatable: true },
    );
  }

  /** @returns digests, in hexadecimal, of the chunks that had no row */
  async #insert(transaction: Tables, chunks: readonly RecordedChunk[], now: number): Promise<ReadonlySet<string>> {
    const known = await lockedRows(this.#database, transaction, chunks);
    const fresh = chunks.filter(({ digest }) => !known.has(toHex(digest)));
    if (fresh.length === 0) return new Set();
    const sets = await insertChallenges(transaction, fresh);
    const inserted = await transaction
      .insertInto("chunks")
      .values(
        fresh.map(({ digest, sizeBytes }) => ({
          digest,
          size_bytes: sizeBytes,
          state: "stored" as const,
          stored_at: now,
          challenge_set: sets.get(toHex(digest)) ?? null,
          owner_count: 1,
        })),
      )
      .onConflict((conflict) => conflict.column("digest").doNothing())
      .returning("digest")
      .execute();
    const digests = new Set(inserted.map(({ digest }) => toHex(digest)));
    // Another transaction was first with these.
    const unused = [...sets].filter(([digest]) => !digests.has(digest)).map(([, id]) => id);
    if (unused.length > 0) await transaction.deleteFrom("challenge_sets").where("id", "in", unused).execute();
    return digests;
  }

  /**
   * Gives chunks that have a row new challenges, and notes that they are stored.
   * @returns how many of them were lost
   */
  async #renew(transaction: Tables, chunks: readonly RecordedChunk[]): Promise<number> {
    if (chunks.length === 0) return 0;
    const rows = await lockedRows(this.#database, transaction, chunks);
    if ([...rows.values()].some(({ state }) => state === "removing")) throw beingRemoved();
    await replaceChallenges(transaction, chunks, rows);
    return setStates(
      transaction,
      "stored",
      chunks.map(({ digest }) => digest),
    );
  }

  async markLost(digests: readonly Uint8Array[]): Promise<void> {
    await this.#mark("lost", digests);
  }

  async markStored(digests: readonly Uint8Array[]): Promise<void> {
    await this.#mark("stored", digests);
  }

  async #mark(state: "stored" | "lost", digests: readonly Uint8Array[]): Promise<void> {
    if (digests.length === 0) return;
    await this.#database.write(
      async (transaction) => {
        const changed = await setStates(transaction, state, distinct(digests));
        const lostChunks = state === "lost" ? changed : -changed;
        await addTotals(this.#database, transaction, { chunks: 0, storedBytes: 0, lostChunks });
      },
      { repeatable: true },
    );
  }

  async *pages(start: Uint8Array = new Uint8Array(0)): AsyncGenerator<readonly ChunkRow[], void, undefined> {
    const read = (after: Uint8Array) =>
      this.#database.run((database) =>
        database
          .selectFrom("chunks")
          .select(["digest", "size_bytes", "state", "challenge_set"])
          .where("digest", ">", after)
          .orderBy("digest")
          .limit(PAGE_ROWS)
          .execute(),
      );
    for await (const rows of pagesOf(start, read, ({ digest }) => digest)) yield rows.map(toChunk);
  }

  async totals(): Promise<ChunkTotals> {
    return this.#database.run(async (database) => {
      const stored = await database
        .selectFrom("totals")
        .select([
          sql<number>`CAST(coalesce(sum(chunks), 0) AS BIGINT)`.as("chunks"),
          sql<number>`CAST(coalesce(sum(stored_bytes), 0) AS BIGINT)`.as("bytes"),
          sql<number>`CAST(coalesce(sum(lost_chunks), 0) AS BIGINT)`.as("lost"),
        ])
        .executeTakeFirstOrThrow();
      const owned = await database
        .selectFrom("accounts")
        .select(sql<number>`CAST(coalesce(sum(owned_bytes), 0) AS BIGINT)`.as("bytes"))
        .executeTakeFirstOrThrow();
      return {
        chunks: stored.chunks,
        storedBytes: stored.bytes,
        lostChunks: stored.lost,
        ownedBytes: owned.bytes,
      };
    });
  }

  owns(account: string, digests: readonly Uint8Array[]): Promise<boolean[]> {
    return this.#owners.owns(account, digests);
  }

  ownersOf(digests: readonly Uint8Array[]): Promise<number[]> {
    return this.#owners.ownersOf(digests);
  }

  addOwner(account: string, digests: readonly Uint8Array[], now: number): Promise<boolean[]> {
    return this.#owners.addOwner(account, digests, now);
  }

  keep(account: string, digests: readonly Uint8Array[]): Promise<boolean[]> {
    return this.#owners.keep(account, digests);
  }

  noteRelease(
    account: string,
    digests: readonly Uint8Array[],
    headVersion: number,
    now: number,
  ): Promise<number | undefined> {
    return this.#owners.noteRelease(account, digests, headVersion, now);
  }

  endReleases(releasedAt: number, limit: number, now: number): Promise<number> {
    return this.#owners.endReleases(releasedAt, limit, now);
  }

  release(account: string, digests: readonly Uint8Array[], now: number): Promise<number> {
    return this.#owners.release(account, digests, now);
  }

  ownedBy(account: string, limit: number, after?: Uint8Array): Promise<Uint8Array[]> {
    return this.#owners.ownedBy(account, limit, after);
  }

  usageOf(account: string): Promise<AccountUsage> {
    return this.#owners.usageOf(account);
  }

  owners(): AsyncIterable<readonly AccountOwnership[]> {
    return this.#owners.owners();
  }

  setUnpaidSince(account: string, since: number | undefined): Promise<void> {
    return this.#owners.setUnpaidSince(account, since);
  }

  setChallenges(digest: Uint8Array, challenges: readonly PreparedChallenge[]): Promise<void> {
    return this.#challenges.setChallenges(digest, challenges);
  }

  takeChallenges(account: string, chunks: readonly ClaimedChunk[], expiresAt: number): Promise<TakenChallenge[]> {
    return this.#challenges.takeChallenges(account, chunks, expiresAt);
  }

  settleClaims(account: string, digests: readonly Uint8Array[]): Promise<number> {
    return this.#challenges.settleClaims(account, digests);
  }

  forgetClaims(now: number): Promise<void> {
    return this.#challenges.forgetClaims(now);
  }

  unused(since: number, limit: number, after?: Uint8Array): Promise<IndexedChunk[]> {
    return this.#removal.unused(since, limit, after);
  }

  beginRemoval(digests: readonly Uint8Array[], since: number): Promise<Uint8Array[]> {
    return this.#removal.beginRemoval(digests, since);
  }

  endRemoval(digests: readonly Uint8Array[]): Promise<void> {
    return this.#removal.endRemoval(digests);
  }
}
