/**
 * Checks the proofs that the chain took, those of one transaction at once. A proof that does not verify is an alarm:
 * the contract that the terms name accepts what proves nothing.
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import type { ChainReader } from "../chain/deployment.ts";
import type { DataSetProof } from "../chain/escrow-calls.ts";
import { readProvenRandomness } from "../chain/randomness.ts";
import { readChain } from "../chain/revert.ts";
import { dataSetId } from "../core/data-set/terms.ts";
import { TallystickError } from "../core/errors.ts";
import type { Logger } from "../daemon/logger.ts";
import type { VerifierMetrics } from "./metrics.ts";
import { readProofCalls } from "./proof-calls.ts";
import { challengeBlockOf, claimOf, type EscrowPlace, type Failure, verifyClaims } from "./proof-check.ts";
import type { PendingProof, SetRecords } from "./set-records.ts";

/** Transactions of one round; others wait for the next one. */
const TRANSACTIONS_PER_ROUND = 64;
/** Blocks until a proof is read again that the endpoint could not say enough about. */
const RETRY_BLOCKS = 5;
/** Then it counts as unreadable: a stranger's source of randomness may never answer. */
const MAXIMUM_ATTEMPTS = 12;

export interface ProofCheckerOptions {
  readonly chain: ChainReader;
  readonly records: SetRecords;
  readonly place: EscrowPlace;
  readonly logger: Logger;
  readonly metrics: VerifierMetrics;
  /** Whether another member of the group says that it has checked a proof. */
  readonly isCheckedByOthers: (proof: PendingProof) => Promise<boolean>;
}

/** A proof whose claim is computed. */
interface Ready {
  readonly pending: PendingProof;
  readonly call: DataSetProof;
  readonly claim: ReturnType<typeof claimOf>;
}

export class ProofChecker {
  readonly #options: ProofCheckerOptions;
  readonly #stopped = new AbortController();

  constructor(options: ProofCheckerOptions) {
    this.#options = options;
  }

  /**
   * Checks what is due at a block. A transaction that cannot be checked waits, and does not hold up the others.
   * @returns whether nothing was left for another round
   * @throws ChainUnavailableError once all others are done
   */
  async round(head: number): Promise<boolean> {
    const failures: unknown[] = [];
    const due = this.#options.records.pendingProofs(head, TRANSACTIONS_PER_ROUND);
    for (const proofs of due) {
      if (this.#stopped.signal.aborted) return false;
      try {
        await this.#checkTransaction(proofs, head);
      } catch (error) {
        // Whatever it is: one transaction, which anybody can send, must not hold up the others.
        failures.push(error);
        const reason = error instanceof TallystickError ? `${error.code}: ${error.check ?? error.message}` : `${error}`;
        for (const pending of proofs) this.#later(pending, head, reason);
      }
      // Pairings take the thread for milliseconds each.
      await nextTurn();
    }
    if (failures[0] !== undefined) throw failures[0];
    return due.length < TRANSACTIONS_PER_ROUND;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #checkTransaction(proofs: readonly PendingProof[], head: number): Promise<void> {
    const open: PendingProof[] = [];
    for (const pending of proofs) {
      if (!pending.isOurs && (await this.#options.isCheckedByOthers(pending))) {
        this.#options.records.judge(pending.sequence, "by-others");
        this.#options.metrics.checked.inc({ verdict: "by-others" });
      } else {
        open.push(pending);
      }
    }
    const [first] = open;
    if (first === undefined) return;
    const calls = await readProofCalls(this.#options.chain, first.event.transactionHash);
    if (typeof calls === "string") {
      for (const pending of open) await this.#withoutCall(pending, calls, head);
      return;
    }
    const ready: Ready[] = [];
    for (const pending of open) {
      const one = await this.#prepare(pending, calls, head);
      if (one !== undefined) ready.push(one);
    }
    const claims = ready.flatMap(({ claim }) => (typeof claim === "string" ? [] : [claim]));
    const verdicts = verifyClaims(claims);
    for (const { pending, call, claim } of ready) {
      await this.#record(pending, call, typeof claim === "string" ? claim : verdicts.shift());
    }
  }

  /** Finds the call of a proof and computes its claim. @returns undefined when it has to wait or is unreadable */
  async #prepare(pending: PendingProof, calls: readonly DataSetProof[], head: number): Promise<Ready | undefined> {
    const { chain, records, place } = this.#options;
    const { event } = pending;
    const call = calls.find(({ terms }) => dataSetId(place.chainId, place.escrow, terms) === event.id);
    if (call === undefined) return void (await this.#withoutCall(pending, "indirect", head));
    const schedule = records.newest("DataSetScheduled", event.id, event)?.schedule;
    const disputedBlock = records.newest("DisputeOpened", event.id, event)?.challengeBlock;
    const challengeBlock = challengeBlockOf(call, { epoch: event.epoch, disputedBlock }, place.epochBlocks);
    if (schedule === undefined || challengeBlock === undefined) {
      return { pending, call, claim: "no event before it opened the set or the dispute" };
    }
    const { randomness: source } = call.audit;
    const randomness = await readProvenRandomness(chain, source, BigInt(challengeBlock), event.blockNumber);
    if (randomness === undefined) return void this.#later(pending, head, "randomness of the challenge is not known");
    const context = { ...event, schedule, disputedBlock };
    return { pending, call, claim: claimOf(call, context, place, challengeBlock, randomness) };
  }

  async #withoutCall(pending: PendingProof, reason: "gone" | "indirect", head: number): Promise<void> {
    if (reason === "gone") this.#later(pending, head, "the endpoint does not have the transaction");
    else this.#unreadable(pending, "the proof went through another contract, and the endpoint does not trace it");
  }

  #later(pending: PendingProof, head: number, reason: string): void {
    if (pending.attempts + 1 >= MAXIMUM_ATTEMPTS) this.#unreadable(pending, reason);
    else this.#options.records.postpone(pending.sequence, head + RETRY_BLOCKS);
  }

  #unreadable({ sequence, event }: PendingProof, reason: string): void {
    const { records, metrics, logger } = this.#options;
    records.judge(sequence, "unreadable", reason);
    metrics.checked.inc({ verdict: "unreadable" });
    const { id: dataSet, epoch, transactionHash: transaction } = event;
    logger.warn({ dataSet, epoch, transaction, reason }, "proof unread");
  }

  async #record(pending: PendingProof, call: DataSetProof, failure: Failure | undefined): Promise<void> {
    const { records, metrics, logger } = this.#options;
    const { event } = pending;
    if (failure === undefined) {
      records.judge(pending.sequence, "valid");
      metrics.checked.inc({ verdict: "valid" });
      return;
    }
    // Of a replaced block, the randomness would be another one by now; its proof is about to be forgotten.
    if (!(await this.#isOnChain(event))) return;
    if (!records.raise(pending, call.audit.verifier, failure)) return;
    metrics.checked.inc({ verdict: "invalid" });
    const { id: dataSet, epoch, transactionHash: transaction } = event;
    logger.error(
      { dataSet, epoch, transaction, verifier: call.audit.verifier, reason: failure },
      "ALARM: THE CHAIN TOOK A PROOF THAT DOES NOT VERIFY",
    );
  }

  async #isOnChain({ blockNumber, blockHash }: PendingProof["event"]): Promise<boolean> {
    const block = await readChain(`reading block ${blockNumber}`, () =>
      this.#options.chain.provider.getBlock(blockNumber),
    );
    return block?.hash === blockHash;
  }
}
