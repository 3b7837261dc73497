/**
 * Evidence about one challenge to a data set, which anybody can check without either party: what both agreed on, the
 * provider's answer, and the opened commitments of the drawn slices with the ciphertexts that they name.
 *
 * A file is a CBOR sequence: the head, then each ciphertext once, as a byte string (docs/spec.md):
 *
 *   head  [1, chain id, escrow (20), terms (448), audit terms (352), key (768), agreement, challenge, answer,
 *          [before (32), [segment, …]], [slice, …]]
 */

import type { AuditChallenge } from "../audit/challenge.ts";
import type { CommittedPiece } from "../audit/commitments.ts";
import { G2_CHAIN_BYTES } from "../audit/curve.ts";
import type { AuditPublicKey } from "../audit/keys.ts";
import { PUBLIC_PROOF_BYTES } from "../audit/proof.ts";
import { ADDRESS_BYTES, checksumAddress } from "../encoding/address.ts";
import { asArray, asBytes, asInt64, asInteger, type CborValue, decodeCbor, encodeCbor } from "../encoding/cbor.ts";
import { DIGEST_BYTES } from "../encoding/content-id.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { UnknownVersionError } from "../errors.ts";
import type { SegmentContent } from "./content.ts";
import { decodeLiveRanges, encodeLiveRanges } from "./ranges.ts";
import {
  AUDIT_TERMS_BYTES,
  type DataSetAuditTerms,
  type DataSetTerms,
  decodeAuditTerms,
  decodeTerms,
  encodeAuditTerms,
  encodeTerms,
  TERMS_BYTES,
} from "./terms.ts";

/** A state that both parties signed. */
export interface SignedAgreement {
  readonly kind: "signed";
  readonly version: bigint;
  readonly retirements: number;
  /** Packed live ranges. */
  readonly ranges: Uint8Array;
  readonly contentHash: string;
  readonly deadlineBlock: bigint;
  readonly userSignature: string;
  readonly providerSignature: string;
}

/** A schedule, of which the chain has the hash: the contract has checked both signatures of its content hash. */
export interface ScheduledAgreement {
  readonly kind: "scheduled";
  /** Encoded. */
  readonly schedule: Uint8Array;
}

/** An answer to a challenge that the user drew. */
export interface AskedAnswer {
  readonly kind: "asked";
  /** Encoded public proof; empty when the provider gave none. */
  readonly proof: Uint8Array;
  /** Of the provider, over challenge and proof; `0x` when it gave none. */
  readonly signature: string;
}

/** A proof that is on chain. */
export interface ChainAnswer {
  readonly kind: "chain";
  /** Encoded public proof. */
  readonly proof: Uint8Array;
  readonly challengeBlock: number;
  /** Of that block, 32 bytes, 0x hex: with it anybody computes the seed. */
  readonly randomness: string;
  readonly transactionHash: string;
}

/** An opened commitment. Position and count follow from the segment. */
export interface OpenedSlice {
  readonly index: number;
  readonly pieces: readonly CommittedPiece[];
  /** ρ, 32 bytes. */
  readonly blinding: Uint8Array;
  /** Hashes from the leaf's sibling up, 32 bytes each. */
  readonly path: readonly Uint8Array[];
}

/** The end of the chain of segments, and the commitments that were opened. */
export interface OpenedContent {
  /** Content hash before the first of the segments. */
  readonly before: string;
  /** All that follow, by index. */
  readonly segments: readonly SegmentContent[];
  readonly slices: readonly OpenedSlice[];
}

export interface AuditEvidence {
  readonly chainId: bigint;
  readonly escrow: string;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
  readonly key: AuditPublicKey;
  readonly agreement: SignedAgreement | ScheduledAgreement;
  readonly challenge: AuditChallenge;
  readonly answer: AskedAnswer | ChainAnswer;
  readonly content: OpenedContent;
}

const VERSION = 1;
/** Longest head. */
export const MAX_EVIDENCE_HEAD_BYTES = 16 * 1024 * 1024;
/** Nesting of a head: head, content, slices, a slice, its pieces, a piece. */
export const EVIDENCE_DEPTH = 6;
/** Segments behind the first one that is shown: years of several puts a day. */
export const MAX_EVIDENCE_SEGMENTS = 65_536;
/** Distinct slices: what one challenge of an epoch draws in the usual terms. */
export const MAX_EVIDENCE_SLICES = 512;
/** Pieces of all slices together. */
export const MAX_EVIDENCE_PIECES = 65_536;
const MAX_RANGES_BYTES = 32 * 12;
const MAX_SCHEDULE_BYTES = 4096;
const MAX_SIGNATURE_BYTES = 1024;
const MAX_PATH_HASHES = 48;
const SAMPLE_LIMIT = 65_535;
const U32_LIMIT = 0xffff_ffff;
const INDEX_LIMIT = 2 ** 48 - 1;
const [SIGNED, SCHEDULED] = [0, 1];
const [ASKED, CHAIN] = [0, 1];

