/** Snapshots that devices which only write have left, until the owner of their account has taken them over. */

/** What one device has left. */
export interface DeviceList {
  /** Address of the device, as the database writes it. */
  readonly key: string;
  /** Position of its last entry. */
  readonly position: number;
  /** Position up to which they were taken over. */
  readonly taken: number;
}

export interface StoredEntry {
  /** From 1. */
  readonly position: number;
  /** SHA-256 of the entry before, 32 bytes; zero for the first one. */
  readonly previous: Uint8Array;
  /** SHA-256 of the entry, 32 bytes. */
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
}

export interface WaitingLimits {
  /** Entries of one device that wait. */
  readonly entries: number;
  readonly bytes: number;
}

/** What became of an entry. `place`: another one is to come next. `releases`: another number was counted. */
export type LeaveOutcome = "kept" | "place" | "releases" | "full";

export interface DeviceSnapshotIndex {
  /** Devices of an account that have left some, in the order of their addresses. */
  lists(account: string): Promise<DeviceList[]>;
  /** The last entry of a device, also one that was taken over. */
  last(account: string, key: string): Promise<Uint8Array | undefined>;
  /** Entries after a position, in their order, the first ones up to both limits; one is returned in any case. */
  after(account: string, key: string, position: number, limits: WaitingLimits): Promise<Uint8Array[]>;
  /**
   * Puts an entry behind the last one, by compare-and-swap. The last one itself changes nothing.
   * @param releases as `HeadIndex.releasesOf` tells: another number is in no entry's way once it was counted on
   */
  leave(
    account: string,
    key: string,
    entry: StoredEntry,
    releases: number,
    limits: WaitingLimits,
  ): Promise<LeaveOutcome>;
  /** Removes entries up to a position but the last one of the device. @returns up to which they were taken over */
  take(account: string, key: string, through: number): Promise<number>;
  /** Bytes of all entries of an account that wait. */
  bytesOf(account: string): Promise<number>;
}
