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
import { openPreparedAgreement } from "../agreements/opening.ts";
import { type AgreementOptions, type AgreementReport, requireWishesFit } from "../agreements/terms.ts";
import type { AgentContext } from "../context.ts";
import { bestFirst, type NodeReport } from "../keys/quorum.ts";
import { ensureKeyOwnership, type KeyOwnership } from "../keys/record-key.ts";
import type { SourceOptions } from "../platform.ts";
import type { AgreementProgress, ProgressListener, PutProgress } from "../progress.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { accountSnapshotKeys } from "../snapshots/account-keys.ts";
import { MetadataUpload } from "../snapshots/metadata-upload.ts";
import { checkLabels, recordSnapshot, type SnapshotLabels, snapshotOf } from "../snapshots/record-snapshot.ts";
import { ContentCache } from "./content-cache.ts";
import { knownOwnership } from "./known-ownership.ts";
import { LeftOut, type LeftOutReport } from "./left-out.ts";
import { measure, openSource, type PutInput } from "./source.ts";
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

/** A provider of this put; without a tagger if there is to be no agreement. */
interface Lane {
  readonly provider: StorageProvider;
  readonly tagger?: DataSetTagger;
  /** What the provider offered before anything was stored. */
  readonly offer?: Offer;
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
  const started = performance.now();
  const { signal, recipients, domain = PUBLIC_DOMAIN, keyMode } = options;
  const counter = { readBytes: 0, readEntries: 0 };
  const totals = { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 };
  let measured = { entries: 0, bytes: 0 };
  const tell = (phase: PutProgress["phase"]) =>
    options.onProgress?.({
      operation: "put",
      phase,
      totalEntries: measured.entries,
      totalBytes: measured.bytes,
      ...counter,
      storedObjects: totals.objects,
      uploadedBytes: totals.uploadedBytes,
      deduplicatedBytes: totals.bytes - totals.uploadedBytes,
    });

  const startedAtMillis = context.platform.clock.now();
  checkLabels(context, options);
  tell("scanning");
  const source = openSource(inputs, context.platform.files, options);
  const leftOut = new LeftOut(context.logger);
  measured = await measure(source, signal);
  const { committee, nodes, oprf } = await context.committee();
  const lanes = await openLanes(context, options);
  const cache = openCache(context, lanes, options);
  const stages = context.platform.openStages?.();
  try {
    const providers = lanes.map(({ provider }) => provider);
    const metadata = new MetadataUpload(accountSnapshotKeys(context), providers, totals, signal);
    const { dataId, fileKey, root } = await storeTree(source, {
      oracle: oprf,
      place: onEvery(lanes),
      domain,
      keyMode,
      stages,
      counter,
      totals,
      remark: leftOut.add,
      cache,
      onChange: () => tell("storing"),
      onEntry: (entry) => metadata.push(entry),
      signal,
    });
    const metadataId = await metadata.finish();
    tell("recording");
    const { name, origins } = source;
    const { entryCount: entries, totalBytes } = root;
    const finish = async (): Promise<{ record: KeyOwnership; agreements: AgreementReport[] }> => {
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
          },
          dataId,
          fileKey,
          recipients,
        ));
      fileKey.fill(0);
      const { recordId, role } = record;
      const storedAt = Math.floor(context.platform.clock.now() / 1000);
      await context.catalogue.savePut({
        dataId,
        name,
        entryCount: entries,
        totalBytes,
        domain,
        recordId,
        role,
        storedAt,
      });
      tell("agreeing");
      // The account had a record already, so another of its devices may have the agreement too.
      const mayRunElsewhere = role === "recorder" && !record.isNew;
      return { record, agreements: await agreeAbout(context, dataId, lanes, options, mayRunElsewhere) };
    };
    const { record, agreements } = await context.exclusive(finish, signal);
    const snapshot = snapshotOf(context, options, {
      dataId,
      metadataId,
      startedAtMillis,
      paths: origins,
      totals: { entries, bytes: totalBytes, addedObjects: totals.uploadedObjects, addedBytes: totals.uploadedBytes },
      unreadEntries: leftOut.unreadEntries,
    });
    await recordSnapshot(context, providers, snapshot, signal);
    tell("done");
    return {
      dataId,
      name,
      domain,
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
      seconds: (performance.now() - started) / 1000,
    };
  } catch (error) {
    for (const { tagger } of lanes) await tagger?.discard();
    throw error;
  } finally {
    cache?.session.close();
    await stages?.close();
  }
}

/**
 * What earlier puts have stored with the same keys and the same providers. Tags are made of the bytes of every object,
 * so with them everything is read; it is remembered all the same.
 */
function openCache(context: AgentContext, lanes: readonly Lane[], options: PutOptions): ContentCache | undefined {
  const { deployment, identity, platform } = context;
  const nowSeconds = Math.floor(platform.clock.now() / 1000);
  const { chainId, committeeId, contracts } = deployment;
  const accounts = lanes.map(({ provider }) => provider.account).sort();
  const { domain = PUBLIC_DOMAIN, keyMode = "oprf", forceRescan = false } = options;
  const session = platform.fileCache?.open({
    scope: JSON.stringify([domain, keyMode, chainId, committeeId, contracts.keyLedger, ...accounts]),
    secret: identity.catalogueKey,
    nowSeconds,
    distrusted: forceRescan || lanes.some(({ tagger }) => tagger !== undefined),
  });
  return session === undefined ? undefined : new ContentCache(session, nowSeconds);
}

/**
 * Chooses the providers, checks the wishes against their offers before anything is stored, and begins the tags of each.
 */
async function openLanes(context: AgentContext, { providers, agreement }: PutOptions): Promise<Lane[]> {
  const chosen = context.providers().choose(providers);
  if (agreement === false) return chosen.map((provider) => ({ provider }));
  const offered: { provider: StorageProvider; offer: Offer }[] = [];
  for (const provider of chosen) {
    const offer = await provider.offer();
    requireWishesFit(context.deployment, offer, provider, agreement ?? {});
    offered.push({ provider, offer });
  }
  const lanes: Lane[] = [];
  for (const lane of offered) lanes.push({ ...lane, tagger: await beginTagging(context) });
  return lanes;
}

async function agreeAbout(
  context: AgentContext,
  dataId: string,
  lanes: readonly Lane[],
  { agreement, onProgress, signal }: PutOptions,
  mayRunElsewhere: boolean,
): Promise<AgreementReport[]> {
  if (agreement === false) return [];
  const agreements: AgreementReport[] = [];
  for (const { provider, tagger, offer } of lanes) {
    if (tagger === undefined) continue;
    const wishes = { ...agreement, mayRunElsewhere, ...(offer === undefined ? {} : { offer }) };
    agreements.push(await openPreparedAgreement(context, dataId, provider, tagger, wishes, onProgress, signal));
  }
  return agreements;
}
