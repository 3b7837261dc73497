/** Ownership challenges: tables `challenge_sets` and `taken_challenges`. */
import { sql } from "kysely";
import type { PreparedChallenge } from "../../../core/crypto/ownership-challenge.ts";
import { toHex } from "../../../core/encoding/hex.ts";
import { type ChunkIndex, type ClaimedChunk, PREPARED_CHALLENGES, type TakenChallenge } from "../chunk-index.ts";
import { canonicalAddress } from "./accounts.ts";
import { packChallenges, unpackChallenges } from "./challenge-column.ts";
import { distinct, inOrder, lockedRows, type StoredRow, type Tables } from "./chunk-rows.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

/** Unused challenges at or below which a chunk's challenges run low. */
const FEW_CHALLENGES = 2;
/** Expired claims that one call forgets: a few milliseconds. */
const FORGOTTEN_AT_ONCE = 500;

/** The part of the chunk index that claims use. */
export class SqlChunkChallenges
  implements Pick<ChunkIndex, "setChallenges" | "takeChallenges" | "settleClaims" | "forgetClaims">
{
  readonly #database: SqlDatabase<ProviderTables>;

  constructor(database: SqlDatabase<ProviderTables>) {
    this.#database = database;
  }

  async setChallenges(digest: Uint8Array, challenges: readonly PreparedChallenge[]): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        const rows = await lockedRows(this.#database, transaction, [{ digest }]);
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
        const rows = await lockedRows(this.#database, transaction, inOrder(expired));
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
}

const keyOf = (digest: Uint8Array, nonce: Uint8Array): string => `${toHex(digest)} ${toHex(nonce)}`;

/** @returns how many claims that had not expired at `now` have been settled */
export async function settleTaken(
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

interface WithChallenges {
  readonly digest: Uint8Array;
  readonly challenges: readonly PreparedChallenge[];
}

/** @returns ids of the new sets by the chunk's digest in hexadecimal; none for a chunk without challenges */
export async function insertChallenges(
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

export async function replaceChallenges(
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
