/** Carries a state that this device has signed onto the chain: signed by the provider as well, and sent by either. */

import type { SignedState } from "../../chain/data-set-words.ts";
import type { Deployment } from "../../chain/deployment.ts";
import { readScheduleHash } from "../../chain/escrow.ts";
import { openDataSetCall, updateDataSetCall } from "../../chain/escrow-calls.ts";
import { ChainRevertedError } from "../../chain/revert.ts";
import { decodeLiveRanges, rangesHash } from "../../core/data-set/ranges.ts";
import { scheduleHash } from "../../core/data-set/schedule.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  type DataSetUpdateMessage,
  dataSetUpdateTypedData,
  type TypedData,
} from "../../core/identity/typed-messages.ts";
import type { UpdateAnswer, UpdateRequest } from "../../core/wire/data-sets.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetKeeper } from "../providers/storage-provider.ts";
import { requireSignedByProvider } from "./account-signatures.ts";
import { type DataSetOnChain, type FollowedDataSet, follow } from "./following.ts";
import type { AgreedDataSet, JournaledDataSet, SignedByDevice } from "./journal.ts";
import { termsToText } from "./terms-text.ts";
import { changeWaits, type WaitingChange, waitingChange } from "./waiting-change.ts";

/** How long a transaction that the provider says was mined is waited for, before the user sends the state itself. */
const PATIENCE_MILLISECONDS = 60_000;
const ASK_AGAIN_MILLISECONDS = 500;

