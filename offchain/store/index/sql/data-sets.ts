/**
 * Tables `data_sets`, `data_set_versions`, `data_set_states`, `data_set_evidence`, `data_set_ranges` and
 * `data_set_epochs`, and `included` of segments.
 */
import { type ExpressionBuilder, type Kysely, type Selectable, sql, type Transaction, type Updateable } from "kysely";
import { TallystickError } from "../../../core/errors.ts";
import type {
  AgreedSet,
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
import { PAGE_ROWS, pagesOf } from "./pages.ts";
import type { ProviderTables } from "./provider-tables.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { countAgain, countSent, countSigned, ratesIn } from "./state-rates.ts";

type Tables = Transaction<ProviderTables>;
type DataSetColumns = ProviderTables["data_sets"];
type StateColumns = ProviderTables["data_set_states"];

/** Names of the amounts in terms and audit terms, which JSON does not keep as such. */
const AMOUNTS = new Set(["feeFloor", "feePerSlice", "feePerIndex", "feeCap", "disputeBond"]);

function encodeTerms({ terms, audit, fromBlock }: AgreedSet): string {
  return JSON.stringify({ terms, audit, fromBlock }, (_, value: unknown) =>
    typeof value === "bigint" ? String(value) : value,
  );
}

function decodeTerms(text: string): Omit<AgreedSet, "id"> {
  return JSON.parse(text, (name, value: unknown) => (AMOUNTS.has(name) ? BigInt(String(value)) : value));
}

function toDataSet(row: Selectable<DataSetColumns>): DataSetRow {
  const { chain_id: chainId, terms } = row;
  return {
    id: row.id,
    account: row.account,
    salt: row.salt,
    key: { X: row.key_x, XA: row.key_xa, XB: row.key_xb },
    auditKeyHash: row.audit_key_hash,
    sliceElements: row.slice_elements,
    phase: row.phase,
    powersABytes: row.powers_a_bytes,
    powersBBytes: row.powers_b_bytes,
    verifiedA: row.verified_a === 1,
    verifiedB: row.verified_b,
    givenIndex: row.given_index,
    state: row.state as DataSetState,
    agreed: chainId === null || terms === null ? undefined : { id: chainId, ...decodeTerms(terms) },
    signedVersion: BigInt(row.signed_version),
    provingMilliseconds: row.proving_milliseconds,
    scheduled: toSchedule(row),
    health: row.health,
    healthDetail: row.health_detail ?? undefined,
    touchedAt: row.touched_at,
  };
}

function toSchedule(row: Selectable<DataSetColumns>): StoredSchedule | undefined {
  const { schedule, ranges, schedule_block: blockNumber, schedule_block_hash: blockHash } = row;
  if (schedule === null || ranges === null || blockNumber === null || blockHash === null) return undefined;
  return { schedule, ranges, blockNumber, blockHash };
}

function toState(row: Selectable<StateColumns>): CosignedState {
  const { transaction_hash: hash, block_number: blockNumber } = row;
  return {
    version: BigInt(row.version),
    retirements: row.retirements,
    ranges: row.ranges,
    contentHash: row.content_hash,
    deadlineBlock: row.deadline_block,
    userSignature: row.user_signature,
    providerSignature: row.provider_signature,
    transaction: hash === null || blockNumber === null ? undefined : { hash, blockNumber },
  };
}

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
      const { agreed, segments, provingMilliseconds, requireRoom, rate } = context;
      const loads = requireRoom === undefined ? [] : await this.#lockedLoads(transaction);
      const query = transaction
        .selectFrom("data_sets")
        .select(["signed_version", "state"])
        .where("id", "=", id)
        .where("state", "in", ["preparing", "opening", "running"]);
      const row = await this.#database.locking(query).executeTakeFirst();
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

  async forgetStates(
    id: number,
    versions: readonly bigint[],
    { included, abandonedAt }: { readonly included?: readonly number[]; readonly abandonedAt?: number },
  ): Promise<void> {
    await this.#database.write(
      async (transaction) => {
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
        await transaction
          .updateTable("segments")
          .set({ touched_at: abandonedAt })
          .where("data_set_id", "=", id)
          .execute();
      },
      { repeatable: true },
    );
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
    await this.#database.write(
      (transaction) => transaction.deleteFrom("data_set_evidence").where("data_set_id", "=", id).execute(),
      { repeatable: true },
    );
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
    const row = await this.#database.run((database) =>
      database
        .selectFrom("data_set_epochs")
        .select("state")
        .where("data_set_id", "=", id)
        .where("epoch", "=", epoch)
        .executeTakeFirst(),
    );
    return row?.state;
  }

  async recordProven(id: number, epoch: number, proof?: ProofRecord): Promise<void> {
    await this.#recordEpoch({
      data_set_id: id,
      epoch,
      state: "proven",
      transaction_hash: proof?.transactionHash ?? null,
      block_number: proof?.blockNumber ?? null,
      gas_used: proof === undefined ? null : String(proof.gasUsed),
      detail: null,
    });
  }

  async recordNotProven(id: number, epoch: number, state: "failed" | "missed", detail: string): Promise<void> {
    await this.#recordEpoch({
      data_set_id: id,
      epoch,
      state,
      transaction_hash: null,
      block_number: null,
      gas_used: null,
      detail,
    });
  }

  async #recordEpoch(row: ProviderTables["data_set_epochs"]): Promise<void> {
    const { data_set_id: _, epoch: __, ...outcome } = row;
    await this.#database.write(
      (transaction) =>
        transaction
          .insertInto("data_set_epochs")
          .values(row)
          .onConflict((conflict) => conflict.columns(["data_set_id", "epoch"]).doUpdateSet(outcome))
          .execute(),
      { repeatable: true },
    );
  }

  async summaryOf(id: number): Promise<EpochSummary> {
    return this.#database.run(async (database) => {
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
    });
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

function toProof(row: Selectable<ProviderTables["data_set_epochs"]> | undefined): ProofRecord | undefined {
  if (row === undefined || row.transaction_hash === null) return undefined;
  return {
    epoch: row.epoch,
    transactionHash: row.transaction_hash,
    blockNumber: Number(row.block_number),
    gasUsed: BigInt(row.gas_used ?? 0),
  };
}
