/**
 * Audits check that the provider still has every byte. In a private audit the owner draws a challenge and checks the
 * answer with its own secrets, at no cost. In a public audit the newest proof on chain is fetched and verified again,
 * without trust in the chain's verdict and without any secret.
 */

import { randomBytes } from "#primitives";
import { storageEscrow } from "../../chain/contracts.ts";
import { type Agreement, parseEscrowLog } from "../../chain/escrow.ts";
import { chainLogs } from "../../chain/logs.ts";
import { readChain } from "../../chain/revert.ts";
import { type AuditChallenge, countSlices } from "../../core/audit/challenge.ts";
import { decodeG1FromChain, encodeG1, G1_CHAIN_BYTES } from "../../core/audit/curve.ts";
import { type AuditPublicKey, auditKeyHash } from "../../core/audit/keys.ts";
import { type AuditProof, decodeProof } from "../../core/audit/proof.ts";
import { auditReady } from "../../core/audit/ready.ts";
import { detectionProbability, drawsFor } from "../../core/audit/sampling.ts";
import { verifyPrivate, verifyPublic } from "../../core/audit/verifier.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { type ErrorCode, TallystickError } from "../../core/errors.ts";
import { MAX_AUDIT_SAMPLES } from "../../core/wire/csp.ts";
import type { CataloguedAgreement } from "../catalogue.ts";
import type { AgentContext } from "../context.ts";
import { agreementKeys } from "./agreement-keys.ts";
import { agreementOf } from "./proposals.ts";

export interface AuditOptions {
  /** Check the newest proof on chain instead of asking for one. */
  readonly public?: boolean;
  /** Account of the provider to audit. Default: the provider of the newest agreement about the data. */
  readonly provider?: string;
  /** Slices drawn in a private audit, with repetition; default 460. */
  readonly sampleCount?: number;
}

