/**
 * A put's way to one provider: what it adds to this device's data set there. Opened before anything is stored; tags are
 * made while it is stored; the provider has them checked while the key record is mined; then both parties sign the next
 * state of the set, and one of them sends it. Every step is saved before it is taken.
 *
 * `openDataSetLane` and `tagger` need no lock. `deliver` and `commit` are called under the lock of the home (`context.
 * exclusive`), one after the other: two commands must not sign states of one set side by side.
 */

import { equalBytes } from "#primitives";
import { readEscrowClock } from "../../chain/escrow.ts";
import { readHeadNumber } from "../../chain/head.ts";
import type { SliceRange } from "../../core/audit/challenge.ts";
import { feeOf } from "../../core/data-set/fee.ts";
import { decodeLiveRanges, encodeLiveRanges } from "../../core/data-set/ranges.ts";
import { lastLevel } from "../../core/data-set/schedule.ts";
import { TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import type { DataSetOffer } from "../../core/wire/data-sets.ts";
import type { AgentContext } from "../context.ts";
import type { DataSetKeeper } from "../providers/storage-provider.ts";
import type { ObjectSource } from "../read/object-source.ts";
import { type AgreeingParts, agreeTerms, freshFacts } from "./agreeing.ts";
import { carryOntoChain, stateTypedData } from "./co-signing.ts";
import {
  BY_ITSELF,
  type Compaction,
  findInterrupted,
  goneOf,
  inBoth,
  needsCompaction,
  type SurveySubject,
  surveyCompaction,
  tagAgain,
} from "./compaction.ts";
import { deliverWanted } from "./deliver-wanted.ts";
import { type FollowedDataSet, follow, isPendingNow } from "./following.ts";
import { fund, type StateCost } from "./funding.ts";
import type { JournaledDataSet, JournaledSegment, LeftSlices, SignedByDevice } from "./journal.ts";
import { type DataSetKeys, dataSetKeys } from "./keys.ts";
import { endedMeanwhile, requireNewest, requireRelied, requireWithinLimit } from "./lane-checks.ts";
import { type DataSetListener, type DataSetReport, reportOf, tell } from "./lane-report.ts";
import { goneIds, retirableSlices } from "./needed-slices.ts";
import { factsOfSigned, type NextState, nextState, sumOf } from "./next-state.ts";
import { givenSet, ownSet, removeAbandoned } from "./own-set.ts";
import { requireSafeRandomness } from "./randomness-policy.ts";
import { SegmentTagger } from "./segment-tagger.ts";
import {
  fittingOffer,
  type LaneWishes,
  newTerms,
  requireAffordable,
  requireFeeAllowed,
  requireIndexAllowed,
  requireWishesMatch,
  runwayOf,
} from "./wishes.ts";

/** How long a signature may be used, in epochs behind the current one. */
const DEADLINE_EPOCHS = 3;

/** Whose set a lane appends to, when it is not this device's own of its identity. */
export interface LaneSubject {
  /** That the secrets of the set derive from. */
  readonly auditSeed: Uint8Array;
  /** As the owner: the delegate that the set is prepared for. */
  readonly delegate?: string;
  /** As a delegate: salt of the set that the owner has prepared. It is in the journal, and is only added to. */
  readonly given?: string;
}

/** What a lane asks of a provider. */
export type LaneProvider = DataSetKeeper & ObjectSource;

/** One provider of a put. */
export interface DataSetLane {
  readonly provider: LaneProvider;
  /** Takes every object of the put once, in order. */
  readonly tagger: { add(object: SealedObject): Promise<void> };
  /**
   * Whether the set has all of the objects already, or will have them after the commit. If so, they need not be added.
   */
  holds(ids: readonly string[]): Promise<boolean>;
  /**
   * Names objects that this account has released: the commit takes out the slices that hold nothing else, and the set
   * is not relied on for them any more. One slice always stays: only a notice ends a set.
   */
  retire(ids: readonly string[]): void;
  /**
   * Has the provider check what was tagged, and what a compaction tags again when the list of ranges has become long.
   * No money is sent. Ends the tagging. May be left out: `commit` does what is missing.
   * @throws TallystickError INVALID_PROOF, BAD_RESPONSE, TIMED_OUT; INVALID_INPUT when the set would grow beyond what
   *   the provider takes or the user allows
   */
  deliver(signal?: AbortSignal, onProgress?: DataSetListener): Promise<void>;
  /**
   * Brings the next state of the set on chain, or has the provider sign and keep it until the epoch ends, after topping
   * up the balance if it must. Does nothing when there is nothing new. A run after an interruption finishes what was
   * begun and pays nothing twice.
   * @throws TallystickError FUNDS, CHAIN_REVERTED, BAD_RESPONSE, INVALID_SIGNATURE; CONFLICT (retryable) when objects
   *   that were relied on have been retired meanwhile
   */
  commit(onProgress?: DataSetListener, signal?: AbortSignal): Promise<DataSetReport>;
  /** Removes tags that were not delivered, unless they have indices already: a later put may go on with them. */
  discard(): Promise<void>;
}

/**
 * Opens a lane before anything is stored.
 *
 * @throws TallystickError BAD_RESPONSE when the offer is for another deployment; InvalidInputError when the wishes do
 *   not keep to the offer, to the set that runs, or to what the user allows, naming the amounts; what
 *   `requireSafeRandomness` throws; CHAIN_UNAVAILABLE
 */
export async function openDataSetLane(
  context: AgentContext,
  provider: LaneProvider,
  wishes: LaneWishes = {},
  subject: LaneSubject = { auditSeed: context.identity.auditSeed },
): Promise<DataSetLane> {
  const offer = fittingOffer(context.deployment, provider, await provider.dataSetOffer());
  runwayOf(wishes);
  await removeAbandoned(context);
  const { auditSeed, delegate, given } = subject;
  const { set, onChain } =
    given === undefined
      ? await ownSet(context, provider, offer, wishes, delegate)
      : await givenSet(context, provider, given);
  const keys = await dataSetKeys(auditSeed, set.salt);
  if (set.agreed === undefined) await requireSafeRandomness(await context.chain(), wishes);
  const terms = set.agreed ?? newTerms(offer, wishes, { ...freshFacts(context, set, keys), phase: 0 });
  requireWishesMatch(terms, wishes);
  requireAffordable(provider.name, terms.terms, onChain, wishes);
  const tagger = new SegmentTagger(context.platform, set, keys);
  return new Lane({ context, provider, wishes, offer, salt: set.salt, isGiven: given !== undefined, keys, tagger });
}

interface LaneParts {
  readonly context: AgentContext;
  readonly provider: LaneProvider;
  readonly wishes: LaneWishes;
  readonly offer: DataSetOffer;
  readonly salt: string;
  readonly isGiven: boolean;
  readonly keys: DataSetKeys;
  readonly tagger: SegmentTagger;
}

class Lane implements DataSetLane {
  readonly provider: LaneProvider;
  readonly tagger: SegmentTagger;
  readonly #context: AgentContext;
  readonly #wishes: LaneWishes;
  readonly #offer: DataSetOffer;
  readonly #salt: string;
  /** Nothing is taken out, and nothing deposited: the owner alone may. */
  readonly #isGiven: boolean;
  readonly #keys: DataSetKeys;
  readonly #released = new Set<string>();
  /** Challenge block that the provider assigned, once it was asked. */
  #phase: number | undefined;
  #sentBytes = 0;
  #isDelivered = false;
  /** Of this commit; its segment is verified. */
  #compaction: Compaction | undefined;
  /** Whether all of the journal was looked into, so that all dead slices are known. */
  #isSurveyed = false;

  constructor({ context, provider, wishes, offer, salt, isGiven, keys, tagger }: LaneParts) {
    this.#context = context;
    this.provider = provider;
    this.#wishes = wishes;
    this.#offer = offer;
    this.#salt = salt;
    this.#isGiven = isGiven;
    this.#keys = keys;
    this.tagger = tagger;
  }

  async holds(ids: readonly string[]): Promise<boolean> {
    return await this.tagger.holds(ids);
  }

  retire(ids: readonly string[]): void {
    for (const id of ids) this.#released.add(id);
  }

  async deliver(signal?: AbortSignal, onProgress?: DataSetListener): Promise<void> {
    if (this.#isDelivered) return;
    await this.tagger.finish();
    const followed = await this.#follow();
    await this.#deliver(followed, await this.#wanted(followed), onProgress, signal);
    await this.#compact(followed, onProgress, signal);
    this.#isDelivered = true;
  }

  async commit(onProgress?: DataSetListener, signal?: AbortSignal): Promise<DataSetReport> {
    await this.deliver(signal, onProgress);
    let followed = await this.#follow();
    const wasOnChain = followed.onChain !== undefined;
    const counts = { addedSlices: 0, retiredSlices: 0, deposited: 0n };
    const transactions: string[] = [];
    let waitingSlices = 0;
    let waits: { readonly waitsUntilBlock?: number } = {};
    const carry = async (begun: FollowedDataSet) => {
      tell(onProgress, "confirming");
      const options = { onSending: () => tell(onProgress, "sending"), mayWait: this.#wishes.mayWait !== false, signal };
      const carried = await carryOntoChain(this.#context, this.provider, begun, options);
      transactions.push(...carried.transactions);
      const { waitsUntilBlock } = carried;
      waits = waitsUntilBlock === undefined ? {} : { waitsUntilBlock };
      return carried.followed;
    };
    const begun = followed.set.signed;
    if (
      begun !== undefined &&
      followed.set.agreed !== undefined &&
      (await isPendingNow(this.#context, followed, begun))
    ) {
      const { fee, slices, addedSlices, newSlices } = factsOfSigned(
        followed,
        await this.#context.platform.dataSets.segments(this.#salt),
        begun,
      );
      requireFeeAllowed(this.provider.name, fee, this.#wishes);
      const cost = this.#cost({ fee, slices, isSigned: true });
      const funded = await fund(this.#context, followed, followed.set.agreed, cost, onProgress, signal);
      transactions.push(...funded.transactions);
      counts.deposited += funded.deposited;
      followed = await carry(followed);
      // What waited was told when it was signed. What still waits is not on chain, so the next state adds it as well.
      counts.addedSlices += begun.waitsUntilBlock === undefined ? addedSlices : 0;
      waitingSlices = waits.waitsUntilBlock === undefined ? 0 : newSlices;
    }
    await requireRelied(this.#context, this.#salt, this.tagger, this.#released);
    const signed = await this.#signNext(followed, onProgress, signal);
    if (signed !== undefined) {
      transactions.push(...signed.transactions);
      counts.deposited += signed.deposited;
      const movedTo = this.#compaction?.segment?.sliceCount ?? 0;
      counts.addedSlices += signed.next.addedSlices - waitingSlices - movedTo;
      counts.retiredSlices += Math.max(0, signed.next.retiredSlices - movedTo);
      followed = await carry(signed.followed);
    }
    this.#released.clear();
    followed = { ...followed, set: (await this.#context.platform.dataSets.set(this.#salt)) ?? followed.set };
    tell(onProgress, "done");
    const isNew = !wasOnChain && followed.onChain !== undefined;
    const { maximumIndex } = this.#offer;
    const done = { ...counts, isNew, transactions, sentBytes: this.#sentBytes, ...waits };
    return reportOf(followed, this.provider.account, { ...done, compaction: this.#compaction, maximumIndex });
  }

  async discard(): Promise<void> {
    await this.tagger.discard();
  }

  /** The set as it is now. @throws TallystickError CONFLICT (retryable) when it has ended since the lane was opened */
  async #follow(): Promise<FollowedDataSet> {
    const { dataSets } = this.#context.platform;
    const set = await dataSets.set(this.#salt);
    if (set === undefined) throw new TallystickError("the lane's data set is not in the journal", { code: "INTERNAL" });
    const followed = await follow(this.#context, set);
    if (followed.set.isOwn && followed.set.state !== "ended") return followed;
    throw endedMeanwhile(this.provider.name, followed.set.state);
  }

  /**
   * Segments that the next state adds: new, begun by an interrupted put and asked for again, or signed already. Also
   * those that were on chain and are not any more: a reorganisation has undone it, or the endpoint is behind.
   */
  async #wanted({ set, onChain }: FollowedDataSet): Promise<JournaledSegment[]> {
    const own = await this.tagger.finish();
    const wanted = new Set(set.signed?.isRefused === true ? [] : set.signed?.segments);
    for (const segment of [own, this.#compaction?.segment]) if (segment !== undefined) wanted.add(segment.id);
    const highest = onChain === undefined ? 0 : lastLevel(onChain.schedule).highestIndex;
    const segments = await this.#context.platform.dataSets.segments(set.salt);
    return segments.filter(
      ({ id, state, firstIndex, isCompaction }) =>
        firstIndex > highest &&
        // What a compaction holds, earlier segments hold as well, until a state has it.
        (state === "included" || wanted.has(id) || (isCompaction !== true && this.tagger.revived.has(id))),
    );
  }

  /**
   * Moves objects when the list of ranges has become long. By itself, a commit goes on without it when it fails; what
   * was begun is then finished by a later one.
   */
  async #compact(begun: FollowedDataSet, onProgress: DataSetListener, signal: AbortSignal | undefined): Promise<void> {
    const { onChain } = begun;
    if (onChain === undefined || this.#isGiven) return;
    const { compaction: limits = BY_ITSELF } = this.#wishes;
    const context = this.#context;
    try {
      const released = [...this.#released];
      const found = await findInterrupted(context, { ...begun, released }, lastLevel(onChain.schedule).highestIndex);
      const followed = { ...begun, set: found.set };
      const subject = await this.#subject(followed);
      let { compaction } = found;
      if (compaction === undefined) {
        if (this.#wishes.compaction === undefined && !(await needsCompaction(context, subject))) return;
        const plan = await surveyCompaction(context, subject, limits);
        this.#isSurveyed = true;
        const onTagged = (doneBytes: number) =>
          onProgress?.({ operation: "data-set", phase: "compacting", doneBytes, totalBytes: plan.movedBytes });
        compaction = await tagAgain(context, this.provider, subject, this.#keys, plan, onTagged, signal);
      }
      const { segment } = compaction;
      if (segment !== undefined) {
        // It has taken indices since.
        const set = (await context.platform.dataSets.set(this.#salt)) ?? followed.set;
        await this.#deliver({ ...followed, set }, [segment], onProgress, signal);
      }
      this.#isSurveyed = true;
      this.#compaction = compaction;
    } catch (error) {
      signal?.throwIfAborted();
      if (this.#wishes.compaction !== undefined || !(error instanceof TallystickError)) throw error;
      context.logger.warn({ code: error.code }, `the data set was not compacted: ${error.message}`);
    }
  }

  async #subject(followed: FollowedDataSet): Promise<SurveySubject> {
    const { set } = followed;
    if (set.agreed === undefined) throw new TallystickError("a data set on chain without terms", { code: "INTERNAL" });
    return {
      set,
      live: await this.#live(followed),
      added: await this.#wanted(followed),
      released: [...this.#released],
      prices: set.agreed.terms,
      maximumIndex: this.#offer.maximumIndex,
    };
  }

  /** Live ranges on chain, less what a state under way takes out: no later one may bring that back. */
  async #live(followed: FollowedDataSet): Promise<SliceRange[]> {
    const { set, onChain } = followed;
    if (onChain === undefined) return [];
    const live = decodeLiveRanges(onChain.scheduled.ranges);
    const isUnderWay = set.signed !== undefined && (await isPendingNow(this.#context, followed, set.signed));
    return isUnderWay && set.signed !== undefined ? inBoth(live, decodeLiveRanges(set.signed.ranges)) : live;
  }

  async #deliver(
    followed: FollowedDataSet,
    wanted: readonly JournaledSegment[],
    onProgress: DataSetListener,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const [context, provider, offer, keys] = [this.#context, this.provider, this.#offer, this.#keys];
    const delivered = await deliverWanted(followed, wanted, { context, provider, offer, keys, onProgress, signal });
    if (delivered === undefined) return;
    this.#phase = delivered.phase;
    this.#sentBytes += delivered.sentBytes;
  }

  /** Signs the next state and saves it. @returns undefined when there is nothing new */
  async #signNext(
    followed: FollowedDataSet,
    onProgress: DataSetListener,
    signal: AbortSignal | undefined,
  ): Promise<
    | { readonly followed: FollowedDataSet; readonly next: NextState; transactions: string[]; deposited: bigint }
    | undefined
  > {
    const { platform, account, deployment } = this.#context;
    const { set, onChain } = followed;
    const live = await this.#live(followed);
    const highest = onChain === undefined ? 0 : lastLevel(onChain.schedule).highestIndex;
    const released = [...this.#released];
    const added = await this.#wanted(followed);
    // What a state that has expired would have taken out is forgotten already.
    const hasExpired =
      onChain !== undefined && set.signed !== undefined && set.signed.version > onChain.schedule.version;
    const gone = await goneIds(platform.dataSets, set, goneOf({ released, added }));
    const searchesAll = hasExpired || this.#isSurveyed;
    const retirable = this.#isGiven ? [] : await retirableSlices(platform.dataSets, set, live, gone, searchesAll);
    const next = nextState(set, live, highest, added, retirable);
    const left = this.#leftBy(next, retirable, searchesAll ? undefined : set.left);
    const { left: _, ...others } = set;
    const noted: JournaledDataSet = left === undefined ? others : { ...others, left };
    if (next.addedSlices === 0 && next.retiredSlices === 0) {
      const isKnown = (await platform.dataSets.holders(set.salt, released)).size > 0;
      const isSame = left?.dead === set.left?.dead && left?.isCompactionDue === set.left?.isCompactionDue;
      if (isKnown || !isSame) await platform.dataSets.save(noted, { forgotten: released });
      return undefined;
    }
    const ranges = encodeLiveRanges(next.ranges);
    const waiting = await this.#waiting(followed);
    // The state that waits says all of it already.
    if (waiting?.contentHash === next.contentHash && equalBytes(waiting.ranges, ranges)) return undefined;
    requireIndexAllowed(this.provider.name, next.highestIndex, this.#offer);
    const agreed = await agreeTerms(this.#context, followed, this.#agreeingParts());
    const fee = feeOf(agreed.terms, next.slices, next.highestIndex);
    requireFeeAllowed(this.provider.name, fee, this.#wishes);
    if (this.#isGiven) await requireWithinLimit(this.#context, agreed, fee);
    const cost = this.#cost({ fee, slices: next.slices, isSigned: false });
    const funded = await fund(this.#context, followed, agreed, cost, onProgress, signal);
    // Nothing is promised after the user has ended it.
    signal?.throwIfAborted();
    const known = [onChain?.schedule.version ?? 0n, set.signed?.version ?? 0n].reduce((a, b) => (a > b ? a : b));
    await requireNewest(this.provider, set, known);
    const version = known + 1n;
    const unsigned = {
      version,
      retirements: onChain?.schedule.retirements ?? 0,
      ranges,
      contentHash: next.contentHash,
      deadlineBlock: await this.#deadline(),
    };
    const userSignature = await account.sign(stateTypedData(deployment, agreed.id, unsigned));
    const signed: SignedByDevice = {
      ...unsigned,
      userSignature,
      segments: added.map(({ id }) => id),
      ...(waiting?.waitsUntilBlock === undefined ? {} : { waitsUntilBlock: waiting.waitsUntilBlock }),
    };
    const state = onChain === undefined ? "opening" : set.state;
    const token = agreed.terms.token;
    const saved = await platform.dataSets.save({ ...noted, state, token, agreed, signed }, { forgotten: released });
    return { followed: { ...followed, set: saved }, next, ...funded };
  }

  /** What a state leaves for a later one. @param before of slices that were not looked at now */
  #leftBy(
    { retiredSlices }: NextState,
    retirable: readonly SliceRange[],
    before: LeftSlices | undefined,
  ): LeftSlices | undefined {
    const dead = sumOf(retirable) - retiredSlices + (before?.dead ?? 0);
    const isCompactionDue = this.#compaction?.isCutShort ?? before?.isCompactionDue ?? false;
    return dead > 0 || isCompactionDue ? { dead, isCompactionDue } : undefined;
  }

  /** The state that the provider keeps until the end of an epoch. */
  async #waiting(followed: FollowedDataSet): Promise<SignedByDevice | undefined> {
    const { signed } = followed.set;
    const isWaiting = signed?.waitsUntilBlock !== undefined && (await isPendingNow(this.#context, followed, signed));
    return isWaiting ? signed : undefined;
  }

  /** The last block of an epoch ahead. */
  async #deadline(): Promise<bigint> {
    const { epochBlocks } = await readEscrowClock(await this.#context.chain());
    const epoch = Math.floor((await readHeadNumber(await this.#context.chain())) / epochBlocks);
    return BigInt((epoch + 1 + DEADLINE_EPOCHS) * epochBlocks - 1);
  }

  #cost(state: Pick<StateCost, "fee" | "slices" | "isSigned">): StateCost {
    return { ...state, provider: this.provider.account, runwayEpochs: runwayOf(this.#wishes) };
  }

  #agreeingParts(): AgreeingParts {
    const [offer, wishes, keys] = [this.#offer, this.#wishes, this.#keys];
    return { providerName: this.provider.name, offer, wishes, keys, assignedPhase: this.#phase };
  }
}
