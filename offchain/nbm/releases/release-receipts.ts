/**
 * What the node has released to whom, durable before the answer leaves: the requester's signed request with all that
 * the policy was asked, the block in which it allowed the release, and the node's own signature over both, which the
 * requester gets too. An owner who finds a secret released can ask the operator on whose word; and whoever has a
 * receipt can ask the policy the same question in the state of the same block: if it says no, the node gave its share
 * without leave.
 *
 * Accounts are free and anybody may write a policy that allows everything, so no receipt may give way to those of
 * others' releases unless these cost something on chain:
 *
 * - Under the deployment's own policies a release needs an entry on the ledger, or an opened request: a transaction for
 *   each account and secret. Of both together, the earliest and the latest few receipts stay, and nothing else removes
 *   them. So there are at most so many for each transaction.
 * - Other policies share a fixed number of rows. When it is reached, the policy with the most gives one up: of its
 *   accounts, the one with the most, its oldest. To remove one of a policy that has r rows, somebody else needs
 *   rows / r contracts.
 */

import type { Database } from "../../store/index/sqlite.ts";

export const RELEASE_TABLES = `
  -- One row per release, in order. The request is the signed body without the bytes that the secret's name stands for.
  CREATE TABLE release_receipts (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    entry TEXT, -- what must be on the chain for a release under a policy of the deployment; NULL: another policy
    secret TEXT NOT NULL, -- name of the sealed secret
    record_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    author TEXT NOT NULL,
    policy TEXT NOT NULL,
    policy_data TEXT NOT NULL,
    evidence TEXT NOT NULL,
    account TEXT NOT NULL,
    session_key TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    signature TEXT NOT NULL,
    block_number INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    released_at INTEGER NOT NULL, -- unix seconds, by this node's clock
    receipt_signature TEXT NOT NULL -- the operator's, of EIP-712 ReleaseReceipt
  ) STRICT;
  CREATE INDEX release_receipts_by_secret ON release_receipts (secret, account, session_key);
  CREATE INDEX release_receipts_by_entry ON release_receipts (entry, account) WHERE entry IS NOT NULL;
  CREATE INDEX release_receipts_by_policy ON release_receipts (policy, account) WHERE entry IS NULL;
`;

export interface ReceiptLimits {
  /** Of the earliest, and of the latest, of an account and an entry of the chain. */
  readonly perEntry: number;
  /** Of all policies that are not the deployment's. A row has at most some 20 kB. */
  readonly otherPolicies: number;
}

/**
 * A request that is repeated within this time is the same release. Later, the policy has been asked about a state that
 * the requester would not take for the present one (agent/keys/release-receipts.ts): whoever was interrupted before it
 * had all shares, and goes on after hours with the same session key, needs a receipt of now.
 */
export const REPEATED_SECONDS = 900;

const LIMITS: ReceiptLimits = { perEntry: 4, otherPolicies: 20_000 };

export interface ReleaseReceipt {
  /** What must be on the chain for a release under a policy of the deployment; absent under another policy. */
  readonly entry?: string;
  /** Name of the sealed secret, 0x hex. */
  readonly secret: string;
  readonly recordId: string;
  readonly version: number;
  readonly author: string;
  readonly policy: string;
  /** What the policy was asked with, 0x hex. */
  readonly policyData: string;
  readonly evidence: string;
  readonly account: string;
  readonly sessionKey: string;
  /** Unix seconds, as signed. */
  readonly expiresAt: number;
  readonly signature: string;
  readonly blockNumber: number;
  readonly blockHash: string;
  /** Unix seconds. */
  readonly releasedAt: number;
  /** Of the node's operator, 0x hex. */
  readonly receiptSignature: string;
}

/** Columns by field. */
const COLUMNS = {
  entry: "entry",
  secret: "secret",
  recordId: "record_id",
  version: "version",
  author: "author",
  policy: "policy",
  policyData: "policy_data",
  evidence: "evidence",
  account: "account",
  sessionKey: "session_key",
  expiresAt: "expires_at",
  signature: "signature",
  blockNumber: "block_number",
  blockHash: "block_hash",
  releasedAt: "released_at",
  receiptSignature: "receipt_signature",
} as const satisfies Record<keyof ReleaseReceipt, string>;
const FIELDS = Object.keys(COLUMNS) as (keyof ReleaseReceipt)[];
const INSERT = `INSERT INTO release_receipts (${Object.values(COLUMNS).join(", ")})
  VALUES (${FIELDS.map(() => "?").join(", ")})`;

