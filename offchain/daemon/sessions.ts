/**
 * Session authentication: `POST /v1/sessions` exchanges a signed, single-use `Session` message for a bearer token.
 * Nonces are on disk until they expire, so that a message cannot be replayed after a restart either. Of tokens only
 * the hash is stored.
 */

import type { DatabaseSync } from "node:sqlite";
import type { FastifyRequest, onRequestAsyncHookHandler } from "fastify";
import { sha256 } from "#primitives";
import { InvalidSignatureError, TallystickError } from "../core/errors.ts";
import type { SessionMessage, TypedData } from "../core/identity/typed-messages.ts";
import { MAXIMUM_SESSION_SECONDS, SessionAnswer, SessionRequest } from "../core/wire/session.ts";
import { newToken, tokenFromAuthorization } from "../http/authorization.ts";
import { type SessionDomain, sessionMessage } from "../http/sessions.ts";
import { inTransaction } from "../store/index/sqlite.ts";
import { checksumAddress } from "./account-signature.ts";
import type { AdmissionCheck } from "./admission.ts";
import { SharedRates } from "./quota.ts";
import { checkExpiry } from "./request-time.ts";
import type { DaemonServer } from "./server.ts";

/** Tables of the session store; part of the daemon's own first migration. */
export const SESSION_TABLES = `
  CREATE TABLE session_nonces (
    account TEXT NOT NULL,
    nonce TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (account, nonce)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX session_nonces_by_expiry ON session_nonces (expires_at);
  CREATE TABLE sessions (
    token_hash BLOB NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sessions_by_account ON sessions (account);
  CREATE INDEX sessions_by_expiry ON sessions (expires_at);
`;

/** Most live sessions per account. */
const MAXIMUM_SESSIONS = 1024;
/** Openings per account, and in all: they bound the rows that a flood of openings leaves in the database. */
const OPENINGS_PER_ACCOUNT = { scope: "session openings per account", capacity: 120, periodSeconds: 60 };
const OPENINGS = { scope: "session openings", capacity: 6000, periodSeconds: 60 };

export interface Session {
  /** With EIP-55 checksum. */
  readonly account: string;
  readonly expiresAt: number;
}

export interface SessionOptions {
  readonly database: DatabaseSync;
  /** The daemon's own operator account. */
  readonly audience: string;
  readonly domain: SessionDomain;
  /**
   * Resolves when the account signed the message, throws `InvalidSignatureError` when not; see account-signature.ts.
   */
  readonly checkSignature: (account: string, typed: TypedData<SessionMessage>, signature: string) => Promise<void>;
  /** Throws when the account may not open sessions; every account may unless given. See admission.ts. */
  readonly admit?: AdmissionCheck;
  /** Unix seconds; the system's clock unless told. */
  readonly now?: () => number;
  /** Milliseconds that never go back, for rates; the process's clock unless told. */
  readonly monotonicNow?: () => number;
}

const sessions = new WeakMap<FastifyRequest, Session>();

/** The session of a request on a route that has the `requireSession` hook. */
export function sessionOf(request: FastifyRequest): Session {
  const session = sessions.get(request);
  if (session === undefined) throw new TallystickError("route without session check", { code: "INTERNAL" });
  return session;
}

function refuse(message: string, check: string, hint: string): never {
  throw new InvalidSignatureError(message, { party: "client", check, hint });
}

/** Issues and checks tokens. */
export class Sessions {
  readonly #options: SessionOptions;
  readonly #now: () => number;
  readonly #openings: SharedRates;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
    this.#openings = new SharedRates(OPENINGS_PER_ACCOUNT, OPENINGS, options.monotonicNow);
  }

  /**
   * @returns a token for the account in the request.
   * @throws InvalidSignatureError when the message is expired, for another daemon, replayed or not by the account;
   *   TallystickError RATE_LIMITED when the account has too many live sessions or opens them too fast, NOT_ADMITTED.
   */
  async open(request: SessionRequest): Promise<SessionAnswer> {
    const { database, audience, domain, checkSignature, admit } = this.#options;
    const now = this.#now();
    const account = checksumAddress(request.account, "account");
    if (checksumAddress(request.audience, "audience") !== audience) {
      refuse("the session is for another daemon", "audience", `this daemon is ${audience}`);
    }
    const { nonce, expiresAt } = request;
    checkExpiry("the session message", { expiresAt, now, maximumSeconds: MAXIMUM_SESSION_SECONDS });
    const typed = sessionMessage(domain, { account, audience, nonce, expiresAt });
    await checkSignature(account, typed, request.signature);
    // Only now is it known who asks: limits before it would let a stranger use up another account's rate.
    this.#openings.takeOwn(`account ${account}`);
    await admit?.(account);
    this.#openings.takeTotal();

    const token = newToken();
    inTransaction(database, () => {
      database.prepare("DELETE FROM session_nonces WHERE expires_at <= ?").run(now);
      database.prepare("DELETE FROM sessions WHERE expires_at <= ?").run(now);
      const live = database.prepare("SELECT count(*) AS live FROM sessions WHERE account = ?").get(account);
      if (Number(live?.live) >= MAXIMUM_SESSIONS) {
        throw new TallystickError("the account has too many live sessions", {
          code: "RATE_LIMITED",
          check: "sessions per account",
          expected: `at most ${MAXIMUM_SESSIONS}`,
          retryable: true,
          retryAfterSeconds: 60,
        });
      }
      const { changes } = database
        .prepare("INSERT OR IGNORE INTO session_nonces (account, nonce, expires_at) VALUES (?, ?, ?)")
        .run(account, nonce, expiresAt);
      if (changes === 0) refuse("the session message was used before", "nonce", "sign one with a fresh random nonce");
      database
        .prepare("INSERT INTO sessions (token_hash, account, expires_at) VALUES (?, ?, ?)")
        .run(sha256(token.bytes), account, expiresAt);
    });
    return { token: token.text, expiresAt };
  }

  /** The live session of an `Authorization` header. @throws InvalidSignatureError when there is none. */
  check(authorization: string | undefined): Session {
    const token = tokenFromAuthorization(authorization);
    if (token === undefined) refuse("no session", "authorization header", "open one with POST /v1/sessions");
    const row = this.#options.database
      .prepare("SELECT account, expires_at FROM sessions WHERE token_hash = ?")
      .get(sha256(token));
    if (row === undefined) refuse("unknown session", "token", "open a new one with POST /v1/sessions");
    const expiresAt = Number(row.expires_at);
    if (expiresAt <= this.#now()) refuse("the session has expired", "token", "open a new one with POST /v1/sessions");
    return { account: String(row.account), expiresAt };
  }

  /**
   * Hook for routes that need a session. It runs before the body is read, so that only accounts with a session send
   * bodies.
   */
  readonly requireSession: onRequestAsyncHookHandler = async (request) => {
    sessions.set(request, this.check(request.headers.authorization));
  };

  /** Adds `POST /v1/sessions`. */
  addRoute(server: DaemonServer): void {
    server.post(
      "/v1/sessions",
      { bodyLimit: 4096, schema: { body: SessionRequest, response: { 200: SessionAnswer } } },
      async (request) => this.open(request.body),
    );
  }
}
