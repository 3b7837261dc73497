/** Table `data_set_rates`: how many states of a set were signed, and how many sent, in an epoch. */
import type { Transaction } from "kysely";
import type { Sending, StateRate } from "../data-set-index.ts";
import type { ProviderTables } from "./provider-tables.ts";

type Tables = Transaction<ProviderTables>;
type Row = ProviderTables["data_set_rates"];

/** The counts of an epoch; an earlier one, which an endpoint that lags still has, does not begin anew. */
async function read(tables: Tables, id: number, epoch: number): Promise<Row> {
  const known = await tables.selectFrom("data_set_rates").selectAll().where("data_set_id", "=", id).executeTakeFirst();
  if (known !== undefined && known.epoch >= epoch) return known;
  return { data_set_id: id, epoch, signed: 0, sent: 0, sent_version: null };
}

async function write(tables: Tables, row: Row): Promise<void> {
  const { data_set_id: _, ...counts } = row;
  await tables
    .insertInto("data_set_rates")
    .values(row)
    .onConflict((conflict) => conflict.column("data_set_id").doUpdateSet(counts))
    .execute();
}

/** Counts a state that is being signed; the caller has locked the set. @returns whether it is within the limit */
export async function countSigned(tables: Tables, id: number, { epoch, limit }: StateRate): Promise<boolean> {
  const row = await read(tables, id, epoch);
  if (row.signed >= limit) return false;
  await write(tables, { ...row, signed: row.signed + 1 });
  return true;
}

/** Counts a state that is about to be sent; as often as it is retried, once. @returns whether it is within the limit */
export async function countSent(tables: Tables, id: number, { epoch, limit, version }: Sending): Promise<boolean> {
  const row = await read(tables, id, epoch);
  if (row.sent_version === String(version)) return true;
  if (row.sent >= limit) return false;
  await write(tables, { ...row, sent: row.sent + 1, sent_version: String(version) });
  return true;
}

/** Lets another attempt at the state that was sent last count again. */
export async function countAgain(tables: Tables, id: number): Promise<void> {
  await tables.updateTable("data_set_rates").set({ sent_version: null }).where("data_set_id", "=", id).execute();
}

export async function ratesIn(tables: Tables, id: number, epoch: number): Promise<Pick<Row, "signed" | "sent">> {
  const { signed, sent } = await read(tables, id, epoch);
  return { signed, sent };
}
