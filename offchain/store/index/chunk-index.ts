/**
 * Which ciphertexts a provider stores and who owns them: the deduplication index. Every write is durable when its
 * promise resolves. Look-ups take a batch and answer by position, so that no caller asks a remote database row by row.
 */

export interface IndexedChunk {
  /** SHA-256 of the ciphertext, 32 bytes. */
  digest: Uint8Array;
  sizeBytes: number;
  /** Root of the proof-of-ownership tree over the ciphertext. */
  merkleRoot: Uint8Array;
}

export interface ChunkRow extends IndexedChunk {
  /** False when the bytes are missing or damaged. The row stays, because agreements and owners refer to it. */
  stored: boolean;
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
   * counts as stored again.
   */
  record(account: string, chunks: readonly IndexedChunk[], now: number): Promise<void>;

  /**
   * Makes an account an owner of those chunks that are stored. Lost and unknown chunks are left out.
   * @returns one entry per digest, in the same order: whether the account owns it and the provider stores it
   */
  addOwner(account: string, digests: readonly Uint8Array[], now: number): Promise<boolean[]>;

  /** Notes that the bytes of these chunks are missing or damaged. */
  markLost(digests: readonly Uint8Array[]): Promise<void>;

  /** Notes that the bytes of chunks that were lost are back and right. */
  markStored(digests: readonly Uint8Array[]): Promise<void>;

  /**
   * All rows in the order of their digests, a page at a time. Rows may be written while a caller walks: a row that is
   * changed during the walk appears once, as it is when its page is read.
   */
  pages(): AsyncIterable<readonly ChunkRow[]>;

  totals(): Promise<ChunkTotals>;

  usageOf(account: string): Promise<AccountUsage>;
}
