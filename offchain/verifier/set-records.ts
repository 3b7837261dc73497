/**
 * What the verifier knows of all data sets: the escrow's events of recent epochs, what they come to for each set, what
 * checking proofs showed, and what owners should know. Every statement about a set follows from its events, so a
 * replaced block changes what is derived from it and nothing else.
 */

import type { OpenedDataSet } from "../chain/data-set-words.ts";
import type { DataSetEvent } from "../chain/escrow-events.ts";
import type { EventPage, ScanCursor } from "../chain/logs.ts";
import { decodeSchedule, lastLevel } from "../core/data-set/schedule.ts";
import type { DataSetAuditTerms, DataSetTerms } from "../core/data-set/terms.ts";
import { fromHex, toHex } from "../core/encoding/hex.ts";
import type { Database } from "../store/index/sqlite.ts";
import { eventFromText, fromText, toText } from "./event-text.ts";
import { ACTIVITY_EPOCHS, checkersOf, dueBlock, rankOf } from "./group.ts";
import type { Warning } from "./runway.ts";

/** Of an open dispute. */
export interface DisputeRecord {
  readonly disputer: string;
  readonly challengeBlock: number;
  readonly bond: bigint;
}

export interface SetRecord {
  readonly id: string;
  readonly terms: DataSetTerms;
  readonly audit: DataSetAuditTerms;
  readonly status: "running" | "breached" | "closed";
  /** Encoded. */
  readonly schedule: Uint8Array;
  /** Live ranges of the last level, packed. */
  readonly ranges: Uint8Array;
  readonly firstEpoch: number;
  /** Undefined while no end is known: the one of the schedule, or else that of the balance. */
  readonly lastEpoch: number | undefined;
  /** Of the schedule. */
  readonly noticedEpoch: number | undefined;
  /** The last epoch that the balance pays for, as it was last read. */
  readonly exhaustedEpoch: number | undefined;
  readonly dispute: DisputeRecord | undefined;
  /** Of the user's balance at the opening; undefined until it was read. */
  readonly generation: number | undefined;
  readonly warning: Warning | undefined;
}

/** What checking a proof showed. `by-others`: another member of the group says that it has checked it. */
export type CheckState = "pending" | "valid" | "invalid" | "unreadable" | "by-others";

/** A proof that the chain took, and that is to be checked. */
export interface PendingProof {
  readonly sequence: number;
  readonly event: DataSetEvent & { readonly kind: "EpochProven" };
  /** Failed attempts to check it. */
  readonly attempts: number;
  /** Whether this verifier is among those that check it at once. */
  readonly isOurs: boolean;
}

/** What became of an epoch. */
export interface EpochRecord {
  readonly epoch: number;
  readonly outcome: "proven" | "missed";
  readonly transactionHash: string;
  /** Of a proof. */
  readonly check: CheckState | undefined;
  readonly reason: string | undefined;
}

export interface AlarmRecord {
  readonly sequence: number;
  readonly dataSet: string;
  readonly epoch: number;
  readonly verifier: string;
  readonly isOwnVerifier: boolean;
  readonly reason: string;
  readonly transactionHash: string;
  readonly blockNumber: number;
  readonly raisedAt: number;
}

export interface RecordsOptions {
  readonly epochBlocks: number;
  readonly members: readonly string[];
  readonly self: string;
  readonly takeoverBlocks: number;
  /** Events of blocks that may still be replaced are kept. */
  readonly overlapBlocks: number;
  /** The contract that this deployment's sets should name. */
  readonly ownVerifier: string;
  /** Unix seconds. */
  readonly now?: () => number;
}

type Row = Record<string, unknown>;
type SetEvent = Exclude<DataSetEvent, { kind: "Deposited" | "BalanceExhausted" }>;

