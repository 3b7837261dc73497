/**
 * The messages of a run that this node knows: a set that only grows, and that nodes copy from each other. What follows
 * from it (core/committee/settlement.ts) depends on the set alone, so nodes with the same set have the same outcome,
 * whoever told which message to whom, and when.
 *
 * The set is bounded, whatever the parties sign: of each party the first two different announcements and the first two
 * different dealings are kept, since two show that it broke the protocol, and about each dealer one founded complaint.
 *
 * Complaints that are not founded change nothing and are not kept: to count, they would have to be copied by all, and
 * a dealer could be excluded or not by when a member sends one. Whether a complaint is founded follows from the
 * complaint and the dealing that it names, so an honest node never passes on one that is not. Whoever does is set aside
 * (exchange.ts). A complaint costs up to 40 ms when it is judged. What is cheap to see comes before that: whether it
 * can still change anything, whether it names the dealing at hand, and who signed it.
 */

import { judgeComplaint, readComplaint } from "../../core/committee/complaint.ts";
import { checkDealing } from "../../core/committee/dealing.ts";
import { CommitteeFaultError } from "../../core/committee/fault.ts";
import type { GenerationId } from "../../core/committee/key-id.ts";
import type { Complaint, Dealing } from "../../core/committee/messages.ts";
import { RunMembers } from "../../core/committee/receiving.ts";
import type { CommitteeRun } from "../../core/committee/run.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import type { RunMessageKind, RunMessageText } from "../../core/wire/nbm.ts";
import type { GenerationStore, RunMessage } from "./generation-store.ts";
import type { RunParties } from "./run-parties.ts";
import {
  checkMessage,
  messageDigest,
  messageId,
  type RunMessageName,
  runMessage,
  senderOf,
} from "./signed-messages.ts";

/** Two different messages are evidence enough. */
const MOST_PER_SENDER = 2;
/** Ids of messages that were looked at and not kept; when they are too many, some are looked at again. */
const MOST_PASSED_OVER = 256;

/** A complaint that can change something, and the dealing that it is about. */
interface Accusation {
  readonly members: RunMembers;
  readonly complaint: Complaint;
  readonly dealing: Dealing;
}

export class Bulletin {
  readonly #store: GenerationStore;
  readonly #id: GenerationId;
  readonly #parties: RunParties;
  readonly #passedOver = new Set<string>();
  /** Dealings by id, once they were checked; undefined when they are bad for everybody to see. */
  readonly #checked = new Map<string, Dealing | undefined>();
  #messages: RunMessage[];
  #members: RunMembers | CommitteeFaultError | undefined;

  constructor(store: GenerationStore, id: GenerationId, parties: RunParties) {
    this.#store = store;
    this.#id = id;
    this.#parties = parties;
    this.#messages = store.messages(id);
  }

  /** To be told to others, who then send what is not among them. */
  known(): string[] {
    return [...this.#messages.map(({ id }) => id), ...this.#passedOver];
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
    return this.#messages.map(({ id }) => id).join();
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
    // One announcement of each member: the same ones from now on, unless somebody sends a second one.
    this.#members ??= membersOrFault(
      this.#parties.run,
      new Map(announcements.map(({ sender, bytes }) => [sender, bytes])),
    );
    if (this.#members instanceof RunMembers) return this.#members;
    throw this.#members;
  }

  /**
   * Keeps a message that another node sent, whoever made it. Messages are known by kind, sender and content: what one
   * party signs says nothing about the same bytes of another one.
   *
   * @returns whether it was new and is kept
   * @throws InvalidSignatureError naming the sender when it did not sign the message
   * @throws CommitteeFaultError naming the member when it made a complaint that is malformed or not founded
   */
  accept({ kind, sender, message, signature }: RunMessageText): boolean {
    const name = { kind, sender };
    const bytes = fromHex(message);
    const id = messageId(name, bytes);
    if (this.#passedOver.has(id) || this.#messages.some((known) => known.id === id)) return false;
    const operator = senderOf(this.#parties, name);
    if (operator === undefined) return false;
    const accusation = kind === "complaint" ? this.#accusation(sender, bytes) : undefined;
    if (accusation === "later") return false;
    const isUseless = kind === "complaint" ? accusation === undefined : this.#count(name) >= MOST_PER_SENDER;
    // Not even the sender's signature would make a difference, and no other message has this id.
    if (isUseless) return this.#passOver(id);
    checkMessage(operator, name, runMessage(this.#parties, name, bytes), signature);
    if (accusation !== undefined) this.#judge(sender, id, accusation);
    const about = accusation?.complaint.dealer ?? 0;
    this.#store.addMessage(this.#id, { kind, sender, about, bytes, signature });
    this.reload();
    return true;
  }

  #count({ kind, sender }: RunMessageName): number {
    return this.#messages.filter((known) => known.kind === kind && known.sender === sender).length;
  }

  #passOver(id: string): false {
    if (this.#passedOver.size >= MOST_PASSED_OVER) this.#passedOver.clear();
    this.#passedOver.add(id);
    return false;
  }

  /**
   * What a complaint would change, without a look at its proof.
   *
   * @returns undefined: nothing; "later": the dealing that it names is not known (yet)
   * @throws CommitteeFaultError naming the member when it is malformed
   */
  #accusation(sender: number, bytes: Uint8Array): Accusation | "later" | undefined {
    const members = this.#membersIfSound();
    if (members === undefined) return "later";
    const complaint = readComplaint(members, sender, bytes);
    const { dealer, dealingHash } = complaint;
    if (this.of("complaint").some(({ about }) => about === dealer)) return undefined;
    const dealings = this.of("dealing").filter((dealing) => dealing.sender === dealer);
    // Who sent two is left out.
    if (dealings.length > 1) return undefined;
    const [found] = dealings;
    // A dealer that tells different things is noticed when its other dealing arrives.
    if (found === undefined || messageDigest(found.bytes) !== toHex(dealingHash)) return "later";
    const dealing = this.#dealing(members, found);
    return dealing === undefined ? undefined : { members, complaint, dealing };
  }

  #membersIfSound(): RunMembers | undefined {
    try {
      return this.members();
    } catch (fault) {
      // The run ends with this fault, whatever the complaint says.
      if (fault instanceof CommitteeFaultError) return undefined;
      throw fault;
    }
  }

  /** @returns undefined when it is bad for everybody to see, so that no complaint is needed */
  #dealing(members: RunMembers, { id, sender, bytes }: RunMessage): Dealing | undefined {
    if (!this.#checked.has(id)) this.#checked.set(id, checkedDealing(members, sender, bytes));
    return this.#checked.get(id);
  }

  #judge(sender: number, id: string, { members, complaint, dealing }: Accusation): void {
    try {
      judgeComplaint(members, sender, complaint, dealing);
    } catch (fault) {
      this.#passOver(id);
      throw fault;
    }
  }
}

function membersOrFault(
  run: CommitteeRun,
  announcements: ReadonlyMap<number, Uint8Array>,
): RunMembers | CommitteeFaultError {
  try {
    return new RunMembers(run, announcements);
  } catch (fault) {
    if (fault instanceof CommitteeFaultError) return fault;
    throw fault;
  }
}

function checkedDealing(members: RunMembers, dealer: number, bytes: Uint8Array): Dealing | undefined {
  try {
    return checkDealing(members, dealer, bytes);
  } catch (fault) {
    if (fault instanceof CommitteeFaultError) return undefined;
    throw fault;
  }
}
