/**
 * The owner's part of a device that only writes: a data set of its own, which the owner begins, opens and pays for, and
 * to which the device then adds alone. The secrets of the set are the owner's, who lets the device have them
 * (`core/identity/delegate-secrets.ts`): the owner audits, disputes, moves and ends it without the device.
 *
 * A set has at least one slice. Its first one holds an object that the owner makes from the device's secrets.
 */

import { type OpenedDataSet, requireTermsOfId } from "../../chain/data-set-words.ts";
import { limitFeeCall, readDelegation, readFeeLimit } from "../../chain/delegates.ts";
import { dataSetsOpened } from "../../chain/escrow-events.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import { kdf } from "../../core/crypto/kdf.ts";
import { feeOf } from "../../core/data-set/fee.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { contentId } from "../../core/encoding/content-id.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, InvalidSignatureError, TallystickError } from "../../core/errors.ts";
import { type DelegateSecrets, delegateSecrets, sealParcel } from "../../core/identity/delegate-secrets.ts";
import type { DelegationRequest } from "../../core/wire/delegation.ts";
import type { AgentContext } from "../context.ts";
import { isKeySignature } from "../data-sets/account-signatures.ts";
import { hasEnded, readOnChain } from "../data-sets/following.ts";
import type { FoundSet } from "../data-sets/found-set.ts";
import { awaitPending, deposit, depositFor } from "../data-sets/funding.ts";
import { dataSetKeys } from "../data-sets/keys.ts";
import { openDataSetLane } from "../data-sets/lane.ts";
import { type SendOptions, sendWithin } from "../data-sets/sending.ts";
import { type LaneWishes, runwayOf } from "../data-sets/wishes.ts";
import type { DataSetProgress, ProgressListener } from "../progress.ts";
import { chosenProviders } from "../providers/chosen-providers.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { encryptionKeyTypedData } from "./encryption-key.ts";
import { parcelScope } from "./parcel-scope.ts";

const FIRST_OBJECT_BYTES = 64;
/** Of a limit in the directory of accounts. */
const MOST_FEE = 2n ** 96n - 1n;
/** What the fee of a set grows to by its device, unless told. */
const DEFAULT_SIZE_BYTES = 4 * 2 ** 30;

