/**
 * The data planes of put and get against each other, in memory: a stand-in committee, a stand-in provider, real files.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { localFiles } from "../../offchain/agent/node/local-files.ts";
import type { AssembledRoot } from "../../offchain/agent/put/assemble.ts";
import { openSource, type PutInput } from "../../offchain/agent/put/source.ts";
import { onEvery } from "../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../offchain/agent/put/store-tree.ts";
import { objectOrder } from "../../offchain/agent/read/object-order.ts";
import { restore } from "../../offchain/agent/read/restore.ts";
import { CHUNK_LIMITS } from "../../offchain/core/recipe/chunker.ts";
import { openRoot, type SealedObject } from "../../offchain/core/recipe/tree.ts";
import { MemoryOracle, MemoryProvider } from "../helpers/memory-data-plane.ts";
import { rejection } from "../helpers/rejection.ts";

const MIB = 1024 * 1024;
const BIG_BYTES = 21 * MIB;
/** More than the recipes and listings of the test's tree take. */
const RECIPE_BYTES = 64 * 1024;

const oracle = new MemoryOracle();

/** Everything a file system shows of a tree, for comparison. */
function describeTree(folder: Buffer | string): Record<string, unknown>[] {
  return readdirSync(folder, { encoding: "buffer" })
    .sort(Buffer.compare)
    .flatMap((bytes) => {
      const path = Buffer.concat([Buffer.from(folder), Buffer.from("/"), bytes]);
      const stat = lstatSync(path, { bigint: true });
      const common = { name: bytes.toString("latin1"), mode: stat.mode, mtimeMillis: stat.mtimeNs / 1_000_000n };
      if (stat.isSymbolicLink()) return [{ ...common, target: readlinkSync(path, "buffer").toString("hex") }];
      if (stat.isDirectory()) return [common, ...describeTree(path)];
      return [{ ...common, sha256: createHash("sha256").update(readFileSync(path)).digest("hex") }];
    });
}

