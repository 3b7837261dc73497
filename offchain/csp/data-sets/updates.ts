/**
 * States of data sets. A state that the user signed is held against everything that the provider commits to by signing
 * it too; then it is signed, made durable, sent, and answered. A state that is durable and not on chain is sent again
 * until it is mined, superseded or expired, also after a crash; but no more states are sent in an epoch than
 * `state-rate.ts` says, and none that a contract wallet has signed (`state-signatures.ts`). A delegate of the user
 * signs as far as `delegate-states.ts` says. No version is ever signed twice; a user that does so is told on
 * (`double-signing.ts`).
 */

import type { Wallet } from "ethers";
import type { ContractCall } from "../../chain/contract-call.ts";
import { simulateCall } from "../../chain/contract-call.ts";
import { scheduleOf } from "../../chain/data-set-words.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { readEscrowClock } from "../../chain/escrow.ts";
import { openDataSetCall, updateDataSetCall } from "../../chain/escrow-calls.ts";
import { parseDataSetLog } from "../../chain/escrow-events.ts";
import { readHeadNumber } from "../../chain/head.ts";
import { REORGANISED_BLOCKS } from "../../chain/logs.ts";
import { ChainRevertedError } from "../../chain/revert.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { epochOf } from "../../core/data-set/epochs.ts";
import { feeOf } from "../../core/data-set/fee.ts";
import { requireTermsKeepDataSetOffer } from "../../core/data-set/offer.ts";
import { decodeLiveRanges, lastIndexOf } from "../../core/data-set/ranges.ts";
import { type DataSetAuditTerms, type DataSetTerms, dataSetId } from "../../core/data-set/terms.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { OpenDataSetRequest, UpdateAnswer, UpdateRequest } from "../../core/wire/data-sets.ts";
import { checksumAddress, type SignatureCheck } from "../../daemon/account-signature.ts";
import type { FailureLog } from "../../daemon/failure-log.ts";
import type { AgreedSet, CosignedState, DataSetRow } from "../../store/index/data-set-index.ts";
import { type ProvingCapacity, provingMilliseconds } from "./capacity.ts";
import type { ChainView } from "./chain-view.ts";
import type { Collateral } from "./collateral.ts";
import { type DataSetParts, type DataSetService, requireNotEnded } from "./data-sets.ts";
import { isSendable, requireSignedForUser } from "./delegate-states.ts";
import { keepDoubleSigning } from "./double-signing.ts";
import type { CountedSegment } from "./slice-pieces.ts";
import {
  balanceTooLow,
  beforeOf,
  extentOf,
  LEAST_DEADLINE_BLOCKS,
  type Proposal,
  requireBalance,
  requireContent,
  requireDeadline,
  requireFollowing,
  requireRunning,
  requireVersion,
  staleVersion,
} from "./state-checks.ts";
import {
  epochPlaceOf,
  requireSendable,
  type StateLimits,
  sendingLimit,
  sentByBlock,
  tooManyStates,
} from "./state-rate.ts";
import { stateTypedData } from "./state-signatures.ts";

/** How long a request waits for another one about the same set, and for its transaction to be mined. */
const LOCK_SECONDS = 25;
/** How often collateral is deposited for a state, of which others may take it. */
const DEPOSIT_ATTEMPTS = 5;
/** Until a state that could not be sent is sent again. */
const RETRY_SECONDS = 15;
/** Sets whose states are sent again at a time. */
const RESENT_AT_ONCE = 32;

export interface UpdateParts extends DataSetParts {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  /** Signs states. */
  readonly signer: Wallet;
  readonly checkSignature: SignatureCheck;
  readonly sets: DataSetService;
  readonly view: ChainView;
  readonly capacity: ProvingCapacity;
  readonly collateral: Collateral;
  readonly failures: FailureLog;
  readonly limits: StateLimits;
  /** How long an answer waits for the transaction. */
  readonly minedSeconds: number;
}

interface Recorded {
  readonly row: DataSetRow;
  readonly id: string;
  readonly state: CosignedState;
}

/** What became of a state: it was mined, waits for the end of the epoch, or neither: its user may send it. */
type Sent = Pick<UpdateAnswer, "transaction" | "waitsUntilBlock">;

