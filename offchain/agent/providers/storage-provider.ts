/**
 * A storage provider as the agent uses it, whatever protocol it speaks: sealed objects are stored and fetched, and
 * data sets make it accountable for them.
 */

import type { AuditPublicKey } from "../../core/audit/keys.ts";
import type { OpenedContent } from "../../core/data-set/evidence.ts";
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
import type { OwnerGroupKeeper } from "./owner-groups.ts";

/** What storing a group of objects came to. */
export interface StoreOutcome {
  /** Ids that had to be sent. */
  readonly uploaded: ReadonlySet<string>;
}

/** Stores and returns sealed objects. */
export interface ObjectStorage {
  /** Makes this account an owner of the objects, sending only those the provider lacks. Durable when it resolves. */
  store(objects: readonly SealedObject[], signal?: AbortSignal): Promise<StoreOutcome>;
  /** @returns the object, verified against its id. @throws IntegrityError naming the provider and the object */
  fetch(id: string, signal?: AbortSignal): Promise<Uint8Array>;
  /** As `fetch`, with the receiver's memory and hash; see `ObjectSource`. Absent: what `fetch` returns is received. */
  receive?<Result extends Received>(id: string, receiver: Receiver<Result>, signal?: AbortSignal): Promise<Result>;
}

/** What has to be in place for a head to be replaced. */
export interface ExpectedHead {
  /** 0 for no head. */
  readonly version: number;
  /** Releases, as the provider had counted them before the objects were confirmed that the list names now. */
  readonly releases: number;
}

