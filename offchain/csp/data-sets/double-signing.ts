/**
 * A user that signs two states under one version: the first is co-signed and recorded, and a request brings the other.
 * The provider refuses that one as any old version, keeps both signatures, and shows them to the escrow when the
 * penalty, which goes to its pool, is worth more than the gas. The set ends with it.
 *
 * An honest device proposes one state under a version, however often: what it repeats is the same state, and after a
 * retirement, which another number tells apart, the escrow punishes nothing.
 */

import { NATIVE_TOKEN, scheduleOf } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { encodeDoubleSigning, isOtherState, showDoubleSigningCall } from "../../chain/double-signing.ts";
import { readEscrowClock, readUserAccount } from "../../chain/escrow.ts";
import { quoteFee } from "../../chain/fee-limit.ts";
import { ChainRevertedError } from "../../chain/revert.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import { accrue, runwayEpochs } from "../../core/data-set/balance.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import type { UpdateRequest } from "../../core/wire/data-sets.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { AgreedSet, CosignedState, DataSetIndex, DataSetRow } from "../../store/index/data-set-index.ts";
import type { Standing } from "./chain-view.ts";
import { isSignedByKey } from "./state-signatures.ts";

export interface EvidenceParts {
  readonly chain: ChainReader;
  readonly rows: DataSetIndex;
  readonly logger: Logger;
}

/**
 * Keeps a request as evidence, if the key of the user has signed it and it is another state of a version than the known
 * one.
 */
export async function keepDoubleSigning(
  { chain: { deployment }, rows, logger }: EvidenceParts,
  row: DataSetRow,
  agreed: AgreedSet,
  known: CosignedState,
  request: UpdateRequest,
): Promise<void> {
  const { retirements, contentHash, userSignature } = request;
  const ranges = fromHex(request.ranges);
  const deadlineBlock = BigInt(request.deadlineBlock);
  const version = BigInt(request.version);
  const other = { version, ranges, contentHash, deadlineBlock, userSignature, providerSignature: "0x" };
  if (known.retirements !== retirements || !isOtherState(known, other)) return;
  // A contract wallet can deny both when they are shown, at the cost of whoever shows them.
  const isEvidence = [known, { ...request, version, ranges }].every((one) => isSignedByKey(deployment, agreed, one));
  if (!isEvidence) return;
  // Signatures of the provider are no part of it.
  const one = {
    version,
    ranges: known.ranges,
    contentHash: known.contentHash,
    deadlineBlock: BigInt(known.deadlineBlock),
    userSignature: known.userSignature,
    providerSignature: "0x",
  };
  const evidence = encodeDoubleSigning({ retirements, one, other });
  if (await rows.keepEvidence(row.id, evidence)) {
    logger.warn({ dataSet: agreed.id, version: String(version) }, "the user has signed two states under one version");
  }
}

export interface ShowingParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly rows: DataSetIndex;
  readonly logger: Logger;
}

/**
 * Shows what is kept of a set that runs without an end: of another one the user has paid the notice period already.
 * What the escrow refuses is not kept any longer.
 * @returns whether it was shown
 */
export async function showKeptEvidence(
  { chain, sender, rows, logger }: ShowingParts,
  { id, agreed, scheduled }: DataSetRow,
  { books, lastEpoch }: Standing,
  epoch: number,
): Promise<boolean> {
  if (agreed === undefined || scheduled === undefined) return false;
  if (books.status !== "running" || lastEpoch !== undefined) return false;
  const evidence = await rows.evidenceOf(id);
  if (evidence === undefined) return false;
  const { terms } = agreed;
  const call = showDoubleSigningCall(chain.deployment, { terms, schedule: scheduled.schedule }, terms.user, evidence);
  // As the escrow counts it: of the notice period, what the balance covers.
  const { noticeEpochs } = await readEscrowClock(chain);
  const account = accrue(await readUserAccount(chain, terms.token, terms.user), epoch);
  const epochs = Math.min(noticeEpochs, runwayEpochs(account));
  const penalty = lastLevel(scheduleOf(scheduled)).fee * BigInt(epochs);
  if (penalty === 0n) return false;
  try {
    if (terms.token === NATIVE_TOKEN && penalty <= (await quoteFee(chain, call, sender.address)).gasFee) return false;
    const { hash, gasUsed } = await sender.send(call);
    logger.warn(
      { dataSet: agreed.id, penalty: String(penalty), transactionHash: hash, gasUsed: String(gasUsed) },
      "showed that the user signed two states",
    );
    return true;
  } catch (error) {
    // The end of the set, or a retirement, was mined first.
    if (!(error instanceof ChainRevertedError)) throw error;
    await rows.dropEvidence(id);
    logger.warn({ dataSet: agreed.id, err: error }, "the escrow does not take the evidence of double signing");
    return false;
  }
}
