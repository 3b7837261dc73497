/**
 * Who may use the server: who knows its token, and addresses it by a name of the loopback interface. The second rule
 * keeps out pages of the web that have their own domain name resolve to this machine (DNS rebinding): a browser then
 * sends that name as the host, whatever the address is.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { randomBytes } from "#primitives";
import { toBase64Url } from "../core/encoding/base64url.ts";
import { InvalidInputError } from "../core/errors.ts";

const TOKEN_BYTES = 32;
/** Shorter tokens of a user's own choice could be guessed. */
const MINIMUM_TOKEN_CHARACTERS = 22;

export const LOOPBACK_HOSTS = ["127.0.0.1", "::1"] as const;
export type LoopbackHost = (typeof LOOPBACK_HOSTS)[number];

export function newToken(): string {
  return toBase64Url(randomBytes(TOKEN_BYTES));
}

/** @throws InvalidInputError for a token that is short, or that cannot stand in a URL as it is */
export function requireToken(token: string): string {
  if (token.length >= MINIMUM_TOKEN_CHARACTERS && /^[A-Za-z0-9_-]{1,256}$/.test(token)) return token;
  throw new InvalidInputError("this is no token", {
    party: "you",
    check: "token of the server",
    expected: `${MINIMUM_TOKEN_CHARACTERS} to 256 letters, digits, - and _`,
    received: `${token.length} characters`,
    hint: "leave it out, and one is made",
  });
}

/** Texts of the Host header that mean this server. */
export function hostNames(port: number): ReadonlySet<string> {
  return new Set(
    ["127.0.0.1", "localhost", "[::1]"].flatMap((name) => (port === 80 ? [name, `${name}:80`] : `${name}:${port}`)),
  );
}

/** Whether the request is addressed to this server, and to it alone. */
export function isAddressedHere(request: IncomingMessage, names: ReadonlySet<string>): boolean {
  // Node keeps the first of several; another program in between might have kept the last.
  const hosts = request.rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === "host");
  return hosts.length === 1 && names.has(request.headers.host?.toLowerCase() ?? "");
}

/** Compares in a time that does not depend on how much of the token is right. */
export function isToken(candidate: string, token: string): boolean {
  return timingSafeEqual(digest(candidate), digest(token));
}

/** Whether the request has the token as its password (RFC 7617); the user name is ignored. */
export function hasPassword(request: IncomingMessage, token: string): boolean {
  const [, encoded] = /^basic +([A-Za-z0-9+/]{1,4096}={0,2})$/i.exec(request.headers.authorization ?? "") ?? [];
  if (encoded === undefined) return false;
  const credentials = Buffer.from(encoded, "base64").toString("utf8");
  const colon = credentials.indexOf(":");
  return colon !== -1 && isToken(credentials.slice(colon + 1), token);
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
