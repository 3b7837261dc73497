/**
 * `put`: any number of inputs becomes one root recipe, one key record on the ledger, unless told otherwise a part of
 * this device's data set at each provider that it goes to, and one more snapshot in the list there. Each step is
 * idempotent and the order is fixed (data durable, then recorded, then in the data set, then listed), so a run after
 * any interruption does what is missing and nothing twice. A put of what was put before sends no transaction.
 */

import { assignmentEpoch } from "../../core/assignment/assignment.ts";
import { PUBLIC_DOMAIN } from "../../core/crypto/encryption.ts";
import type { Delegation } from "../../core/identity/delegation.ts";
import type { KeyMode } from "../../core/recipe/recipe.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import type { ShareRecipient } from "../../core/record/key-record.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { AgentContext, CommitteeLink } from "../context.ts";
import { type DataSetLane, openDataSetLane } from "../data-sets/lane.ts";
import type { DataSetReport } from "../data-sets/lane-report.ts";
import type { LaneWishes } from "../data-sets/wishes.ts";
import type { PreparedPart } from "../delegates/device.ts";
import type { NodeReport } from "../keys/node-reports.ts";
import { ensureKeyOwnership, type KeyOwnership } from "../keys/record-key.ts";
import { relayOrder } from "../keys/relay-entry.ts";
import type { DataStages } from "../pipeline/data-stages.ts";
import type { SourceOptions } from "../platform.ts";
import type { DataSetProgress, ProgressListener, PutProgress } from "../progress.ts";
import { chosenProviders } from "../providers/chosen-providers.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { accountSnapshotKeys } from "../snapshots/account-keys.ts";
import { isReleased, type NeededObjects } from "../snapshots/confirm-objects.ts";
import { MetadataUpload } from "../snapshots/metadata-upload.ts";
import {
  checkLabels,
  recordSnapshot,
  type SnapshotLabels,
  snapshotOf,
  timeRemark,
} from "../snapshots/record-snapshot.ts";
import { snapshotObjects } from "../snapshots/snapshot-objects.ts";
import { accountStubs } from "../stubs/account-stubs.ts";
import { keepStubs, latestEpoch } from "../stubs/owner-stubs.ts";
import type { AssembledRoot } from "./assemble.ts";
import { ContentCache } from "./content-cache.ts";
import { leaveForAccount, placesOfDelegate, storingDelegation, storingSnapshotKeys } from "./for-account.ts";
import { knownOwnership } from "./known-ownership.ts";
import { LeftOut, type LeftOutReport } from "./left-out.ts";
import { type EntrySource, type InputTotals, measure, openSource, type PutInput } from "./source.ts";
import { onEvery } from "./store-objects.ts";
import { storeTree } from "./store-tree.ts";

