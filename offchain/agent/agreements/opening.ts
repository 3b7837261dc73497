/**
 * An agreement between the account and one provider: prepared (tags delivered and verified), proposed on chain with the
 * fees deposited, accepted by the provider with its collateral. Every step is saved before it is taken; an interrupted
 * attempt is found again by its audit key hash, which no other proposal can have.
 */

import {
  approveCall,
  cancelCall,
  depositOf,
  NATIVE_TOKEN,
  proposeCall,
  readAgreement,
  readAllowance,
} from "../../chain/escrow.ts";
import { readChain } from "../../chain/revert.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Offer } from "../../core/wire/csp.ts";
import type { CataloguedAgreement } from "../catalogue.ts";
import type { AgentContext } from "../context.ts";
import type { AgreementProgress, ProgressListener } from "../progress.ts";
import type { StorageProvider } from "../providers/storage-provider.ts";
import { adoptRunning } from "./adoption.ts";
import { type AgreementKeys, agreementKeys } from "./agreement-keys.ts";
import { type DataSetTagger, findPrepared, type PreparedDataSet } from "./data-set-tagger.ts";
import { deliverPreparation } from "./delivery.ts";
import { agreementOf, isRunning, proposalsOf } from "./proposals.ts";
import {
  type AgreementOptions,
  type AgreementReport,
  makeTerms,
  reportOf,
  requireNotWorse,
  startTooNear,
} from "./terms.ts";

/** Proposals whose start came too near while the provider was asked are replaced, this often. */
const ATTEMPTS = 3;
const PENDING_SECONDS = 120;
const ASK_AGAIN_MILLISECONDS = 500;

type Listener = ProgressListener<AgreementProgress> | undefined;

export interface OpeningOptions extends AgreementOptions {
  /**
   * Whether another device of the account may have made the agreement: then the chain is searched before one is paid.
   */
  readonly mayRunElsewhere?: boolean;
  /** The provider's offer as it was first read: terms that are worse for the user are not proposed. */
  readonly offer?: Offer;
}

/**
 * Has a provider check the tags of a data set before the agreement is opened, in the time that the key record takes to
 * be mined. Neither is waited for by the other, and no money is sent. An attempt that was begun earlier has tags of its
 * own.
 *
 * @throws as `deliverPreparation`: `openPreparedAgreement` repeats what has failed
 */
export async function deliverAhead(
  context: AgentContext,
  dataId: string,
  provider: StorageProvider,
  tagger: DataSetTagger,
  onProgress: Listener,
  signal: AbortSignal,
): Promise<void> {
  const begun = await context.catalogue.agreements(dataId);
  if (begun.some((row) => row.state !== "closed" && isAddressEqual(row.provider, provider.account))) return;
  const { prepared } = await savePrepared(context, dataId, provider, tagger);
  const keys = await agreementKeys(context.identity.auditSeed, prepared.salt);
  const { clock } = context.platform;
  await deliverPreparation(provider, prepared, keys, (told) => tellAgreement(onProgress, told), clock, signal);
}

/** Throws tags away that no agreement has come to refer to. */
export async function discardTags(context: AgentContext, tagger: DataSetTagger): Promise<void> {
  await tagger.discard();
  const rows = await context.catalogue.agreements();
  if (rows.every(({ salt }) => salt !== tagger.salt)) await context.platform.preparations.remove(tagger.salt);
}

function tellAgreement(onProgress: Listener, told: Omit<AgreementProgress, "operation">): void {
  onProgress?.({ operation: "agreement", ...told });
}

/**
 * Makes the agreement for a data set that has just been tagged. If one for this data id exists or was begun, that one
 * is kept or finished, and the new tags are thrown away.
 *
 * @throws TallystickError FUNDS, CHAIN_REVERTED, INVALID_PROOF, BAD_RESPONSE, …; a second run continues where the first
 *   stopped
 */
export async function openPreparedAgreement(
  context: AgentContext,
  dataId: string,
  provider: StorageProvider,
  tagger: DataSetTagger,
  options: OpeningOptions,
  onProgress: Listener,
  signal?: AbortSignal,
): Promise<AgreementReport> {
  const earlier = await resumeAgreement(context, dataId, provider, options, onProgress, signal);
  if (earlier !== undefined) {
    await discardTags(context, tagger);
    return earlier;
  }
  const { row, prepared } = await savePrepared(context, dataId, provider, tagger);
  const running = await adoptInstead(context, row, provider, prepared, options);
  return running ?? (await carryThrough(context, row, provider, prepared, options, onProgress, signal));
}

/** Notes tags as those of the agreement to be made, so that a run after a crash uses the same ones. */
async function savePrepared(
  context: AgentContext,
  dataId: string,
  provider: StorageProvider,
  tagger: DataSetTagger,
): Promise<{ row: CataloguedAgreement; prepared: PreparedDataSet }> {
  const prepared = await tagger.finish();
  const row: CataloguedAgreement = {
    salt: prepared.salt,
    dataId,
    provider: provider.account,
    escrow: context.deployment.contracts.storageEscrow,
    state: "prepared",
    createdAt: Math.floor(context.platform.clock.now() / 1000),
  };
  await context.catalogue.saveAgreement(row);
  return { row, prepared };
}

