/** Ownership challenges of this provider: its account and its secret, bound to the functions that need them. */
import { randomBytes } from "#primitives";
import { kdf } from "../../core/crypto/kdf.ts";
import {
  CHALLENGE_NONCE_BYTES,
  challengePositions,
  type PreparedChallenge,
  prepareChallenges,
} from "../../core/crypto/ownership-challenge.ts";
import { ADDRESS_BYTES } from "../../core/encoding/address.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { PREPARED_CHALLENGES } from "../../store/index/chunk-index.ts";

/** Prepared for an object that is uploaded: two accounts that claim it at once both succeed. */
const CHALLENGES_OF_UPLOAD = 2;

export class OwnershipChallenges {
  readonly #provider: Uint8Array;
  readonly #secret: Uint8Array;

  /**
   * @param account the provider's account, which answers name
   * @param operatorSecret 32 bytes of the keystore; a key is derived from it
   */
  constructor(account: string, operatorSecret: Uint8Array) {
    this.#provider = fromHex(account, ADDRESS_BYTES, "account");
    this.#secret = kdf(operatorSecret, "csp-ownership");
  }

  /** Prepares challenges while the bytes are at hand. */
  prepare(digest: Uint8Array, bytes: Uint8Array): PreparedChallenge[] {
    return prepareChallenges(this.#provider, this.#secret, digest, bytes, PREPARED_CHALLENGES);
  }

  /** As `prepare`, a few: most objects are never claimed, and the first claim of one has more prepared. */
  prepareFew(digest: Uint8Array, bytes: Uint8Array): PreparedChallenge[] {
    return prepareChallenges(this.#provider, this.#secret, digest, bytes, CHALLENGES_OF_UPLOAD);
  }

  /** A nonce for a chunk about which nothing is known. */
  spareNonce(): Uint8Array {
    return randomBytes(CHALLENGE_NONCE_BYTES);
  }

  /** The positions that a challenge names. They take the same time to derive for chunks that are not stored. */
  positions(digest: Uint8Array, sizeBytes: number, nonce: Uint8Array): number[] {
    return challengePositions(this.#secret, digest, sizeBytes, nonce);
  }
}
