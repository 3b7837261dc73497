/**
 * What ends: chunks of slices that nobody can ask for any more, sets whose last epoch is over or whose user signed two
 * states, and money that is not locked. Each step reads the state on chain first, so it may be interrupted anywhere.
 *
 * A dispute that this provider has lost holds the settlement of its set, and with it fees and collateral, until it is
 * decided. Its author and verifiers gain by it, so they have an epoch for that; then the provider does. When it is the
 * miss that ends the set, nobody gains by deciding it soon, and all fees since go to the user: then the provider does
 * at once, and stops working for nothing.
 *
 * In mode `on-demand`, no proof settles an epoch. Earnings are settled and paid out every `settleEpochs` epochs, since
 * the gas of a settlement does not depend on how many epochs it settles.
 */

import { NATIVE_TOKEN, scheduleOf } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { readDispute, readEscrowClock, readPool } from "../../chain/escrow.ts";
import {
  closeDataSetCall,
  settleDataSetCall,
  upholdDisputeCall,
  withdrawCollateralCall,
} from "../../chain/escrow-calls.ts";
import { quoteFee } from "../../chain/fee-limit.ts";
import { REORGANISED_BLOCKS } from "../../chain/logs.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { sliceBytes } from "../../core/audit/field.ts";
import { epochOf } from "../../core/data-set/epochs.ts";
import { lastIndexOf, subtractRanges } from "../../core/data-set/ranges.ts";
import { feesBetween } from "../../core/data-set/schedule.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import type { FailureLog } from "../../daemon/failure-log.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";
import { type DataSetStreams, segmentStreams } from "../../store/index/data-set-streams.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import type { Segment } from "../../store/index/segment-index.ts";
import type { ChainView, Standing } from "./chain-view.ts";
import { collateralLock } from "./collateral.ts";
import { showKeptEvidence } from "./double-signing.ts";
import type { Locks } from "./locks.ts";
import type { TokenLimits } from "./offer.ts";
import { promisedCollateral } from "./promised-collateral.ts";

/** How long deposits are waited for. */
const POOL_SECONDS = 120;
/** Whole epochs behind the one in which a dispute was lost, for those who gain by having it decided. */
const UPHELD_AFTER_EPOCHS = 1;

export interface DataSetSettlementParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly index: Pick<ProviderIndex, "dataSets" | "segments">;
  readonly streams: DataSetStreams;
  readonly locks: Locks;
  readonly view: ChainView;
  readonly limitsOf: (token: string) => TokenLimits;
  readonly payoutAccount: string;
  /** Epochs of mode `on-demand` that are settled at once. */
  readonly settleEpochs: number;
  readonly logger: Logger;
  readonly failures: FailureLog;
}

export class DataSetSettlement {
  readonly #parts: DataSetSettlementParts;
  /** Epoch in which a set was last looked at. */
  readonly #lookedAt = new Map<number, number>();
  /** Head block at which a set was first seen to be breached. */
  readonly #breachedAt = new Map<number, number>();
  /** What was held of a set when its chunks were last freed. */
  readonly #held = new Map<number, string>();
  /** Epoch in which a set on demand was last settled. */
  readonly #settledIn = new Map<number, number>();
  /** Epoch in which a lost dispute of a set was last sent to be decided. */
  readonly #upheldIn = new Map<number, number>();
  /** Block from which on an open dispute can be decided that would end its set. */
  readonly #breachFrom = new Map<number, number>();
  /** Epoch in which a pool was last looked at, by token. */
  readonly #poolSeenIn = new Map<string, number>();
  /** Epoch of the last payout, by token. */
  readonly #paidOutIn = new Map<string, number>();

  constructor(parts: DataSetSettlementParts) {
    this.#parts = parts;
  }

