/** The storage of a page for tests in Node: IndexedDB in memory. Import it before anything that opens a store. */
import "fake-indexeddb/auto";
import { deleteDB } from "idb";
import { databaseName } from "../../offchain/agent/browser/page-store.ts";

let count = 0;

/** A name that no test has used. */
export function freshName(): string {
  count += 1;
  return `test ${count}`;
}

/** All connections to it must be closed. */
export async function removeStore(name: string): Promise<void> {
  await deleteDB(databaseName(name));
}
