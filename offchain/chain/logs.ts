/**
 * Reads event logs in pages. Endpoints limit how many blocks or logs one request may span, and recent blocks may still
 * be replaced; both are handled here for all contracts.
 */

import { isError, type Log } from "ethers";
import type { ChainReader } from "./deployment.ts";
import { mayBeRangeLimit } from "./endpoint-errors.ts";
import { logSpanOf } from "./log-span.ts";
import { ChainUnavailableError, chainError, readChain } from "./revert.ts";

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
 * All events of a range of blocks. A store of events replaces what it had for these blocks by them, and also what it
 * had for all later blocks when `atHead`.
 */
export interface EventPage<Event> {
  readonly fromBlock: number;
  readonly toBlock: number;
  readonly events: Event[];
  readonly cursor: ScanCursor;
  readonly atHead: boolean;
}

export interface ScanOptions {
  /** Most blocks in one request, unless the endpoint takes fewer. Default 2000. */
  readonly pageBlocks?: number;
  /** How far behind a replaced block to start again; default 128, which is beyond Ethereum's finality. */
  readonly overlapBlocks?: number;
}

export interface LogFilter {
  /** One contract, or several. */
  readonly address: string | string[];
  /** Positions as in `eth_getLogs`: one topic, any of several, or null for all. */
  readonly topics?: (string | string[] | null)[];
}

/** Blocks that may be replaced: the last two Ethereum epochs, and a margin. */
export const REORGANISED_BLOCKS = 128;
const PAGE_BLOCKS = 2000;
/**
 * A page is read again when its blocks are replaced meanwhile; an endpoint that reports replaced blocks every time is
 * unusable.
 */
const PAGE_ATTEMPTS = 10;

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
  const span = logSpanOf(chain.provider);
  for (let from = fromBlock; from <= toBlock; ) {
    const blocks = Math.min(longest, span.blocks, toBlock - from + 1);
    const to = from + blocks - 1;
    try {
      yield* await chain.provider.getLogs({
        address: filter.address,
        topics: filter.topics ?? [],
        fromBlock: from,
        toBlock: to,
      });
      from = to + 1;
      span.answered(blocks);
    } catch (error) {
      if (!mayBeRangeLimit(error) || !span.refused(blocks)) {
        throw chainError(error, `reading logs of blocks ${from} to ${to}`);
      }
    }
  }
}

/**
 * Follows a contract's events from where the last scan ended up to the head. Where the cursor's block has been replaced
 * since, or is while later ones are read, the scan starts again `overlapBlocks` before it, and never further back: an
 * endpoint that is behind or has dropped old logs must not empty what was stored. Ends at the head; call again with the
 * last cursor.
 *
 * @param startBlock the first block that can hold events, usually that of the deployment.
 * @param cursor undefined for a first scan.
 * @throws ChainUnavailableError when the endpoint fails, contradicts itself before a page is read, or has a head that
 *   is `overlapBlocks` or more behind the cursor.
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
  const overlap = options.overlapBlocks ?? REORGANISED_BLOCKS;
  let { head, from, covered } = await resumeAt(chain, startBlock, { from: startBlock, covered: cursor }, overlap);
  for (let attempt = 1; from <= head.number; attempt++) {
    const to = Math.min(head.number, from + longest - 1);
    const before = to === head.number ? head.hash : await readBlockHash(chain, to);
    const events: Event[] = [];
    for await (const log of chainLogs(chain, filter, from, to, options)) {
      const event = parse(log);
      if (event !== undefined) events.push(event);
    }
    // The last block stands for all before it, so with it and with what was covered unchanged the page follows on that.
    const follows =
      before !== undefined &&
      (to === head.number ? await isBelow(chain, covered, head) : await isThere(chain, covered));
    const settled = follows && before === (await readBlockHash(chain, to));
    if (settled) {
      covered = { blockNumber: to, blockHash: before };
      yield { fromBlock: from, toBlock: to, events, cursor: covered, atHead: to === head.number };
      from = to + 1;
      attempt = 0;
    } else if (attempt < PAGE_ATTEMPTS) {
      // Replaced while it was being read: what was read may be a mixture, so it is read again.
      ({ head, from, covered } = await resumeAt(chain, startBlock, { from, covered }, overlap));
    } else {
      throw new ChainUnavailableError(`reading logs of blocks ${from} to ${to}`, {
        received: `blocks that were replaced or gone ${PAGE_ATTEMPTS} times in a row`,
      });
    }
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

/**
 * Where to read on: behind what is covered if the chain still has that, else `overlapBlocks` before it. Where nothing
 * is covered yet, or no more, `last.from` is the earliest block to read.
 *
 * @throws ChainUnavailableError when the head is before that: the endpoint is not in sync, or is of another chain.
 */
async function resumeAt(
  chain: ChainReader,
  startBlock: number,
  last: { from: number; covered: ScanCursor | undefined },
  overlapBlocks: number,
): Promise<{ head: Head; from: number; covered: ScanCursor | undefined }> {
  const { covered } = last;
  const head = await headOf(chain);
  if (covered !== undefined && covered.blockNumber <= head.number && (await isBelow(chain, covered, head))) {
    return { head, from: covered.blockNumber + 1, covered };
  }
  const from = covered === undefined ? last.from : Math.max(startBlock, covered.blockNumber - overlapBlocks + 1);
  // A first scan of a chain that has not reached its first block has nothing to lose.
  if (head.number >= from || (covered === undefined && from === startBlock)) return { head, from, covered: undefined };
  throw new ChainUnavailableError("reading on where the last scan ended", {
    received: `a head at block ${head.number}, while blocks from ${from} on were read before`,
  });
}

interface Head {
  readonly number: number;
  readonly hash: string;
  readonly parentHash: string;
}

async function headOf(chain: ChainReader): Promise<Head> {
  const block = await readChain("reading the newest block", () => chain.provider.getBlock("latest"));
  if (block === null || block.hash === null) {
    throw new ChainUnavailableError("reading the newest block", { received: "none" });
  }
  return { number: block.number, hash: block.hash, parentHash: block.parentHash };
}

/** Whether a block is the head or below it; daemons ask at every block, so nothing is read that the head tells. */
async function isBelow(chain: ChainReader, block: ScanCursor | undefined, head: Head): Promise<boolean> {
  if (block?.blockNumber === head.number) return block.blockHash === head.hash;
  if (block?.blockNumber === head.number - 1) return block.blockHash === head.parentHash;
  return await isThere(chain, block);
}

/** Whether the chain has this very block; there is nothing to ask where nothing is covered. */
async function isThere(chain: ChainReader, block: ScanCursor | undefined): Promise<boolean> {
  return block === undefined || (await readBlockHash(chain, block.blockNumber)) === block.blockHash;
}

/** @returns undefined when the chain has no such block (any more) */
export async function readBlockHash(chain: ChainReader, blockNumber: number): Promise<string | undefined> {
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
