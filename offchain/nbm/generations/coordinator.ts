/**
 * The generations of this node's committees, from the chain's announcement to the erasure of the shares they replace.
 * Pull-based: each node serves the messages that it has, its own and those of others (answers.ts), and polls the other
 * parties for theirs (exchange.ts). Everything served is on disk first, so nodes may start, stop and be killed in any
 * order.
 *
 * What replaces a broadcast channel: nodes copy each other's messages, attest once all members report the transcript
 * that they have themselves, and the chain activates a generation only when all members attested the same keys. A party
 * that tells different members different things, or something late, delays a run; it cannot make two outcomes active.
 */

import type { Wallet } from "ethers";
import type { ChainReader } from "../../chain/deployment.ts";
import {
  attestGenerationCall,
  type Committee,
  readAttestation,
  readCommittee,
  readCommitteeState,
} from "../../chain/registry.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import { CommitteeFaultError } from "../../core/committee/fault.ts";
import { type GenerationId, generationName } from "../../core/committee/key-id.ts";
import { decodeMemberShares } from "../../core/committee/member-shares.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { ServedKey } from "../oprf/oprf-service.ts";
import { Bulletin } from "./bulletin.ts";
import { Exchange } from "./exchange.ts";
import type { GenerationState, GenerationStore, RunResult } from "./generation-store.ts";
import type { Namings } from "./namings.ts";
import { otherKeys, RunOver, reorganised } from "./run-over.ts";
import { partiesHash, type RunParties, readParties, scopeOf } from "./run-parties.ts";
import { beginRun, RunSteps, waitsFor } from "./run-steps.ts";

export interface GenerationCoordinatorOptions {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly wallet: Wallet;
  readonly store: GenerationStore;
  readonly namings: Pick<Namings, "catchUp" | "fresh" | "see">;
  readonly logger: Logger;
  readonly maximumCommittees: number;
  /**
   * Counts an attestation that is about to be sent. Proposers can abandon a generation whenever this node has attested,
   * and propose the next one.
   * @throws TallystickError RATE_LIMITED
   */
  readonly chargeAttestation: (committeeId: bigint) => void;
  readonly dealingSeconds: number;
  /** Blocks after an activation until what it replaces is erased. */
  readonly eraseAfterBlocks: number;
  /** Called when a generation may be used: once per process, and again after a reorganisation. */
  readonly onReady: (key: ServedKey) => void;
  /** Called when it has been erased. */
  readonly onErased: (id: GenerationId) => void;
}

/** How long after a run got on others are asked more often. */
const BUSY_MILLISECONDS = 15_000;
/** How long after a look at the latest generation of a committee, which this node does not join, it looks again. */
const LOOK_AGAIN_MILLISECONDS = 30_000;

/** What this process has of a run under way. */
interface Run {
  readonly parties: RunParties;
  readonly bulletin: Bulletin;
  readonly steps: RunSteps;
  readonly exchange: Exchange;
}

export class GenerationCoordinator {
  readonly #options: GenerationCoordinatorOptions;
  /** When a generation that this node might deal for is looked at again. */
  readonly #lookAgain = new Map<string, number>();
  readonly #runs = new Map<string, Run>();
  readonly #problems = new Map<string, string>();
  #busyUntil = performance.now() + BUSY_MILLISECONDS;

  constructor(options: GenerationCoordinatorOptions) {
    this.#options = options;
    for (const state of options.store.all()) if (state.phase === "ready") this.#announce(state);
  }

  /**
   * Takes everything as far as possible now. A failure of one generation does not stop the others, also when it is the
   * chain's: anybody may name this node in a generation that the endpoint fails to give.
   * @throws the first failure of the chain, when everything else is done
   */
  async advance(): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (work: () => Promise<unknown>): Promise<void> => {
      try {
        await work();
      } catch (cause) {
        failures.push(cause);
      }
    };
    await this.#discover(attempt);
    for (const state of this.#options.store.all()) await attempt(() => this.#advanceNoted(state));
    if (failures.length > 0) throw failures[0];
  }

