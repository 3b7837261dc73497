export interface EntryMetadata {
  readonly mode: number;
  readonly mtimeNanos: bigint;
  readonly uid?: number;
  readonly gid?: number;
  readonly user?: string;
  readonly group?: string;
  /** Name to value, in byte order of the names. */
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
  /** Entries with equal numbers are names of one file. */
  readonly linkGroup?: number;
  readonly sparse?: boolean;
}
