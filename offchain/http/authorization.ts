/** Session tokens and the `Authorization` header that carries them, for client and server. */

import { randomBytes } from "#primitives";
import { fromBase64Url, toBase64Url } from "../core/encoding/base64url.ts";

const TOKEN_BYTES = 32;
const BEARER = /^Bearer ([A-Za-z0-9_-]{43})$/;

/** A new random token. @returns its bytes, of which the daemon keeps the hash, and its text */
export function newToken(): { bytes: Uint8Array; text: string } {
  const bytes = randomBytes(TOKEN_BYTES);
  return { bytes, text: toBase64Url(bytes) };
}

/** Value of the `Authorization` header. */
export function authorizationOf(token: string): string {
  return `Bearer ${token}`;
}

/** The token's bytes from an `Authorization` header; undefined when it has none. */
export function tokenFromAuthorization(header: string | undefined): Uint8Array | undefined {
  const text = BEARER.exec(header ?? "")?.[1];
  if (text === undefined) return undefined;
  try {
    return fromBase64Url(text, "token");
  } catch {
    // 43 characters are two bits more than 32 bytes: a text whose spare bits are set was never issued.
    return undefined;
  }
}