  async #advanceNoted(state: GenerationState): Promise<void> {
    try {
      this.#note(state, await this.#advanceOne(state));
    } catch (cause) {
      this.#fail(state, cause);
    }
  }

  /** Whether a run has got on lately, so that others should be asked soon. One that is stuck does not count. */
  get isBusy(): boolean {
    return performance.now() < this.#busyUntil;
  }

  /** Why a generation does not advance, for the node's own description. */
  problemOf(state: GenerationState): string | undefined {
    return state.problem ?? this.#problems.get(generationName(state));
  }

  /** Who was left out of a generation, and why. */
  faultsOf(state: GenerationState): readonly string[] {
    const { store } = this.#options;
    if (state.phase === "ready") return store.usedOutcome(state).faults;
    return this.#runs.get(generationName(state))?.steps.result?.faults ?? [];
  }

  /** The transcript of the present outcome of a run. */
  transcriptOf(state: GenerationState): string | undefined {
    if (state.phase === "ready") return this.#options.store.usedOutcome(state).transcript;
    return this.#runs.get(generationName(state))?.steps.result?.transcript;
  }

  /** Finds the runs that concern this node: those that name it, and those that its shares are dealt in. */
  async #discover(attempt: (work: () => Promise<unknown>) => Promise<void>): Promise<void> {
    const { store, namings } = this.#options;
    await attempt(() => namings.catchUp());
    for (const naming of namings.fresh()) {
      await attempt(async () => {
        if (store.find(naming) === undefined) await this.#considerSafely(naming.committeeId, naming.generation);
        namings.see(naming);
      });
    }
    const shared = store.all().filter(({ phase, index }) => phase === "ready" && index > 0);
    for (const committeeId of new Set(shared.map((state) => state.committeeId))) {
      await attempt(() => this.#considerLatest(committeeId));
    }
  }

  /** The generation that was opened last, which this node's shares may be dealt in. */
  async #considerLatest(committeeId: bigint): Promise<void> {
    const { chain, store } = this.#options;
    const { latest } = await readCommitteeState(chain, committeeId);
    const id = { committeeId, generation: latest };
    const name = generationName(id);
    if (store.find(id) !== undefined || (this.#lookAgain.get(name) ?? 0) > performance.now()) return;
    await this.#considerSafely(committeeId, latest);
    this.#lookAgain.set(name, performance.now() + LOOK_AGAIN_MILLISECONDS);
  }

  /** A generation whose keys do not belong together is not joined: any stranger may name this node in one. */
  async #considerSafely(id: bigint, generation: number): Promise<void> {
    try {
      await this.#consider(id, generation);
    } catch (error) {
      if (!(error instanceof TallystickError) || error.retryable || error.code === "CHAIN_UNAVAILABLE") throw error;
      this.#options.logger.warn(
        { committee: String(id), generation, code: error.code },
        `not joining: ${error.message}`,
      );
    }
  }

  /** Joins a run that names this node. */
  async #consider(id: bigint, generation: number): Promise<void> {
    const { chain, store, wallet, logger, maximumCommittees } = this.#options;
    const committee = await readCommittee(chain, id, generation);
    const index = indexOf(committee, wallet.address);
    const facts = { committee: String(id), generation };
    if (committee.status === "active" && index > 0) {
      logger.error(facts, "the shares of an active generation are missing: have this node replaced by itself");
    }
    if (committee.status !== "forming") return;
    const dealers = committee.from === 0 ? committee : await readCommittee(chain, id, committee.from);
    const dealer = indexOf(dealers, wallet.address);
    if (index === 0 && dealer === 0) return;
    const joined = new Set(store.all().map(({ committeeId }) => committeeId));
    if (dealer === 0 || committee.from === 0) {
      // Who has shares deals whatever the limit is; others are named by strangers.
      if (!joined.has(id) && joined.size >= maximumCommittees) {
        logger.warn({ ...facts, maximumCommittees }, "not joining: the limit of committees is reached");
        return;
      }
    }
    await this.#begin(committee, { index, dealer });
  }

  async #begin(committee: Committee, position: { readonly index: number; readonly dealer: number }): Promise<void> {
    const { chain, logger } = this.#options;
    await beginRun(this.#options, await readParties(chain, committee), position);
    this.#busyUntil = performance.now() + BUSY_MILLISECONDS;
    const { id, generation } = committee;
    logger.info({ committee: String(id), generation, ...pick(committee), ...position }, "run begun");
  }

  /** The chain was reorganised: what this node knows of the run is of another one, which had its number. */
  async #beginAgain(state: GenerationState, committee: Committee, dealers: Committee): Promise<undefined> {
    const { wallet, logger, onErased } = this.#options;
    const position = { index: indexOf(committee, wallet.address), dealer: indexOf(dealers, wallet.address) };
    if (position.index === 0 && position.dealer === 0) {
      this.#erase(state, "the chain was reorganised, and the generation of this number has other parties now");
      return;
    }
    this.#runs.delete(generationName(state));
    if (state.phase === "ready") onErased(state);
    logger.warn({ committee: String(committee.id), generation: committee.generation }, "run begins again");
    await this.#begin(committee, position);
  }

  /** @returns what is waited for */
  async #advanceOne(state: GenerationState): Promise<string | undefined> {
    if (state.phase === "ready" && state.isSettled) return await this.#retire(state);
    const { chain, wallet } = this.#options;
    const committee = await readCommittee(chain, state.committeeId, state.generation);
    const { status } = committee;
    if (status === "forming") return await this.#advanceForming(state, committee);
    if (committee.size !== state.size || committee.threshold !== state.threshold) throw reorganised();
    if (indexOf(committee, wallet.address) !== state.index) throw reorganised();
    if (status === "expired" || status === "abandoned") {
      this.#erase(state, `the run is over: the generation ${status === "expired" ? "has expired" : "was abandoned"}`);
      return undefined;
    }
    return await this.#follow(state, committee);
  }

  async #advanceForming(state: GenerationState, committee: Committee): Promise<string | undefined> {
    const { from, members } = committee;
    const dealers = from === 0 ? committee : await readCommittee(this.#options.chain, state.committeeId, from);
    const present = partiesHash({ run: committee, members, dealers: dealers.members });
    if (present !== state.partiesHash) return await this.#beginAgain(state, committee, dealers);
    if (state.phase === "failed") return undefined;
    return await this.#advanceRun(state, committee, dealers);
  }

  async #advanceRun(state: GenerationState, committee: Committee, dealers: Committee): Promise<string | undefined> {
    const { chain, store, wallet, logger } = this.#options;
    const run = await this.#runOf(state, committee);
    run.exchange.reach({ members: committee.members, dealers: dealers.members });
    const before = run.bulletin.version();
    await run.exchange.collect(run.bulletin, state, logger);
    const waiting = await run.steps.advance(state);
    if (run.bulletin.version() !== before) this.#busyUntil = performance.now() + BUSY_MILLISECONDS;
    const { result } = run.steps;
    if (waiting !== undefined || result === undefined) return waiting;
    const silent = run.exchange.withOtherTranscript(result.transcript);
    if (silent.length > 0) return waitsFor("the same transcript as this node's", silent);
    const { committeeId, generation } = state;
    const stated = await readAttestation(chain, committeeId, generation, wallet.address);
    if (stated !== result.keyMaterialHash) return await this.#attest(state, result);
    return await this.#missingAttestations(committee, result, store.find(state) ?? state);
  }

  async #attest({ committeeId, generation }: GenerationState, result: RunResult): Promise<undefined> {
    const { chain, sender, logger, chargeAttestation } = this.#options;
    chargeAttestation(committeeId);
    const call = attestGenerationCall(chain.deployment, committeeId, generation, result.generation.keys);
    const receipt = await sender.send(call);
    logger.info({ committee: String(committeeId), generation, transaction: receipt.hash }, "keys attested");
    return undefined;
  }

  async #missingAttestations(
    { id, generation, members }: Committee,
    { keyMaterialHash }: RunResult,
    { index }: GenerationState,
  ): Promise<string | undefined> {
    const { chain } = this.#options;
    const others = members.filter((member) => member.index !== index);
    const stated = await Promise.all(others.map(({ operator }) => readAttestation(chain, id, generation, operator)));
    const apart = others.filter((_, at) => stated[at] !== keyMaterialHash);
    return apart.length === 0 ? undefined : waitsFor("the same attestation as this node's", apart.map(nameOf));
  }

  /** The generation is, or was, active. */
  async #follow(state: GenerationState, committee: Committee): Promise<string | undefined> {
    const { store, logger } = this.#options;
    const { keyMaterialHash } = committee;
    const facts = { committee: String(committee.id), generation: committee.generation };
    if (state.index > 0 && (state.phase !== "ready" || state.keyMaterialHash !== keyMaterialHash)) {
      if (store.outcome(state, keyMaterialHash) === undefined) {
        // Shares of keys that never became final go like others, once a later generation is active for good.
        if (committee.status === "replaced") await this.#retire(state);
        if (store.find(state) === undefined) return undefined;
        throw otherKeys();
      }
      store.activate(state, keyMaterialHash);
      this.#problems.delete(generationName(state));
      this.#announce(state);
      logger.info(facts, "generation active");
    }
    if (!(await this.#isFinal(committee))) return undefined;
    this.#runs.delete(generationName(state));
    if (state.index > 0) store.settle(state);
    else this.#erase(state, "the run is over");
    return undefined;
  }

  /** Erases shares when a later generation is active for good. */
  async #retire(state: GenerationState): Promise<undefined> {
    const { chain, store, wallet } = this.#options;
    const { committeeId } = state;
    const { active } = await readCommitteeState(chain, committeeId);
    if (active <= state.generation) return undefined;
    const later = await readCommittee(chain, committeeId, active);
    // If the others have lost theirs as well, these are the last shares of the keys.
    const isMember = indexOf(later, wallet.address) > 0;
    if (isMember && store.find({ committeeId, generation: active })?.phase !== "ready") return undefined;
    if (await this.#isFinal(later)) this.#erase(state, `generation ${active} has replaced it`);
    return undefined;
  }

  async #isFinal({ activatedBlock }: Committee): Promise<boolean> {
    const { chain, eraseAfterBlocks } = this.#options;
    return (await chain.provider.getBlockNumber()) >= activatedBlock + eraseAfterBlocks;
  }

  #erase(id: GenerationState, why: string): void {
    const { store, logger, onErased } = this.#options;
    store.erase(id);
    this.#runs.delete(generationName(id));
    this.#problems.delete(generationName(id));
    onErased(id);
    logger.info({ committee: String(id.committeeId), generation: id.generation }, `generation erased: ${why}`);
  }

  async #runOf(state: GenerationState, committee: Committee): Promise<Run> {
    const known = this.#runs.get(generationName(state));
    if (known !== undefined) return known;
    const { chain, store, wallet } = this.#options;
    const parties = await readParties(chain, committee);
    const bulletin = new Bulletin(store, state, parties);
    const steps = new RunSteps(this.#options, parties, bulletin);
    const run = { parties, bulletin, steps, exchange: new Exchange(parties, wallet.address) };
    this.#runs.set(generationName(state), run);
    return run;
  }

  #announce(state: GenerationState): void {
    const { store, chain, onReady } = this.#options;
    const { generation, shares, keyMaterialHash } = store.used(state);
    const { committeeId, index, size, threshold } = state;
    const { oprf, record } = decodeMemberShares(scopeOf(chain.deployment, committeeId), generation, index, shares);
    record.fill(0);
    shares.fill(0);
    const verificationShare = generation.keys.oprf.verificationShares[index - 1] as Uint8Array;
    onReady({
      committeeId,
      generation: generation.generation,
      keyMaterialHash,
      index,
      size,
      threshold,
      keyShare: oprf,
      verificationShare,
    });
  }

  #fail(state: GenerationState, cause: unknown): void {
    const { store, logger } = this.#options;
    const problem = cause instanceof Error ? cause.message : String(cause);
    const facts = { committee: String(state.committeeId), generation: state.generation };
    const isBreach = cause instanceof CommitteeFaultError || cause instanceof RunOver;
    if (isBreach && state.phase !== "ready") {
      store.fail(state, problem);
      this.#runs.delete(generationName(state));
      logger.error(facts, problem);
      return;
    }
    this.#note(state, problem);
    // The background loop reports it.
    if (cause instanceof TallystickError && cause.code === "CHAIN_UNAVAILABLE") throw cause;
  }

  #note(state: GenerationState, problem: string | undefined): void {
    const name = generationName(state);
    if (this.#problems.get(name) === problem) return;
    if (problem === undefined) this.#problems.delete(name);
    else {
      this.#problems.set(name, problem);
      this.#options.logger.debug({ committee: String(state.committeeId), generation: state.generation }, problem);
    }
  }
}

function indexOf({ members }: Committee, operator: string): number {
  return members.find((member) => member.operator === operator)?.index ?? 0;
}

function nameOf({ index, operator }: { readonly index: number; readonly operator: string }): string {
  return `member ${index} (${operator})`;
}

function pick({ from, size, threshold }: Committee) {
  return { from, size, threshold };
}
