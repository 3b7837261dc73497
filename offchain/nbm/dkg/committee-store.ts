/**
 * What the node knows of the committees it belongs to: the state of each key generation, and the key share it ended with. Every
 * change is one transaction, so a restart at any moment finds the state before or after a step, never between.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { TallystickError } from "../../core/errors.ts";
import type { DkgPhase } from "../../core/wire/nbm.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { SecretBox } from "../secret-box.ts";

const ELEMENT_BYTES = 32;

export interface CommitteeState {
  readonly id: bigint;
  readonly size: number;
  readonly threshold: number;
  /** This node's position, from 1. */
  readonly index: number;
  readonly phase: DkgPhase;
  readonly problem?: string;
  /** Hash of all broadcasts, once they are complete. */
  readonly transcript?: Uint8Array;
}

/** Something a member signed. */
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

function bytesOf(row: Row | undefined, column: string): Uint8Array {
  const value = row?.[column];
  if (!(value instanceof Uint8Array)) {
    throw new TallystickError(`the node's database lacks ${column}`, { code: "INTERNAL", check: "database" });
  }
  return value;
}

function stateOf(row: Row): CommitteeState {
  return {
    id: BigInt(String(row.id)),
    size: Number(row.size),
    threshold: Number(row.threshold),
    index: Number(row.own_index),
    phase: String(row.phase) as DkgPhase,
    ...(row.problem === null ? {} : { problem: String(row.problem) }),
    ...(row.transcript instanceof Uint8Array ? { transcript: row.transcript } : {}),
  };
}

export class CommitteeStore {
  readonly #database: Database;
  readonly #box: SecretBox;

  constructor(database: Database, box: SecretBox) {
    this.#database = database;
    this.#box = box;
  }

  all(): CommitteeState[] {
    return this.#database.prepare("SELECT * FROM committees").all().map(stateOf);
  }

  find(id: bigint): CommitteeState | undefined {
    const row = this.#row(id);
    return row === undefined ? undefined : stateOf(row);
  }

