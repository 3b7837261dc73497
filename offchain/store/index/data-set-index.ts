/**
 * Data sets that devices keep here, the states that both parties signed, and the outcome of their epochs. Their content
 * is in `segment-index.ts`. Every write is durable when its promise resolves.
 */
import type { AuditPublicKey } from "../../core/audit/keys.ts";
import type { DataSetAuditTerms, DataSetMode, DataSetTerms } from "../../core/data-set/terms.ts";

export type Health = "unknown" | "good" | "damaged";
/** `failed`: tried and not proven so far. `missed`: the windows have passed without a proof. */
export type EpochState = "proven" | "failed" | "missed";

/** The transaction of a proof. */
export interface ProofRecord {
  epoch: number;
  transactionHash: string;
  blockNumber: number;
  gasUsed: bigint;
}

export interface EpochSummary {
  proven: number;
  /** Failed so far, or missed. */
  notProven: number;
  /** The proof of the latest epoch whose transaction is known. */
  lastProof: ProofRecord | undefined;
}

/**
 * `preparing`: no state is signed that may still reach the chain. `opening`: one is, and the chain does not have the
 * set yet, or not any more. `ended`: closed on chain.
 */
export type DataSetState = "preparing" | "opening" | "running" | "ended";

/** What both parties agreed on when the set was opened. */
export interface AgreedSet {
  /** On chain: hash of the terms, 0x hex. */
  readonly id: string;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
  /** No event of the set is in an earlier block. */
  readonly fromBlock: number;
}

/** The newest schedule of a set, as the chain has it. */
export interface StoredSchedule {
  /** Encoded. */
  readonly schedule: Uint8Array;
  /** Live ranges of its last level, packed; empty when the set ends. */
  readonly ranges: Uint8Array;
  /** Block of its event, and the hash by which one knows whether the chain still has that block. */
  readonly blockNumber: number;
  readonly blockHash: string;
}

export interface DataSetRow {
  readonly id: number;
  readonly account: string;
  /** Names the set among those of the account, 32 bytes. */
  readonly salt: Uint8Array;
  readonly key: AuditPublicKey;
  readonly auditKeyHash: Uint8Array;
  readonly sliceElements: number;
  /** Challenge block within an epoch. */
  readonly phase: number;
  /** Acknowledged bytes. */
  readonly powersABytes: number;
  readonly powersBBytes: number;
  /** Whether the powers of α have been checked, and how many of those of β, from β¹ on. */
  readonly verifiedA: boolean;
  readonly verifiedB: number;
  /** Highest index that was ever given to a segment. */
  readonly givenIndex: number;
  readonly state: DataSetState;
  /** Present from `opening` on. */
  readonly agreed: AgreedSet | undefined;
  /** Highest version that this provider has signed; 0 before the first. No version is ever signed twice. */
  readonly signedVersion: bigint;
  /** Estimate of the time that a proof takes, milliseconds; 0 before the first state. */
  readonly provingMilliseconds: number;
  /** Present once the chain has the set. */
  readonly scheduled: StoredSchedule | undefined;
  readonly health: Health;
  readonly healthDetail: string | undefined;
  /** Unix seconds of the last request for it. */
  readonly touchedAt: number;
}

export type NewDataSet = Pick<
  DataSetRow,
  "account" | "salt" | "key" | "auditKeyHash" | "sliceElements" | "touchedAt"
> & {
  /** Chosen from the loads of all sets, which do not change meanwhile. */
  readonly phase: number | ((loads: readonly ProvingLoad[]) => number);
};

/** A state that both parties signed, and what became of it. */
export interface CosignedState {
  readonly version: bigint;
  /** Retirements on chain when it was signed: another number makes the signatures void. */
  readonly retirements: number;
  /** Packed. */
  readonly ranges: Uint8Array;
  readonly contentHash: string;
  readonly deadlineBlock: number;
  readonly userSignature: string;
  readonly providerSignature: string;
  /** Where it was mined, as far as known. */
  readonly transaction: { readonly hash: string; readonly blockNumber: number } | undefined;
}

