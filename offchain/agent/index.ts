/**
 * The agent: what an application does with Tallystick, on any platform. `node/index.ts` opens it on files and a home
 * folder, `browser/` on the storage of a page.
 *
 *   const agent = await openAgent({ identity, deployment, platform });
 *   const { dataId } = await agent.put([{ name: "notes.txt", bytes }]);
 *   const copy = await agent.getBytes(dataId);
 *   await agent.close();
 */

import type { ChainReader, Deployment } from "../chain/deployment.ts";
import type { Identity } from "../core/identity/identity.ts";
import type { NamedMetadata } from "../core/snapshot/snapshot.ts";
import type { CataloguedPut } from "./catalogue.ts";
import { AgentContext } from "./context.ts";
import type { CompactionEstimate, CompactReport } from "./data-sets/compact.ts";
import type { DataSetView } from "./data-sets/data-set-view.ts";
import { DataSets } from "./data-sets/data-sets.ts";
import type { DataSetReport } from "./data-sets/lane-report.ts";
import { Delegates } from "./delegates/delegates.ts";
import { type ChallengeQuote, type ChallengeReceipt, KeyNodes } from "./keys/key-nodes.ts";
import { settleHealing } from "./keys/share-healing.ts";
import type { Damaged } from "./migration/inventory.ts";
import type { MigrateOptions, MigrationReport } from "./migration/migrate.ts";
import type { MigrationPlan } from "./migration/plan.ts";
import { requireOwnCatalogue } from "./own-catalogue.ts";
import type { AgentPlatform, RestoreTarget } from "./platform.ts";
import { type AgentLogger, SILENT } from "./progress.ts";
import { type PutOptions, type PutReport, put } from "./put/put.ts";
import type { PutInput } from "./put/source.ts";
import type { ByteRange } from "./read/byte-range.ts";
import {
  type ContentOptions,
  type FileOptions,
  type GetOptions,
  type GetReport,
  get,
  getBytes,
  getEntries,
  getFile,
  getStream,
  type LeftReport,
  type NotSet,
} from "./read/get.ts";
import { openStoredRoot } from "./read/open-root.ts";
import type { ReadEntry, ReadFile } from "./read/read-entries.ts";
import type { ReadableTree, TreeEntry, TreeFile } from "./read/readable-tree.ts";
import { type RecoverOptions, type RecoverReport, recover } from "./read/recover.ts";
import { StoredTrees, type TreeLimits } from "./read/stored-trees.ts";
import { Recovery } from "./recovery/recovery.ts";
import { collectFromPredecessors, type PaidOut } from "./rotation/pay-out.ts";
import { readingSnapshotKeys } from "./snapshots/account-keys.ts";
import { readMetadata } from "./snapshots/read-metadata.ts";
import { Snapshots } from "./snapshots/snapshots.ts";
import { type StatusReport, status } from "./status.ts";
import { OwnerGroups } from "./stubs/owner-groups.ts";
import { type RekeyReport, rekey } from "./stubs/rekey.ts";
import { Watcher, type WatchOptions } from "./watch/watcher.ts";

export { NoDeploymentError } from "../chain/deployment.ts";
export type { RecoveryPath, RecoveryPlan } from "../chain/recovery-policy.ts";
export type { DelegateBudget } from "./delegates/budgets.ts";
export type { DelegateAccount, DelegateOptions, DelegateState, DelegateView } from "./delegates/delegates.ts";
export type { PreparedDevice, PrepareOptions } from "./delegates/prepare.ts";
export type { Approver, AskedFor, Consent } from "./recovery/approving.ts";
export type { ClaimState, Opening, RecoveryClaim } from "./recovery/claim.ts";
export { describePlan, durationText } from "./recovery/describe-plan.ts";
export {
  accountsNaming,
  type ClaimedProtection,
  type NamingAccount,
  type NamingAccounts,
  protectionOf,
} from "./recovery/find.ts";
export type {
  Approval,
  ApprovalOptions,
  Guarded,
  GuardedAccounts,
  GuardedRequest,
  PreparedProtection,
  ProtectionView,
  Vetoed,
  VetoFailure,
  VetoReport,
} from "./recovery/recovery.ts";
export { isUnderWay, type RequestPhase, type RequestView } from "./recovery/requests.ts";
export type { ReplacedNamed } from "./recovery/warnings.ts";
export type { ChangedGroup, GroupsReport, ListedGroup, OwnerGroupView } from "./stubs/owner-groups.ts";
export { type Eip1193Provider, eip1193Signer } from "./wallet/eip1193.ts";
export type { WatchEvent, WatchSeverity } from "./watch/watch-events.ts";

export interface AgentOptions {
  readonly identity: Identity;
  /** Without one, only `list` works. */
  readonly deployment?: Deployment;
  /** A connection to the chain of the deployment that was begun already; the agent takes it over. */
  readonly chain?: Promise<ChainReader>;
  readonly platform: AgentPlatform;
  /** Receives remarks: nodes that fail and are replaced, and what is waited for. */
  readonly logger?: AgentLogger;
  /** Blocks that must hold a transaction before it counts; default 1. */
  readonly confirmations?: number;
}

/**
 * Opens an agent. Chain, nodes and providers are connected to when they are first needed. The agent closes the
 * platform.
 *
 * @throws TallystickError CONFLICT when the catalogue belongs to another account
 */
