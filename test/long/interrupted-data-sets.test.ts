/**
 * Puts and compactions that are killed at every step in turn, and finished by a second run: nothing is paid or tagged
 * twice, and nothing is lost.
 */

import { expect } from "chai";
import type { AgentContext } from "../../offchain/agent/context.ts";
import { DataSets } from "../../offchain/agent/data-sets/data-sets.ts";
import { type LaneProvider, openDataSetLane } from "../../offchain/agent/data-sets/lane.ts";
import { neededRuns, objectsInRuns } from "../../offchain/agent/data-sets/needed-slices.ts";
import { sumOf } from "../../offchain/agent/data-sets/next-state.ts";
import { dataSetsOpened, scanDataSets } from "../../offchain/chain/escrow-events.ts";
import { decodeLiveRanges } from "../../offchain/core/data-set/ranges.ts";
import { isAddressEqual } from "../../offchain/core/encoding/address.ts";
import { contentId } from "../../offchain/core/encoding/content-id.ts";
import { DataSetFixture, objectOf } from "../agent/data-sets/fixture.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";

/** As a process that is gone. */
class Killed extends Error {}

/**
 * Counts steps, and kills after one of them, before its result is seen. That is also before the next one: nothing that
 * lasts is done in between.
 */
class Killer {
  steps = 0;
  readonly names: string[] = [];
  at = Number.POSITIVE_INFINITY;

  async step<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    if (this.steps >= this.at) throw new Killed("the process is gone");
    const result = await work();
    this.steps += 1;
    this.names.push(name);
    if (this.steps === this.at) throw new Killed(name);
    return result;
  }

  /** The same object, each of its calls a step. */
  watch<Watched extends object>(watched: Watched, what: string, names: readonly string[]): Watched {
    return new Proxy(watched, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        const call = (...args: unknown[]): unknown => member.apply(target, args);
        if (typeof name !== "string" || !names.includes(name)) return call;
        return (...args: unknown[]) => this.step(`${what}.${name}`, async () => await call(...args));
      },
    });
  }
}

const PROVIDER_CALLS: readonly (keyof LaneProvider)[] = [
  "beginDataSet",
  "appendPowers",
  "beginSegment",
  "appendTags",
  "verifySegment",
  "openDataSet",
  "updateDataSet",
  "fetch",
];

