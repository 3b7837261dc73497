import { cpSync, mkdtempSync, rmSync, statSync } from "node:fs";
import * as nodeFileSystem from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { FileObjectStore, type FileSystem } from "../../../../offchain/store/object/file-object-store.ts";
import { removeDatabase } from "../../../../offchain/store/object/pack/index-file.ts";
import type { PackFinding } from "../../../../offchain/store/object/pack/pack-findings.ts";
import { packFiles, rotObject } from "../../../helpers/pack-files.ts";
import { pseudoRandomBytes } from "../../../helpers/pseudo-random.ts";
import { idsOf } from "../object-store-suite.ts";

const objects = Array.from({ length: 40 }, (_, k) => {
  const bytes = pseudoRandomBytes(`compacted ${k}`, 400);
  return { id: `o-${k}`, bytes };
});
const idOf = (k: number): string => objects[k]?.id ?? "";

describe("compaction of packs", () => {
  let root: string;
  let stores: FileObjectStore[];
  let findings: PackFinding[];
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "tallystick-packs-"));
    stores = [];
    findings = [];
  });
  afterEach(async () => {
    for (const store of stores) await store.close();
    rmSync(root, { recursive: true, force: true });
  });

  async function open(files?: FileSystem, folder = root): Promise<FileObjectStore> {
    const report = (finding: PackFinding) => findings.push(finding);
    const store = await FileObjectStore.open(folder, {
      packBytes: 3000,
      report,
      ...(files === undefined ? {} : { files }),
    });
    stores.push(store);
    return store;
  }
  async function close(): Promise<void> {
    for (const store of stores.splice(0)) await store.close();
  }
  const size = () => packFiles(root).reduce((sum, file) => sum + statSync(file).size, 0);

  async function fill(store: FileObjectStore): Promise<void> {
    for (const object of objects) await store.putMany([object]);
  }

  it("gives back the space of removed and replaced objects, and keeps the rest", async () => {
    const store = await open();
    await fill(store);
    const full = size();
    await store.deleteMany(objects.slice(0, 30).map(({ id }) => id));
    await store.put("a", new Uint8Array(10));
    const gained = await store.compact();
    expect(gained).to.be.greaterThan(0.6 * full);
    expect(size()).to.be.below(0.4 * full);
    for (const rebuilt of [false, true]) {
      await close();
      if (rebuilt) removeDatabase(join(root, "index.db"));
      const again = await open();
      expect(await idsOf(again)).to.deep.equal(["a", ...objects.slice(30).map(({ id }) => id)].sort());
      for (const { id, bytes } of objects.slice(30)) expect(await again.get(id)).to.deep.equal(bytes);
    }
    expect(findings).to.deep.equal([]);
  });

  it("comes to rest: further calls move nothing", async () => {
    const store = await open();
    await fill(store);
    await store.deleteMany(objects.slice(0, 20).map(({ id }) => id));
    while ((await store.compact()) > 0);
    const files = packFiles(root);
    const bytes = size();
    for (let k = 0; k < 3; k++) expect(await store.compact()).to.equal(0);
    expect(packFiles(root)).to.deep.equal(files);
    expect(size()).to.equal(bytes);
  });

  it("keeps a removal as long as a pack holds what it removed, and no longer", async () => {
    const store = await open();
    await fill(store);
    // One object of each pack is removed: no pack is worth compacting, and every removal is needed.
    const removed = [0, 7, 14, 21, 28].map(idOf);
    await store.deleteMany(removed);
    for (let k = 0; k < 12; k++) await store.put("a", new Uint8Array(400).fill(k));
    await store.compact();
    await close();
    removeDatabase(join(root, "index.db"));
    const again = await open();
    expect((await idsOf(again)).filter((id) => removed.includes(id))).to.deep.equal([]);
    await again.deleteMany((await idsOf(again)).filter((id) => id !== "a"));
    while ((await again.compact()) > 0);
    // All packs that held removed objects are gone, and the removals with them: what is left is one small object.
    expect(size()).to.be.below(3000);
    expect(await idsOf(again)).to.deep.equal(["a"]);
  });

  it("does not bring back an object that is removed, or replaced, while its pack is compacted", async () => {
    let during: () => Promise<unknown> = async () => undefined;
    const files: FileSystem = {
      ...nodeFileSystem,
      unlink: async (path) => {
        await during();
        await nodeFileSystem.unlink(path);
      },
    };
    const store = await open(files);
    await fill(store);
    await store.deleteMany(objects.slice(0, 5).map(({ id }) => id));
    let isFirst = true;
    during = async () => {
      if (!isFirst) return;
      isFirst = false;
      // These were in the pack, and have been moved already.
      await store.delete(idOf(5));
      await store.put(idOf(6), new Uint8Array(3));
    };
    const racing = store.compact();
    await Promise.all([racing, store.delete(idOf(7)), store.put(idOf(8), new Uint8Array(4))]);
    for (const rebuilt of [false, true]) {
      if (rebuilt) {
        await close();
        removeDatabase(join(root, "index.db"));
      }
      const found = rebuilt ? await open() : store;
      for (const k of [5, 7]) expect(await found.has(idOf(k)), `${k}`).to.equal(false);
      expect([await found.size(idOf(6)), await found.size(idOf(8))]).to.deep.equal([3, 4]);
      expect(await found.get(idOf(9))).to.deep.equal(objects[9]?.bytes);
    }
  });

  it("loses nothing when it stops after any call on files, with the index of then and with none", async () => {
    const store = await open();
    await fill(store);
    await store.deleteMany(objects.slice(0, 14).map(({ id }) => id));
    await close();
    const expected = objects
      .slice(14)
      .map(({ id }) => id)
      .sort();
    const copies: string[] = [];
    const snapshot = () => {
      const copy = `${root}-${copies.length}`;
      cpSync(root, copy, { recursive: true });
      copies.push(copy);
    };
    const files: FileSystem = {
      ...nodeFileSystem,
      open: async (path, flags, mode) => {
        if (flags !== "r") snapshot();
        return nodeFileSystem.open(path, flags, mode);
      },
      unlink: async (path) => {
        snapshot();
        await nodeFileSystem.unlink(path);
        snapshot();
      },
    };
    const compacting = await open(files);
    expect(await compacting.compact()).to.be.greaterThan(0);
    await close();
    expect(copies.length).to.be.greaterThan(4);
    try {
      for (const copy of copies) {
        for (const rebuilt of [false, true]) {
          if (rebuilt) removeDatabase(join(copy, "index.db"));
          const again = await open(undefined, copy);
          expect(await idsOf(again)).to.deep.equal(expected);
          for (const { id, bytes } of objects.slice(14)) expect(await again.get(id)).to.deep.equal(bytes);
          await close();
        }
      }
    } finally {
      for (const copy of copies) rmSync(copy, { recursive: true, force: true });
    }
  });

  it("keeps a pack with an object that is damaged, and reports it", async () => {
    const store = await open();
    await fill(store);
    await store.deleteMany([0, 1, 2, 3].map(idOf));
    rotObject(root, idOf(4), 9);
    await store.compact();
    expect(findings).to.deep.include({
      damage: "object damaged",
      file: "0000000001.pack",
      id: idOf(4),
      offset: findings[0]?.offset,
    });
    expect(await store.size(idOf(4))).to.equal(400);
    expect(await store.get(idOf(5))).to.deep.equal(objects[5]?.bytes);
  });

  it("agrees with a map after any sequence of puts, removals, compactions and restarts", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("put" as const), k: fc.nat(9), size: fc.nat(900) }),
      fc.record({ do: fc.constant("remove" as const), k: fc.nat(9), size: fc.constant(0) }),
      fc.record({
        do: fc.constantFrom("compact" as const, "reopen" as const, "rebuild" as const),
        k: fc.nat(0),
        size: fc.nat(0),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
        const folder = mkdtempSync(join(tmpdir(), "tallystick-packs-"));
        let store = await open(undefined, folder);
        const model = new Map<string, number>();
        for (const { do: what, k, size: sizeBytes } of steps) {
          const id = `o${k}`;
          if (what === "put") {
            await store.put(id, new Uint8Array(sizeBytes).fill(k));
            model.set(id, sizeBytes);
          } else if (what === "remove") expect(await store.delete(id)).to.equal(model.delete(id));
          else if (what === "compact") await store.compact();
          else {
            await close();
            if (what === "rebuild") removeDatabase(join(folder, "index.db"));
            store = await open(undefined, folder);
          }
        }
        expect(await idsOf(store)).to.deep.equal([...model.keys()].sort());
        for (const [id, sizeBytes] of model) expect((await store.get(id))?.length).to.equal(sizeBytes);
        await close();
        rmSync(folder, { recursive: true });
      }),
      { numRuns: 12 },
    );
    expect(findings).to.deep.equal([]);
  });
});
