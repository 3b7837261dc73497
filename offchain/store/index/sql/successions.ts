/** Successors of accounts: table `successions`. What they take over is in the tables of the files beside this one. */
import type { Transaction } from "kysely";
import type { SuccessionIndex } from "../succession-index.ts";
import { canonicalAddress } from "./accounts.ts";
import { passOwnership } from "./chunk-owners.ts";
import type { OwnerGroupTables } from "./owner-group-tables.ts";
import { passGroups } from "./owner-groups.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { passStubFiles, type StubFileTables } from "./stub-files.ts";

/** Rows that are followed, of all successions ever taken over: a cycle cannot be, and would end here. */
const MOST_ROWS = 1000;

export class SqlSuccessionIndex implements SuccessionIndex {
  readonly #database: SqlDatabase<ProviderTables>;

  constructor(database: SqlDatabase<ProviderTables>) {
    this.#database = database;
  }

  async takeOver(predecessor: string, successor: string, now: number): Promise<void> {
    const [from, to] = [canonicalAddress(predecessor), canonicalAddress(successor)];
    await this.#database.write(
      async (transaction) => {
        // The row comes first: of two processes that take over at the same time, the second waits for it.
        await transaction
          .insertInto("successions")
          .values({ account: from, successor: to })
          .onConflict((conflict) => conflict.column("account").doUpdateSet({ successor: to }))
          .execute();
        await passOwnership(this.#database, transaction, from, to, now);
        // As `SqlDatabase.part`: the tables of one part, among all.
        await passStubFiles(transaction as unknown as Transaction<StubFileTables>, from, to);
        await passGroups(transaction as unknown as Transaction<OwnerGroupTables>, from, to);
      },
      { repeatable: true },
    );
  }

  async hasTakenOver(successor: string, predecessor: string): Promise<boolean> {
    const wanted = canonicalAddress(successor);
    let account: string | undefined = canonicalAddress(predecessor);
    for (let steps = 0; account !== undefined && steps < MOST_ROWS; steps += 1) {
      const before: string = account;
      const row = await this.#database.run((all) =>
        all.selectFrom("successions").select("successor").where("account", "=", before).executeTakeFirst(),
      );
      account = row?.successor;
      if (account === wanted) return true;
    }
    return false;
  }
}
