/**
 * HTTP as the agent speaks it to nodes and providers: `fetch` with a deadline, a bound on the answer's size, retries of what may
 * succeed later, and typed errors that name the other party. Nothing the other side says is believed before its schema
 * has been checked.
 */

import type { Static, TSchema } from "@sinclair/typebox";
import pRetry from "p-retry";
import { type ErrorCode, TallystickError } from "../core/errors.ts";
import { parseAnswer } from "../core/wire/schema.ts";
import { ErrorAnswer } from "../core/wire/session.ts";

/** Deadline of a request without a large body. */
const DEADLINE_SECONDS = 30;
/** Slowest transfer that is still waited for: it stretches the deadline of large bodies. */
const SLOWEST_BYTES_PER_SECOND = 128 * 1024;
/** Largest JSON answer. */
const MAXIMUM_JSON_BYTES = 16 * 1024 * 1024;
/** Attempts after the first, with 0.2, 0.4, 0.8, … seconds between them. */
const RETRIES = 4;
const FIRST_DELAY_MILLISECONDS = 200;
const LONGEST_DELAY_MILLISECONDS = 5000;

/** Codes a remote party may use. An unknown one is read as BAD_RESPONSE. */
const REMOTE_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  "INVALID_INPUT",
  "UNKNOWN_VERSION",
  "INVALID_POINT",
  "INVALID_SCALAR",
  "INVALID_PROOF",
  "INTEGRITY",
  "INVALID_SIGNATURE",
  "NOT_OWNER",
  "NOT_FOUND",
  "CONFLICT",
  "CHAIN_REVERTED",
  "CHAIN_UNAVAILABLE",
  "RATE_LIMITED",
  "UNREACHABLE",
  "TIMED_OUT",
  "OBJECT_LOST",
  "STORAGE_UNAVAILABLE",
  "SHARES_MISSING",
  "QUORUM_FAILED",
  "FUNDS",
  "INTERNAL",
]);

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as application/octet-stream, piece by piece, without joining the pieces. */
  readonly pieces?: readonly Uint8Array[];
  readonly token?: string;
  readonly signal?: AbortSignal | undefined;
  readonly deadlineSeconds?: number;
  /** Attempts after a retryable failure. 0 for callers that have another party to turn to. */
  readonly retries?: number;
}

type Method = "GET" | "POST" | "PUT";

/** One remote party: its address, its name in errors, and the rules above. */
export class HttpParty {
  /** How errors name it, for example `provider http://127.0.0.1:4000`. */
  readonly name: string;
  readonly #baseUrl: string;

  constructor(kind: "node" | "provider", url: string) {
    this.name = `${kind} ${url === "" ? "without address" : url}`;
    this.#baseUrl = url.replace(/\/+$/, "");
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
      // A used-up budget comes back on the other side's clock, which the caller of this class knows how to wait for.
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
      const response = await fetch(this.#url(path, options.query), { ...requestInit(method, options), signal });
      const body = await readBounded(response, maximumBytes, this.name);
      if (!response.ok) throw remoteError(response, body, this.name, path);
      return body;
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

/** What an answer may weigh, for the deadline: JSON answers are small, whatever their limit. */
function expectedBytes(maximumBytes: number): number {
  return maximumBytes === MAXIMUM_JSON_BYTES ? 0 : maximumBytes;
}

function requestInit(method: Method, options: RequestOptions): RequestInit {
  const headers: Record<string, string> = { accept: "application/json, application/octet-stream" };
  if (options.token !== undefined) headers.authorization = `Bearer ${options.token}`;
  // A redirect would send the session token to a party that nobody named.
  const init = { method, headers, redirect: "error" as const };
  if (options.json !== undefined) {
    headers["content-type"] = "application/json";
    return { ...init, body: JSON.stringify(options.json) };
  }
  if (options.pieces !== undefined) {
    headers["content-type"] = "application/octet-stream";
    return { ...init, body: streamOf(options.pieces), duplex: "half" } as RequestInit;
  }
  return init;
}

/** A body that hands over one piece at a time: nothing is joined, so nothing is held twice. */
function streamOf(pieces: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  const waiting = pieces[Symbol.iterator]();
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = waiting.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
  });
}

async function readBounded(response: Response, maximumBytes: number, party: string): Promise<Uint8Array> {
  const tooLarge = () =>
    new TallystickError(`${party} sent a larger answer than the protocol allows`, {
      code: "BAD_RESPONSE",
      party,
      check: "size of the answer",
      expected: `at most ${maximumBytes} bytes`,
    });
  const announcedBytes = Number(response.headers.get("content-length") ?? "0");
  if (announcedBytes > maximumBytes) {
    await response.body?.cancel();
    throw tooLarge();
  }
  if (response.body === null) return new Uint8Array(0);
  // The announced length saves a copy; the bytes that really come are what counts.
  let joined = new Uint8Array(announcedBytes > 0 ? announcedBytes : 4096);
  let filled = 0;
  const reader = response.body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const piece = next.value;
    if (filled + piece.length > maximumBytes) {
      await reader.cancel();
      throw tooLarge();
    }
    if (filled + piece.length > joined.length) {
      const grown = new Uint8Array(Math.max(filled + piece.length, 2 * joined.length));
      grown.set(joined.subarray(0, filled));
      joined = grown;
    }
    joined.set(piece, filled);
    filled += piece.length;
  }
  return filled === joined.length ? joined : joined.slice(0, filled);
}

function parseJson(bytes: Uint8Array, party: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new TallystickError(`${party} answered with something else than JSON`, {
      code: "BAD_RESPONSE",
      party,
      check: "JSON",
      cause,
    });
  }
}

/** The error a party answered with, under its own code. Its words are quoted; who is meant is ours to say. */
function remoteError(response: Response, body: Uint8Array, party: string, path: string): TallystickError {
  const status = response.status;
  // Behind a proxy an error may be a page of HTML: then the status alone speaks.
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
  return new TallystickError(`${party} refused: ${answer.message}`, {
    code: status === 429 ? "RATE_LIMITED" : REMOTE_CODES.has(answer.code) ? (answer.code as ErrorCode) : "BAD_RESPONSE",
    party,
    ...(answer.check === undefined ? {} : { check: answer.check }),
    ...(answer.expected === undefined ? {} : { expected: answer.expected }),
    ...(answer.received === undefined ? {} : { received: answer.received }),
    ...(answer.hint === undefined ? {} : { hint: answer.hint }),
    ...(answer.details === undefined ? {} : { details: answer.details }),
    retryable: answer.retryable ?? later,
    ...retryAfter(response, answer.retryAfterSeconds),
  });
}

function retryAfter(response: Response, fromBody: number | undefined): { retryAfterSeconds?: number } {
  const header = Number(response.headers.get("retry-after") ?? Number.NaN);
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
  const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
  return new TallystickError(`${party} cannot be reached`, {
    code: "UNREACHABLE",
    party,
    check: path,
    received: reason.slice(0, 256),
    retryable: true,
    hint: "check that it is up and reachable, then run the command again",
    cause,
  });
}
