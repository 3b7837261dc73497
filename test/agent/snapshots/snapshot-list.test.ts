import { expect } from "chai";
import { systemClock } from "../../../offchain/agent/clock.ts";
import { isReleased } from "../../../offchain/agent/snapshots/confirm-objects.ts";
import { SnapshotList } from "../../../offchain/agent/snapshots/snapshot-list.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { openHead } from "../../../offchain/core/snapshot/list-objects.ts";
import { MemoryListKeeper } from "../../helpers/memory-data-plane.ts";
import { MemoryCatalogue } from "../../helpers/memory-platform.ts";
import { expectAsyncRejection, rejection } from "../../helpers/rejection.ts";
import { NOTHING_NEEDED, SNAPSHOT_KEYS, snapshotOf, vectors } from "../../helpers/snapshots.ts";

const OTHER = `0x${"0d".repeat(20)}`;

describe("snapshot list", () => {
  let provider: MemoryListKeeper;
  beforeEach(() => {
    provider = new MemoryListKeeper(vectors.provider);
  });

  /** A device: what it remembers is its own. */
  function device(keeper = provider, catalogue = new MemoryCatalogue()) {
    const common = { keys: SNAPSHOT_KEYS, clock: systemClock, listName: "list" };
    return new SnapshotList({ ...common, provider: keeper, catalogue });
  }

  const idsOf = async (list: SnapshotList) => (await list.read()).snapshots.map(({ id }) => id);
  const many = (count: number, start = 0) => Array.from({ length: count }, (_, k) => snapshotOf(start + k));
  const head = () => openHead(SNAPSHOT_KEYS, provider.account, provider.heads.at(-1) ?? new Uint8Array(0));

  it("is empty at first, and the same for every device after that", async () => {
    expect((await device().read()).snapshots).to.deep.equal([]);
    const [first, second] = [snapshotOf(1, { tags: ["a"] }), snapshotOf(2)];
    await device().append(first, NOTHING_NEEDED);
    await device().append(second, NOTHING_NEEDED);
    expect((await device().read()).snapshots).to.deep.equal([first, second]);
  });

  it("takes a snapshot once, however often it is appended", async () => {
    const list = device();
    for (const _ of [1, 2, 3]) await list.append(snapshotOf(1), NOTHING_NEEDED);
    expect((await list.read()).snapshots).to.have.length(1);
    expect(provider.heads).to.have.length(1);
  });

  it("moves old records to pages, keeps their order, and never exceeds what a provider keeps", async () => {
    const list = device();
    const snapshots = Array.from({ length: 120 }, (_, k) => snapshotOf(k, { paths: [`/${"x".repeat(2000)}`] }));
    for (const snapshot of snapshots) await list.append(snapshot, NOTHING_NEEDED);
    expect(await idsOf(device())).to.deep.equal(snapshots.map(({ id }) => id));
    expect(head().pages.length).to.be.within(1, 2);
    expect(Math.max(...provider.heads.map(({ length }) => length))).to.be.lessThan(65_536);
  });

  it("takes the snapshots of another list at once, each once and in their order, however many they are", async () => {
    const list = device();
    const snapshots = Array.from({ length: 120 }, (_, k) => snapshotOf(k, { paths: [`/${"x".repeat(2000)}`] }));
    const own = snapshotOf(1000);
    await list.append(own, NOTHING_NEEDED);
    await list.append(snapshots[7] ?? own, NOTHING_NEEDED);
    expect(await list.appendAll(snapshots, NOTHING_NEEDED)).to.include({ appended: 119, version: 3 });
    const rest = snapshots.filter((_, k) => k !== 7).map(({ id }) => id);
    expect(await idsOf(device())).to.deep.equal([own.id, snapshots[7]?.id, ...rest]);
    expect(Math.max(...provider.heads.map(({ length }) => length))).to.be.lessThan(65_536);
    expect(await list.appendAll(snapshots, NOTHING_NEEDED)).to.include({ appended: 0, version: 3 });
    expect(await list.appendAll([snapshotOf(2000)], NOTHING_NEEDED)).to.include({ appended: 1, version: 4 });
    expect(provider.heads).to.have.length(4);
  });

  it("removes what it is told to, from head and pages, and says what the list no longer needs", async () => {
    const list = device();
    const snapshots = Array.from({ length: 60 }, (_, k) => snapshotOf(k, { paths: [`/${"x".repeat(2000)}`] }));
    for (const snapshot of snapshots) await list.append(snapshot, NOTHING_NEEDED);
    const before = head().pages.map(({ id }) => id);
    expect(before).to.have.length.greaterThan(0);
    const gone = new Set([snapshots[0]?.id, snapshots[59]?.id]);
    const change = await list.remove(({ id }) => gone.has(id));
    expect(change.removed.map(({ id }) => id)).to.deep.equal([...gone]);
    expect(change.replacedPages).to.deep.equal(before);
    expect(await idsOf(device())).to.deep.equal(snapshots.slice(1, 59).map(({ id }) => id));
    const version = provider.heads.length;
    expect((await list.remove(({ id }) => gone.has(id))).removed).to.deep.equal([]);
    expect(provider.heads.length, "a removal of nothing changes nothing").to.equal(version);
    await list.remove(() => true);
    expect([head().pages, head().recent]).to.deep.equal([[], []]);
  });

  it("loses nothing when devices append at the same time", async () => {
    const devices = many(8).map((snapshot) => device().append(snapshot, NOTHING_NEEDED));
    await Promise.all(devices);
    expect(new Set(await idsOf(device()))).to.deep.equal(new Set(many(8).map(({ id }) => id)));
    expect(provider.conflicts).to.be.greaterThan(0);
  });

  it("makes a removal on what another device has appended meanwhile", async () => {
    await device().append(snapshotOf(1), NOTHING_NEEDED);
    let isFirst = true;
    provider.beforeReplace = async () => {
      if (!isFirst) return;
      isFirst = false;
      await device().append(snapshotOf(2), NOTHING_NEEDED);
    };
    await device().remove(({ id }) => id === snapshotOf(1).id);
    expect(await idsOf(device())).to.deep.equal([snapshotOf(2).id]);
    expect(provider.conflicts).to.equal(1);
  });

  describe("beside a device that releases objects", () => {
    const ids = ["one", "two"];
    const needed = (releases?: number) => ({
      releases,
      ids: async function* () {
        for (const id of ids) yield { id };
      },
    });
    beforeEach(async () => {
      for (const id of ids) provider.objects.set(id, new Uint8Array(1));
      await device().append(snapshotOf(1), NOTHING_NEEDED);
    });

    it("takes a snapshot whose objects are confirmed as it is, and has the others kept first", async () => {
      await device().append(snapshotOf(2), needed(provider.releaseCount));
      expect(provider.kept).to.deep.equal([]);
      await device().append(snapshotOf(3), needed());
      expect(provider.kept).to.deep.equal(ids);
      const before = provider.releaseCount;
      await provider.release(["x"], provider.heads.length);
      await device().append(snapshotOf(4), needed(before));
      expect(provider.kept).to.deep.equal([...ids, ...ids]);
    });

    it("has them kept again when the release comes at the last moment", async () => {
      let isFirst = true;
      provider.beforeReplace = async () => {
        if (isFirst) await provider.release(["x"], provider.heads.length);
        isFirst = false;
      };
      await device().append(snapshotOf(2), needed(provider.releaseCount));
      expect(provider.kept).to.deep.equal(ids);
      expect(provider.conflicts).to.equal(1);
    });

    it("takes no snapshot that lacks objects, and says that they were released", async () => {
      const before = provider.releaseCount;
      await provider.release(["two"], provider.heads.length);
      const error = await rejection(device().append(snapshotOf(2), needed(before)));
      expect(isReleased(error)).to.equal(true);
      expect(await idsOf(device())).to.deep.equal([snapshotOf(1).id]);
      const unreadable = async function* () {
        yield { id: "one" };
        throw new TallystickError("not yours", { code: "NOT_OWNER" });
      };
      const other = await rejection(device().append(snapshotOf(2), { releases: undefined, ids: unreadable }));
      expect(isReleased(other)).to.equal(true);
    });
  });

  it("gives up with an error that says to try again when the list never holds still", async () => {
    provider.replaceHead = async () => false;
    const list = new SnapshotList({
      provider,
      keys: SNAPSHOT_KEYS,
      catalogue: new MemoryCatalogue(),
      clock: { pause: async () => undefined },
      listName: "list",
    });
    const error = await expectAsyncRejection(
      () => list.append(snapshotOf(1), NOTHING_NEEDED),
      "CONFLICT",
      /keep changing/,
    );
    expect(error).to.include({ retryable: true, party: provider.name });
  });

  describe("of a provider that lies", () => {
    it("is refused when it is older than one this device has seen, also by a device that only wrote", async () => {
      const catalogue = new MemoryCatalogue();
      await device().append(snapshotOf(1), NOTHING_NEEDED);
      await device(provider, catalogue).append(snapshotOf(2), NOTHING_NEEDED);
      provider.heads.pop();
      for (const work of [
        () => device(provider, catalogue).read(),
        () => device(provider, catalogue).append(snapshotOf(3), NOTHING_NEEDED),
        () => device(provider, catalogue).remove(() => true),
      ]) {
        const error = await expectAsyncRejection(work, "INTEGRITY", /older snapshot list than this device has seen/);
        expect(error).to.include({ party: provider.name, expected: "version 2 or later", received: "version 1" });
      }
      expect(await idsOf(device()), "a new device cannot tell").to.deep.equal([snapshotOf(1).id]);
      provider.heads.pop();
      await expectAsyncRejection(() => device(provider, catalogue).read(), "INTEGRITY", /says that there is no/);
    });

    describe("and forks it", () => {
      /** A device that has seen version 3, at a provider that has then gone back by one and taken other changes. */
      async function forked(changes: number): Promise<SnapshotList> {
        const victim = device(provider, new MemoryCatalogue());
        for (const n of [1, 2, 3]) await victim.append(snapshotOf(n), NOTHING_NEEDED);
        provider.heads.pop();
        for (const snapshot of many(changes, 10)) await device().append(snapshot, NOTHING_NEEDED);
        return victim;
      }

      for (const [changes, what] of [
        [1, "of the version that this device has seen"],
        [2, "one version further"],
        [33, "as many versions further as a head names"],
      ] as const) {
        it(`is refused when it is ${what}`, async () => {
          const victim = await forked(changes);
          for (const work of [
            () => victim.read(),
            () => victim.append(snapshotOf(4), NOTHING_NEEDED),
            () => victim.remove(() => true),
          ]) {
            const error = await expectAsyncRejection(work, "INTEGRITY", /does not follow from the one this device/);
            expect(error.party).to.equal(provider.name);
            expect(error.expected).to.match(/^version 3 is bafkrei/);
            expect(error.hint).to.include("--accept-older");
          }
          expect(provider.heads).to.have.length(2 + changes);
        });
      }

      it("is taken further ahead, where this device cannot tell, and followed from there", async () => {
        const victim = await forked(34);
        expect((await victim.read()).version).to.equal(36);
        await victim.append(snapshotOf(4), NOTHING_NEEDED);
        expect((await victim.read()).snapshots).to.have.length(37);
      });
    });

    it("takes what other devices add, from one change to more than a head names", async () => {
      const [idle, busy] = [device(provider, new MemoryCatalogue()), device(provider, new MemoryCatalogue())];
      await idle.append(snapshotOf(0), NOTHING_NEEDED);
      for (const [start, count] of [
        [1, 1],
        [2, 32],
        [34, 40],
      ] as const) {
        for (const snapshot of many(count, start)) await busy.append(snapshot, NOTHING_NEEDED);
        expect(await idsOf(idle)).to.have.length(start + count);
      }
    });

    it("is refused when it is of another provider, damaged or made up", async () => {
      const other = new MemoryListKeeper(OTHER);
      await device(other).append(snapshotOf(1), NOTHING_NEEDED);
      const [foreign] = other.heads;
      if (foreign === undefined) throw new Error("no head");
      for (const bytes of [foreign, foreign.with(30, (foreign[30] ?? 0) ^ 1), new Uint8Array(100).fill(1)]) {
        provider.heads.splice(0, 1, bytes);
        const error = await expectAsyncRejection(
          () => device().read(),
          bytes.length === 100 ? "INVALID_INPUT" : "INTEGRITY",
        );
        expect(error.party).to.equal(provider.name);
        expect(error.message).to.contain(provider.name);
      }
    });

    it("is refused when a page is missing or another", async () => {
      const list = device();
      for (const snapshot of many(40).map(({ id: _, ...facts }, k) =>
        snapshotOf(k, { ...facts, user: "u".repeat(250) }),
      ))
        await list.append(snapshot, NOTHING_NEEDED);
      for (const snapshot of many(80, 40))
        await list.append(snapshotOf(0, { ...snapshot, host: "h".repeat(255) }), NOTHING_NEEDED);
      const [page] = head().pages;
      if (page === undefined) throw new Error("no page");
      const sealed = provider.objects.get(page.id);
      provider.objects.set(page.id, new Uint8Array(100));
      await expectAsyncRejection(() => device().read(), "INTEGRITY");
      provider.objects.delete(page.id);
      await expectAsyncRejection(() => device().read(), "NOT_FOUND");
      if (sealed !== undefined) provider.objects.set(page.id, sealed);
      expect((await device().read()).snapshots).to.have.length.greaterThan(40);
    });
  });
});
