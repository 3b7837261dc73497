/**
 * The prover loop: one proof in the window of each epoch of every active agreement. Which epochs are proven is read
 * from the chain, so a restart neither forgets an epoch nor proves one twice. Each proof is verified here and simulated
 * on the chain's pending state before its transaction is sent. Damaged data costs no gas: it is logged, counted and
 * shown, and the proof is tried again while the window is open, since an owner may upload the data again.
 */

import { simulateCall } from "../../chain/contract-call.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { proveCall, readAgreement, readChallenge, readEpochStatus } from "../../chain/escrow.ts";
import { ChainRevertedError } from "../../chain/revert.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import { type EpochWindow, windowOf } from "../../core/agreement/epochs.ts";
import { TallystickError } from "../../core/errors.ts";
import type { FailureLog } from "../../daemon/failure-log.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { AgreementIndex, AgreementRow } from "../../store/index/agreement-index.ts";
import type { PreparationIndex } from "../../store/index/preparation-index.ts";
import type { CspMetrics } from "../metrics.ts";
import { DataDamagedError, type ProofService } from "./proofs.ts";

export interface ProverParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly rows: AgreementIndex;
  readonly preparations: PreparationIndex;
  readonly proofs: ProofService;
  readonly metrics: CspMetrics;
  readonly logger: Logger;
  readonly failures: FailureLog;
  readonly retrySeconds: number;
}

export class Prover {
  readonly #parts: ProverParts;
  /** When an attempt at an epoch may be made again, in milliseconds, by `agreement:epoch`. */
  readonly #notBefore = new Map<string, number>();
  /** Proofs whose transaction has been sent and is not mined yet. */
  readonly #onTheWay = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();

  constructor(parts: ProverParts) {
    this.#parts = parts;
  }

  /** Visits every active agreement once. A failure with one does not keep the others from being proven. */
  async round(headBlock: number): Promise<void> {
    const { rows, failures } = this.#parts;
    for (const row of await rows.inState("active")) {
      if (this.#stop.signal.aborted) return;
      const part = `agreement ${row.id}`;
      try {
        await this.#visit(row, headBlock);
        failures.succeeded(part);
      } catch (error) {
        if (error instanceof TallystickError && error.code === "CHAIN_UNAVAILABLE") {
          this.#parts.metrics.proofsFailed.inc({ reason: "unavailable" });
        }
        failures.failed(part, error);
      }
    }
  }

  /** Stops waiting for transactions. Those already sent may still be mined; the next start finds them on chain. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#onTheWay.values());
  }

  async #visit(row: AgreementRow, headBlock: number): Promise<void> {
    let next = row.nextEpoch;
    for (; next < row.epochs && headBlock >= windowOf(row, next).deadlineBlock; next++) {
      // Its transaction may be in the last block of the window.
      if (this.#onTheWay.has(`${row.id}:${next}`)) return;
      await this.#recordOver(row, next);
      await this.#parts.rows.setNextEpoch(row.id, next + 1);
    }
    if (next === row.epochs) return;
    const window = windowOf(row, next);
    const key = `${row.id}:${next}`;
    if (headBlock < window.openBlock || this.#onTheWay.has(key)) return;
    if (performance.now() < (this.#notBefore.get(key) ?? 0)) return;
    await this.#attempt(row, window, key);
  }

  /** Records how an epoch ended. */
  async #recordOver(row: AgreementRow, epoch: number): Promise<void> {
    const { rows, metrics, logger } = this.#parts;
    this.#notBefore.delete(`${row.id}:${epoch}`);
    if (await this.#isProven(row, epoch)) return;
    await rows.recordNotProven(row.id, epoch, "missed", "the window passed without a proof");
    metrics.epochsMissed.inc();
    logger.error({ agreement: String(row.id), epoch }, "EPOCH MISSED: collateral will be lost");
  }

  /** Asks the chain, because a reorganisation may have removed a proof that was mined. */
  async #isProven(row: AgreementRow, epoch: number): Promise<boolean> {
    const { chain, rows } = this.#parts;
    if ((await readEpochStatus(chain, row.id, epoch)) !== "proven") return false;
    // A row with the transaction of the proof is kept.
    if ((await rows.epochState(row.id, epoch)) !== "proven") await rows.recordProven(row.id, epoch);
    return true;
  }

