/**
 * The randomness of challenge blocks. A source that records values learns them from whoever brings the evidence; the
 * provider brings it for every block that one of its sets is challenged with, once for all of them and as soon as it
 * can, because without the value no proof counts. Whoever else records a value first has done it for the provider too.
 */
import type { ChainReader } from "../../chain/deployment.ts";
import {
  type EvidenceSource,
  randomnessEvidence,
  readRandomness,
  recordRandomnessCall,
} from "../../chain/randomness.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import type { TallystickError } from "../../core/errors.ts";
import type { FailureLog } from "../../daemon/failure-log.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { CspMetrics } from "../metrics.ts";
import { failureOf, isRoundToCome } from "./randomness-failures.ts";

/** Blocks remembered; beyond, the oldest are forgotten. */
const MAXIMUM_BLOCKS = 1024;
/** A round that is expected later than its network says, by the clock of this machine. */
const CLOCK_TOLERANCE_SECONDS = 15;

const PART = "randomness";

export interface ChallengeRandomnessParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  /** Where the evidence for a source comes from. */
  readonly evidenceOf: (source: string) => Promise<EvidenceSource>;
  readonly metrics: CspMetrics;
  readonly logger: Logger;
  readonly failures: FailureLog;
  /** Until a failed attempt is repeated. */
  readonly retrySeconds: number;
}

interface Recording {
  readonly source: string;
  readonly block: number;
  /** While an attempt is under way. */
  attempt: Promise<void> | undefined;
  /** When the next attempt may be made, in milliseconds. */
  notBefore: number;
  /** Another's transaction was seen pending: it has been waited for. */
  hasWaited: boolean;
  /** The contract will never take it. */
  isHopeless: boolean;
}

export class ChallengeRandomness {
  readonly #parts: ChallengeRandomnessParts;
  readonly #recordings = new Map<string, Recording>();
  readonly #stop = new AbortController();

  constructor(parts: ChallengeRandomnessParts) {
    this.#parts = parts;
  }

  /**
   * The randomness of a past block that is on the grid of its source. While the source does not know it, the provider
   * goes about recording it, outside of this call.
   *
   * @returns undefined while it is not known
   * @throws TallystickError when the chain does not answer, or nothing is known of the source
   */
  async valueAt(source: string, block: number): Promise<Uint8Array | undefined> {
    const key = `${source.toLowerCase()}:${block}`;
    const value = await readRandomness(this.#parts.chain, source, BigInt(block));
    if (value !== undefined) {
      if (this.#recordings.delete(key)) this.#parts.failures.succeeded(PART);
      return value;
    }
    const evidence = await this.#parts.evidenceOf(source);
    // Of a block's own hash, an endpoint does not know yet: the one that answers is behind.
    if (evidence.kind === "block") return undefined;
    const recording = this.#recordings.get(key) ?? this.#remember(key, source, block);
    if (recording.attempt !== undefined || recording.isHopeless || this.#stop.signal.aborted) return undefined;
    if (performance.now() < recording.notBefore) return undefined;
    recording.notBefore = performance.now() + this.#parts.retrySeconds * 1000;
    recording.attempt = this.#attempt(recording, evidence).finally(() => {
      recording.attempt = undefined;
    });
    return undefined;
  }

  /** Stops waiting. A transaction that was sent may still be mined; the next start finds the value on chain. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#recordings.values()].map(({ attempt }) => attempt));
  }

  #remember(key: string, source: string, block: number): Recording {
    const made = { source, block, attempt: undefined, notBefore: 0, hasWaited: false, isHopeless: false };
    this.#recordings.set(key, made);
    for (const [oldest, { attempt }] of this.#recordings) {
      if (this.#recordings.size <= MAXIMUM_BLOCKS) break;
      if (attempt === undefined) this.#recordings.delete(oldest);
    }
    return made;
  }

  /** Never rejects. */
  async #attempt(recording: Recording, evidence: EvidenceSource): Promise<void> {
    try {
      await this.#record(recording, evidence);
    } catch (error) {
      if (!this.#stop.signal.aborted) await this.#failed(recording, evidence, error);
    }
  }

  async #record(recording: Recording, evidence: EvidenceSource): Promise<void> {
    const { chain, sender, metrics, logger } = this.#parts;
    const { source, block } = recording;
    if (await this.#isUnderWay(recording)) return;
    const bytes = await randomnessEvidence(chain, evidence, BigInt(block), this.#stop.signal);
    const call = recordRandomnessCall(source, BigInt(block), bytes);
    const { hash, gasUsed } = await sender.send(call, this.#stop.signal, { estimatedOn: "latest" });
    metrics.randomnessRecorded.inc();
    logger.info({ block, transactionHash: hash, gasUsed: String(gasUsed) }, "randomness recorded");
  }

  /**
   * Whether a transaction that records it waits to be mined: of another party, or of this one before a restart. It is
   * waited for once, so that one whose fee is too low for any block cannot hold up the provider.
   */
  async #isUnderWay(recording: Recording): Promise<boolean> {
    if (recording.hasWaited) return false;
    const { chain } = this.#parts;
    const pending = await readRandomness(chain, recording.source, BigInt(recording.block), "pending");
    recording.hasWaited = pending !== undefined;
    return pending !== undefined;
  }

  async #failed(recording: Recording, evidence: EvidenceSource, error: unknown): Promise<void> {
    const { metrics, logger, failures, retrySeconds } = this.#parts;
    const { source, block } = recording;
    if (isRoundToCome(error) && this.#isExpected(evidence, error)) {
      // No failure: the round of the block comes later.
      const seconds = Math.min(error.retryAfterSeconds ?? 1, retrySeconds);
      recording.notBefore = performance.now() + seconds * 1000;
      return;
    }
    if (await this.#isKnownByNow(source, block)) return;
    const { reason, isFinal } = failureOf(error);
    metrics.randomnessFailed.inc({ reason });
    failures.failed(PART, error, "the randomness of a challenge block is not recorded");
    if (!isFinal) return;
    recording.isHopeless = true;
    logger.error({ block, source, err: error }, "RANDOMNESS REFUSED: epochs that this block challenges will be missed");
  }

  /** Whether a round may be that far away: the clock of this machine may be behind. */
  #isExpected(evidence: EvidenceSource, { retryAfterSeconds = 0 }: TallystickError): boolean {
    if (evidence.kind !== "drand") return false;
    const { marginSeconds, periodSeconds } = evidence.network;
    return retryAfterSeconds <= Number(marginSeconds + periodSeconds) + CLOCK_TOLERANCE_SECONDS;
  }

  /** Another party may have recorded it meanwhile. */
  async #isKnownByNow(source: string, block: number): Promise<boolean> {
    try {
      return (await readRandomness(this.#parts.chain, source, BigInt(block))) !== undefined;
    } catch {
      // The error that led here is the one to report.
      return false;
    }
  }
}
