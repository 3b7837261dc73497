/**
 * The key states on disk: how far each key generation is, and the key share it ended with. Every change is one
 * transaction, so a restart at any moment finds the state before or after a step, never between.
 *
 * Sealed sub-shares and polynomial coefficients would give the key share of another member to whoever also has that
 * member's keystore. They are erased when nothing needs them: `secure_delete` overwrites deleted rows, and a checkpoint
 * that truncates the write-ahead log removes the copies in it.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { type KeyId, keyName } from "../../core/dkg/key-id.ts";
import { TallystickError } from "../../core/errors.ts";
import type { DkgPhase } from "../../core/wire/nbm.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { SecretBox } from "../secret-box.ts";

const ELEMENT_BYTES = 32;
const MAXIMUM_PROBLEM_CHARACTERS = 1024;

export interface KeyState extends KeyId {
  readonly size: number;
  readonly threshold: number;
  /** This node's position, from 1. */
  readonly index: number;
  readonly phase: DkgPhase;
  readonly problem?: string;
  /** Hash of all broadcasts, once they are complete. */
  readonly transcript?: Uint8Array;
}

/** A message and the signature of the member that sent it. */
export interface SignedBytes {
  readonly bytes: Uint8Array;
  readonly signature: string;
}

export interface KeyMaterial {
  readonly keyShare: Uint8Array;
  readonly groupPublicKey: Uint8Array;
  /** Of members 1 … n, in order. */
  readonly verificationShares: Uint8Array[];
}

type Row = Record<string, unknown>;

/** The condition that selects the rows of one key, with the values for it. */
const OF_KEY = "committee_id = ? AND generation = ? AND purpose = ?";

function valuesOf({ committeeId, generation, purpose }: KeyId): [string, number, string] {
  return [String(committeeId), generation, purpose];
}

function bytesOf(row: Row | undefined, column: string): Uint8Array {
  const value = row?.[column];
  if (!(value instanceof Uint8Array)) {
    throw new TallystickError(`the node's database lacks ${column}`, { code: "INTERNAL", check: "database" });
  }
  return value;
}

function stateOf(row: Row): KeyState {
  return {
    committeeId: BigInt(String(row.committee_id)),
    generation: Number(row.generation),
    purpose: String(row.purpose) as KeyId["purpose"],
    size: Number(row.size),
    threshold: Number(row.threshold),
    index: Number(row.own_index),
    phase: String(row.phase) as DkgPhase,
    ...(row.problem === null ? {} : { problem: String(row.problem) }),
    ...(row.transcript instanceof Uint8Array ? { transcript: row.transcript } : {}),
  };
}

export class KeyStateStore {
  readonly #database: Database;
  readonly #box: SecretBox;

  constructor(database: Database, box: SecretBox) {
    this.#database = database;
    this.#box = box;
    database.exec("PRAGMA secure_delete = ON");
    this.#truncateLog();
  }

  all(): KeyState[] {
    return this.#database.prepare("SELECT * FROM key_states").all().map(stateOf);
  }

  find(key: KeyId): KeyState | undefined {
    const row = this.#row(key);
    return row === undefined ? undefined : stateOf(row);
  }

