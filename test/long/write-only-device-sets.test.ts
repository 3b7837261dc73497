/**
 * What its owner does with the data set of a device that only writes, without the device: dispute, settle, retire,
 * move. Real nodes, real providers, a real chain and the real command.
 */
import { join } from "node:path";
import { expect } from "chai";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { tallystick } from "../../scripts/demo/command.ts";
import { Household, type SetReport } from "../helpers/household.ts";
import { type LocalNet, SMALL_COMMITTEE, startLocalNet } from "../helpers/local-net.ts";
import { escrowEvents } from "../helpers/on-chain.ts";
import { damageObjects } from "../helpers/pack-files.ts";
import { personFrom, withAgentOf } from "../helpers/people.ts";
import { until } from "../helpers/promises.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { startTwoProviderNet, type TwoProviderNet } from "../helpers/two-providers.ts";

const EPOCH_BLOCKS = 60;
const NATIVE = `0x${"0".repeat(40)}`;
const BOND = 10n ** 15n;
const ANSWER_BLOCKS = 30;

describe("the data set of a device that only writes, for its owner", function () {
  this.timeout(300_000);
  let net: LocalNet;

  before(async () => {
    const offer = {
      prices: [{ token: NATIVE, pricePerGibEpoch: String(10n ** 16n), minimumFeePerEpoch: String(10n ** 14n) }],
      windowBlocks: 20,
      sampleCount: 20,
      dataSets: {
        graceBlocks: ANSWER_BLOCKS - 20,
        modes: ["every-epoch", "on-demand"],
        tokens: [{ token: NATIVE, disputeBond: String(BOND) }],
      },
    };
    const cspConfig = { offer, pollMilliseconds: 50, proofRetrySeconds: 1 };
    net = await startLocalNet({ ...SMALL_COMMITTEE, epochBlocks: EPOCH_BLOCKS, cspConfig });
  });
  after(async () => await net?.stop());

  const head = () => net.chain.provider.getBlockNumber();
  const mineTo = async (block: number) => {
    const missing = block - (await head());
    if (missing > 0) await net.chain.mine(missing);
  };
  const toNextEpoch = async () => mineTo((Math.floor((await head()) / EPOCH_BLOCKS) + 1) * EPOCH_BLOCKS);

  it("goes on for the device after the owner has retired slices of it", async () => {
    const home = await Household.grant(net, "retired");
    await home.prepare();
    const { dataSet, owner } = home;
    const before = await home.put("kept", 300_000);
    await home.put("given up", 300_000);
    await toNextEpoch();
    const ranges = [{ firstIndex: before.slices + 1, count: 2 }];
    const retired = await withAgentOf(net, owner, (agent) => agent.dataSets.retire(dataSet, ranges));
    expect(retired).to.include({ id: dataSet, retiredSlices: 2 });
    await toNextEpoch();
    await toNextEpoch();
    const after = await home.put("later", 300_000);
    expect(after.addedSlices).to.be.greaterThan(0);
    await toNextEpoch();
    const shown = await home.owners("data-set", "show", dataSet);
    expect(shown).to.include({ status: "running" });
    // What was retired is stored on, and comes into the set again with the put that has it.
    const again = await home.said(home.device, ["put", join(net.dir, "given up")]);
    expect((again.dataSets as SetReport[])[0]?.addedSlices).to.be.greaterThan(0);
    expect(await withAgentOf(net, owner, (agent) => agent.dataSets.audit(dataSet))).to.include({ id: dataSet });
    await home.expectRestored();
  });

  it("is disputed by its owner, and settled, which the device can neither do nor stop", async () => {
    const home = await Household.grant(net, "disputed");
    await home.prepare("--mode", "on-demand", "--max-bond", String(BOND));
    const { dataSet, owner, device } = home;
    await home.put("disputed", 300_000);
    await home.owners("data-set", "top-up", String(20n * BOND));
    await toNextEpoch();
    const available = async () => BigInt(String((await home.owners("data-set", "balance")).available));
    const ofDevice = await tallystick(device, ["dispute", dataSet]);
    expect(ofDevice.exitCode, JSON.stringify(ofDevice.document)).to.not.equal(EXIT.ok);
    const opened = await home.owners("dispute", dataSet);
    expect(opened).to.include({ id: dataSet, bond: String(BOND) });
    await net.chain.mine(3);
    const shown = async () => await home.owners("data-set", "show", dataSet);
    await until("the provider has answered", async () => (await shown()).provenEpochs === 1, 60);

    damageObjects(join(net.provider.dir, "data", "store"), 1);
    await toNextEpoch();
    const lost = await tallystick(owner, ["audit", dataSet]);
    expect(lost.exitCode, lost.stderr).to.equal(EXIT.integrity);
    const verdict = await tallystick(owner, ["data-set", "verdict", dataSet, "--samples", "4"]);
    expect(verdict.document, JSON.stringify(verdict.document)).to.include({ verdict: "damaged", fault: "provider" });
    const before = await available();
    const { answerUntilBlock } = await home.owners("dispute", dataSet);
    await mineTo(Number(answerUntilBlock));
    const settled = await home.owners("data-set", "settle", dataSet);
    expect(settled).to.include({ id: dataSet, upheld: true });
    const set = await shown();
    expect(set).to.include({ missedEpochs: 1, provenEpochs: 1 });
    const fee = BigInt(String(set.feePerEpoch));
    const { bountyPercent } = set.terms as { bountyPercent: number };
    expect(await available()).to.equal(before + 2n * fee + (fee * BigInt(bountyPercent)) / 100n);
  });
});

