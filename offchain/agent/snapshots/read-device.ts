/**
 * As the owner: reads and checks what one device has left at a provider.
 *
 * The provider has checked signature, place and time of each entry, so what is wrong with them is its fault: a missing
 * entry, a changed order, an entry of another device, account or chain. Then nothing behind it is taken over until the
 * user accepts the loss; what can be read is shown. What is wrong inside is the device's fault: it is left out, named,
 * and in no other's way.
 *
 * That a device was a live delegate when it signed is checked as far as its own time tells: it had the scope, and the
 * time is before the expiry. A revocation has no time in contract state, and whoever has the key writes what time it
 * likes. What stops it is the provider, which takes nothing from a delegate that was revoked.
 */

import { readDelegation } from "../../chain/delegates.ts";
import { checksumAddress, isAddressEqual } from "../../core/encoding/address.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { ParcelScope } from "../../core/identity/delegate-secrets.ts";
import type { Delegation } from "../../core/identity/delegation.ts";
import {
  type DeviceEntry,
  decodeEntry,
  entryTypedData,
  FIRST_FOLLOWS,
  follows,
  openEntry,
} from "../../core/snapshot/device-entry.ts";
import type { HeadName, TakenOver } from "../../core/snapshot/list-objects.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import { ENTRY_CLOCK_SECONDS, MAX_ENTRIES_READ, MAX_WAITING_ENTRIES } from "../../core/wire/device-snapshots.ts";
import type { AgentContext } from "../context.ts";
import { isKeySignature } from "../data-sets/account-signatures.ts";
import { parcelScope } from "../delegates/parcel-scope.ts";
import type { DeviceSnapshotKeeper, StorageProvider } from "../providers/storage-provider.ts";
import { restate } from "../restate-error.ts";
import { type DeviceFault, type DeviceRead, NO_DEVICE_CHECK } from "./device-source.ts";

type Keeper = DeviceSnapshotKeeper & Pick<StorageProvider, "account" | "name">;
type LastEntry = Pick<DeviceEntry, "position" | "digest">;

export interface DeviceToRead {
  readonly key: string;
  /** Of its last entry, as the provider says. */
  readonly position: number;
  readonly taken: TakenOver | undefined;
  /** The last entry that this home has seen. */
  readonly seen: HeadName | undefined;
  readonly acceptGaps: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * @returns what it has left, and the last entry that was found in its place
 * @throws IntegrityError for a key that is no such device; what the provider throws; ChainUnavailableError
 */
export async function readDevice(
  context: AgentContext,
  provider: Keeper,
  device: DeviceToRead,
): Promise<{ readonly left: Omit<DeviceRead, "untold">; readonly last: LastEntry | undefined }> {
  return await new DeviceReading(context, provider, device, await requireDevice(context, provider, device.key)).run();
}

class DeviceReading {
  readonly #context: AgentContext;
  readonly #provider: Keeper;
  readonly #device: DeviceToRead;
  readonly #delegation: Delegation;
  readonly #scope: ParcelScope;
  readonly #inPlace: Snapshot[] = [];
  readonly #others: Snapshot[] = [];
  /** What the provider shows that is wrong; only the first is told. */
  #broken: TallystickError | undefined;
  /** The first sealed content that is none, and how many there are. */
  #junk: { readonly error: TallystickError; count: number } | undefined;
  #last: LastEntry;
  #inPlaceUpTo: LastEntry | undefined;

  constructor(context: AgentContext, provider: Keeper, device: DeviceToRead, delegation: Delegation) {
    this.#context = context;
    this.#provider = provider;
    this.#device = device;
    this.#delegation = delegation;
    this.#scope = parcelScope(context.deployment, { account: context.account.address, key: device.key }, provider);
    this.#last = device.taken ?? FIRST_FOLLOWS;
  }

