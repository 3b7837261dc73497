/**
 * Possession proofs of data sets over the stored bytes. A proof for the chain is verified against the public key before
 * it leaves; when it does not verify, the damaged chunks are found and named. Proofs for the chain have deadlines: the
 * one with the nearest is made first, and audits of owners, which have a thread of their own, read nothing meanwhile.
 */
import PQueue from "p-queue";
import { type AuditChallenge, challengeId, expandChallenge, type SliceRange } from "../../core/audit/challenge.ts";
import { type AuditProof, encodeProof } from "../../core/audit/proof.ts";
import type { SliceSource } from "../../core/audit/prover.ts";
import { lastIndexOf, subtractRanges } from "../../core/data-set/ranges.ts";
import type { AskedChallenge } from "../../core/data-set/sealed-challenge.ts";
import { digestOf } from "../../core/encoding/content-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, InvalidPointError, InvalidProofError, TallystickError } from "../../core/errors.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";
import type { ChunkService } from "../chunks/chunk-service.ts";
import { FairQueue } from "../fair-queue.ts";
import type { CspMetrics } from "../metrics.ts";
import type { AnswerSigner } from "./answer-signer.ts";
import type { AuditThreads } from "./audit-threads.ts";
import { DataDamagedError } from "./data-damaged.ts";
import { PROVING_THREADS, proveInThread } from "./proving-threads.ts";
import { SetData, type SetDataParts } from "./set-data.ts";

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

/** Most audits of owners that wait or run, of one account and in all. */
const AUDITS_PER_ACCOUNT = 4;
const AUDITS_IN_ALL = 256;

/** How many times the estimate a proof may take while others wait for its thread, and the least time that one has. */
const PATIENCE_FACTOR = 4;

/** When it is looked whether others wait for the thread of a proof that takes long. */
export interface Patience {
  /** Not before. */
  readonly leastMilliseconds: number;
  /** How often, from then on. */
  readonly lookMilliseconds: number;
}

const PATIENCE: Patience = { leastMilliseconds: 60_000, lookMilliseconds: 1000 };

export interface ProofParts {
  readonly data: SetDataParts;
  readonly chunks: ChunkService;
  readonly metrics: CspMetrics;
  readonly threads: AuditThreads;
  readonly signer: AnswerSigner;
}

