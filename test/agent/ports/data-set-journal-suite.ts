/** What every journal of data sets promises (agent/data-sets/journal.ts), held against each implementation. */

import { expect } from "chai";
import type {
  DataSetJournal,
  JournaledDataSet,
  NewSegment,
  SegmentObject,
} from "../../../offchain/agent/data-sets/journal.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

/** One journal, empty at first. */
export interface JournalFixture {
  /** Opens it: again after a close, with what was kept. */
  open(): Promise<DataSetJournal>;
  remove(): Promise<void>;
}

const word = (digits: string) => `0x${digits.repeat(32)}`;
const address = (digits: string) => `0x${digits.repeat(20)}`;

export const JOURNALED_SET: JournaledDataSet = {
  salt: word("a1"),
  provider: address("bb"),
  escrow: address("ee"),
  token: address("00"),
  sliceElements: 4096,
  state: "preparing",
  isOwn: true,
  createdAt: 100,
  revision: 0,
  nextIndex: 1,
  contentHash: word("00"),
};

export const FULL_SET: JournaledDataSet = {
  ...JOURNALED_SET,
  state: "running",
  agreed: {
    id: word("1d"),
    terms: {
      user: address("11"),
      provider: address("bb"),
      token: address("00"),
      mode: "on-demand",
      feeFloor: 1n,
      feePerSlice: 2n ** 79n,
      feePerIndex: 0n,
      feeCap: 2n ** 80n - 1n,
      collateralPercent: 600,
      compensationPercent: 100,
      bountyPercent: 10,
      latePercent: 50,
      breachLimit: 3,
      auditHash: word("ad"),
    },
    audit: {
      randomness: address("33"),
      verifier: address("44"),
      keyHash: word("cc"),
      sliceElements: 4096,
      sampleCount: 460,
      phase: 7,
      windowBlocks: 10,
      graceBlocks: 5,
      disputeBond: 12n,
      predecessor: word("00"),
      salt: word("a1"),
    },
  },
  movedTo: { id: word("1d"), provider: address("7a"), blockNumber: 12 },
  left: { dead: 3, isCompactionDue: true },
  scheduled: { schedule: Uint8Array.of(1, 2, 3), ranges: Uint8Array.of(4), blockNumber: 9, blockHash: word("b9") },
  signed: {
    version: 2n ** 63n,
    retirements: 2,
    ranges: Uint8Array.of(5, 6),
    contentHash: word("c0"),
    deadlineBlock: 2n ** 60n,
    userSignature: "0x01",
    providerSignature: "0x02",
    segments: [word("5e")],
  },
};

