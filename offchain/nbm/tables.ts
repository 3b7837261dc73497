/**
 * The node's tables. State is durable before another party sees an effect of it: a DKG message before it is served, a
 * charged budget before the evaluation is sent. Columns named `…_sealed` are encrypted (secret-box.ts).
 */

import { BUDGET_TABLES } from "../daemon/quota.ts";
import { SESSION_TABLES } from "../daemon/sessions.ts";
import { sqliteScript } from "../store/index/sql/column-types.ts";

/** Migrations in order; the database's `user_version` counts those that have run. Never edit one that was released. */
export const NBM_MIGRATIONS: readonly string[] = [
  `
  ${sqliteScript(SESSION_TABLES)}

  -- Which chain and contracts the rest belongs to, and how far the archive has read.
  CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- One row per key this node has or is making a share of: a committee's key of one purpose in one generation. The
  -- first generation is 1; a refreshed or reshared key is a further row. Secrets are erased as soon as nothing needs
  -- them.
  CREATE TABLE key_states (
    committee_id TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation >= 1),
    purpose TEXT NOT NULL CHECK (purpose IN ('oprf')),
    size INTEGER NOT NULL,
    threshold INTEGER NOT NULL,
    own_index INTEGER NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('round1', 'round2', 'attesting', 'ready', 'failed')),
    problem TEXT,
    dkg_secret_sealed BLOB,
    transcript BLOB,
    key_share_sealed BLOB,
    group_public_key BLOB,
    verification_shares BLOB,
    PRIMARY KEY (committee_id, generation, purpose)
  ) STRICT, WITHOUT ROWID;

  -- Round 1: what each member, this one included, has committed itself to; the first broadcast seen is the one that
  -- counts.
  CREATE TABLE dkg_broadcasts (
    committee_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    member INTEGER NOT NULL,
    broadcast BLOB NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (committee_id, generation, purpose, member),
    FOREIGN KEY (committee_id, generation, purpose) REFERENCES key_states
  ) STRICT, WITHOUT ROWID;

  -- Round 2, outgoing: sealed to each member with HPKE. Rows are deleted when the key is active, or has failed.
  CREATE TABLE dkg_shares_out (
    committee_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    recipient INTEGER NOT NULL,
    hpke_sealed BLOB NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (committee_id, generation, purpose, recipient),
    FOREIGN KEY (committee_id, generation, purpose) REFERENCES key_states
  ) STRICT, WITHOUT ROWID;

  -- Round 2, incoming. Rows are deleted when they have been added up.
  CREATE TABLE dkg_shares_in (
    committee_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    sender INTEGER NOT NULL,
    share_sealed BLOB NOT NULL,
    PRIMARY KEY (committee_id, generation, purpose, sender),
    FOREIGN KEY (committee_id, generation, purpose) REFERENCES key_states
  ) STRICT, WITHOUT ROWID;

  ${sqliteScript(BUDGET_TABLES)}

  -- The archive: ledger events as the chain emitted them, in the order this node saw them.
  CREATE TABLE ledger_events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('recorded', 'owner')),
    record_id TEXT NOT NULL,
    account TEXT NOT NULL, -- the recorder, or the owner added
    file_tag TEXT NOT NULL,
    committee_id TEXT,
    key_time INTEGER,
    ownership_key TEXT,
    payload BLOB,
    share TEXT CHECK (share IN ('valid', 'invalid', 'none')),
    note BLOB,
    block_number INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    transaction_hash TEXT NOT NULL,
    log_index INTEGER NOT NULL,
    archived_at INTEGER NOT NULL, -- unix seconds, by this node's clock
    UNIQUE (block_hash, log_index)
  ) STRICT;
  CREATE INDEX ledger_events_by_record ON ledger_events (record_id, kind);
  CREATE INDEX ledger_events_by_account ON ledger_events (account, sequence);
  CREATE INDEX ledger_events_by_tag ON ledger_events (file_tag, sequence);
  CREATE INDEX ledger_events_by_block ON ledger_events (block_number);
  `,
];
