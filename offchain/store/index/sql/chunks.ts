/**
 * The chunk index: tables `chunks`, `challenge_sets`, `owners`, `accounts`, `totals` and `taken_challenges`.
 *
 * Statements take whole batches, because each is a round trip on PostgreSQL. Rows are written in the order of their
 * digests, so that two transactions that write the same rows wait for one another instead of for each other.
 */
import type { Transaction } from "kysely";
import { sql } from "kysely";
import type { PreparedChallenge } from "../../../core/crypto/ownership-challenge.ts";
import { toHex } from "../../../core/encoding/hex.ts";
import { TallystickError } from "../../../core/errors.ts";
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
import { PREPARED_CHALLENGES } from "../chunk-index.ts";
import { canonicalAddress } from "./accounts.ts";
import { packChallenges, unpackChallenges } from "./challenge-column.ts";
import { countRelease } from "./heads.ts";
import { requireLife } from "./leases.ts";
import type { ChunkState, ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

const PAGE_ROWS = 1000;
/** Rows of one statement: below the limits of both engines on parameters. */
const ROWS_AT_ONCE = 1000;
/** Unused challenges at or below which a chunk's challenges run low. */
const FEW_CHALLENGES = 2;
/** Expired claims that one call forgets: a few milliseconds. */
const FORGOTTEN_AT_ONCE = 500;
/** Rows of `totals`: one on SQLite, which has one writer. */
const TOTALS_SHARDS = { sqlite: 1, postgresql: 16 } as const;

type Tables = Transaction<ProviderTables>;
interface StoredRow {
  readonly digest: Uint8Array;
  readonly size_bytes: number;
  readonly state: ChunkState;
  readonly challenge_set: number | null;
}

function toChunk({ digest, size_bytes, state }: StoredRow): ChunkRow {
  return { digest, sizeBytes: size_bytes, stored: state === "stored" };
}

function* slicesOf<T>(items: readonly T[]): Generator<readonly T[], void, undefined> {
  for (let first = 0; first < items.length; first += ROWS_AT_ONCE) yield items.slice(first, first + ROWS_AT_ONCE);
}

/** Each digest once, in order. Of several entries with one digest, the last. */
function inOrder<T extends { digest: Uint8Array }>(items: readonly T[]): T[] {
  const byDigest = new Map(items.map((item) => [toHex(item.digest), item]));
  return [...byDigest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
}

const distinct = (digests: readonly Uint8Array[]): Uint8Array[] =>
  inOrder(digests.map((digest) => ({ digest }))).map(({ digest }) => digest);

export class SqlChunkIndex implements ChunkIndex {
  readonly #database: SqlDatabase<ProviderTables>;

  constructor(database: SqlDatabase<ProviderTables>) {
    this.#database = database;
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

  async owns(account: string, digests: readonly Uint8Array[]): Promise<boolean[]> {
    const owner = canonicalAddress(account);
    const owned = await this.#database.run(async (database) => {
      const found = new Set<string>();
      for (const slice of slicesOf(digests)) {
        const query = database.selectFrom("owners").select("digest").where("account", "=", owner);
        for (const { digest } of await query.where("digest", "in", slice).execute()) found.add(toHex(digest));
      }
      return found;
    });
    return digests.map((digest) => owned.has(toHex(digest)));
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
        await this.#addTotals(transaction, added);
        return madeUp;
      },
      { repeatable: true },
    );
  }

  /** @returns digests, in hexadecimal, of the chunks that had no row */
  async #insert(transaction: Tables, chunks: readonly RecordedChunk[], now: number): Promise<ReadonlySet<string>> {
    const known = await this.#lockedRows(transaction, chunks);
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

  /** Rows by the digest in hexadecimal; nobody removes them before the transaction ends. */
  async #lockedRows(
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
    const rows = await this.#database.locking(query, "key share").execute();
    return new Map(rows.map((row) => [toHex(row.digest), row]));
  }

  /**
   * Gives chunks that have a row new challenges, and notes that they are stored.
   * @returns how many of them were lost
   */
  async #renew(transaction: Tables, chunks: readonly RecordedChunk[]): Promise<number> {
    if (chunks.length === 0) return 0;
    const rows = await this.#lockedRows(transaction, chunks);
    if ([...rows.values()].some(({ state }) => state === "removing")) throw beingRemoved();
    await replaceChallenges(transaction, chunks, rows);
    return setStates(
      transaction,
      "stored",
      chunks.map(({ digest }) => digest),
    );
  }

  async #addTotals(
    transaction: Tables,
    added: { chunks: number; storedBytes: number; lostChunks: number },
  ): Promise<void> {
    if (added.chunks === 0 && added.storedBytes === 0 && added.lostChunks === 0) return;
    const shard = Math.floor(Math.random() * TOTALS_SHARDS[this.#database.engine]);
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

  async setChallenges(digest: Uint8Array, challenges: readonly PreparedChallenge[]): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        const rows = await this.#lockedRows(transaction, [{ digest }]);
        if (rows.size > 0) await replaceChallenges(transaction, [{ digest, challenges }], rows);
      },
      { repeatable: true },
    );
  }

  async takeChallenges(account: string, chunks: readonly ClaimedChunk[], expiresAt: number): Promise<TakenChallenge[]> {
    const claimant = canonicalAddress(account);
    return this.#database.write(
      async (transaction) => {
        const prepared = await preparedFor(transaction, chunks);
        const digests = distinct(chunks.map(({ digest }) => digest));
        const taken = await transaction
          .selectFrom("taken_challenges")
          .select(["digest", "nonce"])
          .where("digest", "in", digests)
          .execute();
        const used = new Set(taken.map(({ digest, nonce }) => keyOf(digest, nonce)));
        const outcomes = new Map<ClaimedChunk, TakenChallenge>();
        let open = inOrder(chunks);
        // The primary key decides who has a challenge. Each round ends with one more challenge of every chunk that is
        // left known to be used, so there are few rounds.
        while (open.length > 0) {
          const chosen = open.map((chunk) => {
            const all = prepared.get(chunk) ?? [];
            const unused = all.filter(({ nonce }) => !used.has(keyOf(chunk.digest, nonce)));
            const nonce = unused[0]?.nonce ?? chunk.spareNonce;
            const runsLow = prepared.has(chunk) && unused.length - 1 <= FEW_CHALLENGES;
            return { chunk, taken: { nonce, answer: unused[0]?.answer, runsLow } };
          });
          const rows = chosen.map(({ chunk, taken: { nonce } }) => ({
            digest: chunk.digest,
            nonce,
            account: claimant,
            expires_at: expiresAt,
          }));
          const inserted = await transaction
            .insertInto("taken_challenges")
            .values(rows)
            .onConflict((conflict) => conflict.columns(["digest", "nonce"]).doNothing())
            .returning(["digest", "nonce"])
            .execute();
          const ours = new Set(inserted.map(({ digest, nonce }) => keyOf(digest, nonce)));
          open = [];
          for (const { chunk, taken: mine } of chosen) {
            const key = keyOf(chunk.digest, mine.nonce);
            // A spare nonce is random: one that is there already is the caller's own, from a call that was repeated.
            if (ours.has(key) || mine.answer === undefined) outcomes.set(chunk, mine);
            else open.push(chunk);
            used.add(key);
          }
        }
        return chunks.map(
          (chunk) => outcomes.get(chunk) ?? { nonce: chunk.spareNonce, answer: undefined, runsLow: false },
        );
      },
      // After a power loss, a challenge that was handed out may be handed out again: who could answer it then can now.
      { repeatable: true, durable: false },
    );
  }

  async settleClaims(account: string, digests: readonly Uint8Array[]): Promise<number> {
    const claimant = canonicalAddress(account);
    if (digests.length === 0) return 0;
    return await this.#database.write((transaction) => settleTaken(transaction, claimant, distinct(digests), 0), {
      repeatable: true,
      durable: false,
    });
  }

  async forgetClaims(now: number): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        const query = transaction
          .selectFrom("taken_challenges")
          .select(["digest", "nonce"])
          .where("expires_at", "<=", now)
          .orderBy("expires_at")
          .limit(FORGOTTEN_AT_ONCE);
        const expired = await this.#database.locking(query).execute();
        if (expired.length === 0) return;
        const rows = await this.#lockedRows(transaction, inOrder(expired));
        const forgotten = new Set(expired.map(({ digest, nonce }) => keyOf(digest, nonce)));
        const sets = await challengesOf(transaction, [...rows.values()]);
        const changed = [...sets].flatMap(([id, { digest, challenges }]) => {
          const left = challenges.filter(({ nonce }) => !forgotten.has(keyOf(digest, nonce)));
          return left.length < challenges.length ? [{ id, digest, packed: packChallenges(left) }] : [];
        });
        await writeChallenges(transaction, changed);
        for (const { digest, nonce } of expired) {
          await transaction
            .deleteFrom("taken_challenges")
            .where("digest", "=", digest)
            .where("nonce", "=", nonce)
            .execute();
        }
      },
      { repeatable: true },
    );
  }

  async addOwner(account: string, digests: readonly Uint8Array[], now: number): Promise<boolean[]> {
    if (digests.length === 0) return [];
    const owner = canonicalAddress(account);
    const ordered = inOrder(digests.map((digest) => ({ digest })));
    return this.#database.write(
      async (transaction) => {
        const stored = new Set<string>();
        const owned = { chunks: 0, bytes: 0 };
        for (const slice of slicesOf(ordered)) {
          const rows = await this.#lockedRows(transaction, slice);
          const present = [...rows.values()].filter(({ state }) => state === "stored");
          for (const { digest } of present) stored.add(toHex(digest));
          const given = await addOwners(
            this.#database,
            transaction,
            owner,
            present.map(({ digest }) => digest),
            now,
          );
          const joined = present.filter(({ digest }) => given.has(toHex(digest)));
          await countOwners(
            transaction,
            joined.map(({ digest }) => digest),
          );
          owned.chunks += joined.length;
          for (const row of joined) owned.bytes += row.size_bytes;
        }
        await addUsage(transaction, owner, owned);
        return digests.map((digest) => stored.has(toHex(digest)));
      },
      { repeatable: true },
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
        await this.#addTotals(transaction, { chunks: 0, storedBytes: 0, lostChunks });
      },
      { repeatable: true },
    );
  }

  async *pages(start: Uint8Array = new Uint8Array(0)): AsyncGenerator<readonly ChunkRow[], void, undefined> {
    let after = start;
    for (;;) {
      // Pages instead of one open cursor: rows may be updated while a caller walks through them.
      const rows = await this.#database.run((database) =>
        database
          .selectFrom("chunks")
          .select(["digest", "size_bytes", "state", "challenge_set"])
          .where("digest", ">", after)
          .orderBy("digest")
          .limit(PAGE_ROWS)
          .execute(),
      );
      const last = rows.at(-1);
      if (last === undefined) return;
      yield rows.map(toChunk);
      after = last.digest;
    }
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

  async usageOf(account: string): Promise<AccountUsage> {
    const owner = canonicalAddress(account);
    const row = await this.#database.run((database) =>
      database.selectFrom("accounts").selectAll().where("account", "=", owner).executeTakeFirst(),
    );
    return toUsage(row);
  }

  async ownersOf(digests: readonly Uint8Array[]): Promise<number[]> {
    const counts = new Map<string, number>();
    for (const slice of slicesOf(digests)) {
      const rows = await this.#database.run((database) =>
        database.selectFrom("chunks").select(["digest", "owner_count"]).where("digest", "in", slice).execute(),
      );
      for (const { digest, owner_count } of rows) counts.set(toHex(digest), owner_count);
    }
    return digests.map((digest) => counts.get(toHex(digest)) ?? 0);
  }

  async noteRelease(
    account: string,
    digests: readonly Uint8Array[],
    headVersion: number,
    now: number,
  ): Promise<number | undefined> {
    const owner = canonicalAddress(account);
    return this.#database.write(
      async (transaction) => {
        if (!(await countRelease(transaction, owner, headVersion))) return undefined;
        let noted = 0;
        for (const slice of slicesOf(distinct(digests))) {
          const rows = await ownedRows(this.#database, transaction, owner, slice);
          const unreleased = rows.filter((row) => row.released_at === null).map(({ digest }) => digest);
          if (unreleased.length > 0) await setReleased(transaction, owner, unreleased, now);
          noted += unreleased.length;
        }
        return noted;
      },
      { repeatable: true },
    );
  }

  async keep(account: string, digests: readonly Uint8Array[]): Promise<boolean[]> {
    const owner = canonicalAddress(account);
    const kept = new Set<string>();
    const released: Uint8Array[] = [];
    for (const slice of slicesOf(distinct(digests))) {
      const rows = await this.#database.run((database) =>
        database
          .selectFrom("owners")
          .innerJoin("chunks", "chunks.digest", "owners.digest")
          .select(["owners.digest", "owners.released_at"])
          .where("owners.account", "=", owner)
          .where("owners.digest", "in", slice)
          .where("chunks.state", "=", "stored")
          .execute(),
      );
      for (const { digest, released_at } of rows) {
        if (released_at === null) kept.add(toHex(digest));
        else released.push(digest);
      }
    }
    // Most often none was released, and nothing is written.
    for (const slice of slicesOf(released)) {
      const rows = await this.#database.write((transaction) => takeBack(this.#database, transaction, owner, slice), {
        repeatable: true,
      });
      for (const { digest } of rows) kept.add(toHex(digest));
    }
    return digests.map((digest) => kept.has(toHex(digest)));
  }

  async endReleases(releasedAt: number, limit: number, now: number): Promise<number> {
    return this.#database.write(
      async (transaction) => {
        const query = transaction
          .selectFrom("owners")
          .select(["account", "digest"])
          .where("released_at", "<=", releasedAt)
          .orderBy("released_at")
          .orderBy("account")
          .orderBy("digest")
          .limit(limit);
        const rows = await this.#database.locking(query).execute();
        const byAccount = Map.groupBy(rows, ({ account }) => account);
        for (const [account, owned] of [...byAccount].sort(([a], [b]) => (a < b ? -1 : 1))) {
          await endOwnership(
            transaction,
            account,
            owned.map(({ digest }) => digest),
            now,
          );
        }
        return rows.length;
      },
      { repeatable: true },
    );
  }

  async release(account: string, digests: readonly Uint8Array[], now: number): Promise<number> {
    const owner = canonicalAddress(account);
    return this.#database.write(
      async (transaction) => {
        await countRelease(transaction, owner);
        return await endOwnership(transaction, owner, digests, now);
      },
      { repeatable: true },
    );
  }

  async ownedBy(account: string, limit: number, after: Uint8Array = new Uint8Array(0)): Promise<Uint8Array[]> {
    const owner = canonicalAddress(account);
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("owners")
        .select("digest")
        .where("account", "=", owner)
        .where("digest", ">", after)
        .orderBy("digest")
        .limit(limit)
        .execute(),
    );
    return rows.map(({ digest }) => digest);
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
        await this.#addTotals(transaction, { chunks: 0, storedBytes: 0, lostChunks });
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
        await this.#addTotals(transaction, removed);
      },
      { repeatable: true },
    );
  }

  async *owners(): AsyncGenerator<readonly AccountOwnership[], void, undefined> {
    let after = "";
    for (;;) {
      const rows = await this.#database.run((database) =>
        database
          .selectFrom("accounts")
          .selectAll()
          .where("account", ">", after)
          .where("owned_chunks", ">", 0)
          .orderBy("account")
          .limit(PAGE_ROWS)
          .execute(),
      );
      const last = rows.at(-1);
      if (last === undefined) return;
      yield rows.map((row) => ({ account: row.account, ...toUsage(row) }));
      after = last.account;
    }
  }

  async setUnpaidSince(account: string, since: number | undefined): Promise<void> {
    const owner = canonicalAddress(account);
    await this.#database.run((database) =>
      database
        .updateTable("accounts")
        .set({ unpaid_since: since ?? null })
        .where("account", "=", owner)
        .execute(),
    );
  }
}

