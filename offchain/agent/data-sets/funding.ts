/** Tops a user's balance up before a data set costs more. */

import type { ContractCall } from "../../chain/contract-call.ts";
import { readEscrowClock, readUserAccount } from "../../chain/escrow.ts";
import { approvalCalls, depositCall } from "../../chain/escrow-calls.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { readChain } from "../../chain/revert.ts";
import { accrue } from "../../core/data-set/balance.ts";
import { epochOf } from "../../core/data-set/epochs.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetPlan } from "../progress.ts";
import type { FollowedDataSet } from "./following.ts";
import type { AgreedDataSet } from "./journal.ts";
import { type DataSetListener, tell } from "./lane-report.ts";

const PENDING_SECONDS = 120;
const ASK_AGAIN_MILLISECONDS = 500;
/** A state may come on chain an epoch later than it was signed. */
const LATE_EPOCHS = 1n;

/** A change of what all sets in a token cost. */
export interface FeeChange {
  readonly token: string;
  readonly isNew: boolean;
  readonly feeBefore: bigint;
  readonly fee: bigint;
  /** Epochs beyond the notice period that a balance which is topped up covers. */
  readonly runwayEpochs: number;
}

/** What a state costs. */
export interface StateCost {
  readonly provider: string;
  readonly fee: bigint;
  readonly slices: number;
  /** By an earlier run, which has topped the balance up then. */
  readonly isSigned: boolean;
  readonly runwayEpochs: number;
}

/**
 * Tells what a state will cost, and tops up the balance if it must. A delegate does not: the balance is its owner's.
 * @throws as `deposit` and `awaitPending`
 */
export async function fund(
  context: AgentContext,
  { onChain }: FollowedDataSet,
  { id, terms }: AgreedDataSet,
  { provider, fee, slices, isSigned, runwayEpochs }: StateCost,
  onProgress: DataSetListener,
  signal: AbortSignal | undefined,
): Promise<{ transactions: string[]; deposited: bigint }> {
  const { token } = terms;
  const isNew = onChain === undefined;
  const feeBefore = onChain === undefined ? 0n : lastLevel(onChain.schedule).fee;
  const change = { token, isNew: isNew && !isSigned, feeBefore, fee, runwayEpochs };
  const { user } = terms;
  let amount = await depositFor(context, change, user);
  if (amount > 0n && !isAddressEqual(user, context.account.address)) throw ownerMustDeposit(user, fee, amount);
  if (amount > 0n) {
    await awaitPending(context, signal);
    amount = await depositFor(context, change, user);
  }
  const plan: DataSetPlan = { id, isNew, provider, token, slices, feePerEpoch: fee, deposit: amount };
  if (amount === 0n) {
    tell(onProgress, "signing", plan);
    return { transactions: [], deposited: 0n };
  }
  tell(onProgress, "funding", plan);
  signal?.throwIfAborted();
  const transactions = await deposit(context, token, amount);
  tell(onProgress, "signing", plan);
  return { transactions, deposited: amount };
}

/**
 * What must be deposited so that the escrow accepts a change: for a new set until notice period and runway are covered;
 * for one that runs only when the notice period is not, and then as for a new one.
 * @param user whose balance pays; this account unless told
 * @returns in the token's smallest unit; 0 when enough is there
 */
export async function depositFor(
  context: AgentContext,
  change: FeeChange,
  user: string = context.account.address,
): Promise<bigint> {
  const chain = await context.chain();
  const [{ epochBlocks, noticeEpochs }, head, touched] = await Promise.all([
    readEscrowClock(chain),
    readHeadNumber(chain),
    readUserAccount(chain, change.token, user),
  ]);
  const { available, rate } = accrue(touched, epochOf(epochBlocks, head + 1));
  const { fee, feeBefore, isNew, runwayEpochs } = change;
  if (fee <= feeBefore) return 0n;
  const rateAfter = rate + fee - feeBefore;
  const least = rateAfter * (BigInt(noticeEpochs) + LATE_EPOCHS);
  const wanted = rateAfter * BigInt(noticeEpochs + runwayEpochs);
  const full = wanted > least ? wanted : least;
  if (available >= (isNew ? full : least)) return 0n;
  return full - available;
}

/**
 * Deposits an amount into the account's own balance.
 * @returns hashes of the transactions
 * @throws TallystickError FUNDS, CHAIN_REVERTED, CHAIN_UNAVAILABLE
 */
export async function deposit(context: AgentContext, token: string, amount: bigint): Promise<string[]> {
  const transactions: string[] = [];
  for (const call of await depositCalls(context, token, amount)) transactions.push((await context.send(call)).hash);
  return transactions;
}

/** The calls that deposit an amount into the account's own balance, in order, approvals of a token first. */
export async function depositCalls(context: AgentContext, token: string, amount: bigint): Promise<ContractCall[]> {
  const chain = await context.chain();
  const { deployment } = chain;
  const { address } = context.account;
  const approvals = await approvalCalls(chain, token, address, amount);
  return [...approvals, depositCall(deployment, token, address, amount)];
}

/**
 * Waits until the account has no transaction under way: one of an earlier run, which was interrupted, may be the
 * deposit.
 * @throws TallystickError TIMED_OUT
 */
export async function awaitPending(context: AgentContext, signal: AbortSignal | undefined): Promise<void> {
  const { provider } = await context.chain();
  const { address } = context.account;
  const count = (tag: "latest" | "pending") =>
    readChain("counting transactions", () => provider.getTransactionCount(address, tag));
  const { clock } = context.platform;
  await context.waits.during("chain", "mining a pending transaction of this account", async () => {
    for (const end = clock.now() + PENDING_SECONDS * 1000; (await count("pending")) > (await count("latest")); ) {
      if (clock.now() > end) throw stillPending(address);
      await clock.pause(ASK_AGAIN_MILLISECONDS, signal);
    }
  });
}

function ownerMustDeposit(user: string, fee: bigint, amount: bigint): TallystickError {
  return new TallystickError("the owner's balance does not cover what this device adds", {
    code: "FUNDS",
    party: `account ${user}`,
    check: "balance of the owner",
    expected: `another ${amount} of the token's smallest unit, for a fee of ${fee} per epoch`,
    hint:
      "have the owner run `tallystick data-set top-up`, then run this command again: what is stored already is not " +
      "sent again",
    details: { user },
  });
}

function stillPending(account: string): TallystickError {
  return new TallystickError(`account ${account} has a transaction that is not being mined`, {
    code: "TIMED_OUT",
    party: "chain",
    check: "pending transactions",
    hint: "it may be the deposit of an earlier run; wait until it is mined, then run the command again",
    retryable: true,
  });
}
