import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import fc from "fast-check";
import { SqliteFileCache } from "../../../offchain/agent/node/file-cache.ts";
import { FileCacheList, PAGE_RECORDS, type PageStore } from "../../../offchain/agent/node/file-cache-list.ts";
import { pageKey } from "../../../offchain/agent/node/file-cache-page.ts";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import { mayChangeUnseen } from "../../../offchain/agent/node/remembered-entries.ts";
import type { FileCacheOptions, SourceEntry, SourceRun } from "../../../offchain/agent/platform.ts";
import { openSource } from "../../../offchain/agent/put/source.ts";
import { comparePaths, pathToBytes } from "../../../offchain/core/recipe/path-name.ts";

const SECRET = new Uint8Array(32).fill(7);
const OPTIONS: FileCacheOptions = { scope: "public", secret: SECRET, nowSeconds: 1_800_000_000 };
/** Longer than the steps of the clock of a file system. */
const SETTLED_MILLISECONDS = 40;

const value = (text: string) => new Uint8Array(Buffer.from(text));

describe("the file cache", () => {
  let dir: string;
  let cache: SqliteFileCache;
  const at = (...names: string[]) => join(dir, "t", ...names);
  const file = () => join(dir, "files.db");

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-cache-"));
    mkdirSync(at("sub"), { recursive: true });
    for (const name of ["a", "b", "sub/c", "sub-d"]) writeFileSync(at(name), name);
    cache = new SqliteFileCache(file());
  });
  afterEach(() => {
    cache.close();
    rmSync(dir, { recursive: true, force: true });
  });

  /** A put as the cache sees it. @returns what was known of each file */
  async function put(
    changed: Partial<FileCacheOptions> & {
      readonly until?: string;
      readonly during?: (entry: SourceEntry) => unknown;
    } = {},
  ) {
    const { until, during, ...options } = changed;
    const session = cache.open({ ...OPTIONS, ...options });
    const known: Record<string, string> = {};
    const run: SourceRun = { cache: session, remark: () => undefined };
    for await (const entry of openSource([at()], localFiles).entries(run)) {
      if (entry.path === until) {
        session.close();
        return known;
      }
      if (entry.type === "file") {
        known[entry.path.slice(2)] = entry.cached === undefined ? "" : Buffer.from(entry.cached).toString();
        if (entry.cached === undefined) for await (const _ of entry.read()) await during?.(entry);
      }
      entry.remember?.(entry.type === "file" ? value(`${entry.path}!`) : undefined);
    }
    session.finish();
    return known;
  }

  const nothing = { a: "", b: "", "sub/c": "", "sub-d": "" };
  const all = { a: "t/a!", b: "t/b!", "sub/c": "t/sub/c!", "sub-d": "t/sub-d!" };

  it("knows what was remembered of a file that is unchanged, also in another process", async () => {
    await pause(SETTLED_MILLISECONDS);
    expect(await put()).to.deep.equal(nothing);
    expect(await put()).to.deep.equal(all);
    cache.close();
    cache = new SqliteFileCache(file());
    expect(await put()).to.deep.equal(all);
  });

  for (const [what, change] of [
    ["was written to", (path: string) => appendFileSync(path, "x")],
    [
      "was written to, its time and size kept",
      (path: string) => {
        const { atime, mtime } = statSync(path);
        writeFileSync(path, "B");
        utimesSync(path, atime, mtime);
      },
    ],
    [
      "was replaced by another with the same times",
      (path: string) => {
        const { atime, mtime } = statSync(path);
        writeFileSync(`${path}~`, "b");
        utimesSync(`${path}~`, atime, mtime);
        renameSync(`${path}~`, path);
      },
    ],
  ] as const) {
    it(`knows nothing of a file that ${what}`, async () => {
      await pause(SETTLED_MILLISECONDS);
      await put();
      change(at("b"));
      await pause(SETTLED_MILLISECONDS);
      expect(await put()).to.deep.equal({ ...all, b: "" });
      expect(await put()).to.deep.equal(all);
    });
  }

  it("does not trust a file that changed right before it was looked at", async () => {
    await pause(SETTLED_MILLISECONDS);
    await put();
    let known: Record<string, string> = all;
    // On a busy machine more than a step of the clock may lie between the two.
    for (let attempt = 0; attempt < 20 && known.b !== ""; attempt += 1) {
      writeFileSync(at("b"), "just now");
      await put();
      known = await put();
    }
    expect(known).to.deep.equal({ ...all, b: "" });
    const now = 1_800_000_000_123_000_000n;
    const times = (ctimeNanos: bigint, mtimeNanos = 0n) => ({ device: 1n, inode: 1n, ctimeNanos, mtimeNanos });
    expect(mayChangeUnseen(times(now - 10_000_000n), now)).to.equal(true);
    expect(mayChangeUnseen(times(now - 50_000_001n), now)).to.equal(false);
    expect(mayChangeUnseen(times(now + 50_000_001n), now), "a clock that is ahead").to.equal(true);
    expect(mayChangeUnseen(times(1_799_999_999_000_000_000n), now), "a clock of whole seconds").to.equal(true);
    expect(mayChangeUnseen(times(1n, now), now)).to.equal(true);
    expect(mayChangeUnseen(times(1n, now + 1_000_000_000_000n), now), "a time that somebody set").to.equal(false);
  });

  it("forgets a file that changed while it was read, and one that is gone", async () => {
    await pause(SETTLED_MILLISECONDS);
    await put({ during: (entry) => entry.path === "t/b" && appendFileSync(at("b"), "x") });
    rmSync(at("a"));
    await pause(SETTLED_MILLISECONDS);
    expect(await put()).to.deep.equal({ b: "", "sub/c": "t/sub/c!", "sub-d": "t/sub-d!" });
  });

  it("finds nothing in another scope, under another secret, or when distrusted, and records anew", async () => {
    await pause(SETTLED_MILLISECONDS);
    await put();
    expect(await put({ scope: "team" })).to.deep.equal(nothing);
    expect(await put({ secret: new Uint8Array(32) })).to.deep.equal(nothing);
    expect(await put({ distrusted: true })).to.deep.equal(nothing);
    expect(await put()).to.deep.equal(all);
  });

  it("keeps old and new records, all of them valid, when a put is cut off", async () => {
    await pause(SETTLED_MILLISECONDS);
    await put();
    appendFileSync(at("a"), "x");
    await pause(SETTLED_MILLISECONDS);
    await put({ until: "t/sub" });
    // The page with the changed file was not complete.
    expect(await put()).to.deep.equal({ ...all, a: "" });
  });

  it("shows no value and no name of a bundle in its file", async () => {
    await pause(SETTLED_MILLISECONDS);
    await put();
    const session = cache.open(OPTIONS);
    session.remember("bundle", value("digest of a bundle"), value("key of a bundle"));
    expect(session.find("bundle", value("digest of a bundle"))).to.deep.equal(value("key of a bundle"));
    session.close();
    expect(cache.open({ ...OPTIONS, scope: "team" }).find("bundle", value("digest of a bundle"))).to.equal(undefined);
    cache.close();
    const bytes = Buffer.concat(["", "-wal"].map((suffix) => readFileSync(`${file()}${suffix}`, { flag: "a+" })));
    for (const secret of ["sub-d!", "digest of a bundle", "key of a bundle"])
      expect(bytes.includes(secret)).to.equal(false);
  });

  it("forgets everything when it is told to, and makes no file for that", async () => {
    const unused = new SqliteFileCache(join(dirname(file()), "unused.db"));
    unused.forget();
    expect(existsSync(join(dirname(file()), "unused.db"))).to.equal(false);
    await pause(SETTLED_MILLISECONDS);
    await put();
    cache.close();
    cache.forget();
    expect(await put()).to.deep.equal(nothing);
    expect(await put()).to.deep.equal(all);
  });

  it("starts anew when its file is damaged", async () => {
    await pause(SETTLED_MILLISECONDS);
    await put();
    cache.close();
    writeFileSync(file(), "no database at all, but longer than the header of one ".repeat(100));
    cache = new SqliteFileCache(file());
    expect(await put()).to.deep.equal(nothing);
    expect(await put()).to.deep.equal(all);
  });

  it("ignores a page that was tampered with, or put in another's place", async () => {
    await pause(SETTLED_MILLISECONDS);
    await put();
    const pages = cache.open(OPTIONS);
    pages.close();
    cache.close();
    const { DatabaseSync } = await import("node:sqlite");
    const database = new DatabaseSync(file());
    database.exec("UPDATE pages SET first_key = x'00'");
    database.close();
    cache = new SqliteFileCache(file());
    expect(await put()).to.deep.equal(nothing);
    expect(await put()).to.deep.equal(all);
  });

  describe("lists", () => {
    class MemoryPages implements PageStore {
      readonly pages = new Map<string, Uint8Array>();
      writes = 0;

      next(after: Uint8Array | undefined) {
        const hex = after === undefined ? "" : Buffer.from(after).toString("hex");
        const [first] = [...this.pages.keys()].filter((key) => after === undefined || key > hex).sort();
        const page = first === undefined ? undefined : this.pages.get(first);
        return first === undefined || page === undefined ? undefined : { first: Buffer.from(first, "hex"), page };
      }

      replace(old: Uint8Array | undefined, pages: readonly { first: Uint8Array; page: Uint8Array }[]): void {
        this.writes += 1;
        if (old !== undefined) this.pages.delete(Buffer.from(old).toString("hex"));
        for (const { first, page } of pages) this.pages.set(Buffer.from(first).toString("hex"), page);
      }

      removeFrom(first: Uint8Array): void {
        const hex = Buffer.from(first).toString("hex");
        for (const key of this.pages.keys()) if (key >= hex) this.pages.delete(key);
      }
    }

    const key = (name: number) => pageKey(`folder/${String(name).padStart(6, "0")}`);
    const stamp = (version: number) => new Uint8Array(40).fill(version);

    /** One put: names with the versions of their content. @returns names that were found unchanged */
    function pass(store: PageStore, names: ReadonlyMap<number, number>, lag = 0): number[] {
      const list = new FileCacheList(store);
      const found: number[] = [];
      const waiting: (() => void)[] = [];
      for (const [name, version] of [...names].sort(([a], [b]) => a - b)) {
        const record = list.find(key(name), stamp(version));
        if (record !== undefined) found.push(name);
        const text = value(`${name} ${version}`);
        if (record !== undefined) expect(record.value).to.deep.equal(Buffer.from(text));
        const wanted = { key: key(name), stamp: stamp(version), attributes: undefined, value: text };
        waiting.push(() => list.write(wanted, record));
        if (waiting.length > lag) waiting.shift()?.();
      }
      for (const write of waiting) write();
      list.finish();
      return found;
    }

    it("hold exactly the entries of the last pass, whatever is added, changed and removed, and however late", () => {
      const names = fc.uniqueArray(fc.nat(5000), { maxLength: 2500 });
      const changes = fc.array(fc.tuple(fc.nat(5000), fc.constantFrom(0, 2)), { maxLength: 40 });
      fc.assert(
        fc.property(names, changes, fc.nat(1500), (start, list, lag) => {
          const store = new MemoryPages();
          const before = new Map(start.map((name) => [name, 1]));
          expect(pass(store, before, lag)).to.deep.equal([]);
          const after = new Map(before);
          for (const [name, version] of list) version === 0 ? after.delete(name) : after.set(name, version);
          const same = [...after].filter(([name, version]) => before.get(name) === version).map(([name]) => name);
          expect(pass(store, after, lag)).to.deep.equal(same.sort((a, b) => a - b));
          expect(pass(store, after, lag)).to.have.length(after.size);
        }),
        { numRuns: 15 },
      );
    });

    it("write nothing for an unchanged tree, and one page for one changed file", () => {
      const store = new MemoryPages();
      const names = new Map(Array.from({ length: 10 * PAGE_RECORDS }, (_, name) => [name, 1]));
      pass(store, names);
      expect(store.pages.size).to.equal(10);
      store.writes = 0;
      expect(pass(store, names)).to.have.length(names.size);
      expect(store.writes).to.equal(0);
      names.set(2000, 2);
      pass(store, names);
      expect(store.writes).to.equal(1);
    });

    it("have keys in the order of the listing", () => {
      const paths = ["", "a", "a/b", "a/b/c", "a b", "a-b", "a.b", "a!", "\u00e9/x", "\u00e9-x"];
      const byKey = [...paths].sort((a, b) => Buffer.compare(pageKey(a), pageKey(b)));
      expect(byKey).to.deep.equal([...paths].sort((a, b) => comparePaths(pathToBytes(a), pathToBytes(b))));
    });
  });
});
