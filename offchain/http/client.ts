/**
 * The HTTP client for nodes and providers: requests with a deadline, a bound on the answer's size, retries of what may
 * succeed later, and typed errors that name the other party. An answer is used only after its schema was checked.
 * Runs in Node and in browsers.
 */

import type { Static, TSchema } from "@sinclair/typebox";
import pRetry from "p-retry";
import { redactUrlsIn } from "../core/encoding/redact-url.ts";
import { ERROR_CODES, type ErrorCode, isErrorCode } from "../core/error-codes.ts";
import { TallystickError } from "../core/errors.ts";
import { parseAnswer } from "../core/wire/schema.ts";
import { ErrorAnswer } from "../core/wire/session.ts";
import { authorizationOf } from "./authorization.ts";
import { parseJson } from "./bounded-body.ts";
import { fetchTransport, type Transport, type TransportAnswer, type TransportRequest } from "./transport.ts";

/** Deadline of a request without a large body. */
const DEADLINE_SECONDS = 30;
/** The slowest transfer that does not time out: the deadline of a large body grows accordingly. */
const SLOWEST_BYTES_PER_SECOND = 128 * 1024;
/** Largest JSON answer. */
const MAXIMUM_JSON_BYTES = 16 * 1024 * 1024;
/** Attempts after the first, with 0.2, 0.4, 0.8, … seconds between them. */
const RETRIES = 4;
const FIRST_DELAY_MILLISECONDS = 200;
const LONGEST_DELAY_MILLISECONDS = 5000;

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent piece by piece, without joining the pieces. */
  readonly pieces?: readonly Uint8Array[];
  /** The content type of the pieces. Default: application/octet-stream. */
  readonly piecesType?: string;
  readonly token?: string;
  readonly signal?: AbortSignal | undefined;
  readonly deadlineSeconds?: number;
  /** Memory for the bytes of the answer; see `TransportRequest`. */
  readonly allocate?: (() => Uint8Array) | undefined;
  /** Attempts after a retryable failure. 0 for callers that have another party to turn to. */
  readonly retries?: number;
}

type Method = "GET" | "POST" | "PUT";

export type PartyKind = "node" | "provider" | "verifier" | "drand relay";

export interface PartyOptions {
  /** How requests are sent. Default: by the global `fetch`. */
  readonly transport?: Transport;
}

/** One remote party: its address, its name in errors, and the rules above. */
export class HttpParty {
  readonly kind: PartyKind;
  /** How errors name it, for example `provider http://127.0.0.1:4000`. */
  readonly name: string;
  readonly #baseUrl: string;
  readonly #transport: Transport;

  constructor(kind: PartyKind, url: string, options: PartyOptions = {}) {
    this.kind = kind;
    this.name = `${kind} ${url === "" ? "without address" : withoutCredentials(url)}`;
    this.#baseUrl = url.replace(/\/+$/, "");
    this.#transport = options.transport ?? fetchTransport();
  }

  /**
   * @returns the answer, which fits the schema.
   * @throws TallystickError with the party's own code for an error answer; UNREACHABLE, TIMED_OUT, BAD_RESPONSE.
   */
  async json<Schema extends TSchema>(
    method: Method,
    path: string,
    schema: Schema,
    options: RequestOptions = {},
  ): Promise<Static<Schema>> {
    const bytes = await this.#withRetries(method, path, options, MAXIMUM_JSON_BYTES);
    return parseAnswer(schema, parseJson(bytes, this.name), this.name);
  }

  /**
   * @param maximumBytes a longer answer is refused while it arrives.
   * @returns the body as it came.
   * @throws TallystickError as `json`.
   */
  async bytes(path: string, maximumBytes: number, options: RequestOptions = {}): Promise<Uint8Array> {
    return await this.#withRetries("GET", path, options, maximumBytes);
  }

  async #withRetries(method: Method, path: string, options: RequestOptions, maximumBytes: number): Promise<Uint8Array> {
    return await pRetry(() => this.#once(method, path, options, maximumBytes), {
      retries: options.retries ?? RETRIES,
      minTimeout: FIRST_DELAY_MILLISECONDS,
      maxTimeout: LONGEST_DELAY_MILLISECONDS,
      randomize: true,
      signal: options.signal,
      // An error with a time to wait is for the caller, which knows whether waiting that long makes sense.
      shouldRetry: ({ error }) =>
        error instanceof TallystickError && error.retryable && error.retryAfterSeconds === undefined,
    });
  }

  async #once(method: Method, path: string, options: RequestOptions, maximumBytes: number): Promise<Uint8Array> {
    const movedBytes = (options.pieces ?? []).reduce((sum, piece) => sum + piece.length, expectedBytes(maximumBytes));
    const deadlineSeconds = (options.deadlineSeconds ?? DEADLINE_SECONDS) + movedBytes / SLOWEST_BYTES_PER_SECOND;
    const deadline = AbortSignal.timeout(Math.ceil(deadlineSeconds * 1000));
    const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
    if (!/^https?:\/\//.test(this.#baseUrl) || !URL.canParse(this.#baseUrl)) throw noAddress(this.name);
    try {
      const request = { ...contentOf(method, options), url: this.#url(path, options.query), signal };
      const { allocate } = options;
      const answer = await this.#transport({ ...request, maximumBytes, party: this.name, allocate });
      if (answer.status < 200 || answer.status > 299) throw remoteError(answer, this.name, path);
      return answer.body;
    } catch (error) {
      if (error instanceof TallystickError) throw error;
      if (options.signal?.aborted === true) throw options.signal.reason;
      if (deadline.aborted) throw timedOut(this.name, path, deadlineSeconds);
      throw unreachable(this.name, path, error);
    }
  }

  #url(path: string, query: RequestOptions["query"]): string {
    const parameters = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
    const text = new URLSearchParams(parameters.map(([name, value]) => [name, String(value)])).toString();
    return `${this.#baseUrl}${path}${text === "" ? "" : `?${text}`}`;
  }
}

