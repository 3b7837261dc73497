/**
 * Decides which key generations this node takes part in, and which member is asked for which message when, from the
 * chain's announcement to the key that all members have attested. Pull-based: each member serves the messages it has
 * sent (answers.ts) and polls the others for theirs. Everything served is on disk first, so members may start, stop and
 * be killed in any order.
 *
 * What replaces the protocol's broadcast channel: round-2 messages name the hash of all broadcasts (transcript.ts), and
 * the chain activates a committee only when every member has attested the same keys.
 */

import type { Wallet } from "ethers";
import { equalBytes } from "#primitives";
import type { ChainReader } from "../../chain/deployment.ts";
import {
  attestCommitteeCall,
  type Committee,
  keyMaterialHash,
  readAttestation,
  readCommittee,
} from "../../chain/registry.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import { keyName, oprfKey } from "../../core/dkg/key-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { DkgRound1Answer, DkgRound2Answer, MAXIMUM_ROUND2_REQUEST_SECONDS } from "../../core/wire/nbm.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { ServedKey } from "../oprf/oprf-service.ts";
import { ProtocolBreach } from "./breach.ts";
import type { KeyState, KeyStateStore } from "./key-state-store.ts";
import { askPeer } from "./peer.ts";
import type { DkgRounds } from "./rounds.ts";
import { round2RequestMessage, signMessage } from "./signed-messages.ts";
import { Attestations } from "./waiting.ts";

export interface DkgCoordinatorOptions {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly wallet: Wallet;
  readonly store: KeyStateStore;
  readonly rounds: DkgRounds;
  readonly logger: Logger;
  readonly maximumCommittees: number;
  /** Called once per key and process, when the key may be used. */
  readonly onReady: (key: ServedKey) => void;
}

type Member = Committee["members"][number];

export class DkgCoordinator {
  readonly #options: DkgCoordinatorOptions;
  /** Next committee number of the registry to look at. */
  #nextId = 1n;
  readonly #joined: Set<bigint>;
  readonly #lastProblem = new Map<string, string>();
  readonly #attestations: Attestations;

  constructor(options: DkgCoordinatorOptions) {
    this.#options = options;
    this.#attestations = new Attestations(options.chain, options.wallet.address);
    const states = options.store.all();
    this.#joined = new Set(states.map(({ committeeId }) => committeeId));
    for (const state of states) if (state.phase === "ready") this.#announce(state);
  }

  /** Takes every key generation as far as possible now. A failure of one does not stop the others. */
  async advance(): Promise<void> {
    await this.#discover();
    for (const state of this.#options.store.all()) {
      if (state.phase === "ready" || state.phase === "failed") continue;
      try {
        await this.#advanceOne(state);
        this.#lastProblem.delete(keyName(state));
      } catch (cause) {
        this.#note(state, cause);
      }
    }
  }

  /** Why a key generation does not advance, for the node's own description. */
  problemOf(state: KeyState): string | undefined {
    return state.problem ?? this.#lastProblem.get(keyName(state));
  }

  async #discover(): Promise<void> {
    const { chain, wallet, logger, maximumCommittees } = this.#options;
    for (;;) {
      let committee: Committee;
      try {
        committee = await readCommittee(chain, this.#nextId);
      } catch (cause) {
        if (cause instanceof TallystickError && cause.code === "NOT_FOUND") return;
        throw cause;
      }
      this.#nextId += 1n;
      const own = committee.members.find(({ operator }) => operator === wallet.address);
      if (own === undefined || this.#joined.has(committee.id)) continue;
      const id = String(committee.id);
      if (committee.status === "active") {
        logger.error({ committee: id }, "the key share of an active committee is missing from the database");
      } else if (this.#joined.size >= maximumCommittees) {
        logger.warn({ committee: id, maximumCommittees }, "not joining: the limit of committees is reached");
      } else {
        await this.#join(committee, own.index);
      }
    }
  }

  async #join({ id, size, threshold }: Committee, index: number): Promise<void> {
    const { rounds, logger } = this.#options;
    await rounds.begin({ ...oprfKey(id), size, threshold, index });
    this.#joined.add(id);
    logger.info({ committee: String(id), size, threshold, index }, "key generation begun");
  }

