/**
 * Session authentication: `POST /v1/sessions` exchanges a signed, single-use `Session` message for a bearer token.
 * Nonces are in the database until their messages have expired at every process on it, whose clocks may differ by
 * `CLOCK_SKEW_SECONDS`. So a message cannot be replayed after a restart, after a step of the clock, or at another
 * process. Of tokens only the hash is stored. The state machine is in docs/models.md.
 */

import type { FastifyRequest, onRequestAsyncHookHandler } from "fastify";
import { equalBytes, sha256 } from "#primitives";
import { InvalidSignatureError, TallystickError } from "../core/errors.ts";
import type { Delegation, Scope } from "../core/identity/delegation.ts";
import type { SessionMessage, TypedData } from "../core/identity/typed-messages.ts";
import { MAXIMUM_SESSION_SECONDS, SessionAnswer, SessionRequest } from "../core/wire/session.ts";
import { newToken, tokenFromAuthorization } from "../http/authorization.ts";
import { type SessionDomain, sessionMessage } from "../http/sessions.ts";
import type { TableDefinitions } from "../store/index/sql/column-types.ts";
import type { SqlDatabase } from "../store/index/sql/sql-database.ts";
import { checksumAddress } from "./account-signature.ts";
import type { AdmissionCheck } from "./admission.ts";
import { type Delegates, requireScope } from "./delegates.ts";
import { SharedRates } from "./quota.ts";
import type { ReplacedAccounts } from "./replaced-accounts.ts";
import { CLOCK_SKEW_SECONDS, checkExpiry } from "./request-time.ts";
import type { DaemonServer } from "./server.ts";
import type { SignatureSource } from "./wallet-checks.ts";

/** A row per session. Its nonce is remembered for as long as the message that named it could be replayed. */
export interface SessionTables {
  sessions: {
    token_hash: Uint8Array;
    /** Who signed: the account, or a delegate. */
    account: string;
    /** Of a delegate, the account that it acts for. */
    principal: string | null;
    nonce: string;
    expires_at: number;
  };
}

/** Part of the daemon's own first migration. */
export const SESSION_TABLES: TableDefinitions = ({ bytes, integer, clustered }) => [
  `CREATE TABLE sessions (
    token_hash ${bytes} NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    principal TEXT,
    nonce TEXT NOT NULL,
    expires_at ${integer} NOT NULL,
    UNIQUE (account, nonce)
  ) ${clustered}`,
  "CREATE INDEX sessions_by_expiry ON sessions (expires_at)",
];

/** A later migration: sessions of the delegates of an account are counted together. */
export const DELEGATE_SESSION_TABLES: TableDefinitions = () => [
  "CREATE INDEX sessions_by_principal ON sessions (principal, expires_at)",
];

/** Most live sessions per account, and as many of all of its delegates together. */
const MAXIMUM_SESSIONS = 1024;
/** One delegate has no more than this part of what all have: a stolen one must not keep the others out. */
const DELEGATES_SHARING = 4;
/**
 * Openings per key, per account by all of its delegates together, and in all: they bound the rows that a flood of
 * openings leaves in the database. Delegates use up nothing of their account's own, since a device may be stolen.
 */
const OPENINGS_PER_ACCOUNT = { scope: "session openings per account", capacity: 120, periodSeconds: 60 };
const OPENINGS_PER_DELEGATE = {
  ...OPENINGS_PER_ACCOUNT,
  scope: "session openings per delegate",
  capacity: OPENINGS_PER_ACCOUNT.capacity / DELEGATES_SHARING,
};
const OPENINGS = { scope: "session openings", capacity: 6000, periodSeconds: 60 };

export interface Session {
  /** Whose things are meant, with EIP-55 checksum. */
  readonly account: string;
  /** Who opened it: the account itself, or the delegate. */
  readonly signer: string;
  /** Present when a delegate opened it. */
  readonly delegation?: Delegation;
  readonly expiresAt: number;
}

/** What sessions need of a database. */
export type SessionDatabase = Pick<SqlDatabase<SessionTables>, "run">;

