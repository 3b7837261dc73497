/**
 * A provider of data sets in memory, which does all of it for real: it checks powers and tags, signs states, sends them
 * to a chain and proves. A test replaces a method to make it lie.
 */

import { setTimeout as pause } from "node:timers/promises";
import { keccak256, toBeHex, type Wallet } from "ethers";
import type { LaneProvider } from "../../offchain/agent/data-sets/lane.ts";
import { termsFromText } from "../../offchain/agent/data-sets/terms-text.ts";
import type { AuditAnswer, BegunSegment, PowersPart } from "../../offchain/agent/providers/storage-provider.ts";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import type { SignedState } from "../../offchain/chain/data-set-words.ts";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import { readDispute, readEscrowClock, readSchedule } from "../../offchain/chain/escrow.ts";
import {
  depositCollateralCall,
  openDataSetCall,
  proveDataSetsCall,
  setOperatorCall,
  updateDataSetCall,
} from "../../offchain/chain/escrow-calls.ts";
import { readRandomness } from "../../offchain/chain/randomness.ts";
import { type AuditChallenge, challengeId } from "../../offchain/core/audit/challenge.ts";
import { pathIn } from "../../offchain/core/audit/commitment-tree.ts";
import { commitmentBlinding } from "../../offchain/core/audit/commitments.ts";
import { sliceBytes } from "../../offchain/core/audit/field.ts";
import { type AuditPublicKey, auditKeyHash } from "../../offchain/core/audit/keys.ts";
import {
  decodeManifest,
  encodedManifestHash,
  ManifestReader,
  sliceLayout,
} from "../../offchain/core/audit/manifest.ts";
import { PowersVerifier } from "../../offchain/core/audit/powers.ts";
import { encodeAnswer, encodeProof } from "../../offchain/core/audit/proof.ts";
import { proveAudit, type SliceSource } from "../../offchain/core/audit/prover.ts";
import { SegmentCommitments } from "../../offchain/core/audit/segment-commitments.ts";
import { TagVerifier } from "../../offchain/core/audit/tags.ts";
import { hpkeKeyPairFromSeed } from "../../offchain/core/crypto/hpke.ts";
import { NO_CONTENT } from "../../offchain/core/data-set/content.ts";
import { challengeSeed } from "../../offchain/core/data-set/epochs.ts";
import type { OpenedContent } from "../../offchain/core/data-set/evidence.ts";
import { type AgreedTerms, requireTermsKeepDataSetOffer } from "../../offchain/core/data-set/offer.ts";
import { decodeLiveRanges, lastIndexOf, rangesHash } from "../../offchain/core/data-set/ranges.ts";
import { openChallenge } from "../../offchain/core/data-set/sealed-challenge.ts";
import { dataSetId } from "../../offchain/core/data-set/terms.ts";
import { contentId, digestOf } from "../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import {
  auditAnswerTypedData,
  challengeKeyTypedData,
  dataSetUpdateTypedData,
  type TypedData,
} from "../../offchain/core/identity/typed-messages.ts";
import type {
  DataSetOffer,
  DataSetStatus,
  OpenDataSetRequest,
  OpeningsRequest,
  SegmentStatus,
  UpdateAnswer,
  UpdateRequest,
} from "../../offchain/core/wire/data-sets.ts";

const POINT_BYTES = 96;

interface HeldSegment {
  readonly id: string;
  readonly firstIndex: number;
  readonly sliceCount: number;
  readonly manifest: Uint8Array;
  readonly seed: Uint8Array;
  readonly commitmentsRoot: string;
  tags: Uint8Array;
  state: SegmentStatus["state"];
}

interface HeldSet {
  readonly salt: string;
  readonly key: AuditPublicKey;
  readonly sliceElements: number;
  powersA: Uint8Array;
  powersB: Uint8Array;
  readonly segments: Map<string, HeldSegment>;
  agreed?: AgreedTerms & { readonly id: string };
  readonly signed: Map<string, UpdateRequest & { readonly providerSignature: string }>;
  newest?: UpdateRequest;
}

