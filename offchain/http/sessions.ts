/**
 * Sessions: the signed message that opens one, and the client that keeps their tokens. The server that issues tokens is
 * `daemon/sessions.ts`; the header that carries them is in `authorization.ts`.
 */

import { randomBytes } from "#primitives";
import { toHex } from "../core/encoding/hex.ts";
import { TallystickError } from "../core/errors.ts";
import { type SessionMessage, sessionTypedData, type TypedData } from "../core/identity/typed-messages.ts";
import { SessionAnswer, type SessionRequest } from "../core/wire/session.ts";
import type { HttpParty, PartyKind } from "./client.ts";

/** Requested life of a session: less than the hour that a daemon grants, because clocks differ. */
const SESSION_SECONDS = 3000;
/** A token this close to its end is renewed before use. */
const RENEW_BEFORE_SECONDS = 120;

/** Chain and contract that a session is for: a message for one deployment opens nothing at another. */
export interface SessionDomain {
  readonly chainId: bigint;
  /** The contract that the daemon serves: the key ledger for nodes, the storage escrow for providers. */
  readonly contract: string;
}

/** The typed data that an account signs to open a session. @throws InvalidInputError for a malformed field */
export function sessionMessage(
  domain: SessionDomain,
  { account, audience, nonce, expiresAt }: Omit<SessionRequest, "signature">,
): TypedData<SessionMessage> {
  const message = { account, audience, nonce, expiresAt: BigInt(expiresAt) };
  return sessionTypedData(domain.chainId, domain.contract, message);
}

/** Who opens sessions. */
export interface SessionSigner {
  readonly address: string;
  /** @returns the signature, 0x hex */
  sign<Message extends object>(typed: TypedData<Message>): Promise<string>;
}

/** The part of a deployment that sessions name. */
export interface SessionDeployment {
  readonly chainId: number;
  readonly contracts: { readonly keyLedger: string; readonly storageEscrow: string };
}

export interface SessionTokensOptions {
  /** Unix seconds; the system's clock unless given. */
  readonly now?: () => number;
}

interface Token {
  readonly text: string;
  readonly expiresAt: number;
}

/** Session tokens by party: one signature buys an hour of requests. */
export class SessionTokens {
  readonly #signer: SessionSigner;
  readonly #deployment: SessionDeployment;
  readonly #now: () => number;
  readonly #tokens = new Map<string, Promise<Token>>();
  readonly #end = new AbortController();

  constructor(signer: SessionSigner, deployment: SessionDeployment, options: SessionTokensOptions = {}) {
    this.#signer = signer;
    this.#deployment = deployment;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  /**
   * Runs `work` with a valid token. A token that the daemon does not know any more, for example after a restart, is
   * renewed once.
   *
   * @param audience operator address of the daemon: the token is of no use anywhere else.
   * @throws whatever `work` throws.
   */
  async with<Result>(party: HttpParty, audience: string, work: (token: string) => Promise<Result>): Promise<Result> {
    const token = await this.#token(party, audience);
    try {
      return await work(token.text);
    } catch (error) {
      if (!(error instanceof TallystickError) || error.code !== "INVALID_SIGNATURE") throw error;
      this.#tokens.delete(key(party, audience));
      return await work((await this.#token(party, audience)).text);
    }
  }

  /**
   * Aborts requests for tokens that are under way, so that a node that never answers does not delay the end of the
   * program.
   */
  close(): void {
    this.#end.abort();
  }

  async #token(party: HttpParty, audience: string): Promise<Token> {
    const cached = await this.#tokens.get(key(party, audience));
    if (cached !== undefined && cached.expiresAt - RENEW_BEFORE_SECONDS > this.#now()) return cached;
    const opening = this.#open(party, audience);
    this.#tokens.set(key(party, audience), opening);
    try {
      return await opening;
    } catch (error) {
      this.#tokens.delete(key(party, audience));
      throw error;
    }
  }

  async #open(party: HttpParty, audience: string): Promise<Token> {
    const account = this.#signer.address;
    const nonce = toHex(randomBytes(32));
    const request = { account, audience, nonce, expiresAt: this.#now() + SESSION_SECONDS };
    const signature = await this.#signer.sign(sessionMessage(this.#domainOf(party.kind), request));
    // Not retried: if the answer was lost, the nonce is used up, and the next attempt draws a new one.
    const answer = await party.json("POST", "/v1/sessions", SessionAnswer, {
      json: { ...request, signature },
      signal: this.#end.signal,
      retries: 0,
    });
    return { text: answer.token, expiresAt: answer.expiresAt };
  }

  #domainOf(kind: PartyKind): SessionDomain {
    const { chainId, contracts } = this.#deployment;
    const contract = kind === "node" ? contracts.keyLedger : contracts.storageEscrow;
    return { chainId: BigInt(chainId), contract };
  }
}

function key(party: HttpParty, audience: string): string {
  return `${party.name} ${audience.toLowerCase()}`;
}