  async run(): Promise<{ readonly left: Omit<DeviceRead, "untold">; readonly last: LastEntry | undefined }> {
    const { key, position, taken, signal } = this.#device;
    let read = 0;
    while (this.#last.position < position && read < MAX_WAITING_ENTRIES) {
      const before = this.#last.position;
      const entries = await this.#provider.deviceEntries(key, before, signal);
      for (const bytes of entries.slice(0, MAX_ENTRIES_READ)) await this.#take(bytes);
      read += entries.length;
      if (this.#last.position > before) continue;
      this.#breaks(this.#wrong("position of the snapshot", `${before + 1}`, entries.length === 0 ? "none" : "others"));
      break;
    }
    const upTo = this.#inPlaceUpTo;
    const takeover = upTo && {
      snapshots: this.#inPlace,
      from: taken?.position ?? 0,
      upTo: { device: checksumAddress(fromHex(key)), position: upTo.position, digest: upTo.digest },
    };
    const errors = [this.#broken, this.#junk && junk(key, this.#junk)].filter((error) => error !== undefined);
    const faults: DeviceFault[] = errors.map((error) => ({ device: key, error }));
    return { left: { takeovers: takeover ? [takeover] : [], others: this.#others, faults }, last: upTo };
  }

  async #take(bytes: Uint8Array): Promise<void> {
    const { key, seen } = this.#device;
    const entry = this.#decoded(bytes);
    if (entry === undefined) return;
    if (!isKeySignature(key, entryTypedData(this.#scope, entry, entry.sealed), entry.signature)) {
      this.#breaks(this.#wrong("signature of the snapshot", `by ${key}, for this account, provider and chain`, "none"));
      return;
    }
    if (!follows(entry, this.#last)) {
      const received = entry.position === this.#last.position + 1 ? "one that follows another" : `${entry.position}`;
      this.#breaks(this.#wrong("position of the snapshot", `${this.#last.position + 1}, behind the last`, received));
    }
    if (entry.position <= this.#last.position) return;
    this.#last = entry;
    const id = contentIdFromDigest(entry.digest);
    if (seen?.version === entry.position && seen.id !== id) {
      this.#breaks(this.#wrong(`snapshot ${entry.position} of the device`, seen.id, id));
    }
    const opened = await this.#opened(entry);
    if (this.#broken === undefined) this.#inPlaceUpTo = entry;
    if (opened !== undefined) (this.#broken === undefined ? this.#inPlace : this.#others).push(opened);
  }

  /** The provider has checked it, so what is none is its fault. */
  #decoded(bytes: Uint8Array): DeviceEntry | undefined {
    try {
      return decodeEntry(bytes);
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      this.#breaks(restate(error, `${this.#provider.name}: ${error.message}`, { party: this.#provider.name }));
      return undefined;
    }
  }

  /** @returns undefined for what is the device's fault */
  async #opened(entry: DeviceEntry): Promise<Snapshot | undefined> {
    const { expiresAt } = this.#delegation;
    try {
      if (entry.time >= expiresAt + ENTRY_CLOCK_SECONDS) throw tooLate(entry.time, expiresAt);
      return await openEntry(this.#context.identity.hpkePrivateKey, this.#scope, entry);
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      this.#junk ??= { error, count: 0 };
      this.#junk.count += 1;
      return undefined;
    }
  }

  #breaks(error: TallystickError): void {
    if (!this.#device.acceptGaps) this.#broken ??= error;
  }

  #wrong(check: string, expected: string, received: string): IntegrityError {
    const { name } = this.#provider;
    return new IntegrityError(`${name} does not return what device ${this.#device.key} has left there`, {
      party: name,
      check,
      expected,
      received,
      hint:
        "the provider lost, withholds or reorders snapshots of the device: those behind are shown, and not taken " +
        "over; if the loss is known and accepted, run `tallystick snapshots --accept-older`",
    });
  }
}

/** @throws IntegrityError naming the provider, which takes nothing from others @throws ChainUnavailableError */
async function requireDevice(context: AgentContext, provider: Keeper, key: string): Promise<Delegation> {
  const found = await readDelegation(await context.chain(), key);
  const isOurs = found !== undefined && isAddressEqual(found.account, context.account.address);
  if (isOurs && found.scopes.includes("write")) return found;
  throw new IntegrityError(`${provider.name} returns snapshots of ${key}, which is no device of this account`, {
    party: provider.name,
    check: NO_DEVICE_CHECK,
    expected: `a delegate of ${context.account.address} that may write`,
    received: isOurs ? found.scopes.join(" and ") : "none of this account",
  });
}

function tooLate(time: number, expiresAt: number): IntegrityError {
  return new IntegrityError("the device signed after its delegation had expired", {
    check: "time of the snapshot",
    expected: `before ${expiresAt}`,
    received: String(time),
  });
}

function junk(key: string, { error, count }: { readonly error: TallystickError; count: number }): TallystickError {
  const what = count === 1 ? "something that is no snapshot" : `${count} things that are no snapshots`;
  return restate(error, `device ${key} has left ${what}: ${error.message}`, {
    party: `device ${key}`,
    hint: "it was left out; if somebody else may have the device, run `tallystick delegate revoke`",
  });
}
