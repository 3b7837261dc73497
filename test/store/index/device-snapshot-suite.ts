/** Snapshots that devices have left, as every index keeps them. */
import { expect } from "chai";
import { getAddress } from "ethers";
import type { ProviderIndex } from "../../../offchain/store/index/provider-index.ts";

const ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const ALICE_LOWER = ALICE.toLowerCase();
const BOB = `0x${"0b".repeat(20)}`;
const SOME = new Uint8Array(32).fill(1);

export function describeDeviceSnapshots(index: () => ProviderIndex, reopen: () => Promise<void>): void {
  describe("snapshots that devices have left", () => {
    const DEVICE = `0x${"de".repeat(20)}`;
    const LIMITS = { entries: 3, bytes: 1000 };
    const entry = (position: number, length = 100) => ({
      position,
      previous: new Uint8Array(32).fill(position - 1),
      digest: new Uint8Array(32).fill(position),
      bytes: new Uint8Array(length).fill(position),
    });
    const releases = async () => await index().heads.releasesOf(ALICE);
    const leave = async (one: ReturnType<typeof entry>, key = DEVICE, account = ALICE) =>
      await index().deviceSnapshots.leave(account, key, one, await releases(), LIMITS);
    const first = (bytes: Uint8Array | undefined) => bytes?.[0];
    const entriesAfter = async (position: number, limits = { entries: 10, bytes: 1000 }) =>
      (await index().deviceSnapshots.after(ALICE_LOWER, DEVICE, position, limits)).map(first);

    it("stand one behind the other, each once, for each device and account on its own", async () => {
      expect(await leave(entry(2)), "a gap").to.equal("place");
      expect(await leave(entry(1))).to.equal("kept");
      expect(await leave(entry(1)), "repeated").to.equal("kept");
      expect(await leave({ ...entry(1), digest: new Uint8Array(32).fill(9) }), "another one").to.equal("place");
      expect(await leave({ ...entry(2), previous: new Uint8Array(32) }), "behind another").to.equal("place");
      expect(await leave(entry(2))).to.equal("kept");
      expect(await leave(entry(1), BOB)).to.equal("kept");
      expect(await leave(entry(1), DEVICE, BOB)).to.equal("kept");
      await reopen();
      expect(await index().deviceSnapshots.lists(ALICE_LOWER)).to.have.deep.members([
        { key: getAddress(DEVICE), position: 2, taken: 0 },
        { key: getAddress(BOB), position: 1, taken: 0 },
      ]);
      expect(await entriesAfter(0)).to.deep.equal([1, 2]);
      expect(await entriesAfter(1)).to.deep.equal([2]);
      expect(await entriesAfter(0, { entries: 10, bytes: 150 }), "in one answer").to.deep.equal([1]);
      expect(await entriesAfter(0, { entries: 10, bytes: 1 }), "one in any case").to.deep.equal([1]);
      expect(first(await index().deviceSnapshots.last(ALICE, DEVICE))).to.equal(2);
      expect(await index().deviceSnapshots.last(BOB, BOB)).to.equal(undefined);
      expect(await index().deviceSnapshots.bytesOf(ALICE)).to.equal(300);
    });

    it("wait up to a number and size, go when they were taken over, and leave the last one for its place", async () => {
      for (const position of [1, 2, 3]) expect(await leave(entry(position))).to.equal("kept");
      expect(await leave(entry(4))).to.equal("full");
      expect(await index().deviceSnapshots.take(ALICE, DEVICE, 2)).to.equal(2);
      expect(await index().deviceSnapshots.take(ALICE, DEVICE, 1), "never back").to.equal(2);
      expect(await entriesAfter(0)).to.deep.equal([3]);
      expect(await leave(entry(4, 950)), "too many bytes").to.equal("full");
      expect(await leave(entry(4))).to.equal("kept");
      expect(await index().deviceSnapshots.take(ALICE, DEVICE, 99)).to.equal(4);
      expect(await entriesAfter(0)).to.deep.equal([4]);
      expect(await index().deviceSnapshots.bytesOf(ALICE)).to.equal(0);
      expect(await leave(entry(4)), "an answer that was lost").to.equal("kept");
      expect(await leave(entry(5))).to.equal("kept");
      expect(await entriesAfter(0), "the one that was kept for its place is gone").to.deep.equal([5]);
      expect(await index().deviceSnapshots.take(BOB, BOB, 1)).to.equal(0);
    });

    it("let one of several writers win", async () => {
      const others = [1, 2, 3, 4].map((fill) => ({ ...entry(1), digest: new Uint8Array(32).fill(fill) }));
      const outcomes = await Promise.all(others.map(async (one) => await leave(one)));
      expect(outcomes.filter((outcome) => outcome === "kept")).to.have.length(1);
    });

    it("count on releases, keep back those to come, and are in no way of the first head", async () => {
      const counted = await releases();
      const { deviceSnapshots, heads, chunks } = index();
      expect(await deviceSnapshots.leave(ALICE, DEVICE, entry(1), counted + 1, LIMITS)).to.equal("releases");
      expect(await leave(entry(1))).to.equal("kept");
      expect(await heads.find(ALICE)).to.equal(undefined);
      const head = { version: 1, sealed: new Uint8Array(40) };
      expect(await heads.replace(ALICE, { version: 0, releases: counted + 1 }, head)).to.equal(false);
      expect(await heads.replace(ALICE, { version: 0, releases: counted }, head)).to.equal(true);
      expect(await heads.replace(ALICE, { version: 0, releases: counted }, head)).to.equal(false);
      expect(await chunks.noteRelease(ALICE, [SOME], 1, 20), "one waits").to.equal(undefined);
      expect(await releases()).to.equal(counted);
      await deviceSnapshots.take(ALICE, DEVICE, 1);
      expect(await chunks.noteRelease(ALICE, [SOME], 1, 20)).to.equal(0);
      expect(await deviceSnapshots.leave(ALICE, DEVICE, entry(2), counted, LIMITS)).to.equal("releases");
      // A release without a head was counted.
      const before = await heads.releasesOf(BOB);
      await chunks.release(BOB, [SOME], 20);
      expect(await heads.replace(BOB, { version: 0, releases: before }, head)).to.equal(false);
    });
  });
}
