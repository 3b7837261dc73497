/**
 * Proof of ownership by secret positions (`core/crypto/ownership-challenge.ts`). Whoever claims chunks must answer a
 * challenge about each of them. Challenge, work and answer are the same for chunks that are not stored, and no stored
 * object is read, so a claim reveals nothing about what other accounts have stored.
 *
 * Every chunk that is claimed costs a token of the account's budget. The token comes back when the claim succeeds, or
 * when the account uploads the chunk before the claim expires. So the budget limits failed attempts, and the refusal
 * depends on nothing but what the account did itself.
 *
 * Open claims are kept in memory: after a restart the client claims again. Challenges that were taken, and the budget,
 * are durable.
 */
import { equalBytes, randomBytes } from "#primitives";
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { ClaimAnswer, ClaimOutcome, ClaimProofRequest, ClaimRequest } from "../../core/wire/csp.ts";
import { MAX_CLAIM_CHUNKS } from "../../core/wire/csp.ts";
import type { Budgets } from "../../daemon/quota.ts";
import type { ChunkIndex } from "../../store/index/chunk-index.ts";
import type { ChallengeRefill } from "./challenge-refill.ts";
import type { OwnershipChallenges } from "./ownership-challenges.ts";

const CLAIM_SECONDS = 300;
/** Most open claims of one account; a further one replaces the oldest. */
const CLAIMS_PER_ACCOUNT = 64;
/**
 * Most open claims of all accounts; a further one replaces the oldest. Accounts cost nothing, so without this bound
 * anybody could fill the memory. A claim of 64 chunks takes about 20 KB, and its client answers within seconds.
 */
export const CLAIMS_IN_ALL = 4096;
/**
 * Chunks that an account may claim in vain. A claimant with half of an object guesses the rest with 2^-20, so 2048 a
 * day give it one object in 500 days. An honest client has a few claims under way, each of 64 chunks at most.
 */
export const FAILED_CLAIMS = { scope: "failed claims", capacity: 2048, periodSeconds: 86_400 };

interface ClaimedObject {
  digest: Uint8Array;
  /** Undefined when no answer is right. */
  answer: Uint8Array | undefined;
}

interface Claim {
  account: string;
  objects: ClaimedObject[];
  expiresAt: number;
}

/** What a claim needs of the rest of the provider. */
export interface ClaimParts {
  readonly index: ChunkIndex;
  readonly challenges: OwnershipChallenges;
  readonly refill: Pick<ChallengeRefill, "request">;
  readonly budgets: Pick<Budgets, "take" | "giveBack">;
}

export class ClaimService {
  readonly #parts: ClaimParts;
  readonly #now: () => number;
  /** In order of opening, so the first entry of an account is its oldest. */
  readonly #claims = new Map<string, Claim>();

  constructor(parts: ClaimParts, now: () => number) {
    this.#parts = parts;
    this.#now = now;
  }

  /**
   * Opens a claim.
   * @throws InvalidInputError for an id that is not canonical, or one that is claimed twice; TallystickError
   *   RATE_LIMITED for an account with too many failed claims
   */
  async open(account: string, request: ClaimRequest): Promise<ClaimAnswer> {
    const { index, challenges, budgets, refill } = this.#parts;
    const chunks = request.chunks.map(({ id, sizeBytes }) => ({
      digest: digestOf(id),
      sizeBytes,
      spareNonce: challenges.spareNonce(),
    }));
    if (new Set(request.chunks.map(({ id }) => id)).size !== chunks.length) {
      throw new InvalidInputError("a chunk is claimed twice", {
        party: "client",
        check: "distinct ids",
        hint: "name each chunk once",
      });
    }
    budgets.take(FAILED_CLAIMS, account, chunks.length);
    const expiresAt = this.#now() + CLAIM_SECONDS;
    const taken = await index.takeChallenges(account, chunks, expiresAt);
    const objects: ClaimedObject[] = [];
    const answer: ClaimAnswer["challenges"] = [];
    for (const [k, { digest, sizeBytes, spareNonce }] of chunks.entries()) {
      const { nonce = spareNonce, answer: right, runsLow = false } = taken[k] ?? {};
      if (runsLow) refill.request(digest);
      objects.push({ digest, answer: right });
      answer.push({ nonce: toHex(nonce), positions: challenges.positions(digest, sizeBytes, nonce) });
    }
    this.#makeRoom(account);
    const claimId = toHex(randomBytes(16));
    this.#claims.set(claimId, { account, objects, expiresAt });
    return { claimId, challenges: answer, expiresAt };
  }