function toUsage(
  row: { owned_chunks: number; owned_bytes: number; unpaid_since: number | null } | undefined,
): AccountUsage {
  const unpaidSince = row?.unpaid_since ?? undefined;
  return {
    chunks: row?.owned_chunks ?? 0,
    bytes: row?.owned_bytes ?? 0,
    ...(unpaidSince === undefined ? {} : { unpaidSince }),
  };
}

/** The bytes of a chunk are being removed: whoever counts on them has to begin anew. */
function beingRemoved(): TallystickError {
  return new TallystickError("a chunk of the request was removed meanwhile", {
    code: "CONFLICT",
    party: "provider",
    check: "chunks that nobody needed",
    hint: "repeat the request",
    retryable: true,
    retryAfterSeconds: 1,
  });
}

/** Counts one owner more for each of these chunks. */
async function countOwners(transaction: Tables, digests: readonly Uint8Array[]): Promise<void> {
  if (digests.length === 0) return;
  await transaction
    .updateTable("chunks")
    .set({ owner_count: sql`owner_count + 1`, unused_since: null })
    .where("digest", "in", digests)
    .execute();
}

/** Notes which of these chunks nobody needs any more. */
async function noteUnused(transaction: Tables, digests: readonly Uint8Array[], now: number): Promise<void> {
  await transaction
    .updateTable("chunks")
    .set({ unused_since: now })
    .where("digest", "in", digests)
    .where("owner_count", "=", 0)
    .where("use_count", "=", 0)
    .execute();
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

/** As `addManifestUses`, for manifests that are removed. Chunks that nobody needs then are unused at once. */
export async function removeManifestUses(transaction: Tables, digests: readonly Uint8Array[]): Promise<void> {
  for (const slice of slicesOf(digests)) {
    const update = transaction.updateTable("chunks").set({ use_count: sql`use_count - 1` });
    await update.where("digest", "in", slice).execute();
    await noteUnused(transaction, slice, 0);
  }
}

const keyOf = (digest: Uint8Array, nonce: Uint8Array): string => `${toHex(digest)} ${toHex(nonce)}`;

/** @returns how many rows have changed */
async function setStates(
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

/** @returns how many claims that had not expired at `now` have been settled */
async function settleTaken(
  transaction: Tables,
  account: string,
  digests: readonly Uint8Array[],
  now: number,
): Promise<number> {
  const { numUpdatedRows } = await transaction
    .updateTable("taken_challenges")
    .set({ settled: 1 })
    .where("account", "=", account)
    .where("digest", "in", digests)
    .where("settled", "=", 0)
    .where("expires_at", ">", now)
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

/** Rows of an account, which nobody else changes before the transaction ends. */
function ownedRows(
  database: SqlDatabase<ProviderTables>,
  transaction: Tables,
  account: string,
  digests: readonly Uint8Array[],
): Promise<{ digest: Uint8Array; released_at: number | null }[]> {
  const query = transaction
    .selectFrom("owners")
    .select(["digest", "released_at"])
    .where("account", "=", account)
    .where("digest", "in", digests)
    .orderBy("digest");
  return database.locking(query).execute();
}

async function setReleased(
  transaction: Tables,
  account: string,
  digests: readonly Uint8Array[],
  released_at: number | null,
): Promise<void> {
  await transaction
    .updateTable("owners")
    .set({ released_at })
    .where("account", "=", account)
    .where("digest", "in", digests)
    .execute();
}

/** Takes back the release of those of these chunks that the account owns. @returns their rows */
async function takeBack(
  database: SqlDatabase<ProviderTables>,
  transaction: Tables,
  account: string,
  digests: readonly Uint8Array[],
): Promise<{ digest: Uint8Array }[]> {
  const rows = await ownedRows(database, transaction, account, digests);
  const released = rows.filter((row) => row.released_at !== null).map(({ digest }) => digest);
  if (released.length > 0) await setReleased(transaction, account, released, null);
  return rows;
}

/** @returns digests, in hexadecimal, of the chunks that the account did not own */
async function addOwners(
  database: SqlDatabase<ProviderTables>,
  transaction: Tables,
  account: string,
  digests: readonly Uint8Array[],
  since: number,
): Promise<ReadonlySet<string>> {
  if (digests.length === 0) return new Set();
  // Locked, so that the end of a release does not remove a row that is counted on here.
  const owned = new Set((await takeBack(database, transaction, account, digests)).map(({ digest }) => toHex(digest)));
  const others = digests.filter((digest) => !owned.has(toHex(digest)));
  if (others.length === 0) return new Set();
  const inserted = await transaction
    .insertInto("owners")
    .values(others.map((digest) => ({ account, digest, since, released_at: null })))
    .onConflict((conflict) => conflict.columns(["account", "digest"]).doNothing())
    .returning("digest")
    .execute();
  return new Set(inserted.map(({ digest }) => toHex(digest)));
}

/** @returns how many of these chunks the account owned */
async function endOwnership(
  transaction: Tables,
  account: string,
  digests: readonly Uint8Array[],
  now: number,
): Promise<number> {
  const ended = { chunks: 0, bytes: 0 };
  for (const slice of slicesOf(distinct(digests))) {
    const gone = await transaction
      .deleteFrom("owners")
      .where("account", "=", account)
      .where("digest", "in", slice)
      .returning("digest")
      .execute();
    if (gone.length === 0) continue;
    const given = gone.map(({ digest }) => digest);
    const rows = await transaction
      .updateTable("chunks")
      .set({ owner_count: sql`owner_count - 1` })
      .where("digest", "in", given)
      .returning("size_bytes")
      .execute();
    await noteUnused(transaction, given, now);
    ended.chunks -= rows.length;
    for (const { size_bytes } of rows) ended.bytes -= size_bytes;
  }
  await addUsage(transaction, account, ended);
  return -ended.chunks;
}

async function addUsage(transaction: Tables, account: string, added: AccountUsage): Promise<void> {
  if (added.chunks === 0) return;
  await transaction
    .insertInto("accounts")
    .values({ account, owned_chunks: added.chunks, owned_bytes: added.bytes })
    .onConflict((conflict) =>
      conflict.column("account").doUpdateSet({
        owned_chunks: sql`accounts.owned_chunks + excluded.owned_chunks`,
        owned_bytes: sql`accounts.owned_bytes + excluded.owned_bytes`,
        // A notice was about what the account owned then.
        unpaid_since: sql`CASE WHEN accounts.owned_chunks = 0 THEN NULL ELSE accounts.unpaid_since END`,
      }),
    )
    .execute();
}

interface WithChallenges {
  readonly digest: Uint8Array;
  readonly challenges: readonly PreparedChallenge[];
}

/** @returns ids of the new sets by the chunk's digest in hexadecimal; none for a chunk without challenges */
async function insertChallenges(
  transaction: Tables,
  chunks: readonly WithChallenges[],
): Promise<ReadonlyMap<string, number>> {
  const some = chunks.filter(({ challenges }) => challenges.length > 0);
  if (some.length === 0) return new Map();
  const rows = await transaction
    .insertInto("challenge_sets")
    .values(some.map(({ digest, challenges }) => ({ digest, packed: packChallenges(challenges) })))
    .returning(["id", "digest"])
    .execute();
  return new Map(rows.map(({ id, digest }) => [toHex(digest), id]));
}

async function replaceChallenges(
  transaction: Tables,
  chunks: readonly WithChallenges[],
  rows: ReadonlyMap<string, StoredRow>,
): Promise<void> {
  const idOf = ({ digest }: WithChallenges) => rows.get(toHex(digest))?.challenge_set ?? undefined;
  await writeChallenges(
    transaction,
    chunks.flatMap((chunk) => {
      const id = idOf(chunk);
      return id === undefined ? [] : [{ id, digest: chunk.digest, packed: packChallenges(chunk.challenges) }];
    }),
  );
  const without = chunks.filter((chunk) => idOf(chunk) === undefined);
  for (const [digest, id] of await insertChallenges(transaction, without)) {
    const chunk = without.find((each) => toHex(each.digest) === digest);
    if (chunk === undefined) continue;
    const update = transaction.updateTable("chunks").set({ challenge_set: id });
    await update.where("digest", "=", chunk.digest).execute();
  }
}

/** Overwrites sets, all in one statement. */
async function writeChallenges(
  transaction: Tables,
  sets: readonly { id: number; digest: Uint8Array; packed: Uint8Array }[],
): Promise<void> {
  if (sets.length === 0) return;
  await transaction
    .insertInto("challenge_sets")
    .values([...sets].sort((a, b) => a.id - b.id))
    .onConflict((conflict) => conflict.column("id").doUpdateSet({ packed: sql`excluded.packed` }))
    .execute();
}

/** The challenges of rows, by the id of their set. */
async function challengesOf(
  transaction: Tables,
  rows: readonly Pick<StoredRow, "digest" | "challenge_set">[],
): Promise<ReadonlyMap<number, { digest: Uint8Array; challenges: PreparedChallenge[] }>> {
  const ids = rows.flatMap(({ challenge_set: id }) => (id === null ? [] : [id]));
  if (ids.length === 0) return new Map();
  const sets = await transaction.selectFrom("challenge_sets").selectAll().where("id", "in", ids).execute();
  return new Map(sets.map(({ id, digest, packed }) => [id, { digest, challenges: unpackChallenges(packed) }]));
}

/** Challenges for those claimed chunks that are stored with the claimed size. */
async function preparedFor(
  transaction: Tables,
  chunks: readonly ClaimedChunk[],
): Promise<ReadonlyMap<ClaimedChunk, readonly PreparedChallenge[]>> {
  const rows = await transaction
    .selectFrom("chunks")
    .leftJoin("challenge_sets", "challenge_sets.id", "chunks.challenge_set")
    .select(["chunks.digest", "chunks.size_bytes", "chunks.state", "challenge_sets.packed"])
    .where(
      "chunks.digest",
      "in",
      chunks.map(({ digest }) => digest),
    )
    .execute();
  const byDigest = new Map(rows.map((row) => [toHex(row.digest), row]));
  const prepared = new Map<ClaimedChunk, readonly PreparedChallenge[]>();
  for (const chunk of chunks) {
    const row = byDigest.get(toHex(chunk.digest));
    if (row?.state !== "stored" || row.size_bytes !== chunk.sizeBytes) continue;
    prepared.set(chunk, row.packed === null ? [] : unpackChallenges(row.packed).slice(0, PREPARED_CHALLENGES));
  }
  return prepared;
}
