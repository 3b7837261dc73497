/** Data sets in mode `on-demand` at real providers on a real chain: who is right in a dispute, and what it costs. */
import { join } from "node:path";
import { expect } from "chai";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { readBooks, readDispute, readPool, readUserAccount } from "../../offchain/chain/escrow.ts";
import {
  depositCall,
  disputeCall,
  noticeCall,
  settleDataSetCall,
  upholdDisputeCall,
} from "../../offchain/chain/escrow-calls.ts";
import { type DataSetEvent, scanDataSets } from "../../offchain/chain/escrow-events.ts";
import { ChainRevertedError, chainError } from "../../offchain/chain/revert.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { accrue } from "../../offchain/core/data-set/balance.ts";
import { disputeWindowsOf } from "../../offchain/core/data-set/epochs.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { randomChunk } from "../csp/provider-fixture.ts";
import { NATIVE, ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { damageObjects } from "../helpers/pack-files.ts";
import { failure, until } from "../helpers/promises.ts";

const EPOCH_BLOCKS = 60;
const NOTICE_EPOCHS = 2;
const WINDOW_BLOCKS = 20;
const GRACE_BLOCKS = 10;
const SLICE_BYTES = 31 * SLICE_ELEMENTS;
const SETTLE_EPOCHS = 30;
const BOND = 50_000_000n;
const OFFER = {
  ...TEST_OFFER,
  // So that a month of it is worth the gas of a settlement.
  prices: [{ token: NATIVE, pricePerGibEpoch: "1000000000000", minimumFeePerEpoch: "100000000000000" }],
  windowBlocks: WINDOW_BLOCKS,
  dataSets: {
    graceBlocks: GRACE_BLOCKS,
    sliceElements: [SLICE_ELEMENTS],
    maximumIndex: 1000,
    modes: ["every-epoch", "on-demand"],
    settleEpochs: SETTLE_EPOCHS,
    tokens: [{ token: NATIVE, disputeBond: String(BOND) }],
  },
};
const FUNDS = 10n ** 17n;
/** Accounts of the chain: the user, and a stranger that disputes. */
const [USER, STRANGER, REPORTER] = [1, 2, 3];

describe("data sets on demand of a provider", function () {
  this.timeout(240_000);
  let local: LocalChain;
  let provider: ProviderProcess;
  let alice: Device;

  before(async () => {
    await auditReady();
    const parameters = { epochBlocks: BigInt(EPOCH_BLOCKS), noticeEpochs: BigInt(NOTICE_EPOCHS) };
    local = await startLocalChain({ parameters });
  });
  after(async () => local.stop());

  beforeEach(async () => {
    provider = await ProviderProcess.prepare(local, { offer: OFFER });
    await provider.start();
    alice = await opened(USER);
  });
  afterEach(async () => provider.remove());

  async function opened(account: number): Promise<Device> {
    const device = await Device.connect(local.chain, provider, local.account(account));
    await device.deposit(FUNDS);
    await device.begin();
    await device.add(randomChunk(3 * SLICE_BYTES), randomChunk(SLICE_BYTES));
    device.agreed = device.termsWith({ mode: "on-demand" });
    const body = device.openRequest(await device.state());
    ok(await device.client.request("POST", `${device.path}/open`, { body }));
    device.version = 1n;
    return device;
  }

  const head = () => local.chain.provider.getBlockNumber();
  const epochNow = async () => Math.floor((await head()) / EPOCH_BLOCKS);
  const mineTo = async (block: number) => {
    const missing = block - (await head());
    if (missing > 0) await local.mine(missing);
  };
  const toNextEpoch = async () => mineTo(((await epochNow()) + 1) * EPOCH_BLOCKS);
  /** @returns gas used @throws ChainRevertedError */
  const send = async (account: number, { to, data, value = 0n, description }: ContractCall): Promise<bigint> => {
    try {
      const receipt = await (await local.account(account).sendTransaction({ to, data, value })).wait();
      return receipt?.gasUsed ?? 0n;
    } catch (error) {
      throw chainError(error, description);
    }
  };
  const words = async (device = alice) => {
    const found = await device.onChain();
    if (found === undefined || device.agreed === undefined) throw new Error("not on chain");
    return { ...device.agreed, schedule: found.schedule };
  };
  const dispute = async (account = STRANGER, device = alice) => {
    await send(account, disputeCall(local.deployment, await words(device)));
    const opened = await readDispute(local.chain, device.id);
    if (opened === undefined) throw new Error("no dispute is open");
    const { windowBlocks } = OFFER;
    const terms = { windowBlocks, graceBlocks: GRACE_BLOCKS, epochBlocks: EPOCH_BLOCKS };
    return disputeWindowsOf(terms, opened.challengeBlock);
  };
  const eventsOf = async ({ id }: Device): Promise<DataSetEvent[]> => {
    const found: DataSetEvent[] = [];
    // Asked for itself: ethers answers with what it heard a moment ago.
    const newest = Number(await local.chain.provider.send("eth_blockNumber", []));
    for await (const event of scanDataSets(local.chain, 0, newest))
      if ("id" in event && event.id === id) found.push(event);
    return found;
  };
  const books = async (device = alice) => {
    const found = await readBooks(local.chain, device.id);
    if (found === undefined) throw new Error("not on chain");
    return found;
  };
  const deposit = async (account: number, amount = 10n * BOND) => {
    await send(account, depositCall(local.deployment, NATIVE, local.account(account).address, amount));
  };
  /** Of a balance, as of the current epoch. */
  const available = async (account: number) =>
    accrue(await readUserAccount(local.chain, NATIVE, local.account(account).address), await epochNow()).available;
  const pool = () => readPool(local.chain, NATIVE, provider.operator);
  const fee = async () => (await alice.onChain())?.last.fee ?? 0n;
  const noted = (what: string, text: string) =>
    until(
      what,
      () => provider.log.includes(text),
      60,
      () => provider.log,
    );
  const refused = async (name: string, call: Promise<unknown>) => {
    const error = await failure(call);
    expect(error).to.be.instanceOf(ChainRevertedError);
    expect((error as ChainRevertedError).revert.name).to.equal(name);
  };
  /** The metric of disputes that ended so. */
  const disputes = (outcome: string) =>
    provider.metric(`tallystick_csp_disputes_total{outcome="${outcome}",daemon="csp"}`);
  const again = async (device: Device): Promise<Device> => {
    const { client } = await Device.connect(local.chain, provider, device.signer);
    return Object.assign(Object.create(Device.prototype), device, { client });
  };

  it("are not proven by themselves, and a liar that disputes an honest provider loses the bond to it", async () => {
    await deposit(STRANGER);
    await toNextEpoch();
    // Where a set with a phase would be proven.
    await local.mine(alice.phase + 2);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await books()).to.include({ proven: 0 });
    const before = { stranger: await available(STRANGER), pool: (await pool()).total };
    const { challengeBlock, epoch } = await dispute();
    await mineTo(challengeBlock + 1);
    await noted("the dispute is answered", "dispute answered");
    expect(await books()).to.include({ disputed: false, proven: 1, missed: 0 });
    expect(await available(STRANGER)).to.equal(before.stranger - BOND);
    expect((await pool()).total).to.equal(before.pool + BOND + (await fee()));
    const answer = (await eventsOf(alice)).find(({ kind }) => kind === "DisputeAnswered");
    expect(answer).to.include({ disputer: local.account(STRANGER).address, bond: BOND });
    await until("the status tells of it", async () => (await alice.status()).provenEpochs === 1);
    expect((await alice.status()).lastProof).to.include({ epoch });
    await until("the metric tells of it", async () => (await disputes("answered")) === 1);
    // Once per epoch.
    await refused("EpochSettled", send(STRANGER, disputeCall(local.deployment, await words())));
    expect(await available(STRANGER)).to.equal(before.stranger - BOND);
  });

  it("compensate the user when the provider has lost a slice and is disputed, until the breach", async () => {
    await deposit(STRANGER);
    damageObjects(join(provider.dataDir, "store"), 1);
    const { terms } = await words();
    const percent = (value: number) => async () => ((await fee()) * BigInt(value)) / 100n;
    const [compensation, bounty] = [percent(terms.compensationPercent), percent(terms.bountyPercent)];
    for (let missed = 1; missed <= OFFER.breachLimit; missed++) {
      await toNextEpoch();
      const { challengeBlock, epoch, graceEnd } = await dispute();
      await mineTo(challengeBlock + 1);
      await until(
        "the damage is told",
        async () => (await alice.status()).healthDetail?.startsWith(`epoch ${epoch}`) === true,
        60,
        () => provider.log,
      );
      await refused("NotReportable", send(REPORTER, upholdDisputeCall(local.deployment, await words())));
      await mineTo(graceEnd);
      await until("the provider notices that it has lost", () => provider.log.split("DISPUTE LOST").length > missed);
      const before = { stranger: await available(STRANGER), user: await available(USER) };
      const isLast = missed === OFFER.breachLimit;
      await send(REPORTER, upholdDisputeCall(local.deployment, await words()));
      expect((await available(STRANGER)) - before.stranger).to.equal(BOND + (await bounty()));
      expect((await available(USER)) - before.user).to.equal((await fee()) + (await compensation()));
      expect(await books()).to.include({ disputed: false, missed, status: isLast ? "breached" : "running" });
    }
    expect((await pool()).locked).to.equal(0n);
    expect(await disputes("lost")).to.equal(OFFER.breachLimit);
    expect(await alice.status()).to.include({ provenEpochs: 0, failedEpochs: OFFER.breachLimit, health: "damaged" });
  });

  it("are decided by the provider that has lost when nobody else does, closed, and free the collateral", async () => {
    await deposit(STRANGER);
    damageObjects(join(provider.dataDir, "store"), 1);
    await toNextEpoch();
    const { challengeBlock, epoch, graceEnd } = await dispute();
    const { disputer } = (await readDispute(local.chain, alice.id)) ?? {};
    await mineTo(challengeBlock + 1);
    await mineTo(graceEnd);
    await noted("the provider notices that it has lost", "DISPUTE LOST");
    await send(USER, noticeCall(local.deployment, await words()));
    const before = await available(STRANGER);
    // An epoch for the others, who do nothing.
    await toNextEpoch();
    await local.mine(1);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await books()).to.include({ disputed: true, missed: 0 });
    for (let k = 0; k < NOTICE_EPOCHS + 3; k++) {
      await toNextEpoch();
      await local.mine(1);
      if (k === 0) {
        await until(
          "the provider has it decided",
          async () => !(await books()).disputed,
          60,
          () => provider.log,
        );
        expect(await books()).to.include({ missed: 1 });
        expect((await available(STRANGER)) > before + BOND).to.equal(true);
      }
    }
    await until(
      "the set is closed",
      async () => (await books()).status === "closed",
      60,
      () => provider.log,
    );
    expect((await pool()).locked).to.equal(0n);
    const events = await eventsOf(alice);
    expect(events.find(({ kind }) => kind === "DisputeUpheld")).to.include({ disputer });
    expect(events.find(({ kind }) => kind === "EpochMissed")).to.include({ epoch, reporter: provider.operator });
  });

  it("are proven in a window that reaches into the next epoch, by a list that was replaced meanwhile", async () => {
    await deposit(STRANGER);
    await toNextEpoch();
    await mineTo(((await epochNow()) + 1) * EPOCH_BLOCKS - 5);
    await provider.end();
    const { challengeBlock, epoch, graceEnd } = await dispute();
    expect(graceEnd).to.be.greaterThan((epoch + 1) * EPOCH_BLOCKS);
    await mineTo(challengeBlock + 1);
    await toNextEpoch();
    await provider.start();
    await noted("the dispute is answered", "dispute answered");
    expect((await eventsOf(alice)).find(({ kind }) => kind === "EpochProven")).to.include({ epoch, late: false });
  });

  it("are answered together with what is due of sets that are proven in every epoch", async () => {
    await deposit(STRANGER);
    const bob = await Device.connect(local.chain, provider, local.account(4));
    await bob.deposit(FUNDS);
    await bob.begin();
    await bob.add(randomChunk(SLICE_BYTES));
    bob.agreed = bob.termsWith({ mode: "every-epoch" });
    ok(await bob.client.request("POST", `${bob.path}/open`, { body: bob.openRequest(await bob.state()) }));
    await toNextEpoch();
    await provider.end();
    await mineTo((await epochNow()) * EPOCH_BLOCKS + bob.phase);
    const { challengeBlock, epoch } = await dispute();
    await mineTo(challengeBlock + 1);
    await provider.start();
    await until(
      "both are proven",
      async () => !(await books()).disputed && (await books(bob)).proven === 1,
      60,
      () => provider.log,
    );
    const [answer, proof] = await Promise.all(
      [alice, bob].map(async (device) => (await eventsOf(device)).find(({ kind }) => kind === "EpochProven")),
    );
    expect(answer).to.include({ epoch });
    expect(proof).to.include({ epoch, transactionHash: answer?.transactionHash });
  });

  it("are answered after kill -9, whether or not the answer was sent, and once", async () => {
    await deposit(STRANGER);
    const node = local.chain.provider;
    const pendingNonce = () => node.getTransactionCount(provider.operator, "pending");
    // No payouts, so that answers are the only transactions.
    const [token] = OFFER.dataSets.tokens;
    const tokens = [{ ...token, reserve: String(10n ** 18n) }];
    await provider.end();
    provider.configure({ offer: { ...OFFER, dataSets: { ...OFFER.dataSets, tokens } } });
    await provider.start();
    alice = await again(alice);
    for (const wasSent of [false, true]) {
      await toNextEpoch();
      const nonce = await pendingNonce();
      const { challengeBlock, epoch } = await dispute();
      await node.send("evm_setAutomine", [false]);
      try {
        if (!wasSent) await provider.end("SIGKILL");
        await mineTo(challengeBlock + 1);
        if (wasSent) {
          await until("the answer is in the pool", async () => (await pendingNonce()) > nonce, 60);
          await provider.end("SIGKILL");
          await local.mine(1);
        }
      } finally {
        await node.send("evm_setAutomine", [true]);
      }
      await provider.start();
      const restarted = await again(alice);
      await until(
        "the answer is on chain",
        async () => !(await books()).disputed,
        60,
        () => provider.log,
      );
      await until(
        "the status tells of it",
        async () => (await restarted.status()).provenEpochs === (wasSent ? 2 : 1),
        60,
        () => provider.log,
      );
      // Once the provider has told of it, the log has it too.
      const answers = (await eventsOf(alice)).filter((event) => event.kind === "EpochProven" && event.epoch === epoch);
      expect(answers).to.have.length(1);
      expect(await pendingNonce()).to.equal(nonce + 1);
      alice = restarted;
    }
    expect(await books()).to.include({ missed: 0, proven: 2 });
  });

  it("are answered again when a reorganisation takes the answer, and not when it takes the dispute", async () => {
    await deposit(STRANGER);
    const node = local.chain.provider;
    await toNextEpoch();
    const undisputed = await node.send("evm_snapshot", []);
    const { challengeBlock } = await dispute();
    const unanswered = await node.send("evm_snapshot", []);
    await mineTo(challengeBlock + 1);
    await noted("the dispute is answered", "dispute answered");
    await node.send("evm_revert", [unanswered]);
    expect((await books()).disputed).to.equal(true);
    await mineTo(challengeBlock + 3);
    await until(
      "it is answered again",
      async () => !(await books()).disputed,
      60,
      () => provider.log,
    );
    await node.send("evm_revert", [undisputed]);
    expect(await books()).to.include({ disputed: false, proven: 0 });
    // Another challenge block than before.
    await local.mine(1);
    const before = await node.send("evm_snapshot", []);
    const known = provider.log.split("possession is disputed").length;
    await dispute();
    await until("the dispute is known", () => provider.log.split("possession is disputed").length > known, 60);
    await node.send("evm_revert", [before]);
    await local.mine(5);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(await books()).to.include({ disputed: false, proven: 0 });
    expect(provider.log).not.to.contain("refuses the proof");
  });

  it("cannot be disputed without a bond, twice, outside their life, or upheld too early: nothing changes", async () => {
    const call = async (device = alice) => disputeCall(local.deployment, await words(device));
    const uphold = async () => upholdDisputeCall(local.deployment, await words());
    const unchanged = async (name: string, sending: () => Promise<unknown>) => {
      const before = [await books(), await readDispute(local.chain, alice.id), await available(STRANGER), await pool()];
      await refused(name, sending());
      const now = [await books(), await readDispute(local.chain, alice.id), await available(STRANGER), await pool()];
      expect(now).to.deep.equal(before);
    };
    await deposit(STRANGER);
    await toNextEpoch();
    const bob = await opened(4);
    // Before the first epoch that is paid.
    await unchanged("NotPartOfSet", async () => send(STRANGER, await call(bob)));
    await provider.end();
    await toNextEpoch();
    await unchanged("BalanceTooLow", async () => send(REPORTER, await call()));
    await unchanged("NoDispute", async () => send(REPORTER, await uphold()));
    const other = { ...(await words()), audit: { ...(await words()).audit, disputeBond: 0n } };
    await unchanged("WrongAuditTerms", async () => send(STRANGER, disputeCall(local.deployment, other)));
    const { graceEnd } = await dispute();
    await unchanged("DisputeOpen", async () => send(STRANGER, await call()));
    await unchanged("NotReportable", async () => send(REPORTER, await uphold()));
    await mineTo(graceEnd);
    await send(REPORTER, await uphold());
    await unchanged("EpochSettled", async () => send(STRANGER, await call()));
    await unchanged("NoDispute", async () => send(REPORTER, await uphold()));
    // The challenge would be the first block of the next epoch.
    await toNextEpoch();
    await mineTo(((await epochNow()) + 1) * EPOCH_BLOCKS - 2);
    await unchanged("DisputeTooLate", async () => send(STRANGER, await call()));
  });

  it("cost an honest month at most 150,000 gas beside updates, with all earnings paid out", async () => {
    await toNextEpoch();
    const first = await head();
    const nonce = await local.chain.provider.getTransactionCount(provider.operator);
    const settled = async () => (await books()).settledThrough;
    const begun = await settled();
    for (let epoch = 0; epoch < SETTLE_EPOCHS + 1; epoch++) {
      // The daemon sees each of them.
      await new Promise((resolve) => setTimeout(resolve, 250));
      expect(await settled()).to.equal(begun);
      await toNextEpoch();
    }
    await noted("the month is settled", "epochs settled");
    await noted("the earnings are paid out", "earnings withdrawn");
    expect((await settled()) - begun).to.be.at.least(SETTLE_EPOCHS);
    let gas = 0n;
    let transactions = 0;
    for (let block = first; block <= (await head()); block++) {
      const mined = await local.chain.provider.getBlock(block, true);
      for (const { from, hash } of mined?.prefetchedTransactions ?? []) {
        if (from !== provider.operator) continue;
        transactions += 1;
        gas += (await local.chain.provider.getTransactionReceipt(hash))?.gasUsed ?? 0n;
      }
    }
    console.log(`      ${SETTLE_EPOCHS} epochs on demand: ${transactions} transactions, ${gas} gas`);
    expect(transactions).to.equal((await local.chain.provider.getTransactionCount(provider.operator)) - nonce);
    expect(transactions).to.equal(2);
    expect(gas <= 150_000n).to.equal(true);
    // All of it was paid, also to somebody that settles twice.
    const { total, locked } = await pool();
    expect(total).to.equal(locked);
    await send(REPORTER, settleDataSetCall(local.deployment, await words()));
    expect((await pool()).total).to.equal(total);
  });
});
