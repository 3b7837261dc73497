/** Chunks that occur again in a restore: downloaded once, and right whatever happens to the files in between. */
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { localFiles } from "../../../offchain/agent/node/local-files.ts";
import { openWorkerStages } from "../../../offchain/agent/node/worker-stages.ts";
import { localStages } from "../../../offchain/agent/pipeline/data-stages.ts";
import { isMacOf, macOf, newMacKey } from "../../../offchain/agent/pipeline/written-mac.ts";
import type { RestoreTarget } from "../../../offchain/agent/platform.ts";
import type { CspClient } from "../../../offchain/agent/providers/csp-client.ts";
import { HttpStorageProvider } from "../../../offchain/agent/providers/http-provider.ts";
import { openSource } from "../../../offchain/agent/put/source.ts";
import { onEvery } from "../../../offchain/agent/put/store-objects.ts";
import { storeTree } from "../../../offchain/agent/put/store-tree.ts";
import type { ObjectSource } from "../../../offchain/agent/read/object-source.ts";
import { type RestoreOptions, restore } from "../../../offchain/agent/read/restore.ts";
import { RestoredChunks } from "../../../offchain/agent/read/restored-chunks.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { storedFrame } from "../../../offchain/core/recipe/frame.ts";
import type { ChunkRef } from "../../../offchain/core/recipe/recipe.ts";
import { openRoot } from "../../../offchain/core/recipe/tree.ts";
import { CountingTarget } from "../../helpers/counting-target.ts";
import { pseudoText } from "../../helpers/frame-inputs.ts";
import { MemoryOracle, MemoryProvider } from "../../helpers/memory-data-plane.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";

const MIB = 1024 * 1024;

