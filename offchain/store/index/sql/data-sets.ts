/**
 * Tables `data_sets`, `data_set_versions`, `data_set_states`, `data_set_evidence`, `data_set_ranges` and
 * `data_set_epochs`, and `included` of segments.
 */
import { type ExpressionBuilder, type Kysely, type Selectable, sql, type Transaction, type Updateable } from "kysely";
import type {
  AfterForgetting,
  BeginOutcome,
  CosignedState,
  DataSetCounts,
  DataSetIndex,
  DataSetRow,
  DataSetState,
  EpochState,
  EpochSummary,
  Health,
  NewDataSet,
  ProofRecord,
  ProvingLoad,
  Sending,
  StateContext,
  StoredSchedule,
} from "../data-set-index.ts";
import { canonicalAddress } from "./accounts.ts";
import {
  type EpochColumns,
  keepEpoch,
  provenEpoch,
  readEpochState,
  summariseEpochs,
  unprovenEpoch,
} from "./data-set-epochs.ts";
import { toDataSet, toState } from "./data-set-rows.ts";
import { PAGE_ROWS, pagesOf } from "./pages.ts";
import type { ProviderTables } from "./provider-tables.ts";
import { forgetSigned, recordSigned } from "./signed-states.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { countAgain, countSent, ratesIn } from "./state-rates.ts";

type Tables = Transaction<ProviderTables>;
type DataSetColumns = ProviderTables["data_sets"];

/** One transaction at a time reads what the windows have to do, and adds to it. */
const LOADS_LOCK = "proving loads";

/** Without a signed state that can reach the chain: `preparing` is nothing else. */
const isAbandoned =
  (before: number) =>
  ({ or, and, eb }: ExpressionBuilder<ProviderTables, "data_sets">) =>
    or([eb("state", "=", "removing"), and([eb("state", "=", "preparing"), eb("touched_at", "<", before)])]);

export class SqlDataSetIndex implements DataSetIndex {
  readonly #database: SqlDatabase<ProviderTables>;

  constructor(database: SqlDatabase<ProviderTables>) {
    this.#database = database;
  }

