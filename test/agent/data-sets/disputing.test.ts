/** Disputes of data sets in mode `on-demand`, as their user, a stranger and a liar see them, on a real chain. */

import { expect } from "chai";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import type { DataSetReport } from "../../../offchain/agent/data-sets/lane-report.ts";
import { readBooks, readDispute } from "../../../offchain/chain/escrow.ts";
import { formatEther } from "../../../offchain/core/encoding/amounts.ts";
import { type ErrorCode, TallystickError } from "../../../offchain/core/errors.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { DataSetFixture, objectOf } from "./fixture.ts";

const EPOCH_BLOCKS = 30;
/** Of the memory provider. */
const [BOND, WINDOW_BLOCKS, GRACE_BLOCKS, BOUNTY_PERCENT] = [500n, 10, 5, 10n];

describe("disputes of data sets", function () {
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
    fixture.provider.changedOffer = { modes: ["every-epoch", "on-demand"] };
    dataSets = new DataSets(fixture.context);
    await fixture.mineEpoch();
    report = await fixture.put([objectOf(2), objectOf(1)], { mode: "on-demand" });
    id = report.id ?? "";
  });

  const head = async () => await net.chain.provider.getBlockNumber();
  const nonceOf = async ({ context }: DataSetFixture) =>
    await net.chain.provider.getTransactionCount(context.account.address);
  const salt = async () => (await fixture.platform.dataSets.sets())[0]?.salt ?? "";
  const mineTo = async (block: number) => {
    const missing = block - (await head());
    if (missing > 0) await net.mine(missing);
  };
  const damage = () => {
    for (const object of fixture.provider.objects.values()) object.fill(7);
  };
  /** Somebody else, with a balance. */
  const stranger = async (balance: bigint) => {
    const other = await DataSetFixture.make(net);
    const theirs = new DataSets(other.context);
    if (balance > 0n) await theirs.topUp(balance);
    return { other, theirs };
  };
  /** That a dispute is refused, and that nothing is sent or changed. */
  const refused = async (by: DataSets, from: DataSetFixture, code: "CONFLICT" | "FUNDS" | "INVALID_INPUT", of = id) => {
    const state = async () => [await nonceOf(from), await readBooks(net.chain, of), await readDispute(net.chain, of)];
    const before = await state();
    const quoted = await expectAsyncRejection(() => by.quoteDispute(of), code);
    const error = await expectAsyncRejection(() => by.dispute(of), code);
    expect(error.toJSON()).to.deep.equal(quoted.toJSON());
    expect(error.details).to.have.property("revert");
    expect(error.hint).to.be.a("string").and.not.equal("");
    expect(await state()).to.deep.equal(before);
    return error;
  };

  it("tell what they cost before anything is sent, and are shown with their deadline", async () => {
    await fixture.mineEpoch();
    const quote = await dataSets.quoteDispute(id);
    expect(quote).to.include({ id, bond: BOND, answerBlocks: WINDOW_BLOCKS + GRACE_BLOCKS });
    expect(quote.bounty).to.equal((report.feePerEpoch * BOUNTY_PERCENT) / 100n);
    expect((await dataSets.show(id)).dispute).to.equal(undefined);
    const { available } = await dataSets.balance();
    const limit = { maximumFee: 1000n };
    const tooDear = await expectAsyncRejection(() => dataSets.dispute(id, limit), "FUNDS");
    expect(tooDear.check).to.equal("fee of the transaction");
    expect(await readDispute(net.chain, id)).to.equal(undefined);
    const done = await dataSets.dispute(id, { maximumFee: quote.gasFee * 2n });
    expect(done.gasUsed <= quote.gas).to.equal(true);
    expect(done).to.include({ id, bond: BOND, challengeBlock: done.blockNumber + 2 });
    expect((await dataSets.balance()).available).to.equal(available - BOND);
    const details = await dataSets.show(id);
    expect(details.terms.mode).to.equal("on-demand");
    expect(details.dispute).to.deep.equal({
      disputer: fixture.context.account.address,
      challengeBlock: done.challengeBlock,
      answerUntilBlock: done.challengeBlock + WINDOW_BLOCKS + GRACE_BLOCKS,
      bond: BOND,
    });
  });

  it("cost a liar the bond, once per epoch, and nothing is decided by settling", async () => {
    const { other, theirs } = await stranger(10n * BOND);
    await fixture.mineEpoch();
    const { challengeBlock } = await theirs.dispute(id);
    await mineTo(challengeBlock + 1);
    expect(await theirs.settle(id)).to.deep.include({ upheld: false, transactions: [] });
    await fixture.provider.prove(await salt());
    expect((await theirs.balance()).available).to.equal(9n * BOND);
    expect((await dataSets.list())[0]).to.include({ provenEpochs: 1, missedEpochs: 0 });
    const again = await refused(theirs, other, "CONFLICT");
    expect(again.check).to.equal("one dispute per epoch");
    const next = (Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS;
    expect(again.hint).to.contain(`block ${next}`);
    // The newest proof is the answer.
    expect(await theirs.audit(id, { public: true })).to.include({ mode: "public", slices: 3 });
  });

  it("compensate the user, and pay bond and bounty, when the provider has lost the data", async () => {
    damage();
    await fixture.mineEpoch();
    const failed = await expectAsyncRejection(() => dataSets.audit(id), "INVALID_PROOF");
    expect(failed.party).to.equal(fixture.provider.name);
    expect(failed.hint).to.contain(`tallystick dispute ${id}`).and.contain("costs the bond");
    const before = (await dataSets.balance()).available;
    const { challengeBlock, answerUntilBlock } = await dataSets.dispute(id);
    await mineTo(challengeBlock + 1);
    // It would send a proof that does not verify.
    await fixture.provider.prove(await salt()).then(
      () => expect.fail("the contract took a wrong proof"),
      () => undefined,
    );
    await mineTo(answerUntilBlock - 1);
    expect((await dataSets.settle(id)).upheld).to.equal(false);
    await mineTo(answerUntilBlock);
    const settlement = await dataSets.settle(id);
    expect(settlement).to.include({ upheld: true, closed: false });
    expect(settlement.set.missedEpochs).to.equal(1);
    expect(settlement.set.dispute).to.equal(undefined);
    const fee = report.feePerEpoch;
    // Fee, compensation of 100 % and bounty; the bond is back.
    expect((await dataSets.balance()).available).to.equal(before + fee * 2n + (fee * BOUNTY_PERCENT) / 100n);
    const epochs = (await dataSets.show(id)).epochs;
    expect(epochs.at(-1)?.status).to.equal("missed");
    expect((await dataSets.settle(id)).upheld).to.equal(false);
  });

  it("need a bond in the balance beside the notice period; the error says how much is missing", async () => {
    await fixture.mineEpoch();
    const { other, theirs } = await stranger(BOND - 100n);
    const error = await refused(theirs, other, "FUNDS");
    expect(error).to.include({
      check: "dispute bond",
      expected: `at least ${formatEther(BOND)}`,
      received: formatEther(BOND - 100n),
    });
    expect(error.message).to.contain(other.context.account.address);
    expect(error.hint).to.contain("`tallystick data-set top-up 0.0000000000000001ETH`");
    await theirs.topUp(100n);
    expect((await theirs.dispute(id)).bond).to.equal(BOND);
    expect((await theirs.balance()).available).to.equal(0n);
  });

  it("are refused before the first epoch, while one is open, at the end of an epoch, and after the end", async () => {
    const early = await refused(dataSets, fixture, "CONFLICT");
    expect(early.check).to.equal("epoch of the data set");
    await fixture.mineEpoch();
    // The challenge block would be the first one of the next epoch.
    await mineTo((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS - 2);
    const late = await refused(dataSets, fixture, "CONFLICT");
    expect(late).to.include({ check: "challenge block", retryable: true });
    await fixture.mineEpoch();
    await dataSets.dispute(id);
    const twice = await refused(dataSets, fixture, "CONFLICT");
    expect(twice.check).to.equal("open dispute");
    expect(twice.hint).to.contain(`tallystick data-set show ${id}`);
    await fixture.mineEpoch();
    await dataSets.settle(id);
    await dataSets.giveNotice(id);
    for (let epoch = 0; epoch < 4; epoch += 1) await fixture.mineEpoch();
    expect((await refused(dataSets, fixture, "CONFLICT")).check).to.equal("epoch of the data set");
    await fixture.mineEpoch();
    await dataSets.settle(id);
    expect((await refused(dataSets, fixture, "CONFLICT")).check).to.equal("status of the data set");
    await expectAsyncRejection(() => dataSets.dispute(`0x${"9a".repeat(32)}`), "NOT_FOUND");
  });

  it("are for sets on demand only, which nobody gets without asking", async () => {
    const other = await DataSetFixture.make(net);
    other.provider.changedOffer = { modes: ["on-demand", "every-epoch"] };
    const theirs = new DataSets(other.context);
    const begun = await other.put([objectOf(1)]);
    expect((await theirs.list())[0]?.terms.mode).to.equal("every-epoch");
    await other.mineEpoch();
    const error = await refused(theirs, other, "INVALID_INPUT", begun.id);
    expect(error).to.include({ check: "mode of the data set", expected: "on-demand" });
    const failed = await (async () => {
      for (const object of other.provider.objects.values()) object.fill(7);
      return await expectAsyncRejection(() => theirs.audit(begun.id ?? ""), "INVALID_PROOF");
    })();
    expect(failed.hint).not.to.contain("dispute");
  });

  it("are hinted at when a provider on demand does not answer an audit, or has lost an object", async () => {
    const fail = (code: ErrorCode, party = fixture.provider.name) => {
      fixture.provider.auditDataSet = async () => {
        throw new TallystickError("no", { code, party, hint: "wait" });
      };
      return expectAsyncRejection(() => dataSets.audit(id), code);
    };
    expect((await fail("UNREACHABLE")).hint)
      .to.contain("if it stays silent")
      .and.contain("tallystick dispute");
    expect((await fail("OBJECT_LOST")).hint).to.match(/^`tallystick dispute/);
    for (const code of ["RATE_LIMITED", "STORAGE_UNAVAILABLE", "PARTY_FAILED", "BAD_RESPONSE", "CONFLICT"] as const) {
      const { hint } = await fail(code);
      expect(hint, code).to.match(/^wait; if no audit gets a proof, `tallystick dispute 0x/);
    }
    expect((await fail("CHAIN_UNAVAILABLE", "chain")).hint).to.equal("wait");
  });
});
