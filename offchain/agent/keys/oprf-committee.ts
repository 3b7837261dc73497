/**
 * Threshold OPRF over a committee of NBM nodes (RFC 9497 VOPRF, key shared k of n): any k nodes that answer rightly
 * suffice. Every answer carries a DLEQ proof against the node's registered verification share, so each is verified on
 * its own; a node that gives a wrong one is replaced and not asked again.
 *
 * The nodes that are assigned to the account are asked first (core/assignment), and others take the place of those that
 * fail. A node that has evaluated a full batch then comes after those that have not, and so on, so that an account with
 * much to evaluate uses the budgets of all nodes evenly (nbm/oprf/budget.ts). A node whose budget is smaller than a
 * batch states its size; batches then become as small as the k largest budgets require.
 *
 * A member that leaves can withdraw its stake when its exit delay is over, and is then no more deterred from answering
 * wrongly. So members whose stake may be gone before a challenge of their answer could be mined come last: they are
 * asked when the others are not enough. They are asked then, because what is taken from them is as right as from
 * anybody: the proof says so, not the stake. Without them, a committee that is late in replacing those who leave would
 * serve nobody.
 *
 * The members of a committee, and their shares, change with its generations, its outputs do not. When too few members
 * answer, the chain is asked whether there is another generation, and the batch is evaluated by that one. What they
 * answer does not matter: members that were replaced may be out of budget, slow or down.
 */

import { pause } from "../../chain/pause.ts";
import { type AssignableMember, assignedOrder, assignmentEpoch } from "../../core/assignment/assignment.ts";
import type { GenerationId } from "../../core/committee/key-id.ts";
import { TallystickError } from "../../core/errors.ts";
import type { OprfSuite } from "../../core/oprf/suite.ts";
import { MAXIMUM_BATCH } from "../../core/wire/nbm.ts";
import { localOprf, type OprfStage } from "../pipeline/oprf-stage.ts";
import { type AgentLogger, SILENT } from "../progress.ts";
import { clockError } from "./clock-offset.ts";
import type { Evaluation } from "./nbm-client.ts";
import { describeNodes, type NodeReport } from "./node-reports.ts";
import { requireRight, StageFailure, wrongIndex } from "./oprf-answers.ts";
import { gather, type QuorumMember, reportNodes } from "./quorum.ts";

/** A node that could not be reached is asked again only when nobody else is left, or after this time. */
const COOLING_SECONDS = 30;
/**
 * A full batch takes a node some hundred milliseconds. After this time another one is asked as well, out of its own
 * budget.
 */
const SLOW_SECONDS = 5;
/** Rounds over nodes whose failures may pass, when there are not enough others. */
const ROUNDS = 3;
const ROUND_DELAY_SECONDS = 1;
/** Longest time to wait for used-up budgets to refill, over one batch. */
const PATIENCE_SECONDS = 900;

/** A member with its registered key and the way to reach it. */
export interface OprfMember extends QuorumMember, AssignableMember {
  /** Registered k_j·G, 32 bytes. */
  readonly verificationShare: Uint8Array;
  readonly client: {
    evaluate(generation: GenerationId, blinded: readonly Uint8Array[], signal?: AbortSignal): Promise<Evaluation>;
  };
}

/** An answer whose proof does not verify, with what was asked. */
export interface WrongAnswer {
  readonly member: OprfMember;
  /** Of the key that was asked for. */
  readonly generation: GenerationId;
  /** Of the key material that has the member's verification share. */
  readonly keyMaterialHash: string;
  readonly blinded: readonly Uint8Array[];
  readonly evaluation: Evaluation;
}

/** How long stakes stay, beside what each member's `exitAt` says. */
export interface StakeTimes {
  /** How long a stake has to stay behind an answer, so that there is time to challenge it. */
  readonly challengeSeconds: number;
  /** Unix seconds from which a member that has asked to leave since `exitAt` was read may be within that time. */
  readonly staleAt: number;
}

/** The longest time that users get to challenge a wrong answer; half of a shorter exit delay. */
const MOST_CHALLENGE_SECONDS = 24 * 3600;

/** @param readAt unix seconds, when the members' `exitAt` was read */
export function stakeTimes(readAt: number, exitDelaySeconds: number): StakeTimes {
  const challengeSeconds = Math.min(MOST_CHALLENGE_SECONDS, Math.floor(exitDelaySeconds / 2));
  return { challengeSeconds, staleAt: readAt + exitDelaySeconds - challengeSeconds };
}

