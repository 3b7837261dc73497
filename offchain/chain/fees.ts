/**
 * Fees of EIP-1559 transactions: the current fee, the fee of a replacement, and the cap that the account's owner sets.
 */

import { formatUnits } from "ethers";
import { TallystickError } from "../core/errors.ts";
import type { ChainReader } from "./deployment.ts";
import { ChainUnavailableError } from "./revert.ts";

/** Wei per unit of gas. */
export interface Fees {
  readonly maxFeePerGas: bigint;
  readonly maxPriorityFeePerGas: bigint;
}

/** The most that may be paid, wei per unit of gas. */
export interface FeeLimits {
  readonly maximumFeePerGas: bigint;
  /**
   * Of this, what goes to the block's producer beside the base fee. An endpoint suggests it, and may suggest anything.
   */
  readonly maximumPriorityFeePerGas: bigint;
}

/** Nodes replace a pending transaction from 10 % (geth) or 12.5 % on; 25 % passes all of them. */
const FEE_BUMP_PERCENT = 25n;

/**
 * Fees for a transaction that is to be mined soon: twice the base fee plus the usual tip, within the limits.
 *
 * @param what what the transaction does, at the start of messages.
 * @throws TallystickError FUNDS when the base fee alone is above the cap; ChainUnavailableError when the chain has no
 *   base fee.
 */
export async function currentFees(chain: ChainReader, limits: FeeLimits, what: string): Promise<Fees> {
  const { maxFeePerGas, maxPriorityFeePerGas } = await chain.provider.getFeeData();
  if (maxFeePerGas === null || maxPriorityFeePerGas === null) {
    throw new ChainUnavailableError(what, { received: "no base fee: not an EIP-1559 chain" });
  }
  // ethers suggests twice the base fee plus the tip.
  const baseFee = paidPerGas({ maxFeePerGas, maxPriorityFeePerGas }) - maxPriorityFeePerGas;
  const cap = limits.maximumFeePerGas;
  if (baseFee > cap) throw feeAboveCap(what, baseFee, cap);
  const tip = smaller(smaller(maxPriorityFeePerGas, limits.maximumPriorityFeePerGas), cap);
  return { maxFeePerGas: smaller(2n * baseFee + tip, cap), maxPriorityFeePerGas: tip };
}

/** What is paid per unit of gas of such an offer in the next block: the tip, and the base fee once. */
export function paidPerGas({ maxFeePerGas, maxPriorityFeePerGas }: Fees): bigint {
  return (maxFeePerGas - maxPriorityFeePerGas) / 2n + maxPriorityFeePerGas;
}

/**
 * Fees of a transaction that fills a gap in the nonces: a tenth of the usual tip. A node replaces a pending transaction
 * only when both figures are raised, so what another process sent with a usual tip stays.
 */
export function fillerFees({ maxFeePerGas, maxPriorityFeePerGas }: Fees): Fees {
  const tip = (maxPriorityFeePerGas + 9n) / 10n;
  return { maxFeePerGas: maxFeePerGas - maxPriorityFeePerGas + tip, maxPriorityFeePerGas: tip };
}

/**
 * Fees with which a pending transaction can be replaced.
 *
 * @param now the current fees of the chain.
 * @returns undefined when the limits leave no room for the increase that nodes demand of a replacement.
 */
export function replacementFees(earlier: Fees, now: Fees, limits: FeeLimits): Fees | undefined {
  const raisedFees = {
    maxFeePerGas: larger(raised(earlier.maxFeePerGas), now.maxFeePerGas),
    maxPriorityFeePerGas: larger(raised(earlier.maxPriorityFeePerGas), now.maxPriorityFeePerGas),
  };
  const isAllowed =
    raisedFees.maxFeePerGas <= limits.maximumFeePerGas &&
    raisedFees.maxPriorityFeePerGas <= limits.maximumPriorityFeePerGas;
  return isAllowed ? raisedFees : undefined;
}

function feeAboveCap(what: string, baseFee: bigint, cap: bigint): TallystickError {
  return new TallystickError(`${what}: the chain's base fee is above the account's fee cap`, {
    code: "FUNDS",
    party: "chain",
    check: "fee cap",
    expected: `at most ${gwei(cap)} gwei per unit of gas`,
    received: `${gwei(baseFee)} gwei`,
    hint: "wait until fees have fallen, or raise the cap",
    retryable: true,
  });
}

function gwei(wei: bigint): string {
  return formatUnits(wei, "gwei").replace(/\.0$/, "");
}

function raised(fee: bigint): bigint {
  // Rounded up, because an increase of a few wei would otherwise round to zero.
  return (fee * (100n + FEE_BUMP_PERCENT) + 99n) / 100n;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
