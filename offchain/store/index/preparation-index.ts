/**
 * What accounts prepare before an agreement: one row per preparation, and its manifest. The byte counts of a row are
 * what the provider has acknowledged. Every write is durable when its promise resolves.
 */
import type { AuditPublicKey } from "../../core/audit/keys.ts";

/** A stream that a client sends for a preparation. */
export type PreparationPart = "powers-a" | "powers-b" | "tags";
export const PREPARATION_PARTS: readonly PreparationPart[] = ["powers-a", "powers-b", "tags"];
export type PartBytes = Readonly<Record<PreparationPart, number>>;

export interface Preparation {
  id: number;
  account: string;
  salt: Uint8Array;
  key: AuditPublicKey;
  auditKeyHash: Uint8Array;
  manifestHash: Uint8Array;
  /** Length of the concatenated ciphertexts. */
  dataBytes: number;
  sliceCount: number;
  /** Acknowledged bytes of each stream. */
  received: PartBytes;
  /** Number of powers of β that were copied, with all powers of α, from a verified preparation; 0 when none were. */
  reusedPowers: number;
  /** Powers and tags have been checked against the stored bytes. */
  verified: boolean;
  touchedAt: number;
  /** An agreement that has not ended depends on it. */
  inUse: boolean;
}

/** A preparation whose manifest is still arriving. */
export type NewPreparation = Omit<
  Preparation,
  "id" | "received" | "reusedPowers" | "verified" | "dataBytes" | "sliceCount" | "inUse"
>;

export interface ManifestChunk {
  digest: Uint8Array;
  sizeBytes: number;
}

/** A piece of one chunk. */
export interface ChunkRange {
  digest: Uint8Array;
  offsetBytes: number;
  lengthBytes: number;
}

/** Powers that were copied from a verified preparation. */
export interface ReusedPowers {
  powersABytes: number;
  powersBBytes: number;
  /** Powers of β in `powersBBytes`. */
  count: number;
}

export type CreationOutcome =
  | { readonly outcome: "created"; readonly id: number }
  /** The account has a preparation under this salt already. */
  | { readonly outcome: "exists" }
  /** The account has `unusedLimit` preparations that no agreement uses. */
  | { readonly outcome: "too-many" };

export interface PreparationIndex {
  find(id: number): Promise<Preparation | undefined>;
  findBySalt(account: string, salt: Uint8Array): Promise<Preparation | undefined>;

  /** All rows in the order of their ids, a page at a time. */
  pages(): AsyncIterable<readonly Preparation[]>;

  /** Verified preparations of an account, the largest first; their powers can be reused under the same secrets. */
  findVerified(account: string, limit: number): Promise<readonly Preparation[]>;

  /**
   * Adds a preparation without its manifest. Until `complete`, no other call but `addToManifest` and `delete` knows it.
   * The limit and the salt are checked in the same transaction: of two concurrent requests with one salt, one creates
   * the preparation.
   * @param unusedLimit most preparations that one account may have without an agreement, incomplete ones included
   */
  begin(preparation: NewPreparation, unusedLimit: number): Promise<CreationOutcome>;

  /**
   * Appends to the manifest of a preparation that is not complete. Callers give some hundred chunks at a time, because
   * each call is one transaction. What was added is durable once `complete` has resolved.
   * @param chunks in the order of the data, each with a row in the chunk index
   * @throws InvalidInputError when the manifest names a chunk already
   */
  addToManifest(id: number, chunks: readonly ManifestChunk[]): Promise<void>;

  /** Makes a preparation known. */
  complete(id: number, sliceCount: number): Promise<void>;

  /**
   * Preparations whose manifest never became complete, or which were being removed, when their process ended.
   * @param own those of this process as well, which has just started and works on none
   */
  incomplete({ own }: { own: boolean }): Promise<number[]>;

  /**
   * Removes a preparation and its manifest, in several transactions with other work in between. It is unknown from the
   * first on; after a crash `incomplete` names it.
   */
  delete(id: number): Promise<void>;

  /** What the account's running agreements cover, an object that two of them name counting twice. */
  agreedOf(account: string): Promise<{ bytes: number; chunks: number }>;

  /** Preparations that were last touched before a time and that no running agreement uses. */
  abandoned(before: number): Promise<number[]>;

  /** As `delete`, if `abandoned` would still name it. @returns whether it was removed */
  deleteAbandoned(id: number, before: number): Promise<boolean>;

  /** Sets the acknowledged bytes of a stream; the preparation has to be verified anew. */
  setReceived(id: number, part: PreparationPart, bytes: number): Promise<void>;

  /** Counts copied powers as received and checked. */
  setReused(id: number, reused: ReusedPowers): Promise<void>;

  /** Counts no power as received, copied ones included; the preparation has to be verified anew. */
  forgetPowers(id: number): Promise<void>;

  setVerified(id: number, verified: boolean): Promise<void>;

  /** Notes that the account is working on it. @returns false when there is no such preparation any more */
  touch(id: number, now: number): Promise<boolean>;

  /**
   * The pieces of chunks that make up `[firstByte, firstByte + lengthBytes)` of the concatenated ciphertexts, in order.
   * A range that reaches beyond the end is cut off there.
   */
  rangesOf(id: number, firstByte: number, lengthBytes: number): Promise<ChunkRange[]>;

  /** The distinct chunks of a manifest in the order of their digests, a page at a time. */
  manifestDigests(id: number): AsyncIterable<readonly Uint8Array[]>;
}
