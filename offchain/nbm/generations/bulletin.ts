/**
 * The messages of a run that this node knows: a set that only grows, and that nodes copy from each other. What follows
 * from it (core/committee/settlement.ts) depends on the set alone, so nodes with the same set have the same outcome,
 * whoever told which message to whom, and when.
 *
 * The set is bounded, whatever the parties sign: of each party the first two different announcements and the first two
 * different dealings are kept, since two show that it broke the protocol, and about each dealer one founded complaint.
 * Complaints that are not founded change nothing and are not kept.
 */

import { judgeComplaint, readComplaint } from "../../core/committee/complaint.ts";
import { checkDealing } from "../../core/committee/dealing.ts";
import { CommitteeFaultError } from "../../core/committee/fault.ts";
import type { GenerationId } from "../../core/committee/key-id.ts";
import { RunMembers } from "../../core/committee/receiving.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import type { RunMessageKind, RunMessageText } from "../../core/wire/nbm.ts";
import { digestOf, type GenerationStore, type RunMessage } from "./generation-store.ts";
import { type RunParties, senderOf } from "./run-parties.ts";
import { checkMessage, runMessage } from "./signed-messages.ts";

/** Two different messages are evidence enough. */
const MOST_PER_SENDER = 2;
/** Digests of messages that were looked at and not kept; when they are too many, some are looked at again. */
const MOST_PASSED_OVER = 256;

export class Bulletin {
  readonly #store: GenerationStore;
  readonly #id: GenerationId;
  readonly #parties: RunParties;
  readonly #passedOver = new Set<string>();
  #messages: RunMessage[];
  #members: RunMembers | undefined;

  constructor(store: GenerationStore, id: GenerationId, parties: RunParties) {
    this.#store = store;
    this.#id = id;
    this.#parties = parties;
    this.#messages = store.messages(id);
  }

  /** To be told to others, who then send what is not among them. */
  known(): string[] {
    return [...this.#messages.map(({ digest }) => digest), ...this.#passedOver];
  }

  of(kind: RunMessageKind): RunMessage[] {
    return this.#messages.filter((message) => message.kind === kind);
  }

  /** Reads the messages again after this node has added its own. */
  reload(): void {
    this.#messages = this.#store.messages(this.#id);
  }

  /** A name of the present set. */
  version(): string {
    return this.#messages.map(({ digest }) => digest).join();
  }

  /** A party that signed two different messages of a kind of which it may send one; undefined when none did. */
  doubleSender(kind: "announcement" | "dealing"): number | undefined {
    const seen = new Set<number>();
    for (const { sender } of this.of(kind)) {
      if (seen.has(sender)) return sender;
      seen.add(sender);
    }
    return undefined;
  }

  /**
   * The members with their announcements.
   * @returns undefined while some are missing
   * @throws CommitteeFaultError naming a member with two different announcements, or with one that does not check
   */
  members(): RunMembers | undefined {
    const double = this.doubleSender("announcement");
    if (double !== undefined) {
      throw new CommitteeFaultError(double, "sent two different announcements", {
        code: "BAD_RESPONSE",
        check: "one announcement per member",
      });
    }
    const announcements = this.of("announcement");
    if (announcements.length < this.#parties.run.size) return undefined;
    this.#members ??= new RunMembers(
      this.#parties.run,
      new Map(announcements.map(({ sender, bytes }) => [sender, bytes])),
    );
    return this.#members;
  }

  /**
   * Keeps a message that another node sent, whoever made it.
   *
   * @returns whether it was new and is kept
   * @throws InvalidSignatureError naming the sender when it did not sign the message
   */
  accept({ kind, sender, message, signature }: RunMessageText): boolean {
    const bytes = fromHex(message);
    const digest = digestOf(bytes);
    if (this.#passedOver.has(digest) || this.#messages.some((known) => known.digest === digest)) return false;
    const operator = senderOf(this.#parties, { kind, sender });
    if (operator === undefined) return false;
    const same = this.#messages.filter((known) => known.kind === kind && known.sender === sender);
    if (kind !== "complaint" && same.length >= MOST_PER_SENDER) return this.#passOver(digest);
    const { scope, generation } = this.#parties.run;
    const name = { kind, sender };
    checkMessage(operator, name, runMessage(scope, generation, name, bytes), signature);
    let about = 0;
    if (kind === "complaint") {
      const accused = this.#accused(sender, bytes);
      if (accused === "later") return false;
      if (accused === undefined) return this.#passOver(digest);
      about = accused;
    }
    this.#store.addMessage(this.#id, { kind, sender, about, bytes, signature });
    this.reload();
    return true;
  }

  #passOver(digest: string): false {
    if (this.#passedOver.size >= MOST_PASSED_OVER) this.#passedOver.clear();
    this.#passedOver.add(digest);
    return false;
  }

  /** The dealer that a complaint is founded about; undefined: it changes nothing; "later": not known yet. */
  #accused(sender: number, bytes: Uint8Array): number | "later" | undefined {
    try {
      const members = this.members();
      if (members === undefined) return "later";
      const complaint = readComplaint(members, sender, bytes);
      const { dealer } = complaint;
      if (this.of("complaint").some(({ about }) => about === dealer)) return undefined;
      const dealings = this.of("dealing").filter((dealing) => dealing.sender === dealer);
      const [dealing] = dealings;
      if (dealing === undefined) return "later";
      if (dealings.length > 1) return undefined;
      judgeComplaint(members, sender, complaint, checkDealing(members, dealer, dealing.bytes));
      return dealer;
    } catch (fault) {
      if (fault instanceof CommitteeFaultError) return undefined;
      throw fault;
    }
  }
}
