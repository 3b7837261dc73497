/**
 * The body in which the agent uploads chunks is, byte for byte, the one of the vectors that the provider is held to.
 */

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { AgentAccount } from "../../../offchain/agent/account.ts";
import { CspClient } from "../../../offchain/agent/providers/csp-client.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { SessionTokens } from "../../../offchain/http/sessions.ts";
import vectors from "../../vectors/provider.json" with { type: "json" };

describe("chunk upload", () => {
  it("sends the documented frames", async () => {
    const { chunks, body } = vectors.chunkFrames;
    const ids = chunks.map(({ id }) => id);
    const received: { type: string | undefined; authorization: string | undefined; body: Buffer }[] = [];
    const token = "A".repeat(43);
    const server = createServer(async (request, response) => {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece as Buffer);
      response.setHeader("content-type", "application/json");
      if (request.url === "/v1/sessions") {
        response.end(JSON.stringify({ token, expiresAt: Math.floor(Date.now() / 1000) + 3000 }));
        return;
      }
      const { "content-type": type, authorization } = request.headers;
      received.push({ type, authorization, body: Buffer.concat(pieces) });
      response.end(JSON.stringify({ stored: ids }));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      const { port } = server.address() as AddressInfo;
      const sessions = new SessionTokens(new AgentAccount(new Uint8Array(32).fill(1)), {
        chainId: 31_337,
        contracts: { keyLedger: `0x${"11".repeat(20)}`, storageEscrow: `0x${"22".repeat(20)}` },
      });
      const client = new CspClient(`http://127.0.0.1:${port}`, `0x${"c5".repeat(20)}`, sessions);
      const objects = chunks.map(({ id, hex }) => ({ id, sealed: fromHex(hex) }));
      expect(await client.storeChunks(objects)).to.deep.equal(ids);
      const [upload] = received;
      expect(upload?.type).to.equal("application/vnd.tallystick.chunk-frames");
      expect(upload?.authorization).to.equal(`Bearer ${token}`);
      expect(toHex(upload?.body ?? new Uint8Array())).to.equal(body);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
