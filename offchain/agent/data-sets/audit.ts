/**
 * Audits check that the provider still has every byte of a data set. In a private audit the owner draws a challenge and
 * checks the answer with its own secrets, at no cost. In a public audit the newest proof on chain is fetched and
 * verified again, without trust in the chain's verdict and without any secret.
 */

import { randomBytes } from "#primitives";
import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { type AuditChallenge, countSlices } from "../../core/audit/challenge.ts";
import { auditKeyHash } from "../../core/audit/keys.ts";
import { decodeProof } from "../../core/audit/proof.ts";
import { auditReady } from "../../core/audit/ready.ts";
import { detectionProbability } from "../../core/audit/sampling.ts";
import { verifyPrivate, verifyPublic } from "../../core/audit/verifier.ts";
import { decodeLiveRanges } from "../../core/data-set/ranges.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { ERROR_CODES } from "../../core/error-codes.ts";
import { type ErrorCode, InvalidInputError, InvalidProofError, TallystickError } from "../../core/errors.ts";
import { MAX_AUDIT_SAMPLES } from "../../core/wire/csp.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetKeeper } from "../providers/storage-provider.ts";
import { restate } from "../restate-error.ts";
import { askProof } from "./asking.ts";
import type { DataSetOnChain } from "./following.ts";
import { keptRanges } from "./kept-ranges.ts";
import { newestProof, readAnswer } from "./proof-on-chain.ts";
import { keysOfSet } from "./set-keys.ts";

/** What an audit must find. */
export interface DetectionTarget {
  /** Fraction of the slices that is damaged, above 0 and at most 1; default 0.01. Never less than one slice. */
  readonly damage?: number;
  /** Probability to find it, above 0 and below 1; default 0.99. */
  readonly probability?: number;
}

export interface DataSetAuditOptions extends DetectionTarget {
  /** Check the newest proof on chain instead of asking for one. */
  readonly public?: boolean;
  /** Slices drawn in a private audit, with repetition, in place of the target. */
  readonly sampleCount?: number;
}

export interface DataSetAuditReport {
  readonly mode: "private" | "public";
  readonly id: string;
  readonly provider: string;
  readonly sampleCount: number;
  readonly slices: number;
  /** Draws that the target takes, when they are more than one audit has. */
  readonly targetDraws?: number;
  /** Probability that damage of 1 % of the slices, or of one slice if that is more, would have been found. */
  readonly confidence: number;
  /** 32 bytes, 0x hex: what the slices were drawn from. */
  readonly seed: string;
  /** For a public audit: which epoch was proven, where. */
  readonly epoch?: number;
  readonly transactionHash?: string;
  readonly blockNumber?: number;
  readonly seconds: number;
}

/** Codes of failures that say or suggest that data is lost. */
const LOSSES: ReadonlySet<ErrorCode> = new Set([
  "INTEGRITY",
  "INVALID_PROOF",
  "NOT_FOUND",
  "NOT_OWNER",
  "OBJECT_LOST",
  "DISK_FAILED",
]);

/** Whether a failure of an audit is the provider's: not the chain's, the owner's, or of a deployment that lacks it. */
export function isOfProvider({ party }: TallystickError): boolean {
  return party?.startsWith("provider ") === true;
}

/** Whether a failure of an audit says or suggests that the provider has lost data. */
export function isLoss(error: TallystickError): boolean {
  return LOSSES.has(error.code) && isOfProvider(error);
}

/** Whether the provider has answered in a way that proves nothing, and that will not pass by waiting. */
export function isRefuted(error: TallystickError): boolean {
  const { code, retryable } = error;
  return isLoss(error) || (isOfProvider(error) && !retryable && ERROR_CODES[code].exit !== "network");
}

/** Codes of a provider that does not answer. */
const SILENCES: ReadonlySet<ErrorCode> = new Set(["UNREACHABLE", "TIMED_OUT"]);

/** Whether a failure says that the provider does not answer. */
export function isSilence(error: TallystickError): boolean {
  return SILENCES.has(error.code) && isOfProvider(error);
}

interface Verified {
  readonly challenge: AuditChallenge;
  readonly targetDraws?: number;
  readonly place?: { readonly epoch: number; readonly transactionHash: string; readonly blockNumber: number };
}

/**
 * Audits a set.
 * @param provider asked in a private audit
 * @returns only if the proof verifies
 * @throws InvalidProofError naming the provider when it does not
 * @throws TallystickError NOT_FOUND when no epoch is proven on chain yet, or nothing is live; NOT_OWNER when the set is
 *   another account's; INTEGRITY or OBJECT_LOST by the provider when it admits damage
 */
export async function auditDataSet(
  context: AgentContext,
  opened: OpenedDataSet,
  onChain: DataSetOnChain,
  provider: () => DataSetKeeper,
  options: DataSetAuditOptions = {},
): Promise<DataSetAuditReport> {
  const started = performance.now();
  await auditReady();
  let done: Verified;
  try {
    done =
      options.public === true
        ? await auditPublicly(context, opened)
        : await auditPrivately(context, opened, onChain, provider(), options);
  } catch (error) {
    if (!(error instanceof TallystickError) || !isOfProvider(error)) throw error;
    if (isLoss(error)) context.noticeLoss();
    throw options.public === true ? error : disputable(opened, error);
  }
  const { sampleCount, seed, ranges } = done.challenge;
  const slices = countSlices(ranges);
  return {
    mode: options.public === true ? "public" : "private",
    id: opened.id,
    provider: opened.terms.provider,
    sampleCount,
    slices,
    confidence: detectionProbability(slices, sampleCount),
    seed: toHex(seed),
    ...(done.targetDraws === undefined ? {} : { targetDraws: done.targetDraws }),
    ...done.place,
    seconds: (performance.now() - started) / 1000,
  };
}