const what = "audit evidence";
const field = (name: string) => ({ what, name });

/** @returns the first item of a file @throws InvalidInputError for values that do not fit their types */
export function encodeEvidenceHead(evidence: AuditEvidence): Uint8Array {
  const { chainId, escrow, terms, audit, key, agreement, challenge, answer, content } = evidence;
  const { X, XA, XB } = key;
  const keyBytes = new Uint8Array(3 * G2_CHAIN_BYTES);
  for (const [k, point] of [X, XA, XB].entries()) keyBytes.set(point, k * G2_CHAIN_BYTES);
  return encodeCbor([
    VERSION,
    chainId,
    fromHex(escrow, ADDRESS_BYTES, "escrow"),
    encodeTerms(terms),
    encodeAuditTerms(audit),
    keyBytes,
    agreementToCbor(agreement),
    [challenge.seed, challenge.sampleCount, encodeLiveRanges(challenge.ranges)],
    answerToCbor(answer),
    [
      fromHex(content.before, DIGEST_BYTES, "content hash"),
      content.segments.map(({ firstIndex, sliceCount, manifestHash, commitmentsRoot }) => [
        firstIndex,
        sliceCount,
        fromHex(manifestHash, DIGEST_BYTES, "manifest hash"),
        fromHex(commitmentsRoot, DIGEST_BYTES, "commitments root"),
      ]),
    ],
    content.slices.map(({ index, pieces, blinding, path }) => [
      index,
      blinding,
      pieces.map(({ digest, offsetBytes, lengthBytes }) => [digest, offsetBytes, lengthBytes]),
      [...path],
    ]),
  ]);
}

function agreementToCbor(agreement: AuditEvidence["agreement"]): CborValue {
  if (agreement.kind === "scheduled") return [SCHEDULED, agreement.schedule];
  const { version, retirements, ranges, contentHash, deadlineBlock, userSignature, providerSignature } = agreement;
  return [
    SIGNED,
    version,
    retirements,
    ranges,
    fromHex(contentHash, DIGEST_BYTES, "content hash"),
    deadlineBlock,
    fromHex(userSignature),
    fromHex(providerSignature),
  ];
}

function answerToCbor(answer: AuditEvidence["answer"]): CborValue {
  if (answer.kind === "asked") return [ASKED, answer.proof, fromHex(answer.signature)];
  const { proof, challengeBlock, randomness, transactionHash } = answer;
  return [
    CHAIN,
    proof,
    challengeBlock,
    fromHex(randomness, DIGEST_BYTES, "randomness"),
    fromHex(transactionHash, DIGEST_BYTES, "transaction"),
  ];
}

/** @param bytes the first item of a file @throws UnknownVersionError, InvalidInputError for another layout */
export function decodeEvidenceHead(bytes: Uint8Array): AuditEvidence {
  const items = asArray(
    decodeCbor(bytes, MAX_EVIDENCE_HEAD_BYTES, EVIDENCE_DEPTH, what),
    1,
    Number.MAX_SAFE_INTEGER,
    field("shape"),
  );
  const [version, chainId, escrow, terms, audit, key, agreement, challenge, answer, chained, slices] = items;
  if (version !== VERSION) throw new UnknownVersionError(what, String(version), [VERSION]);
  asArray(items, 11, 11, field("shape"));
  const keyBytes = asBytes(key, 3 * G2_CHAIN_BYTES, 3 * G2_CHAIN_BYTES, field("key"));
  const point = (k: number) => keyBytes.slice(k * G2_CHAIN_BYTES, (k + 1) * G2_CHAIN_BYTES);
  const [seed, sampleCount, ranges] = asArray(challenge, 3, 3, field("challenge"));
  const [before, segments] = asArray(chained, 2, 2, field("chain of segments"));
  return {
    chainId: unsigned(chainId, "chain id"),
    escrow: checksumAddress(asBytes(escrow, ADDRESS_BYTES, ADDRESS_BYTES, field("escrow"))),
    terms: decodeTerms(asBytes(terms, TERMS_BYTES, TERMS_BYTES, field("terms"))),
    audit: decodeAuditTerms(asBytes(audit, AUDIT_TERMS_BYTES, AUDIT_TERMS_BYTES, field("audit terms"))),
    key: { X: point(0), XA: point(1), XB: point(2) },
    agreement: agreementFromCbor(agreement),
    challenge: {
      seed: hashBytes(seed, "seed"),
      sampleCount: asInteger(sampleCount, 1, SAMPLE_LIMIT, field("sample count")),
      ranges: decodeLiveRanges(asBytes(ranges, 0, MAX_RANGES_BYTES, field("ranges"))),
    },
    answer: answerFromCbor(answer),
    content: {
      before: hash(before, "content hash"),
      segments: asArray(segments, 0, MAX_EVIDENCE_SEGMENTS, field("number of segments")).map(segmentFromCbor),
      slices: slicesFromCbor(slices),
    },
  };
}

