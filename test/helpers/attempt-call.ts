/** Sends a contract call of one of anvil's own accounts, for tests that compare what it comes to. */

import { toQuantity } from "ethers";
import { type ContractCall, simulateCall } from "../../offchain/chain/contract-call.ts";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import { ChainRevertedError } from "../../offchain/chain/revert.ts";
import type { Anvil } from "./anvil.ts";
import { until } from "./promises.ts";

/** @returns "accepted", or the name of the contract's error */
export async function attemptCall(anvil: Anvil, chain: ChainReader, call: ContractCall, from: string): Promise<string> {
  try {
    await simulateCall(chain, call, from, "latest");
  } catch (error) {
    if (error instanceof ChainRevertedError) return error.revert.name;
    throw error;
  }
  // An account of the chain, which mines at once.
  const value = toQuantity(call.value ?? 0n);
  const hash = await anvil.rpc("eth_sendTransaction", [{ from, to: call.to, data: call.data, value }]);
  let receipt: unknown = null;
  await until("the transaction is mined", async () => {
    receipt = await anvil.rpc("eth_getTransactionReceipt", [hash]);
    return receipt !== null;
  });
  return (receipt as { status: string }).status === "0x1" ? "accepted" : "reverted when it was mined";
}
