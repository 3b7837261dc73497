import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import * as Type from "@sinclair/typebox/type";
import { expect } from "chai";
import type { TallystickError } from "../../../offchain/core/errors.ts";
import { askPeer } from "../../../offchain/nbm/generations/peer.ts";

const Schema = Type.Object({ x: Type.Integer() });

describe("requests to fellow members", () => {
  async function ask(answer: RequestListener): Promise<{ value?: unknown; error?: TallystickError }> {
    const server = createServer(answer);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    try {
      return { value: await askPeer(url, "/v1/x", Schema, "member 3") };
    } catch (error) {
      return { error: error as TallystickError };
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }

  it("give the answer when it fits the schema, and nothing when the peer has nothing yet", async () => {
    expect((await ask((request, response) => response.end(`{"x":1,"path":"${request.url}"}`))).value).to.deep.equal({
      x: 1,
      path: "/v1/x",
    });
    expect(await ask((_, response) => response.writeHead(404).end("{}"))).to.deep.equal({ value: undefined });
  });

  it("refuse answers outside the protocol, naming the peer", async () => {
    const cases: [RequestListener, string, string][] = [
      [(_, response) => response.end('{"x":"1"}'), "BAD_RESPONSE", "answer schema at /x"],
      [(_, response) => response.end("<html>"), "BAD_RESPONSE", "JSON"],
      [(_, response) => response.writeHead(500).end("{}"), "BAD_RESPONSE", "status"],
      [(_, response) => response.end(`{"x":1,"y":"${"y".repeat(1_100_000)}"}`), "BAD_RESPONSE", "size of the answer"],
    ];
    for (const [answer, code, check] of cases) {
      const { error } = await ask(answer);
      expect(error?.code).to.equal(code);
      expect(error?.check).to.equal(check);
      expect(error?.party).to.equal("member 3");
    }
  });

  it("follow no redirect, so that a peer cannot send the node elsewhere", async () => {
    const { error } = await ask((request, response) => {
      if (request.url === "/v1/x") response.writeHead(302, { location: "/elsewhere" }).end();
      else response.end('{"x":1}');
    });
    expect(error?.code).to.equal("UNREACHABLE");
  });

  it("give up on a peer that hangs up", async () => {
    const { error } = await ask((_, response) => response.destroy());
    expect(error).to.include({ code: "UNREACHABLE", retryable: true });
  });
});
