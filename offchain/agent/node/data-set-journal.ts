/** The journal of data sets on disk, beside the catalogue. */

import type { StatementSync } from "node:sqlite";
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { Database } from "../../store/index/sqlite.ts";
import {
  type AgreedDataSet,
  type DataSetJournal,
  type JournaledDataSet,
  type JournaledSegment,
  type JournaledState,
  type KnownSchedule,
  type LeftSlices,
  type MovedTo,
  type NewSegment,
  type SegmentChanges,
  type SegmentObject,
  type SignedByDevice,
  savedMeanwhile,
} from "../data-sets/journal.ts";
import { type AgreedTermsText, termsFromText, termsToText } from "../data-sets/terms-text.ts";
import { openAgentDatabase } from "./agent-database.ts";

const SEGMENTS = `
  SELECT segments.*, data_sets.salt FROM segments JOIN data_sets ON data_sets.number = segments.data_set
`;

export class SqliteDataSetJournal implements DataSetJournal {
  readonly #database: Database;
  readonly #holders: StatementSync;
  readonly #addObject: StatementSync;
  readonly #objectsIn: StatementSync;

  /** @throws DiskFullError, DiskFailedError, UnknownVersionError */
  constructor(file: string) {
    this.#database = openAgentDatabase(file);
    this.#holders = this.#database.prepare(
      `SELECT segments.id FROM segment_objects JOIN segments ON segments.number = segment_objects.segment
       WHERE segment_objects.data_set = ? AND digest = ?`,
    );
    this.#addObject = this.#database.prepare(
      "INSERT INTO segment_objects (data_set, digest, segment, start_byte, size_bytes) VALUES (?, ?, ?, ?, ?)",
    );
    // Objects follow each other, so only the last one before the first byte may reach over it.
    this.#objectsIn = this.#database.prepare(
      `SELECT digest, start_byte, size_bytes FROM segment_objects
       WHERE segment = $segment AND start_byte < $to AND start_byte + size_bytes > $from AND start_byte >= coalesce(
         (SELECT max(start_byte) FROM segment_objects WHERE segment = $segment AND start_byte <= $from), 0)
       ORDER BY start_byte`,
    );
  }

  async begin(fresh: JournaledDataSet): Promise<JournaledDataSet> {
    return this.#database.transaction(() => {
      const row = this.#database
        .prepare(
          `SELECT * FROM data_sets WHERE provider = ? AND escrow = ? AND is_own = 1 AND state <> 'ended'
             AND COALESCE(json_extract(body, '$.delegate'), '') = ?
           ORDER BY created_at, salt LIMIT 1`,
        )
        .get(fresh.provider, fresh.escrow, fresh.delegate ?? "");
      if (row !== undefined) return toSet(row);
      this.#write(fresh);
      return fresh;
    });
  }

  async sets(): Promise<JournaledDataSet[]> {
    return this.#database.prepare("SELECT * FROM data_sets ORDER BY created_at, salt").all().map(toSet);
  }

  async set(salt: string): Promise<JournaledDataSet | undefined> {
    const row = this.#database.prepare("SELECT * FROM data_sets WHERE salt = ?").get(salt);
    return row === undefined ? undefined : toSet(row);
  }

  async save(set: JournaledDataSet, changes: SegmentChanges = {}): Promise<JournaledDataSet> {
    const { included = [], dropped = [], forgotten = [], left = [] } = changes;
    return this.#database.transaction(() => {
      const known = this.#database.prepare("SELECT revision, next_index FROM data_sets WHERE salt = ?").get(set.salt);
      if (known !== undefined && known.revision !== set.revision) throw savedMeanwhile(set.salt);
      const nextIndex = Math.max(set.nextIndex, Number(known?.next_index ?? 0));
      const saved = { ...set, nextIndex, revision: set.revision + 1 };
      this.#write(saved);
      const include = this.#database.prepare("UPDATE segments SET state = 'included' WHERE id = ?");
      for (const id of included) include.run(id);
      const drop = this.#database.prepare("DELETE FROM segments WHERE id = ?");
      for (const id of dropped) drop.run(id);
      const number = this.#requireNumber(set.salt);
      const forget = this.#database.prepare("DELETE FROM segment_objects WHERE data_set = ? AND digest = ?");
      for (const id of forgotten) forget.run(number, digestOf(id));
      const leave = this.#database.prepare(
        `DELETE FROM segment_objects WHERE data_set = ? AND digest = ?
         AND segment = (SELECT number FROM segments WHERE id = ?)`,
      );
      for (const { segment, objects } of left) for (const id of objects) leave.run(number, digestOf(id), segment);
      return saved;
    });
  }

  async reserve(segment: NewSegment, objects: readonly SegmentObject[]): Promise<JournaledSegment> {
    const { id, salt, sliceCount, taggedFrom, manifestHash, createdAt, isCompaction = false } = segment;
    return this.#database.transaction(() => {
      const number = this.#requireNumber(salt);
      const set = this.#database.prepare("SELECT next_index FROM data_sets WHERE number = ?").get(number);
      const firstIndex = Number(set?.next_index);
      this.#database
        .prepare("UPDATE data_sets SET next_index = ? WHERE number = ?")
        .run(firstIndex + sliceCount, number);
      const { lastInsertRowid } = this.#database
        .prepare(
          `INSERT INTO segments
             (id, data_set, first_index, slice_count, tagged_from, manifest_hash, state, created_at, is_compaction)
           VALUES (?, ?, ?, ?, ?, ?, 'reserved', ?, ?)`,
        )
        .run(id, number, firstIndex, sliceCount, taggedFrom, manifestHash, createdAt, isCompaction ? 1 : 0);
      for (const { id: object, startByte, sizeBytes } of objects) {
        this.#addObject.run(number, digestOf(object), lastInsertRowid, startByte, sizeBytes);
      }
      return { ...segment, firstIndex, state: "reserved" };
    });
  }

  async noteCommitments(segment: string, root: string): Promise<void> {
    this.#database.transaction(() => {
      this.#database.prepare("UPDATE segments SET commitments_root = ? WHERE id = ?").run(root, segment);
    });
  }

  async segments(salt?: string): Promise<JournaledSegment[]> {
    const where = salt === undefined ? "" : "WHERE data_sets.salt = ?";
    const statement = this.#database.prepare(`${SEGMENTS} ${where} ORDER BY first_index, salt`);
    return (salt === undefined ? statement.all() : statement.all(salt)).map(toSegment);
  }

  async holders(salt: string, ids: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const number = this.#numberOf(salt);
    const found = new Map<string, readonly string[]>();
    if (number === undefined) return found;
    for (const id of ids) {
      const rows = this.#holders.all(number, digestOf(id));
      const segments = rows.map((row) => String(row.id));
      if (segments.length > 0) found.set(id, segments);
    }
    return found;
  }

  async objectsIn(segment: string, fromByte: number, toByte: number): Promise<SegmentObject[]> {
    const row = this.#database.prepare("SELECT number FROM segments WHERE id = ?").get(segment);
    if (row === undefined) return [];
    return this.#objectsIn.all({ $segment: Number(row.number), $from: fromByte, $to: toByte }).map((object) => ({
      id: contentIdFromDigest(object.digest as Uint8Array),
      startByte: Number(object.start_byte),
      sizeBytes: Number(object.size_bytes),
    }));
  }

  async close(): Promise<void> {
    this.#database.close();
  }

  #numberOf(salt: string): number | undefined {
    const row = this.#database.prepare("SELECT number FROM data_sets WHERE salt = ?").get(salt);
    return row === undefined ? undefined : Number(row.number);
  }

  #requireNumber(salt: string): number {
    const number = this.#numberOf(salt);
    if (number !== undefined) return number;
    throw new TallystickError(`no data set ${salt} in the journal`, { code: "INTERNAL" });
  }

  #write(set: JournaledDataSet): void {
    const { salt, provider, escrow, state, isOwn, revision, nextIndex, createdAt } = set;
    this.#database
      .prepare(
        `INSERT INTO data_sets (salt, provider, escrow, state, is_own, revision, next_index, created_at, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (salt) DO UPDATE SET state = excluded.state, is_own = excluded.is_own,
           revision = excluded.revision, next_index = excluded.next_index, body = excluded.body`,
      )
      .run(salt, provider, escrow, state, isOwn ? 1 : 0, revision, nextIndex, createdAt, JSON.stringify(bodyOf(set)));
  }
}

