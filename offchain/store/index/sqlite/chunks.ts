/** The chunk index on SQLite: tables `chunks`, `owners`, `accounts` and `taken_challenges`. */
import type { StatementSync } from "node:sqlite";
import { equalBytes } from "#primitives";
import type { PreparedChallenge } from "../../../core/crypto/ownership-challenge.ts";
import type {
  AccountUsage,
  ChunkIndex,
  ChunkRow,
  ChunkTotals,
  ClaimedChunk,
  RecordedChunk,
  TakenChallenge,
} from "../chunk-index.ts";
import { PREPARED_CHALLENGES } from "../chunk-index.ts";
import type { Database } from "../sqlite.ts";
import { canonicalAddress } from "./accounts.ts";
import { packChallenges, unpackChallenges } from "./challenge-column.ts";

const PAGE_ROWS = 1000;
/** Unused challenges at or below which a chunk's challenges run low. */
const FEW_CHALLENGES = 2;
/** Expired claims that one call forgets: a few milliseconds. */
const FORGOTTEN_AT_ONCE = 500;

function toChunk(row: Record<string, unknown>): ChunkRow {
  return {
    digest: row.digest as Uint8Array,
    sizeBytes: Number(row.size_bytes),
    stored: row.state === "stored",
  };
}

export class SqliteChunkIndex implements ChunkIndex {
  readonly #database: Database;
  readonly #find: StatementSync;
  readonly #owns: StatementSync;
  readonly #insertChunk: StatementSync;
  readonly #insertOwner: StatementSync;
  readonly #addUsage: StatementSync;
  readonly #setState: StatementSync;
  readonly #setChallenges: StatementSync;
  readonly #taken: StatementSync;
  readonly #take: StatementSync;
  readonly #madeUp: StatementSync;
  readonly #page: StatementSync;
  /** Counted once: only this process writes the database, and counting again would read every row. */
  readonly #totals: ChunkTotals;

