/** How the epochs of data sets ended: table `data_set_epochs`. */
import type { Kysely, Transaction } from "kysely";
import type { EpochState, EpochSummary, ProofRecord } from "../data-set-index.ts";
import { toProof } from "./data-set-rows.ts";
import type { ProviderTables } from "./provider-tables.ts";

export type EpochColumns = ProviderTables["data_set_epochs"];

export async function readEpochState(
  database: Kysely<ProviderTables>,
  id: number,
  epoch: number,
): Promise<EpochState | undefined> {
  const row = await database
    .selectFrom("data_set_epochs")
    .select("state")
    .where("data_set_id", "=", id)
    .where("epoch", "=", epoch)
    .executeTakeFirst();
  return row?.state;
}

export function provenEpoch(id: number, epoch: number, proof: ProofRecord | undefined): EpochColumns {
  return {
    data_set_id: id,
    epoch,
    state: "proven",
    transaction_hash: proof?.transactionHash ?? null,
    block_number: proof?.blockNumber ?? null,
    gas_used: proof === undefined ? null : String(proof.gasUsed),
    detail: null,
  };
}

export function unprovenEpoch(id: number, epoch: number, state: "failed" | "missed", detail: string): EpochColumns {
  return { data_set_id: id, epoch, state, transaction_hash: null, block_number: null, gas_used: null, detail };
}

/** In place of what was noted of the epoch before. */
export async function keepEpoch(transaction: Transaction<ProviderTables>, row: EpochColumns): Promise<void> {
  const { data_set_id: _, epoch: __, ...outcome } = row;
  await transaction
    .insertInto("data_set_epochs")
    .values(row)
    .onConflict((conflict) => conflict.columns(["data_set_id", "epoch"]).doUpdateSet(outcome))
    .execute();
}

export async function summariseEpochs(database: Kysely<ProviderTables>, id: number): Promise<EpochSummary> {
  const ofSet = database.selectFrom("data_set_epochs").where("data_set_id", "=", id);
  const counted = await ofSet
    .select((build) => ["state", build.fn.countAll<number>().as("count")])
    .groupBy("state")
    .execute();
  const last = await ofSet
    .selectAll()
    .where("transaction_hash", "is not", null)
    .orderBy("epoch", "desc")
    .limit(1)
    .executeTakeFirst();
  const sumOf = (proven: boolean) =>
    counted.filter(({ state }) => (state === "proven") === proven).reduce((sum, { count }) => sum + count, 0);
  return { proven: sumOf(true), notProven: sumOf(false), lastProof: toProof(last) };
}
