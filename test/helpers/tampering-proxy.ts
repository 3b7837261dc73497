/**
 * A proxy in front of a daemon that changes answers on chosen routes, so that the daemon appears to lie.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface TamperingProxy {
  readonly url: string;
  /** Answers that were changed. */
  readonly changed: number;
  stop(): Promise<void>;
}

/** @param tamper takes the path and the answer's JSON; returns what is sent instead, or undefined to leave it */
export async function startTamperingProxy(
  target: string,
  tamper: (path: string, answer: Record<string, unknown>) => Record<string, unknown> | undefined,
): Promise<TamperingProxy> {
  let changed = 0;
  const server = createServer(async (request, response) => {
    const answer = await fetch(`${target}${request.url}`, {
      method: request.method ?? "GET",
      headers: forwarded(request),
      ...(request.method === "GET" ? {} : { body: await bodyOf(request) }),
    });
    let text = await answer.text();
    const tampered = answer.ok && text.startsWith("{") ? tamper(request.url ?? "", JSON.parse(text)) : undefined;
    if (tampered !== undefined) {
      changed += 1;
      text = JSON.stringify(tampered);
    }
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "application/json" });
    response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get changed() {
      return changed;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function forwarded(request: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of ["authorization", "content-type"]) {
    const value = request.headers[name];
    if (typeof value === "string") headers[name] = value;
  }
  return headers;
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return new Uint8Array(Buffer.concat(pieces));
}
