/** What a put of a delegate is: objects and a key record for another account, which lists them and pays for them. */

import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Delegation } from "../../core/identity/delegation.ts";
import type { KeyMode } from "../../core/recipe/recipe.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { SnapshotKeys } from "../../core/snapshot/snapshot-keys.ts";
import type { AgentContext } from "../context.ts";
import { follow } from "../data-sets/following.ts";
import type { LaneWishes } from "../data-sets/wishes.ts";
import type { PreparedPart } from "../delegates/device.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { accountSnapshotKeys, deviceSnapshotKeys } from "../snapshots/account-keys.ts";

/**
 * @returns undefined for an account that stores for itself
 * @throws TallystickError OUT_OF_SCOPE for a delegate without the scope, or wishes that only the account may have
 */
export async function storingDelegation(
  context: AgentContext,
  { dataSet, keyMode }: { readonly dataSet?: LaneWishes | false; readonly keyMode?: KeyMode },
): Promise<Delegation | undefined> {
  const delegation = await context.delegation();
  if (delegation === undefined) return undefined;
  const { scopes } = delegation;
  if (!scopes.includes("write")) throw refused(delegation, "scope", "write", scopes.join(" and "));
  const wishes = Object.values(dataSet || {}).filter((wish) => wish !== undefined);
  if (wishes.length > 0) throw refused(delegation, "data set", "none", "one with wishes");
  // Stub files are sealed under a key of the account, and are one for all of its devices.
  if (keyMode === "revocable") throw refused(delegation, "key mode", "oprf or merkle", keyMode);
  return delegation;
}

/** Where a put of a delegate goes to. */
export interface DelegatePlaces {
  readonly providers: readonly StorageProvider[];
  /** What the account has prepared there, by account of the provider. */
  readonly prepared: ReadonlyMap<string, PreparedPart>;
}

/**
 * The providers that are named. By default the one with a data set for this delegate that goes on: the one that this
 * device appends to already, else the first of the deployment that has one; the first provider when none has.
 * @throws as `preparedPart`, of a provider that is named, has the set of this device, or is the first
 */
export async function placesOfDelegate(
  context: AgentContext,
  delegation: Delegation,
  wanted: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<DelegatePlaces> {
  const { preparedPart } = await import("../delegates/device.ts");
  const named = context.providers().choose(wanted);
  if (wanted !== undefined) {
    const prepared = new Map<string, PreparedPart>();
    for (const provider of named) {
      const part = await preparedPart(context, delegation, provider, signal);
      if (part !== undefined) prepared.set(provider.account, part);
    }
    return { providers: named, prepared };
  }
  let ended: DelegatePlaces | undefined;
  for (const [place, provider] of (await inOrder(context)).entries()) {
    let part: PreparedPart | undefined;
    try {
      part = await preparedPart(context, delegation, provider, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (place === 0 || !(error instanceof TallystickError) || !error.retryable) throw error;
      context.logger.warn({ code: error.code }, `${error.message}: whether a data set is prepared there is not known`);
    }
    if (part === undefined) continue;
    const places = { providers: [provider], prepared: new Map([[provider.account, part]]) };
    if (await goesOn(context, part)) return places;
    ended ??= places;
  }
  return ended ?? { providers: named, prepared: new Map() };
}

/** Those with a set that this device appends to first. */
async function inOrder(context: AgentContext): Promise<StorageProvider[]> {
  const { storageEscrow } = context.deployment.contracts;
  const sets = (await context.platform.dataSets.sets()).filter(
    ({ isOwn, state, escrow }) => isOwn && state === "running" && isAddressEqual(escrow, storageEscrow),
  );
  const isHere = ({ account }: StorageProvider) => sets.some(({ provider }) => isAddressEqual(provider, account));
  const providers = [...context.providers()];
  return [...providers.filter(isHere), ...providers.filter((one) => !isHere(one))];
}

async function goesOn(context: AgentContext, { subject }: PreparedPart): Promise<boolean> {
  const set = await context.platform.dataSets.set(subject.given);
  return set !== undefined && (await follow(context, set)).set.state !== "ended";
}

/** Keys of the metadata of what is put. Of what the account has prepared for a delegate, it has the keys as well. */
export function storingSnapshotKeys(
  context: AgentContext,
  prepared: ReadonlyMap<string, PreparedPart> | undefined,
): SnapshotKeys {
  const [part] = prepared?.values() ?? [];
  if (part === undefined) return accountSnapshotKeys(context);
  return deviceSnapshotKeys(context, part.snapshotKey, context.account.address);
}

/**
 * Leaves the snapshot for the account at each provider where it has prepared something.
 * @param leaving.releases as each provider had counted them before anything was confirmed
 * @throws as `leaveSnapshot`
 */
export async function leaveForAccount(
  context: AgentContext,
  delegation: Delegation,
  snapshot: Snapshot,
  leaving: {
    readonly providers: readonly StorageProvider[];
    readonly prepared: ReadonlyMap<string, PreparedPart>;
    readonly releases: ReadonlyMap<string, number>;
  },
  { acceptOlder = false, signal }: { readonly acceptOlder?: boolean; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { acceptOlderEntries, leaveSnapshot } = await import("../delegates/leave-snapshot.ts");
  for (const provider of leaving.providers) {
    const part = leaving.prepared.get(provider.account);
    if (part === undefined) continue;
    if (acceptOlder) await acceptOlderEntries(context, delegation, provider);
    const releases = leaving.releases.get(provider.account);
    await leaveSnapshot(context, delegation, { provider, part, releases }, snapshot, signal);
  }
}

function refused({ key, account }: Delegation, check: string, expected: string, received: string): TallystickError {
  return new TallystickError(`the delegate ${key} may not put this for account ${account}`, {
    code: "OUT_OF_SCOPE",
    party: `delegate ${key}`,
    check,
    expected,
    received,
    hint: "put it with the identity of the account, or have its owner grant another key",
    details: { key, account },
  });
}