describe("the data set of a device that only writes, at another provider", function () {
  this.timeout(300_000);
  let net: TwoProviderNet;

  before(async () => {
    net = await startTwoProviderNet();
  });
  after(async () => await net?.stop());

  const notices = async (id: string) =>
    (await escrowEvents(net)).filter((event) => event.kind === "NoticeGiven" && event.id === id).length;

  for (const [what, isFresh] of [
    ["the owner's home", false],
    ["a home that has the recovery phrase alone", true],
  ] as const) {
    it(`is moved from ${what} with all that the device has put`, async () => {
      const home = await Household.grant(net, `moved ${isFresh}`);
      await home.prepare();
      const { dataSet } = home;
      await home.put(`one ${isFresh}`, 400_000);
      await home.put(`two ${isFresh}`, 200_000);
      const mover = isFresh ? await personFrom(net, "recovered", home.owner.recoveryPhrase) : home.owner;
      const moved = await tallystick(mover, ["data-set", "migrate", dataSet, "--to", net.toSecond.url]);
      expect(moved.exitCode, `${moved.stderr}${JSON.stringify(moved.document)}`).to.equal(0);
      expect(moved.document.damaged).to.deep.equal([]);
      expect(Number((moved.document.copied as { bytes: number }).bytes)).to.be.greaterThan(600_000);
      expect(await notices(dataSet)).to.equal(1);
      const { id: fresh } = moved.document.dataSet as { id: string };
      expect(await withAgentOf(net, mover, (agent) => agent.dataSets.audit(fresh))).to.include({ id: fresh });
      // Alone at the new provider.
      await net.provider.process.stop();
      try {
        await home.expectRestored();
      } finally {
        await net.provider.process.start();
      }
      const again = await tallystick(mover, ["data-set", "migrate", dataSet, "--to", net.toSecond.url]);
      expect(again.exitCode, again.stderr).to.equal(0);
      expect(again.document.copied).to.include({ uploadedObjects: 0 });
      expect(await notices(dataSet)).to.equal(1);

      // The device is told, and goes on once its owner has prepared another set where it likes.
      const file = home.write(`late ${isFresh}`, pseudoRandomBytes(`late ${isFresh}`, 60_000));
      const ended = await tallystick(home.device, ["put", file]);
      expect(ended.document.error).to.include({ code: "CONFLICT", check: "data set of the delegate" });
      const prepared = await home.prepare("--provider", net.second.operator);
      expect(prepared).to.include({ isNew: true, provider: net.second.operator });
      const report = await home.put(`at the second ${isFresh}`, 60_000);
      expect(report.addedSlices).to.be.greaterThan(0);
      await home.expectRestored();
    });
  }
});
