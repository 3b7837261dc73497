/** A device that keeps a data set at a provider process: the least that the wire format asks for. */
import { concatBytes } from "@noble/hashes/utils.js";
import { keccak256, type Signer } from "ethers";
import { randomBytes } from "#primitives";
import { depositCall, readSchedule, scheduleOf } from "../../../offchain/chain/data-set-escrow.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { SliceRange } from "../../../offchain/core/audit/challenge.ts";
import { G1_EXPANDED_BYTES } from "../../../offchain/core/audit/curve.ts";
import {
  type AuditPublicKey,
  auditKeyHash,
  auditPublicKey,
  type DataSetSecrets,
  deriveDataSetSecrets,
} from "../../../offchain/core/audit/keys.ts";
import { encodedManifestHash, encodeManifest } from "../../../offchain/core/audit/manifest.ts";
import { powersOfAlpha, powersOfBeta } from "../../../offchain/core/audit/powers.ts";
import { SliceTagger } from "../../../offchain/core/audit/tags.ts";
import { extendContent, NO_CONTENT } from "../../../offchain/core/data-set/content.ts";
import { type AgreedTerms, type DataSetWishes, termsFromOffer } from "../../../offchain/core/data-set/offer.ts";
import { encodeLiveRanges, joinRanges } from "../../../offchain/core/data-set/ranges.ts";
import { lastLevel } from "../../../offchain/core/data-set/schedule.ts";
import { dataSetId } from "../../../offchain/core/data-set/terms.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { dataSetUpdateTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import type { DataSetOffer, DataSetStatus, UpdateRequest } from "../../../offchain/core/wire/data-sets.ts";
import type { TestChunk } from "../provider-fixture.ts";
import { type Answer, NATIVE, type ProviderClient, type ProviderProcess } from "../provider-process.ts";

export const SLICE_ELEMENTS = 1024;

export interface DeviceSegment {
  readonly name: string;
  readonly firstIndex: number;
  readonly sliceCount: number;
  readonly manifest: Uint8Array;
  readonly manifestHash: string;
  readonly tags: Uint8Array;
}

export class Device {
  readonly chain: ChainReader;
  readonly signer: Signer;
  readonly user: string;
  readonly client: ProviderClient;
  readonly offer: DataSetOffer;
  readonly salt = toHex(randomBytes(32));
  readonly secrets: DataSetSecrets;
  readonly key: AuditPublicKey;
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
    this.secrets = deriveDataSetSecrets(randomBytes(32), randomBytes(32));
    this.key = auditPublicKey(this.secrets, this.secrets.x);
  }

  static async connect(chain: ChainReader, provider: ProviderProcess, signer: Signer): Promise<Device> {
    const client = await provider.connect(signer);
    const offer = (await provider.request("GET", "/v1/data-set-offer")).json as DataSetOffer;
    return new Device(chain, signer, await signer.getAddress(), client, offer);
  }

  get path(): string {
    return `/v1/data-sets/${this.salt}`;
  }

  get id(): string {
    const { chainId, contracts } = this.chain.deployment;
    if (this.agreed === undefined) throw new Error("no terms yet");
    return dataSetId(BigInt(chainId), contracts.dataSetEscrow, this.agreed.terms);
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
    const { X, XA, XB } = this.key;
    const key = { X: toHex(X), XA: toHex(XA), XB: toHex(XB) };
    const begun = ok(await this.client.request("PUT", this.path, { body: { key, sliceElements: SLICE_ELEMENTS } }));
    this.phase = begun.phase;
    const bytes = powersOfAlpha(this.secrets, 0, SLICE_ELEMENTS);
    ok(await this.client.request("PUT", `${this.path}/powers-a?offset=0`, { bytes }));
  }

  /** What a segment over chunks is. */
  segmentOf(chunks: readonly TestChunk[], firstIndex = this.nextIndex): DeviceSegment {
    const tagger = new SliceTagger(this.secrets, this.secrets.x, firstIndex, SLICE_ELEMENTS);
    for (const { bytes } of chunks) tagger.push(bytes);
    const tags = tagger.finish();
    const manifest = encodeManifest({
      version: 1,
      chunks: chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.length })),
    });
    return {
      name: toHex(randomBytes(32)),
      firstIndex,
      sliceCount: tags.length / G1_EXPANDED_BYTES,
      manifest,
      manifestHash: toHex(encodedManifestHash(manifest)),
      tags,
    };
  }

  beginSegment({ name, firstIndex, manifest, manifestHash }: DeviceSegment): Promise<Answer> {
    const bytes = concatBytes(Buffer.from(manifestHash.slice(2), "hex"), manifest);
    return this.client.request("PUT", `${this.path}/segments/${name}?firstIndex=${firstIndex}`, { bytes });
  }

  /** Sends what a segment needs, and has it verified. */
  async send(segment: DeviceSegment): Promise<void> {
    ok(await this.beginSegment(segment));
    const last = segment.firstIndex + segment.sliceCount - 1;
    if (last > this.#sentPowersB) {
      const bytes = powersOfBeta(this.secrets, this.#sentPowersB + 1, last - this.#sentPowersB);
      const offset = this.#sentPowersB * G1_EXPANDED_BYTES;
      ok(await this.client.request("PUT", `${this.path}/powers-b?offset=${offset}`, { bytes }));
      this.#sentPowersB = last;
    }
    const path = `${this.path}/segments/${segment.name}`;
    ok(await this.client.request("PUT", `${path}/tags?offset=0`, { bytes: segment.tags }));
    await this.verify(segment);
  }

  async verify({ name }: DeviceSegment): Promise<void> {
    for (;;) {
      const { state } = ok(await this.client.request("POST", `${this.path}/segments/${name}/verify`));
      if (state !== "verifying" && state !== "open") return;
    }
  }

  /** Uploads chunks, and adds a verified segment of them to what the next state names. */
  async add(...chunks: TestChunk[]): Promise<DeviceSegment> {
    await this.client.upload(...chunks);
    const segment = this.segmentOf(chunks);
    await this.send(segment);
    this.include(segment);
    return segment;
  }

  include({ firstIndex, sliceCount, manifestHash }: DeviceSegment): void {
    this.ranges = joinRanges(this.ranges, [{ firstIndex, count: sliceCount }]);
    this.contentHash = extendContent(this.contentHash, { firstIndex, sliceCount, manifestHash });
    this.nextIndex = firstIndex + sliceCount;
  }

  termsWith(over: Partial<DataSetWishes> = {}): AgreedTerms {
    return termsFromOffer(this.offer, {
      user: this.user,
      token: NATIVE,
      sliceElements: SLICE_ELEMENTS,
      keyHash: toHex(auditKeyHash(this.key)),
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
    const typed = dataSetUpdateTypedData(BigInt(chainId), contracts.dataSetEscrow, {
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
