/** Copies the messages of a run from its other parties, and keeps which transcript each member reports. */

import type { CommitteeMember } from "../../chain/registry.ts";
import type { GenerationId } from "../../core/committee/key-id.ts";
import { TallystickError } from "../../core/errors.ts";
import { MAXIMUM_RUN_MESSAGES, RunMessagesAnswer } from "../../core/wire/nbm.ts";
import type { Logger } from "../../daemon/logger.ts";
import type { Bulletin } from "./bulletin.ts";
import { askPeer } from "./peer.ts";
import type { RunParties } from "./run-parties.ts";

export class Exchange {
  #members: readonly CommitteeMember[] = [];
  #others: readonly CommitteeMember[] = [];
  readonly #transcripts = new Map<string, string | undefined>();
  readonly #own: string;

  /** @param own this node's operator */
  constructor(parties: Pick<RunParties, "members" | "dealers">, own: string) {
    this.#own = own;
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
    const answers = await Promise.allSettled(
      this.#others.map((party) => askPeer(party.url, path, RunMessagesAnswer, `node ${party.operator}`, { known })),
    );
    for (const [at, answer] of answers.entries()) {
      const { operator } = this.#others[at] as CommitteeMember;
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
        if (!(cause instanceof TallystickError) || cause.code !== "INVALID_SIGNATURE") throw cause;
        logger.warn({ node: operator, kind: message.kind, sender: message.sender }, cause.message);
      }
    }
  }

  /** The other members that did not report this transcript when they were last asked. */
  withOtherTranscript(transcript: string): string[] {
    return this.#members
      .filter(({ operator }) => operator !== this.#own && this.#transcripts.get(operator) !== transcript)
      .map(({ index, operator }) => `member ${index} (${operator})`);
  }
}
