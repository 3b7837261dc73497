/**
 * A service that keeps objects and is reached over HTTP: deadlines, bounded retries with jitter, and errors that name
 * the service and the object. Every failure is thrown: no call answers "absent" because a service failed.
 */
import pRetry from "p-retry";
import { redactUrl, redactUrlsIn } from "../../core/encoding/redact-url.ts";
import { TallystickError } from "../../core/errors.ts";
import { UnreadableObjectError } from "./object-store.ts";

/** Deadline of a call without its bytes. */
const DEADLINE_SECONDS = 30;
/** The slowest transfer that does not time out: the deadline of a large object grows accordingly. */
const SLOWEST_BYTES_PER_SECOND = 256 * 1024;
/** Attempts after the first, with 0.2, 0.4, 0.8, … seconds between them, each times a random factor of 1 to 2. */
const RETRIES = 4;
const FIRST_DELAY_MILLISECONDS = 200;
const LONGEST_DELAY_MILLISECONDS = 5000;
/** A service that asks for a longer wait is out of quota; the caller is told instead. */
const LONGEST_RETRY_AFTER_SECONDS = 10;

/** How patient calls are; tests set short times. */
export interface ServicePatience {
  readonly deadlineSeconds?: number;
  readonly retries?: number;
  readonly firstDelayMilliseconds?: number;
  readonly slowestBytesPerSecond?: number;
}

/** What a client library's error means. */
export interface ServiceFailure {
  /** In a few words, without addresses and credentials. */
  readonly reason: string;
  /** Whether the same call may succeed later without any change: then it is made again. */
  readonly passing: boolean;
  /** Whether it is made again all the same, because something in between may be at fault. */
  readonly again?: boolean;
  /** What the service asked for, in a header `Retry-After`. */
  readonly retryAfterSeconds?: number;
  readonly hint?: string;
}

/** The service did not do what was asked, after all attempts that made sense. */
export class StoreServiceError extends TallystickError {
  /** Whether another attempt may help. */
  readonly again: boolean;

  constructor(service: string, what: string, failure: ServiceFailure, cause: unknown) {
    super(`${service}: ${what} failed: ${failure.reason}`, {
      code: "OBJECT_STORE_UNAVAILABLE",
      party: service,
      check: what,
      received: failure.reason,
      retryable: failure.passing,
      hint: failure.hint ?? "check that the service is up and reachable; nothing that was acknowledged is affected",
      ...(failure.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: failure.retryAfterSeconds }),
      cause,
    });
    this.again = failure.passing || failure.again === true;
  }
}

/** The service returned bytes that are not what was stored, at each attempt. */
export class StoredBytesError extends UnreadableObjectError {
  constructor(service: string, id: string, received: string) {
    super(id, { reason: `${service} returned other bytes (${received})` });
  }
}

/** Statuses after which the same request may succeed. */
export function isPassingStatus(status: number): boolean {
  return status === 408 || status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
}

/** Seconds of a header `Retry-After`, in both of its forms. */
export function retryAfterOf(headers: Headers, now = Date.now()): { retryAfterSeconds?: number } {
  const text = headers.get("retry-after")?.trim() ?? "";
  const seconds = /^\d+$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - now) / 1000);
  return Number.isFinite(seconds) && seconds >= 0 ? { retryAfterSeconds: seconds } : {};
}

export class StoreService {
  /** How errors name it, for example `object store http://127.0.0.1:5001`. */
  readonly name: string;
  readonly #explain: (error: unknown) => ServiceFailure | undefined;
  readonly #patience: Required<ServicePatience>;

  /**
   * @param explain what the errors of the client library mean; undefined for one that is the network's
   */
  constructor(url: string, explain: (error: unknown) => ServiceFailure | undefined, patience: ServicePatience = {}) {
    this.name = `object store ${redactUrl(url)}`;
    this.#explain = explain;
    this.#patience = {
      deadlineSeconds: DEADLINE_SECONDS,
      retries: RETRIES,
      firstDelayMilliseconds: FIRST_DELAY_MILLISECONDS,
      slowestBytesPerSecond: SLOWEST_BYTES_PER_SECOND,
      ...patience,
    };
  }

  /**
   * Makes a call, again after failures that may pass.
   * @param what the operation and its object, for example `reading object bafk…`
   * @param movedBytes what the deadline allows for, beside the call itself
   * @param operation must pass the signal on to every request
   * @throws StoreServiceError; StoredBytesError and other errors of the project as the operation threw them, the former
   *   after all attempts
   */
  async call<T>(what: string, movedBytes: number, operation: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return await pRetry(() => this.#once(what, movedBytes, operation), {
      retries: this.#patience.retries,
      minTimeout: this.#patience.firstDelayMilliseconds,
      maxTimeout: LONGEST_DELAY_MILLISECONDS,
      randomize: true,
      shouldRetry: ({ error }) => mayPass(error),
      onFailedAttempt: async ({ error, retriesLeft }) => {
        const seconds = error instanceof StoreServiceError ? (error.retryAfterSeconds ?? 0) : 0;
        if (retriesLeft > 0 && mayPass(error)) await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      },
    });
  }

  /**
   * A stream of answers. The first is waited for with retries; what is longer than the deadline without one after that,
   * or breaks, ends the stream with an error.
   * @throws StoreServiceError
   */
  async *stream<T>(what: string, open: (signal: AbortSignal) => AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    const { items, ended, first } = await this.call(what, 0, async (deadline) => {
      const ended = new AbortController();
      const items = open(ended.signal)[Symbol.asyncIterator]();
      return { items, ended, first: await abortedBy(deadline, ended, () => items.next()) };
    });
    try {
      for (let next = first; next.done !== true; ) {
        yield next.value;
        next = await this.#once(what, 0, (deadline) => abortedBy(deadline, ended, () => items.next()));
      }
    } finally {
      ended.abort();
    }
  }

  async #once<T>(what: string, movedBytes: number, operation: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const seconds = this.#patience.deadlineSeconds + movedBytes / this.#patience.slowestBytesPerSecond;
    const deadline = AbortSignal.timeout(Math.ceil(seconds * 1000));
    try {
      return await operation(deadline);
    } catch (error) {
      if (error instanceof TallystickError) throw error;
      const failure = deadline.aborted
        ? { reason: `no answer in ${Math.round(seconds)} seconds`, passing: true }
        : (this.#explain(error) ?? networkFailure(error));
      throw new StoreServiceError(this.name, what, failure, error);
    }
  }
}

/** Passes a deadline on to requests that outlive it. */
async function abortedBy<T>(deadline: AbortSignal, target: AbortController, work: () => Promise<T>): Promise<T> {
  const abort = () => target.abort(deadline.reason);
  deadline.addEventListener("abort", abort, { once: true });
  try {
    return await work();
  } finally {
    deadline.removeEventListener("abort", abort);
  }
}

/** Wrong bytes are read again as well: a proxy or a link in between may have changed them. */
function mayPass(error: unknown): boolean {
  if (error instanceof StoredBytesError) return true;
  return (
    error instanceof StoreServiceError && error.again && (error.retryAfterSeconds ?? 0) <= LONGEST_RETRY_AFTER_SECONDS
  );
}

/** A connection that was refused, or that broke before or in the middle of an answer. */
function networkFailure(error: unknown): ServiceFailure {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const message = inner instanceof Error ? inner.message : String(inner);
  return { reason: redactUrlsIn(message).slice(0, 256) || "the connection failed", passing: true };
}
