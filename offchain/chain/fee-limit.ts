/** What a single transaction would cost, and a limit on it. */
import { formatEther } from "../core/encoding/amounts.ts";
import { TallystickError } from "../core/errors.ts";
import { type ContractCall, estimateGas, gasLimitOf } from "./contract-call.ts";
import type { ChainReader } from "./deployment.ts";
import { currentFees, type Fees, paidPerGas } from "./fees.ts";
import { chainError, readChain } from "./revert.ts";
import { isShortOfFunds, withFigures } from "./short-funds.ts";

const NO_LIMITS = { maximumFeePerGas: 2n ** 128n, maximumPriorityFeePerGas: 2n ** 128n };

/** What a transaction would cost at most, at the fees of now. */
export interface FeeQuote {
  readonly gas: bigint;
  /** In wei. */
  readonly gasFee: bigint;
}

/** Estimates a call, with the margin that the sender adds. @throws ChainRevertedError when the contract refuses it */
export async function quoteFee(chain: ChainReader, call: ContractCall, from: string): Promise<FeeQuote> {
  const estimated = await estimateGas(chain, call, from).catch(async (cause: unknown) => {
    const error = chainError(cause, call.description);
    throw isShortOfFunds(error) ? await withFigures(chain, call, from, NO_LIMITS, error) : error;
  });
  const gas = gasLimitOf(estimated);
  return { gas, gasFee: gas * paidPerGas(await feesOfNow(chain)) };
}

/**
 * What an account must have per unit of gas for a transaction of now to be taken, in wei.
 * @param cap of the account
 */
export async function offeredPerGas(chain: ChainReader, cap: bigint | undefined): Promise<bigint> {
  const { maxFeePerGas } = await feesOfNow(chain);
  return cap === undefined || maxFeePerGas < cap ? maxFeePerGas : cap;
}

function feesOfNow(chain: ChainReader): Promise<Fees> {
  const what = "reading the fees of the chain";
  return readChain(what, () => currentFees(chain, NO_LIMITS, what));
}

/**
 * Refuses a call whose gas would cost more than a limit.
 * @param maximumFee in wei
 * @returns the most that a unit of gas may cost, in wei, so that the limit is kept also when the call is offered again
 * @throws TallystickError FUNDS when it would cost more
 */
export async function requireWithinFee(
  chain: ChainReader,
  call: ContractCall,
  from: string,
  maximumFee: bigint,
): Promise<bigint> {
  const { gas, gasFee } = await quoteFee(chain, call, from);
  if (gasFee <= maximumFee) return maximumFee / gas;
  throw new TallystickError(`${call.description} would cost more than allowed`, {
    code: "FUNDS",
    party: "you",
    check: "fee of the transaction",
    expected: `at most ${formatEther(maximumFee)}`,
    received: formatEther(gasFee),
    hint: "allow more, or wait until fees have fallen",
    retryable: true,
  });
}
