/** Checks evidence that somebody else has exported, with nothing but the file, or with the chain as well. */

import { keccak256 } from "ethers";
import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { type ChainReader, connectChain, type Deployment } from "../../chain/deployment.ts";
import { readOpened, schedulesOf } from "../../chain/escrow-events.ts";
import { challengeId } from "../../core/audit/challenge.ts";
import { encodeProof } from "../../core/audit/proof.ts";
import { auditReady } from "../../core/audit/ready.ts";
import { type Fault, faultOf, type Verdict, verdictOf } from "../../core/audit/verdict.ts";
import {
  type AskedAnswer,
  type AuditEvidence,
  type ChainAnswer,
  decodeEvidenceHead,
  EVIDENCE_DEPTH,
  MAX_EVIDENCE_HEAD_BYTES,
  type SignedAgreement,
} from "../../core/data-set/evidence.ts";
import { decodeLiveRanges, encodeLiveRanges, rangesHash } from "../../core/data-set/ranges.ts";
import { decodeSchedule, scheduleHash } from "../../core/data-set/schedule.ts";
import { type Examination, requireConsistent, verifyEvidence } from "../../core/data-set/verify-evidence.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { asBytes, decodeCbor } from "../../core/encoding/cbor.ts";
import { CborSequence } from "../../core/encoding/cbor-sequence.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { IntegrityError, InvalidInputError } from "../../core/errors.ts";
import {
  type AuditAnswerMessage,
  auditAnswerTypedData,
  dataSetUpdateTypedData,
  type TypedData,
} from "../../core/identity/typed-messages.ts";
import { MAX_CHUNK_BYTES } from "../../core/wire/csp.ts";
import { requireSignedByUser, requireSignedForProvider } from "./evidence-signers.ts";
import { proofIn, readAnswer } from "./proof-on-chain.ts";

/** What a document comes to. The verdict holds if what is assumed does. */
export interface CheckedEvidence extends Examination {
  readonly chainId: bigint;
  readonly escrow: string;
  readonly user: string;
  readonly provider: string;
  readonly verdict: Verdict;
  readonly fault: Fault;
  readonly faultIfDenied: Fault;
  readonly sampleCount: number;
  /** Whether the document shows who is at fault. If not, the fault hangs on what only user or provider can know. */
  readonly isDecided: boolean;
  /** What could not be checked, and has to be believed or asked elsewhere; what the fault hangs on comes first. */
  readonly assumed: readonly string[];
}

const what = "audit evidence";

/** Checks a document against the chain of a deployment. @throws as `checkEvidence`; CHAIN_UNAVAILABLE */
export async function checkEvidenceOn(
  deployment: Deployment,
  bytes: AsyncIterable<Uint8Array>,
): Promise<CheckedEvidence> {
  const chain = await connectChain(deployment);
  try {
    return await checkEvidence(bytes, chain);
  } finally {
    chain.close();
  }
}

/**
 * Reads a document and checks it, in memory for one chunk.
 * @param chain of the deployment that the evidence must be about; without one, keys alone are checked
 * @throws InvalidInputError, UnknownVersionError for bytes that are no evidence; IntegrityError when it does not fit
 *   together, or is about another chain or contract, or the chain has something else; InvalidSignatureError when a
 *   party has not signed what the document says
 */
export async function checkEvidence(bytes: AsyncIterable<Uint8Array>, chain?: ChainReader): Promise<CheckedEvidence> {
  await auditReady();
  const items = itemsOf(bytes);
  const first = await items.next();
  if (first.done === true) throw new InvalidInputError(`${what} is empty`, { check: "length", received: "0 bytes" });
  const evidence = decodeEvidenceHead(first.value);
  const id = requireConsistent(evidence);
  if (chain !== undefined) requireThisChain(evidence, chain);
  const source = chain === undefined ? undefined : { chain, opened: await readOpened(chain, id) };
  const believed = [...(await requireAgreement(evidence, id, source)), ...(await requireAnswer(evidence, id, source))];
  const examined = await verifyEvidence(evidence, chunksOf(items));
  if (source !== undefined) requireAccepted(evidence, examined);
  const verdict = verdictOf(examined);
  const unknowable = undecidable(evidence, examined);
  const assumed = [...new Set([...unknowable, ...believed])];
  const { chainId, escrow, terms, challenge } = evidence;
  return {
    ...examined,
    chainId,
    escrow,
    user: terms.user,
    provider: terms.provider,
    verdict,
    fault: faultOf(verdict, false),
    faultIfDenied: faultOf(verdict, true),
    sampleCount: challenge.sampleCount,
    isDecided: unknowable.length === 0,
    assumed,
  };
}