  async #attempt(row: AgreementRow, window: EpochWindow, key: string): Promise<void> {
    const { chain, preparations, retrySeconds } = this.#parts;
    const { epoch } = window;
    const agreement = await readAgreement(chain, row.id);
    // A breached or closed agreement takes no proofs; settlement winds it up.
    if (agreement?.status !== "active") return;
    const later = performance.now() + retrySeconds * 1000;
    if (await this.#isProven(row, epoch)) {
      this.#notBefore.set(key, later);
      return;
    }
    const challenge = await readChallenge(chain, row.id, epoch);
    // The head is the challenge block itself, whose randomness is available from the next block on.
    if (challenge === undefined) return;
    const preparation = await preparations.find(row.preparationId);
    if (preparation === undefined) throw new TallystickError("agreement without preparation", { code: "INTERNAL" });
    this.#notBefore.set(key, later);
    try {
      const proof = await this.#parts.proofs.provePublic(preparation, challenge);
      const call = proveCall(chain.deployment, row.id, epoch, preparation.key, proof);
      await simulateCall(chain, call, this.#parts.sender.address);
      const sent = this.#send(row, epoch, call)
        // The outcome could not be recorded; the next round reads it from the chain.
        .catch((error: unknown) => this.#parts.failures.failed(`agreement ${row.id}`, error))
        .finally(() => this.#onTheWay.delete(key));
      this.#onTheWay.set(key, sent);
    } catch (error) {
      await this.#failed(row, epoch, error);
    }
  }

  /** Sends a proof and waits for it outside the loop, so that slow blocks do not delay other agreements. */
  async #send(row: AgreementRow, epoch: number, call: ReturnType<typeof proveCall>): Promise<void> {
    const { sender, rows, metrics, logger } = this.#parts;
    try {
      const { hash, blockNumber, gasUsed } = await sender.send(call, this.#stop.signal);
      await rows.recordProven(row.id, epoch, { epoch, transactionHash: hash, blockNumber, gasUsed });
      await rows.setHealth(row.id, "good");
      metrics.proofsSent.inc();
      logger.info(
        { agreement: String(row.id), epoch, transactionHash: hash, gasUsed: String(gasUsed) },
        "epoch proven",
      );
    } catch (error) {
      if (!this.#stop.signal.aborted) await this.#failed(row, epoch, error);
    }
  }

  async #failed(row: AgreementRow, epoch: number, error: unknown): Promise<void> {
    const { rows, metrics, logger } = this.#parts;
    if (error instanceof DataDamagedError) {
      metrics.proofsFailed.inc({ reason: "damaged" });
      await rows.setHealth(row.id, "damaged", `epoch ${epoch}: ${error.message}`);
      await rows.recordNotProven(row.id, epoch, "failed", error.message);
      logger.error(
        { agreement: String(row.id), epoch, damaged: error.received, err: error.cause },
        "DATA DAMAGED: no proof can be made",
      );
      return;
    }
    if (error instanceof ChainRevertedError) {
      // A proof sent before a restart is waiting in the pool, or was mined a moment ago.
      if (error.revert.name === "EpochSettled") return;
      metrics.proofsFailed.inc({ reason: "refused" });
      await rows.recordNotProven(row.id, epoch, "failed", error.message);
      logger.error({ agreement: String(row.id), epoch, err: error }, "the chain refuses the proof");
      return;
    }
    metrics.proofsFailed.inc({ reason: "unavailable" });
    logger.error({ agreement: String(row.id), epoch, err: error }, "the proof could not be sent");
  }
}
