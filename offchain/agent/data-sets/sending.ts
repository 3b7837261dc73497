/** Transactions of a user about its data sets, with a limit on what they may cost. */

import { type ContractCall, estimateGas } from "../../chain/contract-call.ts";
import { currentFees } from "../../chain/fees.ts";
import { chainError } from "../../chain/revert.ts";
import { TallystickError } from "../../core/errors.ts";
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

/** The sender allows for more gas than was estimated; see chain/sender.ts. */
const GAS_MARGIN_PERCENT = 20n;
const NO_LIMITS = { maximumFeePerGas: 2n ** 128n, maximumPriorityFeePerGas: 2n ** 128n };

/**
 * Sends a call and waits until it is mined. Its gas never costs more than the limit, also when it is offered again.
 * @throws TallystickError FUNDS when it would cost more, before anything is sent; what `send` throws
 */
export async function sendWithin(
  context: AgentContext,
  call: ContractCall,
  { maximumFee }: SendOptions,
): Promise<SentTransaction> {
  const options = maximumFee === undefined ? {} : { maximumFeePerGas: await requireWithin(context, call, maximumFee) };
  const { hash, blockNumber, gasUsed, fee } = await context.send(call, options);
  return { transactionHash: hash, blockNumber, gasUsed, gasFee: fee };
}

/** What a transaction would cost at most, at the fees of now. */
export interface FeeQuote {
  readonly gas: bigint;
  /** In wei. */
  readonly gasFee: bigint;
}

/** Estimates a call, with the margin that the sender adds. @throws ChainRevertedError when the contract refuses it */
export async function quoteFee(context: AgentContext, call: ContractCall): Promise<FeeQuote> {
  const chain = await context.chain();
  const estimated = await estimateGas(chain, call, context.account.address).catch((error: unknown) => {
    throw chainError(error, call.description);
  });
  const gas = estimated + (estimated * GAS_MARGIN_PERCENT) / 100n;
  const { maxFeePerGas, maxPriorityFeePerGas } = await currentFees(chain, NO_LIMITS, call.description);
  // Twice the base fee plus the tip is offered; the base fee and the tip are paid.
  const price = (maxFeePerGas - maxPriorityFeePerGas) / 2n + maxPriorityFeePerGas;
  return { gas, gasFee: gas * price };
}

/** @returns the most that a unit of gas may cost, in wei */
async function requireWithin(context: AgentContext, call: ContractCall, maximumFee: bigint): Promise<bigint> {
  const { gas, gasFee } = await quoteFee(context, call);
  if (gasFee <= maximumFee) return maximumFee / gas;
  throw new TallystickError(`${call.description} would cost more than allowed`, {
    code: "FUNDS",
    party: "you",
    check: "fee of the transaction",
    expected: `at most ${maximumFee} wei`,
    received: `${gasFee} wei`,
    hint: "allow more, or wait until fees have fallen",
    retryable: true,
  });
}
