/** Accounts whose successors took over what they had at this provider. */
export interface SuccessionIndex {
  /**
   * Makes a successor the owner of what its predecessor owns: chunks and stub files. In one transaction, and again
   * without effect; what the predecessor came to own since an earlier time is taken too. Its head stays under its name,
   * for the successor to read: it is sealed with the predecessor's keys. Where nothing is left to be taken, nothing is
   * written, since every session of the successor begins with this.
   * @param now unix seconds, since when a chunk that both owned has been owned by one only
   * @returns whether there was anything to take
   */
  takeOver(predecessor: string, successor: string, now: number): Promise<boolean>;

  /** Whether an account took over from another one here, directly or over others between. */
  hasTakenOver(successor: string, predecessor: string): Promise<boolean>;
}
