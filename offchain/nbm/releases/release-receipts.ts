/**
 * What the node has released to whom, durable before the answer leaves: the requester's signed request, the block in
 * which the policy allowed it, and the node's own signature over both, which the requester gets too. An owner who finds
 * a secret released can ask the operator on whose word, and a receipt that names a block in which the policy said no
 * shows that the node gave its share without leave.
 */

import type { Database } from "../../store/index/sqlite.ts";

export const RELEASE_TABLES = `
  -- One row per release, in order. The request is the signed body without the bytes that the secret's name stands for.
  CREATE TABLE release_receipts (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    secret TEXT NOT NULL, -- name of the sealed secret
    policy TEXT NOT NULL,
    account TEXT NOT NULL,
    session_key TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    signature TEXT NOT NULL,
    block_number INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    released_at INTEGER NOT NULL, -- unix seconds, by this node's clock
    receipt_signature TEXT NOT NULL, -- the operator's, of EIP-712 ReleaseReceipt
    UNIQUE (secret, account, session_key)
  ) STRICT;
`;

/** Anybody may write a policy that allows everything and fill the table: the oldest rows then give way. */
const MAX_RECEIPTS = 200_000;

export interface ReleaseReceipt {
  /** Name of the sealed secret, 0x hex. */
  readonly secret: string;
  readonly policy: string;
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

export class ReleaseReceipts {
  readonly #database: Database;
  readonly #limit: number;

  constructor(database: Database, limit = MAX_RECEIPTS) {
    this.#database = database;
    this.#limit = limit;
  }

  /**
   * Keeps a receipt. It is on disk when this returns. A repeated request is the same release: the first row stays.
   * @returns the receipt that is kept
   */
  keep(receipt: ReleaseReceipt): ReleaseReceipt {
    return this.#database.transaction(() => {
      const { changes } = this.#database
        .prepare(
          `INSERT INTO release_receipts
             (secret, policy, account, session_key, expires_at, signature, block_number, block_hash, released_at,
              receipt_signature)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        )
        .run(
          receipt.secret,
          receipt.policy,
          receipt.account,
          receipt.sessionKey,
          receipt.expiresAt,
          receipt.signature,
          receipt.blockNumber,
          receipt.blockHash,
          receipt.releasedAt,
          receipt.receiptSignature,
        );
      if (changes === 0) return this.#find(receipt) ?? receipt;
      // Numbers are given once and in order, so that no more rows than the limit are left.
      this.#database
        .prepare("DELETE FROM release_receipts WHERE sequence <= (SELECT MAX(sequence) FROM release_receipts) - ?")
        .run(this.#limit);
      return receipt;
    });
  }

  /** One row, however many releases of the secret there were: anybody may repeat a request of a secret of their own. */
  #find({ secret, account, sessionKey }: ReleaseReceipt): ReleaseReceipt | undefined {
    const row = this.#database
      .prepare("SELECT * FROM release_receipts WHERE secret = ? AND account = ? AND session_key = ?")
      .get(secret, account, sessionKey);
    return row === undefined ? undefined : toReceipt(row);
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
  return {
    secret: String(row.secret),
    policy: String(row.policy),
    account: String(row.account),
    sessionKey: String(row.session_key),
    expiresAt: Number(row.expires_at),
    signature: String(row.signature),
    blockNumber: Number(row.block_number),
    blockHash: String(row.block_hash),
    releasedAt: Number(row.released_at),
    receiptSignature: String(row.receipt_signature),
  };
}