export class MemoryDataSetProvider implements LaneProvider {
  readonly name = "provider http://memory";
  readonly account: string;
  readonly objects = new Map<string, Uint8Array>();
  readonly sets = new Map<string, HeldSet>();
  /** Tags by salt and index, of everything that was ever received. An index with two tags lets it forge. */
  readonly tagsSeen = new Map<string, string>();
  readonly forgeries: string[] = [];
  /** Ids that were asked for. */
  readonly fetched: string[] = [];
  /** Points received. */
  receivedBytes = 0;
  phase = 5;
  sends = true;
  /** It keeps states until this block, as it says. */
  waitsUntilBlock: number | undefined;
  changedOffer: Partial<DataSetOffer> = {};
  /** That it was asked, as it has read them. */
  readonly challenges: AuditChallenge[] = [];
  readonly #challengeKeys = hpkeKeyPairFromSeed(new Uint8Array(32).fill(7));
  readonly #wallet: Wallet;
  readonly #chain: ChainReader;

  /** @param wallet connected; with coins for gas and collateral */
  constructor(chain: ChainReader, wallet: Wallet) {
    this.#chain = chain;
    this.#wallet = wallet;
    this.account = wallet.address;
  }

  /** Signs whatever it is given. */
  async sign({ domain, types, message }: TypedData<object>): Promise<string> {
    return await this.#wallet.signTypedData(domain, types, { ...message });
  }

  async addCollateral(amount: bigint): Promise<void> {
    await this.#send(depositCollateralCall(this.#chain.deployment, `0x${"00".repeat(20)}`, this.account, amount));
  }

  /** Names another account to sign for it; it goes on to sign by its own key. */
  async setOperator(operator: string): Promise<void> {
    await this.#send(setOperatorCall(this.#chain.deployment, operator));
  }

  store(sealed: Uint8Array): string {
    const id = contentId(sealed);
    this.objects.set(id, sealed);
    return id;
  }

  async fetch(id: string): Promise<Uint8Array> {
    const object = this.objects.get(id);
    this.fetched.push(id);
    if (object !== undefined) return object;
    throw new TallystickError("an object is lost", { code: "OBJECT_LOST", party: this.name });
  }