/** How urgent a proof for the chain is. */
export interface Urgency {
  /** Proofs with a higher number come first. */
  readonly priority: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

interface ProofKind {
  readonly isPublic: boolean;
  readonly isVerified: boolean;
  readonly signal: AbortSignal;
}

export class DataSetProofs {
  readonly #parts: ProofParts;
  readonly #patience: Patience;
  /** Proofs for the chain. */
  readonly #chain = new PQueue({ concurrency: PROVING_THREADS });
  readonly #audits = new FairQueue({
    what: "audits",
    concurrency: 1,
    perAccount: AUDITS_PER_ACCOUNT,
    inAll: AUDITS_IN_ALL,
  });
  /** When an account may ask for a proof for anybody again, in milliseconds of the clock of this process. */
  readonly #publicNotBefore = new Map<string, number>();
  /** The newest verified proofs for the chain, by set and challenge. */
  readonly #made = new Map<string, AuditProof>();

  constructor(parts: ProofParts, patience = PATIENCE) {
    this.#parts = parts;
    this.#patience = patience;
  }

  /**
   * A proof for the chain, verified.
   * @throws DataDamagedError when no valid proof can be made of what is stored; TallystickError RATE_LIMITED when it
   *   takes far longer than it was estimated to, and others wait
   */
  provePublic(set: DataSetRow, challenge: AuditChallenge, { priority, signal }: Urgency): Promise<AuditProof> {
    const name = `${set.id} ${toHex(challengeId(challenge))}`;
    const work = async (): Promise<AuditProof> => {
      const made = this.#made.get(name);
      if (made !== undefined) return made;
      const startedAt = performance.now();
      const slow = limited(this.#patience, PATIENCE_FACTOR * set.provingMilliseconds, () => this.#chain.size > 0);
      try {
        const ends = AbortSignal.any([signal, slow.signal]);
        const proof = await this.#prove(set, challenge, { isPublic: true, isVerified: true, signal: ends });
        this.#parts.metrics.proofSeconds.set((performance.now() - startedAt) / 1000);
        this.#keep(name, proof);
        return proof;
      } finally {
        slow.end();
      }
    };
    return this.#chain.add(work, { priority });
  }

  #keep(name: string, proof: AuditProof): void {
    this.#made.set(name, proof);
    for (const oldest of this.#made.keys()) {
      if (this.#made.size <= KEPT_PROOFS) break;
      this.#made.delete(oldest);
    }
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
    const prove = async (): Promise<AuditProof> => {
      if (isPublic) this.#requirePublicPause(account);
      const startedAt = performance.now();
      const slow = limited(this.#patience, 0, () => this.#audits.waiting > 0);
      try {
        return await this.#prove(set, challenge, { isPublic, isVerified: false, signal: slow.signal });
      } finally {
        slow.end();
        const now = performance.now();
        if (isPublic) this.#publicNotBefore.set(account, now + PUBLIC_PAUSE_FACTOR * (now - startedAt));
      }
    };
    const proof = encodeProof(await this.#audits.run(account, prove));
    this.#parts.metrics.auditsAnswered.inc();
    return { proof, signature: await this.#parts.signer.sign(set, challenge, proof) };
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
    { isPublic, isVerified, signal }: ProofKind,
  ): Promise<AuditProof> {
    try {
      const data = await SetData.open(this.#parts.data, set);
      const source = await data.sliceSource();
      const call = { challenge, key: isPublic ? set.key : undefined, isVerified };
      // Only proofs for the chain are verified here.
      return await proveInThread(this.#parts.threads, call, isVerified ? source : this.#yielding(source), signal);
    } catch (error) {
      throw await this.#diagnose(set, challenge, error);
    }
  }

  /** A source that is read only while no proof for the chain is made. */
  #yielding(source: SliceSource): SliceSource {
    const readSlice = async (index: number): Promise<Uint8Array> => {
      await this.#chain.onIdle();
      return await source.readSlice(index);
    };
    const readPowersB = async (first: number, count: number): Promise<Uint8Array> => {
      await this.#chain.onIdle();
      return await source.readPowersB(first, count);
    };
    return { ...source, readSlice, readPowersB };
  }

  /** Reads every chunk that the challenge samples. Errors that do not come from the data pass through. */
  async #diagnose(set: DataSetRow, challenge: AuditChallenge, error: unknown): Promise<unknown> {
    const fromData =
      error instanceof InvalidProofError ||
      error instanceof InvalidPointError ||
      (error instanceof TallystickError && error.code === "DISK_FAILED");
    if (!fromData) return error;
    const data = await SetData.open(this.#parts.data, set);
    const damaged: string[] = [];
    for (const id of await data.chunksOfSlices(new Set(expandChallenge(challenge).indices))) {
      if ((await this.#parts.chunks.readIntact(id, digestOf(id))) === undefined) damaged.push(id);
    }
    return new DataDamagedError(damaged, error);
  }
}

/** A signal that ends a proof when others wait for its thread, not before a limit. */
function limited(
  { leastMilliseconds, lookMilliseconds }: Patience,
  milliseconds: number,
  othersWait: () => boolean,
): { readonly signal: AbortSignal; end(): void } {
  const slow = new AbortController();
  const limit = Math.max(leastMilliseconds, milliseconds);
  let timer: NodeJS.Timeout;
  const look = (): void => {
    if (othersWait()) slow.abort(tooSlow(limit));
    else timer = setTimeout(look, lookMilliseconds).unref();
  };
  timer = setTimeout(look, limit).unref();
  return { signal: slow.signal, end: () => clearTimeout(timer) };
}

function tooSlow(limitMilliseconds: number): TallystickError {
  return new TallystickError("a proof takes too long, and others wait", {
    code: "RATE_LIMITED",
    party: "provider",
    check: "time of a proof",
    expected: `at most ${Math.round(limitMilliseconds / 1000)} s`,
    hint: "the object store is slow, or the machine is overloaded",
    retryable: true,
  });
}
