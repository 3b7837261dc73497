/**
 * What a state must fulfil before the provider signs it: it follows everything that may come on chain before it, its
 * slices are verified and stored, and the user's balance covers it.
 */

import { scheduleOf } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { readEscrowClock, readUserAccount } from "../../chain/escrow.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { accrue, runwayEpochs } from "../../core/data-set/balance.ts";
import { extendContent, NO_CONTENT, type SegmentContent } from "../../core/data-set/content.ts";
import { decodeLiveRanges, lastIndexOf, requireFollows, subtractRanges } from "../../core/data-set/ranges.ts";
import { feesBetween, type Level, lastLevel, type Schedule } from "../../core/data-set/schedule.ts";
import { contentIdFromDigest } from "../../core/encoding/content-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { UpdateRequest } from "../../core/wire/data-sets.ts";
import type { AgreedSet, CosignedState, DataSetRow, StoredSchedule } from "../../store/index/data-set-index.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import type { Segment } from "../../store/index/segment-index.ts";
import { ObjectLostError } from "../chunks/object-lost.ts";
import type { ChainView } from "./chain-view.ts";

/** A state must be sendable for so many blocks, and binds the provider for at most so many epochs. */
export const LEAST_DEADLINE_BLOCKS = 10;
const MOST_DEADLINE_EPOCHS = 8;
const VERSION_LIMIT = 1n << 64n;

export interface CheckParts {
  readonly chain: ChainReader;
  readonly view: ChainView;
  readonly index: Pick<ProviderIndex, "dataSets" | "segments" | "chunks">;
}

/** What a state follows. */
export interface Before {
  readonly schedule: Schedule | undefined;
  readonly retirements: number;
  readonly ranges: readonly SliceRange[];
  readonly highestIndex: number;
  readonly contentHash: string;
  readonly fee: bigint;
}

/** A state that was checked so far. */
export interface Proposal {
  readonly row: DataSetRow;
  readonly agreed: AgreedSet;
  readonly before: Before;
  readonly request: UpdateRequest;
  readonly version: bigint;
  readonly packed: Uint8Array;
  readonly ranges: readonly SliceRange[];
  readonly epoch: number;
}

export function beforeOf(scheduled: StoredSchedule | undefined): Before {
  if (scheduled === undefined) {
    return { schedule: undefined, retirements: 0, ranges: [], highestIndex: 0, contentHash: NO_CONTENT, fee: 0n };
  }
  const schedule = scheduleOf(scheduled);
  const { highestIndex, fee }: Level = lastLevel(schedule);
  const ranges = decodeLiveRanges(scheduled.ranges);
  return { schedule, retirements: schedule.retirements, ranges, highestIndex, contentHash: schedule.contentHash, fee };
}

/** Live slices of a list, and the highest index that was ever in the set with it. */
export function extentOf(
  ranges: readonly SliceRange[],
  highestBefore: number,
): { readonly sliceCount: number; readonly highestIndex: number } {
  return {
    sliceCount: ranges.reduce((sum, { count }) => sum + count, 0),
    highestIndex: Math.max(highestBefore, ...ranges.map(lastIndexOf)),
  };
}

export function requireVersion({ row, before, version, request }: Proposal): void {
  const scheduled = before.schedule?.version ?? 0n;
  const highest = row.signedVersion > scheduled ? row.signedVersion : scheduled;
  if (version <= highest || version >= VERSION_LIMIT) throw staleVersion(version, highest);
  if (request.retirements === before.retirements) return;
  throw new TallystickError("the number of retirements is another one on chain", {
    code: "CONFLICT",
    party: "client",
    check: "retirements",
    expected: String(before.retirements),
    received: String(request.retirements),
    hint: "read the schedule of the data set again, and sign a state that follows it",
  });
}