/** Keeps the head of this account's snapshot list, and what the list needs. */
export interface HeadKeeper {
  /** How errors name it. */
  readonly name: string;
  /** @returns the sealed head, not verified here; undefined when the provider says that there is none */
  head(signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /**
   * Puts a head in place of another. Durable when it resolves; may be repeated.
   * @returns whether what is expected was in place
   */
  replaceHead(expected: ExpectedHead, sealed: Uint8Array, signal?: AbortSignal): Promise<boolean>;
  /**
   * Says that this account no longer needs these objects, at most `MAX_BODY_CHUNKS`. It owns them for a day longer.
   * @param version of the head that tells so
   * @returns undefined when the provider does not offer this
   * @throws TallystickError CONFLICT when another head is in place
   */
  release(ids: readonly string[], version: number, signal?: AbortSignal): Promise<ReleaseAnswer | undefined>;
  /**
   * Says that this account needs these objects, at most `MAX_BODY_CHUNKS`: releases of them are taken back.
   * @returns those that it does not own, or that are lost
   */
  keep(ids: readonly string[], signal?: AbortSignal): Promise<readonly string[]>;
  /** How many releases of this account the provider has counted, from a number of its own, at least 1. */
  releases(signal?: AbortSignal): Promise<number>;
}

/** Keeps this account's stub files of puts that are revocable. */
export interface StubFileKeeper {
  /** How errors name it. */
  readonly name: string;
  /** Absent at a provider that manages no ownership groups. */
  readonly ownerGroups?: OwnerGroupKeeper;
  /** @returns the sealed file, not verified here; undefined when the provider says that there is none */
  stubFile(dataId: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /**
   * Puts a stub file in place of another. Durable when it resolves; may be repeated.
   * @param expected epoch of the one in place, 0 for none
   * @returns whether that one was in place
   */
  replaceStubFile(dataId: string, expected: number, sealed: Uint8Array, signal?: AbortSignal): Promise<boolean>;
}

/** An answer to a challenge, not verified here. */
export interface AuditAnswer {
  /** Encoded. */
  readonly proof: Uint8Array;
  /** Of the provider, over challenge and proof. */
  readonly signature?: string;
}

/** What a segment is begun with. */
export interface BegunSegment {
  readonly firstIndex: number;
  /** Of its commitments, 32 bytes. */
  readonly seed: Uint8Array;
  /** Encoded. */
  readonly manifest: Uint8Array;
}

export type PowersPart = "powers-a" | "powers-b";

/** Keeps data sets and proves them. Salts and ids of segments are 32 bytes, 0x hex. Answers are not verified here. */
export interface DataSetKeeper {
  /** How errors name it. */
  readonly name: string;
  /** Owner of its collateral, whom terms name. */
  readonly account: string;
  dataSetOffer(): Promise<DataSetOffer>;
  /** Idempotent for one salt, key and slice size. */
  beginDataSet(salt: string, key: AuditPublicKey, sliceElements: number): Promise<DataSetStatus>;
  /** @throws TallystickError NOT_FOUND */
  dataSet(salt: string): Promise<DataSetStatus>;
  /** Appends to the powers. After a failure the provider's own count says where to continue. */
  appendPowers(salt: string, part: PowersPart, offset: number, bytes: Uint8Array): Promise<DataSetStatus>;
  /** Idempotent for one segment. */
  beginSegment(salt: string, segment: string, begun: BegunSegment): Promise<SegmentStatus>;
  /** Appends to the tags of a segment, as `appendPowers`. */
  appendTags(salt: string, segment: string, offset: number, bytes: Uint8Array): Promise<SegmentStatus>;
  /** Has powers and tags checked. State `verifying` means: ask again. @throws TallystickError INVALID_PROOF */
  verifySegment(salt: string, segment: string, signal?: AbortSignal): Promise<SegmentStatus>;
  /** Has the provider sign the first state and send it. Idempotent for one version, as `updateDataSet`. */
  openDataSet(salt: string, request: OpenDataSetRequest): Promise<UpdateAnswer>;
  updateDataSet(salt: string, request: UpdateRequest): Promise<UpdateAnswer>;
  /** @param sealed challenge, to the key of the offer */
  auditDataSet(salt: string, sealed: Uint8Array): Promise<AuditAnswer>;
  /** Opens commitments to slices, at most `MAX_OPENINGS`. */
  openCommitments(salt: string, request: OpeningsRequest): Promise<OpenedContent>;
}

/** Keeps what the owner of an account leaves for its devices. */
export interface ParcelKeeper {
  /** @returns not verified here; undefined when the provider says that there is none @throws as the session */
  parcel(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** Puts a parcel in place of the one before. Durable when it resolves. */
  leaveParcel(key: string, sealed: Uint8Array, signal?: AbortSignal): Promise<void>;
}

/** What a device has left, as the provider says. */
export interface LeftByDevice {
  readonly key: string;
  /** Position of its last entry. */
  readonly position: number;
  /** Position up to which the account has taken them over. */
  readonly taken: number;
}

/** Keeps the snapshots that devices leave for the owner of their account. Nothing is verified here. */
export interface DeviceSnapshotKeeper {
  /** Devices that have left some; none at a provider that does not offer this. */
  deviceLists(signal?: AbortSignal): Promise<readonly LeftByDevice[]>;
  /** Entries after a position, in their order: some at least, if there are any. */
  deviceEntries(key: string, position: number, signal?: AbortSignal): Promise<readonly Uint8Array[]>;
  /** The last entry of a device; undefined when the provider says that there is none. */
  lastDeviceEntry(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /**
   * As the device: puts an entry behind the last one. Durable when it resolves; may be repeated.
   * @param releases as for `replaceHead`
   * @returns whether what is expected was in place
   */
  leaveEntry(key: string, entry: Uint8Array, releases: number, signal?: AbortSignal): Promise<boolean>;
  /** Says that entries up to a position are in the list. */
  tookEntries(key: string, position: number, signal?: AbortSignal): Promise<void>;
}

export interface StorageProvider
  extends ObjectStorage,
    HeadKeeper,
    StubFileKeeper,
    DataSetKeeper,
    ParcelKeeper,
    DeviceSnapshotKeeper {
  /** What is read is of an account that was replaced, and nobody changes it any more. */
  readonly isOfPredecessor: boolean;
  readonly url: string;
}
