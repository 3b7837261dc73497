/** Trees of snapshots on providers in memory: compared, measured, verified, released. */
import { expect } from "chai";
import { randomBytes } from "#primitives";
import { openSource, type PutInput } from "../../../offchain/agent/put/source.ts";
import { onEvery } from "../../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../../offchain/agent/put/store-tree.ts";
import { objectOrder } from "../../../offchain/agent/read/object-order.ts";
import { diffTrees } from "../../../offchain/agent/snapshots/diff.ts";
import { MetadataUpload } from "../../../offchain/agent/snapshots/metadata-upload.ts";
import { readMetadata } from "../../../offchain/agent/snapshots/read-metadata.ts";
import { shortenPaths } from "../../../offchain/agent/snapshots/record-snapshot.ts";
import { releaseUnneeded, unneededObjects } from "../../../offchain/agent/snapshots/release.ts";
import { metadataObjects, snapshotObjects } from "../../../offchain/agent/snapshots/snapshot-objects.ts";
import { type SnapshotTree, treeEntries } from "../../../offchain/agent/snapshots/snapshot-tree.ts";
import { measureTrees } from "../../../offchain/agent/snapshots/stats.ts";
import { verifyTree } from "../../../offchain/agent/snapshots/verify.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { openRoot } from "../../../offchain/core/recipe/tree.ts";
import type { NamedMetadata, Snapshot } from "../../../offchain/core/snapshot/snapshot.ts";
import { MemoryListKeeper, MemoryOracle } from "../../helpers/memory-data-plane.ts";
import { collect } from "../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { SNAPSHOT_KEYS, snapshotOf, vectors } from "../../helpers/snapshots.ts";

const MIB = 1024 * 1024;
const text = (words: string) => new TextEncoder().encode(words);
const file = (name: string, bytes: Uint8Array | string, mtime = 0) => ({
  name,
  bytes: (typeof bytes === "string" ? text(bytes) : bytes) as Uint8Array<ArrayBuffer>,
  mtime: new Date(mtime),
});