/** @throws TallystickError CONFLICT when the set has ended, or its end is known */
export async function requireRunning(parts: CheckParts, { row, before, epoch }: Proposal): Promise<void> {
  if (before.schedule === undefined) return;
  const standing = await parts.view.standingOf(row, epoch);
  if (standing?.books.status === "running" && standing.lastEpoch === undefined) return;
  throw new TallystickError("the data set takes no states any more", {
    code: "CONFLICT",
    party: "client",
    check: "end of the data set",
    expected: "running without an end",
    received: standing?.lastEpoch === undefined ? (standing?.books.status ?? "none") : `end ${standing.lastEpoch}`,
    hint: "begin another data set",
  });
}

/** Whether a state that was signed before a proposal may still reach the chain, as far as versions say. */
export function mayCome(
  state: Pick<CosignedState, "version" | "retirements">,
  { before, request }: Pick<Proposal, "before" | "request">,
): boolean {
  return state.version > (before.schedule?.version ?? 0n) && state.retirements === request.retirements;
}

/**
 * The list must follow the one on chain, and every other one that was signed and may come before it.
 * @throws InvalidInputError, or CONFLICT for a state that is under way
 */
export async function requireFollowing(parts: CheckParts, proposal: Proposal): Promise<void> {
  const { row, before, ranges, version } = proposal;
  if (ranges.length === 0) {
    throw new InvalidInputError("a state without slices is not signed", {
      party: "client",
      check: "live ranges",
      expected: "at least one slice",
      received: "none",
      hint: "give notice to end the data set",
    });
  }
  requireFollows(ranges, before.ranges, before.highestIndex);
  for (const state of await parts.index.dataSets.statesOf(row.id)) {
    if (!mayCome(state, proposal)) continue;
    const earlier = decodeLiveRanges(state.ranges);
    try {
      requireFollows(ranges, earlier, Math.max(before.highestIndex, ...earlier.map(lastIndexOf)));
    } catch (cause) {
      throw new TallystickError("a state that was signed before may still reach the chain", {
        code: "CONFLICT",
        party: "client",
        check: "live ranges",
        expected: `a list that follows version ${state.version}, or block ${state.deadlineBlock} to pass`,
        received: `version ${version}`,
        hint: "repeat when the earlier state is mined or expired",
        retryable: true,
        cause,
      });
    }
  }
}

/**
 * Every new index must belong to a verified segment, and the content hash to the segments.
 * @returns the segments that the state adds
 */
export async function requireContent(
  parts: CheckParts,
  { row, before, ranges, request }: Proposal,
): Promise<Segment[]> {
  const { index } = parts;
  const old: SliceRange[] = before.highestIndex === 0 ? [] : [{ firstIndex: 1, count: before.highestIndex }];
  const added = subtractRanges(ranges, old);
  const segments = await index.segments.ofDataSet(row.id);
  const rangeOf = ({ firstIndex, sliceCount: count }: Segment): SliceRange => ({ firstIndex, count });
  const [foreign] = subtractRanges(added, segments.filter(({ verified }) => verified).map(rangeOf));
  if (foreign !== undefined) {
    throw new TallystickError("the list names slices of no verified segment", {
      code: "CONFLICT",
      party: "client",
      check: "verified segments",
      expected: "a verified segment for every new index",
      received: `${foreign.firstIndex} to ${lastIndexOf(foreign)}`,
      hint: "have the segment verified first",
    });
  }
  const isNamed = (segment: Segment): boolean => {
    const own = rangeOf(segment);
    return added.some((one) => one.firstIndex <= lastIndexOf(own) && own.firstIndex <= lastIndexOf(one));
  };
  const named = segments.filter(isNamed);
  // What a state that waits includes is part of the content even if this one takes all of it out again: whichever of
  // them is mined, the segments that are included lead to its hash, and their commitments can be opened.
  const end = Math.max(...ranges.map(lastIndexOf));
  const isPart = (segment: Segment): boolean =>
    isNamed(segment) || (segment.included && lastIndexOf(rangeOf(segment)) <= end);
  const contentHash = segments
    .filter((segment) => segment.firstIndex > before.highestIndex && isPart(segment))
    .reduce((hash, segment) => extendContent(hash, contentOf(segment)), before.contentHash);
  if (contentHash !== request.contentHash) {
    throw new InvalidInputError("the content hash is not that of the segments", {
      party: "client",
      check: "content hash",
      expected: contentHash,
      received: request.contentHash,
    });
  }
  for (const segment of named) await requireStored(parts, segment);
  return named;
}

