/** A proxy in front of a provider: what is asked is seen, something may happen first, or the answer is another. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface ForwardingProxy {
  readonly url: string;
  /** Method and path of every request. */
  readonly asked: string[];
  /** Awaited before a request is passed on. @returns whether it is answered as if the object were lost instead */
  before: (method: string, path: string) => Promise<boolean>;
  stop(): void;
}

export async function startForwardingProxy(target: string): Promise<ForwardingProxy> {
  const server = createServer(async (request, response) => {
    const { method = "GET", url = "" } = request;
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    proxy.asked.push(`${method} ${url}`);
    if (await proxy.before(method, url)) {
      response.writeHead(410, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { code: "OBJECT_LOST", message: "it is lost" } }));
      return;
    }
    const { authorization, "content-type": type } = request.headers;
    const answer = await fetch(`${target}${url}`, {
      method,
      headers: {
        ...(authorization === undefined ? {} : { authorization }),
        ...(type === undefined ? {} : { "content-type": type }),
      },
      ...(method === "GET" ? {} : { body: new Uint8Array(Buffer.concat(pieces)) }),
    });
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "application/json" });
    response.end(new Uint8Array(await answer.arrayBuffer()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: ForwardingProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    before: async () => false,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return proxy;
}
