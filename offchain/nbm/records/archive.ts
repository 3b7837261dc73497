/**
 * The archive: a copy of every event of the key ledger, and of the key material of every committee, kept because chain
 * nodes may drop old history. Anybody can verify the copy against contract state. All of it is public on chain, so it
 * is not encrypted.
 */

import type { ArchivedEvent, KeyMaterialEvent } from "../../chain/archived-events.ts";
import type { KeyRecord, LedgerEvent } from "../../chain/ledger.ts";
import type { EventPage, ScanCursor } from "../../chain/logs.ts";
import { toMaterial } from "../../chain/registry.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  type KeyMaterialAnswer,
  MAXIMUM_PAGE,
  MAXIMUM_PAGE_BYTES,
  type RecordAnswer,
  type RecordsAnswer,
  type ShareState,
} from "../../core/wire/nbm.ts";
import type { Database } from "../../store/index/sqlite.ts";

/** A record as the archive has it. */
export interface ArchivedRecord {
  readonly recordId: string;
  readonly record: KeyRecord;
  readonly blockNumber: number;
  readonly transactionHash: string;
  readonly share: ShareState;
}

/** What a listed record fits. An account's records are those that it made or joined. */
export interface ListQuery {
  readonly account?: string;
  readonly fileTag?: string;
  readonly ownershipKey?: string;
  readonly committeeId?: string;
  /** Sequence number after which to go on. */
  readonly after: number;
  readonly limit: number;
}

type Row = Record<string, unknown>;

/**
 * Events are compared by block hash and position: a replaced block brings new rows, an unchanged one keeps its rows.
 */
const keyOf = (blockHash: unknown, logIndex: unknown) => `${String(blockHash)} ${String(logIndex)}`;

function recordOf(row: Row): KeyRecord {
  if (!(row.payload instanceof Uint8Array)) {
    throw new TallystickError("the archive lacks a payload", { code: "INTERNAL", check: "database" });
  }
  return {
    account: String(row.account),
    fileTag: String(row.file_tag),
    committeeId: BigInt(String(row.committee_id)),
    keyTime: BigInt(Number(row.key_time)),
    ownershipKey: String(row.ownership_key),
    payload: row.payload,
  };
}

function archivedOf(row: Row): ArchivedRecord {
  return {
    recordId: String(row.record_id),
    record: recordOf(row),
    blockNumber: Number(row.block_number),
    transactionHash: String(row.transaction_hash),
    share: String(row.share) as ShareState,
  };
}

/** A record as the wire has it. */
export function toRecordAnswer({
  recordId,
  record,
  blockNumber,
  transactionHash,
  share,
}: ArchivedRecord): RecordAnswer {
  return {
    recordId,
    account: record.account,
    fileTag: record.fileTag,
    committeeId: String(record.committeeId),
    keyTime: String(record.keyTime),
    ownershipKey: record.ownershipKey,
    payload: toHex(record.payload),
    blockNumber,
    transactionHash,
    share,
  };
}

const BY_ACCOUNT = `
  SELECT r.*, e.sequence AS position, e.note AS own_note, iif(e.kind = 'owner', e.account, NULL) AS later_owner
  FROM ledger_events e JOIN ledger_events r ON r.record_id = e.record_id AND r.kind = 'recorded'`;
const BY_RECORD = `
  SELECT r.*, r.sequence AS position,
    (SELECT o.account FROM ledger_events o WHERE o.record_id = r.record_id AND o.kind = 'owner'
     ORDER BY o.sequence LIMIT 1) AS later_owner
  FROM ledger_events r`;

/** Its values are followed by the highest number of rows. The indexes of tables.ts serve every combination. */
export function listStatement({ account, fileTag, ownershipKey, committeeId, after }: ListQuery): {
  readonly text: string;
  readonly values: readonly (string | number)[];
} {
  // An account's entries are found by themselves: as a recorder or as a later owner, it has one for each record.
  const [select, listed] = account === undefined ? [BY_RECORD, "r"] : [BY_ACCOUNT, "e"];
  const terms: readonly (readonly [term: string, value: string | number | undefined])[] = [
    [`${listed}.sequence > ?`, after],
    [`${listed}.account = ?`, account],
    [`${listed}.file_tag = ?`, fileTag],
    ["r.ownership_key = ?", ownershipKey],
    ["r.committee_id = ?", committeeId],
  ];
  const given = terms.flatMap(([term, value]) => (value === undefined ? [] : [{ term, value }]));
  const conditions = ["r.kind = 'recorded'", ...given.map(({ term }) => term)].join(" AND ");
  return {
    text: `${select} WHERE ${conditions} ORDER BY ${listed}.sequence LIMIT ?`,
    values: given.map(({ value }) => value),
  };
}

