/**
 * What this node serves to fellow members. Round-1 broadcasts are public commitments. A round-2 message is served only
 * to the member that it is sealed to, which signs its request with its operator key, and only until the key is active:
 * afterwards it is erased (key-state-store.ts).
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { type Committee, readCommittee } from "../../chain/registry.ts";
import { type KeyId, keyName } from "../../core/dkg/key-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  type DkgRound1Answer,
  type DkgRound2Answer,
  type DkgRound2Request,
  MAXIMUM_ROUND2_REQUEST_SECONDS,
} from "../../core/wire/nbm.ts";
import { cachedFor } from "../../daemon/cached.ts";
import { checkExpiry } from "../../daemon/request-time.ts";
import type { KeyState, KeyStateStore } from "./key-state-store.ts";
import type { DkgRounds } from "./rounds.ts";
import { checkMessage, round2RequestMessage } from "./signed-messages.ts";

export interface DkgAnswersOptions {
  readonly chain: ChainReader;
  readonly store: KeyStateStore;
  readonly rounds: DkgRounds;
  /** Unix seconds; the system's clock unless given. */
  readonly now?: () => number;
}

/** How long the members of a committee are used again: anybody may send a request that is checked against them. */
const COMMITTEE_MILLISECONDS = 10_000;

export class DkgAnswers {
  readonly #options: DkgAnswersOptions;
  readonly #committees = new Map<bigint, () => Promise<Committee>>();
  readonly #now: () => number;

  constructor(options: DkgAnswersOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  /** This node's round-1 message. @throws TallystickError NOT_FOUND when it takes no part in this key generation. */
  round1(key: KeyId): DkgRound1Answer {
    const state = this.#require(key);
    const own = this.#options.store.broadcasts(key).get(state.index);
    if (own === undefined) throw notThere("round 1", true);
    return {
      ...named(state),
      index: state.index,
      broadcast: toHex(own.bytes),
      signature: own.signature,
    };
  }

  /**
   * This node's round-2 message to the member that signed the request.
   *
   * @throws TallystickError NOT_FOUND before round 2 and after activation
   * @throws InvalidSignatureError when the request has expired, or is not signed by the operator key of member `to`
   */
  async round2(key: KeyId, { to, expiresAt, signature }: DkgRound2Request): Promise<DkgRound2Answer> {
    const { store, rounds } = this.#options;
    const state = this.#require(key);
    if (state.phase === "ready" || state.phase === "failed") throw notThere("round 2", false);
    checkExpiry("the request for a round-2 message", {
      expiresAt,
      now: this.#now(),
      maximumSeconds: MAXIMUM_ROUND2_REQUEST_SECONDS,
    });
    const { members } = await this.#committee(key.committeeId);
    const member = members[to - 1];
    if (member === undefined || to === state.index) throw notThere("round 2", false);
    const typed = round2RequestMessage(rounds.scope(key), { from: state.index, to, expiresAt });
    checkMessage(member.operator, to, typed, signature);
    const outgoing = store.outgoing(key, to);
    if (outgoing === undefined || state.transcript === undefined) throw notThere("round 2", true);
    return {
      ...named(state),
      from: state.index,
      to,
      transcript: toHex(state.transcript),
      sealed: toHex(outgoing.bytes),
      signature: outgoing.signature,
    };
  }

  /** Of a committee that this node is in, so that there are few. */
  #committee(id: bigint): Promise<Committee> {
    let read = this.#committees.get(id);
    if (read === undefined) {
      read = cachedFor(COMMITTEE_MILLISECONDS, () => readCommittee(this.#options.chain, id));
      this.#committees.set(id, read);
    }
    return read();
  }

  #require(key: KeyId): KeyState {
    const state = this.#options.store.find(key);
    if (state !== undefined) return state;
    throw new TallystickError(`this node takes no part in key ${keyName(key)}`, {
      code: "NOT_FOUND",
      check: "committee and generation",
    });
  }
}

function named({ committeeId, generation, purpose }: KeyId) {
  return { committeeId: String(committeeId), generation, purpose };
}

function notThere(what: string, later: boolean): TallystickError {
  return new TallystickError(`this node has no message of ${what} here${later ? " yet" : ""}`, {
    code: "NOT_FOUND",
    check: "key generation",
    retryable: later,
  });
}
