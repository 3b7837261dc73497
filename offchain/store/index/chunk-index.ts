/**
 * Which ciphertexts a provider stores and who owns them: the deduplication index. Every write is durable when its
 * promise resolves. Look-ups take a batch and answer by position, so that no caller asks a remote database row by row.
 */
import type { PreparedChallenge } from "../../core/crypto/ownership-challenge.ts";

/** Ownership challenges that a chunk has at most; each is used once. */
export const PREPARED_CHALLENGES = 8;

export interface IndexedChunk {
  /** SHA-256 of the ciphertext, 32 bytes. */
  digest: Uint8Array;
  sizeBytes: number;
}

export interface ChunkRow extends IndexedChunk {
  /** False when the bytes are missing or damaged. The row stays, because agreements and owners refer to it. */
  stored: boolean;
}

/** A chunk whose bytes were at hand, with the ownership challenges that were prepared from them. */
export interface RecordedChunk extends IndexedChunk {
  challenges: readonly PreparedChallenge[];
}

/** What a claim says about a chunk, and the nonce of the challenge in case the index has none that is unused. */
export interface ClaimedChunk extends IndexedChunk {
  spareNonce: Uint8Array;
}

/** An ownership challenge that was taken for a claim. */
export interface TakenChallenge {
  nonce: Uint8Array;
  /** Undefined when no answer is right: the chunk is not stored with that size, or has no unused challenge. */
  answer: Uint8Array | undefined;
  /** The chunk is stored with that size, and few unused challenges are left. */
  runsLow: boolean;
}

export interface ChunkTotals {
  /** Distinct ciphertexts, lost ones included. */
  chunks: number;
  storedBytes: number;
  /** Sum of the chunk sizes over all owners; what exceeds `storedBytes` is what deduplication saved. */
  ownedBytes: number;
  lostChunks: number;
}

/** What one account owns. Kept as a row per account, so that a quota is checked without adding up its chunks. */
export interface AccountUsage {
  chunks: number;
  bytes: number;
}

export interface ChunkIndex {
  /** @returns one entry per digest, in the same order; undefined for a digest without a row */
  find(digests: readonly Uint8Array[]): Promise<(ChunkRow | undefined)[]>;

  /** @returns one entry per digest, in the same order: whether the account owns it */
  owns(account: string, digests: readonly Uint8Array[]): Promise<boolean[]>;

  /**
   * Records chunks whose bytes are in the object store, and their owner, in one transaction. A chunk noted as lost
   * counts as stored again. Their challenges replace earlier ones.
   * @returns how many of them the account had claimed in vain, by claims that have not expired
   */
  record(account: string, chunks: readonly RecordedChunk[], now: number): Promise<number>;

  /**
   * Makes an account an owner of those chunks that are stored. Lost and unknown chunks are left out.
   * @returns one entry per digest, in the same order: whether the account owns it and the provider stores it
   */
  addOwner(account: string, digests: readonly Uint8Array[], now: number): Promise<boolean[]>;

  /** Replaces the challenges of a chunk. */
  setChallenges(digest: Uint8Array, challenges: readonly PreparedChallenge[]): Promise<void>;

  /**
   * Takes one unused challenge for each chunk, for good. The same is written for a chunk that is not stored, so that
   * the time taken does not tell which chunks are.
   * @param expiresAt time until which an upload of the chunk makes up for a failed claim
   * @returns one entry per chunk, in the same order
   */
  takeChallenges(account: string, chunks: readonly ClaimedChunk[], expiresAt: number): Promise<TakenChallenge[]>;

  /** Notes that a claim on these chunks succeeded: a later upload does not count as making up for it. */
  settleClaims(account: string, digests: readonly Uint8Array[]): Promise<void>;

  /** Forgets claims that have expired, and with them the challenges that they used. At most some per call. */
  forgetClaims(now: number): Promise<void>;

  /** Notes that the bytes of these chunks are missing or damaged. */
  markLost(digests: readonly Uint8Array[]): Promise<void>;

  /** Notes that the bytes of chunks that were lost are back and right. */
  markStored(digests: readonly Uint8Array[]): Promise<void>;

  /**
   * All rows in the order of their digests, a page at a time. Rows may be written while a caller walks: a row that is
   * changed during the walk appears once, as it is when its page is read.
   * @param after digest after which the walk starts; absent for all rows
   */
  pages(after?: Uint8Array): AsyncIterable<readonly ChunkRow[]>;

  totals(): Promise<ChunkTotals>;

  usageOf(account: string): Promise<AccountUsage>;
}
