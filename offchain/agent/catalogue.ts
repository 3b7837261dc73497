/**
 * What a device remembers of the account: its data ids, and the heads of its snapshot lists. It is a cache: `recover`
 * rebuilds the puts from the ledger. The journal of the device's data sets is apart (`data-sets/journal.ts`).
 */

import type { HeadName } from "../core/snapshot/list-objects.ts";

/** A put that this account owns. */
export interface CataloguedPut {
  readonly dataId: string;
  /** Base names of what was put, for people. */
  readonly name: string;
  readonly entryCount: number;
  /** Plaintext bytes of all files. */
  readonly totalBytes: number;
  readonly domain: string;
  readonly recordId: string;
  readonly role: "recorder" | "owner";
  /** Unix seconds. */
  readonly storedAt: number;
}

/** Every write is durable when its promise resolves. */
export interface Catalogue {
  /**
   * Ties the catalogue to an account at first use.
   * @returns the account that it belongs to: the given one, or the one it was tied to before
   */
  claimFor(account: string): Promise<string>;

  /** Adds a put or updates it; `storedAt` of an existing one is kept. */
  savePut(put: CataloguedPut): Promise<void>;
  /** Newest first. */
  puts(): Promise<CataloguedPut[]>;
  put(dataId: string): Promise<CataloguedPut | undefined>;
  /** Forgets a put whose objects were released. */
  removePut(dataId: string): Promise<void>;

  /**
   * Head with the highest version of a snapshot list that this device has seen.
   * @param list names provider and deployment
   */
  listHead(list: string): Promise<HeadName | undefined>;
  /** Notes that a head was seen. One whose version is not higher than the one before changes nothing. */
  sawListHead(list: string, head: HeadName): Promise<void>;
  /** Forgets what was seen of a list, so that an older or another one is accepted again. */
  forgetListHead(list: string): Promise<void>;

  close(): Promise<void>;
}
