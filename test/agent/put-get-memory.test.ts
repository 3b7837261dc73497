/** Put and get without files: named bytes, blobs and streams in; entries, streams and bytes out. */
import { expect } from "chai";
import { randomBytes } from "#primitives";
import type { AssembledRoot } from "../../offchain/agent/put/assemble.ts";
import type { NamedStream } from "../../offchain/agent/put/named-inputs.ts";
import { measure, openSource, type PutInput } from "../../offchain/agent/put/source.ts";
import { onEvery, type StorageLane } from "../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../offchain/agent/put/store-tree.ts";
import type { ObjectSource } from "../../offchain/agent/read/object-source.ts";
import { findFile, type ReadFile, readBytes, readEntries } from "../../offchain/agent/read/read-entries.ts";
import { restore } from "../../offchain/agent/read/restore.ts";
import type { TallystickError } from "../../offchain/core/errors.ts";
import type { KeyMode } from "../../offchain/core/recipe/recipe.ts";
import { openRoot, type SealedObject } from "../../offchain/core/recipe/tree.ts";
import type { EntryMetadata } from "../../offchain/core/snapshot/entry-metadata.ts";
import { CountingTarget } from "../helpers/counting-target.ts";
import { MemoryOracle, MemoryProvider } from "../helpers/memory-data-plane.ts";
import { collect } from "../helpers/promises.ts";
import { expectAsyncRejection, expectRejection } from "../helpers/rejection.ts";

const MIB = 1024 * 1024;

