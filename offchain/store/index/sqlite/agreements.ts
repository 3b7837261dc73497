/** Agreements and their epochs on SQLite: tables `agreements` and `epochs`. */
import type { StatementSync } from "node:sqlite";
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
import type { Database } from "../sqlite.ts";
import { canonicalAddress } from "./accounts.ts";

/** What the preparations count: agreements that have not ended. */
export interface PreparationUses {
  addUse(preparationId: number, change: 1 | -1): boolean;
}

function toAgreement(row: Record<string, unknown>): AgreementRow {
  return {
    id: BigInt(String(row.id)),
    preparationId: Number(row.preparation_id),
    account: String(row.account),
    salt: row.salt as Uint8Array,
    auditKeyHash: row.audit_key_hash as Uint8Array,
    manifestHash: row.manifest_hash as Uint8Array,
    sliceCount: Number(row.slice_count),
    token: String(row.token),
    startBlock: Number(row.start_block),
    epochBlocks: Number(row.epoch_blocks),
    windowBlocks: Number(row.window_blocks),
    epochs: Number(row.epochs),
    nextEpoch: Number(row.next_epoch),
    state: row.state as AgreementState,
    health: row.health as Health,
    healthDetail: row.health_detail === null ? undefined : String(row.health_detail),
    acceptHash: row.accept_hash === null ? undefined : String(row.accept_hash),
    acceptBlock: row.accept_block === null ? undefined : Number(row.accept_block),
  };
}

export class SqliteAgreementIndex implements AgreementIndex {
  readonly #database: Database;
  readonly #preparations: PreparationUses;
  readonly #byId: StatementSync;
  readonly #inState: StatementSync;
  readonly #unproven: StatementSync;
  readonly #epochState: StatementSync;
  readonly #settleEpoch: StatementSync;

