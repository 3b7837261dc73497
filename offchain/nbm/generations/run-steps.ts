/**
 * The steps of one run at this node: each takes it as far as the messages at hand allow, and keeps what it made before
 * anybody can see it. Who is asked for messages, and what the chain says, is in coordinator.ts; the protocol itself is
 * core/committee.
 *
 * When a dealing or a complaint arrives after the node has an outcome, it has another outcome. Both are kept until the
 * chain says which one all members attested.
 */

import type { Wallet } from "ethers";
import { keyMaterialHash } from "../../chain/registry.ts";
import { reviewDealing } from "../../core/committee/complaint.ts";
import { dealShares } from "../../core/committee/dealing.ts";
import { CommitteeFaultError } from "../../core/committee/fault.ts";
import { announceMember, type RunMembers } from "../../core/committee/receiving.ts";
import { finishRun } from "../../core/committee/settlement.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Bulletin } from "./bulletin.ts";
import type { GenerationState, GenerationStore, RunResult } from "./generation-store.ts";
import { partiesHash, type RunParties } from "./run-parties.ts";
import { type RunMessageName, runMessage, type SignedBytes, signMessage } from "./signed-messages.ts";

const MAXIMUM_FAULT_CHARACTERS = 1024;

export interface RunStepsOptions {
  readonly store: GenerationStore;
  readonly wallet: Wallet;
  /** How long dealings are waited for when some are missing. */
  readonly dealingSeconds: number;
}

/** Makes and keeps the announcement of a member; a node that only deals has none. */
export async function beginRun(
  { store, wallet }: Pick<RunStepsOptions, "store" | "wallet">,
  parties: RunParties,
  position: { readonly index: number; readonly dealer: number },
): Promise<void> {
  const { run } = parties;
  const { size, threshold, generation, from } = run;
  const parameters = { committeeId: run.scope.committeeId, generation, from, size, threshold };
  const state = { ...parameters, partiesHash: partiesHash(parties), ...position };
  if (position.index === 0) {
    store.begin(state);
    return;
  }
  const { secret, announcement } = announceMember(run, position.index);
  const name: RunMessageName = { kind: "announcement", sender: position.index };
  store.begin(state, { secret, announcement: await signed(wallet, parties, name, announcement) });
  secret.fill(0);
}

export class RunSteps {
  readonly #options: RunStepsOptions;
  readonly #parties: RunParties;
  readonly #bulletin: Bulletin;
  /** Dealings that this process has looked into. */
  readonly #reviewed = new Set<string>();
  /** The outcome of the set of messages of this version. */
  #outcome: { readonly version: string; readonly result: RunResult | TallystickError } | undefined;

  constructor(options: RunStepsOptions, parties: RunParties, bulletin: Bulletin) {
    this.#options = options;
    this.#parties = parties;
    this.#bulletin = bulletin;
  }

  /** The outcome of the messages at hand. */
  get result(): RunResult | undefined {
    const { version, result } = this.#outcome ?? {};
    return version === this.#bulletin.version() && !(result instanceof TallystickError) ? result : undefined;
  }

