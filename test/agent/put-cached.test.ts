/** The data plane of a put with the file cache: stand-in committee and provider, real files, a real cache. */
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { SqliteFileCache } from "../../offchain/agent/node/file-cache.ts";
import { localFiles } from "../../offchain/agent/node/local-files.ts";
import type { FileSystemPort, SourceEntry } from "../../offchain/agent/platform.ts";
import { CONFIRMED_SECONDS } from "../../offchain/agent/put/cached-content.ts";
import { ContentCache } from "../../offchain/agent/put/content-cache.ts";
import { openSource } from "../../offchain/agent/put/source.ts";
import { onEvery } from "../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../offchain/agent/put/store-tree.ts";
import { restore } from "../../offchain/agent/read/restore.ts";
import { openRoot, type SealedObject } from "../../offchain/core/recipe/tree.ts";
import { MemoryOracle, MemoryProvider } from "../helpers/memory-data-plane.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { rejection } from "../helpers/rejection.ts";
import { expectSameTree, readTree } from "../helpers/trees.ts";

const KIB = 1024;
const NOW = 1_800_000_000;
const SMALL_FILES = 120;
/** Longer than the steps of the clock of a file system. */
const SETTLED_MILLISECONDS = 40;

describe("put with the file cache", () => {
  let dir: string;
  let cache: SqliteFileCache;
  let provider: MemoryProvider;
  let oracle: MemoryOracle;
  /** Called with the path of an entry, after the walk and before the entry is read. */
  let onEntry: ((path: string) => void) | undefined;
  const at = (...names: string[]) => join(dir, "tree", ...names);

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-put-cached-"));
    cache = new SqliteFileCache(join(dir, "files.db"));
    provider = new MemoryProvider();
    oracle = new MemoryOracle();
    mkdirSync(at("small"), { recursive: true });
    for (let n = 0; n < SMALL_FILES; n += 1)
      writeFileSync(at("small", String(n).padStart(3, "0")), pseudoRandomBytes(`small ${n}`, 16 * KIB));
    writeFileSync(at("large"), pseudoRandomBytes("large", 12 * KIB * KIB));
    writeFileSync(at("middle"), pseudoRandomBytes("middle", 300 * KIB));
    writeFileSync(at("empty"), "");
    await pause(SETTLED_MILLISECONDS);
  });
  afterEach(() => {
    cache.close();
    rmSync(dir, { recursive: true, force: true });
  });

  /** @returns the put, the files that were read, and the objects that were claimed or stored */
  async function put(
    options: {
      nowSeconds?: number;
      distrusted?: boolean;
      failAfter?: number;
      cached?: boolean;
      releases?: number;
    } = {},
  ) {
    const {
      nowSeconds = NOW,
      distrusted = false,
      failAfter = Number.POSITIVE_INFINITY,
      cached = true,
      releases = 1,
    } = options;
    const read: string[] = [];
    const observed: FileSystemPort = {
      ...localFiles,
      roots: (paths) =>
        localFiles.roots(paths).map((root) => ({ ...root, entries: (run) => noting(root.entries(run), read) })),
    };
    const session = cache.open({ scope: "public", secret: new Uint8Array(32).fill(1), nowSeconds, distrusted });
    const stored: string[] = [];
    const store = async (objects: readonly SealedObject[]) => {
      if (stored.length >= failAfter) throw new Error("the provider is gone");
      stored.push(...objects.map(({ id }) => id));
      return await provider.store(objects);
    };
    const before = oracle.evaluations;
    const contents = new ContentCache(session, { confirmedAt: nowSeconds, releases });
    try {
      const assembled = await storeTree(openSource([at()], observed), {
        oracle,
        place: onEvery([{ provider: { store } }]),
        domain: "public",
        counter: { readBytes: 0, readEntries: 0 },
        totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
        remark: () => undefined,
        onChange: () => undefined,
        ...(cached ? { cache: contents } : {}),
      });
      return {
        ...assembled,
        isConfirmed: contents.isConfirmed,
        read,
        stored,
        evaluations: oracle.evaluations - before,
      };
    } finally {
      session.close();
    }
  }

  async function* noting(entries: AsyncIterable<SourceEntry>, read: string[]): AsyncGenerator<SourceEntry> {
    for await (const entry of entries) {
      onEntry?.(entry.path);
      if (entry.type !== "file") yield entry;
      else
        yield {
          ...entry,
          read: (signal) => {
            read.push(entry.path.slice("tree/".length));
            return entry.read(signal);
          },
        };
    }
  }

  /** What is stored restores to what is there, and a put without the cache leads to the same data id. */
  async function expectRight({ dataId, fileKey }: Awaited<ReturnType<typeof put>>) {
    const target = await localFiles.openTarget(join(dir, "out"), { dataId, overwrite: false });
    const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
    const root = openRoot(fileKey, dataId, await provider.fetch(dataId));
    await restore(root, provider, target, totals, { onStep: () => undefined });
    const withoutTimes = (path: string) => readTree(path).map((entry) => ({ ...entry, mtimeNanos: 0n }));
    const modes = (path: string) => withoutTimes(path).map((entry) => ({ ...entry, mode: "" }));
    expectSameTree(modes(join(dir, "out", "tree")), modes(at()));
    rmSync(join(dir, "out"), { recursive: true });
    // Last, because it stores what may be missing.
    expect((await put({ cached: false })).dataId).to.equal(dataId);
  }

  it("reads and evaluates nothing of an unchanged tree, and stores the recipe alone", async () => {
    const first = await put();
    expect(first.read).to.have.length(SMALL_FILES + 3);
    const second = await put();
    expect(second.read).to.deep.equal([]);
    expect(second.dataId).to.equal(first.dataId);
    expect(second.evaluations).to.equal(0);
    // A chunk of the listing and the root.
    expect(second.stored).to.have.length(2);
    await expectRight(second);
  });

  it("tells when a release may have taken what it found, and not of what it read anew", async () => {
    expect((await put()).isConfirmed).to.equal(true);
    expect((await put()).isConfirmed).to.equal(true);
    for (const _ of ["a put changes nothing about it", "so neither does the next"]) {
      const late = await put({ releases: 2 });
      expect([late.read.length, late.isConfirmed]).to.deep.equal([0, false]);
    }
    expect((await put({ releases: 2, distrusted: true })).isConfirmed).to.equal(true);
    expect((await put({ releases: 2 })).isConfirmed).to.equal(true);
    // A provider without a head counts no releases.
    await put({ releases: 0, distrusted: true });
    expect((await put({ releases: 0 })).isConfirmed).to.equal(false);
  });

  it("reads a changed file and the neighbours of its bundle, and nothing else", async () => {
    await put();
    appendFileSync(at("small", "060"), "more");
    await pause(SETTLED_MILLISECONDS);
    const changed = await put();
    expect(changed.read).to.include("small/060");
    expect(changed.read.length).to.be.within(10, SMALL_FILES - 10);
    expect(new Set(changed.read).size).to.equal(changed.read.length);
    await expectRight(changed);
    expect((await put()).read).to.deep.equal([]);
    appendFileSync(at("large"), "more");
    await pause(SETTLED_MILLISECONDS);
    const large = await put();
    expect(large.read).to.deep.equal(["large"]);
    await expectRight(large);
  });

  it("is right after files were added, removed and renamed", async () => {
    await put();
    rmSync(at("small", "030"));
    renameSync(at("middle"), at("small", "middle"));
    writeFileSync(at("small", "045 new"), "new");
    rmSync(at("empty"));
    await pause(SETTLED_MILLISECONDS);
    await expectRight(await put());
  });

  it("reads everything again when it is told to, or when nothing was confirmed for long", async () => {
    await put();
    expect((await put({ distrusted: true })).read).to.have.length(SMALL_FILES + 3);
    expect((await put({ nowSeconds: NOW + CONFIRMED_SECONDS })).read).to.deep.equal([]);
    const late = await put({ nowSeconds: NOW + CONFIRMED_SECONDS + 1 });
    expect(late.read).to.have.length(SMALL_FILES + 3);
    // And so what the provider has lost is put again.
    expect(late.stored.length).to.be.greaterThan(10);
    expect((await put({ nowSeconds: NOW + CONFIRMED_SECONDS + 2 })).read).to.deep.equal([]);
    expect((await put({ nowSeconds: NOW })).read.length, "a clock that was set back").to.equal(SMALL_FILES + 3);
  });

  it("puts again what the provider has lost, once confirmations have run out", async () => {
    await put();
    const lost = [...provider.objects.keys()].slice(0, 5);
    for (const id of lost) provider.objects.delete(id);
    await expectRight(await put({ nowSeconds: NOW + CONFIRMED_SECONDS + 1 }));
  });

  it("remembers of a put that fails only what was durable", async () => {
    const error = await put({ failAfter: 6 }).catch((failure: unknown) => failure);
    expect(error).to.be.an("error").with.property("message", "the provider is gone");
    const durable = new Set(provider.objects.keys());
    const again = await put();
    for (const id of again.stored) expect(provider.objects.has(id)).to.equal(true);
    expect(durable.size).to.be.greaterThan(0);
    await expectRight(again);
  });

  it("remembers nothing before its objects are durable, however many entries follow that need none", async () => {
    for (const name of ["large", "small"]) rmSync(at(name), { recursive: true });
    mkdirSync(at("without objects"));
    // More than one page of the cache.
    for (let n = 0; n < 1100; n += 1) writeFileSync(at("without objects", String(n)), "");
    await pause(SETTLED_MILLISECONDS);
    expect(await put({ failAfter: 0 }).catch((failure: unknown) => failure)).to.be.an("error");
    const again = await put();
    expect(again.read).to.include("middle");
    await expectRight(again);
  });

  it("fails when a file of a bundle changes between the walk and its reading, and is right the next time", async () => {
    await put();
    appendFileSync(at("small", "060"), "more");
    await pause(SETTLED_MILLISECONDS);
    const reader = localFiles.roots;
    let isChanged = false;
    const spoiling: FileSystemPort = {
      ...localFiles,
      roots: (paths) =>
        reader(paths).map((root) => ({
          ...root,
          entries: async function* (run) {
            for await (const entry of root.entries(run)) {
              yield entry;
              if (entry.path === "tree/small/061" && !isChanged) {
                isChanged = true;
                appendFileSync(at("small", "059"), "meanwhile");
              }
            }
          },
        })),
    };
    const session = cache.open({ scope: "public", secret: new Uint8Array(32).fill(1), nowSeconds: NOW });
    const work = storeTree(openSource([at()], spoiling), {
      oracle,
      place: onEvery([{ provider }]),
      domain: "public",
      counter: { readBytes: 0, readEntries: 0 },
      totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
      remark: () => undefined,
      onChange: () => undefined,
      cache: new ContentCache(session, { confirmedAt: NOW, releases: 1 }),
    });
    expect(await rejection(work)).to.include({ code: "FILE_CHANGED" });
    session.close();
    await pause(SETTLED_MILLISECONDS);
    await expectRight(await put());
  });

  it("stores a file that was written to between the walk and its reading, and does not remember it", async () => {
    onEntry = (path) => {
      if (path !== "tree/large") return;
      appendFileSync(at("large"), "meanwhile");
      appendFileSync(at("middle"), "meanwhile");
    };
    const torn = await put();
    onEntry = undefined;
    await pause(SETTLED_MILLISECONDS);
    const again = await put();
    expect(again.read).to.deep.equal(["large", "middle"]);
    expect(again.dataId).to.equal(torn.dataId);
    expect((await put()).read).to.deep.equal([]);
    await expectRight(again);
  });
});