/** What is recorded with a new state. */
export interface StateContext {
  /** Of a set that is opened with it; must equal what is known of one that is opening. */
  readonly agreed?: AgreedSet;
  /** Segments that it names. */
  readonly segments: readonly number[];
  readonly provingMilliseconds: number;
  /**
   * Throws when the loads of all sets leave no room for `provingMilliseconds`. The loads do not change until the state
   * is recorded, whichever process asks: what is reserved here cannot be promised twice.
   */
  readonly requireRoom?: (loads: readonly ProvingLoad[]) => void;
  readonly rate?: StateRate;
}

/** Most states of a set in an epoch. */
export interface StateRate {
  readonly epoch: number;
  readonly limit: number;
}

/** A state that is to be sent in an epoch, and how many may be. */
export interface Sending extends StateRate {
  readonly version: bigint;
}

export type BeginOutcome =
  | { readonly outcome: "created"; readonly id: number }
  /** The account has a data set under this salt already. */
  | { readonly outcome: "exists" }
  /** The account has as many as it may that are not opened. */
  | { readonly outcome: "too-many" };

/** Time that a proof is estimated to take after a challenge block. */
export interface ProvingLoad {
  readonly id: number;
  /** Challenge block within an epoch; in mode `on-demand`, a dispute may choose any other one. */
  readonly phase: number;
  /** `every-epoch` while nothing is agreed on. */
  readonly mode: DataSetMode;
  readonly milliseconds: number;
}

export interface DataSetCounts {
  readonly running: number;
  /** Running sets whose last proof failed on this provider's own data. */
  readonly damaged: number;
}

/** What a set is without the states that are forgotten. */
export interface AfterForgetting {
  /** Segments that are part of it; the others may expire. */
  readonly included?: readonly number[];
  /**
   * It is not on chain: if no state is left that could open it, it is `preparing` again, reserves nothing, and counts
   * as touched at this time (Unix seconds).
   */
  readonly abandonedAt?: number;
}

export interface DataSetIndex {
  find(id: number): Promise<DataSetRow | undefined>;
  findBySalt(account: string, salt: Uint8Array): Promise<DataSetRow | undefined>;

  /** Sets in any of these states, in the order of their ids. */
  inState(...states: DataSetState[]): Promise<DataSetRow[]>;

  /** All sets in the order of their ids, a page at a time. */
  pages(): AsyncIterable<readonly DataSetRow[]>;

  /**
   * Adds a set in state `preparing`. Salt and limit are checked in the same transaction.
   * @param limit most sets of one account that are not on chain
   */
  begin(set: NewDataSet, limit: number): Promise<BeginOutcome>;

  /** Phases of all sets that have not ended, each as often as it is used, and the time that their proofs take. */
  loads(): Promise<ProvingLoad[]>;

  /** Counts bytes of the powers as received. */
  setPowers(id: number, part: "powers-a" | "powers-b", bytes: number): Promise<void>;

  /** Counts powers as checked. */
  setVerified(id: number, verified: { readonly a: boolean; readonly b: number }): Promise<void>;

  /** @returns whether there is such a set */
  touch(id: number, now: number): Promise<boolean>;

  /**
   * Sets in state `preparing` that were last touched before a time, and sets whose removal was interrupted. No
   * signature of such a set can reach the chain any more.
   */
  abandoned(before: number): Promise<number[]>;

  /**
   * Begins to remove a set that `abandoned` would still name: from then on it is unknown, and `abandoned` names it
   * until `delete` has removed it. @returns whether it is to be removed
   */
  beginRemoval(id: number, before: number): Promise<boolean>;

  /**
   * Removes a set whose removal has begun and whose segments are gone. Its highest signed version stays, for a set that
   * is begun again under the same salt.
   */
  delete(id: number): Promise<void>;

