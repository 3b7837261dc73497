/**
 * Ownership groups that the provider manages: head, rows of the key tree, members, rekey messages and the stub file. A
 * change of owners is one transaction, by compare-and-swap on the group's epoch: of several processes one makes the
 * next epoch, and a process that dies leaves the group in the epoch before or in the one after.
 */

/** What a member, and a founder, is charged for its rows in a group. */
export const MEMBER_BYTES = 1024;

export type MemberState = "member" | "revoked";

export interface StoredGroup {
  readonly groupId: Uint8Array;
  /** Digest of the put's data id. */
  readonly digest: Uint8Array;
  readonly founder: string;
  readonly nonce: Uint8Array;
  readonly rejoin: string;
  /** Objects that a joining account proves: digest (32) and u32 size of each. */
  readonly objects: Uint8Array;
  readonly epoch: number;
  readonly salt: Uint8Array;
  /** The key of the epoch. */
  readonly groupKey: Uint8Array;
  /** Digest of the newest rekey message. */
  readonly messageDigest: Uint8Array;
  /** Number that the next node gets. */
  readonly nextNode: number;
  readonly members: number;
}

export interface StoredMember {
  readonly account: string;
  readonly state: MemberState;
  /** That it shares with the manager; none of a revoked account, and of a successor that has not told one yet. */
  readonly secret: Uint8Array | null;
  /** When it joined, or was revoked; unix seconds. */
  readonly since: number;
}

export interface ListedMember extends StoredMember {
  /** Whether the account has a stub file of its own of the put as well. */
  readonly hasOwnStubFile: boolean;
}

/** What becomes of one account. `undefined`: it has left. */
export interface MemberChange {
  readonly account: string;
  readonly becomes: Omit<StoredMember, "account"> | undefined;
}

/** The next epoch of a group. */
export interface GroupChangeRows {
  readonly group: StoredGroup;
  readonly members: readonly MemberChange[];
  readonly nodes: readonly { readonly node: number; readonly encoded: Uint8Array }[];
  readonly removed: readonly number[];
  readonly rekeys: readonly { readonly epoch: number; readonly encoded: Uint8Array }[];
  /** Messages before this epoch are forgotten. */
  readonly keptFrom: number;
}

/** `elsewhere`: the account is in another group of the same put. `changed`: another epoch is in place. */
export type GroupWrite = "written" | "changed" | "elsewhere";

export interface OwnerGroupIndex {
  find(groupId: Uint8Array): Promise<StoredGroup | undefined>;
  /** The group of a put in which an account is. @param digest of the data id */
  findOf(account: string, digest: Uint8Array): Promise<StoredGroup | undefined>;
  /** Ids of the groups that an account is a member of. */
  memberships(account: string): Promise<readonly Uint8Array[]>;
  /** A group with the rows of its tree, all of one epoch. */
  load(groupId: Uint8Array): Promise<{ group: StoredGroup; rows: readonly Uint8Array[] } | undefined>;
  member(groupId: Uint8Array, account: string): Promise<StoredMember | undefined>;
  /** By account. @param after the last account of the page before */
  members(groupId: Uint8Array, after: string | undefined, limit: number): Promise<readonly ListedMember[]>;
  /** How many accounts have been revoked and not come back. */
  revokedCount(groupId: Uint8Array): Promise<number>;

  /**
   * Writes the next epoch of a group, the first one for a new group. Stub files of the accounts' own stay.
   * @param expected epoch in place, 0 for none
   */
  write(change: GroupChangeRows, expected: number): Promise<GroupWrite>;
  /**
   * Removes the own stub file of a member, which reads the group's from here on. Repeated, it changes nothing.
   * @returns false, with nothing removed, when the account is no member or the group has no stub file
   */
  removeOwnStubFile(groupId: Uint8Array, account: string): Promise<boolean>;
  /** Forgets that an account was revoked. @returns whether it was */
  readmit(groupId: Uint8Array, account: string): Promise<boolean>;
  /** Removes a group with all that belongs to it. */
  remove(groupId: Uint8Array): Promise<void>;

  rekey(groupId: Uint8Array, epoch: number): Promise<Uint8Array | undefined>;
  stubFile(groupId: Uint8Array): Promise<{ epoch: number; sealed: Uint8Array } | undefined>;
  /**
   * Puts a stub file in place of another, charged to the founder, whose own stub file of the put is removed.
   * @param expected epoch of the file in place, 0 for none
   * @returns whether what was expected was in place
   */
  replaceStubFile(
    groupId: Uint8Array,
    expected: number,
    file: { readonly epoch: number; readonly sealed: Uint8Array },
  ): Promise<boolean>;
}
