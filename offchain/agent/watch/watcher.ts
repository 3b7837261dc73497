/**
 * Follows the data sets of an account: what happens to them on chain, whether a proof is overdue, how long the balance
 * lasts, and from time to time whether the provider still proves to have the data. A look that fails is told and made
 * again; what happened meanwhile is told then. Nothing is sent, and nothing is written.
 */

import { ESCROW_ABI } from "../../chain/abis.ts";
import { type OpenedDataSet, requireTermsOfId } from "../../chain/data-set-words.ts";
import { readEscrowClock } from "../../chain/escrow.ts";
import { type DataSetEvent, dataSetsOpened, parseDataSetLog } from "../../chain/escrow-events.ts";
import { type LogFilter, type LogPlace, REORGANISED_BLOCKS, type ScanCursor, scanPages } from "../../chain/logs.ts";
import { readChain } from "../../chain/revert.ts";
import { epochOf, windowsOf } from "../../core/data-set/epochs.ts";
import { levelAt } from "../../core/data-set/schedule.ts";
import { ERROR_CODES } from "../../core/error-codes.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { auditDataSet, isLoss } from "../data-sets/audit.ts";
import { type DataSetView, outcomeOf, viewOf } from "../data-sets/data-set-view.ts";
import { type DataSetOnChain, readOnChain } from "../data-sets/following.ts";
import { isRunwayShort } from "../status.ts";
import { RepeatedFailures } from "./repeated-failures.ts";
import type { ChainChange, WatchEvent, WatchSeverity } from "./watch-events.ts";

/** Events of one look; what comes beyond is counted. */
const MOST_EVENTS = 200;
const DEFAULT_PERIOD_SECONDS = 3600;

export interface WatchOptions {
  /** Audit privately at every n-th look, the first included; never without it. */
  readonly auditEvery?: number;
  /** A cause of failures is told once in so long; default an hour. */
  readonly periodSeconds?: number;
}

type SetEvent = Extract<DataSetEvent, { readonly id: string }>;

/** A set that is watched. */
interface Watched {
  readonly opened: OpenedDataSet;
  /** As it was told last. */
  told?: string;
  runwayEpochs?: number;
  overdueEpoch?: number;
  isIntact?: boolean;
  isClosed: boolean;
}

export class Watcher {
  readonly #context: AgentContext;
  readonly #auditEvery: number | undefined;
  readonly #failures: RepeatedFailures;
  readonly #sets = new Map<string, Watched>();
  /** Changes that were told, with their blocks. */
  readonly #seen = new Map<string, number>();
  #opened: ScanCursor | undefined;
  #cursor: ScanCursor | undefined;
  #looks = 0;

  constructor(context: AgentContext, { auditEvery, periodSeconds = DEFAULT_PERIOD_SECONDS }: WatchOptions = {}) {
    this.#context = context;
    this.#auditEvery = auditEvery;
    this.#failures = new RepeatedFailures(periodSeconds * 1000);
  }

  /**
   * Looks once. The first look tells how every set stands, and what happened in this epoch and the one before.
   * @returns what is new since the last look, the newest last, at most `MOST_EVENTS` and how many more there were
   */
  async look(): Promise<WatchEvent[]> {
    const events: WatchEvent[] = [];
    const isAudit = this.#auditEvery !== undefined && this.#looks % this.#auditEvery === 0;
    this.#looks += 1;
    await this.#trying("chain", events, async () => {
      await this.#discover();
      await this.#readChanges(events);
      for (const watched of this.#sets.values()) await this.#readState(watched, isAudit, events);
    });
    if (events.length <= MOST_EVENTS) return events;
    // What is grave is told before what is new.
    const ranks: Record<WatchSeverity, number> = { alarm: 0, warning: 1, info: 2 };
    const kept = new Set([...events].sort((a, b) => ranks[a.severity] - ranks[b.severity]).slice(0, MOST_EVENTS));
    const count = events.length - kept.size;
    return [...events.filter((event) => kept.has(event)), { kind: "more", severity: "info", at: this.#now(), count }];
  }

  /** Does something that may fail, and tells of that once in a while. */
  async #trying(what: string, events: WatchEvent[], work: () => Promise<void>): Promise<void> {
    const { clock } = this.#context.platform;
    let told: WatchEvent | undefined;
    try {
      await work();
      told = this.#failures.worked(what, clock.now());
    } catch (error) {
      told = this.#failures.failed(what, error, clock.now());
    }
    if (told !== undefined) events.push(told);
  }

