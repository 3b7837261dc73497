/** The user's account as the agent uses it: it signs EIP-712 messages, and opens sessions with nodes and providers. */

import { Wallet } from "ethers";
import { randomBytes } from "#primitives";
import { addressOfPrivateKey } from "../core/encoding/address.ts";
import { toHex } from "../core/encoding/hex.ts";
import { TallystickError } from "../core/errors.ts";
import { sessionTypedData, type TypedData } from "../core/identity/typed-messages.ts";
import { SessionAnswer } from "../core/wire/session.ts";
import type { HttpParty } from "../http/client.ts";

/** Asked life of a session: less than the hour a daemon grants, so that clocks may differ. */
const SESSION_SECONDS = 3000;
/** A token this close to its end is renewed before use. */
const RENEW_BEFORE_SECONDS = 120;

/** A secp256k1 key and its address. */
export class AgentAccount {
  readonly address: string;
  readonly #key: string;
  #wallet: Wallet | undefined;

  /** @param signingKey 32 bytes; not kept as such. */
  constructor(signingKey: Uint8Array) {
    this.address = addressOfPrivateKey(signingKey);
    this.#key = toHex(signingKey);
  }

  /** @returns the 65-byte signature, 0x hex. */
  async sign<Message extends object>(typed: TypedData<Message>): Promise<string> {
    // Made when something is to be signed: its tables take a while, and many commands sign nothing.
    this.#wallet ??= new Wallet(this.#key);
    return await this.#wallet.signTypedData(typed.domain, typed.types, { ...typed.message });
  }
}

interface Token {
  readonly text: string;
  readonly expiresAt: number;
}

/** Session tokens by party: one signature buys an hour of requests. */
export class SessionTokens {
  readonly #account: AgentAccount;
  readonly #chainId: bigint;
  readonly #tokens = new Map<string, Promise<Token>>();
  readonly #end = new AbortController();

  constructor(account: AgentAccount, chainId: bigint) {
    this.#account = account;
    this.#chainId = chainId;
  }

  /**
   * Does something with a valid token. A token the daemon no longer knows (it was restarted, say) is renewed once.
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

  /** Ends requests for tokens that are still under way: a node that never answers holds up nobody's end. */
  close(): void {
    this.#end.abort();
  }

  async #token(party: HttpParty, audience: string): Promise<Token> {
    const cached = await this.#tokens.get(key(party, audience));
    if (cached !== undefined && cached.expiresAt - RENEW_BEFORE_SECONDS > Date.now() / 1000) return cached;
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
    const account = this.#account.address;
    const nonce = toHex(randomBytes(32));
    const expiresAt = Math.floor(Date.now() / 1000) + SESSION_SECONDS;
    const message = { account, audience, nonce, expiresAt: BigInt(expiresAt) };
    const signature = await this.#account.sign(sessionTypedData(this.#chainId, message));
    // Not retried: if the answer got lost the nonce is used up, and the next attempt has a new one.
    const answer = await party.json("POST", "/v1/sessions", SessionAnswer, {
      json: { account, audience, nonce, expiresAt, signature },
      signal: this.#end.signal,
      retries: 0,
    });
    return { text: answer.token, expiresAt: answer.expiresAt };
  }
}

function key(party: HttpParty, audience: string): string {
  return `${party.name} ${audience.toLowerCase()}`;
}
