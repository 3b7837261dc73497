/**
 * What a device remembers of its data sets. It is a journal, not a cache: which indices were given away, and which
 * states were signed, nobody else knows. Each step is written before it is taken, so that a run after a crash goes on
 * where the earlier one stopped, pays nothing twice, and never gives an index to other data.
 */

import type { AgreedTerms } from "../../core/data-set/offer.ts";
import { TallystickError } from "../../core/errors.ts";

/**
 * `preparing`: tags may be at the provider. `opening`: the first state is signed. `running`: on chain. `ended`: nothing
 * is added any more; what became of it, the chain says.
 */
export type JournaledState = "preparing" | "opening" | "running" | "ended";

/** What was agreed on; it has an id from then on. */
export interface AgreedDataSet extends AgreedTerms {
  /** 32 bytes, 0x hex. */
  readonly id: string;
}

/** The newest schedule that was seen on chain. */
export interface KnownSchedule {
  /** Encoded. */
  readonly schedule: Uint8Array;
  /** Live ranges of its last level, packed. */
  readonly ranges: Uint8Array;
  readonly blockNumber: number;
  /** Of the block of that number: another one there means that the chain was reorganised. */
  readonly blockHash: string;
}

/** A state that this device has signed. Kept until the next one is signed: a reorganisation may undo it on chain. */
export interface SignedByDevice {
  readonly version: bigint;
  /** Of the user alone, as the signature names them. */
  readonly retirements: number;
  /** Packed live ranges. */
  readonly ranges: Uint8Array;
  readonly contentHash: string;
  readonly deadlineBlock: bigint;
  readonly userSignature: string;
  /** Absent until the provider has signed. */
  readonly providerSignature?: string;
  /** Ids of the segments that it adds, by index. */
  readonly segments: readonly string[];
  /** By this block the provider sends it, or a later one, as it said of this state or of an earlier one. */
  readonly waitsUntilBlock?: number;
  /**
   * The provider has no room for it, and has not signed. Its version stays used, because the provider has this device's
   * signature; what it adds is not asked for again unless a put needs it.
   */
  readonly isRefused?: boolean;
}

/** Where the content of a set has gone. */
export interface MovedTo {
  /** The set that has it now. */
  readonly id: string;
  readonly provider: string;
  /** When that was on chain; tells moves there and back apart. */
  readonly blockNumber: number;
}

/** What the last state of a set has left for a later one. */
export interface LeftSlices {
  /** Dead ones that stay live, because the list of ranges is bounded. */
  readonly dead: number;
  /** Whether moving some objects would pay that were too many for one commit. */
  readonly isCompactionDue: boolean;
}

export interface JournaledDataSet {
  /** 32 bytes, 0x hex: all secrets of the set derive from it. */
  readonly salt: string;
  readonly provider: string;
  /** The escrow contract; tells sets of different deployments apart. */
  readonly escrow: string;
  readonly token: string;
  readonly sliceElements: number;
  readonly state: JournaledState;
  /** Whether this device appends to it. One that was found by recovery is audited only. */
  readonly isOwn: boolean;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Grows with every `save`. */
  readonly revision: number;
  /** Next free index. It only moves up: `save` keeps the highest one. */
  readonly nextIndex: number;
  readonly agreed?: AgreedDataSet;
  readonly scheduled?: KnownSchedule;
  readonly signed?: SignedByDevice;
  /** The delegate for whose device the owner has begun it. Absent: for this device. */
  readonly delegate?: string;
  /** Present once it was migrated. */
  readonly movedTo?: MovedTo;
  /** Absent when nothing is left. */
  readonly left?: LeftSlices;
  /** Of the content as the chain has it. */
  readonly contentHash: string;
}

/** Tags of consecutive new slices, made by one put. Its preparation has its id as the salt. */
export interface NewSegment {
  /** 32 bytes, 0x hex. */
  readonly id: string;
  readonly salt: string;
  readonly sliceCount: number;
  /** First index that the prepared tags were made for. They are shifted to the reserved ones while they are sent. */
  readonly taggedFrom: number;
  readonly manifestHash: string;
  /** Unix seconds. */
  readonly createdAt: number;
  /** It holds objects of earlier segments again, so that their slices can go. Absent: false. */
  readonly isCompaction?: boolean;
}

/** `reserved`: its indices are its own for good, its tags may have left the device. `included`: it is on chain. */
export interface JournaledSegment extends NewSegment {
  readonly firstIndex: number;
  /** Over the commitments to its slices, 0x hex; absent until they are computed for the reserved indices. */
  readonly commitmentsRoot?: string;
  readonly state: "reserved" | "included";
}

/** Where an object lies in a segment. */
export interface SegmentObject {
  /** Content id. */
  readonly id: string;
  readonly startByte: number;
  readonly sizeBytes: number;
}

/** Objects of one segment. */
export interface ObjectsOfSegment {
  readonly segment: string;
  /** Content ids. */
  readonly objects: readonly string[];
}

/** What changes together with a set. */
export interface SegmentChanges {
  /** Segments that a set on chain has now. */
  readonly included?: readonly string[];
  /** Segments that no state will have. Their objects are forgotten, their indices stay used. */
  readonly dropped?: readonly string[];
  /** Content ids of objects that the set is not relied on for any more. */
  readonly forgotten?: readonly string[];
  /** Objects that some segments are not relied on for any more. Others may hold them. */
  readonly left?: readonly ObjectsOfSegment[];
}

/** What `save` throws. */
export function savedMeanwhile(salt: string): TallystickError {
  return new TallystickError("another command has changed this data set meanwhile", {
    code: "CONFLICT",
    party: "you",
    check: "revision of the data set in the journal",
    hint: "run the command again",
    retryable: true,
    details: { salt },
  });
}

/** Every write is durable, and done as a whole, when its promise resolves. Addresses are compared without case. */
export interface DataSetJournal {
  /**
   * This device's set at a provider and an escrow, or the one that is prepared for a delegate: the one that has not
   * ended, or the given one, which is added then.
   * Two puts that begin at once get the same one.
   */
  begin(fresh: JournaledDataSet): Promise<JournaledDataSet>;
  /** Oldest first. */
  sets(): Promise<JournaledDataSet[]>;
  set(salt: string): Promise<JournaledDataSet | undefined>;
  /**
   * Adds a set or replaces what is known of it, and changes its segments. Two states must never be signed under one
   * version, so what another program has saved meanwhile is not overwritten.
   * @returns what is known of it now
   * @throws TallystickError CONFLICT (retryable) when the set was saved since it was read
   */
  save(set: JournaledDataSet, changes?: SegmentChanges): Promise<JournaledDataSet>;

  /**
   * Gives a segment the next free indices of its set, and notes what lies in it.
   * @param objects in the order of the segment, one after the other
   * @throws TallystickError INTERNAL when there is no such set
   */
  reserve(segment: NewSegment, objects: readonly SegmentObject[]): Promise<JournaledSegment>;
  /** Notes the root of a segment's commitments. */
  noteCommitments(segment: string, root: string): Promise<void>;
  /** By first index. @param salt only those of this set */
  segments(salt?: string): Promise<JournaledSegment[]>;
  /** The segments that each of the objects lies in. Those in none are left out. */
  holders(salt: string, ids: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;
  /** Objects with bytes at `fromByte` or behind and before `toByte` of a segment, in order. */
  objectsIn(segment: string, fromByte: number, toByte: number): Promise<SegmentObject[]>;

  close(): Promise<void>;
}
