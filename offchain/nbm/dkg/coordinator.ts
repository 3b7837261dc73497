/**
 * Runs this node's part in the key generation of every committee it belongs to, from the chain's announcement to the key that all
 * members have attested. Pull-based: each member offers what it has said under a URL and fetches what the others have said, again
 * and again until it is there; whatever is offered is on disk first. So members may start, stop and be killed in any order.
 *
 * The protocol itself is core/dkg/dkg.ts. What stands in for its broadcast channel: round-2 messages name the hash of all
 * broadcasts, and the chain activates a committee only when every member has attested the same keys.
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
import { hpkeOpen, hpkeSeal } from "../../core/crypto/hpke.ts";
import { DkgFaultError, type DkgParameters, dkgFinish, dkgRound1, dkgRound2 } from "../../core/dkg/dkg.ts";
import { hashBroadcasts } from "../../core/dkg/messages.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { IntegrityError, InvalidPointError, TallystickError } from "../../core/errors.ts";
import { DkgRound1Answer, DkgRound2Answer } from "../../core/wire/nbm.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { ServedCommittee } from "../oprf/oprf-service.ts";
import type { CommitteeState, CommitteeStore, SignedBytes } from "./committee-store.ts";
import { getFromPeer } from "./peer.ts";
import {
  checkMessage,
  DKG_SHARE_INFO,
  type DkgScope,
  dkgShareContext,
  round1Message,
  round2Message,
  signMessage,
} from "./signed-messages.ts";
import { Attestations, missingOf, waitsFor } from "./waiting.ts";

export interface DkgCoordinatorOptions {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly wallet: Wallet;
  readonly hpkePrivateKey: Uint8Array;
  readonly store: CommitteeStore;
  readonly logger: Logger;
  readonly maximumCommittees: number;
  /** Called once per committee and process, when its key may be used. */
  readonly onReady: (committee: ServedCommittee) => void;
}

/** A member broke the protocol in a way no retry mends. */
class ProtocolBreach extends Error {}

function bytesByMember(signed: ReadonlyMap<number, SignedBytes>): Map<number, Uint8Array> {
  return new Map([...signed].map(([member, { bytes }]) => [member, bytes]));
}

export class DkgCoordinator {
  readonly #options: DkgCoordinatorOptions;
  /** Next committee number of the registry to look at. */
  #nextId = 1n;
  #joined = 0;
  readonly #lastProblem = new Map<bigint, string>();
  readonly #attestations: Attestations;

  constructor(options: DkgCoordinatorOptions) {
    this.#options = options;
    this.#attestations = new Attestations(options.chain, options.wallet.address);
    const states = options.store.all();
    this.#joined = states.length;
    for (const state of states) if (state.phase === "ready") this.#announce(state);
  }

  /** Takes every key generation as far as it goes now. Failures of one do not keep the others from going on. */
  async advance(): Promise<void> {
    await this.#discover();
    for (const state of this.#options.store.all()) {
      if (state.phase === "ready" || state.phase === "failed") continue;
      try {
        await this.#advanceOne(state.id);
        this.#lastProblem.delete(state.id);
      } catch (cause) {
        this.#note(state.id, cause);
      }
    }
  }

  /** This node's round-1 message. @throws TallystickError NOT_FOUND before there is one. */
  round1(committeeId: bigint): DkgRound1Answer {
    const state = this.#require(committeeId);
    const own = this.#options.store.broadcasts(committeeId).get(state.index);
    if (own === undefined) throw notYet("round 1");
    return {
      committeeId: String(committeeId),
      index: state.index,
      broadcast: toHex(own.bytes),
      signature: own.signature,
    };
  }

  /** This node's round-2 message to a member. @throws TallystickError NOT_FOUND before there is one. */
  round2(committeeId: bigint, recipient: number): DkgRound2Answer {
    const state = this.#require(committeeId);
    const outgoing = this.#options.store.outgoing(committeeId, recipient);
    if (outgoing === undefined || state.transcript === undefined) throw notYet("round 2");
    return {
      committeeId: String(committeeId),
      from: state.index,
      to: recipient,
      transcript: toHex(state.transcript),
      sealed: toHex(outgoing.bytes),
      signature: outgoing.signature,
    };
  }

  /** Why a key generation does not get on, for the node's own description. */
  problemOf(state: CommitteeState): string | undefined {
    return state.problem ?? this.#lastProblem.get(state.id);
  }