export interface PutOptions extends SnapshotLabels, SourceOptions {
  /** Dedup domain: only puts of one domain share chunks. Default: everybody's. */
  readonly domain?: string;
  /**
   * How the keys of chunks derive. `oprf`, the default: one evaluation per chunk, and equal chunks of any two files are
   * stored once. `merkle`: one evaluation per file, and only equal files are. `revocable`: as `oprf`, but the recipe
   * holds no chunk keys: access can be revoked by rewriting 64 bytes per chunk. Every file is read each time.
   */
  readonly keyMode?: KeyMode;
  /** Who can open the key record beside the account. Default: who the committee releases it to. */
  readonly recipients?: ShareRecipient;
  /**
   * Accounts of the providers that it goes to, each with a data set of this device. Default: the first one, or where
   * the data set of this device there was migrated to.
   */
  readonly providers?: readonly string[];
  /**
   * Wishes for the data sets; `false` to be in none, which nobody proves. Default: what the providers offer. What a
   * delegate puts is in the set that its owner has prepared for it; in none, where there is none.
   */
  readonly dataSet?: LaneWishes | false;
  readonly onProgress?: ProgressListener<PutProgress | DataSetProgress> | undefined;
  /** Reads every file, also those that are unchanged since they were put before. */
  readonly forceRescan?: boolean;
  /** Of a delegate: accept that a provider has lost snapshots that this device has left there. */
  readonly acceptOlder?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface PutReport {
  readonly dataId: string;
  /** Base names of the inputs. */
  readonly name: string;
  readonly domain: string;
  readonly entries: number;
  /** Plaintext bytes of all files. */
  readonly totalBytes: number;
  /** Distinct objects: chunks, recipe lists, the root. This and the figures below count each provider on its own. */
  readonly objects: number;
  /** Ciphertext bytes of the distinct objects. */
  readonly storedBytes: number;
  readonly uploadedObjects: number;
  readonly uploadedBytes: number;
  readonly record: KeyOwnership;
  /** What the list of snapshots says of this put. */
  readonly snapshot: Snapshot;
  /**
   * The account that a delegate has put this for. It sees the snapshot where it has prepared a data set for the
   * delegate; elsewhere it has to be told the data id.
   */
  readonly storedFor?: string;
  /** What each provider's data set has become; none if the put was to be in none. */
  readonly dataSets: readonly DataSetReport[];
  /** What each key node answered. */
  readonly nodes: readonly NodeReport[];
  /** What was left out, or is not stored as it is. */
  readonly leftOut: LeftOutReport;
  readonly seconds: number;
}

/** A provider of this put; without a data set if the put is to be in none. */
interface Lane {
  readonly provider: StorageProvider;
  readonly dataSet?: DataSetLane;
  /** Of the data set. Takes one object after the other, whoever brings them. */
  readonly tagger?: SerialTagger;
}

/** Objects come from the tree and from its metadata at the same time. */
class SerialTagger {
  readonly #tagger: DataSetLane["tagger"];
  #last: Promise<void> = Promise.resolve();

  constructor(tagger: DataSetLane["tagger"]) {
    this.#tagger = tagger;
  }

  async add(object: SealedObject): Promise<void> {
    const added = this.#last.then(() => this.#tagger.add(object));
    // Whoever added it meets the failure; the next one is tried for itself.
    this.#last = added.catch(() => undefined);
    await added;
  }
}

/** What one pass over the inputs has stored. */
interface Stored extends AssembledRoot {
  readonly metadataId: string;
  readonly leftOut: LeftOut;
  /** Releases that each provider had counted before any object was confirmed, by its account. */
  readonly releases: ReadonlyMap<string, number>;
}

interface Finished {
  readonly record: KeyOwnership;
  readonly dataSets: readonly DataSetReport[];
}

/**
 * Stores files, folders and links, and content that comes as bytes, blobs or streams.
 *
 * @throws FileUnreadableError, FileChangedError, InvalidInputError (for wishes a provider does not take as well):
 *   nothing has been recorded then
 * @throws TallystickError OUT_OF_SCOPE for a delegate that may not store, or wants what is its owner's
 * @throws TallystickError of nodes, providers or chain, each naming who failed which check; FUNDS when the account
 *   cannot pay for the data set, with the data stored and its key recorded
 */
export async function put(
  context: AgentContext,
  inputs: readonly PutInput[],
  options: PutOptions = {},
): Promise<PutReport> {
  const stages = context.platform.openStages?.();
  try {
    return await new Put(context, inputs, options, stages).run();
  } finally {
    await stages?.close();
  }
}

/** How often a put stores what other devices have released meanwhile. */
const ATTEMPTS = 3;

class Put {
  readonly #context: AgentContext;
  readonly #options: PutOptions;
  readonly #stages: DataStages | undefined;
  readonly #started = performance.now();
  readonly #startedAtMillis: number;
  readonly #domain: string;
  readonly #source: EntrySource;
  readonly #counter = { readBytes: 0, readEntries: 0 };
  readonly #totals = { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 };
  /** Nothing is taken from the file cache. */
  #readsAll: boolean;
  #measured: InputTotals = { entries: 0, bytes: 0 };
  /** Present when this account stores for another one. */
  #delegation: Delegation | undefined;
  /** Of such an account: what the other one has prepared at providers, by their accounts. */
  #prepared: ReadonlyMap<string, PreparedPart> | undefined;

