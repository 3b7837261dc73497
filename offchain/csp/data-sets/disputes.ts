/**
 * Open disputes of this provider's sets in mode `on-demand`. The state of the contract says whether one is open; events
 * say which sets to look at. Nothing is remembered that a restart could lose: the first round looks at every set.
 *
 * An event and the state may come from endpoints of which one is behind. So a set is read again in every round in which
 * the newest event of the scanned blocks says something else than what was read. Without logs, or with incomplete ones,
 * a dispute would be lost with its window: all sets are read again when a scan fails, and every few blocks anyway.
 */
import PQueue from "p-queue";
import { escrowAbi } from "../../chain/abis.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { type OpenDispute, readDispute } from "../../chain/escrow.ts";
import { parseDataSetLog } from "../../chain/escrow-events.ts";
import { chainLogs, REORGANISED_BLOCKS } from "../../chain/logs.ts";
import type { FailureLog } from "../../daemon/failure-log.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";

/** Events that begin or end a dispute, or say that one was answered. */
const EVENTS = ["DisputeOpened", "DisputeAnswered", "DisputeUpheld", "DataSetBreached", "EpochProven"] as const;

/** The part of the failure log. */
const SCAN = "events of disputes";
/** Blocks after which all sets are read again, whatever the events say: a small part of any window. */
const REREAD_BLOCKS = 32;
/** Sets that are read at the same time. */
const READS_UNDER_WAY = 8;

export interface DisputeWatchParts {
  readonly chain: ChainReader;
  readonly logger: Logger;
  readonly failures: FailureLog;
}

/** An epoch that the chain says was proven. */
export interface AnsweredEpoch {
  readonly row: DataSetRow;
  readonly epoch: number;
}

export class DisputeWatch {
  readonly #parts: DisputeWatchParts;
  readonly #open = new Map<number, OpenDispute>();
  /** Sets that were read at least once. */
  readonly #known = new Set<number>();
  /** Block up to which events were looked at. */
  #cursor: number | undefined;
  /** Head block at which all sets were last to be read. */
  #readAllAt: number | undefined;

  constructor(parts: DisputeWatchParts) {
    this.#parts = parts;
  }

  /** What is known to be open. */
  of(row: DataSetRow): OpenDispute | undefined {
    return this.#open.get(row.id);
  }

  /**
   * Looks at the sets that are new here, and at those whose events say something else than what is known; at all of
   * them when there are no events, and every `REREAD_BLOCKS`.
   * @param rows all sets that may be on chain
   * @returns epochs that were proven in the blocks that were scanned, also by another process
   */
  async round(headBlock: number, rows: readonly DataSetRow[]): Promise<AnsweredEpoch[]> {
    const own = new Map(
      rows.flatMap((row) => {
        const { agreed } = row;
        return agreed?.terms.mode === "on-demand" ? [[agreed.id, row] as const] : [];
      }),
    );
    this.#forgetOthers([...own.values()]);
    const toRead = new Set([...own.values()].filter(({ id }) => !this.#known.has(id)));
    const readAll = () => {
      for (const row of own.values()) toRead.add(row);
      this.#readAllAt = headBlock;
    };
    // An endpoint that is behind may tell a lower head.
    if (Math.abs(headBlock - (this.#readAllAt ?? Number.NEGATIVE_INFINITY)) >= REREAD_BLOCKS) readAll();
    const answered: AnsweredEpoch[] = [];
    if (own.size > 0 && this.#cursor !== headBlock) {
      try {
        const newest = await this.#newestEvents(headBlock, own, answered);
        for (const [row, challengeBlock] of newest) {
          if (this.#open.get(row.id)?.challengeBlock !== challengeBlock) toRead.add(row);
        }
        this.#cursor = headBlock;
        this.#parts.failures.succeeded(SCAN);
      } catch (error) {
        // The state says it without logs; the next round scans these blocks again.
        this.#parts.failures.failed(SCAN, error);
        if (headBlock !== this.#readAllAt) readAll();
      }
    }
    const reads = new PQueue({ concurrency: READS_UNDER_WAY });
    await reads.addAll([...toRead].map((row) => () => this.#read(row)));
    return answered;
  }

  async #read(row: DataSetRow): Promise<void> {
    const part = `disputes of data set ${row.agreed?.id}`;
    try {
      await this.refresh(row);
      this.#known.add(row.id);
      this.#parts.failures.succeeded(part);
    } catch (error) {
      // Read again in the next round, whatever the events say.
      this.#known.delete(row.id);
      this.#parts.failures.failed(part, error);
    }
  }

  /** Reads whether a dispute is open now. */
  async refresh(row: DataSetRow): Promise<OpenDispute | undefined> {
    const { chain, logger } = this.#parts;
    const { agreed } = row;
    if (agreed === undefined) return undefined;
    const dispute = await readDispute(chain, agreed.id);
    const known = this.#open.get(row.id);
    if (dispute === undefined) {
      this.#open.delete(row.id);
      return undefined;
    }
    this.#open.set(row.id, dispute);
    if (known?.challengeBlock !== dispute.challengeBlock) {
      const { challengeBlock, disputer, bond } = dispute;
      const answerUntil = challengeBlock + agreed.audit.windowBlocks + agreed.audit.graceBlocks;
      logger.warn(
        { dataSet: agreed.id, disputer, bond: String(bond), challengeBlock, answerUntil },
        "possession is disputed",
      );
    }
    return dispute;
  }

  /** What the newest event of each set says: the challenge block of a dispute that it opened, or that none is open. */
  async #newestEvents(
    headBlock: number,
    own: ReadonlyMap<string, DataSetRow>,
    answered: AnsweredEpoch[],
  ): Promise<Map<DataSetRow, number | undefined>> {
    const { chain } = this.#parts;
    const { contracts, deployedAtBlock } = chain.deployment;
    const from = Math.max(deployedAtBlock, Math.min(this.#cursor ?? headBlock, headBlock) - REORGANISED_BLOCKS);
    const topics = [EVENTS.map((name) => escrowAbi().getEvent(name).topicHash)];
    const newest = new Map<DataSetRow, number | undefined>();
    for await (const log of chainLogs(chain, { address: contracts.storageEscrow, topics }, from, headBlock)) {
      const row = own.get(log.topics[1] ?? "");
      const event = row === undefined ? undefined : parseDataSetLog(log);
      if (row === undefined || event === undefined) continue;
      if (event.kind === "EpochProven") answered.push({ row, epoch: event.epoch });
      newest.set(row, event.kind === "DisputeOpened" ? event.challengeBlock : undefined);
    }
    return newest;
  }

  #forgetOthers(rows: readonly DataSetRow[]): void {
    const ids = new Set(rows.map(({ id }) => id));
    for (const id of this.#known) if (!ids.has(id)) this.#known.delete(id);
    for (const id of this.#open.keys()) if (!ids.has(id)) this.#open.delete(id);
  }
}
