/**
 * The lists of all providers as one. A snapshot is in the list of every provider that has its data; one that cannot be
 * read now does not hide what the others list.
 */

import { TallystickError } from "../../core/errors.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { AgentContext } from "../context.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { listNameOf, snapshotListAt } from "./account-keys.ts";
import { type ResolvedPlace, resolvePlace } from "./resolve.ts";
import type { ListChange, ReadOptions } from "./snapshot-list.ts";

export interface ListedSnapshot extends Snapshot {
  /** Accounts of the providers that list it. */
  readonly providers: readonly string[];
}

export interface ListFailure {
  readonly provider: string;
  /** The device whose snapshots alone it is about; absent when the list could not be read. */
  readonly device?: string;
  readonly error: TallystickError;
}

export interface SnapshotListing {
  /** Oldest first. */
  readonly snapshots: readonly ListedSnapshot[];
  /** Providers whose lists could not be read, and devices that have left what is wrong. */
  readonly failures: readonly ListFailure[];
}

/**
 * Takes over what devices have left.
 * @throws TallystickError of the first provider when none could be read
 */
export async function readLists(
  context: AgentContext,
  signal?: AbortSignal,
  options: ReadOptions = {},
): Promise<SnapshotListing> {
  const found = new Map<string, ListedSnapshot>();
  const read = await onEach(context, (provider) => snapshotListAt(context, provider).read(signal, options));
  const failures = [...read.failures];
  for (const { provider, result } of read.done) {
    failures.push(...result.faults.map((fault) => ({ provider: provider.account, ...fault })));
    for (const snapshot of result.snapshots) {
      const providers = [...(found.get(snapshot.id)?.providers ?? []), provider.account];
      found.set(snapshot.id, { ...snapshot, providers });
    }
  }
  const snapshots = [...found.values()].sort((one, other) => one.timeMillis - other.timeMillis);
  return { snapshots, failures };
}

/** @throws InvalidInputError, TallystickError NOT_FOUND as `resolvePlace`; as `readLists` */
export async function resolveListed(
  context: AgentContext,
  text: string,
  signal?: AbortSignal,
): Promise<ResolvedPlace<ListedSnapshot>> {
  return resolveIn(await readLists(context, signal), text);
}

/** @throws as `resolveListed` */
export function resolveIn({ snapshots, failures }: SnapshotListing, text: string): ResolvedPlace<ListedSnapshot> {
  try {
    return resolvePlace(text, snapshots);
  } catch (error) {
    const [failure] = failures;
    // What is not found may be in the list that could not be read.
    if (failure !== undefined && error instanceof TallystickError && error.code === "NOT_FOUND") throw failure.error;
    throw error;
  }
}

export interface RemovalOutcome {
  readonly changes: readonly { readonly provider: StorageProvider; readonly change: ListChange }[];
  readonly failures: readonly ListFailure[];
}

/** Removes snapshots from the lists of all providers. @throws TallystickError of the first provider when all failed */
export async function removeListed(
  context: AgentContext,
  ids: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<RemovalOutcome> {
  const { done, failures } = await onEach(context, (provider) =>
    snapshotListAt(context, provider).remove(({ id }) => ids.has(id), signal),
  );
  return { changes: done.map(({ provider, result }) => ({ provider, change: result })), failures };
}

/** Accepts the lists as they are now, also older ones than this device has seen, and those that do not follow. */
export async function acceptOlderLists(context: AgentContext): Promise<void> {
  for (const provider of context.providers()) await context.catalogue.forgetListHead(listNameOf(context, provider));
}

async function onEach<Result>(
  context: AgentContext,
  work: (provider: StorageProvider) => Promise<Result>,
): Promise<{ done: { provider: StorageProvider; result: Result }[]; failures: ListFailure[] }> {
  const providers = [...context.providers()];
  const outcomes = await Promise.allSettled(providers.map(work));
  const done: { provider: StorageProvider; result: Result }[] = [];
  const failures: ListFailure[] = [];
  for (const [index, outcome] of outcomes.entries()) {
    const provider = providers[index];
    if (provider === undefined) continue;
    if (outcome.status === "fulfilled") done.push({ provider, result: outcome.value });
    else if (!(outcome.reason instanceof TallystickError)) throw outcome.reason;
    else failures.push({ provider: provider.account, error: outcome.reason });
  }
  const [first] = failures;
  if (done.length === 0 && first !== undefined) throw first.error;
  return { done, failures };
}
