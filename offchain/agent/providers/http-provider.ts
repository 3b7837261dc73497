/**
 * A storage provider behind the HTTP protocol of `core/wire/csp.ts`. Objects are stored by claims: the agent proves
 * that it has each object, and sends those that the provider lacks.
 */

import pRetry from "p-retry";
import type { AuditPublicKey } from "../../core/audit/keys.ts";
import type { OpenedContent } from "../../core/data-set/evidence.ts";
import { contentId } from "../../core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import type { ReleaseAnswer } from "../../core/wire/csp.ts";
import type {
  DataSetOffer,
  DataSetStatus,
  OpenDataSetRequest,
  OpeningsRequest,
  SegmentStatus,
  UpdateAnswer,
  UpdateRequest,
} from "../../core/wire/data-sets.ts";

import type { Received, Receiver } from "../read/object-source.ts";
import { answerChallenges } from "./claim-answers.ts";
import type { CspClient } from "./csp-client.ts";
import type { OwnerGroupKeeper } from "./owner-groups.ts";
import type {
  AuditAnswer,
  BegunSegment,
  ExpectedHead,
  LeftByDevice,
  PowersPart,
  StorageProvider,
  StoreOutcome,
} from "./storage-provider.ts";

/** Attempts at a whole claim after the first. A claim is answered once, so a broken one starts anew. */
const CLAIM_RETRIES = 4;
const CLAIM_DELAY_MILLISECONDS = 300;

/** A provider that speaks the HTTP protocol of `core/wire/csp.ts`. */
export class HttpStorageProvider implements StorageProvider {
  readonly #client: CspClient;
  readonly #headOf: string | undefined;

  /**
   * @param headOf a predecessor of the session's account, whose snapshot list and data sets are read; nobody changes
   *   them any more
   */
  constructor(client: CspClient, headOf?: string) {
    this.#client = client;
    this.#headOf = headOf;
  }

  get account(): string {
    return this.#client.account;
  }

  get url(): string {
    return this.#client.url;
  }

  get name(): string {
    return this.#client.name;
  }

  get ownerGroups(): OwnerGroupKeeper {
    return this.#client.ownerGroups;
  }