async function* itemsOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const sequence = new CborSequence(MAX_EVIDENCE_HEAD_BYTES, EVIDENCE_DEPTH, what);
  for await (const piece of bytes) yield* sequence.push(piece);
  sequence.finish();
}

async function* chunksOf(items: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const longest = MAX_CHUNK_BYTES + 5;
  for await (const item of items) {
    yield asBytes(decodeCbor(item, longest, 0, what), 1, MAX_CHUNK_BYTES, { what, name: "chunk" });
  }
}

function requireThisChain({ chainId, escrow }: AuditEvidence, { deployment }: ChainReader): void {
  const own = deployment.contracts.storageEscrow;
  if (chainId === BigInt(deployment.chainId) && isAddressEqual(escrow, own)) return;
  throw new IntegrityError("the evidence is about another chain or contract", {
    check: "chain and contract",
    expected: `chain ${deployment.chainId}, escrow ${own}`,
    received: `chain ${chainId}, escrow ${escrow}`,
    hint: "name the deployment that it is about, or check it with --offline",
  });
}

/**
 * What nobody outside can know, and the verdict hangs on: what the user may have left out, and the part of an answer
 * that the provider alone chooses.
 */
function undecidable({ answer }: AuditEvidence, { isProofValid, isDataCommitted, isAnswerOfData }: Examination) {
  const assumed: string[] = [];
  if (answer.proof.length === 0) {
    assumed.push("that the provider was asked for a proof and gave none: only the user says so");
  }
  if (!isDataCommitted) {
    assumed.push("that the provider was asked for what the document does not show: a dispute on chain settles that");
  }
  if (!isProofValid && isAnswerOfData) {
    assumed.push("that the provider did not make up σ, the part of the answer that is of the tags, to blame the user");
  }
  return assumed;
}

/** The escrow takes no proof that does not verify, so an endpoint that says otherwise is not believed. */
function requireAccepted({ answer }: AuditEvidence, { isProofValid }: Examination): void {
  if (answer.kind === "asked" || isProofValid) return;
  throw new IntegrityError("the chain's RPC endpoint answered that the escrow accepted a proof that does not verify", {
    party: "chain",
    check: "proof that the escrow accepted",
    expected: "a valid one",
    received: answer.transactionHash,
    hint: "ask another endpoint; if it says the same, the set's verifier is not the deployment's",
  });
}

/** A chain, and how the set was opened on it; nothing when it was not. */
interface Source {
  readonly chain: ChainReader;
  readonly opened: OpenedDataSet | undefined;
}

/** Checks that both parties, or the chain, stand behind the content hash. @returns what has to be believed */
async function requireAgreement(evidence: AuditEvidence, id: string, source: Source | undefined): Promise<string[]> {
  const { agreement, terms } = evidence;
  if (agreement.kind === "scheduled") {
    if (source === undefined) return ["that the chain has the schedule of the data set"];
    const hash = scheduleHash(agreement.schedule);
    if (!(await hasScheduled(source, (schedule) => scheduleHash(schedule) === hash))) throw neverScheduled(id, hash);
    return [];
  }
  const typed = stateTypedData(evidence, agreement, id);
  const { userSignature, providerSignature } = agreement;
  await requireSignedByUser(terms.user, typed, userSignature, source?.chain);
  const assumption = await requireSignedForProvider(terms.provider, typed, providerSignature, source?.chain);
  const believed = assumption === undefined ? [] : [assumption];
  if (source === undefined) return [...believed, "that the state which both signed came on chain, and so counted"];
  const isOfState = (bytes: Uint8Array) => {
    const { version, contentHash } = decodeSchedule(bytes);
    return version === agreement.version && contentHash === agreement.contentHash;
  };
  if (await hasScheduled(source, isOfState)) return believed;
  return [...believed, "that the state which both signed counted: it has not come on chain"];
}