export class ReleaseReceipts {
  readonly #database: Database;
  readonly #limits: ReceiptLimits;

  constructor(database: Database, limits = LIMITS) {
    this.#database = database;
    this.#limits = limits;
  }

  /**
   * Keeps a receipt. It is on disk when this returns. A request that is soon repeated is the same release: the row of
   * before stays.
   * @returns the receipt that is kept
   */
  keep(receipt: ReleaseReceipt): ReleaseReceipt {
    return this.#database.transaction(() => {
      const earlier = this.#earlier(receipt);
      if (earlier !== undefined) return earlier;
      this.#database.prepare(INSERT).run(...FIELDS.map((field) => receipt[field] ?? null));
      if (receipt.entry !== undefined) this.#boundEntry(receipt.entry, receipt.account);
      else this.#boundOthers();
      return receipt;
    });
  }

  /** One row, however often the same is asked at a time: anybody may repeat a request of a secret of their own. */
  #earlier({ secret, account, sessionKey, evidence, releasedAt }: ReleaseReceipt): ReleaseReceipt | undefined {
    const row = this.#database
      .prepare(
        `SELECT * FROM release_receipts WHERE secret = ? AND account = ? AND session_key = ? AND evidence = ?
           AND ABS(released_at - ?) < ? ORDER BY sequence DESC LIMIT 1`,
      )
      .get(secret, account, sessionKey, evidence, releasedAt, REPEATED_SECONDS);
    return row === undefined ? undefined : toReceipt(row);
  }

  /** The first releases stay, so that who has a key of another cannot remove the trace of having got it. */
  #boundEntry(entry: string, account: string): void {
    const rows = "SELECT sequence FROM release_receipts WHERE entry = ? AND account = ? ORDER BY sequence";
    this.#database
      .prepare(
        `DELETE FROM release_receipts WHERE entry = ? AND account = ?
           AND sequence NOT IN (${rows} LIMIT ?) AND sequence NOT IN (${rows} DESC LIMIT ?)`,
      )
      .run(entry, account, entry, account, this.#limits.perEntry, entry, account, this.#limits.perEntry);
  }

  /** Of several with as many rows, it is the turn of who added the last one. */
  #boundOthers(): void {
    const { count } = this.#one("SELECT COUNT(*) AS count FROM release_receipts WHERE entry IS NULL");
    if (Number(count) <= this.#limits.otherPolicies) return;
    const most = "ORDER BY COUNT(*) DESC, MAX(sequence) DESC LIMIT 1";
    const policies = `SELECT policy FROM release_receipts WHERE entry IS NULL GROUP BY policy ${most}`;
    const policy = String(this.#one(policies).policy);
    const of = "FROM release_receipts WHERE entry IS NULL AND policy = ?";
    const account = String(this.#one(`SELECT account ${of} GROUP BY account ${most}`, policy).account);
    const { sequence } = this.#one(`SELECT MIN(sequence) AS sequence ${of} AND account = ?`, policy, account);
    this.#database.prepare("DELETE FROM release_receipts WHERE sequence = ?").run(Number(sequence));
  }

  #one(query: string, ...values: readonly string[]): Record<string, unknown> {
    return this.#database.prepare(query).get(...values) ?? {};
  }

  /** Receipts of a secret, the earliest first. @param secret name of the sealed secret, 0x hex */
  of(secret: string): ReleaseReceipt[] {
    return this.#database
      .prepare("SELECT * FROM release_receipts WHERE secret = ? ORDER BY sequence")
      .all(secret)
      .map(toReceipt);
  }
}

function toReceipt(row: Record<string, unknown>): ReleaseReceipt {
  const fields = FIELDS.map((field) => [field, row[COLUMNS[field]]] as const);
  return Object.fromEntries(fields.filter(([, value]) => value !== null)) as unknown as ReleaseReceipt;
}