describe("chunks that occur again in a restore", () => {
  let folder: string;
  let provider: MemoryProvider;
  const at = (name: string) => join(folder, name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-again-"));
    provider = new MemoryProvider();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function put(files: Readonly<Record<string, Uint8Array>>) {
    const inputs = Object.entries(files).map(([name, bytes]) => ({ name, bytes: bytes as Uint8Array<ArrayBuffer> }));
    const { dataId, fileKey } = await storeTree(openSource(inputs, undefined), {
      oracle: new MemoryOracle(),
      place: onEvery([{ provider }]),
      domain: "public",
      counter: { readBytes: 0, readEntries: 0 },
      totals: { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 },
      onChange: () => undefined,
    });
    const root = openRoot(fileKey, dataId, await provider.fetch(dataId));
    provider.fetched = [];
    return { dataId, root };
  }

  async function restored(
    { dataId, root }: Awaited<ReturnType<typeof put>>,
    {
      source = provider,
      target,
      ...options
    }: Partial<RestoreOptions> & { source?: ObjectSource; target?: RestoreTarget },
  ) {
    const totals = { entries: 0, bytes: 0, downloadedBytes: 0 };
    const opened = target ?? (await localFiles.openTarget(folder, { dataId, overwrite: true }));
    await restore(root, source, opened, totals, { onStep: () => undefined, ...options });
    return totals;
  }

  it("are downloaded once for the holes of a file, which has no length before its end", async () => {
    const content = new Uint8Array(120 * MIB);
    content.set(pseudoRandomBytes("start", MIB));
    const { dataId, root } = await put({ holes: content });
    const metadata = (async function* () {
      yield { mode: 0o644, mtimeNanos: 0n, sparse: true };
    })();
    await restored({ dataId, root }, { metadata });
    expect(new Set(provider.fetched).size).to.equal(provider.fetched.length);
    const back = statSync(at("holes"));
    expect([back.size, back.blocks * 512 < 4 * MIB]).to.deep.equal([content.length, true]);
    expect(Buffer.compare(readFileSync(at("holes")), content)).to.equal(0);
  });

  const first = pseudoRandomBytes("first", 4 * MIB);
  const between = pseudoRandomBytes("between", 20 * MIB);
  /** The last file comes when the first has long been finished; the one before it, while its original is written. */
  const tree = { a: first, b: between, c: Buffer.concat([first, first]), d: pseudoText("words", 3 * MIB), e: first };

  function expectTree(except?: string): void {
    for (const [name, bytes] of Object.entries(tree)) {
      if (name !== except) expect(Buffer.compare(readFileSync(at(name)), bytes), name).to.equal(0);
    }
  }

  /** A source of the wire protocol in place of the memory. */
  function overHttp(answer = (_id: string, bytes: Uint8Array) => bytes) {
    const inspected: string[] = [];
    const client = {
      name: "provider http://test",
      chunk: async (id: string, _signal: unknown, allocate?: () => Uint8Array) => {
        const bytes = answer(id, await provider.fetch(id));
        const memory = allocate?.() ?? new Uint8Array(bytes.length);
        memory.set(bytes);
        return memory.subarray(0, bytes.length);
      },
      inspectChunks: async (ids: string[]) => inspected.push(...ids),
    };
    return { source: new HttpStorageProvider(client as unknown as CspClient), inspected };
  }

  it("are downloaded once, and read back from the target", async () => {
    const stored = await put(tree);
    const totals = await restored(stored, {});
    expectTree();
    expect(new Set(provider.fetched).size, "an object that was fetched twice").to.equal(provider.fetched.length);
    const chunksCutByTheBorder = 2 * MIB;
    expect(totals.downloadedBytes).to.be.within(27 * MIB, 27 * MIB + chunksCutByTheBorder);
    expect(totals.bytes).to.equal(stored.root.totalBytes);
  });

  it("are so on worker threads as well, in memory that is used again", async () => {
    const stored = await put(tree);
    const stages = openWorkerStages(2);
    let [allocated, released] = [0, 0];
    let most = 0;
    const counting = {
      ...stages,
      allocateSealed: () => {
        allocated += 1;
        most = Math.max(most, allocated - released);
        return stages.allocateSealed?.() ?? new Uint8Array(0);
      },
      open: stages.open.bind(stages),
      release: (bytes: Uint8Array) => {
        released += 1;
        stages.release(bytes);
      },
    };
    try {
      const totals = await restored(stored, { stages: counting, source: overHttp().source });
      expectTree();
      expect(totals.downloadedBytes).to.be.within(27 * MIB, 29 * MIB);
      expect(allocated).to.equal(released);
      expect(allocated).to.be.greaterThan(20);
      expect(most).to.be.within(2, 16);
    } finally {
      await stages.close();
    }
  });

  it("are downloaded again by a target that cannot be read, unless they wait to be written", async () => {
    const target = new CountingTarget();
    const totals = await restored(await put(tree), { target });
    for (const [name, bytes] of Object.entries(tree)) {
      expect(Buffer.compare(target.files.get(name) ?? new Uint8Array(0), bytes), name).to.equal(0);
    }
    expect(totals.downloadedBytes).to.be.greaterThan(30 * MIB);
  });

  for (const [what, change] of [
    ["was changed in place, with its times set back", changeInPlace],
    ["was replaced by another", (path: string) => replace(path, () => writeFileSync(path, new Uint8Array(4 * MIB)))],
    ["was replaced by a link to one with the content", replaceByLink],
    ["was cut short", (path: string) => writeFileSync(path, first.subarray(0, 100))],
    ["was moved away", (path: string) => renameSync(path, `${path}.old`)],
  ] as const) {
    it(`are downloaded again when the file ${what}, and the other files are right`, async () => {
      const stored = await put({ a: first, b: between, e: first });
      let isChanged = false;
      const onStep = () => {
        if (isChanged || !existsSync(at("a"))) return;
        isChanged = true;
        change(at("a"));
      };
      const totals = await restored(stored, { onStep });
      expect(isChanged).to.equal(true);
      for (const [name, bytes] of [["b", between] as const, ["e", first] as const]) {
        expect(Buffer.compare(readFileSync(at(name)), bytes), name).to.equal(0);
      }
      // At most the chunks that an own file did not change are read back.
      expect(totals.downloadedBytes).to.be.greaterThan(25 * MIB);
    });
  }

  function changeInPlace(path: string): void {
    const { atime, mtime } = statSync(path);
    const bytes = readFileSync(path);
    for (let offset = 0; offset < bytes.length; offset += 1000) bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    utimesSync(path, atime, mtime);
  }

  function replace(path: string, make: () => void): void {
    renameSync(path, `${path}.old`);
    make();
  }

  function replaceByLink(path: string): void {
    replace(path, () => symlinkSync(`${path}.old`, path));
  }

  it("are found in files that an earlier attempt has finished", async () => {
    const stored = await put(tree);
    await restored(stored, {});
    rmSync(at("e"));
    const totals = await restored(stored, {});
    expect(totals.downloadedBytes).to.equal(0);
    expectTree();
  });

  describe("whose object is damaged", () => {
    const damage = (_id: string, bytes: Uint8Array) => {
      const damaged = bytes.slice();
      damaged[10] = (damaged[10] ?? 0) ^ 1;
      return damaged;
    };

    it("name provider, file, offset and object, for every file that needs it", async () => {
      const stored = await put({ a: first, b: between, c: first });
      await restored(stored, { target: new CountingTarget() });
      const victim = provider.fetched.find((id) => (provider.objects.get(id)?.length ?? 0) > 64 * 1024) ?? "";
      const stages = openWorkerStages(2);
      try {
        for (const used of [stages, undefined]) {
          const { source, inspected } = overHttp((id, bytes) => (id === victim ? damage(id, bytes) : bytes));
          const damaged: { path: string; error: { toJSON(): Record<string, unknown> } }[] = [];
          await restored(stored, { source, stages: used, onDamage: (one) => damaged.push(one) });
          expect(damaged.map(({ path }) => path)).to.deep.equal(["a", "c"]);
          for (const { path, error } of damaged) {
            const bytes = damage(victim, provider.objects.get(victim) ?? new Uint8Array(0));
            expect(error.toJSON()).to.deep.include({
              code: "INTEGRITY",
              party: "provider http://test",
              check: "SHA-256 of the object",
              expected: victim,
              received: contentId(bytes),
              details: { id: victim, path, offsetBytes: 0 },
            });
          }
          expect(inspected).to.deep.equal([victim, victim]);
          expect(Buffer.compare(readFileSync(at("b")), between)).to.equal(0);
          expect(existsSync(at("a")) || existsSync(at("c"))).to.equal(false);
        }
      } finally {
        await stages.close();
      }
    });
  });

  describe("places", () => {
    const key = new Uint8Array(32).fill(1);

    async function chunk(name: string): Promise<{ ref: ChunkRef; plaintext: Uint8Array }> {
      const plaintext = pseudoRandomBytes(name, 1000);
      const object = await localStages.seal(storedFrame(plaintext), key);
      await provider.store([object]);
      return { ref: { id: object.id, key, sizeBytes: 1000, sealedBytes: object.sealed.length }, plaintext };
    }

    const fileWith = (bytes: Uint8Array) => ({
      reads: 0,
      async read(into: Uint8Array, offset: number) {
        this.reads += 1;
        into.set(bytes.subarray(offset, offset + into.length));
        return true;
      },
    });

    it("are kept of the chunks used last, up to a number", async () => {
      const chunks = new RestoredChunks(provider, { keptPlaces: 2 });
      const [a, b, c] = [await chunk("a"), await chunk("b"), await chunk("c")];
      const take = async ({ ref, plaintext }: typeof a) => {
        const held = await chunks.take(ref, true);
        expect(Buffer.compare(held.plaintext, plaintext)).to.equal(0);
        held.writtenTo(fileWith(plaintext), 0);
        held.release();
        return held.isDownloaded;
      };
      const order = [a, b, a, c, a, b];
      const downloads: boolean[] = [];
      for (const each of order) downloads.push(await take(each));
      expect(downloads).to.deep.equal([true, true, false, true, false, true]);
    });

    it("are asked once when they give something else, and then no more", async () => {
      const chunks = new RestoredChunks(provider);
      const { ref } = await chunk("a");
      const lying = fileWith(new Uint8Array(1000));
      for (const isLast of [false, true]) {
        const held = await chunks.take(ref, true);
        expect(held.isDownloaded).to.equal(true);
        if (!isLast) held.writtenTo(lying, 0);
        held.release();
      }
      await chunks.take(ref, true);
      expect(lying.reads).to.equal(1);
    });
  });

  it("have a MAC that no other bytes, object or run has", () => {
    const [runKey, other] = [newMacKey(), newMacKey()];
    const [id, otherId] = [contentId(Uint8Array.of(1)), contentId(Uint8Array.of(2))];
    const bytes = pseudoRandomBytes("mac", 100);
    const mac = macOf(runKey, id, bytes);
    expect(isMacOf(mac, runKey, id, bytes)).to.equal(true);
    expect(isMacOf(mac, other, id, bytes)).to.equal(false);
    expect(isMacOf(mac, runKey, otherId, bytes)).to.equal(false);
    expect(isMacOf(mac, runKey, id, bytes.subarray(1))).to.equal(false);
    for (let bit = 0; bit < 800; bit += 7) {
      const changed = bytes.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(isMacOf(mac, runKey, id, changed), `bit ${bit}`).to.equal(false);
    }
  });
});
