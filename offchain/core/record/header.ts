/** What the ledger says of a record beside its payload; big numbers as the chain has them, bytes as 0x hex. */
export interface KeyRecordHeader {
  account: string;
  /** 32 bytes. */
  fileTag: string;
  committeeId: bigint;
  /** T_K, unix seconds. */
  keyTime: bigint;
  ownershipKey: string;
}
