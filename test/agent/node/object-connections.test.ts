import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { expect } from "chai";
import { nodeTransport } from "../../../offchain/agent/node/http-transport.ts";
import { ObjectConnections, UnusualAnswerError } from "../../../offchain/agent/node/object-connections.ts";
import type { TransportRequest } from "../../../offchain/http/transport.ts";
import { rejection } from "../../helpers/rejection.ts";

const MAXIMUM_BYTES = 1_000_000;

describe("agent: downloads into given memory", () => {
  let server: Server;
  let url: string;
  let requests: string[];
  let sockets: Set<Socket>;
  /** What the server does for the n-th request, counted from 0. */
  let answer: (socket: Socket, position: number) => void;
  let connections: ObjectConnections;

  const serve = async (created: Server, scheme: string) => {
    server = created;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    url = `${scheme}://127.0.0.1:${typeof address === "object" ? address?.port : 0}/v1/chunks/a`;
  };
  const onConnection = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (bytes: Buffer) => {
      requests.push(bytes.toString("latin1"));
      answer(socket, requests.length - 1);
    });
  };
  beforeEach(async () => {
    requests = [];
    sockets = new Set();
    connections = new ObjectConnections();
    await serve(createServer(onConnection), "http");
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  const request = (more: Partial<TransportRequest> = {}): TransportRequest => ({
    method: "GET",
    url,
    headers: { authorization: "Bearer t" },
    signal: new AbortController().signal,
    maximumBytes: MAXIMUM_BYTES,
    party: "provider",
    ...more,
  });
  const body = (length: number) => Buffer.from(Uint8Array.from({ length }, (_, k) => (k * 31 + (k >> 8)) & 0xff));
  const ok = (bytes: Uint8Array, head = "") =>
    Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n${head}\r\n`), bytes]);

  it("puts the body into the memory that is given, however the answer is cut, and keeps the connection", async () => {
    const sent = body(700_001);
    const memory = new Uint8Array(MAXIMUM_BYTES);
    answer = (socket, position) => {
      const bytes = ok(sent);
      const cuts = [1, 17, 40, 45, 5000, 300_000].map((cut) => cut + position);
      let start = 0;
      const next = () => {
        const end = cuts.shift() ?? bytes.length;
        socket.write(bytes.subarray(start, end));
        start = end;
        if (start < bytes.length) setTimeout(next, 3);
      };
      next();
    };
    for (const turn of [0, 1]) {
      memory.fill(0);
      const received = await connections.get(request({ allocate: () => memory }));
      expect(received.status, `turn ${turn}`).to.equal(200);
      expect(received.body.buffer).to.equal(memory.buffer);
      expect(Buffer.compare(received.body, sent)).to.equal(0);
    }
    expect(sockets.size).to.equal(1);
    expect(requests[0]).to.equal(
      `GET /v1/chunks/a HTTP/1.1\r\nhost: ${new URL(url).host}\r\nauthorization: Bearer t\r\n\r\n`,
    );
  });

  it("writes nothing to memory of an answer that is complete", async () => {
    answer = (socket, position) => socket.write(ok(body(position === 0 ? 100 : 90_000)));
    const first = await connections.get(request({ allocate: () => new Uint8Array(4096) }));
    await connections.get(request({ allocate: () => new Uint8Array(MAXIMUM_BYTES) }));
    expect(Buffer.compare(first.body, body(100))).to.equal(0);
    const rest = new Uint8Array(first.body.buffer).subarray(100);
    expect(rest.every((byte) => byte === 0)).to.equal(true);
  });

  it("uses memory of its own for a refusal, and tells what it says", async () => {
    answer = (socket) => socket.write("HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}");
    const given = new Uint8Array(10);
    const { status, retryAfter, body: text } = await connections.get(request({ allocate: () => given }));
    expect([status, retryAfter, Buffer.from(text).toString()]).to.deep.equal([429, "7", "{}"]);
    expect(text.buffer).not.to.equal(given.buffer);
  });

  it("reads a body that is longer than the memory given", async () => {
    answer = (socket) => socket.write(ok(body(200_000)));
    const received = await connections.get(request({ allocate: () => new Uint8Array(1000) }));
    expect(Buffer.compare(received.body, body(200_000))).to.equal(0);
  });

  it("refuses a body that is announced to be longer than allowed", async () => {
    answer = (socket) => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${MAXIMUM_BYTES + 1}\r\n\r\n`);
    const error = await rejection(connections.get(request()));
    expect([error.code, error.check]).to.deep.equal(["BAD_RESPONSE", "size of the answer"]);
  });

  it("fails when more comes than is announced, and when the connection ends early", async () => {
    answer = (socket) => socket.write(Buffer.concat([ok(body(10)), body(5)]));
    await fails(connections.get(request()), /more than it has announced/);
    answer = (socket) => socket.end(ok(body(1000)).subarray(0, 500));
    await fails(connections.get(request()), /closed in the middle/);
  });

  it("ends with the signal", async () => {
    const abort = new AbortController();
    const reason = new Error("no more");
    answer = (socket) => {
      socket.write(ok(body(1000)).subarray(0, 500));
      setTimeout(() => abort.abort(reason), 10);
    };
    await fails(connections.get(request({ signal: abort.signal })), /no more/);
    await fails(connections.get(request({ signal: abort.signal })), /no more/);
    expect(requests.length).to.equal(1);
  });

  it("sends no header that would end the line", async () => {
    await fails(connections.get(request({ headers: { authorization: "a\r\nhost: b" } })), /Invalid character/);
    expect(requests).to.deep.equal([]);
  });

  it("does not use a connection again that the server closes", async () => {
    answer = (socket, position) => socket.write(ok(body(10), position === 0 ? "Connection: close\r\n" : ""));
    await connections.get(request());
    await connections.get(request());
    expect(sockets.size).to.equal(2);
  });

  it("asks again when a kept connection was closed as the request was sent", async () => {
    answer = (socket, position) => (position === 1 ? socket.destroy() : socket.write(ok(body(10))));
    await nodeTransport(request({ allocate: () => new Uint8Array(10) }));
    const second = await nodeTransport(request({ allocate: () => new Uint8Array(10) }));
    expect(Buffer.compare(second.body, body(10))).to.equal(0);
    expect(requests.length).to.equal(3);
  });

  for (const [what, bytes] of [
    ["a chunked body", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
    ["a body until the end of the connection", "HTTP/1.1 200 OK\r\n\r\nabc"],
    ["an interim answer first", "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc"],
  ] as const)
    it(`leaves ${what} to node:http`, async () => {
      answer = (socket) => {
        socket.write(bytes);
        if (!bytes.includes("chunked") && !bytes.includes("length")) socket.end();
      };
      const given = () => new Uint8Array(10);
      const thrown = await connections.get(request({ allocate: given })).catch((error: unknown) => error);
      expect(thrown).to.be.instanceOf(UnusualAnswerError);
      requests = [];
      for (const asked of [2, 3]) {
        const received = await nodeTransport(request({ allocate: given }));
        expect(Buffer.from(received.body).toString()).to.equal("abc");
        // Once known, it is not tried again.
        expect(requests.length).to.equal(asked);
      }
    });

  for (const [what, head] of [
    ["two lengths", "content-length: 3\r\ncontent-length: 4\r\n"],
    ["a length that is no number", "content-length: 3, 3\r\n"],
    ["a folded line", "content-length: 3\r\n x: y\r\n"],
    ["a space before the colon", "content-length : 3\r\n"],
    ["a length and chunks", "content-length: 3\r\ntransfer-encoding: chunked\r\n"],
    ["a head without end", `x: ${"y".repeat(20_000)}\r\n`],
  ] as const)
    it(`does not take ${what}`, async () => {
      answer = (socket) => socket.write(`HTTP/1.1 200 OK\r\n${head}\r\nabc`);
      const thrown = await connections.get(request()).catch((error: unknown) => error);
      expect(thrown).to.be.instanceOf(UnusualAnswerError);
    });

  it("does not follow a redirect", async () => {
    answer = (socket) => socket.write("HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n");
    await fails(nodeTransport(request({ allocate: () => new Uint8Array(10) })), /redirects/);
  });

  it("checks certificates, and reads over TLS into the memory that is given", async () => {
    server.close();
    const { key, cert } = selfSigned();
    await serve(createTlsServer({ key, cert }, onConnection), "https");
    answer = (socket) => socket.write(ok(body(300_000)));
    const memory = new Uint8Array(MAXIMUM_BYTES);
    await fails(connections.get(request({ allocate: () => memory })), /self-signed/);
    expect(requests).to.deep.equal([]);
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    try {
      const received = await connections.get(request({ allocate: () => memory }));
      expect(received.body.buffer).to.equal(memory.buffer);
      expect(Buffer.compare(received.body, body(300_000))).to.equal(0);
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    }
  });
});

async function fails(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).to.be.instanceOf(Error);
  expect((thrown as Error).message).to.match(message);
}

function selfSigned(): { key: Buffer; cert: Buffer } {
  const dir = mkdtempSync(join(tmpdir(), "tallystick-tls-"));
  try {
    const [key, cert] = [join(dir, "key"), join(dir, "cert")];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    const args = ["req", "-x509", ...curve, "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=x"];
    const { status, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
    expect(status, stderr).to.equal(0);
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
