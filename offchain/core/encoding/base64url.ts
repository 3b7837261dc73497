/**
 * Byte strings as base64url text without padding (RFC 4648 §5), the form of session tokens. Decoding is strict: equal
 * bytes have exactly one text.
 */

import { base64url } from "multiformats/bases/base64";
import { InvalidInputError } from "../errors.ts";

/** A byte string as base64url without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  return base64url.baseEncode(bytes);
}

/**
 * The bytes that a base64url text stands for.
 *
 * @param name what the value is, for the error.
 * @throws InvalidInputError for other characters, padding, a length that no byte string has, or spare bits that are
 *   not zero.
 */
export function fromBase64Url(text: string, name = "value"): Uint8Array {
  try {
    if (text.includes("=")) throw new Error("padding");
    return base64url.baseDecode(text);
  } catch (cause) {
    throw new InvalidInputError(`${name} is not base64url without padding`, { check: "base64url", cause });
  }
}
