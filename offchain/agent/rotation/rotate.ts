/**
 * `rotate`: a new identity takes the place of the one of this device. The order is fixed, and each step is idempotent,
 * so that a run after any interruption does what is missing and pays nothing twice:
 *
 *   1. The successor is named on chain. From now on the old key opens no session and gets no release, and providers
 *      give what the old account has to the new one, at its first session.
 *   2. Money of the old account that nothing needs moves to the new one.
 *   3. For each data set that goes on, also of a device that only writes: the new account tags its objects under
 *      secrets of its own, in a set of its own at the same provider. A thief of the old phrase knows the secrets of the
 *      old tags. No object is sent again.
 *   4. Snapshots are listed, also those that devices have left and nobody has taken over, and stub files sealed, under
 *      the new keys. Lists under old keys would be anybody's who has the old phrase.
 *   5. Notice is given to the old sets.
 *
 * Key records and metadata objects stay as they are: the old phrase is handed over, sealed, with the naming.
 */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { readDelegates } from "../../chain/delegates.ts";
import { dataSetsOpened } from "../../chain/escrow-events.ts";
import { quoteFee } from "../../chain/fee-limit.ts";
import type { RecoveryPlan } from "../../chain/recovery-policy.ts";
import { isShortOfFunds } from "../../chain/short-funds.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Delegation } from "../../core/identity/delegation.ts";
import type { AgentContext } from "../context.ts";
import { DataSets } from "../data-sets/data-sets.ts";
import { type DataSetOnChain, hasEnded, readOnChain } from "../data-sets/following.ts";
import type { DataSetListener } from "../data-sets/lane-report.ts";
import type { LaneWishes } from "../data-sets/wishes.ts";
import { type CopyTotals, copyObjects } from "../migration/copy-objects.ts";
import { type Damaged, type Inventory, takeInventory } from "../migration/inventory.ts";
import { leaveOld, type OldSetEnd } from "../migration/leave-old.ts";
import { oldSource } from "../migration/old-source.ts";
import { planMigration, termsAt } from "../migration/plan.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { readProtection } from "../recovery/protection.ts";
import { isNamed, nameSuccessor, successionCall } from "./name-successor.ts";
import { type PaidOut, payOut } from "./pay-out.ts";
import { type MovedObjects, relist } from "./relist.ts";

/** Ciphertext after which a set is brought on chain. */
const ROUND_BYTES = 2 ** 30;

/** The two identities, on one deployment. */
export interface Rotation {
  /** Of the account that is replaced, with sessions of its own: it is used until the successor is named. */
  readonly old: AgentContext;
  /** With its keys and journal, and sessions of the successor. */
  readonly asSuccessor: AgentContext;
  readonly next: AgentContext;
}

export interface RotateOptions {
  readonly onStep?: ((step: string) => void) | undefined;
  readonly onDataSet?: DataSetListener;
  readonly signal?: AbortSignal | undefined;
}

/** What a data set that goes on adds to the one that takes the place of all at its provider. */
export interface RotatedSetPlan {
  readonly id: string;
  readonly provider: string;
  readonly objects: number;
  readonly bytes: number;
  readonly token: string;
  /** Of the old and of the new set, per epoch: both are paid until the notice period of the old one is over. */
  readonly feeNow: bigint;
  readonly fee: bigint;
  /** Of the new account. */
  readonly deposit: bigint;
}

/** A set of the old account that goes on: it is paid for as long as the old balance lasts. */
export interface LeftSet {
  readonly id: string;
  /** Account of its provider. */
  readonly provider: string;
  /** Why: its provider is none of the deployment's, or the old account cannot pay for the notice. */
  readonly error: TallystickError;
}

export interface RotationPlan {
  readonly account: string;
  readonly successor: string;
  readonly isNamed: boolean;
  readonly dataSets: readonly RotatedSetPlan[];
  readonly left: readonly LeftSet[];
  /** See `RotationReport`. */
  readonly endedRecovery?: RecoveryPlan;
  readonly endedDelegates: readonly Delegation[];
  /** Gas of the naming and of what each set needs, at the current price, in wei. */
  readonly gasFee: bigint;
}

