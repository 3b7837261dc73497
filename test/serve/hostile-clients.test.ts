/** Clients that attack the server: paths that lead elsewhere, headers without an end, connections that never finish. */
import { connect } from "node:net";
import { expect } from "chai";
import { rawHttp } from "../helpers/raw-http.ts";
import { type ServedTree, serveInputs } from "../helpers/served-tree.ts";

const text = (words: string) => new TextEncoder().encode(words);

describe("hostile clients", () => {
  let served: ServedTree;
  before(async () => {
    served = await serveInputs([{ name: "folder/file", bytes: text("content") }]);
  });
  after(() => served.close());

  const host = () => new URL(served.url).host;
  const path = () => new URL(served.url).pathname;
  const get = (target: string, headers = "") =>
    rawHttp(served.url, `GET ${target} HTTP/1.1\r\nhost: ${host()}\r\n${headers}connection: close\r\n\r\n`);

  for (const target of [
    "../../etc/passwd",
    "folder/../../etc/passwd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "folder/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "folder%2ffile",
    "folder%5c..%5cfile%00",
    "./folder/file",
    "folder//file",
    "/etc/passwd",
    "folder/file%",
    "%c0%ae%c0%ae/etc/passwd",
    "%25%32%65%25%32%65/etc/passwd",
    "folder/file;/../..",
  ]) {
    it(`find nothing at ${target}`, async () => {
      const { status, raw } = await get(`${path()}${target}`);
      expect(status).to.be.oneOf([400, 404]);
      expect(raw).to.not.contain("content\r\n").and.to.not.contain("root:");
      // As a depth, a path cannot climb over the token either.
      expect((await get(`/x/..${path()}${target}`)).status).to.equal(401);
    });
  }

  it("are refused with headers that are too long or too many", async () => {
    expect((await get(path(), `x: ${"a".repeat(40_000)}\r\n`)).status).to.equal(431);
    expect((await get(path(), "x: a\r\n".repeat(10_000))).status).to.equal(431);
    expect((await get(`${path()}${"a".repeat(40_000)}`)).status).to.equal(431);
    expect((await get(`${path()}${"a".repeat(20_000)}`)).status).to.equal(404);
    expect((await get(`${path()}${"a/".repeat(10_000)}b`)).status).to.equal(404);
  });

  it("are refused with what is no request, or two in one", async () => {
    for (const bytes of ["\u0016\u0003\u0001\u0002\u0000", "GET / HTTP/9.9\r\n\r\n", "hello\r\n\r\n", "GET\r\n\r\n"]) {
      expect((await rawHttp(served.url, bytes)).status, JSON.stringify(bytes)).to.be.oneOf([400, 501]);
    }
    const both = "content-length: 5\r\ntransfer-encoding: chunked\r\n";
    expect((await get(path(), both)).status).to.equal(400);
    expect((await get(path(), "content-length: 1\r\ncontent-length: 2\r\n")).status).to.equal(400);
    expect((await get(path(), "content-length: -1\r\n")).status).to.equal(400);
    expect((await get(path(), "x: a\r\n folded\r\n")).status).to.be.oneOf([200, 400]);
  });

  it("cannot put headers into an answer through a path", async () => {
    const { status, headers } = await get(`${path()}folder%0d%0aset-cookie:%20x=y`);
    expect(status).to.equal(404);
    expect(headers).to.not.have.property("set-cookie");
    expect((await get(`${path()}folder?\r\nset-cookie: x`)).headers).to.not.have.property("set-cookie");
  });

  it("are refused with ranges and conditions that are made to cost", async () => {
    const file = `${path()}folder/file`;
    const many = Array.from({ length: 3000 }, (_, n) => `${n}-`).join(",");
    expect((await get(file, `range: bytes=${many}\r\n`)).status).to.equal(200);
    expect((await get(file, `range: bytes=${"9".repeat(20_000)}-\r\n`)).status).to.equal(416);
    expect((await get(file, `range: bytes=0-${"9".repeat(20_000)}\r\n`)).status).to.equal(206);
    expect((await get(file, `if-none-match: ${'W/"a", '.repeat(2000)}"b"\r\n`)).status).to.equal(200);
    const started = performance.now();
    await get(file, `range: bytes=${" ".repeat(30_000)}x\r\nif-none-match: ${",".repeat(100)}\r\n`);
    await get(file, `authorization: Basic ${" ".repeat(30_000)}x\r\n`);
    expect(performance.now() - started).to.be.lessThan(3000);
  });

  it("that take nothing of the answer hold some chunks and not the file", async () => {
    const large = await serveInputs([{ name: "large", bytes: new Uint8Array(64 * 1024 * 1024).fill(7) }]);
    const { hostname, port, pathname } = new URL(large.url);
    const sockets = Array.from({ length: 20 }, () => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.pause();
      socket.on("error", () => undefined);
      socket.write(`GET ${pathname}large HTTP/1.1\r\nhost: ${new URL(large.url).host}\r\n\r\n`);
      return socket;
    });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const fetched = large.provider.fetched.length;
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(large.provider.fetched.length).to.equal(fetched);
    for (const socket of sockets) socket.destroy();
    await large.close();
  });
});
