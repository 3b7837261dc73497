/** The agreements an account has ever proposed, found on chain. */

import type { ChainReader } from "../chain/deployment.ts";
import { type Agreement, parseEscrowLog, readAgreement } from "../chain/escrow.ts";
import { chainLogs } from "../chain/logs.ts";
import { readChain } from "../chain/revert.ts";
import { StorageEscrow__factory } from "../chain/types/factories/StorageEscrow__factory.ts";

/** @param fromBlock where to start looking. @returns them as they stand now, oldest first */
export async function* proposalsOf(
  chain: ChainReader,
  account: string,
  fromBlock: number,
): AsyncGenerator<Agreement, void, undefined> {
  const head = await readChain("reading the block number", () => chain.provider.getBlockNumber());
  const topics = StorageEscrow__factory.createInterface().encodeFilterTopics("AgreementProposed", [null, account]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, fromBlock, head)) {
    const event = parseEscrowLog(log);
    if (event?.kind !== "AgreementProposed") continue;
    const agreement = await readAgreement(chain, event.id);
    if (agreement !== undefined) yield agreement;
  }
}
