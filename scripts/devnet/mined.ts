import { setTimeout as pause } from "node:timers/promises";
import type { JsonRpcProvider, TransactionReceipt } from "ethers";

const POLL_MS = 20;
const TIMEOUT_MS = 60_000;

/**
 * The receipt of a transaction once it is mined. `wait()` of ethers looks again only when a block comes: a block that
 * comes between its first look and its listening is the last one on a chain that mines nothing but transactions.
 *
 * @param hash 0x and 64 hex digits.
 * @throws Error when it is not mined within a minute, or has been reverted.
 */
export async function mined(provider: JsonRpcProvider, hash: string): Promise<TransactionReceipt> {
  for (const end = Date.now() + TIMEOUT_MS; Date.now() < end; await pause(POLL_MS)) {
    const receipt = await provider.getTransactionReceipt(hash);
    if (receipt === null) continue;
    if (receipt.status !== 1) throw new Error(`transaction ${hash} was reverted`);
    return receipt;
  }
  throw new Error(`transaction ${hash} is not mined after ${TIMEOUT_MS / 1000} s`);
}
