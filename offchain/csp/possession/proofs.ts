/**
 * Possession proofs over the stored bytes. A proof for the chain is verified against the public key before it leaves;
 * when it does not verify, the damaged chunks are found and named.
 */
import PQueue from "p-queue";
import { type AuditChallenge, expandChallenge } from "../../core/audit/challenge.ts";
import { FIRST_INDEX } from "../../core/audit/field.ts";
import type { AuditPublicKey } from "../../core/audit/keys.ts";
import { type AuditProof, encodeProof } from "../../core/audit/proof.ts";
import { proveAudit } from "../../core/audit/prover.ts";
import { verifyPublic } from "../../core/audit/verifier.ts";
import { digestOf } from "../../core/encoding/content-id.ts";
import { InvalidPointError, InvalidProofError, TallystickError } from "../../core/errors.ts";
import type { Preparation } from "../../store/index/preparation-index.ts";
import type { ChunkService } from "../chunks/chunk-service.ts";
import type { CspMetrics } from "../metrics.ts";
import { DataSet, type DataSetParts } from "./data-set.ts";

/** Most chunk ids named in a message; thousands may be damaged. */
const NAMED_CHUNKS = 8;

/** Proofs for the chain have deadlines, so no number of private audits comes before them. */
const PRIORITY = { chain: 1, owner: 0 } as const;

/** Most private audits that one account may have waiting or running. */
const AUDITS_PER_ACCOUNT = 4;

/** No valid proof is possible, because stored bytes are missing or damaged. */
export class DataDamagedError extends TallystickError {
  constructor(damagedChunks: readonly string[], cause: unknown) {
    const named = damagedChunks.slice(0, NAMED_CHUNKS).join(", ");
    super(damagedChunks.length === 0 ? "tags or powers are damaged" : `${damagedChunks.length} chunks are damaged`, {
      code: "OBJECT_LOST",
      party: "provider",
      check: "possession proof over the stored bytes",
      received: named === "" ? "tags or powers that do not fit the data" : named,
      hint: "put the data again from a copy of yours, then repeat the audit",
      details: { damagedChunks: damagedChunks.length },
      cause,
    });
  }
}

export class ProofService {
  readonly #parts: DataSetParts;
  readonly #chunks: ChunkService;
  readonly #metrics: CspMetrics;
  /** One proof at a time, since each takes a core. */
  readonly #queue = new PQueue({ concurrency: 1 });
  /** Private audits waiting or running, by account. */
  readonly #audits = new Map<string, number>();

  constructor(parts: DataSetParts, chunks: ChunkService, metrics: CspMetrics) {
    this.#parts = parts;
    this.#chunks = chunks;
    this.#metrics = metrics;
  }

  /**
   * A proof for the chain, verified.
   * @throws DataDamagedError when no valid proof can be made of what is stored
   */
  provePublic(preparation: Preparation, challenge: AuditChallenge): Promise<AuditProof> {
    const work = async (): Promise<AuditProof> => {
      const startedAt = performance.now();
      const proof = await this.#prove(preparation, challenge, { key: preparation.key });
      try {
        verifyPublic(preparation.key, challenge, proof);
      } catch (error) {
        throw await this.#diagnose(preparation, challenge, error);
      }
      this.#metrics.proofSeconds.set((performance.now() - startedAt) / 1000);
      return proof;
    };
    return this.#queue.add(work, { priority: PRIORITY.chain });
  }

  /**
   * A proof for the owner, without W. It is not verified here, because that takes the owner's secrets; a wrong
   * proof tells the owner that data is damaged.
   * @returns the encoded proof
   * @throws InvalidInputError for a challenge outside the protocol, DataDamagedError when sampled bytes cannot be read
   */
  async provePrivate(preparation: Preparation, seed: Uint8Array, sampleCount: number): Promise<Uint8Array> {
    const { account, sliceCount } = preparation;
    const waiting = this.#audits.get(account) ?? 0;
    if (waiting >= AUDITS_PER_ACCOUNT) {
      throw new TallystickError("the account has too many audits under way", {
        code: "RATE_LIMITED",
        party: "client",
        check: "audits at once",
        expected: `at most ${AUDITS_PER_ACCOUNT}`,
        retryable: true,
        retryAfterSeconds: 1,
      });
    }
    this.#audits.set(account, waiting + 1);
    try {
      const challenge = { seed, sampleCount, ranges: [{ firstIndex: FIRST_INDEX, count: sliceCount }] };
      const proof = await this.#queue.add(() => this.#prove(preparation, challenge, {}), {
        priority: PRIORITY.owner,
      });
      this.#metrics.auditsAnswered.inc();
      return encodeProof(proof);
    } finally {
      const left = (this.#audits.get(account) ?? 1) - 1;
      if (left === 0) this.#audits.delete(account);
      else this.#audits.set(account, left);
    }
  }

  async #prove(
    preparation: Preparation,
    challenge: AuditChallenge,
    options: { readonly key?: AuditPublicKey },
  ): Promise<AuditProof> {
    const dataSet = new DataSet(this.#parts, preparation.id, preparation.sliceCount);
    try {
      return await proveAudit(challenge, await dataSet.sliceSource(), options);
    } catch (error) {
      throw await this.#diagnose(preparation, challenge, error);
    }
  }

  /** Reads every chunk that the challenge samples. Errors that do not come from the data pass through. */
  async #diagnose(preparation: Preparation, challenge: AuditChallenge, error: unknown): Promise<unknown> {
    const fromData =
      error instanceof InvalidProofError ||
      error instanceof InvalidPointError ||
      (error instanceof TallystickError && error.code === "DISK_FAILED");
    if (!fromData) return error;
    const dataSet = new DataSet(this.#parts, preparation.id, preparation.sliceCount);
    const damaged: string[] = [];
    for (const id of await dataSet.chunksOfSlices(new Set(expandChallenge(challenge).indices))) {
      if ((await this.#chunks.readIntact(id, digestOf(id))) === undefined) damaged.push(id);
    }
    return new DataDamagedError(damaged, error);
  }
}
