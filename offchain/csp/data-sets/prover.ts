/**
 * The prover loop of data sets: one proof in the windows of each epoch of every running set, in mode `on-demand` one
 * for each dispute instead. Which epochs are proven and what is disputed is read from the chain, so a restart neither
 * forgets an epoch nor proves one twice. What is due first is proven first, and no proof waits long for a slow one.
 * Each proof is verified, and simulated on the chain's pending state, before its transaction is sent; sets that are due
 * at the same time share one. Damaged data costs no gas: it is logged, counted and shown, and the proof is tried again
 * while a window is open, since an owner may upload the data again.
 */
import PQueue from "p-queue";
import { simulateCall } from "../../chain/contract-call.ts";
import { scheduleOf } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { type DataSetBooks, readEscrowClock } from "../../chain/escrow.ts";
import { type DataSetProof, proveDataSetsCall } from "../../chain/escrow-calls.ts";
import { ChainRevertedError } from "../../chain/revert.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import { encodeAnswer } from "../../core/audit/proof.ts";
import { challengeSeed, disputeWindowsOf, type EpochWindows, epochOf, windowsOf } from "../../core/data-set/epochs.ts";
import { decodeLiveRanges } from "../../core/data-set/ranges.ts";
import { levelAt } from "../../core/data-set/schedule.ts";
import { TallystickError } from "../../core/errors.ts";
import type { FailureLog } from "../../daemon/failure-log.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { AgreedSet, DataSetIndex, DataSetRow } from "../../store/index/data-set-index.ts";
import type { CspMetrics } from "../metrics.ts";
import { type ChainView, unknownRanges } from "./chain-view.ts";
import type { ChallengeRandomness } from "./challenge-randomness.ts";
import { DataDamagedError } from "./data-damaged.ts";
import { type AnsweredEpoch, DisputeWatch } from "./disputes.ts";
import { ProofBatches } from "./proof-batches.ts";
import type { DataSetProofs } from "./proofs.ts";

/** What a source says to a proof without evidence of a block that it does not know. */
const UNRECORDED: ReadonlySet<string> = new Set(["HeaderMismatch", "EvidenceTooShort", "RandomnessUnavailable"]);
/** Most sets in one transaction: what is saved shrinks with the number, and what one wrong proof costs grows. */
const MOST_IN_ONE = 8;

export interface DataSetProverParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly rows: DataSetIndex;
  readonly view: ChainView;
  readonly proofs: DataSetProofs;
  readonly randomness: ChallengeRandomness;
  readonly metrics: CspMetrics;
  readonly logger: Logger;
  readonly failures: FailureLog;
  readonly retrySeconds: number;
}

/** A set that is to be proven in an epoch. */
interface Due {
  readonly row: DataSetRow;
  readonly isDisputed: boolean;
  readonly verifier: string;
  readonly windows: EpochWindows;
  readonly key: string;
  /** Last block that counts in the window that is open. */
  readonly deadline: number;
}

interface Prepared extends Due {
  readonly proof: DataSetProof;
}

export class DataSetProver {
  readonly #parts: DataSetProverParts;
  readonly #disputes: DisputeWatch;
  /** When an attempt at an epoch may be made again, in milliseconds, by `set:epoch`. */
  readonly #notBefore = new Map<string, number>();
  /** Proofs that are being made, or whose transaction has been sent and is not mined yet. */
  readonly #underWay = new Map<string, Promise<void>>();
  readonly #preparations = new PQueue({ concurrency: MOST_IN_ONE });
  readonly #batches: ProofBatches<Prepared>;
  #headBlock = 0;
  /** Sets and epochs of which an attempt has failed: they come behind all that were not tried yet. */
  readonly #tried = new Set<string>();
  /** Sets and epochs whose proof was refused together with others. */
  readonly #alone = new Set<string>();
  /** Epochs whose end was recorded, by set; in mode `on-demand`, the newest one that was disputed. */
  readonly #over = new Map<number, number>();
  readonly #stop = new AbortController();