/** The agreement of another device in the place of one that is prepared here; undefined when there is none. */
async function adoptInstead(
  context: AgentContext,
  { salt, dataId, state }: CataloguedAgreement,
  provider: StorageProvider,
  { manifestHash }: PreparedDataSet,
  { mayRunElsewhere = false }: OpeningOptions,
): Promise<AgreementReport | undefined> {
  if (!mayRunElsewhere || state !== "prepared") return undefined;
  const adopted = await adoptRunning(context, dataId, provider.account, manifestHash);
  const report = adopted === undefined ? undefined : await reportRow(context, adopted, false);
  if (report === undefined) return undefined;
  await context.catalogue.removeAgreement(salt);
  await context.platform.preparations.remove(salt);
  return report;
}

/**
 * The running agreement with a provider about a data id, or the finished attempt at one; undefined when there is
 * neither. One whose last window has passed is not running.
 *
 * @throws TallystickError CHAIN_UNAVAILABLE when the chain does not show an agreement that was accepted
 */
export async function resumeAgreement(
  context: AgentContext,
  dataId: string,
  provider: StorageProvider,
  options: OpeningOptions,
  onProgress: Listener,
  signal?: AbortSignal,
): Promise<AgreementReport | undefined> {
  for (const row of await context.catalogue.agreements(dataId)) {
    if (row.state === "closed" || !isAddressEqual(row.escrow, context.deployment.contracts.storageEscrow)) continue;
    if (!isAddressEqual(row.provider, provider.account)) continue;
    if (row.state === "accepted") {
      const report = await reportRow(context, row, false);
      if (report !== undefined && (await isRunning(context, report))) return report;
      if (report !== undefined) continue;
    }
    const prepared = await findPrepared(context.platform.preparations, row.salt);
    if (prepared !== undefined) {
      const running = await adoptInstead(context, row, provider, prepared, options);
      return running ?? (await carryThrough(context, row, provider, prepared, options, onProgress, signal));
    }
    // Its tags are gone, or it is of a chain that has been replaced. A deposit that may be on chain must not be
    // forgotten with them.
    const located = await locate(context, row, await agreementKeys(context.identity.auditSeed, row.salt));
    if (located.agreementId === undefined) {
      await context.catalogue.removeAgreement(row.salt);
      continue;
    }
    const report = await reportRow(context, located, false);
    if (report?.status === "active") {
      await context.catalogue.saveAgreement({ ...located, state: "accepted" });
      if (await isRunning(context, report)) return report;
      continue;
    }
    await takeBack(context, located);
  }
  return undefined;
}

/** Completes a prepared agreement up to acceptance, continuing an earlier attempt. */
async function carryThrough(
  context: AgentContext,
  begun: CataloguedAgreement,
  provider: StorageProvider,
  prepared: PreparedDataSet,
  options: OpeningOptions,
  onProgress: Listener,
  signal: AbortSignal | undefined,
): Promise<AgreementReport> {
  const keys = await agreementKeys(context.identity.auditSeed, begun.salt);
  let row = begun;
  const tell = (phase: AgreementProgress["phase"]) => tellAgreement(onProgress, { phase, doneBytes: 0, totalBytes: 0 });
  const { clock } = context.platform;
  await deliverPreparation(provider, prepared, keys, (told) => tellAgreement(onProgress, told), clock, signal);
  for (let attempt = 1; ; attempt += 1) {
    row = await locate(context, row, keys);
    if (row.agreementId === undefined) {
      row = await propose(context, row, prepared, keys, provider, options, onProgress);
    }
    tell("accepting");
    const outcome = await askToAccept(context, row, provider);
    if (outcome === "accepted") break;
    row = await takeBack(context, row);
    if (attempt === ATTEMPTS) throw startTooNear(provider.name);
  }
  row = { ...row, state: "accepted" };
  await context.catalogue.saveAgreement(row);
  await context.platform.preparations.remove(row.salt);
  tell("done");
  const report = await reportRow(context, row, true);
  if (report === undefined) throw new TallystickError("an accepted agreement is not on chain", { code: "INTERNAL" });
  return report;
}

/**
 * Finds the proposal of an attempt that was interrupted between sending the transaction and saving its result. A
 * pending transaction of the account may be that proposal, so it is waited for.
 */
