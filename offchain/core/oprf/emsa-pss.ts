/**
 * EMSA-PSS-ENCODE with an empty salt (RFC 8017 §9.1.1), SHA-384 and MGF1 (§B.2.1) with SHA-384: the encoding of
 * RSABSSA-SHA384-PSSZERO-Deterministic (RFC 9474 §5). It depends on the message alone. Without a salt, PSS is as secure
 * as a full-domain hash (RFC 8017 §9.1).
 */

import { sha384 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { u32be } from "../encoding/integers.ts";

const HASH_BYTES = 48;
const TRAILER = 0xbc;
/** M' starts with them. */
const M_PRIME_PADDING = new Uint8Array(8);

function mgf1(seed: Uint8Array, length: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(length / HASH_BYTES) }, (_, counter) =>
    sha384(concatBytes(seed, u32be(counter))),
  );
  return concatBytes(...blocks).subarray(0, length);
}

/**
 * @param modulusBytes length of the modulus, whose top bit is set
 * @returns as many bytes, of a number below 2^(bits of the modulus − 1)
 */
export function emsaPssEncode(message: Uint8Array, modulusBytes: number): Uint8Array {
  const digest = sha384(concatBytes(M_PRIME_PADDING, sha384(message)));
  const block = new Uint8Array(modulusBytes - HASH_BYTES - 1);
  block[block.length - 1] = 1;
  const mask = mgf1(digest, block.length);
  const masked = block.map((byte, at) => byte ^ (mask[at] ?? 0));
  masked[0] = (masked[0] ?? 0) & 0x7f;
  return concatBytes(masked, digest, Uint8Array.of(TRAILER));
}
