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
import type { AskedChallenge } from "../../core/data-set/sealed-challenge.ts";
import { digestOf } from "../../core/encoding/content-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, InvalidPointError, InvalidProofError, TallystickError } from "../../core/errors.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";
import type { ChunkService } from "../chunks/chunk-service.ts";
import type { CspMetrics } from "../metrics.ts";
import type { AnswerSigner } from "./answer-signer.ts";
import { DataDamagedError } from "./data-damaged.ts";
import { SetData, type SetDataParts } from "./set-data.ts";

/** Proofs for the chain have deadlines, so no number of private audits comes before them. */
const PRIORITY = { chain: 1, owner: 0 } as const;

/**
 * Proofs that are kept: a user who changes the schedule while one is on its way has it sent again, and shall not have
 * it made again too.
 */
const KEPT_PROOFS = 256;

/**
 * A proof for anybody takes time that grows with the set, and comes before nothing: an account may have one in so many
 * times as long as its last one took.
 */
const PUBLIC_PAUSE_FACTOR = 10;
/** While one is under way. */
const MAXIMUM_PAUSE_MILLISECONDS = 600_000;

/** Most private audits that one account may have waiting or running. */
const AUDITS_PER_ACCOUNT = 4;

export class DataSetProofs {
  readonly #parts: SetDataParts;
  readonly #chunks: ChunkService;
  readonly #metrics: CspMetrics;
  readonly #signer: AnswerSigner;
  /** One proof at a time, since each takes a core. */
  readonly #queue = new PQueue({ concurrency: 1 });
  /** Private audits waiting or running, by account. */
  readonly #audits = new Map<string, number>();
  /** When an account may ask for a proof for anybody again, in milliseconds of the clock of this process. */
  readonly #publicNotBefore = new Map<string, number>();
  /** The newest verified proofs for the chain, by set and challenge. */
  readonly #made = new Map<string, AuditProof>();

  constructor(parts: SetDataParts, chunks: ChunkService, metrics: CspMetrics, signer: AnswerSigner) {
    this.#signer = signer;
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
   * Answers a challenge of the owner, by a proof without W, or for anybody. It is not verified here: the owner's
   * secrets, or the key, tell the owner what a wrong one means.
   * @param held slices that the provider may be asked for
   * @returns the encoded proof, signed
   * @throws InvalidInputError for a challenge outside the protocol, or about other slices; DataDamagedError when
   *   sampled bytes cannot be read; TallystickError RATE_LIMITED
   */
  async answer(
    set: DataSetRow,
    { challenge, isPublic }: AskedChallenge,
    held: readonly SliceRange[],
  ): Promise<{ readonly proof: Uint8Array; readonly signature: string | undefined }> {
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
    if (isPublic) this.#requirePublicPause(account);
    this.#audits.set(account, waiting + 1);
    try {
      const options = isPublic ? { key: set.key } : {};
      const prove = async (): Promise<AuditProof> => {
        const startedAt = performance.now();
        try {
          return await this.#prove(set, challenge, options);
        } finally {
          const now = performance.now();
          if (isPublic) this.#publicNotBefore.set(account, now + PUBLIC_PAUSE_FACTOR * (now - startedAt));
        }
      };
      const made = await this.#queue.add(prove, { priority: PRIORITY.owner });
      this.#metrics.auditsAnswered.inc();
      const proof = encodeProof(made);
      return { proof, signature: await this.#signer.sign(set, challenge, proof) };
    } finally {
      const left = (this.#audits.get(account) ?? 1) - 1;
      if (left === 0) this.#audits.delete(account);
      else this.#audits.set(account, left);
    }
  }

  /** @throws TallystickError RATE_LIMITED; one is under way until its end is known */
  #requirePublicPause(account: string): void {
    const now = performance.now();
    for (const [other, notBefore] of this.#publicNotBefore) if (notBefore <= now) this.#publicNotBefore.delete(other);
    const milliseconds = (this.#publicNotBefore.get(account) ?? now) - now;
    if (milliseconds > 0) {
      throw new TallystickError("the account has had a proof for anybody a moment ago", {
        code: "RATE_LIMITED",
        party: "client",
        check: "proofs for anybody",
        expected: "one at a time, and a pause behind it",
        retryable: true,
        retryAfterSeconds: Math.ceil(Math.min(milliseconds, MAXIMUM_PAUSE_MILLISECONDS) / 1000),
      });
    }
    this.#publicNotBefore.set(account, now + MAXIMUM_PAUSE_MILLISECONDS);
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