/** The chain's state has the newest schedule only; the events have all. */
async function hasScheduled({ chain, opened }: Source, isIt: (schedule: Uint8Array) => boolean): Promise<boolean> {
  if (opened === undefined) return false;
  for await (const schedule of schedulesOf(chain, opened)) if (isIt(schedule)) return true;
  return false;
}

function neverScheduled(id: string, hash: string): IntegrityError {
  return new IntegrityError("the chain never had this schedule of the data set", {
    party: "chain",
    check: "hash of the schedule",
    expected: `one of data set ${id}`,
    received: hash,
  });
}

function stateTypedData({ chainId, escrow }: AuditEvidence, state: SignedAgreement, id: string): TypedData<object> {
  const { version, retirements, ranges, contentHash, deadlineBlock } = state;
  return dataSetUpdateTypedData(chainId, escrow, {
    dataSetId: id,
    version,
    retirements: BigInt(retirements),
    rangesHash: rangesHash(decodeLiveRanges(ranges)),
    contentHash,
    deadlineBlock,
  });
}

/** Checks that the answer is the provider's. @returns what has to be believed */
async function requireAnswer(evidence: AuditEvidence, id: string, source: Source | undefined): Promise<string[]> {
  const { answer, terms } = evidence;
  if (answer.kind === "chain") {
    if (source === undefined) return ["that the proof and the randomness of its challenge are on chain"];
    await requireOnChain(source, evidence, answer);
    return [];
  }
  if (answer.proof.length === 0) return [];
  const typed = answerTypedData({ ...evidence, answer }, id);
  const assumption = await requireSignedForProvider(terms.provider, typed, answer.signature, source?.chain);
  return assumption === undefined ? [] : [assumption];
}

/** What a provider signs when it answers. */
export function answerTypedData(
  {
    chainId,
    escrow,
    challenge,
    answer,
  }: Pick<AuditEvidence, "chainId" | "escrow" | "challenge"> & { readonly answer: AskedAnswer },
  id: string,
): TypedData<AuditAnswerMessage> {
  const message = { dataSetId: id, challengeId: toHex(challengeId(challenge)), proofHash: keccak256(answer.proof) };
  return auditAnswerTypedData(chainId, escrow, message);
}

/** Checks that the escrow accepted this very proof, and of what: of a challenge on chain, nothing is up to a file. */
async function requireOnChain(
  { chain, opened }: Source,
  { terms, audit, agreement, challenge }: AuditEvidence,
  { transactionHash, challengeBlock, randomness, proof }: ChainAnswer,
): Promise<void> {
  // Terms and audit terms are those of the id, which is their hash.
  const found = opened && (await proofIn(chain, { ...opened, terms, audit }, transactionHash));
  if (found === undefined) throw otherOnChain("EpochProven event", "one of the data set", `none in ${transactionHash}`);
  const { call } = found;
  const carried = readAnswer("the transaction", call.answer).proof;
  const schedule = agreement.kind === "scheduled" ? scheduleHash(agreement.schedule) : "a signed state";
  const checks = [
    ["proof of the transaction", toHex(encodeProof(carried)), toHex(proof)],
    ["challenge block of the proof", String(found.challengeBlock), String(challengeBlock)],
    ["randomness of the challenge block", toHex(found.randomness), randomness],
    ["schedule of the proof", scheduleHash(call.schedule), schedule],
    ["live ranges of the proof", toHex(call.ranges), toHex(encodeLiveRanges(challenge.ranges))],
  ] as const;
  for (const [check, expected, received] of checks) {
    if (expected !== received) throw otherOnChain(check, expected, received);
  }
}

function otherOnChain(check: string, expected: string, received: string): IntegrityError {
  return new IntegrityError("the chain has something else than the evidence says", {
    party: "chain",
    check,
    expected,
    received,
  });
}