/** The lock of a set's states. */
const stateLock = (id: number): string => `state of data set ${id}`;
/** The part of the failure log. */
const statesOf = (id: number): string => `states of data set ${id}`;

export class UpdateService {
  readonly #parts: UpdateParts;
  /** Requests under way; a repeated one waits for the first. */
  readonly #underWay = new Map<string, Promise<UpdateAnswer>>();
  /** When states of a set may be sent again, in milliseconds. */
  readonly #notBefore = new Map<number, number>();
  /** Epoch in which what is reserved for a set was last looked at. */
  readonly #reservedIn = new Map<number, number>();
  readonly #stop = new AbortController();

  constructor(parts: UpdateParts) {
    this.#parts = parts;
  }

  /**
   * Opens a data set with its first state.
   * @throws BelowDataSetOfferError, and as `update`
   */
  async open(account: string, saltHex: string, { terms, audit, first }: OpenDataSetRequest): Promise<UpdateAnswer> {
    return this.#answer(account, saltHex, first, { terms: readTerms(terms), audit: readAudit(audit) });
  }

  /**
   * Signs, records and sends the next state.
   * @throws InvalidInputError for ranges that do not follow, another content hash, a deadline out of bounds, a fee
   *   above the cap; InvalidSignatureError; TallystickError NOT_FOUND, CONFLICT (version, retirements, segments that
   *   are not verified, a set that ends, the user's balance), RATE_LIMITED (capacity, collateral, states in an
   *   epoch), OBJECT_LOST,
   *   CHAIN_REVERTED, CHAIN_UNAVAILABLE
   */
  async update(account: string, saltHex: string, request: UpdateRequest): Promise<UpdateAnswer> {
    return this.#answer(account, saltHex, request, undefined);
  }

