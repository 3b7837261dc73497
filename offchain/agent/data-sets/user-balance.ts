/** The account's balance in the escrow, which pays for its data sets. */

import { readEscrowClock, readUserAccount } from "../../chain/escrow.ts";
import { withdrawBalanceCall } from "../../chain/escrow-calls.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { accrue, runwayEpochs, withdrawable } from "../../core/data-set/balance.ts";
import { epochOf } from "../../core/data-set/epochs.ts";
import { formatAmount } from "../../core/encoding/amounts.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { depositCalls } from "./funding.ts";
import { type SendOptions, type SentTransaction, sendWithin } from "./sending.ts";
import { tokenOf } from "./wishes.ts";

/** The account's balance in one token, for all its data sets. */
export interface UserBalance {
  readonly token: string;
  readonly available: bigint;
  /** What all sets cost in an epoch. */
  readonly rate: bigint;
  /** Epochs that it covers; infinite when nothing runs. */
  readonly runwayEpochs: number;
  /** First block that it does not pay for; absent when nothing runs. */
  readonly endsAtBlock?: number;
  /** What can be withdrawn: all but the notice period and one epoch, in which the withdrawal may be mined. */
  readonly withdrawable: bigint;
}

export interface TopUp {
  readonly token: string;
  readonly amount: bigint;
  /** Approvals of an ERC-20 token, if there had to be any, and the deposit. */
  readonly transactions: readonly SentTransaction[];
  readonly balance: UserBalance;
}

export interface BalanceWithdrawal extends SentTransaction {
  readonly token: string;
  readonly amount: bigint;
  readonly to: string;
}

/** @param token default the chain's coin */
export async function readBalance(context: AgentContext, token?: string): Promise<UserBalance> {
  const address = tokenOf(token === undefined ? {} : { token });
  const chain = await context.chain();
  const [{ epochBlocks, noticeEpochs }, head, touched] = await Promise.all([
    readEscrowClock(chain),
    readHeadNumber(chain),
    readUserAccount(chain, address, context.account.address),
  ]);
  const account = accrue(touched, epochOf(epochBlocks, head + 1));
  const { available, rate, paidThrough } = account;
  const runway = runwayEpochs(account);
  return {
    token: address,
    available,
    rate,
    runwayEpochs: runway,
    ...(rate === 0n ? {} : { endsAtBlock: (paidThrough + runway + 1) * epochBlocks }),
    withdrawable: withdrawable(account, noticeEpochs),
  };
}

/**
 * Adds money to the account's balance.
 * @param amount in the token's smallest unit
 * @param token default the chain's coin
 * @throws TallystickError FUNDS, CHAIN_REVERTED; InvalidInputError for an amount that is not positive
 */
export async function topUpBalance(
  context: AgentContext,
  amount: bigint,
  token?: string,
  options: SendOptions = {},
): Promise<TopUp> {
  const address = tokenOf(token === undefined ? {} : { token });
  requirePositive(amount);
  return await context.exclusive(async () => {
    const transactions: SentTransaction[] = [];
    for (const call of await depositCalls(context, address, amount)) {
      transactions.push(await sendWithin(context, call, options));
    }
    return { token: address, amount, transactions, balance: await readBalance(context, address) };
  }, undefined);
}

/**
 * Withdraws from the balance what the notice period of the sets does not need.
 * @param amount default all of it
 * @param to default the account itself
 * @throws TallystickError FUNDS when there is not so much; CHAIN_REVERTED
 */
export async function withdrawBalance(
  context: AgentContext,
  token?: string,
  amount?: bigint,
  to: string = context.account.address,
  options: SendOptions = {},
): Promise<BalanceWithdrawal> {
  const { token: address, withdrawable } = await readBalance(context, token);
  const wanted = amount ?? withdrawable;
  if (amount !== undefined) requirePositive(amount);
  if (wanted > withdrawable || wanted === 0n)
    throw notWithdrawable(context.account.address, address, wanted, withdrawable);
  const call = withdrawBalanceCall(context.deployment, address, to, wanted);
  return { ...(await sendWithin(context, call, options)), token: address, amount: wanted, to };
}

function requirePositive(amount: bigint): void {
  if (amount > 0n) return;
  throw new InvalidInputError("the amount is not positive", {
    party: "you",
    check: "amount",
    expected: "at least 1",
    received: String(amount),
  });
}

function notWithdrawable(account: string, token: string, amount: bigint, withdrawable: bigint): TallystickError {
  const what = `the balance of ${account} in the escrow`;
  return new TallystickError(`${what} does not have so much beyond the notice period of the data sets`, {
    code: "FUNDS",
    party: "you",
    check: "balance of data sets",
    expected: withdrawable === 0n ? "something to withdraw" : `at most ${formatAmount(withdrawable, token)}`,
    received: formatAmount(amount, token),
    hint: "give notice to data sets first: what they do not use up is paid back",
  });
}
