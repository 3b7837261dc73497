/**
 * Event logs in pages. Endpoints limit how many blocks or logs one request may span, and recent blocks may still be
 * replaced by others; both are dealt with here once for all contracts.
 */

import { isError, type Log } from "ethers";
import type { ChainReader } from "./deployment.ts";
import { chainError, isTransportFailure, readChain } from "./revert.ts";

/** Where on the chain an event stands. */
export interface LogPlace {
  readonly blockNumber: number;
  readonly blockHash: string;
  readonly transactionHash: string;
  /** Position in the block. */
  readonly logIndex: number;
}

/** The last block that a scan has covered. Keep it with what the scan found. */
export interface ScanCursor {
  readonly blockNumber: number;
  readonly blockHash: string;
}

/**
 * What the chain says of a range of blocks, all of it: whoever keeps events replaces what it had for these blocks, and for
 * all later ones when `atHead`, by these.
 */
export interface EventPage<Event> {
  readonly fromBlock: number;
  readonly toBlock: number;
  readonly events: Event[];
  readonly cursor: ScanCursor;
  readonly atHead: boolean;
}

export interface ScanOptions {
  /** Most blocks in one request; halved for as long as the endpoint refuses. Default 2000. */
  readonly pageBlocks?: number;
  /** How far behind a replaced block to start again; default 128, which is beyond Ethereum's finality. */
  readonly overlapBlocks?: number;
}

export interface LogFilter {
  readonly address: string;
  /** Positions as in `eth_getLogs`: one topic, any of several, or null for all. */
  readonly topics?: (string | string[] | null)[];
}

const PAGE_BLOCKS = 2000;
const OVERLAP_BLOCKS = 128;

/**
 * Logs of a contract in a range of blocks, both ends included, in chain order.
 *
 * @throws ChainUnavailableError when the endpoint fails, or refuses even a single block.
 */
export async function* chainLogs(
  chain: ChainReader,
  filter: LogFilter,
  fromBlock: number,
  toBlock: number,
  options: ScanOptions = {},
): AsyncIterable<Log> {
  const longest = options.pageBlocks ?? PAGE_BLOCKS;
  let span = longest;
  for (let from = fromBlock; from <= toBlock; ) {
    const to = Math.min(toBlock, from + span - 1);
    try {
      yield* await chain.provider.getLogs({
        address: filter.address,
        topics: filter.topics ?? [],
        fromBlock: from,
        toBlock: to,
      });
      from = to + 1;
      span = Math.min(longest, span * 2);
    } catch (error) {
      // "Too many results" has no common code: whatever is refused is asked for in halves.
      if (isTransportFailure(error) || from === to) throw chainError(error, `reading logs of blocks ${from} to ${to}`);
      span = Math.max(1, Math.floor((to - from + 1) / 2));
    }
  }
}

/**
 * Follows a contract's events from where the last scan ended up to the head. Where the cursor's block has been replaced
 * since, the scan starts again `overlapBlocks` before it. Ends at the head; call again with the last cursor.
 *
 * @param startBlock the first block that can hold events, usually that of the deployment.
 * @param cursor undefined for a first scan.
 */
export async function* scanPages<Event>(
  chain: ChainReader,
  filter: LogFilter,
  parse: (log: Log) => Event | undefined,
  startBlock: number,
  cursor: ScanCursor | undefined,
  options: ScanOptions = {},
): AsyncIterable<EventPage<Event>> {
  const longest = options.pageBlocks ?? PAGE_BLOCKS;
  const head = await readChain("reading the block number", () => chain.provider.getBlockNumber());
  let from = Math.max(startBlock, await resumeAt(chain, head, cursor, options.overlapBlocks ?? OVERLAP_BLOCKS));
  while (from <= head) {
    const to = Math.min(head, from + longest - 1);
    const before = await blockHash(chain, to);
    const events: Event[] = [];
    for await (const log of chainLogs(chain, filter, from, to, options)) {
      const event = parse(log);
      if (event !== undefined) events.push(event);
    }
    // Replaced while it was being read: what was read may be a mixture, so it is read again.
    if (before === undefined || before !== (await blockHash(chain, to))) {
      if ((await readChain("reading the block number", () => chain.provider.getBlockNumber())) < to) return;
      continue;
    }
    yield {
      fromBlock: from,
      toBlock: to,
      events,
      cursor: { blockNumber: to, blockHash: before },
      atHead: to === head,
    };
    from = to + 1;
  }
}

/** The place of a log. */
export function placeOf(log: Log): LogPlace {
  return {
    blockNumber: log.blockNumber,
    blockHash: log.blockHash,
    transactionHash: log.transactionHash,
    logIndex: log.index,
  };
}

async function resumeAt(
  chain: ChainReader,
  head: number,
  cursor: ScanCursor | undefined,
  overlapBlocks: number,
): Promise<number> {
  if (cursor === undefined) return 0;
  const stillThere = cursor.blockNumber <= head && (await blockHash(chain, cursor.blockNumber)) === cursor.blockHash;
  if (stillThere) return cursor.blockNumber + 1;
  return Math.min(cursor.blockNumber, head) - overlapBlocks + 1;
}

/** Undefined when the chain has no such block (any more). */
async function blockHash(chain: ChainReader, blockNumber: number): Promise<string | undefined> {
  const block = await readChain(`reading block ${blockNumber}`, async () => {
    try {
      return await chain.provider.getBlock(blockNumber);
    } catch (error) {
      // Some nodes answer an error instead of null for a block beyond their head.
      if (isError(error, "UNKNOWN_ERROR")) return null;
      throw error;
    }
  });
  return block?.hash ?? undefined;
}
