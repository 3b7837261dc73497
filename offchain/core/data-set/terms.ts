/**
 * What two parties agree on for the whole life of a data set, as `StorageEscrow` hashes it. Both hashes are keccak-256
 * over words of 32 bytes, one for each value in the order of the structures, most significant byte first
 * (docs/spec.md).
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { fromHex, toHex } from "../encoding/hex.ts";
import { addressWord, integerToWord, tagOf, WORD_BYTES, WordReader } from "./words.ts";

/** `every-epoch`: a proof in an epoch earns its fee. `on-demand`: epochs earn unless a dispute is not answered. */
export const DATA_SET_MODES = ["every-epoch", "on-demand"] as const;
export type DataSetMode = (typeof DATA_SET_MODES)[number];

/** `IStorageEscrow.Terms`. Amounts are in the token's smallest unit, below 2^80; hashes are 0x hex, 32 bytes. */
export interface DataSetTerms {
  readonly user: string;
  readonly provider: string;
  /** The zero address stands for the native coin. */
  readonly token: string;
  readonly mode: DataSetMode;
  readonly feeFloor: bigint;
  readonly feePerSlice: bigint;
  readonly feePerIndex: bigint;
  readonly feeCap: bigint;
  readonly collateralPercent: number;
  readonly compensationPercent: number;
  readonly bountyPercent: number;
  readonly latePercent: number;
  readonly breachLimit: number;
  /** `auditTermsHash` of the audit terms. */
  readonly auditHash: string;
}

/** `IStorageEscrow.AuditTerms`. */
export interface DataSetAuditTerms {
  readonly randomness: string;
  readonly verifier: string;
  readonly keyHash: string;
  /** Elements of 31 bytes in a slice. */
  readonly sliceElements: number;
  readonly sampleCount: number;
  /** Challenge block within an epoch. */
  readonly phase: number;
  readonly windowBlocks: number;
  readonly graceBlocks: number;
  readonly disputeBond: bigint;
  /** The set that this one continues, or `NO_PREDECESSOR`. */
  readonly predecessor: string;
  readonly salt: string;
}

export const NO_PREDECESSOR = `0x${"00".repeat(WORD_BYTES)}`;

const ID_TAG = tagOf("data-set-id");

/** The words of `Terms`. @throws InvalidInputError for a value that does not fit its type */
function termsWords(terms: DataSetTerms): Uint8Array[] {
  return [
    addressWord(terms.user, "user"),
    addressWord(terms.provider, "provider"),
    addressWord(terms.token, "token"),
    integerToWord(DATA_SET_MODES.indexOf(terms.mode), 8, "mode"),
    integerToWord(terms.feeFloor, 80, "fee floor"),
    integerToWord(terms.feePerSlice, 80, "fee per slice"),
    integerToWord(terms.feePerIndex, 80, "fee per index"),
    integerToWord(terms.feeCap, 80, "fee cap"),
    integerToWord(terms.collateralPercent, 32, "collateral percentage"),
    integerToWord(terms.compensationPercent, 16, "compensation percentage"),
    integerToWord(terms.bountyPercent, 16, "bounty percentage"),
    integerToWord(terms.latePercent, 16, "late percentage"),
    integerToWord(terms.breachLimit, 8, "breach limit"),
    fromHex(terms.auditHash, 32, "audit hash"),
  ];
}

/** Bytes of the words of `Terms`, and of `AuditTerms`. */
export const TERMS_BYTES = 14 * WORD_BYTES;
export const AUDIT_TERMS_BYTES = 11 * WORD_BYTES;

/** @returns 448 bytes @throws InvalidInputError for a value that does not fit its type */
export function encodeTerms(terms: DataSetTerms): Uint8Array {
  return concatBytes(...termsWords(terms));
}

/** @throws InvalidInputError unless the bytes are the words of terms */
export function decodeTerms(bytes: Uint8Array): DataSetTerms {
  const words = new WordReader(bytes, TERMS_BYTES, "terms of a data set");
  const terms = {
    user: words.address(),
    provider: words.address(),
    token: words.address(),
    mode: DATA_SET_MODES[words.number()] ?? words.refuse("mode"),
    feeFloor: words.integer(),
    feePerSlice: words.integer(),
    feePerIndex: words.integer(),
    feeCap: words.integer(),
    collateralPercent: words.number(),
    compensationPercent: words.number(),
    bountyPercent: words.number(),
    latePercent: words.number(),
    breachLimit: words.number(),
    auditHash: words.hash(),
  };
  // Checks that every value fits its type.
  encodeTerms(terms);
  return terms;
}

/** @returns 352 bytes @throws InvalidInputError for a value that does not fit its type */
export function encodeAuditTerms(audit: DataSetAuditTerms): Uint8Array {
  return concatBytes(
    addressWord(audit.randomness, "randomness source"),
    addressWord(audit.verifier, "verifier"),
    fromHex(audit.keyHash, 32, "audit key hash"),
    integerToWord(audit.sliceElements, 32, "slice elements"),
    integerToWord(audit.sampleCount, 16, "sample count"),
    integerToWord(audit.phase, 32, "phase"),
    integerToWord(audit.windowBlocks, 32, "window"),
    integerToWord(audit.graceBlocks, 32, "grace window"),
    integerToWord(audit.disputeBond, 80, "dispute bond"),
    fromHex(audit.predecessor, 32, "predecessor"),
    fromHex(audit.salt, 32, "salt"),
  );
}

/** @throws InvalidInputError unless the bytes are the words of audit terms */
export function decodeAuditTerms(bytes: Uint8Array): DataSetAuditTerms {
  const words = new WordReader(bytes, AUDIT_TERMS_BYTES, "audit terms of a data set");
  const audit = {
    randomness: words.address(),
    verifier: words.address(),
    keyHash: words.hash(),
    sliceElements: words.number(),
    sampleCount: words.number(),
    phase: words.number(),
    windowBlocks: words.number(),
    graceBlocks: words.number(),
    disputeBond: words.integer(),
    predecessor: words.hash(),
    salt: words.hash(),
  };
  encodeAuditTerms(audit);
  return audit;
}

/** What the terms pin of the audit terms. @returns 0x hex @throws InvalidInputError for a value that does not fit */
export function auditTermsHash(audit: DataSetAuditTerms): string {
  return toHex(keccak_256(encodeAuditTerms(audit)));
}

/**
 * The id of a set: nobody chooses it, and no reorganisation of the chain gives it to somebody else.
 * @returns 0x hex, 32 bytes
 * @throws InvalidInputError for a value that does not fit its type
 */
export function dataSetId(chainId: bigint, escrow: string, terms: DataSetTerms): string {
  const words = [ID_TAG, integerToWord(chainId, 256, "chain id"), addressWord(escrow, "escrow"), ...termsWords(terms)];
  return toHex(keccak_256(concatBytes(...words)));
}