export async function openAgent(options: AgentOptions): Promise<Agent> {
  const { identity, deployment, chain, platform, logger = SILENT, confirmations = 1 } = options;
  const context = new AgentContext({ identity, deployment, chain, platform, logger, confirmations });
  await requireOwnCatalogue(context);
  return new Agent(context);
}

/** One identity in one deployment. */
export class Agent {
  readonly dataSets: DataSets;
  readonly snapshots: Snapshots;
  readonly keyNodes: KeyNodes;
  readonly recovery: Recovery;
  readonly owners: OwnerGroups;
  readonly delegates: Delegates;
  readonly #context: AgentContext;

  /** Use `openAgent`. */
  constructor(context: AgentContext) {
    this.#context = context;
    this.dataSets = new DataSets(context);
    this.snapshots = new Snapshots(context);
    this.keyNodes = new KeyNodes(context);
    this.recovery = new Recovery(context);
    this.owners = new OwnerGroups(context);
    this.delegates = new Delegates(context);
  }

  /** The account's address. */
  get account(): string {
    return this.#context.account.address;
  }

  get deployment(): Deployment {
    return this.#context.deployment;
  }

  /** Stores files and folders by path, `File`s, and bytes, blobs or streams with a name. @see put */
  async put(inputs: readonly PutInput[], options: PutOptions = {}): Promise<PutReport> {
    return await put(this.#context, inputs, options);
  }

  /** Restores a put into a folder, or another target. @see get */
  async get(dataId: string, target: string | RestoreTarget, options: GetOptions = {}): Promise<GetReport> {
    return await get(this.#context, dataId, target, options);
  }

  /** One file of a put; its content is fetched as it is read. @see getFile */
  async getFile(dataId: string, options: FileOptions = {}): Promise<ReadFile> {
    return await getFile(this.#context, dataId, options);
  }

  /** The content of one file of a put, or a range of it, as a stream. @see getStream */
  async getStream(dataId: string, options: ContentOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return await getStream(this.#context, dataId, options);
  }

  /** The content of one small file of a put, or a small range of one. @see getBytes */
  async getBytes(
    dataId: string,
    options: ContentOptions & { readonly maximumBytes?: number } = {},
  ): Promise<Uint8Array> {
    return await getBytes(this.#context, dataId, options);
  }

  /** The entries of a put in listing order, each file with its content as a stream. @see getEntries */
  getEntries(dataId: string, options: { readonly signal?: AbortSignal | undefined } = {}): AsyncIterable<ReadEntry> {
    return getEntries(this.#context, dataId, options.signal);
  }

  /**
   * Puts as trees to look up paths in and to read files from, again and again: what a server shows. @see StoredTrees
   */
  trees(limits: Partial<TreeLimits> = {}): StoredTrees {
    const openRoot = (dataId: string) => openStoredRoot(this.#context, dataId, undefined);
    const source = this.#context.providers();
    const context = this.#context;
    const metadata = async function* (snapshot: NamedMetadata) {
      yield* readMetadata(await readingSnapshotKeys(context, snapshot), snapshot.metadataId, source);
    };
    return new StoredTrees(openRoot, source, limits, metadata);
  }

  /** Makes the keys of a revocable put's stub files, as far as they were given away, open nothing new. @see rekey */
  async rekey(dataId: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<RekeyReport> {
    return await rekey(this.#context, dataId, options.signal);
  }

  /** What this device knows to be stored, newest first; needs no network. */
  async list(): Promise<CataloguedPut[]> {
    return await this.#context.catalogue.puts();
  }

  /** State of the account, its puts and data sets, or of one put. @see status */
  async status(dataId?: string): Promise<StatusReport> {
    return await status(this.#context, dataId);
  }

  /** Follows the account's data sets, one look after the other. @see Watcher */
  watch(options: WatchOptions = {}): Watcher {
    return new Watcher(this.#context, options);
  }

  /** Rebuilds the catalogue of this device from the ledger. @see recover */
  async recover(options: RecoverOptions = {}): Promise<RecoverReport> {
    return await recover(this.#context, options);
  }

  /** Moves to this account what the accounts that it has replaced still have. @see collectFromPredecessors */
  async collectFromPredecessors(): Promise<(PaidOut & { readonly account: string })[]> {
    return await collectFromPredecessors(this.#context);
  }

  /** Closes the catalogue and the connections. Waits a few seconds for key shares that reads have begun to heal. */
  async close(): Promise<void> {
    await settleHealing(this.#context);
    await this.#context.close();
  }
}

export type { NamedBlob, NamedBytes, NamedInput, NamedStream } from "./put/named-inputs.ts";
export { InTheWayError, type LeftEntry, LeftError, RefusedError } from "./read/obstacles.ts";
export type {
  AgentPlatform,
  ByteRange,
  CataloguedPut,
  ChallengeQuote,
  ChallengeReceipt,
  CompactionEstimate,
  CompactReport,
  ContentOptions,
  Damaged,
  DataSetReport,
  DataSetView,
  FileOptions,
  GetOptions,
  GetReport,
  LeftReport,
  MigrateOptions,
  MigrationPlan,
  MigrationReport,
  NotSet,
  PaidOut,
  PutInput,
  PutOptions,
  PutReport,
  ReadableTree,
  ReadEntry,
  ReadFile,
  RecoverReport,
  RekeyReport,
  RestoreTarget,
  StatusReport,
  StoredTrees,
  TreeEntry,
  TreeFile,
  TreeLimits,
  Watcher,
  WatchOptions,
};
