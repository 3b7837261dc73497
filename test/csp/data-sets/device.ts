/** A device that keeps a data set at a provider process: the least that the wire format asks for. */
import { keccak256, type Signer } from "ethers";
import { scheduleOf } from "../../../offchain/chain/data-set-words.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { readSchedule } from "../../../offchain/chain/escrow.ts";
import { depositCall } from "../../../offchain/chain/escrow-calls.ts";
import type { SliceRange } from "../../../offchain/core/audit/challenge.ts";
import { G1_EXPANDED_BYTES } from "../../../offchain/core/audit/curve.ts";
import { auditKeyHash, type DataSetSecrets } from "../../../offchain/core/audit/keys.ts";
import { extendContent, NO_CONTENT } from "../../../offchain/core/data-set/content.ts";
import { type AgreedTerms, type DataSetWishes, termsFromOffer } from "../../../offchain/core/data-set/offer.ts";
import { encodeLiveRanges, joinRanges } from "../../../offchain/core/data-set/ranges.ts";
import { lastLevel } from "../../../offchain/core/data-set/schedule.ts";
import { type AskedChallenge, sealChallenge } from "../../../offchain/core/data-set/sealed-challenge.ts";
import { dataSetId } from "../../../offchain/core/data-set/terms.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { dataSetUpdateTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import type { DataSetOffer, DataSetStatus, UpdateRequest } from "../../../offchain/core/wire/data-sets.ts";
import { type AuditedSegment, AuditedSet } from "../audited-data.ts";
import type { TestChunk } from "../provider-fixture.ts";
import { type Answer, NATIVE, type ProviderClient, type ProviderProcess } from "../provider-process.ts";

/** The smallest slices, which tests offer. */
export const SLICE_ELEMENTS = 1024;

export class Device {
  readonly chain: ChainReader;
  readonly signer: Signer;
  readonly user: string;
  readonly client: ProviderClient;
  readonly offer: DataSetOffer;
  /** Slices are of the first size on offer. */
  readonly audited: AuditedSet;
  phase = -1;
  version = 0n;
  agreed: AgreedTerms | undefined;
  nextIndex = 1;
  ranges: SliceRange[] = [];
  contentHash = NO_CONTENT;
  #sentPowersB = 0;

  private constructor(chain: ChainReader, signer: Signer, user: string, client: ProviderClient, offer: DataSetOffer) {
    this.chain = chain;
    this.signer = signer;
    this.user = user;
    this.client = client;
    this.offer = offer;
    this.audited = new AuditedSet(offer.sliceElements[0]);
  }

  static async connect(chain: ChainReader, provider: ProviderProcess, signer: Signer): Promise<Device> {
    const client = await provider.connect(signer);
    const offer = (await provider.request("GET", "/v1/data-set-offer")).json as DataSetOffer;
    return new Device(chain, signer, await signer.getAddress(), client, offer);
  }

  get salt(): string {
    return this.audited.saltHex;
  }

  get secrets(): DataSetSecrets {
    return this.audited.secrets;
  }

  get path(): string {
    return `/v1/data-sets/${this.salt}`;
  }

  get id(): string {
    const { chainId, contracts } = this.chain.deployment;
    if (this.agreed === undefined) throw new Error("no terms yet");
    return dataSetId(BigInt(chainId), contracts.storageEscrow, this.agreed.terms);
  }

  /** Puts money into the user's balance. */
  async deposit(amount: bigint): Promise<void> {
    const call = depositCall(this.chain.deployment, NATIVE, this.user, amount);
    await (await this.signer.sendTransaction({ to: call.to, data: call.data, value: call.value ?? 0n })).wait();
  }

  async status(): Promise<DataSetStatus> {
    return ok(await this.client.request("GET", this.path));
  }

  /** Begins the set and sends the powers of α. */
  async begin(): Promise<void> {
    this.phase = ok(await this.client.request("PUT", this.path, { body: this.audited.request })).phase;
    const bytes = this.audited.powersA;
    ok(await this.client.request("PUT", `${this.path}/powers-a?offset=0`, { bytes }));
  }

  /** What a segment over chunks is. */
  segmentOf(chunks: readonly TestChunk[], firstIndex = this.nextIndex): AuditedSegment {
    return this.audited.segmentOf(chunks, firstIndex);
  }

  beginSegment({
    name,
    firstIndex,
    body: bytes,
  }: Pick<AuditedSegment, "name" | "firstIndex" | "body">): Promise<Answer> {
    return this.client.request("PUT", `${this.path}/segments/${name}?firstIndex=${firstIndex}`, { bytes });
  }

