/** What a provider keeps for the delegates of accounts. */

export interface DelegateIndex {
  /** What the account has left for a delegate. */
  parcel(account: string, key: string): Promise<Uint8Array | undefined>;
  /** Puts a parcel in place of the one before. */
  setParcel(account: string, key: string, sealed: Uint8Array): Promise<void>;
}
