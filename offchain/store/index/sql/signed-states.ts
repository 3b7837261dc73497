/** Signed states: table `data_set_states`, and what they change in `data_sets` and in `included` of segments. */
import type { Transaction } from "kysely";
import { TallystickError } from "../../../core/errors.ts";
import type { AfterForgetting, CosignedState, ProvingLoad, StateContext } from "../data-set-index.ts";
import { canonicalAddress } from "./accounts.ts";
import { encodeTerms } from "./data-set-rows.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { countSigned } from "./state-rates.ts";

type Tables = Transaction<ProviderTables>;

/** @param loads of all windows, locked, if the context asks for room. @see DataSetIndex.recordState */
export async function recordSigned(
  database: SqlDatabase<ProviderTables>,
  transaction: Tables,
  id: number,
  state: CosignedState,
  context: StateContext,
  loads: readonly ProvingLoad[],
): Promise<"recorded" | "stale" | "too-many"> {
  const { agreed, segments, provingMilliseconds, requireRoom, rate } = context;
  const query = transaction
    .selectFrom("data_sets")
    .select(["signed_version", "state"])
    .where("id", "=", id)
    .where("state", "in", ["preparing", "opening", "running"]);
  const row = await database.locking(query).executeTakeFirst();
  if (row === undefined || BigInt(row.signed_version) >= state.version) return "stale";
  if (rate !== undefined && !(await countSigned(transaction, id, rate))) return "too-many";
  requireRoom?.(loads);
  await transaction
    .insertInto("data_set_states")
    .values({
      data_set_id: id,
      version: String(state.version),
      retirements: state.retirements,
      ranges: state.ranges,
      content_hash: state.contentHash,
      deadline_block: state.deadlineBlock,
      user_signature: state.userSignature,
      provider_signature: state.providerSignature,
    })
    .execute();
  await transaction
    .updateTable("data_sets")
    .set({
      signed_version: String(state.version),
      proving_milliseconds: provingMilliseconds,
      ...(row.state === "preparing" ? { state: "opening" } : {}),
      ...(agreed === undefined
        ? {}
        : {
            chain_id: agreed.id,
            mode: agreed.terms.mode,
            token: canonicalAddress(agreed.terms.token),
            terms: encodeTerms(agreed),
          }),
    })
    .where("id", "=", id)
    .execute();
  await includeWhole(transaction, id, segments);
  return "recorded";
}

/** @see DataSetIndex.forgetStates */
export async function forgetSigned(
  transaction: Tables,
  id: number,
  versions: readonly bigint[],
  { included, abandonedAt }: AfterForgetting,
): Promise<void> {
  if (versions.length > 0) {
    await transaction
      .deleteFrom("data_set_states")
      .where("data_set_id", "=", id)
      .where("version", "in", versions.map(String))
      .execute();
  }
  if (included !== undefined) {
    await transaction.updateTable("segments").set({ included: 0 }).where("data_set_id", "=", id).execute();
    await include(transaction, included);
  }
  if (abandonedAt === undefined) return;
  const { numUpdatedRows } = await transaction
    .updateTable("data_sets")
    .set({
      state: "preparing",
      chain_id: null,
      mode: "every-epoch",
      token: null,
      terms: null,
      proving_milliseconds: 0,
      touched_at: abandonedAt,
    })
    .where("id", "=", id)
    .where("state", "=", "opening")
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom("data_set_states").select("version").where("data_set_id", "=", id))),
    )
    .executeTakeFirstOrThrow();
  if (numUpdatedRows === 0n) return;
  await transaction.updateTable("segments").set({ touched_at: abandonedAt }).where("data_set_id", "=", id).execute();
}

/**
 * Includes segments of a state that is being signed. Nothing may be promised of one that has expired meanwhile, or of
 * which chunks were let go.
 * @throws TallystickError CONFLICT
 */
async function includeWhole(transaction: Tables, id: number, segments: readonly number[]): Promise<void> {
  if (segments.length === 0) return;
  const { numUpdatedRows } = await transaction
    .updateTable("segments")
    .set({ included: 1 })
    .where("id", "in", segments)
    .where("data_set_id", "=", id)
    .where("complete", "=", 1)
    .where("verified", "=", 1)
    .whereRef("kept_bytes", "=", "data_bytes")
    .executeTakeFirstOrThrow();
  if (Number(numUpdatedRows) === segments.length) return;
  throw new TallystickError("the list names slices whose data are not kept any more", {
    code: "CONFLICT",
    party: "client",
    check: "verified segments",
    expected: `${segments.length} whole segments`,
    received: String(numUpdatedRows),
    hint: "send the data again as a new segment, and name all of it in one state",
  });
}

async function include(transaction: Tables, segments: readonly number[]): Promise<void> {
  if (segments.length === 0) return;
  await transaction.updateTable("segments").set({ included: 1 }).where("id", "in", segments).execute();
}