  constructor(parts: DataSetProverParts) {
    this.#parts = parts;
    this.#disputes = new DisputeWatch(parts);
    this.#batches = new ProofBatches((batch) => this.#dispatch(batch), MOST_IN_ONE);
  }

  /**
   * Visits every running set once, and begins the proofs that are due; it does not wait for them. A failure with one
   * does not keep the others from being proven.
   */
  async round(headBlock: number): Promise<void> {
    const { chain, rows, failures } = this.#parts;
    const { epochBlocks } = await readEscrowClock(chain);
    this.#headBlock = headBlock;
    const sets = await rows.inState("opening", "running");
    for (const answered of await this.#disputes.round(headBlock, sets)) await this.#recordAnswered(answered);
    for (const row of sets) {
      if (row.state !== "running") continue;
      if (this.#stop.signal.aborted) return;
      try {
        const found = await this.#dueOf(row, epochBlocks, headBlock);
        if (found !== undefined) this.#begin(found);
      } catch (error) {
        this.#unavailable(error);
        failures.failed(nameOf(row), error);
      }
    }
  }

  /** Makes a proof and sends it, beside everything else. */
  #begin(due: Due): void {
    const { failures } = this.#parts;
    const work = this.#batches.expect(
      async () => {
        const priority = urgencyOf(due.deadline, this.#tried.has(due.key));
        const proof = await this.#preparations.add(() => this.#prepare(due), { priority });
        return proof === undefined ? undefined : { ...due, proof };
      },
      this.#alone.has(due.key) ? due.key : due.verifier.toLowerCase(),
    );
    const done = work
      // What became of it could not be recorded; the next round reads it from the chain.
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) failures.failed(nameOf(due.row), error);
      })
      .finally(() => this.#underWay.delete(due.key));
    this.#underWay.set(due.key, done);
  }

  /** Stops waiting for transactions. Those already sent may still be mined; the next start finds them on chain. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#preparations.clear();
    await Promise.allSettled([...this.#underWay.values(), this.#parts.randomness.close()]);
  }

  /** Whether the windows of the current epoch are open and nobody is at the proof. Records how epochs ended. */
  async #dueOf(row: DataSetRow, epochBlocks: number, headBlock: number): Promise<Due | undefined> {
    const { agreed } = row;
    if (agreed === undefined) return undefined;
    if (agreed.terms.mode === "on-demand") return await this.#disputedOf(row, agreed, epochBlocks, headBlock);
    const { phase, windowBlocks, graceBlocks, verifier } = agreed.audit;
    const epoch = epochOf(epochBlocks, headBlock + 1);
    const windows = windowsOf({ epochBlocks, phase, windowBlocks, graceBlocks }, epoch);
    const isOver = headBlock + 1 > windows.graceEnd;
    await this.#recordOver(row, isOver ? epoch : epoch - 1);
    // The randomness of the challenge block is known from the next block on.
    if (isOver || headBlock <= windows.challengeBlock) return undefined;
    const key = `${row.id}:${epoch}`;
    if (this.#underWay.has(key) || performance.now() < (this.#notBefore.get(key) ?? 0)) return undefined;
    const deadline = headBlock + 1 > windows.windowEnd ? windows.graceEnd : windows.windowEnd;
    return { row, isDisputed: false, verifier, windows, key, deadline };
  }

  /** Whether a dispute of the set can be answered now and nobody is at the proof. Records those that were lost. */
  async #disputedOf(
    row: DataSetRow,
    { audit }: AgreedSet,
    epochBlocks: number,
    headBlock: number,
  ): Promise<Due | undefined> {
    const dispute = this.#disputes.of(row);
    if (dispute === undefined) return undefined;
    const windows = disputeWindowsOf({ ...audit, epochBlocks }, dispute.challengeBlock);
    const { epoch, challengeBlock, graceEnd } = windows;
    if (headBlock + 1 > graceEnd) await this.#recordLost(row, epoch);
    if (headBlock + 1 > graceEnd || headBlock <= challengeBlock) return undefined;
    const key = `${row.id}:${epoch}`;
    if (this.#underWay.has(key) || performance.now() < (this.#notBefore.get(key) ?? 0)) return undefined;
    return { row, isDisputed: true, verifier: audit.verifier, windows, key, deadline: graceEnd };
  }

  /** Records a dispute that was not answered in time, once. */
  async #recordLost(row: DataSetRow, epoch: number): Promise<void> {
    const { rows, view, metrics, logger } = this.#parts;
    if ((this.#over.get(row.id) ?? -1) >= epoch) return;
    const key = `${row.id}:${epoch}`;
    // Its transaction may be in the last block of the window.
    if (this.#underWay.has(key)) return;
    const known = await rows.epochState(row.id, epoch);
    if (known !== "proven" && known !== "missed") {
      const standing = await view.standingOf(row, epoch);
      const outcome = standing === undefined ? undefined : outcomeOf(standing.books, epoch);
      if (outcome === "proven") await rows.recordProven(row.id, epoch);
      else if (outcome === "missed" || standing?.books.disputed === true) {
        await rows.recordNotProven(row.id, epoch, "missed", "a dispute was not answered in time");
        metrics.epochsMissed.inc();
        metrics.disputes.inc({ outcome: "lost" });
        logger.error({ dataSet: row.agreed?.id, epoch }, "DISPUTE LOST: collateral will be lost");
      } else {
        // Not open any more, and settled since: nothing says how it ended.
        await this.#disputes.refresh(row);
        return;
      }
    }
    this.#over.set(row.id, epoch);
    this.#notBefore.delete(key);
    this.#alone.delete(key);
    this.#tried.delete(key);
  }

  /** An answer whose transaction an earlier process sent, or somebody else. */
  async #recordAnswered({ row, epoch }: AnsweredEpoch): Promise<void> {
    if ((this.#over.get(row.id) ?? -1) >= epoch || this.#underWay.has(`${row.id}:${epoch}`)) return;
    await this.#recordFound(row, epoch);
    this.#over.set(row.id, epoch);
  }

  /** Records the end of an epoch whose windows have passed, once. */
  async #recordOver(row: DataSetRow, epoch: number): Promise<void> {
    const { rows, view, metrics, logger } = this.#parts;
    if ((this.#over.get(row.id) ?? -1) >= epoch) return;
    const key = `${row.id}:${epoch}`;
    // Its transaction may be in the last block of the window.
    if (this.#underWay.has(key)) return;
    const known = await rows.epochState(row.id, epoch);
    if (known !== "proven" && known !== "missed" && isPaid(row, epoch)) {
      const standing = await view.standingOf(row, epoch + 1);
      const isPart = standing !== undefined && (standing.lastEpoch === undefined || epoch <= standing.lastEpoch);
      const outcome = standing === undefined ? undefined : outcomeOf(standing.books, epoch);
      if (outcome === "proven") await rows.recordProven(row.id, epoch);
      else if (isPart && outcome !== undefined) {
        await rows.recordNotProven(row.id, epoch, "missed", "the windows passed without a proof");
        metrics.epochsMissed.inc();
        logger.error({ dataSet: row.agreed?.id, epoch }, "EPOCH MISSED: collateral will be lost");
      }
    }
    this.#over.set(row.id, epoch);
    this.#notBefore.delete(key);
    this.#alone.delete(key);
    this.#tried.delete(key);
  }

  /** @returns undefined when nothing is to be proven, or no proof can be made */
  async #prepare({ row: known, isDisputed, windows, key, deadline }: Due): Promise<DataSetProof | undefined> {
    const { chain, rows, view, proofs, randomness, failures, retrySeconds } = this.#parts;
    const { epoch, challengeBlock } = windows;
    // Others came first.
    if (this.#stop.signal.aborted || this.#headBlock + 1 > windows.graceEnd) return undefined;
    this.#notBefore.set(key, performance.now() + retrySeconds * 1000);
    try {
      if (isDisputed && (await this.#disputes.refresh(known))?.challengeBlock !== challengeBlock) {
        // It is over, or a reorganisation has moved it.
        this.#notBefore.delete(key);
        return undefined;
      }
      const row = await view.refresh(known);
      const { agreed, scheduled } = row;
      if (agreed === undefined || scheduled === undefined) return undefined;
      const level = levelAt(scheduleOf(scheduled), epoch);
      if (level === undefined || level.sliceCount === 0) return undefined;
      const standing = await view.standingOf(row, epoch);
      if (standing?.books.status !== "running") return undefined;
      if (standing.lastEpoch !== undefined && epoch > standing.lastEpoch) return undefined;
      if (outcomeOf(standing.books, epoch) !== "unsettled") {
        if (outcomeOf(standing.books, epoch) === "proven") await this.#recordFound(row, epoch);
        return undefined;
      }
      const ranges = (await rows.rangesOf(row.id)).get(level.rangesHash);
      if (ranges === undefined) throw unknownRanges(level.rangesHash);
      const { terms, audit, id } = agreed;
      const value = await randomness.valueAt(audit.randomness, challengeBlock);
      if (value === undefined) {
        // It is being recorded, or the endpoint that answers is behind: soon again.
        this.#notBefore.delete(key);
        return undefined;
      }
      const { chainId, contracts } = chain.deployment;
      const seed = challengeSeed(BigInt(chainId), contracts.storageEscrow, id, challengeBlock, value);
      const challenge = { seed, sampleCount: audit.sampleCount, ranges: decodeLiveRanges(ranges) };
      const urgency = { priority: urgencyOf(deadline, this.#tried.has(key)), signal: this.#stop.signal };
      const proof = await proofs.provePublic(row, challenge, urgency);
      const answer = encodeAnswer(row.key, proof);
      failures.succeeded(nameOf(row));
      // What the source knows needs no evidence.
      return { terms, audit, schedule: scheduled.schedule, ranges, answer, evidence: new Uint8Array(0) };
    } catch (error) {
      this.#tried.add(key);
      this.#notBefore.set(key, performance.now() + retrySeconds * 1000);
      if (!this.#stop.signal.aborted) await this.#failed(known, epoch, error);
      return undefined;
    }
  }

  /** A row with the transaction of the proof is kept. */
  async #recordFound(row: DataSetRow, epoch: number): Promise<void> {
    const { rows } = this.#parts;
    if ((await rows.epochState(row.id, epoch)) !== "proven") await rows.recordProven(row.id, epoch);
  }

  /** Simulates a batch and sends it, or its proofs one by one when it is refused. */
  async #dispatch(batch: readonly Prepared[]): Promise<void> {
    const { chain, sender } = this.#parts;
    if (this.#stop.signal.aborted) return;
    const call = proveDataSetsCall(
      chain.deployment,
      batch.map(({ proof }) => proof),
    );
    try {
      await simulateCall(chain, call, sender.address);
    } catch (error) {
      if (error instanceof ChainRevertedError && batch.length > 1) {
        await Promise.all(batch.map((one) => this.#dispatch([one])));
        return;
      }
      for (const { row, windows } of batch) await this.#failed(row, windows.epoch, error);
      return;
    }
    await this.#send(batch, call);
  }

  /** Sends proofs, and waits until their transaction is mined. */
  async #send(batch: readonly Prepared[], call: ReturnType<typeof proveDataSetsCall>): Promise<void> {
    const { sender, rows, metrics, logger } = this.#parts;
    try {
      const { hash, blockNumber, gasUsed } = await sender.send(call, this.#stop.signal);
      const share = gasUsed / BigInt(batch.length);
      for (const { row, isDisputed, windows } of batch) {
        const { epoch } = windows;
        await rows.recordProven(row.id, epoch, { epoch, transactionHash: hash, blockNumber, gasUsed: share });
        await rows.setHealth(row.id, "good");
        metrics.proofsSent.inc();
        if (isDisputed) metrics.disputes.inc({ outcome: "answered" });
        logger.info(
          { dataSet: row.agreed?.id, epoch, transactionHash: hash, gasUsed: String(share), sets: batch.length },
          isDisputed ? "dispute answered" : "epoch proven",
        );
      }
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (error instanceof ChainRevertedError && batch.length > 1) {
        // One of them was settled or changed meanwhile; the others are tried without it.
        for (const { key } of batch) {
          this.#alone.add(key);
          this.#notBefore.delete(key);
        }
        return;
      }
      for (const { row, windows } of batch) await this.#failed(row, windows.epoch, error);
    }
  }

  async #failed(row: DataSetRow, epoch: number, error: unknown): Promise<void> {
    const { rows, metrics, logger, failures } = this.#parts;
    const dataSet = row.agreed?.id;
    if (error instanceof DataDamagedError) {
      metrics.proofsFailed.inc({ reason: "damaged" });
      await rows.setHealth(row.id, "damaged", `epoch ${epoch}: ${error.message}`);
      await rows.recordNotProven(row.id, epoch, "failed", error.message);
      logger.error({ dataSet, epoch, damaged: error.received, err: error.cause }, "DATA DAMAGED: no proof can be made");
      return;
    }
    if (error instanceof ChainRevertedError) {
      // A proof sent before a restart is waiting in the pool, or was mined a moment ago.
      if (error.revert.name === "EpochSettled") return;
      // A reorganisation has taken the dispute while its proof was being made: nothing is to be proven.
      if (error.revert.name === "NoDispute") return;
      // A new schedule was mined a moment ago, or a reorganisation moves the challenge: the next round looks again.
      if (error.revert.name === "WrongSchedule" || error.revert.name === "OutsideWindow") {
        this.#notBefore.delete(`${row.id}:${epoch}`);
        return;
      }
      // The block that recorded the randomness was replaced: it is recorded again.
      if (UNRECORDED.has(error.revert.name)) return;
      metrics.proofsFailed.inc({ reason: "refused" });
      await rows.recordNotProven(row.id, epoch, "failed", error.message);
      logger.error({ dataSet, epoch, err: error }, "the chain refuses the proof");
      return;
    }
    this.#unavailable(error);
    failures.failed(nameOf(row), error);
  }

  #unavailable(error: unknown): void {
    if (!(error instanceof TallystickError) || error.code !== "CHAIN_UNAVAILABLE") return;
    this.#parts.metrics.proofsFailed.inc({ reason: "unavailable" });
  }
}

/** Above every number of a block. */
const BEHIND_ALL = 2 ** 40;

/** The nearest deadline first; what has failed before does not keep the others from being proven. */
function urgencyOf(deadlineBlock: number, wasTried: boolean): number {
  return wasTried ? -deadlineBlock - BEHIND_ALL : -deadlineBlock;
}

const nameOf = (row: DataSetRow): string => `data set ${row.agreed?.id ?? row.id}`;

/** Whether the schedule, as far as known, has slices to prove in an epoch. */
function isPaid({ scheduled }: DataSetRow, epoch: number): boolean {
  if (scheduled === undefined) return false;
  const level = levelAt(scheduleOf(scheduled), epoch);
  return level !== undefined && level.sliceCount > 0;
}

/** @returns undefined for a settled epoch, of which the chain does not say how it ended */
function outcomeOf(
  { settledThrough, outcomes }: DataSetBooks,
  epoch: number,
): DataSetBooks["outcomes"][number] | undefined {
  if (epoch <= settledThrough) return undefined;
  // A proof settles first, so an epoch further behind has none.
  return outcomes[epoch - settledThrough - 1] ?? "unsettled";
}
