/**
 * Downloads over connections that read a body into the memory where it belongs. The parser of node:http copies each
 * piece of a body into new memory, from which it is copied once more; those copies, and collecting that memory, took a
 * sixth of the processor time of a restore.
 *
 * Only what a provider sends is understood: HTTP/1.1 with the length of the body announced (RFC 9112, section 6.2).
 * Whatever else somebody between may make of it, such as a chunked body, is told by `UnusualAnswerError`, and the
 * caller asks again through node:http.
 */
import { validateHeaderValue } from "node:http";
import { connect as connectTcp, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { BodyCollector } from "../../http/bounded-body.ts";
import type { TransportAnswer, TransportRequest } from "../../http/transport.ts";

/** The limit of node:http. */
const MAXIMUM_HEAD_BYTES = 16_384;
/** Pieces of a body that does not fit the memory set aside for it. */
const PIECE_BYTES = 65_536;
const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: |$)/;
/** Without a body, whatever is announced. */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 304]);

/** An answer that is left to node:http. */
export class UnusualAnswerError extends Error {}

/** A kept connection was found closed before anything of the answer came. */
export class StaleConnectionError extends Error {}

/** Connections of one process, by origin; they are kept open. */
export class ObjectConnections {
  readonly #idle = new Map<string, ObjectConnection[]>();

  /**
   * Sends a GET request.
   * @throws UnusualAnswerError, StaleConnectionError; TallystickError BAD_RESPONSE for a longer answer; whatever the
   *   connection fails with
   */
  async get(request: TransportRequest): Promise<TransportAnswer> {
    const url = new URL(request.url);
    const idle = this.#idle.get(url.origin) ?? [];
    this.#idle.set(url.origin, idle);
    const connection = idle.pop() ?? new ObjectConnection(url);
    const answer = await connection.get(url, request);
    connection.whenIdle(
      () => idle.push(connection),
      () => {
        const position = idle.indexOf(connection);
        if (position >= 0) idle.splice(position, 1);
      },
    );
    return answer;
  }
}

interface Head {
  readonly status: number;
  readonly lengthBytes: number;
  readonly retryAfter: string | undefined;
  readonly isKept: boolean;
}

/** A request under way. */
interface Exchange {
  readonly request: TransportRequest;
  readonly resolve: (answer: TransportAnswer) => void;
  readonly reject: (error: unknown) => void;
  head?: Head;
  body?: BodyCollector;
}

/** One request after the other. */
class ObjectConnection {
  readonly #socket: Socket;
  readonly #head = Buffer.allocUnsafeSlow(MAXIMUM_HEAD_BYTES);
  #headBytes = 0;
  #exchange: Exchange | undefined;
  #isReused = false;
  #isOpen = true;
  #onClose: () => void = () => undefined;

