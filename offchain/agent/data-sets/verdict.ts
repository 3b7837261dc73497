/**
 * Who is at fault for one challenge to a data set, user or provider: a proof that anybody can check, the opened
 * commitments of the slices that it draws, and their ciphertexts. Can be exported as evidence for others.
 */

import { randomBytes } from "#primitives";
import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { countSlices, expandChallenge } from "../../core/audit/challenge.ts";
import { encodeProof } from "../../core/audit/proof.ts";
import { auditReady } from "../../core/audit/ready.ts";
import { DEFAULT_VERDICT_DRAWS, type Fault, faultOf, type Verdict, verdictOf } from "../../core/audit/verdict.ts";
import { NO_CONTENT } from "../../core/data-set/content.ts";
import {
  type AuditEvidence,
  type ChainAnswer,
  encodeEvidenceHead,
  MAX_EVIDENCE_SLICES,
  type OpenedContent,
} from "../../core/data-set/evidence.ts";
import { decodeLiveRanges } from "../../core/data-set/ranges.ts";
import { agreedContentHash, type Examination, verifyEvidence } from "../../core/data-set/verify-evidence.ts";
import { encodeCbor } from "../../core/encoding/cbor.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { MAX_OPENINGS } from "../../core/wire/data-sets.ts";
import type { AgentContext } from "../context.ts";
import type { AuditAnswer, DataSetKeeper, ObjectStorage } from "../providers/storage-provider.ts";
import { restate } from "../restate-error.ts";
import { requireSignedByProvider } from "./account-signatures.ts";
import { askProof } from "./asking.ts";
import { isLoss, isSilence, nothingLive, notOurs, notProven } from "./audit.ts";
import { answerTypedData } from "./evidence-check.ts";
import type { DataSetOnChain } from "./following.ts";
import type { FoundSet } from "./found-set.ts";
import { keptRanges } from "./kept-ranges.ts";
import type { DataSetKeys } from "./keys.ts";
import { newestProof, readAnswer } from "./proof-on-chain.ts";
import { keysOfSet } from "./set-keys.ts";

export interface VerdictOptions {
  /** Draws of a fresh challenge, with repetition. Default 8. */
  readonly sampleCount?: number;
  /** Takes the newest proof on chain, and all slices that its challenge draws. */
  readonly public?: boolean;
  /** Receives the evidence, piece by piece. */
  readonly onEvidence?: (piece: Uint8Array) => Promise<void>;
  readonly signal?: AbortSignal;
}

export interface VerdictReport extends Examination {
  readonly provider: string;
  readonly verdict: Verdict;
  /** When the user says that the provider did not prove. */
  readonly faultIfDenied: Fault;
  readonly fault: Fault;
  readonly mode: "private" | "public";
  readonly sampleCount: number;
  /** Distinct slices that were drawn. */
  readonly drawnSlices: number;
  /** Of the ciphertexts that were fetched. */
  readonly revealedBytes: number;
  readonly seconds: number;
}

type Keeper = DataSetKeeper & Pick<ObjectStorage, "fetch">;

/**
 * Has the provider prove, opens the commitments of what was drawn, fetches the ciphertexts, and checks all of it as
 * anybody can.
 * @throws TallystickError NOT_OWNER for another account's set, NOT_FOUND when nothing is live or proven;
 *   InvalidInputError for too many draws; whatever keeps the provider from answering and does not say that data is
 *   lost, UNREACHABLE and TIMED_OUT with what to do instead
 */
export async function findVerdict(
  context: AgentContext,
  opened: OpenedDataSet,
  onChain: DataSetOnChain,
  provider: Keeper,
  options: VerdictOptions = {},
): Promise<VerdictReport> {
  try {
    return await reachVerdict(context, opened, onChain, provider, options);
  } catch (error) {
    throw error instanceof TallystickError && isSilence(error) ? noVerdict(opened, error) : error;
  }
}

