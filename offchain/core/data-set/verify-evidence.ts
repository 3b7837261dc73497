/**
 * Checks evidence without either party. What a document must say of itself throws; what a provider failed to show makes
 * one of the answers false and is told with its reason. Who signed, and what the chain has, the caller finds out.
 */

import { sha256 } from "#primitives";
import { expandChallenge } from "../audit/challenge.ts";
import { type CommittedPiece, verifyCommitment } from "../audit/commitments.ts";
import { FIELD_ORDER, sliceBytes } from "../audit/field.ts";
import { auditKeyHash } from "../audit/keys.ts";
import { evaluatePiece } from "../audit/piece-evaluation.ts";
import { type AuditProof, decodeProof } from "../audit/proof.ts";
import type { Evidence } from "../audit/verdict.ts";
import { verifyPublic } from "../audit/verifier.ts";
import { contentIdFromDigest } from "../encoding/content-id.ts";
import { fromHex, toHex } from "../encoding/hex.ts";
import { IntegrityError, InvalidProofError, TallystickError } from "../errors.ts";
import { extendContent, type SegmentContent } from "./content.ts";
import { challengeSeed } from "./epochs.ts";
import type { AuditEvidence, OpenedContent, OpenedSlice } from "./evidence.ts";
import { decodeLiveRanges, lastIndexOf, rangesHash, subtractRanges } from "./ranges.ts";
import { decodeSchedule } from "./schedule.ts";
import { auditTermsHash, dataSetId } from "./terms.ts";

/** What evidence comes to. */
export interface Examination extends Evidence {
  /** 32 bytes, 0x hex. */
  readonly dataSetId: string;
  /** Why the checks that did not pass did not. */
  readonly failures: readonly TallystickError[];
}

/** The content hash that both parties agreed on. */
export function agreedContentHash({ agreement }: Pick<AuditEvidence, "agreement">): string {
  return agreement.kind === "signed" ? agreement.contentHash : decodeSchedule(agreement.schedule).contentHash;
}

/**
 * Checks that a document fits together: the audit terms and the key are those of the terms, the ranges those that were
 * agreed on, and a challenge on chain has the seed of its block, and a schedule.
 * @returns the id of the data set
 * @throws IntegrityError naming the first thing that does not fit
 */
export function requireConsistent(evidence: AuditEvidence): string {
  const { chainId, escrow, terms, audit, key, challenge, answer } = evidence;
  const id = dataSetId(chainId, escrow, terms);
  requireEqual("audit terms", terms.auditHash, auditTermsHash(audit));
  requireEqual("audit key", audit.keyHash, toHex(auditKeyHash(key)));
  requireAgreedRanges(evidence);
  if (answer.kind === "chain") {
    const { challengeBlock, randomness } = answer;
    const seed = challengeSeed(chainId, escrow, id, challengeBlock, fromHex(randomness));
    requireEqual("seed of the challenge", toHex(seed), toHex(challenge.seed));
    requireEqual("sample count", String(audit.sampleCount), String(challenge.sampleCount));
    // A state that is not on chain, or that has been replaced since, is none that a proof on chain was about.
    requireEqual("agreement", "scheduled", evidence.agreement.kind);
  }
  return id;
}

function requireAgreedRanges({ agreement, challenge }: AuditEvidence): void {
  if (agreement.kind === "scheduled") {
    const hash = rangesHash(challenge.ranges);
    const { levels } = decodeSchedule(agreement.schedule);
    if (levels.some((level) => level.rangesHash === hash)) return;
    requireEqual("live ranges", levels.map((level) => level.rangesHash).join(" or "), hash);
  } else {
    const [foreign] = subtractRanges(challenge.ranges, decodeLiveRanges(agreement.ranges));
    if (foreign === undefined) return;
    requireEqual("live ranges", "those that both signed", `${foreign.firstIndex} to ${lastIndexOf(foreign)}`);
  }
}

function requireEqual(check: string, expected: string, received: string): void {
  if (expected === received) return;
  throw new IntegrityError(`the evidence does not fit together: ${check}`, { check, expected, received });
}

/**
 * Checks that segments are those of a content hash.
 * @throws InvalidProofError for a chain that does not lead to it, or segments that do not ascend
 */
export function requireSegments({ before, segments }: Omit<OpenedContent, "slices">, contentHash: string): void {
  let lastIndex = 0;
  for (const { firstIndex, sliceCount } of segments) {
    if (firstIndex <= lastIndex) {
      throw notShown("order of segments", `an index above ${lastIndex}`, `a segment from ${firstIndex} on`);
    }
    lastIndex = firstIndex + sliceCount - 1;
  }
  const received = segments.reduce(extendContent, before);
  if (received !== contentHash) throw notShown("content hash", contentHash, received);
}