export interface PrepareOptions extends LaneWishes, SendOptions {
  /** Account of the provider. Default: where puts of this account go to. */
  readonly provider?: string | undefined;
  /**
   * Highest fee of an epoch that the device may let the set cost, in the token's smallest unit. Default: what
   * `expectedBytes` cost, or 4 GiB.
   */
  readonly feeLimit?: bigint | undefined;
  /** Begin another set, also when the device has one: its home folder was lost. It adds nothing to the old one then. */
  readonly isAnother?: boolean;
  readonly onProgress?: ProgressListener<DataSetProgress> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PreparedDevice {
  readonly key: string;
  readonly provider: string;
  readonly dataSet: string;
  /** Whether it was begun now. */
  readonly isNew: boolean;
  readonly token: string;
  /** Of an epoch, as it is. */
  readonly feePerEpoch: bigint;
  readonly feeLimit: bigint;
  /** Into the owner's balance, so that the limit is covered for the notice period. */
  readonly deposited: bigint;
  /** Of this account. */
  readonly transactions: readonly string[];
}

/**
 * Begins and opens the set, allows its device a fee, and leaves the device's parcel at the provider, in this order.
 * What an earlier run has done is not done again.
 * @throws InvalidSignatureError when the device did not sign its encryption key; TallystickError NOT_DELEGATED for a
 *   device that is no live delegate of this account which may write; InvalidInputError for a limit below the least fee;
 *   what opening a data set throws
 */
export async function prepareDevice(
  context: AgentContext,
  request: DelegationRequest,
  options: PrepareOptions,
): Promise<PreparedDevice> {
  const {
    provider: wanted,
    feeLimit: wantedLimit,
    isAnother = false,
    maximumFee,
    onProgress,
    signal,
    ...wishes
  } = options;
  const { key } = request;
  await requireDevice(context, request);
  const sending = maximumFee === undefined ? {} : { maximumFee };
  const secrets = delegateSecrets(context.identity.auditSeed, key);
  const [provider] = await chosenProviders(context, wanted === undefined ? undefined : [wanted]);
  if (provider === undefined) throw new TallystickError("no provider was chosen", { code: "INTERNAL" });
  const transactions: string[] = [];
  let deposited = 0n;
  const before = await setsOfDevice(context, provider, secrets);
  let [found] = isAnother ? [] : before;
  const isNew = found === undefined;
  if (found === undefined) {
    const id = await open(context, provider, { key, secrets, wishes, onProgress, signal }, (report) => {
      transactions.push(...report.transactions);
      deposited += report.deposited;
    });
    found = (await setsOfDevice(context, provider, secrets)).find(({ opened }) => opened.id === id);
    if (found === undefined) throw notShown(id);
  }
  await leaveToDevice(context, found.opened);
  const { id, terms, audit } = found.opened;
  const { fee: feePerEpoch } = lastLevel(found.onChain.schedule);
  const slices = Math.ceil((wishes.expectedBytes ?? DEFAULT_SIZE_BYTES) / sliceBytes(audit.sliceElements)) + 1;
  const delegate = { key, account: context.account.address };
  const limit = async (set: string) => await readFeeLimit(await context.chain(), delegate, set);
  const current = await limit(id);
  const feeLimit =
    wantedLimit ??
    (current > 0n ? current : leastOf(terms.feeCap, feeOf({ ...terms, feeCap: MOST_FEE }, slices, slices)));
  if (feeLimit < feePerEpoch) throw limitTooLow(id, feePerEpoch, feeLimit);
  const setLimit = async (set: string, fee: bigint) => {
    const call = limitFeeCall(context.deployment, key, set, fee);
    transactions.push((await sendWithin(context, call, sending)).transactionHash);
  };
  if (current !== feeLimit) await setLimit(id, feeLimit);
  for (const { opened } of before) {
    if (opened.id !== id && (await limit(opened.id)) > 0n) await setLimit(opened.id, 0n);
  }
  const change = { token: terms.token, isNew: false, feeBefore: feePerEpoch, fee: feeLimit };
  const grown = { ...change, runwayEpochs: wishes.runwayEpochs === undefined ? 0 : runwayOf(wishes) };
  if ((await depositFor(context, grown)) > 0n) {
    await awaitPending(context, signal);
    const amount = await depositFor(context, grown);
    if (amount > 0n) transactions.push(...(await deposit(context, terms.token, amount)));
    deposited += amount;
  }
  const parcel = { secrets, dataSet: id, accountKey: context.identity.hpkePublicKey };
  const scope = parcelScope(context.deployment, delegate, provider);
  await provider.leaveParcel(key, await sealParcel(fromHex(request.encryptionKey), scope, parcel), signal);
  const facts = { provider: provider.account, dataSet: id, isNew, token: terms.token, feePerEpoch, feeLimit };
  return { key, ...facts, deposited, transactions };
}

function leastOf(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** Sets of a device at a provider that can be added to, the newest first. */
async function setsOfDevice(
  context: AgentContext,
  provider: StorageProvider,
  { auditSeed }: DelegateSecrets,
): Promise<FoundSet[]> {
  const chain = await context.chain();
  const sets: FoundSet[] = [];
  for await (const opened of dataSetsOpened(chain, { user: context.account.address })) {
    if (!isAddressEqual(opened.terms.provider, provider.account)) continue;
    requireTermsOfId(chain.deployment, opened);
    if ((await dataSetKeys(auditSeed, opened.audit.salt)).keyHash !== opened.audit.keyHash) continue;
    const onChain = await readOnChain(chain, opened);
    if (onChain !== undefined && !hasEnded(onChain)) sets.unshift({ opened, onChain });
  }
  return sets;
}

interface Opening {
  readonly key: string;
  readonly secrets: DelegateSecrets;
  readonly wishes: LaneWishes;
  readonly onProgress: ProgressListener<DataSetProgress> | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @returns the id of the set */
async function open(
  context: AgentContext,
  provider: StorageProvider,
  { key, secrets, wishes, onProgress, signal }: Opening,
  onReport: (report: { readonly transactions: readonly string[]; readonly deposited: bigint }) => void,
): Promise<string> {
  const subject = { auditSeed: secrets.auditSeed, delegate: key };
  const lane = await openDataSetLane(context, provider, wishes, subject);
  try {
    const sealed = kdf(secrets.root, "delegate-first-object", undefined, FIRST_OBJECT_BYTES);
    const object = { id: contentId(sealed), sealed };
    await lane.tagger.add(object);
    await provider.store([object], signal);
    const report = await context.exclusive(() => lane.commit(onProgress, signal), signal);
    onReport(report);
    if (report.id === undefined) throw new TallystickError("the first state adds nothing", { code: "INTERNAL" });
    return report.id;
  } catch (error) {
    await lane.discard();
    throw error;
  }
}

/** This home signs no further state of the set. */
async function leaveToDevice(context: AgentContext, { audit }: OpenedDataSet): Promise<void> {
  const { dataSets } = context.platform;
  await context.exclusive(async () => {
    const set = await dataSets.set(audit.salt);
    if (set?.isOwn === true) await dataSets.save({ ...set, isOwn: false });
  }, undefined);
}

async function requireDevice(context: AgentContext, request: DelegationRequest): Promise<void> {
  const { key, account, encryptionKeySignature } = request;
  const typed = encryptionKeyTypedData(context.deployment, request);
  if (!isAddressEqual(account, context.account.address) || !isKeySignature(key, typed, encryptionKeySignature)) {
    throw new InvalidSignatureError("the device has not signed its encryption key for this account", {
      party: `device ${key}`,
      check: "signature of the encryption key",
      expected: `by ${key}, for account ${context.account.address}`,
      received: `for account ${account}`,
      hint: "make the request again on the device, and change nothing of it",
    });
  }
  const found = await readDelegation(await context.chain(), key);
  const now = context.platform.clock.now() / 1000;
  const isOurs = found !== undefined && isAddressEqual(found.account, account);
  if (isOurs && found.scopes.includes("write") && !found.isRevoked && found.expiresAt > now) return;
  throw new TallystickError(`${key} is no live delegate of this account that may write`, {
    code: "NOT_DELEGATED",
    party: `device ${key}`,
    check: "delegation",
    expected: `a live delegate of ${account} with the scope write`,
    received: isOurs ? `to ${found.scopes.join(" and ")}${found.isRevoked ? ", revoked" : ""}` : "none",
    hint: "`tallystick delegate grant` makes it one; `tallystick delegate ls` shows those there are",
  });
}

function limitTooLow(id: string, fee: bigint, limit: bigint): InvalidInputError {
  return new InvalidInputError("the limit is below what the data set costs already", {
    party: "you",
    check: "limit of the delegate",
    expected: `at least ${fee}`,
    received: String(limit),
    hint: "give a higher limit, or the size that the set may grow to",
    details: { id },
  });
}

function notShown(id: string): TallystickError {
  return new TallystickError(`the chain does not show the data set ${id}`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "DataSetOpened event",
    expected: id,
    hint: "run the command again when the endpoint is in sync: it goes on where this one stopped",
    retryable: true,
  });
}