  /** Looks at every set once per epoch, and when something happened to it; then withdraws. */
  async round(headBlock: number): Promise<void> {
    const { chain, index, view, failures } = this.#parts;
    const { epochBlocks } = await readEscrowClock(chain);
    const epoch = epochOf(epochBlocks, headBlock);
    const rows = await index.dataSets.inState("opening", "running");
    for (const row of rows) {
      const isChanged = view.takeChanged(row.id);
      const isDue =
        this.#breachedAt.has(row.id) || headBlock >= (this.#breachFrom.get(row.id) ?? Number.POSITIVE_INFINITY);
      if (!isChanged && this.#lookedAt.get(row.id) === epoch && !isDue) continue;
      const part = `settlement of data set ${row.agreed?.id ?? row.id}`;
      try {
        await this.#look(row, epoch, headBlock);
        this.#lookedAt.set(row.id, epoch);
        failures.succeeded(part);
      } catch (error) {
        failures.failed(part, error);
      }
    }
    await this.#withdraw(epoch, headBlock, rows);
  }

  async #look(known: DataSetRow, epoch: number, headBlock: number): Promise<void> {
    const { view } = this.#parts;
    const row = await view.refresh(known);
    const standing = await view.standingOf(row, epoch);
    if (standing === undefined) return;
    if (await this.#isOver(row, standing, epoch, headBlock)) return this.#end(row);
    if (await this.#showEvidence(row, standing, epoch)) return;
    // A dispute may be about an epoch that is over.
    if (standing.books.disputed) return await this.#upholdLost(row, standing, epoch, headBlock);
    this.#breachFrom.delete(row.id);
    await this.#settle(row, standing, epoch);
    // Before the states: what is included later is in one of them, and is not let go.
    const segments = await this.#parts.index.segments.ofDataSet(row.id);
    await this.#free(row, segments, await view.heldRanges(row, epoch));
  }

  /** What fails here keeps nothing else from being settled. @returns whether the set has ended by it */
  async #showEvidence(row: DataSetRow, standing: Standing, epoch: number): Promise<boolean> {
    const { chain, sender, index, logger, failures } = this.#parts;
    const part = `evidence against the user of data set ${row.agreed?.id ?? row.id}`;
    try {
      const isShown = await showKeptEvidence({ chain, sender, rows: index.dataSets, logger }, row, standing, epoch);
      failures.succeeded(part);
      return isShown;
    } catch (error) {
      failures.failed(part, error);
      return false;
    }
  }

  /** Closes a set whose last epoch is over. @returns whether nothing of it is needed any more */
  async #isOver(row: DataSetRow, { books, lastEpoch }: Standing, epoch: number, headBlock: number): Promise<boolean> {
    const { chain, sender } = this.#parts;
    const { agreed, scheduled } = row;
    if (books.status === "closed") return true;
    if (books.status === "breached") {
      // A reorganisation may undo the miss that led to it.
      const since = this.#breachedAt.get(row.id) ?? headBlock;
      this.#breachedAt.set(row.id, since);
      return headBlock >= since + REORGANISED_BLOCKS;
    }
    this.#breachedAt.delete(row.id);
    if (lastEpoch === undefined || epoch < lastEpoch + 2 || books.disputed) return false;
    if (agreed === undefined || scheduled === undefined) return false;
    await sender.send(closeDataSetCall(chain.deployment, { terms: agreed.terms, schedule: scheduled.schedule }));
    return true;
  }