/**
 * Checks that a commitment is of a slice of these segments and opens, VerifyCOM without the chunks.
 * @param sliceElements coefficients of a slice's polynomial
 * @throws InvalidProofError
 */
export function requireOpened(slice: OpenedSlice, segments: readonly SegmentContent[], sliceElements: number): void {
  const { index, pieces } = slice;
  const segment = segments.find(({ firstIndex, sliceCount }) => index >= firstIndex && index < firstIndex + sliceCount);
  if (segment === undefined) throw notShown("segment of the slice", "one that both signed", `slice ${index} of none`);
  const { firstIndex, sliceCount: count, commitmentsRoot } = segment;
  const position = index - firstIndex;
  const bytes = pieces.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  const whole = sliceBytes(sliceElements);
  if (bytes > whole || (bytes < whole && position < count - 1)) {
    throw notShown("bytes of the slice", `${whole} bytes`, `${bytes} bytes of slice ${index}`);
  }
  verifyCommitment(fromHex(commitmentsRoot), { ...slice, position, count });
}

/**
 * Checks everything, in memory for one chunk at a time.
 * @param chunks the ciphertexts, in any order; others than the opened commitments name are ignored
 * @throws IntegrityError for a document that does not fit together
 */
export async function verifyEvidence(
  evidence: AuditEvidence,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Examination> {
  const id = requireConsistent(evidence);
  const { challenge, key, content, audit } = evidence;
  const failures: TallystickError[] = [];
  const passes = (check: () => void): boolean => {
    try {
      check();
      return true;
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      failures.push(error);
      return false;
    }
  };
  let proof: AuditProof | undefined;
  const isProofValid = passes(() => {
    proof = decodeProof(evidence.answer.proof);
    verifyPublic(key, challenge, proof);
  });
  const { indices, weights, z } = expandChallenge(challenge);
  const weightOf = new Map<number, bigint>();
  for (const [t, index] of indices.entries()) weightOf.set(index, (weightOf.get(index) ?? 0n) + (weights[t] ?? 0n));
  const areOpened = passes(() => {
    requireSegments(content, agreedContentHash(evidence));
    const opened = new Set(content.slices.map(({ index }) => index));
    for (const index of weightOf.keys()) {
      if (!opened.has(index)) throw notShown("opened commitments", `slice ${index}`, "none of this slice");
    }
    for (const slice of content.slices) requireOpened(slice, content.segments, audit.sliceElements);
  });
  if (!areOpened) {
    return { dataSetId: id, isProofValid, isDataCommitted: false, isAnswerOfData: false, failures };
  }
  const revealed = await evaluateRevealed(content.slices, chunks, weightOf, z);
  const isDataCommitted = passes(() => {
    if (revealed.missing === undefined) return;
    throw notShown("revealed chunks", contentIdFromDigest(revealed.missing.digest), "no such chunk, or a shorter one");
  });
  const isAnswerOfData = isDataCommitted && proof?.y === revealed.value;
  return { dataSetId: id, isProofValid, isDataCommitted, isAnswerOfData, failures };
}

/** A piece of an opened slice. */
interface PlacedPiece extends CommittedPiece {
  readonly startByte: number;
  readonly weight: bigint;
}

/** f(z), from the chunks; `missing` is a piece that none of them has. */
async function evaluateRevealed(
  slices: readonly OpenedSlice[],
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  weightOf: ReadonlyMap<number, bigint>,
  z: bigint,
): Promise<{ readonly value: bigint; readonly missing: CommittedPiece | undefined }> {
  const wanted = new Map<string, PlacedPiece[]>();
  for (const { index, pieces } of new Map(slices.map((slice) => [slice.index, slice])).values()) {
    let startByte = 0;
    for (const piece of pieces) {
      const key = toHex(piece.digest);
      const list = wanted.get(key) ?? [];
      list.push({ ...piece, startByte, weight: weightOf.get(index) ?? 0n });
      wanted.set(key, list);
      startByte += piece.lengthBytes;
    }
  }
  let value = 0n;
  for await (const chunk of chunks) {
    const key = toHex(sha256(chunk));
    const pieces = wanted.get(key);
    if (pieces?.every(({ offsetBytes, lengthBytes }) => offsetBytes + lengthBytes <= chunk.length) !== true) continue;
    wanted.delete(key);
    for (const { offsetBytes, lengthBytes, startByte, weight } of pieces) {
      const bytes = chunk.subarray(offsetBytes, offsetBytes + lengthBytes);
      value = (value + weight * evaluatePiece(bytes, startByte, z)) % FIELD_ORDER;
    }
  }
  return { value, missing: [...wanted.values()][0]?.[0] };
}

function notShown(check: string, expected: string, received: string): InvalidProofError {
  return new InvalidProofError("the provider does not show what both parties agreed on", { check, expected, received });
}
