/** Agreements and their epochs: tables `agreements` and `epochs`, and column `uses` of `preparations`. */
import { type Selectable, sql, type Transaction, type Updateable } from "kysely";
import type {
  Acceptance,
  AgreementCounts,
  AgreementIndex,
  AgreementRow,
  AgreementState,
  EpochState,
  EpochSummary,
  Health,
  NewAgreement,
  ProofRecord,
} from "../agreement-index.ts";
import { canonicalAddress } from "./accounts.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";

type Tables = Transaction<ProviderTables>;
type AgreementColumns = ProviderTables["agreements"];

function toAgreement(row: Selectable<AgreementColumns>): AgreementRow {
  return {
    id: BigInt(row.id),
    preparationId: row.preparation_id,
    account: row.account,
    salt: row.salt,
    auditKeyHash: row.audit_key_hash,
    manifestHash: row.manifest_hash,
    sliceCount: row.slice_count,
    token: row.token,
    startBlock: row.start_block,
    epochBlocks: row.epoch_blocks,
    windowBlocks: row.window_blocks,
    epochs: row.epochs,
    nextEpoch: row.next_epoch,
    state: row.state,
    health: row.health,
    healthDetail: row.health_detail ?? undefined,
    acceptHash: row.accept_hash ?? undefined,
    acceptBlock: row.accept_block ?? undefined,
  };
}

export class SqlAgreementIndex implements AgreementIndex {
  readonly #database: SqlDatabase<ProviderTables>;

  constructor(database: SqlDatabase<ProviderTables>) {
    this.#database = database;
  }

