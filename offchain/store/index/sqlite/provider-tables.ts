/**
 * The tables of a provider's index. A row is written only after the bytes it describes are in the object store, so a
 * reader may trust it; objects that a crash left without a row are removed at the next start
 * (`csp/chunks/reconcile.ts`).
 *
 * Each file beside this one owns the tables named in its header; no file queries the tables of another.
 */

/** Part of the provider's first migration. */
export const PROVIDER_INDEX_TABLES = `
  CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

  -- One row per distinct ciphertext. 'lost': the bytes are missing or damaged; the row stays for the agreements that
  -- name it.
  CREATE TABLE chunks (
    digest BLOB NOT NULL PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    -- Prepared ownership challenges: nonce (16) and answer (32) of each.
    challenges BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('stored', 'lost')),
    stored_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE owners (
    account TEXT NOT NULL,
    digest BLOB NOT NULL REFERENCES chunks (digest),
    since INTEGER NOT NULL,
    PRIMARY KEY (account, digest)
  ) STRICT, WITHOUT ROWID;

  -- Challenges that claims have taken, also for chunks that are not here. A nonce in this table is not used again.
  -- 'settled': the claim succeeded.
  CREATE TABLE taken_challenges (
    digest BLOB NOT NULL,
    nonce BLOB NOT NULL,
    account TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1)),
    PRIMARY KEY (digest, nonce)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX taken_challenges_by_time ON taken_challenges (expires_at);
  CREATE INDEX taken_challenges_by_account ON taken_challenges (account, digest);

  -- Sums over 'owners', kept in the same transactions: a quota is checked by reading one row.
  CREATE TABLE accounts (
    account TEXT NOT NULL PRIMARY KEY,
    owned_chunks INTEGER NOT NULL,
    owned_bytes INTEGER NOT NULL
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
    -- 0 while the manifest is arriving, or being removed: the row is unknown to all that read preparations.
    complete INTEGER NOT NULL DEFAULT 0 CHECK (complete IN (0, 1)),
    data_bytes INTEGER NOT NULL DEFAULT 0,
    chunk_count INTEGER NOT NULL DEFAULT 0,
    slice_count INTEGER NOT NULL DEFAULT 0,
    powers_a_bytes INTEGER NOT NULL DEFAULT 0,
    powers_b_bytes INTEGER NOT NULL DEFAULT 0,
    tags_bytes INTEGER NOT NULL DEFAULT 0,
    -- Powers of β, from the first, that were copied with those of α from a verified preparation under the same β.
    reused_powers INTEGER NOT NULL DEFAULT 0,
    verified INTEGER NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),
    -- Agreements that have not ended and depend on this preparation.
    uses INTEGER NOT NULL DEFAULT 0 CHECK (uses >= 0),
    touched_at INTEGER NOT NULL,
    UNIQUE (account, salt)
  ) STRICT;
  CREATE INDEX preparations_by_beta ON preparations (account, key_bt);
  CREATE INDEX preparations_unused ON preparations (touched_at) WHERE uses = 0;
  CREATE INDEX preparations_incomplete ON preparations (id) WHERE complete = 0;

  -- The manifest as a prefix sum: which chunk holds byte n of the concatenated ciphertexts.
  CREATE TABLE manifest_chunks (
    preparation_id INTEGER NOT NULL REFERENCES preparations (id) ON DELETE CASCADE,
    start_byte INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    digest BLOB NOT NULL REFERENCES chunks (digest),
    PRIMARY KEY (preparation_id, start_byte)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX manifest_chunks_by_digest ON manifest_chunks (preparation_id, digest);

  -- 'accepting' is written before the transaction is sent, so that after a crash every agreement that may bind the
  -- provider is known.
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
  CREATE INDEX agreements_by_state ON agreements (state, settled);

  -- 'failed': tried and not proven so far. 'missed': the window has passed without a proof.
  CREATE TABLE epochs (
    agreement_id TEXT NOT NULL REFERENCES agreements (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('proven', 'failed', 'missed')),
    transaction_hash TEXT,
    block_number INTEGER,
    gas_used TEXT,
    detail TEXT,
    PRIMARY KEY (agreement_id, epoch)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX epochs_not_proven ON epochs (agreement_id) WHERE state <> 'proven';
`;
