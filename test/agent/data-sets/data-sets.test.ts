/** What an account does with its data sets and its balance, on a real chain. */

import { expect } from "chai";
import { drawsToDetect } from "../../../offchain/agent/data-sets/audit.ts";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import type { DataSetReport } from "../../../offchain/agent/data-sets/lane-report.ts";
import { readUserAccount } from "../../../offchain/chain/escrow.ts";
import { formatEther } from "../../../offchain/core/encoding/amounts.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { DataSetFixture, objectOf } from "./fixture.ts";

const NATIVE = `0x${"00".repeat(20)}`;
const EPOCH_BLOCKS = 30;
const NOTICE_EPOCHS = 3;
const WORD = `0x${"9a".repeat(32)}`;

describe("data sets of an account", function () {
  this.timeout(60_000);
  let net: LocalChain;
  let fixture: DataSetFixture;
  let dataSets: DataSets;
  let report: DataSetReport;
  let id: string;

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());
  beforeEach(async () => {
    fixture = await DataSetFixture.make(net);
    dataSets = new DataSets(fixture.context);
    await toBlockOfEpoch(1);
    report = await fixture.put([objectOf(2), objectOf(1), objectOf(1)]);
    id = report.id ?? "";
  });

  const head = async () => await net.chain.provider.getBlockNumber();
  const epochNow = async () => Math.floor((await head()) / EPOCH_BLOCKS);

  /** Mines up to a block of the current epoch, or of the next one if it is over. */
  async function toBlockOfEpoch(block: number): Promise<void> {
    const ahead = (block - ((await head()) % EPOCH_BLOCKS) + EPOCH_BLOCKS) % EPOCH_BLOCKS;
    if (ahead > 0) await net.mine(ahead);
  }
  const salt = async () => (await fixture.platform.dataSets.sets())[0]?.salt ?? "";
  const provenIn = async (epochs: number) => {
    const transactions: string[] = [];
    for (let epoch = 0; epoch < epochs; epoch += 1) {
      await fixture.mineEpoch();
      await toBlockOfEpoch(6);
      transactions.push(await fixture.provider.prove(await salt()));
    }
    return transactions;
  };

  it("are listed with what they cost, what was proven, and when the next proof is due", async () => {
    await provenIn(2);
    const [view, ...others] = await dataSets.list();
    expect(others).to.deep.equal([]);
    expect(view).to.deep.include({
      id,
      provider: fixture.provider.account,
      status: "running",
      device: "this",
      version: 1n,
      slices: 4,
      highestIndex: 4,
      feePerEpoch: report.feePerEpoch,
      liveRanges: [{ firstIndex: 1, count: 4 }],
      provenEpochs: 2,
      missedEpochs: 0,
    });
    expect(view?.nextWindow?.epoch).to.equal((await epochNow()) + 1);
    expect(view?.runwayEpochs).to.equal(33 - 2);
  });

  it("show their epochs, and the provider's own report", async () => {
    const [proven] = await provenIn(1);
    await fixture.mineEpoch();
    await toBlockOfEpoch(22);
    const details = await dataSets.show(id);
    expect(details.epochs.map(({ status }) => status)).to.deep.equal(["proven", "overdue"]);
    expect(details.epochs[0]).to.include({ transactionHash: proven, fee: report.feePerEpoch });
    expect(details.providerView).to.include({ salt: await salt(), phase: 5 });
    await fixture.mineEpoch();
    expect((await dataSets.show(id)).epochs.map(({ status }) => status)).to.deep.equal(["proven", "overdue", "due"]);
    await expectAsyncRejection(() => dataSets.show(WORD), "NOT_FOUND");
  });

  it("are shown without the provider's report when it does not answer", async () => {
    fixture.provider.sets.clear();
    expect((await dataSets.show(id)).providerView).to.equal(undefined);
  });

  it("are audited privately", async () => {
    const audited = await dataSets.audit(id);
    expect(audited).to.include({ mode: "private", id, slices: 4 });
    expect(audited.confidence).to.be.greaterThan(0.99);
    expect(await dataSets.audit(id, { sampleCount: 3 })).to.include({ sampleCount: 3 });
    expect(await dataSets.audit(id, { damage: 1 })).to.include({ sampleCount: 1 });
    await expectAsyncRejection(() => dataSets.audit(id, { probability: 1 }), "INVALID_INPUT");
    // A provider answers so many draws at once: more are refused, or named where they follow from a target.
    const tooMany = await expectAsyncRejection(() => dataSets.audit(id, { sampleCount: 4097 }), "INVALID_INPUT");
    expect(tooMany).to.include({ expected: "at most 4096", received: "4097" });
    expect(await dataSets.audit(id, { sampleCount: 4096 })).to.not.have.property("targetDraws");
    const wide = await DataSetFixture.make(net);
    const { id: wideId = "" } = await wide.put([objectOf(115)]);
    const target = { damage: 0.001, probability: 1 - 2 ** -53 };
    const short = await new DataSets(wide.context).audit(wideId, target);
    expect(short).to.include({ sampleCount: 4096, targetDraws: drawsToDetect(115, target) });
    expect(short.targetDraws).to.be.greaterThan(4096);
  });

  it("fail an audit when the provider has damaged an object, which it is blamed for", async () => {
    for (const object of fixture.provider.objects.values()) object.fill(7);
    const error = await expectAsyncRejection(() => dataSets.audit(id), "INVALID_PROOF");
    expect(error.party).to.equal(fixture.provider.name);
  });

  it("are audited publicly by the newest proof on chain", async () => {
    await expectAsyncRejection(() => dataSets.audit(id, { public: true }), "NOT_FOUND", /no epoch/);
    const [, newest] = await provenIn(2);
    const audited = await dataSets.audit(id, { public: true });
    expect(audited).to.include({ mode: "public", transactionHash: newest, slices: 4, sampleCount: 8 });
    expect(audited.epoch).to.equal(await epochNow());
  });

  it("tell the balance, top it up, and withdraw what the notice period does not need", async () => {
    const fee = report.feePerEpoch;
    const before = await dataSets.balance();
    expect(before).to.include({ token: NATIVE, rate: fee, available: fee * 33n, runwayEpochs: 33 });
    expect(before.endsAtBlock).to.equal(((await epochNow()) + 34) * EPOCH_BLOCKS);
    const topUp = await dataSets.topUp(fee * 10n);
    expect(topUp.balance).to.include({ available: fee * 43n, withdrawable: fee * 39n });
    expect(topUp.transactions).to.have.length(1);
    expect(topUp.transactions[0]?.gasUsed).to.be.greaterThan(21_000n);
    const tooMuch = await expectAsyncRejection(() => dataSets.withdraw(undefined, fee * 40n), "FUNDS");
    expect(tooMuch.message).to.include(fixture.context.account.address);
    expect(tooMuch).to.include({ expected: `at most ${formatEther(fee * 39n)}`, received: formatEther(fee * 40n) });
    const to = net.account(5).address;
    const had = await net.chain.provider.getBalance(to);
    const withdrawal = await dataSets.withdraw(undefined, fee, to);
    expect(withdrawal).to.include({ token: NATIVE, amount: fee, to });
    expect((await net.chain.provider.getBalance(to)) - had).to.equal(fee);
    expect(await dataSets.withdraw()).to.include({ amount: fee * 38n });
    expect((await dataSets.balance()).withdrawable).to.equal(0n);
    await expectAsyncRejection(() => dataSets.withdraw(), "FUNDS");
    await expectAsyncRejection(() => dataSets.topUp(0n), "INVALID_INPUT");
  });

  it("refuse a transaction that would cost more than allowed, and send nothing", async () => {
    const nonce = await net.chain.provider.getTransactionCount(fixture.context.account.address);
    const limit = { maximumFee: 1000n };
    for (const send of [
      () => dataSets.topUp(1n, undefined, limit),
      () => dataSets.withdraw(undefined, 1n, undefined, limit),
      () => dataSets.giveNotice(id, limit),
      () => dataSets.retire(id, [{ firstIndex: 1, count: 1 }], limit),
    ]) {
      const error = await expectAsyncRejection(send, "FUNDS");
      expect(error).to.include({ check: "fee of the transaction", expected: "at most 0.000000000000001 ETH" });
    }
    expect(await net.chain.provider.getTransactionCount(fixture.context.account.address)).to.equal(nonce);
    const sent = await dataSets.topUp(1n, undefined, { maximumFee: 10n ** 17n });
    expect(sent.transactions[0]?.gasFee).to.be.lessThan(10n ** 17n);
  });

  it("end after the notice period, are closed, and followed by another one", async () => {
    await fixture.mineEpoch();
    const notice = await dataSets.giveNotice(id);
    expect(notice.lastEpoch).to.equal((await epochNow()) + NOTICE_EPOCHS);
    expect((await dataSets.list())[0]).to.include({ status: "ending", lastEpoch: notice.lastEpoch });
    const next = await fixture.put([objectOf(1)]);
    expect(next).to.include({ isNew: true, slices: 1 });
    expect(next.id).to.not.equal(id);
    for (let epoch = 0; epoch < NOTICE_EPOCHS + 2; epoch += 1) await fixture.mineEpoch();
    const settlement = await dataSets.settle(id);
    expect(settlement).to.include({ closed: true, settled: false });
    expect(settlement.set.status).to.equal("closed");
    const again = await dataSets.settle(id);
    expect(again).to.deep.include({ closed: false, reported: [], transactions: [] });
  });

  it("are audited until their last epoch when notice was given, and not after it", async () => {
    await fixture.mineEpoch();
    await dataSets.retire(id, [{ firstIndex: 1, count: 1 }]);
    await fixture.mineEpoch();
    await dataSets.giveNotice(id);
    expect(await dataSets.audited()).to.deep.equal([id]);
    for (let epoch = 0; epoch <= NOTICE_EPOCHS; epoch += 1) {
      expect(await dataSets.audit(id)).to.include({ mode: "private", slices: 3 });
      if (epoch < NOTICE_EPOCHS) await fixture.mineEpoch();
    }
    for (const object of fixture.provider.objects.values()) object.fill(7);
    const error = await expectAsyncRejection(() => dataSets.audit(id), "INVALID_PROOF");
    expect(error.party).to.equal(fixture.provider.name);
    await fixture.mineEpoch();
    await expectAsyncRejection(() => dataSets.audit(id), "NOT_FOUND", /holds nothing/);
  });

  it("lose slices that the user retires alone, which no later put relies on", async () => {
    const [first = "", second = ""] = [...fixture.provider.objects.keys()];
    await fixture.mineEpoch();
    const retired = await dataSets.retire(id, [{ firstIndex: 1, count: 2 }]);
    expect(retired).to.deep.include({ retiredSlices: 2, remaining: [{ firstIndex: 3, count: 2 }] });
    expect(retired.carriedVersion).to.equal(undefined);
    const lane = await fixture.open();
    expect([await lane.holds([first]), await lane.holds([second])]).to.deep.equal([false, true]);
    await fixture.add(lane, [objectOf(1)]);
    await fixture.mineEpoch();
    expect(await lane.commit()).to.include({ version: 2n, slices: 3, highestIndex: 5 });
    for (const ranges of [[{ firstIndex: 1, count: 1 }], [{ firstIndex: 1, count: 9 }]]) {
      const error = await expectAsyncRejection(() => dataSets.retire(id, ranges), "INVALID_INPUT");
      expect(error.check).to.equal("slices to retire");
    }
  });

  it("carry the state that both have signed out when the user retires slices", async () => {
    await fixture.mineEpoch();
    fixture.provider.sends = false;
    const send = fixture.context.send.bind(fixture.context);
    Object.assign(fixture.context, {
      send: async () => {
        throw new Error("killed before it sent the state");
      },
    });
    await fixture.put([objectOf(2)]).then(
      () => expect.fail("it was killed"),
      () => undefined,
    );
    Object.assign(fixture.context, { send });
    const retired = await dataSets.retire(id, [{ firstIndex: 1, count: 1 }]);
    expect(retired).to.deep.include({ carriedVersion: 2n, remaining: [{ firstIndex: 2, count: 5 }] });
    const after = await fixture.put([]);
    expect(after).to.include({ version: 2n, slices: 5, addedSlices: 0 });
  });

  it("report misses, which pay the user, and settle what nobody proved", async () => {
    await fixture.mineEpoch();
    await toBlockOfEpoch(22);
    const settlement = await dataSets.settle(id);
    expect(settlement.reported).to.deep.equal([await epochNow()]);
    expect(settlement.set.missedEpochs).to.equal(1);
    expect((await dataSets.settle(id)).reported).to.deep.equal([]);
    for (let epoch = 0; epoch < 4; epoch += 1) await fixture.mineEpoch();
    const late = await dataSets.settle(id);
    expect(late.reported).to.deep.equal([(await epochNow()) - 1]);
    expect(late.set).to.include({ status: "running", missedEpochs: 2 });
    // Of the four epochs behind the first miss, two went to nobody and came back with the last report.
    const { available } = await dataSets.balance();
    expect(available > (report.feePerEpoch * 133n) / 4n).to.equal(true);
  });

  it("earn without proofs in mode on-demand, as settling them shows", async () => {
    const other = await DataSetFixture.make(net);
    other.provider.changedOffer = { modes: ["every-epoch", "on-demand"] };
    const begun = await other.put([objectOf(1)], { mode: "on-demand" });
    for (let epoch = 0; epoch < 4; epoch += 1) await other.mineEpoch();
    const theirs = new DataSets(other.context);
    const settlement = await theirs.settle(begun.id ?? "");
    expect(settlement).to.include({ settled: true, closed: false, upheld: false });
    const details = await theirs.show(begun.id ?? "");
    expect(details.nextWindow).to.equal(undefined);
    expect(details.epochs.map(({ status }) => status)).to.include("undisputed");
  });

  it("are recovered by another device for audits, and never appended to", async () => {
    const first = await salt();
    fixture.platform = memoryPlatform();
    fixture.context = fixture.newContext();
    const other = new DataSets(fixture.context);
    expect((await other.list())[0]?.device).to.equal("other");
    expect([await other.recover(), await other.recover()]).to.deep.equal([1, 0]);
    const [adopted] = await fixture.platform.dataSets.sets();
    expect(adopted).to.include({ salt: first, isOwn: false, state: "running" });
    expect(await other.audit(id)).to.include({ mode: "private", slices: 4 });
    const own = await fixture.put([objectOf(1)]);
    expect(own.isNew).to.equal(true);
    expect((await other.list()).map(({ device }) => device)).to.deep.equal(["other", "this"]);
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  it("of another account can be looked at and audited publicly only", async () => {
    await provenIn(1);
    const stranger = await DataSetFixture.make(net);
    const theirs = new DataSets(stranger.context);
    expect(await theirs.list()).to.deep.equal([]);
    expect((await theirs.show(id)).provenEpochs).to.equal(1);
    expect((await theirs.audit(id, { public: true })).mode).to.equal("public");
    await expectAsyncRejection(() => theirs.audit(id), "NOT_OWNER");
    await expectAsyncRejection(() => theirs.giveNotice(id), "NOT_OWNER");
  });

  it("all end when the balance is used up", async () => {
    const poor = await DataSetFixture.make(net);
    const begun = await poor.put([objectOf(1)], { runwayEpochs: 0 });
    for (let epoch = 0; epoch < 6; epoch += 1) await poor.mineEpoch();
    const [view] = await new DataSets(poor.context).list();
    expect(view?.status).to.equal("over");
    expect((await readUserAccount(net.chain, NATIVE, poor.context.account.address)).rate).to.be.greaterThan(0n);
    const next = await poor.put([objectOf(1)]);
    expect(next).to.include({ isNew: true });
    expect(next.id).to.not.equal(begun.id);
  });
});
