/**
 * Says of an account that cannot pay for a transaction what it has and what the transaction takes. Endpoints say so in
 * words of their own, or not at all.
 */
import { formatEther } from "../core/encoding/amounts.ts";
import { TallystickError } from "../core/errors.ts";
import { type ContractCall, gasLimitOf } from "./contract-call.ts";
import type { ChainReader } from "./deployment.ts";
import { currentFees, type FeeLimits } from "./fees.ts";

/** Enough for any call, in the state that the gas is estimated on. */
const PLENTY = `0x${(2n ** 120n).toString(16)}`;

/** Of a failure that `chainError` made. */
export function isShortOfFunds(error: unknown): error is TallystickError {
  return error instanceof TallystickError && error.code === "FUNDS" && error.check === "balance";
}

/**
 * @param error that the account cannot pay, from `chainError`
 * @returns the same with figures, as far as the endpoint tells them
 */
export async function withFigures(
  chain: ChainReader,
  call: ContractCall,
  account: string,
  limits: FeeLimits,
  error: TallystickError,
): Promise<TallystickError> {
  const value = call.value ?? 0n;
  const available = await chain.provider.getBalance(account, "pending").catch(() => undefined);
  if (available === undefined) return error;
  const gasFee = await gasFeeOf(chain, call, account, limits).catch(() => undefined);
  const required = value + (gasFee ?? 0n);
  const parts = [
    ...(value > 0n ? [`${formatEther(value)} that it pays`] : []),
    gasFee === undefined ? "its gas" : `at most ${formatEther(gasFee)} for its gas`,
  ];
  return new TallystickError(`${call.description}: account ${account} cannot pay for it`, {
    code: "FUNDS",
    party: "you",
    check: "balance",
    expected: `${gasFee === undefined ? "more than" : "at least"} ${formatEther(required)}: ${parts.join(" and ")}`,
    received: formatEther(available),
    hint: `send ether to ${account}`,
    details: { account, requiredWei: String(required), availableWei: String(available) },
    cause: error,
  });
}

/** The most that the gas costs, which a node wants to see on the account. @throws what the endpoint throws */
async function gasFeeOf(chain: ChainReader, call: ContractCall, from: string, limits: FeeLimits): Promise<bigint> {
  const { to, data, value = 0n, extraGas = 0n, description } = call;
  const asked = { from, to, data, value: `0x${value.toString(16)}` };
  const rich = { [from]: { balance: PLENTY } };
  const estimated = BigInt(await chain.provider.send("eth_estimateGas", [asked, "latest", rich]));
  const { maxFeePerGas } = await currentFees(chain, limits, description);
  return (gasLimitOf(estimated) + extraGas) * maxFeePerGas;
}
