/**
 * Agreements a provider is or may be bound by, and the outcome of their epochs. A preparation is in use from `begin` to
 * `forget` or `end`, in the same transaction. Every write is durable when its promise resolves.
 */

export type AgreementState = "accepting" | "active" | "ended";
export type Health = "unknown" | "good" | "damaged";
export type EpochState = "proven" | "failed" | "missed";

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

/** A transaction that the chain has mined. */
export interface Acceptance {
  transactionHash: string;
  blockNumber: number;
}

export interface ProofRecord extends Acceptance {
  epoch: number;
  gasUsed: bigint;
}

export interface EpochSummary {
  proven: number;
  /** Failed so far, or missed. */
  notProven: number;
  /** The proof of the latest epoch whose transaction is known. */
  lastProof: ProofRecord | undefined;
}

export interface AgreementCounts {
  active: number;
  /** Active agreements whose last proof failed on this provider's own data. */
  damaged: number;
}

export interface AgreementIndex {
  find(id: bigint): Promise<AgreementRow | undefined>;

  /** Agreements in a state, by start block. */
  inState(state: AgreementState): Promise<AgreementRow[]>;

  /** Ended agreements whose payout has not been withdrawn. */
  unsettled(): Promise<AgreementRow[]>;

  /** Ids of active agreements that have an epoch which failed or was missed. */
  withUnprovenEpochs(): Promise<ReadonlySet<bigint>>;

  /**
   * Adds an agreement in state `accepting`, before the transaction is sent. A row with this id stays as it is.
   * @returns `exists` when there is such a row; `no-preparation` when the preparation has been removed
   */
  begin(agreement: NewAgreement): Promise<"begun" | "exists" | "no-preparation">;

  /** Removes an agreement in state `accepting`; the transaction was refused. */
  forget(id: bigint): Promise<void>;

  /** Moves an agreement from `accepting` to `active`. @param acceptance absent when the transaction is not known */
  activate(id: bigint, acceptance: Acceptance | undefined): Promise<void>;

  /** Notes that an agreement has been closed on chain. */
  end(id: bigint): Promise<void>;

  /** Notes that the payout of ended agreements has been withdrawn. */
  settle(ids: readonly bigint[]): Promise<void>;

  setHealth(id: bigint, health: Health, detail?: string): Promise<void>;

  epochState(id: bigint, epoch: number): Promise<EpochState | undefined>;

  /** Notes a proven epoch. @param proof absent when the chain says so and the transaction is not known here */
  recordProven(id: bigint, epoch: number, proof?: ProofRecord): Promise<void>;

  recordNotProven(id: bigint, epoch: number, state: "failed" | "missed", detail: string): Promise<void>;

  setNextEpoch(id: bigint, epoch: number): Promise<void>;

  summaryOf(id: bigint): Promise<EpochSummary>;

  counts(): Promise<AgreementCounts>;
}