  constructor(database: Database) {
    this.#database = database;
    this.#find = database.prepare("SELECT * FROM chunks WHERE digest = ?");
    this.#owns = database.prepare("SELECT 1 FROM owners WHERE account = ? AND digest = ?");
    this.#insertChunk = database.prepare(
      `INSERT INTO chunks (digest, size_bytes, challenges, state, stored_at) VALUES (?, ?, ?, 'stored', ?)
       ON CONFLICT (digest) DO NOTHING`,
    );
    this.#insertOwner = database.prepare(
      "INSERT INTO owners (account, digest, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    );
    this.#addUsage = database.prepare(
      `INSERT INTO accounts (account, owned_chunks, owned_bytes) VALUES (?, ?, ?)
       ON CONFLICT (account) DO UPDATE SET owned_chunks = owned_chunks + excluded.owned_chunks,
         owned_bytes = owned_bytes + excluded.owned_bytes`,
    );
    this.#setState = database.prepare("UPDATE chunks SET state = ? WHERE digest = ? AND state <> ?");
    this.#setChallenges = database.prepare("UPDATE chunks SET challenges = ? WHERE digest = ?");
    this.#taken = database.prepare("SELECT 1 FROM taken_challenges WHERE digest = ? AND nonce = ?");
    this.#take = database.prepare(
      "INSERT INTO taken_challenges (digest, nonce, account, expires_at) VALUES (?, ?, ?, ?)",
    );
    this.#madeUp = database.prepare(
      `UPDATE taken_challenges SET settled = 1
       WHERE account = ? AND digest = ? AND settled = 0 AND expires_at > ?`,
    );
    // Pages instead of one open cursor: rows may be updated while a caller walks through them.
    this.#page = database.prepare(`SELECT * FROM chunks WHERE digest > ? ORDER BY digest LIMIT ${PAGE_ROWS}`);
    this.#totals = this.#countTotals();
  }

  #countTotals(): ChunkTotals {
    const chunks = this.#database
      .prepare(
        `SELECT count(*) AS chunks, coalesce(sum(size_bytes), 0) AS bytes,
           coalesce(sum(state = 'lost'), 0) AS lost FROM chunks`,
      )
      .get();
    const owned = this.#database.prepare("SELECT coalesce(sum(owned_bytes), 0) AS bytes FROM accounts").get();
    return {
      chunks: Number(chunks?.chunks),
      storedBytes: Number(chunks?.bytes),
      lostChunks: Number(chunks?.lost),
      ownedBytes: Number(owned?.bytes),
    };
  }

  #row(digest: Uint8Array): ChunkRow | undefined {
    const row = this.#find.get(digest);
    return row === undefined ? undefined : toChunk(row);
  }

  async find(digests: readonly Uint8Array[]): Promise<(ChunkRow | undefined)[]> {
    return digests.map((digest) => this.#row(digest));
  }

  async owns(account: string, digests: readonly Uint8Array[]): Promise<boolean[]> {
    const owner = canonicalAddress(account);
    return digests.map((digest) => this.#owns.get(owner, digest) !== undefined);
  }

  async record(account: string, chunks: readonly RecordedChunk[], now: number): Promise<number> {
    const owner = canonicalAddress(account);
    const added = { chunks: 0, storedBytes: 0, ownedBytes: 0, lostChunks: 0 };
    let madeUp = 0;
    this.#database.transaction(() => {
      let ownedChunks = 0;
      for (const { digest, sizeBytes, challenges } of chunks) {
        const packed = packChallenges(challenges);
        if (Number(this.#insertChunk.run(digest, sizeBytes, packed, now).changes) > 0) {
          added.chunks += 1;
          added.storedBytes += sizeBytes;
        } else {
          if (Number(this.#setState.run("stored", digest, "stored").changes) > 0) added.lostChunks -= 1;
          this.#setChallenges.run(packed, digest);
        }
        madeUp += Number(this.#madeUp.run(owner, digest, now).changes);
        if (Number(this.#insertOwner.run(owner, digest, now).changes) === 0) continue;
        ownedChunks += 1;
        added.ownedBytes += sizeBytes;
      }
      if (ownedChunks > 0) this.#addUsage.run(owner, ownedChunks, added.ownedBytes);
    });
    this.#totals.chunks += added.chunks;
    this.#totals.storedBytes += added.storedBytes;
    this.#totals.ownedBytes += added.ownedBytes;
    this.#totals.lostChunks += added.lostChunks;
    return madeUp;
  }

  async setChallenges(digest: Uint8Array, challenges: readonly PreparedChallenge[]): Promise<void> {
    this.#setChallenges.run(packChallenges(challenges), digest);
  }

  async takeChallenges(account: string, chunks: readonly ClaimedChunk[], expiresAt: number): Promise<TakenChallenge[]> {
    const claimant = canonicalAddress(account);
    return this.#database.transaction(() =>
      chunks.map(({ digest, sizeBytes, spareNonce }) => {
        const row = this.#find.get(digest);
        const known = row !== undefined && row.state === "stored" && Number(row.size_bytes) === sizeBytes;
        const prepared = known ? unpackChallenges(row.challenges as Uint8Array) : [];
        // As many look-ups for a chunk without challenges.
        const unused = Array.from({ length: PREPARED_CHALLENGES }, (_, k) => prepared[k]).filter(
          (challenge) =>
            this.#taken.get(digest, challenge?.nonce ?? spareNonce) === undefined && challenge !== undefined,
        );
        const nonce = unused[0]?.nonce ?? spareNonce;
        this.#take.run(digest, nonce, claimant, expiresAt);
        return { nonce, answer: unused[0]?.answer, runsLow: known && unused.length - 1 <= FEW_CHALLENGES };
      }),
    );
  }

  async settleClaims(account: string, digests: readonly Uint8Array[]): Promise<void> {
    const claimant = canonicalAddress(account);
    this.#database.transaction(() => {
      for (const digest of digests) this.#madeUp.run(claimant, digest, 0);
    });
  }

  async forgetClaims(now: number): Promise<void> {
    const expired = this.#database
      .prepare("SELECT digest, nonce FROM taken_challenges WHERE expires_at <= ? LIMIT ?")
      .all(now, FORGOTTEN_AT_ONCE);
    if (expired.length === 0) return;
    const forget = this.#database.prepare("DELETE FROM taken_challenges WHERE digest = ? AND nonce = ?");
    this.#database.transaction(() => {
      for (const { digest, nonce } of expired) {
        const row = this.#find.get(digest as Uint8Array);
        if (row !== undefined) {
          const prepared = unpackChallenges(row.challenges as Uint8Array);
          const left = prepared.filter((challenge) => !equalBytes(challenge.nonce, nonce as Uint8Array));
          if (left.length < prepared.length) this.#setChallenges.run(packChallenges(left), digest as Uint8Array);
        }
        forget.run(digest as Uint8Array, nonce as Uint8Array);
      }
    });
  }

  async addOwner(account: string, digests: readonly Uint8Array[], now: number): Promise<boolean[]> {
    const owner = canonicalAddress(account);
    let addedChunks = 0;
    let addedBytes = 0;
    const owned = this.#database.transaction(() => {
      const outcome = digests.map((digest) => {
        const row = this.#row(digest);
        if (!row?.stored) return false;
        if (Number(this.#insertOwner.run(owner, digest, now).changes) > 0) {
          addedChunks += 1;
          addedBytes += row.sizeBytes;
        }
        return true;
      });
      if (addedChunks > 0) this.#addUsage.run(owner, addedChunks, addedBytes);
      return outcome;
    });
    this.#totals.ownedBytes += addedBytes;
    return owned;
  }

  async markLost(digests: readonly Uint8Array[]): Promise<void> {
    this.#totals.lostChunks += this.#setStates("lost", digests);
  }

  async markStored(digests: readonly Uint8Array[]): Promise<void> {
    this.#totals.lostChunks -= this.#setStates("stored", digests);
  }

  /** @returns how many rows have changed */
  #setStates(state: "stored" | "lost", digests: readonly Uint8Array[]): number {
    return this.#database.transaction(() =>
      digests.reduce((changed, digest) => changed + Number(this.#setState.run(state, digest, state).changes), 0),
    );
  }

  async *pages(start: Uint8Array = new Uint8Array(0)): AsyncGenerator<readonly ChunkRow[], void, undefined> {
    let after = start;
    for (;;) {
      const rows = this.#page.all(after).map(toChunk);
      const last = rows.at(-1);
      if (last === undefined) return;
      yield rows;
      after = last.digest;
    }
  }

  async totals(): Promise<ChunkTotals> {
    return { ...this.#totals };
  }

  async usageOf(account: string): Promise<AccountUsage> {
    const row = this.#database.prepare("SELECT * FROM accounts WHERE account = ?").get(canonicalAddress(account));
    return { chunks: Number(row?.owned_chunks ?? 0), bytes: Number(row?.owned_bytes ?? 0) };
  }
}