async function locate(
  context: AgentContext,
  row: CataloguedAgreement,
  keys: AgreementKeys,
): Promise<CataloguedAgreement> {
  if ((await agreementOf(context, row)) !== undefined) return row;
  const { agreementId: another, ...sought } = row;
  if (another !== undefined) await context.catalogue.saveAgreement(sought);
  if (row.proposedFromBlock === undefined) return sought;
  const chain = await context.chain();
  const { provider } = chain;
  const count = (tag: "latest" | "pending") =>
    readChain("counting transactions", () => provider.getTransactionCount(context.account.address, tag));
  const { clock } = context.platform;
  await context.waits.during("chain", "mining a pending transaction of this account", async () => {
    for (const end = clock.now() + PENDING_SECONDS * 1000; (await count("pending")) > (await count("latest")); ) {
      if (clock.now() > end) throw stillPending(context.account.address);
      await clock.pause(ASK_AGAIN_MILLISECONDS);
    }
  });
  for await (const { id, terms, status } of proposalsOf(chain, context.account.address, row.proposedFromBlock)) {
    if (terms.auditKeyHash !== keys.keyHash || status === "cancelled") continue;
    const found: CataloguedAgreement = { ...sought, state: "proposed", agreementId: id };
    await context.catalogue.saveAgreement(found);
    return found;
  }
  return sought;
}

/** Deposits the fees. @throws TallystickError CONFLICT when the provider has made its offer worse */
async function propose(
  context: AgentContext,
  row: CataloguedAgreement,
  prepared: PreparedDataSet,
  keys: AgreementKeys,
  provider: StorageProvider,
  options: OpeningOptions,
  onProgress: Listener,
): Promise<CataloguedAgreement> {
  const chain = await context.chain();
  const head = await readChain("reading the block number", () => chain.provider.getBlockNumber());
  const termsOf = (offer: Offer) => makeTerms(context.deployment, offer, provider, prepared, keys, head, options);
  const terms = termsOf(await provider.offer());
  if (options.offer !== undefined) requireNotWorse(provider.name, terms, options.offer, termsOf);
  onProgress?.({ operation: "agreement", phase: "proposing", doneBytes: 0, totalBytes: 0, terms });
  const deposit = depositOf(terms);
  if (terms.token !== NATIVE_TOKEN && (await readAllowance(chain, terms.token, context.account.address)) < deposit) {
    await context.send(approveCall(chain.deployment, terms.token, deposit));
  }
  const intent: CataloguedAgreement = { ...row, state: "proposing", proposedFromBlock: head };
  await context.catalogue.saveAgreement(intent);
  await context.send(proposeCall(chain.deployment, terms));
  const proposed = await locate(context, intent, keys);
  if (proposed.agreementId !== undefined) return proposed;
  throw new TallystickError("the proposal was mined but the escrow does not show it", {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "AgreementProposed event",
    retryable: true,
    hint: "run the command again: it looks for the proposal before it makes another",
  });
}

/** @returns `too late` when the provider can no longer accept because the start has come too near */
async function askToAccept(
  context: AgentContext,
  row: CataloguedAgreement,
  provider: StorageProvider,
): Promise<"accepted" | "too late"> {
  const chain = await context.chain();
  const id = row.agreementId;
  if (id === undefined) throw new TallystickError("no proposal to accept", { code: "INTERNAL" });
  const before = await readAgreement(chain, id);
  if (before?.status === "active") return "accepted";
  if (before?.status !== "proposed") return "too late";
  try {
    await provider.accept(id, fromHex(row.salt));
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    const now = await readAgreement(chain, id);
    if (now?.status === "active") return "accepted";
    const [head, offer] = await Promise.all([
      readChain("reading the block number", () => chain.provider.getBlockNumber()),
      provider.offer(),
    ]);
    if (before.terms.startBlock < BigInt(head + offer.minimumLeadBlocks)) return "too late";
    throw error;
  }
  const after = await readAgreement(chain, id);
  if (after?.status === "active") return "accepted";
  throw new TallystickError(`${provider.name} says it accepted, but the escrow does not show it`, {
    code: "BAD_RESPONSE",
    party: provider.name,
    check: "agreement status on chain",
    expected: "active",
    received: after?.status ?? "none",
  });
}

/** Cancels a proposal; the deposit is credited, and the preparation can be proposed again. */
export async function takeBack(context: AgentContext, row: CataloguedAgreement): Promise<CataloguedAgreement> {
  const chain = await context.chain();
  if (row.agreementId !== undefined && (await readAgreement(chain, row.agreementId))?.status === "proposed") {
    await context.send(cancelCall(chain.deployment, row.agreementId));
  }
  const { agreementId: _cancelled, proposedFromBlock: _block, ...rest } = row;
  const prepared: CataloguedAgreement = { ...rest, state: "prepared" };
  await context.catalogue.saveAgreement(prepared);
  return prepared;
}

/** The chain's view of a catalogued agreement. */
async function reportRow(
  context: AgentContext,
  row: CataloguedAgreement,
  isNew: boolean,
): Promise<AgreementReport | undefined> {
  const agreement = await agreementOf(context, row);
  return agreement === undefined ? undefined : reportOf(agreement, row.dataId, isNew);
}

function stillPending(account: string): TallystickError {
  return new TallystickError(`account ${account} has a transaction that is not being mined`, {
    code: "TIMED_OUT",
    party: "chain",
    check: "pending transactions",
    hint: "it may be the proposal of an earlier run; wait until it is mined, then run the command again",
    retryable: true,
  });
}
