/** Files of a tree inside another program's server, and bodies that are not what was announced. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import type { ReadableTree } from "../../offchain/agent/read/readable-tree.ts";
import { BodySlots } from "../../offchain/serve/body-slots.ts";
import { createFileHandler, type FileHandlerOptions } from "../../offchain/serve/file-handler.ts";

const CONTENT = "0123456789";

/** One file `a b/f.txt`, and what its stream yields, whatever is asked for. */
function treeOf(...pieces: (string | Error)[]): ReadableTree {
  return {
    stat: async (path) => {
      if (path === "a b") return { type: "directory", name: "a b" };
      return path === "a b/f.txt" ? { type: "file", name: "f.txt", sizeBytes: 10, tag: "t" } : undefined;
    },
    async *list() {},
    open: async (_path, range) => {
      const left = pieces.length === 0 ? [CONTENT.slice(range?.start, range?.end)] : [...pieces];
      return new ReadableStream<Uint8Array>({
        pull(controller) {
          const piece = left.shift();
          if (piece === undefined) controller.close();
          else if (piece instanceof Error) controller.error(piece);
          else controller.enqueue(new TextEncoder().encode(piece));
        },
      });
    },
  };
}

describe("file handler", () => {
  let server: Server | undefined;
  let failures: unknown[];

  async function listen(tree: ReadableTree, options: FileHandlerOptions = {}): Promise<string> {
    failures = [];
    server = createServer(createFileHandler(tree, { onFailure: (error) => failures.push(error), ...options }));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  it("answers GET and HEAD with ranges below its path, and nothing else", async () => {
    const contentType = (name: string) => (name.endsWith(".txt") ? "text/plain" : undefined);
    const origin = await listen(treeOf(), { basePath: "/files/", contentType });
    const answer = await fetch(`${origin}/files/a%20b/f.txt?x=1`, { headers: { range: "bytes=2-4" } });
    expect(answer.status).to.equal(206);
    expect(await answer.text()).to.equal("234");
    expect(answer.headers.get("content-type")).to.equal("text/plain");
    expect((await fetch(`${origin}/files/a%20b/f.txt`, { method: "HEAD" })).headers.get("content-length")).to.equal(
      "10",
    );
    for (const [path, status] of [
      ["/a%20b/f.txt", 404],
      ["/filesx/a%20b/f.txt", 404],
      ["/files/a%20b", 404],
      ["/files/a%20b/", 404],
      ["/files/a%20b/f.txt/", 404],
      ["/files/", 404],
      ["/files", 404],
      ["/files/a%20b%2ff.txt", 400],
    ] as const) {
      expect((await fetch(`${origin}${path}`)).status, path).to.equal(status);
    }
    const posted = await fetch(`${origin}/files/a%20b/f.txt`, { method: "POST", body: "x" });
    expect(posted.status).to.equal(405);
    expect(posted.headers.get("allow")).to.equal("GET, HEAD");
  });

  for (const [what, pieces, status] of [
    ["shorter than its file", ["01234"], 200],
    ["longer than its file", ["0123456789", "x"], 200],
    ["broken in the middle", ["01234", new Error("broken")], 200],
    ["broken before its first byte", [new Error("broken")], 500],
  ] as const) {
    it(`never makes a whole answer of a body that is ${what}`, async () => {
      const origin = await listen(treeOf(...pieces));
      const answer = await fetch(`${origin}/a%20b/f.txt`).catch(() => undefined);
      const body = await answer?.text().catch(() => undefined);
      if (status === 500) {
        expect(answer?.status).to.equal(500);
        expect(body).to.not.contain("broken");
      } else expect(body).to.equal(undefined);
      expect(failures).to.have.length(1);
    });
  }
});

describe("slots of bodies", () => {
  const never = new AbortController().signal;
  const source = async () =>
    (async function* () {
      yield new Uint8Array(1);
      yield new Uint8Array(1);
    })();

  it("let so many read at once, the others in the order in which they came", async () => {
    const slots = new BodySlots(2);
    const [first, second, third, fourth] = [1, 2, 3, 4].map(() => slots.through(source, never));
    await first?.next();
    await second?.next();
    const started: string[] = [];
    const waiting = third?.next().then(() => started.push("third"));
    void fourth?.next().then(() => started.push("fourth"));
    await new Promise((resolve) => setImmediate(resolve));
    expect(started).to.deep.equal([]);
    await first?.return();
    await waiting;
    expect(started).to.deep.equal(["third"]);
    await second?.return();
    await new Promise((resolve) => setImmediate(resolve));
    expect(started).to.deep.equal(["third", "fourth"]);
  });

  it("are not taken by who has stopped waiting, and are given back when a source fails", async () => {
    const slots = new BodySlots(1);
    const reading = slots.through(source, never);
    await reading.next();
    const abort = new AbortController();
    const gone = slots.through(source, abort.signal).next();
    abort.abort(new Error("gone"));
    expect(await gone.catch((error: Error) => error.message)).to.equal("gone");
    await reading.return();
    const failing = slots.through(async () => {
      throw new Error("broken");
    }, never);
    expect(await failing.next().catch((error: Error) => error.message)).to.equal("broken");
    expect((await slots.through(source, never).next()).done).to.equal(false);
  });
});
