/** Column `packed` of table `challenge_sets`: nonce (16 bytes) and answer (32 bytes) of each prepared challenge. */
import {
  CHALLENGE_ANSWER_BYTES,
  CHALLENGE_NONCE_BYTES,
  type PreparedChallenge,
} from "../../../core/crypto/ownership-challenge.ts";

const ENTRY_BYTES = CHALLENGE_NONCE_BYTES + CHALLENGE_ANSWER_BYTES;

export function packChallenges(challenges: readonly PreparedChallenge[]): Uint8Array {
  const packed = new Uint8Array(challenges.length * ENTRY_BYTES);
  for (const [k, { nonce, answer }] of challenges.entries()) {
    packed.set(nonce, k * ENTRY_BYTES);
    packed.set(answer, k * ENTRY_BYTES + CHALLENGE_NONCE_BYTES);
  }
  return packed;
}

export function unpackChallenges(packed: Uint8Array): PreparedChallenge[] {
  return Array.from({ length: packed.length / ENTRY_BYTES }, (_, k) => {
    const entry = packed.subarray(k * ENTRY_BYTES, (k + 1) * ENTRY_BYTES);
    return { nonce: entry.slice(0, CHALLENGE_NONCE_BYTES), answer: entry.slice(CHALLENGE_NONCE_BYTES) };
  });
}