/** A provider that is silent proves nothing, shows nothing, and admits nothing: only the chain can decide. */
function noVerdict({ id, terms }: OpenedDataSet, error: TallystickError): TallystickError {
  const onChain =
    terms.mode === "on-demand"
      ? `\`tallystick dispute ${id}\` makes it prove on chain, or compensate you`
      : `see \`tallystick data-set show ${id}\` for epochs that it misses: \`data-set settle\` reports them, and its ` +
        "collateral compensates you";
  return restate(error, `no verdict while the provider does not answer: ${error.message}`, {
    hint:
      "each of the four (intact, damaged, unproven, bad-tags) needs what the provider alone can open; if it stays " +
      `silent, ${onChain}`,
  });
}

async function reachVerdict(
  context: AgentContext,
  opened: OpenedDataSet,
  onChain: DataSetOnChain,
  provider: Keeper,
  options: VerdictOptions,
): Promise<VerdictReport> {
  const started = performance.now();
  await auditReady();
  const keys = await keysOfSet(context, opened);
  if (keys === undefined) throw notOurs(opened.id);
  const isPublic = options.public === true;
  const failures: TallystickError[] = [];
  const asked = isPublic
    ? await provenOnChain(context, opened)
    : await provenNow(context, { opened, onChain, key: keys.publicKey }, provider, options, failures);
  const drawn = [...new Set(expandChallenge(asked.challenge).indices)].sort((a, b) => a - b);
  requireDrawn(drawn.length);
  const content = await tolerating(
    failures,
    () => openAll(provider, opened.audit.salt, agreedContentHash(asked), drawn, options.signal),
    { before: NO_CONTENT, segments: [], slices: [] },
  );
  const evidence: AuditEvidence = { ...asked, content };
  await options.onEvidence?.(encodeEvidenceHead(evidence));
  let revealedBytes = 0;
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    for (const id of chunksOf(content)) {
      options.signal?.throwIfAborted();
      const chunk = await tolerating(failures, () => provider.fetch(id, options.signal), undefined);
      if (chunk === undefined) continue;
      revealedBytes += chunk.length;
      await options.onEvidence?.(encodeCbor(chunk));
      yield chunk;
    }
  };
  const examined = await verifyEvidence(evidence, chunks());
  const verdict = verdictOf(examined);
  if (verdict === "damaged") context.noticeLoss();
  return {
    ...examined,
    failures: [...failures, ...examined.failures],
    provider: opened.terms.provider,
    verdict,
    fault: faultOf(verdict, false),
    faultIfDenied: faultOf(verdict, true),
    mode: isPublic ? "public" : "private",
    sampleCount: asked.challenge.sampleCount,
    drawnSlices: drawn.length,
    revealedBytes,
    seconds: (performance.now() - started) / 1000,
  };
}

const NO_ANSWER: AuditAnswer = { proof: new Uint8Array() };

type Asked = Omit<AuditEvidence, "content">;

/** A proof over a fresh challenge. */
async function provenNow(
  context: AgentContext,
  { opened, onChain, key }: FoundSet & { readonly key: DataSetKeys["publicKey"] },
  provider: Keeper,
  { sampleCount = DEFAULT_VERDICT_DRAWS }: VerdictOptions,
  failures: TallystickError[],
): Promise<Asked> {
  const chain = await context.chain();
  const { id, terms, audit } = opened;
  const ranges = decodeLiveRanges(await keptRanges(chain, opened, onChain));
  if (ranges.length === 0) throw nothingLive(id);
  requireDrawn(Math.min(sampleCount, countSlices(ranges)));
  const challenge = { seed: randomBytes(32), sampleCount, ranges };
  const { deployment } = context;
  const facts = { chainId: BigInt(deployment.chainId), escrow: deployment.contracts.storageEscrow, terms, audit };
  const asked = { ...facts, key, agreement: await agreementOf(context, opened, onChain), challenge };
  const { proof, signature = "0x" } = await tolerating(
    failures,
    (): Promise<AuditAnswer> => askProof(context, provider, audit.salt, challenge, true),
    NO_ANSWER,
  );
  if (proof.length > 0) {
    const typed = answerTypedData({ ...asked, answer: { kind: "asked", proof, signature } }, id);
    await requireSignedByProvider(chain, provider, typed, signature, "its answer");
  }
  return { ...asked, answer: { kind: "asked", proof, signature } };
}