  /** Enters round 1: from here on the node is bound to this broadcast. */
  begin(parameters: Omit<CommitteeState, "phase">, secret: Uint8Array, own: SignedBytes): void {
    const { id, size, threshold, index } = parameters;
    this.#database.transaction(() => {
      this.#database
        .prepare(
          "INSERT INTO committees (id, size, threshold, own_index, phase, dkg_secret_sealed) VALUES (?, ?, ?, ?, 'round1', ?)",
        )
        .run(String(id), size, threshold, index, this.#box.seal(`committees.dkg_secret ${id}`, secret));
      this.addBroadcast(id, index, own);
    });
  }

  dkgSecret(id: bigint): Uint8Array {
    return this.#box.open(`committees.dkg_secret ${id}`, bytesOf(this.#row(id), "dkg_secret_sealed"));
  }

  /** Keeps a member's broadcast. The first one counts: a member that shows another later is not believed. */
  addBroadcast(id: bigint, member: number, { bytes, signature }: SignedBytes): void {
    this.#database
      .prepare("INSERT INTO dkg_broadcasts (committee_id, member, broadcast, signature) VALUES (?, ?, ?, ?)")
      .run(String(id), member, bytes, signature);
  }

  broadcasts(id: bigint): Map<number, SignedBytes> {
    const rows = this.#database.prepare("SELECT * FROM dkg_broadcasts WHERE committee_id = ?").all(String(id));
    return new Map(
      rows.map((row) => [Number(row.member), { bytes: bytesOf(row, "broadcast"), signature: String(row.signature) }]),
    );
  }

  /** Enters round 2 with everything this node has to say in it. */
  enterRound2(
    id: bigint,
    round2: { secret: Uint8Array; transcript: Uint8Array; outgoing: ReadonlyMap<number, SignedBytes> },
  ): void {
    this.#database.transaction(() => {
      this.#database
        .prepare("UPDATE committees SET phase = 'round2', dkg_secret_sealed = ?, transcript = ? WHERE id = ?")
        .run(this.#box.seal(`committees.dkg_secret ${id}`, round2.secret), round2.transcript, String(id));
      const insert = this.#database.prepare(
        "INSERT INTO dkg_shares_out (committee_id, recipient, hpke_sealed, signature) VALUES (?, ?, ?, ?)",
      );
      for (const [recipient, { bytes, signature }] of round2.outgoing) {
        insert.run(String(id), recipient, bytes, signature);
      }
    });
  }

  outgoing(id: bigint, recipient: number): SignedBytes | undefined {
    const row = this.#database
      .prepare("SELECT * FROM dkg_shares_out WHERE committee_id = ? AND recipient = ?")
      .get(String(id), recipient);
    return row === undefined ? undefined : { bytes: bytesOf(row, "hpke_sealed"), signature: String(row.signature) };
  }

  addIncoming(id: bigint, sender: number, share: Uint8Array): void {
    this.#database
      .prepare("INSERT INTO dkg_shares_in (committee_id, sender, share_sealed) VALUES (?, ?, ?)")
      .run(String(id), sender, this.#box.seal(`dkg_shares_in ${id} ${sender}`, share));
  }

  incoming(id: bigint): Map<number, Uint8Array> {
    const rows = this.#database.prepare("SELECT * FROM dkg_shares_in WHERE committee_id = ?").all(String(id));
    return new Map(
      rows.map((row) => {
        const sender = Number(row.sender);
        return [sender, this.#box.open(`dkg_shares_in ${id} ${sender}`, bytesOf(row, "share_sealed"))];
      }),
    );
  }

  /** Keeps the result and drops what led to it, but for the sealed shares that slower members still have to fetch. */
  finish(id: bigint, { keyShare, groupPublicKey, verificationShares }: KeyMaterial): void {
    this.#database.transaction(() => {
      this.#database
        .prepare(
          "UPDATE committees SET phase = 'attesting', dkg_secret_sealed = NULL, key_share_sealed = ?, group_public_key = ?, verification_shares = ? WHERE id = ?",
        )
        .run(
          this.#box.seal(`committees.key_share ${id}`, keyShare),
          groupPublicKey,
          concatBytes(...verificationShares),
          String(id),
        );
      this.#database.prepare("DELETE FROM dkg_shares_in WHERE committee_id = ?").run(String(id));
    });
  }

  keyMaterial(id: bigint): KeyMaterial {
    const row = this.#row(id);
    const packed = bytesOf(row, "verification_shares");
    const count = packed.length / ELEMENT_BYTES;
    return {
      keyShare: this.#box.open(`committees.key_share ${id}`, bytesOf(row, "key_share_sealed")),
      groupPublicKey: bytesOf(row, "group_public_key"),
      verificationShares: Array.from({ length: count }, (_, i) =>
        packed.slice(i * ELEMENT_BYTES, (i + 1) * ELEMENT_BYTES),
      ),
    };
  }

  /** All members have attested the same key on chain. */
  activate(id: bigint): void {
    this.#database.prepare("UPDATE committees SET phase = 'ready' WHERE id = ?").run(String(id));
  }

  /** Gives a key generation up: a member broke the protocol, and only a new committee helps. */
  fail(id: bigint, problem: string): void {
    this.#database.transaction(() => {
      this.#database
        .prepare("UPDATE committees SET phase = 'failed', problem = ?, dkg_secret_sealed = NULL WHERE id = ?")
        .run(problem.slice(0, 1024), String(id));
      this.#database.prepare("DELETE FROM dkg_shares_in WHERE committee_id = ?").run(String(id));
    });
  }

  #row(id: bigint): Row | undefined {
    return this.#database.prepare("SELECT * FROM committees WHERE id = ?").get(String(id));
  }
}
