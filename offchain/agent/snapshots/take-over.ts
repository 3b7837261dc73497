/** Takes what devices that only write have left at a provider over into the list there, as far as it may be. */

import { TallystickError } from "../../core/errors.ts";
import { MAX_HEAD_PAGES, type TakenOver } from "../../core/snapshot/list-objects.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { DeviceFault, DeviceSource, Takeover } from "./device-source.ts";

/** Devices fill no more of a list than half of it: whoever has stolen one must not keep the owner from listing. */
const MAX_PAGES_BY_DEVICES = MAX_HEAD_PAGES / 2;

/** What devices have left that is not in the list. */
export interface LeftSnapshots {
  readonly snapshots: readonly Snapshot[];
  readonly faults: readonly DeviceFault[];
  /** Whether some were taken over, here or by another home. */
  readonly isChanged: boolean;
}

export interface TakeOverOptions {
  readonly acceptGaps: boolean;
  /** @returns whether the list says so much to be taken over: only that may the provider be told */
  readonly takeOver: (takeover: Takeover) => Promise<boolean>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * What goes wrong is told, and hides nothing of the list or of other devices.
 * @param devices none at a list that has none
 * @param provider its name
 * @param taken what the list says to be taken over
 */
export async function takeOverFrom(
  devices: DeviceSource | undefined,
  provider: string,
  taken: readonly TakenOver[],
  { acceptGaps, takeOver, signal }: TakeOverOptions,
): Promise<LeftSnapshots> {
  const faults: DeviceFault[] = [];
  const snapshots: Snapshot[] = [];
  let isChanged = false;
  if (devices === undefined) return { snapshots, faults, isChanged };
  const attempt = async (device: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      faults.push({ device, error });
    }
  };
  await attempt(provider, async () => {
    const left = await devices.read(taken, acceptGaps, signal);
    faults.push(...left.faults);
    snapshots.push(...left.others);
    for (const takeover of left.takeovers) {
      const waiting = takeover.snapshots;
      let isTaken = false;
      if (!devices.isOfPredecessor) {
        await attempt(takeover.upTo.device, async () => {
          isTaken = await takeOver(takeover);
          isChanged = true;
          if (isTaken) await devices.took([takeover.upTo], signal);
        });
      }
      if (!isTaken) snapshots.push(...waiting);
    }
    if (!devices.isOfPredecessor) await devices.took(left.untold, signal);
  });
  return { snapshots, faults, isChanged };
}

/** @throws TallystickError CONFLICT when what a device has left would make the list too long */
export function requirePagesOf(pages: number, provider: string, device: string): void {
  if (pages <= MAX_PAGES_BY_DEVICES) return;
  throw new TallystickError(`the snapshot list at ${provider} is too long to take over what device ${device} left`, {
    code: "CONFLICT",
    party: `device ${device}`,
    check: "length of the snapshot list",
    expected: `at most ${MAX_PAGES_BY_DEVICES} pages`,
    received: `${pages} pages`,
    hint: "remove snapshots with `tallystick forget` or `tallystick rm`; what the device has left stays where it is",
  });
}
