/**
 * Possession proofs of data sets over the stored bytes. A proof for the chain is verified against the public key before
 * it leaves; when it does not verify, the damaged chunks are found and named.
 */
import PQueue from "p-queue";
import { type AuditChallenge, challengeId, expandChallenge, type SliceRange } from "../../core/audit/challenge.ts";
import type { AuditPublicKey } from "../../core/audit/keys.ts";
import { type AuditProof, encodeProof } from "../../core/audit/proof.ts";
import { proveAudit } from "../../core/audit/prover.ts";
import { verifyPublic } from "../../core/audit/verifier.ts";
import { lastIndexOf, subtractRanges } from "../../core/data-set/ranges.ts";
import { digestOf } from "../../core/encoding/content-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, InvalidPointError, InvalidProofError, TallystickError } from "../../core/errors.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";
import type { ChunkService } from "../chunks/chunk-service.ts";
import type { CspMetrics } from "../metrics.ts";
import { DataDamagedError } from "./data-damaged.ts";
import { SetData, type SetDataParts } from "./set-data.ts";

/** Proofs for the chain have deadlines, so no number of private audits comes before them. */
const PRIORITY = { chain: 1, owner: 0 } as const;

/**
 * Proofs that are kept: a user who changes the schedule while one is on its way has it sent again, and shall not have
 * it made again too.
 */
const KEPT_PROOFS = 256;

/** Most private audits that one account may have waiting or running. */
const AUDITS_PER_ACCOUNT = 4;

export class DataSetProofs {
  readonly #parts: SetDataParts;
  readonly #chunks: ChunkService;
  readonly #metrics: CspMetrics;
  /** One proof at a time, since each takes a core. */
  readonly #queue = new PQueue({ concurrency: 1 });
  /** Private audits waiting or running, by account. */
  readonly #audits = new Map<string, number>();
  /** The newest verified proofs for the chain, by set and challenge. */
  readonly #made = new Map<string, AuditProof>();

  constructor(parts: SetDataParts, chunks: ChunkService, metrics: CspMetrics) {
    this.#parts = parts;
    this.#chunks = chunks;
    this.#metrics = metrics;
  }

  /**
   * A proof for the chain, verified.
   * @throws DataDamagedError when no valid proof can be made of what is stored
   */
  provePublic(set: DataSetRow, challenge: AuditChallenge): Promise<AuditProof> {
    const name = `${set.id} ${toHex(challengeId(challenge))}`;
    const work = async (): Promise<AuditProof> => {
      const made = this.#made.get(name);
      if (made !== undefined) return made;
      const startedAt = performance.now();
      const proof = await this.#prove(set, challenge, { key: set.key });
      try {
        verifyPublic(set.key, challenge, proof);
      } catch (error) {
        throw await this.#diagnose(set, challenge, error);
      }
      this.#metrics.proofSeconds.set((performance.now() - startedAt) / 1000);
      this.#made.set(name, proof);
      for (const oldest of this.#made.keys()) {
        if (this.#made.size <= KEPT_PROOFS) break;
        this.#made.delete(oldest);
      }
      return proof;
    };
    return this.#queue.add(work, { priority: PRIORITY.chain });
  }

  /**
   * A proof for the owner, without W. It is not verified here, because that takes the owner's secrets; a wrong
   * proof tells the owner that data is damaged.
   * @param held slices that the provider may be asked for
   * @returns the encoded proof
   * @throws InvalidInputError for a challenge outside the protocol, or about other slices; DataDamagedError when
   *   sampled bytes cannot be read; TallystickError RATE_LIMITED
   */
  async provePrivate(set: DataSetRow, challenge: AuditChallenge, held: readonly SliceRange[]): Promise<Uint8Array> {
    const [foreign] = subtractRanges(challenge.ranges, held);
    if (foreign !== undefined) {
      throw new InvalidInputError("the audit is about slices that the data set does not hold", {
        party: "client",
        check: "audited ranges",
        expected: "live slices of the data set",
        received: `${foreign.firstIndex} to ${lastIndexOf(foreign)}`,
      });
    }
    const { account } = set;
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
      const proof = await this.#queue.add(() => this.#prove(set, challenge, {}), { priority: PRIORITY.owner });
      this.#metrics.auditsAnswered.inc();
      return encodeProof(proof);
    } finally {
      const left = (this.#audits.get(account) ?? 1) - 1;
      if (left === 0) this.#audits.delete(account);
      else this.#audits.set(account, left);
    }
  }

  async #prove(
    set: DataSetRow,
    challenge: AuditChallenge,
    options: { readonly key?: AuditPublicKey },
  ): Promise<AuditProof> {
    try {
      const data = await SetData.open(this.#parts, set);
      return await proveAudit(challenge, await data.sliceSource(), options);
    } catch (error) {
      throw await this.#diagnose(set, challenge, error);
    }
  }

  /** Reads every chunk that the challenge samples. Errors that do not come from the data pass through. */
  async #diagnose(set: DataSetRow, challenge: AuditChallenge, error: unknown): Promise<unknown> {
    const fromData =
      error instanceof InvalidProofError ||
      error instanceof InvalidPointError ||
      (error instanceof TallystickError && error.code === "DISK_FAILED");
    if (!fromData) return error;
    const data = await SetData.open(this.#parts, set);
    const damaged: string[] = [];
    for (const id of await data.chunksOfSlices(new Set(expandChallenge(challenge).indices))) {
      if ((await this.#chunks.readIntact(id, digestOf(id))) === undefined) damaged.push(id);
    }
    return new DataDamagedError(damaged, error);
  }
}
