/** What the contracts of a network have seen, for tests that count. */

import { type ChainReader, connectChain } from "../../offchain/chain/deployment.ts";
import { type DataSetEvent, scanDataSets } from "../../offchain/chain/escrow-events.ts";
import { type LedgerEvent, scanLedger } from "../../offchain/chain/ledger.ts";
import type { TestNet } from "./shared-net.ts";

/** All events of the ledger, in order. */
export function ledgerEvents(net: TestNet): Promise<LedgerEvent[]> {
  return withChain(net, async (chain) => {
    return await collect(scanLedger(chain, 0, await chain.provider.getBlockNumber()));
  });
}

/** All events of the escrow, in order. */
export function escrowEvents(net: TestNet): Promise<DataSetEvent[]> {
  return withChain(net, async (chain) => {
    return await collect(scanDataSets(chain, 0, await chain.provider.getBlockNumber()));
  });
}

/** Does something with a connection to the network's chain. */
export async function withChain<Result>(net: TestNet, work: (chain: ChainReader) => Promise<Result>): Promise<Result> {
  const chain = await connectChain(net.deployment);
  try {
    return await work(chain);
  } finally {
    chain.close();
  }
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