  async #answer(
    account: string,
    saltHex: string,
    request: UpdateRequest,
    opened: { readonly terms: DataSetTerms; readonly audit: DataSetAuditTerms } | undefined,
  ): Promise<UpdateAnswer> {
    const { id } = await this.#parts.sets.require(account, saltHex);
    const { userSignature: _, ...asked } = request;
    const { chainId, contracts } = this.#parts.chain.deployment;
    const chainSet = opened && dataSetId(BigInt(chainId), contracts.storageEscrow, opened.terms);
    const key = JSON.stringify([id, asked, chainSet]);
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    const answering = this.#perform(id, request, opened).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, answering);
    return answering;
  }

  /**
   * Answers once the state is mined, or without its transaction: later than that, or when it waits for the end of the
   * epoch. The lock is kept until the end.
   */
  #perform(
    id: number,
    request: UpdateRequest,
    opened: { readonly terms: DataSetTerms; readonly audit: DataSetAuditTerms } | undefined,
  ): Promise<UpdateAnswer> {
    const { locks, failures, minedSeconds } = this.#parts;
    return new Promise<UpdateAnswer>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const work = locks.exclusively(stateLock(id), LOCK_SECONDS, async () => {
        const recorded = await this.#record(id, request, opened);
        timer = setTimeout(() => resolve(answerOf(recorded, {})), minedSeconds * 1000);
        try {
          const { transaction } = recorded.state;
          resolve(answerOf(recorded, transaction === undefined ? await this.#send(recorded) : { transaction }));
        } catch (error) {
          // The user may send it itself; `resend` tries again.
          failures.failed(statesOf(id), error);
          resolve(answerOf(recorded, {}));
        }
      });
      work.catch(reject).finally(() => clearTimeout(timer));
    });
  }

  /** Checks a state, signs it and makes it durable, unless that was done before. */
  async #record(
    id: number,
    request: UpdateRequest,
    opened: { readonly terms: DataSetTerms; readonly audit: DataSetAuditTerms } | undefined,
  ): Promise<Recorded> {
    const { chain, signer, sets, view, index, capacity, limits, logger } = this.#parts;
    const found = await sets.rows.find(id);
    if (found === undefined) throw gone();
    requireNotEnded(found);
    const row = await view.refresh(found);
    const head = await readHeadNumber(chain);
    const { epochBlocks } = await readEscrowClock(chain);
    // The state is mined in a later block.
    const place = epochPlaceOf(epochBlocks, head + 1);
    const { epoch } = place;
    const agreed = opened === undefined ? requireOpened(row) : this.#agree(row, opened, head);
    const version = BigInt(request.version);
    const packed = fromHex(request.ranges);
    const known = (await sets.rows.statesOf(id)).find((state) => state.version === version);
    if (known !== undefined && isSame(known, request) && row.agreed?.id === agreed.id) {
      return { row, id: agreed.id, state: known };
    }
    if (known !== undefined && row.agreed?.id === agreed.id) {
      const parts = { chain, rows: sets.rows, logger };
      await keepDoubleSigning(parts, row, agreed, known, request);
    }
    if (opened !== undefined && row.scheduled !== undefined) throw isOpen(agreed.id);
    const before = beforeOf(row.scheduled);
    const ranges = decodeLiveRanges(packed);
    const proposal = { row, agreed, before, request, version, packed, ranges, epoch };
    requireVersion(proposal);
    requireDeadline(request.deadlineBlock, head, epochBlocks);
    const { signed, sent } = await index.dataSets.rates(id, epoch);
    // Before the chain is asked and collateral deposited; it is counted where the state is recorded.
    if (signed >= limits.statesPerEpoch) throw tooManyStates(limits, place, await capacity.blockSeconds());
    requireSendable(limits, place, sent, request.deadlineBlock, LEAST_DEADLINE_BLOCKS);
    await requireRunning(this.#parts, proposal);
    await requireFollowing(this.#parts, proposal);
    const segments = await requireContent(this.#parts, proposal);
    const { sliceCount, highestIndex } = extentOf(ranges, before.highestIndex);
    const fee = feeOf(agreed.terms, sliceCount, highestIndex);
    await requireBalance(this.#parts, proposal, fee);
    const typed = stateTypedData(chain.deployment, agreed.id, stateOf(proposal));
    await requireSignedForUser(this.#parts, proposal, typed, fee);
    const included = (await index.segments.ofDataSet(id)).filter((segment) => segment.included);
    const counted = [...included, ...segments.filter((segment) => !segment.included)];
    const milliseconds = Math.max(
      provingMilliseconds({ ...agreed.audit, sliceCount, highestIndex, segments: counted }),
      // What was promised before may still be asked for.
      reservedMilliseconds(row, await index.dataSets.statesOf(id), counted, epoch),
    );
    const requireRoom = await capacity.roomFor(id, agreed.terms.mode, row.phase, milliseconds);
    // Before anything is paid for; it is reserved where the state is recorded.
    requireRoom(await index.dataSets.loads());
    await this.#simulate(this.#callOf(row, agreed, stateOf(proposal)), agreed.terms.token);
    const providerSignature = await signer.signTypedData(typed.domain, typed.types, { ...typed.message });
    const state = { ...stateOf(proposal), providerSignature };
    const context = {
      segments: segments.map((segment) => segment.id),
      provingMilliseconds: milliseconds,
      requireRoom,
      rate: { epoch, limit: limits.statesPerEpoch },
      ...(opened === undefined ? {} : { agreed }),
    };
    const outcome = await index.dataSets.recordState(id, state, context);
    if (outcome === "stale") throw staleVersion(version, undefined);
    if (outcome === "too-many") throw tooManyStates(limits, place, await capacity.blockSeconds());
    return { row, id: agreed.id, state };
  }

  /** The terms of a set that is to be opened. */
  #agree(
    row: DataSetRow,
    { terms, audit }: { readonly terms: DataSetTerms; readonly audit: DataSetAuditTerms },
    headBlock: number,
  ): AgreedSet {
    const { chain, options } = this.#parts;
    requireTermsKeepDataSetOffer(options.offer, { terms, audit }, row.phase);
    const facts = {
      user: [row.account, terms.user],
      "audit key hash": [toHex(row.auditKeyHash), audit.keyHash],
      salt: [toHex(row.salt), audit.salt],
      "slice size": [String(row.sliceElements), String(audit.sliceElements)],
    };
    for (const [check, [expected = "", received = ""]] of Object.entries(facts)) {
      if (expected === received) continue;
      throw new InvalidInputError(`the terms are not about this data set: ${check}`, {
        party: "client",
        check,
        expected,
        received,
      });
    }
    const { chainId, contracts, deployedAtBlock } = chain.deployment;
    const id = dataSetId(BigInt(chainId), contracts.storageEscrow, terms);
    if (row.agreed !== undefined && row.agreed.id !== id) {
      throw new TallystickError("the data set is being opened on other terms", {
        code: "CONFLICT",
        party: "client",
        check: "terms",
        expected: row.agreed.id,
        received: id,
        hint: "open it on the same terms, or wait until the state that was signed has expired",
      });
    }
    const fromBlock = row.agreed?.fromBlock ?? Math.max(deployedAtBlock, headBlock - REORGANISED_BLOCKS);
    return { id, terms, audit, fromBlock };
  }

  /**
   * Simulates a state, and deposits the collateral that is all it lacks: the escrow looks at the pool last. States that
   * were signed at the same time may lock what was deposited for this one.
   */
  async #simulate(call: ContractCall, token: string): Promise<void> {
    const { chain, sender, collateral } = this.#parts;
    for (let attempt = 1; ; attempt++) {
      try {
        await simulateCall(chain, call, sender.address);
        return;
      } catch (error) {
        if (!(error instanceof ChainRevertedError)) throw error;
        const { name, args } = error.revert;
        if (name === "BalanceTooLow")
          throw balanceTooLow(String(args.token), BigInt(String(args.required)), BigInt(String(args.available)));
        if (name !== "CollateralTooLow") throw error;
        if (attempt === DEPOSIT_ATTEMPTS) throw collateralTaken(error);
        await collateral.raiseTo(token, BigInt(String(args.locked)));
      }
    }
  }

  /** The transaction for a state. This provider sends it, so its own signature is not needed. */
  #callOf({ scheduled }: DataSetRow, { terms, audit }: AgreedSet, state: CosignedState): ContractCall {
    const { deployment } = this.#parts.chain;
    const signed = { ...state, deadlineBlock: BigInt(state.deadlineBlock), providerSignature: "0x" };
    if (scheduled === undefined) return openDataSetCall(deployment, terms, audit, signed);
    return updateDataSetCall(deployment, { terms, ...scheduled }, signed);
  }

  async #send({ row, state }: Recorded): Promise<Sent> {
    const { chain, sender, index, view, collateral, limits, logger } = this.#parts;
    // It may have been opened by this very state, or another one been mined, since the row was read.
    const current = await view.refresh((await index.dataSets.find(row.id)) ?? row);
    const { agreed } = current;
    if (agreed === undefined) throw gone();
    if (!(await isSendable(chain, agreed, state, current.scheduled !== undefined))) return {};
    const call = this.#callOf(current, agreed, state);
    const head = await readHeadNumber(chain);
    const place = epochPlaceOf((await readEscrowClock(chain)).epochBlocks, head + 1);
    const sending = { epoch: place.epoch, limit: sendingLimit(limits, place), version: state.version };
    if (!(await index.dataSets.takeSending(row.id, sending))) {
      const { sent } = await index.dataSets.rates(row.id, place.epoch);
      return { waitsUntilBlock: sentByBlock(limits, place, sent, LEAST_DEADLINE_BLOCKS) };
    }
    const send = () =>
      sender.send(call, this.#stop.signal).catch(async (error: unknown) => {
        const hasCost = error instanceof ChainRevertedError && error.details?.transactionHash !== undefined;
        if (hasCost) await index.dataSets.countSendingAgain(row.id);
        throw error;
      });
    const receipt = await send().catch(async (error: unknown) => {
      if (!(error instanceof ChainRevertedError) || error.revert.name !== "CollateralTooLow") throw error;
      await collateral.raiseTo(agreed.terms.token, BigInt(String(error.revert.args.locked)));
      return await send();
    });
    const mined = { hash: receipt.hash, blockNumber: receipt.blockNumber };
    await index.dataSets.setMined(row.id, state.version, mined);
    const event = receipt.logs
      .map((log) => parseDataSetLog(log))
      .find((one) => one?.kind === "DataSetScheduled" && one.id === agreed.id);
    if (event?.kind === "DataSetScheduled") await view.store(current, event);
    logger.info({ dataSet: agreed.id, version: String(state.version), ...mined }, "state of a data set mined");
    return { transaction: mined };
  }

  /** Sends states again that are signed and not on chain, and forgets those that cannot reach it any more. */
  async resend(headBlock: number): Promise<void> {
    const { chain, index } = this.#parts;
    const { epochBlocks } = await readEscrowClock(chain);
    // Side by side: each waits until its transaction is mined, and many may be due before one epoch ends.
    const rows = (await index.dataSets.inState("opening", "running")).values();
    const sendRest = async () => {
      for (const row of rows) {
        if (this.#stop.signal.aborted) return;
        await this.#resendOf(row, epochOf(epochBlocks, headBlock), headBlock);
      }
    };
    await Promise.all(Array.from({ length: RESENT_AT_ONCE }, sendRest));
  }

  /** Never rejects. */
  async #resendOf(known: DataSetRow, epoch: number, headBlock: number): Promise<void> {
    const { locks, failures } = this.#parts;
    const { id } = known;
    if (locks.isBusy(stateLock(id))) return;
    if (performance.now() < (this.#notBefore.get(id) ?? 0)) return;
    try {
      await this.#settleStates(known, epoch, headBlock);
      this.#notBefore.delete(id);
      failures.succeeded(statesOf(id));
    } catch (error) {
      this.#notBefore.set(id, performance.now() + RETRY_SECONDS * 1000);
      failures.failed(statesOf(id), error);
    }
  }

  async #settleStates({ id, state }: DataSetRow, epoch: number, headBlock: number): Promise<void> {
    const { index, view, locks } = this.#parts;
    const isLookedAt = state === "running" && this.#reservedIn.get(id) === epoch;
    if (isLookedAt && (await index.dataSets.statesOf(id)).length === 0) return;
    await locks.exclusively(stateLock(id), 0, async () => {
      const found = await index.dataSets.find(id);
      if (found === undefined) return;
      const row = await view.refresh(found);
      const { schedule } = beforeOf(row.scheduled);
      const states = await index.dataSets.statesOf(id);
      const isDeep = (block: number | undefined) => block !== undefined && block + REORGANISED_BLOCKS < headBlock;
      const finalVersion = isDeep(row.scheduled?.blockNumber)
        ? schedule?.version
        : states.findLast(({ transaction }) => isDeep(transaction?.blockNumber))?.version;
      const isOnChain = (state: CosignedState) =>
        schedule !== undefined && (state.version <= schedule.version || state.retirements < schedule.retirements);
      const isOver = (state: CosignedState) => {
        if (isOnChain(state) && state.version <= (finalVersion ?? 0n)) return true;
        return isDeep(state.deadlineBlock) && (!isOnChain(state) || isDeep(row.scheduled?.blockNumber));
      };
      await this.#forget(row, states, isOver);
      if (row.state === "running") await this.#lowerReservation(row, epoch);
      const next = states.findLast((state) => !isOnChain(state) && state.deadlineBlock > headBlock);
      if (next !== undefined && row.agreed !== undefined) await this.#send({ row, id: row.agreed.id, state: next });
    });
  }

  async #forget(
    row: DataSetRow,
    states: readonly CosignedState[],
    isOver: (state: CosignedState) => boolean,
  ): Promise<void> {
    const { index, logger, now } = this.#parts;
    const { dataSets, segments } = index;
    const over = states.filter(isOver);
    const isAbandoned = row.state === "opening" && over.length === states.length;
    if (over.length === 0 && !isAbandoned) return;
    const left = states.filter((state) => !isOver(state));
    const { highestIndex } = beforeOf(row.scheduled);
    const lists = left.map(({ ranges }) => decodeLiveRanges(ranges));
    const included = (await segments.ofDataSet(row.id)).filter((segment) => {
      const last = segment.firstIndex + segment.sliceCount - 1;
      const isNamed = (list: SliceRange[]) =>
        list.some((range) => range.firstIndex <= last && segment.firstIndex <= lastIndexOf(range));
      return segment.included && (segment.firstIndex <= highestIndex || lists.some(isNamed));
    });
    await dataSets.forgetStates(
      row.id,
      over.map(({ version }) => version),
      { included: included.map(({ id }) => id), ...(isAbandoned ? { abandonedAt: now() } : {}) },
    );
    if (isAbandoned) logger.info({ dataSet: row.agreed?.id }, "no signed state can open the data set any more");
  }

  /** Reserves no more than what may still be asked for. */
  async #lowerReservation(row: DataSetRow, epoch: number): Promise<void> {
    const { dataSets, segments } = this.#parts.index;
    const included = (await segments.ofDataSet(row.id)).filter((segment) => segment.included);
    const milliseconds = reservedMilliseconds(row, await dataSets.statesOf(row.id), included, epoch);
    if (milliseconds < row.provingMilliseconds)
      await dataSets.lowerReservation(row.id, milliseconds, row.signedVersion);
    this.#reservedIn.set(row.id, epoch);
  }

  /** Stops waiting for transactions; the next start finds what became of them. */
  close(): void {
    this.#stop.abort();
  }
}

