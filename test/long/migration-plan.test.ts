/** What a migration plans for the set at the new provider, and refuses before anything is sent. */

import { randomBytes } from "node:crypto";
import { expect } from "chai";
import { Wallet } from "ethers";
import { readOnChain } from "../../offchain/agent/data-sets/following.ts";
import { openDataSetLane } from "../../offchain/agent/data-sets/lane.ts";
import type { LaneWishes } from "../../offchain/agent/data-sets/wishes.ts";
import { planMigration, wishesFor } from "../../offchain/agent/migration/plan.ts";
import type { StorageProvider } from "../../offchain/agent/providers/storage-provider.ts";
import type { Deployment } from "../../offchain/chain/deployment.ts";
import { readOpened } from "../../offchain/chain/escrow-events.ts";
import { DataSetFixture, objectOf } from "../agent/data-sets/fixture.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { MemoryDataSetProvider } from "../helpers/memory-data-sets.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const GIB = 2 ** 30;
const WIDE = { sliceElements: [1024, 8192, 32_768], maximumIndex: 262_144 };

describe("the plan of a migration", function () {
  this.timeout(60_000);
  let net: LocalChain;
  let fixture: DataSetFixture;
  /** The new provider. */
  let second: MemoryDataSetProvider;

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());
  beforeEach(async () => {
    fixture = await DataSetFixture.make(net);
    fixture.provider.changedOffer = { modes: ["every-epoch", "on-demand"] };
    second = new MemoryDataSetProvider(net.chain, new Wallet(`0x${randomBytes(32).toString("hex")}`));
    second.changedOffer = { ...WIDE, modes: ["every-epoch", "on-demand"] };
  });

  /** Plans to move a set that was begun with some wishes, as if it held so many bytes. */
  async function plan(
    bytes: number,
    wishes: LaneWishes = {},
    begun: LaneWishes = {},
    deployment: Deployment = net.deployment,
  ) {
    const { id = "" } = await fixture.put([objectOf(1)], begun);
    const opened = await readOpened(net.chain, id);
    const onChain = opened === undefined ? undefined : await readOnChain(net.chain, opened);
    if (opened === undefined || onChain === undefined) throw new Error("the set is not on chain");
    const to = second as unknown as StorageProvider;
    const all = await wishesFor(fixture.context, opened, to, wishes, bytes);
    const inventory = { objects: new Map([["all", bytes]]), snapshots: [], bytes };
    const context = Object.assign(fixture.newContext(), { chain: async () => ({ ...net.chain, deployment }) });
    const made = await planMigration(context, opened, onChain, to, all, inventory, GIB);
    return { ...made, wishes: all };
  }

  for (const [bytes, wishes, elements] of [
    [1, {}, 8192],
    [7 * GIB, {}, 8192],
    [9 * GIB, {}, 32_768],
    // The highest index leaves no room for the default size from 62 GiB on.
    [100 * GIB, {}, 32_768],
    [1, { expectedBytes: 200 * GIB }, 32_768],
    [1, { expectedBytes: 1024 ** 2 }, 1024],
    [100 * GIB, { expectedBytes: 1024 ** 2 }, 32_768],
  ] as [number, LaneWishes, number][]) {
    const named = wishes.expectedBytes === undefined ? "" : `, expected to grow to ${wishes.expectedBytes}`;
    it(`has slices of ${elements} elements for ${bytes} bytes${named}, and so has the set`, async () => {
      const made = await plan(bytes, wishes);
      expect(made.sliceBytes).to.equal(31 * elements);
      const lane = await openDataSetLane(fixture.context, second, made.wishes);
      await lane.discard();
      const sets = await fixture.platform.dataSets.sets();
      expect(sets.find(({ provider }) => provider === second.account)?.sliceElements).to.equal(elements);
    });
  }

  it("says what helps when the new provider's slices are too short", async () => {
    second.changedOffer = { ...WIDE, sliceElements: [8192] };
    const error = await expectAsyncRejection(() => plan(100 * GIB), "INVALID_INPUT");
    expect(error.check).to.equal("highest index");
    expect(error.hint).to.equal("use a provider that offers longer slices");
  });

  it("keeps the mode of the old set, and asks for another one where it is not offered", async () => {
    const onDemand: LaneWishes = { mode: "on-demand" };
    expect((await plan(1, {}, onDemand)).mode).to.equal("on-demand");
    expect((await plan(1, { mode: "every-epoch" })).mode).to.equal("every-epoch");
    second.changedOffer = { ...WIDE, modes: ["every-epoch"] };
    const error = await expectAsyncRejection(() => plan(1), "INVALID_INPUT");
    expect(error).to.include({ check: "mode", expected: "every-epoch", received: "on-demand" });
    expect(error.hint).to.contain("--mode");
    expect((await plan(1, { mode: "every-epoch" })).mode).to.equal("every-epoch");
  });

  it("refuses a bond that nobody can afford, unless it is allowed", async () => {
    const dear = (await second.dataSetOffer()).prices.map((price) => ({ ...price, disputeBond: "1000001" }));
    second.changedOffer = { ...second.changedOffer, prices: dear };
    const onDemand: LaneWishes = { mode: "on-demand" };
    const error = await expectAsyncRejection(() => plan(1, onDemand), "INVALID_INPUT");
    expect(error.check).to.equal("dispute bond");
    expect((await plan(1, { ...onDemand, maximumDisputeBond: 1_000_001n })).mode).to.equal("on-demand");
  });

  it("refuses block hashes outside of development chains, unless they are allowed", async () => {
    const asIfPublic = (wishes: LaneWishes) => plan(1, wishes, {}, { ...net.deployment, chainId: 1 });
    const error = await expectAsyncRejection(() => asIfPublic({}), "INVALID_INPUT");
    expect(error.check).to.equal("source of randomness");
    expect((await asIfPublic({ allowBlockRandomness: true })).objects).to.equal(1);
  });
});
