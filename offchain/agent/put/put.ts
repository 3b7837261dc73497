/**
 * `put`: any number of inputs becomes one root recipe, one key record on the ledger, unless told otherwise one
 * agreement with each provider that it goes to, and one more snapshot in the list there. Each step is idempotent and
 * the order is fixed (data durable, then recorded, then insured, then listed), so a run after any interruption does
 * what is missing and nothing twice. A put of what was put before sends no transaction.
 */

import { PUBLIC_DOMAIN } from "../../core/crypto/encryption.ts";
import type { KeyMode } from "../../core/recipe/recipe.ts";
import type { ShareRecipient } from "../../core/record/key-record.ts";
import type { Snapshot } from "../../core/snapshot/snapshot.ts";
import type { Offer } from "../../core/wire/csp.ts";
import { beginTagging, type DataSetTagger } from "../agreements/data-set-tagger.ts";
import { deliverAhead, discardTags, openPreparedAgreement, resumeAgreement } from "../agreements/opening.ts";
import { type AgreementOptions, type AgreementReport, requireWishesFit } from "../agreements/terms.ts";
import type { AgentContext, CommitteeLink } from "../context.ts";
import { bestFirst, type NodeReport } from "../keys/quorum.ts";
import { ensureKeyOwnership, type KeyOwnership } from "../keys/record-key.ts";
import type { DataStages } from "../pipeline/data-stages.ts";
import type { FileCacheOptions, SourceOptions } from "../platform.ts";
import type { AgreementProgress, ProgressListener, PutProgress } from "../progress.ts";
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
import type { AssembledRoot } from "./assemble.ts";
import { ContentCache } from "./content-cache.ts";
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
   * stored once. `merkle`: one evaluation per file, and only equal files are.
   */
  readonly keyMode?: KeyMode;
  /** Recipients of the key shares. Default: the committee. */
  readonly recipients?: ShareRecipient;
  /**
   * Accounts of the providers that it goes to, each with an agreement of its own. Default: the first of the deployment.
   */
  readonly providers?: readonly string[];
  /** Terms of the agreements; `false` for none. Default: what the providers offer. */
  readonly agreement?: AgreementOptions | false;
  readonly onProgress?: ProgressListener<PutProgress | AgreementProgress> | undefined;
  /** Reads every file, also those that are unchanged since they were put before. */
  readonly forceRescan?: boolean;
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
  /** One per provider; none if the put was to have none. */
  readonly agreements: readonly AgreementReport[];
  /** What each key node answered. */
  readonly nodes: readonly NodeReport[];
  /** What was left out, or is not stored as it is. */
  readonly leftOut: LeftOutReport;
  readonly seconds: number;
}

/** A provider of this put; without a tagger if its agreement runs already, or if there is to be none. */
interface Lane {
  readonly provider: StorageProvider;
  readonly tagger?: DataSetTagger;
  /** What the provider offered before anything was stored; undefined if there is to be no agreement. */
  readonly offer?: Offer;
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
  /** Undefined when one of them takes tags, and none were made. */
  readonly agreements: readonly AgreementReport[] | undefined;
}