/** Time of the most expensive proof that may be asked for: of the levels that are not over, and of signed states. */
function reservedMilliseconds(
  { agreed, scheduled }: DataSetRow,
  states: readonly CosignedState[],
  segments: readonly CountedSegment[],
  epoch: number,
): number {
  if (agreed === undefined) return 0;
  const { levels } = scheduled === undefined ? { levels: [] } : scheduleOf(scheduled);
  const { highestIndex } = beforeOf(scheduled);
  const kept = levels.filter((_, k) => (levels[k + 1]?.fromEpoch ?? Number.POSITIVE_INFINITY) > epoch);
  const signed = states.map(({ ranges }) => extentOf(decodeLiveRanges(ranges), highestIndex));
  const times = [...kept, ...signed]
    .filter(({ sliceCount }) => sliceCount > 0)
    .map((each) => provingMilliseconds({ ...agreed.audit, ...each, segments }));
  return Math.max(0, ...times);
}

function stateOf({ version, request, packed }: Proposal): CosignedState {
  const { retirements, contentHash, deadlineBlock, userSignature } = request;
  return {
    version,
    retirements,
    ranges: packed,
    contentHash,
    deadlineBlock,
    userSignature,
    providerSignature: "0x",
    transaction: undefined,
  };
}

function isSame(state: CosignedState, request: UpdateRequest): boolean {
  return (
    toHex(state.ranges) === request.ranges &&
    state.contentHash === request.contentHash &&
    state.deadlineBlock === request.deadlineBlock &&
    state.retirements === request.retirements
  );
}