export interface SessionOptions {
  /** Single statements only: a node's other services use the same database in transactions of their own. */
  readonly database: SessionDatabase;
  /** The daemon's own operator account. */
  readonly audience: string;
  readonly domain: SessionDomain;
  /**
   * Resolves when the account signed the message, throws `InvalidSignatureError` when not; see account-signature.ts.
   */
  readonly checkSignature: (
    account: string,
    typed: TypedData<SessionMessage>,
    signature: string,
    source: SignatureSource,
  ) => Promise<void>;
  /** Throws when the account may not open sessions; every account may unless given. See admission.ts. */
  readonly admit?: AdmissionCheck;
  /** Refuses accounts that have a successor; none has unless given. */
  readonly replaced?: Pick<ReplacedAccounts, "requireCurrent" | "requireStillCurrent">;
  /** Knows the delegates of accounts; there are none unless given. */
  readonly delegates?: Pick<Delegates, "find" | "requireStill">;
  /** Unix seconds; the system's clock unless told. */
  readonly now?: () => number;
  /** Milliseconds that never go back, for rates; the process's clock unless told. */
  readonly monotonicNow?: () => number;
}

const sessions = new WeakMap<FastifyRequest, Session>();

/** The session of a request on a route that has the hook of `Sessions.require`. */
export function sessionOf(request: FastifyRequest): Session {
  const session = sessions.get(request);
  if (session === undefined) throw new TallystickError("route without session check", { code: "INTERNAL" });
  return session;
}

/**
 * Users act for themselves.
 * @param what is of the account, for the message
 * @throws TallystickError NOT_OWNER when the session is of another one
 */
export function requireSessionAccount(sessionAccount: string, account: string, what: string): void {
  if (sessionAccount === account) return;
  throw new TallystickError(`the ${what} is of another account than the session`, {
    code: "NOT_OWNER",
    party: `account ${sessionAccount}`,
    check: "session account",
    expected: account,
    received: sessionAccount,
  });
}

function refuse(message: string, check: string, hint: string): never {
  throw new InvalidSignatureError(message, { party: "client", check, hint });
}

/** Limits of live sessions. @param principal of a delegate */
function limitsOf(account: string, principal: string | null) {
  const most = MAXIMUM_SESSIONS;
  const own = { column: "account", holder: account } as const;
  if (principal === null) return [{ ...own, most, whose: "the account has", check: "sessions per account" }];
  const all = { column: "principal", holder: principal } as const;
  return [
    { ...own, most: most / DELEGATES_SHARING, whose: "the delegate has", check: "sessions per delegate" },
    { ...all, most, whose: "the delegates of the account have", check: "sessions of the delegates of an account" },
  ];
}