export interface RotatedSet extends OldSetEnd {
  readonly id: string;
  /** The set that takes its place. */
  readonly successor: string;
  readonly provider: string;
  readonly copied: Readonly<CopyTotals>;
}

export interface RotationReport {
  readonly account: string;
  readonly successor: string;
  /** Of the naming; absent when an earlier run had named it. */
  readonly transactionHash?: string;
  readonly dataSets: readonly RotatedSet[];
  readonly left: readonly LeftSet[];
  /** Who could recover the old identity. The new one has none until it is published: nobody else holds its secret. */
  readonly endedRecovery?: RecoveryPlan;
  /** Those that could act for the old account. The new one has none until it grants them anew, with other keys. */
  readonly endedDelegates: readonly Delegation[];
  readonly listedSnapshots: number;
  readonly paidOut: readonly PaidOut[];
  readonly damaged: readonly Damaged[];
  readonly seconds: number;
}

interface OldSet {
  readonly opened: OpenedDataSet;
  readonly onChain: DataSetOnChain;
}

/** Sets of the old account that nothing has ended. */
interface OldSets {
  /** At providers of the deployment. */
  readonly sets: readonly OldSet[];
  readonly left: readonly LeftSet[];
}

/** What the sets at one provider that were looked at before come to together. */
interface PlannedObjects extends Pick<Inventory, "objects" | "bytes"> {
  readonly fee: bigint;
  readonly deposit: bigint;
}

/** What a rotation would come to. Sends nothing. @throws as `rotate` */
export async function planRotation(rotation: Rotation, signal?: AbortSignal): Promise<RotationPlan> {
  const { old, asSuccessor, next } = rotation;
  const named = await isNamed(old, next.account.address);
  const reader = named ? asSuccessor : old;
  const dataSets: RotatedSetPlan[] = [];
  const call = named ? undefined : await successionCall(old, next);
  let gasFee = call === undefined ? 0n : (await quoteFee(await old.chain(), call, old.account.address)).gasFee;
  const { sets, left } = await goingOn(old);
  const planned = new Map<string, PlannedObjects>();
  for (const { opened, onChain } of sets) {
    const provider = providerOf(reader, opened);
    const taken = await takeInventory(reader, opened, provider, sourceOf(reader, provider), signal);
    const to = providerOf(next, opened);
    const before = planned.get(to.account) ?? { objects: new Map(), bytes: 0, fee: 0n, deposit: 0n };
    const objects = new Map([...before.objects, ...taken.objects]);
    const bytes = sumOf(objects);
    const wishes = await wishesOf(next, to, sets, bytes);
    const inventory = { objects, bytes, snapshots: taken.snapshots };
    const plan = await planMigration(next, opened, onChain, to, wishes, inventory, ROUND_BYTES);
    const { id, token, feeNow, fee, deposit } = plan;
    gasFee += plan.gasFee;
    dataSets.push({
      ...{ id, provider: to.account, token, feeNow },
      objects: objects.size - before.objects.size,
      bytes: bytes - before.bytes,
      fee: fee - before.fee,
      deposit: deposit - before.deposit,
    });
    planned.set(to.account, { objects, bytes, fee, deposit });
  }
  const ended = await endedRecovery(old, next);
  return {
    account: old.account.address,
    successor: next.account.address,
    isNamed: named,
    dataSets,
    left,
    gasFee,
    ...ended,
    endedDelegates: await endedDelegates(old),
  };
}

/**
 * Carries a rotation out, or goes on with one.
 *
 * @throws TallystickError CONFLICT when the account has another successor; FUNDS when neither account has the coins;
 *   what providers and the chain answer. A later run goes on.
 */
