/** What watching the account tells: of its data sets, and of requests for its identity. */

import type { RecoveryPath } from "../../chain/recovery-policy.ts";
import type { ErrorCode } from "../../core/error-codes.ts";
import type { DataSetPhase } from "../data-sets/data-set-view.ts";

/**
 * `alarm`: data may be lost, or a provider fails its duty. `warning`: something needs the owner. Nothing is an alarm of
 * a set whose content went to another one.
 */
export type WatchSeverity = "info" | "warning" | "alarm";

interface Common {
  /** Unix seconds at which it was seen. */
  readonly at: number;
  readonly severity: WatchSeverity;
}

interface OfDataSet extends Common {
  readonly dataSet: string;
  readonly provider: string;
}

/** Something that happened to a set on chain. */
export interface ChainChange extends OfDataSet {
  readonly kind:
    | "opened"
    | "changed"
    | "proven"
    | "proven-late"
    | "missed"
    | "notice"
    | "breached"
    | "closed"
    | "dispute-opened"
    | "dispute-answered"
    | "dispute-upheld";
  readonly epoch?: number;
  readonly blockNumber: number;
  readonly transactionHash: string;
}

/** How a set stands: told at the first look, and when it is another state later. */
export interface DataSetState extends OfDataSet {
  readonly kind: "state";
  readonly status: DataSetPhase;
  readonly slices: number;
  readonly missedEpochs: number;
  /** Absent when nothing runs. */
  readonly runwayEpochs?: number;
  readonly lastEpoch?: number;
}

/** The window of an epoch is over without a proof: anybody can report the miss. */
export interface Overdue extends OfDataSet {
  readonly kind: "overdue";
  readonly epoch: number;
}

/** The time to answer a dispute is over: anybody can have it decided. */
export interface UnansweredDispute extends OfDataSet {
  readonly kind: "dispute-unanswered";
  readonly answerUntilBlock: number;
  readonly hint: string;
}

/** The balance that pays for a set will be used up. */
export interface ShortRunway extends OfDataSet {
  readonly kind: "runway";
  readonly runwayEpochs: number;
}

export interface AuditOutcome extends OfDataSet {
  /** `audit-failed`: the provider did not prove that it has the data, or several audits in a row got no proof. */
  readonly kind: "audit" | "audit-failed";
  readonly code?: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** Something could not be read. Told once in a while for each cause, and when it can be read again. */
export interface Failure extends Common {
  readonly kind: "failed" | "works-again";
  readonly party: string;
  readonly code: ErrorCode;
  readonly message: string;
  /** How often it failed since it was told last. */
  readonly count: number;
}

/**
 * Somebody has asked for the identity: `recovery-requested` while it can be vetoed, `recovery-due` when it is too late.
 */
export interface RecoveryAsked extends Common {
  readonly kind: "recovery-requested" | "recovery-due";
  readonly path: RecoveryPath;
  readonly proposer: string;
  readonly requestId: string;
  /** Unix seconds; until then it can be vetoed. Absent while approvals are missing. */
  readonly releasableAt?: number;
  readonly closesAt: number;
  readonly message: string;
  readonly hint: string;
}

/** More happened than is told of in one look. */
export interface LeftOut extends Common {
  readonly kind: "more";
  readonly count: number;
}

export type WatchEvent =
  | ChainChange
  | DataSetState
  | Overdue
  | UnansweredDispute
  | ShortRunway
  | AuditOutcome
  | RecoveryAsked
  | Failure
  | LeftOut;
