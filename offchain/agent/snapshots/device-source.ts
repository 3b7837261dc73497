/** What a list of snapshots asks of the devices that leave some at its provider. */

import type { TallystickError } from "../../core/errors.ts";
import type { TakenOver } from "../../core/snapshot/list-objects.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";

/** Check of the error that names a key which is no device of the account. */
export const NO_DEVICE_CHECK = "delegation";

/** What is wrong with what a device has left; `error` names the provider or the device whose fault it is. */
export interface DeviceFault {
  readonly device: string;
  readonly error: TallystickError;
}

/** Snapshots of one device that may go into the list, and what is taken over with them. */
export interface Takeover {
  readonly snapshots: readonly Snapshot[];
  /** Position that the list had taken over before; 0 for none. */
  readonly from: number;
  readonly upTo: TakenOver;
}

export interface DeviceRead {
  readonly takeovers: readonly Takeover[];
  /** Snapshots of devices behind a place where an entry is missing or wrong: shown, and not taken over. */
  readonly others: readonly Snapshot[];
  readonly faults: readonly DeviceFault[];
  /** What the provider does not know to be taken over. */
  readonly untold: readonly TakenOver[];
}

/** What a list asks of the devices at its provider. */
export interface DeviceSource {
  /** Nobody changes the list any more. */
  readonly isOfPredecessor: boolean;
  /**
   * @param taken what the list says to be taken over
   * @param acceptGaps a loss is known, and what is left is taken over
   */
  read(taken: readonly TakenOver[], acceptGaps: boolean, signal?: AbortSignal): Promise<DeviceRead>;
  /** Tells the provider what was taken over. @throws what the provider throws */
  took(taken: readonly TakenOver[], signal?: AbortSignal): Promise<void>;
}
