/**
 * Sends what pays for itself: simulated first, then estimated, then offered with a fee that leaves the wanted profit.
 * Each transaction is waited for beside the others, and none is tried again before a few blocks have passed.
 */

import { type ContractCall, estimateGas, simulateCall } from "../chain/contract-call.ts";
import type { ChainReader } from "../chain/deployment.ts";
import { paidPerGas } from "../chain/fees.ts";
import { ChainRevertedError, readChain } from "../chain/revert.ts";
import type { TransactionSender } from "../chain/sender.ts";
import { TallystickError } from "../core/errors.ts";
import { cachedFor } from "../daemon/cached.ts";
import type { FailureLog } from "../daemon/failure-log.ts";
import type { Logger } from "../daemon/logger.ts";
import type { VerifierMetrics } from "./metrics.ts";
import { affordableFee } from "./profit.ts";

export type TransactionKind = "miss" | "dispute" | "close";

/** Something to send, once. */
export interface Errand {
  readonly kind: TransactionKind;
  /** Data set and epoch, for the log. */
  readonly dataSet: string;
  readonly epoch: number;
  readonly call: ContractCall;
  /** What it brings, in wei. */
  readonly worth: bigint;
  /** What must be left of that; negative: what may be lost. */
  readonly minimumProfit: bigint;
  /** Called once it is mined, with what it has cost in wei. */
  readonly onMined?: (costWei: bigint) => void;
}

export interface TransactionsOptions {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly logger: Logger;
  readonly failures: FailureLog;
  readonly metrics: VerifierMetrics;
}

/** Waited for at a time. */
const MAXIMUM_IN_FLIGHT = 16;
/** Blocks until an errand that was refused, did not pay or is done is looked at again. */
const PAUSE_BLOCKS = 10;
/** How long the price of gas is taken as it is. */
const PRICE_MILLISECONDS = 2000;
/** What any transaction uses at least. */
const LEAST_GAS = 21_000n;
/** Errands remembered; the oldest is looked at again early. */
const MAXIMUM_REMEMBERED = 20_000;

export class Transactions {
  readonly #options: TransactionsOptions;
  readonly #stopped = new AbortController();
  /** Until which block an errand rests. */
  readonly #resting = new Map<string, number>();
  readonly #inFlight = new Map<string, Promise<void>>();
  readonly #price: () => Promise<bigint>;
  /** Why errands were left, by kind: of each, the operator is told once. */
  readonly #toldCauses = new Set<string>();

  constructor(options: TransactionsOptions) {
    this.#options = options;
    this.#price = cachedFor(PRICE_MILLISECONDS, () => currentPrice(options.chain));
  }

  /** Whether another errand can be started now. */
  get hasRoom(): boolean {
    return !this.#stopped.signal.aborted && this.#inFlight.size < MAXIMUM_IN_FLIGHT;
  }

  /** Whether there is room for an errand, and it does not rest. */
  mayStart(errand: Pick<Errand, "kind" | "dataSet" | "epoch">, head: number): boolean {
    if (!this.hasRoom) return false;
    const key = keyOf(errand);
    return !this.#inFlight.has(key) && (this.#resting.get(key) ?? 0) <= head;
  }