  constructor({ protocol, hostname, port }: URL) {
    // An address of IPv6 is in brackets in a URL only.
    const host = hostname.replace(/^\[(.*)\]$/, "$1");
    const onread: OnReadOpts = { buffer: () => this.#memory(), callback: (bytes, memory) => this.#take(bytes, memory) };
    const secure = {
      host,
      port: Number(port || 443),
      servername: serverName(host),
      ALPNProtocols: ["http/1.1"],
      onread,
    };
    this.#socket = protocol === "https:" ? connectTls(secure) : connectTcp({ host, port: Number(port || 80), onread });
    this.#socket.setNoDelay(true);
    this.#socket.on("error", (error) => this.#fail(error));
    this.#socket.on("end", () => this.#socket.destroy());
    this.#socket.on("close", () => {
      this.#isOpen = false;
      this.#fail(new Error("the connection was closed in the middle of the answer"));
      this.#onClose();
    });
  }

  get(url: URL, request: TransportRequest): Promise<TransportAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<TransportAnswer>();
    const { signal, headers } = request;
    const abort = () => this.#fail(signal.reason);
    if (signal.aborted) {
      this.#socket.destroy();
      throw signal.reason;
    }
    signal.addEventListener("abort", abort, { once: true });
    this.#exchange = { request, resolve, reject };
    this.#socket.ref();
    const lines = Object.entries(headers).map(([name, value]) => {
      validateHeaderValue(name, value);
      return `${name}: ${value}\r\n`;
    });
    this.#socket.write(
      `GET ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\n${lines.join("")}\r\n`,
      "latin1",
    );
    return promise.finally(() => signal.removeEventListener("abort", abort));
  }

  /** @param onClosed called once when a connection that was given to `keep` cannot be used any more */
  whenIdle(keep: () => void, onClosed: () => void): void {
    if (!this.#isOpen || this.#socket.destroyed) return;
    this.#isReused = true;
    this.#onClose = onClosed;
    // A connection keeps the process alive only while something is expected of it.
    this.#socket.unref();
    keep();
  }

  /**
   * Memory for the next read, asked for after each. It is that of the body until the body is complete, so nobody else
   * has it yet.
   */
  #memory(): Uint8Array {
    const { body } = this.#exchange ?? {};
    if (body === undefined) return this.#head.subarray(this.#headBytes);
    return body.room() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
  }

  /** @returns false to read no more */
  #take(lengthBytes: number, memory: Uint8Array): boolean {
    const { head, body, request } = this.#exchange ?? {};
    try {
      if (request === undefined) throw new Error("it sends what nobody asked for");
      if (head !== undefined && body !== undefined) this.#add(head, body, memory.subarray(0, lengthBytes));
      else this.#addToHead(lengthBytes, request);
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #addToHead(lengthBytes: number, { maximumBytes, party, allocate }: TransportRequest): void {
    this.#headBytes += lengthBytes;
    const received = this.#head.subarray(0, this.#headBytes);
    const end = received.indexOf("\r\n\r\n");
    if (end < 0) {
      if (this.#headBytes === MAXIMUM_HEAD_BYTES) throw new UnusualAnswerError("its head is too long");
      return;
    }
    const head = parseHead(received.toString("latin1", 0, end));
    const body = new BodyCollector(
      head.lengthBytes,
      maximumBytes,
      party,
      head.status === 200 ? allocate?.() : undefined,
    );
    body.requireAnnounced();
    Object.assign(this.#exchange ?? {}, { head, body });
    this.#headBytes = 0;
    this.#add(head, body, received.subarray(end + 4));
  }

  #add(head: Head, body: BodyCollector, piece: Uint8Array): void {
    body.add(piece);
    if (body.filledBytes < head.lengthBytes) return;
    if (body.filledBytes > head.lengthBytes) throw new Error("it sends more than it has announced");
    const { resolve } = this.#exchange ?? {};
    this.#exchange = undefined;
    if (!head.isKept) this.#socket.destroy();
    resolve?.({ status: head.status, retryAfter: head.retryAfter, body: body.finish() });
  }

  #fail(error: unknown): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#socket.destroy();
    const isStale = this.#isReused && exchange?.head === undefined && this.#headBytes === 0 && isConnectionError(error);
    exchange?.reject(isStale ? new StaleConnectionError("closed", { cause: error }) : error);
  }
}

/** Not of a deadline, and not of an answer that is not understood. */
function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof UnusualAnswerError) return false;
  return !("code" in error) || error.code === "ECONNRESET" || error.code === "EPIPE";
}

/** No name is told to a server that is addressed by number (RFC 6066, section 3). */
function serverName(host: string): string {
  return /^[\d.]+$|:/.test(host) ? "" : host;
}

/** @throws UnusualAnswerError */
function parseHead(text: string): Head {
  const [statusLine = "", ...lines] = text.split("\r\n");
  const status = Number(STATUS_LINE.exec(statusLine)?.[1] ?? 0);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value = ""] = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === undefined) throw new UnusualAnswerError("a line of its head is no field");
    const key = name.toLowerCase();
    if (key === "content-length" && headers.has(key)) throw new UnusualAnswerError("its length is told twice");
    headers.set(key, value);
  }
  const length = headers.get("content-length") ?? "";
  const isRedirect = status >= 300 && status < 400;
  const isPlain = status > 0 && !WITHOUT_BODY.has(status) && !isRedirect && !headers.has("transfer-encoding");
  if (!isPlain || !/^\d{1,15}$/.test(length)) throw new UnusualAnswerError("it has no body of an announced length");
  const isKept = !/\bclose\b/i.test(headers.get("connection") ?? "");
  return { status, lengthBytes: Number(length), retryAfter: headers.get("retry-after"), isKept };
}
