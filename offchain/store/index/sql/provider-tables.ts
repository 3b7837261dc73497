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
import { HEAD_TABLES, type HeadTables } from "./heads.ts";
import { STREAM_TABLES, type StreamTables } from "./preparation-streams.ts";

export type ChunkState = "stored" | "lost" | "removing";

export interface ProviderTables extends HeadTables, StreamTables, DataSetTables, DataSetStreamTables {
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
  preparations: {
    id: Generated<number>;
    account: string;
    salt: Uint8Array;
    key_x: Uint8Array;
    key_xa: Uint8Array;
    key_xb: Uint8Array;
    audit_key_hash: Uint8Array;
    manifest_hash: Uint8Array;
    complete: Generated<number>;
    writer: string;
    data_bytes: Generated<number>;
    chunk_count: Generated<number>;
    slice_count: Generated<number>;
    powers_a_bytes: Generated<number>;
    powers_b_bytes: Generated<number>;
    tags_bytes: Generated<number>;
    reused_powers: Generated<number>;
    verified: Generated<number>;
    uses: Generated<number>;
    touched_at: number;
  };
  manifest_chunks: { preparation_id: number; start_byte: number; size_bytes: number; digest: Uint8Array };
  agreements: {
    id: string;
    preparation_id: number;
    account: string;
    salt: Uint8Array;
    audit_key_hash: Uint8Array;
    manifest_hash: Uint8Array;
    slice_count: number;
    token: string;
    start_block: number;
    epoch_blocks: number;
    window_blocks: number;
    epochs: number;
    state: "accepting" | "active" | "ended";
    settled: Generated<number>;
    next_epoch: Generated<number>;
    health: Generated<"unknown" | "good" | "damaged">;
    health_detail: string | null;
    accept_hash: string | null;
    accept_block: number | null;
  };
  epochs: {
    agreement_id: string;
    epoch: number;
    state: "proven" | "failed" | "missed";
    transaction_hash: string | null;
    block_number: number | null;
    gas_used: string | null;
    detail: string | null;
  };
  leases: { name: string; holder: string; expires_at: number };
}

/** Part of the provider's first migration. */
export const PROVIDER_INDEX_TABLES: TableDefinitions = (types) => [
  ...ownTables(types),
  ...HEAD_TABLES(types),
  ...STREAM_TABLES(types),
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

  // One row per distinct ciphertext. 'lost': the bytes are missing or damaged; the row stays for the agreements that
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
  // the account was found to have no running agreement.
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

  // What an account sends before an agreement. The byte counts are what has been acknowledged of each stream's file.
  // complete: 0 while the manifest is arriving, or being removed, by the process 'writer': the row is unknown to all
  // that read preparations. reused_powers: powers of β, from the first, that were copied with those of α from a
  // verified
  // preparation under the same β. uses: agreements that have not ended and depend on this preparation.
  `CREATE TABLE preparations (
    id ${counted},
    account TEXT NOT NULL,
    salt ${bytes} NOT NULL,
    key_x ${bytes} NOT NULL,
    key_xa ${bytes} NOT NULL,
    key_xb ${bytes} NOT NULL,
    audit_key_hash ${bytes} NOT NULL,
    manifest_hash ${bytes} NOT NULL,
    complete ${integer} NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
    writer TEXT NOT NULL,
    data_bytes ${integer} NOT NULL DEFAULT 0,
    chunk_count ${integer} NOT NULL DEFAULT 0,
    slice_count ${integer} NOT NULL DEFAULT 0,
    powers_a_bytes ${integer} NOT NULL DEFAULT 0,
    powers_b_bytes ${integer} NOT NULL DEFAULT 0,
    tags_bytes ${integer} NOT NULL DEFAULT 0,
    reused_powers ${integer} NOT NULL DEFAULT 0,
    verified ${integer} NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),
    uses ${integer} NOT NULL DEFAULT 0 CHECK (uses >= 0),
    touched_at ${integer} NOT NULL,
    UNIQUE (account, salt)
  ) ${appended}`,
  "CREATE INDEX preparations_verified ON preparations (account, slice_count) WHERE verified = 1",
  "CREATE INDEX preparations_unused ON preparations (touched_at) WHERE uses = 0",
  "CREATE INDEX preparations_incomplete ON preparations (id) WHERE complete = 0",

  // The manifest as a prefix sum: which chunk holds byte n of the concatenated ciphertexts.
  `CREATE TABLE manifest_chunks (
    preparation_id ${integer} NOT NULL REFERENCES preparations (id) ON DELETE CASCADE,
    start_byte ${integer} NOT NULL,
    size_bytes ${integer} NOT NULL,
    digest ${bytes} NOT NULL REFERENCES chunks (digest),
    PRIMARY KEY (preparation_id, start_byte)
  ) ${clustered}`,
  "CREATE UNIQUE INDEX manifest_chunks_by_digest ON manifest_chunks (preparation_id, digest)",

  // 'accepting' is written before the transaction is sent, so that after a crash every agreement that may bind the
  // provider is known. next_epoch: all epochs before this one are over, and their outcome is in 'epochs'.
  `CREATE TABLE agreements (
    id TEXT NOT NULL PRIMARY KEY,
    preparation_id ${integer} NOT NULL,
    account TEXT NOT NULL,
    salt ${bytes} NOT NULL,
    audit_key_hash ${bytes} NOT NULL,
    manifest_hash ${bytes} NOT NULL,
    slice_count ${integer} NOT NULL,
    token TEXT NOT NULL,
    start_block ${integer} NOT NULL,
    epoch_blocks ${integer} NOT NULL,
    window_blocks ${integer} NOT NULL,
    epochs ${integer} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('accepting', 'active', 'ended')),
    settled ${integer} NOT NULL DEFAULT 0 CHECK (settled IN (0, 1)),
    next_epoch ${integer} NOT NULL DEFAULT 0,
    health TEXT NOT NULL DEFAULT 'unknown' CHECK (health IN ('unknown', 'good', 'damaged')),
    health_detail TEXT,
    accept_hash TEXT,
    accept_block ${integer}
  ) ${clustered}`,
  "CREATE INDEX agreements_by_state ON agreements (state, settled)",

  // 'failed': tried and not proven so far. 'missed': the window has passed without a proof.
  `CREATE TABLE epochs (
    agreement_id TEXT NOT NULL REFERENCES agreements (id) ON DELETE CASCADE,
    epoch ${integer} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('proven', 'failed', 'missed')),
    transaction_hash TEXT,
    block_number ${integer},
    gas_used TEXT,
    detail TEXT,
    PRIMARY KEY (agreement_id, epoch)
  ) ${clustered}`,
  "CREATE INDEX epochs_not_proven ON epochs (agreement_id) WHERE state <> 'proven'",

  // Which process does what only one may do, and until when unless it says so again: milliseconds of the database's
  // clock.
  `CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at ${integer} NOT NULL
  ) ${clustered}`,
];
