/** The head of each account's snapshot list: one row per account, replaced as a whole. */

export interface StoredHead {
  /** From 1. */
  readonly version: number;
  readonly sealed: Uint8Array;
}

/** What must be in place for a head to be replaced. */
export interface ExpectedHead {
  /** 0 for no head. */
  readonly version: number;
  /** As `releasesOf` tells. */
  readonly releases: number;
}

export interface HeadIndex {
  find(account: string): Promise<StoredHead | undefined>;

  /**
   * Puts a head in place of another, by compare-and-swap.
   * @returns whether what was expected was in place; nothing is changed otherwise
   */
  replace(account: string, expected: ExpectedHead, head: StoredHead): Promise<boolean>;

  /**
   * How often the account has released objects, or had them released. Counted from a number that is the database's own,
   * at least 1, so that no count of a database that was lost is reached again by the one that takes its place.
   */
  releasesOf(account: string): Promise<number>;

  /** Bytes of the account's head, 0 for none. */
  bytesOf(account: string): Promise<number>;
}