  /** Whether one of a kind is waited for. */
  isSending(kind: TransactionKind): boolean {
    return [...this.#inFlight.keys()].some((key) => key.startsWith(`${kind} `));
  }

  /**
   * Sends an errand if it pays, and returns once that is decided. Refusals by the contract are not failures: another
   * was first, or the set has ended.
   * @throws TallystickError when the chain does not answer
   */
  async start(errand: Errand, head: number): Promise<void> {
    const { chain, sender } = this.#options;
    const { kind, dataSet, epoch, call, worth, minimumProfit } = errand;
    const key = keyOf(errand);
    const price = await this.#price();
    this.#rest(key, head + PAUSE_BLOCKS);
    // Small bounties cost the endpoint nothing further.
    if (affordableFee(worth, minimumProfit, LEAST_GAS) < price) return this.#leave(errand, LEAST_GAS, price);
    let gas: bigint;
    try {
      await simulateCall(chain, call, sender.address);
      gas = await readChain(`estimating ${call.description}`, () => estimateGas(chain, call, sender.address));
    } catch (error) {
      if (!(error instanceof ChainRevertedError)) throw error;
      const facts = { kind, dataSet, epoch, revert: error.revert.name };
      this.#tellOnce(`${kind} ${error.revert.name}`, facts, "not sent: the contract refuses");
      return;
    }
    const limit = affordableFee(worth, minimumProfit, gas);
    if (limit < price) return this.#leave(errand, gas, price);
    this.#inFlight.set(
      key,
      this.#send(errand, limit).finally(() => this.#inFlight.delete(key)),
    );
  }

  /** Stops waiting; what was sent may still be mined. */
  async close(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#inFlight.values());
  }

  #leave({ kind, dataSet, epoch, worth }: Errand, gas: bigint, price: bigint): void {
    const { metrics } = this.#options;
    metrics.unprofitable.inc({ kind });
    const amounts = { worth: String(worth), gas: String(gas), feePerGas: String(price) };
    this.#tellOnce(kind, { kind, dataSet, epoch, ...amounts }, "not sent: it does not pay for its gas");
  }

  /** The first of a cause is shown, further ones in the debug log: there may be one for every set and epoch. */
  #tellOnce(cause: string, facts: object, message: string): void {
    const { logger } = this.#options;
    if (this.#toldCauses.has(cause)) {
      logger.debug(facts, message);
      return;
    }
    this.#toldCauses.add(cause);
    logger.warn(facts, `${message}; further ones of this cause are logged at level debug`);
  }

  async #send(errand: Errand, maximumFeePerGas: bigint): Promise<void> {
    const { sender, metrics, logger, failures } = this.#options;
    const { kind, dataSet, epoch, call } = errand;
    const part = `transactions: ${kind}`;
    try {
      const receipt = await sender.send(call, this.#stopped.signal, { maximumFeePerGas });
      metrics.sent.inc({ kind });
      errand.onMined?.(receipt.fee);
      logger.info({ kind, dataSet, epoch, transaction: receipt.hash, costWei: String(receipt.fee) }, "mined");
      failures.succeeded(part);
    } catch (cause) {
      if (this.#stopped.signal.aborted) return;
      if (isOvertaken(cause)) logger.info({ kind, dataSet, epoch, err: cause }, "another was first");
      else failures.failed(part, cause, "a transaction was not mined");
    }
  }

  #rest(key: string, untilBlock: number): void {
    this.#resting.delete(key);
    this.#resting.set(key, untilBlock);
    for (const oldest of this.#resting.keys()) {
      if (this.#resting.size <= MAXIMUM_REMEMBERED) break;
      this.#resting.delete(oldest);
    }
  }
}

function keyOf({ kind, dataSet, epoch }: Pick<Errand, "kind" | "dataSet" | "epoch">): string {
  return `${kind} ${dataSet} ${epoch}`;
}

/** Refused by the contract, or fees have risen above what it brings. */
function isOvertaken(cause: unknown): boolean {
  return cause instanceof ChainRevertedError || (cause instanceof TallystickError && cause.check === "fee cap");
}

/** What a unit of gas costs now, tip included, in wei. */
async function currentPrice(chain: ChainReader): Promise<bigint> {
  const { maxFeePerGas, maxPriorityFeePerGas, gasPrice } = await readChain("reading the fees of the chain", () =>
    chain.provider.getFeeData(),
  );
  if (maxFeePerGas === null || maxPriorityFeePerGas === null) return gasPrice ?? 0n;
  return paidPerGas({ maxFeePerGas, maxPriorityFeePerGas });
}