export class Archive {
  readonly #database: Database;
  readonly #now: () => number;

  /** @param now unix seconds; the system's clock unless given. */
  constructor(database: Database, now: () => number = () => Math.floor(Date.now() / 1000)) {
    this.#database = database;
    this.#now = now;
  }

  /** How far the ledger has been read. */
  cursor(): ScanCursor | undefined {
    const row = this.#database.prepare("SELECT value FROM meta WHERE name = 'cursor'").get();
    return row === undefined ? undefined : (JSON.parse(String(row.value)) as ScanCursor);
  }

  /** Whether the event of this place is kept already. */
  has(event: ArchivedEvent): boolean {
    const row = this.#database
      .prepare("SELECT 1 FROM ledger_events WHERE block_hash = ? AND log_index = ?")
      .get(event.blockHash, event.logIndex);
    return row !== undefined;
  }

  /**
   * Replaces the archived events of the page's blocks by the events of the page.
   *
   * @param shares this node's verdict on its share in each new record of the page.
   */
  apply(page: EventPage<ArchivedEvent>, shares: ReadonlyMap<LedgerEvent, ShareState>): void {
    const work = () => this.#replace(page, shares);
    // A cursor that falls back costs a second reading of the same blocks; one that goes ahead of its events loses them.
    if (page.events.length === 0) this.#database.transientTransaction(work);
    else this.#database.transaction(work);
  }

  #replace(page: EventPage<ArchivedEvent>, shares: ReadonlyMap<LedgerEvent, ShareState>): void {
    const lastBlock = page.atHead ? Number.MAX_SAFE_INTEGER : page.toBlock;
    const present = new Set(page.events.map(({ blockHash, logIndex }) => keyOf(blockHash, logIndex)));
    const kept = this.#database
      .prepare("SELECT sequence, block_hash, log_index FROM ledger_events WHERE block_number BETWEEN ? AND ?")
      .all(page.fromBlock, lastBlock);
    const remove = this.#database.prepare("DELETE FROM ledger_events WHERE sequence = ?");
    for (const row of kept) {
      if (!present.delete(keyOf(row.block_hash, row.log_index))) remove.run(Number(row.sequence));
    }
    for (const event of page.events) {
      if (event.kind === "GenerationActivated") this.#keep(event);
      else if (present.has(keyOf(event.blockHash, event.logIndex))) this.#insert(event, shares.get(event) ?? "none");
    }
    this.#database
      .prepare(
        "INSERT INTO meta (name, value) VALUES ('cursor', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      )
      .run(JSON.stringify(page.cursor));
  }

  /** A record; undefined when the archive does not have it. */
  find(recordId: string): ArchivedRecord | undefined {
    const row = this.#database
      .prepare("SELECT * FROM ledger_events WHERE kind = 'recorded' AND record_id = ? LIMIT 1")
      .get(recordId);
    return row === undefined ? undefined : archivedOf(row);
  }

  /**
   * Records of shares of a committee, in the order of the archive.
   *
   * @param after place after which to begin
   */
  sharedBy(
    committeeId: bigint,
    after: number,
    limit: number,
  ): readonly (ArchivedRecord & { readonly place: number })[] {
    return this.#database
      .prepare(
        `SELECT * FROM ledger_events
         WHERE kind = 'recorded' AND substr(payload, 2, 1) = x'01' AND committee_id = ? AND sequence > ?
         ORDER BY sequence LIMIT ?`,
      )
      .all(String(committeeId), after, limit)
      .map((row) => ({ ...archivedOf(row), place: Number(row.sequence) }));
  }

