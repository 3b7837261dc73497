/**
 * Has a signed ledger entry relayed: one node after the other, until contract state shows the entry. What a node
 * answers is never proof of it. A node that fails after it sent the transaction has still done it, so state is read
 * first each time.
 */

import pRetry from "p-retry";
import type { ChainReader } from "../../chain/deployment.ts";
import { readChain } from "../../chain/revert.ts";
import { TallystickError } from "../../core/errors.ts";
import { type AgentLogger, SILENT } from "../progress.ts";
import type { NbmClient } from "./nbm-client.ts";

/** Archives and other endpoints follow the chain with a small delay: half a second, then twice as long each time. */
const POLLS = { minTimeout: 500, factor: 2 };
const RETRIES = 3;

export interface Relayed {
  readonly transactionHash?: string;
  readonly blockNumber?: number;
}

export interface RelayContext {
  /** In the order in which they are asked. */
  readonly nodes: readonly NbmClient[];
  readonly logger?: AgentLogger;
}

/**
 * @param isDone whether the entry is in contract state
 * @throws TallystickError of the last node when none could relay
 */
export async function relayEntry(
  { nodes, logger = SILENT }: RelayContext,
  send: (node: NbmClient) => Promise<{ transactionHash: string; blockNumber: number }>,
  isDone: () => Promise<boolean>,
): Promise<Relayed> {
  let last: TallystickError | undefined;
  for (const node of nodes) {
    try {
      const { transactionHash, blockNumber } = await send(node);
      // The node's endpoint may be a block ahead of this one's.
      const done = await polled(async () => ((await isDone()) ? true : undefined));
      if (done === true) return { transactionHash, blockNumber };
      last = unconfirmed(node.name);
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      last = error;
      if (await isDone()) return {};
    }
    logger.warn({ node: node.url, code: last.code }, `${last.message}; another node relays`);
  }
  throw last ?? new TallystickError("the committee has no node that could relay", { code: "QUORUM_FAILED" });
}

class NotThereYet extends Error {}

/** Looks a few times for what may not be there yet. @returns undefined when it still is not */
export async function polled<Value>(
  look: () => Promise<Value | undefined>,
  retries = RETRIES,
): Promise<Value | undefined> {
  const attempt = async () => {
    const value = await look();
    if (value === undefined) throw new NotThereYet();
    return value;
  };
  try {
    return await pRetry(attempt, { ...POLLS, retries, shouldRetry: ({ error }) => error instanceof NotThereYet });
  } catch (error) {
    if (error instanceof NotThereYet) return undefined;
    throw error;
  }
}

/** Time of the latest block, unix seconds. @throws TallystickError CHAIN_UNAVAILABLE */
export async function chainTime(chain: ChainReader): Promise<bigint> {
  const block = await readChain("reading the latest block", () => chain.provider.getBlock("latest"));
  if (block === null) throw new TallystickError("the chain has no latest block", { code: "CHAIN_UNAVAILABLE" });
  return BigInt(block.timestamp);
}

function unconfirmed(party: string): TallystickError {
  return new TallystickError(`${party} says it relayed, but the ledger does not show it`, {
    code: "BAD_RESPONSE",
    party,
    check: "record in contract state",
  });
}