export async function rotate(rotation: Rotation, options: RotateOptions = {}): Promise<RotationReport> {
  const started = performance.now();
  const { old, asSuccessor, next } = rotation;
  const { onStep = () => undefined, signal } = options;
  const successor = next.account.address;
  let transactionHash: string | undefined;
  if (!(await isNamed(old, successor))) {
    onStep("naming the successor on chain");
    // A put of this home records its key before or not at all: the successor leaves out what is recorded later.
    transactionHash = await old.exclusive(() => nameSuccessor(old, next), signal);
  }
  const { sets, left: unlisted } = await goingOn(asSuccessor);
  const left = [...unlisted];
  const paidOut = await payOut(asSuccessor, successor, sets.length, true);
  for (const put of await old.catalogue.puts()) await next.catalogue.savePut(put);

  const damaged: Damaged[] = [];
  const dataSets: RotatedSet[] = [];
  const inventories = new Map<string, MovedObjects>();
  for (const set of sets) {
    onStep(`making the tags of data set ${set.opened.id.slice(0, 10)} anew`);
    const { inventory, ...copied } = await copySet(rotation, set, sets, options);
    addDamaged(damaged, [...inventory.damaged, ...copied.damaged]);
    const { provider } = set.opened.terms;
    inventories.set(provider, together(inventories.get(provider), inventory));
    dataSets.push({ ...copied.rotated });
  }
  let listedSnapshots = 0;
  for (const from of asSuccessor.providers()) {
    onStep(`listing the snapshots at ${from.name} under the new keys`);
    listedSnapshots += await relist(rotation, from, inventories.get(from.account), damaged, signal);
  }
  const ended: RotatedSet[] = [];
  for (const [place, set] of sets.entries()) {
    onStep(`giving notice to data set ${set.opened.id.slice(0, 10)}`);
    const end = await endOf(asSuccessor, set, signal);
    if (end instanceof TallystickError) left.push(leftSet(set.opened, end));
    const rotated = dataSets[place];
    if (rotated !== undefined) ended.push({ ...rotated, ...(end instanceof TallystickError ? {} : end) });
  }
  paidOut.push(...(await payOut(asSuccessor, successor, 0, true)));
  return {
    account: old.account.address,
    successor,
    ...(transactionHash === undefined ? {} : { transactionHash }),
    dataSets: ended,
    left,
    ...(await endedRecovery(old, next)),
    endedDelegates: await endedDelegates(old),
    listedSnapshots,
    paidOut,
    damaged,
    seconds: (performance.now() - started) / 1000,
  };
}

/** What the owner would miss when the new phrase is lost. */
async function endedRecovery(
  old: AgentContext,
  next: AgentContext,
): Promise<{ readonly endedRecovery?: RecoveryPlan }> {
  const chain = await old.chain();
  const [before, after] = await Promise.all(
    [old, next].map(async ({ account }) => await readProtection(chain, account.address)),
  );
  return before?.isLive === true && after?.isLive !== true ? { endedRecovery: before.secret.plan } : {};
}

/** Whose devices nodes and providers refuse from the naming on. */
async function endedDelegates(old: AgentContext): Promise<Delegation[]> {
  const now = old.platform.clock.now() / 1000;
  const delegates = await readDelegates(await old.chain(), old.account.address);
  return delegates
    .filter(({ isRevoked, expiresAt }) => !isRevoked && expiresAt > now)
    .map(({ account, key, scopes, expiresAt }) => ({ account, key, scopes, expiresAt }));
}

/**
 * Sets of the account that nothing ends. Notice is given last, so one that was given it has nothing left to do. Whoever
 * has the old key can open sets at providers of its own, which must not keep the others from going on.
 */
async function goingOn(old: AgentContext): Promise<OldSets> {
  const chain = await old.chain();
  const sets: OldSet[] = [];
  const left: LeftSet[] = [];
  for await (const opened of dataSetsOpened(chain, { user: old.account.address })) {
    const onChain = await readOnChain(chain, opened);
    if (onChain === undefined || hasEnded(onChain)) continue;
    const error = unlistedProvider(old, opened);
    if (error === undefined) sets.push({ opened, onChain });
    else left.push(leftSet(opened, error));
  }
  return { sets, left };
}

