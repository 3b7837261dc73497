/**
 * As the owner: the snapshots that devices which only write have left at a provider. What checks them is loaded when a
 * device has left something new, which most accounts have none of.
 */

import { isAddressEqual } from "../../core/encoding/address.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { TakenOver } from "../../core/snapshot/list-objects.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { AgentContext } from "../context.ts";
import type { DeviceSnapshotKeeper, StorageProvider } from "../providers/storage-provider.ts";
import {
  type DeviceFault,
  type DeviceRead,
  type DeviceSource,
  NO_DEVICE_CHECK,
  type Takeover,
} from "./device-source.ts";

type Keeper = DeviceSnapshotKeeper & Pick<StorageProvider, "account" | "name" | "isOfPredecessor">;

/** Keys that are no devices of the account and that the chain is asked about, before a provider is believed no more. */
const MOST_STRANGE = 16;

export class DevicesOfAccount implements DeviceSource {
  readonly #context: AgentContext;
  readonly #provider: Keeper;
  readonly #listName: string;

  /** @param listName names deployment and provider */
  constructor(context: AgentContext, provider: Keeper, listName: string) {
    this.#context = context;
    this.#provider = provider;
    this.#listName = listName;
  }

  get isOfPredecessor(): boolean {
    return this.#provider.isOfPredecessor;
  }

  async read(heads: readonly TakenOver[], acceptGaps: boolean, signal?: AbortSignal): Promise<DeviceRead> {
    const takeovers: Takeover[] = [];
    const others: Snapshot[] = [];
    const faults: DeviceFault[] = [];
    const untold: TakenOver[] = [];
    const lists = await this.#provider.deviceLists(signal);
    for (const before of heads) {
      const list = lists.find(({ key }) => isAddressEqual(key, before.device));
      const position = list?.position ?? 0;
      if (position < before.position) {
        if (!acceptGaps) faults.push(this.#fewer(before.device, before.position, position));
      } else if ((list?.taken ?? 0) < before.position) untold.push(before);
    }
    let strange = 0;
    for (const { key, position } of lists) {
      const before = heads.find(({ device }) => isAddressEqual(device, key));
      const listName = deviceListName(this.#listName, this.#context.account.address, key);
      const { catalogue } = this.#context;
      if (acceptGaps) await catalogue.forgetListHead(listName);
      const seen = await catalogue.listHead(listName);
      if (before === undefined && seen === undefined && strange === MOST_STRANGE) continue;
      if (seen !== undefined && position < seen.version) faults.push(this.#fewer(key, seen.version, position));
      // Of a list that was lost, the device begins another one when it accepts the loss as well.
      const taken = acceptGaps && before !== undefined && position < before.position ? undefined : before;
      if (position <= (taken?.position ?? 0)) continue;
      try {
        const { readDevice } = await import("./read-device.ts");
        const { left, last } = await readDevice(this.#context, this.#provider, {
          ...{ key, position, taken, seen, acceptGaps },
          signal,
        });
        const from = before?.position ?? 0;
        takeovers.push(...left.takeovers.map((one) => ({ ...one, from })));
        others.push(...left.others);
        faults.push(...left.faults);
        if (last !== undefined) {
          await catalogue.sawListHead(listName, { version: last.position, id: contentIdFromDigest(last.digest) });
        }
      } catch (error) {
        if (!(error instanceof TallystickError)) throw error;
        if (error.check === NO_DEVICE_CHECK) strange += 1;
        faults.push({ device: key, error });
      }
    }
    return { takeovers, others, faults, untold };
  }

  async took(taken: readonly TakenOver[], signal?: AbortSignal): Promise<void> {
    for (const { device, position } of taken) await this.#provider.tookEntries(device, position, signal);
  }

  #fewer(device: string, expected: number, received: number): DeviceFault {
    const { name } = this.#provider;
    const error = new IntegrityError(`${name} returns fewer snapshots of device ${device} than there were`, {
      party: name,
      check: "number of the device's snapshots",
      expected: `at least ${expected}`,
      received: String(received),
      hint:
        "the provider lost or withholds what the device has left since; if the loss is known and accepted, run " +
        "`tallystick snapshots --accept-older`",
    });
    return { device, error };
  }
}

/** Under which the catalogue remembers the last entry of a device. */
export function deviceListName(listName: string, account: string, device: string): string {
  return `${listName}/${account.toLowerCase()}/${device.toLowerCase()}`;
}