/** What has no column of its own. */
interface Body {
  readonly token: string;
  readonly sliceElements: number;
  readonly contentHash: string;
  readonly agreed?: AgreedTermsText & { readonly id: string };
  readonly scheduled?: { readonly schedule: string; readonly ranges: string } & Pick<
    KnownSchedule,
    "blockNumber" | "blockHash"
  >;
  readonly signed?: Omit<SignedByDevice, "version" | "ranges" | "deadlineBlock"> & {
    readonly version: string;
    readonly ranges: string;
    readonly deadlineBlock: string;
  };
  readonly delegate?: string;
  readonly movedTo?: MovedTo;
  readonly left?: LeftSlices;
}

function bodyOf(set: JournaledDataSet): Body {
  const { token, sliceElements, contentHash, agreed, scheduled, signed, delegate, movedTo, left } = set;
  return {
    token,
    sliceElements,
    contentHash,
    ...(agreed === undefined ? {} : { agreed: { id: agreed.id, ...termsToText(agreed) } }),
    ...(scheduled === undefined ? {} : { scheduled: scheduledToText(scheduled) }),
    ...(signed === undefined ? {} : { signed: signedToText(signed) }),
    ...(delegate === undefined ? {} : { delegate }),
    ...(movedTo === undefined ? {} : { movedTo }),
    ...(left === undefined ? {} : { left }),
  };
}

