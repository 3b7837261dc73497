/**
 * The generations on disk that this node makes or has: how far each is, the messages of its run, and the shares it
 * ended with. Every change is one transaction, so a restart at any moment finds the state before or after a step, never
 * between.
 *
 * Old shares and receiving keys are what a refresh makes useless to a thief. They are erased when nothing needs them:
 * `secure_delete` overwrites deleted rows, and a checkpoint that truncates the write-ahead log removes the copies in
 * it.
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { type GenerationId, generationName } from "../../core/committee/key-id.ts";
import { type CommitteeGeneration, type PublicKeys, perKey } from "../../core/committee/run.ts";
import { TallystickError } from "../../core/errors.ts";
import type { GenerationPhase, RunMessageKind } from "../../core/wire/nbm.ts";
import type { Database } from "../../store/index/sqlite.ts";
import type { SecretBox } from "../secret-box.ts";
import { KIND_CODES, messageId, type SignedBytes } from "./signed-messages.ts";

const ELEMENT_BYTES = 32;
const MAXIMUM_PROBLEM_CHARACTERS = 1024;
const KINDS = new Map(Object.entries(KIND_CODES).map(([kind, code]) => [code, kind as RunMessageKind]));

export interface GenerationState extends GenerationId {
  /** The generation whose members deal; 0 in key generation. */
  readonly from: number;
  readonly size: number;
  readonly threshold: number;
  /** `partiesHash` of the run. */
  readonly partiesHash: string;
  /** This node's position among the members, from 1; 0 when it only deals. */
  readonly index: number;
  /** This node's position among the dealers, from 1; 0 when it does not deal. */
  readonly dealer: number;
  readonly phase: GenerationPhase;
  readonly problem?: string;
  /** Unix milliseconds until which dealings are waited for, once there are dealings. */
  readonly dealingsUntil?: number;
  /** Key material of the shares that are used, once the generation has been active. */
  readonly keyMaterialHash?: string;
  /** Whether all that only the run needed has been erased. */
  readonly isSettled: boolean;
}

export interface RunMessage extends SignedBytes {
  readonly kind: RunMessageKind;
  readonly sender: number;
  /** The dealer that a complaint is about; 0 for other messages. */
  readonly about: number;
  /** `messageId` of kind, sender and bytes. */
  readonly id: string;
}

/** What anybody may know of how a run ended. */
export interface RunOutcome {
  readonly keyMaterialHash: string;
  /** The transcript, hexadecimal. */
  readonly transcript: string;
  readonly generation: CommitteeGeneration;
  /** Who was left out, and why. */
  readonly faults: readonly string[];
}

export interface RunResult extends RunOutcome {
  /** core/committee/member-shares.ts; secret: whoever has asked erases them. */
  readonly shares: Uint8Array;
}

type Row = Record<string, unknown>;

/** The condition that selects the rows of one generation, with the values for it. */
const OF = "committee_id = ? AND generation = ?";

function valuesOf({ committeeId, generation }: GenerationId): [string, number] {
  return [String(committeeId), generation];
}

function bytesOf(row: Row | undefined, column: string): Uint8Array {
  const value = row?.[column];
  if (value instanceof Uint8Array) return value;
  throw new TallystickError(`the node's database lacks ${column}`, { code: "INTERNAL", check: "database" });
}

function stateOf(row: Row): GenerationState {
  return {
    committeeId: BigInt(String(row.committee_id)),
    generation: Number(row.generation),
    from: Number(row.from_generation),
    size: Number(row.size),
    threshold: Number(row.threshold),
    partiesHash: String(row.parties_hash),
    index: Number(row.own_index),
    dealer: Number(row.dealer_index),
    phase: String(row.phase) as GenerationPhase,
    ...(row.problem === null ? {} : { problem: String(row.problem) }),
    ...(row.dealings_until === null ? {} : { dealingsUntil: Number(row.dealings_until) }),
    ...(row.key_material_hash === null ? {} : { keyMaterialHash: String(row.key_material_hash) }),
    isSettled: row.is_settled === 1,
  };
}

export class GenerationStore {
  readonly #database: Database;
  readonly #box: SecretBox;

  constructor(database: Database, box: SecretBox) {
    this.#database = database;
    this.#box = box;
    database.exec("PRAGMA secure_delete = ON");
    this.#truncateLog();
  }

  all(): GenerationState[] {
    return this.#database.prepare("SELECT * FROM generations ORDER BY committee_id, generation").all().map(stateOf);
  }

