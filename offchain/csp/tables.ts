/**
 * The provider's tables. A row is written only after the bytes it speaks of are on disk, so a row may be believed; what a crash
 * leaves without a row is removed at the next start (`reconcile.ts`).
 */
import { SESSION_TABLES } from "../daemon/sessions.ts";

/** Migrations in order; the database's `user_version` counts those that have run. Never edit one that was released. */
export const PROVIDER_MIGRATIONS: readonly string[] = [
  `
  ${SESSION_TABLES}

  CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

  -- One row per distinct ciphertext. 'lost': the bytes are gone or damaged, the row stays for the agreements that name it.
  CREATE TABLE chunks (
    digest BLOB NOT NULL PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    merkle_root BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('stored', 'lost')),
    stored_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE owners (
    account TEXT NOT NULL,
    digest BLOB NOT NULL REFERENCES chunks (digest),
    since INTEGER NOT NULL,
    PRIMARY KEY (account, digest)
  ) STRICT, WITHOUT ROWID;

  -- What an account sends before an agreement. The byte counts are what has been acknowledged of each stream's file.
  CREATE TABLE preparations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    salt BLOB NOT NULL,
    key_x BLOB NOT NULL,
    key_xa BLOB NOT NULL,
    key_bt BLOB NOT NULL,
    audit_key_hash BLOB NOT NULL,
    manifest_hash BLOB NOT NULL,
    data_bytes INTEGER NOT NULL,
    slice_count INTEGER NOT NULL,
    powers_a_bytes INTEGER NOT NULL DEFAULT 0,
    powers_b_bytes INTEGER NOT NULL DEFAULT 0,
    tags_bytes INTEGER NOT NULL DEFAULT 0,
    -- Powers of β, from the first, that were taken with those of α from a verified preparation under the same β.
    reused_powers INTEGER NOT NULL DEFAULT 0,
    verified INTEGER NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),
    touched_at INTEGER NOT NULL,
    UNIQUE (account, salt)
  ) STRICT;
  CREATE INDEX preparations_by_beta ON preparations (account, key_bt);

  -- The manifest as a prefix sum: which chunk holds byte n of the concatenated ciphertexts.
  CREATE TABLE manifest_chunks (
    preparation_id INTEGER NOT NULL REFERENCES preparations (id) ON DELETE CASCADE,
    start_byte INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    digest BLOB NOT NULL REFERENCES chunks (digest),
    PRIMARY KEY (preparation_id, start_byte)
  ) STRICT, WITHOUT ROWID;

  -- 'accepting' is written before the transaction is sent, so that a crash in between cannot hide a duty to prove.
  CREATE TABLE agreements (
    id TEXT NOT NULL PRIMARY KEY,
    preparation_id INTEGER NOT NULL,
    account TEXT NOT NULL,
    salt BLOB NOT NULL,
    audit_key_hash BLOB NOT NULL,
    manifest_hash BLOB NOT NULL,
    slice_count INTEGER NOT NULL,
    token TEXT NOT NULL,
    start_block INTEGER NOT NULL,
    epoch_blocks INTEGER NOT NULL,
    window_blocks INTEGER NOT NULL,
    epochs INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('accepting', 'active', 'ended')),
    settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1)),
    -- All epochs before this one are over, and their outcome is in 'epochs'.
    next_epoch INTEGER NOT NULL DEFAULT 0,
    health TEXT NOT NULL DEFAULT 'unknown' CHECK (health IN ('unknown', 'good', 'damaged')),
    health_detail TEXT,
    accept_hash TEXT,
    accept_block INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX agreements_by_preparation ON agreements (preparation_id, state);

  -- 'failed': tried and not proven so far. 'missed': the window has passed without a proof.
  CREATE TABLE epochs (
    agreement_id TEXT NOT NULL REFERENCES agreements (id),
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('proven', 'failed', 'missed')),
    transaction_hash TEXT,
    block_number INTEGER,
    gas_used TEXT,
    detail TEXT,
    PRIMARY KEY (agreement_id, epoch)
  ) STRICT, WITHOUT ROWID;
  `,
];