/**
 * Stores files, folders and links, and content that comes as bytes, blobs or streams.
 *
 * @throws FileUnreadableError, FileChangedError, InvalidInputError (for wishes a provider does not take as well):
 *   nothing has been recorded then
 * @throws TallystickError of nodes, providers or chain, each naming who failed which check; FUNDS when the account
 *   cannot pay for an agreement, with the data stored and its key recorded
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
  #measured: InputTotals = { entries: 0, bytes: 0, isKnown: false };

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
    const { agreement, onProgress, providers: wanted } = this.#options;
    this.#tell("scanning");
    const providers = context.providers().choose(wanted);
    if (onProgress !== undefined || agreement !== false) await this.#measure(providers);
    const committee = await context.committee();
    const lanes = await this.#openLanes(providers);
    // Tags are made of the bytes of every object. Of a tree that was put before, the agreements most likely run, and
    // then nothing is read; else a second pass makes the tags.
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#storeAndList(committee, lanes, this.#measured.isKnown || attempt > 1);
      } catch (error) {
        if (!isReleased(error) || attempt === ATTEMPTS) throw error;
        this.#readsAll = true;
      }
    }
  }

  /** Walks once more: for the totals of the progress, and because tags decide how a tree is stored. */
  async #measure(providers: readonly StorageProvider[]): Promise<void> {
    const cache = this.#openCache(providers, { isReadOnly: true, distrusted: this.#readsAll });
    try {
      this.#measured = await measure(this.#source, cache, this.#options.signal);
    } finally {
      cache?.session.close();
    }
  }

  /** @param isKnown the tree was put before, as far as one can tell */
  async #storeAndList(committee: CommitteeLink, lanes: readonly Lane[], isKnown: boolean): Promise<PutReport> {
    const providers = lanes.map(({ provider }) => provider);
    const isTagged = lanes.some(({ offer }) => offer !== undefined);
    if (isTagged && isKnown) {
      const stored = await this.#store(committee, lanes);
      const { record, agreements } = await this.#finish(committee, stored, lanes);
      if (agreements !== undefined) return await this.#report(committee, stored, record, agreements, providers);
    }
    return await this.#withTags(lanes, async (tagged) => {
      const stored = await this.#store(committee, tagged);
      const { record, agreements = [] } = await this.#finish(committee, stored, tagged);
      return await this.#report(committee, stored, record, agreements, providers);
    });
  }

  /** Stores everything. When it resolves, all objects are durable, and nothing is recorded. */
  async #store({ oprf }: CommitteeLink, lanes: readonly Lane[]): Promise<Stored> {
    const context = this.#context;
    const { keyMode, signal } = this.#options;
    const leftOut = new LeftOut(context.logger);
    Object.assign(this.#counter, { readBytes: 0, readEntries: 0 });
    Object.assign(this.#totals, { objects: 0, bytes: 0 });
    const providers = lanes.map(({ provider }) => provider);
    const isTagged = lanes.some(({ tagger }) => tagger !== undefined);
    const releases = new Map<string, number>();
    for (const provider of providers) releases.set(provider.account, await provider.releases(signal));
    const cache = this.#openCache(providers, { distrusted: isTagged || this.#readsAll }, releases);
    const metadata = new MetadataUpload(accountSnapshotKeys(context), providers, this.#totals, signal);
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
      return { ...root, metadataId, leftOut, releases: cache?.isConfirmed === false ? new Map() : releases };
    } finally {
      cache?.session.close();
    }
  }

  /** Makes sure of the key record, then of the agreements. */
  async #finish(committee: CommitteeLink, stored: Stored, lanes: readonly Lane[]): Promise<Finished> {
    this.#tell("recording");
    const finish = async (): Promise<Finished> => {
      const record = await this.#deliveringTags(stored.dataId, lanes, (deliver) =>
        this.#record(committee, stored, deliver),
      );
      stored.fileKey.fill(0);
      // Nothing is paid after the user has ended it.
      this.#options.signal?.throwIfAborted();
      this.#tell("agreeing");
      // The account had a record already, so another of its devices may have the agreement too.
      const mayRunElsewhere = record.role === "recorder" && !record.isNew;
      return { record, agreements: await this.#agree(stored.dataId, lanes, mayRunElsewhere) };
    };
    return await this.#context.exclusive(finish, this.#options.signal);
  }

  /** Has the providers check the tags while something else is waited for. What they refuse is met by `#agree`. */
  async #deliveringTags<Result>(
    dataId: string,
    lanes: readonly Lane[],
    work: (deliver: () => void) => Promise<Result>,
  ): Promise<Result> {
    const { onProgress, signal } = this.#options;
    const failed = new AbortController();
    const until = AbortSignal.any([failed.signal, ...(signal === undefined ? [] : [signal])]);
    let settled: Promise<unknown> | undefined;
    const deliver = () => {
      if (settled !== undefined) return;
      const deliveries = lanes.map(async ({ provider, tagger }) => {
        if (tagger !== undefined) await deliverAhead(this.#context, dataId, provider, tagger, onProgress, until);
      });
      settled = Promise.allSettled(deliveries);
    };
    try {
      return await work(deliver);
    } catch (error) {
      failed.abort(error);
      throw error;
    } finally {
      // Tags that are being sent must not be thrown away, nor be sent twice.
      await settled;
    }
  }

  /** @param onUnrecorded is called when a transaction will be waited for */
  async #record(
    { committee, nodes, oprf }: CommitteeLink,
    stored: Stored,
    onUnrecorded: () => void,
  ): Promise<KeyOwnership> {
    const context = this.#context;
    const { recipients } = this.#options;
    const { dataId, fileKey, root } = stored;
    const known = recipients === undefined ? await knownOwnership(context, dataId) : undefined;
    const record =
      known ??
      (await ensureKeyOwnership(
        {
          chain: await context.chain(),
          account: context.account,
          committee,
          // Nodes that answered recently come first: a relay request to a hung node blocks until its timeout.
          nodes: bestFirst(nodes, oprf.report()),
          archives: await context.archives(),
          catalogueKey: context.identity.catalogueKey,
          logger: context.logger,
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

  async #agree(
    dataId: string,
    lanes: readonly Lane[],
    mayRunElsewhere: boolean,
  ): Promise<readonly AgreementReport[] | undefined> {
    const { agreement, onProgress, signal } = this.#options;
    if (agreement === false) return [];
    const agreements: AgreementReport[] = [];
    for (const { provider, tagger, offer } of lanes) {
      const wishes = { ...agreement, mayRunElsewhere, ...(offer === undefined ? {} : { offer }) };
      const report = await (tagger === undefined
        ? resumeAgreement(this.#context, dataId, provider, wishes, onProgress, signal)
        : openPreparedAgreement(this.#context, dataId, provider, tagger, wishes, onProgress, signal));
      if (report === undefined) return undefined;
      agreements.push(report);
    }
    return agreements;
  }

  /** Adds the put to the list of snapshots at every provider. */
  async #report(
    { oprf }: CommitteeLink,
    { dataId, metadataId, root, rootBytes, leftOut, releases }: Stored,
    record: KeyOwnership,
    agreements: readonly AgreementReport[],
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
    });
    const keys = accountSnapshotKeys(this.#context);
    const neededAt = (source: StorageProvider): NeededObjects => ({
      releases: releases.get(source.account),
      ids: (signal) => snapshotObjects(keys, { dataId, root, rootBytes, source, snapshot }, signal),
    });
    await recordSnapshot(this.#context, providers, snapshot, neededAt, this.#options.signal);
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
      agreements,
      nodes: oprf.report(),
      leftOut: leftOut.report(),
      seconds: (performance.now() - this.#started) / 1000,
    };
  }

  /** What earlier puts have stored with the same keys and the same providers. */
  #openCache(
    providers: readonly StorageProvider[],
    trust: Pick<FileCacheOptions, "distrusted" | "isReadOnly">,
    releases: ReadonlyMap<string, number> = new Map(),
  ): ContentCache | undefined {
    const { deployment, identity, platform } = this.#context;
    const nowSeconds = Math.floor(platform.clock.now() / 1000);
    const { chainId, committeeId, contracts } = deployment;
    const accounts = providers.map(({ account }) => account).sort();
    const { keyMode = "oprf" } = this.#options;
    const session = platform.fileCache?.open({
      scope: JSON.stringify([this.#domain, keyMode, chainId, committeeId, contracts.keyLedger, ...accounts]),
      secret: identity.catalogueKey,
      nowSeconds,
      ...trust,
    });
    if (session === undefined) return undefined;
    // Counts only grow, so that their sum changes with each.
    const sum = accounts.reduce((total, account) => total + (releases.get(account) ?? 0), 0) % 2 ** 32;
    return new ContentCache(session, { confirmedAt: nowSeconds, releases: sum });
  }

  /** Checks the wishes against the offers of all providers before anything is stored. */
  async #openLanes(providers: readonly StorageProvider[]): Promise<Lane[]> {
    const { agreement } = this.#options;
    if (agreement === false) return providers.map((provider) => ({ provider }));
    const lanes: Lane[] = [];
    for (const provider of providers) {
      const offer = await provider.offer();
      requireWishesFit(this.#context.deployment, offer, provider, agreement ?? {});
      lanes.push({ provider, offer });
    }
    return lanes;
  }

  /** Runs something with a tagger for each provider that there is to be an agreement with. */
  async #withTags<Result>(lanes: readonly Lane[], run: (tagged: readonly Lane[]) => Promise<Result>): Promise<Result> {
    const tagged: Lane[] = [];
    try {
      for (const lane of lanes) {
        tagged.push(lane.offer === undefined ? lane : { ...lane, tagger: await beginTagging(this.#context) });
      }
      return await run(tagged);
    } catch (error) {
      for (const { tagger } of tagged) if (tagger !== undefined) await discardTags(this.#context, tagger);
      throw error;
    }
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
