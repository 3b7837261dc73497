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
import type { ObjectSource } from "../../offchain/agent/read/object-source.ts";
import { InTheWayError } from "../../offchain/agent/read/obstacles.ts";
import { readListing } from "../../offchain/agent/read/read-content.ts";
import { restore } from "../../offchain/agent/read/restore.ts";
import { BUNDLE_LIMITS } from "../../offchain/core/recipe/bundle.ts";
import { CHUNK_LIMITS } from "../../offchain/core/recipe/chunker.ts";
import type { RootRecipe } from "../../offchain/core/recipe/recipe.ts";
import { openRoot, type SealedObject } from "../../offchain/core/recipe/tree.ts";
import type { EntryMetadata } from "../../offchain/core/snapshot/entry-metadata.ts";
import { CountingTarget } from "../helpers/counting-target.ts";
import { pseudoText } from "../helpers/frame-inputs.ts";
import { MemoryOracle, MemoryProvider } from "../helpers/memory-data-plane.ts";
import { streamed } from "../helpers/promises.ts";
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
    const metadata: EntryMetadata[] = [];
    const assembled = await storeTree(openSource(inputs, localFiles), {
      oracle,
      place: onEvery([{ provider, tagger }]),
      domain: "public",
      counter,
      totals,
      onChange: () => undefined,
      onEntry: async (value) => {
        metadata.push(value);
      },
    });
    return { ...assembled, observed, counter, totals, metadata };
  }

  type Stored = AssembledRoot & { readonly metadata?: readonly EntryMetadata[] };

  async function get({ dataId, fileKey, metadata }: Stored, folder: string, overwrite = false) {
    const root = openRoot(fileKey, dataId, await provider.fetch(dataId));
    const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
    const target = await localFiles.openTarget(folder, { dataId, overwrite });
    await restore(root, provider, target, totals, {
      onStep: () => undefined,
      ...(metadata === undefined ? {} : { metadata: streamed(metadata) }),
    });
    return totals;
  }

  async function orderOf({ dataId, fileKey }: AssembledRoot) {
    const sealed = await provider.fetch(dataId);
    const root = openRoot(fileKey, dataId, sealed);
    const order: { id: string; sizeBytes: number }[] = [];
    for await (const object of objectOrder(dataId, root, sealed.length, provider)) order.push(object);
    return order;
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

  for (const [what, input, received] of [
    ["a blob as bytes", { name: "x", bytes: new Blob(["abc"]) }, "{ name, bytes: Blob }"],
    ["a buffer as bytes", { name: "x", bytes: new ArrayBuffer(3) }, "{ name, bytes: ArrayBuffer }"],
    ["text as bytes", { name: "x", bytes: "abc" }, "{ name, bytes: string }"],
    ["a stream as bytes", { name: "x", bytes: new Blob(["abc"]).stream() }, "{ name, bytes: ReadableStream }"],
    ["numbers as bytes", { name: "x", bytes: [1, 2, 3] }, "{ name, bytes: Array }"],
    ["bytes as a blob", { name: "x", blob: new Uint8Array(3) }, "{ name, blob: Uint8Array }"],
    ["text as a stream", { name: "x", stream: "abc" }, "{ name, stream: string }"],
    ["another key", { name: "x", content: new Uint8Array(3) }, "{ name, content }"],
    ["two contents", { name: "x", bytes: new Uint8Array(3), blob: new Blob() }, "{ name, bytes, blob }"],
    ["bytes without a name", { bytes: new Uint8Array(3) }, "{ bytes }"],
    ["a blob without a name", new Blob(["abc"]), "Blob"],
    ["nothing", null, "null"],
  ] as const) {
    it(`refuses ${what}, and says what an input may be`, async () => {
      const error = await rejection(put(input as unknown as PutInput));
      expect(error).to.include({ code: "INVALID_INPUT", received });
      expect(error.expected).to.contain("{ name, bytes: Uint8Array }, { name, blob: Blob } or { name, stream");
    });
  }

  it("gives equal input an equal data id, and uploads nothing twice", async () => {
    const tree = makeTree();
    const first = await put(tree);
    expect(first.totals.bytes).to.be.lessThan(25 * MIB);
    const second = await put(tree);
    expect(second.dataId).to.equal(first.dataId);
    expect(second.totals.uploadedObjects).to.equal(0);
    expect(second.observed).to.deep.equal(first.observed);
  });

  it("gives equal content one data id whatever its modes and times, and restores it without them", async () => {
    const first = await put(makeTree());
    chmodSync(at("in", "nested", "deep"), 0o755);
    chmodSync(at("in", "big"), 0o600);
    utimesSync(at("in", "big"), 5, 1_600_000_000);
    const second = await put(at("in"));
    expect(second.dataId).to.equal(first.dataId);
    expect(second.totals.uploadedObjects).to.equal(0);
    expect(second.metadata).to.not.deep.equal(first.metadata);
    await get(
      { dataId: first.dataId, fileKey: first.fileKey, root: first.root, rootBytes: first.rootBytes },
      at("out"),
    );
    const found = describeTree(at("out", "in")) as { mode: bigint; sha256?: string; target?: string }[];
    for (const { mode, sha256, target } of found) {
      if (target === undefined) expect(Number(mode & 0o7777n)).to.equal(sha256 === undefined ? 0o755 : 0o644);
    }
    const contents = (tree: Record<string, unknown>[]) =>
      tree.map(({ name, sha256, target }) => [name, sha256, target]);
    expect(contents(found)).to.deep.equal(contents(describeTree(at("in"))));
  });

  it("refuses metadata of another listing", async () => {
    const stored = await put(makeTree());
    const metadata = stored.metadata;
    const fewer = await rejection(get({ ...stored, metadata: metadata.slice(1) }, at("out")));
    expect(fewer).to.include({ code: "INTEGRITY", check: "number of entries", received: "fewer" });
    const more = await rejection(get({ ...stored, metadata: [...metadata, ...metadata.slice(0, 1)] }, at("out 2")));
    expect(more).to.include({ code: "INTEGRITY", check: "number of entries", received: "more" });
  });

  it("compresses what shrinks and leaves alone what does not", async () => {
    const text = pseudoText("put", 8 * MIB);
    writeFileSync(at("text"), text);
    const compressed = await put(at("text"));
    expect(compressed.totals.bytes).to.be.lessThan(4 * MIB);
    expect((await get(compressed, at("out"))).bytes).to.equal(text.length);
    expect(Buffer.compare(readFileSync(at("out", "text")), text)).to.equal(0);
    writeFileSync(at("noise"), noise(8 * MIB));
    expect((await put(at("noise"))).totals.bytes).to.be.within(8 * MIB, 8 * MIB + RECIPE_BYTES);
    expect(await orderOf(compressed)).to.deep.equal(compressed.observed);
  });

  describe("bundles", () => {
    /** Folders of small files among others: empty ones, large ones, links. */
    function makeSmallFiles(count: number): string {
      for (let n = 0; n < count; n += 1) {
        const folder = at("in", `folder ${n % 7}`);
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, `small ${n}`), n % 3 === 0 ? pseudoText(`${n}`, 1 + n * 13) : noise(1 + n * 11));
      }
      writeFileSync(at("in", "folder 1", "empty"), "");
      writeFileSync(at("in", "folder 2", "large"), noise(12 * MIB));
      writeFileSync(at("in", "folder 2", "threshold"), noise(BUNDLE_LIMITS.fileBytes));
      writeFileSync(at("in", "folder 2", "threshold, exceeded"), noise(BUNDLE_LIMITS.fileBytes + 1));
      symlinkSync("large", at("in", "folder 2", "link"));
      return at("in");
    }

    it("carry small files in few objects, with one evaluation each, and give them back", async () => {
      const stored = await put(makeSmallFiles(1000));
      expect(stored.observed.length).to.be.lessThan(50);
      expect(oracle.evaluations).to.be.at.most(stored.observed.length);
      provider.fetched = [];
      await get(stored, at("out"));
      expect(describeTree(at("out", "in"))).to.deep.equal(describeTree(at("in")));
      expect(new Set(provider.fetched).size, "an object that was fetched twice").to.equal(provider.fetched.length);
      expect(await orderOf(stored)).to.deep.equal(stored.observed);
    });

    it("are the same for the same tree, and few change with a file", async () => {
      const tree = makeSmallFiles(1000);
      const first = await put(tree);
      expect((await put(tree)).totals.uploadedObjects).to.equal(0);
      writeFileSync(at("in", "folder 3", "small 500"), noise(500));
      const changed = await put(tree);
      expect(changed.dataId).to.not.equal(first.dataId);
      // The bundle of the file, the listing, the root.
      expect(changed.totals.uploadedObjects).to.be.at.most(4);
    });

    it("are written at the latest after 4096 entries, and the order of objects is found all the same", async () => {
      const inputs = Array.from({ length: 4200 }, (_, n): PutInput => {
        const bytes =
          n === 10 || n === 4150 ? noise(1000) : n % 500 === 0 || n === 4120 ? noise(BUNDLE_LIMITS.fileBytes + n) : [];
        return { name: `${String(n).padStart(5, "0")} ${"long name ".repeat(30)}`, bytes: Uint8Array.from(bytes) };
      });
      const stored = await put(...inputs);
      expect(stored.root.listingBytes).to.be.greaterThan(MIB);
      expect(await orderOf(stored)).to.deep.equal(stored.observed);
    });

    it("are stored once, most of them, when a folder of small files is there twice", async () => {
      let bytes = 0;
      for (let n = 0; n < 80; n += 1) {
        const content = noise(100_000 + n);
        bytes += content.length;
        for (const copy of ["a", "b"]) {
          mkdirSync(at("in", copy), { recursive: true });
          writeFileSync(at("in", copy, `${n + 10}`), content);
        }
      }
      const stored = await put(at("in"));
      expect(stored.totals.bytes).to.be.lessThan(1.7 * bytes);
      expect(await orderOf(stored)).to.deep.equal(stored.observed);
      await get(stored, at("out"));
      expect(describeTree(at("out", "in"))).to.deep.equal(describeTree(at("in")));
    });

    it("name file, offset and object when one is damaged, and when it has another length", async () => {
      const stored = await put(makeSmallFiles(100));
      const root = openRoot(stored.fileKey, stored.dataId, await provider.fetch(stored.dataId));
      const bundles = new Map<string, string>();
      for await (const { content, path } of filesOf(root)) {
        if ("segment" in content && !bundles.has(content.segment.id)) bundles.set(content.segment.id, path);
      }
      for (const [id, path] of bundles) {
        const sealed = provider.objects.get(id) ?? new Uint8Array(0);
        const damaged = sealed.slice();
        damaged[5] = (damaged[5] ?? 0) ^ 1;
        for (const bytes of [damaged, sealed.subarray(1)]) {
          const lying: ObjectSource = { fetch: async (asked) => (asked === id ? bytes : await provider.fetch(asked)) };
          const target = new CountingTarget();
          const error = await rejection(
            restore(root, lying, target, { entries: 0, bytes: 0, downloadedBytes: 0 }, { onStep: () => undefined }),
          );
          expect(error).to.include({ code: "INTEGRITY", party: "provider" });
          expect(error.details).to.include({ id, path, offsetBytes: 0 });
        }
      }
    });

    async function* filesOf(root: RootRecipe) {
      for await (const entry of readListing(root, provider)) if (entry.type === "file") yield entry;
    }
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
    const order = await orderOf(stored);
    expect(order).to.deep.equal(stored.observed);
    expect(new Set(order.map(({ id }) => id)).size).to.equal(order.length);
  });

  it("finds it for a listing of many chunks as well", async () => {
    mkdirSync(at("many"));
    for (let n = 0; n < 5600; n += 1) writeFileSync(at("many", `${n} ${"long name ".repeat(18)}`), "");
    const stored = await put(at("many"));
    expect(stored.root.listingBytes).to.be.greaterThan(MIB);
    expect(await orderOf(stored)).to.deep.equal(stored.observed);
    await get(stored, at("out"));
    expect(readdirSync(at("out", "many"))).to.have.length(5600);
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
    const before = stored.observed.slice(0, 5).reduce((sum, { sizeBytes }) => sum + sizeBytes - 17, 0);
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

  it("fetches nothing but recipe and bundles when everything is there already", async () => {
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

  describe("beside what is in the way", () => {
    /** Restores without overwriting, or with it. @returns what was left, in words, and bytes that were fetched */
    async function getBeside(stored: Stored, overwrite = false) {
      const root = openRoot(stored.fileKey, stored.dataId, await provider.fetch(stored.dataId));
      const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
      const target = await localFiles.openTarget(at("out"), { dataId: stored.dataId, overwrite });
      const left: string[] = [];
      let fetchedBytes = 0;
      const source: ObjectSource = {
        async fetch(id) {
          const sealed = await provider.fetch(id);
          fetchedBytes += sealed.length;
          return sealed;
        },
      };
      await restore(root, source, target, totals, {
        onStep: () => undefined,
        onLeft: ({ path, error }) => left.push(`${path}: ${error.details?.path}`),
      });
      return { left, fetchedBytes, entries: totals.entries };
    }

    it("restores everything else, replaces nothing, and names every entry that is left", async () => {
      for (const folder of ["in", "out"]) mkdirSync(at(folder, "in", "f", "sub"), { recursive: true });
      const names = ["a", "b", "c", "f/file", "f/sub/deep", "f/z", "z"];
      for (const name of names) writeFileSync(at("in", "in", name), `stored ${name}`);
      symlinkSync("stored", at("in", "in", "l"));
      symlinkSync("stored", at("in", "in", "m"));
      // Another content of one length, another length, a folder, a file, another link, a file: each in the way.
      writeFileSync(at("out", "in", "a"), "not it a");
      writeFileSync(at("out", "in", "b"), "longer than what is stored");
      mkdirSync(at("out", "in", "c"));
      rmSync(at("out", "in", "f"), { recursive: true });
      writeFileSync(at("out", "in", "f"), "no folder");
      symlinkSync("mine", at("out", "in", "l"));
      writeFileSync(at("out", "in", "m"), "no link");
      const before = describeTree(at("out", "in")).filter(({ name }) => name !== "z");
      const stored = await put(at("in", "in"));
      const { left, entries } = await getBeside(stored);
      const is = (path: string, what = path) => `in/${path}: ${at("out", "in", what)}`;
      expect(left.sort()).to.deep.equal(
        [is("a"), is("b"), is("c"), is("f"), is("l"), is("m")]
          .concat(["f/file", "f/sub", "f/sub/deep", "f/z"].map((path) => is(path, "f")))
          .sort(),
      );
      expect(entries).to.equal(2);
      expect(readFileSync(at("out", "in", "z"), "utf8")).to.equal("stored z");
      const times = ({ name, mtimeMillis: _, ...rest }: Record<string, unknown>) => ({ name, ...rest });
      const after = describeTree(at("out", "in")).filter(({ name }) => name !== "z");
      expect(after.map(times)).to.deep.equal(before.map(times));
      const again = await getBeside(stored, true);
      expect(again.left.sort(), "what --overwrite does not replace").to.deep.equal(
        [is("c"), is("f"), ...["f/file", "f/sub", "f/sub/deep", "f/z"].map((path) => is(path, "f"))].sort(),
      );
      expect(readFileSync(at("out", "in", "a"), "utf8")).to.equal("stored a");
    });

    it("fetches nothing of a large file that differs", async () => {
      mkdirSync(at("in"));
      writeFileSync(at("in", "big"), noise(BIG_BYTES));
      const stored = await put(at("in"));
      for (const change of [(file: Buffer) => file.fill(0, 0, 10), (file: Buffer) => file.subarray(1)]) {
        mkdirSync(at("out", "in"), { recursive: true });
        writeFileSync(at("out", "in", "big"), change(readFileSync(at("in", "big"))));
        const { left, fetchedBytes } = await getBeside(stored);
        expect(left).to.deep.equal([`in/big: ${at("out", "in", "big")}`]);
        expect(fetchedBytes).to.be.lessThan(RECIPE_BYTES);
      }
    });

    it("throws the first in the end when nobody is told, with the rest restored", async () => {
      mkdirSync(at("in"));
      mkdirSync(at("out", "in"), { recursive: true });
      for (const name of ["a", "b"]) writeFileSync(at("in", name), name);
      writeFileSync(at("out", "in", "a"), "mine");
      const error = await rejection(get(await put(at("in")), at("out")));
      expect(error).to.be.instanceOf(InTheWayError);
      expect(readFileSync(at("out", "in", "b"), "utf8")).to.equal("b");
    });
  });

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
    await get(stored, at("out"));
    expect(readFileSync(at("precious"), "utf8")).to.equal("precious");
    expect(readdirSync(at("out", "in"))).to.deep.equal(readdirSync(at("in")));
    expect(lstatSync(at("out", "in", "big")).isFile()).to.equal(true);
  });

  it("notices a file that changes while it is put, and returns no data id", async () => {
    // Longer than what is read before anything is stored.
    writeFileSync(at("file"), noise(48 * MIB));
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

  it("uploads nothing when what was restored is put again", async () => {
    const stored = await put(makeTree());
    await get(stored, at("out"));
    const again = await put(at("out", "in"));
    expect(again.dataId).to.equal(stored.dataId);
    expect(again.totals.uploadedBytes).to.equal(0);
  });
});