/** Epochs whose events are kept: those that count as lately, twice over. */
const KEPT_EPOCHS = 2 * ACTIVITY_EPOCHS;
/** Alarms kept of each sort: by the deployment's verifier, and by others, which anybody can deploy. */
const KEPT_ALARMS = 10_000;
const REMOVED_AT_ONCE = 20;
/** Sets that are in memory at a time. */
const PAGE_SETS = 200;
/** Sets with all that is known of them. */
const WHOLE_SETS =
  "SELECT d.*, t.body, t.schedule, t.ranges, t.dispute FROM data_sets d JOIN set_texts t ON t.id = d.id";

const placeKey = (blockHash: unknown, logIndex: unknown) => `${String(blockHash)} ${String(logIndex)}`;
const optionalNumber = (value: unknown) => (value === null || value === undefined ? undefined : Number(value));
const optionalText = (value: unknown) => (value === null || value === undefined ? undefined : String(value));

function isSetEvent(event: DataSetEvent): event is SetEvent {
  return "id" in event;
}

function setOf(row: Row): SetRecord {
  const { terms, audit } = fromText<Pick<SetRecord, "terms" | "audit">>(String(row.body));
  return {
    id: String(row.id),
    terms,
    audit,
    status: String(row.status) as SetRecord["status"],
    schedule: fromHex(String(row.schedule)),
    ranges: fromHex(String(row.ranges)),
    firstEpoch: Number(row.first_epoch),
    lastEpoch: optionalNumber(row.last_epoch) ?? optionalNumber(row.end_epoch),
    noticedEpoch: optionalNumber(row.last_epoch),
    exhaustedEpoch: optionalNumber(row.end_epoch),
    dispute: row.dispute === null ? undefined : fromText<DisputeRecord>(String(row.dispute)),
    generation: optionalNumber(row.generation),
    warning: optionalText(row.warning) as Warning | undefined,
  };
}

/** Bytes of the slices of a level. */
export function liveBytesOf(sliceCount: number, { sliceElements }: Pick<DataSetAuditTerms, "sliceElements">): number {
  return sliceCount * sliceElements * 31;
}

export class SetRecords {
  readonly #database: Database;
  readonly #options: RecordsOptions;
  readonly #now: () => number;

  constructor(database: Database, options: RecordsOptions) {
    this.#database = database;
    this.#options = options;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  // ---- Events

  /** How far the events have been read. */
  cursor(): ScanCursor | undefined {
    const text = this.#meta("cursor");
    return text === undefined ? undefined : (JSON.parse(text) as ScanCursor);
  }

  /** Replaces the events of the page's blocks by those of the page, and derives the sets that they are about anew. */
  apply(page: EventPage<DataSetEvent>): void {
    const work = () => this.#replace(page);
    // A cursor that falls back costs a second reading of the same blocks; one that goes ahead of its events loses them.
    if (page.events.length === 0) this.#database.transientTransaction(work);
    else this.#database.transaction(work);
  }

  #replace(page: EventPage<DataSetEvent>): void {
    const lastBlock = page.atHead ? Number.MAX_SAFE_INTEGER : page.toBlock;
    const events = page.events.filter(isSetEvent);
    const added = new Map(events.map((event) => [placeKey(event.blockHash, event.logIndex), event]));
    const changed = new Set<string>();
    const kept = this.#database
      .prepare("SELECT sequence, data_set, block_hash, log_index FROM events WHERE block_number BETWEEN ? AND ?")
      .all(page.fromBlock, lastBlock);
    const remove = this.#database.prepare("DELETE FROM events WHERE sequence = ?");
    const unraise = this.#database.prepare("DELETE FROM alarms WHERE block_hash = ? AND log_index = ?");
    for (const row of kept) {
      if (added.delete(placeKey(row.block_hash, row.log_index))) continue;
      remove.run(Number(row.sequence));
      unraise.run(String(row.block_hash), Number(row.log_index));
      changed.add(String(row.data_set));
    }
    for (const event of added.values()) {
      this.#insert(event);
      changed.add(event.id);
    }
    for (const id of changed) {
      this.#forgetOld(id, page.cursor.blockNumber);
      this.#derive(id);
    }
    for (const event of added.values()) if (event.kind === "EpochProven") this.#schedule(event);
    this.#forgetAccounts(page.events, changed);
    this.#setMeta("cursor", JSON.stringify(page.cursor));
    this.#forgetOver(page.cursor.blockNumber);
  }