  #makeRoom(account: string): void {
    const now = this.#now();
    const own: string[] = [];
    for (const [id, claim] of this.#claims) {
      if (claim.expiresAt <= now) this.#claims.delete(id);
      else if (claim.account === account) own.push(id);
    }
    for (const id of own.slice(0, Math.max(0, own.length - CLAIMS_PER_ACCOUNT + 1))) this.#claims.delete(id);
    for (const id of this.#claims.keys()) {
      if (this.#claims.size < CLAIMS_IN_ALL) return;
      this.#claims.delete(id);
    }
  }

  /**
   * Verifies the answers to a claim. Each claim is answered once.
   * @throws TallystickError NOT_FOUND for a claim that is unknown, expired or answered; NOT_OWNER for another account's
   * @throws InvalidInputError for another number of answers than there are challenges
   */
  async answer(account: string, claimId: string, request: ClaimProofRequest): Promise<ClaimOutcome> {
    const claim = this.#claims.get(claimId);
    if (claim === undefined || claim.expiresAt <= this.#now()) {
      throw new TallystickError("there is no such claim", {
        code: "NOT_FOUND",
        check: "claim",
        hint: "claims expire and are answered once; claim again",
      });
    }
    if (claim.account !== account) {
      throw new TallystickError("the claim is another account's", {
        code: "NOT_OWNER",
        party: "client",
        check: "claim",
      });
    }
    this.#claims.delete(claimId);
    requireOnePerChallenge(claim.objects.length, request.answers.length);
    const proven = claim.objects.filter(({ answer }, k) => isRight(answer, request.answers[k])).map(toDigest);
    const isOwned = await this.#parts.index.addOwner(account, proven, this.#now());
    const owned = proven.filter((_, k) => isOwned[k]);
    await this.#parts.index.settleClaims(account, owned);
    this.giveBack(account, owned.length);
    const ownedIds = new Set(owned.map(contentIdFromDigest));
    const ids = claim.objects.map(({ digest }) => contentIdFromDigest(digest));
    return { owned: ids.filter((id) => ownedIds.has(id)), missing: ids.filter((id) => !ownedIds.has(id)) };
  }

  /** Puts back the tokens of claims that succeeded, or that an upload has made up for. */
  giveBack(account: string, chunks: number): void {
    this.#parts.budgets.giveBack(FAILED_CLAIMS, account, chunks);
  }

  /** Forgets challenges of claims that have expired. */
  async expire(): Promise<void> {
    await this.#parts.index.forgetClaims(this.#now());
  }
}

const toDigest = ({ digest }: ClaimedObject): Uint8Array => digest;

function requireOnePerChallenge(expected: number, received: number): void {
  if (received === expected) return;
  throw new InvalidInputError("a claim is answered with one answer for each challenge", {
    party: "client",
    check: "number of answers",
    expected: `${expected} answers, of ${MAX_CLAIM_CHUNKS} at most`,
    received: String(received),
  });
}

/** An unknown chunk costs the same comparison, with an answer nobody knows. */
function isRight(expected: Uint8Array | undefined, received: string | undefined): boolean {
  const equal = equalBytes(expected ?? randomBytes(32), fromHex(received ?? "0x", 32, "answer"));
  return expected !== undefined && equal;
}