describe("put and get: the data plane", () => {
  let dir: string;
  let provider: MemoryProvider;
  const at = (...names: string[]) => join(dir, ...names);
  const noise = (bytes: number) => new Uint8Array(randomBytes(bytes));

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "tallystick-put-get-"));
    provider = new MemoryProvider();
    oracle.evaluations = 0;
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  async function put(...inputs: PutInput[]) {
    const observed: { id: string; sizeBytes: number }[] = [];
    const tagger = {
      async add({ id, sealed }: SealedObject) {
        observed.push({ id, sizeBytes: sealed.length });
      },
    };
    const counter = { readBytes: 0, readEntries: 0 };
    const totals = { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 };
    const assembled = await storeTree(openSource(inputs, localFiles), {
      oracle,
      place: onEvery([{ provider, tagger }]),
      domain: "public",
      counter,
      totals,
      onChange: () => undefined,
    });
    return { ...assembled, observed, counter, totals };
  }

  async function get({ dataId, fileKey }: AssembledRoot, folder: string, overwrite = false) {
    const root = openRoot(fileKey, dataId, await provider.fetch(dataId));
    const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
    const target = await localFiles.openTarget(folder, { dataId, overwrite });
    await restore(root, provider, target, totals, { onStep: () => undefined });
    return totals;
  }

  function makeTree(): string {
    const big = noise(BIG_BYTES);
    mkdirSync(at("in", "nested", "deep", "empty folder"), { recursive: true });
    writeFileSync(at("in", "big"), big);
    writeFileSync(at("in", "nested", "copy of big"), big);
    writeFileSync(at("in", "nested", "deep", "big, longer"), Buffer.concat([big, noise(100)]));
    writeFileSync(at("in", "empty"), "");
    writeFileSync(at("in", "nested", "\u{1f9fe} e\u0301 \u00e9\nnew line"), "unicode");
    writeFileSync(Buffer.concat([Buffer.from(`${at("in")}/`), Buffer.from([0x66, 0xff, 0xfe])]), "not unicode");
    symlinkSync("nested/deep", at("in", "link to folder"));
    symlinkSync("/nowhere/at all", at("in", "nested", "dangling"));
    chmodSync(at("in", "big"), 0o400);
    chmodSync(at("in", "empty"), 0o4755);
    chmodSync(at("in", "nested", "deep"), 0o555);
    utimesSync(at("in", "big"), 5, 1_234_567_890.125);
    utimesSync(at("in", "empty"), new Date(-86_400_000), new Date(-86_400_000));
    utimesSync(at("in", "nested"), 5, 1_000_000_000.124);
    return at("in");
  }

  it("restores bytes, names, links, modes and times", async () => {
    const stored = await put(makeTree());
    const totals = await get(stored, at("out"));
    expect(describeTree(at("out", "in"))).to.deep.equal(describeTree(at("in")));
    expect(totals.entries).to.equal(stored.root.entryCount);
    expect(totals.bytes).to.equal(stored.root.totalBytes);
    expect(stored.root.totalBytes).to.be.greaterThan(63 * MIB);
  });

  it("takes paths and named content in one put, each in its place", async () => {
    writeFileSync(at("b"), "from disk");
    const bytes = new TextEncoder().encode("from memory");
    const stored = await put({ name: "c/in memory", bytes }, at("b"), { name: "a", bytes });
    await get(stored, at("out"));
    expect(readFileSync(at("out", "b"), "utf8")).to.equal("from disk");
    for (const path of ["a", "c/in memory"]) expect(readFileSync(at("out", path), "utf8")).to.equal("from memory");
    expect(lstatSync(at("out", "a")).mode & 0o777).to.equal(0o644);
    expect((await rejection(put(at("b"), { name: "b", bytes }))).check).to.equal("paths");
  });

  it("gives equal input an equal data id, and uploads nothing twice", async () => {
    const tree = makeTree();
    const first = await put(tree);
    expect(first.totals.bytes).to.be.lessThan(25 * MIB);
    const second = await put(tree);
    expect(second.dataId).to.equal(first.dataId);
    expect(second.totals.uploadedObjects).to.equal(0);
    expect(second.observed).to.deep.equal(first.observed);
  });

  it("asks the committee once per distinct content", async () => {
    const content = noise(3 * MIB);
    mkdirSync(at("in"));
    for (let n = 0; n < 5; n += 1) writeFileSync(at("in", `copy ${n}`), content);
    const { observed } = await put(at("in"));
    // Chunks of the content, one of the listing, the root.
    expect(oracle.evaluations).to.equal(observed.length);
  });

  it("finds the order of the data set from the recipe alone", async () => {
    const stored = await put(makeTree());
    const sealed = await provider.fetch(stored.dataId);
    const order: { id: string; sizeBytes: number }[] = [];
    const root = openRoot(stored.fileKey, stored.dataId, sealed);
    for await (const object of objectOrder(stored.dataId, root, sealed.length, provider)) order.push(object);
    expect(order).to.deep.equal(stored.observed);
    expect(new Set(order.map(({ id }) => id)).size).to.equal(order.length);
  });

  it("finds it for a listing of many chunks as well", async () => {
    mkdirSync(at("many"));
    for (let n = 0; n < 5200; n += 1) writeFileSync(at("many", `${n} ${"long name ".repeat(18)}`), "");
    const stored = await put(at("many"));
    expect(stored.root.listingBytes).to.be.greaterThan(MIB);
    const root = openRoot(stored.fileKey, stored.dataId, await provider.fetch(stored.dataId));
    const order: { id: string }[] = [];
    for await (const object of objectOrder(stored.dataId, root, 0, provider)) order.push(object);
    expect(order.map(({ id }) => id)).to.deep.equal(stored.observed.map(({ id }) => id));
    await get(stored, at("out"));
    expect(readdirSync(at("out", "many"))).to.have.length(5200);
  });

  it("re-uploads little of a large file that changed in a few places", async () => {
    const content = noise(64 * MIB);
    writeFileSync(at("file"), content);
    await put(at("file"));
    for (let n = 0; n < 5; n += 1) content[Math.floor((n + 0.5) * 12 * MIB)] = (content[n] ?? 0) ^ 0xff;
    writeFileSync(at("file"), content);
    const { totals } = await put(at("file"));
    expect(totals.uploadedBytes / content.length).to.be.lessThan(0.18);
  });

  it("says which byte of which file is damaged, and leaves no half file under its name", async () => {
    const stored = await put(makeTree());
    const victim = stored.observed[5]?.id ?? "";
    const bytes = provider.objects.get(victim) as Uint8Array;
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    const error = await rejection(get(stored, at("out")));
    expect(error.code).to.equal("INTEGRITY");
    expect(error.details).to.include({ id: victim, path: "in/big" });
    const before = stored.observed.slice(0, 5).reduce((sum, { sizeBytes }) => sum + sizeBytes - 16, 0);
    expect(error.details?.offsetBytes).to.equal(before);
    expect(error.message).to.contain(`byte ${before}`);
    expect(existsSync(at("out", "in", "big"))).to.equal(false);
  });

  it("continues where an interrupted attempt stopped", async () => {
    const stored = await put(makeTree());
    provider.failAfter = 12;
    expect((await rejection(get(stored, at("out")))).code).to.equal("UNREACHABLE");
    provider.failAfter = Number.POSITIVE_INFINITY;
    provider.fetched = [];
    const totals = await get(stored, at("out"));
    expect(totals.downloadedBytes).to.be.lessThan(totals.bytes);
    expect(describeTree(at("out", "in"))).to.deep.equal(describeTree(at("in")));
  });

  it("fetches nothing but the recipe when everything is there already", async () => {
    const stored = await put(makeTree());
    await get(stored, at("out"));
    const totals = await get(stored, at("out"));
    expect(totals.downloadedBytes).to.equal(0);
    expect(describeTree(at("out", "in"))).to.deep.equal(describeTree(at("in")));
  });

  // What is missing, and the rest of the one chunk in which the difference begins.
  for (const [what, missingBytes, damage] of [
    ["is longer", 0, (file: string) => appendFileSync(file, "more")],
    ["is shorter", BIG_BYTES - 10 * MIB, (file: string) => truncateSync(file, 10 * MIB)],
    [
      "differs in the middle",
      1,
      (file: string) => {
        const bytes = readFileSync(file);
        bytes[12 * MIB] = (bytes[12 * MIB] ?? 0) ^ 1;
        writeFileSync(file, bytes);
      },
    ],
  ] as [string, number, (file: string) => void][]) {
    it(`leaves a file alone that ${what}, unless told to overwrite, and then fetches only what differs`, async () => {
      const stored = await put(makeTree());
      await get(stored, at("out"));
      const file = at("out", "in", "big");
      chmodSync(file, 0o600);
      damage(file);
      const found = readFileSync(file);
      const error = await rejection(get(stored, at("out")));
      expect(error).to.include({ code: "CONFLICT", check: "existing file" });
      expect(readFileSync(file).equals(found)).to.equal(true);
      const totals = await get(stored, at("out"), true);
      expect(totals.downloadedBytes).to.be.lessThan(missingBytes + CHUNK_LIMITS.maxBytes + RECIPE_BYTES);
      expect(describeTree(at("out", "in"))).to.deep.equal(describeTree(at("in")));
    });
  }

  it("does not write through links planted in the target, whether to a folder or a file", async () => {
    const stored = await put(makeTree());
    mkdirSync(at("outside"));
    mkdirSync(at("out", "in"), { recursive: true });
    symlinkSync(at("outside"), at("out", "in", "nested"));
    expect((await rejection(get(stored, at("out"), true))).code).to.equal("CONFLICT");
    expect(readdirSync(at("outside"))).to.deep.equal([]);
    rmSync(at("out", "in", "nested"));
    writeFileSync(at("outside", "precious"), "precious");
    rmSync(at("out", "in", "big"), { force: true });
    symlinkSync(at("outside", "precious"), at("out", "in", "big"));
    expect((await rejection(get(stored, at("out")))).code).to.equal("CONFLICT");
    await get(stored, at("out"), true);
    expect(lstatSync(at("out", "in", "big")).isFile()).to.equal(true);
    expect(readFileSync(at("outside", "precious"), "utf8")).to.equal("precious");
  });

  it("does not follow a link planted where a part is put together", async () => {
    const stored = await put(makeTree());
    provider.failAfter = 12;
    await rejection(get(stored, at("out")));
    provider.failAfter = Number.POSITIVE_INFINITY;
    const part = readdirSync(at("out", "in")).find((name) => name.endsWith(".part")) ?? "";
    expect(part).to.not.equal("");
    rmSync(at("out", "in", part));
    writeFileSync(at("precious"), "precious");
    symlinkSync(at("precious"), at("out", "in", part));
    expect((await rejection(get(stored, at("out")))).code).to.equal("DISK_FAILED");
    expect(readFileSync(at("precious"), "utf8")).to.equal("precious");
  });

  it("notices a file that changes while it is put, and returns no data id", async () => {
    writeFileSync(at("file"), noise(12 * MIB));
    let stored = 0;
    const changing = {
      async store(objects: readonly SealedObject[]) {
        if (stored === 0) appendFileSync(at("file"), "more");
        stored += objects.length;
        return { uploaded: new Set<string>() };
      },
    };
    const append = async () => {
      if (stored === 0) appendFileSync(at("file"), "x");
    };
    const work = storeTree(openSource([at("file")], localFiles), {
      oracle,
      place: onEvery([{ provider: changing, tagger: { add: append } }]),
      domain: "public",
      counter: { readBytes: 0, readEntries: 0 },
      totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
      onChange: () => undefined,
    });
    expect((await rejection(work)).code).to.equal("FILE_CHANGED");
  });

  it("derives other keys in another dedup domain", async () => {
    writeFileSync(at("file"), noise(MIB));
    const one = await put(at("file"));
    const other = await storeTree(openSource([at("file")], localFiles), {
      oracle,
      place: onEvery([{ provider }]),
      domain: "team",
      counter: { readBytes: 0, readEntries: 0 },
      totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
      onChange: () => undefined,
    });
    expect(other.dataId).to.not.equal(one.dataId);
    await get(other, at("out"));
    expect(readFileSync(at("out", "file")).equals(readFileSync(at("file")))).to.equal(true);
  });

  it("uploads next to nothing when what was restored is put again", async () => {
    const stored = await put(makeTree());
    await get(stored, at("out"));
    const again = await put(at("out", "in"));
    expect(again.totals.uploadedBytes).to.be.lessThan(MIB);
  });
});