export interface AuditReport {
  readonly mode: "private" | "public";
  readonly dataId: string;
  readonly agreementId: bigint;
  readonly provider: string;
  readonly sampleCount: number;
  readonly sliceCount: number;
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

/**
 * Audits the data behind a data id.
 *
 * @returns only if the proof verifies.
 * @throws InvalidProofError naming the provider when it does not
 * @throws TallystickError NOT_FOUND when there is no agreement, or no proof on chain yet; INTEGRITY or NOT_FOUND by the
 *   provider when it admits damage
 */
export async function audit(context: AgentContext, dataId: string, options: AuditOptions = {}): Promise<AuditReport> {
  const started = performance.now();
  await auditReady();
  const { row, agreement } = await auditedAgreement(context, dataId, options.provider);
  let done: Verified;
  try {
    done =
      options.public === true
        ? await auditPublicly(context, agreement)
        : await auditPrivately(context, row, agreement, options.sampleCount);
  } catch (error) {
    if (error instanceof TallystickError && LOSSES.has(error.code)) context.noticeLoss();
    throw error;
  }
  const { sampleCount, seed } = done.challenge;
  const sliceCount = countSlices(done.challenge.ranges);
  return {
    mode: options.public === true ? "public" : "private",
    dataId,
    agreementId: agreement.id,
    provider: agreement.terms.provider,
    sampleCount,
    sliceCount,
    confidence: detectionProbability(sliceCount, sampleCount),
    seed: toHex(seed),
    ...done.place,
    seconds: (performance.now() - started) / 1000,
  };
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

interface Verified {
  readonly challenge: AuditChallenge;
  readonly place?: { readonly epoch: number; readonly transactionHash: string; readonly blockNumber: number };
}

async function auditPrivately(
  context: AgentContext,
  row: CataloguedAgreement,
  { id, terms }: Agreement,
  wanted: number | undefined,
): Promise<Verified> {
  const provider = context.providers().byAccount(terms.provider);
  const sliceCount = Number(terms.sliceCount);
  const sampleCount = Math.min(wanted ?? drawsFor(sliceCount), MAX_AUDIT_SAMPLES);
  const seed = randomBytes(32);
  const challenge = { seed, sampleCount, ranges: [{ firstIndex: Number(terms.firstIndex), count: sliceCount }] };
  const proof = await provider.audit(id, seed, sampleCount);
  const keys = await agreementKeys(context.identity.auditSeed, row.salt);
  blaming(provider.name, () => verifyPrivate(keys.secrets, keys.x, challenge, decodeProof(proof)));
  return { challenge };
}

async function auditPublicly(context: AgentContext, { id, terms }: Agreement): Promise<Verified> {
  const found = await newestProof(context, id);
  if (found === undefined) {
    throw new TallystickError(`no epoch of agreement ${id} has been proven on chain yet`, {
      code: "NOT_FOUND",
      party: "chain",
      check: "EpochProven event",
      hint: "the first proof is due after the agreement's start block; a private audit can be made at any time",
    });
  }
  const { key, proof, seed, epoch, transactionHash, blockNumber } = found;
  const party = `provider ${terms.provider}`;
  if (toHex(auditKeyHash(key)) !== terms.auditKeyHash) throw foreignKey(party);
  const { sampleCount, firstIndex, sliceCount } = terms;
  const ranges = [{ firstIndex: Number(firstIndex), count: Number(sliceCount) }];
  const challenge = { seed, sampleCount, ranges };
  blaming(party, () => verifyPublic(key, challenge, proof));
  return { challenge, place: { epoch, transactionHash, blockNumber } };
}

interface ChainProofFound {
  readonly key: AuditPublicKey;
  readonly proof: AuditProof;
  readonly seed: Uint8Array;
  readonly epoch: number;
  readonly transactionHash: string;
  readonly blockNumber: number;
}

/**
 * The newest proof of an agreement, from the transaction that carried it, with the challenge as it was in its block.
 */
async function newestProof(context: AgentContext, id: bigint): Promise<ChainProofFound | undefined> {
  const chain = await context.chain();
  const { provider, deployment } = chain;
  const escrow = storageEscrow(chain);
  const head = await readChain("reading the block number", () => provider.getBlockNumber());
  const topics = escrow.interface.encodeFilterTopics("EpochProven", [id]);
  const filter = { address: deployment.contracts.storageEscrow, topics };
  let last: { epoch: number; transactionHash: string; blockNumber: number } | undefined;
  for await (const log of chainLogs(chain, filter, deployment.deployedAtBlock, head)) {
    const event = parseEscrowLog(log);
    if (event?.kind === "EpochProven") last = event;
  }
  if (last === undefined) return undefined;
  const { epoch, transactionHash, blockNumber } = last;
  const transaction = await readChain("reading a proof", () => provider.getTransaction(transactionHash));
  const call = escrow.interface.parseTransaction({ data: transaction?.data ?? "0x" });
  if (call?.name !== "prove") throw notDirect(transactionHash);
  // The randomness of the challenge may be forgotten by now; as of the block of the proof it was there.
  const challenge = await readChain("reading a challenge", () =>
    escrow.challengeOf(id, epoch, { blockTag: blockNumber }),
  );
  const [, , key, proof] = call.args.toArray(false) as [bigint, bigint, KeyArguments, ProofArguments];
  return {
    key: { X: fromHex(key.X), XA: fromHex(key.XA), XB: fromHex(key.XB) },
    proof: {
      sigma: compressed(proof.sigma),
      psi: compressed(proof.psi),
      W: compressed(proof.W),
      y: proof.y,
    },
    seed: fromHex(challenge.seed),
    epoch,
    transactionHash,
    blockNumber,
  };
}

interface KeyArguments {
  readonly X: string;
  readonly XA: string;
  readonly XB: string;
}

interface ProofArguments {
  readonly sigma: string;
  readonly psi: string;
  readonly W: string;
  readonly y: bigint;
}

/** A point from the form of the EIP-2537 precompiles to the compressed one. */
function compressed(chainForm: string): Uint8Array {
  return encodeG1(decodeG1FromChain(fromHex(chainForm, G1_CHAIN_BYTES, "point"), "proof element"));
}

/** The newest accepted agreement about a data id, of one provider if it is named. */
async function auditedAgreement(
  context: AgentContext,
  dataId: string,
  provider: string | undefined,
): Promise<{ row: CataloguedAgreement; agreement: Agreement }> {
  const { storageEscrow } = context.deployment.contracts;
  for (const row of (await context.catalogue.agreements(dataId)).toReversed()) {
    if (!isAddressEqual(row.escrow, storageEscrow)) continue;
    if (provider !== undefined && !isAddressEqual(row.provider, provider)) continue;
    const agreement = await agreementOf(context, row);
    if (agreement !== undefined && agreement.status !== "proposed" && agreement.status !== "cancelled") {
      return { row, agreement };
    }
  }
  throw new TallystickError(`there is no agreement about ${dataId}`, {
    code: "NOT_FOUND",
    party: "you",
    check: "accepted agreement",
    hint: "make one with `tallystick agreement open`, or run `tallystick recover` on a new device",
    details: { dataId },
  });
}

/** Names the provider in the errors of a verification. */
function blaming(party: string, verify: () => void): void {
  try {
    verify();
  } catch (cause) {
    if (!(cause instanceof TallystickError)) throw cause;
    throw new TallystickError(`${party} did not prove that it has the data: ${cause.message}`, {
      code: cause.code,
      party,
      check: cause.check ?? "possession proof",
      hint: "report the miss after the epoch's window (`tallystick agreement settle`); the collateral compensates you",
      cause,
    });
  }
}

function foreignKey(party: string): TallystickError {
  return new TallystickError("the proof on chain is for another audit key", {
    code: "INVALID_PROOF",
    party,
    check: "audit key hash",
  });
}

function notDirect(transactionHash: string): TallystickError {
  return new TallystickError("the newest proof was sent through another contract and cannot be read back", {
    code: "NOT_FOUND",
    party: "chain",
    check: "arguments of the proof's transaction",
    received: transactionHash,
    hint: "the escrow has verified it; make a private audit to check for yourself",
  });
}
