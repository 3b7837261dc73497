/**
 * The server of trees with real clients: rclone, cadaver, curl, and the conformance tests of litmus that a server can
 * pass that only reads. They have to be installed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { ReadableTree } from "../../offchain/agent/read/readable-tree.ts";
import { snapshotTrees } from "../../offchain/serve/snapshot-trees.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { type ServedTree, serveInputs } from "../helpers/served-tree.ts";
import { snapshotOf } from "../helpers/snapshots.ts";
import { readTree } from "../helpers/trees.ts";

const MTIME = new Date(Date.UTC(2021, 4, 6, 7, 8, 9));
const LARGE = pseudoRandomBytes("webdav", 20 * 1024 * 1024);
/** What litmus uploads in its first tests. */
const LITMUS_CONTENT = "This is\na test file.\nfor litmus\ntesting.\n";
const text = (words: string) => new TextEncoder().encode(words);
const NAMES = ["folder/a b", "folder/é ü", "folder/100%", "folder/deep/er/#?&;=+", "folder/[x] (y) 'z'"];

interface Ended {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

describe("WebDAV with real clients", function () {
  this.timeout(300_000);
  let served: ServedTree;
  let folder: string;
  const at = (name: string) => join(folder, name);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-webdav-"));
    served = await serveInputs([
      { name: "large", bytes: LARGE, mtime: MTIME },
      ...NAMES.map((name) => ({ name, bytes: text(`in ${name}`), mtime: MTIME })),
      // What litmus works in.
      ...["res", "res-\u20ac"].map((name) => ({ name: `litmus/${name}`, bytes: text(LITMUS_CONTENT) })),
    ]);
  });
  after(async () => {
    await served?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function start(command: string, args: readonly string[]): ChildProcess {
    return spawn(command, args, {
      cwd: folder,
      env: { ...process.env, HOME: folder, RCLONE_CONFIG: at("rclone.conf") },
    });
  }

  async function run(command: string, args: readonly string[], input = ""): Promise<Ended> {
    const child = start(command, args);
    const [stdout, stderr]: Buffer[][] = [[], []];
    child.stdout?.on("data", (piece: Buffer) => stdout?.push(piece));
    child.stderr?.on("data", (piece: Buffer) => stderr?.push(piece));
    child.stdin?.end(input);
    const [code] = (await once(child, "close")) as [number | null];
    return { code: code ?? 1, stdout: Buffer.concat(stdout ?? []), stderr: Buffer.concat(stderr ?? []).toString() };
  }

  const rclone = (...args: string[]) => run("rclone", [...args, "--webdav-url", served.url, "--retries", "1"]);

  describe("rclone", () => {
    before(() => writeFileSync(at("rclone.conf"), ""));

    it("lists every file with its size and time", async () => {
      const { code, stdout, stderr } = await rclone("lsjson", "-R", "--files-only", ":webdav:");
      expect(code, stderr).to.equal(0);
      const files = JSON.parse(stdout.toString()) as { Path: string; Size: number; ModTime: string }[];
      expect(files.map(({ Path }) => Path).sort()).to.deep.equal(
        ["large", "litmus/res", "litmus/res-\u20ac", ...NAMES].sort(),
      );
      const large = files.find(({ Path }) => Path === "large");
      expect(large?.Size).to.equal(LARGE.length);
    });

    it("copies the tree, several files at a time and large ones in parts, byte for byte", async () => {
      const { code, stderr } = await rclone("copy", ":webdav:", at("copy"), "--multi-thread-cutoff", "4M");
      expect(code, stderr).to.equal(0);
      expect(readFileSync(at("copy/large")).equals(LARGE)).to.equal(true);
      for (const name of NAMES) expect(readFileSync(at(`copy/${name}`), "utf8")).to.equal(`in ${name}`);
      expect(readTree(at("copy"))).to.have.length.greaterThan(NAMES.length);
      const check = await rclone("check", ":webdav:", at("copy"), "--download");
      expect(check.code, check.stderr).to.equal(0);
    });

    it("finds snapshots by host and time, with times of folders and files, and copies from the newest", async () => {
      const time = new Date(Date.UTC(2026, 10, 28, 7, 42, 31));
      const snapshot = snapshotOf(1, { host: "laptop", timeMillis: time.getTime() });
      const mount = (tree: ReadableTree) => snapshotTrees({ list: async () => [snapshot], tree: () => tree });
      const shown = await serveInputs([{ name: "a/b", bytes: text("in b"), mtime: MTIME }], { mount });
      try {
        const remote = ["--webdav-url", shown.url, "--retries", "1"];
        const { code, stdout, stderr } = await run("rclone", ["lsjson", "-R", ":webdav:", ...remote]);
        expect(code, stderr).to.equal(0);
        const entries = JSON.parse(stdout.toString()) as { Path: string; ModTime: string }[];
        const times = new Map(entries.map(({ Path, ModTime }) => [Path, new Date(ModTime).getTime()]));
        for (const name of [`2026-11-28T07-42-31Z-${snapshot.id.slice(0, 8)}`, "latest"]) {
          expect(times.get(`laptop/${name}`)).to.equal(time.getTime());
          expect(times.get(`laptop/${name}/a/b`)).to.equal(MTIME.getTime());
        }
        const copied = await run("rclone", ["copy", ":webdav:laptop/latest", at("latest"), ...remote]);
        expect(copied.code, copied.stderr).to.equal(0);
        expect(readFileSync(at("latest/a/b"), "utf8")).to.equal("in b");
        expect(statSync(at("latest/a/b")).mtime.getTime()).to.equal(MTIME.getTime());
      } finally {
        await shown.close();
      }
    });

    it("reads a range", async () => {
      const { code, stdout } = await rclone("cat", ":webdav:large", "--offset", "5000000", "--count", "1000");
      expect(code).to.equal(0);
      expect(stdout.equals(LARGE.slice(5_000_000, 5_001_000))).to.equal(true);
    });

    it("is told that nothing can be written, moved or removed", async () => {
      writeFileSync(at("new"), "new");
      for (const args of [
        ["copyto", at("new"), ":webdav:new"],
        ["deletefile", ":webdav:large"],
        ["moveto", ":webdav:large", ":webdav:moved"],
        ["mkdir", ":webdav:made"],
        ["purge", ":webdav:folder"],
      ]) {
        const { code, stderr } = await rclone(...args, "--low-level-retries", "1");
        expect(code, args.join(" ")).to.not.equal(0);
        expect(stderr).to.match(/40[35]/);
      }
    });

    it("does not keep a damaged file", async () => {
      const damaged = await serveInputs([{ name: "large", bytes: LARGE }], { limits: { objectBytes: 0 } });
      try {
        await (await fetch(`${damaged.url}large`)).arrayBuffer();
        damaged.provider.objects.set(damaged.provider.fetched.at(-5) ?? "", new Uint8Array(10));
        const options = ["--webdav-url", damaged.url, "--retries", "1", "--low-level-retries", "2"];
        const { code } = await run("rclone", ["copy", ":webdav:large", at("damaged"), ...options]);
        expect(code).to.not.equal(0);
        expect(() => statSync(at("damaged/large"))).to.throw("ENOENT");
        const curl = await run("curl", ["-sS", `${damaged.url}large`, "-o", at("part")]);
        // "Transferred a partial file."
        expect(curl.code, curl.stderr).to.equal(18);
      } finally {
        await damaged.close();
      }
    });
  });

  describe("curl", () => {
    const curl = (...args: string[]) => run("curl", ["-sS", ...args]);

    it("continues a download where it stopped", async () => {
      writeFileSync(at("continued"), LARGE.slice(0, 7_000_000));
      const { code } = await curl("-C", "-", `${served.url}large`, "-o", at("continued"));
      expect(code).to.equal(0);
      expect(readFileSync(at("continued")).equals(LARGE)).to.equal(true);
    });

    it("reads ranges, and uses the tag of what it has", async () => {
      const { stdout } = await curl("-r", "-1000", `${served.url}large`);
      expect(stdout.equals(LARGE.slice(-1000))).to.equal(true);
      for (const expected of ["200", "304"]) {
        const tags = ["--etag-save", at("etag"), ...(expected === "304" ? ["--etag-compare", at("etag")] : [])];
        const answer = await curl(...tags, "-w", "%{http_code}", "-o", "/dev/null", `${served.url}large`);
        expect(answer.stdout.toString()).to.equal(expected);
      }
    });

    it("uploads nothing, and is told so before it sends the file", async () => {
      writeFileSync(at("upload"), LARGE);
      const answer = await curl("-T", at("upload"), "-w", "%{http_code} %{size_upload}", "-o", "/dev/null", served.url);
      expect(answer.stdout.toString(), answer.stderr).to.equal("405 0");
      // Without asking first, it must see the answer instead of a broken connection.
      const unasked = ["-H", "Expect:", "-T", at("upload"), "-w", "%{http_code}", "-o", "/dev/null", served.url];
      for (let n = 0; n < 5; n += 1) {
        const sent = await curl(...unasked);
        expect(`${sent.stdout.toString()} ${sent.code} ${sent.stderr}`).to.equal("405 0 ");
      }
    });

    it("is let in with the token as a password", async () => {
      const { stdout } = await curl(
        "-u",
        `any:${served.token}`,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        served.origin,
      );
      expect(stdout.toString()).to.equal("200");
    });
  });

  it("cadaver lists folders and gets files", async () => {
    const input = 'ls\ncd "folder"\nls\nget "a b" got\nput got\nquit\n';
    const { stdout, stderr } = await run("cadaver", [served.url], input);
    const said = `${stdout.toString()}${stderr}`;
    expect(said)
      .to.match(/large +20971520/)
      .and.to.match(/Coll: +deep/)
      .and.to.contain("405 Method Not Allowed");
    expect(readFileSync(at("got"), "utf8")).to.equal("in folder/a b");
  });

  describe("litmus", () => {
    let front: Server;
    let url: string;

    /**
     * Every group of litmus begins by making the folder it works in. This stands in front of the server, pretends that
     * what writes has succeeded, and passes on everything else; the folder is in the tree already.
     */
    before(async () => {
      const target = new URL(served.url);
      front = createServer((request, response) => {
        const { method = "", url: path = "", headers } = request;
        if (["MKCOL", "DELETE", "PUT"].includes(method)) {
          request.resume();
          response.writeHead(201).end();
          return;
        }
        const { hostname, port, host } = target;
        const passed = httpRequest({ hostname, port, method, path, headers: { ...headers, host } }, (answer) => {
          response.writeHead(answer.statusCode ?? 500, answer.headers);
          answer.pipe(response);
        });
        request.pipe(passed);
      });
      front.listen(0, "127.0.0.1");
      await once(front, "listening");
      url = `http://127.0.0.1:${(front.address() as AddressInfo).port}${target.pathname}`;
    });
    after(() => {
      front?.closeAllConnections();
      front?.close();
    });

    // Of the 76 tests, these need nothing that was written before.
    for (const [group, tests] of [
      ["basic", ["init", "begin", "options", "put_get", "put_get_utf8_segment"]],
      ["props", ["init", "begin", "propfind_invalid", "propfind_invalid2", "propfind_d0"]],
    ] as const) {
      it(`passes what of its group ${group} only reads`, async () => {
        const child = spawn("litmus", ["-k", url], { cwd: folder, env: { ...process.env, TESTS: group } });
        const pieces: Buffer[] = [];
        child.stdout.on("data", (piece: Buffer) => pieces.push(piece));
        await once(child, "close");
        const said = Buffer.concat(pieces).toString().replaceAll("\r", "\n");
        for (const test of tests) expect(said).to.match(new RegExp(` ${test}\\.+ (WARNING.*\\s+\\.+ )?pass`), said);
      });
    }
  });

  it("closes connections whose requests come so slowly that they do not end", async () => {
    const { hostname, port, pathname, host } = new URL(served.url);
    const ends = Array.from({ length: 20 }, async (_, index) => {
      const socket = connect({ host: hostname, port: Number(port) });
      await once(socket, "connect");
      socket.on("error", () => undefined);
      socket.write(index % 2 === 0 ? "G" : `GET ${pathname} HTTP/1.1\r\nhost: ${host}\r\n`);
      const drip = setInterval(() => socket.write(index % 2 === 0 ? "E" : "x: y\r\n"), 1000);
      socket.resume();
      const started = performance.now();
      await once(socket, "close");
      clearInterval(drip);
      return performance.now() - started;
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await fetch(`${served.url}folder/a%20b`)).status, "others are served meanwhile").to.equal(200);
    for (const milliseconds of await Promise.all(ends)) expect(milliseconds).to.be.lessThan(20_000);
  });
});
