/** Compaction of a data set at a provider that checks every tag, on a real chain. */

import { expect } from "chai";
import { DataSets } from "../../offchain/agent/data-sets/data-sets.ts";
import type { DataSetReport } from "../../offchain/agent/data-sets/lane-report.ts";
import { objectsOf } from "../../offchain/agent/data-sets/needed-slices.ts";
import type { LaneWishes } from "../../offchain/agent/data-sets/wishes.ts";
import { sliceBytes } from "../../offchain/core/audit/field.ts";
import { decodeLiveRanges, lastIndexOf, requireFollows } from "../../offchain/core/data-set/ranges.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { TallystickError } from "../../offchain/core/errors.ts";
import { DataSetFixture, objectOf } from "../agent/data-sets/fixture.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

/** More than the list of ranges takes, with every other one taken out. */
const OBJECTS = 70;

describe("compaction of a data set", function () {
  this.timeout(120_000);
  let net: LocalChain;
  let fixture: DataSetFixture;

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());
  beforeEach(async () => {
    fixture = await DataSetFixture.make(net);
  });

  const retire = async (ids: readonly string[], wishes: LaneWishes = {}): Promise<DataSetReport> => {
    const lane = await fixture.open(wishes);
    lane.retire(ids);
    return await lane.commit();
  };

  /** A set of objects of one and of two slices in turn, and their ids. */
  async function filled(): Promise<{ ids: string[]; report: DataSetReport }> {
    const lane = await fixture.open();
    const ids = await fixture.add(
      lane,
      Array.from({ length: OBJECTS }, (_, k) => objectOf(1 + (k % 2))),
    );
    return { ids, report: await lane.commit() };
  }

  /** Each object lies in live slices, by the journal; and the provider proves all of these. */
  async function expectCovered(ids: readonly string[], { id = "", slices, liveRanges }: DataSetReport): Promise<void> {
    const [set] = await fixture.platform.dataSets.sets();
    if (set === undefined) throw new Error("no set");
    const covered = new Set<string>();
    for (const segment of await fixture.platform.dataSets.segments(set.salt)) {
      for await (const object of objectsOf(fixture.platform.dataSets, set, segment)) {
        const first = segment.firstIndex + Math.floor(object.startByte / sliceBytes(set.sliceElements));
        const last =
          segment.firstIndex + Math.floor((object.startByte + object.sizeBytes - 1) / sliceBytes(set.sliceElements));
        if (liveRanges.some((range) => range.firstIndex <= first && lastIndexOf(range) >= last)) covered.add(object.id);
      }
    }
    expect([...ids].filter((one) => !covered.has(one))).to.deep.equal([]);
    expect(await new DataSets(fixture.context).audit(id)).to.include({ slices });
    expect(fixture.provider.forgeries).to.deep.equal([]);
  }

  const odd = (_: unknown, k: number) => k % 2 === 1;
  const even = (_: unknown, k: number) => k % 2 === 0;

  it("takes out all dead slices, moves the smallest runs, and pays for what is live", async () => {
    const { ids, report: before } = await filled();
    const kept = ids.filter(even);
    const report = await retire(ids.filter(odd));
    expect(report).to.include({ slices: 35, addedSlices: 0, retiredSlices: 70 });
    expect(report.left).to.equal(undefined);
    expect(report.liveRanges.length).to.be.at.most(24);
    const { compaction } = report;
    expect(compaction?.objects).to.be.within(12, 13);
    expect(compaction).to.include({ lostObjects: 0, newSlices: compaction?.objects });
    expect(report.feePerEpoch < before.feePerEpoch).to.equal(true);
    await expectCovered(kept, report);
    // All of it is held: a put of the same adds nothing.
    const lane = await fixture.open();
    expect(await lane.holds(kept)).to.equal(true);
    expect(await lane.commit()).to.include({ addedSlices: 0, version: report.version });
  });

  it("goes on without it when the provider fails to return objects, and makes up for it later", async () => {
    const { ids } = await filled();
    const other = objectOf(1);
    await fixture.put([other]);
    const { fetch } = fixture.provider;
    fixture.provider.fetch = async () => {
      throw new TallystickError("gone", { code: "UNREACHABLE", party: "provider", retryable: true });
    };
    const report = await retire(ids.filter(odd));
    expect(report.liveRanges).to.have.length(24);
    expect(report.compaction).to.equal(undefined);
    expect(report.left).to.deep.include({ dead: report.slices - 36 });
    fixture.provider.fetch = fetch;
    // Of another segment than those with the dead slices.
    const later = await retire([contentId(other)]);
    expect(later).to.include({ slices: 35 });
    expect(later.left).to.equal(undefined);
    await expectCovered(ids.filter(even), later);
  });

  it("leaves an object where it is that the provider has lost, moves the others, and tells", async () => {
    const { ids } = await filled();
    const kept = ids.filter(even);
    const lost = kept[0] ?? "";
    let losses = 0;
    fixture.context.noticeLoss = () => {
      losses += 1;
    };
    fixture.provider.objects.delete(lost);
    const report = await retire(ids.filter(odd));
    expect(report.compaction).to.include({ lostObjects: 1 });
    expect(losses).to.equal(1);
    expect(report.liveRanges.length).to.be.at.most(24);
    expect(report.liveRanges[0]?.firstIndex).to.equal(1);
    const error = await expectAsyncRejection(() => new DataSets(fixture.context).audit(report.id ?? ""), "OBJECT_LOST");
    expect(error.party).to.equal(fixture.provider.name);
    const [holder] = [...(await fixture.platform.dataSets.holders((await newest()).salt, [lost])).values()];
    expect(holder).to.have.length(1);
  });

  const newest = async () => {
    const set = (await fixture.platform.dataSets.sets()).at(-1);
    if (set === undefined) throw new Error("no set");
    return set;
  };

  it("makes room in a list that would be too long for a put", async () => {
    const lane = await fixture.open();
    const ids = await fixture.add(
      lane,
      Array.from({ length: 64 }, () => objectOf(1)),
    );
    const { id = "" } = await lane.commit();
    // The user alone may make the list as long as the escrow takes it.
    const holes = Array.from({ length: 32 }, (_, k) => ({ firstIndex: 2 * k + 2, count: 1 }));
    const { remaining } = await new DataSets(fixture.context).retire(id, holes);
    expect(remaining).to.have.length(32);
    const object = objectOf(1);
    const report = await fixture.put([object]);
    expect(report).to.include({ addedSlices: 1, slices: 33 });
    expect(report.liveRanges).to.have.length(24);
    expect(report.liveRanges.at(-1)).to.deep.equal({ firstIndex: 65, count: 10 });
    expect(report.compaction).to.include({ objects: 9, newSlices: 9 });
    await expectCovered([...ids.filter(even), contentId(object)], report);
  });

  it("is bounded in one commit, and continued by the next ones", async () => {
    const { ids } = await filled();
    const bytes = 3 * sliceBytes(1024);
    const bounded = { bytes, isThorough: false };
    let report = await retire(ids.filter(odd), { compaction: bounded });
    expect(report.compaction).to.include({ objects: 3, bytes });
    expect(report.left).to.include({ isCompactionDue: true });
    for (let round = 1; report.left?.isCompactionDue === true; round += 1) {
      expect(round).to.be.at.most(6);
      const { slices } = report;
      report = await fixture.put([objectOf(1)], { compaction: bounded });
      expect(report.slices).to.be.lessThan(slices + 1);
    }
    expect(report.left).to.equal(undefined);
    await expectCovered(ids.filter(even), report);
  });

  it("goes on where another state waits for the end of an epoch, and brings nothing back", async () => {
    const { ids } = await filled();
    const head = await net.chain.provider.getBlockNumber();
    fixture.provider.waitsUntilBlock = head + 60;
    const first = await retire(ids.filter(odd).slice(0, 20));
    expect(first.waitsUntilBlock).to.equal(head + 60);
    const second = await retire(ids.filter(odd).slice(20));
    expect(second.compaction?.objects).to.be.greaterThan(0);
    fixture.provider.waitsUntilBlock = undefined;
    const report = await retire([ids[0] ?? ""], { mayWait: false });
    expect(report).to.include({ slices: 34 });
    expect(report.liveRanges.length).to.be.at.most(24);
    await expectCovered(ids.filter(even).slice(1), report);
  });

  it("takes out nothing instead of what a state under way takes out", async () => {
    const lane = await fixture.open();
    // Short ones first; where they stay instead, longer ones could go.
    const sizes = Array.from({ length: 80 }, (_, k) => (k % 2 === 1 && k > 46 ? 3 : 1));
    const ids = await fixture.add(lane, sizes.map(objectOf));
    await lane.commit();
    fixture.provider.waitsUntilBlock = (await net.chain.provider.getBlockNumber()) + 60;
    fixture.provider.fetch = async () => {
      throw new TallystickError("gone", { code: "UNREACHABLE", party: "provider", retryable: true });
    };
    const signedRanges = async () => decodeLiveRanges((await newest()).signed?.ranges ?? new Uint8Array());
    await retire(ids.filter(odd).slice(0, 23));
    const first = await signedRanges();
    expect(first).to.have.length(24);
    const report = await retire(ids.filter(odd).slice(23));
    expect(report.left?.dead).to.be.greaterThan(0);
    requireFollows(await signedRanges(), first, lastIndexOf(first.at(-1) ?? { firstIndex: 0, count: 0 }));
  });

  for (const isExpired of [false, true]) {
    it(`loses nothing to a reorganisation${isExpired ? ", also when the state has expired" : ""}`, async () => {
      const { ids } = await filled();
      const kept = ids.filter(even);
      const done = await retire(ids.filter(odd));
      await net.chain.provider.send("anvil_reorg", [1, []]);
      if (isExpired) for (let epoch = 0; epoch < 6; epoch += 1) await fixture.mineEpoch();
      fixture.context = fixture.newContext();
      const lane = await fixture.open();
      expect(await lane.holds(kept)).to.equal(true);
      const report = await lane.commit();
      expect(report).to.include({ slices: 35 });
      expect(report.liveRanges).to.deep.equal(done.liveRanges);
      await expectCovered(kept, report);
    });
  }
});