  constructor(database: Database, preparations: PreparationUses) {
    this.#database = database;
    this.#preparations = preparations;
    this.#byId = database.prepare("SELECT * FROM agreements WHERE id = ?");
    this.#inState = database.prepare("SELECT * FROM agreements WHERE state = ? ORDER BY start_block, id");
    this.#unproven = database.prepare(
      `SELECT id FROM agreements WHERE state = 'active'
       AND EXISTS (SELECT 1 FROM epochs WHERE agreement_id = agreements.id AND state <> 'proven')`,
    );
    this.#epochState = database.prepare("SELECT state FROM epochs WHERE agreement_id = ? AND epoch = ?");
    this.#settleEpoch = database.prepare(
      `INSERT INTO epochs (agreement_id, epoch, state, transaction_hash, block_number, gas_used, detail)
       VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (agreement_id, epoch) DO UPDATE SET state = excluded.state,
         transaction_hash = excluded.transaction_hash, block_number = excluded.block_number,
         gas_used = excluded.gas_used, detail = excluded.detail`,
    );
  }

  #row(id: bigint): AgreementRow | undefined {
    const row = this.#byId.get(String(id));
    return row === undefined ? undefined : toAgreement(row);
  }

  async find(id: bigint): Promise<AgreementRow | undefined> {
    return this.#row(id);
  }

  async inState(state: AgreementState): Promise<AgreementRow[]> {
    return this.#inState.all(state).map(toAgreement);
  }

  async unsettled(): Promise<AgreementRow[]> {
    return this.#database
      .prepare("SELECT * FROM agreements WHERE state = 'ended' AND settled = 0 ORDER BY start_block, id")
      .all()
      .map(toAgreement);
  }

  async withUnprovenEpochs(): Promise<ReadonlySet<bigint>> {
    return new Set(this.#unproven.all().map((row) => BigInt(String(row.id))));
  }

  async begin(agreement: NewAgreement): Promise<"begun" | "exists" | "no-preparation"> {
    return this.#database.transaction(() => {
      if (this.#row(agreement.id) !== undefined) return "exists";
      if (!this.#preparations.addUse(agreement.preparationId, 1)) return "no-preparation";
      this.#insert(agreement);
      return "begun";
    });
  }

  #insert(agreement: NewAgreement): void {
    this.#database
      .prepare(
        `INSERT INTO agreements (id, preparation_id, account, salt, audit_key_hash, manifest_hash, slice_count, token,
           start_block, epoch_blocks, window_blocks, epochs, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'accepting')`,
      )
      .run(
        String(agreement.id),
        agreement.preparationId,
        canonicalAddress(agreement.account),
        agreement.salt,
        agreement.auditKeyHash,
        agreement.manifestHash,
        agreement.sliceCount,
        canonicalAddress(agreement.token),
        agreement.startBlock,
        agreement.epochBlocks,
        agreement.windowBlocks,
        agreement.epochs,
      );
  }

  async forget(id: bigint): Promise<void> {
    this.#release(id, "DELETE FROM agreements WHERE id = ? AND state = 'accepting'");
  }

  async end(id: bigint): Promise<void> {
    this.#release(id, "UPDATE agreements SET state = 'ended' WHERE id = ? AND state <> 'ended'");
  }

  /**
   * Runs a statement after which the agreement no longer depends on its preparation, and counts that if it had an
   * effect.
   */
  #release(id: bigint, statement: string): void {
    this.#database.transaction(() => {
      const row = this.#row(id);
      if (row === undefined || Number(this.#database.prepare(statement).run(String(id)).changes) === 0) return;
      this.#preparations.addUse(row.preparationId, -1);
    });
  }

  async activate(id: bigint, acceptance: Acceptance | undefined): Promise<void> {
    this.#database
      .prepare(
        `UPDATE agreements SET state = 'active', accept_hash = coalesce(?, accept_hash),
           accept_block = coalesce(?, accept_block) WHERE id = ? AND state = 'accepting'`,
      )
      .run(acceptance?.transactionHash ?? null, acceptance?.blockNumber ?? null, String(id));
  }

  async settle(ids: readonly bigint[]): Promise<void> {
    const settle = this.#database.prepare("UPDATE agreements SET settled = 1 WHERE id = ? AND state = 'ended'");
    this.#database.transaction(() => {
      for (const id of ids) settle.run(String(id));
    });
  }

  async setHealth(id: bigint, health: Health, detail?: string): Promise<void> {
    this.#database
      .prepare("UPDATE agreements SET health = ?, health_detail = ? WHERE id = ?")
      .run(health, detail ?? null, String(id));
  }

  async epochState(id: bigint, epoch: number): Promise<EpochState | undefined> {
    const row = this.#epochState.get(String(id), epoch);
    return row === undefined ? undefined : (row.state as EpochState);
  }

  async recordProven(id: bigint, epoch: number, proof?: ProofRecord): Promise<void> {
    const { transactionHash, blockNumber, gasUsed } = proof ?? {};
    this.#settleEpoch.run(
      String(id),
      epoch,
      "proven",
      transactionHash ?? null,
      blockNumber ?? null,
      gasUsed === undefined ? null : String(gasUsed),
      null,
    );
  }

  async recordNotProven(id: bigint, epoch: number, state: "failed" | "missed", detail: string): Promise<void> {
    this.#settleEpoch.run(String(id), epoch, state, null, null, null, detail);
  }

  async setNextEpoch(id: bigint, epoch: number): Promise<void> {
    this.#database.prepare("UPDATE agreements SET next_epoch = ? WHERE id = ?").run(epoch, String(id));
  }

  async summaryOf(id: bigint): Promise<EpochSummary> {
    const counts = this.#database
      .prepare(
        `SELECT coalesce(sum(state = 'proven'), 0) AS proven, coalesce(sum(state <> 'proven'), 0) AS other
         FROM epochs WHERE agreement_id = ?`,
      )
      .get(String(id));
    return { proven: Number(counts?.proven), notProven: Number(counts?.other), lastProof: this.#lastProof(id) };
  }

  #lastProof(id: bigint): ProofRecord | undefined {
    const row = this.#database
      .prepare(
        `SELECT * FROM epochs WHERE agreement_id = ? AND transaction_hash IS NOT NULL ORDER BY epoch DESC LIMIT 1`,
      )
      .get(String(id));
    if (row === undefined) return undefined;
    return {
      epoch: Number(row.epoch),
      transactionHash: String(row.transaction_hash),
      blockNumber: Number(row.block_number),
      gasUsed: BigInt(String(row.gas_used)),
    };
  }

  async counts(): Promise<AgreementCounts> {
    const row = this.#database
      .prepare(
        `SELECT count(*) AS active, coalesce(sum(health = 'damaged'), 0) AS damaged
         FROM agreements WHERE state = 'active'`,
      )
      .get();
    return { active: Number(row?.active), damaged: Number(row?.damaged) };
  }
}
