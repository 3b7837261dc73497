/** What is kept for delegates: table `delegate_parcels`. */
import type { DelegateIndex } from "../delegate-index.ts";
import { canonicalAddress } from "./accounts.ts";
import type { TableDefinitions } from "./column-types.ts";
import type { SqlDatabase } from "./sql-database.ts";

export interface DelegateTables {
  delegate_parcels: { account: string; delegate: string; sealed: Uint8Array };
}

/** A migration of the provider's. */
export const DELEGATE_TABLES: TableDefinitions = ({ bytes, clustered }) => [
  `CREATE TABLE delegate_parcels (
    account TEXT NOT NULL,
    delegate TEXT NOT NULL,
    sealed ${bytes} NOT NULL,
    PRIMARY KEY (account, delegate)
  ) ${clustered}`,
];

export class SqlDelegateIndex implements DelegateIndex {
  readonly #database: SqlDatabase<DelegateTables>;

  constructor(database: SqlDatabase<DelegateTables>) {
    this.#database = database;
  }

  async parcel(account: string, key: string): Promise<Uint8Array | undefined> {
    const row = await this.#database.run((database) =>
      database
        .selectFrom("delegate_parcels")
        .select("sealed")
        .where("account", "=", canonicalAddress(account))
        .where("delegate", "=", canonicalAddress(key))
        .executeTakeFirst(),
    );
    return row?.sealed;
  }

  async setParcel(account: string, key: string, sealed: Uint8Array): Promise<void> {
    const row = { account: canonicalAddress(account), delegate: canonicalAddress(key), sealed };
    await this.#database.write(
      async (transaction) => {
        await transaction
          .insertInto("delegate_parcels")
          .values(row)
          .onConflict((conflict) => conflict.columns(["account", "delegate"]).doUpdateSet({ sealed }))
          .execute();
      },
      { repeatable: true },
    );
  }
}