  #now(): number {
    return Math.floor(this.#context.platform.clock.now() / 1000);
  }

  /** Finds sets of the account that were opened since. */
  async #discover(): Promise<void> {
    const chain = await this.#context.chain();
    const user = this.#context.account.address;
    const add = (opened: OpenedDataSet): void => {
      if (this.#sets.has(opened.id)) return;
      requireTermsOfId(chain.deployment, opened);
      this.#sets.set(opened.id, { opened, isClosed: false });
    };
    if (this.#opened === undefined) {
      const head = await readChain("reading the newest block", () => chain.provider.getBlock("latest"));
      for await (const opened of dataSetsOpened(chain, { user })) add(opened);
      if (head?.hash !== undefined && head.hash !== null) {
        this.#opened = { blockNumber: head.number, blockHash: head.hash };
      }
      return;
    }
    const topics = ESCROW_ABI.encodeFilterTopics("DataSetOpened", [null, user]);
    for await (const page of this.#pages({ topics }, this.#opened)) {
      for (const event of page.events) if (event.kind === "DataSetOpened") add(event);
      this.#opened = page.cursor;
    }
  }

  async *#pages({ topics }: Required<Pick<LogFilter, "topics">>, cursor: ScanCursor | undefined, from?: number) {
    const chain = await this.#context.chain();
    const { contracts, deployedAtBlock } = chain.deployment;
    const filter = { address: contracts.storageEscrow, topics };
    yield* scanPages(chain, filter, parseDataSetLog, from ?? deployedAtBlock, cursor);
  }

  async #readChanges(events: WatchEvent[]): Promise<void> {
    const ids = [...this.#sets].filter(([, { isClosed }]) => !isClosed).map(([id]) => id);
    if (ids.length === 0) return;
    const chain = await this.#context.chain();
    const { epochBlocks } = await readEscrowClock(chain);
    const head = await readChain("reading the block number", () => chain.provider.getBlockNumber());
    const first = Math.max(chain.deployment.deployedAtBlock, (epochOf(epochBlocks, head) - 1) * epochBlocks);
    for await (const page of this.#pages({ topics: [null, ids] }, this.#cursor, first)) {
      for (const event of page.events) {
        if (!("id" in event) || !this.#isNew(event)) continue;
        const watched = this.#sets.get(event.id);
        const change = watched === undefined ? undefined : changeOf(event, watched.opened, this.#now());
        if (change !== undefined) events.push(change);
      }
      this.#cursor = page.cursor;
      for (const [key, block] of this.#seen) {
        if (block < page.toBlock - 2 * REORGANISED_BLOCKS) this.#seen.delete(key);
      }
    }
  }

  /** Blocks may be replaced, and their events come again. */
  #isNew(event: SetEvent): boolean {
    const epoch = "epoch" in event ? event.epoch : "";
    const key = `${event.kind} ${event.id} ${epoch} ${event.transactionHash}`;
    if (this.#seen.has(key)) return false;
    this.#seen.set(key, event.blockNumber);
    return true;
  }

  async #readState(watched: Watched, isAudit: boolean, events: WatchEvent[]): Promise<void> {
    const { opened } = watched;
    if (watched.isClosed) return;
    const chain = await this.#context.chain();
    const onChain = await readOnChain(chain, opened);
    // A reorganisation has removed it; when it is opened again, it is discovered again.
    if (onChain === undefined) {
      this.#sets.delete(opened.id);
      return;
    }
    const { epochBlocks, noticeEpochs } = await readEscrowClock(chain);
    const view = viewOf(opened, onChain, epochBlocks, undefined);
    const common = { at: this.#now(), dataSet: opened.id, provider: opened.terms.provider };
    const told = `${view.status} ${view.lastEpoch ?? ""}`;
    if (told !== watched.told) events.push({ ...common, kind: "state", severity: severityOf(view), ...stateOf(view) });
    watched.told = told;
    watched.isClosed = view.status === "closed";
    const isShort = isRunwayShort(view, noticeEpochs);
    if (isShort && watched.runwayEpochs !== view.runwayEpochs) {
      events.push({ ...common, kind: "runway", severity: "warning", runwayEpochs: view.runwayEpochs });
    }
    if (isShort) watched.runwayEpochs = view.runwayEpochs;
    else delete watched.runwayEpochs;
    const overdue = overdueEpoch(opened, onChain, epochBlocks);
    if (overdue !== undefined && overdue !== watched.overdueEpoch) {
      events.push({ ...common, kind: "overdue", severity: "alarm", epoch: overdue });
      watched.overdueEpoch = overdue;
    }
    const isKept = (view.status === "running" || view.status === "ending") && view.slices > 0;
    if (isAudit && isKept) await this.#audit(watched, onChain, events);
  }

  /** Tells of an audit when its outcome is another one than before, and of each that fails. */
  async #audit(watched: Watched, onChain: DataSetOnChain, events: WatchEvent[]): Promise<void> {
    const { opened } = watched;
    const common = { dataSet: opened.id, provider: opened.terms.provider };
    const provider = () => this.#context.providers().byAccount(opened.terms.provider);
    await this.#trying(`audit of data set ${opened.id}`, events, async () => {
      try {
        const { sampleCount, slices } = await auditDataSet(this.#context, opened, onChain, provider);
        const message = `${sampleCount} draws from ${slices} slices verified`;
        if (watched.isIntact !== true) {
          events.push({ ...common, at: this.#now(), kind: "audit", severity: "info", message });
        }
        watched.isIntact = true;
      } catch (error) {
        if (!(error instanceof TallystickError) || !isUnproven(error)) throw error;
        const { code, message } = error;
        events.push({ ...common, at: this.#now(), kind: "audit-failed", severity: "alarm", code, message });
        watched.isIntact = false;
      }
    });
  }
}

/** Whether the provider has answered and not proved. Only one that cannot be reached is given time. */
function isUnproven(error: TallystickError): boolean {
  const { code, party, retryable } = error;
  if (isLoss(error)) return true;
  return !retryable && party !== "chain" && party !== "you" && ERROR_CODES[code].exit !== "network";
}

function severityOf({ status, missedEpochs }: DataSetView): WatchSeverity {
  if (status === "breached") return "alarm";
  return status === "ending" || status === "over" || missedEpochs > 0 ? "warning" : "info";
}

function stateOf({ status, slices, missedEpochs, runwayEpochs, lastEpoch }: DataSetView) {
  return {
    status,
    slices,
    missedEpochs,
    ...(Number.isFinite(runwayEpochs) ? { runwayEpochs } : {}),
    ...(lastEpoch === undefined ? {} : { lastEpoch }),
  };
}

/** The newest epoch whose miss can be reported in the next block. */
function overdueEpoch(
  { terms, audit }: OpenedDataSet,
  { books, schedule, epoch: current, head, lastEpoch = Number.POSITIVE_INFINITY }: DataSetOnChain,
  epochBlocks: number,
): number | undefined {
  if (terms.mode !== "every-epoch" || books.status !== "running") return undefined;
  return [current, current - 1].find((epoch) => {
    const { graceEnd, reportEnd } = windowsOf({ ...audit, epochBlocks }, epoch);
    const isPart = epoch <= lastEpoch && (levelAt(schedule, epoch)?.sliceCount ?? 0) > 0;
    return isPart && outcomeOf(books, epoch) === "unsettled" && head >= graceEnd && head < reportEnd;
  });
}

const CHANGES: Partial<Record<DataSetEvent["kind"], readonly [ChainChange["kind"], WatchSeverity]>> = {
  DataSetOpened: ["opened", "info"],
  DataSetScheduled: ["changed", "info"],
  NoticeGiven: ["notice", "warning"],
  EpochProven: ["proven", "info"],
  EpochMissed: ["missed", "alarm"],
  DataSetBreached: ["breached", "alarm"],
  DataSetClosed: ["closed", "info"],
  DisputeOpened: ["dispute-opened", "warning"],
  DisputeAnswered: ["dispute-answered", "info"],
  DisputeUpheld: ["dispute-upheld", "alarm"],
};

function changeOf(event: SetEvent & LogPlace, { terms }: OpenedDataSet, at: number): ChainChange | undefined {
  const [kind, severity] = CHANGES[event.kind] ?? [];
  if (kind === undefined || severity === undefined) return undefined;
  const epoch = "epoch" in event ? event.epoch : event.kind === "NoticeGiven" ? event.lastEpoch : undefined;
  return {
    kind: event.kind === "EpochProven" && event.late ? "proven-late" : kind,
    severity,
    at,
    dataSet: event.id,
    provider: terms.provider,
    ...(epoch === undefined ? {} : { epoch }),
    blockNumber: event.blockNumber,
    transactionHash: event.transactionHash,
  };
}
