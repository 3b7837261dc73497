/**
 * The connection to a chain's RPC endpoint. Endpoints differ in how they report the same condition. This module hides
 * the differences:
 *
 * - an error may come in a 200 answer or with an HTTP status: callers see one form;
 * - after a rate limit, every kind of request is repeated, with the delay that the endpoint asks for;
 * - endpoints without a pending state answer from the latest block;
 * - the address, which may hold an API key, is in no error.
 */

import {
  FetchRequest,
  type FetchResponse,
  type JsonRpcError,
  type JsonRpcPayload,
  JsonRpcProvider,
  type JsonRpcResult,
  Network,
} from "ethers";
import pRetry from "p-retry";
import { redactUrlsIn, secretsOfUrl } from "../core/encoding/redact-url.ts";
import { EndpointError, isRateLimitAnswer, isTemporaryStatus, refusesPendingTag } from "./endpoint-errors.ts";
import { pause } from "./pause.ts";

/** What the base class declares; it also takes errors here. */
type Answer = JsonRpcResult;
type CallParameters = Parameters<JsonRpcProvider["send"]>[1];

/** Waits of 0.25 s doubling to 8 s: about half a minute in all. */
const RATE_LIMIT_RETRIES = 8;
const RATE_LIMIT_FIRST_WAIT_MS = 250;
const RATE_LIMIT_LONGEST_WAIT_MS = 8000;
/** An endpoint that asks for a longer wait is out of quota; the caller is told instead. */
const LONGEST_RETRY_AFTER_SECONDS = 30;

/**
 * A provider that neither caches answers (we wait for state to change) nor guesses its network at each call.
 *
 * @param requestTimeoutSeconds how long one HTTP request may take.
 */
export function openProvider(url: string, chainId: bigint, requestTimeoutSeconds = 30): EndpointProvider {
  return new EndpointProvider(url, chainId, requestTimeoutSeconds);
}

export class EndpointProvider extends JsonRpcProvider {
  readonly #secrets: readonly string[];
  /** Methods that this endpoint does not answer for the pending block. */
  readonly #withoutPending = new Set<string>();

  constructor(url: string, chainId: bigint, requestTimeoutSeconds: number) {
    const request = new FetchRequest(url);
    request.timeout = requestTimeoutSeconds * 1000;
    // ethers takes the seconds of Retry-After for milliseconds and repeats a request twelve times; `_send` waits
    // itself.
    request.retryFunc = () => Promise.resolve(false);
    super(request, Network.from(chainId), {
      staticNetwork: true,
      cacheTimeout: -1,
      // Public endpoints limit or refuse batches, and waiting to fill one slows down every call on loopback.
      batchMaxCount: 1,
    });
    this.#secrets = secretsOfUrl(url);
  }

  /** One JSON-RPC call. Asks for the latest block where the endpoint does not know the pending one. */
  override async send(method: string, params: CallParameters): Promise<unknown> {
    if (!endsWithPending(params)) return await super.send(method, params);
    const latest = [...params.slice(0, -1), "latest"];
    if (this.#withoutPending.has(method)) return await super.send(method, latest);
    try {
      return await super.send(method, params);
    } catch (error) {
      if (!refusesPendingTag(error)) throw error;
      const answer: unknown = await super.send(method, latest);
      this.#withoutPending.add(method);
      return answer;
    }
  }

  /** One HTTP request, repeated while the endpoint limits the rate. */
  override async _send(payload: JsonRpcPayload | JsonRpcPayload[]): Promise<Answer[]> {
    return await pRetry(() => this.#post(payload), {
      retries: RATE_LIMIT_RETRIES,
      minTimeout: RATE_LIMIT_FIRST_WAIT_MS,
      maxTimeout: RATE_LIMIT_LONGEST_WAIT_MS,
      // Random delay, so that clients that were limited together do not return together.
      randomize: true,
      shouldRetry: ({ error }) =>
        !this.destroyed &&
        error instanceof EndpointError &&
        error.code === "RATE_LIMITED" &&
        (error.retryAfterSeconds ?? 0) <= LONGEST_RETRY_AFTER_SECONDS,
      onFailedAttempt: async ({ error, retriesLeft }) => {
        if (!(error instanceof EndpointError) || retriesLeft === 0) return;
        const seconds = error.retryAfterSeconds ?? 0;
        if (seconds <= LONGEST_RETRY_AFTER_SECONDS) await pause(seconds * 1000);
      },
    });
  }

