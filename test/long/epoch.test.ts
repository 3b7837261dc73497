/**
 * The life of an agreement to its end, every coin of it: paid while the provider proves, compensated when its disk is
 * damaged, proven again after a repair, breached, wound up, withdrawn, until the escrow holds nothing.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { AgreementReport } from "../../offchain/agent/agreements/terms.ts";
import type { Agent } from "../../offchain/agent/index.ts";
import { balanceOf, type EscrowEvent, NATIVE_TOKEN } from "../../offchain/chain/escrow.ts";
import { SLICE_BYTES } from "../../offchain/core/audit/field.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { HttpProxy, type ProxiedAnswer } from "../helpers/http-proxy.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents, withChain } from "../helpers/on-chain.ts";
import { damageObjects } from "../helpers/pack-files.ts";
import { agentOf, newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const EPOCH_BLOCKS = 20;
const EPOCHS = 6;
const FILE_BYTES = 1024 * 1024;
/** So many draws from nine slices leave none out. */
const SAMPLES = 250;
const EXIT_INTEGRITY = 7;

describe("an agreement from deposit to the last withdrawal", () => {
  let net: LocalNet;
  let alice: Person;
  let agent: Agent;
  let watcher: Agent;
  let dataId: string;
  let agreement: AgreementReport;
  const dir = (...names: string[]) => join(net.dir, ...names);
  let watcherBounties = 1n;
  const id = () => agreement.agreementId;

  before(async () => {
    net = await startLocalNet({
      ...SMALL_COMMITTEE,
      epochBlocks: EPOCH_BLOCKS,
      windowBlocks: 10,
      sampleCount: SAMPLES,
    });
    alice = await newPerson(net, "alice");
    agent = await agentOf(net, alice);
    watcher = await agentOf(net, await newPerson(net, "watcher"));
  });
  after(async () => {
    await agent?.close();
    await watcher?.close();
    await net?.stop();
  });

  const escrowHolds = () => net.chain.provider.getBalance(net.deployment.contracts.storageEscrow);
  const creditOf = (account: string) => withChain(net, (chain) => balanceOf(chain, NATIVE_TOKEN, account));

  /** With the end of the provider's log when it does not happen. */
  async function untilProvider(what: string, holds: () => Promise<boolean>): Promise<void> {
    await until(what, holds, 60, () => net.provider.process.logTail());
  }

  async function mineTo(block: bigint | number): Promise<void> {
    const missing = Number(block) - (await net.chain.provider.getBlockNumber());
    if (missing > 0) await net.chain.mine(missing);
  }

  const opens = (epoch: number) => Number(agreement.terms.startBlock) + epoch * EPOCH_BLOCKS;
  const statusOf = async (epoch: number) => (await agent.agreements.show(id())).epochs[epoch]?.status;

  async function passProven(epoch: number): Promise<void> {
    await mineTo(opens(epoch));
    await untilProvider(`epoch ${epoch} is proven`, async () => (await statusOf(epoch)) === "proven");
  }

  /** Passes an epoch's window while the provider cannot prove. */
  async function passMissed(epoch: number): Promise<void> {
    await mineTo(opens(epoch));
    await untilProvider("the provider has noticed", async () => {
      return (await agent.agreements.show(id())).providerView?.health === "damaged";
    });
    await mineTo(opens(epoch) + agreement.terms.windowBlocks + 1);
    expect(await statusOf(epoch)).to.equal("overdue");
  }

  /** Flips a bit in every slice that the provider stores. */
  function damage(): void {
    damageObjects(join(net.provider.dir, "data", "store"), SLICE_BYTES / 2);
  }

  it("begins with all fees and the collateral in the escrow", async () => {
    writeFileSync(dir("file"), pseudoRandomBytes("epochs", FILE_BYTES));
    const report = await agent.put([dir("file")], { agreement: { epochs: EPOCHS } });
    dataId = report.dataId;
    agreement = report.agreements[0] as AgreementReport;
    const { feePerEpoch, collateral, compensationPerMiss, bountyPerMiss, breachLimit } = agreement.terms;
    expect(agreement.terms).to.include({ epochs: EPOCHS, breachLimit: 3 });
    expect(collateral).to.equal(BigInt(breachLimit) * (compensationPerMiss + bountyPerMiss));
    expect(await escrowHolds()).to.equal(feePerEpoch * BigInt(EPOCHS) + collateral);
  });

  it("pays the provider one fee for an epoch that it proves", async () => {
    expect(await creditOf(net.provider.account)).to.equal(0n);
    await passProven(0);
    expect(await creditOf(net.provider.account)).to.equal(agreement.terms.feePerEpoch);
    const audited = await agent.audit(dataId, { public: true });
    expect(audited).to.include({ mode: "public", epoch: 0 });
  });

  it("is audited by its owner in private at any time, at no cost", async () => {
    const held = await escrowHolds();
    const { exitCode, document, stderr } = await tallystick(alice, ["audit", dataId]);
    expect(exitCode, stderr).to.equal(0);
    expect(document).to.include({ intact: true, mode: "private", provider: net.provider.account });
    expect(await escrowHolds()).to.equal(held);
  });

  it("rejects an old proof as the answer to a new challenge", async () => {
    const proxy = await HttpProxy.start(net.provider.url);
    let old: ProxiedAnswer | undefined;
    proxy.alter = async ({ path }, answer) => {
      if (!path.endsWith("/audit")) return undefined;
      old ??= answer;
      return old;
    };
    try {
      const providers = net.deployment.providers.map((each) => ({ ...each, url: proxy.url }));
      await withAgentOf(
        net,
        alice,
        async (agentAtProxy) => {
          await agentAtProxy.audit(dataId);
          const error = await expectAsyncRejection(() => agentAtProxy.audit(dataId), "INVALID_PROOF");
          expect(error.party).to.equal(`provider ${proxy.url}`);
        },
        { ...net.deployment, providers },
      );
    } finally {
      await proxy.stop();
    }
  });

  it("fails a private audit when bytes on the provider's disk are damaged, and names the provider", async () => {
    damage();
    const { exitCode, document, stderr } = await tallystick(alice, ["audit", dataId, "--samples", String(SAMPLES)]);
    const error = document.error as Record<string, unknown>;
    expect(error.party).to.equal(`provider ${net.provider.url}`);
    expect(error.code).to.be.oneOf(["INTEGRITY", "INVALID_PROOF"]);
    expect(exitCode, stderr).to.equal(EXIT_INTEGRITY);
  });

  it("gives fee and compensation to the user for a reported miss, and the bounty to whoever reports it", async () => {
    const { feePerEpoch, compensationPerMiss, bountyPerMiss } = agreement.terms;
    await passMissed(1);
    const settled = await watcher.agreements.settle(id());
    expect(settled).to.deep.include({ reported: [1], closed: false });
    expect(await creditOf(watcher.account)).to.equal(bountyPerMiss);
    expect(await creditOf(alice.account)).to.equal(feePerEpoch + compensationPerMiss);
    expect(await creditOf(net.provider.account)).to.equal(feePerEpoch);
    const again = await agent.agreements.settle(id());
    expect(again.reported).to.deep.equal([]);
  });

  it("goes on once the data has been repaired by putting it again", async () => {
    const repaired = await agent.put([dir("file")], { agreement: { epochs: EPOCHS } });
    expect(repaired).to.include({ dataId, uploadedBytes: repaired.storedBytes });
    expect(repaired.agreements[0]).to.include({ agreementId: id(), isNew: false });
    await agent.audit(dataId);
    await passProven(2);
    expect(await creditOf(net.provider.account)).to.equal(2n * agreement.terms.feePerEpoch);
  });

  it("is breached by the third miss, and gives no more than the collateral", async () => {
    const { feePerEpoch, compensationPerMiss, bountyPerMiss } = agreement.terms;
    damage();
    await passMissed(3);
    expect((await agent.agreements.settle(id())).reported).to.deep.equal([3]);
    await mineTo(opens(4) + agreement.terms.windowBlocks + 1);
    // Two see the same miss, and the provider winds the agreement up at the same time: who comes too late has nothing
    // to do.
    const settled = await Promise.all([agent, watcher].map((each) => each.agreements.settle(id())));
    expect(settled.flatMap(({ reported }) => reported)).to.deep.equal([4]);
    watcherBounties += settled[1]?.reported.length === 1 ? 1n : 0n;
    await untilProvider("it is wound up", async () => (await agent.agreements.show(id())).status === "closed");
    // The fee of the sixth epoch, which will not come, goes back as well.
    const bounties = (3n - watcherBounties) * bountyPerMiss;
    expect(await creditOf(alice.account)).to.equal(4n * feePerEpoch + 3n * compensationPerMiss + bounties);
    expect(await statusOf(5)).to.be.oneOf([undefined, "lapsed"]);
  });

  it("ends with nothing in the escrow once everybody has withdrawn, and every coin accounted for", async () => {
    const { feePerEpoch, collateral, compensationPerMiss, bountyPerMiss } = agreement.terms;
    await agent.agreements.withdraw();
    await watcher.agreements.withdraw();
    // The provider's daemon withdraws by itself.
    await untilProvider("the escrow is empty", async () => (await escrowHolds()) === 0n);
    const events = await escrowEvents(net);
    const withdrawn = (account: string) =>
      sum(events, "Withdrawn", (event) => event.account === account && event.amount);
    expect(withdrawn(net.provider.account)).to.equal(
      2n * feePerEpoch + collateral - 3n * (compensationPerMiss + bountyPerMiss),
    );
    expect(withdrawn(watcher.account)).to.equal(watcherBounties * bountyPerMiss);
    const bounties = (3n - watcherBounties) * bountyPerMiss;
    expect(withdrawn(alice.account)).to.equal(4n * feePerEpoch + 3n * compensationPerMiss + bounties);
    const total = sum(events, "Withdrawn", (event) => event.amount);
    expect(total).to.equal(BigInt(EPOCHS) * feePerEpoch + collateral);
  });

  it("is closed by the provider alone after its last epoch, when no epoch was missed", async () => {
    writeFileSync(dir("short"), pseudoRandomBytes("short", 1000));
    const report = await watcher.put([dir("short")], { agreement: { epochs: 1 } });
    const { startBlock, windowBlocks, collateral, feePerEpoch } = (report.agreements[0] as AgreementReport).terms;
    const shortId = (report.agreements[0] as AgreementReport).agreementId;
    const before = await escrowEvents(net);
    await mineTo(startBlock);
    await untilProvider("its epoch is proven", async () => (await watcher.agreements.show(shortId)).epochsProven === 1);
    await mineTo(Number(startBlock) + windowBlocks + 1);
    await untilProvider("the escrow is empty", async () => (await escrowHolds()) === 0n);
    const events = (await escrowEvents(net)).slice(before.length);
    expect(events.map(({ kind }) => kind)).to.deep.equal(["EpochProven", "AgreementEnded", "Withdrawn"]);
    expect(sum(events, "Withdrawn", (event) => event.amount)).to.equal(collateral + feePerEpoch);
    const settled = await watcher.agreements.settle(shortId);
    expect(settled).to.deep.include({ reported: [], closed: false, credit: 0n });
  });

  /** Sum over the events of a kind of what the function picks; false counts nothing. */
  function sum<Kind extends EscrowEvent["kind"]>(
    events: readonly EscrowEvent[],
    kind: Kind,
    pick: (event: Extract<EscrowEvent, { kind: Kind }>) => bigint | false,
  ): bigint {
    return events.reduce((total, event) => {
      const picked = event.kind === kind && pick(event as Extract<EscrowEvent, { kind: Kind }>);
      return picked === false ? total : total + picked;
    }, 0n);
  }
});
