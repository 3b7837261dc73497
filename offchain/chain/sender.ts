/**
 * Sends transactions from one account: one nonce after the other without gaps, however many callers there are, and
 * despite endpoints that drop connections, restart, limit the rate or forget what they accepted, and despite
 * reorganisations.
 *
 * A transaction is estimated, signed and offered under a lock, and takes its nonce only when it is signed, so that a
 * call that would revert leaves no gap. Only when another transaction is seen to have taken the nonce is it signed
 * anew.
 */

import type { TransactionReceipt } from "ethers";
import { TallystickError } from "../core/errors.ts";
import { type ContractCall, estimateGas, gasLimitOf, simulateCall, type TrialState } from "./contract-call.ts";
import type { ChainReader } from "./deployment.ts";
import { isTemporaryFailure } from "./endpoint-errors.ts";
import type { FeeLimits } from "./fees.ts";
import { NonceBook, type SignedCall } from "./nonces.ts";
import { fillerOf, Offers } from "./offers.ts";
import { ChainRevertedError, decodeRevert } from "./revert.ts";
import { isShortOfFunds, withFigures } from "./short-funds.ts";
import { type WaitingTransaction, waitForReceipt } from "./waiting.ts";

export interface SenderOptions {
  /** Blocks that must hold the transaction, its own included; default 1. */
  readonly confirmations?: number;
  /** How long to wait for the receipt before giving up; default 300. */
  readonly receiptTimeoutSeconds?: number;
  /** How long the endpoint may stay silent while waiting; default 20. */
  readonly unreachableAfterSeconds?: number;
  /** A transaction still pending after this long is offered again, with a higher fee when it is known; default 30. */
  readonly nudgeAfterSeconds?: number;
  /** Retries of a request whose connection failed; default 4, the waits doubling from `retryDelayMs`, default 200. */
  readonly retries?: number;
  readonly retryDelayMs?: number;
  /** The most that is paid, wei per unit of gas, also by replacements; default 500 gwei. */
  readonly maximumFeePerGas?: bigint;
  /** Of this, the most for the block's producer beside the base fee; default 100 gwei. */
  readonly maximumPriorityFeePerGas?: bigint;
  /** Keeps other processes that send from the account from signing at the same time; none does unless given. */
  readonly exclusively?: <T>(work: () => Promise<T>) => Promise<T>;
  /** Called every `nudgeAfterSeconds` for each transaction that is not mined yet. */
  readonly onWaiting?: (transaction: WaitingTransaction) => void;
}

/** Of one call. */
export interface CallOptions {
  /** Lowers the account's limit for this call and its replacements; wei per unit of gas. */
  readonly maximumFeePerGas?: bigint;
  /**
   * What the gas is estimated on; the pending state unless given. A call that others may send as well, and that costs
   * less when they were first, is estimated on the latest one: their transactions may never be mined.
   */
  readonly estimatedOn?: TrialState;
}

/** State of the transactions of the account. */
export interface SenderHealth {
  /** Transactions that are waited for. */
  readonly waiting: number;
  /** How long the oldest of them has waited; 0 when there is none. */
  readonly oldestSeconds: number;
  /** The lowest nonces that nobody uses below one that is waited for, when last looked at. */
  readonly missingNonces: readonly number[];
  /** They are not filled, because a transaction waits too far above what the endpoint counts as mined. */
  readonly isTooFarAhead: boolean;
}

const GWEI = 10n ** 9n;
const DEFAULT_MAXIMUM_FEE = 500n * GWEI;
const DEFAULT_MAXIMUM_PRIORITY_FEE = 100n * GWEI;
/** Gaps are filled below a nonce that is at most this far above the first one not mined; else the count is doubted. */
const MAXIMUM_SPAN = 256;
/** Attempts to find a free nonce before concluding that another process uses the account. */
const NONCE_ATTEMPTS = 10;
/** A transaction that waits longer makes the account unhealthy. */
const UNHEALTHY_AFTER_SECONDS = 120;

/**
 * One per key and process: two senders of one account would take each other's nonces (and recover, but slowly), unless
 * `exclusively` keeps them apart.
 */
export class TransactionSender {
  readonly address: string;
  readonly #chain: ChainReader;
  readonly #options: Required<SenderOptions>;
  readonly #offers: Offers;
  readonly #book = new NonceBook();
  #lock: Promise<unknown> = Promise.resolve();
  #lastRepair = Number.NEGATIVE_INFINITY;
  /** Gaps found by the last repair. */
  #gaps: readonly number[] = [];
  /** Nonces that the last repair found to be nobody's. */
  #free: readonly number[] = [];
  #isTooFarAhead = false;
  /** Nonces that this process has filled and that are not mined. */
  readonly #filled = new Set<number>();

