/** Answers to requests as values, apart from the connection they are sent on. */

import { type ErrorCode, TallystickError } from "../core/errors.ts";

/** Pieces of a body. Nothing is done for it before the first one is asked for. */
export type Body = AsyncIterable<Uint8Array | string>;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Without its length in the headers, a stream is sent in pieces whose end is marked. */
  readonly body?: string | Body;
}

/**
 * Headers of everything: what is shown runs nothing, is in no other page, and no other page gets it. Addresses with the
 * token in them are not passed on.
 */
export const CONFINED: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
};

/** One line for people. */
export function textAnswer(status: number, line: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status,
    headers: { ...CONFINED, "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", ...headers },
    body: `${line}\n`,
  };
}

/** Failures behind this server: of the party that has the bytes. */
const BEHIND: ReadonlySet<ErrorCode> = new Set([
  "INTEGRITY",
  "OBJECT_LOST",
  "NOT_FOUND",
  "BAD_RESPONSE",
  "PARTY_FAILED",
  "SHARES_MISSING",
]);
const RETRY_SECONDS = 5;

/** The answer for what a tree throws. Other errors are defects, and their text is not for clients. */
export function failureAnswer(error: unknown): Answer {
  if (!(error instanceof TallystickError)) return textAnswer(500, "the server failed");
  if (error.code === "NOT_FOUND" && error.party === "you") return textAnswer(404, error.message);
  if (error.retryable) {
    const seconds = Math.max(1, Math.ceil(error.retryAfterSeconds ?? RETRY_SECONDS));
    return textAnswer(503, error.message, { "retry-after": String(seconds) });
  }
  return textAnswer(BEHIND.has(error.code) ? 502 : 500, error.message);
}
