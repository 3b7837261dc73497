/** Puts what the lists of a replaced account name into those of its successor. */

import type { TallystickError } from "../../core/errors.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { AgentContext } from "../context.ts";
import { openFileKey } from "../keys/file-key.ts";
import type { Damaged, Inventory } from "../migration/inventory.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import { snapshotListAt } from "../snapshots/account-keys.ts";
import { accountStubs } from "../stubs/account-stubs.ts";
import { readStubs, storeStubs } from "../stubs/owner-stubs.ts";

/** What is in the data sets of the old account at one provider. */
export type MovedObjects = Pick<Inventory, "objects" | "revocable">;

/**
 * Appends what the old list names to the new account's, and what devices have left there that nobody had taken over,
 * and seals stub files for it.
 * @param inventory of the old sets at the provider; undefined when it has none that goes on
 * @param damaged gets what cannot be had
 * @returns how many snapshots
 */
export async function relist(
  { asSuccessor, next }: { readonly asSuccessor: AgentContext; readonly next: AgentContext },
  from: StorageProvider,
  inventory: MovedObjects | undefined,
  damaged: Damaged[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const to = next.providers().byAccount(from.account);
  const { snapshots, faults } = await snapshotListAt(asSuccessor, from).read(signal);
  for (const { device, error } of faults) damaged.push({ id: device, error });
  const lost = new Set(damaged.map(({ id }) => id));
  const ids = async function* () {
    for (const id of inventory?.objects.keys() ?? []) if (!lost.has(id)) yield { id };
  };
  const needed = { releases: await to.releases(signal), ids };
  const { appended } = await snapshotListAt(next, to).appendAll(snapshots, needed, signal);
  for await (const dataId of withStubFile(next, to, snapshots, inventory, signal)) {
    const error = await resealStubs(asSuccessor, next, to, dataId, signal);
    if (error !== undefined) damaged.push({ id: dataId, error });
  }
  return appended;
}

/**
 * Puts of which a stub file has to be sealed anew at a provider. Without a data set there, nothing has told which puts
 * are revocable: the provider is asked for the file of each that may be there.
 */
async function* withStubFile(
  next: AgentContext,
  to: StorageProvider,
  snapshots: readonly Pick<Snapshot, "dataId">[],
  inventory: MovedObjects | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<string> {
  if (inventory !== undefined) {
    yield* inventory.revocable;
    return;
  }
  const puts = await next.catalogue.puts();
  for (const dataId of new Set([...snapshots, ...puts].map((put) => put.dataId))) {
    if ((await to.stubFile(dataId, signal)) !== undefined) yield dataId;
  }
}

/** The provider has passed the file on to the new account: it opens under the old keys until it is sealed anew. */
async function resealStubs(
  old: AgentContext,
  next: AgentContext,
  provider: StorageProvider,
  dataId: string,
  signal: AbortSignal | undefined,
): Promise<TallystickError | undefined> {
  const { fileKey } = await openFileKey(old, dataId);
  try {
    const owner = accountStubs(next, dataId, fileKey);
    try {
      if ((await readStubs(provider, owner, signal)) !== undefined) return undefined;
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    const found = await readStubs(provider, accountStubs(old, dataId, fileKey), signal);
    if (found !== undefined) await storeStubs(provider, owner, found.stubs, found.epoch + 1, signal);
    return undefined;
  } catch (error) {
    signal?.throwIfAborted();
    if (!isDamage(error)) throw error;
    return error;
  } finally {
    fileKey.fill(0);
  }
}
