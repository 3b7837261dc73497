/**
 * Proof of ownership by secret positions (`core/crypto/ownership-challenge.ts`). Whoever claims chunks must answer a
 * challenge about each of them. Challenge, work and answer are the same for chunks that are not stored, and no stored
 * object is read, so a claim reveals nothing about what other accounts have stored.
 *
 * Every chunk that is claimed costs a token of the account's budget. The token comes back when the claim succeeds, or
 * when the account uploads the chunk before the claim expires. So the budget limits failed attempts, and the refusal
 * depends on nothing but what the account did itself.
 *
 * Open claims, challenges that were taken, and the budget are in the database, so that any process of the provider can
 * take the answers.
 */
import { equalBytes, randomBytes } from "#primitives";
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import type { ClaimAnswer, ClaimOutcome, ClaimProofRequest, ClaimRequest } from "../../core/wire/csp.ts";
import { MAX_CLAIM_CHUNKS } from "../../core/wire/csp.ts";
import type { SharedBudgets } from "../../daemon/quota.ts";
import type { ClaimedObject } from "../../store/index/claim-index.ts";
import type { ProviderIndex } from "../../store/index/provider-index.ts";
import type { ChallengeRefill } from "./challenge-refill.ts";
import type { OwnershipChallenges } from "./ownership-challenges.ts";

const CLAIM_SECONDS = 300;
/** Most open claims of one account; a further one replaces the oldest. */
const CLAIMS_PER_ACCOUNT = 64;
/**
 * Most open claims of all accounts; a further one replaces the oldest. Accounts cost nothing, so without this bound
 * anybody could fill the disk. A claim of 64 chunks takes about 4 KB, and its client answers within seconds.
 */
export const CLAIMS_IN_ALL = 4096;
/**
 * Chunks that an account may claim in vain. A claimant with half of an object guesses the rest with 2^-20, so 2048 a
 * day give it one object in 500 days. An honest client has a few claims under way, each of 64 chunks at most.
 */
export const FAILED_CLAIMS = { scope: "failed claims", capacity: 2048, periodSeconds: 86_400 };

const LIMITS = { perAccount: CLAIMS_PER_ACCOUNT, inAll: CLAIMS_IN_ALL };
const CLAIM_ID_BYTES = 16;
const CLAIM_ID = /^0x[0-9a-f]{32}$/;

/** What a claim needs of the rest of the provider. */
export interface ClaimParts {
  readonly index: Pick<ProviderIndex, "chunks" | "claims">;
  readonly challenges: OwnershipChallenges;
  readonly refill: Pick<ChallengeRefill, "request">;
  readonly budgets: Pick<SharedBudgets, "take" | "giveBack" | "prune">;
}

export class ClaimService {
  readonly #parts: ClaimParts;
  readonly #now: () => number;

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
    await budgets.take(FAILED_CLAIMS, account, chunks.length);
    const expiresAt = this.#now() + CLAIM_SECONDS;
    const taken = await index.chunks.takeChallenges(account, chunks, expiresAt);
    const objects: ClaimedObject[] = [];
    const answer: ClaimAnswer["challenges"] = [];
    for (const [k, { digest, sizeBytes, spareNonce }] of chunks.entries()) {
      const { nonce = spareNonce, answer: right, runsLow = false } = taken[k] ?? {};
      if (runsLow) refill.request(digest);
      objects.push({ digest, answer: right });
      answer.push({ nonce: toHex(nonce), positions: challenges.positions(digest, sizeBytes, nonce) });
    }
    const id = randomBytes(CLAIM_ID_BYTES);
    await index.claims.open({ id, account, objects, expiresAt }, LIMITS);
    return { claimId: toHex(id), challenges: answer, expiresAt };
  }

  /**
   * Verifies the answers to a claim. Each claim is answered once.
   * @throws TallystickError NOT_FOUND for a claim that is unknown, expired or answered; NOT_OWNER for another account's
   * @throws InvalidInputError for another number of answers than there are challenges
   */
  async answer(account: string, claimId: string, request: ClaimProofRequest): Promise<ClaimOutcome> {
    const { index } = this.#parts;
    const id = idOf(claimId);
    const claim = id === undefined ? undefined : await index.claims.find(id);
    if (id === undefined || claim === undefined || claim.expiresAt <= this.#now()) throw noSuchClaim();
    if (claim.account.toLowerCase() !== account.toLowerCase()) {
      throw new TallystickError("the claim is another account's", {
        code: "NOT_OWNER",
        party: "client",
        check: "claim",
      });
    }
    // Of two answers at the same time, one finds the claim open.
    if (!(await index.claims.end(id))) throw noSuchClaim();
    requireOnePerChallenge(claim.objects.length, request.answers.length);
    const proven = claim.objects.filter(({ answer }, k) => isRight(answer, request.answers[k])).map(toDigest);
    const isOwned = await index.chunks.addOwner(account, proven, this.#now());
    const owned = proven.filter((_, k) => isOwned[k]);
    // An upload in the meantime has settled some of them, and given their tokens back.
    await this.giveBack(account, await index.chunks.settleClaims(account, owned));
    const ownedIds = new Set(owned.map(contentIdFromDigest));
    const ids = claim.objects.map(({ digest }) => contentIdFromDigest(digest));
    return { owned: ids.filter((id) => ownedIds.has(id)), missing: ids.filter((id) => !ownedIds.has(id)) };
  }

  /** Puts back the tokens of claims that succeeded, or that an upload has made up for. */
  async giveBack(account: string, chunks: number): Promise<void> {
    await this.#parts.budgets.giveBack(FAILED_CLAIMS, account, chunks);
  }

  /** Forgets claims that have expired with their challenges, and budgets that are full. */
  async expire(): Promise<void> {
    const { index, budgets } = this.#parts;
    await index.chunks.forgetClaims(this.#now());
    await index.claims.forget(this.#now());
    await budgets.prune();
  }
}

function idOf(claimId: string): Uint8Array | undefined {
  return CLAIM_ID.test(claimId) ? fromHex(claimId) : undefined;
}

function noSuchClaim(): TallystickError {
  return new TallystickError("there is no such claim", {
    code: "NOT_FOUND",
    check: "claim",
    hint: "claims expire and are answered once; claim again",
  });
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
