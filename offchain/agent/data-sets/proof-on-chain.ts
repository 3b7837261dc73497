/**
 * Proofs that the escrow has accepted. The event says that there is one; what was proven is in the call data of its
 * transaction; and which block challenged it follows from the events before it. Nothing here is what somebody says.
 */

import { escrowAbi } from "../../chain/abis.ts";
import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { readEscrowClock } from "../../chain/escrow.ts";
import { type DataSetProof, parseProveCall } from "../../chain/escrow-calls.ts";
import { parseDataSetLog } from "../../chain/escrow-events.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { chainLogs } from "../../chain/logs.ts";
import { readProvenRandomness } from "../../chain/randomness.ts";
import { readChain } from "../../chain/revert.ts";
import { decodeG1FromChain, encodeG1 } from "../../core/audit/curve.ts";
import { decodeScalar } from "../../core/audit/field.ts";
import type { AuditPublicKey } from "../../core/audit/keys.ts";
import { ANSWER_BYTES, type AuditProof } from "../../core/audit/proof.ts";
import { challengeSeed, windowsOf } from "../../core/data-set/epochs.ts";
import { decodeLiveRanges, rangesHash } from "../../core/data-set/ranges.ts";
import { decodeSchedule, levelAt, scheduleHash } from "../../core/data-set/schedule.ts";
import { auditTermsHash, dataSetId } from "../../core/data-set/terms.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { IntegrityError, InvalidProofError, TallystickError } from "../../core/errors.ts";

/** A proof on chain. */
export interface ProofFound {
  readonly call: DataSetProof;
  readonly seed: Uint8Array;
  readonly challengeBlock: number;
  /** Of the challenge block. */
  readonly randomness: Uint8Array;
  readonly place: { readonly epoch: number; readonly transactionHash: string; readonly blockNumber: number };
}

/** The newest proof of a set, from the transaction that carried it, with the challenge as it was in its block. */
export async function newestProof(chain: ChainReader, opened: OpenedDataSet): Promise<ProofFound | undefined> {
  const head = await readHeadNumber(chain);
  let last: ProvenEpoch | undefined;
  for await (const proven of provenEpochs(chain, opened, head)) last = proven;
  return last === undefined ? undefined : await readProof(chain, opened, last);
}

/** The proof of a set in a transaction. @returns undefined unless the escrow has accepted one there */
export async function proofIn(
  chain: ChainReader,
  opened: OpenedDataSet,
  transactionHash: string,
): Promise<ProofFound | undefined> {
  const receipt = await readChain("reading a proof", () => chain.provider.getTransactionReceipt(transactionHash));
  if (receipt?.status !== 1) return undefined;
  for await (const proven of provenEpochs(chain, opened, receipt.blockNumber)) {
    if (proven.transactionHash === transactionHash) return await readProof(chain, opened, proven);
  }
  return undefined;
}

/** An epoch that was proven, and what its proof was about. */
interface ProvenEpoch {
  readonly epoch: number;
  readonly transactionHash: string;
  readonly blockNumber: number;
  readonly challengeBlock: number;
  /** Of the schedule that the chain had then. */
  readonly scheduleHash: string;
}

/** Oldest first. */
async function* provenEpochs(
  chain: ChainReader,
  { id, terms, audit, blockNumber: from }: OpenedDataSet,
  toBlock: number,
): AsyncGenerator<ProvenEpoch, void, undefined> {
  const names = ["EpochProven", "DataSetScheduled", "DisputeOpened"] as const;
  const topics = [names.map((name) => escrowAbi().getEvent(name).topicHash), id];
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  const { epochBlocks } = await readEscrowClock(chain);
  let schedule: Uint8Array | undefined;
  let disputed: number | undefined;
  for await (const log of chainLogs(chain, filter, from, toBlock)) {
    const event = parseDataSetLog(log);
    if (event?.kind === "DataSetScheduled") schedule = event.schedule;
    if (event?.kind === "DisputeOpened") disputed = event.challengeBlock;
    if (event?.kind !== "EpochProven" || schedule === undefined) continue;
    const { epoch, transactionHash, blockNumber } = event;
    // On demand, the last dispute is the one that the proof answers: there is none without.
    const challengeBlock =
      terms.mode === "on-demand" ? disputed : windowsOf({ ...audit, epochBlocks }, epoch).challengeBlock;
    if (challengeBlock === undefined) continue;
    yield { epoch, transactionHash, blockNumber, challengeBlock, scheduleHash: scheduleHash(schedule) };
  }
}

