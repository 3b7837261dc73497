/**
 * Watches the balances that sets are paid from, and warns of sets that end or will soon. Balances are read once per
 * epoch, and when an event may have changed them; a withdrawal is noticed in the next epoch. All that one round reads
 * is of one block, and what it says replaces what was said before: a block that was replaced, or an endpoint that
 * lagged, may have shown a balance to be used up that is not.
 */

import type { ChainReader } from "../chain/deployment.ts";
import { type EscrowClock, readBooks, readEndEpoch, readUserAccount } from "../chain/escrow.ts";
import { readHeadNumber } from "../chain/head.ts";
import { type AccruedAccount, accrue } from "../core/data-set/balance.ts";
import { epochOf } from "../core/data-set/epochs.ts";
import type { Logger } from "../daemon/logger.ts";
import { epochsBeyondNotice, warningOf } from "./runway.ts";
import type { SetRecord, SetRecords } from "./set-records.ts";

export interface OwnerWatchOptions {
  readonly chain: ChainReader;
  readonly records: SetRecords;
  readonly clock: EscrowClock;
  readonly warningEpochs: number;
  readonly logger: Logger;
}

/** Reads of one round; others wait for the next one. */
const READS_PER_ROUND = 100;

export class OwnerWatch {
  readonly #options: OwnerWatchOptions;

  constructor(options: OwnerWatchOptions) {
    this.#options = options;
  }

  /**
   * @param head last block whose events are known
   * @returns whether nothing was left for another round
   * @throws ChainUnavailableError
   */
  async round(head: number): Promise<boolean> {
    const { chain, records, clock } = this.#options;
    const at = await readHeadNumber(chain);
    // The endpoint that answers now does not have what the events are about.
    if (at < head) return false;
    const opened = records.withoutGeneration(READS_PER_ROUND);
    for (const id of opened) {
      const books = await readBooks(chain, id, at);
      if (books !== undefined) records.setGeneration(id, books.generation);
    }
    const epoch = epochOf(clock.epochBlocks, at);
    const stale = records.staleAccounts(epoch, READS_PER_ROUND);
    for (const { token, user } of stale) {
      const account: AccruedAccount = accrue(await readUserAccount(chain, token, user, at), epoch);
      for (const set of records.setsOf(token, user)) {
        const exhausted = await this.#exhaustedAt(set, account, at);
        if (set.exhaustedEpoch !== exhausted) records.setEnd(set.id, exhausted);
        this.#warn(set, { account, lastEpoch: set.noticedEpoch ?? exhausted, currentEpoch: epoch });
      }
      records.setAccount(token, user, account, epoch);
    }
    return opened.length < READS_PER_ROUND && stale.length < READS_PER_ROUND;
  }

  /** Last epoch of a set whose balance was used up. */
  async #exhaustedAt(
    { terms, generation, noticedEpoch }: SetRecord,
    account: AccruedAccount,
    at: number,
  ): Promise<number | undefined> {
    if (noticedEpoch !== undefined) return undefined;
    if (generation === undefined || generation >= account.generation) return undefined;
    const written = await readEndEpoch(this.#options.chain, terms.token, terms.user, generation, at);
    const end = written ?? account.endEpoch;
    return end === undefined ? undefined : end - 1;
  }

  #warn(set: SetRecord, outlook: Parameters<typeof warningOf>[0]): void {
    const { records, clock, warningEpochs, logger } = this.#options;
    const { noticeEpochs } = clock;
    const warning = warningOf(outlook, { noticeEpochs, warningEpochs });
    if (warning === set.warning) return;
    records.setWarning(set.id, warning);
    if (warning === undefined) return;
    const { account, lastEpoch } = outlook;
    const beyondNotice = account === undefined ? Number.POSITIVE_INFINITY : epochsBeyondNotice(account, noticeEpochs);
    const facts = lastEpoch === undefined ? { epochsBeyondNotice: beyondNotice } : { lastEpoch };
    const { user, provider } = set.terms;
    logger.warn({ dataSet: set.id, user, provider, warning, ...facts }, MESSAGES[warning]);
  }
}

const MESSAGES = {
  runway: "DATA SET RUNS OUT OF MONEY SOON",
  notice: "DATA SET WAS GIVEN NOTICE",
  ended: "DATA SET HAS ENDED",
} as const;
