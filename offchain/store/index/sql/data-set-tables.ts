/** The tables of data sets. `data-sets.ts`, `state-rates.ts` and `segments.ts` own them. */
import type { Generated } from "kysely";
import type { TableDefinitions } from "./column-types.ts";

export interface DataSetTables {
  data_sets: {
    id: Generated<number>;
    account: string;
    salt: Uint8Array;
    key_x: Uint8Array;
    key_xa: Uint8Array;
    key_xb: Uint8Array;
    audit_key_hash: Uint8Array;
    slice_elements: number;
    phase: number;
    powers_a_bytes: Generated<number>;
    powers_b_bytes: Generated<number>;
    verified_a: Generated<number>;
    verified_b: Generated<number>;
    given_index: Generated<number>;
    state: "preparing" | "opening" | "running" | "ended" | "removing";
    chain_id: string | null;
    mode: Generated<"every-epoch" | "on-demand">;
    token: string | null;
    terms: string | null;
    signed_version: Generated<string>;
    proving_milliseconds: Generated<number>;
    schedule: Uint8Array | null;
    ranges: Uint8Array | null;
    schedule_block: number | null;
    schedule_block_hash: string | null;
    health: Generated<"unknown" | "good" | "damaged">;
    health_detail: string | null;
    touched_at: number;
  };
  data_set_states: {
    data_set_id: number;
    version: string;
    retirements: number;
    ranges: Uint8Array;
    content_hash: string;
    deadline_block: number;
    user_signature: string;
    provider_signature: string;
    transaction_hash: string | null;
    block_number: number | null;
  };
  data_set_ranges: { data_set_id: number; hash: string; ranges: Uint8Array };
  data_set_versions: { account: string; salt: Uint8Array; signed_version: string };
  data_set_evidence: { data_set_id: number; evidence: Uint8Array };
  data_set_rates: {
    data_set_id: number;
    epoch: number;
    signed: number;
    sent: number;
    sent_version: string | null;
  };
  data_set_epochs: {
    data_set_id: number;
    epoch: number;
    state: "proven" | "failed" | "missed";
    transaction_hash: string | null;
    block_number: number | null;
    gas_used: string | null;
    detail: string | null;
  };
  segments: {
    id: Generated<number>;
    data_set_id: number;
    account: string;
    name: Uint8Array;
    manifest_hash: Uint8Array;
    commitment_seed: Uint8Array;
    commitments_root: Uint8Array | null;
    first_index: number;
    complete: Generated<number>;
    writer: string;
    slice_count: Generated<number>;
    pieces: Generated<number>;
    piece_squares: Generated<number>;
    most_pieces: Generated<number>;
    data_bytes: Generated<number>;
    kept_bytes: Generated<number>;
    kept_chunks: Generated<number>;
    tags_bytes: Generated<number>;
    verified: Generated<number>;
    included: Generated<number>;
    touched_at: number;
  };
  segment_chunks: { segment_id: number; start_byte: number; size_bytes: number; digest: Uint8Array };
}

