import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { expect } from "chai";
import { contentId } from "../../../../offchain/core/encoding/content-id.ts";
import { FileObjectStore } from "../../../../offchain/store/object/file-object-store.ts";
import { removeDatabase } from "../../../../offchain/store/object/pack/index-file.ts";
import { encodePackHeader } from "../../../../offchain/store/object/pack/pack-codec.ts";
import type { PackFinding } from "../../../../offchain/store/object/pack/pack-findings.ts";
import { flipByte, packFiles } from "../../../helpers/pack-files.ts";
import { failure } from "../../../helpers/promises.ts";
import { pseudoRandomBytes } from "../../../helpers/pseudo-random.ts";
import { idsOf } from "../object-store-suite.ts";

describe("packs after a crash", () => {
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

  async function open(packBytes = 1_000_000): Promise<FileObjectStore> {
    const store = await FileObjectStore.open(root, { packBytes, report: (finding) => findings.push(finding) });
    stores.push(store);
    return store;
  }
  async function close(): Promise<void> {
    for (const store of stores.splice(0)) await store.close();
  }
  const damages = () => findings.map(({ damage }) => damage);
  const objects = Array.from({ length: 12 }, (_, k) => {
    const bytes = pseudoRandomBytes(`recovered ${k}`, 200 + 31 * k);
    return { id: contentId(bytes), bytes };
  });
  const onlyPack = () => packFiles(root)[0] ?? "";
  /** Index as it was earlier, packs as they are: what a power failure may leave. */
  const saveIndex = () => copyFileSync(join(root, "index.db"), join(root, "saved"));
  const restoreIndex = () => {
    removeDatabase(join(root, "index.db"));
    renameSync(join(root, "saved"), join(root, "index.db"));
  };

  it("removes a record that is cut off at any byte, keeps what is before it, and stores again", async () => {
    const store = await open();
    await store.putMany(objects.slice(0, 3));
    await close();
    saveIndex();
    const goodBytes = statSync(onlyPack()).size;
    const last = objects[3] ?? { id: "", bytes: new Uint8Array() };
    await (await open()).put(last.id, last.bytes);
    await close();
    const whole = readFileSync(onlyPack());
    for (let end = goodBytes; end < whole.length; end += end < goodBytes + 90 ? 6 : 97) {
      copyFileSync(join(root, "saved"), join(root, "kept"));
      restoreIndex();
      renameSync(join(root, "kept"), join(root, "saved"));
      writeFileSync(onlyPack(), whole.subarray(0, end));
      findings.length = 0;
      const again = await open();
      expect(await again.has(last.id), `cut at ${end}`).to.equal(false);
      expect(statSync(onlyPack()).size).to.equal(goodBytes);
      expect(damages()).to.deep.equal(end === goodBytes ? [] : ["torn tail"]);
      await again.put(last.id, last.bytes);
      for (const { id, bytes } of objects.slice(0, 4)) expect(await again.get(id)).to.deep.equal(bytes);
      await close();
    }
  });

  it("replays what the index has not seen: objects, replacements, removals", async () => {
    const first = await open();
    await first.putMany(objects.slice(0, 4));
    await close();
    saveIndex();
    const second = await open();
    await second.put("a", Uint8Array.of(1));
    await second.put("a", Uint8Array.of(2));
    await second.putMany(objects.slice(4, 6));
    await second.delete(objects[0]?.id ?? "");
    await close();
    restoreIndex();
    const third = await open();
    expect(await third.get("a")).to.deep.equal(Uint8Array.of(2));
    expect(await idsOf(third)).to.deep.equal(["a", ...objects.slice(1, 6).map(({ id }) => id)].sort());
    expect(damages()).to.deep.equal([]);
  });

  it("rebuilds an index that is gone, damaged, or of other packs", async () => {
    const first = await open(1500);
    for (const object of objects) await first.putMany([object]);
    await first.deleteMany([objects[1]?.id ?? "", objects[8]?.id ?? ""]);
    await first.put("a", Uint8Array.of(7));
    const expected = await idsOf(first);
    await close();
    const index = join(root, "index.db");
    expect(packFiles(root).length).to.be.greaterThan(2);
    for (const [damage, harm] of [
      [[], () => removeDatabase(index)],
      [["index damaged"], () => writeFileSync(index, "not a database, but long enough to be read as one ".repeat(99))],
      [["index damaged"], () => writeFileSync(index, readFileSync(index).fill(0xff, 200))],
      [["index damaged"], () => renameSync(packFiles(root)[1] ?? "", join(root, "away"))],
    ] as const) {
      harm();
      findings.length = 0;
      if (damage.length > 0 && packFiles(root).length < 3) throw new Error("too few packs");
      const again = await open(1500);
      if (harm.toString().includes("away")) {
        // The pack is missing first; when it is back, the index has moved on without it.
        expect(damages()).to.deep.equal(["pack missing"]);
        await close();
        renameSync(join(root, "away"), join(root, "packs", "0000000002.pack"));
        findings.length = 0;
        expect(await idsOf(await open(1500))).to.deep.equal(expected);
      } else expect(await idsOf(again)).to.deep.equal(expected);
      expect(damages()).to.deep.equal([...damage]);
      for (const { id, bytes } of objects) {
        const found = await stores.at(-1)?.get(id);
        if (expected.includes(id)) expect(found).to.deep.equal(bytes);
        else expect(found).to.equal(undefined);
      }
      await close();
    }
  });

  it("keeps what follows damage in the middle of a pack that is replayed", async () => {
    const store = await open();
    for (const object of objects) await store.putMany([object]);
    await close();
    removeDatabase(join(root, "index.db"));
    const bytes = readFileSync(onlyPack());
    flipByte(onlyPack(), bytes.indexOf(objects[4]?.bytes ?? ""));
    flipByte(onlyPack(), bytes.indexOf(objects[7]?.id ?? ""));
    const again = await open();
    const lost = [objects[4]?.id, objects[7]?.id];
    expect(await idsOf(again)).to.deep.equal(
      objects
        .map(({ id }) => id)
        .filter((id) => !lost.includes(id))
        .sort(),
    );
    expect(damages()).to.deep.equal(["object damaged", "record unreadable"]);
    expect(findings[0]?.id).to.equal(lost[0]);
    await again.putMany(objects);
    expect((await idsOf(again)).length).to.equal(objects.length);
  });

  it("does not append to a pack that is shorter than the index says", async () => {
    const store = await open();
    await store.putMany(objects);
    await close();
    truncateSync(onlyPack(), statSync(onlyPack()).size - 100);
    const again = await open();
    expect(damages()).to.deep.equal(["pack too short"]);
    await again.put("a", Uint8Array.of(1));
    expect(packFiles(root).length).to.equal(2);
    expect(await failure(again.get(objects.at(-1)?.id ?? ""))).to.have.property("name", "UnreadableObjectError");
    expect(await again.get(objects[0]?.id ?? "")).to.deep.equal(objects[0]?.bytes);
  });

  it("removes a pack whose creation a crash cut off, and refuses a pack of a later format", async () => {
    const store = await open();
    await store.putMany(objects);
    await close();
    for (const cut of ["", "TSPACK"]) {
      writeFileSync(join(root, "packs", "0000000002.pack"), cut);
      await open();
      expect(packFiles(root).length).to.equal(1);
      await close();
    }
    const later = readFileSync(onlyPack());
    // The version is part of the checksum, so that it is not a matter of one damaged byte.
    const header = Buffer.from(encodePackHeader(later.subarray(8, 16)));
    header.writeUInt16BE(2, 6);
    header.writeUInt32BE(crc32(header.subarray(0, 16)), 16);
    header.copy(later);
    writeFileSync(onlyPack(), later);
    expect(await failure(FileObjectStore.open(root))).to.have.property("code", "UNKNOWN_VERSION");
  });

  it("reads a pack with a damaged header by the salt in the index or in its footer", async () => {
    const store = await open(1000);
    for (const object of objects) await store.putMany([object]);
    await close();
    for (const file of packFiles(root)) flipByte(file, 9);
    const again = await open(1000);
    expect((await idsOf(again)).length).to.equal(objects.length);
    await close();
    removeDatabase(join(root, "index.db"));
    const rebuilt = await open(1000);
    expect(damages()).to.contain("pack header damaged");
    expect((await idsOf(rebuilt)).length).to.be.at.least(objects.length - 3);
  });

  it("passes over files that are no packs", async () => {
    const store = await open();
    await store.putMany(objects);
    await close();
    for (const name of [".nfs0001", "0000000001.pack.Xb12Q", "1.pack", "notes"]) {
      writeFileSync(join(root, "packs", name), "left over");
    }
    appendFileSync(join(root, "packs", "notes"), "more");
    expect((await idsOf(await open())).length).to.equal(objects.length);
    expect(damages()).to.deep.equal([]);
  });
});