async function readProof(
  chain: ChainReader,
  { id, terms, audit }: OpenedDataSet,
  { epoch, transactionHash, blockNumber, challengeBlock, scheduleHash: hash }: ProvenEpoch,
): Promise<ProofFound> {
  const { deployment, provider } = chain;
  const escrow = deployment.contracts.storageEscrow;
  const transaction = await readChain("reading a proof", () => provider.getTransaction(transactionHash));
  // What a transaction to another contract brings is not what that one gave to the escrow.
  const isToEscrow = typeof transaction?.to === "string" && isAddressEqual(transaction.to, escrow);
  const isThis = (call: DataSetProof) => dataSetId(BigInt(deployment.chainId), escrow, call.terms) === id;
  const call = isToEscrow ? parseProveCall(transaction.data)?.find(isThis) : undefined;
  if (call === undefined) throw notDirect(transactionHash);
  requireProofOf(call, epoch, hash, terms.auditHash);
  const randomness = await readProvenRandomness(chain, audit.randomness, BigInt(challengeBlock), blockNumber);
  if (randomness === undefined) throw forgotten(audit.randomness, challengeBlock);
  const seed = challengeSeed(BigInt(deployment.chainId), escrow, id, challengeBlock, randomness);
  return { call, seed, challengeBlock, randomness, place: { epoch, transactionHash, blockNumber } };
}

/** Checks that a proof is about what was live in its epoch. @throws IntegrityError naming the chain's endpoint */
function requireProofOf(call: DataSetProof, epoch: number, hash: string, auditHash: string): void {
  const level = levelAt(decodeSchedule(call.schedule), epoch);
  const checks = [
    ["hash of the schedule", hash, scheduleHash(call.schedule)],
    ["hash of the live ranges", level?.rangesHash ?? "none", rangesHash(decodeLiveRanges(call.ranges))],
    ["hash of the audit terms", auditHash, auditTermsHash(call.audit)],
  ] as const;
  for (const [check, expected, received] of checks) {
    if (expected === received) continue;
    throw new IntegrityError("the chain's RPC endpoint answered a proof of something else", {
      party: "chain",
      check,
      expected,
      received,
    });
  }
}

const G1_BYTES = 128;
const G2_BYTES = 256;

/** @param party blamed for a malformed one */
export function readAnswer(party: string, answer: Uint8Array): { key: AuditPublicKey; proof: AuditProof } {
  if (answer.length !== ANSWER_BYTES) {
    throw new InvalidProofError("the proof on chain is malformed", {
      party,
      check: "length of the answer",
      expected: `${ANSWER_BYTES} bytes`,
      received: `${answer.length} bytes`,
    });
  }
  const g2 = (k: number) => answer.slice(k * G2_BYTES, (k + 1) * G2_BYTES);
  const g1 = (k: number) => {
    const at = 3 * G2_BYTES + k * G1_BYTES;
    return encodeG1(decodeG1FromChain(answer.slice(at, at + G1_BYTES), "proof element"));
  };
  const y = decodeScalar(answer.slice(3 * (G2_BYTES + G1_BYTES)));
  return { key: { X: g2(0), XA: g2(1), XB: g2(2) }, proof: { sigma: g1(0), psi: g1(1), W: g1(2), y } };
}

function forgotten(source: string, block: number): TallystickError {
  return new TallystickError("the randomness of a proof's challenge cannot be read any more", {
    code: "NOT_FOUND",
    party: "chain",
    check: "randomness of the challenge",
    expected: `that of block ${block}`,
    received: `nothing from ${source}`,
    hint: "use an endpoint that keeps old state, or make a private audit",
  });
}

function notDirect(transactionHash: string): TallystickError {
  return new TallystickError("the proof was sent through another contract and cannot be read back", {
    code: "NOT_FOUND",
    party: "chain",
    check: "arguments of the proof's transaction",
    received: transactionHash,
    hint: "the escrow has verified it; make a private audit to check for yourself",
  });
}
