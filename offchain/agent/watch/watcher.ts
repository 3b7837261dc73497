/**
 * Follows the data sets of an account: what happens to them on chain, whether a proof is overdue, how long the balance
 * lasts, and from time to time whether the provider still proves to have the data; and requests for its identity. A
 * look that fails is told and made again; what happened meanwhile is told then. Nothing is sent. All that is written:
 * when an audit finds a loss, the file cache is emptied, so that the next put does not rely on what was lost.
 */

import { escrowAbi } from "../../chain/abis.ts";
import { type OpenedDataSet, requireTermsOfId } from "../../chain/data-set-words.ts";
import { readEscrowClock } from "../../chain/escrow.ts";
import { type DataSetEvent, dataSetsOpened, parseDataSetLog } from "../../chain/escrow-events.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { type LogFilter, type LogPlace, REORGANISED_BLOCKS, type ScanCursor, scanPages } from "../../chain/logs.ts";
import { readChain } from "../../chain/revert.ts";
import { epochOf } from "../../core/data-set/epochs.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { type DataSetView, viewOf } from "../data-sets/data-set-view.ts";
import { isUnanswered, readDisputeView } from "../data-sets/disputing.ts";
import { readOnChain } from "../data-sets/following.ts";
import type { JournaledDataSet } from "../data-sets/journal.ts";
import { isRunwayShort } from "../status.ts";
import { RepeatedFailures } from "./repeated-failures.ts";
import type { ChainChange, WatchEvent, WatchSeverity } from "./watch-events.ts";
import { WatchedAudits } from "./watched-audits.ts";
import { WatchedRecovery } from "./watched-recovery.ts";

/** Events of one look; what comes beyond is counted. */
const MOST_EVENTS = 200;
const DEFAULT_PERIOD_SECONDS = 3600;

export interface WatchOptions {
  /** Audit a set privately at every n-th look that reaches it, the first included; never without it. */
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
  /** Challenge block of the dispute that was told as unanswered. */
  unanswered?: number;
  readonly audits: WatchedAudits;
  /** Looks that reached it: one that does not is not the one in which it is audited. */
  looks: number;
  isClosed: boolean;
}

export class Watcher {
  readonly #context: AgentContext;
  readonly #auditEvery: number | undefined;
  readonly #failures: RepeatedFailures;
  readonly #recovery: WatchedRecovery;
  readonly #sets = new Map<string, Watched>();
  /** Changes that were told, with their blocks. */
  readonly #seen = new Map<string, number>();
  #opened: ScanCursor | undefined;
  #cursor: ScanCursor | undefined;

  constructor(context: AgentContext, { auditEvery, periodSeconds = DEFAULT_PERIOD_SECONDS }: WatchOptions = {}) {
    this.#context = context;
    this.#auditEvery = auditEvery;
    this.#failures = new RepeatedFailures(periodSeconds * 1000);
    this.#recovery = new WatchedRecovery(context);
  }