  async #first(where: Partial<Selectable<DataSetColumns>>): Promise<DataSetRow | undefined> {
    const row = await this.#database.run((database) =>
      database
        .selectFrom("data_sets")
        .selectAll()
        .where((all) => all.and(where))
        .where("state", "<>", "removing")
        .executeTakeFirst(),
    );
    return row === undefined ? undefined : toDataSet(row);
  }

  find(id: number): Promise<DataSetRow | undefined> {
    return this.#first({ id });
  }

  async findBySalt(account: string, salt: Uint8Array): Promise<DataSetRow | undefined> {
    return this.#first({ account: canonicalAddress(account), salt });
  }

  async inState(...states: DataSetState[]): Promise<DataSetRow[]> {
    const rows = await this.#database.run((database) =>
      database.selectFrom("data_sets").selectAll().where("state", "in", states).orderBy("id").execute(),
    );
    return rows.map(toDataSet);
  }

  async *pages(): AsyncGenerator<readonly DataSetRow[], void, undefined> {
    const read = (after: number) =>
      this.#database.run((database) =>
        database
          .selectFrom("data_sets")
          .selectAll()
          .where("id", ">", after)
          .where("state", "<>", "removing")
          .orderBy("id")
          .limit(PAGE_ROWS)
          .execute(),
      );
    for await (const rows of pagesOf(0, read, ({ id }) => id)) yield rows.map(toDataSet);
  }

  async begin(set: NewDataSet, limit: number): Promise<BeginOutcome> {
    const owner = canonicalAddress(set.account);
    return this.#database.write<BeginOutcome>(async (transaction) => {
      // One transaction at a time counts and adds the data sets of an account.
      await this.#database.lockName(transaction, `data sets of ${owner}`);
      const ofAccount = transaction.selectFrom("data_sets").where("account", "=", owner);
      const known = await ofAccount.select("id").where("salt", "=", set.salt).executeTakeFirst();
      if (known !== undefined) return { outcome: "exists" };
      const { unopened } = await ofAccount
        .select((build) => build.fn.countAll<number>().as("unopened"))
        .where("state", "in", ["preparing", "opening", "removing"])
        .executeTakeFirstOrThrow();
      if (unopened >= limit) return { outcome: "too-many" };
      const phase = typeof set.phase === "number" ? set.phase : set.phase(await this.#lockedLoads(transaction));
      const before = await transaction
        .selectFrom("data_set_versions")
        .select("signed_version")
        .where("account", "=", owner)
        .where("salt", "=", set.salt)
        .executeTakeFirst();
      const { id } = await transaction
        .insertInto("data_sets")
        .values({
          account: owner,
          salt: set.salt,
          key_x: set.key.X,
          key_xa: set.key.XA,
          key_xb: set.key.XB,
          audit_key_hash: set.auditKeyHash,
          slice_elements: set.sliceElements,
          phase,
          state: "preparing",
          signed_version: before?.signed_version ?? "0",
          touched_at: set.touchedAt,
        })
        .returning("id")
        .executeTakeFirstOrThrow();
      return { outcome: "created", id };
    });
  }

  async loads(): Promise<ProvingLoad[]> {
    return this.#database.run(readLoads);
  }

  /** Loads that stay as they are until the transaction ends. Taken after locks of accounts and before those of rows. */
  async #lockedLoads(transaction: Tables): Promise<ProvingLoad[]> {
    await this.#database.lockName(transaction, LOADS_LOCK);
    return readLoads(transaction);
  }

  async setPowers(id: number, part: "powers-a" | "powers-b", bytes: number): Promise<void> {
    await this.#update(id, part === "powers-a" ? { powers_a_bytes: bytes } : { powers_b_bytes: bytes });
  }

  async setVerified(id: number, { a, b }: { readonly a: boolean; readonly b: number }): Promise<void> {
    await this.#update(id, { verified_a: a ? 1 : 0, verified_b: b });
  }

  async touch(id: number, now: number): Promise<boolean> {
    return (await this.#update(id, { touched_at: now })) > 0n;
  }

  async abandoned(before: number): Promise<number[]> {
    const rows = await this.#database.run((database) =>
      database.selectFrom("data_sets").select("id").where(isAbandoned(before)).orderBy("id").execute(),
    );
    return rows.map(({ id }) => id);
  }

  async beginRemoval(id: number, before: number): Promise<boolean> {
    return this.#database.write(
      async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable("data_sets")
          .set({ state: "removing" })
          .where("id", "=", id)
          .where(isAbandoned(before))
          .executeTakeFirstOrThrow();
        return numUpdatedRows > 0n;
      },
      { repeatable: true },
    );
  }

  async delete(id: number): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        const removed = await transaction
          .deleteFrom("data_sets")
          .where("id", "=", id)
          .where("state", "=", "removing")
          .returning(["account", "salt", "signed_version"])
          .executeTakeFirst();
        if (removed === undefined || removed.signed_version === "0") return;
        await transaction
          .insertInto("data_set_versions")
          .values(removed)
          .onConflict((conflict) =>
            conflict.columns(["account", "salt"]).doUpdateSet({ signed_version: removed.signed_version }),
          )
          .execute();
      },
      { repeatable: true },
    );
  }

  async recordState(
    id: number,
    state: CosignedState,
    context: StateContext,
  ): Promise<"recorded" | "stale" | "too-many"> {
    return this.#database.write(async (transaction) => {
      const loads = context.requireRoom === undefined ? [] : await this.#lockedLoads(transaction);
      return await recordSigned(this.#database, transaction, id, state, context, loads);
    });
  }

  async takeSending(id: number, sending: Sending): Promise<boolean> {
    return this.#database.write((transaction) => countSent(transaction, id, sending), { repeatable: true });
  }

  async countSendingAgain(id: number): Promise<void> {
    await this.#database.write((transaction) => countAgain(transaction, id), { repeatable: true });
  }

  async rates(id: number, epoch: number): Promise<{ readonly signed: number; readonly sent: number }> {
    return this.#database.write((transaction) => ratesIn(transaction, id, epoch), { repeatable: true, durable: false });
  }

  async statesOf(id: number): Promise<CosignedState[]> {
    const rows = await this.#database.run((database) =>
      database.selectFrom("data_set_states").selectAll().where("data_set_id", "=", id).execute(),
    );
    return rows.map(toState).sort((left, right) => (left.version < right.version ? -1 : 1));
  }

  async keepEvidence(id: number, evidence: Uint8Array): Promise<boolean> {
    return this.#database.write(
      async (transaction) => {
        const kept = await transaction
          .insertInto("data_set_evidence")
          .values({ data_set_id: id, evidence })
          .onConflict((conflict) => conflict.column("data_set_id").doNothing())
          .returning("data_set_id")
          .executeTakeFirst();
        return kept !== undefined;
      },
      { repeatable: true },
    );
  }

  async evidenceOf(id: number): Promise<Uint8Array | undefined> {
    const row = await this.#database.run((database) =>
      database.selectFrom("data_set_evidence").select("evidence").where("data_set_id", "=", id).executeTakeFirst(),
    );
    return row?.evidence;
  }

  async dropEvidence(id: number): Promise<void> {
    await this.#database.write(
      (transaction) => transaction.deleteFrom("data_set_evidence").where("data_set_id", "=", id).execute(),
      { repeatable: true },
    );
  }

  async setMined(id: number, version: bigint, transaction: { hash: string; blockNumber: number }): Promise<void> {
    await this.#database.write(
      (tables) =>
        tables
          .updateTable("data_set_states")
          .set({ transaction_hash: transaction.hash, block_number: transaction.blockNumber })
          .where("data_set_id", "=", id)
          .where("version", "=", String(version))
          .execute(),
      { repeatable: true },
    );
  }

  async forgetStates(id: number, versions: readonly bigint[], then: AfterForgetting): Promise<void> {
    const forget = (transaction: Tables) => forgetSigned(transaction, id, versions, then);
    await this.#database.write(forget, { repeatable: true });
  }

  async lowerReservation(id: number, milliseconds: number, signedVersion: bigint): Promise<void> {
    await this.#database.write(
      (transaction) =>
        transaction
          .updateTable("data_sets")
          .set({ proving_milliseconds: milliseconds })
          .where("id", "=", id)
          .where("signed_version", "=", String(signedVersion))
          .where("proving_milliseconds", ">", milliseconds)
          .execute(),
      { repeatable: true },
    );
  }

  async setSchedule(id: number, { schedule, ranges, blockNumber, blockHash }: StoredSchedule): Promise<void> {
    await this.#database.write(
      async (transaction) => {
        await transaction
          .updateTable("data_sets")
          .set({ schedule, ranges, schedule_block: blockNumber, schedule_block_hash: blockHash })
          .where("id", "=", id)
          .execute();
        await transaction
          .updateTable("data_sets")
          .set({ state: "running" })
          .where("id", "=", id)
          .where("state", "=", "opening")
          .execute();
      },
      { repeatable: true },
    );
  }

  async forgetSchedule(id: number, blockHash: string): Promise<boolean> {
    return this.#database.write(
      async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable("data_sets")
          .set({
            state: "opening",
            schedule: null,
            ranges: null,
            schedule_block: null,
            schedule_block_hash: null,
            health: "unknown",
            health_detail: null,
          })
          .where("id", "=", id)
          .where("state", "=", "running")
          .where("schedule_block_hash", "=", blockHash)
          .executeTakeFirstOrThrow();
        if (numUpdatedRows === 0n) return false;
        await transaction.deleteFrom("data_set_ranges").where("data_set_id", "=", id).execute();
        await transaction.deleteFrom("data_set_epochs").where("data_set_id", "=", id).execute();
        await transaction
          .updateTable("data_set_states")
          .set({ transaction_hash: null, block_number: null })
          .where("data_set_id", "=", id)
          .execute();
        return true;
      },
      { repeatable: true },
    );
  }

  async rangesOf(id: number): Promise<ReadonlyMap<string, Uint8Array>> {
    const rows = await this.#database.run((database) =>
      database.selectFrom("data_set_ranges").select(["hash", "ranges"]).where("data_set_id", "=", id).execute(),
    );
    return new Map(rows.map(({ hash, ranges }) => [hash, ranges]));
  }

  async addRanges(id: number, ranges: ReadonlyMap<string, Uint8Array>): Promise<void> {
    if (ranges.size === 0) return;
    await this.#database.write(
      (transaction) =>
        transaction
          .insertInto("data_set_ranges")
          .values([...ranges].map(([hash, list]) => ({ data_set_id: id, hash, ranges: list })))
          .onConflict((conflict) => conflict.columns(["data_set_id", "hash"]).doNothing())
          .execute(),
      { repeatable: true },
    );
  }

  async removeRanges(id: number, hashes: readonly string[]): Promise<void> {
    if (hashes.length === 0) return;
    await this.#database.write(
      (transaction) =>
        transaction.deleteFrom("data_set_ranges").where("data_set_id", "=", id).where("hash", "in", hashes).execute(),
      { repeatable: true },
    );
  }

  async end(id: number): Promise<void> {
    await this.#update(id, { state: "ended" });
    await this.dropEvidence(id);
  }

  async setHealth(id: number, health: Health, detail?: string): Promise<void> {
    await this.#update(id, { health, health_detail: detail ?? null });
  }

  async #update(id: number, values: Updateable<DataSetColumns>): Promise<bigint> {
    const { numUpdatedRows } = await this.#database.write(
      (transaction) =>
        transaction
          .updateTable("data_sets")
          .set(values)
          .where("id", "=", id)
          .where("state", "<>", "removing")
          .executeTakeFirstOrThrow(),
      { repeatable: true },
    );
    return numUpdatedRows;
  }

  async epochState(id: number, epoch: number): Promise<EpochState | undefined> {
    return this.#database.run((database) => readEpochState(database, id, epoch));
  }

  async recordProven(id: number, epoch: number, proof?: ProofRecord): Promise<void> {
    await this.#keepEpoch(provenEpoch(id, epoch, proof));
  }

  async recordNotProven(id: number, epoch: number, state: "failed" | "missed", detail: string): Promise<void> {
    await this.#keepEpoch(unprovenEpoch(id, epoch, state, detail));
  }

  async #keepEpoch(row: EpochColumns): Promise<void> {
    await this.#database.write((transaction) => keepEpoch(transaction, row), { repeatable: true });
  }

  async summaryOf(id: number): Promise<EpochSummary> {
    return this.#database.run((database) => summariseEpochs(database, id));
  }

  async counts(): Promise<DataSetCounts> {
    return this.#database.run((database) =>
      database
        .selectFrom("data_sets")
        .select((build) => [
          build.fn.countAll<number>().as("running"),
          sql<number>`CAST(coalesce(sum(CASE WHEN health = 'damaged' THEN 1 ELSE 0 END), 0) AS BIGINT)`.as("damaged"),
        ])
        .where("state", "=", "running")
        .executeTakeFirstOrThrow(),
    );
  }

  async tokens(): Promise<string[]> {
    const rows = await this.#database.run((database) =>
      database.selectFrom("data_sets").select("token").distinct().where("token", "is not", null).execute(),
    );
    return rows.flatMap(({ token }) => (token === null ? [] : [token]));
  }

  async coveredOf(account: string): Promise<{ bytes: number; chunks: number }> {
    const owner = canonicalAddress(account);
    return this.#database.run((database) =>
      database
        .selectFrom("segments")
        .select([
          sql<number>`CAST(coalesce(sum(kept_bytes), 0) AS BIGINT)`.as("bytes"),
          sql<number>`CAST(coalesce(sum(kept_chunks), 0) AS BIGINT)`.as("chunks"),
        ])
        .where("account", "=", owner)
        .where("included", "=", 1)
        .executeTakeFirstOrThrow(),
    );
  }
}

function readLoads(database: Kysely<ProviderTables>): Promise<ProvingLoad[]> {
  return database
    .selectFrom("data_sets")
    .select(["id", "phase", "mode", "proving_milliseconds as milliseconds"])
    .where("state", "in", ["preparing", "opening", "running"])
    .execute();
}