/** Adds the tests to the suite under way. */
export function testDataSetJournal(makeFixture: () => Promise<JournalFixture>): void {
  let fixture: JournalFixture;
  let journal: DataSetJournal;
  const ids = [1, 2, 3].map((byte) => contentId(Uint8Array.of(byte)));
  const [one = "", two = "", three = ""] = ids;

  beforeEach(async () => {
    fixture = await makeFixture();
    journal = await fixture.open();
  });
  afterEach(async () => {
    await journal.close();
    await fixture.remove();
  });

  const reopen = async () => {
    await journal.close();
    journal = await fixture.open();
  };
  const segment = (digits: string, changed: Partial<NewSegment> = {}): NewSegment => ({
    id: word(digits),
    salt: JOURNALED_SET.salt,
    sliceCount: 3,
    taggedFrom: 1,
    manifestHash: word("3a"),
    createdAt: 5,
    ...changed,
  });
  const inOrder = (...sizes: [string, number][]): SegmentObject[] => {
    let startByte = 0;
    return sizes.map(([id, sizeBytes]) => {
      startByte += sizeBytes;
      return { id, startByte: startByte - sizeBytes, sizeBytes };
    });
  };

  it("begins one set for a provider and an escrow, until that one has ended", async () => {
    expect(await journal.begin(JOURNALED_SET)).to.deep.equal(JOURNALED_SET);
    const other = { ...JOURNALED_SET, salt: word("a2"), provider: address("BB"), escrow: address("EE") };
    expect(await journal.begin(other)).to.deep.equal(JOURNALED_SET);
    const elsewhere = { ...JOURNALED_SET, salt: word("a3"), provider: address("cc"), createdAt: 50 };
    expect(await journal.begin(elsewhere)).to.deep.equal(elsewhere);
    await journal.save({ ...JOURNALED_SET, state: "ended" });
    await reopen();
    expect(await journal.begin(other)).to.deep.equal(other);
    expect((await journal.sets()).map(({ salt }) => salt)).to.deep.equal([word("a3"), word("a1"), word("a2")]);
  });

  it("begins one set for each delegate, beside that of the device", async () => {
    const own = await journal.begin(JOURNALED_SET);
    const prepared = { ...JOURNALED_SET, salt: word("d1"), delegate: address("d2") };
    expect(await journal.begin(prepared)).to.deep.equal(prepared);
    const another = { ...JOURNALED_SET, salt: word("d3"), delegate: address("d4") };
    expect(await journal.begin(another)).to.deep.equal(another);
    await reopen();
    expect(await journal.begin({ ...prepared, salt: word("d5") })).to.deep.equal(prepared);
    expect(await journal.begin({ ...JOURNALED_SET, salt: word("d6") })).to.deep.equal(own);
  });

  it("never appends to a set that was found by recovery", async () => {
    await journal.save({ ...JOURNALED_SET, isOwn: false, state: "running" });
    const own = { ...JOURNALED_SET, salt: word("a2") };
    expect(await journal.begin(own)).to.deep.equal(own);
  });

  it("keeps all that is known of a set over a restart", async () => {
    await journal.begin(JOURNALED_SET);
    const saved = await journal.save(FULL_SET);
    expect(saved).to.deep.equal({ ...FULL_SET, revision: 1 });
    await reopen();
    expect(await journal.set(FULL_SET.salt)).to.deep.equal(saved);
    expect(await journal.set(word("99"))).to.equal(undefined);
    const { signed: _, scheduled: __, agreed: ___, ...less } = saved;
    await journal.save(less);
    expect(await journal.sets()).to.deep.equal([{ ...less, revision: 2 }]);
  });

  it("does not overwrite what another command has saved, whose signature would be forgotten", async () => {
    await journal.begin(JOURNALED_SET);
    const saved = await journal.save(FULL_SET);
    await journal.reserve(segment("51"), inOrder([one, 10]));
    const changes = { dropped: [word("51")], forgotten: [one] };
    const error = await expectAsyncRejection(() => journal.save(JOURNALED_SET, changes), "CONFLICT");
    expect(error.retryable).to.equal(true);
    expect(await journal.set(FULL_SET.salt)).to.deep.equal({ ...saved, nextIndex: 4 });
    expect(await journal.holders(FULL_SET.salt, ids)).to.have.property("size", 1);
  });

  it("never gives an index twice: not to segments side by side, not after a restart, not after a drop", async () => {
    await journal.begin(JOURNALED_SET);
    const both = await Promise.all([
      journal.reserve(segment("51"), inOrder([one, 10])),
      journal.reserve(segment("52", { sliceCount: 2 }), inOrder([two, 10])),
    ]);
    expect(both.map(({ firstIndex }) => firstIndex).sort()).to.deep.equal([1, 4]);
    // What was read before the segments were reserved is saved after them.
    await journal.save({ ...JOURNALED_SET, state: "opening" }, { dropped: [word("52")] });
    await reopen();
    const third = await journal.reserve(segment("53"), inOrder([three, 10]));
    expect(third).to.deep.equal({ ...segment("53"), firstIndex: 6, state: "reserved" });
    expect((await journal.set(JOURNALED_SET.salt))?.nextIndex).to.equal(9);
    expect((await journal.segments()).map(({ id }) => id)).to.deep.equal([word("51"), word("53")]);
  });

  it("moves the next index up when it is told of a higher one", async () => {
    await journal.begin(JOURNALED_SET);
    await journal.save({ ...JOURNALED_SET, nextIndex: 40 });
    expect((await journal.reserve(segment("51"), [])).firstIndex).to.equal(40);
  });

  it("refuses to reserve for a set that it does not know", async () => {
    const failed = await journal.reserve(segment("51"), []).then(
      () => "reserved",
      () => "refused",
    );
    expect([failed, await journal.segments()]).to.deep.equal(["refused", []]);
  });

  it("tells which segments hold an object, each set by itself", async () => {
    await journal.begin(JOURNALED_SET);
    const elsewhere = { ...JOURNALED_SET, salt: word("a3"), provider: address("cc") };
    await journal.begin(elsewhere);
    await journal.reserve(segment("51"), inOrder([one, 10], [two, 20]));
    await journal.reserve(segment("52"), inOrder([two, 20]));
    await journal.reserve(segment("53", { salt: elsewhere.salt }), inOrder([three, 1]));
    await reopen();
    const found = await journal.holders(JOURNALED_SET.salt, ids);
    expect([...found.keys()]).to.have.members([one, two]);
    expect(found.get(one)).to.deep.equal([word("51")]);
    expect(found.get(two)).to.have.members([word("51"), word("52")]);
    expect(await journal.holders(word("99"), ids)).to.have.property("size", 0);
    expect((await journal.segments(elsewhere.salt)).map(({ id }) => id)).to.deep.equal([word("53")]);
  });

  it("includes, drops and forgets together with the set", async () => {
    await journal.begin(JOURNALED_SET);
    await journal.reserve(segment("51"), inOrder([one, 10], [two, 20]));
    await journal.reserve(segment("52"), inOrder([two, 20], [three, 5]));
    await journal.save(JOURNALED_SET, { included: [word("51")], dropped: [word("52")], forgotten: [one] });
    await reopen();
    expect((await journal.segments()).map(({ id, state }) => [id, state])).to.deep.equal([[word("51"), "included"]]);
    expect([...(await journal.holders(JOURNALED_SET.salt, ids))]).to.deep.equal([[two, [word("51")]]]);
  });

  it("keeps which segment a compaction has made, and relies on it alone for what it holds again", async () => {
    await journal.begin(JOURNALED_SET);
    await journal.reserve(segment("51"), inOrder([one, 10], [two, 20]));
    await journal.reserve(segment("52", { isCompaction: true }), inOrder([two, 20], [three, 5]));
    await journal.save(JOURNALED_SET, {
      included: [word("52")],
      left: [
        { segment: word("51"), objects: [two, three] },
        { segment: word("59"), objects: [one] },
      ],
    });
    await reopen();
    const marks = (await journal.segments()).map(({ id, isCompaction }) => [id, isCompaction === true]);
    expect(marks).to.deep.equal([
      [word("51"), false],
      [word("52"), true],
    ]);
    const holders = [...(await journal.holders(JOURNALED_SET.salt, ids))];
    expect(holders).to.deep.equal([
      [one, [word("51")]],
      [two, [word("52")]],
      [three, [word("52")]],
    ]);
  });

  it("finds the objects that have bytes in a part of a segment", async () => {
    await journal.begin(JOURNALED_SET);
    await journal.reserve(segment("51"), inOrder([one, 10], [two, 20], [three, 5]));
    await journal.reserve(segment("52"), inOrder([one, 100]));
    const within = async (from: number, to: number) =>
      (await journal.objectsIn(word("51"), from, to)).map(({ id }) => ids.indexOf(id) + 1);
    expect(await within(0, 10)).to.deep.equal([1]);
    expect(await within(9, 11)).to.deep.equal([1, 2]);
    expect(await within(15, 16)).to.deep.equal([2]);
    expect(await within(10, 100)).to.deep.equal([2, 3]);
    expect(await within(35, 100)).to.deep.equal([]);
    await journal.save(JOURNALED_SET, { forgotten: [two] });
    expect(await within(15, 16)).to.deep.equal([]);
    expect(await within(0, 100)).to.deep.equal([1, 3]);
    expect(await journal.objectsIn(word("59"), 0, 10)).to.deep.equal([]);
  });
}
