/** One storage provider, as the agent speaks to it: the routes of `core/wire/csp.ts` with bytes in place of text. */

import { type AuditPublicKey, keyForChain } from "../../core/audit/keys.ts";
import { encodedManifestHash } from "../../core/audit/manifest.ts";
import type { OpenedContent } from "../../core/data-set/evidence.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import { MAX_STUB_FILE_BYTES } from "../../core/revocable/stub-file.ts";
import { MAX_ENTRY_BYTES } from "../../core/snapshot/device-entry.ts";
import { MAX_HEAD_BYTES } from "../../core/snapshot/list-objects.ts";
import {
  CHUNK_FRAMES,
  ClaimAnswer,
  ClaimOutcome,
  InspectAnswer,
  KeepAnswer,
  MAX_CHUNK_BYTES,
  ReleaseAnswer,
  StoreChunksAnswer,
  UsageAnswer,
} from "../../core/wire/csp.ts";
import {
  DataSetAuditAnswer,
  DataSetOffer,
  DataSetStatus,
  type OpenDataSetRequest,
  OpeningsAnswer,
  type OpeningsRequest,
  SegmentStatus,
  UpdateAnswer,
  type UpdateRequest,
} from "../../core/wire/data-sets.ts";
import { ParcelAnswer } from "../../core/wire/delegate-parcels.ts";
import {
  DeviceListsAnswer,
  decodeEntries,
  LeaveEntryAnswer,
  MAX_ENTRIES_BODY_BYTES,
  MAX_ENTRIES_READ,
  TakenAnswer,
} from "../../core/wire/device-snapshots.ts";
import { HeadAnswer } from "../../core/wire/heads.ts";
import { StubFileAnswer } from "../../core/wire/stub-files.ts";
import { chunkFrames } from "../../http/chunk-frames.ts";
import { HttpParty, type PartyOptions } from "../../http/client.ts";
import type { SessionTokens } from "../../http/sessions.ts";
import { OwnerGroupClient } from "./owner-groups.ts";
import { ProviderCalls } from "./provider-calls.ts";
import type { AuditAnswer, BegunSegment, ExpectedHead, PowersPart } from "./storage-provider.ts";

/** Checks of powers and tags, and transactions of the provider, take longer than other answers. */
const LONG_DEADLINE_SECONDS = 300;
/** A parcel is shorter, an error in its place may not be. */
const MAX_PARCEL_ANSWER_BYTES = 4096;
/** Entries of a device, each with its length. */
const MAX_ENTRIES_ANSWER_BYTES = MAX_ENTRIES_BODY_BYTES + MAX_ENTRIES_READ * 4;

export class CspClient {
  readonly url: string;
  readonly ownerGroups: OwnerGroupClient;
  readonly #calls: ProviderCalls;