/**
 * Draws that find damage of a fraction of the slices, or of one slice if that is more.
 * @throws InvalidInputError for a target that cannot be met
 */
export function drawsToDetect(slices: number, { damage = 0.01, probability = 0.99 }: DetectionTarget): number {
  if (!(damage > 0 && damage <= 1) || !(probability > 0 && probability < 1)) {
    throw new InvalidInputError("an audit cannot detect this", {
      party: "you",
      check: "detection target",
      expected: "damage above 0 and at most 1, a probability between 0 and 1",
      received: `${damage}, ${probability}`,
    });
  }
  const fraction = Math.max(damage, 1 / slices);
  return fraction >= 1 ? 1 : Math.ceil(Math.log(1 - probability) / Math.log(1 - fraction));
}

async function auditPrivately(
  context: AgentContext,
  opened: OpenedDataSet,
  onChain: DataSetOnChain,
  provider: DataSetKeeper,
  options: DataSetAuditOptions,
): Promise<Verified> {
  const { id, audit } = opened;
  const keys = await keysOfSet(context, opened);
  if (keys === undefined) throw notOurs(id);
  const packed = await keptRanges(await context.chain(), opened, onChain);
  const ranges = decodeLiveRanges(packed);
  if (ranges.length === 0) throw nothingLive(id);
  const { sampleCount } = options;
  if (sampleCount !== undefined && sampleCount > MAX_AUDIT_SAMPLES) throw tooManyDraws(sampleCount);
  const wanted = sampleCount ?? drawsToDetect(countSlices(ranges), options);
  const challenge = { seed: randomBytes(32), sampleCount: Math.min(wanted, MAX_AUDIT_SAMPLES), ranges };
  const { proof } = await askProof(context, provider, audit.salt, challenge, false);
  const { secrets } = keys;
  blaming(provider.name, () => verifyPrivate(secrets, secrets.x, challenge, decodeProof(proof)));
  return { challenge, ...(wanted > MAX_AUDIT_SAMPLES ? { targetDraws: wanted } : {}) };
}

function tooManyDraws(received: number): InvalidInputError {
  return new InvalidInputError("an audit has not so many draws", {
    party: "you",
    check: "draws of the audit",
    expected: `at most ${MAX_AUDIT_SAMPLES}`,
    received: String(received),
    hint: "run the audit again: each one draws anew",
  });
}

async function auditPublicly(context: AgentContext, opened: OpenedDataSet): Promise<Verified> {
  const found = await newestProof(await context.chain(), opened);
  if (found === undefined) throw notProven(opened);
  const { call, seed, place } = found;
  const party = `provider ${opened.terms.provider}`;
  const { key, proof } = blaming(party, () => readAnswer(party, call.answer));
  const keyHash = toHex(auditKeyHash(key));
  const { audit } = opened;
  if (keyHash !== audit.keyHash) throw foreignKey(party, audit.keyHash, keyHash);
  const challenge = { seed, sampleCount: audit.sampleCount, ranges: decodeLiveRanges(call.ranges) };
  blaming(party, () => verifyPublic(key, challenge, proof));
  return { challenge, place };
}

/** Names the provider in the errors of a verification. */
function blaming<Result>(party: string, verify: () => Result): Result {
  try {
    return verify();
  } catch (cause) {
    if (!(cause instanceof TallystickError)) throw cause;
    throw new TallystickError(`${party} did not prove that it has the data: ${cause.message}`, {
      code: cause.code,
      party,
      check: cause.check ?? "possession proof",
      hint: "report the miss after the epoch's windows; the collateral compensates you",
      cause,
    });
  }
}

/** In mode `on-demand`, nothing happens on chain unless somebody disputes: says so, whatever the provider's excuse. */
function disputable({ id, terms, audit }: OpenedDataSet, error: TallystickError): TallystickError {
  if (terms.mode !== "on-demand") return error;
  return restate(error, error.message, {
    hint:
      `${whenToDispute(error)}\`tallystick dispute ${id}\` makes the provider prove on chain, or compensate you; a ` +
      `wrong claim costs the bond, ${audit.disputeBond} of the token's smallest unit`,
  });
}

/** A loss is disputed at once; for anything else there may be another way, which comes first. */
function whenToDispute(error: TallystickError): string {
  if (isLoss(error) || ERROR_CODES[error.code].exit === "integrity") return "";
  if (isSilence(error)) return "if it stays silent, ";
  return `${error.hint === undefined ? "" : `${error.hint}; `}if no audit gets a proof, `;
}

export function notProven({ id, terms }: OpenedDataSet): TallystickError {
  return new TallystickError(`no epoch of data set ${id} has been proven on chain yet`, {
    code: "NOT_FOUND",
    party: "chain",
    check: "EpochProven event",
    hint:
      terms.mode === "on-demand"
        ? "in mode on-demand there is a proof only after a dispute; a private audit needs none"
        : "the first proof is due in the epoch after the one in which it was opened; a private audit needs none",
  });
}

export function nothingLive(id: string): TallystickError {
  return new TallystickError(`data set ${id} holds nothing (any more)`, {
    code: "NOT_FOUND",
    party: "chain",
    check: "live slices",
    expected: "at least one",
    received: "none",
  });
}

export function notOurs(id: string): TallystickError {
  return new TallystickError(`data set ${id} was not made with this identity's secrets`, {
    code: "NOT_OWNER",
    party: "you",
    check: "audit key hash",
    hint: "make a public audit, or use the identity that made it",
  });
}

function foreignKey(party: string, expected: string, received: string): TallystickError {
  return new InvalidProofError("the proof on chain is for another audit key", {
    party,
    check: "audit key hash",
    expected,
    received,
  });
}
