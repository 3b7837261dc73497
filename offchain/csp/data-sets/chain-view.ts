/**
 * What the chain says of this provider's data sets. Schedules are read by their hash, so that neither a lagging
 * endpoint nor a reorganisation leaves a wrong one in place for longer than it lasts; events only say which sets to
 * look at.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { type Scheduled, scheduleOf } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { type DataSetBooks, readBooks, readEndEpoch, readSchedule, readUserAccount } from "../../chain/escrow.ts";
import { scanDataSets } from "../../chain/escrow-events.ts";
import { REORGANISED_BLOCKS } from "../../chain/logs.ts";
import { readChain } from "../../chain/revert.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { accrue } from "../../core/data-set/balance.ts";
import { decodeLiveRanges, joinRanges } from "../../core/data-set/ranges.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { FailureLog } from "../../daemon/failure-log.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { AgreedSet, DataSetIndex, DataSetRow, StoredSchedule } from "../../store/index/data-set-index.ts";

/** Epochs behind the current one whose levels are kept, though nothing can ask for a proof of them any more. */
const KEPT_EPOCHS = 2;

/** Hash of a packed list of live ranges, as a level names it. */
export const packedHash = (packed: Uint8Array): string => toHex(keccak_256(packed));

/** How a set stands on chain. */
export interface Standing {
  readonly books: DataSetBooks;
  /** Its last paid epoch, once that is known. */
  readonly lastEpoch: number | undefined;
}

export interface ChainViewParts {
  readonly chain: ChainReader;
  readonly rows: DataSetIndex;
  readonly logger: Logger;
  readonly failures: FailureLog;
}

/** A block that the chain had when it was looked at. */
interface SeenBlock {
  readonly blockNumber: number;
  readonly blockHash: string;
}

export class ChainView {
  readonly #parts: ChainViewParts;
  /** Block up to which events were looked at; undefined before the first round, which looks at all sets. */
  #cursor: SeenBlock | undefined;
  /** Sets that could not be looked at, which the next round does. */
  readonly #failed = new Set<number>();
  readonly #changed = new Set<number>();

  constructor(parts: ChainViewParts) {
    this.#parts = parts;
  }

