/** The server of a tree as clients see it: files, pages, WebDAV, and what it refuses. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect } from "chai";
import { CHUNK_LIMITS } from "../../offchain/core/recipe/chunker.ts";
import { pathFromBytes } from "../../offchain/core/recipe/path-name.ts";
import { readXml } from "../../offchain/serve/dav/xml-reader.ts";
import { MountedTrees } from "../../offchain/serve/mounted-trees.ts";
import { encodeComponent } from "../../offchain/serve/request-path.ts";
import { startTreeServer } from "../../offchain/serve/tree-server.ts";
import { collect } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { rawHttp } from "../helpers/raw-http.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";
import { type ServedTree, serveInputs } from "../helpers/served-tree.ts";

const NOT_UTF8 = pathFromBytes(Uint8Array.of(0x66, 0xff));
const ODD_NAMES = ["a b", "é", "%2e", "#?&;", '<b>"it\'s"', "javascript:x", "\u0001\u202e", "..x", NOT_UTF8];
const LARGE = pseudoRandomBytes("large", 5 * CHUNK_LIMITS.averageBytes);
const MTIME = new Date(Date.UTC(2020, 0, 2, 3, 4, 5));
const text = (words: string) => new TextEncoder().encode(words);

describe("server of a tree", () => {
  let served: ServedTree;
  before(async () => {
    served = await serveInputs([
      { name: "folder/inner/file.txt", bytes: text("inner"), mtime: MTIME },
      { name: "large", bytes: LARGE },
      ...ODD_NAMES.map((name) => ({ name: `odd/${name}`, bytes: text(`in ${name.toWellFormed()}`) })),
      { name: "empty", bytes: new Uint8Array(0) },
    ]);
  });
  after(() => served.close());
  afterEach(() => {
    served.failures.length = 0;
  });

  const ask = (path: string, init: RequestInit = {}) => fetch(`${served.url}${path}`, { redirect: "manual", ...init });
  const host = () => new URL(served.url).host;
  const path = () => new URL(served.url).pathname;
  const send = (head: string, rest = "") => rawHttp(served.url, `${head}\r\nconnection: close\r\n\r\n${rest}`);

  async function propfind(of: string, depth: string, body?: string) {
    const answer = await ask(of, { method: "PROPFIND", headers: { depth }, ...(body === undefined ? {} : { body }) });
    const xml = await answer.text();
    return { status: answer.status, xml, headers: answer.headers };
  }
  const hrefs = (xml: string) => [...xml.matchAll(/<D:href>([^<]*)<\/D:href>/g)].map(([, href = ""]) => href);

  describe("shows files", () => {
    it("as they were stored, and ranges of them", async () => {
      const whole = await ask("large");
      expect(Buffer.from(await whole.arrayBuffer()).equals(LARGE)).to.equal(true);
      expect(whole.headers.get("content-length")).to.equal(String(LARGE.length));
      const etag = whole.headers.get("etag") ?? "";
      expect(etag).to.match(/^"[A-Za-z0-9_-]{22}"$/);
      const part = await ask("large", { headers: { range: "bytes=3000000-3000099", "if-range": etag } });
      expect(part.status).to.equal(206);
      expect(Buffer.from(await part.arrayBuffer()).equals(LARGE.slice(3_000_000, 3_000_100))).to.equal(true);
      expect((await ask("large", { headers: { "if-none-match": etag } })).status).to.equal(304);
      expect((await ask("large", { headers: { range: `bytes=${LARGE.length}-` } })).status).to.equal(416);
      const head = await ask("large", { method: "HEAD" });
      expect(head.headers.get("content-length")).to.equal(String(LARGE.length));
      expect(await head.text()).to.equal("");
      expect(await (await ask("empty")).text()).to.equal("");
    });

    it("whose names need escapes", async () => {
      for (const name of ODD_NAMES) {
        const answer = await ask(`odd/${encodeComponent(name)}`);
        expect(answer.status, JSON.stringify(name)).to.equal(200);
        expect(await answer.text()).to.equal(`in ${name.toWellFormed()}`);
      }
    });

    it("and not what is not there", async () => {
      for (const target of ["none", "folder/none", "large/", "large/x", "odd/none/deeper"]) {
        expect((await ask(target)).status, target).to.equal(404);
      }
    });
  });

  describe("shows folders as pages", () => {
    it("with links that lead to the entries, and text that is only text", async () => {
      const answer = await ask("odd/");
      expect(answer.headers.get("content-type")).to.equal("text/html; charset=utf-8");
      expect(answer.headers.get("content-security-policy")).to.contain("default-src 'none'");
      const page = await answer.text();
      for (const raw of ["<b>", "\u202e", "\u0001"]) expect(page).to.not.contain(raw);
      const links = [...page.matchAll(/href="([^"]*)"/g)].map(([, link = ""]) => new URL(link, answer.url).href);
      expect(links).to.have.length(ODD_NAMES.length + 1);
      for (const link of links) {
        expect(link.startsWith(served.url)).to.equal(true);
        expect((await fetch(link)).status, link).to.equal(200);
      }
    });

    it("below a path that ends with a slash", async () => {
      const answer = await ask("folder/inner");
      expect(answer.status).to.equal(301);
      expect(answer.headers.get("location")).to.equal(`${path()}folder/inner/`);
      const root = await (await ask("")).text();
      expect(root).to.contain('<a href="./folder/">folder/</a>').and.to.not.contain("../");
    });
  });

  describe("answers WebDAV", () => {
    it("of class 1 that only reads", async () => {
      const answer = await ask("", { method: "OPTIONS" });
      expect(answer.status).to.equal(200);
      expect(answer.headers.get("dav")).to.equal("1");
      expect(answer.headers.get("allow")).to.equal("OPTIONS, GET, HEAD, PROPFIND");
    });

    it("with the properties of a folder and of what is in it", async () => {
      const { status, xml, headers } = await propfind("folder/inner", "1");
      expect(status).to.equal(207);
      expect(headers.get("content-type")).to.equal("application/xml; charset=utf-8");
      expect(hrefs(xml)).to.deep.equal([`${path()}folder/inner/`, `${path()}folder/inner/file.txt`]);
      expect(xml).to.contain("<D:resourcetype><D:collection/></D:resourcetype>");
      expect(xml).to.contain("<D:getcontentlength>5</D:getcontentlength>");
      expect(xml).to.contain("<D:getlastmodified>Thu, 02 Jan 2020 03:04:05 GMT</D:getlastmodified>");
      const etag = (await ask("folder/inner/file.txt")).headers.get("etag") ?? "";
      expect(xml).to.contain(`<D:getetag>${etag.replaceAll('"', "&quot;")}</D:getetag>`);
      expect(hrefs((await propfind("", "1")).xml)).to.have.length(5);
      expect(hrefs((await propfind("", "0")).xml)).to.deep.equal([path()]);
      expect(hrefs((await propfind("large", "1")).xml)).to.deep.equal([`${path()}large`]);
    });

    it("with documents that are well-formed whatever the names are, and paths that can be asked for", async () => {
      const { xml } = await propfind("odd", "1");
      const { children } = readXml(text(xml));
      expect(children).to.have.length(ODD_NAMES.length + 1);
      for (const href of hrefs(xml).slice(1)) {
        expect((await fetch(new URL(href, served.url))).status).to.equal(200);
      }
    });

    it("with the properties asked for, and which of them there are not", async () => {
      const body =
        '<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:getcontentlength/><D:lockdiscovery/>' +
        '<x:color xmlns:x="urn:&quot;&lt;"/><none xmlns=""/></D:prop></D:propfind>';
      const { xml } = await propfind("large", "0", body);
      const [, found = "", missing = ""] = xml.split("<D:propstat>");
      expect(found).to.contain(`<D:getcontentlength>${LARGE.length}</D:getcontentlength>`).and.to.contain(" 200 OK");
      expect(missing).to.contain("<D:lockdiscovery/>").and.to.contain(" 404 Not Found");
      expect(missing).to.contain('<color xmlns="urn:&quot;&lt;"/>').and.to.contain('<none xmlns=""/>');
      readXml(text(xml));
      const names = await propfind("large", "0", '<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>');
      expect(names.xml).to.contain("<D:getetag/>").and.to.not.contain(String(LARGE.length));
    });

    it("and refuses depths without an end, broken documents, long ones, and what is not there", async () => {
      const { status, xml } = await propfind("", "infinity");
      expect(status).to.equal(403);
      expect(xml).to.contain("<D:propfind-finite-depth/>");
      expect((await ask("", { method: "PROPFIND" })).status).to.equal(403);
      expect((await propfind("", "2")).status).to.equal(400);
      expect((await propfind("", "0", "<open>")).status).to.equal(400);
      expect((await propfind("", "0", "<!DOCTYPE a><a/>")).status).to.equal(400);
      expect((await propfind("", "0", `<a>${" ".repeat(70_000)}</a>`)).status).to.equal(413);
      expect((await propfind("none", "0")).status).to.equal(404);
      expect((await propfind("large/", "0")).status).to.equal(404);
    });

    it("reads a body that comes in pieces, and refuses one that does not end", async () => {
      const request = `PROPFIND ${path()} HTTP/1.1\r\nhost: ${host()}\r\ndepth: 0\r\ntransfer-encoding: chunked`;
      const body = '<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>';
      const chunk = (of: string) => `${of.length.toString(16)}\r\n${of}\r\n`;
      expect((await send(request, `${chunk(body.slice(0, 20))}${chunk(body.slice(20))}0\r\n\r\n`)).status).to.equal(
        207,
      );
      expect((await send(request, chunk(" ".repeat(60_000)).repeat(3))).status).to.equal(413);
    });

    for (const method of ["PUT", "DELETE", "MKCOL", "MOVE", "COPY", "PROPPATCH", "LOCK", "UNLOCK", "POST", "PATCH"]) {
      it(`refuses ${method}, and says what is allowed`, async () => {
        const answer = await ask("large", { method, headers: { destination: `${served.url}x` } });
        expect(answer.status).to.equal(405);
        expect(answer.headers.get("allow")).to.equal("OPTIONS, GET, HEAD, PROPFIND");
      });
    }

    it("refuses to make a folder in such a way that the client does not believe it is there", async () => {
      expect((await ask("folder/new", { method: "MKCOL" })).status).to.equal(403);
      expect((await ask("folder", { method: "MKCOL" })).status).to.equal(405);
    });

    it("answers a long upload before its end, and one that asks first without having it sent", async () => {
      const head = `PUT ${path()}new HTTP/1.1\r\nhost: ${host()}\r\ncontent-length: 104857600`;
      expect((await send(head, "x".repeat(3_000_000))).status).to.equal(405);
      const { raw, status } = await send(`${head}\r\nexpect: 100-continue`);
      expect(status).to.equal(405);
      expect(raw).to.not.contain(" 100 ");
    });

    it("is heard by a client that sends its whole body before it reads", async () => {
      const { hostname, port } = new URL(served.url);
      const socket = connect({ host: hostname, port: Number(port) });
      await once(socket, "connect");
      socket.on("error", () => undefined);
      const head = `PUT ${path()}new HTTP/1.1\r\nhost: ${host()}\r\ncontent-length: 900000\r\n\r\n`;
      socket.write(head);
      for (let sent = 0; sent < 900_000; sent += 100_000) {
        await new Promise((resolve, reject) => {
          socket.write(Buffer.alloc(100_000), (error) => (error ? reject(error) : setTimeout(resolve, 30)));
        });
      }
      expect((await collect(socket)).join("")).to.match(/^HTTP\/1.1 405 /);
    });

    it("knows no other methods", async () => {
      for (const method of ["BREW", "TRACE", "PURGE"]) {
        expect((await send(`${method} ${path()} HTTP/1.1\r\nhost: ${host()}`)).status, method).to.equal(501);
      }
    });

    it("only when it is to", async () => {
      const plain = await serveInputs([{ name: "f", bytes: text("x") }], { webdav: false });
      try {
        expect((await fetch(plain.url, { method: "PROPFIND", headers: { depth: "0" } })).status).to.equal(405);
        const { headers } = await fetch(plain.url, { method: "OPTIONS" });
        expect(headers.has("dav")).to.equal(false);
        expect(headers.get("allow")).to.equal("OPTIONS, GET, HEAD");
      } finally {
        await plain.close();
      }
    });
  });

  describe("lets in", () => {
    const basic = (password: string) => ({
      authorization: `Basic ${Buffer.from(`any one:${password}`).toString("base64")}`,
    });

    it("who has the token in the path or as a password", async () => {
      expect((await fetch(`${served.origin}large`, { headers: basic(served.token) })).status).to.equal(200);
      const { headers } = await fetch(`${served.origin}folder`, { headers: basic(served.token), redirect: "manual" });
      expect(headers.get("location")).to.equal("/folder/");
    });

    it("nobody else, whatever they ask for", async () => {
      const other = served.token.replace(/^./, (first) => (first === "A" ? "B" : "A"));
      for (const [target, headers] of [
        ["", {}],
        ["large", {}],
        [`${other}/large`, {}],
        [`${served.token}x/large`, {}],
        [served.token.slice(1), {}],
        [`x/${served.token}/large`, {}],
        [`%00/${served.token}`, {}],
        ["large", basic(other)],
        ["large", basic("")],
        ["large", { authorization: `Basic ${Buffer.from(served.token).toString("base64")}` }],
        ["large", { authorization: `Bearer ${served.token}` }],
        ["large", { authorization: "Basic ===" }],
        [`large?token=${served.token}`, {}],
      ] as [string, Record<string, string>][]) {
        for (const method of ["GET", "PROPFIND", "OPTIONS", "PUT", "PURGE"]) {
          const answer = await fetch(`${served.origin}${target}`, { method, headers });
          expect(answer.status, `${method} ${target}`).to.equal(401);
          expect(answer.headers.get("www-authenticate")).to.match(/^Basic realm=/);
          expect(await answer.text()).to.not.contain(served.token);
        }
      }
    });

    it("only requests that are addressed to it, which a page with a name of its own cannot make", async () => {
      const port = new URL(served.url).port;
      for (const name of [
        "evil.example",
        `evil.example:${port}`,
        "127.0.0.1",
        "127.0.0.1:1",
        `localhost.:${port}`,
        "",
      ]) {
        expect((await send(`GET ${path()} HTTP/1.1\r\nhost: ${name}`)).status, name).to.equal(421);
      }
      const twice = `GET ${path()} HTTP/1.1\r\nhost: ${host()}\r\nhost: evil.example`;
      expect((await send(twice)).status).to.equal(421);
      expect((await send(`GET http://evil.example${path()} HTTP/1.1\r\nhost: ${host()}`)).status).to.equal(401);
      expect((await send(`GET ${path()} HTTP/1.1`)).status).to.equal(400);
      for (const name of [`localhost:${port}`, `LOCALHOST:${port}`, `127.0.0.1:${port}`]) {
        expect((await send(`HEAD ${path()} HTTP/1.1\r\nhost: ${name}`)).status, name).to.equal(200);
      }
      expect((await send(`HEAD http://${host()}${path()} HTTP/1.1\r\nhost: ${host()}`)).status).to.equal(200);
    });

    it("no page of another origin to read the answers", async () => {
      const answer = await ask("large", { headers: { origin: "https://evil.example" } });
      expect(answer.headers.has("access-control-allow-origin")).to.equal(false);
      expect(answer.headers.get("cross-origin-resource-policy")).to.equal("same-origin");
      const preflight = { origin: "https://evil.example", "access-control-request-method": "PROPFIND" };
      const { headers } = await ask("", { method: "OPTIONS", headers: preflight });
      expect([...headers.keys()].filter((name) => name.startsWith("access-control"))).to.deep.equal([]);
      await answer.body?.cancel();
    });

    it("nobody from another machine", async () => {
      const tree = new MountedTrees(() => []);
      for (const address of ["0.0.0.0", "::", "192.168.0.1", "localhost"]) {
        const options = { tree, host: address as "127.0.0.1" };
        expect(await expectAsyncRejection(() => startTreeServer(options), "INVALID_INPUT")).to.include({
          check: "address of the server",
        });
      }
      for (const token of ["", "short", `${"a".repeat(30)}/b`]) {
        await expectAsyncRejection(() => startTreeServer({ tree, token }), "INVALID_INPUT", /token/);
      }
      const port = Number(new URL(served.url).port);
      await expectAsyncRejection(() => startTreeServer({ tree, port }), "CONFLICT", /cannot listen/);
    });
  });

  it("makes a new token each time, and serves on IPv6", async () => {
    const other = await startTreeServer({ tree: new MountedTrees(() => []), host: "::1" });
    try {
      expect(other.token)
        .to.match(/^[A-Za-z0-9_-]{43}$/)
        .and.to.not.equal(served.token);
      expect((await fetch(other.url)).status).to.equal(200);
    } finally {
      await other.close();
    }
  });

  describe("when an object is damaged", () => {
    let damaged: ServedTree;
    before(async () => {
      damaged = await serveInputs([{ name: "large", bytes: LARGE }], { limits: { objectBytes: 0 } });
      await (await fetch(`${damaged.url}large`)).arrayBuffer();
      const [, , , victim = ""] = damaged.provider.fetched.slice(-5);
      damaged.provider.objects.set(victim, new Uint8Array(10));
    });
    after(() => damaged.close());

    it("breaks off the answer instead of ending it early, and reports it", async () => {
      const answer = await fetch(`${damaged.url}large`);
      expect(answer.status).to.equal(200);
      const error = await answer.arrayBuffer().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).to.be.instanceOf(TypeError);
      expect(damaged.failures.at(-1)).to.have.property("code", "INTEGRITY");
    });

    it("says so with a status when no byte was sent yet", async () => {
      const start = Math.floor(LARGE.length * 0.6);
      let status = 206;
      for (let at = start; at < LARGE.length && status === 206; at += 200_000) {
        const answer = await fetch(`${damaged.url}large`, { headers: { range: `bytes=${at}-${at}` } });
        status = answer.status;
        if (status !== 206) expect(await answer.text()).to.match(/large, from byte \d+ on/);
        else await answer.arrayBuffer();
      }
      expect(status).to.equal(502);
      expect((await fetch(`${damaged.url}large`, { headers: { range: "bytes=0-9" } })).status).to.equal(206);
    });
  });

  it("asks clients to come back while the storage provider is away", async () => {
    const away = await serveInputs([{ name: "f", bytes: text("x") }]);
    try {
      away.provider.failAfter = 0;
      const answer = await fetch(`${away.url}f`);
      expect(answer.status).to.equal(503);
      expect(Number(answer.headers.get("retry-after"))).to.be.greaterThan(0);
      away.provider.failAfter = Number.POSITIVE_INFINITY;
      expect((await fetch(`${away.url}f`)).status).to.equal(200);
    } finally {
      await away.close();
    }
  });

  it("stops reading from storage when a client goes away, and ends within a moment when it is closed", async () => {
    const busy = await serveInputs([
      { name: "large", bytes: pseudoRandomBytes("busy", 24 * CHUNK_LIMITS.averageBytes) },
    ]);
    const abort = new AbortController();
    const answer = await fetch(`${busy.url}large`, { signal: abort.signal });
    await answer.body?.getReader().read();
    const gone = () => new Promise((resolve) => setTimeout(resolve, 200));
    await gone();
    abort.abort();
    await gone();
    const fetched = busy.provider.fetched.length;
    await gone();
    expect(busy.provider.fetched.length).to.equal(fetched);
    expect(fetched).to.be.lessThan(20);
    expect(busy.failures).to.deep.equal([]);
    const open = await fetch(`${busy.url}large`);
    const started = performance.now();
    await busy.close();
    expect(performance.now() - started).to.be.lessThan(3000);
    await open.body?.cancel().catch(() => undefined);
  });

  it("shows several trees side by side without opening them", async () => {
    const opened: string[] = [];
    const named = (name: string) => ({
      name,
      modifiedMillis: MTIME.getTime(),
      tree: {
        stat: async (of: string) => {
          opened.push(`${name}:${of}`);
          return of === "" ? ({ type: "directory", name: "" } as const) : undefined;
        },
        async *list() {},
        open: async () => new ReadableStream<Uint8Array>(),
      },
    });
    const server = await startTreeServer({ tree: new MountedTrees(() => [named("one"), named("two")]), webdav: true });
    try {
      const listed = await fetch(server.url, { method: "PROPFIND", headers: { depth: "1" } });
      const base = new URL(server.url).pathname;
      expect(hrefs(await listed.text())).to.deep.equal([base, `${base}one/`, `${base}two/`]);
      expect(opened).to.deep.equal([]);
      expect((await fetch(`${server.url}two/x`)).status).to.equal(404);
      expect((await fetch(`${server.url}three/`)).status).to.equal(404);
      expect(opened).to.deep.equal(["two:x"]);
    } finally {
      await server.close();
    }
  });
});
