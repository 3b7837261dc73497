/** Requests to one provider, each with a session of the account. */
import type { Static, TSchema } from "@sinclair/typebox";
import type { HttpParty, RequestOptions } from "../../http/client.ts";
import type { SessionTokens } from "../../http/sessions.ts";

export class ProviderCalls {
  readonly party: HttpParty;
  /** Account of the provider: the audience of sessions. */
  readonly account: string;
  readonly #sessions: SessionTokens;

  constructor(party: HttpParty, account: string, sessions: SessionTokens) {
    this.party = party;
    this.account = account;
    this.#sessions = sessions;
  }

  /** How errors name the provider. */
  get name(): string {
    return this.party.name;
  }

  async json<Schema extends TSchema>(
    method: "GET" | "POST" | "PUT",
    path: string,
    schema: Schema,
    options: RequestOptions,
  ): Promise<Static<Schema>> {
    return await this.#sessions.with(this.party, this.account, (token) =>
      this.party.json(method, path, schema, { ...options, token }),
    );
  }

  /** @returns the body, not verified here */
  async bytes(path: string, maximumBytes: number, options: RequestOptions): Promise<Uint8Array> {
    return await this.#sessions.with(this.party, this.account, (token) =>
      this.party.bytes(path, maximumBytes, { ...options, token }),
    );
  }
}