  /** @param signingKey secp256k1 private key, 32 bytes. */
  constructor(chain: ChainReader, signingKey: Uint8Array, options: SenderOptions = {}) {
    this.#chain = chain;
    this.#options = {
      confirmations: options.confirmations ?? 1,
      receiptTimeoutSeconds: options.receiptTimeoutSeconds ?? 300,
      unreachableAfterSeconds: options.unreachableAfterSeconds ?? 20,
      nudgeAfterSeconds: options.nudgeAfterSeconds ?? 30,
      retries: options.retries ?? 4,
      retryDelayMs: options.retryDelayMs ?? 200,
      maximumFeePerGas: options.maximumFeePerGas ?? DEFAULT_MAXIMUM_FEE,
      maximumPriorityFeePerGas: options.maximumPriorityFeePerGas ?? DEFAULT_MAXIMUM_PRIORITY_FEE,
      exclusively: options.exclusively ?? ((work) => work()),
      onWaiting: options.onWaiting ?? (() => undefined),
    };
    this.#offers = new Offers(chain, signingKey, this.#options);
    this.address = this.#offers.address;
  }

  /**
   * Sends a call and waits until it is mined. Calls are broadcast in the order in which this is called, and waited for
   * side by side.
   *
   * @param signal stops the waiting; a transaction that was already broadcast may still be mined.
   * @throws ChainRevertedError when the contract refuses, before or after it was sent.
   * @throws ChainUnavailableError when the endpoint fails for good; `details.transactionHash` is present once it may
   * have the transaction.
   * @throws TallystickError FUNDS (balance too low, or fees above the cap), TIMED_OUT (mined later, perhaps), CONFLICT
   * (another transaction took the nonce).
   */
  async send(call: ContractCall, signal?: AbortSignal, options: CallOptions = {}): Promise<TransactionReceipt> {
    const limits = this.#limitsOf(options);
    const broadcast = () => this.#broadcast(call, limits, signal, options.estimatedOn);
    const signed = await this.#exclusively(broadcast).catch(async (error: unknown) => {
      throw isShortOfFunds(error) ? await withFigures(this.#chain, call, this.address, limits, error) : error;
    });
    try {
      const repair = () => this.#repairInTurn();
      const receipt = await waitForReceipt(this.#offers, signed, this.#options, repair, signal);
      if (receipt === undefined) throw nonceConflict(call, this.address);
      this.#book.mined(signed, receipt.blockNumber);
      if (receipt.status === 0) throw await this.#whyReverted(call, receipt);
      return receipt;
    } finally {
      this.#book.abandon(signed);
    }
  }

  /** What is waited for, without asking the chain. */
  health(): SenderHealth {
    const { waiting } = this.#book;
    const oldest = Math.min(...waiting.map(({ since }) => since));
    const oldestSeconds = waiting.length === 0 ? 0 : (Date.now() - oldest) / 1000;
    return { waiting: waiting.length, oldestSeconds, missingNonces: this.#gaps, isTooFarAhead: this.#isTooFarAhead };
  }

  /**
   * For a health probe: offers transactions again that a reorganisation dropped, and reports what is stuck.
   *
   * @throws TallystickError TIMED_OUT when a transaction waits for more than two minutes, or nonces below it are
   *   missing.
   */
  async checkHealth(): Promise<void> {
    await this.#repairInTurn();
    const { waiting, oldestSeconds, missingNonces, isTooFarAhead } = this.health();
    if (oldestSeconds <= UNHEALTHY_AFTER_SECONDS && missingNonces.length === 0) return;
    const missing = missingNonces.length === 0 ? "" : `, nonces missing: ${missingNonces.slice(0, 5).join(", ")}`;
    const why = isTooFarAhead ? `; they are not filled, as a transaction waits over ${MAXIMUM_SPAN} nonces ahead` : "";
    throw new TallystickError("transactions of the account are not being mined", {
      code: "TIMED_OUT",
      party: "chain",
      check: "pending transactions",
      received: `${waiting} waiting, the oldest for ${Math.round(oldestSeconds)} s${missing}${why}`,
      retryable: true,
    });
  }

  #limitsOf({ maximumFeePerGas: own }: CallOptions): FeeLimits {
    const { maximumFeePerGas: cap, maximumPriorityFeePerGas } = this.#options;
    return { maximumFeePerGas: own !== undefined && own < cap ? own : cap, maximumPriorityFeePerGas };
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#lock.then(() => this.#options.exclusively(work));
    // The next in line waits for this one, whichever way it ends; its own caller sees the failure.
    this.#lock = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  async #broadcast(
    call: ContractCall,
    limits: FeeLimits,
    signal: AbortSignal | undefined,
    state: TrialState | undefined,
  ): Promise<SignedCall> {
    signal?.throwIfAborted();
    const estimate = () => estimateGas(this.#chain, call, this.address, state);
    const estimated = await this.#offers.request(call, signal, estimate);
    const gasLimit = gasLimitOf(estimated) + (call.extraGas ?? 0n);
    let lowest = 0;
    for (let attempt = 0; attempt < NONCE_ATTEMPTS; attempt++) {
      const counted = await this.#offers.count(call, "pending", signal);
      await this.#reofferDropped(counted, signal);
      // A node that restarted counts too few: it has forgotten what is waited for, which is offered again.
      const nonce = this.#book.nextFree(Math.max(counted, lowest));
      const signed = await this.#offers.sign(call, nonce, gasLimit, limits, signal);
      const outcome = await this.#offers.submit(signed, signal);
      if (outcome === "accepted") {
        this.#book.add(signed);
        return signed;
      }
      // Pending from another process, and not counted by an endpoint without pending state.
      if (outcome === "underpriced") lowest = nonce + 1;
    }
    throw nonceConflict(call, this.address);
  }

  /** At most once per `nudgeAfterSeconds`, however many wait. */
  async #repairInTurn(): Promise<void> {
    await this.#exclusively(async () => {
      if (Date.now() - this.#lastRepair < this.#options.nudgeAfterSeconds * 1000) return;
      this.#lastRepair = Date.now();
      await this.#repair();
    });
  }

  /**
   * Offers again what a reorganisation dropped, and uses up nonces that nobody uses: of transactions that are unknown
   * to this process and were dropped. Nothing above such a nonce would be mined. A gap must be seen twice, because the
   * count may be late. A nonce that the endpoint counts as pending may be another process's, which a filler with a
   * higher fee would replace: it is only reported. Endpoints without pending state refuse the filler as underpriced.
   */
  async #repair(): Promise<void> {
    const filler = fillerOf(this.address);
    // Of mined transactions: a pool may count those it holds above a gap as pending.
    const counted = await this.#offers.count(filler, "latest");
    await this.#reofferDropped(counted, undefined);
    for (const nonce of this.#filled) if (nonce < counted) this.#filled.delete(nonce);
    this.#gaps = this.#book.gaps(counted);
    this.#isTooFarAhead = this.#gaps.length > 0 && this.#book.span(counted) > MAXIMUM_SPAN;
    const earlier = this.#free;
    this.#free = [];
    if (this.#gaps.length === 0 || this.#isTooFarAhead) return;
    const pending = await this.#offers.count(filler, "pending");
    this.#free = this.#book.gaps(counted, (nonce) => pending <= nonce || this.#filled.has(nonce));
    for (const nonce of this.#free.filter((gap) => earlier.includes(gap))) {
      const signed = await this.#offers.signFiller(nonce, this.#limitsOf({}));
      if ((await this.#offers.submit(signed, undefined)) === "accepted") this.#filled.add(nonce);
    }
  }

  /**
   * @param counted transactions of the account that the node counts; what was mined at this nonce or above is not any
   *   more.
   */
  async #reofferDropped(counted: number, signal: AbortSignal | undefined): Promise<void> {
    for (const signed of this.#book.dropped(counted)) {
      try {
        await this.#offers.submit(signed, signal);
      } catch (error) {
        if (signal?.aborted === true || isTemporaryFailure(error)) throw error;
        // It is refused for good (fee or balance are too low by now): the next transaction takes its nonce.
        this.#book.forget(signed);
      }
    }
  }

  /**
   * A receipt says that it reverted, not why: the call is made again on the state before its block, then on that after
   * it. Where the endpoint cannot do that (it keeps no old state, it is gone), the reason stays unknown, but not that
   * it reverted.
   */
  async #whyReverted(call: ContractCall, receipt: TransactionReceipt): Promise<TallystickError> {
    const transactionHash = receipt.hash;
    let cause: unknown;
    for (const blockTag of [receipt.blockNumber - 1, receipt.blockNumber]) {
      try {
        await simulateCall(this.#chain, call, this.address, blockTag);
      } catch (error) {
        if (error instanceof ChainRevertedError) {
          return new ChainRevertedError(call.description, error.revert, { transactionHash, cause: error });
        }
        cause = error;
      }
    }
    return new ChainRevertedError(call.description, decodeRevert("0x"), { transactionHash, cause });
  }
}

function nonceConflict(call: ContractCall, address: string): TallystickError {
  return new TallystickError(`${call.description}: other transactions keep taking the nonces of ${address}`, {
    code: "CONFLICT",
    party: "you",
    check: "account nonce",
    hint: "let only one process send from this account",
    retryable: true,
  });
}
