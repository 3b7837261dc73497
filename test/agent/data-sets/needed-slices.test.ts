/** Which live slices hold objects that are needed, by the journal, without a chain. */

import { expect } from "chai";
import type { JournaledSegment } from "../../../offchain/agent/data-sets/journal.ts";
import {
  goneIds,
  neededRuns,
  objectsInRuns,
  retirableSlices,
  unknownSlices,
} from "../../../offchain/agent/data-sets/needed-slices.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { MemoryDataSetJournal } from "../../helpers/memory-platform.ts";
import { collect } from "../../helpers/promises.ts";
import { JOURNALED_SET } from "../ports/data-set-journal-suite.ts";
import { SLICE } from "./fixture.ts";

const word = (digits: string) => `0x${digits.repeat(32)}`;

const segment = (id: string, sliceCount: number, isCompaction = false) => ({
  id: word(id),
  salt: JOURNALED_SET.salt,
  sliceCount,
  taggedFrom: 1,
  manifestHash: word("3a"),
  createdAt: 0,
  ...(isCompaction ? { isCompaction } : {}),
});

describe("needed slices of a data set", () => {
  const set = { ...JOURNALED_SET, sliceElements: 1024 };
  const [a = "", b = "", c = ""] = [1, 2, 3].map((byte) => contentId(Uint8Array.of(byte)));
  const live = [{ firstIndex: 1, count: 3 }];
  let journal: MemoryDataSetJournal;
  let made: JournaledSegment;

  /** Two objects share the first slice; the third begins in the second one. */
  beforeEach(async () => {
    journal = new MemoryDataSetJournal();
    await journal.begin(set);
    made = await journal.reserve(segment("51", 3), [
      { id: a, startByte: 0, sizeBytes: SLICE / 2 },
      { id: b, startByte: SLICE / 2, sizeBytes: SLICE / 2 },
      { id: c, startByte: SLICE, sizeBytes: SLICE + 1 },
    ]);
  });

  const retirable = async (ranges: typeof live, gone: readonly string[], searchesAll = false) =>
    await retirableSlices(journal, set, ranges, new Set(gone), searchesAll);

  it("retires slices whose other objects were forgotten before, and none that is not live", async () => {
    expect(await retirable([], [a, b])).to.deep.equal([]);
    const saved = await journal.save(set, { included: [made.id] });
    expect(await retirable(live, [a])).to.deep.equal([]);
    expect(await retirable(live, [a, b])).to.deep.equal([{ firstIndex: 1, count: 1 }]);
    await journal.save(saved, { forgotten: [a] });
    expect(await retirable(live, [b])).to.deep.equal([{ firstIndex: 1, count: 1 }]);
    expect(await retirable([{ firstIndex: 2, count: 2 }], [b, c])).to.deep.equal([{ firstIndex: 2, count: 2 }]);
    expect(await retirable(live, [])).to.deep.equal([]);
    await journal.save({ ...saved, revision: saved.revision + 1 }, { forgotten: [b] });
    expect(await retirable(live, [], true)).to.deep.equal([{ firstIndex: 1, count: 1 }]);
  });

  it("are runs with the bytes of their objects", async () => {
    const whole = { firstIndex: 1, count: 3, bytes: 2 * SLICE + 1 };
    expect(await neededRuns(journal, set, live, new Set())).to.deep.equal([whole]);
    expect(await neededRuns(journal, set, live, new Set([a, c]))).to.deep.equal([
      { firstIndex: 1, count: 1, bytes: SLICE / 2 },
    ]);
    expect(await neededRuns(journal, set, live, new Set([a, b]))).to.deep.equal([
      { firstIndex: 2, count: 2, bytes: SLICE + 1 },
    ]);
    const objects = await collect(objectsInRuns(journal, set, live, new Set([b])));
    expect(objects.map(({ id }) => id)).to.deep.equal([a, c]);
  });

  it("are not needed for what a compaction holds again", async () => {
    const again = await journal.reserve(segment("52", 1, true), [{ id: b, startByte: 0, sizeBytes: SLICE / 2 }]);
    const gone = await goneIds(journal, set, { released: [a], compactions: [again] });
    expect([...gone]).to.have.members([a, b]);
    expect(await retirable(live, [...gone])).to.deep.equal([{ firstIndex: 1, count: 1 }]);
  });

  it("reads a large segment in windows, and each object once", async () => {
    const sizes = Array.from({ length: 30 }, (_, k) => Math.round(SLICE * (90.3 + k)));
    let startByte = 0;
    const places = sizes.map((sizeBytes, k) => {
      startByte += sizeBytes;
      return { id: contentId(Uint8Array.of(9, k)), startByte: startByte - sizeBytes, sizeBytes };
    });
    const count = Math.ceil(startByte / SLICE);
    expect(count).to.be.greaterThan(2048);
    const { firstIndex } = await journal.reserve(segment("53", count), places);
    const ranges = [{ firstIndex, count }];
    expect(await neededRuns(journal, set, ranges, new Set())).to.deep.equal([{ firstIndex, count, bytes: startByte }]);
    const objects = await collect(objectsInRuns(journal, set, ranges, new Set()));
    expect(objects).to.deep.equal(places);
  });

  it("does not know slices of no segment", async () => {
    expect(await unknownSlices(journal, set, [{ firstIndex: 2, count: 5 }])).to.deep.equal([
      { firstIndex: 4, count: 3 },
    ]);
  });
});
