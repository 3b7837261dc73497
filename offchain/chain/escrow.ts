/**
 * The escrow of data sets as it is on chain: sets, balances and pools. Amounts are in the token's smallest unit; the
 * zero address stands for the native coin.
 *
 * The contract stores hashes. Whoever calls it about a set brings the terms, which never change, and the newest
 * schedule and ranges, which are in the set's last `DataSetScheduled` event: `readSchedule` finds them.
 */

import type { UserAccount } from "../core/data-set/balance.ts";
import { scheduleHash } from "../core/data-set/schedule.ts";
import { TallystickError } from "../core/errors.ts";
import { escrowAbi } from "./abis.ts";
import { storageEscrow } from "./contracts.ts";
import type { Scheduled } from "./data-set-words.ts";
import type { ChainReader } from "./deployment.ts";
import { parseDataSetLog } from "./escrow-events.ts";
import { readHeadNumber } from "./head.ts";
import { chainLogs, REORGANISED_BLOCKS } from "./logs.ts";
import { readChain } from "./revert.ts";

/** `IStorageEscrow.Status` by number. */
const STATUSES = ["none", "running", "breached", "closed"] as const;

export type DataSetStatus = Exclude<(typeof STATUSES)[number], "none">;

/** `IStorageEscrow.Books`. */
export interface DataSetBooks {
  readonly status: DataSetStatus;
  readonly disputed: boolean;
  readonly missed: number;
  /** Of the two epochs behind `settledThrough`. */
  readonly outcomes: readonly ["unsettled" | "proven" | "missed", "unsettled" | "proven" | "missed"];
  /** Epochs up to this one are settled. */
  readonly settledThrough: number;
  readonly proven: number;
  readonly generation: number;
  /** Last epoch once notice is given. */
  readonly noticedEnd?: number;
}

/** Constants of the contract. */
export interface EscrowClock {
  readonly epochBlocks: number;
  readonly noticeEpochs: number;
}

export interface CollateralPool {
  readonly total: bigint;
  readonly locked: bigint;
}

export interface OpenDispute {
  readonly disputer: string;
  readonly challengeBlock: number;
  readonly bond: bigint;
}

const clocks = new WeakMap<ChainReader, Promise<EscrowClock>>();

/** Constants of the contract, read once per connection. */
export function readEscrowClock(chain: ChainReader): Promise<EscrowClock> {
  const known = clocks.get(chain);
  if (known !== undefined) return known;
  const contract = storageEscrow(chain);
  const reading = readChain("reading the epochs of the escrow", () =>
    Promise.all([contract.EPOCH_BLOCKS(), contract.NOTICE_EPOCHS()]),
  ).then(([epochBlocks, noticeEpochs]) => ({
    epochBlocks: Number(epochBlocks),
    noticeEpochs: Number(noticeEpochs),
  }));
  reading.catch(() => clocks.delete(chain));
  clocks.set(chain, reading);
  return reading;
}

/** Epochs behind the last one of a set and its settlement after which a stranger who closes it gets the bounty. */
export async function readAbandonedEpochs(chain: ChainReader): Promise<number> {
  const epochs = await readChain("reading when a set is abandoned", () => storageEscrow(chain).ABANDONED_EPOCHS());
  return Number(epochs);
}

/**
 * The block at which state is read. What several calls read belongs together only when all of them name one block:
 * between two calls, blocks are mined, and behind a load balancer a later call may be answered by an older one.
 */
export type BlockTag = number | "latest";

/** @returns undefined when there is no such set */
export async function readBooks(
  chain: ChainReader,
  id: string,
  blockTag: BlockTag = "latest",
): Promise<DataSetBooks | undefined> {
  const found = await readChain(`reading data set ${id}`, () => storageEscrow(chain).booksOf(id, { blockTag }));
  const status = STATUSES[Number(found.status)];
  if (status === undefined || status === "none") return undefined;
  const outcome = (epoch: number) =>
    (["unsettled", "proven", "missed", "unsettled"] as const)[(Number(found.outcomes) >> (2 * epoch)) & 3] ??
    "unsettled";
  return {
    status,
    disputed: found.disputed,
    missed: Number(found.missed),
    outcomes: [outcome(0), outcome(1)],
    settledThrough: Number(found.settledThrough),
    proven: Number(found.proven),
    generation: Number(found.generation),
    ...(found.noticedEnd === 0n ? {} : { noticedEnd: Number(found.noticedEnd) }),
  };
}