  async dataSetOffer(): Promise<DataSetOffer> {
    const { contracts, chainId } = this.#chain.deployment;
    const key = toHex(this.#challengeKeys.publicKey);
    const typed = challengeKeyTypedData(BigInt(chainId), contracts.storageEscrow, { provider: this.account, key });
    return {
      version: 1,
      account: this.account,
      chainId,
      escrow: contracts.storageEscrow,
      verifiers: [contracts.possessionVerifier],
      randomness: [contracts.randomness],
      prices: [
        {
          token: `0x${"00".repeat(20)}`,
          pricePerGibEpoch: String(10n ** 12n),
          minimumFeePerEpoch: "1000",
          pricePerIndexEpoch: "7",
          disputeBond: "500",
        },
      ],
      modes: ["every-epoch"],
      compensationPercent: 100,
      bountyPercent: 10,
      latePercent: 50,
      breachLimit: 3,
      windowBlocks: 10,
      graceBlocks: 5,
      sampleCount: 8,
      sliceElements: [1024],
      maximumIndex: 1000,
      challengeKey: key,
      challengeKeySignature: await this.#wallet.signTypedData(typed.domain, typed.types, { ...typed.message }),
      ...this.changedOffer,
    };
  }

  async beginDataSet(salt: string, key: AuditPublicKey, sliceElements: number): Promise<DataSetStatus> {
    const none = { powersA: new Uint8Array(), powersB: new Uint8Array(), segments: new Map(), signed: new Map() };
    const set = this.sets.get(salt) ?? { salt, key, sliceElements, ...none };
    this.sets.set(salt, set);
    if (toHex(auditKeyHash(key)) !== toHex(auditKeyHash(set.key))) throw conflict("key");
    return this.#statusOf(set);
  }

  async dataSet(salt: string): Promise<DataSetStatus> {
    return this.#statusOf(this.#set(salt));
  }

  async appendPowers(salt: string, part: PowersPart, offset: number, bytes: Uint8Array): Promise<DataSetStatus> {
    const set = this.#set(salt);
    const name = part === "powers-a" ? "powersA" : "powersB";
    set[name] = this.#appended(set[name], offset, bytes);
    return this.#statusOf(set);
  }

  async beginSegment(salt: string, id: string, { firstIndex, seed, manifest }: BegunSegment): Promise<SegmentStatus> {
    const set = this.#set(salt);
    const known = set.segments.get(id);
    const { sliceCount } = sliceLayout(decodeManifest(manifest), set.sliceElements);
    if (known === undefined) {
      const taken = [...set.segments.values()].map((one) => one.firstIndex + one.sliceCount - 1);
      if (taken.some((last) => last >= firstIndex)) throw conflict("first index");
    }
    const segment: HeldSegment = known ?? {
      id,
      firstIndex,
      sliceCount,
      manifest,
      seed,
      commitmentsRoot: committed(seed, firstIndex, set.sliceElements, manifest).root,
      tags: new Uint8Array(),
      state: "open",
    };
    set.segments.set(id, segment);
    return this.#segmentStatus(segment);
  }

  async appendTags(salt: string, id: string, offset: number, bytes: Uint8Array): Promise<SegmentStatus> {
    const segment = this.#segment(salt, id);
    for (let at = 0; at < bytes.length; at += POINT_BYTES) {
      const key = `${salt} ${segment.firstIndex + (offset + at) / POINT_BYTES}`;
      const tag = toHex(bytes.subarray(at, at + POINT_BYTES));
      if ((this.tagsSeen.get(key) ?? tag) !== tag) this.forgeries.push(key);
      this.tagsSeen.set(key, tag);
    }
    segment.tags = this.#appended(segment.tags, offset, bytes);
    return this.#segmentStatus(segment);
  }

  async verifySegment(salt: string, id: string): Promise<SegmentStatus> {
    const set = this.#set(salt);
    const segment = this.#segment(salt, id);
    if (segment.state !== "open") return this.#segmentStatus(segment);
    const powers = new PowersVerifier(set.key);
    powers.checkPowersA(set.powersA, set.sliceElements);
    powers.addPowersB(set.powersB);
    powers.finishPowersB();
    const verifier = new TagVerifier(set.key, set.powersA, set.sliceElements);
    for (let position = 0; position < segment.sliceCount; position += 1) {
      const index = segment.firstIndex + position;
      const powerB = set.powersB.subarray((index - 1) * POINT_BYTES, index * POINT_BYTES);
      verifier.add(this.#sliceOf(set, segment, position), powerB, tagAt(segment, position));
    }
    verifier.finish();
    segment.state = "verified";
    return this.#segmentStatus(segment);
  }

  async openDataSet(salt: string, { terms, audit, first }: OpenDataSetRequest): Promise<UpdateAnswer> {
    const set = this.#set(salt);
    const agreed = termsFromText({ terms, audit });
    requireTermsKeepDataSetOffer(await this.dataSetOffer(), agreed, this.phase);
    const { deployment } = this.#chain;
    const id = dataSetId(BigInt(deployment.chainId), deployment.contracts.storageEscrow, agreed.terms);
    set.agreed = { id, ...agreed };
    return await this.#coSign(set, first, (state) => openDataSetCall(deployment, agreed.terms, agreed.audit, state));
  }

  async updateDataSet(salt: string, request: UpdateRequest): Promise<UpdateAnswer> {
    const set = this.#set(salt);
    const { agreed } = set;
    if (agreed === undefined) throw conflict("not opened");
    const scheduled = await readSchedule(this.#chain, agreed.id, undefined);
    if (scheduled === undefined) throw conflict("not on chain");
    const words = { terms: agreed.terms, schedule: scheduled.schedule, ranges: scheduled.ranges };
    return await this.#coSign(set, request, (state) => updateDataSetCall(this.#chain.deployment, words, state));
  }

  async auditDataSet(salt: string, sealed: Uint8Array): Promise<AuditAnswer> {
    const set = this.#set(salt);
    const user = set.agreed?.terms.user;
    if (user === undefined || set.agreed === undefined) throw conflict("not opened");
    const { privateKey } = this.#challengeKeys;
    const { challenge, isPublic } = await openChallenge(privateKey, user, fromHex(salt), sealed);
    this.challenges.push(challenge);
    const proof = encodeProof(await proveAudit(challenge, this.#source(set), isPublic ? { key: set.key } : {}));
    const { chainId, contracts } = this.#chain.deployment;
    const typed = auditAnswerTypedData(BigInt(chainId), contracts.storageEscrow, {
      dataSetId: set.agreed.id,
      challengeId: toHex(challengeId(challenge)),
      proofHash: keccak256(proof),
    });
    return { proof, signature: await this.#wallet.signTypedData(typed.domain, typed.types, { ...typed.message }) };
  }

  async openCommitments(salt: string, { indices }: OpeningsRequest): Promise<OpenedContent> {
    const set = this.#set(salt);
    const segments = [...set.segments.values()].filter(({ state }) => state === "included");
    const slices = indices.map((index) => {
      const { segment, position } = segmentAt(segments, index);
      const manifest = decodeManifest(segment.manifest);
      const pieces = sliceLayout(manifest, set.sliceElements)
        .segments(position)
        .map(({ chunk, ...place }) => ({ digest: digestOf(manifest.chunks[chunk]?.id ?? ""), ...place }));
      const { leaves } = committed(segment.seed, segment.firstIndex, set.sliceElements, segment.manifest);
      return { index, pieces, blinding: commitmentBlinding(segment.seed, index), path: pathIn(leaves, position) };
    });
    const shown = segments.map(({ firstIndex, sliceCount, manifest, commitmentsRoot }) => {
      return { firstIndex, sliceCount, manifestHash: toHex(encodedManifestHash(manifest)), commitmentsRoot };
    });
    return { before: NO_CONTENT, segments: shown, slices };
  }

  /**
   * Proves the current epoch of a set on chain, or answers the dispute that is open. The challenge block must have
   * passed. @returns the transaction
   */
  async prove(salt: string): Promise<string> {
    const set = this.#set(salt);
    const { agreed } = set;
    if (agreed === undefined) throw conflict("not opened");
    const { epochBlocks } = await readEscrowClock(this.#chain);
    const epoch = Math.floor((await this.#chain.provider.getBlockNumber()) / epochBlocks);
    const dispute = await readDispute(this.#chain, agreed.id);
    const block = dispute?.challengeBlock ?? epoch * epochBlocks + agreed.audit.phase;
    const randomness = await readRandomness(this.#chain, agreed.audit.randomness, BigInt(block));
    const scheduled = await readSchedule(this.#chain, agreed.id, undefined);
    if (randomness === undefined || scheduled === undefined) throw conflict("challenge");
    const { deployment } = this.#chain;
    const escrow = deployment.contracts.storageEscrow;
    const seed = challengeSeed(BigInt(deployment.chainId), escrow, agreed.id, block, randomness);
    const { sampleCount } = agreed.audit;
    const challenge = { seed, sampleCount, ranges: decodeLiveRanges(scheduled.ranges) };
    const proof = await proveAudit(challenge, this.#source(set), { key: set.key });
    const { schedule, ranges } = scheduled;
    const answer = encodeAnswer(set.key, proof);
    const { terms, audit } = agreed;
    const call = { terms, audit, schedule, ranges, answer, evidence: new Uint8Array() };
    return (await this.#send(proveDataSetsCall(deployment, [call]))).hash;
  }

  async #coSign(
    set: HeldSet,
    request: UpdateRequest,
    callOf: (state: SignedState) => ContractCall,
  ): Promise<UpdateAnswer> {
    const { agreed } = set;
    if (agreed === undefined) throw conflict("not opened");
    const ranges = decodeLiveRanges(fromHex(request.ranges));
    const held = [...set.segments.values()].filter(({ state }) => state !== "open");
    for (const range of ranges) {
      for (let index = range.firstIndex; index <= lastIndexOf(range); index += 1) {
        const isHeld = held.some((one) => index >= one.firstIndex && index < one.firstIndex + one.sliceCount);
        if (!isHeld) throw conflict(`slice ${index}`);
      }
    }
    const { chainId, contracts } = this.#chain.deployment;
    const typed = dataSetUpdateTypedData(BigInt(chainId), contracts.storageEscrow, {
      dataSetId: agreed.id,
      version: BigInt(request.version),
      retirements: BigInt(request.retirements),
      rangesHash: rangesHash(ranges),
      contentHash: request.contentHash,
      deadlineBlock: BigInt(request.deadlineBlock),
    });
    const digest = JSON.stringify({ ...request, userSignature: "" });
    const earlier = set.signed.get(`${agreed.id} ${request.version}`);
    if (
      earlier !== undefined &&
      JSON.stringify({ ...earlier, userSignature: "", providerSignature: undefined }) !== digest
    ) {
      this.forgeries.push(`two states under version ${request.version}`);
    }
    const providerSignature = await this.#wallet.signTypedData(typed.domain, typed.types, { ...typed.message });
    set.signed.set(`${agreed.id} ${request.version}`, { ...request, providerSignature });
    set.newest = request;
    const answer = { id: agreed.id, version: request.version, providerSignature };
    for (const segment of held) {
      if (ranges.some((range) => range.firstIndex <= segment.firstIndex && lastIndexOf(range) >= segment.firstIndex)) {
        segment.state = "included";
      }
    }
    if (this.waitsUntilBlock !== undefined) return { ...answer, waitsUntilBlock: this.waitsUntilBlock };
    if (!this.sends) return answer;
    const state: SignedState = {
      version: BigInt(request.version),
      ranges: fromHex(request.ranges),
      contentHash: request.contentHash,
      deadlineBlock: BigInt(request.deadlineBlock),
      userSignature: request.userSignature,
      providerSignature: "0x",
    };
    try {
      return { ...answer, transaction: await this.#send(callOf(state)) };
    } catch {
      return answer;
    }
  }

  async #send({ to, data, value = 0n }: ContractCall): Promise<{ hash: string; blockNumber: number }> {
    const { hash } = await this.#wallet.sendTransaction({ to, data, value: toBeHex(value) });
    // ethers itself asks every four seconds.
    for (;;) {
      const receipt = await this.#chain.provider.getTransactionReceipt(hash);
      if (receipt?.status === 0) throw conflict("transaction");
      if (receipt !== null) return { hash, blockNumber: receipt.blockNumber };
      await pause(10);
    }
  }

  #set(salt: string): HeldSet {
    const set = this.sets.get(salt);
    if (set !== undefined) return set;
    throw new TallystickError("no such data set", { code: "NOT_FOUND", party: this.name });
  }

  /** As a provider lets go of segments when no state that it has signed can include them any more. */
  forgetSegments(salt: string, firstIndex: number): void {
    const { segments } = this.#set(salt);
    for (const [id, segment] of segments) if (segment.firstIndex >= firstIndex) segments.delete(id);
  }

  #segment(salt: string, id: string): HeldSegment {
    const segment = this.#set(salt).segments.get(id);
    if (segment !== undefined) return segment;
    throw new TallystickError("no such segment", { code: "NOT_FOUND", party: this.name });
  }

  #appended(bytes: Uint8Array, offset: number, more: Uint8Array): Uint8Array {
    if (offset !== bytes.length) throw conflict("offset");
    this.receivedBytes += more.length;
    return Uint8Array.from(Buffer.concat([bytes, more]));
  }

  #sliceOf(set: HeldSet, segment: HeldSegment, position: number): Uint8Array {
    const manifest = decodeManifest(segment.manifest);
    const slice = new Uint8Array(sliceBytes(set.sliceElements));
    let at = 0;
    for (const piece of sliceLayout(manifest, set.sliceElements).segments(position)) {
      const object = this.objects.get(manifest.chunks[piece.chunk]?.id ?? "");
      if (object === undefined)
        throw new TallystickError("an object is lost", { code: "OBJECT_LOST", party: this.name });
      slice.set(object.subarray(piece.offsetBytes, piece.offsetBytes + piece.lengthBytes), at);
      at += piece.lengthBytes;
    }
    return slice;
  }

  #source(set: HeldSet): SliceSource {
    const at = (index: number) => segmentAt([...set.segments.values()], index);
    return {
      sliceElements: set.sliceElements,
      powersA: set.powersA,
      readPowersB: async (first, count) =>
        set.powersB.subarray((first - 1) * POINT_BYTES, (first - 1 + count) * POINT_BYTES),
      readTag: async (index) => tagAt(at(index).segment, at(index).position),
      readSlice: async (index) => this.#sliceOf(set, at(index).segment, at(index).position),
    };
  }

  #statusOf(set: HeldSet): DataSetStatus {
    return {
      salt: set.salt,
      auditKeyHash: toHex(auditKeyHash(set.key)),
      sliceElements: set.sliceElements,
      phase: this.phase,
      state: set.agreed === undefined ? "preparing" : "running",
      ...(set.agreed === undefined ? {} : { id: set.agreed.id }),
      powersABytes: set.powersA.length,
      powersBBytes: set.powersB.length,
      ...(set.newest === undefined ? {} : { version: set.newest.version }),
      health: "unknown",
      provenEpochs: 0,
      failedEpochs: 0,
    };
  }

  #segmentStatus(segment: HeldSegment): SegmentStatus {
    const { id, state, firstIndex, sliceCount, manifest, commitmentsRoot, tags } = segment;
    return {
      segment: id,
      state,
      firstIndex,
      sliceCount,
      manifestHash: toHex(encodedManifestHash(manifest)),
      commitmentsRoot,
      tagsExpectedBytes: sliceCount * POINT_BYTES,
      tagsBytes: tags.length,
      checkedSlices: state === "open" ? 0 : sliceCount,
      expiresAt: 0,
    };
  }
}

function committed(seed: Uint8Array, firstIndex: number, sliceElements: number, manifest: Uint8Array) {
  const commitments = new SegmentCommitments(seed, firstIndex, sliceElements);
  const leaves = commitments.push(new ManifestReader().push(manifest));
  leaves.push(...commitments.finish());
  return { leaves, root: toHex(commitments.root()) };
}

function segmentAt(segments: readonly HeldSegment[], index: number) {
  const segment = segments.find(({ firstIndex, sliceCount }) => index >= firstIndex && index < firstIndex + sliceCount);
  if (segment === undefined) throw conflict(`slice ${index}`);
  return { segment, position: index - segment.firstIndex };
}

function tagAt(segment: HeldSegment, position: number): Uint8Array {
  return segment.tags.subarray(position * POINT_BYTES, (position + 1) * POINT_BYTES);
}

function conflict(check: string): TallystickError {
  return new TallystickError(`refused: ${check}`, { code: "CONFLICT", party: "provider http://memory", check });
}
