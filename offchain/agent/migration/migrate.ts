/**
 * Moves what a data set keeps from one provider to another, or into a successor at the same one. The order is fixed
 * (objects durable, then in a set of this device that is on chain, then listed, then noted, then notice to the old
 * provider), and each step is idempotent: a run after any interruption does what is missing, sends nothing twice and
 * pays nothing twice. Before the last step the old set goes on as if nothing had happened; where it has a successor,
 * puts go to that one from the first step on.
 *
 * The new set has secrets of its own. One that is opened for the purpose names the old one in its terms, where
 * `recover` finds it; that a set which ran before has taken over is noted in the journal of this device alone. One
 * balance pays for all sets in a token, so none of it is moved.
 */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { follow } from "../data-sets/following.ts";
import type { MovedTo } from "../data-sets/journal.ts";
import type { DataSetReport } from "../data-sets/lane-report.ts";
import { recoverDataSets } from "../data-sets/recovery.ts";
import type { LaneWishes } from "../data-sets/wishes.ts";
import type { DataSetProgress, MigrateProgress, ProgressListener } from "../progress.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { snapshotListAt } from "../snapshots/account-keys.ts";
import type { LeftGroup } from "../stubs/leave-groups.ts";
import { type CopyTotals, copyObjects } from "./copy-objects.ts";
import { copyStubFiles } from "./copy-stub-files.ts";
import { type Damaged, type Inventory, inventoryVersion, takeInventory } from "./inventory.ts";
import { leaveOld, type MigrationSubject, type OldSetEnd, undone } from "./leave-old.ts";
import { oldSource } from "./old-source.ts";
import { type MigrationPlan, planMigration, wishesFor } from "./plan.ts";

/** Ciphertext after which the set at the new provider is brought on chain. */
const ROUND_BYTES = 2 ** 30;
/** Passes while puts add to the old set. */
const PASSES = 5;
const ASK_AGAIN_MILLISECONDS = 500;

