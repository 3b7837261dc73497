/** Data sets of a device whose opening the chain has dropped. */

import { expect } from "chai";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import { contentOf } from "../../../offchain/agent/data-sets/next-state.ts";
import { readBooks } from "../../../offchain/chain/escrow.ts";
import { extendContent, NO_CONTENT } from "../../../offchain/core/data-set/content.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { DataSetFixture, objectOf } from "./fixture.ts";

describe("a data set whose opening a reorganisation removes", function () {
  this.timeout(60_000);
  let net: LocalChain;
  let fixture: DataSetFixture;

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());
  beforeEach(async () => {
    fixture = await DataSetFixture.make(net);
  });

  const newest = async () => (await fixture.platform.dataSets.sets()).at(-1);
  /** Replaces the last blocks by empty ones. */
  const reorganise = async (blocks: number): Promise<void> => {
    await net.chain.provider.send("anvil_reorg", [blocks, []]);
    fixture.context = fixture.newContext();
  };

  for (const { what, blocks, epochs } of [
    { what: "is opened again by the next put", blocks: 1, epochs: 0 },
    { what: "is funded and opened again when the deposit is gone as well", blocks: 2, epochs: 0 },
    { what: "is opened with another state when its state has expired", blocks: 2, epochs: 6 },
  ]) {
    it(what, async () => {
      const object = objectOf(2);
      const first = await fixture.put([object]);
      await reorganise(blocks);
      expect(await readBooks(net.chain, first.id ?? "")).to.equal(undefined);
      for (let epoch = 0; epoch < epochs; epoch += 1) await fixture.mineEpoch();
      const second = await fixture.put([object, objectOf(1)]);
      expect(second).to.include({ id: first.id, isNew: true, slices: 3, highestIndex: 3 });
      expect(second.liveRanges).to.deep.equal([{ firstIndex: 1, count: 3 }]);
      const set = await newest();
      // What both have signed is the content since the opening that counts.
      const segments = await fixture.platform.dataSets.segments(set?.salt);
      expect(set).to.include({
        state: "running",
        contentHash: segments.map(contentOf).reduce(extendContent, NO_CONTENT),
      });
      expect(await new DataSets(fixture.context).audit(second.id ?? "")).to.include({ slices: 3 });
      expect(await fixture.put([object])).to.include({ addedSlices: 0, deposited: 0n });
      expect(fixture.provider.forgeries).to.deep.equal([]);
    });
  }

  it("is opened by an update that came after the opening", async () => {
    const [one, other] = [objectOf(1), objectOf(2)];
    const first = await fixture.put([one]);
    const second = await fixture.put([other]);
    await reorganise(3);
    const third = await fixture.put([one, other]);
    expect(third).to.include({ id: first.id, version: second.version, isNew: true, slices: 3 });
    expect(await new DataSets(fixture.context).audit(third.id ?? "")).to.include({ slices: 3 });
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  it("goes on when a state was removed whose segment the provider has let go of since", async () => {
    const [one, other] = [objectOf(1), objectOf(2)];
    const first = await fixture.put([one]);
    await fixture.put([other]);
    await reorganise(1);
    for (let epoch = 0; epoch < 6; epoch += 1) await fixture.mineEpoch();
    fixture.provider.forgetSegments((await newest())?.salt ?? "", 2);
    const error = await expectAsyncRejection(() => fixture.put([other]), "CONFLICT", /tags of an earlier put/);
    expect(error.retryable).to.equal(true);
    const again = await fixture.put([other]);
    expect(again).to.include({ id: first.id, isNew: false, addedSlices: 2, slices: 3 });
    expect(await new DataSets(fixture.context).audit(again.id ?? "")).to.include({ slices: 3 });
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  it("is not taken for removed while the endpoint is behind, or forgets a block that it has", async () => {
    const first = await fixture.put([objectOf(1)]);
    const set = await newest();
    if (set?.scheduled === undefined) throw new Error("no set");
    const rpc = net.chain.provider;
    await reorganise(2);
    const { blockNumber, blockHash: _ } = set.scheduled;
    const now = await rpc.getBlock(blockNumber);
    // The same block, and one that is not there yet.
    for (const place of [
      { blockNumber, blockHash: String(now?.hash) },
      { blockNumber: blockNumber + 1000, blockHash: set.scheduled.blockHash },
    ]) {
      const saved = await newest();
      if (saved === undefined) throw new Error("no set");
      await fixture.platform.dataSets.save({ ...saved, scheduled: { ...set.scheduled, ...place } });
      const error = await expectAsyncRejection(
        () => fixture.put([objectOf(1)]),
        "CHAIN_UNAVAILABLE",
        /has shown before/,
      );
      expect(error).to.include({ retryable: true, expected: first.id });
    }
  });

  it("of another device is let go, and found again when it is opened again", async () => {
    const object = objectOf(1);
    const first = await fixture.put([object]);
    const device = fixture.platform;
    fixture.platform = memoryPlatform();
    fixture.context = fixture.newContext();
    const other = () => new DataSets(fixture.context);
    expect(await other().recover()).to.equal(1);
    await reorganise(2);
    const [adopted] = await fixture.platform.dataSets.sets();
    if (adopted === undefined) throw new Error("no set");
    expect(await fixture.put([objectOf(1)])).to.include({ isNew: true });
    expect(await other().list()).to.have.length(1);
    const own = fixture.platform;
    fixture.platform = device;
    fixture.context = fixture.newContext();
    expect(await fixture.put([object])).to.include({ id: first.id, isNew: true });
    fixture.platform = own;
    fixture.context = fixture.newContext();
    expect((await other().list()).map((view) => view.device)).to.deep.equal(["this", "other"]);
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });
});
