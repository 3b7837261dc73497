/** A put's way to one data set, with a real chain and a provider that checks and signs for real. */

import { expect } from "chai";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import type { DataSetPlan, DataSetProgress } from "../../../offchain/agent/progress.ts";
import { readUserAccount } from "../../../offchain/chain/escrow.ts";
import { approveDataSetsCall, depositCollateralCall } from "../../../offchain/chain/escrow-calls.ts";
import { decodeLiveRanges } from "../../../offchain/core/data-set/ranges.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { deployZooToken } from "../../helpers/zoo-token.ts";
import { DataSetFixture, objectOf } from "./fixture.ts";

const NATIVE = `0x${"00".repeat(20)}`;
const NOTICE_EPOCHS = 3n;

describe("a put's lane to a data set", function () {
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

  const put = async (...objects: Uint8Array[]) => await fixture.put(objects);
  const balance = async () => (await readUserAccount(net.chain, NATIVE, fixture.context.account.address)).available;

  it("opens a set, funded for notice period and runway, told before anything is spent", async () => {
    const lane = await fixture.open({ runwayEpochs: 10 });
    await fixture.add(lane, [objectOf(2.5), objectOf(0.2)]);
    await lane.deliver();
    expect(await balance()).to.equal(0n);
    const plans: DataSetPlan[] = [];
    const phases: string[] = [];
    const report = await lane.commit((told: DataSetProgress) => {
      phases.push(told.phase);
      if (told.plan !== undefined) plans.push(told.plan);
    });
    const fee = report.feePerEpoch;
    expect(report).to.include({
      version: 1n,
      slices: 3,
      highestIndex: 3,
      isNew: true,
      addedSlices: 3,
      runwayEpochs: 13,
      deposited: fee * (NOTICE_EPOCHS + 10n),
    });
    expect(report.liveRanges).to.deep.equal([{ firstIndex: 1, count: 3 }]);
    expect(report.transactions).to.have.length(2);
    expect(report.sentBytes).to.be.greaterThan(96 * (1024 + 6));
    expect(phases).to.deep.equal(["funding", "signing", "confirming", "done"]);
    expect(plans[0]).to.include({ id: report.id, isNew: true, slices: 3, feePerEpoch: fee, deposit: report.deposited });
    expect(await balance()).to.equal(report.deposited);
  });

  it("grows by what is new, without a further deposit, and does nothing when nothing is", async () => {
    const [a, b] = [objectOf(1.5), objectOf(0.4)];
    const first = await put(a, b);
    await fixture.mineEpoch();
    const c = objectOf(3);
    const second = await put(a, c, b);
    expect(second).to.include({ id: first.id, version: 2n, isNew: false, addedSlices: 3, slices: 5, deposited: 0n });
    expect(second.transactions).to.have.length(1);
    expect(second.sentBytes).to.be.lessThan(96 * 20);
    const third = await put(b, c);
    expect(third).to.include({ version: 2n, addedSlices: 0, sentBytes: 0 });
    expect(third.transactions).to.deep.equal([]);
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  describe("at a provider that keeps states until the end of an epoch", () => {
    const [a, b, c] = [objectOf(1), objectOf(1), objectOf(1)] as const;
    const versions = () => [...(fixture.provider.sets.values().next().value?.signed.keys() ?? [])].length;
    const head = () => net.chain.provider.getBlockNumber();

    it("has what it adds signed, pays no gas, and goes on from there", async () => {
      const first = await put(a);
      fixture.provider.waitsUntilBlock = (await head()) + 20;
      const { waitsUntilBlock } = fixture.provider;
      expect(await put(a, b)).to.include({ version: 1n, addedSlices: 1, waitsUntilBlock });
      // Nothing new: nothing is signed.
      const again = await put(a, b);
      expect(again).to.include({ version: 1n, waitsUntilBlock });
      expect([again.transactions, versions()]).to.deep.equal([[], 2]);
      const more = await put(b, c);
      expect(more).to.include({ addedSlices: 1, waitsUntilBlock });
      expect([more.transactions, versions()]).to.deep.equal([[], 3]);
      fixture.provider.waitsUntilBlock = undefined;
      const sent = await put(a, b, c);
      expect(sent).to.include({ id: first.id, version: 3n, slices: 3 });
      expect(sent.waitsUntilBlock).to.equal(undefined);
      expect(sent.transactions).to.have.length(1);
      expect(fixture.provider.forgeries).to.deep.equal([]);
    });

    it("takes out what it released before, though that state has not been sent", async () => {
      const lane = await fixture.open();
      const [one = ""] = await fixture.add(lane, [a, b]);
      await lane.commit();
      fixture.provider.waitsUntilBlock = (await head()) + 20;
      const forgetting = await fixture.open();
      forgetting.retire([one]);
      expect(await forgetting.commit()).to.include({
        retiredSlices: 1,
        waitsUntilBlock: fixture.provider.waitsUntilBlock,
      });
      await put(b, c);
      fixture.provider.waitsUntilBlock = undefined;
      const sent = await put(b, c);
      expect(sent.liveRanges).to.deep.equal([{ firstIndex: 2, count: 2 }]);
    });

    it("sends a state itself that was not sent by then, whatever the provider says next", async () => {
      await put(a);
      await fixture.mineEpoch();
      fixture.provider.waitsUntilBlock = (await head()) + 5;
      await put(a, b);
      await net.mine(5);
      fixture.provider.waitsUntilBlock += 20;
      const sent = await put(a, b, c);
      expect(sent.transactions.length).to.be.greaterThan(0);
      expect(sent.slices).to.be.greaterThan(1);
    });

    it("sends it itself when it must not wait, and never waits for an opening", async () => {
      fixture.provider.waitsUntilBlock = (await head()) + 20;
      const opened = await put(a);
      expect(opened).to.include({ version: 1n, isNew: true });
      await fixture.mineEpoch();
      const sent = await fixture.put([a, b], { mayWait: false });
      expect(sent).to.include({ version: 2n, slices: 2 });
      expect(sent.waitsUntilBlock).to.equal(undefined);
    });
  });

  describe("at a provider that signs and does not send, while another change waits", () => {
    const [a, b, c] = [objectOf(1), objectOf(1), objectOf(1)] as const;
    const nextEpochBlock = async () => 30 * (Math.floor(((await net.chain.provider.getBlockNumber()) + 1) / 30) + 1);

    /** A set whose newest change, sent by this device, waits for the next epoch. */
    async function changed(): Promise<void> {
      await put(a);
      await fixture.mineEpoch();
      fixture.provider.sends = false;
      expect((await put(a, b)).transactions).to.have.length(1);
    }

    it("leaves the state to it, tells from when on it sends it itself, and does so then", async () => {
      await changed();
      const waitsUntilBlock = await nextEpochBlock();
      const left = await put(a, b, c);
      expect(left).to.include({ version: 2n, addedSlices: 1, waitsUntilBlock });
      expect(left.transactions).to.deep.equal([]);
      // Still in the same epoch: nothing is signed, and nothing sent.
      expect((await put(a, b, c)).transactions).to.deep.equal([]);
      await fixture.mineEpoch();
      const sent = await put(a, b, c);
      expect(sent).to.include({ version: 3n, slices: 3 });
      expect(sent.waitsUntilBlock).to.equal(undefined);
      expect(sent.transactions).to.have.length(1);
      expect(fixture.provider.forgeries).to.deep.equal([]);
    });

    it("fails when the state may not wait, and says from which block on it can be sent", async () => {
      await changed();
      const fromBlock = await nextEpochBlock();
      const error = await expectAsyncRejection(() => fixture.put([a, b, c], { mayWait: false }), "CONFLICT", /waits/);
      expect(error).to.include({ check: "changes that wait", retryable: true });
      expect(error.details).to.include({ fromBlock });
      await fixture.mineEpoch();
      expect(await fixture.put([a, b, c], { mayWait: false })).to.include({ version: 3n, slices: 3 });
    });

    it("retires nothing that would void the state", async () => {
      await changed();
      const { id = "" } = await put(a, b, c);
      const dataSets = new DataSets(fixture.context);
      const retire = () => dataSets.retire(id, [{ firstIndex: 1, count: 1 }]);
      await expectAsyncRejection(retire, "CONFLICT", /waits/);
      await fixture.mineEpoch();
      expect(await retire()).to.include({ carriedVersion: 3n, retiredSlices: 1 });
      // Once per epoch.
      await expectAsyncRejection(() => dataSets.retire(id, [{ firstIndex: 2, count: 1 }]), "CONFLICT", /waits/);
    });
  });

  it("signs nothing under a version that the provider has signed for a copy of this home", async () => {
    await put(objectOf(1));
    const [set] = await fixture.platform.dataSets.sets();
    if (set === undefined) throw new Error("no set");
    fixture.provider.waitsUntilBlock = (await net.chain.provider.getBlockNumber()) + 50;
    await put(objectOf(1));
    const [newest] = await fixture.platform.dataSets.sets();
    // Restored from before the second state, which is not on chain.
    const { signed: _, ...older } = set;
    await fixture.platform.dataSets.save({ ...older, revision: newest?.revision ?? 0 });
    const error = await expectAsyncRejection(() => put(objectOf(1)), "CONFLICT", /newer state/);
    expect(error).to.include({ check: "version of the data set", received: "2", retryable: true });
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  it("says what to do when the provider has named another operator since it signed the opening", async () => {
    const a = objectOf(1);
    fixture.provider.sends = false;
    const { context, provider } = fixture;
    const send = context.send.bind(context);
    context.send = (call, options) =>
      call.description === "opening a data set" ? Promise.reject(new Error("killed")) : send(call, options);
    await put(a).then(
      () => expect.fail("it was sent"),
      (error: Error) => expect(error.message).to.equal("killed"),
    );
    await provider.setOperator(net.account(7).address);
    provider.openDataSet = () =>
      Promise.reject(new TallystickError("the provider is down", { code: "UNREACHABLE", party: provider.name }));
    fixture.context = fixture.newContext();
    const error = await expectAsyncRejection(() => put(a), "CONFLICT", /another operator/);
    const [set] = await fixture.platform.dataSets.sets();
    expect(error).to.include({ check: "operator of the provider", retryable: true });
    expect(error.hint).to.contain(`block ${(set?.signed?.deadlineBlock ?? 0n) + 1n}`);
  });

  it("holds what it has, and nothing else", async () => {
    const a = objectOf(1);
    const lane = await fixture.open();
    const [id = ""] = await fixture.add(lane, [a]);
    expect(await lane.holds([id])).to.equal(false);
    await lane.commit();
    const later = await fixture.open();
    expect(await later.holds([id])).to.equal(true);
    expect(await later.holds([id, fixture.provider.store(objectOf(0.1))])).to.equal(false);
  });

  it("takes out the slices that hold nothing but released objects", async () => {
    const lane = await fixture.open();
    // Slices 1 and 2 hold `a` alone, slice 3 some of `a` and of `b`.
    const [a = "", b = ""] = await fixture.add(lane, [objectOf(2.5), objectOf(1)]);
    await lane.commit();
    const forgetting = await fixture.open();
    forgetting.retire([a]);
    const report = await forgetting.commit();
    expect(report).to.include({ version: 2n, slices: 2, retiredSlices: 2, addedSlices: 0, highestIndex: 4 });
    expect(report.liveRanges).to.deep.equal([{ firstIndex: 3, count: 2 }]);
    const later = await fixture.open();
    expect([await later.holds([a]), await later.holds([b])]).to.deep.equal([false, true]);
    later.retire([b]);
    // The last slice stays: only a notice ends a set.
    expect(await later.commit()).to.include({ slices: 1, retiredSlices: 1 });
    expect(await put(objectOf(1))).to.include({ isNew: false, id: report.id, slices: 2 });
  });

  it("gives puts side by side indices of their own, and shifts the tags", async () => {
    const [one, other] = [await fixture.open(), await fixture.open()];
    await fixture.add(one, [objectOf(2)]);
    await fixture.add(other, [objectOf(3)]);
    const reports = [await one.commit(), await other.commit()];
    expect(reports.map(({ highestIndex }) => highestIndex)).to.deep.equal([2, 5]);
    expect(reports[1]).to.include({ isNew: false, id: reports[0]?.id, slices: 5 });
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  it("refuses a put that relied on objects which another took out meanwhile", async () => {
    const a = objectOf(1);
    await put(a);
    const [relying, forgetting] = [await fixture.open(), await fixture.open()];
    await fixture.add(relying, [a, objectOf(1)]);
    const [kept] = await fixture.add(forgetting, [objectOf(1)]);
    forgetting.retire([await fixture.provider.store(a)]);
    await forgetting.commit();
    const error = await expectAsyncRejection(() => relying.commit(), "CONFLICT", /taken out/);
    expect(error.retryable).to.equal(true);
    expect(kept).to.be.a("string");
    const again = await put(a);
    expect(again.addedSlices).to.equal(1);
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  it("tops up for an update only when the notice period is not covered", async () => {
    const lane = await fixture.open({ runwayEpochs: 0 });
    await fixture.add(lane, [objectOf(1)]);
    const first = await lane.commit();
    expect(first.runwayEpochs).to.equal(4);
    const second = await put(objectOf(900 / 31));
    expect(second.deposited > 0n).to.equal(true);
    expect(second.runwayEpochs).to.be.within(32, 33);
  });

  it("refuses wishes that do not fit, naming the amounts, before anything is stored", async () => {
    const dear = await expectAsyncRejection(() => fixture.open({ maximumFeePerEpoch: 999n }), "INVALID_INPUT");
    expect(dear).to.include({ check: "fee per epoch", expected: "at most 999" });
    const token = await expectAsyncRejection(() => fixture.open({ token: `0x${"12".repeat(20)}` }), "INVALID_INPUT");
    expect(token.check).to.equal("token");
    const draws = await expectAsyncRejection(() => fixture.open({ sampleCount: 9 }), "INVALID_INPUT");
    expect(draws).to.include({ check: "sample count", expected: "at most 8", received: "9" });
    await put(objectOf(1));
    const cap = await expectAsyncRejection(() => fixture.open({ feeCap: 5n }), "INVALID_INPUT");
    expect(cap).to.include({ check: "fee cap", received: "5" });
    const mode = await expectAsyncRejection(() => fixture.open({ mode: "on-demand" }), "INVALID_INPUT");
    expect(mode).to.include({ check: "mode", expected: "every-epoch" });
  });

  it("refuses growth beyond the fee that the user allows, before anything is paid", async () => {
    const lane = await fixture.open({ maximumFeePerEpoch: 10n ** 8n });
    await fixture.add(lane, [objectOf(4)]);
    const error = await expectAsyncRejection(() => lane.commit(), "INVALID_INPUT");
    expect(error).to.include({ check: "fee per epoch", party: fixture.provider.name });
    expect(await balance()).to.equal(0n);
  });

  it("refuses an offer with a verifier that the deployment does not name", async () => {
    fixture.provider.changedOffer = { verifiers: [`0x${"66".repeat(20)}`] };
    const error = await expectAsyncRejection(() => fixture.open(), "BAD_RESPONSE");
    expect(error.check).to.equal("verifier");
  });

  it("begins another set where a copy of the home has gone on with this one", async () => {
    const first = await put(objectOf(1));
    const [set] = await fixture.platform.dataSets.sets();
    if (set === undefined) throw new Error("no set");
    await put(objectOf(1));
    const [newest] = await fixture.platform.dataSets.sets();
    const { signed: _, ...older } = set;
    // The copy knows the first state only.
    await fixture.platform.dataSets.save({ ...older, revision: newest?.revision ?? 0 });
    const other = await put(objectOf(1));
    expect(other.isNew).to.equal(true);
    expect(other.id).to.not.equal(first.id);
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  for (const isExpired of [false, true]) {
    it(`adds again what a reorganisation undid${isExpired ? ", also when the state has expired" : ""}`, async () => {
      const a = objectOf(1);
      await put(a);
      await fixture.mineEpoch();
      const rpc = net.chain.provider;
      const snapshot: unknown = await rpc.send("evm_snapshot", []);
      const undone = await put(objectOf(2));
      await rpc.send("evm_revert", [snapshot]);
      fixture.context = fixture.newContext();
      for (let epoch = 0; isExpired && epoch < 5; epoch += 1) await fixture.mineEpoch();
      const report = await put(a, objectOf(1));
      expect(report).to.include({ id: undone.id, slices: 4, isNew: false });
      expect(report.version).to.equal(3n);
      expect(report.liveRanges).to.deep.equal([{ firstIndex: 1, count: 4 }]);
      expect(fixture.provider.forgeries).to.deep.equal([]);
    });
  }

  for (const [name, leftOver, transactions] of [
    ["PlainToken", 0n, 3],
    // Its allowance is set to zero first.
    ["TetherToken", 1n, 4],
  ] as const) {
    it(`pays in a token, which it approves: ${name}`, async () => {
      const token = await deployZooToken(net.account(0), name);
      const { address } = fixture.context.account;
      const supply = 10n ** 20n;
      for (const to of [address, net.account(0).address]) await token.call("mint", [to, supply]);
      await token.call("approve", [net.deployment.contracts.storageEscrow, supply]);
      const { to, data } = depositCollateralCall(net.deployment, token.address, fixture.provider.account, supply);
      await (await net.account(0).sendTransaction({ to, data })).wait();
      if (leftOver > 0n) await fixture.context.send(approveDataSetsCall(net.deployment, token.address, leftOver));
      const [price] = (await fixture.provider.dataSetOffer()).prices;
      if (price === undefined) throw new Error("no price");
      fixture.provider.changedOffer = { prices: [price, { ...price, token: token.address }] };
      const report = await fixture.put([objectOf(1)], { token: token.address });
      expect(report).to.include({ token: token.address, isNew: true, runwayEpochs: 33 });
      expect(report.transactions).to.have.length(transactions);
      expect((await readUserAccount(net.chain, token.address, address)).available).to.equal(report.deposited);
      expect((await fixture.put([objectOf(1)])).token).to.equal(token.address);
    });
  }

  it("takes back what is left of an approval when it tops up, as USDT demands", async () => {
    const token = await deployZooToken(net.account(0), "TetherToken");
    const { address } = fixture.context.account;
    await token.call("mint", [address, 1000n]);
    const dataSets = new DataSets(fixture.context);
    const topUp = async (amount: bigint) => (await dataSets.topUp(amount, token.address)).transactions.length;
    const leaveOver = () => fixture.context.send(approveDataSetsCall(net.deployment, token.address, 1n));
    expect(await topUp(5n)).to.equal(2);
    await leaveOver();
    expect(await topUp(5n)).to.equal(3);
    await leaveOver();
    expect(await topUp(1n)).to.equal(1);
  });

  it("keeps the ranges that the chain has", async () => {
    const report = await put(objectOf(2));
    const [set] = await fixture.platform.dataSets.sets();
    expect(decodeLiveRanges(set?.scheduled?.ranges ?? new Uint8Array())).to.deep.equal(report.liveRanges);
    expect(set?.state).to.equal("running");
  });
});
