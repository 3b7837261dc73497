/** What watching tells of data sets on a real chain. */

import { expect } from "chai";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import type { FileCache } from "../../../offchain/agent/platform.ts";
import { ProviderSet } from "../../../offchain/agent/providers/provider-set.ts";
import type { StorageProvider } from "../../../offchain/agent/providers/storage-provider.ts";
import { RepeatedFailures } from "../../../offchain/agent/watch/repeated-failures.ts";
import type { WatchEvent } from "../../../offchain/agent/watch/watch-events.ts";
import { Watcher, type WatchOptions } from "../../../offchain/agent/watch/watcher.ts";
import { exitCodeFor } from "../../../offchain/cli/commands/watch.ts";
import { watchLine } from "../../../offchain/cli/commands/watch-lines.ts";
import { type ErrorCode, TallystickError } from "../../../offchain/core/errors.ts";
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

  /** The provider refuses audits like this. */
  const refusing = (code: ErrorCode, party = fixture.provider.name) => {
    fixture.provider.auditDataSet = async () => {
      throw new TallystickError("not now", { code, party });
    };
  };

  it("raises an alarm after three audits in a row without a proof, whatever the provider answers", async () => {
    const audit = fixture.provider.auditDataSet.bind(fixture.provider);
    const watching = watcher({ auditEvery: 1 });
    await watching.look();
    refusing("RATE_LIMITED");
    const first = await watching.look();
    expect(first[0]).to.include({ kind: "failed", severity: "warning", code: "RATE_LIMITED" });
    expect(exitCodeFor(first)).to.equal(5);
    refusing("STORAGE_UNAVAILABLE");
    expect(kinds(await watching.look())).to.deep.equal(["failed"]);
    // No audit of the provider: the chain has prevented it.
    refusing("CHAIN_UNAVAILABLE", "chain");
    expect(kinds(await watching.look())).to.deep.equal(["failed"]);
    refusing("RATE_LIMITED");
    for (const count of [3, 4]) {
      const events = await watching.look();
      expect(kinds(events)).to.deep.equal(["audit-failed"]);
      expect(events[0]).to.include({ severity: "alarm", code: "RATE_LIMITED", dataSet: id });
      expect(watchLine(events[0] as WatchEvent)).to.include(`${count} audits without a proof`);
      expect(exitCodeFor(events)).to.equal(7);
    }
    fixture.provider.auditDataSet = audit;
    expect(kinds(await watching.look())).to.deep.equal(["audit", "works-again"]);
    refusing("UNREACHABLE");
    expect(kinds(await watching.look())).to.deep.equal(["failed"]);
  });

  it("blames no provider that the deployment does not list, and forgets no files for it", async () => {
    let forgotten = 0;
    const fileCache = { open: () => expect.fail("nothing is put"), forget: () => (forgotten += 1) };
    fixture.platform = { ...fixture.platform, fileCache: fileCache as unknown as FileCache };
    fixture.context = fixture.newContext();
    const providers = fixture.context.providers();
    const other = { account: fixture.context.account.address } as StorageProvider;
    for (const [listed, code] of [[[], "INVALID_INPUT"] as const, [[other], "NOT_FOUND"] as const]) {
      Object.assign(fixture.context, { providers: () => new ProviderSet(listed) });
      const watching = watcher({ auditEvery: 1 });
      expect((await watching.look()).at(-1)).to.include({ kind: "failed", code, severity: "warning" });
      for (let look = 0; look < 3; look += 1) expect(await watching.look()).to.deep.equal([]);
    }
    expect(forgotten).to.equal(0);
    Object.assign(fixture.context, { providers: () => providers });
    for (const object of fixture.provider.objects.values()) object.fill(7);
    expect((await watcher({ auditEvery: 1 }).look()).at(-1)).to.include({ kind: "audit-failed" });
    expect(forgotten).to.equal(1);
  });

  it("raises an alarm once for a dispute that was not answered, until it is decided", async () => {
    const other = await DataSetFixture.make(net);
    other.provider.changedOffer = { modes: ["on-demand"] };
    const disputed = (await other.put([objectOf(1)], { mode: "on-demand" })).id ?? "";
    await other.mineEpoch();
    const dataSets = new DataSets(other.context);
    const { answerUntilBlock } = await dataSets.dispute(disputed);
    const watching = new Watcher(other.context);
    await net.mine(answerUntilBlock - 1 - (await net.chain.provider.getBlockNumber()));
    expect(kinds(await watching.look()))
      .to.include("dispute-opened")
      .and.not.include("dispute-unanswered");
    await net.mine(1);
    const late = await watching.look();
    expect(kinds(late)).to.deep.equal(["dispute-unanswered"]);
    expect(late[0]).to.include({ severity: "alarm", dataSet: disputed, answerUntilBlock });
    expect(watchLine(late[0] as WatchEvent)).to.include(`\`tallystick data-set settle ${disputed}\``);
    expect(exitCodeFor(late)).to.equal(7);
    expect(await watching.look()).to.deep.equal([]);
    expect(exitCodeFor(await new Watcher(other.context).look())).to.equal(7);
    await dataSets.settle(disputed);
    expect(kinds(await watching.look())).to.include("dispute-upheld");
    for (let epoch = 0; epoch < 2; epoch += 1) await other.mineEpoch();
    expect(exitCodeFor(await new Watcher(other.context).look())).to.equal(0);
  });

  it("raises an alarm when a set is breached, and none later, because it stays so", async () => {
    const dataSets = new DataSets(fixture.context);
    for (let missed = 0; missed < 3; missed += 1) {
      await fixture.mineEpoch();
      await toBlockOfEpoch(22);
      await dataSets.settle(id);
    }
    const now = await watcher().look();
    const breach = now.find(({ kind }) => kind === "breached");
    expect(breach).to.include({ severity: "alarm", dataSet: id });
    expect(now.at(-1)).to.include({ kind: "state", status: "breached", severity: "info" });
    expect(exitCodeFor(now)).to.equal(7);
    for (let epoch = 0; epoch < 2; epoch += 1) await fixture.mineEpoch();
    const later = await watcher().look();
    expect(kinds(later)).to.deep.equal(["state"]);
    expect(exitCodeFor(later)).to.equal(0);
  });

  it("raises no alarm for a set whose content went to another one, nor for one that is over", async () => {
    const journal = fixture.platform.dataSets;
    const [set] = await journal.sets();
    if (set === undefined) expect.fail("no set");
    const movedTo = { id: `0x${"5".repeat(64)}`, provider: fixture.provider.account, blockNumber: 1 };
    await journal.save({ ...set, movedTo });
    const dataSets = new DataSets(fixture.context);
    await fixture.mineEpoch();
    await toBlockOfEpoch(22);
    for (const object of fixture.provider.objects.values()) object.fill(7);
    const overdue = await watcher({ auditEvery: 1 }).look();
    expect(kinds(overdue)).to.include.members(["overdue", "audit-failed"]);
    await dataSets.settle(id);
    await dataSets.giveNotice(id);
    const missed = await watcher({ auditEvery: 1 }).look();
    expect(kinds(missed)).to.include.members(["missed", "notice", "audit-failed"]);
    for (let epoch = 0; epoch < 6; epoch += 1) await fixture.mineEpoch();
    const over = await watcher({ auditEvery: 1 }).look();
    expect(over.at(-1)).to.include({ kind: "state", status: "over", severity: "info" });
    for (const events of [overdue, missed, over]) {
      expect(events.filter(({ severity }) => severity === "alarm")).to.deep.equal([]);
    }
    // Another device does not know where the content went.
    const [moved] = await journal.sets();
    if (moved === undefined) expect.fail("no set");
    const { movedTo: _, ...unmoved } = moved;
    await journal.save(unmoved);
    const elsewhere = await watcher({ auditEvery: 1 }).look();
    expect(elsewhere.at(-1)).to.include({ kind: "state", status: "over", severity: "warning" });
    expect(exitCodeFor(elsewhere)).to.equal(0);
  });

  it("looks at every set, whichever of them cannot be read, and audits one when it is reached again", async () => {
    await new DataSets(fixture.context).giveNotice(id);
    const other = (await fixture.put([objectOf(1)])).id ?? "";
    await fixture.mineEpoch();
    const about = (events: readonly WatchEvent[], dataSet: string) =>
      kinds(events.filter((event) => "dataSet" in event && event.dataSet === dataSet));
    let unread = id;
    const { provider } = net.chain;
    const failing = new Proxy(provider, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        if (name !== "call") return value.bind(target);
        return async (request: { readonly data?: string }) => {
          if (unread !== "" && request.data?.includes(unread.slice(2)) === true) throw new Error("it does not answer");
          return await value.call(target, request);
        };
      },
    });
    const chain = { ...net.chain, provider: failing };
    Object.assign(fixture.context, { chain: async () => chain });
    const watching = watcher({ auditEvery: 5 });
    const first = await watching.look();
    expect(about(first, other)).to.include.members(["opened", "state", "audit"]);
    expect(about(first, id)).to.not.include.members(["state"]);
    expect(first.filter(({ kind }) => kind === "failed")).to.have.length(1);
    expect(exitCodeFor(first)).to.equal(5);
    expect(await watching.look()).to.deep.equal([]);
    unread = "";
    const reached = await watching.look();
    expect(about(reached, id)).to.deep.equal(["state", "audit"]);
    expect(about(reached, other)).to.deep.equal([]);
    expect(kinds(reached)).to.include("works-again");
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
