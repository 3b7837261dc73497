/**
 * What every index of a provider must do, as tests over a factory: the promises of `offchain/store/index/`, one by one.
 */
import { expect } from "chai";
import type { RecordedChunk } from "../../../offchain/store/index/chunk-index.ts";
import type { ProviderIndex } from "../../../offchain/store/index/provider-index.ts";
import type { ManifestChunk } from "../../../offchain/store/index/segment-index.ts";
import { manifestFacts } from "../../csp/manifest-facts.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { describeDataSets } from "./data-set-index-suite.ts";
import { describeDeviceSnapshots } from "./device-snapshot-suite.ts";
import { describeOwnerGroups } from "./owner-group-index-suite.ts";
import { PLACE_SECONDS } from "./places.ts";

/** One database. Indexes on it are open one at a time. */
export interface IndexPlace {
  open(): Promise<ProviderIndex>;
  close(): Promise<void>;
  remove(): Promise<void>;
}

/** The first example of EIP-55, and as a client might write it. */
const ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const ALICE_LOWER = ALICE.toLowerCase();
const BOB = `0x${"b0".repeat(20)}`;

const digest = (k: number) => new Uint8Array(32).fill(k + 1);
const challengesOf = (k: number) =>
  [1, 2].map((n) => ({ nonce: new Uint8Array(16).fill(10 * k + n), answer: new Uint8Array(32).fill(200 - k - n) }));
const chunk = (k: number, sizeBytes = 100 + k): RecordedChunk => ({
  digest: digest(k),
  sizeBytes,
  challenges: challengesOf(k),
});
const salt = (k: number) => new Uint8Array(32).fill(k);

async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const rows: T[] = [];
  for await (const page of pages) rows.push(...page);
  return rows;
}

