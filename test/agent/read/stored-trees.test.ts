/** Puts as trees: what they show, and what they keep in memory. */
import { expect } from "chai";
import { CachedSource } from "../../../offchain/agent/read/cached-source.ts";
import { StoredTrees, type TreeLimits } from "../../../offchain/agent/read/stored-trees.ts";
import { streamPieces } from "../../../offchain/agent/read/stream-pieces.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { openRoot } from "../../../offchain/core/recipe/tree.ts";
import type { EntryMetadata } from "../../../offchain/core/snapshot/entry-metadata.ts";
import { MemoryProvider } from "../../helpers/memory-data-plane.ts";
import { storeInMemory } from "../../helpers/memory-put.ts";
import { collect, streamed } from "../../helpers/promises.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { counting } from "../../helpers/stored-file.ts";

const text = (words: string) => new TextEncoder().encode(words);

describe("stored trees", () => {
  let provider: MemoryProvider;
  let keysAsked: string[];
  const keys = new Map<string, Uint8Array>();
  const metadata = new Map<string, readonly EntryMetadata[]>();

  beforeEach(() => {
    provider = new MemoryProvider();
    keysAsked = [];
  });

  async function put(...paths: string[]): Promise<string> {
    const inputs = paths.map((name) => ({
      name,
      bytes: text(`content of ${name}`),
      mtime: new Date(1_500_000_000_123),
    }));
    const { dataId, fileKey, metadata: values } = await storeInMemory(provider, inputs);
    keys.set(dataId, fileKey);
    metadata.set(dataId, values);
    return dataId;
  }

  function trees(limits: Partial<TreeLimits> = {}) {
    const open = async (dataId: string) => {
      keysAsked.push(dataId);
      return openRoot(keys.get(dataId) ?? new Uint8Array(32), dataId, await provider.fetch(dataId));
    };
    // Metadata has the id of its data here.
    return new StoredTrees(
      async (dataId) => ({ root: await open(dataId) }),
      provider,
      limits,
      ({ metadataId }) => streamed(metadata.get(metadataId) ?? []),
    );
  }

  it("show folders, files with size, time and tag, and their content", async () => {
    const dataId = await put("a/b", "a/c/d", "e");
    const tree = trees().tree(dataId, dataId);
    expect(await tree.stat("")).to.deep.equal({ type: "directory", name: "" });
    expect((await collect(tree.list(""))).map(({ name, type }) => `${type} ${name}`)).to.deep.equal([
      "directory a",
      "file e",
    ]);
    expect((await collect(tree.list("a"))).map(({ name }) => name)).to.deep.equal(["b", "c"]);
    const file = await tree.stat("a/c/d");
    expect(file).to.deep.include({ type: "file", name: "d", sizeBytes: 16, modifiedMillis: 1_500_000_000_123 });
    const content = Buffer.concat(await collect(streamPieces(await tree.open("a/c/d", { start: 8 }))));
    expect(content.toString()).to.equal("of a/c/d");
    expect(await tree.stat("a/x")).to.equal(undefined);
    for (const path of ["e", "x"]) await expectAsyncRejection(() => collect(tree.list(path)), "NOT_FOUND");
    for (const path of ["", "a", "x"]) await expectAsyncRejection(() => tree.open(path), "NOT_FOUND");
  });

  it("have the times of the snapshot that is asked for, and none where these are missing or damaged", async () => {
    const dataId = await put("a");
    const [entry] = metadata.get(dataId) ?? [];
    if (entry === undefined) throw new Error("no metadata");
    metadata.set("later", [{ ...entry, mtimeNanos: 5_000_000n }]);
    metadata.set("damaged", []);
    const shown = trees();
    const time = async (id?: string) => (await shown.tree(dataId, id).stat("a"))?.modifiedMillis;
    expect(await time(dataId)).to.equal(1_500_000_000_123);
    expect(await time("later")).to.equal(5);
    expect(await time("damaged")).to.equal(undefined);
    expect(await time()).to.equal(undefined);
    expect(keysAsked).to.have.length(4);
    await time("later");
    expect(keysAsked, "each is read once").to.have.length(4);
  });

  it("give files of different paths and puts different tags, and the same file always the same", async () => {
    const [first, second] = [await put("a", "b"), await put("a")];
    const tags = await Promise.all(
      [
        [first, "a"],
        [first, "b"],
        [second, "a"],
        [first, "a"],
      ].map(async ([dataId = "", path = ""]) => {
        const entry = await trees().tree(dataId).stat(path);
        return entry?.type === "file" ? entry.tag : "";
      }),
    );
    expect(new Set(tags).size).to.equal(3);
    expect(tags[3]).to.equal(tags[0]);
  });

  it("read a listing once for many requests, also when they come at once", async () => {
    const dataId = await put("a", "b");
    const shown = trees();
    await Promise.all([1, 2, 3].map(() => shown.tree(dataId).stat("a")));
    const fetched = provider.fetched.length;
    for (let n = 0; n < 5; n += 1) await shown.tree(dataId).stat("b");
    expect(provider.fetched.length).to.equal(fetched);
    expect(keysAsked).to.deep.equal([dataId]);
  });

  it("drop the listing that was not used for longest when memory runs out", async () => {
    const ids = [await put("a"), await put("b"), await put("c")];
    const [first = "", second = "", third = ""] = ids;
    // Each takes one block and the smallest columns.
    const shown = trees({ indexBytes: 2_500_000 });
    for (const dataId of [first, second, first, third]) await shown.tree(dataId).stat("");
    expect(keysAsked).to.deep.equal([first, second, third]);
    await shown.tree(first).stat("");
    expect(keysAsked).to.have.length(3);
    await shown.tree(second).stat("");
    expect(keysAsked).to.deep.equal([first, second, third, second]);
  });

  it("refuse a listing that is larger than the memory, and say so", async () => {
    const dataId = await put("a");
    const error = await expectAsyncRejection(() => trees({ indexBytes: 1000 }).tree(dataId).stat(""), "INVALID_INPUT");
    expect(error).to.include({ check: "size of the listing", received: "1 entries" });
  });

  it("forget a failure, and build again at the next request", async () => {
    const dataId = await put("a");
    provider.failAfter = 0;
    const shown = trees();
    await expectAsyncRejection(() => shown.tree(dataId).stat("a"), "UNREACHABLE");
    provider.failAfter = Number.POSITIVE_INFINITY;
    expect((await shown.tree(dataId).stat("a"))?.name).to.equal("a");
  });
});

