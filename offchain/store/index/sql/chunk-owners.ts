/** Who owns which chunks: tables `owners` and `accounts`. */
import { sql } from "kysely";
import { toHex } from "../../../core/encoding/hex.ts";
import type { AccountOwnership, AccountUsage, ChunkIndex } from "../chunk-index.ts";
import { canonicalAddress } from "./accounts.ts";
import { distinct, inOrder, lockedRows, noteUnused, slicesOf, type Tables } from "./chunk-rows.ts";
import { hasWaiting } from "./device-snapshots.ts";
import { countForcedRelease, countRelease, lockHead } from "./heads.ts";
import { PAGE_ROWS, pagesOf } from "./pages.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** The part of the chunk index that is about accounts. */
export class SqlChunkOwners
  implements
    Pick<
      ChunkIndex,
      | "owns"
      | "ownersOf"
      | "addOwner"
      | "keep"
      | "noteRelease"
      | "endReleases"
      | "release"
      | "ownedBy"
      | "usageOf"
      | "owners"
      | "setUnpaidSince"
    >
{
  readonly #database: SqlDatabase<ProviderTables>;
  readonly #releasesFrom: number;

  /** @param releasesFrom see `SqlHeadIndex` */
  constructor(database: SqlDatabase<ProviderTables>, releasesFrom: number) {
    this.#database = database;
    this.#releasesFrom = releasesFrom;
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

  async addOwner(account: string, digests: readonly Uint8Array[], now: number): Promise<boolean[]> {
    if (digests.length === 0) return [];
    const owner = canonicalAddress(account);
    const ordered = inOrder(digests.map((digest) => ({ digest })));
    return this.#database.write(
      async (transaction) => {
        const stored = new Set<string>();
        const owned = { chunks: 0, bytes: 0 };
        for (const slice of slicesOf(ordered)) {
          const rows = await lockedRows(this.#database, transaction, slice);
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

  async noteRelease(
    account: string,
    digests: readonly Uint8Array[],
    headVersion: number,
    now: number,
  ): Promise<number | undefined> {
    const owner = canonicalAddress(account);
    return this.#database.write(
      async (transaction) => {
        if (!(await lockHead(transaction, owner, headVersion))) return undefined;
        // A snapshot of a device is to be taken over first: it may need what would be released.
        if (await hasWaiting(transaction, owner)) return undefined;
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
        await countForcedRelease(transaction, owner, this.#releasesFrom);
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

  async usageOf(account: string): Promise<AccountUsage> {
    const owner = canonicalAddress(account);
    const row = await this.#database.run((database) =>
      database.selectFrom("accounts").selectAll().where("account", "=", owner).executeTakeFirst(),
    );
    return toUsage(row);
  }

  async *owners(): AsyncGenerator<readonly AccountOwnership[], void, undefined> {
    const read = (after: string) =>
      this.#database.run((database) =>
        database
          .selectFrom("accounts")
          .selectAll()
          .where("account", ">", after)
          .where("owned_chunks", ">", 0)
          .orderBy("account")
          .limit(PAGE_ROWS)
          .execute(),
      );
    for await (const rows of pagesOf("", read, ({ account }) => account)) {
      yield rows.map((row) => ({ account: row.account, ...toUsage(row) }));
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

/** Counts one owner more for each of these chunks. */
export async function countOwners(transaction: Tables, digests: readonly Uint8Array[]): Promise<void> {
  if (digests.length === 0) return;
  await transaction
    .updateTable("chunks")
    .set({ owner_count: sql`owner_count + 1`, unused_since: null })
    .where("digest", "in", digests)
    .execute();
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
export async function addOwners(
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

/**
 * Gives what an account owns to another one. A chunk that both own is owned by the second one, and released only if
 * both have released it.
 */
export async function passOwnership(
  database: SqlDatabase<ProviderTables>,
  transaction: Tables,
  from: string,
  to: string,
  now: number,
): Promise<void> {
  const ofFrom = transaction.selectFrom("owners").select("digest").where("account", "=", from);
  const unreleased = ofFrom.where("released_at", "is", null);
  await transaction
    .updateTable("owners")
    .set({ released_at: null })
    .where("account", "=", to)
    .where("released_at", "is not", null)
    .where("digest", "in", unreleased)
    .execute();
  const shared = transaction
    .selectFrom("owners as mine")
    .innerJoin("owners as theirs", "theirs.digest", "mine.digest")
    .select("mine.digest")
    .where("mine.account", "=", from)
    .where("theirs.account", "=", to)
    .orderBy("mine.digest");
  const digests = (await shared.execute()).map(({ digest }) => digest);
  await endOwnership(transaction, from, digests, now);
  await transaction.updateTable("owners").set({ account: to }).where("account", "=", from).execute();
  const query = transaction.selectFrom("accounts").selectAll().where("account", "=", from);
  const row = await database.locking(query).executeTakeFirst();
  if (row === undefined) return;
  await addUsage(transaction, to, { chunks: row.owned_chunks, bytes: row.owned_bytes });
  await addUsage(transaction, from, { chunks: -row.owned_chunks, bytes: -row.owned_bytes });
  if (row.owned_chunks === 0) return;
  // A notice to the other one was not about what comes now.
  await transaction.updateTable("accounts").set({ unpaid_since: null }).where("account", "=", to).execute();
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

export async function addUsage(transaction: Tables, account: string, added: AccountUsage): Promise<void> {
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
