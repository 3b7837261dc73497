/** The rows of agreements and their epochs, typed. What they mean is in `agreements.ts` and `prover.ts`. */
import type { StatementSync } from "node:sqlite";
import type { Database } from "../../store/index/sqlite.ts";
import type { AgreementCounts } from "../metrics.ts";

export type AgreementState = "accepting" | "active" | "ended";
export type Health = "unknown" | "good" | "damaged";

export interface AgreementRow {
  id: bigint;
  preparationId: number;
  account: string;
  salt: Uint8Array;
  auditKeyHash: Uint8Array;
  manifestHash: Uint8Array;
  sliceCount: number;
  token: string;
  startBlock: number;
  epochBlocks: number;
  windowBlocks: number;
  epochs: number;
  /** All epochs before this one are over and recorded. */
  nextEpoch: number;
  state: AgreementState;
  health: Health;
  healthDetail: string | undefined;
  acceptHash: string | undefined;
  acceptBlock: number | undefined;
}

export type NewAgreement = Omit<
  AgreementRow,
  "nextEpoch" | "state" | "health" | "healthDetail" | "acceptHash" | "acceptBlock"
>;

export interface ProofRecord {
  epoch: number;
  transactionHash: string;
  blockNumber: number;
  gasUsed: bigint;
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

export class AgreementRows {
  readonly #database: Database;
  readonly #byId: StatementSync;
  readonly #inState: StatementSync;
  readonly #epochState: StatementSync;
  readonly #settleEpoch: StatementSync;

  constructor(database: Database) {
    this.#database = database;
    this.#byId = database.prepare("SELECT * FROM agreements WHERE id = ?");
    this.#inState = database.prepare("SELECT * FROM agreements WHERE state = ? ORDER BY start_block, id");
    this.#epochState = database.prepare("SELECT state FROM epochs WHERE agreement_id = ? AND epoch = ?");
    this.#settleEpoch = database.prepare(
      `INSERT INTO epochs (agreement_id, epoch, state, transaction_hash, block_number, gas_used, detail)
       VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (agreement_id, epoch) DO UPDATE SET state = excluded.state,
         transaction_hash = excluded.transaction_hash, block_number = excluded.block_number,
         gas_used = excluded.gas_used, detail = excluded.detail`,
    );
  }

  byId(id: bigint): AgreementRow | undefined {
    const row = this.#byId.get(String(id));
    return row === undefined ? undefined : toAgreement(row);
  }

  inState(state: AgreementState): AgreementRow[] {
    return this.#inState.all(state).map(toAgreement);
  }

  /** Ended agreements whose payout has not been seen to be withdrawn. */
  unsettled(): AgreementRow[] {
    return this.#database
      .prepare("SELECT * FROM agreements WHERE state = 'ended' AND settled = 0")
      .all()
      .map(toAgreement);
  }

  /** Adds an agreement that is about to be accepted; a row that is there already stays as it is. @returns whether it is new */
  insert(agreement: NewAgreement): boolean {
    const { changes } = this.#database
      .prepare(
        `INSERT INTO agreements (id, preparation_id, account, salt, audit_key_hash, manifest_hash, slice_count, token,
           start_block, epoch_blocks, window_blocks, epochs, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'accepting') ON CONFLICT (id) DO NOTHING`,
      )
      .run(
        String(agreement.id),
        agreement.preparationId,
        agreement.account,
        agreement.salt,
        agreement.auditKeyHash,
        agreement.manifestHash,
        agreement.sliceCount,
        agreement.token,
        agreement.startBlock,
        agreement.epochBlocks,
        agreement.windowBlocks,
        agreement.epochs,
      );
    return Number(changes) > 0;
  }

  /** Forgets an agreement that was not accepted after all. */
  deleteAccepting(id: bigint): void {
    this.#database.prepare("DELETE FROM agreements WHERE id = ? AND state = 'accepting'").run(String(id));
  }

  activate(id: bigint, accepted: { transactionHash: string; blockNumber: number } | undefined): void {
    this.#database
      .prepare(
        `UPDATE agreements SET state = 'active', accept_hash = coalesce(?, accept_hash),
           accept_block = coalesce(?, accept_block) WHERE id = ? AND state = 'accepting'`,
      )
      .run(accepted?.transactionHash ?? null, accepted?.blockNumber ?? null, String(id));
  }

  /** An agreement that has been wound up on chain. */
  end(id: bigint): void {
    this.#database.prepare("UPDATE agreements SET state = 'ended' WHERE id = ?").run(String(id));
  }

  settle(id: bigint): void {
    this.#database.prepare("UPDATE agreements SET settled = 1 WHERE id = ?").run(String(id));
  }

  setHealth(id: bigint, health: Health, detail?: string): void {
    this.#database
      .prepare("UPDATE agreements SET health = ?, health_detail = ? WHERE id = ?")
      .run(health, detail ?? null, String(id));
  }

  epochState(id: bigint, epoch: number): "proven" | "failed" | "missed" | undefined {
    const row = this.#epochState.get(String(id), epoch);
    return row === undefined ? undefined : (row.state as "proven" | "failed" | "missed");
  }

  /** @param proof - absent when the chain says so but the transaction is not known here, after a restart for example */
  recordProven(id: bigint, epoch: number, proof?: ProofRecord): void {
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

  setNextEpoch(id: bigint, epoch: number): void {
    this.#database.prepare("UPDATE agreements SET next_epoch = ? WHERE id = ?").run(epoch, String(id));
  }

  recordNotProven(id: bigint, epoch: number, state: "failed" | "missed", detail: string): void {
    this.#settleEpoch.run(String(id), epoch, state, null, null, null, detail);
  }

  countEpochs(id: bigint): { proven: number; notProven: number } {
    const row = this.#database
      .prepare(
        `SELECT coalesce(sum(state = 'proven'), 0) AS proven, coalesce(sum(state <> 'proven'), 0) AS other
         FROM epochs WHERE agreement_id = ?`,
      )
      .get(String(id));
    return { proven: Number(row?.proven), notProven: Number(row?.other) };
  }

  lastProof(id: bigint): ProofRecord | undefined {
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

  counts(): AgreementCounts {
    const row = this.#database
      .prepare(
        `SELECT count(*) AS active, coalesce(sum(health = 'damaged'), 0) AS damaged
         FROM agreements WHERE state = 'active'`,
      )
      .get();
    return { active: Number(row?.active), damaged: Number(row?.damaged) };
  }
}
