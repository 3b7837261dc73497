/** What rows of a key node's archive take on its disk. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "#primitives";
import type { LedgerEvent } from "../../offchain/chain/ledger.ts";
import type { LogPlace } from "../../offchain/chain/logs.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { Archive } from "../../offchain/nbm/records/archive.ts";
import { NBM_MIGRATIONS } from "../../offchain/nbm/tables.ts";
import { openDatabase } from "../../offchain/store/index/sqlite.ts";
import { databaseGrowth } from "./database-growth.ts";

const encoder = new TextEncoder();

/** Where an event stands on a chain that has one event in each block. */
export function placeOfEvent(blockNumber: number): LogPlace {
  const hash = (what: string) => toHex(sha256(encoder.encode(`bench ${what} ${blockNumber}`)));
  return { blockNumber, blockHash: hash("block"), transactionHash: hash("transaction"), logIndex: 0 };
}

/**
 * Archives pages of events, one after another, in a node's own database on disk.
 *
 * @returns by how many bytes the database grew with each page
 */
export async function archiveGrowth(pages: readonly (readonly LedgerEvent[])[]): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-bench-"));
  try {
    const database = openDatabase(join(folder, "archive.db"), { migrations: NBM_MIGRATIONS });
    try {
      const archive = new Archive(database);
      const archived = (events: readonly LedgerEvent[]) => () => {
        const [fromBlock = 0, toBlock = 0] = [events[0]?.blockNumber, events.at(-1)?.blockNumber];
        const cursor = { blockNumber: toBlock, blockHash: placeOfEvent(toBlock).blockHash };
        const page = { events: [...events], fromBlock, toBlock, atHead: false, cursor };
        archive.apply(page, new Map(events.map((event) => [event, "valid"])));
      };
      return await databaseGrowth(database, pages.map(archived));
    } finally {
      database.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