  async store(objects: readonly SealedObject[], signal?: AbortSignal): Promise<StoreOutcome> {
    return await pRetry(() => this.#claimAndUpload(objects, signal), {
      retries: CLAIM_RETRIES,
      minTimeout: CLAIM_DELAY_MILLISECONDS,
      randomize: true,
      signal,
      shouldRetry: ({ error }) => error instanceof TallystickError && (error.retryable || isForgottenClaim(error)),
    });
  }

  async fetch(id: string, signal?: AbortSignal): Promise<Uint8Array> {
    const read = async (sealed: Uint8Array) => ({ id: contentId(sealed), sealed });
    return (await this.receive(id, { read }, signal)).sealed;
  }

  async receive<Result extends Received>(
    id: string,
    receiver: Receiver<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    const result = await receiver.read(await this.#bytesOf(id, signal, receiver.allocate));
    const received = result.id;
    if (received !== id) {
      // The provider does not check what it sent lately. Once it knows, the next put heals the object.
      await this.#client.inspectChunks([id], signal).catch(() => undefined);
      throw new IntegrityError(`${this.name} returned other bytes for object ${id}`, {
        party: this.name,
        check: "SHA-256 of the object",
        expected: id,
        received,
        details: { id },
      });
    }
    return result;
  }

  async dataSetOffer(): Promise<DataSetOffer> {
    return await this.#client.dataSetOffer();
  }

  async beginDataSet(salt: string, key: AuditPublicKey, sliceElements: number): Promise<DataSetStatus> {
    return await this.#client.beginDataSet(salt, key, sliceElements);
  }

  async dataSet(salt: string): Promise<DataSetStatus> {
    return await this.#client.dataSet(salt, this.#headOf);
  }

  async appendPowers(salt: string, part: PowersPart, offset: number, bytes: Uint8Array): Promise<DataSetStatus> {
    return await this.#client.appendPowers(salt, part, offset, bytes);
  }

  async beginSegment(salt: string, segment: string, begun: BegunSegment): Promise<SegmentStatus> {
    return await this.#client.beginSegment(salt, segment, begun);
  }

  async appendTags(salt: string, segment: string, offset: number, bytes: Uint8Array): Promise<SegmentStatus> {
    return await this.#client.appendTags(salt, segment, offset, bytes);
  }

  async verifySegment(salt: string, segment: string, signal?: AbortSignal): Promise<SegmentStatus> {
    return await this.#client.verifySegment(salt, segment, signal);
  }

  async openDataSet(salt: string, request: OpenDataSetRequest): Promise<UpdateAnswer> {
    return await this.#client.openDataSet(salt, request);
  }

  async updateDataSet(salt: string, request: UpdateRequest): Promise<UpdateAnswer> {
    return await this.#client.updateDataSet(salt, request);
  }

  async auditDataSet(salt: string, sealed: Uint8Array): Promise<AuditAnswer> {
    return await this.#client.auditDataSet(salt, sealed);
  }

  async openCommitments(salt: string, request: OpeningsRequest): Promise<OpenedContent> {
    return await this.#client.openCommitments(salt, request, this.#headOf);
  }

  async head(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    try {
      return await this.#client.head(signal, this.#headOf);
    } catch (error) {
      if (error instanceof TallystickError && error.code === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  async replaceHead(expected: ExpectedHead, sealed: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#client.replaceHead(expected, sealed, signal);
      return true;
    } catch (error) {
      if (error instanceof TallystickError && error.code === "CONFLICT") return false;
      throw error;
    }
  }

  async stubFile(dataId: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    try {
      return await this.#client.stubFile(dataId, signal);
    } catch (error) {
      if (error instanceof TallystickError && error.code === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  async replaceStubFile(dataId: string, expected: number, sealed: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#client.replaceStubFile(dataId, expected, sealed, signal);
      return true;
    } catch (error) {
      if (error instanceof TallystickError && error.code === "CONFLICT") return false;
      throw error;
    }
  }

  async parcel(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    try {
      return await this.#client.parcel(key, signal);
    } catch (error) {
      if (error instanceof TallystickError && error.code === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  async leaveParcel(key: string, sealed: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#client.leaveParcel(key, sealed, signal);
  }

  get isOfPredecessor(): boolean {
    return this.#headOf !== undefined;
  }

  async deviceLists(signal?: AbortSignal): Promise<readonly LeftByDevice[]> {
    try {
      return await this.#client.deviceLists(signal, this.#headOf);
    } catch (error) {
      if (error instanceof TallystickError && error.code === "NOT_FOUND") return [];
      throw error;
    }
  }

  async deviceEntries(key: string, position: number, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    return await this.#client.deviceEntries(key, position, signal, this.#headOf);
  }

  async lastDeviceEntry(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    try {
      return await this.#client.lastDeviceEntry(key, signal);
    } catch (error) {
      if (error instanceof TallystickError && error.code === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  async leaveEntry(key: string, entry: Uint8Array, releases: number, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#client.leaveEntry(key, entry, releases, signal);
      return true;
    } catch (error) {
      if (error instanceof TallystickError && error.code === "CONFLICT") return false;
      throw error;
    }
  }

  async tookEntries(key: string, position: number, signal?: AbortSignal): Promise<void> {
    await this.#client.tookEntries(key, position, signal);
  }

  async keep(ids: readonly string[], signal?: AbortSignal): Promise<readonly string[]> {
    return await this.#client.keep(ids, signal);
  }

  async releases(signal?: AbortSignal): Promise<number> {
    return (await this.#client.usage(signal)).releases;
  }

  async release(ids: readonly string[], version: number, signal?: AbortSignal): Promise<ReleaseAnswer | undefined> {
    try {
      return await this.#client.release(ids, version, signal);
    } catch (error) {
      if (error instanceof TallystickError && error.code === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  /** A provider that has lost an object fails the user as one that returns other bytes does. */
  async #bytesOf(
    id: string,
    signal: AbortSignal | undefined,
    allocate: (() => Uint8Array) | undefined,
  ): Promise<Uint8Array> {
    try {
      return await this.#client.chunk(id, signal, allocate);
    } catch (error) {
      if (!(error instanceof TallystickError) || error.code !== "NOT_FOUND") throw error;
      throw new IntegrityError(`${this.name} has lost object ${id}`, {
        party: this.name,
        check: "stored bytes",
        expected: id,
        received: error.received ?? "nothing",
        hint: "audit the data and report the miss",
        details: { id },
        cause: error,
      });
    }
  }

  async #claimAndUpload(objects: readonly SealedObject[], signal: AbortSignal | undefined): Promise<StoreOutcome> {
    const chunks = objects.map(({ id, sealed }) => ({ id, sizeBytes: sealed.length }));
    const claim = await this.#client.claim(chunks, signal);
    const answers = answerChallenges(this.#client, objects, claim.challenges);
    const { owned, missing } = await this.#client.answerClaim(claim.claimId, answers, signal);
    const absent = new Set(missing);
    const answered = new Set([...owned, ...missing]);
    const silent = objects.find(({ id }) => !answered.has(id));
    if (silent !== undefined) throw unanswered(this.name, silent.id);
    const toUpload = objects.filter(({ id }) => absent.has(id));
    if (toUpload.length > 0) {
      const stored = new Set(await this.#client.storeChunks(toUpload, signal));
      const refused = toUpload.find(({ id }) => !stored.has(id));
      if (refused !== undefined) throw unanswered(this.name, refused.id);
    }
    return { uploaded: new Set(toUpload.map(({ id }) => id)) };
  }
}

/** The provider keeps claims in memory: one that was lost in a restart, or evicted, is made anew. */
function isForgottenClaim(error: TallystickError): boolean {
  return error.code === "NOT_FOUND" && error.check === "claim";
}

function unanswered(party: string, id: string): TallystickError {
  return new TallystickError(`${party} did not say what became of object ${id}`, {
    code: "BAD_RESPONSE",
    party,
    check: "ids in the answer",
    expected: id,
  });
}
