/** What every object store must do, as tests over a factory: the promises of `object-store.ts`, one by one. */
import { expect } from "chai";
import fc from "fast-check";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { type ObjectStore, RemovalStoppedError } from "../../../offchain/store/object/object-store.ts";
import { pseudoRandomBytes } from "../../helpers/pseudo-random.ts";
import { expectAsyncRejection, rejection } from "../../helpers/rejection.ts";

/** One place where objects are kept. Stores on it are open one at a time. */
export interface StorePlace {
  open(): Promise<ObjectStore>;
  remove(): Promise<void>;
}

const A = Uint8Array.of(1, 2, 3, 4, 5);
const B = Uint8Array.of(9, 9);
/**
 * Ids that no store may take for a name: they would escape a folder, hide a file, or be read differently by another
 * system.
 */
const BAD_IDS = ["", ".", "..", "../a", "a/b", "/a", ".hidden", "A", "a b", "ü", "a\0", "a%2fb", "a".repeat(129)];

export async function idsOf(store: ObjectStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of store.list()) ids.push(id);
  return ids.sort();
}

export function describeObjectStore(name: string, makePlace: () => Promise<StorePlace>): void {
  describe(`object store: ${name}`, () => {
    let place: StorePlace;
    let store: ObjectStore;
    beforeEach(async () => {
      place = await makePlace();
      store = await place.open();
    });
    afterEach(async () => {
      await store.close();
      await place.remove();
    });

    const reopen = async () => {
      await store.close();
      store = await place.open();
    };

    it("returns what was stored, also after it was opened again", async () => {
      const objects = new Map(
        [0, 1, 1023, 1024, 70_000, 2_097_152].map((sizeBytes) => {
          const bytes = pseudoRandomBytes(`object ${sizeBytes}`, sizeBytes);
          return [contentId(bytes), bytes] as const;
        }),
      );
      await Promise.all([...objects].map(([id, bytes]) => store.put(id, bytes)));
      for (const again of [false, true]) {
        if (again) await reopen();
        for (const [id, bytes] of objects) {
          expect(Buffer.compare((await store.get(id)) ?? B, bytes), id).to.equal(0);
          expect(await store.size(id)).to.equal(bytes.length);
          expect(await store.has(id)).to.equal(true);
        }
        expect(await idsOf(store)).to.deep.equal([...objects.keys()].sort());
      }
    });

    it("knows nothing of objects that are not there", async () => {
      expect(await store.get("a")).to.equal(undefined);
      expect(await store.getRange("a", 0, 5)).to.equal(undefined);
      expect(await store.size("a")).to.equal(undefined);
      expect(await store.has("a")).to.equal(false);
      expect(await store.delete("a")).to.equal(false);
      expect(await idsOf(store)).to.deep.equal([]);
    });

    it("reads ranges, cut where the object ends", async () => {
      await store.put("a", A);
      await fc.assert(
        fc.asyncProperty(fc.nat(8), fc.nat(8), async (offset, lengthBytes) => {
          expect(await store.getRange("a", offset, lengthBytes)).to.deep.equal(A.slice(offset, offset + lengthBytes));
        }),
        { numRuns: 40 },
      );
      for (const [offset, lengthBytes] of [
        [-1, 1],
        [0, -1],
        [0.5, 1],
        [0, Number.POSITIVE_INFINITY],
        [Number.NaN, 1],
        [2 ** 53, 1],
      ] as const) {
        await expectAsyncRejection(() => store.getRange("a", offset, lengthBytes), "INVALID_INPUT");
      }
    });

    it("hands out memory of the caller's own, and keeps no reference to what it was given", async () => {
      const given = A.slice();
      await store.put("a", given);
      given.fill(0);
      (await store.get("a"))?.fill(0);
      (await store.getRange("a", 0, 5))?.fill(0);
      expect(await store.get("a")).to.deep.equal(A);
    });

    it("replaces an object as a whole, and removes it, also after it was opened again", async () => {
      await store.put("a", A);
      await store.put("a", B);
      expect(await store.get("a")).to.deep.equal(B);
      await reopen();
      expect(await store.get("a")).to.deep.equal(B);
      expect(await store.delete("a")).to.equal(true);
      await reopen();
      expect(await store.has("a")).to.equal(false);
      expect(await store.delete("a")).to.equal(false);
    });

    it("stores many objects at once, also after it was opened again", async () => {
      const objects = Array.from({ length: 300 }, (_, k) => ({
        id: `o${k}`,
        bytes: pseudoRandomBytes(`m${k}`, k * 7),
      }));
      await store.put("o7", B);
      await store.putMany([]);
      await Promise.all([store.putMany(objects.slice(0, 200)), store.putMany(objects.slice(100))]);
      for (const again of [false, true]) {
        if (again) await reopen();
        for (const { id, bytes } of objects) expect(await store.get(id), id).to.deep.equal(bytes);
        expect(await idsOf(store)).to.deep.equal(objects.map(({ id }) => id).sort());
      }
    });

    it("keeps of an id that is given twice in one call what was given last", async () => {
      const given = [A.slice(), B.slice()] as const;
      const writing = store.putMany([
        { id: "a", bytes: given[0] },
        { id: "b", bytes: A },
        { id: "a", bytes: given[1] },
      ]);
      await writing;
      for (const bytes of given) bytes.fill(0);
      expect(await store.get("a")).to.deep.equal(B);
      expect(await store.size("b")).to.equal(A.length);
    });

    it("removes many objects at once and says how many there were, also after it was opened again", async () => {
      await store.putMany(["a", "b", "c", "d"].map((id) => ({ id, bytes: A })));
      expect(await store.deleteMany([])).to.equal(0);
      expect(await store.deleteMany(["a", "c", "a", "absent"])).to.equal(2);
      expect(await idsOf(store)).to.deep.equal(["b", "d"]);
      await reopen();
      expect(await idsOf(store)).to.deep.equal(["b", "d"]);
      const removed = await Promise.all([store.deleteMany(["b", "d"]), store.deleteMany(["d", "b"])]);
      expect(removed.reduce((sum, count) => sum + count, 0)).to.equal(2);
    });

    it("removes nothing once it is told that it may not, and says so", async () => {
      await store.putMany(["a", "b"].map((id) => ({ id, bytes: A })));
      const refused = store.deleteMany(["a", "b"], () => false);
      const other = store.deleteMany(["b"]);
      expect(await rejection(refused))
        .to.be.instanceOf(RemovalStoppedError)
        .and.to.include({ retryable: true });
      expect(await other).to.equal(1);
      expect(await idsOf(store)).to.deep.equal(["a"]);
      expect(await store.deleteMany(["a"], () => true)).to.equal(1);
    });

    it("gives back the space of removed objects, and loses no other, also while it is read and written", async () => {
      const objects = Array.from({ length: 60 }, (_, k) => ({
        id: `o${k}`,
        bytes: pseudoRandomBytes(`c${k}`, 5000 + k),
      }));
      await store.putMany(objects);
      await store.deleteMany(objects.filter((_, k) => k % 2 === 0).map(({ id }) => id));
      const work = store.compact();
      await store.put("late", A);
      const kept = objects.filter((_, k) => k % 2 === 1);
      for (const { id, bytes } of kept) expect(await store.get(id), id).to.deep.equal(bytes);
      expect(await work).to.be.at.least(0);
      for (const again of [false, true]) {
        if (again) await reopen();
        for (const { id, bytes } of kept) expect(await store.get(id), id).to.deep.equal(bytes);
        expect(await idsOf(store)).to.deep.equal(["late", ...kept.map(({ id }) => id)].sort());
      }
    });

    it("refuses ids that are no plain names, in every call", async () => {
      for (const id of BAD_IDS) {
        for (const call of [
          () => store.put(id, A),
          () => store.get(id),
          () => store.getRange(id, 0, 1),
          () => store.has(id),
          () => store.size(id),
          () => store.delete(id),
          () =>
            store.putMany([
              { id: "good", bytes: A },
              { id, bytes: A },
            ]),
          () => store.deleteMany(["good", id]),
        ]) {
          await expectAsyncRejection(call, "INVALID_INPUT", /object id/);
        }
      }
      expect(await idsOf(store)).to.deep.equal([]);
      for (const id of [`a${".".repeat(127)}`, "-", "_", "0.1-2_3"]) await store.put(id, A);
      expect((await idsOf(store)).length).to.equal(4);
    });

    it("shows readers the old object or the new one while it is replaced, never part of either", async () => {
      const versions = [0, 1, 2].map((k) => new Uint8Array(300_000 + k).fill(k));
      await store.put("a", versions[0] ?? A);
      let writing = true;
      const writes = (async () => {
        for (let k = 1; k <= 30; k++) await store.put("a", versions[k % 3] ?? A);
        writing = false;
      })();
      let reads = 0;
      while (writing) {
        const found = (await store.get("a")) ?? A;
        const version = found[0] ?? 9;
        expect(found.length).to.equal(300_000 + version);
        expect(found.every((byte) => byte === version)).to.equal(true);
        reads += 1;
      }
      await writes;
      expect(reads).to.be.greaterThan(0);
    });

    it("keeps one of the objects that are put under a name at the same time, as a whole", async () => {
      const candidates = Array.from({ length: 12 }, (_, k) => new Uint8Array(10_000 + k).fill(k));
      await Promise.all(candidates.map((bytes) => store.put("a", bytes)));
      const found = (await store.get("a")) ?? A;
      expect(found).to.deep.equal(candidates[found[0] ?? 99]);
      await Promise.all([...candidates.map((bytes, k) => store.put(`o${k}`, bytes)), store.delete("a")]);
      expect(await idsOf(store)).to.deep.equal(candidates.map((_, k) => `o${k}`).sort());
      const removed = await Promise.all(candidates.map(() => store.delete("o1")));
      expect(removed.filter(Boolean).length).to.equal(1);
    });

    it("lists every object that stays, once, while others come and go", async () => {
      const staying = Array.from({ length: 60 }, (_, k) => `stays-${k}`);
      const going = Array.from({ length: 60 }, (_, k) => `goes-${k}`);
      await Promise.all([...staying, ...going].map((id) => store.put(id, A)));
      const listed: string[] = [];
      for await (const id of store.list()) {
        const k = listed.push(id);
        if (k <= going.length) await Promise.all([store.delete(going[k - 1] ?? ""), store.put(`new-${k}`, B)]);
      }
      expect(listed.filter((id) => id.startsWith("stays")).sort()).to.deep.equal(staying.sort());
      expect(new Set(listed).size).to.equal(listed.length);
    });

    it("belongs to the owner that claimed it first, also after it was opened again", async () => {
      expect(await store.owner()).to.equal(undefined);
      expect(await store.claim("0x01")).to.equal("0x01");
      expect(await store.claim("0x02")).to.equal("0x01");
      await reopen();
      expect(await store.owner()).to.equal("0x01");
      expect(await store.claim("0x03")).to.equal("0x01");
      expect(await idsOf(store)).to.deep.equal([]);
    });
  });
}