/** Expected size of an answer, for the deadline: JSON answers are small, whatever their limit. */
function expectedBytes(maximumBytes: number): number {
  return maximumBytes === MAXIMUM_JSON_BYTES ? 0 : maximumBytes;
}

/** Operators write addresses as they like; a password in one is not for error messages. */
function withoutCredentials(url: string): string {
  return url.replace(/^(https?:\/\/)[^/?#]*@/i, "$1");
}

function contentOf(method: Method, options: RequestOptions): Pick<TransportRequest, "method" | "headers" | "body"> {
  const headers: Record<string, string> = { accept: "application/json, application/octet-stream" };
  if (options.token !== undefined) headers.authorization = authorizationOf(options.token);
  if (options.json !== undefined) {
    headers["content-type"] = "application/json";
    return { method, headers, body: JSON.stringify(options.json) };
  }
  if (options.pieces === undefined) return { method, headers };
  headers["content-type"] = options.piecesType ?? "application/octet-stream";
  return { method, headers, body: options.pieces };
}

/**
 * The error a party answered with. Its message is quoted, but the party is set here, so that it cannot blame another.
 */
function remoteError(response: TransportAnswer, party: string, path: string): TallystickError {
  const { status, body } = response;
  // A proxy in between may answer with a page of HTML: then only the status says what happened.
  const later = status === 429 || status === 502 || status === 503 || status === 504;
  let answer: ErrorAnswer["error"] | undefined;
  try {
    answer = parseAnswer(ErrorAnswer, parseJson(body, party), party).error;
  } catch (error) {
    return new TallystickError(`${party} answered ${status} to ${path}`, {
      code: status === 429 ? "RATE_LIMITED" : "BAD_RESPONSE",
      party,
      check: "status of the answer",
      received: String(status),
      retryable: later,
      ...retryAfter(response, undefined),
      cause: error,
    });
  }
  const common = { party, retryable: answer.retryable ?? later, ...retryAfter(response, answer.retryAfterSeconds) };
  const code = status === 429 ? "RATE_LIMITED" : codeFromParty(answer.code);
  if (code === "PARTY_FAILED") {
    return new TallystickError(`${party} failed: ${answer.message}`, {
      ...common,
      code,
      check: path,
      received: answer.code,
      hint: "this fault is on its side, and only its operator can repair it; run the command again later",
    });
  }
  return new TallystickError(`${party} refused: ${answer.message}`, {
    ...common,
    code,
    ...(answer.check === undefined ? {} : { check: answer.check }),
    ...(answer.expected === undefined ? {} : { expected: answer.expected }),
    ...(answer.received === undefined ? {} : { received: answer.received }),
    ...(answer.hint === undefined ? {} : { hint: answer.hint }),
    ...(answer.details === undefined ? {} : { details: answer.details }),
  });
}

/** What a code means on this side: a full disk of another party is not a full disk here. */
function codeFromParty(code: string): ErrorCode {
  if (!isErrorCode(code)) return "BAD_RESPONSE";
  return ERROR_CODES[code].concernsReporter ? "PARTY_FAILED" : code;
}

function retryAfter(response: TransportAnswer, fromBody: number | undefined): { retryAfterSeconds?: number } {
  const header = Number(response.retryAfter ?? Number.NaN);
  const seconds = fromBody ?? header;
  return Number.isFinite(seconds) && seconds >= 0 ? { retryAfterSeconds: seconds } : {};
}

/** Addresses come from the registry, where operators write what they like. */
function noAddress(party: string): TallystickError {
  return new TallystickError(`${party} cannot be reached: it has no http address`, {
    code: "UNREACHABLE",
    party,
    check: "registered address",
    expected: "http:// or https://",
    retryable: false,
  });
}

function timedOut(party: string, path: string, seconds: number): TallystickError {
  return new TallystickError(`${party} gave no answer in ${Math.round(seconds)} seconds`, {
    code: "TIMED_OUT",
    party,
    check: path,
    retryable: true,
    hint: "check that it is up and reachable, then run the command again",
  });
}

function unreachable(party: string, path: string, cause: unknown): TallystickError {
  const innermost = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const reason = innermost instanceof Error ? innermost.message : String(innermost);
  return new TallystickError(`${party} cannot be reached`, {
    code: "UNREACHABLE",
    party,
    check: path,
    received: redactUrlsIn(reason).slice(0, 256),
    retryable: true,
    hint: "check that it is up and reachable, then run the command again",
    cause,
  });
}
