/**
 * The node's tables. State is durable before another party sees an effect of it: a message of a run before it is
 * served, a charged budget before the evaluation is sent. Columns named `…_sealed` are encrypted (secret-box.ts).
 */

import { BUDGET_TABLES } from "../daemon/quota.ts";
import { DELEGATE_SESSION_TABLES, SESSION_TABLES } from "../daemon/sessions.ts";
import { sqliteScript } from "../store/index/sql/column-types.ts";
import { HELD_SHARE_TABLES } from "./records/held-shares.ts";
import { RELEASE_TABLES } from "./releases/release-receipts.ts";

/** Migrations in order; the database's `user_version` counts those that have run. Never edit one that was released. */
export const NBM_MIGRATIONS: readonly string[] = [
  `
  ${sqliteScript(SESSION_TABLES)}

  -- Which chain and contracts the rest belongs to, and how far the archive has read.
  CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- One row per generation of a committee's keys that this node makes or has. Rows of replaced generations are deleted
  -- when the activation of the next one is final, those of runs without a result when they are over.
  CREATE TABLE generations (
    committee_id TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation >= 1),
    from_generation INTEGER NOT NULL, -- the one that deals; 0 in key generation
    size INTEGER NOT NULL,
    threshold INTEGER NOT NULL,
    parties_hash TEXT NOT NULL, -- tells this run from one of the same number, which a reorganisation replaced
    own_index INTEGER NOT NULL, -- 0: deals only
    dealer_index INTEGER NOT NULL, -- 0: does not deal
    phase TEXT NOT NULL CHECK (phase IN ('announcing', 'dealing', 'attesting', 'ready', 'failed')),
    problem TEXT,
    dealings_until INTEGER, -- unix milliseconds
    receiving_key_sealed BLOB,
    key_material_hash TEXT,
    is_settled INTEGER NOT NULL DEFAULT 0, -- 1: what only the run needed is erased
    PRIMARY KEY (committee_id, generation)
  ) STRICT, WITHOUT ROWID;

  -- The generations that name this node as a member, as the chain opened them, and how far it has been read for them
  -- (in meta).
  CREATE TABLE namings (
    committee_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    log_index INTEGER NOT NULL,
    is_seen INTEGER NOT NULL, -- 1: this node has joined, or has decided not to
    PRIMARY KEY (committee_id, generation)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX namings_by_block ON namings (block_number);
  CREATE INDEX namings_to_look_at ON namings (block_number) WHERE is_seen = 0;

  -- The signed messages of a run, this node's own and those of others. A party that signs two different announcements
  -- or dealings has a row for each of the first two.
  CREATE TABLE run_messages (
    committee_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    id TEXT NOT NULL, -- SHA-256 of kind, sender and message: two parties may sign the same bytes
    kind INTEGER NOT NULL CHECK (kind IN (1, 2, 3)), -- announcement, dealing, complaint
    sender INTEGER NOT NULL,
    about INTEGER NOT NULL, -- the dealer that a complaint is about
    message BLOB NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (committee_id, generation, id),
    FOREIGN KEY (committee_id, generation) REFERENCES generations
  ) STRICT, WITHOUT ROWID;

  -- Outcomes of a run at this node: on disk before they are attested. More than one when messages came late; the chain
  -- says which one is used.
  CREATE TABLE run_results (
    committee_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    key_material_hash TEXT NOT NULL,
    transcript TEXT NOT NULL,
    oprf_keys BLOB NOT NULL, -- group public key, then the verification shares
    record_keys BLOB NOT NULL,
    shares_sealed BLOB NOT NULL,
    faults TEXT NOT NULL, -- JSON
    PRIMARY KEY (committee_id, generation, key_material_hash),
    FOREIGN KEY (committee_id, generation) REFERENCES generations
  ) STRICT, WITHOUT ROWID;

  ${sqliteScript(BUDGET_TABLES)}

  ${RELEASE_TABLES}

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
  CREATE INDEX ledger_events_by_file ON ledger_events (account, file_tag, sequence);
  CREATE INDEX ledger_records_by_tag ON ledger_events (file_tag, sequence) WHERE kind = 'recorded';
  -- What a put can join: records with other ownership keys, or for other committees, cost it nothing.
  CREATE INDEX ledger_records_by_key ON ledger_events (file_tag, ownership_key, committee_id, sequence)
    WHERE kind = 'recorded';
  CREATE INDEX ledger_events_by_block ON ledger_events (block_number);
  -- Public keys of all generations that ever became active, by what the registry stores of them.
  CREATE TABLE key_material (hash TEXT NOT NULL PRIMARY KEY, material TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  HELD_SHARE_TABLES,
  sqliteScript(DELEGATE_SESSION_TABLES),
];