describe("cached objects", () => {
  const sized = (sizeBytes: number) => counting({ fetch: async (id) => new Uint8Array(sizeBytes).fill(id.length) });

  it("are fetched once for all who ask at the same time or later", async () => {
    const source = sized(10);
    const cache = new CachedSource(source, 100);
    await Promise.all([cache.fetch("a"), cache.fetch("a")]);
    await cache.fetch("a");
    expect(source.asked).to.deep.equal(["a"]);
  });

  it("take no more than the memory they were given, the least recently used going first", async () => {
    const source = sized(40);
    const cache = new CachedSource(source, 100);
    for (const id of ["a", "b", "a", "c", "a", "b"]) await cache.fetch(id);
    expect(source.asked).to.deep.equal(["a", "b", "c", "b"]);
    const large = sized(101);
    const small = new CachedSource(large, 100);
    for (const id of ["a", "a"]) await small.fetch(id);
    expect(large.asked).to.deep.equal(["a", "a"]);
  });

  it("are not lost for others when one of them stops waiting, and failures are not kept", async () => {
    const gate = Promise.withResolvers<Uint8Array>();
    let failing = true;
    const cache = new CachedSource(
      {
        fetch: async (id) => {
          if (id === "bad" && failing) throw new TallystickError("gone", { code: "UNREACHABLE" });
          return await gate.promise;
        },
      },
      100,
    );
    const abort = new AbortController();
    const [first, second] = [cache.fetch("a", abort.signal), cache.fetch("a")];
    abort.abort(new TallystickError("stopped", { code: "INTERRUPTED" }));
    await expectAsyncRejection(() => first, "INTERRUPTED");
    gate.resolve(new Uint8Array(3));
    expect(await second).to.have.length(3);
    await expectAsyncRejection(() => cache.fetch("bad"), "UNREACHABLE");
    failing = false;
    expect(await cache.fetch("bad")).to.have.length(3);
  });
});