  constructor(context: AgentContext, inputs: readonly PutInput[], options: PutOptions, stages: DataStages | undefined) {
    this.#context = context;
    this.#options = options;
    this.#readsAll = options.forceRescan === true;
    this.#stages = stages;
    this.#startedAtMillis = context.platform.clock.now();
    this.#domain = options.domain ?? PUBLIC_DOMAIN;
    checkLabels(context, options);
    const remark = timeRemark(context, options);
    if (remark !== undefined) context.logger.warn({}, remark);
    this.#source = openSource(inputs, context.platform.files, options);
  }

  async run(): Promise<PutReport> {
    const context = this.#context;
    const { onProgress, providers: wanted, signal } = this.#options;
    this.#tell("scanning");
    this.#delegation = await storingDelegation(context, this.#options);
    let providers: readonly StorageProvider[];
    if (this.#delegation === undefined) providers = await chosenProviders(context, wanted);
    else {
      const places = await placesOfDelegate(context, this.#delegation, wanted, signal);
      ({ providers, prepared: this.#prepared } = places);
    }
    if (onProgress !== undefined) this.#measured = await measure(this.#source, signal);
    const committee = await context.committee();
    for (let attempt = 1; ; attempt += 1) {
      const lanes = await this.#openLanes(providers);
      try {
        const stored = await this.#store(committee, lanes);
        const finished = await this.#finish(committee, stored, lanes);
        return await this.#report(committee, stored, finished, providers);
      } catch (error) {
        for (const { dataSet } of lanes) await dataSet?.discard();
        if (!isReleased(error) || attempt === ATTEMPTS) throw error;
        this.#readsAll = true;
      }
    }
  }

  /** Stores everything. When it resolves, all objects are durable, and nothing is recorded. */
  async #store({ oprf }: CommitteeLink, lanes: readonly Lane[]): Promise<Stored> {
    const context = this.#context;
    const { keyMode, signal } = this.#options;
    const leftOut = new LeftOut(context.logger);
    Object.assign(this.#counter, { readBytes: 0, readEntries: 0 });
    Object.assign(this.#totals, { objects: 0, bytes: 0 });
    const providers = lanes.map(({ provider }) => provider);
    const releases = new Map<string, number>();
    for (const provider of providers) releases.set(provider.account, await provider.releases(signal));
    const cache = this.#openCache(lanes, releases);
    const keys = storingSnapshotKeys(context, this.#prepared);
    const metadata = new MetadataUpload(keys, lanes.map(taggingStore), this.#totals, signal);
    try {
      const root = await storeTree(this.#source, {
        oracle: { evaluate: (inputs, unneeded) => oprf.evaluate(inputs, unneeded, this.#stages?.oprf) },
        place: onEvery(lanes),
        domain: this.#domain,
        keyMode,
        stages: this.#stages,
        counter: this.#counter,
        totals: this.#totals,
        remark: leftOut.add,
        cache,
        onChange: () => this.#tell("storing"),
        onEntry: (entry) => metadata.push(entry),
        signal,
      });
      const metadataId = await metadata.finish();
      const { dataId, fileKey, stubs } = root;
      if (stubs !== undefined) {
        const owner = accountStubs(context, dataId, fileKey);
        const epoch = await latestEpoch(context.providers(), owner, signal);
        const account = context.account.address;
        for (const provider of providers) await keepStubs(provider, owner, stubs, epoch, { account, signal });
      }
      return { ...root, metadataId, leftOut, releases: cache?.isConfirmed === false ? new Map() : releases };
    } finally {
      cache?.session.close();
    }
  }

  /**
   * Makes sure of the key record and of the data sets: side by side when the record has to be mined, else one after the
   * other. When the record fails, a state may be signed already. It stays in force, and running the put again adds
   * nothing to it.
   */
  async #finish(committee: CommitteeLink, stored: Stored, lanes: readonly Lane[]): Promise<Finished> {
    this.#tell("recording");
    const { signal } = this.#options;
    const finish = async (): Promise<Finished> => {
      const failed = new AbortController();
      const until = AbortSignal.any([failed.signal, ...(signal === undefined ? [] : [signal])]);
      let agreeing: Promise<DataSetReport[]> | undefined;
      const agree = () => {
        agreeing ??= this.#agree(lanes, until);
        return agreeing;
      };
      try {
        const record = await this.#record(committee, stored, () => void agree().catch(() => undefined));
        stored.fileKey.fill(0);
        return { record, dataSets: await agree() };
      } catch (error) {
        failed.abort(error);
        // Tags that are being sent must not be thrown away, nor a state be signed by the next attempt as well.
        await agreeing?.catch(() => undefined);
        throw error;
      }
    };
    return await this.#context.exclusive(finish, signal);
  }

  /** Has the providers check the tags, then both parties sign the next state of each set. */
  async #agree(lanes: readonly Lane[], signal: AbortSignal): Promise<DataSetReport[]> {
    const { onProgress } = this.#options;
    // What one of them refuses is met by the commit.
    await Promise.allSettled(lanes.map(async ({ dataSet }) => await dataSet?.deliver(signal, onProgress)));
    // Nothing is paid after the user has ended it.
    signal.throwIfAborted();
    this.#tell("agreeing");
    const reports: DataSetReport[] = [];
    for (const { dataSet } of lanes) {
      if (dataSet !== undefined) reports.push(await dataSet.commit(onProgress, signal));
    }
    return reports;
  }

  /** @param onUnrecorded is called when a transaction will be waited for */
  async #record(
    { committee, members, oprf }: CommitteeLink,
    stored: Stored,
    onUnrecorded: () => void,
  ): Promise<KeyOwnership> {
    const context = this.#context;
    const { recipients } = this.#options;
    const { dataId, fileKey, root } = stored;
    const epoch = assignmentEpoch(context.platform.clock.now() / 1000);
    const assignment = { committeeId: committee.id, user: context.account.address, epoch };
    const known = recipients === undefined ? await knownOwnership(context, dataId) : undefined;
    const record =
      known ??
      (await ensureKeyOwnership(
        {
          chain: await context.chain(),
          account: context.account,
          committee,
          nodes: relayOrder(assignment, members, oprf.report()).map(({ client }) => client),
          archives: await context.archives(),
          catalogueKey: context.identity.catalogueKey,
          logger: context.logger,
          confirmations: context.confirmations,
          onUnrecorded,
        },
        dataId,
        fileKey,
        recipients,
      ));
    const { recordId, role } = record;
    await context.catalogue.savePut({
      dataId,
      name: this.#source.name,
      entryCount: root.entryCount,
      totalBytes: root.totalBytes,
      domain: this.#domain,
      recordId,
      role,
      storedAt: Math.floor(context.platform.clock.now() / 1000),
    });
    return record;
  }

  /** Adds the put to the list of snapshots at every provider. */
  async #report(
    { oprf }: CommitteeLink,
    { dataId, metadataId, root, rootBytes, leftOut, releases }: Stored,
    { record, dataSets }: Finished,
    providers: readonly StorageProvider[],
  ): Promise<PutReport> {
    const { name, origins } = this.#source;
    const { entryCount: entries, totalBytes } = root;
    const totals = this.#totals;
    const snapshot = snapshotOf(this.#context, this.#options, {
      dataId,
      metadataId,
      startedAtMillis: this.#startedAtMillis,
      paths: origins,
      totals: { entries, bytes: totalBytes, addedObjects: totals.uploadedObjects, addedBytes: totals.uploadedBytes },
      unreadEntries: leftOut.unreadEntries,
      ...(this.#prepared?.size ? { device: this.#context.account.address } : {}),
    });
    const keys = accountSnapshotKeys(this.#context);
    const neededAt = (source: StorageProvider): NeededObjects => ({
      releases: releases.get(source.account),
      ids: (signal) => snapshotObjects(keys, { dataId, root, rootBytes, source, snapshot }, signal),
    });
    const storedFor = this.#delegation?.account;
    if (this.#delegation === undefined) {
      await recordSnapshot(this.#context, providers, snapshot, neededAt, this.#options.signal);
    } else if (this.#prepared !== undefined) {
      const leaving = { providers, prepared: this.#prepared, releases };
      await leaveForAccount(this.#context, this.#delegation, snapshot, leaving, this.#options);
    }
    this.#tell("done");
    return {
      dataId,
      name,
      domain: this.#domain,
      entries,
      totalBytes,
      objects: totals.objects,
      storedBytes: totals.bytes,
      uploadedObjects: totals.uploadedObjects,
      uploadedBytes: totals.uploadedBytes,
      record,
      snapshot,
      ...(storedFor === undefined ? {} : { storedFor }),
      dataSets,
      nodes: oprf.report(),
      leftOut: leftOut.report(),
      seconds: (performance.now() - this.#started) / 1000,
    };
  }

  /** What earlier puts have stored with the same keys and the same providers. */
  #openCache(lanes: readonly Lane[], releases: ReadonlyMap<string, number>): ContentCache | undefined {
    const { deployment, identity, platform } = this.#context;
    const nowSeconds = Math.floor(platform.clock.now() / 1000);
    const { chainId, committeeId, contracts } = deployment;
    const accounts = lanes.map(({ provider }) => provider.account).sort();
    const { keyMode = "oprf" } = this.#options;
    // What it remembers of a file does not hold the stubs.
    if (keyMode === "revocable") return undefined;
    const session = platform.fileCache?.open({
      scope: JSON.stringify([this.#domain, keyMode, chainId, committeeId, contracts.keyLedger, ...accounts]),
      secret: identity.catalogueKey,
      nowSeconds,
      distrusted: this.#readsAll,
    });
    if (session === undefined) return undefined;
    // Counts only grow, so that their sum changes with each.
    const sum = accounts.reduce((total, account) => total + (releases.get(account) ?? 0), 0) % 2 ** 32;
    // What was put into no data set, or into one that has ended, is read and tagged.
    const holds = async (ids: readonly string[]): Promise<boolean> => {
      for (const { dataSet } of lanes) if (dataSet !== undefined && !(await dataSet.holds(ids))) return false;
      return true;
    };
    return new ContentCache(session, { confirmedAt: nowSeconds, releases: sum }, holds);
  }

  /** Checks the wishes against the offers of all providers before anything is stored. */
  async #openLanes(providers: readonly StorageProvider[]): Promise<Lane[]> {
    const { dataSet: wishes } = this.#options;
    if (wishes === false) return providers.map((provider) => ({ provider }));
    const lanes: Lane[] = [];
    for (const provider of providers) {
      const subject = this.#prepared?.get(provider.account)?.subject;
      if (this.#prepared !== undefined && subject === undefined) {
        lanes.push({ provider });
        continue;
      }
      const dataSet = await openDataSetLane(this.#context, provider, wishes, subject);
      lanes.push({ provider, dataSet, tagger: new SerialTagger(dataSet.tagger) });
    }
    return lanes;
  }

  #tell(phase: PutProgress["phase"]): void {
    const { objects: storedObjects, bytes, uploadedBytes } = this.#totals;
    this.#options.onProgress?.({
      operation: "put",
      phase,
      totalEntries: this.#measured.entries,
      totalBytes: this.#measured.bytes,
      ...this.#counter,
      storedObjects,
      uploadedBytes,
      deduplicatedBytes: bytes - uploadedBytes,
    });
  }
}

/** Stores with a provider, and tags what is stored. */
function taggingStore({ provider, tagger }: Lane): Pick<StorageProvider, "store"> {
  return {
    store: async (objects, signal) => {
      for (const object of objects) await tagger?.add(object);
      return await provider.store(objects, signal);
    },
  };
}