  async #discover(): Promise<void> {
    const { chain, wallet, store, logger, maximumCommittees } = this.#options;
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
      if (own === undefined || store.find(committee.id) !== undefined) continue;
      const id = String(committee.id);
      if (committee.status === "active") {
        logger.error({ committee: id }, "the key share of an active committee is missing from the database");
      } else if (this.#joined >= maximumCommittees) {
        logger.warn({ committee: id, maximumCommittees }, "not joining: the limit of committees is reached");
      } else {
        await this.#join(committee, own.index);
      }
    }
  }

  async #join(committee: Committee, index: number): Promise<void> {
    const { store, wallet, logger } = this.#options;
    const { id, size, threshold } = committee;
    const { secret, broadcast } = dkgRound1({ committeeId: id, size, threshold, index });
    const signature = await signMessage(wallet, round1Message(this.#scope(id), index, broadcast));
    store.begin({ id, size, threshold, index }, secret, { bytes: broadcast, signature });
    this.#joined += 1;
    logger.info({ committee: String(id), size, threshold, index }, "key generation begun");
  }

  async #advanceOne(id: bigint): Promise<void> {
    const { chain, store } = this.#options;
    const committee = await readCommittee(chain, id);
    for (;;) {
      const state = this.#require(id);
      const own = committee.members[state.index - 1]?.operator;
      if (committee.size !== state.size || committee.threshold !== state.threshold || own !== this.#address()) {
        throw new ProtocolBreach("the chain was reorganised: the committee of this number is another one now");
      }
      let moved: boolean;
      if (state.phase === "round1") moved = await this.#collectBroadcasts(state, committee);
      else if (state.phase === "round2") moved = await this.#collectShares(state, committee);
      else if (state.phase === "attesting") moved = await this.#attest(state, committee);
      else return;
      if (!moved || store.find(id)?.phase === state.phase) return;
    }
  }

  /** Round 1: keeps the others' broadcasts; when all are there, makes and keeps the round-2 messages. */
  async #collectBroadcasts(state: CommitteeState, committee: Committee): Promise<boolean> {
    const { store, wallet } = this.#options;
    const { id, size, threshold, index } = state;
    const known = store.broadcasts(id);
    await this.#fromEach(
      committee,
      (member) => known.has(member),
      async (member) => {
        const answer = await getFromPeer(member.url, `/v1/dkg/${id}/round1`, DkgRound1Answer, partyOf(member));
        if (answer === undefined) return;
        const bytes = fromHex(answer.broadcast);
        checkMessage(
          member.operator,
          member.index,
          round1Message(this.#scope(id), member.index, bytes),
          answer.signature,
        );
        store.addBroadcast(id, member.index, { bytes, signature: answer.signature });
      },
    );
    const broadcasts = bytesByMember(store.broadcasts(id));
    if (broadcasts.size < size) throw waitsFor("round 1", missingOf(committee, index, broadcasts));

    const parameters: DkgParameters = { committeeId: id, size, threshold, index };
    const { secret, sharesFor } = breachIfRefused(() => dkgRound2(parameters, store.dkgSecret(id), broadcasts));
    const transcript = hashBroadcasts([...broadcasts].sort(([a], [b]) => a - b).map(([, broadcast]) => broadcast));
    const outgoing = new Map<number, SignedBytes>();
    for (const { index: to, hpkePublicKey, operator } of committee.members) {
      const share = sharesFor.get(to);
      if (to === index || share === undefined) continue;
      if (hpkePublicKey.length !== 32) throw new ProtocolBreach(`member ${to} (${operator}) has left the registry`);
      const context = dkgShareContext(id, index, to, transcript);
      const sealed = await hpkeSeal(hpkePublicKey, DKG_SHARE_INFO, context, share).catch((cause: unknown) => {
        if (!(cause instanceof InvalidPointError)) throw cause;
        throw new ProtocolBreach(`member ${to} (${operator}) registered a key that no share can be sealed to`);
      });
      const typed = round2Message(this.#scope(id), { from: index, to, transcript, sealed });
      outgoing.set(to, { bytes: sealed, signature: await signMessage(wallet, typed) });
    }
    store.enterRound2(id, { secret, transcript, outgoing });
    return true;
  }

  /** Round 2: opens and keeps the shares meant for this node; when all are there, computes the key share. */
  async #collectShares(state: CommitteeState, committee: Committee): Promise<boolean> {
    const { store } = this.#options;
    const { id, size, threshold, index } = state;
    const known = store.incoming(id);
    await this.#fromEach(
      committee,
      (member) => known.has(member),
      async (member) => {
        const path = `/v1/dkg/${id}/round2/${index}`;
        const answer = await getFromPeer(member.url, path, DkgRound2Answer, partyOf(member));
        if (answer !== undefined) store.addIncoming(id, member.index, await this.#openShare(state, member, answer));
      },
    );
    const received = store.incoming(id);
    if (received.size < size - 1) throw waitsFor("round 2", missingOf(committee, index, received));

    const parameters: DkgParameters = { committeeId: id, size, threshold, index };
    const broadcasts = bytesByMember(store.broadcasts(id));
    const result = breachIfRefused(() => dkgFinish(parameters, store.dkgSecret(id), broadcasts, received));
    store.finish(id, result);
    this.#options.logger.info({ committee: String(id) }, "key share computed");
    return true;
  }

  async #openShare(state: CommitteeState, member: Committee["members"][number], answer: DkgRound2Answer) {
    const { id, index, transcript } = state;
    const sealed = fromHex(answer.sealed);
    const theirs = fromHex(answer.transcript, 32);
    const typed = round2Message(this.#scope(id), { from: member.index, to: index, transcript: theirs, sealed });
    checkMessage(member.operator, member.index, typed, answer.signature);
    if (transcript === undefined || !equalBytes(theirs, transcript)) {
      throw new ProtocolBreach(
        `member ${member.index} (${member.operator}) saw other round-1 broadcasts: one of the members showed different ones`,
      );
    }
    try {
      const context = dkgShareContext(id, member.index, index, transcript);
      return await hpkeOpen(this.#options.hpkePrivateKey, DKG_SHARE_INFO, context, sealed);
    } catch (cause) {
      if (!(cause instanceof IntegrityError)) throw cause;
      throw new ProtocolBreach(`member ${member.index} (${member.operator}) sealed a share that does not open`);
    }
  }

  /** States the result on chain, and takes the committee into service when all members have stated the same. */
  async #attest(state: CommitteeState, committee: Committee): Promise<boolean> {
    const { chain, sender, store, logger } = this.#options;
    const { id } = state;
    const keys = store.keyMaterial(id);
    if (committee.status === "active") {
      if (!equalBytes(committee.groupPublicKey, keys.groupPublicKey)) {
        throw new ProtocolBreach("the committee became active with another key");
      }
      store.activate(id);
      this.#announce({ ...state, phase: "ready" });
      logger.info({ committee: String(id), groupPublicKey: toHex(keys.groupPublicKey) }, "committee active");
      return true;
    }
    const stated = keyMaterialHash(keys.groupPublicKey, keys.verificationShares);
    if ((await readAttestation(chain, id, this.#address())) !== stated) {
      const call = attestCommitteeCall(chain.deployment, id, keys.groupPublicKey, keys.verificationShares);
      const receipt = await sender.send(call);
      logger.info({ committee: String(id), transaction: receipt.hash }, "key attested");
      return false;
    }
    await this.#attestations.require(committee, stated);
    return false;
  }

  #announce(state: CommitteeState): void {
    const { id, index, size, threshold } = state;
    const { keyShare, verificationShares } = this.#options.store.keyMaterial(id);
    const verificationShare = verificationShares[index - 1];
    if (verificationShare === undefined) {
      throw new TallystickError("the node's database lacks its verification share", { code: "INTERNAL" });
    }
    this.#options.onReady({ id, index, size, threshold, keyShare, verificationShare });
  }

  /** Asks all other members that are still missing, side by side; throws the first failure once all have been asked. */
  async #fromEach(
    committee: Committee,
    isKnown: (member: number) => boolean,
    ask: (member: Committee["members"][number]) => Promise<void>,
  ): Promise<void> {
    const missing = committee.members.filter(({ index, operator }) => operator !== this.#address() && !isKnown(index));
    const outcomes = await Promise.allSettled(missing.map(ask));
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    const worst = failures.find((reason) => reason instanceof ProtocolBreach) ?? failures[0];
    if (worst !== undefined) throw worst;
  }

  #note(id: bigint, cause: unknown): void {
    const { store, logger } = this.#options;
    const problem = cause instanceof Error ? cause.message : String(cause);
    if (cause instanceof ProtocolBreach) {
      store.fail(id, problem);
      logger.error({ committee: String(id), problem }, "key generation failed for good");
      return;
    }
    // A peer that is down would otherwise fill the log at every look.
    if (this.#lastProblem.get(id) === problem) return;
    this.#lastProblem.set(id, problem);
    const expected = cause instanceof TallystickError && cause.code !== "INTERNAL";
    logger[expected ? "info" : "error"]({ committee: String(id), err: cause }, "key generation waits");
  }

  #address(): string {
    return this.#options.wallet.address;
  }

  #scope(committeeId: bigint): DkgScope {
    const { chainId, contracts } = this.#options.chain.deployment;
    return { chainId: BigInt(chainId), registry: contracts.nodeRegistry, committeeId };
  }

  #require(id: bigint): CommitteeState {
    const state = this.#options.store.find(id);
    if (state === undefined) {
      throw new TallystickError(`this node takes no part in committee ${id}`, {
        code: "NOT_FOUND",
        check: "committee",
      });
    }
    return state;
  }
}

function partyOf({ index, operator, url }: Committee["members"][number]): string {
  return `member ${index}, node ${operator} at ${url}`;
}

function notYet(what: string): TallystickError {
  return new TallystickError(`${what} of the key generation is not there yet`, {
    code: "NOT_FOUND",
    check: "key generation",
    retryable: true,
  });
}

/** The protocol's own refusals name the member at fault and are final. */
function breachIfRefused<Result>(step: () => Result): Result {
  try {
    return step();
  } catch (cause) {
    if (!(cause instanceof DkgFaultError)) throw cause;
    throw new ProtocolBreach(cause.message, { cause });
  }
}