describe("put and get without files", () => {
  let provider: MemoryProvider;
  const oracle = new MemoryOracle();
  const text = (words: string) => new TextEncoder().encode(words);

  beforeEach(() => {
    provider = new MemoryProvider();
  });

  async function put(
    inputs: readonly PutInput[],
    lanes: readonly StorageLane[] = [{ provider }],
    keyMode: KeyMode = "oprf",
  ) {
    const counter = { readBytes: 0, readEntries: 0 };
    const totals = { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 };
    const source = openSource(inputs, undefined);
    const metadata: EntryMetadata[] = [];
    const onEntry = async (value: EntryMetadata) => {
      metadata.push(value);
    };
    const common = { oracle, place: onEvery(lanes), domain: "public", counter, totals, onChange: () => undefined };
    const stored = await storeTree(source, { ...common, keyMode, onEntry });
    return { ...stored, totals, metadata, measured: await measure(source, undefined) };
  }

  async function rootOf({ dataId, fileKey }: AssembledRoot) {
    return openRoot(fileKey, dataId, await provider.fetch(dataId));
  }

  const entriesOf = async (stored: AssembledRoot) => await collect(readEntries(await rootOf(stored), provider));
  const fileOf = async (stored: AssembledRoot, path?: string) => await findFile(await rootOf(stored), provider, path);

  it("returns bytes, blobs, files and streams of one put unchanged", async () => {
    const [big, blob, page, streamed] = [5 * MIB, 300_000, 70_000, 3 * MIB].map(randomBytes) as [
      Uint8Array<ArrayBuffer>,
      Uint8Array<ArrayBuffer>,
      Uint8Array<ArrayBuffer>,
      Uint8Array<ArrayBuffer>,
    ];
    async function* pieces() {
      for (let start = 0; start < streamed.length; start += 100_003) yield streamed.subarray(start, start + 100_003);
    }
    const stored = await put([
      { name: "b/big", bytes: big },
      { name: "blob", blob: new Blob([blob]), mtime: new Date(1_500_000_000_123) },
      new File([page], "page.html", { lastModified: 1_600_000_000_456 }),
      { name: "b/c/streamed", stream: pieces() },
      { name: "empty", bytes: new Uint8Array(0) },
    ]);
    const entries = await entriesOf(stored);
    expect(
      entries.map(({ path, type }, index) => {
        const { mode, mtimeNanos } = stored.metadata[index] ?? { mode: 0, mtimeNanos: -1n };
        return [path, type, mode.toString(8), mtimeNanos];
      }),
    ).to.deep.equal([
      ["b", "directory", "755", 0n],
      ["b/big", "file", "644", 0n],
      ["b/c", "directory", "755", 0n],
      ["b/c/streamed", "file", "644", 0n],
      ["blob", "file", "644", 1_500_000_000_123_000_000n],
      ["empty", "file", "644", 0n],
      ["page.html", "file", "644", 1_600_000_000_456_000_000n],
    ]);
    const contents = await Promise.all(
      entries.filter((entry): entry is ReadFile => entry.type === "file").map((file) => readBytes(file)),
    );
    for (const [index, bytes] of [big, streamed, blob, new Uint8Array(0), page].entries()) {
      expect(Buffer.compare(contents[index] ?? new Uint8Array(1), bytes), `file ${index}`).to.equal(0);
    }
    // The stream did not say how long it is.
    expect(stored.measured).to.deep.equal({
      entries: 7,
      bytes: big.length + blob.length + page.length,
    });
    expect(stored.root.totalBytes).to.equal(stored.measured.bytes + streamed.length);
  });

  it("gives equal content under equal names one data id, for every kind of input", async () => {
    const bytes = randomBytes(2 * MIB) as Uint8Array<ArrayBuffer>;
    const first = await put([{ name: "a", bytes }]);
    expect((await put([{ name: "a", blob: new Blob([bytes]) }])).dataId).to.equal(first.dataId);
    const file = new File([bytes], "a", { lastModified: 1_600_000_000_000 });
    expect((await put([file])).dataId).to.equal(first.dataId);
  });

  it("keeps the folders of files that a page chose as a folder", async () => {
    const file = Object.defineProperty(new File(["x"], "a.jpg"), "webkitRelativePath", { value: "trip/day 1/a.jpg" });
    const paths = (await entriesOf(await put([file]))).map(({ path }) => path);
    expect(paths).to.deep.equal(["trip", "trip/day 1", "trip/day 1/a.jpg"]);
  });

  it("is not disturbed by a producer that uses its buffer again", async () => {
    const buffer = new Uint8Array(400_000);
    async function* pieces() {
      for (const fill of [1, 2, 3]) yield buffer.fill(fill);
    }
    const bytes = await readBytes(await fileOf(await put([{ name: "s", stream: pieces() }])));
    expect([bytes[0], bytes[400_000], bytes[800_000], bytes.length]).to.deep.equal([1, 2, 3, 1_200_000]);
  });

  it("reads a stream no faster than it stores, and stops reading when storing fails", async () => {
    let made = 0;
    let stored = 0;
    let ended = false;
    let furthest = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        made += MIB;
        furthest = Math.max(furthest, made - stored);
        controller.enqueue(randomBytes(MIB));
      },
      cancel() {
        ended = true;
      },
    });
    const slow = {
      async store(objects: readonly SealedObject[]) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        for (const { sealed } of objects) stored += sealed.length;
        if (stored > 120 * MIB) throw new TypeError("enough");
        return { uploaded: new Set<string>() };
      },
    };
    const failure = await put([{ name: "endless", stream }], [{ provider: slow }]).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(TypeError);
    expect(ended).to.equal(true);
    // Two batches for the committee, three groups for the provider, and what is being framed and sealed.
    expect(furthest / MIB).to.be.lessThan(80);
  });

  for (const [what, inputs, check] of [
    ["no input", [], "paths"],
    [
      "a name twice",
      [
        { name: "a", bytes: text("1") },
        { name: "a", bytes: text("2") },
      ],
      "names of the inputs",
    ],
    [
      "a file as a folder",
      [
        { name: "a", bytes: text("1") },
        { name: "a/b", bytes: text("2") },
      ],
      "names of the inputs",
    ],
    ["a name that leads out", [{ name: "../a", bytes: text("1") }], "path component"],
    ["an absolute name", [{ name: "/a", bytes: text("1") }], "path component"],
    ["an empty name", [{ name: "", bytes: text("1") }], "path"],
    ["a path where there are no files", ["/etc/hostname"], "paths"],
  ] as [string, PutInput[], string][]) {
    it(`refuses ${what}`, () => {
      expect(expectRejection(() => openSource(inputs, undefined), "INVALID_INPUT").check).to.equal(check);
    });
  }

  it("refuses a stream that is shorter than announced, one that breaks, and one that is not bytes", async () => {
    async function* short() {
      yield text("abc");
    }
    async function* words() {
      yield "abc";
    }
    const broken = new ReadableStream<Uint8Array>({
      pull() {
        throw new Error("the network went away");
      },
    });
    const stream = (source: unknown) => ({ name: "s", stream: source }) as NamedStream;
    const changed = await expectAsyncRejection(() => put([{ ...stream(short()), sizeBytes: 4 }]), "FILE_CHANGED");
    expect(changed).to.include({ expected: "4 bytes", received: "3 bytes" });
    await expectAsyncRejection(() => put([stream(broken)]), "FILE_UNREADABLE", /the network went away/);
    await expectAsyncRejection(() => put([stream(words())]), "INVALID_INPUT", /does not consist of bytes/);
  });

  it("tags and stores with each provider what was placed with it, before anything is tagged twice", async () => {
    const second = new MemoryProvider();
    const seen: string[][] = [[], []];
    const lane = (store: MemoryProvider, position: number): StorageLane => ({
      provider: store,
      tagger: {
        async add({ id }) {
          expect(store.objects.has(id)).to.equal(false);
          seen[position]?.push(id);
        },
      },
    });
    const bytes = randomBytes(3 * MIB);
    const { totals } = await put([{ name: "a", bytes }], [lane(provider, 0), lane(second, 1)]);
    expect([...provider.objects.keys()]).to.have.members(seen[0] ?? []);
    expect(seen[1]).to.deep.equal(seen[0]);
    expect([...second.objects.keys()]).to.have.members(seen[0] ?? []);
    expect(totals.objects).to.equal(2 * provider.objects.size);
  });

  describe("in key mode merkle", () => {
    const merkle = async (inputs: readonly PutInput[]) => await put(inputs, [{ provider }], "merkle");

    it("needs one evaluation per file, and gives everything back", async () => {
      const contents = [12 * MIB, 3 * MIB, 300_000, 1000, 0].map(randomBytes);
      const before = oracle.evaluations;
      const stored = await merkle(contents.map((bytes, n) => ({ name: `${n}`, bytes })));
      expect(stored.root.keyMode).to.equal("merkle");
      // Three files, one bundle, the listing's chunk, the root.
      expect(oracle.evaluations - before).to.equal(6);
      for (const [n, bytes] of contents.entries()) {
        expect(Buffer.compare(await readBytes(await fileOf(stored, `${n}`)), bytes), `file ${n}`).to.equal(0);
      }
    });

    it("stores equal files once and equal chunks of different files twice", async () => {
      const bytes = randomBytes(5 * MIB);
      const longer = Buffer.concat([bytes, randomBytes(MIB)]);
      const copies = await merkle([
        { name: "a", bytes },
        { name: "b", bytes },
      ]);
      expect(copies.totals.bytes).to.be.lessThan(5.1 * MIB);
      const chunksOfA = provider.objects.size;
      expect((await merkle([{ name: "other name", bytes }])).totals.uploadedObjects).to.equal(2);
      const other = await merkle([{ name: "c", bytes: longer }]);
      expect(other.totals.uploadedBytes).to.be.greaterThan(6 * MIB);
      expect(chunksOfA).to.be.greaterThan(3);
      const oprf = await put([{ name: "c", bytes: longer }]);
      await put([{ name: "a", bytes }]);
      expect(oprf.dataId).to.not.equal(other.dataId);
    });

    it("reads a long file a second time, and notices when it has changed in between", async () => {
      const bytes = randomBytes(20 * MIB);
      let readings = 0;
      const changing = new Blob([bytes as Uint8Array<ArrayBuffer>]);
      const stream = changing.stream.bind(changing);
      changing.stream = () => {
        readings += 1;
        return stream();
      };
      const stored = await merkle([{ name: "a", blob: changing }]);
      expect(readings).to.equal(2);
      expect(Buffer.compare(await readBytes(await fileOf(stored)), bytes)).to.equal(0);
      const other = bytes.slice();
      other[15 * MIB] = (other[15 * MIB] ?? 0) ^ 1;
      changing.stream = () => {
        readings += 1;
        return new Blob([(readings === 4 ? other : bytes) as Uint8Array<ArrayBuffer>]).stream();
      };
      const error = await expectAsyncRejection(() => merkle([{ name: "a", blob: changing }]), "FILE_CHANGED");
      expect(error.check).to.contain("second reading");
    });

    it("holds a short stream, and refuses a long one, which cannot be read twice", async () => {
      async function* pieces(count: number) {
        for (let n = 0; n < count; n += 1) yield randomBytes(MIB);
      }
      const short = await merkle([{ name: "s", stream: pieces(2) }]);
      expect((await readBytes(await fileOf(short))).length).to.equal(2 * MIB);
      await expectAsyncRejection(
        () => merkle([{ name: "s", stream: pieces(20) }]),
        "INVALID_INPUT",
        /too long for key/,
      );
    });
  });

  describe("one file", () => {
    it("is fetched as it is read, a bounded part ahead", async () => {
      const stored = await put([{ name: "a", bytes: randomBytes(60 * MIB) }]);
      const file = await fileOf(stored);
      provider.fetched = [];
      const reader = file.stream().getReader();
      await reader.read();
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(provider.fetched.length).to.be.within(2, 12);
      await reader.cancel();
      const fetched = provider.fetched.length;
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(provider.fetched.length).to.equal(fetched);
    });

    it("stops fetching when its stream is cancelled: nothing is under way once that is done", async () => {
      const stored = await put([{ name: "a", bytes: randomBytes(12 * MIB) }]);
      const root = await rootOf(stored);
      let underWay = 0;
      const slow: ObjectSource = {
        async fetch(id) {
          underWay += 1;
          await new Promise((resolve) => setTimeout(resolve, 10));
          underWay -= 1;
          return await provider.fetch(id);
        },
      };
      const reader = (await findFile(root, slow, "a")).stream().getReader();
      await reader.read();
      expect(underWay).to.be.greaterThan(0);
      await reader.cancel();
      expect(underWay).to.equal(0);
    });

    it("is found by its path, or as the only one", async () => {
      const stored = await put([
        { name: "a", bytes: text("one") },
        { name: "f/b", bytes: text("two") },
      ]);
      expect(new TextDecoder().decode(await readBytes(await fileOf(stored, "f/b")))).to.equal("two");
      await expectAsyncRejection(() => fileOf(stored, "f"), "NOT_FOUND");
      await expectAsyncRejection(() => fileOf(stored), "INVALID_INPUT", /not a single file/);
      const single = await put([{ name: "f/b", bytes: text("two") }]);
      expect((await fileOf(single)).path).to.equal("f/b");
    });

    it("is not returned as one array when it is larger than allowed", async () => {
      const file = await fileOf(await put([{ name: "a", bytes: randomBytes(1000) }]));
      await expectAsyncRejection(() => readBytes(file, 999), "INVALID_INPUT", /too large/);
      expect(await readBytes(file, 1000)).to.have.length(1000);
    });

    it("fails at the damaged byte and says where it is", async () => {
      const stored = await put([{ name: "a", bytes: randomBytes(9 * MIB) }]);
      const root = await rootOf(stored);
      provider.fetched = [];
      await readBytes(await findFile(root, provider, undefined));
      const victim = provider.fetched.at(-1) ?? "";
      const damaged = provider.objects.get(victim) ?? new Uint8Array(1);
      damaged[5] = (damaged[5] ?? 0) ^ 1;
      const error: TallystickError = await expectAsyncRejection(
        async () => readBytes(await fileOf(stored)),
        "INTEGRITY",
      );
      expect(error.details).to.include({ path: "a", id: victim });
      expect(error.details?.offsetBytes).to.be.greaterThan(MIB);
    });
  });

  it("restores into a target that is no folder, in listing order, and skips what the target has", async () => {
    const stored = await put([
      { name: "a", bytes: randomBytes(3 * MIB) },
      { name: "f/b", bytes: text("two") },
    ]);
    const target = new CountingTarget();
    const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
    await restore(await rootOf(stored), provider, target, totals, { onStep: () => undefined });
    expect(target.calls).to.deep.equal(["file a", "folder f", "file f/b", "finish"]);
    expect(totals).to.deep.equal({ entries: 3, bytes: 3 * MIB + 3, downloadedBytes: 3 * MIB + 3 });
    expect(target.files.get("f/b")).to.deep.equal(text("two"));
    const again = { entries: 0, bytes: 0, downloadedBytes: 0 };
    await restore(await rootOf(stored), provider, target, again, { onStep: () => undefined });
    expect(again).to.deep.equal({ ...totals, downloadedBytes: 0 });
  });
});