describe("trees of snapshots", () => {
  let provider: MemoryListKeeper;
  let count = 0;
  const oracle = new MemoryOracle();
  const large = pseudoRandomBytes("large", 5 * MIB);

  beforeEach(() => {
    provider = new MemoryListKeeper(vectors.provider);
  });

  async function put(inputs: readonly PutInput[]): Promise<SnapshotTree & { snapshot: Snapshot; fileKey: Uint8Array }> {
    const totals = { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 };
    const metadata = new MetadataUpload(SNAPSHOT_KEYS, [provider], totals);
    const { dataId, fileKey } = await storeTree(openSource(inputs, undefined), {
      oracle,
      place: onEvery([{ provider }]),
      domain: "public",
      counter: { readBytes: 0, readEntries: 0 },
      totals,
      onChange: () => undefined,
      onEntry: (entry) => metadata.push(entry),
    });
    const metadataId = await metadata.finish();
    const sealed = await provider.fetch(dataId);
    const totalsOf = { entries: 1, bytes: 1, addedObjects: totals.uploadedObjects, addedBytes: totals.uploadedBytes };
    return {
      dataId,
      fileKey,
      snapshot: snapshotOf(count++, { dataId, metadataId, totals: totalsOf }),
      root: openRoot(fileKey, dataId, sealed),
      rootBytes: sealed.length,
      source: provider,
      metadata: () => readMetadata(SNAPSHOT_KEYS, metadataId, provider),
    };
  }

  const pathsOf = async (tree: SnapshotTree, path?: string) =>
    (await collect(treeEntries(tree, path))).map((entry) => entry.path);

  it("have entries with their metadata, whole or below a path", async () => {
    const tree = await put([file("a/b/one", "1", 5000), file("a/b.txt", "2"), file("a/bc", "3"), file("d", "4")]);
    const entries = await collect(treeEntries(tree));
    expect(entries.map(({ path, metadata }) => [path, metadata?.mode.toString(8), metadata?.mtimeNanos])).to.deep.equal(
      [
        ["a", "755", 0n],
        ["a/b", "755", 0n],
        ["a/b/one", "644", 5_000_000_000n],
        ["a/b.txt", "644", 0n],
        ["a/bc", "644", 0n],
        ["d", "644", 0n],
      ],
    );
    expect(await pathsOf(tree, "a/b")).to.deep.equal(["a/b", "a/b/one"]);
    expect(await pathsOf(tree, "d")).to.deep.equal(["d"]);
    const error = await expectAsyncRejection(() => pathsOf(tree, "a/x"), "NOT_FOUND");
    expect(error.received).to.equal('"a/x"');
  });

  it("add nothing when nothing has changed: the same data id, the same metadata, no new object", async () => {
    const inputs = [file("a", large), file("b/c", "small", 1000)];
    const first = await put(inputs);
    const before = provider.objects.size;
    const second = await put(inputs);
    expect(second.dataId).to.equal(first.dataId);
    expect(second.snapshot.metadataId).to.equal(first.snapshot.metadataId);
    expect(provider.objects.size).to.equal(before);
    expect(second.snapshot.totals).to.include({ addedObjects: 0, addedBytes: 0 });
  });

  it("keep the data id, and have other metadata, when only a time has changed", async () => {
    const first = await put([file("a", large, 1000)]);
    const second = await put([file("a", large, 2000)]);
    expect(second.dataId).to.equal(first.dataId);
    expect(second.snapshot.metadataId).to.not.equal(first.snapshot.metadataId);
    expect(await collect(diffTrees(first, second))).to.deep.equal([
      { kind: "metadata", path: "a", type: "file", bytesBefore: large.length, bytesAfter: large.length },
    ]);
  });

  it("are compared entry by entry: added, removed, changed, and small files by their bytes", async () => {
    const small = Array.from({ length: 30 }, (_, k) => file(`dir/${String(k).padStart(2, "0")}`, `content ${k}`));
    const before = await put([...small, file("large", large), file("gone", "x"), file("kind", "file")]);
    // A change in front moves the others of the bundle, whose contents stay.
    const after = await put([
      file("dir/00", "another, longer content"),
      ...small.slice(1),
      file("large", large.slice().fill(7, 100, 200)),
      file("new", "y"),
      file("kind/of", "folder"),
    ]);
    const changes = (await collect(diffTrees(before, after))).map(({ kind, path, type }) => [kind, path, type]);
    expect(changes).to.deep.equal([
      ["changed", "dir/00", "file"],
      ["removed", "gone", "file"],
      ["changed", "kind", "directory"],
      ["added", "kind/of", "file"],
      ["changed", "large", "file"],
      ["added", "new", "file"],
    ]);
    expect(await collect(diffTrees(before, before))).to.deep.equal([]);
    expect(await collect(diffTrees(before, { ...before, metadata: () => undefined }))).to.deep.equal([]);
  });

  it("are measured: what each needs, what only it needs, and all together", async () => {
    const common = pseudoRandomBytes("common", 3 * MIB);
    const own = pseudoRandomBytes("own", 2 * MIB);
    const first = await put([file("common", common)]);
    const second = await put([file("common", common), file("own", own)]);
    async function* trees() {
      yield* [first, second];
    }
    const report = await measureTrees(trees(), (tree) => snapshotObjects(SNAPSHOT_KEYS, tree));
    expect(report.total).to.include({ snapshots: 2, bytes: 8 * MIB, objects: provider.objects.size });
    const stored = [...provider.objects.values()].reduce((sum, { length }) => sum + length, 0);
    expect(report.total.storedBytes).to.equal(stored);
    const [one, other] = report.snapshots;
    expect(one?.uniqueBytes).to.be.lessThan(2000);
    expect(other?.uniqueBytes).to.be.within(2 * MIB, 2 * MIB + 2000);
    expect((one?.storedBytes ?? 0) + (other?.uniqueBytes ?? 0)).to.equal(stored);
  });

  describe("when verified", () => {
    it("are read in full, each object once, whatever shares it", async () => {
      const tree = await put([file("a", large), file("b", large), file("c", "small"), file("d", "small too")]);
      provider.fetched = [];
      const report = await verifyTree(tree, undefined);
      expect(report).to.deep.include({ entries: 4, damaged: [] });
      expect(report.bytes).to.equal(2 * large.length + 14);
      expect(report).to.not.have.property("metadataError");
      expect(new Set(provider.fetched).size).to.equal(provider.objects.size - 1);
      expect(provider.fetched.length).to.equal(provider.objects.size - 1);
    });

    it("name every file of a lost or damaged object, and go on", async () => {
      const other = pseudoRandomBytes("other", 3 * MIB);
      const tree = await put([
        file("1", large),
        file("2", large),
        file("3", other),
        file("4", "small"),
        file("5", "tiny"),
      ]);
      const objects = await collect(objectOrder(tree.dataId, tree.root, tree.rootBytes, provider));
      const [lost, damaged] = [objects[1]?.id ?? "", objects.at(-3)?.id ?? ""];
      const bundle = provider.objects.get(damaged);
      provider.objects.delete(lost);
      provider.objects.set(damaged, (bundle ?? new Uint8Array(9)).with(2, 0));
      const report = await verifyTree(tree, undefined);
      expect(report.damaged.map(({ path, error }) => [path, error.code])).to.deep.equal([
        ["1", "NOT_FOUND"],
        ["2", "NOT_FOUND"],
        ["4", "INTEGRITY"],
        ["5", "INTEGRITY"],
      ]);
      expect(report.entries).to.equal(5);
      expect((await verifyTree(tree, "3")).damaged).to.deep.equal([]);
    });

    it("tell metadata that is lost", async () => {
      const tree = await put([file("a", "x")]);
      provider.objects.delete(tree.snapshot.metadataId);
      const report = await verifyTree(tree, undefined);
      expect([report.damaged, report.metadataError?.code]).to.deep.equal([[], "NOT_FOUND"]);
    });

    it("fail when the provider does, instead of calling everything damaged", async () => {
      const tree = await put([file("a", large)]);
      provider.failAfter = provider.fetched.length + 2;
      await expectAsyncRejection(() => verifyTree(tree, undefined), "UNREACHABLE");
    });
  });

  describe("when removed", () => {
    const objectsOf = (trees: readonly Awaited<ReturnType<typeof put>>[]) => ({
      async *data(dataId: string) {
        const tree = trees.find((one) => one.dataId === dataId);
        if (tree !== undefined) yield* objectOrder(dataId, tree.root, tree.rootBytes, provider);
      },
      metadata: ({ metadataId }: NamedMetadata) => metadataObjects(SNAPSHOT_KEYS, metadataId, { source: provider }),
    });

    const listOf = (...snapshots: Snapshot[]) => ({
      read: async () => ({ version: 0, snapshots, pages: [], faults: [] }),
    });

    it("leave all that others need, and nothing else", async () => {
      const shared = pseudoRandomBytes("shared", 2 * MIB);
      const kept = await put([file("shared", shared), file("a", "kept", 1)]);
      const needed = new Set(provider.objects.keys());
      const gone = await put([file("shared", shared), file("b", randomBytes(MIB), 2)]);
      const ids = await unneededObjects([gone.snapshot], [kept.snapshot], objectsOf([kept, gone]));
      expect(new Set([...provider.objects.keys()].filter((id) => !needed.has(id)))).to.deep.equal(ids);
      const removal = { removed: [gone.snapshot], replacedPages: ["page"] };
      const list = listOf(kept.snapshot);
      const outcome = await releaseUnneeded(provider, list, removal, objectsOf([kept, gone]));
      expect(outcome).to.include({ unneeded: ids.size + 1, released: ids.size });
      expect(new Set(provider.objects.keys())).to.deep.equal(needed);
      expect((await verifyTree(kept, undefined)).damaged).to.deep.equal([]);
    });

    it("give up nothing while a snapshot of the same data remains, or only other metadata of it", async () => {
      const first = await put([file("a", large, 1000)]);
      const second = await put([file("a", large, 2000)]);
      const trees = objectsOf([first, second]);
      const same = snapshotOf(99, { dataId: first.dataId, metadataId: first.snapshot.metadataId });
      expect((await unneededObjects([same], [first.snapshot], trees)).size).to.equal(0);
      const ids = await unneededObjects([second.snapshot], [first.snapshot], trees);
      expect(ids).to.include(second.snapshot.metadataId);
      expect(ids.size).to.equal(2);
    });

    it("give up nothing when a remaining snapshot cannot be read, and what can be told of a damaged one", async () => {
      const kept = await put([file("a", "kept", 1000)]);
      const gone = await put([file("b", large, 2000)]);
      const trees = objectsOf([kept, gone]);
      provider.objects.delete(gone.snapshot.metadataId);
      expect((await unneededObjects([gone.snapshot], [kept.snapshot], trees)).size).to.be.greaterThan(4);
      provider.objects.delete(kept.snapshot.metadataId);
      await expectAsyncRejection(() => unneededObjects([gone.snapshot], [kept.snapshot], trees), "NOT_FOUND");
      // A device that was stolen lists what is not there.
      const madeUp = { ...kept.snapshot, device: vectors.account };
      expect((await unneededObjects([gone.snapshot], [madeUp], trees)).size).to.be.greaterThan(4);
    });

    it("need a provider that offers to release objects", async () => {
      const removal = { removed: [], replacedPages: ["x"] };
      const outcome = await releaseUnneeded({ release: async () => undefined }, listOf(), removal, objectsOf([]));
      expect(outcome).to.deep.equal({ unneeded: 1, ids: [] });
    });

    it("leave what a snapshot needs that another device lists meanwhile, and a page that it names", async () => {
      const gone = await put([file("shared", large), file("b", randomBytes(MIB), 2)]);
      const late = await put([file("shared", large), file("c", "late", 3)]);
      let version = 0;
      const list = {
        read: async () => ({
          version,
          snapshots: version === 0 ? [] : [late.snapshot],
          pages: version === 0 ? [] : ["page"],
          faults: [],
        }),
      };
      const release = async (ids: readonly string[], expected: number) => {
        // The other device comes first, once.
        version = 1;
        if (expected !== version) throw new TallystickError("another head", { code: "CONFLICT" });
        for (const id of ids) provider.objects.delete(id);
        return { released: ids.length };
      };
      const removal = { removed: [gone.snapshot], replacedPages: ["page", "other page"] };
      const outcome = await releaseUnneeded({ release }, list, removal, objectsOf([gone, late]));
      expect(outcome.released).to.be.within(2, 8);
      expect((await verifyTree(late, undefined)).damaged).to.deep.equal([]);
      version = 0;
      const never = async () => {
        throw new TallystickError("another head", { code: "CONFLICT" });
      };
      await expectAsyncRejection(() => releaseUnneeded({ release: never }, list, removal, objectsOf([])), "CONFLICT");
    });
  });

  it("name what was put, in as many words as a record may have", () => {
    expect(shortenPaths(["/a", "/b", "/a"])).to.deep.equal(["/a", "/b"]);
    const many = Array.from({ length: 200 }, (_, k) => `/home/alice/photos/${k}.jpg`);
    expect(shortenPaths(many)).to.deep.equal(["/home/alice/photos"]);
    expect(shortenPaths(Array.from({ length: 200 }, (_, k) => `${k}`))).to.deep.equal(["/"]);
    expect(shortenPaths([`/${"x".repeat(9000)}`])).to.deep.equal(["/"]);
  });
});
