/** Checks evidence that somebody else has exported, with nothing but the file, or with the chain as well. */

import { keccak256 } from "ethers";
import { type ChainReader, connectChain, type Deployment } from "../../chain/deployment.ts";
import { readOperator, readScheduleHash } from "../../chain/escrow.ts";
import { parseProveCall } from "../../chain/escrow-calls.ts";
import { readOpened, scanDataSets } from "../../chain/escrow-events.ts";
import { readProvenRandomness } from "../../chain/randomness.ts";
import { readChain } from "../../chain/revert.ts";
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
import { decodeLiveRanges, rangesHash } from "../../core/data-set/ranges.ts";
import { scheduleHash } from "../../core/data-set/schedule.ts";
import { dataSetId } from "../../core/data-set/terms.ts";
import { type Examination, requireConsistent, verifyEvidence } from "../../core/data-set/verify-evidence.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { asBytes, decodeCbor } from "../../core/encoding/cbor.ts";
import { CborSequence } from "../../core/encoding/cbor-sequence.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { IntegrityError, InvalidInputError, InvalidSignatureError } from "../../core/errors.ts";
import {
  type AuditAnswerMessage,
  auditAnswerTypedData,
  dataSetUpdateTypedData,
  type TypedData,
} from "../../core/identity/typed-messages.ts";
import { MAX_CHUNK_BYTES } from "../../core/wire/csp.ts";
import { isKeySignature, isSignatureOf } from "./account-signatures.ts";
import { readAnswer } from "./audit.ts";

/** What a document comes to. */
export interface CheckedEvidence extends Examination {
  readonly chainId: bigint;
  readonly escrow: string;
  readonly user: string;
  readonly provider: string;
  readonly verdict: Verdict;
  readonly fault: Fault;
  readonly faultIfDenied: Fault;
  readonly sampleCount: number;
  /** What could not be checked, and has to be believed or asked elsewhere. */
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
  const assumed: string[] = [];
  if (chain !== undefined) requireThisChain(evidence, chain);
  await requireAgreement(evidence, id, chain, assumed);
  await requireAnswer(evidence, id, chain, assumed);
  const examined = await verifyEvidence(evidence, chunksOf(items));
  const verdict = verdictOf(examined);
  if (!examined.isDataCommitted) {
    assumed.push("that the provider was asked for what the document does not show: a dispute on chain settles that");
  }
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

/** Checks that both parties, or the chain, stand behind the content hash. */
async function requireAgreement(
  evidence: AuditEvidence,
  id: string,
  chain: ChainReader | undefined,
  assumed: string[],
): Promise<void> {
  const { agreement, terms } = evidence;
  if (agreement.kind === "scheduled") {
    if (chain === undefined) assumed.push("that the chain has the schedule of the data set");
    else await requireScheduled(chain, id, scheduleHash(agreement.schedule));
    return;
  }
  const typed = stateTypedData(evidence, agreement, id);
  await requireSigned("user", terms.user, typed, agreement.userSignature, chain);
  const signer = chain === undefined ? terms.provider : await readOperator(chain, terms.provider);
  await requireSigned("provider", signer, typed, agreement.providerSignature, chain);
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

/** The chain has the newest schedule only; older ones are in its events. */
async function requireScheduled(chain: ChainReader, id: string, hash: string): Promise<void> {
  if ((await readScheduleHash(chain, id)) === hash) return;
  const opened = await readOpened(chain, id);
  const head = await readChain("reading the block number", () => chain.provider.getBlockNumber());
  if (opened !== undefined) {
    for await (const event of scanDataSets(chain, opened.blockNumber, head)) {
      if (event.kind === "DataSetScheduled" && event.id === id && scheduleHash(event.schedule) === hash) return;
    }
  }
  throw new IntegrityError("the chain never had this schedule of the data set", {
    party: "chain",
    check: "hash of the schedule",
    expected: `one of data set ${id}`,
    received: hash,
  });
}

/** Checks that the answer is the provider's. */
async function requireAnswer(
  evidence: AuditEvidence,
  id: string,
  chain: ChainReader | undefined,
  assumed: string[],
): Promise<void> {
  const { answer, terms } = evidence;
  if (answer.kind === "chain") {
    if (chain === undefined) assumed.push("that the proof and the randomness of its challenge are on chain");
    else await requireOnChain(chain, evidence, answer, id);
    return;
  }
  if (answer.proof.length === 0) {
    assumed.push("that the provider was asked for a proof and gave none");
    return;
  }
  const signer = chain === undefined ? terms.provider : await readOperator(chain, terms.provider);
  await requireSigned("provider", signer, answerTypedData({ ...evidence, answer }, id), answer.signature, chain);
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

async function requireOnChain(
  chain: ChainReader,
  { chainId, escrow, audit }: AuditEvidence,
  { transactionHash, challengeBlock, randomness, proof }: ChainAnswer,
  id: string,
): Promise<void> {
  const { provider } = chain;
  const transaction = await readChain("reading a proof", () => provider.getTransaction(transactionHash));
  const isThis = ({ terms }: { readonly terms: AuditEvidence["terms"] }) => dataSetId(chainId, escrow, terms) === id;
  const call = parseProveCall(transaction?.data ?? "0x")?.find(isThis);
  const party = "the transaction";
  const carried = call === undefined ? "none" : toHex(encodeProof(readAnswer(party, call.answer).proof));
  requireChainHas("proof of the transaction", carried, toHex(proof));
  const block = transaction?.blockNumber;
  const known =
    block === undefined || block === null
      ? undefined
      : await readProvenRandomness(chain, audit.randomness, BigInt(challengeBlock), block);
  requireChainHas("randomness of the challenge block", known === undefined ? "none" : toHex(known), randomness);
}

function requireChainHas(check: string, expected: string, received: string): void {
  if (expected === received) return;
  throw new IntegrityError("the chain has something else than the evidence says", {
    party: "chain",
    check,
    expected,
    received,
  });
}

async function requireSigned(
  party: "user" | "provider",
  account: string,
  typed: TypedData<object>,
  signature: string,
  chain: ChainReader | undefined,
): Promise<void> {
  const isBy =
    chain === undefined
      ? isKeySignature(account, typed, signature)
      : await isSignatureOf(chain, account, typed, signature);
  if (isBy) return;
  throw new InvalidSignatureError(`the ${party} did not sign what the evidence says`, {
    party,
    check: `signature of ${typed.primaryType}`,
    expected: `by ${account}`,
    ...(chain === undefined ? { hint: "check it with the chain: contracts and operators sign for accounts too" } : {}),
  });
}