  #insert(event: SetEvent): void {
    this.#database
      .prepare(
        `INSERT INTO events
           (kind, data_set, epoch, body, block_number, block_hash, transaction_hash, log_index)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        event.kind,
        event.id,
        event.kind === "EpochProven" || event.kind === "EpochMissed" ? event.epoch : null,
        toText(event),
        event.blockNumber,
        event.blockHash,
        event.transactionHash,
        event.logIndex,
      );
  }

  /** Says when it is this verifier's turn to check a proof. */
  #schedule({ id, epoch, blockNumber, blockHash, logIndex }: SetEvent & { kind: "EpochProven" }): void {
    const { members, self, takeoverBlocks } = this.#options;
    const together = checkersOf(this.activity(id, epoch), members.length);
    const rank = rankOf(members, self, { dataSet: id, epoch });
    this.#database
      .prepare(
        `UPDATE events SET verdict = 'pending', due_block = ?, is_ours = ? WHERE block_hash = ? AND log_index = ?`,
      )
      .run(dueBlock(blockNumber, rank, takeoverBlocks, together), rank < together ? 1 : 0, blockHash, logIndex);
  }

  /** What a set did in the epochs before one; the same for all members of a group that have read the same blocks. */
  activity(id: string, epoch: number): { updates: number; proofs: number; liveBytes: number } {
    const { epochBlocks } = this.#options;
    const counted = this.#database
      .prepare(
        `SELECT count(*) FILTER (WHERE kind = 'DataSetScheduled') AS updates,
                count(*) FILTER (WHERE kind = 'EpochProven') AS proofs
         FROM events WHERE data_set = ? AND kind IN ('DataSetScheduled', 'EpochProven')
           AND block_number >= ? AND block_number < ?`,
      )
      .get(id, (epoch - ACTIVITY_EPOCHS) * epochBlocks, epoch * epochBlocks);
    const record = this.find(id);
    const slices = record === undefined ? 0 : lastLevel(decodeSchedule(record.schedule)).sliceCount;
    return {
      updates: Number(counted?.updates),
      proofs: Number(counted?.proofs),
      liveBytes: record === undefined ? 0 : liveBytesOf(slices, record.audit),
    };
  }

  /** The newest event of a kind, in chain order, before a place or at all. */
  newest<Kind extends SetEvent["kind"]>(
    kind: Kind,
    id: string,
    before: { readonly blockNumber: number; readonly logIndex: number } = {
      blockNumber: Number.MAX_SAFE_INTEGER,
      logIndex: 0,
    },
  ): (SetEvent & { kind: Kind }) | undefined {
    const row = this.#database
      .prepare(
        `SELECT body FROM events WHERE data_set = ? AND kind = ? AND (block_number, log_index) < (?, ?)
         ORDER BY block_number DESC, log_index DESC LIMIT 1`,
      )
      .get(id, kind, before.blockNumber, before.logIndex);
    return row === undefined ? undefined : (eventFromText(String(row.body)) as SetEvent & { kind: Kind });
  }

  #derive(id: string): void {
    const opened = this.newest("DataSetOpened", id);
    const scheduled = this.newest("DataSetScheduled", id);
    if (opened === undefined || scheduled === undefined) {
      this.#removeSet(id);
      return;
    }
    const { terms, audit } = opened as OpenedDataSet;
    const last = lastLevel(decodeSchedule(scheduled.schedule));
    const dispute = this.#openDispute(id);
    const closed = this.newest("DataSetClosed", id);
    const breached = this.newest("DataSetBreached", id);
    const [newest, second] = this.#database
      .prepare("SELECT DISTINCT epoch FROM events WHERE data_set = ? AND epoch IS NOT NULL ORDER BY epoch DESC LIMIT 2")
      .all(id)
      .map(({ epoch }) => Number(epoch));
    this.#database
      .prepare(
        `INSERT INTO data_sets
           (id, user, provider, token, mode, status, over_since, opened_hash, first_epoch, last_epoch, report_offset,
            newest_outcome, second_outcome, answer_until)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET
           status = excluded.status, over_since = excluded.over_since, first_epoch = excluded.first_epoch,
           last_epoch = excluded.last_epoch, newest_outcome = excluded.newest_outcome,
           second_outcome = excluded.second_outcome, answer_until = excluded.answer_until,
           generation = CASE opened_hash WHEN excluded.opened_hash THEN generation END,
           end_epoch = NULL, warning = CASE excluded.status WHEN 'running' THEN warning END,
           opened_hash = excluded.opened_hash`,
      )
      .run(
        id,
        terms.user,
        terms.provider,
        terms.token,
        terms.mode,
        breached !== undefined ? "breached" : closed !== undefined ? "closed" : "running",
        (breached ?? closed)?.blockNumber ?? null,
        opened.blockHash,
        Math.floor(opened.blockNumber / this.#options.epochBlocks) + 1,
        last.sliceCount === 0 ? last.fromEpoch - 1 : null,
        audit.phase + audit.windowBlocks + audit.graceBlocks,
        newest ?? null,
        second ?? null,
        dispute === undefined ? null : dispute.challengeBlock + audit.windowBlocks + audit.graceBlocks,
      );
    this.#database
      .prepare("INSERT OR REPLACE INTO set_texts (id, body, schedule, ranges, dispute) VALUES (?, ?, ?, ?, ?)")
      .run(
        id,
        toText({ terms, audit }),
        toHex(scheduled.schedule),
        toHex(scheduled.ranges),
        dispute === undefined ? null : toText(dispute),
      );
  }

  #removeSet(id: string): void {
    this.#database.prepare("DELETE FROM data_sets WHERE id = ?").run(id);
    this.#database.prepare("DELETE FROM set_texts WHERE id = ?").run(id);
  }

  #openDispute(id: string): DisputeRecord | undefined {
    const opened = this.newest("DisputeOpened", id);
    if (opened === undefined) return undefined;
    const { blockNumber, logIndex, disputer, challengeBlock, bond } = opened;
    const isOver = this.#database
      .prepare(
        `SELECT 1 FROM events WHERE data_set = ? AND kind IN ('DisputeAnswered', 'DisputeUpheld', 'DataSetBreached')
           AND (block_number, log_index) > (?, ?) LIMIT 1`,
      )
      .get(id, blockNumber, logIndex);
    return isOver === undefined ? { disputer, challengeBlock, bond } : undefined;
  }

  /** The block before which events are forgotten: no earlier one is replaced any more, or counts as lately. */
  #horizon(head: number): number {
    const { epochBlocks, overlapBlocks } = this.#options;
    return Math.min((Math.floor(head / epochBlocks) - KEPT_EPOCHS) * epochBlocks, head - overlapBlocks);
  }

  /** Old events of a set go, but for the newest of each kind. */
  #forgetOld(id: string, head: number): void {
    this.#database
      .prepare(
        `DELETE FROM events WHERE data_set = ? AND block_number < ? AND verdict IS NOT 'pending' AND EXISTS (
           SELECT 1 FROM events n WHERE n.data_set = events.data_set AND n.kind = events.kind
             AND (n.block_number, n.log_index) > (events.block_number, events.log_index))`,
      )
      .run(id, this.#horizon(head));
  }

  /** Sets that have been over for long go with all that is known of them, a few at a time. */
  #forgetOver(head: number): void {
    const over = this.#database
      .prepare("SELECT id, token, user FROM data_sets WHERE over_since < ? LIMIT ?")
      .all(this.#horizon(head), REMOVED_AT_ONCE);
    for (const { id, token, user } of over) {
      this.#database.prepare("DELETE FROM events WHERE data_set = ?").run(String(id));
      this.#removeSet(String(id));
      this.#database.prepare("DELETE FROM accounts WHERE token = ? AND user = ?").run(String(token), String(user));
    }
  }

  #forgetAccounts(events: readonly DataSetEvent[], changed: ReadonlySet<string>): void {
    const forget = this.#database.prepare("DELETE FROM accounts WHERE token = ? AND user = ?");
    for (const event of events) {
      if (event.kind === "Deposited" || event.kind === "BalanceExhausted") forget.run(event.token, event.user);
    }
    const ofSet = this.#database.prepare(
      "DELETE FROM accounts WHERE (token, user) IN (SELECT token, user FROM data_sets WHERE id = ?)",
    );
    for (const id of changed) ofSet.run(id);
  }

  // ---- Proofs

  /** Proofs that are due at a block, oldest first, those of one transaction together. */
  pendingProofs(head: number, limit: number): PendingProof[][] {
    const hashes = this.#database
      .prepare(
        `SELECT transaction_hash, min(due_block) AS due FROM events
         WHERE verdict = 'pending' AND due_block <= ? GROUP BY transaction_hash ORDER BY due LIMIT ?`,
      )
      .all(head, limit);
    const rows = this.#database.prepare(
      `SELECT sequence, body, attempts, is_ours FROM events
       WHERE verdict = 'pending' AND due_block <= ? AND transaction_hash = ? ORDER BY log_index`,
    );
    return hashes.map(({ transaction_hash: hash }) =>
      rows.all(head, String(hash)).map((row) => ({
        sequence: Number(row.sequence),
        event: eventFromText(String(row.body)) as PendingProof["event"],
        attempts: Number(row.attempts),
        isOurs: row.is_ours === 1,
      })),
    );
  }

  /** Records what checking showed, unless the block of the proof was replaced meanwhile. */
  judge(sequence: number, check: Exclude<CheckState, "pending">, reason?: string): void {
    this.#database
      .prepare("UPDATE events SET verdict = ?, reason = ? WHERE sequence = ?")
      .run(check, reason ?? null, sequence);
  }

  /** Checks a proof again from a block on. */
  postpone(sequence: number, untilBlock: number): void {
    this.#database
      .prepare("UPDATE events SET due_block = ?, attempts = attempts + 1 WHERE sequence = ?")
      .run(untilBlock, sequence);
  }

  /** Records a proof that does not verify. @returns false when its block was replaced meanwhile */
  raise({ sequence, event }: PendingProof, verifier: string, reason: string): boolean {
    return this.#database.transaction(() => {
      const row = this.#database.prepare("SELECT 1 FROM events WHERE sequence = ?").get(sequence);
      if (row === undefined) return false;
      this.judge(sequence, "invalid", reason);
      const isOwn = verifier.toLowerCase() === this.#options.ownVerifier.toLowerCase() ? 1 : 0;
      this.#database
        .prepare(
          `INSERT OR IGNORE INTO alarms
             (data_set, epoch, verifier, is_own_verifier, reason, transaction_hash, block_number, block_hash, log_index,
              raised_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          event.id,
          event.epoch,
          verifier,
          isOwn,
          reason,
          event.transactionHash,
          event.blockNumber,
          event.blockHash,
          event.logIndex,
          this.#now(),
        );
      this.#database
        .prepare(
          `DELETE FROM alarms WHERE is_own_verifier = ? AND sequence <= (
             SELECT sequence FROM alarms WHERE is_own_verifier = ? ORDER BY sequence DESC LIMIT 1 OFFSET ?)`,
        )
        .run(isOwn, isOwn, KEPT_ALARMS);
      return true;
    });
  }

  /** Alarms behind one, oldest first. */
  alarms(after: number, limit: number): AlarmRecord[] {
    return this.#database
      .prepare("SELECT * FROM alarms WHERE sequence > ? ORDER BY sequence LIMIT ?")
      .all(after, limit)
      .map((row) => ({
        sequence: Number(row.sequence),
        dataSet: String(row.data_set),
        epoch: Number(row.epoch),
        verifier: String(row.verifier),
        isOwnVerifier: row.is_own_verifier === 1,
        reason: String(row.reason),
        transactionHash: String(row.transaction_hash),
        blockNumber: Number(row.block_number),
        raisedAt: Number(row.raised_at),
      }));
  }

  // ---- Sets

  find(id: string): SetRecord | undefined {
    const row = this.#database.prepare(`${WHOLE_SETS} WHERE d.id = ?`).get(id);
    return row === undefined ? undefined : setOf(row);
  }

  /** Sets behind an id, in the order of their ids. */
  list(after: string, limit: number, warning?: Warning): SetRecord[] {
    const condition = warning === undefined ? "" : "AND d.warning = ?";
    return this.#database
      .prepare(`${WHOLE_SETS} WHERE d.id > ? ${condition} ORDER BY d.id LIMIT ?`)
      .all(...[after, ...(warning === undefined ? [] : [warning])], limit)
      .map(setOf);
  }

  /** Sets that fit a condition, a page at a time: whoever walks through them may change them meanwhile. */
  *#walk(condition: string, ...values: (string | number)[]): Generator<SetRecord, void, undefined> {
    const statement = this.#database.prepare(`${WHOLE_SETS} WHERE d.id > ? AND ${condition} ORDER BY d.id LIMIT ?`);
    for (let after = ""; ; ) {
      const page = statement.all(after, ...values, PAGE_SETS).map(setOf);
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE_SETS) return;
      after = last.id;
    }
  }

  /** What became of the recent epochs of a set, newest first. */
  epochs(id: string, limit: number): EpochRecord[] {
    return this.#database
      .prepare(
        `SELECT kind, epoch, transaction_hash, verdict, reason FROM events
         WHERE data_set = ? AND kind IN ('EpochProven', 'EpochMissed')
         ORDER BY epoch DESC, block_number DESC, log_index DESC LIMIT ?`,
      )
      .all(id, limit)
      .map((row) => ({
        epoch: Number(row.epoch),
        outcome: row.kind === "EpochProven" ? "proven" : "missed",
        transactionHash: String(row.transaction_hash),
        check: optionalText(row.verdict) as CheckState | undefined,
        reason: optionalText(row.reason),
      }));
  }

  /**
   * Sets of which an epoch was not proven, as far as the events show it, and is over at a block.
   * @param epoch the current one or the one before it
   */
  unproven(epoch: number, head: number): Iterable<SetRecord> {
    return this.#walk(
      `d.status = 'running' AND d.mode = 'every-epoch' AND d.first_epoch <= ?
         AND coalesce(d.last_epoch, d.end_epoch, ?) >= ? AND ? + d.report_offset <= ?
         AND d.newest_outcome IS NOT ? AND d.second_outcome IS NOT ?`,
      epoch,
      epoch,
      epoch,
      epoch * this.#options.epochBlocks,
      head,
      epoch,
      epoch,
    );
  }

  /** Sets with an open dispute that can no longer be answered in time. */
  unanswered(head: number): Iterable<SetRecord> {
    return this.#walk("d.status = 'running' AND d.mode = 'on-demand' AND d.answer_until <= ?", head);
  }

  /** Running sets whose last epoch lies before one. */
  endedBefore(epoch: number): Iterable<SetRecord> {
    return this.#walk("d.status = 'running' AND coalesce(d.last_epoch, d.end_epoch) < ?", epoch);
  }

  // ---- What is read from the contract

  /** Running sets of which it is not known with which generation of their user's balance they were opened. */
  withoutGeneration(limit: number): string[] {
    return this.#database
      .prepare("SELECT id FROM data_sets WHERE status = 'running' AND generation IS NULL LIMIT ?")
      .all(limit)
      .map(({ id }) => String(id));
  }

  setGeneration(id: string, generation: number): void {
    this.#database.prepare("UPDATE data_sets SET generation = ? WHERE id = ?").run(generation, id);
  }

  /** Balances of running sets that have not been read in this epoch, or since an event may have changed them. */
  staleAccounts(epoch: number, limit: number): { token: string; user: string }[] {
    return this.#database
      .prepare(
        `SELECT DISTINCT d.token, d.user FROM data_sets d LEFT JOIN accounts a ON a.token = d.token AND a.user = d.user
         WHERE d.status = 'running' AND (a.epoch IS NULL OR a.epoch < ?) LIMIT ?`,
      )
      .all(epoch, limit)
      .map((row) => ({ token: String(row.token), user: String(row.user) }));
  }

  setAccount(token: string, user: string, balance: { available: bigint; rate: bigint }, epoch: number): void {
    this.#database
      .prepare("INSERT OR REPLACE INTO accounts (token, user, available, rate, epoch) VALUES (?, ?, ?, ?, ?)")
      .run(token, user, String(balance.available), String(balance.rate), epoch);
  }

  /** A balance as last read. */
  account(token: string, user: string): { available: bigint; rate: bigint } | undefined {
    const row = this.#database
      .prepare("SELECT available, rate FROM accounts WHERE token = ? AND user = ?")
      .get(token, user);
    return row === undefined ? undefined : { available: BigInt(String(row.available)), rate: BigInt(String(row.rate)) };
  }

  /** Running sets of a user in a token. */
  setsOf(token: string, user: string): Iterable<SetRecord> {
    return this.#walk("d.status = 'running' AND d.token = ? AND d.user = ?", token, user);
  }

  /** @param lastEpoch that the balance pays for; undefined while it goes on */
  setEnd(id: string, lastEpoch: number | undefined): void {
    this.#database.prepare("UPDATE data_sets SET end_epoch = ? WHERE id = ?").run(lastEpoch ?? null, id);
  }

  setWarning(id: string, warning: Warning | undefined): void {
    this.#database.prepare("UPDATE data_sets SET warning = ? WHERE id = ?").run(warning ?? null, id);
  }

  // ---- Totals

  /** Running sets, proofs that wait, and running sets by warning. */
  totals(): { running: number; pending: number; warnings: Record<Warning, number> } {
    const sets = this.#database
      .prepare(
        `SELECT count(*) AS running, count(*) FILTER (WHERE warning = 'runway') AS runway,
                count(*) FILTER (WHERE warning = 'notice') AS notice, count(*) FILTER (WHERE warning = 'ended') AS ended
         FROM data_sets WHERE status = 'running'`,
      )
      .get();
    const waiting = this.#database.prepare("SELECT count(*) AS n FROM events WHERE verdict = 'pending'").get();
    return {
      running: Number(sets?.running),
      pending: Number(waiting?.n),
      warnings: { runway: Number(sets?.runway), notice: Number(sets?.notice), ended: Number(sets?.ended) },
    };
  }

  /** What was spent for others on a day, in wei. @param day days since 1970 */
  spentOn(day: number): bigint {
    const [known, wei] = (this.#meta("spent") ?? "").split(" ");
    return known === String(day) && wei !== undefined ? BigInt(wei) : 0n;
  }

  setSpent(day: number, wei: bigint): void {
    this.#setMeta("spent", `${day} ${wei}`);
  }

  #meta(name: string): string | undefined {
    return optionalText(this.#database.prepare("SELECT value FROM meta WHERE name = ?").get(name)?.value);
  }

  #setMeta(name: string, value: string): void {
    this.#database
      .prepare("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
      .run(name, value);
  }
}
