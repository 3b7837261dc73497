/**
 * Copies the messages of a run from its other parties, and keeps which transcript each member reports.
 *
 * Who sends what an honest node does not pass on, that is, a message with a wrong signature or a complaint that is not
 * founded, is set aside: the rest of its answer is dropped, and it is not asked for a while, which is longer each time.
 * So each party takes some milliseconds of this node's time in ten minutes. It is asked again because a node that has
 * seen a reorganisation later than this one sends such messages too.
 */

import type { CommitteeMember } from "../../chain/registry.ts";
import { CommitteeFaultError } from "../../core/committee/fault.ts";
import type { GenerationId } from "../../core/committee/key-id.ts";
import { InvalidSignatureError, TallystickError } from "../../core/errors.ts";
import { MAXIMUM_RUN_MESSAGES, RunMessagesAnswer } from "../../core/wire/nbm.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { Bulletin } from "./bulletin.ts";
import { askPeer } from "./peer.ts";
import type { RunParties } from "./run-parties.ts";

/** How long a party is not asked: the first time, and at most after it was doubled each further time. */
const SET_ASIDE_MILLISECONDS = 5000;
const LONGEST_SET_ASIDE_MILLISECONDS = 600_000;

export class Exchange {
  #members: readonly CommitteeMember[] = [];
  #others: readonly CommitteeMember[] = [];
  readonly #transcripts = new Map<string, string | undefined>();
  /** Operators that are not asked until a time, and for how long the last time. */
  readonly #setAside = new Map<string, { readonly until: number; readonly milliseconds: number }>();
  readonly #own: string;
  readonly #now: () => number;

  /** @param own this node's operator; @param now milliseconds, injected by tests */
  constructor(parties: Pick<RunParties, "members" | "dealers">, own: string, now = () => performance.now()) {
    this.#own = own;
    this.#now = now;
    this.reach(parties);
  }

  /** Asks the parties where the registry has them now: nodes that start again may have moved. */
  reach({ members, dealers }: Pick<RunParties, "members" | "dealers">): void {
    this.#members = members;
    const parties = new Map([...dealers, ...members].map((party) => [party.operator, party]));
    this.#others = [...parties.values()].filter(({ operator, url }) => operator !== this.#own && url !== "");
  }

  /** Asks all others side by side. Who does not answer, or answers wrongly, costs only its own messages. */
  async collect(bulletin: Bulletin, id: GenerationId, logger: Logger): Promise<void> {
    const known = bulletin.known().slice(0, MAXIMUM_RUN_MESSAGES);
    const path = `/v1/committees/${id.committeeId}/generations/${id.generation}/messages`;
    const asked = this.#others.filter(({ operator }) => (this.#setAside.get(operator)?.until ?? 0) <= this.#now());
    const answers = await Promise.allSettled(
      asked.map((party) => askPeer(party.url, path, RunMessagesAnswer, `node ${party.operator}`, { known })),
    );
    for (const [at, answer] of answers.entries()) {
      const { operator } = asked[at] as CommitteeMember;
      if (answer.status === "rejected") {
        if (!(answer.reason instanceof TallystickError)) throw answer.reason;
        this.#transcripts.delete(operator);
        continue;
      }
      this.#transcripts.set(operator, answer.value?.transcript);
      this.#accept(bulletin, operator, answer.value?.messages ?? [], logger);
    }
  }

  #accept(bulletin: Bulletin, operator: string, messages: RunMessagesAnswer["messages"], logger: Logger): void {
    for (const message of messages) {
      try {
        bulletin.accept(message);
      } catch (cause) {
        const isBreach = cause instanceof InvalidSignatureError || cause instanceof CommitteeFaultError;
        if (!isBreach) throw cause;
        const { kind, sender } = message;
        const seconds = this.#leaveAside(operator) / 1000;
        logger.warn({ node: operator, kind, sender }, `${cause.message}; not asking the node for ${seconds} s`);
        return;
      }
    }
  }

  /** @returns for how many milliseconds */
  #leaveAside(operator: string): number {
    const before = this.#setAside.get(operator)?.milliseconds;
    const milliseconds =
      before === undefined ? SET_ASIDE_MILLISECONDS : Math.min(2 * before, LONGEST_SET_ASIDE_MILLISECONDS);
    this.#setAside.set(operator, { until: this.#now() + milliseconds, milliseconds });
    return milliseconds;
  }

  /** The other members that did not report this transcript when they were last asked. */
  withOtherTranscript(transcript: string): string[] {
    return this.#members
      .filter(({ operator }) => operator !== this.#own && this.#transcripts.get(operator) !== transcript)
      .map(({ index, operator }) => `member ${index} (${operator})`);
  }
}
