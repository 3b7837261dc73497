/**
 * The end of agreements. After the last window, or a breach, the daemon closes the agreement on chain, which credits
 * the rest of its collateral, and withdraws its credit. Each step reads the state on chain first, so it may be
 * interrupted anywhere.
 */
import type { ChainReader } from "../../chain/deployment.ts";
import { balanceOf, closeCall, readAgreement, withdrawCall } from "../../chain/escrow.ts";
import { ChainUnavailableError } from "../../chain/revert.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import { lastWindowEnd } from "../../core/agreement/epochs.ts";
import type { FailureLog } from "../../daemon/failure-log.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { AgreementIndex, AgreementRow } from "../../store/index/agreement-index.ts";

export interface SettlementParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly rows: AgreementIndex;
  readonly payoutAccount: string;
  readonly logger: Logger;
  readonly failures: FailureLog;
}

export class Settlement {
  readonly #parts: SettlementParts;
  /** Head block at which an agreement's status was last read. */
  readonly #lookedAt = new Map<bigint, number>();

  constructor(parts: SettlementParts) {
    this.#parts = parts;
  }

  /** Closes the agreements that have ended, then withdraws the credit. */
  async round(headBlock: number): Promise<void> {
    const { rows, failures } = this.#parts;
    const withUnproven = await rows.withUnprovenEpochs();
    for (const row of await rows.inState("active")) {
      const part = `settlement of ${row.id}`;
      try {
        await this.#windUp(row, headBlock, withUnproven.has(row.id));
        failures.succeeded(part);
      } catch (error) {
        failures.failed(part, error);
      }
    }
    await this.#withdraw();
  }

  async #windUp(row: AgreementRow, headBlock: number, hasUnproven: boolean): Promise<void> {
    const { chain, sender, rows, logger } = this.#parts;
    const over = headBlock >= lastWindowEnd(row) && row.nextEpoch >= row.epochs;
    // A breach is possible once an epoch was missed: from then on the status is read in every new block.
    if (!over && !(hasUnproven && headBlock > (this.#lookedAt.get(row.id) ?? -1))) return;
    const agreement = await readAgreement(chain, row.id);
    this.#lookedAt.set(row.id, headBlock);
    if (agreement?.status === "breached" || (agreement?.status === "active" && over)) {
      await sender.send(closeCall(chain.deployment, row.id));
    } else if (agreement?.status === "active") {
      return;
    } else if (agreement?.status !== "closed") {
      throw unexpectedStatus(row.id, agreement?.status);
    }
    await rows.end(row.id);
    this.#lookedAt.delete(row.id);
    logger.info({ agreement: String(row.id), breached: agreement?.status === "breached" }, "agreement ended");
  }

  /** Withdraws the credit in every token in which an agreement has ended. */
  async #withdraw(): Promise<void> {
    const { chain, sender, rows, payoutAccount, logger } = this.#parts;
    const unsettled = await rows.unsettled();
    for (const token of new Set(unsettled.map((row) => row.token))) {
      const creditWei = await balanceOf(chain, token, sender.address);
      if (creditWei > 0n) {
        const { hash } = await sender.send(withdrawCall(chain.deployment, token, payoutAccount));
        logger.info({ token, amount: String(creditWei), transactionHash: hash }, "earnings withdrawn");
      }
      await rows.settle(unsettled.filter((row) => row.token === token).map(({ id }) => id));
    }
  }
}

/**
 * An agreement that was accepted is active, breached or closed. Another answer comes from an endpoint that lags, or
 * from a chain that is being reorganised: the next round asks again.
 */
function unexpectedStatus(id: bigint, status: string | undefined): ChainUnavailableError {
  return new ChainUnavailableError(`reading the end of agreement ${id}`, {
    received: status ?? "no such agreement",
  });
}