  /**
   * Records a state before it is answered or sent, marks its segments as included, and moves a set that is `preparing`
   * to `opening`. All of it is one durable transaction, which admits a version only above all signed ones.
   * @returns `stale` for a version that is not, `too-many` for more than `rate` allows; then nothing is changed
   * @throws what `requireRoom` throws; then nothing is changed either
   */
  recordState(id: number, state: CosignedState, context: StateContext): Promise<"recorded" | "stale" | "too-many">;

  /**
   * Counts that a state is about to be sent. A retry in the same epoch does not count again.
   * @returns whether it may be sent
   */
  takeSending(id: number, sending: Sending): Promise<boolean>;

  /** The last attempt cost gas and failed: the next one counts again. */
  countSendingAgain(id: number): Promise<void>;

  /** How many states were signed, and how many sent, in an epoch. */
  rates(id: number, epoch: number): Promise<{ readonly signed: number; readonly sent: number }>;

  /** Co-signed states that may still reach the chain, or are on it and not final, by ascending version. */
  statesOf(id: number): Promise<CosignedState[]>;

  /**
   * Keeps evidence that the user of a set signed two states under one version: encoded as the escrow takes it, durable,
   * one for each set, until the set has ended. Evidence that is kept already stays. @returns whether it is new
   */
  keepEvidence(id: number, evidence: Uint8Array): Promise<boolean>;

  /** The evidence that is kept of a set. */
  evidenceOf(id: number): Promise<Uint8Array | undefined>;

  /** Forgets evidence that the escrow does not take. */
  dropEvidence(id: number): Promise<void>;

  /** Notes where a state was mined. */
  setMined(id: number, version: bigint, transaction: { hash: string; blockNumber: number }): Promise<void>;

  /**
   * Forgets states that cannot reach the chain any more, or whose place on it is final.
   */
  forgetStates(id: number, versions: readonly bigint[], then: AfterForgetting): Promise<void>;

  /** Lowers the time that is reserved for proofs. No effect when a state was recorded since `signedVersion`. */
  lowerReservation(id: number, milliseconds: number, signedVersion: bigint): Promise<void>;

  /** Notes the newest schedule, and moves a set that is `opening` to `running`. */
  setSchedule(id: number, scheduled: StoredSchedule): Promise<void>;

  /**
   * Forgets the schedule, outcomes of epochs and transactions of a set that the chain does not have any more, because
   * the block of its opening was replaced: it is `opening` again. No effect when another schedule is known meanwhile.
   * @param blockHash of the schedule that is forgotten
   * @returns whether it was forgotten
   */
  forgetSchedule(id: number, blockHash: string): Promise<boolean>;

  /** Lists of live ranges by their hash, as `addRanges` noted them. */
  rangesOf(id: number): Promise<ReadonlyMap<string, Uint8Array>>;

  /** Keeps lists of live ranges that levels of the schedule name. Known ones stay. */
  addRanges(id: number, ranges: ReadonlyMap<string, Uint8Array>): Promise<void>;

  /** Removes lists that no level names any more. */
  removeRanges(id: number, hashes: readonly string[]): Promise<void>;

  /** Notes that a set has been closed on chain. */
  end(id: number): Promise<void>;

  setHealth(id: number, health: Health, detail?: string): Promise<void>;

  epochState(id: number, epoch: number): Promise<EpochState | undefined>;

  /** Notes a proven epoch. @param proof absent when the chain says so and the transaction is not known here */
  recordProven(id: number, epoch: number, proof?: ProofRecord): Promise<void>;

  recordNotProven(id: number, epoch: number, state: "failed" | "missed", detail: string): Promise<void>;

  summaryOf(id: number): Promise<EpochSummary>;

  counts(): Promise<DataSetCounts>;

  /** Tokens of the terms of all sets that were opened. */
  tokens(): Promise<string[]>;

  /** What the opened sets of an account cover, an object that two of them name counting twice. */
  coveredOf(account: string): Promise<{ bytes: number; chunks: number }>;
}