/** Who evaluates, in one generation of the committee. */
export interface OprfGeneration {
  /** From 1. */
  readonly generation: number;
  readonly threshold: number;
  readonly members: readonly OprfMember[];
  /** Of the members' keys, as the chain has it. */
  readonly keyMaterialHash: string;
  /** What is known of the members' stakes; absent: all stay. */
  readonly stakes?: StakeTimes;
  /** Awaited before the first evaluation: whether the members' keys belong together. */
  readonly checkKeys?: () => Promise<void>;
}

export interface OprfCommitteeOptions {
  /** Takes a wrong answer, before the next node is asked. What it throws is told and hides no error. */
  readonly onWrongAnswer?: (answer: WrongAnswer) => Promise<void>;
  readonly suite?: OprfSuite;
  /** The active generation when it is another one than the given, or has other keys. */
  readonly renew?: (current: OprfGeneration) => Promise<OprfGeneration | undefined>;
  /** The active generation, read anew: who has asked to leave. */
  readonly refresh?: () => Promise<OprfGeneration>;
  readonly logger?: AgentLogger;
  /** Longest wait for used-up budgets, over one batch. */
  readonly patienceSeconds?: number;
  /** Time after which another node is asked in the place of one that has not answered yet. */
  readonly slowSeconds?: number;
  /** After so many elements it is the turn of a node that has evaluated fewer. Default: a full batch. */
  readonly turnElements?: number;
  /** Injected by tests. Seconds. */
  readonly now?: () => number;
  readonly unixSeconds?: () => number;
  readonly sleepSeconds?: (seconds: number, signal?: AbortSignal) => Promise<void>;
}

interface Standing {
  /** Set once an answer did not verify: the node is not asked again. */
  lied?: TallystickError;
  /** Not to be asked before, in seconds of the clock. */
  notBefore: number;
  lastFailure?: TallystickError;
  /** Most elements that the node takes at once, as far as it has said. */
  capacity: number;
  evaluations: number;
}

/** Codes of failures that show a breach of the protocol, as opposed to a node that is down or busy. */
const LIES: ReadonlySet<string> = new Set(["INVALID_PROOF", "INVALID_POINT", "BAD_RESPONSE"]);

export class OprfCommittee {
  readonly id: bigint;
  readonly #account: string;
  #generation: OprfGeneration;
  readonly #local: OprfStage;
  readonly #renew: NonNullable<OprfCommitteeOptions["renew"]>;
  readonly #refresh: OprfCommitteeOptions["refresh"];
  #checked: Promise<void> | undefined;
  #standing = new Map<number, Standing>();
  readonly #logger: AgentLogger;
  readonly #onWrongAnswer: ((answer: WrongAnswer) => Promise<void>) | undefined;
  readonly #patienceSeconds: number;
  readonly #slowSeconds: number;
  readonly #turnElements: number;
  readonly #now: () => number;
  readonly #unixSeconds: () => number;
  readonly #sleep: (seconds: number, signal?: AbortSignal) => Promise<void>;

  /** @param account address of the account that the nodes serve */
  constructor(id: bigint, account: string, first: OprfGeneration, options: OprfCommitteeOptions = {}) {
    this.id = id;
    this.#account = account;
    const { suite } = options;
    this.#generation = first;
    this.use(first);
    this.#local = localOprf(suite === undefined ? undefined : async () => suite);
    this.#renew = options.renew ?? (async () => undefined);
    this.#refresh = options.refresh;
    this.#logger = options.logger ?? SILENT;
    this.#onWrongAnswer = options.onWrongAnswer;
    this.#patienceSeconds = options.patienceSeconds ?? PATIENCE_SECONDS;
    this.#slowSeconds = options.slowSeconds ?? SLOW_SECONDS;
    this.#turnElements = options.turnElements ?? MAXIMUM_BATCH;
    this.#now = options.now ?? (() => performance.now() / 1000);
    this.#unixSeconds = options.unixSeconds ?? (() => Date.now() / 1000);
    this.#sleep = options.sleepSeconds ?? ((seconds, signal) => pause(seconds * 1000, signal));
  }

  get threshold(): number {
    return this.#generation.threshold;
  }

  get members(): readonly OprfMember[] {
    return this.#generation.members;
  }