  async find(id: bigint): Promise<AgreementRow | undefined> {
    const row = await this.#database.run((database) =>
      database.selectFrom("agreements").selectAll().where("id", "=", String(id)).executeTakeFirst(),
    );
    return row === undefined ? undefined : toAgreement(row);
  }

  inState(state: AgreementState): Promise<AgreementRow[]> {
    return this.#list({ state });
  }

  unsettled(): Promise<AgreementRow[]> {
    return this.#list({ state: "ended", settled: 0 });
  }

  async #list(where: Partial<Selectable<AgreementColumns>>): Promise<AgreementRow[]> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("agreements")
        .selectAll()
        .where((all) => all.and(where))
        .orderBy("start_block")
        .orderBy("id")
        .execute(),
    );
    return rows.map(toAgreement);
  }

  async withUnprovenEpochs(): Promise<ReadonlySet<bigint>> {
    const rows = await this.#database.run((database) =>
      database
        .selectFrom("agreements")
        .select("id")
        .where("state", "=", "active")
        .where(({ exists, selectFrom }) =>
          exists(
            selectFrom("epochs")
              .select("epoch")
              .whereRef("agreement_id", "=", "agreements.id")
              .where("epochs.state", "<>", "proven"),
          ),
        )
        .execute(),
    );
    return new Set(rows.map(({ id }) => BigInt(id)));
  }

  async begin(agreement: NewAgreement): Promise<"begun" | "exists" | "no-preparation"> {
    return this.#database.write(async (transaction) => {
      const inserted = await transaction
        .insertInto("agreements")
        .values({
          id: String(agreement.id),
          preparation_id: agreement.preparationId,
          account: canonicalAddress(agreement.account),
          salt: agreement.salt,
          audit_key_hash: agreement.auditKeyHash,
          manifest_hash: agreement.manifestHash,
          slice_count: agreement.sliceCount,
          token: canonicalAddress(agreement.token),
          start_block: agreement.startBlock,
          epoch_blocks: agreement.epochBlocks,
          window_blocks: agreement.windowBlocks,
          epochs: agreement.epochs,
          state: "accepting",
        })
        .onConflict((conflict) => conflict.column("id").doNothing())
        .returning("id")
        .execute();
      if (inserted.length === 0) return "exists";
      if (await addUse(transaction, agreement.preparationId, 1)) return "begun";
      await transaction.deleteFrom("agreements").where("id", "=", String(agreement.id)).execute();
      return "no-preparation";
    });
  }

  async forget(id: bigint): Promise<void> {
    await this.#release((transaction) =>
      transaction
        .deleteFrom("agreements")
        .where("id", "=", String(id))
        .where("state", "=", "accepting")
        .returning("preparation_id")
        .execute(),
    );
  }

  async end(id: bigint): Promise<void> {
    await this.#release((transaction) =>
      transaction
        .updateTable("agreements")
        .set({ state: "ended" })
        .where("id", "=", String(id))
        .where("state", "<>", "ended")
        .returning("preparation_id")
        .execute(),
    );
  }

  /** Runs a statement after which an agreement no longer depends on its preparation, and counts that. */
  async #release(statement: (transaction: Tables) => Promise<readonly { preparation_id: number }[]>): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        for (const { preparation_id: id } of await statement(transaction)) await addUse(transaction, id, -1);
      },
      { repeatable: true },
    );
  }

  async activate(id: bigint, acceptance: Acceptance | undefined): Promise<void> {
    await this.#database.write(
      (transaction) =>
        transaction
          .updateTable("agreements")
          .set({
            state: "active",
            ...(acceptance === undefined
              ? {}
              : { accept_hash: acceptance.transactionHash, accept_block: acceptance.blockNumber }),
          })
          .where("id", "=", String(id))
          .where("state", "=", "accepting")
          .execute(),
      { repeatable: true },
    );
  }

  async settle(ids: readonly bigint[]): Promise<void> {
    if (ids.length === 0) return;
    await this.#database.write(
      (transaction) =>
        transaction
          .updateTable("agreements")
          .set({ settled: 1 })
          .where("id", "in", ids.map(String))
          .where("state", "=", "ended")
          .execute(),
      { repeatable: true },
    );
  }

  async setHealth(id: bigint, health: Health, detail?: string): Promise<void> {
    await this.#update(id, { health, health_detail: detail ?? null });
  }

  async setNextEpoch(id: bigint, epoch: number): Promise<void> {
    await this.#update(id, { next_epoch: epoch });
  }

  async #update(id: bigint, values: Updateable<AgreementColumns>): Promise<void> {
    await this.#database.write(
      (transaction) => transaction.updateTable("agreements").set(values).where("id", "=", String(id)).execute(),
      { repeatable: true },
    );
  }

  async epochState(id: bigint, epoch: number): Promise<EpochState | undefined> {
    const row = await this.#database.run((database) =>
      database
        .selectFrom("epochs")
        .select("state")
        .where("agreement_id", "=", String(id))
        .where("epoch", "=", epoch)
        .executeTakeFirst(),
    );
    return row?.state;
  }

  async recordProven(id: bigint, epoch: number, proof?: ProofRecord): Promise<void> {
    await this.#recordEpoch({
      agreement_id: String(id),
      epoch,
      state: "proven",
      transaction_hash: proof?.transactionHash ?? null,
      block_number: proof?.blockNumber ?? null,
      gas_used: proof === undefined ? null : String(proof.gasUsed),
      detail: null,
    });
  }

  async recordNotProven(id: bigint, epoch: number, state: "failed" | "missed", detail: string): Promise<void> {
    await this.#recordEpoch({
      agreement_id: String(id),
      epoch,
      state,
      transaction_hash: null,
      block_number: null,
      gas_used: null,
      detail,
    });
  }

  async #recordEpoch(row: ProviderTables["epochs"]): Promise<void> {
    const { agreement_id: _, epoch: __, ...outcome } = row;
    await this.#database.write(
      (transaction) =>
        transaction
          .insertInto("epochs")
          .values(row)
          .onConflict((conflict) => conflict.columns(["agreement_id", "epoch"]).doUpdateSet(outcome))
          .execute(),
      { repeatable: true },
    );
  }

  async summaryOf(id: bigint): Promise<EpochSummary> {
    return this.#database.run(async (database) => {
      const ofAgreement = database.selectFrom("epochs").where("agreement_id", "=", String(id));
      const counted = await ofAgreement
        .select((build) => ["state", build.fn.countAll<number>().as("count")])
        .groupBy("state")
        .execute();
      const last = await ofAgreement
        .selectAll()
        .where("transaction_hash", "is not", null)
        .orderBy("epoch", "desc")
        .limit(1)
        .executeTakeFirst();
      const sumOf = (proven: boolean) =>
        counted.filter(({ state }) => (state === "proven") === proven).reduce((sum, { count }) => sum + count, 0);
      return { proven: sumOf(true), notProven: sumOf(false), lastProof: toProof(last) };
    });
  }

  async counts(): Promise<AgreementCounts> {
    return this.#database.run((database) =>
      database
        .selectFrom("agreements")
        .select((build) => [
          build.fn.countAll<number>().as("active"),
          sql<number>`CAST(coalesce(sum(CASE WHEN health = 'damaged' THEN 1 ELSE 0 END), 0) AS BIGINT)`.as("damaged"),
        ])
        .where("state", "=", "active")
        .executeTakeFirstOrThrow(),
    );
  }
}

function toProof(row: Selectable<ProviderTables["epochs"]> | undefined): ProofRecord | undefined {
  if (row === undefined || row.transaction_hash === null) return undefined;
  return {
    epoch: row.epoch,
    transactionHash: row.transaction_hash,
    blockNumber: Number(row.block_number),
    gasUsed: BigInt(row.gas_used ?? 0),
  };
}

/**
 * Counts an agreement that depends on a preparation (+1), or that no longer does (−1).
 * @returns whether there is such a preparation
 */
async function addUse(transaction: Tables, preparationId: number, change: 1 | -1): Promise<boolean> {
  const { numUpdatedRows } = await transaction
    .updateTable("preparations")
    .set({ uses: sql`uses + ${sql.lit(change)}` })
    .where("id", "=", preparationId)
    .where("complete", "=", 1)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}