  /** Enters round 1. From then on the node is bound to this broadcast. */
  begin(state: Omit<KeyState, "phase">, secret: Uint8Array, own: SignedBytes): void {
    const { size, threshold, index } = state;
    this.#database.transaction(() => {
      this.#database
        .prepare(
          `INSERT INTO key_states
             (committee_id, generation, purpose, size, threshold, own_index, phase, dkg_secret_sealed)
           VALUES (?, ?, ?, ?, ?, ?, 'round1', ?)`,
        )
        .run(...valuesOf(state), size, threshold, index, this.#box.seal(secretPlace(state), secret));
      this.addBroadcast(state, index, own);
    });
  }

  dkgSecret(key: KeyId): Uint8Array {
    return this.#box.open(secretPlace(key), bytesOf(this.#row(key), "dkg_secret_sealed"));
  }

  /** Keeps a member's broadcast. Only the first one is accepted; a second one is a constraint error. */
  addBroadcast(key: KeyId, member: number, { bytes, signature }: SignedBytes): void {
    this.#database
      .prepare(
        `INSERT INTO dkg_broadcasts (committee_id, generation, purpose, member, broadcast, signature)
         VALUES (?, ?, ?, ?, ?, ?)`,
      )
      .run(...valuesOf(key), member, bytes, signature);
  }

  broadcasts(key: KeyId): Map<number, SignedBytes> {
    const rows = this.#database.prepare(`SELECT * FROM dkg_broadcasts WHERE ${OF_KEY}`).all(...valuesOf(key));
    return new Map(
      rows.map((row) => [Number(row.member), { bytes: bytesOf(row, "broadcast"), signature: String(row.signature) }]),
    );
  }

  /** Enters round 2 with all messages that this node sends in it. */
  enterRound2(
    key: KeyId,
    round2: { secret: Uint8Array; transcript: Uint8Array; outgoing: ReadonlyMap<number, SignedBytes> },
  ): void {
    this.#database.transaction(() => {
      this.#database
        .prepare(`UPDATE key_states SET phase = 'round2', dkg_secret_sealed = ?, transcript = ? WHERE ${OF_KEY}`)
        .run(this.#box.seal(secretPlace(key), round2.secret), round2.transcript, ...valuesOf(key));
      const insert = this.#database.prepare(
        `INSERT INTO dkg_shares_out (committee_id, generation, purpose, recipient, hpke_sealed, signature)
         VALUES (?, ?, ?, ?, ?, ?)`,
      );
      for (const [recipient, { bytes, signature }] of round2.outgoing) {
        insert.run(...valuesOf(key), recipient, bytes, signature);
      }
    });
  }

  outgoing(key: KeyId, recipient: number): SignedBytes | undefined {
    const row = this.#database
      .prepare(`SELECT * FROM dkg_shares_out WHERE ${OF_KEY} AND recipient = ?`)
      .get(...valuesOf(key), recipient);
    return row === undefined ? undefined : { bytes: bytesOf(row, "hpke_sealed"), signature: String(row.signature) };
  }

  addIncoming(key: KeyId, sender: number, share: Uint8Array): void {
    this.#database
      .prepare(
        "INSERT INTO dkg_shares_in (committee_id, generation, purpose, sender, share_sealed) VALUES (?, ?, ?, ?, ?)",
      )
      .run(...valuesOf(key), sender, this.#box.seal(incomingPlace(key, sender), share));
  }

  incoming(key: KeyId): Map<number, Uint8Array> {
    const rows = this.#database.prepare(`SELECT * FROM dkg_shares_in WHERE ${OF_KEY}`).all(...valuesOf(key));
    return new Map(
      rows.map((row) => {
        const sender = Number(row.sender);
        return [sender, this.#box.open(incomingPlace(key, sender), bytesOf(row, "share_sealed"))];
      }),
    );
  }

  /** Keeps the result and erases the inputs, except the sealed sub-shares that slower members still have to fetch. */
  finish(key: KeyId, { keyShare, groupPublicKey, verificationShares }: KeyMaterial): void {
    this.#database.transaction(() => {
      this.#database
        .prepare(
          `UPDATE key_states SET phase = 'attesting', dkg_secret_sealed = NULL, key_share_sealed = ?,
             group_public_key = ?, verification_shares = ? WHERE ${OF_KEY}`,
        )
        .run(
          this.#box.seal(sharePlace(key), keyShare),
          groupPublicKey,
          concatBytes(...verificationShares),
          ...valuesOf(key),
        );
      this.#deleteFrom("dkg_shares_in", key);
    });
  }

  keyMaterial(key: KeyId): KeyMaterial {
    const row = this.#row(key);
    const packed = bytesOf(row, "verification_shares");
    const count = packed.length / ELEMENT_BYTES;
    return {
      keyShare: this.#box.open(sharePlace(key), bytesOf(row, "key_share_sealed")),
      groupPublicKey: bytesOf(row, "group_public_key"),
      verificationShares: Array.from({ length: count }, (_, i) =>
        packed.slice(i * ELEMENT_BYTES, (i + 1) * ELEMENT_BYTES),
      ),
    };
  }

  /** All members have attested the same key on chain, so every member has its sub-shares: they are erased here. */
  activate(key: KeyId): void {
    this.#database.transaction(() => {
      this.#database.prepare(`UPDATE key_states SET phase = 'ready' WHERE ${OF_KEY}`).run(...valuesOf(key));
      this.#deleteFrom("dkg_shares_out", key);
    });
    this.#truncateLog();
  }

  /** Gives a key generation up for good and erases its secrets: a member broke the protocol. */
  fail(key: KeyId, problem: string): void {
    this.#database.transaction(() => {
      this.#database
        .prepare(`UPDATE key_states SET phase = 'failed', problem = ?, dkg_secret_sealed = NULL WHERE ${OF_KEY}`)
        .run(problem.slice(0, MAXIMUM_PROBLEM_CHARACTERS), ...valuesOf(key));
      this.#deleteFrom("dkg_shares_in", key);
      this.#deleteFrom("dkg_shares_out", key);
    });
    this.#truncateLog();
  }

  #deleteFrom(table: "dkg_shares_in" | "dkg_shares_out", key: KeyId): void {
    this.#database.prepare(`DELETE FROM ${table} WHERE ${OF_KEY}`).run(...valuesOf(key));
  }

  #truncateLog(): void {
    this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  #row(key: KeyId): Row | undefined {
    return this.#database.prepare(`SELECT * FROM key_states WHERE ${OF_KEY}`).get(...valuesOf(key));
  }
}

// Places of sealed values, as docs/spec.md section 15 lists them.
const secretPlace = (key: KeyId) => `key_states.dkg_secret ${keyName(key)}`;
const sharePlace = (key: KeyId) => `key_states.key_share ${keyName(key)}`;
const incomingPlace = (key: KeyId, sender: number) => `dkg_shares_in ${keyName(key)} ${sender}`;