  async #post(payload: JsonRpcPayload | JsonRpcPayload[]): Promise<Answer[]> {
    const request = this._getConnection();
    request.body = JSON.stringify(payload);
    request.setHeader("content-type", "application/json");
    let response: FetchResponse;
    try {
      response = await request.send();
    } catch (error) {
      throw this.#withoutAddress(error);
    }
    return this.#answersIn(response, payload);
  }

  /** The JSON-RPC answers of an HTTP response, also of one with an error status. @throws EndpointError */
  #answersIn(response: FetchResponse, payload: JsonRpcPayload | JsonRpcPayload[]): Answer[] {
    const { statusCode: status } = response;
    const body = response.hasBody() ? this.#redacted(parsedBody(response)) : "";
    const answers = (Array.isArray(body) ? body : [body]) as (Partial<JsonRpcError> | null | string)[];
    const errors = answers.flatMap((answer) => {
      const error: unknown = typeof answer === "object" ? answer?.error : undefined;
      return typeof error === "object" && error !== null ? [error as JsonRpcError["error"]] : [];
    });
    const facts = { status, retryAfterSeconds: retryAfterSeconds(response) };
    const said = errors[0]?.message ?? briefly(body);
    if (status === 429 || errors.some((error) => isRateLimitAnswer(error, methodOf(payload)))) {
      throw new EndpointError("RATE_LIMITED", said === "" ? `HTTP ${status}` : said, facts);
    }
    if (isTemporaryStatus(status)) throw new EndpointError("SERVER_ERROR", `HTTP ${status}: ${said}`, facts);
    const isJsonRpc = answers.every((answer) => typeof answer === "object" && answer !== null);
    // Whatever the body says, a key that is refused is no answer to the request.
    const isUnauthorized = status === 401 || status === 403;
    if (!isJsonRpc || isUnauthorized || (status >= 300 && errors.length === 0)) {
      throw new EndpointError("REFUSED", `HTTP ${status}: ${said === "" ? "no JSON-RPC answer" : said}`, facts);
    }
    // A refusal may come without the id of the request it refuses.
    const id = Array.isArray(payload) ? undefined : payload.id;
    return answers.map((answer) => (id === undefined ? answer : { ...(answer as object), id })) as Answer[];
  }

  /** What the connection failed with, without the request, which holds the address. */
  #withoutAddress(error: unknown): unknown {
    if (!(error instanceof Error)) return error;
    const code = "code" in error ? String(error.code) : "SERVER_ERROR";
    const message = error.message === "" ? code : String(this.#redacted(error.message));
    return Object.assign(new Error(message), { code });
  }

  /** A copy of a JSON value whose texts hold no part of the address that may be a key. */
  #redacted(value: unknown): unknown {
    if (typeof value === "string") {
      return this.#secrets.reduce((text, secret) => text.replaceAll(secret, "…"), redactUrlsIn(value));
    }
    if (Array.isArray(value)) return value.map((item) => this.#redacted(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, this.#redacted(item)]));
  }
}

function endsWithPending(params: CallParameters): params is unknown[] {
  return Array.isArray(params) && params.at(-1) === "pending";
}

function methodOf(payload: JsonRpcPayload | JsonRpcPayload[]): string {
  return Array.isArray(payload) ? "" : payload.method;
}

/** The JSON of a body, or its text where it is none. */
function parsedBody(response: FetchResponse): unknown {
  const text = new TextDecoder().decode(response.body ?? new Uint8Array());
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Of an HTML page, only the first words are quoted. */
function briefly(body: unknown): string {
  const text = typeof body === "string" ? body : JSON.stringify(body ?? "");
  return text.replace(/\s+/g, " ").trim().slice(0, 120);
}

function retryAfterSeconds(response: FetchResponse): number | undefined {
  const header = response.headers["retry-after"] ?? "";
  if (/^\d{1,6}$/.test(header)) return Number(header);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, (at - Date.now()) / 1000);
}
