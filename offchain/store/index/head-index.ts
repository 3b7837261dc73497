/** The head of each account's snapshot list: one row per account, replaced as a whole. */

export interface StoredHead {
  /** From 1. */
  readonly version: number;
  readonly sealed: Uint8Array;
}

export interface HeadIndex {
  find(account: string): Promise<StoredHead | undefined>;

  /**
   * Puts a head in place of another, by compare-and-swap.
   * @param expectedVersion version that must be in place, 0 for none
   * @returns whether it was; nothing is changed otherwise
   */
  replace(account: string, expectedVersion: number, head: StoredHead): Promise<boolean>;

  /** Bytes of the account's head, 0 for none. */
  bytesOf(account: string): Promise<number>;
}