/** What a state says of a segment. */
export function contentOf({ firstIndex, sliceCount, manifestHash, commitmentsRoot }: Segment): SegmentContent {
  return { firstIndex, sliceCount, manifestHash: toHex(manifestHash), commitmentsRoot: toHex(commitmentsRoot) };
}

/** @throws ObjectLostError when a chunk of the segment is known to be lost */
async function requireStored(parts: CheckParts, { id }: Segment): Promise<void> {
  const { chunks, segments } = parts.index;
  for await (const digests of segments.manifestDigests(id)) {
    const lost = (await chunks.find(digests)).findIndex((row) => !row?.stored);
    if (lost !== -1) throw new ObjectLostError(contentIdFromDigest(digests[lost] ?? new Uint8Array()));
  }
}

/** The contract asks for the notice period of all sets of the user when the fee rises. @throws CONFLICT */
export async function requireBalance(
  parts: CheckParts,
  { agreed, before, epoch }: Proposal,
  fee: bigint,
): Promise<void> {
  if (fee <= before.fee) return;
  const { chain } = parts;
  const { token, user } = agreed.terms;
  const { noticeEpochs } = await readEscrowClock(chain);
  const account = accrue(await readUserAccount(chain, token, user), epoch);
  const available = account.available + paidAhead(before.schedule, epoch);
  const rate = account.rate + fee - before.fee;
  if (runwayEpochs({ ...account, available, rate }) >= noticeEpochs) return;
  throw balanceTooLow(token, rate * BigInt(noticeEpochs), available);
}

/** As `Schedules.paidAhead`: what is paid of later epochs beyond the last fee. */
function paidAhead(schedule: Schedule | undefined, epoch: number): bigint {
  if (schedule === undefined) return 0n;
  const { fromEpoch, fee } = lastLevel(schedule);
  if (fromEpoch <= epoch + 1) return 0n;
  return feesBetween(schedule, epoch, fromEpoch - 1) - fee * BigInt(fromEpoch - 1 - epoch);
}

export function requireDeadline(deadlineBlock: number, headBlock: number, epochBlocks: number): void {
  const least = headBlock + LEAST_DEADLINE_BLOCKS;
  const most = headBlock + MOST_DEADLINE_EPOCHS * epochBlocks;
  if (deadlineBlock >= least && deadlineBlock <= most) return;
  throw new InvalidInputError("the deadline of the state is too near or too far", {
    party: "client",
    check: "deadline",
    expected: `block ${least} to ${most}`,
    received: String(deadlineBlock),
  });
}

export function staleVersion(version: bigint, highest: bigint | undefined): TallystickError {
  return new TallystickError("the version is not above every signed one", {
    code: "CONFLICT",
    party: "client",
    check: "version",
    expected: highest === undefined ? "above every signed one" : `above ${highest}`,
    received: String(version),
    hint: "sign the state under a higher version",
  });
}

export function balanceTooLow(token: string, required: bigint, available: bigint): TallystickError {
  return new TallystickError("the balance in the escrow does not cover the notice period of all data sets", {
    code: "CONFLICT",
    party: "client",
    check: "balance in the escrow",
    expected: `at least ${required}`,
    received: String(available),
    hint: `deposit at least ${required - available} more`,
    details: { token, required: String(required), available: String(available) },
  });
}