  async #advanceOne(started: KeyState): Promise<void> {
    const { chain, store, wallet } = this.#options;
    const committee = await readCommittee(chain, started.committeeId);
    const own = committee.members[started.index - 1]?.operator;
    if (committee.size !== started.size || committee.threshold !== started.threshold || own !== wallet.address) {
      throw new ProtocolBreach("the chain was reorganised: the committee of this number is another one now");
    }
    let state: KeyState | undefined = started;
    while (state !== undefined) {
      const { phase }: KeyState = state;
      if (phase === "round1") await this.#collectBroadcasts(state, committee);
      else if (phase === "round2") await this.#collectShares(state, committee);
      else return phase === "attesting" ? await this.#attest(state, committee) : undefined;
      state = store.find(state);
    }
  }

  /** Round 1: asks for the missing broadcasts; enters round 2 when all are there. */
  async #collectBroadcasts(state: KeyState, committee: Committee): Promise<void> {
    const { store, rounds } = this.#options;
    await this.#askMissing(committee, store.broadcasts(state), async (member) => {
      const answer = await askPeer(member.url, `${pathOf(state)}/round1`, DkgRound1Answer, partyOf(member));
      if (answer !== undefined) rounds.acceptBroadcast(state, member, answer);
    });
    await rounds.enterRound2(state, committee);
  }

  /** Round 2: asks for the missing shares; computes the key share when all are there. */
  async #collectShares(state: KeyState, committee: Committee): Promise<void> {
    const { store, rounds, logger } = this.#options;
    await this.#askMissing(committee, store.incoming(state), async (member) => {
      const body = await this.#signRound2Request(state, member.index);
      const answer = await askPeer(member.url, `${pathOf(state)}/round2`, DkgRound2Answer, partyOf(member), body);
      if (answer !== undefined) await rounds.acceptShare(state, member, answer);
    });
    rounds.finish(state, committee);
    logger.info({ committee: String(state.committeeId), generation: state.generation }, "key share computed");
  }

  async #signRound2Request(state: KeyState, from: number): Promise<object> {
    const { rounds, wallet } = this.#options;
    const to = state.index;
    const expiresAt = Math.floor(Date.now() / 1000) + MAXIMUM_ROUND2_REQUEST_SECONDS;
    const typed = round2RequestMessage(rounds.scope(state), { from, to, expiresAt });
    return { to, expiresAt, signature: await signMessage(wallet, typed) };
  }

  /** Attests the result on chain, and takes the key into service when all members have attested the same. */
  async #attest(state: KeyState, committee: Committee): Promise<void> {
    const { chain, sender, store, logger, wallet } = this.#options;
    const { committeeId: id, generation } = state;
    const keys = store.keyMaterial(state);
    if (committee.status === "active") {
      if (!equalBytes(committee.groupPublicKey, keys.groupPublicKey)) {
        throw new ProtocolBreach("the committee became active with another key");
      }
      store.activate(state);
      this.#announce({ ...state, phase: "ready" });
      logger.info(
        { committee: String(id), generation, groupPublicKey: toHex(keys.groupPublicKey) },
        "committee active",
      );
      return;
    }
    const stated = keyMaterialHash(keys.groupPublicKey, keys.verificationShares);
    if ((await readAttestation(chain, id, wallet.address)) !== stated) {
      const call = attestCommitteeCall(chain.deployment, id, keys.groupPublicKey, keys.verificationShares);
      const receipt = await sender.send(call);
      logger.info({ committee: String(id), transaction: receipt.hash }, "key attested");
      return;
    }
    await this.#attestations.require(committee, stated);
  }

  #announce(state: KeyState): void {
    const { keyShare, verificationShares } = this.#options.store.keyMaterial(state);
    const verificationShare = verificationShares[state.index - 1];
    if (verificationShare === undefined) {
      throw new TallystickError("the node's database lacks its verification share", { code: "INTERNAL" });
    }
    const { committeeId, generation, purpose, index, size, threshold } = state;
    this.#options.onReady({ committeeId, generation, purpose, index, size, threshold, keyShare, verificationShare });
  }

  /** Asks all members whose message is missing, side by side; throws the worst failure once all have been asked. */
  async #askMissing(
    committee: Committee,
    known: ReadonlyMap<number, unknown>,
    ask: (member: Member) => Promise<void>,
  ): Promise<void> {
    const { address } = this.#options.wallet;
    const missing = committee.members.filter(({ index, operator }) => operator !== address && !known.has(index));
    const outcomes = await Promise.allSettled(missing.map(ask));
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    const worst = failures.find((reason) => reason instanceof ProtocolBreach) ?? failures[0];
    if (worst !== undefined) throw worst;
  }

  #note(state: KeyState, cause: unknown): void {
    const { store, logger } = this.#options;
    const committee = String(state.committeeId);
    const problem = cause instanceof Error ? cause.message : String(cause);
    if (cause instanceof ProtocolBreach) {
      store.fail(state, problem);
      logger.error({ committee, generation: state.generation, problem }, "key generation failed for good");
      return;
    }
    // Logged once per problem: otherwise an unreachable peer adds a line at every poll.
    const name = keyName(state);
    if (this.#lastProblem.get(name) === problem) return;
    this.#lastProblem.set(name, problem);
    const expected = cause instanceof TallystickError && cause.code !== "INTERNAL";
    logger[expected ? "info" : "error"]({ committee, err: cause }, "key generation waits");
  }
}

function pathOf(state: KeyState): string {
  return `/v1/dkg/${keyName(state)}`;
}

function partyOf({ index, operator, url }: Member): string {
  return `member ${index}, node ${operator} at ${url}`;
}