/** With wishes for the data set at the new provider: token and mode are by default those of the old one. */
export interface MigrateOptions extends Omit<LaneWishes, "predecessor"> {
  /** Account or URL of a provider of the deployment. */
  readonly to: string;
  /** The provider is that of the old set: only tags are made anew, for a set that begins with the first index. */
  readonly isSuccessor?: boolean;
  /** Refuse a notice whose gas would cost more, in wei. */
  readonly maximumFee?: bigint;
  /** Ciphertext after which the set at the new provider is brought on chain; default 1 GiB. */
  readonly roundBytes?: number;
  /** Told once, before anything is copied. */
  readonly onPlan?: (plan: MigrationPlan) => void;
  readonly onProgress?: ProgressListener<MigrateProgress | DataSetProgress> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MigrationReport extends OldSetEnd {
  readonly plan: MigrationPlan;
  /** At the new provider. */
  readonly dataSet: DataSetReport & { readonly id: string };
  readonly copied: Readonly<CopyTotals>;
  /** Added to the list of the new provider now. */
  readonly listedSnapshots: number;
  /** What nobody has whole; the rest was moved all the same. */
  readonly damaged: readonly Damaged[];
  /** Ownership groups at the old provider that the account was in. */
  readonly ownerGroups: readonly LeftGroup[];
  readonly seconds: number;
}

/** What a migration would come to. Sends nothing. @throws as `migrateDataSet` */
export async function estimateMigration(
  context: AgentContext,
  { opened, onChain }: Pick<MigrationSubject, "opened" | "onChain">,
  options: MigrateOptions,
): Promise<MigrationPlan & { readonly damaged: readonly Damaged[] }> {
  const { from, to } = providersOf(context, opened, options);
  const inventory = await takeInventory(context, opened, from, sourceOf(context, from), options.signal);
  const { roundBytes = ROUND_BYTES } = options;
  const wishes = await wishesFor(context, opened, to, options, inventory.bytes);
  const plan = await planMigration(context, opened, onChain, to, wishes, inventory, roundBytes);
  return { ...plan, damaged: inventory.damaged };
}

/**
 * @throws InvalidInputError when the provider is the same, does not take the set, or costs more than the user allows
 * @throws TallystickError when one of the providers does not answer, or the new one refuses what it is sent: the old
 *   set goes on then. NOT_FOUND when nothing could be moved; CONFLICT (retryable) while puts keep adding to the old set
 */
export async function migrateDataSet(
  context: AgentContext,
  subject: MigrationSubject,
  options: MigrateOptions,
): Promise<MigrationReport> {
  const started = performance.now();
  const { opened } = subject;
  const { onProgress, onPlan, signal, roundBytes = ROUND_BYTES } = options;
  const { from, to } = providersOf(context, opened, options);
  const source = sourceOf(context, from);
  const tell = progressTo(onProgress);
  const copied: CopyTotals = { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 };
  let plan: MigrationPlan | undefined;
  let listedSnapshots = 0;
  let unopened: readonly Damaged[] = [];
  const groups: LeftGroup[] = [];
  for (let pass = 1; pass <= PASSES; pass += 1) {
    tell("listing");
    const inventory = await takeInventory(context, opened, from, source, signal);
    const wishes = await wishesFor(context, opened, to, options, inventory.bytes);
    const next = await planMigration(context, opened, subject.onChain, to, wishes, inventory, roundBytes);
    if (plan === undefined) onPlan?.(next);
    plan ??= next;
    if (options.isSuccessor === true) await stepDown(context, opened, signal);
    const { objects } = inventory;
    tell("copying", copied, inventory);
    // Whoever releases objects there meanwhile is noticed when the snapshots are listed.
    const releases = await to.releases(signal);
    const onCopied = (totals: Readonly<CopyTotals>) => tell("copying", totals, inventory);
    const job = { source, to, wishes, objects, roundBytes, onCopied, onDataSet: onProgress, signal };
    const round = await copyObjects(context, job);
    const uploaded = { objects: copied.uploadedObjects, bytes: copied.uploadedBytes };
    Object.assign(copied, round.totals);
    copied.uploadedObjects += uploaded.objects;
    copied.uploadedBytes += uploaded.bytes;
    const damaged = [...inventory.damaged, ...round.damaged];
    const dataSet = joined(round.reports);
    if (dataSet.id === undefined) throw nothingMoved(from, damaged);
    const movedTo = await confirmed(context, to, dataSet.id, signal);
    tell("listing-snapshots", copied, inventory);
    if (from !== to) {
      const stubFiles = await copyStubFiles(context, { from, to }, inventory.revocable, signal);
      unopened = stubFiles.damaged;
      groups.push(...stubFiles.groups);
    }
    const lost = new Set(damaged.map(({ id }) => id));
    const ids = async function* () {
      for (const id of objects.keys()) if (!lost.has(id)) yield { id };
    };
    const listed = await snapshotListAt(context, to).appendAll(inventory.snapshots, { releases, ids }, signal);
    listedSnapshots += listed.appended;
    if ((await inventoryVersion(context, opened, from, signal)) !== inventory.version) continue;
    await noteMove(context, opened, movedTo);
    tell("giving-notice", copied, inventory);
    const notice = await leaveOld(context, subject, signal);
    tell("done", copied, inventory);
    const common = { plan, dataSet: { ...dataSet, id: dataSet.id }, copied, listedSnapshots, ...notice };
    const left = [...new Map(groups.map((group) => [group.dataId, group])).values()];
    return {
      ...common,
      damaged: [...damaged, ...unopened],
      ownerGroups: left,
      seconds: (performance.now() - started) / 1000,
    };
  }
  throw new TallystickError("puts keep adding to the data set that is to be moved", {
    code: "CONFLICT",
    party: "you",
    check: "content of the data set",
    hint: "run the command again when no put is under way; what was copied is not copied again",
    retryable: true,
  });
}

function providersOf(
  context: AgentContext,
  { id, terms }: OpenedDataSet,
  { to: wanted, isSuccessor = false }: Pick<MigrateOptions, "to" | "isSuccessor">,
): { from: StorageProvider; to: StorageProvider } {
  const to = context.providers().named(wanted);
  const from = context.providers().byAccount(terms.provider);
  if (isAddressEqual(to.account, from.account) === isSuccessor) return { from, to };
  throw new InvalidInputError("the data set is at this provider already", {
    party: "you",
    check: "provider to move to",
    expected: `another one than ${from.account}`,
    received: wanted,
    hint: "`tallystick data-set compact --successor` moves it into a new data set there",
    details: { id },
  });
}

/** From now on, puts of this device go to the successor: both sets cannot be appended to at one provider. */
async function stepDown(
  context: AgentContext,
  { audit }: OpenedDataSet,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { dataSets } = context.platform;
  await context.exclusive(async () => {
    const set = await dataSets.set(audit.salt);
    if (set?.isOwn === true) await dataSets.save({ ...set, isOwn: false });
  }, signal);
}

function sourceOf(context: AgentContext, from: StorageProvider) {
  return oldSource(
    from,
    [...context.providers()].filter((one) => one !== from),
  );
}

/** The rounds of a pass as one. */
function joined(reports: readonly DataSetReport[]): DataSetReport {
  const last = reports.at(-1);
  if (last === undefined) throw new TallystickError("no round was made", { code: "INTERNAL" });
  const sum = (of: (report: DataSetReport) => number) => reports.reduce((total, report) => total + of(report), 0);
  return {
    ...last,
    isNew: reports.some(({ isNew }) => isNew),
    addedSlices: sum(({ addedSlices }) => addedSlices),
    sentBytes: sum(({ sentBytes }) => sentBytes),
    deposited: reports.reduce((total, { deposited }) => total + deposited, 0n),
    transactions: reports.flatMap(({ transactions }) => transactions),
  };
}

/** Waits until the new state of the set counts, so that a reorganisation does not leave the data with nobody. */
async function confirmed(
  context: AgentContext,
  to: StorageProvider,
  id: string,
  signal: AbortSignal | undefined,
): Promise<MovedTo> {
  const { clock, dataSets } = context.platform;
  return await context.waits.during("chain", "confirming the new data set", async () => {
    for (;;) {
      const set = (await dataSets.sets()).find(({ agreed }) => agreed?.id === id);
      const onChain = set === undefined ? undefined : (await follow(context, set)).onChain;
      if (onChain === undefined) throw undone(id, "none with this id");
      const { blockNumber } = onChain.scheduled;
      if (onChain.head - blockNumber + 1 >= context.confirmations) return { id, provider: to.account, blockNumber };
      await clock.pause(ASK_AGAIN_MILLISECONDS, signal);
    }
  });
}

async function noteMove(context: AgentContext, { audit }: OpenedDataSet, movedTo: MovedTo): Promise<void> {
  const { dataSets } = context.platform;
  if ((await dataSets.set(audit.salt)) === undefined) await recoverDataSets(context);
  const set = await dataSets.set(audit.salt);
  // Absent: made with the secrets of another identity.
  if (set !== undefined && set.movedTo?.id !== movedTo.id) await dataSets.save({ ...set, movedTo });
  // Moved back: a set that takes over is not one that was left.
  const target = (await dataSets.sets()).find(({ agreed }) => agreed?.id === movedTo.id);
  if (target?.movedTo === undefined) return;
  const { movedTo: _, ...back } = target;
  await dataSets.save(back);
}

function progressTo(listener: MigrateOptions["onProgress"]) {
  return (phase: MigrateProgress["phase"], totals?: Readonly<CopyTotals>, inventory?: Inventory): void => {
    listener?.({
      operation: "migrate",
      phase,
      doneObjects: totals?.objects ?? 0,
      totalObjects: inventory?.objects.size ?? 0,
      doneBytes: totals?.bytes ?? 0,
      totalBytes: inventory?.bytes ?? 0,
    });
  };
}

function nothingMoved(from: StorageProvider, damaged: readonly Damaged[]): TallystickError {
  const [first] = damaged;
  return new TallystickError("nothing of the data set could be moved", {
    code: "NOT_FOUND",
    party: from.name,
    check: "objects of the data set",
    expected: "at least one that is whole",
    received: first === undefined ? "none" : first.error.message,
    hint: "no notice was given: audit the set and report the miss, the collateral compensates you",
    ...(first === undefined ? {} : { cause: first.error }),
  });
}
