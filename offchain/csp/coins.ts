/**
 * Whether the operator's account can pay for proofs. Without coins, a provider misses epochs and loses collateral, and
 * the first sign would be a proof that could not be sent. So the log says it before, once each time that it happens.
 */
import { formatEther } from "ethers";
import type { Logger } from "../daemon/logger.ts";

/** Of the transaction of a proof of 460 samples, rounded up. */
const PROOF_GAS = 450_000n;
/** Proofs of each data set that the account should be able to pay for at the fees of now. */
const PROOFS_AHEAD = 3n;

export interface CoinWatchParts {
  /** What the account has, in wei. */
  readonly balanceWei: () => Promise<bigint>;
  /** The most that a transaction of now would pay, in wei per unit of gas. */
  readonly feePerGas: () => Promise<bigint>;
  readonly runningDataSets: () => Promise<number>;
  readonly account: string;
  readonly logger: Pick<Logger, "warn" | "info">;
}

export class CoinWatch {
  readonly #parts: CoinWatchParts;
  #isLow = false;

  constructor(parts: CoinWatchParts) {
    this.#parts = parts;
  }

  /** Compares balance and need. @throws what the chain and the index throw */
  async round(): Promise<void> {
    const { account, logger } = this.#parts;
    const [balance, feePerGas, dataSets] = await Promise.all([
      this.#parts.balanceWei(),
      this.#parts.feePerGas(),
      this.#parts.runningDataSets(),
    ]);
    // Without a data set it needs coins all the same, to open the first one.
    const needed = PROOF_GAS * PROOFS_AHEAD * feePerGas * BigInt(Math.max(dataSets, 1));
    const facts = { account, balanceEther: formatEther(balance), neededEther: formatEther(needed), dataSets };
    if (!this.#isLow && balance < needed) {
      this.#isLow = true;
      logger.warn(facts, "ACCOUNT LOW ON COINS: it cannot pay for the next proofs; send coins to it");
      // Fees go up and down: only a balance well above what is needed ends it.
    } else if (this.#isLow && balance >= 2n * needed) {
      this.#isLow = false;
      logger.info(facts, "the account can pay for proofs again");
    }
  }
}
