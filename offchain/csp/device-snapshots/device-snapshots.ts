/**
 * Snapshots that devices which only write leave for the owner of their account. The provider checks everything but what
 * is sealed: signature, place, time and size. So an owner that finds an entry whose place or signature is wrong knows
 * that it is the provider's fault, and one whose sealed content is wrong the device's.
 *
 * A device can only add. What it adds in all until the owner takes it over is bounded.
 */
import type { Deployment } from "../../chain/deployment.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidSignatureError, TallystickError } from "../../core/errors.ts";
import { decodeEntry, entryTypedData } from "../../core/snapshot/device-entry.ts";
import {
  type DeviceListsAnswer,
  ENTRY_CLOCK_SECONDS,
  MAX_DEVICE_LISTS,
  MAX_ENTRIES_BODY_BYTES,
  MAX_ENTRIES_READ,
  MAX_WAITING_BYTES,
  MAX_WAITING_ENTRIES,
} from "../../core/wire/device-snapshots.ts";
import { checksumAddress, recoverSigner } from "../../daemon/account-signature.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import { accountOrPredecessor } from "../account-or-predecessor.ts";
import type { AccountQuotas } from "../quotas.ts";

const WAITING = { entries: MAX_WAITING_ENTRIES, bytes: MAX_WAITING_BYTES };
const READ = { entries: MAX_ENTRIES_READ, bytes: MAX_ENTRIES_BODY_BYTES };

export interface DeviceSnapshotServices {
  readonly index: Pick<ProviderIndex, "deviceSnapshots" | "delegates" | "heads" | "successions">;
  readonly quotas: Pick<AccountQuotas, "requireEntry">;
  readonly deployment: Pick<Deployment, "chainId" | "contracts">;
  /** Account of this provider. */
  readonly provider: string;
}

export class DeviceSnapshots {
  readonly #services: DeviceSnapshotServices;
  readonly #now: () => number;

  /** @param now unix seconds */
  constructor(services: DeviceSnapshotServices, now: () => number) {
    this.#services = services;
    this.#now = now;
  }

  /** @param of a predecessor whose devices are meant @throws TallystickError NOT_OWNER for one that is none */
  async lists(account: string, of: string | undefined): Promise<DeviceListsAnswer> {
    const lists = await this.#services.index.deviceSnapshots.lists(await this.#whose(account, of));
    return {
      devices: lists.slice(0, MAX_DEVICE_LISTS).map((list) => ({ ...list, key: checksumAddress(list.key, "key") })),
    };
  }

  /** @throws TallystickError NOT_OWNER as `lists` */
  async after(account: string, of: string | undefined, key: string, position: number): Promise<Uint8Array[]> {
    const whose = await this.#whose(account, of);
    return await this.#services.index.deviceSnapshots.after(whose, key, position, READ);
  }

  /** @throws TallystickError NOT_FOUND when the device has left none */
  async last(account: string, key: string): Promise<Uint8Array> {
    const entry = await this.#services.index.deviceSnapshots.last(account, key);
    if (entry !== undefined) return entry;
    throw new TallystickError("the device has left no snapshot here", {
      code: "NOT_FOUND",
      party: "client",
      check: "snapshots of the device",
      received: key,
    });
  }

  /** @returns up to which entries were taken over */
  async take(account: string, key: string, through: number): Promise<number> {
    return await this.#services.index.deviceSnapshots.take(account, key, through);
  }

  /**
   * Takes the next entry of a device.
   * @param releases of the account, as they were counted before what the snapshot needs was confirmed
   * @returns its position
   * @throws UnknownVersionError, InvalidInputError; InvalidSignatureError for one that another key has signed, or for
   *   another account, provider or chain, or that is not of now; TallystickError NOT_FOUND when the owner has prepared
   *   nothing for the device, CONFLICT for another place or number of releases, RATE_LIMITED when too many wait
   */
  async leave(account: string, key: string, releases: number, bytes: Uint8Array): Promise<number> {
    const { index, quotas, deployment, provider } = this.#services;
    const entry = decodeEntry(bytes);
    const { chainId, contracts } = deployment;
    const scope = { chainId: BigInt(chainId), directory: contracts.accountDirectory, account, key, provider };
    const signer = recoverSigner(entryTypedData(scope, entry, entry.sealed), entry.signature);
    if (signer === undefined || !isAddressEqual(signer, key)) {
      throw new InvalidSignatureError("the device has not signed this snapshot for its account, here", {
        party: "client",
        check: "signature of the entry",
        expected: `by ${key}`,
        received: signer ?? "no signature",
      });
    }
    this.#requireNow(entry.time);
    // Each parcel costs its account a transaction, so the devices that may leave snapshots are bounded by that.
    if ((await index.delegates.parcel(account, key)) === undefined) throw notPrepared(key);
    await quotas.requireEntry(account, bytes.length);
    const { position, previous, digest } = entry;
    const stored = { position, previous, digest, bytes };
    const outcome = await index.deviceSnapshots.leave(account, key, stored, releases, WAITING);
    if (outcome === "kept") return position;
    if (outcome === "full") throw tooMany();
    throw await this.#otherPlace(outcome, account, { position, releases });
  }

  async #whose(account: string, of: string | undefined): Promise<string> {
    return await accountOrPredecessor(this.#services.index.successions, account, of);
  }

  #requireNow(time: number): void {
    const now = this.#now();
    if (Math.abs(time - now) <= ENTRY_CLOCK_SECONDS) return;
    throw new InvalidSignatureError("the snapshot of the device was not signed now", {
      party: "client",
      check: "time of the entry",
      expected: `within ${ENTRY_CLOCK_SECONDS} seconds of ${now}`,
      received: String(time),
      hint: "set the clock of the device",
      details: { nowSeconds: now },
    });
  }

  async #otherPlace(
    outcome: "place" | "releases",
    account: string,
    received: { readonly position: number; readonly releases: number },
  ): Promise<TallystickError> {
    const isPlace = outcome === "place";
    const releases = await this.#services.index.heads.releasesOf(account);
    return new TallystickError(
      isPlace
        ? "the snapshot does not follow the last one that the device has left"
        : "the account has released objects since they were counted on",
      {
        code: "CONFLICT",
        party: "client",
        check: isPlace ? "place of the entry" : "releases of objects",
        expected: isPlace ? "the next position, behind the entry that is last" : String(releases),
        received: String(isPlace ? received.position : received.releases),
        hint: "read the last entry, and sign one that follows",
      },
    );
  }
}

/** Of a device that the owner of its account has left no parcel for. */
export function notPrepared(key: string): TallystickError {
  return new TallystickError("the account has left nothing for this delegate here", {
    code: "NOT_FOUND",
    party: "client",
    check: "parcel",
    received: key,
    hint: "have the owner run `tallystick delegate prepare` with the request of the device",
  });
}

function tooMany(): TallystickError {
  return new TallystickError("too many snapshots of this device wait for the owner of its account", {
    code: "RATE_LIMITED",
    party: "client",
    check: "snapshots that wait",
    // Waiting alone changes nothing.
    retryable: false,
    expected: `at most ${MAX_WAITING_ENTRIES}, of ${MAX_WAITING_BYTES} bytes`,
    hint: "have the owner run `tallystick snapshots`, which takes them over",
  });
}