  /**
   * @returns what the run waits for; undefined when the node has an outcome
   * @throws CommitteeFaultError naming a member with which the run cannot end
   */
  async advance(state: GenerationState): Promise<string | undefined> {
    const members = this.#bulletin.members();
    if (members === undefined) return waitsFor("the announcement", this.#missing("announcement"));
    if (state.phase === "announcing") await this.#deal(state, members);
    if (state.index === 0) return undefined;
    await this.#review(state, members);
    return this.#settle(state, members);
  }

  async #deal(state: GenerationState, members: RunMembers): Promise<void> {
    const { store, wallet, dealingSeconds } = this.#options;
    const until = Date.now() + 1000 * dealingSeconds;
    const dealer = state.dealer;
    const old = state.from === 0 || dealer === 0 ? undefined : oldShares(store, state);
    const deals = dealer > 0 && (state.from === 0 || old !== undefined);
    if (!deals) {
      store.enterDealing(state, until);
      return;
    }
    const bytes = dealShares(members, dealer, old);
    old?.fill(0);
    const name: RunMessageName = { kind: "dealing", sender: dealer };
    store.enterDealing(state, until, { ...name, about: 0, ...(await signed(wallet, this.#parties, name, bytes)) });
    this.#bulletin.reload();
  }

  /** Complains about wrong shares of this node, unless the dealer is out already. */
  async #review(state: GenerationState, members: RunMembers): Promise<void> {
    const { store, wallet } = this.#options;
    const secret = store.receivingKey(state);
    try {
      for (const { sender: dealer, id, bytes } of this.#bulletin.of("dealing")) {
        if (this.#reviewed.has(id)) continue;
        const isAccused = this.#bulletin.of("complaint").some(({ about }) => about === dealer);
        const complaint = isAccused ? undefined : review(members, state.index, secret, dealer, bytes);
        if (complaint !== undefined) {
          const name: RunMessageName = { kind: "complaint", sender: state.index };
          const message = await signed(wallet, this.#parties, name, complaint);
          store.addMessage(state, { ...name, about: dealer, ...message });
          this.#bulletin.reload();
        }
        this.#reviewed.add(id);
      }
    } finally {
      secret.fill(0);
    }
  }

  /** Keeps the outcome of the messages at hand, once all dealings are there or have been waited for. */
  #settle(state: GenerationState, members: RunMembers): string | undefined {
    const { store } = this.#options;
    const missing = this.#missing("dealing");
    if (missing.length > 0 && Date.now() < (store.find(state)?.dealingsUntil ?? 0)) {
      return waitsFor("the dealing", missing);
    }
    const version = this.#bulletin.version();
    if (this.#outcome?.version !== version) {
      const result = this.#finish(state, members);
      if (!(result instanceof TallystickError)) store.addResult(state, result);
      this.#outcome = { version, result };
    }
    const { result } = this.#outcome;
    return result instanceof TallystickError ? `${result.message}; ${waitsFor("the dealing", missing)}` : undefined;
  }

  #finish(state: GenerationState, members: RunMembers): RunResult | TallystickError {
    const { store } = this.#options;
    const secret = store.receivingKey(state);
    const from = (kind: "dealing" | "complaint") =>
      this.#bulletin.of(kind).map(({ sender, bytes }) => ({ from: sender, bytes }));
    try {
      const { generation, transcript, shares, faults } = finishRun(
        members,
        state.index,
        secret,
        from("dealing"),
        from("complaint"),
      );
      return {
        keyMaterialHash: keyMaterialHash(generation.keys),
        transcript: toHex(transcript),
        generation,
        shares,
        faults: faults.map(({ message }) => message.slice(0, MAXIMUM_FAULT_CHARACTERS)),
      };
    } catch (cause) {
      // More dealings may come.
      if (cause instanceof TallystickError && cause.code === "QUORUM_FAILED") return cause;
      throw cause;
    } finally {
      secret.fill(0);
    }
  }

  #missing(kind: "announcement" | "dealing"): string[] {
    const known = new Set(this.#bulletin.of(kind).map(({ sender }) => sender));
    const { members, dealers } = this.#parties;
    return (kind === "dealing" ? dealers : members)
      .filter(({ index }) => !known.has(index))
      .map(({ index, operator }) => `${kind === "dealing" ? "dealer" : "member"} ${index} (${operator})`);
  }
}

/** This node's shares of the generation that deals; undefined when it has lost them, so that others have to deal. */
function oldShares(store: GenerationStore, { committeeId, from }: GenerationState): Uint8Array | undefined {
  const id = { committeeId, generation: from };
  return store.find(id)?.phase === "ready" ? store.used(id).shares : undefined;
}

/** A dealing that is bad for everybody to see needs no complaint: the settlement leaves it out. */
function review(
  members: RunMembers,
  index: number,
  secret: Uint8Array,
  dealer: number,
  bytes: Uint8Array,
): Uint8Array | undefined {
  try {
    return reviewDealing(members, index, secret, dealer, bytes);
  } catch (fault) {
    if (fault instanceof CommitteeFaultError) return undefined;
    throw fault;
  }
}

async function signed(
  wallet: Wallet,
  parties: RunParties,
  name: RunMessageName,
  bytes: Uint8Array,
): Promise<SignedBytes> {
  return { bytes, signature: await signMessage(wallet, runMessage(parties, name, bytes)) };
}

export function waitsFor(what: string, who: readonly string[]): string {
  return `the run waits for ${what} of ${who.join(", ")}`;
}
