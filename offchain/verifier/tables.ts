/**
 * The verifier's tables. All of it can be read again from the chain, but for alarms, whose proofs a chain node may have
 * dropped by then.
 */

import { DELEGATE_SESSION_TABLES, SESSION_TABLES } from "../daemon/sessions.ts";
import { sqliteScript } from "../store/index/sql/column-types.ts";

/** Migrations in order; the database's `user_version` counts those that have run. Never edit one that was released. */
export const VERIFIER_MIGRATIONS: readonly string[] = [
  `
  ${sqliteScript(SESSION_TABLES)}

  -- Which chain and contracts the rest belongs to, how far the events have been read, and what was spent for others.
  CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Events about data sets as the chain emitted them. A replaced block brings new rows. Old rows are removed, but for
  -- the newest of each kind and set.
  CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    data_set TEXT NOT NULL,
    epoch INTEGER, -- of proofs and misses
    body TEXT NOT NULL, -- the event, as event-text.ts writes it
    block_number INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    transaction_hash TEXT NOT NULL,
    log_index INTEGER NOT NULL,
    -- Of proofs: what checking it showed, from which block on it is this verifier's turn, and how often it failed.
    verdict TEXT CHECK (verdict IN ('pending', 'valid', 'invalid', 'unreadable', 'by-others')),
    reason TEXT,
    due_block INTEGER,
    is_ours INTEGER, -- whether this verifier is among those that check at once
    attempts INTEGER NOT NULL DEFAULT 0,
    UNIQUE (block_hash, log_index)
  ) STRICT;
  CREATE INDEX events_by_set ON events (data_set, kind, block_number, log_index);
  CREATE INDEX events_by_epoch ON events (data_set, epoch);
  CREATE INDEX events_by_block ON events (block_number);
  CREATE INDEX events_pending ON events (due_block) WHERE verdict = 'pending';

  -- What the events of a set come to, and what was read from the contract besides. Rows are short, because all of them
  -- are looked through at every block.
  CREATE TABLE data_sets (
    id TEXT NOT NULL PRIMARY KEY,
    user TEXT NOT NULL,
    provider TEXT NOT NULL,
    token TEXT NOT NULL,
    mode TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('running', 'breached', 'closed')),
    over_since INTEGER, -- block in which it was breached or closed
    opened_hash TEXT NOT NULL, -- block of the opening
    first_epoch INTEGER NOT NULL,
    last_epoch INTEGER, -- once the schedule has it
    report_offset INTEGER NOT NULL, -- from the first block of an epoch to the last one in which a proof counts
    newest_outcome INTEGER, -- the last two epochs that were proven or missed
    second_outcome INTEGER,
    answer_until INTEGER, -- last block in which an open dispute can be answered
    -- Read from the contract:
    generation INTEGER, -- of the user's balance at the opening
    end_epoch INTEGER, -- last epoch, when the balance was used up
    warning TEXT CHECK (warning IN ('runway', 'notice', 'ended'))
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX data_sets_by_account ON data_sets (token, user);
  CREATE INDEX data_sets_over ON data_sets (over_since) WHERE over_since IS NOT NULL;
  CREATE INDEX data_sets_disputed ON data_sets (answer_until) WHERE answer_until IS NOT NULL;
  CREATE INDEX data_sets_warned ON data_sets (warning, id) WHERE warning IS NOT NULL;

  CREATE TABLE set_texts (
    id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL, -- terms and audit terms
    schedule TEXT NOT NULL, -- 0x hex
    ranges TEXT NOT NULL, -- 0x hex
    dispute TEXT -- an open one
  ) STRICT;

  -- Balances as last read; a row is removed when an event may have changed it.
  CREATE TABLE accounts (
    token TEXT NOT NULL,
    user TEXT NOT NULL,
    available TEXT NOT NULL,
    rate TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (token, user)
  ) STRICT, WITHOUT ROWID;

  -- Proofs that the chain took and that do not verify.
  CREATE TABLE alarms (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    data_set TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    verifier TEXT NOT NULL, -- the contract that accepted it
    is_own_verifier INTEGER NOT NULL, -- whether that is the one of the deployment
    reason TEXT NOT NULL,
    transaction_hash TEXT NOT NULL,
    block_number INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    log_index INTEGER NOT NULL,
    raised_at INTEGER NOT NULL, -- unix seconds, by the clock of this machine
    UNIQUE (block_hash, log_index)
  ) STRICT;
  `,
  sqliteScript(DELEGATE_SESSION_TABLES),
];
