/**
 * The generations that name this node as a member, in its database. The registry's event `MemberNamed` has the member
 * as a topic, so the chain's endpoint finds them, and what a node reads and keeps grows with the generations that name
 * it, not with those that strangers open. How far it has read is on disk: a node that starts again reads on from there.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import { type EventPage, type ScanCursor, scanPages } from "../../chain/logs.ts";
import { type MemberNaming, memberNamings } from "../../chain/registry-events.ts";
import { FIRST_GENERATION, type GenerationId } from "../../core/committee/key-id.ts";
import type { Database } from "../../store/index/sqlite.ts";

const CURSOR = "namings cursor";

export interface NamingsOptions {
  readonly chain: ChainReader;
  readonly database: Database;
  readonly operator: string;
  /** How far behind a replaced block the chain is read again. */
  readonly overlapBlocks: number;
}

/** A generation, as one block of the chain opened it: a reorganisation may open another one of its number. */
export interface Opening {
  readonly generation: number;
  /** Block hash and position, which no other opening has. */
  readonly place: string;
}

export class Namings {
  readonly #options: NamingsOptions;
  #reading: Promise<void> | undefined;

  constructor(options: NamingsOptions) {
    this.#options = options;
  }

  /** Reads up to the head. Callers at the same time share one reading. @throws ChainUnavailableError */
  async catchUp(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  async #read(): Promise<void> {
    const { chain, operator, overlapBlocks } = this.#options;
    const { filter, parse } = memberNamings(chain.deployment, operator);
    const start = chain.deployment.deployedAtBlock;
    for await (const page of scanPages(chain, filter, parse, start, this.#cursor(), { overlapBlocks })) {
      this.#apply(page);
    }
  }

  /** Those that have not been looked at, in the order in which they were opened. */
  fresh(): GenerationId[] {
    return this.#options.database
      .prepare("SELECT * FROM namings WHERE is_seen = 0 ORDER BY block_number, log_index")
      .all()
      .map((row) => ({ committeeId: BigInt(String(row.committee_id)), generation: Number(row.generation) }));
  }

  /** The generation need not be looked at again, unless a reorganisation of the chain opens it anew. */
  see({ committeeId, generation }: GenerationId): void {
    const { database } = this.#options;
    database.transientTransaction(() =>
      database
        .prepare("UPDATE namings SET is_seen = 1 WHERE committee_id = ? AND generation = ?")
        .run(String(committeeId), generation),
    );
  }

  /** The generations of a committee that name this node, in the order of their numbers. */
  openingsOf(committeeId: bigint): Opening[] {
    return this.#options.database
      .prepare("SELECT generation, block_hash, log_index FROM namings WHERE committee_id = ? ORDER BY generation")
      .all(String(committeeId))
      .map((row) => ({ generation: Number(row.generation), place: placeName(row.block_hash, row.log_index) }));
  }

  /** Committees whose first generation names this node, in order of number. */
  committeesFirstWith(): bigint[] {
    return this.#options.database
      .prepare("SELECT committee_id FROM namings WHERE generation = ? ORDER BY block_number, log_index")
      .all(FIRST_GENERATION)
      .map(({ committee_id: id }) => BigInt(String(id)));
  }

  #cursor(): ScanCursor | undefined {
    const row = this.#options.database.prepare("SELECT value FROM meta WHERE name = ?").get(CURSOR);
    return row === undefined ? undefined : (JSON.parse(String(row.value)) as ScanCursor);
  }

  /** As records/archive.ts: a cursor that falls back costs a second reading of the same blocks. */
  #apply(page: EventPage<MemberNaming>): void {
    const { database } = this.#options;
    const work = () => this.#replace(page);
    if (page.events.length === 0) database.transientTransaction(work);
    else database.transaction(work);
  }

  #replace({ fromBlock, toBlock, events, cursor, atHead }: EventPage<MemberNaming>): void {
    const { database } = this.#options;
    const present = new Map(events.map((event) => [placeName(event.blockHash, event.logIndex), event]));
    const kept = database
      .prepare("SELECT block_hash, log_index FROM namings WHERE block_number BETWEEN ? AND ?")
      .all(fromBlock, atHead ? Number.MAX_SAFE_INTEGER : toBlock);
    const remove = database.prepare("DELETE FROM namings WHERE block_hash = ? AND log_index = ?");
    for (const { block_hash: hash, log_index: index } of kept) {
      if (!present.delete(placeName(hash, index))) remove.run(String(hash), Number(index));
    }
    // A committee has one generation of a number: what is replaced was opened in a block that is gone.
    const add = database.prepare(
      `INSERT OR REPLACE INTO namings (committee_id, generation, block_number, block_hash, log_index, is_seen)
       VALUES (?, ?, ?, ?, ?, 0)`,
    );
    for (const { id, generation, blockNumber, blockHash, logIndex } of present.values()) {
      add.run(String(id), generation, blockNumber, blockHash, logIndex);
    }
    database.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)").run(CURSOR, JSON.stringify(cursor));
  }
}

function placeName(blockHash: unknown, logIndex: unknown): string {
  return `${String(blockHash)} ${Number(logIndex)}`;
}
