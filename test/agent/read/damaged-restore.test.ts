/** Restoring what can be restored: one lost object costs the files that need it, and nothing else. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import { openSource, type PutInput } from "../../../offchain/agent/put/source.ts";
import { onEvery } from "../../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../../offchain/agent/put/store-tree.ts";
import { objectOrder } from "../../../offchain/agent/read/object-order.ts";
import { type DamagedFile, type RestoreOptions, restore } from "../../../offchain/agent/read/restore.ts";
import { MetadataUpload } from "../../../offchain/agent/snapshots/metadata-upload.ts";
import { readMetadata } from "../../../offchain/agent/snapshots/read-metadata.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { openRoot } from "../../../offchain/core/recipe/tree.ts";
import { MemoryOracle, MemoryProvider } from "../../helpers/memory-data-plane.ts";
import { collect } from "../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { SNAPSHOT_KEYS } from "../../helpers/snapshots.ts";

const MIB = 1024 * 1024;

describe("restoring damaged data", () => {
  let folder: string;
  let provider: MemoryProvider;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-damage-"));
    provider = new MemoryProvider();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const file = (name: string, bytes: Uint8Array) => ({ name, bytes: bytes as Uint8Array<ArrayBuffer> });

  async function put(inputs: readonly PutInput[]) {
    const totals = { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 };
    const metadata = new MetadataUpload(SNAPSHOT_KEYS, [provider], totals);
    const stored = await storeTree(openSource(inputs, undefined), {
      oracle: new MemoryOracle(),
      place: onEvery([{ provider }]),
      domain: "public",
      counter: { readBytes: 0, readEntries: 0 },
      totals,
      onChange: () => undefined,
      onEntry: (entry) => metadata.push(entry),
    });
    const metadataId = await metadata.finish();
    const sealed = await provider.fetch(stored.dataId);
    const root = openRoot(stored.fileKey, stored.dataId, sealed);
    return { dataId: stored.dataId, root, metadataId, rootBytes: sealed.length };
  }
  type Put = Awaited<ReturnType<typeof put>>;

  async function restored({ dataId, root, metadataId }: Put, options: Partial<RestoreOptions> = {}) {
    const damaged: DamagedFile[] = [];
    const target = await localFiles.openTarget(folder, { dataId, overwrite: false });
    const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
    await restore(root, provider, target, totals, {
      metadata: readMetadata(SNAPSHOT_KEYS, metadataId, provider),
      onDamage: (one) => damaged.push(one),
      onStep: () => undefined,
      ...options,
    });
    return { damaged, totals };
  }

  const names = () => readdirSync(folder).filter((name) => !name.startsWith("."));

  it("restores four of five files when an object of one is lost, and all when it is back", async () => {
    const contents = Array.from({ length: 5 }, (_, k) => pseudoRandomBytes(`file ${k}`, 3 * MIB));
    const tree = await put(contents.map((bytes, k) => file(`f${k}`, bytes)));
    const objects = await collect(objectOrder(tree.dataId, tree.root, tree.rootBytes, provider));
    const perFile = objects.length / 5;
    const lost = objects[Math.floor(2.5 * perFile)]?.id ?? "";
    const bytes = provider.objects.get(lost) ?? new Uint8Array(0);
    provider.objects.delete(lost);
    const { damaged, totals } = await restored(tree);
    expect(damaged).to.have.length(1);
    const missing = damaged[0]?.path ?? "";
    expect(damaged[0]?.error.message).to.match(/^f\d, from byte \d+ on: /);
    expect(names().sort()).to.deep.equal(["f0", "f1", "f2", "f3", "f4"].filter((name) => name !== missing));
    expect(totals.entries).to.equal(4);
    for (const name of names()) {
      expect(Buffer.compare(readFileSync(join(folder, name)), contents[Number(name[1])] ?? bytes), name).to.equal(0);
    }
    // Without anybody to tell, the failure is thrown, after the rest.
    await expectAsyncRejection(() => restored(tree, { onDamage: undefined }), "NOT_FOUND", new RegExp(`^${missing}, `));
    provider.objects.set(lost, bytes);
    expect((await restored(tree)).damaged).to.deep.equal([]);
    expect(names()).to.have.length(5);
  });

  it("restores the other files when an object of one no longer belongs to the account", async () => {
    const tree = await put([0, 1].map((k) => file(`f${k}`, pseudoRandomBytes(`own ${k}`, 2 * MIB))));
    const [first] = await collect(objectOrder(tree.dataId, tree.root, tree.rootBytes, provider));
    const fetch = provider.fetch.bind(provider);
    provider.fetch = async (id) => {
      if (id === first?.id) throw new TallystickError("not the account's", { code: "NOT_OWNER", party: "provider" });
      return await fetch(id);
    };
    const { damaged } = await restored(tree);
    expect(damaged.map(({ path, error }) => [path, error.code])).to.deep.equal([["f0", "NOT_OWNER"]]);
    expect(names()).to.deep.equal(["f1"]);
  });

  it("loses the files of a lost bundle, and those of a lost chunk list, and no other", async () => {
    const small = Array.from({ length: 5 }, (_, k) => file(`small ${k}`, pseudoRandomBytes(`small ${k}`, 1000)));
    const long = pseudoRandomBytes("long", 24 * MIB);
    const tree = await put([...small, file("a long one", long), file("z", pseudoRandomBytes("z", 2 * MIB))]);
    const objects = await collect(objectOrder(tree.dataId, tree.root, tree.rootBytes, provider));
    const list = objects.find(({ sizeBytes }, k) => k > 8 && sizeBytes < 4096)?.id ?? "";
    const bundle = objects.find(({ sizeBytes }) => sizeBytes > 5000 && sizeBytes < 8000)?.id ?? "";
    expect([list, bundle].every((id) => provider.objects.delete(id))).to.equal(true);
    const { damaged } = await restored(tree);
    expect(damaged.map(({ path }) => path)).to.deep.equal(["a long one", ...small.map(({ name }) => name)]);
    expect(names()).to.deep.equal(["z"]);
  });

  it("restores files without their modes and times when those are lost, and says so", async () => {
    const tree = await put([{ name: "a", bytes: new Uint8Array(10), mtime: new Date(1_000_000_000_000) }]);
    expect((await restored(tree)).damaged).to.deep.equal([]);
    expect(statSync(join(folder, "a")).mtimeMs).to.equal(1_000_000_000_000);
    rmSync(join(folder, "a"));
    provider.objects.delete(tree.metadataId);
    const { damaged } = await restored(tree);
    expect(damaged.map(({ path, error }) => [path, error.code])).to.deep.equal([["", "NOT_FOUND"]]);
    expect(statSync(join(folder, "a")).size).to.equal(10);
  });

  it("fails at once when the provider does: that is no damage", async () => {
    const tree = await put([file("a", pseudoRandomBytes("a", 5 * MIB))]);
    provider.failAfter = provider.fetched.length + 3;
    await expectAsyncRejection(() => restored(tree), "UNREACHABLE");
  });

  it("restores a file or a folder under its own name", async () => {
    const bytes = pseudoRandomBytes("x", 100);
    const tree = await put([file("a/b/c/d", bytes), file("a/b/e", bytes), file("a/bc", bytes), file("z", bytes)]);
    await restored(tree, { path: "a/b" });
    expect(
      readdirSync(folder, { recursive: true })
        .map(String)
        .filter((name) => !name.startsWith("."))
        .sort(),
    ).to.deep.equal(["b", "b/c", "b/c/d", "b/e"]);
    await restored(tree, { path: "z" });
    expect(names().sort()).to.deep.equal(["b", "z"]);
    await expectAsyncRejection(() => restored(tree, { path: "a/x" }), "NOT_FOUND", /no entry "a\/x"/);
  });
});