/** Issues and checks tokens. */
export class Sessions {
  readonly #options: SessionOptions;
  readonly #now: () => number;
  readonly #openings: SharedRates;
  readonly #openingsOfDelegates: SharedRates;
  readonly #beforeOpening: ((account: string) => Promise<void>)[] = [];

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
    this.#openings = new SharedRates(OPENINGS_PER_ACCOUNT, OPENINGS, options.monotonicNow);
    this.#openingsOfDelegates = new SharedRates(OPENINGS_PER_DELEGATE, OPENINGS, options.monotonicNow);
  }

  /**
   * Has work done for an account that opens a session, before its token is given out. What it throws is the answer.
   * Called while the daemon is built.
   */
  onOpening(work: (account: string) => Promise<void>): void {
    this.#beforeOpening.push(work);
  }

  /**
   * @param address where the request comes from
   * @returns a token for the account in the request.
   * @throws InvalidSignatureError when the message is expired, for another daemon, replayed or not by the account;
   *   TallystickError RATE_LIMITED when the account has too many live sessions or opens them too fast, NOT_ADMITTED,
   *   ACCOUNT_REPLACED when it has a successor, NOT_DELEGATED when it is a delegate that has expired or was revoked,
   *   CHAIN_UNAVAILABLE when the chain does not tell.
   */
  async open(request: SessionRequest, address: string): Promise<SessionAnswer> {
    const { audience, domain, checkSignature, admit, replaced, delegates } = this.#options;
    const now = this.#now();
    const account = checksumAddress(request.account, "account");
    if (checksumAddress(request.audience, "audience") !== audience) {
      refuse("the session is for another daemon", "audience", `this daemon is ${audience}`);
    }
    const { nonce, expiresAt } = request;
    checkExpiry("the session message", { expiresAt, now, maximumSeconds: MAXIMUM_SESSION_SECONDS });
    const typed = sessionMessage(domain, { account, audience, nonce, expiresAt });
    await checkSignature(account, typed, request.signature, { address });
    // Only now is it known who asks: limits before it would let a stranger use up another account's rate.
    this.#openings.takeOwn(`account ${account}`);
    const delegation = await delegates?.find(account);
    const principal = delegation?.account ?? account;
    if (delegation !== undefined) {
      this.#openingsOfDelegates.takeOwn(`delegate ${account}`);
      this.#openings.takeOwn(`delegates of account ${principal}`);
    }
    await replaced?.requireCurrent(principal);
    await admit?.(principal);
    this.#openings.takeTotal();
    for (const work of this.#beforeOpening) await work(principal);

    const token = newToken();
    const row = { token_hash: sha256(token.bytes), account, principal: delegation?.account ?? null, nonce };
    await this.#add({ ...row, expires_at: expiresAt }, now);
    return { token: token.text, expiresAt };
  }

  async #add(row: SessionTables["sessions"], now: number): Promise<void> {
    const { database } = this.#options;
    const { account, principal, nonce } = row;
    // Not at once: a process on this database whose clock is behind still takes the message, and must know its nonce.
    const forgotten = now - CLOCK_SKEW_SECONDS;
    await database.run((all) => all.deleteFrom("sessions").where("expires_at", "<=", forgotten).execute());
    // Of openings at the same time, a few may pass above the limits. They bound the rows, not a right.
    for (const { column, holder, most, whose, check } of limitsOf(account, principal)) {
      const { live } = await database.run((all) =>
        all
          .selectFrom("sessions")
          .select((build) => build.fn.countAll<number>().as("live"))
          .where(column, "=", holder)
          .where("expires_at", ">", now)
          .executeTakeFirstOrThrow(),
      );
      if (live < most) continue;
      throw new TallystickError(`${whose} too many live sessions`, {
        code: "RATE_LIMITED",
        check,
        expected: `at most ${most}`,
        retryable: true,
        retryAfterSeconds: 60,
      });
    }
    await database.run((all) =>
      all
        .insertInto("sessions")
        .values(row)
        .onConflict((conflict) => conflict.columns(["account", "nonce"]).doNothing())
        .execute(),
    );
    // The statement may have been repeated after a broken connection: the row says who used the nonce.
    const user = await database.run((all) =>
      all
        .selectFrom("sessions")
        .select("token_hash")
        .where("account", "=", account)
        .where("nonce", "=", nonce)
        .executeTakeFirst(),
    );
    if (user === undefined || !equalBytes(user.token_hash, row.token_hash)) {
      refuse("the session message was used before", "nonce", "sign one with a fresh random nonce");
    }
  }

  /**
   * The live session of an `Authorization` header.
   * @throws InvalidSignatureError when there is none; TallystickError ACCOUNT_REPLACED when its account has a
   *   successor, NOT_DELEGATED when a delegate opened it that has expired or was revoked since, CHAIN_UNAVAILABLE for a
   *   delegate
   */
  async check(authorization: string | undefined): Promise<Session> {
    const token = tokenFromAuthorization(authorization);
    if (token === undefined) refuse("no session", "authorization header", "open one with POST /v1/sessions");
    const row = await this.#options.database.run((all) =>
      all
        .selectFrom("sessions")
        .select(["account", "principal", "expires_at"])
        .where("token_hash", "=", sha256(token))
        .executeTakeFirst(),
    );
    if (row === undefined) refuse("unknown session", "token", "open a new one with POST /v1/sessions");
    const expiresAt = row.expires_at;
    if (expiresAt <= this.#now()) refuse("the session has expired", "token", "open a new one with POST /v1/sessions");
    const { replaced, delegates } = this.#options;
    const { account: signer, principal } = row;
    if (principal !== null) {
      const delegation = await delegates?.requireStill(signer);
      if (delegation === undefined) throw new TallystickError("session of an unknown delegate", { code: "INTERNAL" });
      return { account: principal, signer, delegation, expiresAt };
    }
    await replaced?.requireStillCurrent(signer);
    return { account: signer, signer, expiresAt };
  }

  /**
   * Hook for routes that need a session. It runs before the body is read, so that only accounts with a session send
   * bodies. What no scope is named for is for accounts themselves, so that a route that nobody thought of is closed to
   * delegates.
   * @param scopes of which a delegate has to have one
   */
  require(...scopes: Scope[]): onRequestAsyncHookHandler {
    return async (request) => {
      const session = await this.check(request.headers.authorization);
      if (session.delegation !== undefined) requireScope(session.delegation, scopes);
      sessions.set(request, session);
    };
  }

  /** Adds `POST /v1/sessions`. */
  addRoute(server: DaemonServer): void {
    server.post(
      "/v1/sessions",
      { bodyLimit: 4096, schema: { body: SessionRequest, response: { 200: SessionAnswer } } },
      async (request) => this.open(request.body, request.ip),
    );
  }
}