  /** Changes this node's verdict on its share in a record. */
  noteShare(recordId: string, share: ShareState): void {
    this.#database.transaction(() =>
      this.#database
        .prepare("UPDATE ledger_events SET share = ? WHERE kind = 'recorded' AND record_id = ?")
        .run(share, recordId),
    );
  }

  /** Key material by its hash; undefined when the archive does not have it. */
  keyMaterial(hash: string): KeyMaterialAnswer | undefined {
    const row = this.#database.prepare("SELECT material FROM key_material WHERE hash = ?").get(hash);
    return row === undefined ? undefined : (JSON.parse(String(row.material)) as KeyMaterialAnswer);
  }

  /** Where an account was added to a record as an owner. */
  findOwner(recordId: string, owner: string): { transactionHash: string; blockNumber: number } | undefined {
    const row = this.#database
      .prepare("SELECT * FROM ledger_events WHERE kind = 'owner' AND record_id = ? AND account = ?")
      .get(recordId, owner);
    return row === undefined
      ? undefined
      : { transactionHash: String(row.transaction_hash), blockNumber: Number(row.block_number) };
  }

  /** One page of records, each once; however many have joined a record, it costs one row. */
  list(query: ListQuery): RecordsAnswer {
    const limit = Math.min(query.limit, MAXIMUM_PAGE);
    const { text, values } = listStatement(query);
    const records: RecordsAnswer["records"] = [];
    let last = query.after;
    let bytes = 0;
    for (const row of this.#database.prepare(text).iterate(...values, limit + 1)) {
      if (records.length === limit || bytes >= MAXIMUM_PAGE_BYTES) return { records, next: String(last) };
      const archived = archivedOf(row);
      const note = row.own_note instanceof Uint8Array ? toHex(row.own_note) : "0x";
      const laterOwner = row.later_owner === null ? null : { account: String(row.later_owner), note };
      records.push({ ...toRecordAnswer(archived), laterOwner });
      bytes += archived.record.payload.length;
      last = Number(row.position);
    }
    return { records, next: null };
  }

  /**
   * Whether the account has owned a record, as its recorder or later, that was archived at least so many seconds ago.
   */
  hasOwnedFor(account: string, seconds: number): boolean {
    const row = this.#database
      .prepare("SELECT 1 FROM ledger_events WHERE account = ? AND archived_at <= ? LIMIT 1")
      .get(account, this.#now() - seconds);
    return row !== undefined;
  }

  /** How many events of each kind there are. */
  totals(): { records: number; owners: number } {
    const row = this.#database
      .prepare(
        `SELECT count(*) FILTER (WHERE kind = 'recorded') AS r, count(*) FILTER (WHERE kind = 'owner') AS o
         FROM ledger_events`,
      )
      .get();
    return { records: Number(row?.r), owners: Number(row?.o) };
  }

  /** By its hash, so that what a reorganisation takes back harms nobody, and is there when it comes again. */
  #keep({ keyMaterialHash, keys }: KeyMaterialEvent): void {
    this.#database
      .prepare("INSERT OR IGNORE INTO key_material (hash, material) VALUES (?, ?)")
      .run(keyMaterialHash, JSON.stringify(toMaterial(keys)));
  }

  #insert(event: LedgerEvent, share: ShareState): void {
    const { blockNumber, blockHash, transactionHash, logIndex } = event;
    const place = [blockNumber, blockHash, transactionHash, logIndex, this.#now()] as const;
    if (event.kind === "KeyRecorded") {
      const { account, fileTag, committeeId, keyTime, ownershipKey, payload } = event.record;
      this.#database
        .prepare(
          `INSERT INTO ledger_events
             (kind, record_id, account, file_tag, committee_id, key_time, ownership_key, payload, share,
              block_number, block_hash, transaction_hash, log_index, archived_at)
           VALUES ('recorded', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(event.recordId, account, fileTag, String(committeeId), keyTime, ownershipKey, payload, share, ...place);
      return;
    }
    this.#database
      .prepare(
        `INSERT INTO ledger_events
           (kind, record_id, account, file_tag, note,
            block_number, block_hash, transaction_hash, log_index, archived_at)
         VALUES ('owner', ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(event.recordId, event.owner, event.fileTag, event.note, ...place);
  }
}
