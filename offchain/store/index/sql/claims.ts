/**
 * Open claims: table `claims`. None of it has to survive a power loss: a claim that is gone is made anew.
 */
import { CHALLENGE_ANSWER_BYTES } from "../../../core/crypto/ownership-challenge.ts";
import type { ClaimedObject, ClaimIndex, ClaimLimits, OpenClaim } from "../claim-index.ts";
import { canonicalAddress } from "./accounts.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

const DIGEST_BYTES = 32;
const ENTRY_BYTES = DIGEST_BYTES + 1 + CHALLENGE_ANSWER_BYTES;
/** The limit over all accounts is kept at every claim whose number this divides. */
const CLAIMS_PER_CHECK = 64;

function pack(objects: readonly ClaimedObject[]): Uint8Array {
  const packed = new Uint8Array(objects.length * ENTRY_BYTES);
  for (const [k, { digest, answer }] of objects.entries()) {
    packed.set(digest, k * ENTRY_BYTES);
    if (answer === undefined) continue;
    packed[k * ENTRY_BYTES + DIGEST_BYTES] = 1;
    packed.set(answer, k * ENTRY_BYTES + DIGEST_BYTES + 1);
  }
  return packed;
}

function unpack(packed: Uint8Array): ClaimedObject[] {
  return Array.from({ length: packed.length / ENTRY_BYTES }, (_, k) => {
    const entry = packed.slice(k * ENTRY_BYTES, (k + 1) * ENTRY_BYTES);
    const hasAnswer = entry[DIGEST_BYTES] === 1;
    return { digest: entry.slice(0, DIGEST_BYTES), answer: hasAnswer ? entry.slice(DIGEST_BYTES + 1) : undefined };
  });
}

export class SqlClaimIndex implements ClaimIndex {
  readonly #database: SqlDatabase<ProviderTables>;

  constructor(database: SqlDatabase<ProviderTables>) {
    this.#database = database;
  }

  async open({ id, account, objects, expiresAt }: OpenClaim, { perAccount, inAll }: ClaimLimits): Promise<void> {
    const claimant = canonicalAddress(account);
    await this.#database.write(
      async (transaction) => {
        const inserted = await transaction
          .insertInto("claims")
          .values({ id, account: claimant, objects: pack(objects), expires_at: expiresAt })
          .onConflict((conflict) => conflict.column("id").doNothing())
          .returning("sequence")
          .executeTakeFirst();
        const newest = transaction.selectFrom("claims").select("sequence").orderBy("sequence", "desc").limit(1);
        const ownExcess = newest.where("account", "=", claimant).offset(perAccount);
        await transaction
          .deleteFrom("claims")
          .where("account", "=", claimant)
          .where("sequence", "<=", ownExcess)
          .execute();
        if ((inserted?.sequence ?? 0) % CLAIMS_PER_CHECK !== 0) return;
        await transaction.deleteFrom("claims").where("sequence", "<=", newest.offset(inAll)).execute();
      },
      { repeatable: true, durable: false },
    );
  }

  async find(id: Uint8Array): Promise<OpenClaim | undefined> {
    const row = await this.#database.run((database) =>
      database.selectFrom("claims").selectAll().where("id", "=", id).executeTakeFirst(),
    );
    if (row === undefined) return undefined;
    return { id: row.id, account: row.account, objects: unpack(row.objects), expiresAt: row.expires_at };
  }

  async end(id: Uint8Array): Promise<boolean> {
    const { numDeletedRows } = await this.#database.write(
      (transaction) => transaction.deleteFrom("claims").where("id", "=", id).executeTakeFirstOrThrow(),
      { durable: false },
    );
    return numDeletedRows > 0n;
  }

  async forget(now: number): Promise<void> {
    await this.#database.write(
      (transaction) => transaction.deleteFrom("claims").where("expires_at", "<=", now).execute(),
      { repeatable: true, durable: false },
    );
  }
}
