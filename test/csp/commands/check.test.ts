import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import { type CheckReport, checkProvider } from "../../../offchain/csp/commands/check.ts";
import type { CspConfig } from "../../../offchain/csp/config.ts";
import { lockFolder } from "../../../offchain/store/disk/folder-lock.ts";
import { FileObjectStore } from "../../../offchain/store/object/file-object-store.ts";
import { removeDatabase } from "../../../offchain/store/object/pack/index-file.ts";
import { flipByte, flipBytes, packedObjects, packFiles, rotObject } from "../../helpers/pack-files.ts";
import { failure } from "../../helpers/promises.ts";
import { ALICE, BOB, frame, framesOf, openProvider, randomChunk, type TestChunk } from "../provider-fixture.ts";

/** Two packs are complete, with their contents at the end; the third takes records. */
const PER_PACK = 6;
const chunks: TestChunk[] = Array.from({ length: 15 }, () => randomChunk(3000));
const idOf = (k: number): string => chunks[k]?.id ?? "";
const idsOf = (...positions: number[]): string[] => positions.map(idOf).sort();

interface Damage {
  readonly name: string;
  /** @param root of the store */
  readonly harm: (root: string) => void;
  /** Kinds that are found. */
  readonly found: readonly string[];
  /** Objects that no longer can be read. */
  readonly lost: readonly string[];
  /** What the findings name. */
  readonly ids?: readonly string[];
  readonly files?: readonly string[];
}

const headOf = (root: string, k: number): { file: string; offset: number } => {
  const { file, offset } = packedObjects(root).get(idOf(k)) ?? { file: "", offset: 0 };
  return { file, offset: offset - 20 - 59 };
};
const indexOf = (root: string): DatabaseSync => new DatabaseSync(join(root, "index.db"));

const DAMAGES: readonly Damage[] = [
  {
    name: "a byte of an object that is not what it was",
    harm: (root) => rotObject(root, idOf(2), 1500),
    found: ["object damaged"],
    lost: idsOf(2),
    ids: idsOf(2),
    files: ["0000000001.pack"],
  },
  {
    name: "a damaged head, whose object the pack's contents still name",
    harm: (root) => flipByte(headOf(root, 3).file, headOf(root, 3).offset + 9),
    found: ["record unreadable"],
    lost: [],
    ids: idsOf(3),
  },
  {
    name: "a damaged head in a pack that has no contents yet, whose object the index still names",
    harm: (root) => flipByte(headOf(root, 13).file, headOf(root, 13).offset + 30),
    found: ["record unreadable"],
    lost: [],
    ids: idsOf(13),
  },
  {
    name: "a range of zeros over several records",
    harm: (root) => {
      const { file, offset } = headOf(root, 7);
      writeFileSync(file, readFileSync(file).fill(0, offset, offset + 7000));
    },
    found: ["object damaged"],
    lost: idsOf(7, 8, 9),
    ids: idsOf(7, 8, 9),
  },
  {
    name: "damaged contents at the end of a pack",
    harm: (root) => flipByte(packFiles(root)[0] ?? "", statSync(packFiles(root)[0] ?? "").size - 60),
    found: ["pack contents damaged"],
    lost: [],
  },
  {
    name: "a damaged header",
    harm: (root) => flipBytes(packFiles(root)[1] ?? "", [3, 9]),
    found: ["pack header damaged"],
    lost: [],
    files: ["0000000002.pack"],
  },
  {
    name: "a complete pack that was cut off",
    harm: (root) => truncateSync(headOf(root, 4).file, headOf(root, 4).offset + 200),
    found: ["pack too short", "torn tail", "object missing"],
    lost: idsOf(4, 5),
    ids: idsOf(4, 5),
  },
  {
    name: "a pack that is gone",
    harm: (root) => rmSync(packFiles(root)[1] ?? ""),
    found: ["pack missing", "object missing"],
    lost: idsOf(6, 7, 8, 9, 10, 11),
    files: ["0000000002.pack"],
  },
  {
    name: "packs whose names were exchanged",
    harm: (root) => {
      const [first = "", second = ""] = packFiles(root);
      renameSync(first, `${first}.kept`);
      renameSync(second, first);
      renameSync(`${first}.kept`, second);
    },
    found: ["pack unknown", "index entry wrong"],
    lost: [],
  },
  {
    name: "an index that is no database",
    harm: (root) =>
      writeFileSync(join(root, "index.db"), "this is not a database, and long enough to be looked at".repeat(80)),
    found: ["index damaged"],
    lost: [],
    files: ["index.db"],
  },
  {
    name: "index entries that are gone, or that name another place",
    harm: (root) => {
      const index = indexOf(root);
      index.prepare("DELETE FROM objects WHERE id = ?").run(idOf(1));
      index.prepare("UPDATE objects SET offset = offset + 1 WHERE id = ?").run(idOf(10));
      index.close();
    },
    found: ["index entry wrong"],
    lost: [],
    ids: idsOf(1, 10),
  },
  {
    name: "an index entry without an object",
    harm: (root) => {
      const index = indexOf(root);
      index.exec("INSERT INTO objects (id, pack, offset, length, first_pack) VALUES ('ghost', 1, 99, 5, 1)");
      index.close();
    },
    found: ["object missing"],
    lost: [],
    ids: ["ghost"],
  },
  {
    name: "a write that was cut off",
    harm: (root) => {
      const last = packFiles(root).at(-1) ?? "";
      writeFileSync(last, Buffer.concat([readFileSync(last), Buffer.from("TSRC half a record")]));
    },
    found: ["torn tail"],
    lost: [],
  },
  {
    name: "a file that is no pack",
    harm: (root) => writeFileSync(join(root, "packs", "notes.txt"), "what is this"),
    found: ["foreign file"],
    lost: [],
    files: ["notes.txt"],
  },
];

