/** Stub files of accounts: one row for each account and put, replaced as a whole. */

/** What an account is charged for a stub file beside its bytes: a row with its keys. */
export const STUB_ROW_BYTES = 128;

export interface StoredStubFile {
  /** From 1. */
  readonly epoch: number;
  readonly sealed: Uint8Array;
}

export interface StubFileIndex {
  /** @param digest of the data id, 32 bytes */
  find(account: string, digest: Uint8Array): Promise<StoredStubFile | undefined>;

  /**
   * Puts a file in place of another, by compare-and-swap.
   * @param expected epoch of the file that must be in place, 0 for none
   * @returns whether what was expected was in place; nothing is changed otherwise
   */
  replace(account: string, digest: Uint8Array, expected: number, file: StoredStubFile): Promise<boolean>;

  /** Bytes of all stub files of the account, as they are charged. */
  bytesOf(account: string): Promise<number>;
}
