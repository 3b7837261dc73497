/** One NBM node, as the agent speaks to it: the routes of `core/wire/nbm.ts` with bytes in place of hexadecimal text. */

import { fromHex, toHex } from "../core/hex.ts";
import {
  EvaluateAnswer,
  MAXIMUM_PAGE,
  NodeAnswer,
  RecordAnswer,
  RecordsAnswer,
  RelayAnswer,
  type RelayOwnerRequest,
  type RelayRecordRequest,
  ShareAnswer,
  type ShareRequestBody,
} from "../core/wire/nbm.ts";
import type { SessionTokens } from "./account.ts";
import { HttpParty } from "./http.ts";

/** Relaying waits for a block to be mined. */
const RELAY_DEADLINE_SECONDS = 180;
/** An evaluation that takes longer is asked of another node. */
const EVALUATE_DEADLINE_SECONDS = 20;

export interface Evaluation {
  readonly index: number;
  readonly evaluated: Uint8Array[];
  /** Batched DLEQ proof, 64 bytes. */
  readonly proof: Uint8Array;
}

export type ArchivedRecord = RecordsAnswer["records"][number];

export class NbmClient {
  readonly url: string;
  /** Account the node is registered under: the audience of sessions and share requests. */
  readonly operator: string;
  readonly #party: HttpParty;
  readonly #sessions: SessionTokens;

  constructor(url: string, operator: string, sessions: SessionTokens) {
    this.url = url;
    this.operator = operator;
    this.#party = new HttpParty("node", url);
    this.#sessions = sessions;
  }

  /** How errors name it. */
  get name(): string {
    return this.#party.name;
  }

  async node(): Promise<NodeAnswer> {
    return await this.#party.json("GET", "/v1/node", NodeAnswer, { retries: 0 });
  }

  /** Evaluates blinded elements with the node's key share. Not retried: the caller has other nodes. */
  async evaluate(committeeId: bigint, blinded: readonly Uint8Array[], signal?: AbortSignal): Promise<Evaluation> {
    const json = { committeeId: committeeId.toString(), blinded: blinded.map(toHex) };
    const answer = await this.#sessions.with(this.#party, this.operator, (token) =>
      this.#party.json("POST", "/v1/oprf/evaluate", EvaluateAnswer, {
        json,
        token,
        signal,
        retries: 0,
        deadlineSeconds: EVALUATE_DEADLINE_SECONDS,
      }),
    );
    return { index: answer.index, evaluated: answer.evaluated.map((e) => fromHex(e)), proof: fromHex(answer.proof) };
  }

  /** Has a signed record put on chain; resolves when it is mined. Not retried: the caller looks at the chain first. */
  async relayRecord(request: RelayRecordRequest): Promise<RelayAnswer> {
    return await this.#relay("/v1/records", request);
  }

  /** Has a later owner added on chain; resolves when it is mined. */
  async relayOwner(recordId: string, request: RelayOwnerRequest): Promise<RelayAnswer> {
    return await this.#relay(`/v1/records/${recordId}/owners`, request);
  }

  async #relay(path: string, json: unknown): Promise<RelayAnswer> {
    return await this.#sessions.with(this.#party, this.operator, (token) =>
      this.#party.json("POST", path, RelayAnswer, {
        json,
        token,
        retries: 0,
        deadlineSeconds: RELAY_DEADLINE_SECONDS,
      }),
    );
  }

  /** The newest version of a record in the node's archive. @throws TallystickError NOT_FOUND */
  async record(recordId: string): Promise<RecordAnswer> {
    return await this.#party.json("GET", `/v1/records/${recordId}`, RecordAnswer, { retries: 0 });
  }

  /** All archived records of an account or of a file, page by page. */
  async *records(filter: { account?: string; fileTag?: string }): AsyncGenerator<ArchivedRecord, void, undefined> {
    let after: string | undefined;
    do {
      const query = { ...filter, after, limit: MAXIMUM_PAGE };
      const page: RecordsAnswer = await this.#party.json("GET", "/v1/records", RecordsAnswer, { query, retries: 1 });
      yield* page.records;
      after = page.next ?? undefined;
    } while (after !== undefined);
  }

  /** The node's share of a record, sealed to the session key of the request. Not retried: the caller has other nodes. */
  async share(
    recordId: string,
    json: ShareRequestBody,
    signal?: AbortSignal,
  ): Promise<{ index: number; sealed: Uint8Array }> {
    const answer = await this.#party.json("POST", `/v1/records/${recordId}/share`, ShareAnswer, {
      json,
      signal,
      retries: 0,
      deadlineSeconds: EVALUATE_DEADLINE_SECONDS,
    });
    return { index: answer.index, sealed: fromHex(answer.sealed) };
  }
}
