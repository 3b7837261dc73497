/**
 * Everything a provider keeps in its database, as asynchronous interfaces: the place where another database can take
 * over. The parts of one index share transactions only inside its implementation, and services know only these
 * interfaces.
 *
 * Each operation is one transaction: when its promise resolves, all of it is durable; when it rejects, none of it
 * happened. Operations throw DiskFullError, DiskFailedError and DatabaseUnavailableError; that last one says in
 * `details.outcome` when a connection broke during a commit, so that the outcome is unknown. Accounts may be given in
 * any case of letters, and are returned with the checksum of EIP-55.
 */
import type { ChunkIndex } from "./chunk-index.ts";
import type { ClaimIndex } from "./claim-index.ts";
import type { DataSetIndex } from "./data-set-index.ts";
import type { DelegateIndex } from "./delegate-index.ts";
import type { DeviceSnapshotIndex } from "./device-snapshot-index.ts";
import type { HeadIndex } from "./head-index.ts";
import type { Leases } from "./leases.ts";
import type { OwnerGroupIndex } from "./owner-group-index.ts";
import type { SegmentIndex } from "./segment-index.ts";
import type { StubFileIndex } from "./stub-file-index.ts";
import type { SuccessionIndex } from "./succession-index.ts";

/** Named values that describe the database itself, for example which object store belongs to it. */
export interface MetaIndex {
  get(name: string): Promise<string | undefined>;
  /** Sets a value unless there is one. @returns the value that is there now */
  setOnce(name: string, value: string): Promise<string>;
}

export interface ProviderIndex {
  /** Where the database is, for messages. */
  readonly location: string;
  readonly meta: MetaIndex;
  readonly leases: Leases;
  readonly chunks: ChunkIndex;
  readonly claims: ClaimIndex;
  readonly dataSets: DataSetIndex;
  readonly segments: SegmentIndex;
  readonly heads: HeadIndex;
  readonly stubFiles: StubFileIndex;
  readonly ownerGroups: OwnerGroupIndex;
  readonly successions: SuccessionIndex;
  readonly delegates: DelegateIndex;
  readonly deviceSnapshots: DeviceSnapshotIndex;
  /** Asks the database something trivial. @throws DiskFailedError when it does not answer */
  ping(): Promise<void>;
}
