/**
 * What a device remembers: the data ids of the account, and the state of each agreement. It is a cache and a journal,
 * not the source of truth: `recover` rebuilds the puts from the ledger. Each step of an agreement is written before it
 * is taken, so that a run after a crash finds the transaction of the earlier run and does not pay twice.
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

/**
 * `prepared`: tags are made. `proposing`: a transaction may have been sent. `proposed`: on chain, not accepted.
 * `accepted`: accepted on chain; its later state is on chain only. `closed`: cancelled or settled.
 */
export type AgreementState = "prepared" | "proposing" | "proposed" | "accepted" | "closed";

export interface CataloguedAgreement {
  /** 32 bytes, 0x hex: the agreement's audit secret derives from it. */
  readonly salt: string;
  readonly dataId: string;
  readonly provider: string;
  /** The escrow contract; tells agreements of different deployments apart. */
  readonly escrow: string;
  readonly state: AgreementState;
  /** First block that can hold the proposal. */
  readonly proposedFromBlock?: number;
  readonly agreementId?: bigint;
  /** Unix seconds. */
  readonly createdAt: number;
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
   * Adds an agreement or updates its state. Another agreement with the same escrow and number loses its number: it
   * belongs to a chain that has been replaced, and is searched for again.
   */
  saveAgreement(agreement: CataloguedAgreement): Promise<void>;
  /** Oldest first. @param dataId only those about this put */
  agreements(dataId?: string): Promise<CataloguedAgreement[]>;
  /** @param escrow compared without regard to case */
  agreement(escrow: string, agreementId: bigint): Promise<CataloguedAgreement | undefined>;
  /** Removes an agreement that has no number, that is, one that never reached the chain. */
  removeAgreement(salt: string): Promise<void>;

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
