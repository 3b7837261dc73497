/** The snapshots of an account: what `agent.snapshots` offers. */

import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetReport } from "../data-sets/lane-report.ts";
import { retireObjects } from "../data-sets/retire-objects.ts";
import type { RestoreEntry } from "../platform.ts";
import type { ProgressListener, VerifyProgress } from "../progress.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { isDamage } from "../read/damage.ts";
import { objectOrder } from "../read/object-order.ts";
import { withStubsOf } from "../read/stubbed-source.ts";
import { checkStubFile } from "../stubs/check-stub-file.ts";
import { type LeftGroup, leaveGroupOf } from "../stubs/leave-groups.ts";
import { readingSnapshotKeys, snapshotListAt } from "./account-keys.ts";
import { diffTrees, type TreeChange } from "./diff.ts";
import { globMatcher } from "./glob.ts";
import { type ObjectsOf, type ReleaseOutcome, releaseUnneeded, unreadable } from "./release.ts";
import { type ResolvedPlace, resolvePlace } from "./resolve.ts";
import { applyRetention, type RetentionGroup, type RetentionPolicy } from "./retention.ts";
import {
  acceptOlderLists,
  type ListedSnapshot,
  type ListFailure,
  readLists,
  removeListed,
  resolveListed,
  type SnapshotListing,
} from "./snapshot-lists.ts";
import { metadataObjects, snapshotObjects } from "./snapshot-objects.ts";
import { openTree, type SnapshotTree, treeEntries } from "./snapshot-tree.ts";
import { measureTrees, type StatsReport } from "./stats.ts";
import { type UnkeptSnapshot, unkeptSnapshots } from "./unkept-snapshots.ts";
import { type VerifyReport, type VerifyTotals, verifyTree } from "./verify.ts";

export interface SignalOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Which snapshots are meant. All that are given must hold. */
export interface SnapshotFilter {
  readonly host?: string;
  /** Tags that a snapshot must have, all of them. */
  readonly tags?: readonly string[];
  /** A path that was put. */
  readonly path?: string;
  /** Address of a device that only writes. */
  readonly device?: string;
}

export interface ListOptions extends SignalOptions, SnapshotFilter {
  /** Accept lists that are older than those this device has seen. */
  readonly acceptOlder?: boolean;
}

export interface ReleasedAt extends ReleaseOutcome {
  readonly provider: string;
  /** The data set without it; absent when this device has none there. */
  readonly dataSet?: DataSetReport;
}

export interface RemoveReport {
  readonly removed: readonly Snapshot[];
  /** Providers whose lists could not be changed: the snapshots are still listed there. */
  readonly failures: readonly ListFailure[];
  /** What was given up at each provider. */
  readonly released: readonly ReleasedAt[];
  /** Ownership groups of puts that the account keeps no longer at their provider. */
  readonly ownerGroups: readonly LeftGroup[];
  /** Nothing was removed: `removed` has what would be. */
  readonly dryRun: boolean;
}

export interface ForgetReport extends RemoveReport {
  readonly groups: readonly RetentionGroup<ListedSnapshot>[];
}

export interface FoundEntry {
  readonly snapshot?: ListedSnapshot;
  readonly dataId: string;
  readonly entry: RestoreEntry;
}

export interface VerifiedCopy extends VerifyReport {
  readonly dataId: string;
  readonly snapshotId?: string;
  readonly provider: string;
}

