/**
 * Leads this account's stub files of one put to their next epoch, at all providers that have one or should have one. A
 * provider that fails does not keep the others back.
 */
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { openFileKey } from "../keys/file-key.ts";
import type { StubFileKeeper } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import { dataIdIn } from "../snapshots/resolve.ts";
import { readLists, resolveIn, type SnapshotListing } from "../snapshots/snapshot-lists.ts";
import { accountStubs } from "./account-stubs.ts";
import { readOwnStubs, storeStubs } from "./owner-stubs.ts";
import type { OpenedStubs, StubOwner } from "./stub-owner.ts";

/** A provider whose stub file is as it was: the keys before still open it there. */
export interface RekeyFailure {
  /** Account. */
  readonly provider: string;
  readonly error: TallystickError;
}

export interface RekeyReport {
  readonly dataId: string;
  /** At each provider that has a stub file of the put for this account: its epoch now. */
  readonly stubFiles: readonly { readonly provider: string; readonly epoch: number }[];
  readonly failures: readonly RekeyFailure[];
}

interface RekeyedKeeper extends StubFileKeeper {
  readonly account: string;
}

/**
 * Keys of the epochs before open nothing that a provider serves from here on, except at those that failed: another run
 * leads all of them to the epoch after. A file that is missing or damaged at one provider is made again from another
 * one's.
 * @param place name of a snapshot or data id, as for `get`
 * @throws TallystickError NOT_FOUND when the put is not revocable; as `get` for the key; the first failure when no
 *   provider has new keys
 */
export async function rekey(context: AgentContext, place: string, signal?: AbortSignal): Promise<RekeyReport> {
  const isDataId = dataIdIn(place) !== undefined;
  // A data id needs no list: those that cannot be read only hide where a file is missing.
  const lists = await readLists(context, signal).catch((error: unknown): SnapshotListing => {
    if (!isDataId || signal?.aborted === true || !(error instanceof TallystickError)) throw error;
    return { snapshots: [], failures: [] };
  });
  const { dataId } = resolveIn(lists, place);
  const listing = new Set(lists.snapshots.filter((one) => one.dataId === dataId).flatMap((one) => one.providers));
  const { fileKey } = await openFileKey(context, dataId);
  try {
    const owner = accountStubs(context, dataId, fileKey);
    return { dataId, ...(await rekeyStubs(context.providers(), owner, listing, signal)) };
  } finally {
    fileKey.fill(0);
  }
}

/**
 * @param listing accounts of the providers that should have a file, because they list the put
 * @throws as `rekey`
 */
export async function rekeyStubs(
  providers: Iterable<RekeyedKeeper>,
  owner: StubOwner,
  listing: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<Omit<RekeyReport, "dataId">> {
  const reachable: RekeyedKeeper[] = [];
  const failures: RekeyFailure[] = [];
  let damage: TallystickError | undefined;
  let latest: OpenedStubs | undefined;
  for (const provider of providers) {
    try {
      const found = await readOwnStubs(provider, owner, signal);
      if (found === undefined && !listing.has(provider.account)) continue;
      // The group there has the stub file, and the provider leads it from epoch to epoch.
      if (found === undefined && (await provider.ownerGroups?.ofPut(owner.dataId, signal)) !== undefined) continue;
      if (found !== undefined && found.epoch > (latest?.epoch ?? 0)) latest = found;
    } catch (error) {
      if (signal?.aborted === true || !(error instanceof TallystickError)) throw error;
      if (!isDamage(error)) {
        failures.push({ provider: provider.account, error });
        continue;
      }
      damage ??= error;
    }
    reachable.push(provider);
  }
  if (latest === undefined) throw damage ?? failures[0]?.error ?? noStubFile(owner.dataId);
  const stubFiles: { provider: string; epoch: number }[] = [];
  for (const provider of reachable) {
    try {
      const epoch = await storeStubs(provider, owner, latest.stubs, latest.epoch + 1, signal);
      stubFiles.push({ provider: provider.account, epoch });
    } catch (error) {
      if (signal?.aborted === true || !(error instanceof TallystickError)) throw error;
      failures.push({ provider: provider.account, error });
    }
  }
  const [failure] = failures;
  if (stubFiles.length === 0 && failure !== undefined) throw failure.error;
  return { stubFiles, failures };
}

/** What no provider has for the account; in a group, only the group has one. */
export function noStubFile(dataId: string): TallystickError {
  return new TallystickError(`no provider has a stub file of ${dataId} for this account`, {
    code: "NOT_FOUND",
    party: "you",
    check: "stub file",
    hint:
      "only what was put with --revocable has one; where all have lost it, the same put makes it again; for an " +
      "ownership group, see `tallystick owners`",
  });
}
