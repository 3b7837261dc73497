/** Successors of accounts: table `successions`. What they take over is in the tables of the files beside this one. */
import type { Transaction } from "kysely";
import { LONGEST_LINE } from "../../../core/identity/handover.ts";
import type { SuccessionIndex } from "../succession-index.ts";
import { canonicalAddress } from "./accounts.ts";
import { passOwnership } from "./chunk-owners.ts";
import type { OwnerGroupTables } from "./owner-group-tables.ts";
import { passGroups } from "./owner-groups.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { passStubFiles, type StubFileTables } from "./stub-files.ts";

export class SqlSuccessionIndex implements SuccessionIndex {
  readonly #database: SqlDatabase<ProviderTables>;

  constructor(database: SqlDatabase<ProviderTables>) {
    this.#database = database;
  }

  async takeOver(predecessor: string, successor: string, now: number): Promise<boolean> {
    const [from, to] = [canonicalAddress(predecessor), canonicalAddress(successor)];
    if (await this.#isDone(from, to)) return false;
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
    return true;
  }

  /** Whether a successor is known, and its predecessor has nothing. What comes meanwhile is taken the next time. */
  async #isDone(from: string, to: string): Promise<boolean> {
    return await this.#database.run(async (all) => {
      const known = all.selectFrom("successions").select("successor").where("account", "=", from);
      if ((await known.executeTakeFirst())?.successor !== to) return false;
      const left = [
        async () => all.selectFrom("owners").select("account").where("account", "=", from).limit(1).execute(),
        async () => all.selectFrom("stub_files").select("account").where("account", "=", from).limit(1).execute(),
        async () => all.selectFrom("owner_groups").select("founder").where("founder", "=", from).limit(1).execute(),
      ];
      for (const read of left) if ((await read()).length > 0) return false;
      return true;
    });
  }

  async hasTakenOver(successor: string, predecessor: string): Promise<boolean> {
    const wanted = canonicalAddress(successor);
    let account: string | undefined = canonicalAddress(predecessor);
    for (let steps = 0; account !== undefined && steps < LONGEST_LINE; steps += 1) {
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
