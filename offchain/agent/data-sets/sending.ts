/** Transactions of a user about its data sets, with a limit on what they may cost. */

import type { TransactionReceipt } from "ethers";
import type { ContractCall } from "../../chain/contract-call.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { requireWithinFee } from "../../chain/fee-limit.ts";
import type { AgentContext } from "../context.ts";

export interface SendOptions {
  /** Refuse a transaction whose gas would cost more, in wei. */
  readonly maximumFee?: bigint;
}

/** A transaction that was mined. */
export interface SentTransaction {
  readonly transactionHash: string;
  readonly blockNumber: number;
  readonly gasUsed: bigint;
  /** What its gas cost, in wei. */
  readonly gasFee: bigint;
}

/** Sends a call, each unit of its gas for at most a price. */
export type SendWithLimit = (call: ContractCall, limits: { maximumFeePerGas?: bigint }) => Promise<TransactionReceipt>;

/** Who sends, and how. */
export interface Payer {
  readonly chain: ChainReader;
  readonly from: string;
  readonly send: SendWithLimit;
}

/**
 * Sends a call and waits until it is mined. Its gas never costs more than the limit, also when it is offered again.
 * @throws TallystickError FUNDS when it would cost more, before anything is sent; what `send` throws
 */
export async function sendWithinFee(
  { chain, from, send }: Payer,
  call: ContractCall,
  { maximumFee }: SendOptions,
): Promise<SentTransaction> {
  const limits =
    maximumFee === undefined ? {} : { maximumFeePerGas: await requireWithinFee(chain, call, from, maximumFee) };
  const { hash, blockNumber, gasUsed, fee } = await send(call, limits);
  return { transactionHash: hash, blockNumber, gasUsed, gasFee: fee };
}

/** The same from the account of the context. @throws as `sendWithinFee` */
export async function sendWithin(
  context: AgentContext,
  call: ContractCall,
  options: SendOptions,
): Promise<SentTransaction> {
  const send: SendWithLimit = async (sent, limits) => await context.send(sent, limits);
  return await sendWithinFee({ chain: await context.chain(), from: context.account.address, send }, call, options);
}
