import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import * as Type from "@sinclair/typebox/type";
import { expect } from "chai";
import { nodeTransport } from "../../offchain/agent/node/http-transport.ts";
import { EXIT, exitCodeOf } from "../../offchain/cli/exit-codes.ts";
import { ERROR_CODES } from "../../offchain/core/error-codes.ts";
import { HttpParty } from "../../offchain/http/client.ts";
import { fetchTransport } from "../../offchain/http/transport.ts";
import { rejection } from "../helpers/rejection.ts";

const Pong = Type.Object({ pong: Type.Integer() });

for (const [platform, transport] of [
  ["fetch", fetchTransport()],
  ["Node", nodeTransport],
] as const)
  describe(`http: what the agent accepts from other parties, by the transport of ${platform}`, () => {
    let server: Server;
    let party: HttpParty;
    let url: string;
    let answer: (request: IncomingMessage, response: ServerResponse) => void;
    let calls: number;

    before(async () => {
      server = createServer((request, response) => {
        calls += 1;
        answer(request, response);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      party = new HttpParty("provider", url, { transport });
    });
    beforeEach(() => {
      calls = 0;
    });
    after(() => {
      server.closeAllConnections();
      server.close();
    });

    const json = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      answer = (_request, response) => {
        response.writeHead(status, { "content-type": "application/json", ...headers });
        response.end(typeof body === "string" ? body : JSON.stringify(body));
      };
    };

    it("returns an answer that fits the schema", async () => {
      json(200, { pong: 7, later: "fields may be added" });
      expect((await party.json("GET", "/ping", Pong)).pong).to.equal(7);
    });

    it("names no password that an address carries", async () => {
      const secret = new HttpParty("node", "http://me:s3cr3t@127.0.0.1:1", { transport });
      const error = await rejection(secret.json("GET", "/ping", Pong, { retries: 0 }));
      expect(error.code).to.equal("UNREACHABLE");
      expect(JSON.stringify(error)).not.to.include("s3cr3t");
      expect(error.party).to.equal("node http://127.0.0.1:1");
    });

    it("sends query, token, JSON and binary pieces", async () => {
      let seen = "";
      answer = (request, response) => {
        const parts: Buffer[] = [];
        request.on("data", (part: Buffer) => parts.push(part));
        request.on("end", () => {
          seen = `${request.method} ${request.url} ${request.headers.authorization} ${Buffer.concat(parts).toString()}`;
          response.end('{"pong":1}');
        });
      };
      await party.json("POST", "/a", Pong, { query: { offset: 3, none: undefined }, token: "t", json: { x: 1 } });
      expect(seen).to.equal('POST /a?offset=3 Bearer t {"x":1}');
      await party.json("PUT", "/b", Pong, { pieces: [new Uint8Array([97, 98]), new Uint8Array([99])] });
      expect(seen).to.equal("PUT /b undefined abc");
    });

    for (const [what, body] of [
      ["of another shape", { pong: "seven" }],
      ["that is not JSON", "pong"],
      ["that is not UTF-8", Buffer.from([0x22, 0xff, 0x22]).toString("latin1")],
    ] as const) {
      it(`refuses an answer ${what} and names the party`, async () => {
        json(200, body);
        const error = await rejection(party.json("GET", "/ping", Pong));
        expect(error.code).to.equal("BAD_RESPONSE");
        expect(error.party).to.equal(`provider ${url}`);
        expect(calls).to.equal(1);
      });
    }

    it("refuses an answer above the size limit, announced or not", async () => {
      json(200, "x".repeat(101), { "content-length": "101" });
      expect((await rejection(party.bytes("/big", 100))).check).to.equal("size of the answer");
      answer = (_request, response) => {
        for (let n = 0; n < 11; n += 1) response.write("0123456789");
        response.end();
      };
      expect((await rejection(party.bytes("/big", 100))).check).to.equal("size of the answer");
      expect((await party.bytes("/big", 110)).length).to.equal(110);
    });

    for (const [what, announced] of [
      ["announced", { "content-length": "1000000" }],
      ["not announced", {}],
    ] as const) {
      it(`hangs up on an answer above the size limit that was ${what}`, async () => {
        const hungUp = Promise.withResolvers<void>();
        answer = (_request, response) => {
          response.on("close", () => hungUp.resolve());
          response.writeHead(200, announced);
          // More would come, if somebody read it.
          response.write("x".repeat(101));
        };
        expect((await rejection(party.bytes("/endless", 100))).check).to.equal("size of the answer");
        await hungUp.promise;
      }).timeout(5000);
    }

    it("passes on the code of an error answer but names the party itself", async () => {
      json(404, { error: { code: "NOT_FOUND", message: "no such chunk", party: "you", check: "chunk id" } });
      const error = await rejection(party.json("GET", "/ping", Pong));
      expect(error).to.include({ code: "NOT_FOUND", party: `provider ${url}`, check: "chunk id", retryable: false });
      expect(calls).to.equal(1);
    });

    it("attributes a full disk or a lost object to the party that reports it, never to this machine", async () => {
      json(410, { error: { code: "OBJECT_LOST", message: "the provider has lost or damaged this object" } });
      expect(await rejection(party.json("GET", "/ping", Pong))).to.include({ code: "OBJECT_LOST", retryable: false });
      json(503, { error: { code: "STORAGE_UNAVAILABLE", message: "its disk fails", retryable: false } });
      const unavailable = await rejection(party.json("GET", "/ping", Pong));
      expect(unavailable).to.include({ code: "STORAGE_UNAVAILABLE", party: `provider ${url}` });
      for (const code of ["DISK_FULL", "DISK_FAILED"]) {
        json(500, { error: { code, message: "no space left", hint: "free some space" } });
        expect((await rejection(party.json("GET", "/ping", Pong))).code).to.equal("PARTY_FAILED");
      }
    });

    it("reads an unknown error code as an answer outside the protocol", async () => {
      for (const code of ["SURPRISE", "toString", "__proto__"]) {
        json(400, { error: { code, message: "no" } });
        expect((await rejection(party.json("GET", "/ping", Pong))).code).to.equal("BAD_RESPONSE");
      }
    });

    it("does not report faults of the other machine as faults of this one", async () => {
      const entries: [string, { status: number; concernsReporter: boolean }][] = Object.entries(ERROR_CODES);
      for (const [code, { status }] of entries.filter(([, entry]) => entry.concernsReporter)) {
        json(status, { error: { code, message: "for the operator", hint: "free some space", retryable: false } });
        const error = await rejection(party.json("GET", "/ping", Pong));
        expect(error).to.include({ code: "PARTY_FAILED", party: `provider ${url}`, received: code, retryable: false });
        expect(error.hint).to.not.contain("free some space");
        expect(exitCodeOf(error.code)).to.equal(EXIT.network);
      }
    });

    it("retries what may succeed later, and only that", async () => {
      answer = (_request, response) => {
        if (calls < 3) {
          response.writeHead(503);
          response.end("<html>");
        } else response.end('{"pong":3}');
      };
      expect((await party.json("GET", "/ping", Pong)).pong).to.equal(3);
      calls = 0;
      json(400, { error: { code: "INVALID_INPUT", message: "no" } });
      await rejection(party.json("GET", "/ping", Pong));
      expect(calls).to.equal(1);
    });

    it("hands a used-up budget to the caller with the time to wait", async () => {
      json(429, { error: { code: "RATE_LIMITED", message: "later", retryable: true } }, { "retry-after": "12" });
      const error = await rejection(party.json("GET", "/ping", Pong));
      expect(error).to.include({ code: "RATE_LIMITED", retryAfterSeconds: 12 });
      expect(calls).to.equal(1);
    });

    it("gives up after the deadline", async () => {
      answer = () => undefined;
      const error = await rejection(party.json("POST", "/slow", Pong, { json: {}, deadlineSeconds: 0.1, retries: 0 }));
      expect(error).to.include({ code: "TIMED_OUT", party: `provider ${url}`, retryable: true });
    });

    it("uses a connection again that the other side has closed", async () => {
      json(200, { pong: 1 });
      await party.json("GET", "/ping", Pong);
      const sockets = new Set<Socket>();
      answer = (request, response) => {
        sockets.add(request.socket);
        response.end('{"pong":2}');
        // Closed without notice, while the client keeps the connection.
        setTimeout(() => request.socket.resetAndDestroy(), 20);
      };
      for (let n = 0; n < 3; n += 1) {
        expect((await party.json("GET", "/ping", Pong, { retries: 0 })).pong).to.equal(2);
        await pause(40);
      }
      expect(sockets.size).to.be.greaterThan(1);
    });

    it("reports an answer that is cut in the middle", async () => {
      answer = (_request, response) => {
        response.writeHead(200, { "content-length": "100" });
        response.write("x".repeat(50), () => response.socket?.destroy());
      };
      expect(await rejection(party.bytes("/cut", 1000, { retries: 0 }))).to.include({
        code: "UNREACHABLE",
        retryable: true,
      });
    });

    it("takes an answer that comes before the body has been sent", async () => {
      answer = (_request, response) => {
        response.writeHead(413, { "content-type": "application/json", connection: "close" });
        response.end(JSON.stringify({ error: { code: "INVALID_INPUT", message: "too much" } }));
      };
      const pieces = Array.from({ length: 64 }, () => new Uint8Array(1024 * 1024));
      expect((await rejection(party.json("POST", "/big", Pong, { pieces }))).code).to.equal("INVALID_INPUT");
    });

    it("does not follow redirects", async () => {
      answer = (_request, response) => {
        response.writeHead(307, { location: "/elsewhere" });
        response.end();
      };
      expect((await rejection(party.json("GET", "/ping", Pong, { retries: 0 }))).code).to.equal("UNREACHABLE");
    });

    it("reports that nothing listens at the address", async () => {
      const nobody = new HttpParty("node", "http://127.0.0.1:1", { transport });
      const error = await rejection(nobody.json("GET", "/ping", Pong, { retries: 0 }));
      expect(error).to.include({ code: "UNREACHABLE", party: "node http://127.0.0.1:1", retryable: true });
    });

    it("says when a party has no address that could be asked", async () => {
      for (const address of ["", "ftp://127.0.0.1/", "http://", "javascript:alert(1)"]) {
        const error = await rejection(new HttpParty("node", address, { transport }).json("GET", "/ping", Pong));
        expect(error, address).to.include({ code: "UNREACHABLE", check: "registered address", retryable: false });
      }
    });

    it("stops at once when the caller aborts", async () => {
      answer = () => undefined;
      const controller = new AbortController();
      setTimeout(() => controller.abort(new Error("enough")), 20);
      let seen: unknown;
      await party.json("GET", "/slow", Pong, { signal: controller.signal }).catch((error: unknown) => {
        seen = error;
      });
      expect((seen as Error).message).to.equal("enough");
    });
  });