  /** Sends what a segment needs. */
  async deliver(segment: AuditedSegment): Promise<void> {
    ok(await this.beginSegment(segment));
    const last = segment.firstIndex + segment.sliceCount - 1;
    if (last > this.#sentPowersB) {
      const bytes = this.audited.powersB(this.#sentPowersB + 1, last - this.#sentPowersB);
      const offset = this.#sentPowersB * G1_EXPANDED_BYTES;
      ok(await this.client.request("PUT", `${this.path}/powers-b?offset=${offset}`, { bytes }));
      this.#sentPowersB = last;
    }
    const path = `${this.path}/segments/${segment.name}`;
    ok(await this.client.request("PUT", `${path}/tags?offset=0`, { bytes: segment.tags }));
  }

  /** Sends what a segment needs, and has it verified. */
  async send(segment: AuditedSegment): Promise<void> {
    await this.deliver(segment);
    ok(await this.verify(segment));
  }

  /** The answer when the check is over. */
  async verify({ name }: AuditedSegment): Promise<Answer> {
    for (;;) {
      const answer = await this.client.request("POST", `${this.path}/segments/${name}/verify`);
      if (answer.status !== 202) return answer;
    }
  }

  /** Uploads chunks, and adds a verified segment of them to what the next state names. */
  async add(...chunks: TestChunk[]): Promise<AuditedSegment> {
    await this.client.upload(...chunks);
    const segment = this.segmentOf(chunks);
    await this.send(segment);
    this.include(segment);
    return segment;
  }

  include({ firstIndex, sliceCount, manifestHash, commitmentsRoot }: AuditedSegment): void {
    this.ranges = joinRanges(this.ranges, [{ firstIndex, count: sliceCount }]);
    this.contentHash = extendContent(this.contentHash, {
      firstIndex,
      sliceCount,
      manifestHash,
      commitmentsRoot,
    });
    this.nextIndex = firstIndex + sliceCount;
  }

  termsWith(over: Partial<DataSetWishes> = {}): AgreedTerms {
    return termsFromOffer(this.offer, {
      user: this.user,
      token: NATIVE,
      sliceElements: this.audited.sliceElements,
      keyHash: toHex(auditKeyHash(this.audited.key)),
      phase: this.phase,
      salt: this.salt,
      ...over,
    });
  }

  /** The next state, signed. @param over replaces what is signed */
  async state(over: Partial<Omit<UpdateRequest, "userSignature">> = {}): Promise<UpdateRequest> {
    const { chainId, contracts } = this.chain.deployment;
    const head = await this.chain.provider.getBlockNumber();
    const state = {
      version: String(this.version + 1n),
      retirements: 0,
      ranges: toHex(encodeLiveRanges(this.ranges)),
      contentHash: this.contentHash,
      deadlineBlock: head + 60,
      ...over,
    };
    const typed = dataSetUpdateTypedData(BigInt(chainId), contracts.storageEscrow, {
      dataSetId: this.id,
      version: BigInt(state.version),
      retirements: BigInt(state.retirements),
      rangesHash: keccak256(state.ranges),
      contentHash: state.contentHash,
      deadlineBlock: BigInt(state.deadlineBlock),
    });
    return { ...state, userSignature: await this.signer.signTypedData(typed.domain, typed.types, typed.message) };
  }

  openRequest(first: UpdateRequest, agreed = this.agreed): unknown {
    return JSON.parse(
      JSON.stringify({ ...agreed, first }, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
    );
  }

  /** Opens the set with what was added so far. */
  async open(): Promise<Answer> {
    this.agreed = this.termsWith();
    const answer = await this.client.request("POST", `${this.path}/open`, {
      body: this.openRequest(await this.state()),
    });
    if (answer.status === 200) this.version += 1n;
    return answer;
  }

  /** Proposes what was added so far. */
  async update(retirements = 0): Promise<Answer> {
    const answer = await this.propose(await this.state({ retirements }));
    if (answer.status === 200) this.version += 1n;
    return answer;
  }

  propose(state: UpdateRequest): Promise<Answer> {
    return this.client.request("POST", `${this.path}/updates`, { body: state });
  }

  /** Asks for a possession proof. */
  async audit(asked: AskedChallenge): Promise<Answer> {
    const sealed = await sealChallenge(fromHex(this.offer.challengeKey), this.user, fromHex(this.salt), asked);
    return await this.client.request("POST", `${this.path}/audit`, { body: { sealed: toHex(sealed) } });
  }

  /** Has commitments opened. */
  openSlices(indices: readonly number[], contentHash = this.contentHash): Promise<Answer> {
    return this.client.request("POST", `${this.path}/openings`, { body: { contentHash, indices } });
  }

  /** What the chain has of the set. */
  async onChain() {
    const scheduled = await readSchedule(this.chain, this.id, undefined);
    if (scheduled === undefined) return undefined;
    const schedule = scheduleOf(scheduled);
    return { ...scheduled, decoded: schedule, last: lastLevel(schedule) };
  }
}

/** The JSON of an answer that must be a success. */
// biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
export function ok({ status, json }: Answer): any {
  if (status !== 200 && status !== 202) throw new Error(`status ${status}: ${JSON.stringify(json)}`);
  return json;
}