/** The newest state: with both signatures where this device has them, or as the chain has it. */
async function agreementOf(
  { platform }: AgentContext,
  { audit }: OpenedDataSet,
  { schedule, scheduled }: DataSetOnChain,
): Promise<AuditEvidence["agreement"]> {
  const signed = (await platform.dataSets.set(audit.salt))?.signed;
  const isNewest = signed?.version === schedule.version && signed.contentHash === schedule.contentHash;
  if (
    signed?.providerSignature === undefined ||
    !isNewest ||
    signed.retirements !== schedule.retirements ||
    toHex(signed.ranges) !== toHex(scheduled.ranges)
  ) {
    return { kind: "scheduled", schedule: scheduled.schedule };
  }
  const { version, retirements, ranges, contentHash, deadlineBlock, userSignature, providerSignature } = signed;
  return {
    kind: "signed",
    version,
    retirements,
    ranges,
    contentHash,
    deadlineBlock,
    userSignature,
    providerSignature,
  };
}

/** The newest proof on chain. */
async function provenOnChain(context: AgentContext, opened: OpenedDataSet): Promise<Asked> {
  const found = await newestProof(await context.chain(), opened);
  if (found === undefined) throw notProven(opened);
  const { deployment } = context;
  const { terms, audit } = opened;
  const { call, seed, challengeBlock, randomness, place } = found;
  const { key, proof } = readAnswer(`provider ${terms.provider}`, call.answer);
  const answer: ChainAnswer = {
    kind: "chain",
    proof: encodeProof(proof),
    challengeBlock,
    randomness: toHex(randomness),
    transactionHash: place.transactionHash,
  };
  return {
    chainId: BigInt(deployment.chainId),
    escrow: deployment.contracts.storageEscrow,
    terms,
    audit,
    key,
    agreement: { kind: "scheduled", schedule: call.schedule },
    challenge: { seed, sampleCount: audit.sampleCount, ranges: decodeLiveRanges(call.ranges) },
    answer,
  };
}

/** Opens all slices, some at a time. @param indices ascending, so that the first answer has all segments */
async function openAll(
  provider: Keeper,
  salt: string,
  contentHash: string,
  indices: readonly number[],
  signal: AbortSignal | undefined,
): Promise<OpenedContent> {
  const answers: OpenedContent[] = [];
  for (let first = 0; first < indices.length; first += MAX_OPENINGS) {
    signal?.throwIfAborted();
    const some = indices.slice(first, first + MAX_OPENINGS);
    answers.push(await provider.openCommitments(salt, { contentHash, indices: [...some] }));
  }
  const [all] = answers;
  if (all === undefined) throw new TallystickError("a challenge draws nothing", { code: "INTERNAL" });
  const asked = new Set(indices);
  // Of a slice that was not asked for, nothing follows.
  const slices = answers.flatMap((answer) => answer.slices).filter(({ index }) => asked.delete(index));
  return { before: all.before, segments: all.segments, slices };
}

/** Ids of the chunks that slices are made of, each once. */
function chunksOf({ slices }: OpenedContent): Set<string> {
  return new Set(slices.flatMap(({ pieces }) => pieces.map(({ digest }) => contentIdFromDigest(digest))));
}

/** Takes a failure that says or suggests that data is lost as an answer, and notes it. */
async function tolerating<Result, Instead>(
  failures: TallystickError[],
  ask: () => Promise<Result>,
  instead: Instead,
): Promise<Result | Instead> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof TallystickError) || !isLoss(error)) throw error;
    failures.push(error);
    return instead;
  }
}

function requireDrawn(slices: number): void {
  if (slices <= MAX_EVIDENCE_SLICES) return;
  throw new InvalidInputError("a verdict over so many slices is too large", {
    party: "you",
    check: "drawn slices",
    expected: `at most ${MAX_EVIDENCE_SLICES}`,
    received: String(slices),
    hint: "ask for fewer draws; an audit with many draws needs no chunks",
  });
}