  find(id: GenerationId): GenerationState | undefined {
    const row = this.#row(id);
    return row === undefined ? undefined : stateOf(row);
  }

  /**
   * Enters a run. From then on a member is bound to this announcement. After a reorganisation, what the node had of the
   * run whose number this one has now is erased; but for its outcomes, since the chain may come back to that one.
   */
  begin(
    state: Omit<GenerationState, "phase" | "isSettled">,
    own?: { readonly secret: Uint8Array; readonly announcement: SignedBytes },
  ): void {
    const { from, size, threshold, partiesHash, index, dealer } = state;
    const sealed = own === undefined ? null : this.#box.seal(secretPlace(state), own.secret);
    this.#database.transaction(() => {
      this.#database.prepare(`DELETE FROM run_messages WHERE ${OF}`).run(...valuesOf(state));
      this.#database
        .prepare(
          `INSERT INTO generations (committee_id, generation, from_generation, size, threshold, parties_hash, own_index,
             dealer_index, phase, receiving_key_sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'announcing', ?)
           ON CONFLICT (committee_id, generation) DO UPDATE SET from_generation = excluded.from_generation,
             size = excluded.size, threshold = excluded.threshold, parties_hash = excluded.parties_hash,
             own_index = excluded.own_index, dealer_index = excluded.dealer_index, phase = excluded.phase,
             receiving_key_sealed = excluded.receiving_key_sealed, problem = NULL, dealings_until = NULL,
             key_material_hash = NULL, is_settled = 0`,
        )
        .run(...valuesOf(state), from, size, threshold, partiesHash, index, dealer, sealed);
      if (own !== undefined)
        this.addMessage(state, { kind: "announcement", sender: index, about: 0, ...own.announcement });
    });
  }

  /** The receiving key of core/committee/receiving.ts. */
  receivingKey(id: GenerationId): Uint8Array {
    return this.#box.open(secretPlace(id), bytesOf(this.#row(id), "receiving_key_sealed"));
  }

  /** Keeps a message unless it is there. */
  addMessage(id: GenerationId, { kind, sender, about, bytes, signature }: Omit<RunMessage, "id">): void {
    this.#database
      .prepare(
        `INSERT OR IGNORE INTO run_messages (committee_id, generation, id, kind, sender, about, message, signature)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(...valuesOf(id), messageId({ kind, sender }, bytes), KIND_CODES[kind], sender, about, bytes, signature);
  }

  messages(id: GenerationId): RunMessage[] {
    return this.#database
      .prepare(`SELECT * FROM run_messages WHERE ${OF} ORDER BY kind, sender, about, id`)
      .all(...valuesOf(id))
      .map((row) => ({
        kind: KINDS.get(Number(row.kind)) as RunMessageKind,
        sender: Number(row.sender),
        about: Number(row.about),
        id: String(row.id),
        bytes: bytesOf(row, "message"),
        signature: String(row.signature),
      }));
  }

  /** All have announced themselves: enters the dealings, with this node's own one when it deals. */
  enterDealing(id: GenerationId, dealingsUntil: number, own?: Omit<RunMessage, "id">): void {
    this.#database.transaction(() => {
      this.#database
        .prepare(`UPDATE generations SET phase = 'dealing', dealings_until = ? WHERE ${OF}`)
        .run(dealingsUntil, ...valuesOf(id));
      if (own !== undefined) this.addMessage(id, own);
    });
  }

  /** Keeps an outcome of the run. There is another one when messages arrived later; which counts, the chain decides. */
  addResult(id: GenerationId, { keyMaterialHash, transcript, generation, shares, faults }: RunResult): void {
    const packed = perKey((purpose) => {
      const { groupPublicKey, verificationShares } = generation.keys[purpose];
      return concatBytes(groupPublicKey, ...verificationShares);
    });
    this.#database.transaction(() => {
      this.#database
        .prepare(
          `INSERT OR REPLACE INTO run_results (committee_id, generation, key_material_hash, transcript, oprf_keys,
             record_keys, shares_sealed, faults) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          ...valuesOf(id),
          keyMaterialHash,
          transcript,
          packed.oprf,
          packed.record,
          this.#box.seal(sharesPlace(id, keyMaterialHash), shares),
          JSON.stringify(faults),
        );
      this.#database.prepare(`UPDATE generations SET phase = 'attesting' WHERE ${OF}`).run(...valuesOf(id));
    });
  }

  /** @returns undefined when the run has not had this outcome here */
  outcome(id: GenerationId, keyMaterialHash: string): RunOutcome | undefined {
    const row = this.#resultRow(id, keyMaterialHash);
    const state = this.find(id);
    if (row === undefined || state === undefined) return undefined;
    const keys = perKey((purpose) => unpack(bytesOf(row, `${purpose}_keys`)));
    const { generation, size, threshold } = state;
    return {
      keyMaterialHash,
      transcript: String(row.transcript),
      generation: { generation, size, threshold, keys },
      faults: JSON.parse(String(row.faults)) as string[],
    };
  }

  /**
   * The outcome that is used. Strangers can have this asked, so no share is decrypted for it.
   * @throws TallystickError INTERNAL when the generation has not been active here
   */
  usedOutcome(id: GenerationId): RunOutcome {
    const hash = this.find(id)?.keyMaterialHash;
    const outcome = hash === undefined ? undefined : this.outcome(id, hash);
    if (outcome !== undefined) return outcome;
    throw new TallystickError(`the node's database lacks its shares of generation ${generationName(id)}`, {
      code: "INTERNAL",
      check: "database",
    });
  }

  /** The outcome that is used, with this node's shares. @throws as `usedOutcome` */
  used(id: GenerationId): RunResult {
    const outcome = this.usedOutcome(id);
    const { keyMaterialHash } = outcome;
    const sealed = bytesOf(this.#resultRow(id, keyMaterialHash), "shares_sealed");
    return { ...outcome, shares: this.#box.open(sharesPlace(id, keyMaterialHash), sealed) };
  }

  /** The generation is active with this key material. */
  activate(id: GenerationId, keyMaterialHash: string): void {
    this.#database
      .prepare(`UPDATE generations SET phase = 'ready', problem = NULL, key_material_hash = ? WHERE ${OF}`)
      .run(keyMaterialHash, ...valuesOf(id));
  }

  /** The activation is final: erases what only the run needed. */
  settle(id: GenerationId): void {
    this.#database.transaction(() => {
      this.#database
        .prepare(`UPDATE generations SET is_settled = 1, receiving_key_sealed = NULL WHERE ${OF}`)
        .run(...valuesOf(id));
      this.#database.prepare(`DELETE FROM run_messages WHERE ${OF}`).run(...valuesOf(id));
      this.#database
        .prepare(
          `DELETE FROM run_results WHERE ${OF}
             AND key_material_hash <> (SELECT key_material_hash FROM generations WHERE ${OF})`,
        )
        .run(...valuesOf(id), ...valuesOf(id));
    });
    this.#truncateLog();
  }

  /**
   * Gives a run up and erases its receiving key. The messages stay, because they show who is at fault; and outcomes,
   * because what was attested may become active all the same.
   */
  fail(id: GenerationId, problem: string): void {
    this.#database
      .prepare(`UPDATE generations SET phase = 'failed', problem = ?, receiving_key_sealed = NULL WHERE ${OF}`)
      .run(problem.slice(0, MAXIMUM_PROBLEM_CHARACTERS), ...valuesOf(id));
    this.#truncateLog();
  }

  /** Erases a generation: it is replaced for good, or its run is over without a result. */
  erase(id: GenerationId): void {
    this.#database.transaction(() => {
      for (const table of ["run_messages", "run_results", "generations"]) {
        this.#database.prepare(`DELETE FROM ${table} WHERE ${OF}`).run(...valuesOf(id));
      }
    });
    this.#truncateLog();
  }

  #truncateLog(): void {
    this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  #resultRow(id: GenerationId, keyMaterialHash: string): Row | undefined {
    return this.#database
      .prepare(`SELECT * FROM run_results WHERE ${OF} AND key_material_hash = ?`)
      .get(...valuesOf(id), keyMaterialHash);
  }

  #row(id: GenerationId): Row | undefined {
    return this.#database.prepare(`SELECT * FROM generations WHERE ${OF}`).get(...valuesOf(id));
  }
}

function unpack(packed: Uint8Array): PublicKeys {
  const elements = Array.from({ length: packed.length / ELEMENT_BYTES }, (_, at) =>
    packed.slice(at * ELEMENT_BYTES, (at + 1) * ELEMENT_BYTES),
  );
  const [groupPublicKey = new Uint8Array(), ...verificationShares] = elements;
  return { groupPublicKey, verificationShares };
}

// Places of sealed values, as docs/spec.md section 15 lists them.
const secretPlace = (id: GenerationId) => `generations.receiving_key ${generationName(id)}`;
const sharesPlace = (id: GenerationId, hash: string) => `run_results.shares ${generationName(id)} ${hash}`;
