import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { expect } from "chai";
import { pino } from "pino";
import { InvalidInputError } from "../../offchain/core/errors.ts";
import { acceptStreams, withBody } from "../../offchain/csp/routes/request-body.ts";
import { FailureLog } from "../../offchain/daemon/failure-log.ts";
import { createMetrics } from "../../offchain/daemon/metrics.ts";
import { createServer, type DaemonServer } from "../../offchain/daemon/server.ts";

const MIB = 2 ** 20;
const SLOWEST = { bytes: 1000, seconds: 1 };

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

/** A client that goes on writing whatever is answered. */
class RawClient {
  readonly socket: Socket;
  answer = "";
  readonly closed: Promise<void>;

  constructor(port: number, path: string, bodyBytes: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (part) => {
      this.answer += part.toString();
    });
    this.socket.on("error", () => undefined);
    this.closed = new Promise<void>((resolve) => this.socket.once("close", () => resolve()));
    this.socket.write(
      `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\n` +
        `content-length: ${bodyBytes}\r\n\r\n`,
    );
  }

  get status(): number {
    return Number(this.answer.slice(9, 12));
  }
}

describe("bodies of requests to a provider", () => {
  let server: DaemonServer;
  let port: number;
  let accepted: Socket[];
  beforeEach(async () => {
    const logger = pino({ level: "silent" });
    server = createServer({ logger, metrics: createMetrics("test"), failures: new FailureLog(logger) });
    acceptStreams(server);
    server.post("/count", (request) =>
      withBody(
        request,
        async (body) => {
          let bytes = 0;
          for await (const piece of body) bytes += piece.length;
          return { bytes };
        },
        SLOWEST,
      ),
    );
    server.post("/refused", (request) =>
      withBody(request, async (body) => {
        for await (const _ of body) throw new InvalidInputError("no", { check: "anything" });
      }),
    );
    server.post("/unread", async () => {
      throw new InvalidInputError("no", { check: "anything" });
    });
    server.post("/too-large", async () => {
      throw new InvalidInputError("no", { check: "body size" });
    });
    accepted = [];
    server.server.on("connection", (socket: Socket) => accepted.push(socket));
    await server.listen({ host: "127.0.0.1", port: 0 });
    port = (server.server.address() as AddressInfo).port;
  });
  afterEach(() => server.close());

  it("are given up when nothing arrives any more, and the connection is closed", async () => {
    const client = new RawClient(port, "/count", 10_000);
    client.socket.write(Buffer.alloc(5000));
    await client.closed;
    expect(client.status).to.equal(400);
    expect(client.answer).to.contain('"transfer rate"').and.contain("at least 1000 bytes in 1 seconds");
  });

  it("are given up when they arrive drop by drop, and taken when they arrive slowly", async () => {
    const dripping = new RawClient(port, "/count", 10_000);
    const slow = new RawClient(port, "/count", 5000);
    for (let k = 0; k < 10; k++) {
      dripping.socket.write("x");
      slow.socket.write(Buffer.alloc(500));
      await pause(200);
    }
    await dripping.closed;
    expect(dripping.answer).to.contain('"transfer rate"');
    expect(slow.answer).to.contain('{"bytes":5000}');
    slow.socket.destroy();
  });

  for (const path of ["/refused", "/unread", "/too-large", "/nowhere"]) {
    it(`are read no further than 1 MiB after a refusal, and the client learns of it: ${path}`, async () => {
      const client = new RawClient(port, path, 64 * MIB);
      client.socket.write(Buffer.alloc(64 * MIB));
      const startedAt = performance.now();
      await client.closed;
      expect(performance.now() - startedAt).to.be.below(6000);
      expect(client.status, client.answer).to.be.oneOf([400, 404, 413]);
      expect(client.answer)
        .to.contain('"error"')
        .and.match(/connection: close/i);
      expect(accepted[0]?.bytesRead).to.be.below(2 * MIB);
    });
  }

  it("may be refused while they are sent, and the next request of the client is answered", async () => {
    for (const path of ["/refused", "/unread", "/count"]) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method: "POST",
        headers: { "content-type": "application/octet-stream" },
        body: new Uint8Array(8 * MIB),
      });
      expect(response.status).to.equal(path === "/count" ? 200 : 400);
      await response.text();
    }
  });

  it("leave the connection open when they had arrived", async () => {
    const client = new RawClient(port, "/refused", 5);
    client.socket.write("12345");
    await once(client.socket, "data");
    expect(client.answer)
      .to.contain('"error"')
      .and.not.match(/connection: close/i);
    client.socket.destroy();
  });
});
