/**
 * Proof of ownership (Halevi, Harnik, Pinkas, Shulman-Peleg, CCS 2011). Whoever claims chunks must answer with random
 * leaves of the Merkle trees over their ciphertexts, drawn after the claim. The challenge, the work and the answer are
 * the same for chunks that are not stored, so a claim reveals nothing about what other accounts have stored.
 *
 * Claims are kept in memory: after a restart the client claims again.
 */
import { randomInt } from "node:crypto";
import { randomBytes } from "#primitives";
import { leafCount, verifyMerkleProof } from "../../core/crypto/merkle.ts";
import { contentIdFromDigest, digestOf } from "../../core/encoding/content-id.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import {
  type ClaimAnswer,
  type ClaimOutcome,
  type ClaimProofRequest,
  type ClaimRequest,
  MIN_CLAIM_LEAVES,
} from "../../core/wire/csp.ts";
import type { ChunkIndex, ChunkRow } from "../../store/index/chunk-index.ts";
import type { ChunkService } from "./chunk-service.ts";

const CLAIM_SECONDS = 300;
/** Most open claims of one account; a further one replaces the oldest. */
const CLAIMS_PER_ACCOUNT = 64;
/**
 * Most open claims of all accounts; a further one replaces the oldest. Accounts cost nothing, so without this bound
 * anybody could fill the memory. A claim of 64 chunks takes about 20 KB, and its client answers within seconds.
 */
export const CLAIMS_IN_ALL = 4096;

interface Claim {
  account: string;
  chunks: { digest: Uint8Array; sizeBytes: number }[];
  challenges: { chunk: number; leaf: number }[];
  expiresAt: number;
}

/**
 * Draws the leaves of a claim: one in each chunk, then more, uniform over all leaves of the claim, up to
 * `MIN_CLAIM_LEAVES` or as many as there are.
 * @param leafCounts - leaves of each chunk, at least 1 each
 */
export function drawLeaves(leafCounts: readonly number[]): { chunk: number; leaf: number }[] {
  const total = leafCounts.reduce((sum, count) => sum + count, 0);
  const wanted = Math.min(Math.max(MIN_CLAIM_LEAVES, leafCounts.length), total);
  const drawn = new Map<string, { chunk: number; leaf: number }>();
  const draw = (chunk: number, leaf: number): void => {
    drawn.set(`${chunk}:${leaf}`, { chunk, leaf });
  };
  for (const [chunk, count] of leafCounts.entries()) draw(chunk, randomInt(count));
  while (drawn.size < wanted) {
    let position = randomInt(total);
    let chunk = 0;
    for (const count of leafCounts) {
      if (position < count) break;
      position -= count;
      chunk += 1;
    }
    draw(chunk, position);
  }
  return [...drawn.values()];
}

export class ClaimService {
  readonly #index: ChunkIndex;
  readonly #stored: Pick<ChunkService, "areIntact">;
  readonly #now: () => number;
  /** In order of opening, so the first entry of an account is its oldest. */
  readonly #claims = new Map<string, Claim>();

  /** @param stored reads back what a claim is about to give away */
  constructor(index: ChunkIndex, stored: Pick<ChunkService, "areIntact">, now: () => number) {
    this.#index = index;
    this.#stored = stored;
    this.#now = now;
  }

  /**
   * Opens a claim.
   * @throws InvalidInputError for an id that is not canonical, or one that is claimed twice
   */
  open(account: string, request: ClaimRequest): ClaimAnswer {
    const chunks = request.chunks.map(({ id, sizeBytes }) => ({ digest: digestOf(id), sizeBytes }));
    if (new Set(request.chunks.map(({ id }) => id)).size !== chunks.length) {
      throw new InvalidInputError("a chunk is claimed twice", {
        party: "client",
        check: "distinct ids",
        hint: "name each chunk once",
      });
    }
    this.#makeRoom(account);
    const challenges = drawLeaves(chunks.map(({ sizeBytes }) => leafCount(sizeBytes)));
    const claimId = toHex(randomBytes(16));
    const expiresAt = this.#now() + CLAIM_SECONDS;
    this.#claims.set(claimId, { account, chunks, challenges, expiresAt });
    return { claimId, challenges, expiresAt };
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
   * @throws InvalidInputError for answers to leaves that were not asked for, or asked for once and answered twice
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
    const digests = claim.chunks.map(({ digest }) => digest);
    const isProven = this.#judge(claim, await this.#index.find(digests), request);
    const proven = digests.filter((_, chunk) => isProven[chunk]);
    const intact = await this.#stored.areIntact(proven);
    const sound = proven.filter((_, k) => intact[k]);
    const isOwned = await this.#index.addOwner(account, sound, this.#now());
    const owned = new Set(sound.filter((_, k) => isOwned[k]).map(contentIdFromDigest));
    const ids = digests.map(contentIdFromDigest);
    return { owned: ids.filter((id) => owned.has(id)), missing: ids.filter((id) => !owned.has(id)) };
  }

  /** @returns for each chunk of the claim whether all its challenges were answered rightly */
  #judge(claim: Claim, rows: readonly (ChunkRow | undefined)[], request: ClaimProofRequest): boolean[] {
    const asked = new Set(claim.challenges.map(({ chunk, leaf }) => `${chunk}:${leaf}`));
    const rightLeaves = new Map<number, number>();
    for (const { chunk, leaf, data, path } of request.answers) {
      if (!asked.delete(`${chunk}:${leaf}`)) {
        throw new InvalidInputError("an answer to a leaf that was not asked for, or a second one", {
          party: "client",
          check: "challenge",
          received: `chunk ${chunk}, leaf ${leaf}`,
        });
      }
      if (isRight(claim.chunks[chunk], rows[chunk], leaf, data, path))
        rightLeaves.set(chunk, (rightLeaves.get(chunk) ?? 0) + 1);
    }
    const askedLeaves = new Map<number, number>();
    for (const { chunk } of claim.challenges) askedLeaves.set(chunk, (askedLeaves.get(chunk) ?? 0) + 1);
    return claim.chunks.map((_, chunk) => rightLeaves.get(chunk) === askedLeaves.get(chunk));
  }
}

/** Whether the leaf belongs to the stored chunk. An unknown chunk costs the same work, against a root nobody knows. */
function isRight(
  claimed: Claim["chunks"][number] | undefined,
  row: ChunkRow | undefined,
  leaf: number,
  data: string,
  path: readonly string[],
): boolean {
  if (claimed === undefined) return false;
  const known = row?.stored === true && row.sizeBytes === claimed.sizeBytes;
  const right = verifyMerkleProof(
    known ? row.merkleRoot : randomBytes(32),
    claimed.sizeBytes,
    leaf,
    Buffer.from(data, "base64url"),
    path.map((hash) => fromHex(hash, 32)),
  );
  return known && right;
}
