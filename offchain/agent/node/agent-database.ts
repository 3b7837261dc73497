/** The database of a home folder: catalogue and journal of data sets in one SQLite file. */

import { join } from "node:path";
import { type Database, openDatabase } from "../../store/index/sqlite.ts";

const MIGRATIONS = [
  `
  CREATE TABLE account (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    address TEXT NOT NULL
  ) STRICT;
  CREATE TABLE puts (
    data_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    entry_count INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    domain TEXT NOT NULL,
    record_id TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('recorder', 'owner')),
    stored_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE snapshot_lists (
    list TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    head_id TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- body: what is read as a whole, as JSON.
  CREATE TABLE data_sets (
    number INTEGER NOT NULL PRIMARY KEY,
    salt TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL COLLATE NOCASE,
    escrow TEXT NOT NULL COLLATE NOCASE,
    state TEXT NOT NULL CHECK (state IN ('preparing', 'opening', 'running', 'ended')),
    is_own INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    next_index INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
  CREATE TABLE segments (
    number INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    data_set INTEGER NOT NULL REFERENCES data_sets (number),
    first_index INTEGER NOT NULL,
    slice_count INTEGER NOT NULL,
    tagged_from INTEGER NOT NULL,
    manifest_hash TEXT NOT NULL,
    commitments_root TEXT,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'included')),
    created_at INTEGER NOT NULL,
    is_compaction INTEGER NOT NULL,
    UNIQUE (data_set, first_index)
  ) STRICT;
  -- One object may lie in several segments: puts that ran side by side have tagged it, or a compaction is under way.
  CREATE TABLE segment_objects (
    data_set INTEGER NOT NULL,
    digest BLOB NOT NULL,
    segment INTEGER NOT NULL REFERENCES segments (number) ON DELETE CASCADE,
    start_byte INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (data_set, digest, segment)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX segment_objects_by_place ON segment_objects (segment, start_byte);
  `,
];

/** Where the catalogue and the journal of a home folder are. */
export function agentDatabasePath(homeDir: string): string {
  return join(homeDir, "agent.db");
}

/** @throws DiskFullError, DiskFailedError, UnknownVersionError */
export function openAgentDatabase(file: string): Database {
  return openDatabase(file, { migrations: MIGRATIONS });
}
