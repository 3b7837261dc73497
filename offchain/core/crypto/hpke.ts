/**
 * Hybrid public key encryption (RFC 9180), base mode, single shot: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
 * ChaCha20Poly1305. A sealed message is enc (32 bytes) ‖ ciphertext ‖ tag (16 bytes). Keys are raw 32-byte strings.
 */

import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256, HpkeError } from "@hpke/core";
import { x25519 } from "@noble/curves/ed25519.js";
import { concatBytes } from "@noble/hashes/utils.js";
import { hkdfSha256 } from "#primitives";
import { IntegrityError, InvalidInputError, InvalidPointError } from "../errors.ts";

export const HPKE_KEY_BYTES = 32;
/** By how much a sealed message is longer than its plaintext. */
export const HPKE_OVERHEAD_BYTES = 32 + 16;

export interface HpkeKeyPair {
  privateKey: Uint8Array;
  publicKey: Uint8Array;
}

const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Chacha20Poly1305(),
});

const encoder = new TextEncoder();
/** suite_id of the KEM (RFC 9180 §4.1): "KEM" ‖ I2OSP(0x0020, 2). */
const KEM_SUITE_ID = concatBytes(encoder.encode("KEM"), Uint8Array.of(0x00, 0x20));
const HPKE_VERSION = encoder.encode("HPKE-v1");

/**
 * DeriveKeyPair (RFC 9180 §7.1.3). Synchronous: LabeledExtract with an empty salt followed by LabeledExpand is one HKDF
 * call.
 *
 * @param seed at least 32 bytes of high entropy
 * @throws InvalidInputError for a shorter seed
 */
export function hpkeKeyPairFromSeed(seed: Uint8Array): HpkeKeyPair {
  if (seed.length < HPKE_KEY_BYTES) {
    throw new InvalidInputError(`HPKE seed has ${seed.length} bytes`, {
      check: "seed length",
      expected: `at least ${HPKE_KEY_BYTES} bytes`,
      received: `${seed.length} bytes`,
    });
  }
  const labeledSeed = concatBytes(HPKE_VERSION, KEM_SUITE_ID, encoder.encode("dkp_prk"), seed);
  const length = Uint8Array.of(0, HPKE_KEY_BYTES);
  const labeledInfo = concatBytes(length, HPKE_VERSION, KEM_SUITE_ID, encoder.encode("sk"));
  const privateKey = hkdfSha256(labeledSeed, new Uint8Array(0), labeledInfo, HPKE_KEY_BYTES);
  labeledSeed.fill(0);
  // The ladder: `getPublicKey` first builds a table, which costs one key of a process fourteen times as much.
  return { privateKey, publicKey: x25519.scalarMult(privateKey, x25519.GuBytes) };
}

/**
 * Seals a message to a public key.
 *
 * @param info what the message is for; both sides must name the same
 * @param aad bound to the message, not sent
 * @returns enc ‖ ciphertext ‖ tag
 * @throws InvalidPointError for a malformed or low-order public key
 */
export async function hpkeSeal(
  publicKey: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Promise<Uint8Array> {
  if (publicKey.length !== HPKE_KEY_BYTES) {
    throw new InvalidPointError(`HPKE public key has ${publicKey.length} bytes`, {
      check: "public key length",
      expected: `${HPKE_KEY_BYTES} bytes`,
      received: `${publicKey.length} bytes`,
    });
  }
  try {
    const recipientPublicKey = await suite.kem.deserializePublicKey(own(publicKey));
    const { enc, ct } = await suite.seal({ recipientPublicKey, info: own(info) }, own(plaintext), own(aad));
    return concatBytes(new Uint8Array(enc), new Uint8Array(ct));
  } catch (cause) {
    if (!(cause instanceof HpkeError)) throw cause;
    throw new InvalidPointError("HPKE public key cannot be sealed to", { check: "X25519 public key", cause });
  }
}

/**
 * Opens a sealed message.
 *
 * @throws InvalidInputError for a private key of the wrong length
 * @throws IntegrityError when the message was not sealed to this key, with this info and aad
 */
export async function hpkeOpen(
  privateKey: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  if (privateKey.length !== HPKE_KEY_BYTES) {
    throw new InvalidInputError(`HPKE private key has ${privateKey.length} bytes`, {
      check: "private key length",
      expected: `${HPKE_KEY_BYTES} bytes`,
      received: `${privateKey.length} bytes`,
    });
  }
  if (sealed.length < HPKE_OVERHEAD_BYTES) {
    throw new IntegrityError("sealed message is too short", {
      check: "HPKE",
      expected: `at least ${HPKE_OVERHEAD_BYTES} bytes`,
      received: `${sealed.length} bytes`,
    });
  }
  const keyCopy = own(privateKey);
  try {
    const recipientKey = await suite.kem.deserializePrivateKey(keyCopy);
    const enc = own(sealed.subarray(0, HPKE_KEY_BYTES));
    const opened = await suite.open(
      { recipientKey, enc, info: own(info) },
      own(sealed.subarray(HPKE_KEY_BYTES)),
      own(aad),
    );
    return new Uint8Array(opened);
  } catch (cause) {
    if (!(cause instanceof HpkeError)) throw cause;
    throw new IntegrityError("sealed message does not open with this key", { check: "HPKE", cause });
  } finally {
    new Uint8Array(keyCopy).fill(0);
  }
}

/** A copy in an ArrayBuffer of its own: the library wants one, and refuses views of shared memory. */
function own(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
}
