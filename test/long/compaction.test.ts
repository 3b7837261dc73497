/** Data sets that shrink, at a real provider on a real chain: compaction, by itself and by command, and successors. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import type { CompactionEstimate, CompactReport, DataSetReport, PutReport } from "../../offchain/agent/index.ts";
import { agentDatabasePath } from "../../offchain/agent/node/agent-database.ts";
import { SqliteDataSetJournal } from "../../offchain/agent/node/data-set-journal.ts";
import { EXIT } from "../../offchain/cli/exit-codes.ts";
import { sliceBytes } from "../../offchain/core/audit/field.ts";
import { feeOf } from "../../offchain/core/data-set/fee.ts";
import { startTallystick, tallystick } from "../../scripts/demo/command.ts";
import { escrowEvents } from "../helpers/on-chain.ts";
import { newPerson, type Person, withAgentOf } from "../helpers/people.ts";
import { pseudoRandomBytes } from "../helpers/pseudo-random.ts";
import { joinSharedNet, type TestNet } from "../helpers/shared-net.ts";

/** More than twice as many as a list of ranges takes. */
const FILES = 90;
/** The chunker cuts none of them. */
const SHORT = 150_000;
const MIDDLE = 300_000;
const LONG = 500_000;
/** Slices at both ends of a range hold other bytes as well. */
const SLACK_PER_RANGE = 2;

