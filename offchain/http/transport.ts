/**
 * How one request is sent and its answer read: the seam between the HTTP client and its platform. An answer comes as a
 * whole, bounded array, because every answer of the protocols is one: there are no streams to give up halfway.
 */
import { readBounded } from "./bounded-body.ts";

export interface TransportRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Text, or pieces that are sent one after the other. */
  readonly body?: string | readonly Uint8Array[];
  readonly signal: AbortSignal;
  /** A longer answer is refused while it arrives. */
  readonly maximumBytes: number;
  /** Whose answer it is, for errors. */
  readonly party: string;
  /**
   * Memory for the body of an answer of status 200, asked for when the answer begins. A transport may put the body
   * elsewhere. Default: memory of its own.
   */
  readonly allocate?: (() => Uint8Array) | undefined;
}

export interface TransportAnswer {
  readonly status: number;
  /** The value of the `retry-after` header. */
  readonly retryAfter: string | undefined;
  readonly body: Uint8Array;
}

/**
 * Sends a request and reads the whole answer. Redirects are not followed: they would send the session token to a party
 * that nobody named.
 * @throws TallystickError BAD_RESPONSE for a longer answer; whatever the connection fails with
 */
export type Transport = (request: TransportRequest) => Promise<TransportAnswer>;

export interface FetchTransportOptions {
  /** Default: the global one, looked up at each request, since a page or a proxy setting may replace it. */
  readonly fetch?: typeof globalThis.fetch;
  /**
   * Sends a body of several pieces as one Blob in place of a stream. Browsers need it: they stream request bodies
   * over HTTP/2 only, and not all of them do.
   */
  readonly joinsBodies?: boolean;
}

/** A transport for every platform that has `fetch`. */
export function fetchTransport({ fetch, joinsBodies = false }: FetchTransportOptions = {}): Transport {
  return async ({ method, url, headers, body, signal, maximumBytes, party, allocate }) => {
    const send = fetch ?? globalThis.fetch.bind(globalThis);
    const init = { method, headers, signal, redirect: "error" as const };
    const response = await send(url, body === undefined ? init : { ...init, ...bodyOf(body, joinsBodies) });
    const retryAfter = response.headers.get("retry-after") ?? undefined;
    const memory = response.status === 200 ? allocate?.() : undefined;
    return { status: response.status, retryAfter, body: await readBounded(response, maximumBytes, party, memory) };
  };
}

function bodyOf(body: string | readonly Uint8Array[], joinsBodies: boolean): RequestInit {
  if (typeof body === "string") return { body };
  if (joinsBodies) return { body: new Blob([...body] as Uint8Array<ArrayBuffer>[]) };
  return { body: streamOf(body), duplex: "half" } as RequestInit;
}

/** A body that yields one piece at a time. The pieces are not joined, so that memory holds them once. */
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
