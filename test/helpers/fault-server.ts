/**
 * An HTTP server on loopback that misbehaves as it is told, in front of answers that the test gives. It stands in for a
 * service that fails; it is no proof that a service is spoken to correctly.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FaultRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Uint8Array;
}

export interface FaultAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export type Fault =
  /** The answer never comes. */
  | { readonly kind: "silent" }
  /** The right answer, after something else has happened. */
  | { readonly kind: "late"; readonly until: Promise<unknown> }
  /** The connection ends before an answer. */
  | { readonly kind: "reset" }
  /** The connection ends after so many bytes of the body. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Another answer in place of the right one. */
  | { readonly kind: "answer"; readonly answer: FaultAnswer }
  /** The right answer with one bit of its body changed. */
  | { readonly kind: "flipped" };

export class FaultServer {
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #answer: (request: FaultRequest) => FaultAnswer;
  /** What was asked, in order. */
  readonly requests: FaultRequest[] = [];
  /** Decides about each request; no fault unless set. `count` is the number of requests before it. */
  fault: (request: FaultRequest, count: number) => Fault | undefined = () => undefined;

  constructor(answer: (request: FaultRequest) => FaultAnswer) {
    this.#answer = answer;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const { method = "", url: target = "", headers } = request;
    const told: FaultRequest = { method, target, headers, body: Buffer.concat(pieces) };
    const fault = this.fault(told, this.requests.length);
    this.requests.push(told);
    if (fault?.kind === "silent") return;
    if (fault?.kind === "late") await fault.until;
    if (fault?.kind === "reset") return void request.socket.destroy();
    const {
      status = 200,
      headers: extra = {},
      body = "",
    } = fault?.kind === "answer" ? fault.answer : this.#answer(told);
    const bytes = Buffer.from(body as Uint8Array);
    if (fault?.kind === "flipped") bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    response.writeHead(status, { "content-length": String(bytes.length), ...extra });
    if (method === "HEAD") return void response.end();
    if (fault?.kind !== "cut") return void response.end(bytes);
    response.write(bytes.subarray(0, fault.afterBytes), () => request.socket.destroy());
  }
}
