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
  /** False when the bytes are missing or damaged. The row stays, because data sets and owners refer to it. */
  stored: boolean;
}

/** A chunk whose bytes were at hand, with the ownership challenges that were prepared from them. */
export interface RecordedChunk extends IndexedChunk {
  challenges: readonly PreparedChallenge[];
  /** The chunk had a row when it was decided whether to write its bytes. */
  hadRow?: boolean;
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
  /** When the account was found to have no running data set; undefined while it has one, or nobody has looked. */
  unpaidSince?: number;
}

export interface AccountOwnership extends AccountUsage {
  account: string;
}

export interface ChunkIndex {
  /** @returns one entry per digest, in the same order; undefined for a digest without a row */
  find(digests: readonly Uint8Array[]): Promise<(ChunkRow | undefined)[]>;

  /** @returns one entry per digest, in the same order: whether the account owns it */
  owns(account: string, digests: readonly Uint8Array[]): Promise<boolean[]>;

  /** @returns one entry per digest, in the same order: how many accounts own it */
  ownersOf(digests: readonly Uint8Array[]): Promise<number[]>;

  /**
   * Records chunks whose bytes are in the object store, and their owner, in one transaction. A chunk noted as lost
   * counts as stored again. Their challenges replace earlier ones.
   * @param life `Leases.life` from before the first of the bytes was written. Where several processes share the object
   *   store, bytes without a row are removed once that life was ended.
   * @returns how many of them the account had claimed in vain, by claims that have not expired
   * @throws TallystickError CONFLICT, retryable, when one of the chunks is being removed, or was since `hadRow`, or
   *   when the life was ended
   */
  record(account: string, chunks: readonly RecordedChunk[], now: number, life?: string): Promise<number>;

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

  /**
   * Notes that claims on these chunks succeeded: a later upload does not count as making up for them.
   * @returns how many were not settled before
   */
  settleClaims(account: string, digests: readonly Uint8Array[]): Promise<number>;

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

  /**
   * Notes that an account no longer needs chunks. It owns them until `endReleases`, unless it records them, becomes
   * their owner or keeps them before; then the note is gone. Counted in `HeadIndex.releasesOf`.
   * @param headVersion version of the account's head that must be in place, because it is what tells which are needed
   * @returns how many of them the account owns and had not released; undefined when another head is in place, or a
   *   device has left a snapshot that was not taken over
   */
  noteRelease(
    account: string,
    digests: readonly Uint8Array[],
    headVersion: number,
    now: number,
  ): Promise<number | undefined>;

  /**
   * Takes back the release of chunks.
   * @returns one entry per digest, in the same order: whether the account owns it and the provider stores it
   */
  keep(account: string, digests: readonly Uint8Array[]): Promise<boolean[]>;

  /** Ends ownership that was released at a time or before, of some chunks. @returns of how many; 0 when none is left */
  endReleases(releasedAt: number, limit: number, now: number): Promise<number>;

  /**
   * Ends an account's ownership of chunks at once. A chunk that then has no owner and is in no manifest is unused.
   * Counted in `HeadIndex.releasesOf`.
   * @returns how many of them the account owned
   */
  release(account: string, digests: readonly Uint8Array[], now: number): Promise<number>;

  /** Some of the chunks that an account owns, at most `limit`, in the order of their digests. */
  ownedBy(account: string, limit: number, after?: Uint8Array): Promise<Uint8Array[]>;

  /**
   * Chunks that have been unused since a time or longer, those of a removal that a crash interrupted included, in the
   * order of their digests.
   */
  unused(since: number, limit: number, after?: Uint8Array): Promise<IndexedChunk[]>;

  /**
   * Begins to remove chunks: those that are still unused since that time count as not stored from now on, for every
   * process. Their bytes may be removed then.
   * @returns the digests of those
   */
  beginRemoval(digests: readonly Uint8Array[], since: number): Promise<Uint8Array[]>;

  /** Removes the rows of chunks whose bytes have been removed. */
  endRemoval(digests: readonly Uint8Array[]): Promise<void>;

  totals(): Promise<ChunkTotals>;

  usageOf(account: string): Promise<AccountUsage>;

  /** Accounts that own chunks, a page at a time. */
  owners(): AsyncIterable<readonly AccountOwnership[]>;

  /** Notes since when an account pays for nothing; undefined when it pays. */
  setUnpaidSince(account: string, since: number | undefined): Promise<void>;
}