function leftSet({ id, terms }: OpenedDataSet, error: TallystickError): LeftSet {
  return { id, provider: terms.provider, error };
}

/** @returns undefined for a provider of the deployment */
function unlistedProvider(context: AgentContext, opened: OpenedDataSet): TallystickError | undefined {
  try {
    providerOf(context, opened);
    return undefined;
  } catch (error) {
    if (error instanceof TallystickError && error.code === "NOT_FOUND") return error;
    throw error;
  }
}

/** @returns what the old account is short of when it cannot pay for the notice: coins on it are the thief's as well */
async function endOf(
  asSuccessor: AgentContext,
  { opened }: OldSet,
  signal: AbortSignal | undefined,
): Promise<OldSetEnd | TallystickError> {
  const giveNotice = async () => await new DataSets(asSuccessor).giveNotice(opened.id);
  try {
    return await leaveOld(asSuccessor, { opened, giveNotice }, signal);
  } catch (error) {
    if (isShortOfFunds(error)) return error;
    throw error;
  }
}

function providerOf(context: AgentContext, { terms }: OpenedDataSet): StorageProvider {
  return context.providers().byAccount(terms.provider);
}

function sourceOf(context: AgentContext, from: StorageProvider) {
  return oldSource(
    from,
    [...context.providers()].filter((one) => one !== from),
  );
}

/** Several sets at one provider need the same snapshots, so they have the same damage. */
function addDamaged(damaged: Damaged[], found: readonly Damaged[]): void {
  const known = new Set(damaged.map(({ id }) => id));
  damaged.push(...found.filter(({ id }) => !known.has(id) && known.add(id)));
}

function together(one: MovedObjects | undefined, other: MovedObjects): MovedObjects {
  if (one === undefined) return other;
  return {
    objects: new Map([...one.objects, ...other.objects]),
    revocable: new Set([...one.revocable, ...other.revocable]),
  };
}

/**
 * For the one set that takes the place of all at a provider, also of those of devices that only write: of the mode that
 * proves more, in the token of the first. One that is there already keeps its terms.
 * @param sets all of the old account that go on
 */
async function wishesOf(
  next: AgentContext,
  to: StorageProvider,
  sets: readonly OldSet[],
  expectedBytes: number,
): Promise<LaneWishes> {
  if ((await termsAt(next, to)) !== undefined) return { expectedBytes };
  const there = sets.map(({ opened }) => opened.terms).filter(({ provider }) => isAddressEqual(provider, to.account));
  const [first] = there;
  const mode = there.some((terms) => terms.mode === "every-epoch") ? "every-epoch" : "on-demand";
  return { ...(first === undefined ? {} : { token: first.token, mode }), expectedBytes };
}

function sumOf(objects: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const size of objects.values()) sum += size;
  return sum;
}

async function copySet(
  { asSuccessor, next }: Rotation,
  { opened }: OldSet,
  sets: readonly OldSet[],
  { onDataSet, signal }: RotateOptions,
): Promise<{ inventory: Inventory; rotated: RotatedSet; damaged: readonly Damaged[] }> {
  const from = providerOf(asSuccessor, opened);
  const to = providerOf(next, opened);
  const source = sourceOf(asSuccessor, from);
  const inventory = await takeInventory(asSuccessor, opened, from, source, signal);
  const { objects } = inventory;
  const { totals, reports, damaged } = await copyObjects(next, {
    source,
    to,
    wishes: await wishesOf(next, to, sets, inventory.bytes),
    objects,
    roundBytes: ROUND_BYTES,
    onCopied: () => undefined,
    onDataSet,
    signal,
  });
  const successor = reports.at(-1)?.id ?? "";
  return { inventory, rotated: { id: opened.id, successor, provider: to.account, copied: totals }, damaged };
}