/** Hash of the newest schedule, 0x hex. @returns undefined when there is no such set */
export async function readScheduleHash(
  chain: ChainReader,
  id: string,
  blockTag: BlockTag = "latest",
): Promise<string | undefined> {
  const hash = await readChain(`reading the schedule of data set ${id}`, () =>
    storageEscrow(chain).scheduleHashOf(id, { blockTag }),
  );
  return /^0x0+$/.test(hash) ? undefined : hash;
}

/**
 * The newest schedule of a set.
 * @param known an older or the same one; then only later blocks are searched, and none if it is the newest
 * @param fromBlock where to search when none is known
 * @param atBlock as of which block; the latest unless given
 * @returns undefined when there is no such set
 * @throws TallystickError CHAIN_UNAVAILABLE (retryable) when the endpoint's logs do not have what its state names
 */
export async function readSchedule<Known extends Pick<Scheduled, "schedule" | "ranges"> & { blockNumber: number }>(
  chain: ChainReader,
  id: string,
  known: Known | undefined,
  fromBlock: number = chain.deployment.deployedAtBlock,
  atBlock?: number,
): Promise<Known | Scheduled | undefined> {
  const hash = await readScheduleHash(chain, id, atBlock);
  if (hash === undefined) return undefined;
  if (known !== undefined && scheduleHash(known.schedule) === hash) return known;
  const head = atBlock ?? (await readHeadNumber(chain));
  // A known one may be of a block that was replaced.
  const from = known === undefined ? fromBlock : Math.max(fromBlock, known.blockNumber - REORGANISED_BLOCKS);
  // Most often somebody has just sent it, and an endpoint may have dropped older logs.
  const recent = Math.max(from, head - REORGANISED_BLOCKS);
  const search = (first: number, last: number) => findSchedule(chain, id, hash, first, last);
  const newest = (await search(recent, head)) ?? (recent > from ? await search(from, recent - 1) : undefined);
  if (newest !== undefined) return newest;
  throw new TallystickError(`the chain's logs do not have the newest schedule of data set ${id}`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "DataSetScheduled event",
    expected: hash,
    received: `none with this hash from block ${from} on`,
    hint: "repeat when the endpoint is in sync, or use one that keeps old logs",
    retryable: true,
  });
}

async function findSchedule(
  chain: ChainReader,
  id: string,
  hash: string,
  fromBlock: number,
  toBlock: number,
): Promise<Scheduled | undefined> {
  const topics = escrowAbi().encodeFilterTopics("DataSetScheduled", [id]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  let newest: Scheduled | undefined;
  for await (const log of chainLogs(chain, filter, fromBlock, toBlock)) {
    const event = parseDataSetLog(log);
    if (event?.kind !== "DataSetScheduled") continue;
    if (scheduleHash(event.schedule) === hash) newest = event;
  }
  return newest;
}

/** A user's balance as of the last time that the chain touched it; `accrue` of core/data-set brings it up to date. */
export async function readUserAccount(
  chain: ChainReader,
  token: string,
  user: string,
  blockTag: BlockTag = "latest",
): Promise<UserAccount> {
  const found = await readChain("reading a balance of the escrow", () =>
    storageEscrow(chain).accountOf(token, user, { blockTag }),
  );
  return {
    available: found.available,
    rate: found.rate,
    paidThrough: Number(found.paidThrough),
    generation: Number(found.generation),
  };
}

/** First unpaid epoch of a generation of a balance that was used up. @returns undefined while it goes on */
export async function readEndEpoch(
  chain: ChainReader,
  token: string,
  user: string,
  generation: number,
  blockTag: BlockTag = "latest",
): Promise<number | undefined> {
  const end = await readChain("reading the end of a balance", () =>
    storageEscrow(chain).endEpochOf(token, user, generation, { blockTag }),
  );
  return end === 0n ? undefined : Number(end);
}

export async function readPool(
  chain: ChainReader,
  token: string,
  provider: string,
  blockTag: BlockTag = "latest",
): Promise<CollateralPool> {
  const found = await readChain("reading a pool of the escrow", () =>
    storageEscrow(chain).poolOf(token, provider, { blockTag }),
  );
  return { total: found.total, locked: found.locked };
}

/** Who signs and sends for a provider. */
export async function readOperator(chain: ChainReader, provider: string): Promise<string> {
  return await readChain("reading a provider's operator", () => storageEscrow(chain).operatorOf(provider));
}

/** @returns undefined when there is none */
export async function readDispute(chain: ChainReader, id: string): Promise<OpenDispute | undefined> {
  const found = await readChain(`reading the dispute of data set ${id}`, () => storageEscrow(chain).disputeOf(id));
  if (found.challengeBlock === 0n) return undefined;
  return { disputer: found.disputer, challengeBlock: Number(found.challengeBlock), bond: found.bond };
}