export function describeProviderIndex(
  name: string,
  makePlace: () => Promise<IndexPlace>,
  { survivesReopening }: { survivesReopening: boolean },
): void {
  describe(`provider index: ${name}`, () => {
    let place: IndexPlace;
    let index: ProviderIndex;
    beforeEach(async () => {
      place = await makePlace();
      index = await place.open();
    });
    afterEach(async () => {
      await place.close();
      await place.remove();
    });

    /** The index after its process has ended; the same one where nothing outlives it. */
    const reopen = async () => {
      if (!survivesReopening) return;
      await place.close();
      index = await place.open();
    };
    /** What is in place of an account that has had no head. */
    const noHead = async () => ({ version: 0, releases: await index.heads.releasesOf(BOB) });

    it("keeps a stub file for each account and put, replaced by compare-and-swap, and charges it", async () => {
      const { stubFiles } = index;
      const file = (epoch: number, bytes: number) => ({ epoch, sealed: new Uint8Array(bytes).fill(epoch) });
      expect(await stubFiles.find(ALICE, digest(1))).to.equal(undefined);
      expect(await stubFiles.bytesOf(ALICE)).to.equal(0);
      expect(await stubFiles.replace(ALICE, digest(1), 1, file(2, 100)), "there is none").to.equal(false);
      expect(await stubFiles.replace(ALICE_LOWER, digest(1), 0, file(1, 100))).to.equal(true);
      expect(await stubFiles.replace(ALICE, digest(1), 0, file(1, 90)), "there is one").to.equal(false);
      expect(await stubFiles.replace(ALICE, digest(2), 0, file(7, 50))).to.equal(true);
      expect(await stubFiles.replace(BOB, digest(1), 0, file(3, 10))).to.equal(true);
      expect(await stubFiles.bytesOf(ALICE)).to.equal(150 + 2 * 128);
      await reopen();
      expect(await index.stubFiles.find(ALICE, digest(1))).to.deep.equal(file(1, 100));
      expect(await index.stubFiles.replace(ALICE, digest(1), 1, file(5, 300))).to.equal(true);
      expect(await index.stubFiles.find(ALICE_LOWER, digest(1))).to.deep.equal(file(5, 300));
      expect(await index.stubFiles.find(BOB, digest(1))).to.deep.equal(file(3, 10));
      expect(await index.stubFiles.bytesOf(ALICE_LOWER)).to.equal(350 + 2 * 128);
      const attempts = [6, 7, 8].map((epoch) => index.stubFiles.replace(ALICE, digest(1), 5, file(epoch, 60)));
      expect((await Promise.all(attempts)).filter(Boolean)).to.have.length(1);
      expect(await index.stubFiles.replace(ALICE, digest(2), 6, file(8, 1)), "another epoch").to.equal(false);
      expect(await index.stubFiles.bytesOf(ALICE)).to.equal(60 + 50 + 2 * 128);
    });

    describe("successors of accounts", () => {
      const CAROL = `0x${"ca".repeat(20)}`;
      const file = (epoch: number, bytes: number) => ({ epoch, sealed: new Uint8Array(bytes).fill(epoch) });

      /** Alice owns 1, 2 and 3, has released 3, and Bob owns 2 (released) and 4. */
      const fill = async () => {
        await index.chunks.record(ALICE, [chunk(1), chunk(2), chunk(3)], 10);
        await index.chunks.record(BOB, [chunk(2), chunk(4)], 10);
        for (const account of [ALICE, BOB]) {
          const releases = await index.heads.releasesOf(account);
          await index.heads.replace(account, { version: 0, releases }, { version: 1, sealed: digest(1) });
        }
        await index.chunks.noteRelease(ALICE, [digest(3)], 1, 20);
        await index.chunks.noteRelease(BOB, [digest(2)], 1, 20);
        await index.stubFiles.replace(ALICE, digest(1), 0, file(1, 100));
        await index.stubFiles.replace(ALICE, digest(2), 0, file(2, 50));
        await index.stubFiles.replace(BOB, digest(2), 0, file(9, 70));
      };
      const whole = async () => ({
        ownedBy: await Promise.all([ALICE, BOB].map((account) => index.chunks.ownedBy(account, 10))),
        owners: await index.chunks.ownersOf([1, 2, 3, 4].map(digest)),
        usage: await Promise.all([ALICE, BOB].map((account) => index.chunks.usageOf(account))),
        totals: await index.chunks.totals(),
        stubBytes: await Promise.all([ALICE, BOB].map((account) => index.stubFiles.bytesOf(account))),
      });

      it("take over chunks and stub files, once, and keep what is theirs", async () => {
        await fill();
        expect(await index.successions.hasTakenOver(BOB, ALICE)).to.equal(false);
        await index.successions.takeOver(ALICE_LOWER, BOB, 30);
        await reopen();
        const after = await whole();
        expect(after).to.deep.equal({
          ownedBy: [[], [1, 2, 3, 4].map(digest)],
          owners: [1, 1, 1, 1],
          usage: [
            { chunks: 0, bytes: 0 },
            { chunks: 4, bytes: 101 + 102 + 103 + 104 },
          ],
          totals: { chunks: 4, storedBytes: 410, ownedBytes: 410, lostChunks: 0 },
          stubBytes: [0, 100 + 70 + 2 * 128],
        });
        expect(await index.stubFiles.find(BOB, digest(1))).to.deep.equal(file(1, 100));
        expect(await index.stubFiles.find(BOB, digest(2)), "its own").to.deep.equal(file(9, 70));
        expect(await index.heads.find(ALICE), "for the successor to read").to.include({ version: 1 });
        expect(await index.successions.hasTakenOver(BOB, ALICE)).to.equal(true);
        expect(await index.successions.hasTakenOver(ALICE, BOB)).to.equal(false);
        await index.successions.takeOver(ALICE, BOB, 31);
        expect(await whole(), "again").to.deep.equal(after);
        // What only one of the two has released is needed; what the predecessor has released, and nobody else, is not.
        await index.chunks.endReleases(100, 10, 100);
        expect(await index.chunks.ownedBy(BOB, 10)).to.deep.equal([1, 2, 4].map(digest));
        expect(await index.chunks.ownersOf([1, 2, 3, 4].map(digest))).to.deep.equal([1, 1, 0, 1]);
      });

      it("take over what comes later, and what their predecessor took over", async () => {
        await fill();
        await index.successions.takeOver(ALICE, BOB, 30);
        await index.chunks.record(ALICE, [chunk(1), chunk(5)], 40);
        await index.successions.takeOver(ALICE, BOB, 50);
        await index.successions.takeOver(BOB, CAROL, 60);
        expect(await index.chunks.ownedBy(CAROL, 10)).to.deep.equal([1, 2, 3, 4, 5].map(digest));
        expect(await index.chunks.ownersOf([1, 5].map(digest))).to.deep.equal([1, 1]);
        expect(await index.chunks.usageOf(CAROL)).to.deep.equal({ chunks: 5, bytes: 515 });
        expect(await index.successions.hasTakenOver(CAROL, ALICE)).to.equal(true);
        expect(await index.successions.hasTakenOver(BOB, ALICE)).to.equal(true);
        expect(await index.successions.hasTakenOver(ALICE, CAROL)).to.equal(false);
      });

      it("say whether there was anything to take, and are followed as far as agents ask", async () => {
        await fill();
        expect(await index.successions.takeOver(ALICE, BOB, 30)).to.equal(true);
        expect(await index.successions.takeOver(ALICE_LOWER, BOB, 31)).to.equal(false);
        await index.chunks.record(ALICE, [chunk(5)], 40);
        expect(await index.successions.takeOver(ALICE, BOB, 50), "chunks").to.equal(true);
        await index.stubFiles.replace(ALICE, digest(3), 0, file(1, 10));
        expect(await index.successions.takeOver(ALICE, BOB, 51), "stub files").to.equal(true);
        expect(await index.successions.takeOver(ALICE, CAROL, 52), "another successor").to.equal(true);
        const line = Array.from({ length: 18 }, (_, k) => `0x${"0".repeat(38)}${10 + k}`);
        for (const [k, account] of line.entries()) {
          if (k > 0) expect(await index.successions.takeOver(line[k - 1] ?? "", account, 60)).to.equal(true);
        }
        expect(await index.successions.hasTakenOver(line[16] ?? "", line[0] ?? "")).to.equal(true);
        expect(await index.successions.hasTakenOver(line[17] ?? "", line[0] ?? "")).to.equal(false);
      });

      it("take over what a notice of the successor's own was not about", async () => {
        await index.chunks.record(ALICE, [chunk(1)], 10);
        await index.chunks.record(BOB, [chunk(4)], 10);
        await index.chunks.setUnpaidSince(BOB, 11);
        await index.successions.takeOver(ALICE, BOB, 30);
        expect(await index.chunks.usageOf(BOB)).to.deep.equal({ chunks: 2, bytes: 205 });
        await index.chunks.setUnpaidSince(BOB, 31);
        await index.stubFiles.replace(ALICE, digest(3), 0, file(1, 10));
        expect(await index.successions.takeOver(ALICE, BOB, 32)).to.equal(true);
        expect(await index.chunks.usageOf(BOB)).to.include({ unpaidSince: 31 });
      });

      it("take over once when several processes do it at the same time, and lose nothing that is added", async () => {
        await fill();
        await Promise.all([
          index.successions.takeOver(ALICE, BOB, 30),
          index.chunks.record(BOB, [chunk(6)], 30),
          index.successions.takeOver(ALICE, BOB, 30),
        ]);
        expect(await index.chunks.usageOf(BOB)).to.deep.equal({ chunks: 5, bytes: 410 + 106 });
        expect(await index.chunks.usageOf(ALICE)).to.deep.equal({ chunks: 0, bytes: 0 });
      });
    });

    describe("chunks", () => {
      it("are found by batch, in the order asked for, unknown ones as undefined", async () => {
        await index.chunks.record(ALICE, [chunk(1), chunk(2)], 5);
        await reopen();
        const found = await index.chunks.find([digest(2), digest(9), digest(1), digest(2)]);
        expect(found.map((row) => row?.sizeBytes)).to.deep.equal([102, undefined, 101, 102]);
        expect(found[2]).to.deep.equal({ digest: digest(1), sizeBytes: 101, stored: true });
        expect(await index.chunks.find([])).to.deep.equal([]);
      });

      it("belong to an account in whatever case its address is written, and to no other", async () => {
        await index.chunks.record(ALICE_LOWER, [chunk(1)], 5);
        for (const account of [ALICE, ALICE_LOWER, `0x${ALICE.slice(2).toUpperCase()}`]) {
          expect(await index.chunks.owns(account, [digest(1), digest(2)])).to.deep.equal([true, false]);
        }
        expect(await index.chunks.owns(BOB, [digest(1)])).to.deep.equal([false]);
        await expectAsyncRejection(() => index.chunks.owns("0x1", [digest(1)]), "INVALID_INPUT");
      });

      it("are given to further owners only while they are stored", async () => {
        await index.chunks.record(ALICE, [chunk(1), chunk(2)], 5);
        await index.chunks.markLost([digest(2)]);
        const outcome = await index.chunks.addOwner(BOB, [digest(1), digest(2), digest(3), digest(1)], 6);
        expect(outcome).to.deep.equal([true, false, false, true]);
        expect(await index.chunks.owns(BOB, [digest(1), digest(2), digest(3)])).to.deep.equal([true, false, false]);
        await index.chunks.markStored([digest(2)]);
        expect(await index.chunks.addOwner(BOB, [digest(2)], 7)).to.deep.equal([true]);
      });

      it("count as lost until they are recorded or found again", async () => {
        await index.chunks.record(ALICE, [chunk(1), chunk(2)], 5);
        await index.chunks.markLost([digest(1), digest(2), digest(9)]);
        await index.chunks.markLost([digest(1)]);
        await reopen();
        expect((await index.chunks.totals()).lostChunks).to.equal(2);
        expect((await index.chunks.find([digest(1)]))[0]?.stored).to.equal(false);
        await index.chunks.record(BOB, [chunk(1)], 6);
        await index.chunks.markStored([digest(2), digest(2)]);
        expect((await index.chunks.totals()).lostChunks).to.equal(0);
        expect((await index.chunks.find([digest(1), digest(2)])).map((row) => row?.stored)).to.deep.equal([true, true]);
      });

      it("are counted once in all, and once per owner", async () => {
        await index.chunks.record(ALICE, [chunk(1), chunk(1), chunk(2)], 5);
        await index.chunks.record(BOB, [chunk(1)], 5);
        await index.chunks.addOwner(BOB, [digest(1), digest(2)], 5);
        const expected = { chunks: 2, storedBytes: 203, ownedBytes: 406, lostChunks: 0 };
        expect(await index.chunks.totals()).to.deep.equal(expected);
        await reopen();
        expect(await index.chunks.totals()).to.deep.equal(expected);
        for (const account of [ALICE_LOWER, BOB]) {
          expect(await index.chunks.usageOf(account)).to.deep.equal({ chunks: 2, bytes: 203 });
        }
        expect(await index.chunks.usageOf(`0x${"cc".repeat(20)}`)).to.deep.equal({ chunks: 0, bytes: 0 });
      });

      it("are recorded all or not at all", async () => {
        const broken = { ...chunk(2), sizeBytes: undefined as unknown as number };
        let failed = false;
        await index.chunks.record(ALICE, [chunk(1), broken], 5).catch(() => {
          failed = true;
        });
        expect(failed).to.equal(true);
        expect(await index.chunks.find([digest(1)])).to.deep.equal([undefined]);
        expect(await index.chunks.totals()).to.include({ chunks: 0, ownedBytes: 0 });
        expect(await index.chunks.usageOf(ALICE)).to.deep.equal({ chunks: 0, bytes: 0 });
      });

      it("are recorded by many at the same time without losing a count", async () => {
        const owners = Array.from({ length: 20 }, (_, k) => `0x${k.toString(16).padStart(40, "0")}`);
        await Promise.all(owners.map((owner) => index.chunks.record(owner, [chunk(1), chunk(2)], 5)));
        expect(await index.chunks.totals()).to.include({ chunks: 2, storedBytes: 203, ownedBytes: 20 * 203 });
      });

      it("are walked in order, each once, while rows change", async () => {
        const many = Array.from({ length: 2500 }, (_, k) => {
          const bytes = new Uint8Array(32);
          new DataView(bytes.buffer).setUint32(0, k * 7919);
          return { ...chunk(0), digest: bytes };
        });
        await index.chunks.record(ALICE, many, 5);
        const seen: string[] = [];
        for await (const page of index.chunks.pages()) {
          seen.push(...page.map((row) => Buffer.from(row.digest).toString("hex")));
          await index.chunks.markLost(page.map((row) => row.digest));
        }
        expect(seen.length).to.equal(2500);
        expect(seen).to.deep.equal([...new Set(seen)].sort());
        expect((await index.chunks.totals()).lostChunks).to.equal(2500);
      });
    });

    describe("references", () => {
      /** A segment over chunks, in a data set of its own. @returns the segment's id */
      async function named(k: number, chunks: readonly ManifestChunk[]): Promise<number> {
        const key = { X: salt(1), XA: salt(1), XB: salt(1) };
        const facts = { account: ALICE, salt: salt(k), key, auditKeyHash: salt(1), touchedAt: 1000 };
        const set = await index.dataSets.begin({ ...facts, sliceElements: 1024, phase: 0 }, 256);
        if (set.outcome !== "created") throw new Error(set.outcome);
        const begun = {
          dataSetId: set.id,
          name: salt(k),
          manifestHash: salt(1),
          commitmentSeed: salt(1),
          firstIndex: 1,
          touchedAt: 1000,
        };
        const segment = await index.segments.begin(begun, 256);
        if (segment.outcome !== "created") throw new Error(segment.outcome);
        await index.segments.addToManifest(segment.id, chunks);
        await index.segments.complete(segment.id, manifestFacts(1));
        return segment.id;
      }
      const unused = async (since: number) => (await index.chunks.unused(since, 10)).map((each) => each.digest);

      it("count owners, and end with the last one", async () => {
        await index.chunks.record(ALICE, [chunk(1), chunk(2), chunk(3)], 10);
        await index.chunks.record(BOB, [chunk(1)], 10);
        expect(await index.chunks.addOwner(BOB, [digest(2)], 10)).to.deep.equal([true]);
        expect(await index.chunks.addOwner(BOB, [digest(2)], 10)).to.deep.equal([true]);
        await index.chunks.record(BOB, [chunk(2)], 11);
        const digests = [1, 2, 3, 9].map(digest);
        expect(await index.chunks.ownersOf(digests)).to.deep.equal([2, 2, 1, 0]);
        expect(await index.chunks.release(ALICE_LOWER, [...digests, digest(1)], 20)).to.equal(3);
        expect(await index.chunks.release(ALICE, digests, 20)).to.equal(0);
        expect(await index.chunks.ownersOf(digests)).to.deep.equal([1, 1, 0, 0]);
        expect(await index.chunks.usageOf(ALICE)).to.deep.equal({ chunks: 0, bytes: 0 });
        expect((await index.chunks.totals()).ownedBytes).to.equal(203);
        expect(await unused(19)).to.deep.equal([]);
        expect(await unused(20)).to.deep.equal([digest(3)]);
        expect(await index.chunks.ownedBy(BOB, 1)).to.deep.equal([digest(1)]);
        expect(await index.chunks.ownedBy(BOB, 9, digest(1))).to.deep.equal([digest(2)]);
        await index.chunks.record(ALICE, [chunk(3)], 30);
        expect(await unused(99)).to.deep.equal([]);
      });

      describe("that were released", () => {
        const three = [1, 2, 3].map(digest);
        beforeEach(async () => {
          await index.chunks.record(
            ALICE,
            [1, 2, 3].map((k) => chunk(k)),
            10,
          );
          await index.chunks.record(BOB, [chunk(1)], 10);
          expect(await index.heads.replace(ALICE, await noHead(), { version: 1, sealed: Uint8Array.of(1) })).to.equal(
            true,
          );
        });

        it("last until the release is over, and end in the order of time, some at once", async () => {
          expect(await index.chunks.noteRelease(ALICE_LOWER, [...three, digest(9)], 1, 20)).to.equal(3);
          expect(await index.chunks.noteRelease(ALICE, three, 1, 30), "released already").to.equal(0);
          await reopen();
          expect(await index.chunks.owns(ALICE, three)).to.deep.equal([true, true, true]);
          expect(await index.chunks.usageOf(ALICE)).to.include({ chunks: 3 });
          expect(await index.chunks.endReleases(19, 2, 50)).to.equal(0);
          expect(await index.chunks.endReleases(20, 2, 50)).to.equal(2);
          expect(await index.chunks.endReleases(20, 2, 50)).to.equal(1);
          expect(await index.chunks.endReleases(20, 2, 50)).to.equal(0);
          expect(await index.chunks.ownersOf(three)).to.deep.equal([1, 0, 0]);
          expect(await index.chunks.usageOf(ALICE)).to.deep.equal({ chunks: 0, bytes: 0 });
          expect(await unused(49)).to.deep.equal([]);
          expect(await unused(50)).to.deep.equal([digest(2), digest(3)]);
        });

        it("are kept by a claim, by an upload, and by whoever says so", async () => {
          await index.chunks.noteRelease(ALICE, three, 1, 20);
          expect(await index.chunks.addOwner(ALICE, [digest(1)], 30)).to.deep.equal([true]);
          await index.chunks.record(ALICE, [chunk(2)], 30);
          await index.chunks.markLost([digest(3)]);
          const asked = [3, 2, 1, 9].map(digest);
          expect(await index.chunks.keep(ALICE, asked), "a lost one is not kept").to.deep.equal([
            false,
            true,
            true,
            false,
          ]);
          await index.chunks.markStored([digest(3)]);
          expect(await index.chunks.keep(ALICE_LOWER, asked)).to.deep.equal([true, true, true, false]);
          expect(await index.chunks.keep(BOB, three)).to.deep.equal([true, false, false]);
          expect(await index.chunks.endReleases(99, 9, 99)).to.equal(0);
          expect(await index.chunks.ownersOf(three)).to.deep.equal([2, 1, 1]);
          expect(await index.chunks.usageOf(ALICE)).to.deep.equal({ chunks: 3, bytes: 306 });
        });

        it("were released under the head that is in place, or not at all", async () => {
          expect(await index.chunks.noteRelease(ALICE, three, 2, 20)).to.equal(undefined);
          expect(await index.chunks.noteRelease(BOB, three, 1, 20), "has no head").to.equal(undefined);
          expect(await index.chunks.endReleases(99, 9, 99)).to.equal(0);
          expect(await index.heads.releasesOf(ALICE)).to.equal(await index.heads.releasesOf(BOB));
        });

        it("are counted, and a head is replaced only by who knows the count", async () => {
          const next = (releases: number) =>
            index.heads.replace(ALICE, { version: 1, releases }, { version: 2, sealed: Uint8Array.of(2) });
          const first = await index.heads.releasesOf(ALICE);
          expect(first).to.be.at.least(1);
          await index.chunks.noteRelease(ALICE_LOWER, [digest(1)], 1, 20);
          expect(await next(first)).to.equal(false);
          await index.chunks.release(ALICE_LOWER, [digest(2)], 20);
          expect(await next(first + 1)).to.equal(false);
          expect(await index.heads.releasesOf(ALICE_LOWER)).to.equal(first + 2);
          expect(await next(first + 2)).to.equal(true);
          await reopen();
          expect(await index.heads.releasesOf(ALICE)).to.equal(first + 2);
        });

        it("are counted without a head too, and the first is put in place only by who knows the count", async () => {
          const head = { version: 1, sealed: salt(1) };
          const first = await index.heads.releasesOf(BOB);
          await index.chunks.release(BOB, [digest(1)], 20);
          await reopen();
          expect(await index.heads.releasesOf(BOB)).to.equal(first + 1);
          expect(await index.heads.find(BOB)).to.equal(undefined);
          expect(await index.chunks.noteRelease(BOB, [digest(1)], 0, 20), "has no head").to.equal(undefined);
          for (const releases of [0, first, first + 2])
            expect(await index.heads.replace(BOB, { version: 0, releases }, head)).to.equal(false);
          expect(await index.heads.replace(BOB, { version: 0, releases: first + 1 }, head)).to.equal(true);
          expect(await index.heads.replace(BOB, { version: 0, releases: first + 1 }, head)).to.equal(false);
          expect(await index.heads.find(BOB)).to.deep.equal(head);
        });

        it("are decided once when a release, its end, a claim and a head come together", async () => {
          for (let round = 1; round <= 8; round += 1) {
            const releases = await index.heads.releasesOf(ALICE);
            const [noted, , owned, isListed] = await Promise.all([
              index.chunks.noteRelease(ALICE, three, round, round),
              index.chunks.endReleases(99, 9, 99),
              index.chunks.addOwner(ALICE, three, 99),
              index.heads.replace(ALICE, { version: round, releases }, { version: round + 1, sealed: salt(1) }),
            ]);
            expect(owned).to.deep.equal([true, true, true]);
            expect(isListed, "of release and list one comes first").to.equal(noted === undefined);
            if (!isListed) {
              // What a put does then: it keeps what it needs, and claims again what is missing.
              await index.chunks.addOwner(ALICE, three, 99);
              const known = await index.heads.releasesOf(ALICE);
              const [kept] = await Promise.all([index.chunks.keep(ALICE, three), index.chunks.endReleases(99, 9, 99)]);
              expect(kept).to.deep.equal([true, true, true]);
              const expected = { version: round, releases: known };
              expect(await index.heads.replace(ALICE, expected, { version: round + 1, sealed: salt(1) })).to.equal(
                true,
              );
            }
            await index.chunks.endReleases(99, 9, 99);
            expect(await index.chunks.owns(ALICE, three)).to.deep.equal([true, true, true]);
            expect(await index.chunks.ownersOf(three)).to.deep.equal([2, 1, 1]);
          }
        });
      });

      it("count manifests, and end with them", async () => {
        await index.chunks.record(ALICE, [chunk(1), chunk(2)], 10);
        const ids = [await named(1, [chunk(1), chunk(2)]), await named(2, [chunk(1)])];
        await index.chunks.release(ALICE, [digest(1), digest(2)], 20);
        expect(await unused(99)).to.deep.equal([]);
        await index.segments.delete(ids[0] ?? 0);
        expect(await unused(PLACE_SECONDS - 1)).to.deep.equal([]);
        expect(await unused(PLACE_SECONDS)).to.deep.equal([digest(2)]);
        await index.segments.delete(ids[1] ?? 0);
        expect(await unused(PLACE_SECONDS)).to.deep.equal([digest(1), digest(2)]);
      });

      it("are decided once: what is being removed is gained by nobody, what was gained is kept", async () => {
        await index.chunks.record(ALICE, [chunk(1), chunk(2), chunk(3)], 10);
        await index.chunks.markLost([digest(2)]);
        await index.chunks.release(ALICE, [digest(1), digest(2)], 20);
        expect(await index.chunks.beginRemoval([1, 2, 3].map(digest), 19)).to.deep.equal([]);
        expect(await index.chunks.beginRemoval([1, 2, 3].map(digest), 20)).to.deep.equal([digest(1), digest(2)]);
        expect(await index.chunks.totals()).to.include({ chunks: 3, lostChunks: 0 });
        expect(await index.chunks.addOwner(BOB, [digest(1)], 30)).to.deep.equal([false]);
        await expectAsyncRejection(() => index.chunks.record(BOB, [chunk(1)], 30), "CONFLICT");
        await expectAsyncRejection(() => named(1, [chunk(3), chunk(1)]), "CONFLICT");
        await index.chunks.markStored([digest(1)]);
        expect((await index.chunks.find([digest(1)]))[0]?.stored).to.equal(false);
        // A crash may come here: the next round begins again.
        expect(await index.chunks.beginRemoval(await unused(20), 20)).to.deep.equal([digest(1), digest(2)]);
        await index.chunks.endRemoval([1, 2, 3].map(digest));
        expect(await index.chunks.find([1, 2].map(digest))).to.deep.equal([undefined, undefined]);
        expect(await index.chunks.totals()).to.deep.equal({
          chunks: 1,
          storedBytes: 103,
          ownedBytes: 103,
          lostChunks: 0,
        });
        await expectAsyncRejection(() => index.chunks.record(BOB, [{ ...chunk(1), hadRow: true }], 30), "CONFLICT");
        await index.chunks.record(BOB, [chunk(1)], 30);
        expect(await index.chunks.ownersOf([digest(1)])).to.deep.equal([1]);
      });

      it("tell the accounts that own something, and since when they pay for nothing", async () => {
        await index.chunks.record(ALICE, [chunk(1)], 10);
        await index.chunks.record(BOB, [chunk(1), chunk(2)], 10);
        await index.chunks.setUnpaidSince(ALICE_LOWER, 50);
        await index.chunks.release(BOB, [digest(1), digest(2)], 20);
        expect(await all(index.chunks.owners())).to.deep.equal([
          { account: ALICE, chunks: 1, bytes: 101, unpaidSince: 50 },
        ]);
        await index.chunks.setUnpaidSince(ALICE, undefined);
        expect(await index.chunks.usageOf(ALICE)).to.deep.equal({ chunks: 1, bytes: 101 });
      });
    });

    describe("ownership challenges", () => {
      const spare = (k: number) => new Uint8Array(16).fill(200 + k);
      const take = (account: string, k: number, n: number, sizeBytes = 100 + k) =>
        index.chunks.takeChallenges(account, [{ digest: digest(k), sizeBytes, spareNonce: spare(n) }], 50);

      it("are taken once each, and then the spare nonce, without an answer", async () => {
        await index.chunks.record(ALICE, [chunk(1)], 5);
        const [first, second] = challengesOf(1);
        expect(await take(BOB, 1, 1)).to.deep.equal([{ ...first, runsLow: true }]);
        await reopen();
        expect(await take(ALICE, 1, 2)).to.deep.equal([{ ...second, runsLow: true }]);
        expect(await take(BOB, 1, 3)).to.deep.equal([{ nonce: spare(3), answer: undefined, runsLow: true }]);
        await index.chunks.forgetClaims(50);
        expect(await take(BOB, 1, 3)).to.deep.equal([{ nonce: spare(3), answer: undefined, runsLow: true }]);
        await index.chunks.setChallenges(digest(1), challengesOf(7));
        expect((await take(BOB, 1, 4))[0]?.nonce).to.deep.equal(challengesOf(7)[0]?.nonce);
      });

      it("have no answer for chunks that are unknown, lost or of another size", async () => {
        await index.chunks.record(ALICE, [chunk(1), chunk(2)], 5);
        await index.chunks.markLost([digest(2)]);
        const none = (n: number) => [{ nonce: spare(n), answer: undefined, runsLow: false }];
        expect(await take(BOB, 1, 1, 99)).to.deep.equal(none(1));
        expect(await take(BOB, 2, 2)).to.deep.equal(none(2));
        expect(await take(BOB, 3, 3)).to.deep.equal(none(3));
        await index.chunks.record(ALICE, [chunk(2)], 5);
        expect((await take(BOB, 2, 4))[0]?.answer).to.deep.equal(challengesOf(2)[0]?.answer);
      });

      it("are made up for by an upload of the same account, once, in time, unless the claim succeeded", async () => {
        await take(BOB, 1, 1);
        await take(BOB, 1, 2);
        await take(BOB, 2, 3);
        expect(await index.chunks.settleClaims(BOB, [digest(2)])).to.equal(1);
        expect(await index.chunks.settleClaims(BOB, [digest(2)])).to.equal(0);
        expect(await index.chunks.record(ALICE, [chunk(1), chunk(2)], 5)).to.equal(0);
        expect(await index.chunks.record(BOB, [chunk(1), chunk(2)], 5)).to.equal(2);
        expect(await index.chunks.record(BOB, [chunk(1), chunk(2)], 5)).to.equal(0);
        await take(BOB, 3, 4);
        expect(await index.chunks.record(BOB, [chunk(3)], 50)).to.equal(0);
      });
    });

    describe("claims", () => {
      const claim = (k: number, account = ALICE_LOWER) => ({
        id: new Uint8Array(16).fill(k),
        account,
        objects: [
          { digest: digest(1), answer: new Uint8Array(32).fill(9) },
          { digest: digest(2), answer: undefined },
        ],
        expiresAt: 50 + k,
      });
      const limits = { perAccount: 3, inAll: 100 };

      it("are found as they were opened, and end once", async () => {
        await index.claims.open(claim(1), limits);
        await reopen();
        expect(await index.claims.find(claim(1).id)).to.deep.equal({ ...claim(1), account: ALICE });
        const ended = await Promise.all([1, 2, 3].map(() => index.claims.end(claim(1).id)));
        expect(ended.sort()).to.deep.equal([false, false, true]);
        expect(await index.claims.find(claim(1).id)).to.equal(undefined);
      });

      it("of one account replace its oldest, and no other account's", async () => {
        await index.claims.open(claim(9, BOB), limits);
        for (const k of [1, 2, 3, 4]) await index.claims.open(claim(k), limits);
        const found = await Promise.all([1, 2, 3, 4, 9].map((k) => index.claims.find(claim(k).id)));
        expect(found.map((each) => each !== undefined)).to.deep.equal([false, true, true, true, true]);
      });

      it("of all accounts together are bounded, whatever the number of accounts", async () => {
        const account = (k: number) => `0x${k.toString(16).padStart(40, "0")}`;
        for (let k = 0; k < 192; k++) await index.claims.open(claim(k, account(k)), limits);
        const found = await Promise.all(Array.from({ length: 192 }, (_, k) => index.claims.find(claim(k).id)));
        const open = found.flatMap((each, k) => (each === undefined ? [] : [k]));
        expect(open).to.deep.equal(Array.from({ length: 100 }, (_, k) => 92 + k));
      });

      it("are forgotten when they have expired", async () => {
        for (const k of [1, 2]) await index.claims.open(claim(k), limits);
        await index.claims.forget(51);
        const found = await Promise.all([1, 2].map((k) => index.claims.find(claim(k).id)));
        expect(found.map((each) => each !== undefined)).to.deep.equal([false, true]);
      });
    });

    describeDataSets({ index: () => index, reopen });
    describeOwnerGroups(() => index, reopen);

    describe("parcels of delegates", () => {
      const DEVICE = `0x${"de".repeat(20)}`;
      const sealed = (fill: number) => new Uint8Array(113).fill(fill);

      it("are kept for one account and delegate, in any case of letters, and the last replaces others", async () => {
        const { delegates } = index;
        expect(await delegates.parcel(ALICE, DEVICE)).to.equal(undefined);
        await delegates.setParcel(ALICE_LOWER, DEVICE.toUpperCase().replace("0X", "0x"), sealed(1));
        await delegates.setParcel(BOB, DEVICE, sealed(2));
        await delegates.setParcel(ALICE, BOB, sealed(3));
        await delegates.setParcel(ALICE, DEVICE, sealed(4));
        await reopen();
        const found = await Promise.all([
          index.delegates.parcel(ALICE, DEVICE),
          index.delegates.parcel(BOB, DEVICE),
          index.delegates.parcel(ALICE_LOWER, BOB),
        ]);
        expect(found.map((bytes) => bytes?.[0])).to.deep.equal([4, 2, 3]);
        expect(found[0]?.length).to.equal(113);
      });
    });

    describeDeviceSnapshots(() => index, reopen);

    describe("heads of snapshot lists", () => {
      const head = (version: number, fill = version) => ({ version, sealed: new Uint8Array(40).fill(fill) });

      it("are replaced by the next version only, for each account on its own", async () => {
        expect(await index.heads.find(ALICE)).to.equal(undefined);
        expect(await index.heads.bytesOf(ALICE)).to.equal(0);
        const { releases } = await noHead();
        expect(await index.heads.replace(ALICE, { version: 1, releases }, head(2))).to.equal(false);
        expect(await index.heads.replace(ALICE, await noHead(), head(1))).to.equal(true);
        expect(await index.heads.replace(ALICE_LOWER, await noHead(), head(1, 9))).to.equal(false);
        expect(await index.heads.replace(ALICE_LOWER, { version: 1, releases }, head(2))).to.equal(true);
        expect(await index.heads.replace(ALICE, { version: 1, releases }, head(2, 9))).to.equal(false);
        expect(await index.heads.find(BOB)).to.equal(undefined);
        await reopen();
        expect(await index.heads.find(ALICE)).to.deep.equal(head(2));
        expect(await index.heads.bytesOf(ALICE_LOWER)).to.equal(40);
      });

      it("let one of several writers win", async () => {
        const none = await noHead();
        const outcomes = await Promise.all([1, 2, 3].map((fill) => index.heads.replace(ALICE, none, head(1, fill))));
        expect(outcomes.filter((replaced) => replaced)).to.have.length(1);
        expect((await index.heads.find(ALICE))?.sealed[0]).to.equal(outcomes.indexOf(true) + 1);
      });
    });

    describe("meta", () => {
      it("keeps the first value under a name", async () => {
        expect(await index.meta.get("store")).to.equal(undefined);
        const values = await Promise.all(["a", "b"].map((value) => index.meta.setOnce("store", value)));
        await reopen();
        expect(values).to.deep.equal([await index.meta.get("store"), await index.meta.get("store")]);
        await index.ping();
      });
    });
  });
}