  /**
   * Goes on with another generation of the committee, whose members start in good standing, or with what is known of
   * the same one now.
   */
  use(generation: OprfGeneration): void {
    const isSame = generation.keyMaterialHash === this.#generation.keyMaterialHash && this.#standing.size > 0;
    this.#generation = generation;
    if (isSame) return;
    this.#checked = undefined;
    this.#standing = new Map(
      generation.members.map((member) => [member.index, { notBefore: 0, capacity: MAXIMUM_BATCH, evaluations: 0 }]),
    );
  }

  /**
   * Evaluates the OPRF on inputs.
   *
   * @param inputs byte strings as made by `oprfInput`; any number.
   * @param stage where it is computed, in the committee's suite. Default: in this thread.
   * @returns 64 bytes per input, in order.
   * @throws TallystickError QUORUM_FAILED when fewer than k nodes answer rightly, RATE_LIMITED when too many budgets
   *   stay used up; both say in `details.nodes` what every node answered. INTERNAL when the stage itself fails.
   *   What the check of the members' keys throws.
   */
  async evaluate(
    inputs: readonly Uint8Array[],
    signal?: AbortSignal,
    stage: OprfStage = this.#local,
  ): Promise<Uint8Array[]> {
    const outputs: Uint8Array[] = [];
    while (outputs.length < inputs.length) {
      await this.#knowStakes();
      const current = this.#generation;
      this.#checked ??= current.checkKeys?.();
      await this.#checked;
      const batch = inputs.slice(outputs.length, outputs.length + this.#batchSize());
      const evaluated = await this.#evaluateBatch(batch, current, stage, signal);
      // Undefined when nodes have stated smaller budgets meanwhile, or there is another generation: the same inputs are
      // cut anew. What one generation gave is not mixed with what the next gives.
      if (evaluated !== undefined) outputs.push(...evaluated);
    }
    return outputs;
  }

  /** Reads again who leaves, before a member that has asked to since may be out of reach of a challenge. */
  async #knowStakes(): Promise<void> {
    const { stakes } = this.#generation;
    if (stakes === undefined || this.#refresh === undefined || this.#unixSeconds() < stakes.staleAt) return;
    try {
      this.use(await this.#refresh());
    } catch (error) {
      // No reason not to ask: the answers prove themselves.
      const reason = error instanceof Error ? error.message : String(error);
      this.#logger.warn({ reason }, "the chain does not say which key nodes leave");
    }
  }

  /** Whether a challenge of an answer that the member gives now might find its stake gone. */
  #isLeaving({ exitAt }: OprfMember): boolean {
    const { stakes } = this.#generation;
    return exitAt > 0 && stakes !== undefined && exitAt <= this.#unixSeconds() + stakes.challengeSeconds;
  }

  /** @returns whether another generation is used than when the batch was begun: the chain is asked for one */
  async #hasOther(begun: OprfGeneration): Promise<boolean> {
    const isOther = ({ keyMaterialHash }: OprfGeneration) => keyMaterialHash !== begun.keyMaterialHash;
    if (isOther(this.#generation)) return true;
    // Whatever keeps the chain from saying so, the nodes' answers are what the caller can act on.
    const other = await this.#renew(begun).catch(() => undefined);
    if (other === undefined) return isOther(this.#generation);
    this.#logger.debug({ generation: other.generation }, `committee ${this.id} has other key nodes or shares now`);
    this.use(other);
    // Later ones come to an end. Others come of a reorganisation, or of endpoints that do not agree.
    if (other.generation <= begun.generation) await this.#sleep(ROUND_DELAY_SECONDS);
    return isOther(other);
  }

  /**
   * The largest batch that k nodes have room for: nodes that state less cannot slow down a client that has k others.
   */
  #batchSize(): number {
    const capacities = this.members
      .map(({ index }) => this.#of(index))
      .filter(({ lied }) => lied === undefined)
      .map(({ capacity }) => capacity)
      .sort((a, b) => b - a);
    return capacities[this.threshold - 1] ?? MAXIMUM_BATCH;
  }

  /** How every node has done so far. */
  report(): (NodeReport & { readonly evaluations: number })[] {
    return this.members.map(({ index, operator, url }) => {
      const standing = this.#of(index);
      const failure = standing.lied ?? standing.lastFailure;
      const answer = failure?.code ?? (standing.evaluations > 0 ? "right" : "not asked");
      const message = failure === undefined ? {} : { message: failure.message };
      return { index, operator, url, answer, ...message, evaluations: standing.evaluations };
    });
  }

  async #evaluateBatch(
    inputs: Uint8Array[],
    begun: OprfGeneration,
    stage: OprfStage,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array[] | undefined> {
    // Another batch may go on with another generation meanwhile, whose members start in good standing.
    const standings = this.#standing;
    const batch = await stage.blind(inputs);
    try {
      signal?.throwIfAborted();
      const parts = new Map<number, Uint8Array[]>();
      const failures = new Map<number, TallystickError>();
      let waitedSeconds = 0;
      for (let round = 1; parts.size < begun.threshold; ) {
        const order = this.#preference(parts, inputs.length);
        const ask = (member: OprfMember, unneeded: AbortSignal) => {
          const ends = signal === undefined ? unneeded : AbortSignal.any([signal, unneeded]);
          return this.#ask(member, begun, standings, batch.blinded, stage, ends);
        };
        const gathered = await gather(order, begun.threshold - parts.size, ask, this.#slowSeconds);
        for (const { member, answer } of gathered.answers) {
          parts.set(member.index, answer);
          failures.delete(member.index);
        }
        for (const { member, error } of gathered.failures) {
          failures.set(member.index, error);
          // What was given up here has not been noted where it was asked.
          if (error.check === "quorum") this.#note(member, error, standingIn(standings, member.index));
        }
        if (parts.size >= begun.threshold) break;
        if ((await this.#hasOther(begun)) || this.#batchSize() < inputs.length) return undefined;
        const pauseSeconds = this.#pause(parts, failures, round, waitedSeconds);
        if (this.#refillAt(parts) === undefined) round += 1;
        waitedSeconds += pauseSeconds;
        await this.#sleep(pauseSeconds, signal);
      }
      const quorum = [...parts].map(([index, evaluated]) => ({ index, evaluated }));
      return await batch.finalize(quorum, begun.threshold);
    } catch (error) {
      throw error instanceof StageFailure ? error.cause : error;
    } finally {
      batch.wipe();
    }
  }

  /**
   * Members to ask now: those in good standing first, and those that leave last; among equals those that have
   * had fewer turns, and then in the order of the assignment. Left out are liars, those that have no
   * budget left, and those whose whole budget is smaller than the batch.
   */
  #preference(parts: ReadonlyMap<number, unknown>, size: number): OprfMember[] {
    const now = this.#now();
    const epoch = assignmentEpoch(this.#unixSeconds());
    const assigned = assignedOrder({ committeeId: this.id, user: this.#account, epoch }, this.members);
    const candidates = assigned.filter(({ index }) => {
      const { lied, lastFailure, notBefore, capacity } = this.#of(index);
      if (capacity < size) return false;
      const exhausted = lastFailure?.code === "RATE_LIMITED" && notBefore > now;
      return lied === undefined && !exhausted && !parts.has(index);
    });
    const rank = (member: OprfMember) =>
      (this.#isLeaving(member) ? 2 : 0) + (this.#of(member.index).notBefore > now ? 1 : 0);
    const turns = ({ index }: OprfMember) => Math.floor(this.#of(index).evaluations / this.#turnElements);
    return candidates.sort((a, b) => rank(a) - rank(b) || turns(a) - turns(b));
  }

  async #ask(
    member: OprfMember,
    { generation: number, keyMaterialHash }: OprfGeneration,
    standings: ReadonlyMap<number, Standing>,
    blinded: Uint8Array[],
    stage: OprfStage,
    signal: AbortSignal,
  ): Promise<Uint8Array[]> {
    const standing = standingIn(standings, member.index);
    try {
      const generation: GenerationId = { committeeId: this.id, generation: number };
      const evaluation = await member.client.evaluate(generation, blinded, signal);
      const { index, evaluated, proof } = evaluation;
      if (index !== member.index) throw wrongIndex(member, index);
      try {
        await requireRight(stage, member, blinded, evaluated, proof);
      } catch (error) {
        if (error instanceof TallystickError && error.code === "INVALID_PROOF") {
          await this.#takeWrongAnswer({ member, generation, keyMaterialHash, blinded, evaluation });
        }
        throw error;
      }
      standing.evaluations += blinded.length;
      standing.notBefore = 0;
      delete standing.lastFailure;
      return evaluated;
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      this.#note(member, error, standing);
      throw error;
    }
  }

  async #takeWrongAnswer(answer: WrongAnswer): Promise<void> {
    try {
      await this.#onWrongAnswer?.(answer);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#logger.warn({ node: answer.member.url, reason }, "the wrong answer cannot be kept as evidence");
    }
  }

  #note(member: OprfMember, error: TallystickError, standing: Standing): void {
    const capacity = statedCapacity(error);
    if (capacity !== undefined && capacity < standing.capacity) {
      standing.capacity = capacity;
      this.#logger.debug({ node: member.url, capacity }, "the node takes smaller batches only");
      return;
    }
    standing.lastFailure = error;
    standing.notBefore = this.#now() + (error.retryAfterSeconds ?? COOLING_SECONDS);
    if (LIES.has(error.code) && !error.retryable) standing.lied = error;
    this.#logger.warn({ node: member.url, code: error.code }, `${error.message}; asking another node`);
  }

  /**
   * When the first used-up budget among the missing members refills; undefined when none of them is merely out of
   * budget.
   */
  #refillAt(parts: ReadonlyMap<number, unknown>): number | undefined {
    const times = this.members
      .filter(({ index }) => !parts.has(index) && this.#of(index).lastFailure?.code === "RATE_LIMITED")
      .map(({ index }) => this.#of(index).notBefore);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** How long to wait before asking again. @throws TallystickError when waiting is of no use. */
  #pause(
    parts: ReadonlyMap<number, unknown>,
    failures: ReadonlyMap<number, TallystickError>,
    round: number,
    waitedSeconds: number,
  ): number {
    const missing = this.members.filter(({ index }) => !parts.has(index));
    const hopeful = missing.filter(({ index }) => {
      const { lied, lastFailure } = this.#of(index);
      return (
        lied === undefined &&
        (lastFailure === undefined || lastFailure.retryable || lastFailure.code === "RATE_LIMITED")
      );
    });
    const refillAt = this.#refillAt(parts);
    const seconds = refillAt === undefined ? ROUND_DELAY_SECONDS : Math.max(refillAt - this.#now(), 0.05);
    const patient = refillAt === undefined ? round < ROUNDS : waitedSeconds + seconds <= this.#patienceSeconds;
    if (patient && parts.size + hopeful.length >= this.threshold) {
      if (refillAt !== undefined) {
        this.#logger.warn(
          { seconds },
          `key nodes have no budget left for this account; waiting ${Math.ceil(seconds)} s`,
        );
      }
      return seconds;
    }
    const known = new Map(
      missing.flatMap(({ index }) => {
        const error = failures.get(index) ?? this.#of(index).lied ?? this.#of(index).lastFailure;
        return error === undefined ? [] : [[index, error] as const];
      }),
    );
    const clock = parts.size === 0 ? clockError([...known.values()], Math.floor(Date.now() / 1000)) : undefined;
    if (clock !== undefined) throw clock;
    const nodes = reportNodes(this.members, new Set(parts.keys()), known);
    throw new TallystickError(`only ${parts.size} of the ${this.threshold} key nodes needed answered rightly`, {
      code: refillAt === undefined ? "QUORUM_FAILED" : "RATE_LIMITED",
      party: "committee",
      check: "threshold OPRF",
      expected: `${this.threshold} right answers`,
      received: describeNodes(nodes),
      hint:
        refillAt === undefined
          ? "wait until more key nodes are up, then run the command again"
          : "the budget of this account refills with time; run the command again later, it goes on where it stopped",
      retryable: true,
      ...(refillAt === undefined ? {} : { retryAfterSeconds: Math.ceil(seconds) }),
      details: { nodes },
    });
  }

  #of(index: number): Standing {
    return standingIn(this.#standing, index);
  }
}

function standingIn(standings: ReadonlyMap<number, Standing>, index: number): Standing {
  const standing = standings.get(index);
  if (standing === undefined) throw new TallystickError(`no member ${index}`, { code: "INTERNAL" });
  return standing;
}

/** The node's whole budget, where the error says that the batch was larger. */
function statedCapacity({ code, check, details }: TallystickError): number | undefined {
  const capacity = details?.capacity;
  const isBudget = code === "INVALID_INPUT" && check?.endsWith(" budget") === true;
  return isBudget && typeof capacity === "number" && Number.isInteger(capacity) && capacity >= 1 ? capacity : undefined;
}