  /**
   * Brings rows up to date with the events since the last round. A set whose opening was replaced has no event, so when
   * blocks were replaced, all sets are looked at whose newest schedule was in one that may be.
   */
  async round(headBlock: number): Promise<void> {
    const { chain, rows, failures } = this.#parts;
    const cursor = this.#cursor;
    const blockHash = await this.#hashOf(headBlock);
    if (blockHash === undefined || (cursor?.blockHash === blockHash && this.#failed.size === 0)) return;
    const own = await rows.inState("opening", "running");
    const named = new Set<string>();
    let replacedFrom = Number.POSITIVE_INFINITY;
    if (cursor !== undefined && own.length > 0) {
      const first = Math.min(cursor.blockNumber, headBlock) - REORGANISED_BLOCKS;
      if ((await this.#hashOf(cursor.blockNumber)) !== cursor.blockHash) replacedFrom = first;
      const from = Math.max(chain.deployment.deployedAtBlock, first);
      for await (const event of scanDataSets(chain, from, headBlock)) if ("id" in event) named.add(event.id);
    }
    for (const row of own) {
      const { agreed, scheduled } = row;
      if (agreed === undefined) continue;
      const mayBeGone = scheduled !== undefined && scheduled.blockNumber >= replacedFrom;
      if (cursor !== undefined && !named.has(agreed.id) && !mayBeGone && !this.#failed.has(row.id)) continue;
      const part = `data set ${agreed.id}`;
      try {
        await this.refresh(row);
        this.#changed.add(row.id);
        this.#failed.delete(row.id);
        failures.succeeded(part);
      } catch (error) {
        this.#failed.add(row.id);
        failures.failed(part, error);
      }
    }
    for (const id of this.#failed) if (!own.some((row) => row.id === id)) this.#failed.delete(id);
    this.#cursor = { blockNumber: headBlock, blockHash };
  }

  /** @returns undefined when the endpoint does not have the block */
  async #hashOf(blockNumber: number): Promise<string | undefined> {
    const { provider } = this.#parts.chain;
    const block = await readChain(`reading block ${blockNumber}`, () => provider.getBlock(blockNumber));
    return block?.hash ?? undefined;
  }

  /** Whether events of the set were seen since this was asked. */
  takeChanged(id: number): boolean {
    return this.#changed.delete(id);
  }

  /**
   * Stores the newest schedule of a set, and the ranges of all its levels, when the chain has another one. Forgets the
   * one that is known when the chain has no such set any more, because the block of its opening was replaced.
   * @returns the row as it is now
   * @throws TallystickError CHAIN_UNAVAILABLE (retryable) while the endpoint's logs do not have what its state names
   */
  async refresh(row: DataSetRow): Promise<DataSetRow> {
    const { rows } = this.#parts;
    const { agreed, scheduled } = row;
    if (agreed === undefined) return row;
    const found = await this.#findSchedule(agreed, scheduled);
    if (found === undefined) return scheduled === undefined ? row : await this.#gone(row, scheduled);
    if (found === scheduled) return row;
    await this.store(row, found);
    if ("transactionHash" in found) await this.#noteMined(row, scheduleOf(found).version, found);
    return (await rows.find(row.id)) ?? row;
  }

  /** An endpoint that lags does not have the set either, but it does not have another block in place of its own. */
  async #gone(row: DataSetRow, { blockNumber, blockHash }: StoredSchedule): Promise<DataSetRow> {
    const { rows, logger } = this.#parts;
    const hash = await this.#hashOf(blockNumber);
    if (hash === undefined || hash === blockHash) return row;
    if (await rows.forgetSchedule(row.id, blockHash)) {
      logger.warn({ dataSet: row.agreed?.id, blockNumber, blockHash }, "the opening of a data set was replaced");
    }
    return (await rows.find(row.id)) ?? row;
  }

  /** A reorganisation may bring a schedule back whose event is older than that of the known one. */
  async #findSchedule(
    { id, fromBlock }: AgreedSet,
    known: StoredSchedule | undefined,
  ): Promise<StoredSchedule | Scheduled | undefined> {
    const { chain } = this.#parts;
    try {
      return await readSchedule(chain, id, known, fromBlock);
    } catch (error) {
      const isNotFound = error instanceof TallystickError && error.check === "DataSetScheduled event";
      if (known === undefined || !isNotFound) throw error;
      return await readSchedule<StoredSchedule>(chain, id, undefined, fromBlock);
    }
  }

  /** Notes where a state was mined that this provider did not send, or whose receipt it did not get. */
  async #noteMined(
    row: DataSetRow,
    version: bigint,
    { transactionHash: hash, blockNumber }: Pick<Scheduled, "transactionHash" | "blockNumber">,
  ): Promise<void> {
    const { rows } = this.#parts;
    const state = (await rows.statesOf(row.id)).find((one) => one.version === version);
    if (state !== undefined && state.transaction === undefined)
      await rows.setMined(row.id, version, { hash, blockNumber });
  }

  /** Stores a schedule that an event has, with the ranges of all its levels. */
  async store(row: DataSetRow, found: StoredSchedule): Promise<void> {
    const { rows } = this.#parts;
    const known = new Map(await rows.rangesOf(row.id));
    const candidates = new Map(known);
    for (const state of await rows.statesOf(row.id)) candidates.set(packedHash(state.ranges), state.ranges);
    candidates.set(packedHash(found.ranges), found.ranges);
    const hashes = scheduleOf(found).levels.filter(({ sliceCount }) => sliceCount > 0);
    const needed = new Set(hashes.map(({ rangesHash }) => rangesHash));
    if ([...needed].some((hash) => !candidates.has(hash))) await this.#findRanges(row, needed, candidates);
    const kept = new Map(
      [...needed].flatMap((hash) => {
        const ranges = candidates.get(hash);
        return ranges === undefined ? [] : [[hash, ranges] as const];
      }),
    );
    await rows.addRanges(row.id, kept);
    await rows.setSchedule(row.id, found);
    await rows.removeRanges(
      row.id,
      [...known.keys()].filter((hash) => !needed.has(hash)),
    );
  }

  /** Finds lists of levels that were scheduled without this provider: a retirement that carries an update makes two. */
  async #findRanges(row: DataSetRow, needed: ReadonlySet<string>, found: Map<string, Uint8Array>): Promise<void> {
    const { chain } = this.#parts;
    const { agreed } = row;
    if (agreed === undefined) return;
    const head = await chain.provider.getBlockNumber();
    for await (const event of scanDataSets(chain, agreed.fromBlock, head)) {
      if (event.kind !== "DataSetScheduled" || event.id !== agreed.id) continue;
      const hash = packedHash(event.ranges);
      if (needed.has(hash)) found.set(hash, event.ranges);
    }
  }

  /** How a set stands in an epoch. @returns undefined when the chain does not have it */
  async standingOf({ agreed }: DataSetRow, epoch: number): Promise<Standing | undefined> {
    const { chain } = this.#parts;
    if (agreed === undefined) return undefined;
    const { token, user } = agreed.terms;
    const books = await readBooks(chain, agreed.id);
    if (books === undefined) return undefined;
    if (books.noticedEnd !== undefined) return { books, lastEpoch: books.noticedEnd };
    const account = await readUserAccount(chain, token, user);
    if (account.generation === books.generation) {
      const { endEpoch } = accrue(account, epoch);
      return { books, lastEpoch: endEpoch === undefined ? undefined : endEpoch - 1 };
    }
    const endEpoch = await readEndEpoch(chain, token, user, books.generation);
    return { books, lastEpoch: endEpoch === undefined ? undefined : endEpoch - 1 };
  }

  /**
   * Slices that this provider may be asked for: of all levels that are not over and of all states that may still reach
   * the chain.
   * @param row may be older than the index: a round that stores another schedule removes what only the old one names
   * @throws TallystickError CHAIN_UNAVAILABLE (retryable) while the endpoint's logs do not have what a level names
   */
  async heldRanges(row: DataSetRow, epoch: number): Promise<SliceRange[]> {
    const { rows } = this.#parts;
    let asked = row;
    for (;;) {
      const held = await this.#heldLists(asked, epoch);
      if (Array.isArray(held)) {
        return held.reduce<SliceRange[]>((joined, list) => joinRanges(joined, decodeLiveRanges(list)), []);
      }
      const now = await rows.find(row.id);
      if (now === undefined || sameSchedule(now.scheduled, asked.scheduled)) throw unknownRanges(held.missing);
      asked = now;
    }
  }

  async #heldLists(row: DataSetRow, epoch: number): Promise<Uint8Array[] | { readonly missing: string }> {
    const { rows } = this.#parts;
    const { scheduled } = row;
    const lists = (await rows.statesOf(row.id)).map(({ ranges }) => ranges);
    if (scheduled !== undefined) {
      const byHash = await rows.rangesOf(row.id);
      const { levels } = scheduleOf(scheduled);
      for (const [position, { rangesHash, sliceCount }] of levels.entries()) {
        const endsBefore = levels[position + 1]?.fromEpoch ?? Number.POSITIVE_INFINITY;
        if (endsBefore <= epoch - KEPT_EPOCHS || sliceCount === 0) continue;
        const ranges = byHash.get(rangesHash);
        if (ranges === undefined) return { missing: rangesHash };
        lists.push(ranges);
      }
    }
    return lists;
  }
}

function sameSchedule(one: StoredSchedule | undefined, other: StoredSchedule | undefined): boolean {
  return one !== undefined && other !== undefined && toHex(one.schedule) === toHex(other.schedule);
}

/** The logs that the endpoint gave did not have them. */
export function unknownRanges(hash: string): TallystickError {
  return new TallystickError("the ranges of a level are not known", {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "DataSetScheduled events",
    expected: `ranges with hash ${hash}`,
    hint: "use an endpoint that keeps old logs",
    retryable: true,
  });
}