function scheduledToText({ schedule, ranges, ...place }: KnownSchedule): NonNullable<Body["scheduled"]> {
  return { ...place, schedule: toHex(schedule), ranges: toHex(ranges) };
}

function signedToText(signed: SignedByDevice): NonNullable<Body["signed"]> {
  const { version, ranges, deadlineBlock, ...rest } = signed;
  return { ...rest, version: String(version), ranges: toHex(ranges), deadlineBlock: String(deadlineBlock) };
}

type Row = Record<string, unknown>;

function toSet(row: Row): JournaledDataSet {
  const { token, sliceElements, contentHash, ...body } = JSON.parse(String(row.body)) as Body;
  const { agreed, scheduled, signed, delegate, movedTo, left } = body;
  return {
    salt: String(row.salt),
    provider: String(row.provider),
    escrow: String(row.escrow),
    token,
    sliceElements,
    state: String(row.state) as JournaledState,
    isOwn: row.is_own === 1,
    revision: Number(row.revision),
    createdAt: Number(row.created_at),
    nextIndex: Number(row.next_index),
    contentHash,
    ...(agreed === undefined ? {} : { agreed: agreedFromText(agreed) }),
    ...(scheduled === undefined ? {} : { scheduled: scheduledFromText(scheduled) }),
    ...(signed === undefined ? {} : { signed: signedFromText(signed) }),
    ...(delegate === undefined ? {} : { delegate }),
    ...(movedTo === undefined ? {} : { movedTo }),
    ...(left === undefined ? {} : { left }),
  };
}

function agreedFromText(agreed: NonNullable<Body["agreed"]>): AgreedDataSet {
  return { id: agreed.id, ...termsFromText(agreed) };
}

function scheduledFromText({ schedule, ranges, ...place }: NonNullable<Body["scheduled"]>): KnownSchedule {
  return { ...place, schedule: fromHex(schedule), ranges: fromHex(ranges) };
}

function signedFromText(signed: NonNullable<Body["signed"]>): SignedByDevice {
  const { version, ranges, deadlineBlock, ...rest } = signed;
  return { ...rest, version: BigInt(version), ranges: fromHex(ranges), deadlineBlock: BigInt(deadlineBlock) };
}

function toSegment(row: Row): JournaledSegment {
  return {
    id: String(row.id),
    salt: String(row.salt),
    firstIndex: Number(row.first_index),
    sliceCount: Number(row.slice_count),
    taggedFrom: Number(row.tagged_from),
    manifestHash: String(row.manifest_hash),
    ...(row.commitments_root === null ? {} : { commitmentsRoot: String(row.commitments_root) }),
    state: row.state === "included" ? "included" : "reserved",
    createdAt: Number(row.created_at),
    ...(row.is_compaction === 1 ? { isCompaction: true } : {}),
  };
}
