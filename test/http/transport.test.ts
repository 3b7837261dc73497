import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { fetchTransport } from "../../offchain/http/transport.ts";

describe("http: transport by fetch", () => {
  it("joins the pieces of a body where the platform cannot stream", async () => {
    const bodies: unknown[] = [];
    const own: typeof fetch = async (input, init) => {
      bodies.push(init?.body);
      return fetch(input, init);
    };
    let received = "";
    const server = createServer((request, response) => {
      request.on("data", (part: Buffer) => {
        received += part.toString("hex");
      });
      request.on("end", () => response.end("{}"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const { signal } = new AbortController();
    const request = { method: "POST", url, headers: {}, signal, maximumBytes: 10, party: "node" };
    try {
      for (const joinsBodies of [true, false]) {
        const transport = fetchTransport({ fetch: own, joinsBodies });
        await transport({ ...request, body: [Uint8Array.of(1, 2), Uint8Array.of(3)] });
      }
    } finally {
      server.closeAllConnections();
      server.close();
    }
    expect(received).to.equal("010203".repeat(2));
    expect(bodies[0]).to.be.instanceOf(Blob);
    expect(bodies[1]).to.be.instanceOf(ReadableStream);
  });
});