export class Snapshots {
  readonly #context: AgentContext;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  /** The snapshots of the account, oldest first, from the lists of all providers. @throws as `readLists` */
  async list({ signal, acceptOlder, ...filter }: ListOptions = {}): Promise<SnapshotListing> {
    if (acceptOlder === true) await acceptOlderLists(this.#context);
    const { snapshots, failures } = await readLists(this.#context, signal, { acceptGaps: acceptOlder === true });
    return { snapshots: snapshots.filter((snapshot) => fits(snapshot, filter)), failures };
  }

  /** Snapshots in no data set that goes on, as far as this device knows. @throws as `unkeptSnapshots` */
  async unkept({ signal }: SignalOptions = {}): Promise<UnkeptSnapshot[]> {
    return await unkeptSnapshots(this.#context, () => readLists(this.#context, signal));
  }

  /** What a name stands for: see resolve.ts. */
  async resolve(place: string, { signal }: SignalOptions = {}): Promise<ResolvedPlace<ListedSnapshot>> {
    return await resolveListed(this.#context, place, signal);
  }

  /** The entries of a snapshot, or those at and below a path, in listing order and with their metadata. */
  async *entries(place: string, { signal }: SignalOptions = {}): AsyncGenerator<RestoreEntry, void, undefined> {
    const resolved = await this.resolve(place, { signal });
    yield* treeEntries(await openTree(this.#context, resolved, signal), resolved.path, signal);
  }

  /** Changes from one snapshot to another, in listing order. */
  async *diff(before: string, after: string, { signal }: SignalOptions = {}): AsyncGenerator<TreeChange> {
    const [old, next] = [await this.resolve(before, { signal }), await this.resolve(after, { signal })];
    const trees = [await openTree(this.#context, old, signal), await openTree(this.#context, next, signal)] as const;
    yield* diffTrees(...trees, signal);
  }

  /**
   * Entries whose name or path matches a pattern.
   * @param pattern see glob.ts
   * @param places default: all snapshots
   */
  async *find(
    pattern: string,
    places?: readonly string[],
    { signal, ...filter }: SignalOptions & SnapshotFilter = {},
  ): AsyncGenerator<FoundEntry, void, undefined> {
    const matches = globMatcher(pattern);
    const context = this.#context;
    const isNamed = places !== undefined && places.length > 0;
    for (const resolved of await this.#meant(places, filter, signal)) {
      yield* this.#besidesJunk(isNamed ? undefined : resolved.snapshot, () => entriesOf(resolved));
    }
    async function* entriesOf(resolved: ResolvedPlace<ListedSnapshot>) {
      const tree = await openTree(context, resolved, signal);
      const { dataId, snapshot, path } = resolved;
      for await (const entry of treeEntries(tree, path, signal)) {
        if (matches(entry.path)) yield { dataId, ...(snapshot === undefined ? {} : { snapshot }), entry };
      }
    }
  }

  /** Whoever has stolen a device can list what cannot be read: that is told, and in the way of no other snapshot. */
  async *#besidesJunk<Item>(
    snapshot: Snapshot | undefined,
    read: () => AsyncIterable<Item>,
  ): AsyncGenerator<Item, void, undefined> {
    try {
      yield* read();
    } catch (error) {
      if (snapshot?.device === undefined || !(error instanceof TallystickError)) throw error;
      const { logger } = this.#context;
      logger.warn({ code: error.code }, unreadable(snapshot, error).message);
    }
  }

  /** Sizes of snapshots and of the objects that hold them. @param places default: all snapshots */
  async stats(
    places?: readonly string[],
    { signal, ...filter }: SignalOptions & SnapshotFilter = {},
  ): Promise<StatsReport> {
    const meant = await this.#meant(places, filter, signal);
    const trees = this.#trees(meant, signal);
    const objectsOf = async function* (tree: SnapshotTree, context: AgentContext) {
      yield* snapshotObjects(await readingSnapshotKeys(context, tree.snapshot), tree, signal);
    };
    const isNamed = places !== undefined && places.length > 0;
    return await measureTrees(
      trees,
      (tree) => this.#besidesJunk(isNamed ? undefined : tree.snapshot, () => objectsOf(tree, this.#context)),
      signal,
    );
  }

  /**
   * Reads every object of a snapshot again, and the stub file of a revocable put, at each provider that lists it.
   * @param options.provider account of the only provider to ask
   * @throws as `verifyTree`
   */
  async verify(
    place: string,
    options: SignalOptions & {
      readonly provider?: string | undefined;
      readonly onProgress?: ProgressListener<VerifyProgress> | undefined;
    } = {},
  ): Promise<VerifiedCopy[]> {
    const { signal, provider, onProgress } = options;
    const resolved = await this.resolve(place, { signal });
    const { dataId, snapshot, path } = resolved;
    const accounts = provider === undefined ? snapshot?.providers : [provider];
    const providers = accounts?.map((account) => this.#context.providers().byAccount(account)) ?? [
      ...this.#context.providers(),
    ];
    const copies: VerifiedCopy[] = [];
    for (const source of providers) {
      const tree = await openTree(this.#context, resolved, signal, source).catch((error: unknown) => {
        if (isDamage(error)) this.#context.noticeLoss();
        throw error;
      });
      const { entryCount: totalEntries, totalBytes } = tree.root;
      const onStep = ({ entries: readEntries, bytes: readBytes, objectBytes }: Readonly<VerifyTotals>) =>
        onProgress?.({
          operation: "verify",
          phase: "reading",
          totalEntries,
          totalBytes,
          readEntries,
          readBytes,
          objectBytes,
        });
      const isRevocable = tree.root.keyMode === "revocable";
      const { stubs, error } = isRevocable ? await checkStubFile(this.#context, dataId, source, signal) : {};
      const opened = { ...tree, source: withStubsOf(source, stubs) };
      const report = await verifyTree(opened, path, onStep, signal);
      if (report.damaged.length > 0 || error !== undefined) this.#context.noticeLoss();
      const named = snapshot === undefined ? {} : { snapshotId: snapshot.id };
      const stubFile = error === undefined ? {} : { stubFileError: error };
      copies.push({ dataId, ...named, provider: source.account, ...report, ...stubFile });
    }
    return copies;
  }

  /**
   * Removes snapshots from the lists of all providers, and releases the objects that no other snapshot needs.
   * @param options.release false to leave the objects where they are
   */
  async remove(
    places: readonly string[],
    options: SignalOptions & { readonly dryRun?: boolean; readonly release?: boolean } = {},
  ): Promise<RemoveReport> {
    const { snapshots, failures } = await readLists(this.#context, options.signal);
    const meant = places.map((place) => requireSnapshot(place, resolvePlace(place, snapshots)));
    if (options.dryRun === true) return { removed: meant, failures, released: [], ownerGroups: [], dryRun: true };
    return await this.#removeAll(meant, options);
  }

  /** Removes the snapshots that no rule keeps. @throws InvalidInputError for a policy that keeps nothing */
  async forget(
    policy: RetentionPolicy,
    options: SignalOptions & SnapshotFilter & { readonly dryRun?: boolean; readonly release?: boolean } = {},
  ): Promise<ForgetReport> {
    const { signal, dryRun = false, release, ...filter } = options;
    const { snapshots, failures } = await readLists(this.#context, signal);
    const groups = applyRetention(
      snapshots.filter((snapshot) => fits(snapshot, filter)),
      policy,
      this.#context.platform.clock.now(),
    );
    const removed = groups.flatMap((group) => group.removed);
    if (dryRun || removed.length === 0) return { removed, failures, released: [], ownerGroups: [], groups, dryRun };
    const report = await this.#removeAll(removed, { signal, ...(release === undefined ? {} : { release }) });
    return { ...report, failures: [...failures, ...report.failures], groups };
  }

  /** The places that are named, or all snapshots that a filter lets pass, the newest first. */
  async #meant(
    places: readonly string[] | undefined,
    filter: SnapshotFilter,
    signal: AbortSignal | undefined,
  ): Promise<ResolvedPlace<ListedSnapshot>[]> {
    const { snapshots } = await readLists(this.#context, signal);
    if (places !== undefined && places.length > 0) return places.map((place) => resolvePlace(place, snapshots));
    const meant = snapshots.filter((snapshot) => fits(snapshot, filter)).toReversed();
    return meant.map((snapshot) => ({ dataId: snapshot.dataId, snapshot }));
  }

  async *#trees(
    places: readonly ResolvedPlace<ListedSnapshot>[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<SnapshotTree, void, undefined> {
    const context = this.#context;
    for (const place of places) {
      yield* this.#besidesJunk(place.snapshot, async function* () {
        yield await openTree(context, place, signal);
      });
    }
  }

  async #removeAll(
    snapshots: readonly Snapshot[],
    { signal, release = true }: SignalOptions & { readonly release?: boolean },
  ): Promise<RemoveReport> {
    const ids = new Set(snapshots.map(({ id }) => id));
    const { changes, failures } = await removeListed(this.#context, ids, signal);
    const removedIds = new Set(changes.flatMap(({ change }) => change.removed.map(({ id }) => id)));
    const removed = snapshots.filter(({ id }) => removedIds.has(id));
    if (!release) return { removed, failures, released: [], ownerGroups: [], dryRun: false };
    const released: ReleasedAt[] = [];
    const ownerGroups: LeftGroup[] = [];
    for (const { provider, change } of changes) {
      const list = snapshotListAt(this.#context, provider);
      const revocable = new Set<string>();
      const objectsOf = this.#objectsAt(provider, signal, (dataId) => revocable.add(dataId));
      const { ids: gone, ...outcome } = await releaseUnneeded(provider, list, change, objectsOf, signal);
      if (revocable.size > 0) {
        for (const { dataId } of (await list.read(signal)).snapshots) revocable.delete(dataId);
        for (const dataId of revocable) {
          const left = await leaveGroupOf(provider, dataId, { account: this.#context.account.address, signal });
          if (left !== undefined) ownerGroups.push(left);
        }
      }
      if (outcome.unneeded === 0) continue;
      const dataSet = await retireObjects(this.#context, provider, gone, signal);
      released.push({ provider: provider.account, ...outcome, ...(dataSet === undefined ? {} : { dataSet }) });
    }
    const left = await readLists(this.#context, signal);
    const needed = new Set(left.snapshots.map(({ dataId }) => dataId));
    // A list that could not be read may name the data.
    const unneeded = left.failures.length > 0 ? [] : removed.filter(({ dataId }) => !needed.has(dataId));
    for (const { dataId } of unneeded) await this.#context.catalogue.removePut(dataId);
    return { removed, failures, released, ownerGroups, dryRun: false };
  }

  #objectsAt(
    provider: StorageProvider,
    signal: AbortSignal | undefined,
    onRevocable: (dataId: string) => void,
  ): ObjectsOf {
    const context = this.#context;
    return {
      async *data(dataId) {
        const { root, rootBytes } = await openTree(context, { dataId }, signal, provider);
        if (root.keyMode === "revocable") onRevocable(dataId);
        yield* objectOrder(dataId, root, rootBytes, provider, signal);
      },
      async *metadata(snapshot) {
        const keys = await readingSnapshotKeys(context, snapshot);
        yield* metadataObjects(keys, snapshot.metadataId, { source: provider }, signal);
      },
    };
  }
}

function fits(snapshot: Snapshot, { host, tags = [], path, device }: SnapshotFilter): boolean {
  if (device !== undefined && !isAddressEqual(snapshot.device ?? "", device)) return false;
  if (host !== undefined && snapshot.host !== host) return false;
  if (path !== undefined && !snapshot.paths.includes(path)) return false;
  return tags.every((tag) => snapshot.tags.includes(tag));
}

/** @throws InvalidInputError for data without a snapshot, and for a place in one */
function requireSnapshot(text: string, { snapshot, path }: ResolvedPlace<ListedSnapshot>): ListedSnapshot {
  if (snapshot !== undefined && path === undefined) return snapshot;
  throw new InvalidInputError(
    path === undefined ? "no snapshot is of this data" : "a snapshot is removed as a whole, not a path of it",
    { party: "you", check: "snapshot", received: JSON.stringify(text.slice(0, 80)) },
  );
}
