/** A call of a contract, as the `…Call` builders of this folder make it. `sender.ts` sends it. */

import type { ChainReader } from "./deployment.ts";
import { chainError } from "./revert.ts";

/** A transaction that nobody has signed yet. */
export interface ContractCall {
  readonly to: string;
  /** ABI-encoded, 0x hex. */
  readonly data: string;
  readonly value?: bigint;
  /**
   * What the call does, as text for messages: it fits after "while" and before "was refused", for example "recording a
   * key".
   */
  readonly description: string;
  /** Units of gas on top of the estimate: what it costs more when transactions of others are mined before it. */
  readonly extraGas?: bigint;
}

/**
 * Runs a call without sending it, as `eth_call`.
 *
 * @param from the account it would be sent from.
 * @param blockTag a block number, or "pending" for the state the next block starts from.
 * @returns what the function returns, ABI-encoded 0x hex.
 * @throws ChainRevertedError when the contract would revert.
 */
export async function simulateCall(
  chain: ChainReader,
  call: ContractCall,
  from: string,
  blockTag: number | "latest" | "pending" = "pending",
): Promise<string> {
  try {
    return await chain.provider.call({ from, to: call.to, data: call.data, value: call.value ?? 0n, blockTag });
  } catch (error) {
    throw chainError(error, call.description);
  }
}

/** Room for state that changes between the estimate and the block. */
const GAS_MARGIN_PERCENT = 20n;

/** The limit of gas that a transaction is sent with. @param estimated units of gas */
export function gasLimitOf(estimated: bigint): bigint {
  return estimated + (estimated * GAS_MARGIN_PERCENT) / 100n;
}

/** State that a call is tried on: the pending one has the transactions that wait to be mined. */
export type TrialState = "latest" | "pending";

/**
 * Units of gas.
 * @param state the pending one unless given, so that a call may build on one that was sent just before it
 */
export async function estimateGas(
  chain: ChainReader,
  call: ContractCall,
  from: string,
  state: TrialState = "pending",
): Promise<bigint> {
  const value = `0x${(call.value ?? 0n).toString(16)}`;
  return BigInt(await chain.provider.send("eth_estimateGas", [{ from, to: call.to, data: call.data, value }, state]));
}