describe("compaction of a data set", function () {
  this.timeout(300_000);
  let net: TestNet;

  before(async () => {
    net = await joinSharedNet();
  });
  after(() => net?.stop());

  async function documentOf<Document>(person: Person, ...args: string[]): Promise<Document> {
    const { exitCode, document, stderr } = await tallystick(person, args);
    expect(exitCode, stderr).to.equal(EXIT.ok);
    return document as Document;
  }

  /**
   * Puts all files, then every other one; the snapshot of all is removed.
   * @param kept and removed: bytes of a file that stays, and of one that goes
   */
  async function shrunk(name: string, kept: number, removed: number) {
    const person = await newPerson(net, name);
    const all = join(net.dir, `${name}-all`);
    const folder = join(net.dir, `${name}-kept`);
    for (const dir of [all, folder]) mkdirSync(dir);
    for (let k = 0; k < FILES; k += 1) {
      const isKept = k % 2 === 0;
      const file = `file-${String(k).padStart(3, "0")}`;
      const bytes = pseudoRandomBytes(`${name} ${k}`, isKept ? kept : removed);
      for (const dir of isKept ? [all, folder] : [all]) writeFileSync(join(dir, file), bytes);
    }
    const [first, put] = await withAgentOf(net, person, async (agent) => [
      await agent.put([all], { host: "all" }),
      await agent.put([folder], { host: "kept" }),
    ]);
    const { released } = await documentOf<{ released: { dataSet: DataSetReport }[] }>(person, "rm", first.snapshot.id);
    const [at] = released;
    if (at === undefined) throw new Error("nothing was released");
    return { person, folder, put, id: String(first.dataSets[0]?.id), before: setOf(first), report: at.dataSet };
  }

  /** The objects that are needed, by the journal: each in live slices. */
  async function liveBytes(person: Person, id: string): Promise<number> {
    const journal = new SqliteDataSetJournal(agentDatabasePath(person.home));
    try {
      const set = (await journal.sets()).find(({ agreed }) => agreed?.id === id);
      if (set === undefined) throw new Error("no set");
      const objects = new Map<string, number>();
      for (const segment of await journal.segments(set.salt)) {
        const bytes = segment.sliceCount * sliceBytes(set.sliceElements);
        for (const object of await journal.objectsIn(segment.id, 0, bytes)) objects.set(object.id, object.sizeBytes);
      }
      return [...objects.values()].reduce((sum, size) => sum + size, 0);
    } finally {
      await journal.close();
    }
  }

  /** Pays for what is live, proves it, and returns it. */
  async function expectSound(person: Person, id: string, folder: string, put: PutReport): Promise<void> {
    await withAgentOf(net, person, async (agent) => {
      const view = await agent.dataSets.show(id);
      const bytes = sliceBytes(view.audit.sliceElements);
      const least = Math.ceil((await liveBytes(person, id)) / bytes);
      expect(view.slices).to.be.within(least, least + SLACK_PER_RANGE * view.liveRanges.length);
      expect(view.feePerEpoch).to.equal(feeOf(view.terms, view.slices, view.highestIndex));
      expect(view.liveRanges.length).to.be.at.most(24);
      expect(await agent.dataSets.audit(id)).to.include({ slices: view.slices });
      const target = join(net.dir, `restored-${Math.random()}`);
      await agent.get(put.dataId, target);
      const [restored = ""] = readdirSync(target);
      const names = readdirSync(folder);
      expect(readdirSync(join(target, restored))).to.deep.equal(names);
      for (const name of names) {
        const isSame = readFileSync(join(target, restored, name)).equals(readFileSync(join(folder, name)));
        expect(isSame, name).to.equal(true);
      }
      // Nothing is missing in the set: a put has nothing to add.
      expect(setOf(await agent.put([folder], { host: "again" })).addedSlices).to.equal(0);
    });
  }

  it("is done by a removal itself, when it pays", async () => {
    const { person, folder, put, id, before, report } = await shrunk("erin", SHORT, MIDDLE);
    expect(report.compaction?.objects).to.be.greaterThan(45 - 24);
    expect(report.compaction).to.include({ lostObjects: 0 });
    expect(report.left).to.equal(undefined);
    expect(BigInt(report.feePerEpoch) < BigInt(before.feePerEpoch)).to.equal(true);
    await expectSound(person, id, folder, put);
    const { plan } = await documentOf<{ plan: CompactionEstimate }>(person, "data-set", "compact", id, "--dry-run");
    expect(plan).to.include({ deadSlices: 0, movedBytes: 0 });
    const { versions } = await paid(person);
    const nothing = await documentOf<CompactReport>(person, "data-set", "compact", id);
    expect(nothing).to.include({ objects: 0, retiredSlices: 0 });
    expect((await paid(person)).versions).to.equal(versions);
  });

  /** What the account has done on chain. */
  async function paid(person: Person) {
    const events = await escrowEvents(net);
    const own = events.flatMap((event) =>
      event.kind === "DataSetOpened" && event.terms.user === person.account ? [event.id] : [],
    );
    const count = (kind: string) =>
      events.filter((event) => event.kind === kind && "id" in event && own.includes(event.id)).length;
    const deposits = events.filter((event) => event.kind === "Deposited" && event.user === person.account).length;
    return { opened: own, deposits, notices: count("NoticeGiven"), versions: count("DataSetScheduled") };
  }

  /** Kills a command later and later, measured by how long one takes that only reads. */
  async function killAgain(person: Person, ...args: string[]): Promise<void> {
    const started = performance.now();
    await documentOf(person, ...args, "--dry-run");
    const unit = performance.now() - started;
    for (let kill = 0; kill < 6; kill += 1) {
      const running = startTallystick(person, ["--json", ...args]);
      const timer = setTimeout(() => running.process.kill("SIGKILL"), unit * (0.7 + 0.15 * kill));
      await running.ended;
      clearTimeout(timer);
    }
  }

  it("is finished by command, whenever that is killed; then a successor takes over, with no object sent", async () => {
    const { person, folder, put, id, report } = await shrunk("frank", LONG, MIDDLE);
    // More would be moved than goes out.
    expect(report.left?.dead).to.be.greaterThan(0);
    const { plan } = await documentOf<{ plan: CompactionEstimate }>(person, "data-set", "compact", id, "--dry-run");
    expect(plan).to.include({
      rangesBefore: report.liveRanges.length,
      deadSlices: report.left?.dead,
      keptDeadSlices: 0,
    });
    expect(plan.movedBytes).to.be.within(10 * LONG, 40 * LONG);
    const before = await paid(person);
    await killAgain(person, "data-set", "compact", id);
    const done = await documentOf<CompactReport>(person, "data-set", "compact", id);
    expect(done.lostObjects).to.equal(0);
    await expectSound(person, id, folder, put);
    const after = await paid(person);
    expect(after).to.include({ deposits: before.deposits, notices: 0 });
    expect(after.opened).to.deep.equal([id]);

    const asked = await documentOf<{ plan: Record<string, unknown> }>(
      person,
      "data-set",
      "compact",
      id,
      "--successor",
      "--dry-run",
    );
    expect(asked.plan).to.include({ id, from: net.provider.account, to: net.provider.account });
    expect(await paid(person)).to.deep.equal(after);
    await killAgain(person, "data-set", "compact", id, "--successor");
    const moved = await documentOf<{ dataSet: { id: string }; copied: Record<string, unknown> }>(
      person,
      "data-set",
      "compact",
      id,
      "--successor",
    );
    expect(moved.copied).to.include({ uploadedObjects: 0, uploadedBytes: 0 });
    const now = await paid(person);
    expect(now.opened).to.deep.equal([id, moved.dataSet.id]);
    expect(now.notices).to.equal(1);
    await expectSound(person, moved.dataSet.id, folder, put);
    await withAgentOf(net, person, async (agent) => {
      const [old, fresh] = await agent.dataSets.list();
      expect(old).to.include({ id, status: "ending" });
      expect(old?.movedTo).to.include({ id: moved.dataSet.id, provider: net.provider.account });
      expect(fresh).to.include({ id: moved.dataSet.id, device: "this", predecessor: id });
      expect(Number(fresh?.highestIndex)).to.be.lessThan(Number(old?.highestIndex));
      // Puts of this device follow.
      writeFileSync(join(folder, "later"), pseudoRandomBytes("later", 50_000));
      expect(setOf(await agent.put([folder])).id).to.equal(moved.dataSet.id);
    });
  });
});

function setOf({ dataSets: [set] }: Pick<PutReport, "dataSets">): DataSetReport & { id: string } {
  if (set?.id === undefined) throw new Error("no data set");
  return { ...set, id: set.id };
}
