/** What watching tells of data sets on a real chain. */

import { expect } from "chai";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import { RepeatedFailures } from "../../../offchain/agent/watch/repeated-failures.ts";
import type { WatchEvent } from "../../../offchain/agent/watch/watch-events.ts";
import { Watcher, type WatchOptions } from "../../../offchain/agent/watch/watcher.ts";
import { exitCodeFor } from "../../../offchain/cli/commands/watch.ts";
import { watchLine } from "../../../offchain/cli/commands/watch-lines.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { DataSetFixture, objectOf } from "../data-sets/fixture.ts";

const EPOCH_BLOCKS = 30;

describe("watching data sets", function () {
  this.timeout(60_000);
  let net: LocalChain;
  let fixture: DataSetFixture;
  let id: string;

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());
  beforeEach(async () => {
    fixture = await DataSetFixture.make(net);
    await toBlockOfEpoch(1);
    id = (await fixture.put([objectOf(2)])).id ?? "";
  });

  async function toBlockOfEpoch(block: number): Promise<void> {
    const head = await net.chain.provider.getBlockNumber();
    const ahead = (block - (head % EPOCH_BLOCKS) + EPOCH_BLOCKS) % EPOCH_BLOCKS;
    if (ahead > 0) await net.mine(ahead);
  }
  const watcher = (options: WatchOptions = {}) => new Watcher(fixture.context, options);
  const kinds = (events: readonly WatchEvent[]) => events.map(({ kind }) => kind);
  const salt = async () => (await fixture.platform.dataSets.sets())[0]?.salt ?? "";
  const prove = async () => {
    await toBlockOfEpoch(6);
    return await fixture.provider.prove(await salt());
  };

  it("tells how the sets stand, then each proof, miss, notice and end once", async () => {
    const watching = watcher();
    const first = await watching.look();
    expect(kinds(first)).to.deep.equal(["opened", "changed", "state"]);
    expect(first.at(-1)).to.include({ dataSet: id, status: "running", slices: 2, severity: "info" });
    expect(exitCodeFor(first)).to.equal(0);
    expect(await watching.look()).to.deep.equal([]);
    await fixture.mineEpoch();
    const transactionHash = await prove();
    const [proven, ...others] = await watching.look();
    expect(others).to.deep.equal([]);
    expect(proven).to.include({ kind: "proven", dataSet: id, transactionHash, severity: "info" });
    await fixture.mineEpoch();
    await toBlockOfEpoch(22);
    const overdue = await watching.look();
    expect(kinds(overdue)).to.deep.equal(["overdue"]);
    expect(exitCodeFor(overdue)).to.equal(7);
    expect(await watching.look()).to.deep.equal([]);
    const dataSets = new DataSets(fixture.context);
    await dataSets.settle(id);
    expect((await watching.look())[0]).to.include({ kind: "missed", severity: "alarm" });
    const notice = await dataSets.giveNotice(id);
    const given = await watching.look();
    expect(kinds(given)).to.deep.equal(["changed", "notice", "state"]);
    expect(given[1]).to.include({ epoch: notice.lastEpoch, severity: "warning" });
    expect(given[2]).to.include({ status: "ending", lastEpoch: notice.lastEpoch });
    for (let epoch = 0; epoch < 5; epoch += 1) await fixture.mineEpoch();
    expect(kinds(await watching.look())).to.include("state");
    await dataSets.settle(id);
    expect(kinds(await watching.look())).to.include.members(["closed", "state"]);
    expect(await watching.look()).to.deep.equal([]);
  });

  it("finds sets that are opened meanwhile, and tells nothing twice when blocks are replaced", async () => {
    const watching = watcher();
    await watching.look();
    await new DataSets(fixture.context).giveNotice(id);
    const other = (await fixture.put([objectOf(1)])).id;
    const told = await watching.look();
    expect(told.filter(({ kind }) => kind === "opened")).to.have.length(1);
    expect(told.filter((event) => "dataSet" in event && event.dataSet === other)).to.have.length(3);
    await net.mine(3);
    await watching.look();
    await net.chain.provider.send("anvil_reorg", [2, []]);
    await net.mine(1);
    expect(await watching.look()).to.deep.equal([]);
  });

  it("warns of a balance that will be used up, once per epoch", async () => {
    const poor = await DataSetFixture.make(net);
    await poor.put([objectOf(1)], { runwayEpochs: 2 });
    const watching = new Watcher(poor.context);
    const first = await watching.look();
    expect(first.at(-1)).to.include({ kind: "runway", runwayEpochs: 5, severity: "warning" });
    expect(exitCodeFor(first)).to.equal(9);
    expect(await watching.look()).to.deep.equal([]);
    await poor.mineEpoch();
    const later = await watching.look();
    expect(later.find(({ kind }) => kind === "runway")).to.include({ runwayEpochs: 4 });
    await new DataSets(poor.context).topUp(10n ** 17n);
    expect(kinds(await watching.look())).to.not.include("runway");
  });

  it("has the provider prove at every n-th look, and tells a failure from one that does not answer", async () => {
    const watching = watcher({ auditEvery: 2 });
    expect(kinds(await watching.look())).to.include("audit");
    expect(await watching.look()).to.deep.equal([]);
    // Intact as before.
    expect(await watching.look()).to.deep.equal([]);
    await watching.look();
    const audit = fixture.provider.auditDataSet.bind(fixture.provider);
    let asked = 0;
    fixture.provider.auditDataSet = async () => {
      asked += 1;
      throw new TallystickError("nobody there", { code: "UNREACHABLE", party: fixture.provider.name });
    };
    const silent = await watching.look();
    expect(silent[0]).to.include({ kind: "failed", code: "UNREACHABLE", party: fixture.provider.name });
    expect(exitCodeFor(silent)).to.equal(5);
    await watching.look();
    expect(await watching.look()).to.deep.equal([]);
    expect(asked).to.equal(2);
    await watching.look();
    fixture.provider.auditDataSet = audit;
    expect((await watching.look())[0]).to.include({ kind: "works-again", count: 1 });
    await watching.look();
    for (const object of fixture.provider.objects.values()) object.fill(7);
    const [failed] = await watching.look();
    expect(failed).to.include({ kind: "audit-failed", severity: "alarm", code: "INVALID_PROOF", dataSet: id });
    expect(exitCodeFor(failed === undefined ? [] : [failed])).to.equal(7);
  });

  it("goes on when the endpoint fails, with one line for it, and then tells what happened meanwhile", async () => {
    const watching = watcher();
    await watching.look();
    const chain = fixture.context.chain.bind(fixture.context);
    const failing = async () => {
      throw new TallystickError("the endpoint is down", { code: "CHAIN_UNAVAILABLE", party: "chain", retryable: true });
    };
    Object.assign(fixture.context, { chain: failing });
    expect((await watching.look())[0]).to.include({ kind: "failed", code: "CHAIN_UNAVAILABLE", count: 1 });
    for (let look = 0; look < 3; look += 1) expect(await watching.look()).to.deep.equal([]);
    Object.assign(fixture.context, { chain });
    await fixture.mineEpoch();
    await prove();
    expect(kinds(await watching.look())).to.deep.equal(["proven", "works-again"]);
  });

  it("prints each event on one line, without what a hostile party could do to a terminal", () => {
    const common = { at: 1_700_000_000, severity: "alarm", dataSet: id, provider: fixture.provider.account } as const;
    const line = watchLine({ ...common, kind: "audit-failed", code: "INTEGRITY", message: "bad\n\u001b[2Jthing" });
    expect(line).to.match(/ALARM data set 0x[0-9a-f]{8}: audit failed: bad\\u000a\\u001b\[2Jthing$/);
    expect(watchLine({ ...common, kind: "overdue", epoch: 7 })).to.include("no proof of epoch 7 in time");
  });
});

describe("failures that repeat", () => {
  const error = (code: "UNREACHABLE" | "TIMED_OUT") => new TallystickError("no answer", { code, party: "chain" });

  it("are told once per period with their number, and again for another cause", () => {
    const failures = new RepeatedFailures(1000);
    expect(failures.failed("chain", error("UNREACHABLE"), 0)).to.include({ count: 1, kind: "failed" });
    expect(failures.failed("chain", error("UNREACHABLE"), 400)).to.equal(undefined);
    expect(failures.failed("chain", error("UNREACHABLE"), 999)).to.equal(undefined);
    expect(failures.failed("chain", error("UNREACHABLE"), 1000)).to.include({ count: 3 });
    expect(failures.failed("chain", error("TIMED_OUT"), 1001)).to.include({ count: 1, code: "TIMED_OUT" });
    expect(failures.worked("chain", 1002)).to.include({ kind: "works-again", severity: "info" });
    expect(failures.worked("chain", 1003)).to.equal(undefined);
    expect(() => failures.failed("chain", new Error("a defect"), 0)).to.throw("a defect");
  });
});
