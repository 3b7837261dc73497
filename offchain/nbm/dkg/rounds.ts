/**
 * The rounds of a key generation as steps over the store: each takes one key state as far as the messages at hand allow
 * and keeps the result. Who is asked for messages, and when, is in coordinator.ts; the protocol itself is
 * core/dkg/dkg.ts.
 */

import type { Wallet } from "ethers";
import type { Deployment } from "../../chain/deployment.ts";
import type { Committee } from "../../chain/registry.ts";
import { hpkeOpen, hpkeSeal } from "../../core/crypto/hpke.ts";
import { dkgCheckShare, dkgFinish, dkgRound1, dkgRound2 } from "../../core/dkg/dkg.ts";
import type { KeyId } from "../../core/dkg/key-id.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { IntegrityError, InvalidPointError } from "../../core/errors.ts";
import type { DkgRound1Answer, DkgRound2Answer } from "../../core/wire/nbm.ts";
import { breachIfRefused, ProtocolBreach } from "./breach.ts";
import type { KeyState, KeyStateStore, SignedBytes } from "./key-state-store.ts";
import {
  checkMessage,
  DKG_SHARE_INFO,
  type DkgScope,
  dkgShareContext,
  round1Message,
  round2Message,
  signMessage,
} from "./signed-messages.ts";
import { requireSameTranscript, transcriptOf } from "./transcript.ts";
import { missingOf, waitsFor } from "./waiting.ts";

const HPKE_KEY_BYTES = 32;
const TRANSCRIPT_BYTES = 32;

type Member = Committee["members"][number];

export interface DkgRoundsOptions {
  readonly deployment: Deployment;
  readonly wallet: Wallet;
  readonly hpkePrivateKey: Uint8Array;
  readonly store: KeyStateStore;
}

export class DkgRounds {
  readonly #options: DkgRoundsOptions;

  constructor(options: DkgRoundsOptions) {
    this.#options = options;
  }

  /** The chain, registry and key that signed messages name. */
  scope({ committeeId, generation, purpose }: KeyId): DkgScope {
    const { chainId, contracts } = this.#options.deployment;
    const key = { committeeId, generation, purpose };
    return { chainId: BigInt(chainId), registry: contracts.nodeRegistry, key };
  }

  /** Round 1: makes and keeps this node's polynomial and broadcast. */
  async begin(state: Omit<KeyState, "phase">): Promise<void> {
    const { store, wallet } = this.#options;
    const { secret, broadcast } = dkgRound1(state);
    const signature = await signMessage(wallet, round1Message(this.scope(state), state.index, broadcast));
    store.begin(state, secret, { bytes: broadcast, signature });
  }

  /** Keeps a member's broadcast. @throws InvalidSignatureError when it is not signed by the member's operator key. */
  acceptBroadcast(key: KeyId, member: Member, answer: DkgRound1Answer): void {
    const bytes = fromHex(answer.broadcast);
    const typed = round1Message(this.scope(key), member.index, bytes);
    checkMessage(member.operator, member.index, typed, answer.signature);
    this.#options.store.addBroadcast(key, member.index, { bytes, signature: answer.signature });
  }

  /**
   * Enters round 2: makes and keeps the messages to all other members.
   *
   * @throws TallystickError NOT_FOUND naming the members whose broadcast is missing
   * @throws ProtocolBreach when a broadcast does not check, or a member cannot be sealed to
   */
  async enterRound2(state: KeyState, committee: Committee): Promise<void> {
    const { store, wallet } = this.#options;
    const signed = store.broadcasts(state);
    if (signed.size < state.size) throw waitsFor("round 1", missingOf(committee, state.index, signed));
    const { broadcasts, hash: transcript } = transcriptOf(signed);
    const { secret, sharesFor } = breachIfRefused(() => dkgRound2(state, store.dkgSecret(state), broadcasts));
    const outgoing = new Map<number, SignedBytes>();
    for (const member of committee.members) {
      const share = sharesFor.get(member.index);
      if (member.index === state.index || share === undefined) continue;
      const sealed = await this.#sealShare(state, member, transcript, share);
      const fields = { from: state.index, to: member.index, transcript, sealed };
      const signature = await signMessage(wallet, round2Message(this.scope(state), fields));
      outgoing.set(member.index, { bytes: sealed, signature });
    }
    store.enterRound2(state, { secret, transcript, outgoing });
  }

  /**
   * Opens, checks and keeps the share in a member's round-2 message.
   *
   * @throws InvalidSignatureError when the message is not signed by the member's operator key
   * @throws ProtocolBreach when the member signed another transcript, or a share that does not open or does not fit its
   *   commitments
   */
  async acceptShare(state: KeyState, member: Member, answer: DkgRound2Answer): Promise<void> {
    const { store, hpkePrivateKey } = this.#options;
    const sealed = fromHex(answer.sealed);
    const theirs = fromHex(answer.transcript, TRANSCRIPT_BYTES);
    const scope = this.scope(state);
    const typed = round2Message(scope, { from: member.index, to: state.index, transcript: theirs, sealed });
    checkMessage(member.operator, member.index, typed, answer.signature);
    requireSameTranscript(state.transcript, theirs, member);
    const context = dkgShareContext(scope, member.index, state.index, theirs);
    const share = await hpkeOpen(hpkePrivateKey, DKG_SHARE_INFO, context, sealed).catch((cause: unknown) => {
      if (!(cause instanceof IntegrityError)) throw cause;
      throw new ProtocolBreach(`member ${member.index} (${member.operator}) sealed a share that does not open`);
    });
    try {
      const broadcast = store.broadcasts(state).get(member.index);
      if (broadcast === undefined) throw waitsFor("round 1", [member]);
      breachIfRefused(() => dkgCheckShare(state, member.index, broadcast.bytes, share));
      store.addIncoming(state, member.index, share);
    } finally {
      share.fill(0);
    }
  }

  /**
   * Computes and keeps the key share; what remains is to attest the keys on chain.
   *
   * @throws TallystickError NOT_FOUND naming the members whose share is missing
   * @throws ProtocolBreach when a share does not fit its sender's commitments
   */
  finish(state: KeyState, committee: Committee): void {
    const { store } = this.#options;
    const received = store.incoming(state);
    if (received.size < state.size - 1) throw waitsFor("round 2", missingOf(committee, state.index, received));
    const { broadcasts } = transcriptOf(store.broadcasts(state));
    const result = breachIfRefused(() => dkgFinish(state, store.dkgSecret(state), broadcasts, received));
    store.finish(state, result);
  }

  async #sealShare(state: KeyState, member: Member, transcript: Uint8Array, share: Uint8Array): Promise<Uint8Array> {
    const { index, operator, hpkePublicKey } = member;
    if (hpkePublicKey.length !== HPKE_KEY_BYTES) {
      throw new ProtocolBreach(`member ${index} (${operator}) has left the registry`);
    }
    const context = dkgShareContext(this.scope(state), state.index, index, transcript);
    return await hpkeSeal(hpkePublicKey, DKG_SHARE_INFO, context, share).catch((cause: unknown) => {
      if (!(cause instanceof InvalidPointError)) throw cause;
      throw new ProtocolBreach(`member ${index} (${operator}) registered a key that no share can be sealed to`);
    });
  }
}
