/** Transactions of a user about its data sets, with a limit on what they may cost. */

import type { ContractCall } from "../../chain/contract-call.ts";
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

/**
 * Sends a call and waits until it is mined. Its gas never costs more than the limit, also when it is offered again.
 * @throws TallystickError FUNDS when it would cost more, before anything is sent; what `send` throws
 */
export async function sendWithin(
  context: AgentContext,
  call: ContractCall,
  { maximumFee }: SendOptions,
): Promise<SentTransaction> {
  const within = async (limit: bigint) =>
    await requireWithinFee(await context.chain(), call, context.account.address, limit);
  const options = maximumFee === undefined ? {} : { maximumFeePerGas: await within(maximumFee) };
  const { hash, blockNumber, gasUsed, fee } = await context.send(call, options);
  return { transactionHash: hash, blockNumber, gasUsed, gasFee: fee };
}