describe("a put to a data set that is killed at any step", function () {
  this.timeout(600_000);
  let net: LocalChain;

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());

  /** One run of a process. */
  async function run(
    fixture: DataSetFixture,
    killer: Killer,
    objects: readonly Uint8Array[],
    released: readonly string[] = [],
  ) {
    const context: AgentContext = fixture.newContext();
    const { dataSets, preparations } = context.platform;
    Object.assign(context, {
      platform: {
        ...context.platform,
        dataSets: killer.watch(dataSets, "journal", ["begin", "save", "reserve"]),
        preparations: killer.watch(preparations, "tags", ["create", "remove"]),
      },
      send: killer.watch({ send: context.send.bind(context) }, "chain", ["send"]).send,
    });
    const provider = killer.watch<LaneProvider>(fixture.provider, "provider", PROVIDER_CALLS);
    const lane = await openDataSetLane(context, provider, { runwayEpochs: 5 });
    await fixture.add(lane, objects);
    lane.retire(released);
    return await lane.commit();
  }

  async function paid(fixture: DataSetFixture) {
    const { address } = fixture.context.account;
    const head = await net.chain.provider.getBlockNumber();
    let deposits = 0;
    for await (const event of scanDataSets(net.chain, net.deployment.deployedAtBlock, head)) {
      if (event.kind === "Deposited" && isAddressEqual(event.user, address)) deposits += 1;
    }
    const ids: string[] = [];
    for await (const { id } of dataSetsOpened(net.chain, { user: address })) ids.push(id);
    return { deposits, sets: ids.length };
  }

  /**
   * Kills at each step in turn.
   * @param before what was put before
   * @param from the first step of interest
   */
  async function everyStep(before: readonly Uint8Array[], sends: boolean, from?: string): Promise<string[]> {
    const fresh = async () => {
      const fixture = await DataSetFixture.make(net);
      fixture.provider.sends = sends;
      if (before.length > 0) await run(fixture, new Killer(), before);
      return fixture;
    };
    const whole = new Killer();
    const objects = [objectOf(1.5), objectOf(0.7)];
    const uninterrupted = await fresh();
    const expected = await run(uninterrupted, whole, objects);
    const expectedPayments = await paid(uninterrupted);
    const first = from === undefined ? 1 : whole.names.indexOf(from) + 1;
    expect(first, from).to.be.greaterThan(0);
    for (let at = first; at <= whole.steps; at += 1) {
      const fixture = await fresh();
      const killer = new Killer();
      killer.at = at;
      const where = `killed after step ${at} of ${whole.steps}, ${whole.names[at - 1]}`;
      const killed = await run(fixture, killer, objects).catch((error: unknown) => error);
      expect(killed, where).to.be.instanceOf(Killed);
      const report = await run(fixture, new Killer(), objects);
      const { slices, feePerEpoch, highestIndex } = report;
      expect(slices, where).to.equal(expected.slices);
      // The indices of tags that were reserved and lost stay a gap.
      expect(highestIndex, where).to.be.within(expected.highestIndex, expected.highestIndex + 3);
      expect(feePerEpoch >= expected.feePerEpoch, where).to.equal(true);
      expect(await paid(fixture), where).to.deep.equal(expectedPayments);
      expect(fixture.provider.forgeries, where).to.deep.equal([]);
      const again = await run(fixture, new Killer(), objects);
      expect(again, where).to.include({ version: report.version, addedSlices: 0, deposited: 0n });
      expect(again.transactions, where).to.deep.equal([]);
    }
    return whole.names;
  }

  it("is finished by the next run, which opens one set and deposits once", async () => {
    const names = await everyStep([], true);
    expect(names).to.include.members([
      "tags.create",
      "journal.reserve",
      "provider.appendTags",
      "chain.send",
      "provider.openDataSet",
      "journal.save",
    ]);
  });

  it("is finished by the next run when it adds to a set that runs", async () => {
    const names = await everyStep([objectOf(1)], true);
    expect(names).to.include("provider.updateDataSet");
  });

  it("is finished by the next run when the provider signs and never sends", async () => {
    await everyStep([], false, "provider.openDataSet");
  });

  /** Objects of one slice and of two in turn, more than the list of ranges has room for without the latter. */
  async function fragmented(sends: boolean) {
    const fixture = await DataSetFixture.make(net);
    fixture.provider.sends = sends;
    const objects = Array.from({ length: 54 }, (_, k) => objectOf(1 + (k % 2)));
    await run(fixture, new Killer(), objects);
    const ids = objects.map(contentId);
    return { fixture, released: ids.filter((_, k) => k % 2 === 1), kept: ids.filter((_, k) => k % 2 === 0) };
  }

  /** Each object in live slices by the journal, of a set that the provider proves. */
  async function expectCovered(fixture: DataSetFixture, kept: readonly string[], where: string): Promise<void> {
    const { dataSets } = fixture.platform;
    const [set] = await dataSets.sets();
    if (set?.scheduled === undefined || set.agreed === undefined) throw new Error("no set on chain");
    const live = decodeLiveRanges(set.scheduled.ranges);
    const needed = await neededRuns(dataSets, set, live, new Set());
    const covered = new Set<string>();
    for await (const { id } of objectsInRuns(dataSets, set, needed, new Set())) covered.add(id);
    expect(
      kept.filter((id) => !covered.has(id)),
      where,
    ).to.deep.equal([]);
    expect(await new DataSets(fixture.newContext()).audit(set.agreed.id), where).to.include({
      slices: sumOf(live),
    });
  }

  for (const sends of [true, false]) {
    it(`${sends ? "or" : "where the provider signs and never sends, or"} a compaction, is finished`, async () => {
      const whole = new Killer();
      const uninterrupted = await fragmented(sends);
      const expected = await run(uninterrupted.fixture, whole, [], uninterrupted.released);
      expect(expected).to.include({ slices: 27, retiredSlices: 54 });
      expect(expected.compaction?.objects).to.be.greaterThan(2);
      expect(whole.names).to.include.members([
        "provider.fetch",
        "tags.create",
        "journal.reserve",
        "provider.appendTags",
        "provider.verifySegment",
        "provider.updateDataSet",
        "journal.save",
        "tags.remove",
      ]);
      const expectedPayments = await paid(uninterrupted.fixture);
      for (let at = 1; at <= whole.steps; at += 1) {
        const { fixture, released, kept } = await fragmented(sends);
        const killer = new Killer();
        killer.at = at;
        const where = `killed after step ${at} of ${whole.steps}, ${whole.names[at - 1]}`;
        const killed = await run(fixture, killer, [], released).catch((error: unknown) => error);
        expect(killed, where).to.be.instanceOf(Killed);
        const report = await run(fixture, new Killer(), [], released);
        expect(report.slices, where).to.equal(27);
        expect(report.liveRanges.length, where).to.be.at.most(24);
        await expectCovered(fixture, kept, where);
        // Indices of tags that were reserved and lost stay a gap.
        const lost = expected.compaction?.newSlices ?? 0;
        expect(report.highestIndex, where).to.be.within(expected.highestIndex, expected.highestIndex + lost);
        expect(await paid(fixture), where).to.deep.equal(expectedPayments);
        expect(fixture.provider.forgeries, where).to.deep.equal([]);
        const again = await run(fixture, new Killer(), []);
        expect(again, where).to.include({ version: report.version, addedSlices: 0, retiredSlices: 0 });
        expect(again.transactions, where).to.deep.equal([]);
      }
    });
  }
});
