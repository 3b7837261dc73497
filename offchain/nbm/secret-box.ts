/**
 * Encryption at rest for what the node keeps in its database: AES-256-GCM with a random 96-bit nonce per value, under a
 * key derived from the keystore's secret. The associated data names the place of the value, so that two values cannot
 * be swapped. Layout: nonce (12) ‖ ciphertext ‖ tag (16).
 */

import { concatBytes } from "@noble/hashes/utils.js";
import { aes256GcmOpen, aes256GcmSeal, randomBytes } from "#primitives";
import { domainTag } from "../core/crypto/kdf.ts";
import { IntegrityError } from "../core/errors.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const TAG = domainTag("nbm-state");

function associatedData(place: string): Uint8Array {
  return concatBytes(TAG, new TextEncoder().encode(place));
}

export class SecretBox {
  readonly #key: Uint8Array;

  /** @param key 32 bytes, derived from the keystore. */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** @param place table, column and row of the value. */
  seal(place: string, plaintext: Uint8Array): Uint8Array {
    const nonce = randomBytes(NONCE_BYTES);
    const sealed = aes256GcmSeal(this.#key, nonce, associatedData(place), plaintext);
    const value = new Uint8Array(NONCE_BYTES + sealed.length);
    value.set(nonce);
    value.set(sealed, NONCE_BYTES);
    return value;
  }

  /** @throws IntegrityError when the value was altered, moved, or sealed under another keystore. */
  open(place: string, value: Uint8Array): Uint8Array {
    const plaintext =
      value.length < NONCE_BYTES + TAG_BYTES
        ? undefined
        : aes256GcmOpen(this.#key, value.subarray(0, NONCE_BYTES), associatedData(place), value.subarray(NONCE_BYTES));
    if (plaintext === undefined) {
      throw new IntegrityError(`the node's database was altered or belongs to another keystore`, {
        party: "this node",
        check: `authentication tag of ${place}`,
      });
    }
    return plaintext;
  }
}