export interface CarryOptions {
  /** Told before this device sends a transaction in the provider's place. */
  readonly onSending: () => void;
  /** Whether the provider may keep the state until the end of the epoch. */
  readonly mayWait: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface Carried {
  readonly followed: FollowedDataSet;
  /** Hashes of the provider's transaction, or of this device's. */
  readonly transactions: readonly string[];
  /**
   * By this block the provider sends the state, which is not on chain yet. Of a provider that has not kept its word,
   * the block in which this device can.
   */
  readonly waitsUntilBlock?: number;
}

/** What both parties sign. */
export function stateTypedData(
  deployment: Deployment,
  id: string,
  state: Omit<SignedByDevice, "userSignature" | "providerSignature" | "segments">,
): TypedData<DataSetUpdateMessage> {
  return dataSetUpdateTypedData(BigInt(deployment.chainId), deployment.contracts.storageEscrow, {
    dataSetId: id,
    version: state.version,
    retirements: BigInt(state.retirements),
    rangesHash: rangesHash(decodeLiveRanges(state.ranges)),
    contentHash: state.contentHash,
    deadlineBlock: state.deadlineBlock,
  });
}

/** The state as the chain takes it. */
export function signedState(signed: SignedByDevice, providerSignature: string): SignedState {
  const { version, ranges, contentHash, deadlineBlock, userSignature } = signed;
  return { version, ranges, contentHash, deadlineBlock, userSignature, providerSignature };
}

/**
 * Brings the signed state of a set on chain, or leaves that to the provider until the end of the epoch: a state counts
 * from the next one on, however early it comes. A provider that has not kept its word is not waited for again, but the
 * escrow takes one change per epoch from this device: while another one waits to begin, the state is left to the
 * provider until then. May be repeated.
 *
 * @returns once the chain has it, or it waits
 * @throws InvalidSignatureError naming the provider when it did not sign this state; TallystickError BAD_RESPONSE when
 *   it answers about another one; CONFLICT (retryable) when a change waits and this state may not; CHAIN_REVERTED when
 *   the contract refuses it; what the provider answers
 */
export async function carryOntoChain(
  context: AgentContext,
  provider: DataSetKeeper,
  begun: FollowedDataSet,
  { onSending, mayWait, signal }: CarryOptions,
): Promise<Carried> {
  const { agreed, signed } = begun.set;
  if (agreed === undefined || signed === undefined)
    throw new TallystickError("nothing is signed", { code: "INTERNAL" });
  const { set, signature, transaction, waitsUntilBlock } = await coSign(context, provider, begun, agreed, signed);
  signal?.throwIfAborted();
  const seen = { ...begun, set };
  if (mayWait && transaction === undefined && waitsUntilBlock !== undefined) {
    return { followed: seen, transactions: [], waitsUntilBlock };
  }
  if (transaction !== undefined) {
    const followed = await awaitVersion(context, seen, signed.version, signal);
    if (followed !== undefined) return { followed, transactions: [transaction] };
  }
  const now = await follow(context, set);
  if (now.onChain !== undefined && now.onChain.schedule.version >= signed.version) {
    return { followed: now, transactions: transaction === undefined ? [] : [transaction] };
  }
  const waiting = await waitingChange(context, now.onChain);
  if (waiting !== undefined) return await leaveToProvider(context, now, signed, signature, waiting, mayWait);
  onSending();
  const sent = await sendOneself(context, seen, agreed, signedState(signed, signature));
  const followed = await awaitVersion(context, seen, signed.version, signal);
  if (followed !== undefined) return { followed, transactions: sent === undefined ? [] : [sent] };
  throw notShown(agreed.id, signed.version);
}

/**
 * Leaves a state to the provider while a change waits that is not to begin yet: the escrow takes another one from the
 * provider alone until then. A later run sends it, if the provider has not.
 * @throws TallystickError CONFLICT (retryable) when the state may not wait, or expires before
 */
async function leaveToProvider(
  context: AgentContext,
  { set, onChain }: FollowedDataSet,
  signed: SignedByDevice,
  providerSignature: string,
  waiting: WaitingChange,
  mayWait: boolean,
): Promise<Carried> {
  if (!mayWait || onChain === undefined || BigInt(waiting.fromBlock) > signed.deadlineBlock) {
    throw changeWaits(set.agreed?.id ?? set.salt, waiting);
  }
  const waitsUntilBlock = waiting.fromBlock;
  const saved = await context.platform.dataSets.save({
    ...set,
    signed: { ...signed, providerSignature, waitsUntilBlock },
  });
  return { followed: { set: saved, onChain }, transactions: [], waitsUntilBlock };
}

interface CoSigned {
  readonly set: JournaledDataSet;
  readonly signature: string;
  /** Of the provider. */
  readonly transaction?: string;
  /** The provider waits so long, and may. */
  readonly waitsUntilBlock?: number;
}

/** Asks for the provider's signature. One from an earlier run will do when it does not answer. */
async function coSign(
  context: AgentContext,
  provider: DataSetKeeper,
  { set, onChain }: FollowedDataSet,
  agreed: AgreedDataSet,
  signed: SignedByDevice,
): Promise<CoSigned> {
  const known = signed.providerSignature;
  let answer: UpdateAnswer;
  try {
    const request = requestOf(signed);
    answer =
      onChain === undefined
        ? await provider.openDataSet(set.salt, { ...termsToText(agreed), first: request })
        : await provider.updateDataSet(set.salt, request);
  } catch (error) {
    if (!(error instanceof TallystickError)) throw error;
    if (known === undefined) {
      // No room now, and none by waiting: a later state with less in it is not held up by this one.
      if (error.code === "RATE_LIMITED" && !error.retryable) {
        await context.platform.dataSets.save({ ...set, signed: { ...signed, isRefused: true } });
      }
      throw error;
    }
    context.logger.debug({ code: error.code }, `sending the state without ${provider.name}: ${error.message}`);
    return { set, signature: known };
  }
  const { id, version, providerSignature: signature, transaction } = answer;
  const waitsUntilBlock = waitOf(answer, signed, onChain);
  requireSame(provider.name, "id of the data set", agreed.id, id);
  requireSame(provider.name, "version", String(signed.version), version);
  const typed = stateTypedData(context.deployment, agreed.id, signed);
  await requireSignedByProvider(await context.chain(), provider, typed, signature, "the state of the data set");
  const waits = waitsUntilBlock === undefined ? {} : { waitsUntilBlock };
  const isKnown = known === signature && (waitsUntilBlock ?? signed.waitsUntilBlock) === signed.waitsUntilBlock;
  const saved = isKnown
    ? set
    : await context.platform.dataSets.save({ ...set, signed: { ...signed, providerSignature: signature, ...waits } });
  return { set: saved, signature, ...waits, ...(transaction === undefined ? {} : { transaction: transaction.hash }) };
}

/** How long the provider may wait: not with an opening, not beyond the deadline, nor beyond what it said before. */
function waitOf(
  { waitsUntilBlock }: UpdateAnswer,
  signed: SignedByDevice,
  onChain: DataSetOnChain | undefined,
): number | undefined {
  if (waitsUntilBlock === undefined || onChain === undefined) return undefined;
  const until = Math.min(waitsUntilBlock, signed.waitsUntilBlock ?? waitsUntilBlock);
  return onChain.head < until && BigInt(until) <= signed.deadlineBlock ? until : undefined;
}

function requestOf(signed: SignedByDevice): UpdateRequest {
  const { version, retirements, ranges, contentHash, deadlineBlock, userSignature } = signed;
  return {
    version: String(version),
    retirements,
    ranges: toHex(ranges),
    contentHash,
    deadlineBlock: Number(deadlineBlock),
    userSignature,
  };
}

/** Waits until the chain has the version. @returns undefined when it does not in time */
async function awaitVersion(
  context: AgentContext,
  { set, onChain }: FollowedDataSet,
  version: bigint,
  signal: AbortSignal | undefined,
): Promise<FollowedDataSet | undefined> {
  const { agreed } = set;
  if (agreed === undefined) return undefined;
  const chain = await context.chain();
  const { clock } = context.platform;
  let seen = onChain === undefined ? undefined : scheduleHash(onChain.scheduled.schedule);
  return await context.waits.during("chain", "showing the new state of the data set", async () => {
    for (const end = clock.now() + PATIENCE_MILLISECONDS; ; await clock.pause(ASK_AGAIN_MILLISECONDS, signal)) {
      const hash = await readScheduleHash(chain, agreed.id);
      if (hash !== undefined && hash !== seen) {
        seen = hash;
        const followed = await follow(context, set);
        if (followed.onChain !== undefined && followed.onChain.schedule.version >= version) return followed;
      }
      if (clock.now() >= end) return undefined;
    }
  });
}

/** Sends a state that both have signed. @returns undefined when the provider's transaction came first */
async function sendOneself(
  context: AgentContext,
  { set, onChain }: FollowedDataSet,
  { terms, audit }: AgreedDataSet,
  state: SignedState,
): Promise<string | undefined> {
  const { deployment } = context;
  try {
    const words = onChain === undefined ? undefined : { terms, ...onChain.scheduled };
    const call =
      words === undefined
        ? openDataSetCall(deployment, terms, audit, state)
        : updateDataSetCall(deployment, words, state);
    return (await context.send(call)).hash;
  } catch (error) {
    if (!(error instanceof ChainRevertedError)) throw error;
    const now = await follow(context, set);
    if (now.onChain !== undefined && now.onChain.schedule.version >= state.version) return undefined;
    if (onChain === undefined && error.revert.name === "SignatureInvalid") throw operatorReplaced(state, error);
    throw error;
  }
}

/** The escrow opens no set on the signature of an operator that was replaced since. */
function operatorReplaced({ deadlineBlock }: SignedState, cause: ChainRevertedError): TallystickError {
  return new TallystickError("the provider has named another operator since it signed the opening of the data set", {
    code: "CONFLICT",
    party: "provider",
    check: "operator of the provider",
    expected: "signed by the operator of now",
    received: "signed by one that was replaced",
    hint:
      "run the command again when the provider answers: it can send the opening without another signature; " +
      `or from block ${deadlineBlock + 1n} on, when the opening has expired and is signed anew`,
    retryable: true,
    cause,
  });
}

function requireSame(party: string, check: string, expected: string, received: string): void {
  if (expected === received) return;
  throw new TallystickError(`${party} answers about another state of a data set`, {
    code: "BAD_RESPONSE",
    party,
    check,
    expected,
    received,
  });
}

function notShown(id: string, version: bigint): TallystickError {
  return new TallystickError(`the new state of data set ${id} was mined but the escrow does not show it`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "schedule of the data set",
    expected: `version ${version}`,
    hint: "run the command again: it looks for the state before it signs another",
    retryable: true,
  });
}