describe("check of a provider's objects", () => {
  let original: string;
  let folder: string;
  before(async () => {
    original = mkdtempSync(join(tmpdir(), "tallystick-check-"));
    const provider = await openProvider(original, undefined, { packBytes: PER_PACK * 3079 });
    for (const chunk of chunks) await provider.chunks.store(ALICE, framesOf(frame(chunk)));
    await provider.chunks.store(BOB, framesOf(frame(chunks[2] ?? randomChunk(1))));
    await provider.close();
    expect(packFiles(join(original, "store")).length).to.equal(3);
  });
  after(() => rmSync(original, { recursive: true, force: true }));
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "tallystick-check-"));
    cpSync(original, folder, { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const root = () => join(folder, "store");
  const check = (options: { readData?: boolean; repair?: boolean } = {}): Promise<CheckReport> =>
    checkProvider(
      {
        dataDir: folder,
        store: { kind: "file", path: root() },
        database: { kind: "sqlite" },
      } as unknown as CspConfig,
      { readData: true, repair: false, ...options },
    );

  it("finds nothing where nothing is damaged, and says what it has read", async () => {
    const report = await check();
    expect(report).to.deep.include({
      damage: {},
      findings: [],
      objects: chunks.length,
      lostObjects: 0,
      foundObjects: 0,
    });
    expect(report.readBytes).to.be.greaterThan(chunks.length * 3000);
  });

  for (const { name, harm, found, lost, ids, files } of DAMAGES) {
    it(`finds ${name}, leaves the rest readable, and repairs`, async () => {
      harm(root());
      const before = packFiles(root()).map((file) => readFileSync(file));
      const report = await check();
      expect(Object.keys(report.damage).sort()).to.deep.equal([...found].sort());
      expect(report.lost.map(({ id }) => id).sort()).to.deep.equal(lost);
      if (ids !== undefined) {
        const named = report.findings.flatMap(({ id }) => (id === undefined ? [] : [id]));
        expect([...new Set(named)].sort()).to.include.members([...ids]);
      }
      for (const file of files ?? []) expect(report.findings.map((finding) => finding.file)).to.contain(file);
      for (const { id, owners } of report.lost) expect(owners).to.equal(id === idOf(2) ? 2 : 1);
      // Without repair, nothing was changed.
      expect(packFiles(root()).map((file) => readFileSync(file))).to.deep.equal(before);

      const repaired = await check({ repair: true });
      expect(repaired.lostObjects).to.equal(lost.length);
      const provider = await openProvider(folder);
      for (const { id, bytes } of chunks) {
        const served = provider.chunks.serve(ALICE, id);
        if (lost.includes(id)) expect(await failure(served)).to.have.property("code", "OBJECT_LOST");
        else expect(await served, basename(id)).to.deep.equal(bytes);
      }
      // The next upload heals what was lost; then nothing of it is left.
      await provider.chunks.store(ALICE, framesOf(...chunks.map((chunk) => frame(chunk))));
      for (const { id, bytes } of chunks) expect(await provider.chunks.serve(ALICE, id)).to.deep.equal(bytes);
      await provider.close();
      const last = await check();
      expect(last.lostObjects).to.equal(0);
      expect(last.damage["object missing"] ?? 0).to.equal(0);
      expect(last.damage["index entry wrong"] ?? 0).to.equal(0);
    });
  }

  it("without reading data finds what the lists tell, and does not find a byte that changed", async () => {
    rotObject(root(), idOf(2), 100);
    rmSync(packFiles(root())[1] ?? "");
    const report = await check({ readData: false });
    expect(report.lost.map(({ id }) => id)).to.have.members(idsOf(6, 7, 8, 9, 10, 11));
    expect(report.damage).to.have.keys("pack missing", "object missing");
  });

  it("notes objects that counted as lost and are there", async () => {
    const provider = await openProvider(folder);
    const row = (await provider.index.chunks.pages()[Symbol.asyncIterator]().next()).value?.[0];
    await provider.index.chunks.markLost([row?.digest ?? new Uint8Array(32)]);
    await provider.close();
    expect(await check({ repair: true })).to.include({ foundObjects: 1, lostObjects: 0 });
    expect(await check()).to.include({ foundObjects: 0, lostObjects: 0 });
  });

  it("is refused while a daemon, or another program, uses the folder or the store", async () => {
    for (const used of [folder, root()]) {
      const lock = lockFolder(used);
      expect(await failure(check()))
        .to.have.property("message")
        .that.contains("another process uses it");
      lock.close();
    }
    await check();
  });

  it("rebuilds an index that is gone", async () => {
    removeDatabase(join(root(), "index.db"));
    expect((await check({ repair: true })).lostObjects).to.equal(0);
    const store = await FileObjectStore.open(root());
    expect(await store.get(idOf(5))).to.deep.equal(chunks[5]?.bytes);
    await store.close();
  });
});
