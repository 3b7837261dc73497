/**
 * The device's part of a list of snapshots: it leaves each of its snapshots at the provider, sealed to the owner of its
 * account, behind the one before. It remembers the last one, so that a provider cannot have it sign one position twice
 * and then show the owner only the second.
 */

import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { IntegrityError, TallystickError } from "../../core/errors.ts";
import type { Delegation } from "../../core/identity/delegation.ts";
import {
  type DeviceEntry,
  decodeEntry,
  encodeEntry,
  entryTypedData,
  nextPlace,
  sealEntry,
} from "../../core/snapshot/device-entry.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { AgentContext } from "../context.ts";
import { isKeySignature } from "../data-sets/account-signatures.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { listNameOf } from "../snapshots/account-keys.ts";
import { releasedMeanwhile } from "../snapshots/confirm-objects.ts";
import { deviceListName } from "../snapshots/devices-of-account.ts";
import type { PreparedPart } from "./device.ts";
import { parcelScope } from "./parcel-scope.ts";

/** Other homes of this device may leave snapshots at the same time. */
const ATTEMPTS = 10;

export interface Leaving {
  readonly provider: StorageProvider;
  readonly part: Pick<PreparedPart, "accountKey">;
  /** Releases that were counted before what the snapshot needs was confirmed; undefined when nobody knows. */
  readonly releases: number | undefined;
}

/**
 * Leaves a snapshot for the owner. Durable when it resolves; a request that is repeated leaves it once.
 * @throws TallystickError as `isReleased` tells when the account has released something meanwhile; IntegrityError when
 *   the provider shows fewer or other snapshots of this device than it had; what the provider throws
 */
export async function leaveSnapshot(
  context: AgentContext,
  delegation: Delegation,
  { provider, part, releases }: Leaving,
  snapshot: Snapshot,
  signal?: AbortSignal,
): Promise<void> {
  // A device cannot read what it has stored, so it cannot tell what to keep: it stores it again.
  if (releases === undefined || (await provider.releases(signal)) !== releases) throw releasedMeanwhile(provider.name);
  const { key } = delegation;
  const scope = parcelScope(context.deployment, delegation, provider);
  const listName = deviceListName(listNameOf(context, provider), delegation.account, key);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const last = await lastEntry(context, provider, delegation, listName, signal);
    const place = nextPlace(last, Math.floor(context.platform.clock.now() / 1000));
    const sealed = await sealEntry(part.accountKey, scope, place, snapshot);
    const signature = await context.account.sign(entryTypedData(scope, place, sealed));
    const entry = encodeEntry(place, fromHex(signature), sealed);
    if (await provider.leaveEntry(key, entry, releases, signal)) {
      const { position, digest } = decodeEntry(entry);
      await context.catalogue.sawListHead(listName, { version: position, id: contentIdFromDigest(digest) });
      return;
    }
    if ((await provider.releases(signal)) !== releases) throw releasedMeanwhile(provider.name);
  }
  throw new TallystickError(`other homes of this device keep leaving snapshots at ${provider.name}`, {
    code: "CONFLICT",
    party: provider.name,
    check: "position of the snapshot",
    hint: "run the command again when they are done",
    retryable: true,
  });
}

/** The last entry of this device at a provider, checked. @throws IntegrityError naming the provider */
async function lastEntry(
  context: AgentContext,
  provider: StorageProvider,
  delegation: Delegation,
  listName: string,
  signal: AbortSignal | undefined,
): Promise<DeviceEntry | undefined> {
  const { key } = delegation;
  const seen = await context.catalogue.listHead(listName);
  const bytes = await provider.lastDeviceEntry(key, signal);
  const wrong = (check: string, expected: string, received: string) =>
    new IntegrityError(`${provider.name} does not return the last snapshot of this device`, {
      party: provider.name,
      check,
      expected,
      received,
      hint:
        "the data is stored, and the provider lost or withholds snapshots that this device has left: tell the owner; " +
        "if the loss is known and accepted, put again with --accept-older",
    });
  if (bytes === undefined) {
    if (seen === undefined) return undefined;
    throw wrong("position of the last snapshot", `at least ${seen.version}`, "none");
  }
  const last = decodeEntry(bytes);
  const scope = parcelScope(context.deployment, delegation, provider);
  if (!isKeySignature(key, entryTypedData(scope, last, last.sealed), last.signature)) {
    throw wrong("signature of the last snapshot", `by ${key}`, "another one");
  }
  const id = contentIdFromDigest(last.digest);
  if (seen !== undefined && last.position < seen.version) {
    throw wrong("position of the last snapshot", `at least ${seen.version}`, String(last.position));
  }
  if (seen?.version === last.position && seen.id !== id) throw wrong("last snapshot", seen.id, id);
  return last;
}

/** Takes what a provider shows for the last snapshot of this device, also when this home has seen a later one. */
export async function acceptOlderEntries(
  context: AgentContext,
  delegation: Delegation,
  provider: Pick<StorageProvider, "account">,
): Promise<void> {
  const listName = deviceListName(listNameOf(context, provider), delegation.account, delegation.key);
  await context.catalogue.forgetListHead(listName);
}
