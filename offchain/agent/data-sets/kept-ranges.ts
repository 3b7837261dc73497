/** Which slices a provider has to keep now. The newest schedule of a set under notice says only that it will end. */

import { escrowAbi } from "../../chain/abis.ts";
import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { parseDataSetLog } from "../../chain/escrow-events.ts";
import { chainLogs } from "../../chain/logs.ts";
import { decodeLiveRanges, rangesHash } from "../../core/data-set/ranges.ts";
import { TallystickError } from "../../core/errors.ts";
import type { DataSetOnChain } from "./following.ts";

/**
 * The live ranges as scheduled last; of a set that ends, those of the last level with slices, up to its last epoch.
 * @returns packed; empty when nothing is kept any more
 * @throws TallystickError CHAIN_UNAVAILABLE (retryable) when the endpoint's logs do not have them
 */
export async function keptRanges(
  chain: ChainReader,
  { id, blockNumber }: Pick<OpenedDataSet, "id" | "blockNumber">,
  { books, scheduled, schedule, epoch, head, lastEpoch = Number.POSITIVE_INFINITY }: DataSetOnChain,
): Promise<Uint8Array> {
  if (books.status !== "running" || epoch > lastEpoch) return new Uint8Array();
  if (scheduled.ranges.length > 0) return scheduled.ranges;
  const level = schedule.levels.findLast(({ sliceCount }) => sliceCount > 0);
  if (level === undefined) return new Uint8Array();
  const topics = escrowAbi().encodeFilterTopics("DataSetScheduled", [id]);
  const filter = { address: chain.deployment.contracts.storageEscrow, topics };
  for await (const log of chainLogs(chain, filter, blockNumber, head)) {
    const event = parseDataSetLog(log);
    if (event?.kind !== "DataSetScheduled") continue;
    if (rangesHash(decodeLiveRanges(event.ranges)) === level.rangesHash) return event.ranges;
  }
  throw new TallystickError(`the chain's logs do not have the live slices of data set ${id}`, {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "DataSetScheduled event",
    expected: level.rangesHash,
    received: `none with this hash from block ${blockNumber} on`,
    hint: "repeat when the endpoint is in sync, or use one that keeps old logs",
    retryable: true,
  });
}
