/** What a single transaction would cost, and a limit on it. */
import { TallystickError } from "../core/errors.ts";
import { type ContractCall, estimateGas } from "./contract-call.ts";
import type { ChainReader } from "./deployment.ts";
import { currentFees } from "./fees.ts";
import { chainError } from "./revert.ts";

/** The sender allows for more gas than was estimated; see chain/sender.ts. */
const GAS_MARGIN_PERCENT = 20n;
const NO_LIMITS = { maximumFeePerGas: 2n ** 128n, maximumPriorityFeePerGas: 2n ** 128n };

/** What a transaction would cost at most, at the fees of now. */
export interface FeeQuote {
  readonly gas: bigint;
  /** In wei. */
  readonly gasFee: bigint;
}

/** Estimates a call, with the margin that the sender adds. @throws ChainRevertedError when the contract refuses it */
export async function quoteFee(chain: ChainReader, call: ContractCall, from: string): Promise<FeeQuote> {
  const estimated = await estimateGas(chain, call, from).catch((error: unknown) => {
    throw chainError(error, call.description);
  });
  const gas = estimated + (estimated * GAS_MARGIN_PERCENT) / 100n;
  const { maxFeePerGas, maxPriorityFeePerGas } = await currentFees(chain, NO_LIMITS, call.description);
  // Twice the base fee plus the tip is offered; the base fee and the tip are paid.
  const price = (maxFeePerGas - maxPriorityFeePerGas) / 2n + maxPriorityFeePerGas;
  return { gas, gasFee: gas * price };
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
    expected: `at most ${maximumFee} wei`,
    received: `${gasFee} wei`,
    hint: "allow more, or wait until fees have fallen",
    retryable: true,
  });
}
