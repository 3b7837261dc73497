/**
 * What calls of the escrow bring and its events tell about a data set: terms, audit terms, and the newest schedule with
 * its live ranges. The contract stores hashes of them only.
 */

import { decodeSchedule, type Schedule } from "../core/data-set/schedule.ts";
import {
  auditTermsHash,
  DATA_SET_MODES,
  type DataSetAuditTerms,
  type DataSetTerms,
  dataSetId,
} from "../core/data-set/terms.ts";
import { toHex } from "../core/encoding/hex.ts";
import { IntegrityError } from "../core/errors.ts";
import type { Deployment } from "./deployment.ts";
import type { LogPlace } from "./logs.ts";
import type { IStorageEscrow } from "./types/StorageEscrow.ts";

/** Stands for the native coin where a token is named. */
export const NATIVE_TOKEN = `0x${"00".repeat(20)}`;

/** What both parties signed: `IStorageEscrow.Update`. Signatures are empty for the party that sends the call. */
export interface SignedState {
  readonly version: bigint;
  /** Packed live ranges. */
  readonly ranges: Uint8Array;
  readonly contentHash: string;
  readonly deadlineBlock: bigint;
  readonly userSignature: string;
  readonly providerSignature: string;
}

/** What a call about a set brings: its terms, and the newest schedule and ranges. */
export interface DataSetWords {
  readonly terms: DataSetTerms;
  /** Encoded. */
  readonly schedule: Uint8Array;
  /** Live ranges of its last level, packed; empty when the set ends. */
  readonly ranges: Uint8Array;
}

/** The newest schedule of a set, and where it stands on chain. */
export interface Scheduled extends LogPlace {
  readonly schedule: Uint8Array;
  readonly ranges: Uint8Array;
}

export interface OpenedDataSet extends LogPlace {
  readonly id: string;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
}

/**
 * Checks that the terms in an event are those of the id, which is their hash: what an endpoint answers is not believed.
 * @throws IntegrityError naming the chain's endpoint
 */
export function requireTermsOfId(
  deployment: Deployment,
  { id, terms, audit }: Omit<OpenedDataSet, keyof LogPlace>,
): void {
  const own = dataSetId(BigInt(deployment.chainId), deployment.contracts.storageEscrow, terms);
  if (own === id && auditTermsHash(audit) === terms.auditHash) return;
  throw new IntegrityError("the chain's RPC endpoint answered other terms than those of the data set", {
    party: "chain",
    check: "hash of the terms",
    expected: id,
    received: own,
  });
}

/** The newest level that the chain counts, decoded. */
export function scheduleOf(scheduled: Pick<Scheduled, "schedule">): Schedule {
  return decodeSchedule(scheduled.schedule);
}

/** As `IStorageEscrow.Terms`. */
export function termsForChain(terms: DataSetTerms): object {
  return { ...terms, mode: DATA_SET_MODES.indexOf(terms.mode) };
}

/** As `IStorageEscrow.Update`. */
export function stateForChain({ ranges, ...state }: SignedState): object {
  return { ...state, ranges: toHex(ranges) };
}

/** The inverse of `termsForChain`. */
export function termsFromChain(terms: IStorageEscrow.TermsStructOutput): DataSetTerms {
  return {
    user: terms.user,
    provider: terms.provider,
    token: terms.token,
    mode: DATA_SET_MODES[Number(terms.mode)] ?? "every-epoch",
    feeFloor: terms.feeFloor,
    feePerSlice: terms.feePerSlice,
    feePerIndex: terms.feePerIndex,
    feeCap: terms.feeCap,
    collateralPercent: Number(terms.collateralPercent),
    compensationPercent: Number(terms.compensationPercent),
    bountyPercent: Number(terms.bountyPercent),
    latePercent: Number(terms.latePercent),
    breachLimit: Number(terms.breachLimit),
    auditHash: terms.auditHash,
  };
}

/** From `IStorageEscrow.AuditTerms`. */
export function auditFromChain(audit: IStorageEscrow.AuditTermsStructOutput): DataSetAuditTerms {
  return {
    randomness: audit.randomness,
    verifier: audit.verifier,
    keyHash: audit.keyHash,
    sliceElements: Number(audit.sliceElements),
    sampleCount: Number(audit.sampleCount),
    phase: Number(audit.phase),
    windowBlocks: Number(audit.windowBlocks),
    graceBlocks: Number(audit.graceBlocks),
    disputeBond: audit.disputeBond,
    predecessor: audit.predecessor,
    salt: audit.salt,
  };
}