function agreementFromCbor(value: CborValue | undefined): AuditEvidence["agreement"] {
  const items = asArray(value, 2, 8, field("agreement"));
  const [kind, ...rest] = items;
  if (kind === SCHEDULED) {
    asArray(items, 2, 2, field("agreement"));
    return { kind: "scheduled", schedule: asBytes(rest[0], 1, MAX_SCHEDULE_BYTES, field("schedule")) };
  }
  asInteger(kind, SIGNED, SIGNED, field("kind of agreement"));
  const [version, retirements, ranges, contentHash, deadlineBlock, userSignature, providerSignature] = asArray(
    rest,
    7,
    7,
    field("agreement"),
  );
  return {
    kind: "signed",
    version: unsigned(version, "version"),
    retirements: asInteger(retirements, 0, U32_LIMIT, field("retirements")),
    ranges: asBytes(ranges, 0, MAX_RANGES_BYTES, field("ranges")),
    contentHash: hash(contentHash, "content hash"),
    deadlineBlock: unsigned(deadlineBlock, "deadline"),
    userSignature: toHex(asBytes(userSignature, 1, MAX_SIGNATURE_BYTES, field("signature"))),
    providerSignature: toHex(asBytes(providerSignature, 1, MAX_SIGNATURE_BYTES, field("signature"))),
  };
}

function answerFromCbor(value: CborValue | undefined): AuditEvidence["answer"] {
  const items = asArray(value, 3, 5, field("answer"));
  const [kind, proofBytes, ...rest] = items;
  const proof = asBytes(proofBytes, 0, PUBLIC_PROOF_BYTES, field("proof"));
  if (kind === ASKED) {
    const [signature] = asArray(rest, 1, 1, field("answer"));
    return { kind: "asked", proof, signature: toHex(asBytes(signature, 0, MAX_SIGNATURE_BYTES, field("signature"))) };
  }
  asInteger(kind, CHAIN, CHAIN, field("kind of answer"));
  const [challengeBlock, randomness, transactionHash] = asArray(rest, 3, 3, field("answer"));
  return {
    kind: "chain",
    proof,
    challengeBlock: asInteger(challengeBlock, 0, Number.MAX_SAFE_INTEGER, field("challenge block")),
    randomness: hash(randomness, "randomness"),
    transactionHash: hash(transactionHash, "transaction"),
  };
}

function segmentFromCbor(value: CborValue): SegmentContent {
  const [firstIndex, sliceCount, manifestHash, commitmentsRoot] = asArray(value, 4, 4, field("segment"));
  return {
    firstIndex: asInteger(firstIndex, 1, INDEX_LIMIT, field("first index")),
    sliceCount: asInteger(sliceCount, 1, INDEX_LIMIT, field("slice count")),
    manifestHash: hash(manifestHash, "manifest hash"),
    commitmentsRoot: hash(commitmentsRoot, "commitments root"),
  };
}

function slicesFromCbor(value: CborValue | undefined): OpenedSlice[] {
  let pieceCount = 0;
  return asArray(value, 0, MAX_EVIDENCE_SLICES, field("number of slices")).map((item) => {
    const [index, blinding, pieces, path] = asArray(item, 4, 4, field("slice"));
    const list = asArray(pieces, 1, MAX_EVIDENCE_PIECES - pieceCount, field("number of pieces"));
    pieceCount += list.length;
    return {
      index: asInteger(index, 1, INDEX_LIMIT, field("index")),
      blinding: hashBytes(blinding, "blinding"),
      pieces: list.map(pieceFromCbor),
      path: asArray(path, 0, MAX_PATH_HASHES, field("path")).map((step) => hashBytes(step, "path")),
    };
  });
}

function pieceFromCbor(value: CborValue): CommittedPiece {
  const [digest, offsetBytes, lengthBytes] = asArray(value, 3, 3, field("piece"));
  return {
    digest: hashBytes(digest, "digest"),
    offsetBytes: asInteger(offsetBytes, 0, U32_LIMIT, field("offset")),
    lengthBytes: asInteger(lengthBytes, 1, U32_LIMIT, field("length")),
  };
}

function hashBytes(value: CborValue | undefined, name: string): Uint8Array {
  return asBytes(value, DIGEST_BYTES, DIGEST_BYTES, field(name));
}

function hash(value: CborValue | undefined, name: string): string {
  return toHex(hashBytes(value, name));
}

function unsigned(value: CborValue | undefined, name: string): bigint {
  if (typeof value === "bigint" && value >= 0n && value < 1n << 64n) return value;
  const integer = asInt64(value, field(name));
  return integer >= 0n ? integer : BigInt(asInteger(-1, 0, 0, field(name)));
}
