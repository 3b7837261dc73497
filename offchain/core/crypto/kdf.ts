/**
 * The one key derivation function: HKDF-SHA-256 (RFC 5869) with an empty salt, domain separated by
 * info = utf8("tallystick/v1/" + label) ‖ 0x00 ‖ info. Labels hold no zero byte, so the encoding is injective.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { hkdfSha256, hmacSha256 } from "#primitives";
import { InvalidInputError } from "../errors.ts";

const encoder = new TextEncoder();
const NO_BYTES = new Uint8Array(0);

/** Labels are short lower-case words; anything else is a typing mistake of the caller. */
const LABEL_PATTERN = /^[a-z0-9][a-z0-9/-]{0,63}$/;

/**
 * Returns a domain tag: utf8("tallystick/v1/" + label) ‖ 0x00. It starts every hashed or authenticated layout of the
 * project.
 * @param label lower-case letters, digits, `-` and `/`, at most 64 characters
 * @throws InvalidInputError for another label
 */
export function domainTag(label: string): Uint8Array {
  if (!LABEL_PATTERN.test(label)) {
    throw new InvalidInputError("domain label is malformed", {
      check: "domain label",
      expected: LABEL_PATTERN.source,
      received: JSON.stringify(label),
    });
  }
  return encoder.encode(`tallystick/v1/${label}\0`);
}

/** Tags of the labels in use, of which there are a few dozen. */
const tags = new Map<string, Uint8Array>();

function tagOf(label: string): Uint8Array {
  const known = tags.get(label) ?? domainTag(label);
  tags.set(label, known);
  return known;
}

/**
 * Derives a key from a key.
 * @param key input keying material, any length
 * @param label what the result is for; see `domainTag`
 * @param info context that tells results of one label apart, any layout, at most 512 bytes
 * @param length bytes wanted, 1 to 8160
 * @throws InvalidInputError for a malformed label
 * @throws RangeError for a length out of range
 */
export function kdf(key: Uint8Array, label: string, info: Uint8Array = NO_BYTES, length = 32): Uint8Array {
  return hkdfSha256(key, NO_BYTES, concatBytes(tagOf(label), info), length);
}

/** The salt of RFC 5869 where there is none. */
const ZERO_SALT = new Uint8Array(32);
/** Number of the first block of output, which is as long as a key. */
const FIRST_BLOCK = Uint8Array.of(1);

/**
 * `kdf` for many keys of 32 bytes from one key: what depends on the key alone is computed once.
 * @param key input keying material, any length
 * @throws InvalidInputError for a malformed label
 */
export function kdfFrom(key: Uint8Array, label: string): (info: Uint8Array) => Uint8Array {
  const tag = tagOf(label);
  const pseudorandomKey = hmacSha256(ZERO_SALT, key);
  return (info) => hmacSha256(pseudorandomKey, concatBytes(tag, info, FIRST_BLOCK));
}