  /**
   * Looks once. The first look tells how every set stands, and what happened in this epoch and the one before.
   * @returns what is new since the last look, the newest last, at most `MOST_EVENTS` and how many more there were
   */
  async look(): Promise<WatchEvent[]> {
    const events: WatchEvent[] = [];
    const failed = await this.#trying("chain", events, async () => {
      await this.#discover();
      await this.#readChanges(events);
    });
    // Each on its own: one that cannot be read must not hide the others.
    for (const watched of [...this.#sets.values()].filter(({ isClosed }) => !isClosed)) {
      await this.#trying(`data set ${watched.opened.id}`, events, () => this.#readState(watched, events), failed);
    }
    await this.#trying(
      "recovery",
      events,
      async () => void events.push(...(await this.#recovery.look(this.#now()))),
      failed,
    );
    if (events.length <= MOST_EVENTS) return events;
    // What is grave is told before what is new.
    const ranks: Record<WatchSeverity, number> = { alarm: 0, warning: 1, info: 2 };
    const kept = new Set([...events].sort((a, b) => ranks[a.severity] - ranks[b.severity]).slice(0, MOST_EVENTS));
    const count = events.length - kept.size;
    return [...events.filter((event) => kept.has(event)), { kind: "more", severity: "info", at: this.#now(), count }];
  }

  /**
   * Does something that may fail, and tells of that once in a while.
   * @param known failure of this look whose repetition is not told: an endpoint that is down is one line, not one for
   *   each set
   * @returns how it failed
   */
  async #trying(
    what: string,
    events: WatchEvent[],
    work: () => Promise<void>,
    known?: TallystickError,
  ): Promise<TallystickError | undefined> {
    const { clock } = this.#context.platform;
    let told: WatchEvent | undefined;
    let failed: TallystickError | undefined;
    try {
      await work();
      told = this.#failures.worked(what, clock.now());
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      failed = error;
      const isKnown = known !== undefined && error.code === known.code && error.party === known.party;
      told = isKnown ? undefined : this.#failures.failed(what, error, clock.now());
    }
    if (told !== undefined) events.push(told);
    return failed;
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
      const audits = new WatchedAudits(this.#context, this.#failures);
      this.#sets.set(opened.id, { opened, audits, looks: 0, isClosed: false });
    };
    if (this.#opened === undefined) {
      const head = await readChain("reading the newest block", () => chain.provider.getBlock("latest"));
      for await (const opened of dataSetsOpened(chain, { user })) add(opened);
      if (head?.hash !== undefined && head.hash !== null) {
        this.#opened = { blockNumber: head.number, blockHash: head.hash };
      }
      return;
    }
    const topics = escrowAbi().encodeFilterTopics("DataSetOpened", [null, user]);
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
    const head = await readHeadNumber(chain);
    const first = Math.max(chain.deployment.deployedAtBlock, (epochOf(epochBlocks, head) - 1) * epochBlocks);
    for await (const page of this.#pages({ topics: [null, ids] }, this.#cursor, first)) {
      for (const event of page.events) {
        const watched = "id" in event ? this.#sets.get(event.id) : undefined;
        if (!("id" in event) || watched === undefined) continue;
        const change = changeOf(event, watched.opened, this.#now());
        if (change === undefined) continue;
        const told = calmed(change, await this.#journaled(watched.opened));
        if (this.#isNew(event)) events.push(told);
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

  /** What this device knows of a set besides. */
  async #journaled({ id, audit }: OpenedDataSet): Promise<JournaledDataSet | undefined> {
    const found = await this.#context.platform.dataSets.set(audit.salt);
    return found?.agreed?.id === id ? found : undefined;
  }

  async #readState(watched: Watched, events: WatchEvent[]): Promise<void> {
    const { opened } = watched;
    const chain = await this.#context.chain();
    const onChain = await readOnChain(chain, opened);
    // A reorganisation has removed it; when it is opened again, it is discovered again.
    if (onChain === undefined) {
      this.#sets.delete(opened.id);
      return;
    }
    const { epochBlocks, noticeEpochs } = await readEscrowClock(chain);
    const journaled = await this.#journaled(opened);
    const dispute = await readDisputeView(chain, { opened, onChain });
    const view = viewOf(opened, onChain, epochBlocks, journaled, dispute);
    const tell = (event: WatchEvent): void => {
      events.push(calmed(event, view));
    };
    const common = { at: this.#now(), dataSet: opened.id, provider: opened.terms.provider };
    const told = `${view.status} ${view.lastEpoch ?? ""}`;
    if (told !== watched.told) tell({ ...common, kind: "state", severity: severityOf(view), ...stateOf(view) });
    watched.told = told;
    watched.isClosed = view.status === "closed";
    const isShort = isRunwayShort(view, noticeEpochs);
    if (isShort && watched.runwayEpochs !== view.runwayEpochs) {
      tell({ ...common, kind: "runway", severity: "warning", runwayEpochs: view.runwayEpochs });
    }
    if (isShort) watched.runwayEpochs = view.runwayEpochs;
    else delete watched.runwayEpochs;
    const overdue = view.overdueEpoch;
    if (overdue !== undefined && overdue !== watched.overdueEpoch) {
      tell({ ...common, kind: "overdue", severity: "alarm", epoch: overdue });
      watched.overdueEpoch = overdue;
    }
    if (dispute !== undefined && isUnanswered(dispute, onChain) && watched.unanswered !== dispute.challengeBlock) {
      const { answerUntilBlock, challengeBlock } = dispute;
      const hint = `\`tallystick data-set settle ${opened.id}\` has it decided`;
      tell({ ...common, kind: "dispute-unanswered", severity: "alarm", answerUntilBlock, hint });
      watched.unanswered = challengeBlock;
    }
    const isKept = (view.status === "running" || view.status === "ending") && view.slices > 0;
    const isAudit = this.#auditEvery !== undefined && watched.looks % this.#auditEvery === 0;
    watched.looks += 1;
    if (isAudit && isKept) for (const event of await watched.audits.audit(opened, onChain)) tell(event);
  }
}

/** Nothing is lost with a set whose content went to another one. */
function calmed(event: WatchEvent, set: Pick<DataSetView, "movedTo"> | undefined): WatchEvent {
  return set?.movedTo !== undefined && event.severity === "alarm" ? { ...event, severity: "warning" } : event;
}

/** Each first look tells of a set that has ended, for ever, so its state is no alarm. The event that ended it is. */
function severityOf({ status, missedEpochs, movedTo }: DataSetView): WatchSeverity {
  if (status === "breached" || status === "closed" || movedTo !== undefined) return "info";
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
