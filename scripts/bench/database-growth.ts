/** By how much an SQLite database on disk grows with what is written into it, index pages included. */
import { statSync } from "node:fs";
import type { Database } from "../../offchain/store/index/sqlite.ts";

/** Takes the steps in order. @returns growth of the file in bytes, by step */
export async function databaseGrowth(
  database: Database,
  steps: readonly (() => void | Promise<void>)[],
): Promise<number[]> {
  const sizeNow = () => {
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return statSync(database.path).size;
  };
  const growth: number[] = [];
  let before = sizeNow();
  for (const step of steps) {
    await step();
    const after = sizeNow();
    growth.push(after - before);
    before = after;
  }
  return growth;
}