function answerOf({ id, state }: Recorded, sent: Sent): UpdateAnswer {
  return { id, version: String(state.version), providerSignature: state.providerSignature, ...sent };
}

function readTerms(text: OpenDataSetRequest["terms"]): DataSetTerms {
  return {
    ...text,
    user: checksumAddress(text.user, "user"),
    provider: checksumAddress(text.provider, "provider"),
    token: checksumAddress(text.token, "token"),
    feeFloor: BigInt(text.feeFloor),
    feePerSlice: BigInt(text.feePerSlice),
    feePerIndex: BigInt(text.feePerIndex),
    feeCap: BigInt(text.feeCap),
  };
}

function readAudit(text: OpenDataSetRequest["audit"]): DataSetAuditTerms {
  return {
    ...text,
    randomness: checksumAddress(text.randomness, "randomness"),
    verifier: checksumAddress(text.verifier, "verifier"),
    disputeBond: BigInt(text.disputeBond),
  };
}

/** @throws TallystickError CONFLICT for a set that is not on chain */
function requireOpened({ agreed, scheduled, state }: DataSetRow): AgreedSet {
  if (agreed !== undefined && scheduled !== undefined) return agreed;
  throw new TallystickError("the data set is not open yet", {
    code: "CONFLICT",
    party: "client",
    check: "state of the data set",
    expected: "running",
    received: state,
    hint: "open it first",
  });
}

function isOpen(id: string): TallystickError {
  return new TallystickError("the data set is open already", {
    code: "CONFLICT",
    party: "client",
    check: "state of the data set",
    received: id,
    hint: "send an update",
  });
}

/** @throws InvalidInputError unless there is time to send the state, and it does not bind the provider for long */
function collateralTaken(cause: ChainRevertedError): TallystickError {
  return new TallystickError("other data sets lock collateral faster than it is deposited", {
    code: "RATE_LIMITED",
    party: "provider",
    check: "collateral",
    hint: "propose the same state again",
    retryable: true,
    retryAfterSeconds: 10,
    cause,
  });
}

function gone(): TallystickError {
  return new TallystickError("there is no such data set", { code: "NOT_FOUND", party: "client", check: "salt" });
}
