/**
 * The tables of a provider's index. A row is written only after the bytes it describes are in the object store, so a
 * reader may trust it; objects that a crash left without a row are removed later (`csp/chunks/reconcile.ts`).
 *
 * Each file beside this one owns the tables named in its header; no file queries the tables of another. The files
 * `chunk*.ts` are one in this respect.
 *
 * Locality decides the cost of a large index: digests are random, so with millions of rows nearly each insert and each
 * look-up touches another page. Rows of `chunks` are therefore small (some 60 bytes, 60 to a page), and the prepared
 * challenges, 384 bytes, lie in a table of their own in the order in which they were written.
 */
import type { Generated } from "kysely";
import type { ColumnTypes, TableDefinitions } from "./column-types.ts";
import { DATA_SET_STREAM_TABLES, type DataSetStreamTables } from "./data-set-streams.ts";
import { DATA_SET_TABLES, type DataSetTables } from "./data-set-tables.ts";
import type { DelegateTables } from "./delegates.ts";
import type { DeviceSnapshotTables } from "./device-snapshots.ts";
import { HEAD_TABLES, type HeadTables } from "./heads.ts";
import type { OwnerGroupTables } from "./owner-group-tables.ts";
import { STUB_FILE_TABLES, type StubFileTables } from "./stub-files.ts";

export type ChunkState = "stored" | "lost" | "removing";

export interface ProviderTables
  extends HeadTables,
    StubFileTables,
    OwnerGroupTables,
    DelegateTables,
    DeviceSnapshotTables,
    DataSetTables,
    DataSetStreamTables {
  meta: { name: string; value: string };
  chunks: {
    digest: Uint8Array;
    size_bytes: number;
    state: ChunkState;
    stored_at: number;
    challenge_set: number | null;
    owner_count: Generated<number>;
    use_count: Generated<number>;
    unused_since: number | null;
  };
  challenge_sets: { id: Generated<number>; digest: Uint8Array; packed: Uint8Array };
  owners: { account: string; digest: Uint8Array; since: number; released_at: number | null };
  taken_challenges: {
    digest: Uint8Array;
    nonce: Uint8Array;
    account: string;
    expires_at: number;
    settled: Generated<number>;
  };
  claims: {
    sequence: Generated<number>;
    id: Uint8Array;
    account: string;
    objects: Uint8Array;
    expires_at: number;
  };
  accounts: { account: string; owned_chunks: number; owned_bytes: number; unpaid_since: number | null };
  totals: { shard: number; chunks: number; stored_bytes: number; lost_chunks: number };
  leases: { name: string; holder: string; expires_at: number };
  successions: { account: string; successor: string };
}

/** Part of the provider's first migration. */
export const PROVIDER_INDEX_TABLES: TableDefinitions = (types) => [
  ...ownTables(types),
  ...HEAD_TABLES(types),
  ...STUB_FILE_TABLES(types),
  ...DATA_SET_TABLES(types),
  ...DATA_SET_STREAM_TABLES(types),
];

const ownTables = ({ bytes, integer, counted, appended, clustered }: ColumnTypes): readonly string[] => [
  `CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) ${clustered}`,

  // Prepared ownership challenges of a chunk: nonce (16) and answer (32) of each.
  `CREATE TABLE challenge_sets (
    id ${counted},
    digest ${bytes} NOT NULL,
    packed ${bytes} NOT NULL
  ) ${appended}`,

  // One row per distinct ciphertext. 'lost': the bytes are missing or damaged; the row stays for the data sets that
  // name it. 'removing': nobody needs it, and its bytes are being removed. Without challenges, challenge_set is NULL.
  // owner_count: rows of 'owners'. use_count: rows of 'manifest_chunks' and 'segment_chunks'. unused_since: when both
  // became 0.
  `CREATE TABLE chunks (
    digest ${bytes} NOT NULL PRIMARY KEY,
    size_bytes ${integer} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('stored', 'lost', 'removing')),
    stored_at ${integer} NOT NULL,
    challenge_set ${integer},
    owner_count ${integer} NOT NULL DEFAULT 0 CHECK (owner_count >= 0),
    use_count ${integer} NOT NULL DEFAULT 0 CHECK (use_count >= 0),
    unused_since ${integer}
  ) ${clustered}`,
  "CREATE INDEX chunks_unused ON chunks (unused_since, digest) WHERE unused_since IS NOT NULL",

  // released_at: when the account said that it needs the chunk no more. The row goes later, unless it is needed again.
  `CREATE TABLE owners (
    account TEXT NOT NULL,
    digest ${bytes} NOT NULL REFERENCES chunks (digest),
    since ${integer} NOT NULL,
    released_at ${integer},
    PRIMARY KEY (account, digest)
  ) ${clustered}`,
  "CREATE INDEX owners_released ON owners (released_at, account, digest) WHERE released_at IS NOT NULL",

  // Challenges that claims have taken, also for chunks that are not here. A nonce in this table is not used again.
  // 'settled': the claim succeeded.
  `CREATE TABLE taken_challenges (
    digest ${bytes} NOT NULL,
    nonce ${bytes} NOT NULL,
    account TEXT NOT NULL,
    expires_at ${integer} NOT NULL,
    settled ${integer} NOT NULL DEFAULT 0 CHECK (settled IN (0, 1)),
    PRIMARY KEY (digest, nonce)
  ) ${clustered}`,
  "CREATE INDEX taken_challenges_by_time ON taken_challenges (expires_at)",
  "CREATE INDEX taken_challenges_by_account ON taken_challenges (account, digest)",

  // Claims that wait for their answers: digest (32), whether there is a right answer (1), and that answer (32) of each
  // object.
  `CREATE TABLE claims (
    sequence ${counted},
    id ${bytes} NOT NULL UNIQUE,
    account TEXT NOT NULL,
    objects ${bytes} NOT NULL,
    expires_at ${integer} NOT NULL
  ) ${appended}`,
  "CREATE INDEX claims_by_account ON claims (account, sequence)",
  "CREATE INDEX claims_by_time ON claims (expires_at)",

  // Sums over 'owners', kept in the same transactions: a quota is checked by reading one row. unpaid_since: since when
  // the account was found to have no running data set.
  `CREATE TABLE accounts (
    account TEXT NOT NULL PRIMARY KEY,
    owned_chunks ${integer} NOT NULL,
    owned_bytes ${integer} NOT NULL,
    unpaid_since ${integer}
  ) ${clustered}`,

  // Sums over 'chunks', kept in the same transactions. Several rows, so that transactions do not wait for one another.
  `CREATE TABLE totals (
    shard ${integer} NOT NULL PRIMARY KEY,
    chunks ${integer} NOT NULL,
    stored_bytes ${integer} NOT NULL,
    lost_chunks ${integer} NOT NULL
  ) ${clustered}`,

  // Which process does what only one may do, and until when unless it says so again: milliseconds of the database's
  // clock.
  `CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at ${integer} NOT NULL
  ) ${clustered}`,

  // Accounts whose successor took over what they had here.
  `CREATE TABLE successions (
    account TEXT NOT NULL PRIMARY KEY,
    successor TEXT NOT NULL
  ) ${clustered}`,
];