  constructor(url: string, account: string, sessions: SessionTokens, http: PartyOptions = {}) {
    this.url = url;
    this.#calls = new ProviderCalls(new HttpParty("provider", url, http), account, sessions);
    this.ownerGroups = new OwnerGroupClient(this.#calls);
  }

  /** How errors name it. */
  get name(): string {
    return this.#calls.name;
  }

  /** Account the provider signs with: the audience of sessions. */
  get account(): string {
    return this.#calls.account;
  }

  /** Claims chunks. The answer challenges every one of them, known to the provider or not. */
  async claim(chunks: readonly { id: string; sizeBytes: number }[], signal?: AbortSignal): Promise<ClaimAnswer> {
    return await this.#calls.json("POST", "/v1/claims", ClaimAnswer, { json: { chunks }, signal });
  }

  /**
   * Answers a claim. Once only, so not retried: after a broken connection the claim is made anew.
   * @param answers 32 bytes for each challenge, in the order of the claim
   */
  async answerClaim(claimId: string, answers: readonly Uint8Array[], signal?: AbortSignal): Promise<ClaimOutcome> {
    return await this.#calls.json("POST", `/v1/claims/${claimId}/answers`, ClaimOutcome, {
      json: { answers: answers.map(toHex) },
      signal,
      retries: 0,
    });
  }

  /**
   * Uploads objects, all or nothing; resolves when they are durable. Not retried: after a failure the claim is made
   * anew, which tells what is still missing.
   * @returns their ids
   */
  async storeChunks(objects: readonly SealedObject[], signal?: AbortSignal): Promise<string[]> {
    const pieces = chunkFrames(objects.map(({ id, sealed }) => ({ id, bytes: sealed })));
    const request = { pieces, piecesType: CHUNK_FRAMES, signal, retries: 0 };
    return (await this.#calls.json("POST", "/v1/chunks", StoreChunksAnswer, request)).stored;
  }

  /**
   * Downloads an object. Its bytes are not verified here.
   * @param allocate memory for an object of the largest size. Default: memory of its own.
   */
  async chunk(id: string, signal?: AbortSignal, allocate?: () => Uint8Array): Promise<Uint8Array> {
    return await this.#calls.bytes(`/v1/chunks/${id}`, MAX_CHUNK_BYTES, { signal, allocate });
  }

  /** Has the provider check objects that it returned damaged. @returns those that it has lost */
  async inspectChunks(ids: readonly string[], signal?: AbortSignal): Promise<string[]> {
    return (await this.#calls.json("POST", "/v1/chunks/inspect", InspectAnswer, { json: { ids }, signal })).lost;
  }

  /**
   * The sealed head of the snapshot list.
   * @param of a predecessor of the account, whose list is meant; the account's own unless given
   * @throws TallystickError NOT_FOUND when there is none
   */
  async head(signal?: AbortSignal, of?: string): Promise<Uint8Array> {
    const path = of === undefined ? "/v1/head" : `/v1/head?of=${of}`;
    return await this.#calls.bytes(path, MAX_HEAD_BYTES, { signal });
  }

  /** @param expected what must be in place @throws TallystickError CONFLICT when it is not */
  async replaceHead(
    { version: expected, releases }: ExpectedHead,
    sealed: Uint8Array,
    signal?: AbortSignal,
  ): Promise<HeadAnswer> {
    return await this.#calls.json("PUT", "/v1/head", HeadAnswer, {
      query: { expected, releases },
      pieces: [sealed],
      signal,
    });
  }

  /** The account's sealed stub file of a put. @throws TallystickError NOT_FOUND when there is none */
  async stubFile(dataId: string, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.#calls.bytes(`/v1/stub-files/${dataId}`, MAX_STUB_FILE_BYTES, { signal });
  }

  /** @param expected epoch that must be in place, 0 for none @throws TallystickError CONFLICT when it is not */
  async replaceStubFile(
    dataId: string,
    expected: number,
    sealed: Uint8Array,
    signal?: AbortSignal,
  ): Promise<StubFileAnswer> {
    const request = { query: { expected }, pieces: [sealed], signal };
    return await this.#calls.json("PUT", `/v1/stub-files/${dataId}`, StubFileAnswer, request);
  }

  /** What the account has left for a delegate. @throws TallystickError NOT_FOUND when there is nothing */
  async parcel(key: string, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.#calls.bytes(`/v1/delegates/${key}/parcel`, MAX_PARCEL_ANSWER_BYTES, { signal });
  }

  async leaveParcel(key: string, sealed: Uint8Array, signal?: AbortSignal): Promise<ParcelAnswer> {
    return await this.#calls.json("PUT", `/v1/delegates/${key}/parcel`, ParcelAnswer, { pieces: [sealed], signal });
  }

  /** @param of a predecessor of the account, whose devices are meant; the account's own unless given */
  async deviceLists(signal?: AbortSignal, of?: string): Promise<DeviceListsAnswer["devices"]> {
    const path = of === undefined ? "/v1/delegates/snapshots" : `/v1/delegates/snapshots?of=${of}`;
    return (await this.#calls.json("GET", path, DeviceListsAnswer, { signal })).devices;
  }

  /** Entries of a device after a position, not verified here. @param of as for `deviceLists` */
  async deviceEntries(key: string, position: number, signal?: AbortSignal, of?: string): Promise<Uint8Array[]> {
    const path = `/v1/delegates/${key}/snapshots?after=${position}${of === undefined ? "" : `&of=${of}`}`;
    return decodeEntries(await this.#calls.bytes(path, MAX_ENTRIES_ANSWER_BYTES, { signal }));
  }

  /** @throws TallystickError NOT_FOUND when the device has left none */
  async lastDeviceEntry(key: string, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.#calls.bytes(`/v1/delegates/${key}/snapshots/last`, MAX_ENTRY_BYTES, { signal });
  }

  /** @throws TallystickError CONFLICT when another entry is last, or something was released */
  async leaveEntry(key: string, entry: Uint8Array, releases: number, signal?: AbortSignal): Promise<LeaveEntryAnswer> {
    const request = { query: { releases }, pieces: [entry], signal };
    return await this.#calls.json("PUT", `/v1/delegates/${key}/snapshots`, LeaveEntryAnswer, request);
  }

  async tookEntries(key: string, through: number, signal?: AbortSignal): Promise<void> {
    await this.#calls.json("POST", `/v1/delegates/${key}/snapshots/taken`, TakenAnswer, { json: { through }, signal });
  }

  /** What the account owns. */
  async usage(signal?: AbortSignal): Promise<UsageAnswer> {
    return await this.#calls.json("GET", "/v1/usage", UsageAnswer, { signal });
  }

  /** @throws TallystickError NOT_FOUND, check `route`, from a provider that does not offer this */
  async release(ids: readonly string[], version: number, signal?: AbortSignal): Promise<ReleaseAnswer> {
    return await this.#calls.json("POST", "/v1/chunks/release", ReleaseAnswer, { json: { ids, version }, signal });
  }

  /** @returns those that the account does not own, or that are lost */
  async keep(ids: readonly string[], signal?: AbortSignal): Promise<string[]> {
    return (await this.#calls.json("POST", "/v1/chunks/keep", KeepAnswer, { json: { ids }, signal })).missing;
  }

  async dataSetOffer(): Promise<DataSetOffer> {
    return await this.#calls.party.json("GET", "/v1/data-set-offer", DataSetOffer);
  }

  async beginDataSet(salt: string, key: AuditPublicKey, sliceElements: number): Promise<DataSetStatus> {
    const json = { key: keyForChain(key), sliceElements };
    return await this.#calls.json("PUT", `/v1/data-sets/${salt}`, DataSetStatus, { json });
  }

  /** @param of a predecessor of the account, whose set is meant; the account's own unless given */
  async dataSet(salt: string, of?: string): Promise<DataSetStatus> {
    return await this.#calls.json("GET", `/v1/data-sets/${salt}`, DataSetStatus, { query: { of } });
  }

  /** Appends to the powers. Not retried: after a failure the provider's own count says where to continue. */
  async appendPowers(salt: string, part: PowersPart, offset: number, bytes: Uint8Array): Promise<DataSetStatus> {
    return await this.#calls.json("PUT", `/v1/data-sets/${salt}/${part}`, DataSetStatus, {
      query: { offset },
      pieces: [bytes],
      retries: 0,
    });
  }

  async beginSegment(
    salt: string,
    segment: string,
    { firstIndex, seed, manifest }: BegunSegment,
  ): Promise<SegmentStatus> {
    return await this.#calls.json("PUT", `/v1/data-sets/${salt}/segments/${segment}`, SegmentStatus, {
      query: { firstIndex },
      pieces: [encodedManifestHash(manifest), seed, manifest],
    });
  }

  /** Appends to the tags of a segment. Not retried, as `appendPowers`. */
  async appendTags(salt: string, segment: string, offset: number, bytes: Uint8Array): Promise<SegmentStatus> {
    return await this.#calls.json("PUT", `/v1/data-sets/${salt}/segments/${segment}/tags`, SegmentStatus, {
      query: { offset },
      pieces: [bytes],
      retries: 0,
    });
  }

  /** Has powers and tags checked. State `verifying` means: ask again. @throws TallystickError INVALID_PROOF */
  async verifySegment(salt: string, segment: string, signal?: AbortSignal): Promise<SegmentStatus> {
    return await this.#calls.json("POST", `/v1/data-sets/${salt}/segments/${segment}/verify`, SegmentStatus, {
      deadlineSeconds: LONG_DEADLINE_SECONDS,
      signal,
    });
  }

  /** Has the provider sign the first state and send it. */
  async openDataSet(salt: string, request: OpenDataSetRequest): Promise<UpdateAnswer> {
    return await this.#calls.json("POST", `/v1/data-sets/${salt}/open`, UpdateAnswer, {
      json: request,
      deadlineSeconds: LONG_DEADLINE_SECONDS,
    });
  }

  /** Has the provider sign the next state and send it. */
  async updateDataSet(salt: string, request: UpdateRequest): Promise<UpdateAnswer> {
    return await this.#calls.json("POST", `/v1/data-sets/${salt}/updates`, UpdateAnswer, {
      json: request,
      deadlineSeconds: LONG_DEADLINE_SECONDS,
    });
  }

  /** @param sealed challenge @returns the answer, not verified here */
  async auditDataSet(salt: string, sealed: Uint8Array): Promise<AuditAnswer> {
    const { proof, signature } = await this.#calls.json("POST", `/v1/data-sets/${salt}/audit`, DataSetAuditAnswer, {
      json: { sealed: toHex(sealed) },
      deadlineSeconds: LONG_DEADLINE_SECONDS,
    });
    return { proof: fromHex(proof), ...(signature === undefined ? {} : { signature }) };
  }

  /** @returns what the provider shows, not verified here */
  /** @param of as for `dataSet` */
  async openCommitments(salt: string, request: OpeningsRequest, of?: string): Promise<OpenedContent> {
    const { before, segments, slices } = await this.#calls.json(
      "POST",
      `/v1/data-sets/${salt}/openings`,
      OpeningsAnswer,
      {
        json: request,
        query: { of },
        deadlineSeconds: LONG_DEADLINE_SECONDS,
      },
    );
    return {
      before,
      segments,
      slices: slices.map(({ index, blinding, pieces, path }) => ({
        index,
        blinding: fromHex(blinding),
        pieces: pieces.map(({ digest, ...place }) => ({ digest: fromHex(digest), ...place })),
        path: path.map((hash) => fromHex(hash)),
      })),
    };
  }
}