/** Part of the provider's first migration, after the table of chunks. */
export const DATA_SET_TABLES: TableDefinitions = ({ bytes, integer, counted, appended, clustered }) => [
  // The byte counts are what has been acknowledged of each stream. verified_b: powers of β, from β¹ on, that have been
  // checked. given_index: the highest index that a segment ever got. terms: JSON of terms and audit terms. mode: that
  // of the terms, once there are any. signed_version: decimal, never falls. schedule, ranges, schedule_block,
  // schedule_block_hash: the newest that the chain is known to have, and where.
  // 'removing': unknown to all that read data sets.
  `CREATE TABLE data_sets (
    id ${counted},
    account TEXT NOT NULL,
    salt ${bytes} NOT NULL,
    key_x ${bytes} NOT NULL,
    key_xa ${bytes} NOT NULL,
    key_xb ${bytes} NOT NULL,
    audit_key_hash ${bytes} NOT NULL,
    slice_elements ${integer} NOT NULL,
    phase ${integer} NOT NULL,
    powers_a_bytes ${integer} NOT NULL DEFAULT 0,
    powers_b_bytes ${integer} NOT NULL DEFAULT 0,
    verified_a ${integer} NOT NULL DEFAULT 0 CHECK (verified_a IN (0, 1)),
    verified_b ${integer} NOT NULL DEFAULT 0,
    given_index ${integer} NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK (state IN ('preparing', 'opening', 'running', 'ended', 'removing')),
    chain_id TEXT UNIQUE,
    mode TEXT NOT NULL DEFAULT 'every-epoch' CHECK (mode IN ('every-epoch', 'on-demand')),
    token TEXT,
    terms TEXT,
    signed_version TEXT NOT NULL DEFAULT '0',
    proving_milliseconds ${integer} NOT NULL DEFAULT 0,
    schedule ${bytes},
    ranges ${bytes},
    schedule_block ${integer},
    schedule_block_hash TEXT,
    health TEXT NOT NULL DEFAULT 'unknown' CHECK (health IN ('unknown', 'good', 'damaged')),
    health_detail TEXT,
    touched_at ${integer} NOT NULL,
    UNIQUE (account, salt)
  ) ${appended}`,
  "CREATE INDEX data_sets_by_state ON data_sets (state, id)",

  // States that both parties signed, written before they are answered or sent, until they cannot reach the chain any
  // more or their place on it is final. version: decimal.
  `CREATE TABLE data_set_states (
    data_set_id ${integer} NOT NULL REFERENCES data_sets (id) ON DELETE CASCADE,
    version TEXT NOT NULL,
    retirements ${integer} NOT NULL,
    ranges ${bytes} NOT NULL,
    content_hash TEXT NOT NULL,
    deadline_block ${integer} NOT NULL,
    user_signature TEXT NOT NULL,
    provider_signature TEXT NOT NULL,
    transaction_hash TEXT,
    block_number ${integer},
    PRIMARY KEY (data_set_id, version)
  ) ${clustered}`,

  // The lists of live ranges whose hashes are in the schedule.
  `CREATE TABLE data_set_ranges (
    data_set_id ${integer} NOT NULL REFERENCES data_sets (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    ranges ${bytes} NOT NULL,
    PRIMARY KEY (data_set_id, hash)
  ) ${clustered}`,

  // Highest versions that were signed of sets that were let go of. The escrow punishes two states under one version,
  // however old their deadlines are, and a device may begin the set again. decimal.
  `CREATE TABLE data_set_versions (
    account TEXT NOT NULL,
    salt ${bytes} NOT NULL,
    signed_version TEXT NOT NULL,
    PRIMARY KEY (account, salt)
  ) ${clustered}`,

  // That the user signed two states under one version, until the set has ended: ABI-encoded, as the escrow takes it.
  `CREATE TABLE data_set_evidence (
    data_set_id ${integer} NOT NULL PRIMARY KEY REFERENCES data_sets (id) ON DELETE CASCADE,
    evidence ${bytes} NOT NULL
  ) ${clustered}`,

  // Of the newest epoch in which a state was signed or sent. signed: states that were signed. sent: states that were
  // sent; sent_version: the last of them, which does not count again when it is retried.
  `CREATE TABLE data_set_rates (
    data_set_id ${integer} NOT NULL PRIMARY KEY REFERENCES data_sets (id) ON DELETE CASCADE,
    epoch ${integer} NOT NULL,
    signed ${integer} NOT NULL,
    sent ${integer} NOT NULL,
    sent_version TEXT
  ) ${clustered}`,

  // 'failed': tried and not proven so far. 'missed': the windows have passed without a proof.
  `CREATE TABLE data_set_epochs (
    data_set_id ${integer} NOT NULL REFERENCES data_sets (id) ON DELETE CASCADE,
    epoch ${integer} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('proven', 'failed', 'missed')),
    transaction_hash TEXT,
    block_number ${integer},
    gas_used TEXT,
    detail TEXT,
    PRIMARY KEY (data_set_id, epoch)
  ) ${clustered}`,

  // complete: its manifest was checked, its chunks noted, its commitments computed. writer: the process that does so.
  // pieces, piece_squares, most_pieces: of the pieces of objects that each slice is cut from, the sum, the sum of the
  // squares, and the greatest number. kept_bytes, kept_chunks: sums over 'segment_chunks'. included: a state that both
  // parties signed names it.
  `CREATE TABLE segments (
    id ${counted},
    data_set_id ${integer} NOT NULL REFERENCES data_sets (id),
    account TEXT NOT NULL,
    name ${bytes} NOT NULL,
    manifest_hash ${bytes} NOT NULL,
    commitment_seed ${bytes} NOT NULL,
    commitments_root ${bytes},
    first_index ${integer} NOT NULL,
    complete ${integer} NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
    writer TEXT NOT NULL,
    slice_count ${integer} NOT NULL DEFAULT 0,
    pieces ${integer} NOT NULL DEFAULT 0,
    piece_squares ${integer} NOT NULL DEFAULT 0,
    most_pieces ${integer} NOT NULL DEFAULT 0,
    data_bytes ${integer} NOT NULL DEFAULT 0,
    kept_bytes ${integer} NOT NULL DEFAULT 0,
    kept_chunks ${integer} NOT NULL DEFAULT 0,
    tags_bytes ${integer} NOT NULL DEFAULT 0,
    verified ${integer} NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),
    included ${integer} NOT NULL DEFAULT 0 CHECK (included IN (0, 1)),
    touched_at ${integer} NOT NULL,
    UNIQUE (data_set_id, name)
  ) ${appended}`,
  "CREATE INDEX segments_by_index ON segments (data_set_id, first_index)",
  "CREATE INDEX segments_unused ON segments (touched_at) WHERE included = 0",
  "CREATE INDEX segments_by_account ON segments (account, included)",
  "CREATE INDEX segments_incomplete ON segments (id) WHERE complete = 0",

  // The manifest as a prefix sum, without the chunks of which no slice is live any more.
  `CREATE TABLE segment_chunks (
    segment_id ${integer} NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    start_byte ${integer} NOT NULL,
    size_bytes ${integer} NOT NULL,
    digest ${bytes} NOT NULL REFERENCES chunks (digest),
    PRIMARY KEY (segment_id, start_byte)
  ) ${clustered}`,
  "CREATE UNIQUE INDEX segment_chunks_by_digest ON segment_chunks (segment_id, digest)",
];