  /** Has a dispute decided that was not answered in time, and that nobody else has had decided. */
  async #upholdLost(
    { id, agreed, scheduled }: DataSetRow,
    { books }: Standing,
    epoch: number,
    headBlock: number,
  ): Promise<void> {
    const { chain, sender, logger } = this.#parts;
    if (agreed === undefined || scheduled === undefined || this.#upheldIn.get(id) === epoch) return;
    const dispute = await readDispute(chain, agreed.id);
    if (dispute === undefined) return;
    const { terms, audit } = agreed;
    const { epochBlocks } = await readEscrowClock(chain);
    const lastBlock = dispute.challengeBlock + audit.windowBlocks + audit.graceBlocks;
    const endsSet = books.missed + 1 >= terms.breachLimit;
    if (endsSet) this.#breachFrom.set(id, lastBlock + 1);
    if (endsSet ? headBlock <= lastBlock : epoch <= epochOf(epochBlocks, lastBlock) + UPHELD_AFTER_EPOCHS) return;
    const { schedule } = scheduled;
    const { hash } = await sender.send(upholdDisputeCall(chain.deployment, { terms, audit, schedule }));
    this.#upheldIn.set(id, epoch);
    logger.warn({ dataSet: agreed.id, transactionHash: hash }, "a dispute that was lost is decided");
  }

  /** Settles what a set in mode `on-demand` has earned, when it is enough epochs and worth the gas. */
  async #settle({ id, agreed, scheduled }: DataSetRow, { books, lastEpoch }: Standing, epoch: number): Promise<void> {
    const { chain, sender, settleEpochs, logger } = this.#parts;
    if (agreed === undefined || scheduled === undefined || agreed.terms.mode !== "on-demand") return;
    // What ends is settled when it is closed; the outcome of the two newest epochs is open.
    const through = epoch - 2;
    if (lastEpoch !== undefined || through - books.settledThrough < settleEpochs) return;
    // An endpoint that is behind would have it sent again.
    if (this.#settledIn.get(id) === epoch) return;
    const { terms } = agreed;
    const earned = feesBetween(scheduleOf(scheduled), books.settledThrough, through);
    const call = settleDataSetCall(chain.deployment, { terms, schedule: scheduled.schedule });
    if (terms.token === NATIVE_TOKEN && earned <= (await quoteFee(chain, call, sender.address)).gasFee) return;
    const { hash, gasUsed } = await sender.send(call);
    this.#settledIn.set(id, epoch);
    logger.info(
      {
        dataSet: agreed.id,
        throughEpoch: through,
        earned: String(earned),
        transactionHash: hash,
        gasUsed: String(gasUsed),
      },
      "epochs settled",
    );
  }

  /**
   * Lets go of all that the set keeps; its row stays, so that its user can see what became of it. It counts as ended
   * last: after a crash, the next round goes on.
   */
  async #end(row: DataSetRow): Promise<void> {
    const { index, streams, logger } = this.#parts;
    for (const { id } of await index.segments.ofDataSet(row.id)) await index.segments.delete(id);
    await streams.remove(row.id);
    await index.dataSets.end(row.id);
    const known = [this.#lookedAt, this.#breachedAt, this.#held, this.#settledIn, this.#upheldIn, this.#breachFrom];
    for (const one of known) one.delete(row.id);
    logger.info({ dataSet: row.agreed?.id }, "data set ended");
  }

  /** Frees the chunks of included segments of which no slice is held. */
  async #free(row: DataSetRow, segments: readonly Segment[], held: readonly SliceRange[]): Promise<void> {
    const { streams, logger } = this.#parts;
    const included = segments.filter((segment) => segment.included);
    const key = JSON.stringify([held, included.map(({ id }) => id)]);
    if (this.#held.get(row.id) === key) return;
    for (const segment of included) {
      const whole = { firstIndex: segment.firstIndex, count: segment.sliceCount };
      const holes = subtractRanges([whole], held);
      let freed = 0;
      for (const hole of holes) freed += await this.#freeHole(row, segment, hole);
      const [only] = holes;
      if (only?.firstIndex === whole.firstIndex && only.count === whole.count) {
        // Its row first: a start takes what is missing behind it for lost.
        if (segment.tagsBytes > 0) await this.#parts.index.segments.setTags(segment.id, 0);
        for (const stream of segmentStreams(segment.id)) await streams.removeStream(row.id, stream);
      }
      if (freed > 0) logger.info({ dataSet: row.agreed?.id, segment: segment.id, chunks: freed }, "chunks freed");
    }
    this.#held.set(row.id, key);
  }

  #freeHole(row: DataSetRow, segment: Segment, hole: SliceRange): Promise<number> {
    const size = sliceBytes(row.sliceElements);
    const fromByte = (hole.firstIndex - segment.firstIndex) * size;
    const untilByte = Math.min((lastIndexOf(hole) + 1 - segment.firstIndex) * size, segment.dataBytes);
    return this.#parts.index.segments.freeChunks(segment.id, fromByte, untilByte);
  }

  /**
   * Pays out what is not locked and not kept for signed states and the next one: once per epoch, or every
   * `settleEpochs` epochs in a token in which all sets that run are in mode `on-demand`. A token that fails is tried
   * again.
   */
  async #withdraw(epoch: number, headBlock: number, rows: readonly DataSetRow[]): Promise<void> {
    const { index, failures, settleEpochs } = this.#parts;
    for (const token of await index.dataSets.tokens()) {
      if (this.#poolSeenIn.get(token) === epoch) continue;
      const modes = rows.flatMap(({ agreed }) =>
        agreed !== undefined && isAddressEqual(agreed.terms.token, token) ? [agreed.terms.mode] : [],
      );
      const isOnDemand = modes.length > 0 && modes.every((mode) => mode === "on-demand");
      const paidOutIn = this.#paidOutIn.get(token);
      if (isOnDemand && paidOutIn !== undefined && epoch < paidOutIn + settleEpochs) continue;
      const part = `earnings in ${token}`;
      try {
        if (await this.#withdrawToken(token, headBlock, rows)) this.#paidOutIn.set(token, epoch);
        this.#poolSeenIn.set(token, epoch);
        failures.succeeded(part);
      } catch (error) {
        failures.failed(part, error);
      }
    }
  }

  /** @returns whether there was something to pay out */
  async #withdrawToken(token: string, headBlock: number, rows: readonly DataSetRow[]): Promise<boolean> {
    const { chain, sender, index, locks, limitsOf, payoutAccount, logger } = this.#parts;
    return await locks.exclusively(collateralLock(token), POOL_SECONDS, async () => {
      const { total, locked } = await readPool(chain, token, sender.address);
      const promised = await promisedCollateral(index.dataSets, rows, token, headBlock);
      const amount = total - locked - promised - limitsOf(token).reserve;
      if (amount <= 0n) return false;
      const { hash } = await sender.send(withdrawCollateralCall(chain.deployment, token, payoutAccount, amount));
      logger.info({ currency: token, amount: String(amount), transactionHash: hash }, "earnings withdrawn");
      return true;
    });
  }
}
