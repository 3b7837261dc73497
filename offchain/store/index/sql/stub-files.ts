/** Stub files: tables `stub_files` and `stub_accounts`. */
import { sql, type Transaction } from "kysely";
import { STUB_ROW_BYTES, type StoredStubFile, type StubFileIndex } from "../stub-file-index.ts";
import { canonicalAddress } from "./accounts.ts";
import type { TableDefinitions } from "./column-types.ts";
import type { SqlDatabase } from "./sql-database.ts";

export interface StubFileTables {
  stub_files: { account: string; digest: Uint8Array; epoch: number; sealed: Uint8Array };
  stub_accounts: { account: string; stub_bytes: number };
}

/** Part of the provider's first migration. stub_accounts: sums, kept in the same transactions. */
export const STUB_FILE_TABLES: TableDefinitions = ({ bytes, integer, clustered }) => [
  `CREATE TABLE stub_files (
    account TEXT NOT NULL,
    digest ${bytes} NOT NULL,
    epoch ${integer} NOT NULL CHECK (epoch > 0),
    sealed ${bytes} NOT NULL,
    PRIMARY KEY (account, digest)
  )`,
  `CREATE TABLE stub_accounts (
    account TEXT NOT NULL PRIMARY KEY,
    stub_bytes ${integer} NOT NULL
  ) ${clustered}`,
];

export class SqlStubFileIndex implements StubFileIndex {
  readonly #database: SqlDatabase<StubFileTables>;

  constructor(database: SqlDatabase<StubFileTables>) {
    this.#database = database;
  }

  async find(account: string, digest: Uint8Array): Promise<StoredStubFile | undefined> {
    const owner = canonicalAddress(account);
    return this.#database.run((database) =>
      database
        .selectFrom("stub_files")
        .select(["epoch", "sealed"])
        .where("account", "=", owner)
        .where("digest", "=", digest)
        .executeTakeFirst(),
    );
  }

  /** Not repeated after a broken connection: the second time, the caller's own file would be the one in place. */
  async replace(
    account: string,
    digest: Uint8Array,
    expected: number,
    { epoch, sealed }: StoredStubFile,
  ): Promise<boolean> {
    const owner = canonicalAddress(account);
    return this.#database.write(async (transaction) => {
      // The row of the account is locked first, so that two changes of one account take turns.
      await chargeStubBytes(transaction, owner, 0);
      const found = await transaction
        .selectFrom("stub_files")
        .select(["epoch", sql<number>`CAST(length(sealed) AS BIGINT)`.as("bytes")])
        .where("account", "=", owner)
        .where("digest", "=", digest)
        .executeTakeFirst();
      if ((found?.epoch ?? 0) !== expected) return false;
      const before = found === undefined ? 0 : Number(found.bytes) + STUB_ROW_BYTES;
      await chargeStubBytes(transaction, owner, sealed.length + STUB_ROW_BYTES - before);
      await transaction
        .insertInto("stub_files")
        .values({ account: owner, digest, epoch, sealed })
        .onConflict((conflict) => conflict.columns(["account", "digest"]).doUpdateSet({ epoch, sealed }))
        .execute();
      return true;
    });
  }

  async bytesOf(account: string): Promise<number> {
    const owner = canonicalAddress(account);
    const row = await this.#database.run((database) =>
      database.selectFrom("stub_accounts").select("stub_bytes").where("account", "=", owner).executeTakeFirst(),
    );
    return row?.stub_bytes ?? 0;
  }
}

/** Gives an account's stub files to another one, which keeps its own of the same put. */
export async function passStubFiles(transaction: Transaction<StubFileTables>, from: string, to: string): Promise<void> {
  // Locks both accounts, in one order.
  for (const account of [from, to].sort()) await chargeStubBytes(transaction, account, 0);
  const own = transaction.selectFrom("stub_files").select("digest").where("account", "=", to);
  await transaction.deleteFrom("stub_files").where("account", "=", from).where("digest", "in", own).execute();
  await transaction.updateTable("stub_files").set({ account: to }).where("account", "=", from).execute();
  await transaction.deleteFrom("stub_accounts").where("account", "=", from).execute();
  await transaction
    .updateTable("stub_accounts")
    .set({
      stub_bytes: sql`(SELECT COALESCE(SUM(length(sealed) + ${STUB_ROW_BYTES}), 0) FROM stub_files
        WHERE stub_files.account = ${to})`,
    })
    .where("account", "=", to)
    .execute();
}

/** Removes the account's own stub file of a put, if it has one. The row of the account is locked. */
export async function dropStubFile(
  transaction: Transaction<StubFileTables>,
  account: string,
  digest: Uint8Array,
): Promise<void> {
  const found = await transaction
    .deleteFrom("stub_files")
    .where("account", "=", account)
    .where("digest", "=", digest)
    .returning(sql<number>`CAST(length(sealed) AS BIGINT)`.as("bytes"))
    .executeTakeFirst();
  if (found !== undefined) await chargeStubBytes(transaction, account, -(Number(found.bytes) + STUB_ROW_BYTES));
}

/** Adds to the sum that the account is charged, and locks its row. Fewer bytes are taken off a row that is there. */
export async function chargeStubBytes(
  transaction: Transaction<StubFileTables>,
  account: string,
  bytes: number,
): Promise<void> {
  if (bytes < 0) {
    const update = transaction.updateTable("stub_accounts").set({ stub_bytes: sql`stub_bytes + ${bytes}` });
    await update.where("account", "=", account).execute();
    return;
  }
  await transaction
    .insertInto("stub_accounts")
    .values({ account, stub_bytes: bytes })
    .onConflict((conflict) =>
      conflict.column("account").doUpdateSet({ stub_bytes: sql`stub_accounts.stub_bytes + ${bytes}` }),
    )
    .execute();
}
