/**
 * A loopback HTTP proxy for tests that change, lose or count what passes between an agent and a daemon. Bodies are held
 * whole.
 */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

export interface ProxiedRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface ProxiedAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: Uint8Array;
}

/** Breaks the connection without an answer. */
export const DROP = "drop";
/** Keeps the client waiting until the proxy stops. */
export const HANG = "hang";

/** What becomes of a request: passed on when undefined. */
export type Intercept = (
  request: ProxiedRequest,
) => Promise<ProxiedAnswer | typeof DROP | typeof HANG | undefined> | undefined;
/** What becomes of an answer: passed on when undefined. */
export type Alter = (
  request: ProxiedRequest,
  answer: ProxiedAnswer,
) => Promise<ProxiedAnswer | typeof DROP | undefined> | undefined;

export class HttpProxy {
  /** Looks at each request before the daemon does. */
  intercept: Intercept = () => undefined;
  /** Looks at each answer before the client does. */
  alter: Alter = () => undefined;
  readonly target: string;
  readonly #server: Server;

  private constructor(target: string) {
    this.target = target;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  /** @param target URL of the daemon */
  static async start(target: string): Promise<HttpProxy> {
    const proxy = new HttpProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return `http://127.0.0.1:${address.port}`;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    const request: ProxiedRequest = {
      method: incoming.method ?? "GET",
      path: incoming.url ?? "/",
      headers: passedOn(incoming.headers),
      body: new Uint8Array(Buffer.concat(pieces)),
    };
    const intercepted = await this.intercept(request);
    if (intercepted === HANG) return;
    const answer = intercepted ?? (await this.#ask(request));
    const altered = answer === DROP ? DROP : ((await this.alter(request, answer)) ?? answer);
    if (altered === DROP) {
      response.destroy();
      return;
    }
    response.writeHead(altered.status, { "content-type": altered.type, "content-length": altered.body.length });
    response.end(altered.body);
  }

  /** A daemon that is down looks to the client as it would without the proxy. */
  async #ask({ method, path, headers, body }: ProxiedRequest): Promise<ProxiedAnswer | typeof DROP> {
    try {
      const bytes = body.length === 0 ? {} : { body: body as BodyInit };
      const answer = await fetch(`${this.target}${path}`, { method, headers, ...bytes });
      return {
        status: answer.status,
        type: answer.headers.get("content-type") ?? "application/json",
        body: new Uint8Array(await answer.arrayBuffer()),
      };
    } catch (error) {
      if (error instanceof TypeError) return DROP;
      throw error;
    }
  }
}

/** An answer with a JSON body. */
export function jsonAnswer(value: unknown, status = 200): ProxiedAnswer {
  return { status, type: "application/json", body: new TextEncoder().encode(JSON.stringify(value)) };
}

/** The body of a request or an answer, parsed. */
export function jsonOf({ body }: { readonly body: Uint8Array }): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>;
}

function passedOn(headers: IncomingMessage["headers"]): Record<string, string> {
  const names = ["authorization", "content-type", "accept"];
  return Object.fromEntries(
    names.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]])),
  );
}
